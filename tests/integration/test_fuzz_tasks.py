"""Random task definitions on real containers: each is refused in AWS's way or run, and each task comes to its end."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from portside.testing import leak
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import ACCOUNT, IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

DEFINITIONS = 24
AT_ONCE = 8
NAMES = ("a", "b", "c", "d")

COMMANDS: tuple[list[str], ...] = (
    ["true"],
    ["false"],
    ["sleep", "1"],
    ["sleep", "1000"],
    ["no-such-program"],
    [],
    ["/etc/passwd"],
    ["sh", "-c", "exit 143"],
    ["sh", "-c", "kill -9 $$"],
    ["sh", "-c", "trap '' TERM INT; while :; do sleep 1; done"],
    ["sh", "-c", "trap 'exit 3' TERM; while :; do sleep 1; done"],
    ["sh", "-c", "sleep 1000 & sleep 1000 & sh -c 'sleep 1000' & exit 0"],
    ["sh", "-c", "while :; do sleep 0 & done 2>/dev/null & sleep 1; exit 1"],
    ["tail", "/dev/zero"],
    ["sh", "-c", "(tail /dev/zero); sleep 1"],
    ["sh", "-c", "yes | head -c 3000000; yes >&2 | head -c 100000"],
    ["sh", "-c", "printf '\\000\\377\\n'; printf 'no end of line'"],
    ["sh", "-c", "dd if=/dev/zero of=/big bs=1M count=64; mkdir -p /x/y; rm -rf /etc /bin"],
    ["sh", "-c", "mount -t tmpfs x /mnt; mknod /n c 1 3; echo x > /proc/sysrq-trigger; exit 0"],
    ["sh", "-c", "exec 0<&- 1>&- 2>&-; sleep 1"],
)
GARBAGE: tuple[Any, ...] = (
    "",
    " ",
    "x" * 300,
    "a/b",
    "é",
    "\n",
    -1,
    0,
    1,
    10**12,
    [],
    ["x"],
    [""],
    [{}],
    {},
    {"x": 1},
    True,
)


class Dice(random.Random):
    def maybe(self, chance: float, into: dict[str, Any], **members: Any) -> None:
        if self.random() < chance:
            into.update(members)


def container(
    dice: Dice, name: str, before: list[dict[str, Any]], volumes: list[str], *, is_last: bool
) -> dict[str, Any]:
    """One that ought to be accepted, mostly; `before`: the containers that it may depend on."""
    made: dict[str, Any] = {"name": name, "image": IMAGE, "stopTimeout": 2, "command": dice.choice(COMMANDS)}
    linux: dict[str, Any] = {}
    dice.maybe(0.2, linux, initProcessEnabled=True)
    dice.maybe(0.2, linux, tmpfs=[{"containerPath": dice.choice(["/t", "/tmp", "/bin"]), "size": 1}])
    dice.maybe(0.2, linux, capabilities={"drop": [dice.choice(["ALL", "CHOWN", "NET_RAW"])], "add": ["SYS_PTRACE"]})
    check = {"command": ["CMD-SHELL", dice.choice(["true", "false", "sleep 9", "kill 1"])], "interval": 5, "timeout": 2}
    dice.maybe(0.4, made, healthCheck=check | {"retries": 1})
    dice.maybe(0.05, made, image=dice.choice(["localhost/portside-test-not-there:1", "localhost/x@sha256:" + "0" * 64]))
    dice.maybe(0.1, made, entryPoint=["sh", "-c"])
    dice.maybe(0.2, made, user=dice.choice(["app", "app:extra", "1000", "4294967295", "nobody", "none", "0:none", ":"]))
    dice.maybe(0.2, made, workingDirectory=dice.choice(["/tmp", "/made", "made", "/etc/passwd", "/proc"]))
    dice.maybe(0.2, made, readonlyRootFilesystem=True)
    dice.maybe(0.3, made, memory=dice.choice([4, 6, 16, 64]), cpu=dice.choice([0, 1, 64]))
    dice.maybe(0.2, made, environment=[{"name": dice.choice(["A", "PATH", "HOME", "A B"]), "value": "\u2603 \n="}])
    dice.maybe(0.2, made, ulimits=[{"name": dice.choice(["nofile", "nproc", "core"]), "softLimit": 3, "hardLimit": 9}])
    dice.maybe(0.2, made, pseudoTerminal=True)
    dice.maybe(0.2, made, interactive=True)
    dice.maybe(0.2, made, systemControls=[{"namespace": "net.core.somaxconn", "value": dice.choice(["9", "x", "-1"])}])
    dice.maybe(0.2, made, startTimeout=2)
    dice.maybe(0.2, made, restartPolicy={"enabled": True, "ignoredExitCodes": [0]})
    dice.maybe(0.1, made, secrets=[{"name": "S", "valueFrom": "/not/there"}])
    dice.maybe(0.4, made, linuxParameters=linux)
    if volumes:
        path = dice.choice(["/v", "/bin", "/v/w", "/tmp"])
        dice.maybe(0.5, made, mountPoints=[{"sourceVolume": dice.choice(volumes), "containerPath": path}])
    if before:
        other = dice.choice(before)
        fitting = ["START", "START" if other["essential"] else "COMPLETE", "START" if other["essential"] else "SUCCESS"]
        condition = dice.choice([*fitting, "HEALTHY" if "healthCheck" in other else "START"])
        dice.maybe(0.7, made, dependsOn=[{"containerName": other["name"], "condition": condition}])
        dice.maybe(0.2, made, volumesFrom=[{"sourceContainer": other["name"]}])
    made["essential"] = is_last or dice.random() < 0.2
    return made


def definition(dice: Dice, family: str) -> dict[str, Any]:
    volumes = dice.choice([[], ["v"], ["v", "w"]])
    names = NAMES[: dice.randint(1, len(NAMES))]
    containers: list[dict[str, Any]] = []
    for name in names:
        containers.append(container(dice, name, containers[:], volumes, is_last=name == names[-1]))
    made: dict[str, Any] = {
        "family": family,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/execution",
        "volumes": [{"name": each} for each in volumes],
        "containerDefinitions": containers,
    }
    dice.maybe(0.2, made, pidMode="task")
    if dice.random() < 0.3:
        spoil(dice, made["containerDefinitions"][0])
    return made


def spoil(dice: Dice, made: dict[str, Any]) -> None:
    """Something is not as it ought to be, at some depth."""
    name = dice.choice(sorted(made))
    inner = made[name][0] if isinstance(made[name], list) and made[name] else made[name]
    if isinstance(inner, dict) and inner and dice.random() < 0.7:
        spoil(dice, inner)
    else:
        made[name] = dice.choice(GARBAGE)


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image()
    with instance() as running:
        # The first task makes what stays: the VPC's network, the instance's own groups.
        running.client("ecs").create_cluster(clusterName="default")
        running.register("first", {"command": ["true"]})
        running.wait_task(running.run_task("first"), "STOPPED")
        yield running


@pytest.mark.parametrize("seed", [1, 2])
def test_any_definition_is_refused_or_comes_to_its_end(portside: Instance, seed: int) -> None:
    """No answer is a bug of ours, each task ends with AWS's words and leaves nothing, and Portside is as it was."""
    import boto3
    from botocore.config import Config

    ecs = boto3.client(
        "ecs",
        endpoint_url=portside.url,
        region_name="us-east-1",
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 0}, parameter_validation=False),
    )
    dice = Dice(seed)
    words = (portside.settings.instance_id, str(portside.settings.data_dir))
    network = portside.network()
    before = leak.snapshot(*words)
    refused: list[tuple[int, ClientError, dict[str, Any]]] = []
    ended = 0
    running: list[str] = []

    def finish(tasks: list[str]) -> None:
        """A while of their own, then they are told to stop, and do."""
        nonlocal ended
        stopping = dice.sample(tasks, len(tasks))
        for task in stopping:
            if portside.task(task)["lastStatus"] != "STOPPED" and dice.random() < 0.5:
                ecs.stop_task(cluster="default", task=task)
        wait_for(lambda: sum(portside.task(each)["lastStatus"] == "RUNNING" for each in tasks) < 3, timeout_s=40)
        for task in stopping:
            if portside.task(task)["lastStatus"] != "STOPPED":
                ecs.stop_task(cluster="default", task=task)
        for task in tasks:
            stopped = portside.wait_task(task, "STOPPED", timeout_s=60)
            assert stopped["stopCode"], stopped
            assert stopped["stoppedReason"], stopped
            ended += 1

    for number in range(DEFINITIONS):
        asked = definition(dice, f"fuzz-{seed}-{number}")
        try:
            ecs.register_task_definition(**asked)
            answer = ecs.run_task(
                cluster="default",
                taskDefinition=asked["family"],
                launchType="FARGATE",
                networkConfiguration=network,
                enableExecuteCommand=dice.random() < 0.5,
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            continue  # nothing that the client can write down; such types are tried on the gateway itself
        except ClientError as error:
            refused.append((error.response["ResponseMetadata"]["HTTPStatusCode"], error, asked))
            continue
        running.append(answer["tasks"][0]["taskArn"])
        if len(running) == AT_ONCE:
            finish(running)
            running.clear()
    finish(running)
    assert refused
    assert [each for each in refused if each[0] != 400] == []
    assert ended > DEFINITIONS / 3
    left = leak.wait_for_none(before, *words)
    assert not left, f"left behind: {left}"
    assert portside.health()["status"] == "ok"
    assert "Traceback" not in portside.log
