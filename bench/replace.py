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


def bench(quick: bool) -> dict[str, Any]:
    ensure_image()
    samples: list[float] = []
    with portside_instance() as instance:
        ecs = instance.client("ecs")
        ecs.create_cluster(clusterName="bench")
        register(instance, "idle", ["sleep", "100000"])
        ecs.create_service(
            cluster="bench",
            serviceName="one",
            taskDefinition="idle",
            desiredCount=1,
            launchType="FARGATE",
            networkConfiguration=instance.network(),
        )
        for _ in range(5 if quick else 20):
            wait_for(lambda: _running(ecs), timeout_s=30, what="the service")
            (arn,) = _running(ecs)
            pid = _process_of(arn.rsplit("/", 1)[-1], instance.settings.instance_id)
            killed = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda gone=arn: _running(ecs) and _running(ecs) != [gone], timeout_s=30, what="the replacement")  # type: ignore[misc]
            samples.append((time.monotonic() - killed) * 1000)
    return {"kill_to_running_ms": summary(samples)}


def _running(ecs: Any) -> list[str]:
    arns = ecs.list_tasks(cluster="bench", serviceName="one")["taskArns"]
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
