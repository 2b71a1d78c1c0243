"""`portside logs SERVICE`: the output of real containers, across tasks."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

GROUP = "/output"
LOG = {
    "logConfiguration": {
        "logDriver": "awslogs",
        "options": {"awslogs-group": GROUP, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "o"},
    }
}


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster()
        running.client("logs").create_log_group(logGroupName=GROUP)
        yield running


def words(portside: Instance, *given: str) -> list[str]:
    return [sys.executable, "-m", "portside.cli", "logs", *given, "--data-dir", str(portside.settings.data_dir)]


def logs(portside: Instance, *given: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "80"}
    command = words(portside, *given)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def told(portside: Instance, *given: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in logs(portside, *given, "--json").stdout.splitlines()]


def test_the_output_of_a_service(portside: Instance) -> None:
    """Lines of both tasks in the order of time, of one container where that is asked for, those that match alone; what
    a stopped task has written is there, too."""
    count = "for n in 1 2 3; do echo line $n; sleep 0.1; done; exec sleep 600"
    portside.register(
        "web",
        {"name": "app", "command": ["sh", "-c", count], **LOG},
        {"name": "side", "command": ["sh", "-c", "echo aside; exec sleep 600"], **LOG},
    )
    portside.client("ecs").create_service(
        serviceName="shop",
        taskDefinition="web",
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration=portside.network(),
    )
    events = wait_for(
        lambda: found if len(found := told(portside, "shop")) == 8 else None, timeout_s=60, what="eight lines"
    )
    assert events is not None
    assert [each["at"] for each in events] == sorted(each["at"] for each in events)
    assert len({each["task"] for each in events}) == 2
    assert {each["service"] for each in events} == {"shop"}
    for task in {each["task"] for each in events}:
        mine = [each["message"] for each in events if each["task"] == task and each["container"] == "app"]
        assert mine == ["line 1", "line 2", "line 3"]
    assert {each["message"] for each in told(portside, "web", "-c", "side")} == {"aside"}
    assert [each["message"] for each in told(portside, "shop", "--grep", "[3-9]$")] == ["line 3", "line 3"]
    assert len(told(portside, "shop", "-n", "3")) == 3
    assert len(told(portside, "shop", "--since", "1h")) == 8
    assert told(portside, "shop", "--since", "2100-01-01") == []
    task = events[0]["task"]
    portside.client("ecs").update_service(service="shop", desiredCount=0)
    portside.wait_task(portside.client("ecs").list_tasks(desiredStatus="STOPPED")["taskArns"][0], "STOPPED")
    shown = logs(portside, task[:12])
    assert shown.returncode == 0, shown.stderr
    assert f"shop/{task[:8]} app line 1" in shown.stdout


def test_follow(portside: Instance) -> None:
    """What is written later comes as it is written, also of a task that was not there, and over a restart of the
    daemon; nothing twice."""
    portside.register("app", {"command": ["sh", "-c", "echo $WORD; exec sleep 600"], **LOG})

    def run(word: str) -> None:
        variables = {"containerOverrides": [{"name": "main", "environment": [{"name": "WORD", "value": word}]}]}
        portside.wait_task(portside.run_task("app", overrides=variables), "RUNNING")

    run("first")
    wait_for(lambda: told(portside, "app"), timeout_s=30, what="the first line")
    with subprocess.Popen(
        words(portside, "app", "-f", "--json"), stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "80"}
    ) as follower:
        assert follower.stdout is not None
        try:
            assert json.loads(follower.stdout.readline())["message"] == "first"
            run("second")
            assert json.loads(follower.stdout.readline())["message"] == "second"
            portside.kill()
            portside.start()
            portside.ready()
            run("third")
            assert json.loads(follower.stdout.readline())["message"] == "third"
        finally:
            follower.terminate()


def test_refused(portside: Instance) -> None:
    """What is not there, has no log, or is no time: the reason, and what to do."""
    portside.register("quiet", {"command": ["sleep", "600"]})
    portside.wait_task(portside.run_task("quiet"), "RUNNING")
    for given, reason in (
        (["nobody"], "there is no service, family or task nobody"),
        (["quiet"], "nothing of quiet writes to CloudWatch Logs"),
        (["quiet", "--since", "yesterday"], "yesterday is no time"),
        (["quiet", "--grep", "("], "is no regular expression"),
        (["--since", "5m"], "only --lines and --follow"),
    ):
        shown = logs(portside, *given)
        assert (shown.returncode, reason in shown.stderr) == (1, True), shown.stderr
