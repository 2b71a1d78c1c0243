"""Container health checks on real containers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portside.node import process
from portside.testing.instance import Instance
from portside.testing.instance import instance as portside_instance
from portside.testing.wait import wait_for

SLOW_S = 7331

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    with portside_instance() as running:
        running.client("ecs").create_cluster(clusterName="default")
        yield running


def check(command: str, **more: Any) -> dict[str, Any]:
    return {"command": ["CMD-SHELL", command], "interval": 5, "timeout": 2, "retries": 1, **more}


def slow_checks() -> list[int]:
    """Processes of checks that take too long: two for each that runs."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            argv = (each / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argv[:2] == [b"sleep", str(SLOW_S).encode()]:
            found.append(int(each.name))
    return found


def healths(instance: Instance, arn: str) -> tuple[str, dict[str, str]]:
    task = instance.task(arn)
    return task["healthStatus"], {each["name"]: each["healthStatus"] for each in task["containers"]}


def test_a_container_turns_healthy(instance: Instance) -> None:
    """A check passes once its file is there; the task is as healthy as its essential containers, and others do not
    count."""
    instance.register(
        "healthy",
        {
            "name": "main",
            "command": ["sh", "-c", "sleep 1; touch /tmp/ready; exec sleep 1000"],
            "healthCheck": check("test -f /tmp/ready"),
        },
        {"name": "other", "command": ["sleep", "1000"], "essential": False},
    )
    arn = instance.run_task("healthy")
    task = instance.wait_task(arn, "RUNNING")
    assert task["healthStatus"] == "UNKNOWN"
    wait_for(
        lambda: healths(instance, arn) == ("HEALTHY", {"main": "HEALTHY", "other": "UNKNOWN"}),
        timeout_s=20,
        what="health",
    )
    assert instance.task(arn)["version"] > task["version"]
    instance.client("ecs").stop_task(task=arn)
    instance.wait_task(arn, "STOPPED")


def test_a_check_that_a_killed_daemon_left(instance: Instance) -> None:
    """The next daemon ends it, with all that it started and with the runtime's process that waits for it, and begins
    with checks of its own; the container runs on."""
    hung = f"sleep {SLOW_S} & sleep {SLOW_S}"
    instance.register("hung", {"command": ["sleep", "1000"], "healthCheck": check(hung, timeout=60)})
    arn = instance.run_task("hung")
    instance.wait_task(arn, "RUNNING")
    wait_for(lambda: len(slow_checks()) == 2, timeout_s=20, what="a check that hangs")
    left = {*slow_checks(), *runtimes(instance)}
    assert len(left) == 3
    instance.kill()
    instance.start()
    instance.ready()
    wait_for(lambda: not left & {*slow_checks(), *runtimes(instance)}, timeout_s=20, what="its end")
    wait_for(lambda: len(slow_checks()) == 2, timeout_s=20, what="another check")
    assert instance.task(arn)["lastStatus"] == "RUNNING"
    instance.client("ecs").stop_task(task=arn)
    instance.wait_task(arn, "STOPPED", timeout_s=60)
    wait_for(lambda: not slow_checks(), timeout_s=20, what="nothing left")


def runtimes(instance: Instance) -> set[int]:
    """The runtime's processes that run checks in containers."""
    return {pid for pid, argv in process.runtimes_of(instance.settings.data_dir).items() if "exec" in argv}


def test_checks_go_on_with_a_new_daemon(instance: Instance) -> None:
    """A container that fails its check while Portside restarts is UNHEALTHY afterwards, and its task runs on."""
    instance.register(
        "failing",
        {"command": ["sleep", "1000"], "healthCheck": check("! test -f /tmp/sick || { echo sick; exit 3; }")},
        {
            "name": "hand",
            "command": ["sleep", "1000"],
            "essential": False,
            "healthCheck": check(f"(sleep {SLOW_S} &); sleep {SLOW_S}"),
        },
    )
    arn = instance.run_task("failing")
    instance.wait_task(arn, "RUNNING")
    wait_for(lambda: healths(instance, arn)[0] == "HEALTHY", timeout_s=20, what="health")
    instance.kill()
    instance.start()
    instance.ready()
    # A check that takes longer than its timeout has failed, and all that it started is killed.
    wait_for(lambda: healths(instance, arn)[1]["hand"] == "UNHEALTHY", timeout_s=30, what="the slow check's end")
    assert healths(instance, arn)[0] == "HEALTHY"
    assert instance.task(arn)["lastStatus"] == "RUNNING"
    wait_for(lambda: len(slow_checks()) <= 2, timeout_s=10, what="the end of checks that took too long")
    instance.client("ecs").stop_task(task=arn)
    instance.wait_task(arn, "STOPPED")


def test_a_container_waits_for_health(instance: Instance) -> None:
    """dependsOn HEALTHY: the second container starts when the first one is healthy, and never if it turns unhealthy."""
    for family, command in (("waits", "test -f /tmp/ready"), ("never", "false")):
        instance.register(
            family,
            {
                "name": "db",
                "command": ["sh", "-c", "sleep 1; touch /tmp/ready; exec sleep 1000"],
                "healthCheck": check(command),
            },
            {
                "name": "web",
                "command": ["sleep", "1000"],
                "dependsOn": [{"containerName": "db", "condition": "HEALTHY"}],
            },
        )
    arn = instance.run_task("waits")
    instance.wait_task(arn, "RUNNING")
    assert healths(instance, arn)[1]["db"] == "HEALTHY"
    instance.client("ecs").stop_task(task=arn)
    instance.wait_task(arn, "STOPPED")
    failed = instance.wait_task(instance.run_task("never"), "STOPPED")
    assert failed["stopCode"] == "TaskFailedToStart"
    assert "dependency graph" in failed["stoppedReason"]


def test_a_service_replaces_an_unhealthy_task(instance: Instance) -> None:
    """A task that fails its container's check is replaced, with AWS's event and reason; another takes its place."""
    ecs = instance.client("ecs")
    instance.register(
        "sickly",
        {
            "command": ["sleep", "1000"],
            "healthCheck": check("[ $(($(date +%s) - $(stat -c %Y /etc/hostname))) -lt 6 ]"),
        },
    )
    ecs.create_service(
        serviceName="sickly",
        taskDefinition="sickly",
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=instance.network(),
    )

    def replaced() -> str | None:
        (service,) = ecs.describe_services(services=["sickly"])["services"]
        return next((each["message"] for each in service["events"] if "failed container" in each["message"]), None)

    message = wait_for(replaced, timeout_s=40, what="the event")
    assert message is not None
    task_id = message.partition("(task ")[2].partition(")")[0]
    assert message == f"(service sickly) (task {task_id}) failed container health checks."
    stopped = instance.wait_task(f"arn:aws:ecs:us-east-1:000000000000:task/default/{task_id}", "STOPPED")
    assert stopped["stoppedReason"] == "Task failed container health checks"
    ecs.delete_service(service="sickly", force=True)
    wait_for(
        lambda: not ecs.list_tasks(serviceName="sickly")["taskArns"],
        timeout_s=30,
        what="the end of the service's tasks",
    )
