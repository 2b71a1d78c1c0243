"""The demonstration as a person runs it: `./portside demo` on a data folder and ports of its own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from portside.settings import Settings
from portside.testing.leak import Leaks, snapshot, wait_for_none
from portside.testing.wait import free_port, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

CLONE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """`shown`: what the first run printed. `before`: what was on the machine before it."""

    settings: Settings
    demo_port: int
    shown: str
    before: Leaks

    @property
    def url(self) -> str:
        found = re.search(r"It answers: (http://\S+/)", self.shown)
        assert found is not None, self.shown
        return found[1]

    def get(self, path: str, connection: HTTPConnection | None = None) -> tuple[int, dict[str, str], bytes]:
        """A request to 127.0.0.1, as curl makes it for the demonstration's name."""
        used = connection or HTTPConnection("127.0.0.1", self.demo_port, timeout=10)
        used.request("GET", path, headers={"Host": self.url.removeprefix("http://").rstrip("/")})
        answer = used.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    def aws(self, *arguments: str) -> str:
        """The real command, in the environment that `portside env` prints."""
        script = f'eval "$({CLONE}/portside env --data-dir {self.settings.data_dir})"; exec "$@"'
        aws = str(Path(sys.executable).parent / "aws")
        done = subprocess.run(
            ["sh", "-c", script, "sh", aws, *arguments],
            env={**os.environ, "AWS_PAGER": ""},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def portside(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return portside(self.settings, *arguments)


def portside(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    command, *rest = arguments
    return subprocess.run(
        [CLONE / "portside", command, "--data-dir", str(settings.data_dir), *rest],
        env={**os.environ, "PORTSIDE_EGRESS": "none", "PORTSIDE_HOSTS_FILE": str(settings.data_dir) + ".hosts"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("demo") / "data", port=free_port())
    demo_port, before = free_port(), snapshot(settings.instance_id, str(settings.data_dir))
    try:
        done = portside(settings, "demo", "--port", str(settings.port), "--demo-port", str(demo_port))
        assert done.returncode == 0, done.stdout + done.stderr
        yield Demonstration(settings=settings, demo_port=demo_port, shown=done.stdout, before=before)
    finally:
        portside(settings, "down", "--purge")


def tasks(demonstration: Demonstration) -> list[dict[str, Any]]:
    """The running tasks, as the command describes them."""
    arns = json.loads(demonstration.aws("ecs", "list-tasks", "--cluster", "demo", "--output", "json"))["taskArns"]
    answer = demonstration.aws("ecs", "describe-tasks", "--cluster", "demo", "--output", "json", "--tasks", *arns)
    return list(json.loads(answer)["tasks"])


def test_shows_each_command(demonstration: Demonstration) -> None:
    """Whatever it makes it shows as the aws command that makes it, and it ends with a URL and how to look further."""
    for made in (
        "ecs create-cluster",
        "ec2 create-security-group",
        "elbv2 create-load-balancer",
        "elbv2 create-rule",
        "ecs register-task-definition",
        "ecs create-service",
    ):
        assert f"$ aws {made}" in demonstration.shown
    assert demonstration.url.endswith(f":{demonstration.demo_port}/")
    assert "portside env" in demonstration.shown
    assert "aws logs tail /demo/api" in demonstration.shown


def test_page_comes_from_both_web_tasks(demonstration: Demonstration) -> None:
    """The load balancer serves the page, from one task and then from the other."""
    seen = set()

    def both() -> bool:
        status, headers, body = demonstration.get("/")
        assert status == 200
        assert b"Portside demonstration" in body
        seen.add(headers["x-served-by"] if "x-served-by" in headers else headers["X-Served-By"])
        return len(seen) == 2

    wait_for(both, timeout_s=30, what="answers of two web tasks")


def test_api_answers_by_its_rule(demonstration: Demonstration) -> None:
    """`/api/*` goes to the other service, whose tasks answer JSON over one connection that stays open."""
    connection = HTTPConnection("127.0.0.1", demonstration.demo_port, timeout=10)
    try:
        answers = [json.loads(demonstration.get("/api/info", connection)[2]) for _ in range(10)]
    finally:
        connection.close()
    assert {answer["service"] for answer in answers} == {"api"}
    running = {
        detail["value"]
        for task in tasks(demonstration)
        if task["group"] == "service:api"
        for attachment in task["attachments"]
        for detail in attachment["details"]
        if detail["name"] == "privateIPv4Address"
    }
    assert len(running) == 2
    assert {answer["address"] for answer in answers} <= running


def test_tasks_are_spread_over_two_zones(demonstration: Demonstration) -> None:
    """Two tasks for each service, in two Availability Zones, all running."""
    found = tasks(demonstration)
    assert {task["lastStatus"] for task in found} == {"RUNNING"}
    for service in ("web", "api"):
        zones = [task["availabilityZone"] for task in found if task["group"] == f"service:{service}"]
        assert len(zones) == 2
        assert len(set(zones)) == 2


def test_waiter_agrees(demonstration: Demonstration) -> None:
    """The CLI's own waiter finds the services stable."""
    demonstration.aws("ecs", "wait", "services-stable", "--cluster", "demo", "--services", "web", "api")


def test_output_is_in_the_logs(demonstration: Demonstration) -> None:
    """What the containers print is in their log groups: what they said at their start, and at a request."""

    def printed(group: str) -> str:
        query = ("--query", "events[].message", "--output", "text")
        return demonstration.aws("logs", "filter-log-events", "--log-group-name", group, *query)

    demonstration.get("/api/info")
    wait_for(
        lambda: "GET /api/info HTTP/1.1 200" in printed("/demo/api"), timeout_s=30, what="the request in /demo/api"
    )
    assert "listening on port 8000" in printed("/demo/api")
    assert "GET / HTTP/1.1" in printed("/demo/web")


def test_status_tells_the_same(demonstration: Demonstration) -> None:
    """`portside status` shows the services, tasks and the URL, as tables and as JSON."""
    done = demonstration.portside("status")
    assert done.returncode == 0, done.stderr
    assert demonstration.url in done.stdout
    answer = json.loads(demonstration.portside("status", "--json").stdout)
    assert {(s["name"], s["running"], s["desired"]) for s in answer["services"]} == {("web", 2, 2), ("api", 2, 2)}


def test_second_run_makes_nothing(demonstration: Demonstration) -> None:
    """Run again it finds all there, makes nothing, keeps the same tasks, and shows the URL again."""
    before = {task["taskArn"] for task in tasks(demonstration)}
    done = demonstration.portside("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert demonstration.url in done.stdout
    assert "create-" not in done.stdout
    assert {task["taskArn"] for task in tasks(demonstration)} == before


def test_up_again_is_harmless(demonstration: Demonstration) -> None:
    """`up --detach` where Portside runs says so, and starts no second one."""
    done = demonstration.portside("up", "--detach")
    assert done.returncode == 0, done.stderr
    assert "runs already" in done.stdout


def test_interrupted_run_goes_on(demonstration: Demonstration) -> None:
    """With a service and the rule missing, as after an interruption, it makes just these again."""
    demonstration.aws("ecs", "delete-service", "--cluster", "demo", "--service", "api", "--force")
    listeners = json.loads(
        demonstration.aws(
            "elbv2", "describe-listeners", "--output", "json", "--load-balancer-arn", balancer_arn(demonstration)
        )
    )["Listeners"]
    rules = json.loads(
        demonstration.aws("elbv2", "describe-rules", "--output", "json", "--listener-arn", listeners[0]["ListenerArn"])
    )["Rules"]
    (rule,) = [rule["RuleArn"] for rule in rules if not rule["IsDefault"]]
    demonstration.aws("elbv2", "delete-rule", "--rule-arn", rule)
    done = demonstration.portside("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "$ aws elbv2 create-rule" in done.stdout
    assert "--service-name api" in done.stdout
    assert "create-load-balancer" not in done.stdout
    assert "--service-name web" not in done.stdout
    assert demonstration.get("/api/info")[0] == 200


def balancer_arn(demonstration: Demonstration) -> str:
    return demonstration.aws(
        *("elbv2", "describe-load-balancers", "--names", "demo"),
        *("--query", "LoadBalancers[0].LoadBalancerArn", "--output", "text"),
    ).strip()


def test_remove_and_purge_leave_nothing(demonstration: Demonstration) -> None:
    """`demo --remove` removes all that it made; `down --purge` then leaves no trace on the machine."""
    done = demonstration.portside("demo", "--remove")
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(demonstration.portside("status", "--json").stdout)
    assert answer["clusters"] == []
    assert answer["services"] == []
    assert answer["loadBalancers"] == []
    groups = demonstration.aws("ec2", "describe-security-groups", "--query", "SecurityGroups[].GroupName")
    assert json.loads(groups) == ["default"]
    assert json.loads(demonstration.aws("logs", "describe-log-groups", "--query", "logGroups")) == []

    done = demonstration.portside("down", "--purge")
    assert done.returncode == 0, done.stderr
    settings = demonstration.settings
    assert not settings.data_dir.exists()
    left = wait_for_none(demonstration.before, settings.instance_id, str(settings.data_dir))
    assert not left, str(left)
    assert not settings.run_dir.exists()
    assert "elb.localhost" not in Path(str(settings.data_dir) + ".hosts").read_text()
