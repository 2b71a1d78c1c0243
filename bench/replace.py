"""Kill a container of a service -> its replacement is RUNNING."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from bench.instance import ensure_image, register
from bench.measure import summary
from portside.testing.instance import instance as portside_instance
from portside.testing.wait import wait_for

KILLS_OF_A_SERVICE = 7
"""Tasks that live less than five seconds are slowed down after ten replacements in a row (ADR 0006)."""


def bench(quick: bool) -> dict[str, Any]:
    ensure_image()
    samples: list[float] = []
    with portside_instance() as instance:
        ecs = instance.client("ecs")
        ecs.create_cluster(clusterName="bench")
        register(instance, "idle", ["sleep", "100000"])
        for number in range(1 if quick else 3):
            service = f"service-{number}"
            ecs.create_service(
                cluster="bench",
                serviceName=service,
                taskDefinition="idle",
                desiredCount=1,
                launchType="FARGATE",
                networkConfiguration=instance.network(),
            )
            samples += [_kill_ms(ecs, service, instance.settings.instance_id) for _ in range(KILLS_OF_A_SERVICE)]
    return {"kill_to_running_ms": summary(samples)}


def _kill_ms(ecs: Any, service: str, instance_id: str) -> float:
    """From the kill of the service's only container to another task RUNNING."""
    (gone,) = wait_for(lambda: _running(ecs, service), timeout_s=30, what="the service")
    pid = _process_of(gone.rsplit("/", 1)[-1], instance_id)
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: [each for each in _running(ecs, service) if each != gone], timeout_s=30, what="the replacement")
    return (time.monotonic() - killed) * 1000


def _running(ecs: Any, service: str) -> list[str]:
    arns = ecs.list_tasks(cluster="bench", serviceName=service)["taskArns"]
    if not arns:
        return []
    tasks = ecs.describe_tasks(cluster="bench", tasks=arns)["tasks"]
    return [task["taskArn"] for task in tasks if task["lastStatus"] == "RUNNING" and task["desiredStatus"] == "RUNNING"]


def _process_of(task_id: str, instance_id: str) -> int:
    """The container's process, found by its cgroup."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                groups = (folder / "cgroup").read_text()
            except OSError:
                continue
            if instance_id in groups and task_id in groups:
                return int(folder.name)
    raise RuntimeError(f"no process of task {task_id}")
