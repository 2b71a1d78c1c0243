"""What real tasks use: the usage extension, Prometheus's endpoint and `portside top`."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import termios
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from terminal import at_terminal

from portside import credential
from portside.domain.metric import MetricName, Sample, dimensions_of, point_of
from portside.domain.record import Scope
from portside.telemetry.metric import SqliteMetricStore
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import ACCOUNT, IMAGE, REGION, Instance, instance
from portside.testing.wait import free_port, http_get, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    """With the service `shop` of one task: a burner of a quarter of a processor, and one that holds a file in
    memory and writes a line."""
    ensure_busybox_image(IMAGE)
    log = {"awslogs-group": "/top", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "t"}
    with instance() as running:
        running.client("ecs").create_cluster()
        running.client("logs").create_log_group(logGroupName="/top")
        running.register(
            "web",
            {"name": "burner", "command": ["sh", "-c", "while :; do :; done"]},
            {
                "name": "talker",
                "command": ["sh", "-c", "n=0; while :; do echo said $n; n=$((n + 1)); sleep 0.2; done"],
                "logConfiguration": {"logDriver": "awslogs", "options": log},
            },
        )
        running.client("ecs").create_service(
            serviceName="shop",
            taskDefinition="web",
            desiredCount=1,
            launchType="FARGATE",
            networkConfiguration=running.network(),
            enableExecuteCommand=True,
        )
        wait_for(lambda: running_tasks(running), timeout_s=60, what="the task of the service")
        yield running


def usage(portside: Instance) -> dict[str, Any]:
    return dict(json.loads(http_get(f"{portside.url}/_portside/usage")))


def running_tasks(portside: Instance) -> list[dict[str, Any]]:
    return [each for each in usage(portside)["tasks"] if each["lastStatus"] == "RUNNING"]


def test_usage_of_real_tasks(portside: Instance) -> None:
    """A burner uses about its quarter of a processor and a sleeper next to none; both hold memory, share the task's
    interface, and the service has what it is to have."""

    def both() -> dict[str, Any] | None:
        (task,) = running_tasks(portside)
        found = {each["name"]: each["usage"] for each in task["containers"]}
        known = all(each is not None and each["cpuUnits"] is not None for each in found.values())
        return found if known and found["burner"]["cpuUnits"] > 200 else None

    found = wait_for(both, timeout_s=60, what="rates of both containers")
    assert found is not None
    assert found["burner"]["cpuUnits"] < 300
    assert found["talker"]["cpuUnits"] < 100
    assert found["talker"]["memory"] > 0
    assert found["burner"]["networkReceived"] is not None
    (service,) = usage(portside)["services"]
    assert (service["name"], service["desired"], service["running"]) == ("shop", 1, 1)


def test_prometheus_scrapes_it(portside: Instance) -> None:
    """As text, with the CPU time of the burner growing from one scrape to the next, and calls of the API counted."""

    def burnt() -> float:
        lines = http_get(f"{portside.url}/_portside/metrics").decode().splitlines()
        (found,) = [
            each
            for each in lines
            if each.startswith("portside_container_cpu_seconds_total{") and 'container="burner"' in each
        ]
        assert any('operation="CreateService"} 1' in each for each in lines)
        return float(found.rpartition(" ")[2])

    before = burnt()
    wait_for(lambda: burnt() > before, timeout_s=30, what="more CPU time")


def test_a_token_for_scrapes_alone() -> None:
    """Where signatures are checked, the token of the data folder reads the metrics and nothing else, by GET only."""
    with instance(PORTSIDE_AUTH="1") as portside:
        path = portside.settings.data_dir / credential.SCRAPE_FILE
        assert oct(path.stat().st_mode)[-3:] == "600"
        token = path.read_text()

        def status(path: str, given: str | None, method: str = "GET") -> int:
            headers = {} if given is None else {"Authorization": given}
            request = urllib.request.Request(portside.url + path, headers=headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                return error.code

        metrics = "/_portside/metrics"
        assert status(metrics, f"Bearer {token}") == 200
        for given in (None, "Bearer ", "Bearer x", f"Basic {token}", token):
            assert status(metrics, given) == 403
        assert status(metrics, f"Bearer {token}", "POST") == 403
        for other in ("/_portside/usage", "/_portside/status"):
            assert status(other, f"Bearer {token}") == 403
        portside.stop()
        portside.start()
        assert path.read_text() == token, os.listdir(portside.settings.data_dir)


def words(portside: Instance, *given: str) -> list[str]:
    return [sys.executable, "-m", "portside.cli", "top", *given, "--data-dir", str(portside.settings.data_dir)]


def test_top_at_a_terminal(portside: Instance) -> None:
    """Through services, tasks and containers by keys: numbers, the story, the log as it grows and filtered, a shell
    and back; nothing is wider than the terminal, and at the end it is as it was."""
    with at_terminal(words(portside), columns=80, lines=20) as (terminal, program):
        terminal.wait("default › services", "shop", "1/1", "q quit")
        terminal.press("\r")
        terminal.wait("default › shop › tasks", "web:1", "running")
        terminal.press("d")
        terminal.wait("It runs.", "Phases")
        terminal.press("\x1b")
        terminal.wait("› tasks")
        terminal.press("s")
        terminal.wait("choose one of its containers")
        terminal.press("\r")
        terminal.wait("› containers", "burner", "talker")
        terminal.press("j")
        terminal.press("l")
        seen = terminal.wait("Log of default/shop/", "said ")
        last = max(int(each.split()[-1]) for each in seen.splitlines() if " said " in each)
        terminal.wait(f"said {last + 5}")
        terminal.press("/7\r")
        terminal.wait("only with “7”", "7", without="said 8")
        terminal.press("\x1b")
        terminal.wait("G follow", without="only with")
        terminal.press("\x1b")
        terminal.wait("› containers")
        terminal.press("s")
        terminal.wait("A shell in talker")
        terminal.press("echo $((40 + 2)) | sed s/^/is-/; exit\n")
        terminal.wait("› containers", "burner")
        assert b"is-42" in terminal.written
        terminal.resize(120, 20)
        terminal.wait("CPU%")
        os.kill(program.pid, signal.SIGTERM)
        assert program.wait(30) == 143
        terminal.text()
        assert terminal.written.endswith(b"\x1b[?25h\x1b[?1049l")
        assert termios.tcgetattr(terminal.leader)[3] & termios.ECHO


def test_top_while_the_daemon_is_away(portside: Instance) -> None:
    """It says so, goes on by itself when Portside is there again, and ends by q."""
    with at_terminal(words(portside), columns=80, lines=10) as (terminal, program):
        terminal.wait("default › services", "shop")
        portside.stop()
        try:
            terminal.wait("Portside does not run", "shop")
        finally:
            portside.start()
            portside.ready()
        terminal.wait("1/1", "q quit", without="does not run")
        terminal.press("q")
        assert program.wait(30) == 0


def test_top_for_scripts(portside: Instance) -> None:
    """--once is a table within the width, --json a document with rates at once; unknown clusters are told."""

    def said(*given: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"COLUMNS": "80"}
        return subprocess.run(words(portside, *given), env=environment, capture_output=True, text=True, timeout=60)

    table = said("--once").stdout.splitlines()
    assert [each.split()[0] for each in table[:3]] == ["CLUSTERS", "default", "shop"]
    assert table[4].startswith("      burner")
    assert max(len(each) for each in table) <= 80
    (task,) = json.loads(said("--json").stdout)["tasks"]
    assert all(each["usage"]["cpuUnits"] is not None for each in task["containers"])
    unknown = said("--once", "--cluster", "nowhere")
    assert (unknown.returncode, "there is no cluster nowhere" in unknown.stderr) == (1, True)


def behind_a_balancer(portside: Instance) -> dict[str, str]:
    """A service `front` without tasks: the dimensions of its target group's metrics."""
    elb = portside.client("elbv2")
    balancer = elb.create_load_balancer(Name="front", Subnets=portside.subnets()[:2])["LoadBalancers"][0]
    group = elb.create_target_group(Name="front", Protocol="HTTP", Port=80, VpcId=portside.vpc(), TargetType="ip")[
        "TargetGroups"
    ][0]["TargetGroupArn"]
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=free_port(),
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    port = [{"containerPort": 80}]
    portside.register("front", {"name": "app", "command": ["sleep", "600"], "portMappings": port})
    portside.client("ecs").create_service(
        serviceName="front",
        taskDefinition="front",
        desiredCount=0,
        launchType="FARGATE",
        networkConfiguration=portside.network(),
        loadBalancers=[{"targetGroupArn": group, "containerName": "app", "containerPort": 80}],
    )
    name = balancer["LoadBalancerArn"].rpartition(":")[2].removeprefix("loadbalancer/")
    return {"LoadBalancer": name, "TargetGroup": group.rpartition(":")[2]}


