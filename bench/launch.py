"""RunTask -> the container's process runs (image present, own network), against `docker run -d` and bare crun.

The container itself writes the time as its first act (microseconds, `ts %.s`), so no polling is in the figure.
"""

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import dockerd
from bench.dockerd import DockerMissing, docker
from bench.instance import IMAGE, ensure_image, register
from bench.measure import run, summary
from portside.testing.instance import Instance
from portside.testing.instance import instance as portside_instance
from portside.testing.wait import wait_for

STAMP = ["sh", "-c", "echo | ts %.s; exec sleep 600"]


def bench(quick: bool) -> dict[str, Any]:
    rounds = 10 if quick else 40
    ensure_image()
    ours: list[float] = []
    theirs: list[float] = []
    bare: list[float] = []
    result: dict[str, Any] = {}
    with portside_instance() as instance:
        instance.client("logs").create_log_group(logGroupName="/bench")
        register(instance, "stamp", STAMP, log_group="/bench")
        instance.client("ecs").create_cluster(clusterName="bench")
        _task_ms(instance)  # warm-up: the VPC and caches
        try:
            with docker() as command:
                _docker_ms(command)
                for _ in range(rounds):
                    ours.append(_task_ms(instance))
                    theirs.append(_docker_ms(command))
                    bare.append(_crun_ms())
        except DockerMissing as missing:
            result["docker"] = str(missing)
            for _ in range(rounds):
                ours.append(_task_ms(instance))
                bare.append(_crun_ms())
    result["portside_ms"] = summary(ours)
    result["crun_run_ms"] = summary(bare)
    result["portside_to_crun"] = result["portside_ms"]["p50"] / result["crun_run_ms"]["p50"]
    result["p95_to_p50"] = result["portside_ms"]["p95"] / result["portside_ms"]["p50"]
    if theirs:
        result["docker_run_ms"] = summary(theirs)
        result["portside_to_docker"] = result["portside_ms"]["p50"] / result["docker_run_ms"]["p50"]
    return result


def _task_ms(instance: Instance) -> float:
    return stamp_ms(instance, "stamp")


def stamp_ms(instance: Instance, family: str) -> float:
    """RunTask -> the time that the container `main` writes first; the task is stopped afterwards."""
    ecs, logs = instance.client("ecs"), instance.client("logs")
    where = instance.network()
    asked = time.time()
    task = ecs.run_task(cluster="bench", taskDefinition=family, launchType="FARGATE", networkConfiguration=where)[
        "tasks"
    ][0]
    stream = f"b/main/{task['taskArn'].rsplit('/', 1)[-1]}"
    events: list[dict[str, Any]] = []

    def written() -> bool:
        try:
            events[:] = logs.get_log_events(logGroupName="/bench", logStreamName=stream)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return False
        return bool(events)

    wait_for(written, timeout_s=20, pause_s=0.02, what="the container's time stamp")
    ecs.stop_task(cluster="bench", task=task["taskArn"])
    wait_for(
        lambda: ecs.describe_tasks(cluster="bench", tasks=[task["taskArn"]])["tasks"][0]["lastStatus"] == "STOPPED",
        timeout_s=20,
        pause_s=0.05,
        what="the task's end",
    )
    return (float(events[0]["message"]) - asked) * 1000


def _docker_ms(command: dockerd.Docker) -> float:
    asked = time.time()
    name = command("run", "-d", "--memory", "512m", "--cpus", "0.25", dockerd.IMAGE, *STAMP).strip()
    wait_for(lambda: command("logs", name).strip(), timeout_s=20, what="docker's time stamp")
    stamp = float(command("logs", name).split()[0])
    command("rm", "-f", name)
    return (stamp - asked) * 1000


def _crun_ms() -> float:
    """`crun run` of the same root file system with crun's own default spec: no network set-up, no limits."""
    mounted = run("podman", "image", "mount", IMAGE).strip()
    with tempfile.TemporaryDirectory(prefix="portside-bench-crun-") as folder:
        run("cp", "-a", mounted, f"{folder}/rootfs")
        run("crun", "spec", "-f", f"{folder}/config.json")
        spec = json.loads(Path(folder, "config.json").read_text())
        spec["process"].update(terminal=False, args=["sh", "-c", "echo | ts %.s"])
        spec["root"] = {"path": f"{folder}/rootfs", "readonly": False}
        Path(folder, "config.json").write_text(json.dumps(spec))
        asked = time.time()
        done = subprocess.run(
            ["crun", "--cgroup-manager=disabled", "run", "--bundle", folder, f"bench-{time.monotonic_ns()}"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return (float(done.stdout.split()[0]) - asked) * 1000
