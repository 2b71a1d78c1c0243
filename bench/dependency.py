"""A task of five containers that wait for one another: RunTask -> the last one's process runs.

Two containers must have started (START), two more must have ended well (SUCCESS)
before the last one runs. Against it: `docker run` of the same five, one after the other, in one network namespace.
"""

import time
from typing import Any

from bench import dockerd
from bench.dockerd import DockerMissing, docker
from bench.instance import IMAGE, ensure_image
from bench.launch import STAMP, stamp_ms
from bench.measure import summary
from portside.testing.instance import Instance
from portside.testing.instance import instance as portside_instance
from portside.testing.wait import wait_for

FAMILY = "five"
LOG_GROUP = "/bench"
IDLE = ["sleep", "600"]


def bench(quick: bool) -> dict[str, Any]:
    rounds = 5 if quick else 20
    ensure_image()
    ours: list[float] = []
    theirs: list[float] = []
    result: dict[str, Any] = {}
    with portside_instance() as instance:
        instance.client("logs").create_log_group(logGroupName=LOG_GROUP)
        instance.client("ecs").create_cluster(clusterName="bench")
        _register(instance)
        stamp_ms(instance, FAMILY)  # warm-up: the VPC and caches
        try:
            with docker() as command:
                _docker_ms(command)
                for _ in range(rounds):
                    ours.append(stamp_ms(instance, FAMILY))
                    theirs.append(_docker_ms(command))
        except DockerMissing as missing:
            result["docker"] = str(missing)
            ours += [stamp_ms(instance, FAMILY) for _ in range(rounds)]
    result["portside_ms"] = summary(ours)
    if theirs:
        result["docker_ms"] = summary(theirs)
        result["portside_to_docker"] = result["portside_ms"]["p50"] / result["docker_ms"]["p50"]
    return result


def _register(instance: Instance) -> None:
    def container(name: str, command: list[str], **more: Any) -> dict[str, Any]:
        return {"name": name, "image": IMAGE, "command": command, **more}

    log = {
        "logDriver": "awslogs",
        "options": {"awslogs-group": LOG_GROUP, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "b"},
    }
    instance.register(
        FAMILY,
        container("proxy", IDLE, essential=False),
        container("cache", IDLE, essential=False, dependsOn=_after("proxy", "START")),
        container("migrate", ["true"], essential=False, dependsOn=_after("cache", "START")),
        container("seed", ["true"], essential=False, dependsOn=_after("migrate", "SUCCESS")),
        container("main", STAMP, logConfiguration=log, dependsOn=_after("seed", "SUCCESS")),
    )


def _after(name: str, condition: str) -> list[dict[str, str]]:
    return [{"containerName": name, "condition": condition}]


def _docker_ms(command: dockerd.Docker) -> float:
    asked = time.time()
    first = command("run", "-d", dockerd.IMAGE, *IDLE).strip()
    inside = f"--network=container:{first}"
    second = command("run", "-d", inside, dockerd.IMAGE, *IDLE).strip()
    ended = [command("run", "-d", inside, dockerd.IMAGE, "true").strip()]
    command("wait", ended[0])
    ended.append(command("run", "-d", inside, dockerd.IMAGE, "true").strip())
    command("wait", ended[1])
    name = command("run", "-d", inside, dockerd.IMAGE, *STAMP).strip()
    wait_for(lambda: command("logs", name).strip(), timeout_s=20, what="docker's time stamp")
    stamp = float(command("logs", name).split()[0])
    command("rm", "-f", name, *ended, second, first)
    return (stamp - asked) * 1000
