"""Pull of a 200 MB image (four layers that do not compress) from a local registry: RunTask -> the pull's end, against
`podman pull` and `docker pull` of the same image from the same registry's files."""

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.dockerd import NAMESPACE, DockerMissing, docker
from bench.instance import IMAGE, ensure_image
from bench.measure import run, summary
from portside.testing.image import remove_image
from portside.testing.instance import Instance
from portside.testing.instance import instance as portside_instance
from portside.testing.registry import PROGRAM, push, registry
from portside.testing.wait import free_port, wait_for

LAYERS = 4
LAYER_BYTES = 50 * 1024 * 1024
LOCAL = "localhost/portside-bench-large:1"


def bench(quick: bool) -> dict[str, Any]:
    if not PROGRAM.exists():
        return {"left out": "install docker-registry"}
    rounds = 2 if quick else 5
    ensure_image()
    ours: list[float] = []
    podman: list[float] = []
    result: dict[str, Any] = {"image_mb": LAYERS * LAYER_BYTES / 1e6}
    _make_image()
    with tempfile.TemporaryDirectory(prefix="portside-bench-registry-") as folder:
        port = free_port()
        with registry(Path(folder), port=port) as host, portside_instance() as instance:
            name = push(LOCAL, host, "large:1")
            remove_image(LOCAL)
            instance.register("large", {"image": name, "command": ["sleep", "600"]})
            instance.client("ecs").create_cluster(clusterName="default")
            for _ in range(rounds):
                ours.append(_task_s(instance, name))
                podman.append(_podman_s(name))
        result["portside_s"], result["podman_s"] = summary(ours), summary(podman)
        result["portside_to_podman"] = result["portside_s"]["p50"] / result["podman_s"]["p50"]
        try:
            with docker() as command, registry(Path(folder), port=port, enter=_inside()):
                times = []
                for _ in range(rounds):
                    started = time.monotonic()
                    command("pull", "--quiet", name)
                    times.append(time.monotonic() - started)
                    command("rmi", "-f", name)
                result["docker_s"] = summary(times)
                result["portside_to_docker"] = result["portside_s"]["p50"] / result["docker_s"]["p50"]
        except DockerMissing as missing:
            result["docker"] = str(missing)
    return result


def _inside() -> list[str]:
    """Docker's daemon is in a namespace of its own: so is the registry it reaches on loopback."""
    return ["nsenter", f"--net=/run/netns/{NAMESPACE}"]


def _make_image() -> None:
    with tempfile.TemporaryDirectory(prefix="portside-bench-image-") as folder:
        lines = [f"FROM {IMAGE}"]
        for number in range(LAYERS):
            Path(folder, f"data-{number}").write_bytes(os.urandom(LAYER_BYTES))
            lines.append(f"COPY data-{number} /data-{number}")
        Path(folder, "Dockerfile").write_text("\n".join(lines) + "\n")
        subprocess.run(
            ["podman", "build", "--quiet", "--network=none", "--layers", "-t", LOCAL, folder],
            check=True,
            capture_output=True,
            timeout=300,
        )


def _task_s(instance: Instance, name: str) -> float:
    """From RunTask to the end of the pull, as DescribeTasks tells it; asked seldom: asking takes from the pull."""
    arn = instance.run_task("large")
    wait_for(lambda: instance.task(arn)["lastStatus"] == "RUNNING", timeout_s=120, pause_s=0.3, what="the task")
    task = instance.task(arn)
    instance.client("ecs").stop_task(task=arn)
    instance.wait_task(arn, "STOPPED", timeout_s=60)
    run("podman", "image", "rm", "--force", name)
    return float((task["pullStoppedAt"] - task["createdAt"]).total_seconds())


def _podman_s(name: str) -> float:
    started = time.monotonic()
    run("podman", "pull", "--quiet", "--tls-verify=false", name)
    took_s = time.monotonic() - started
    run("podman", "image", "rm", "--force", name)
    return took_s