def test_plot(portside: Instance, tmp_path: Path) -> None:
    """A service's CPU of the last hour at the terminal, as SVG and as PNG, its disk, and the requests of its load
    balancer, minutes without any included; what is not known is told."""
    front = behind_a_balancer(portside)

    def said(*given: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "portside.cli", "plot", *given, "--data-dir", str(portside.settings.data_dir)]
        environment = os.environ | {"COLUMNS": "80", "LINES": "24"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    async def measure() -> None:
        metrics = SqliteMetricStore(portside.settings.data_dir / "metrics.db")
        dimensions = dimensions_of({"ClusterName": "default", "ServiceName": "shop"})
        name = MetricName(namespace="AWS/ECS", name="CPUUtilization", dimensions=dimensions)
        now = int(time.time()) // 60 * 60
        samples = [Sample(metric=name, at_s=now - 60 * each, point=point_of([(each, 1)])) for each in range(1, 41)]
        storage = MetricName(namespace="ECS/ContainerInsights", name="StorageReadBytes", dimensions=dimensions)
        # 6,000 bytes a minute, once from nothing again.
        counts = [(each, 6000 * (40 - each if each > 20 else 20 - each)) for each in range(1, 41)]
        samples += [Sample(metric=storage, at_s=now - 60 * ago, point=point_of([(count, 1)])) for ago, count in counts]
        of_front = dimensions_of(front)
        requests = MetricName(namespace="AWS/ApplicationELB", name="RequestCount", dimensions=of_front)
        samples += [Sample(metric=requests, at_s=now - 600, point=point_of([(1, 30)]))]
        await metrics.put(Scope(account=ACCOUNT, region=REGION), samples)
        await metrics.close()

    portside.stop()
    asyncio.run(measure())
    portside.start()
    portside.ready()
    drawn = said("shop", "cpu", "--since", "1h")
    lines = drawn.stdout.splitlines()
    assert lines[0] == "default/shop cpu, % of what it reserves", drawn.stderr
    assert max(len(each) for each in lines) <= 80
    assert "lowest 1.0%" in lines[-1]  # the daemon may have measured more since
    for name, begin in (("a.svg", b"<svg "), ("a.png", b"\x89PNG\r\n")):
        assert said("shop", "cpu", "-o", str(tmp_path / name)).returncode == 0
        assert (tmp_path / name).read_bytes().startswith(begin)
    disk = said("shop", "disk-read").stdout.splitlines()
    assert disk[0] == "default/shop disk-read, bytes a second"
    assert "lowest 0B/s" in disk[-1]
    assert "highest 100B/s" in disk[-1]
    asked = said("front", "requests", "--since", "30m")
    assert asked.stdout.splitlines()[0] == "default/front requests, a minute", asked.stderr
    assert "lowest 0" in asked.stdout.splitlines()[-1]
    assert "highest 30" in asked.stdout.splitlines()[-1]
    for given, words in (
        (("shop", "requests"), "behind an Application Load Balancer"),
        (("front", "flows"), "behind a Network Load Balancer"),
        (("shop", "tasks"), "--settings name=containerInsights,value=enabled"),
        (("shop", "love"), "There are: cpu, memory"),
        (("nobody",), "there is no service nobody"),
        (("shop", "-o", "a.gif"), "Name it .svg or .png"),
        (("shop", "--since", "0s"), "For example: --since 1h"),
    ):
        failed = said(*given)
        assert (failed.returncode, words in failed.stderr) == (1, True), failed.stderr
