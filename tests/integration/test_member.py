"""Members of task definitions and of RunTask, given to the API and seen from inside real containers."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portside.domain import ecs_image
from portside.node import cgroup
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import ACCOUNT, IMAGE, REGION, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

GROUP = "/member"
AMI = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")
MIB = 1024 * 1024
LOG = {
    "logConfiguration": {
        "logDriver": "awslogs",
        "options": {"awslogs-group": GROUP, "awslogs-region": REGION, "awslogs-stream-prefix": "p"},
    }
}


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="default")
        running.client("logs").create_log_group(logGroupName=GROUP)
        yield running


def lines(portside: Instance, arn: str, container: str = "main") -> list[str]:
    """What the container has written."""
    logs = portside.client("logs")
    stream = f"p/{container}/{arn.rpartition('/')[2]}"
    names = [each["logStreamName"] for each in logs.describe_log_streams(logGroupName=GROUP)["logStreams"]]
    if stream not in names:
        return []
    events = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)["events"]
    return [each["message"].rstrip("\r") for each in events]


def said(portside: Instance, arn: str, container: str = "main") -> dict[str, str]:
    """The lines NAME=VALUE that it has written, once it has written `done=`."""
    wait_for(lambda: "done=" in lines(portside, arn, container), timeout_s=30, what="the script's last word")
    return dict(line.split("=", 1) for line in lines(portside, arn, container) if "=" in line)


def stop(portside: Instance, arn: str) -> dict[str, Any]:
    portside.client("ecs").stop_task(task=arn)
    return portside.wait_task(arn, "STOPPED", timeout_s=60)


def limits(portside: Instance, *group: str) -> dict[str, int]:
    """What the kernel holds of a group: memory and its reservation, memory and swap together, CPU shares or weight."""
    tree = cgroup.detect(portside.settings.instance_id)
    top, path = Path("/sys/fs/cgroup"), tree.path(*group).lstrip("/")
    if isinstance(tree, cgroup.CgroupTreeV2):
        files = {"memory": "memory.max", "reservation": "memory.low", "swap": "memory.swap.max", "cpu": "cpu.weight"}
        found = {name: (top / path / file).read_text().strip() for name, file in files.items()}
    else:
        files = {
            "memory": "memory/{}/memory.limit_in_bytes",
            "reservation": "memory/{}/memory.soft_limit_in_bytes",
            "swap": "memory/{}/memory.memsw.limit_in_bytes",
            "cpu": "cpu/{}/cpu.shares",
        }
        found = {
            name: (top / file.format(path)).read_text().strip()
            for name, file in files.items()
            if (top / file.format(path)).exists()
        }
    return {name: int(value) for name, value in found.items() if value.isdigit()}


def shares(portside: Instance, units: int) -> int:
    v2 = isinstance(cgroup.detect(portside.settings.instance_id), cgroup.CgroupTreeV2)
    return cgroup.cpu_weight(units) if v2 else units


INSIDE = r"""
echo "directory=$(pwd)"
echo "who=$(id -u):$(id -g)"
echo "greeting=$GREETING"
echo "first=$(cat /proc/1/comm)"
echo "capabilities=$(grep CapBnd /proc/self/status | cut -f2)"
echo "scratch=$(grep ' /scratch ' /proc/mounts | cut -d' ' -f4)"
echo "files=$(ulimit -Sn):$(ulimit -Hn)"
echo "ttl=$(cat /proc/sys/net/ipv4/ip_default_ttl)"
if touch /written 2>/dev/null; then echo "root=writable"; else echo "root=readonly"; fi
if test -t 1; then echo "terminal=yes"; fi
if timeout 1 cat; then echo "input=closed"; else echo "input=open"; fi
echo "done="
trap 'exit 0' TERM
while :; do sleep 0.1; done
"""


def test_a_process_on_fargate(portside: Instance) -> None:
    """entryPoint, command, workingDirectory, user, environment, initProcessEnabled, capabilities, tmpfs, ulimits,
    systemControls, readonlyRootFilesystem, pseudoTerminal, interactive, cpu, memory, memoryReservation."""
    portside.register(
        "process",
        {
            "entryPoint": ["/bin/sh", "-c"],
            "command": [INSIDE],
            "workingDirectory": "/tmp",
            "user": "app:extra",
            "environment": [{"name": "GREETING", "value": "hello = world"}],
            "linuxParameters": {
                "initProcessEnabled": True,
                "capabilities": {"add": ["SYS_PTRACE"], "drop": ["NET_RAW"]},
                "tmpfs": [{"containerPath": "/scratch", "size": 3, "mountOptions": ["mode=700", "noatime"]}],
            },
            "ulimits": [{"name": "nofile", "softLimit": 111, "hardLimit": 222}],
            "systemControls": [{"namespace": "net.ipv4.ip_default_ttl", "value": "42"}],
            "readonlyRootFilesystem": True,
            "pseudoTerminal": True,
            "interactive": True,
            "cpu": 128,
            "memory": 96,
            "memoryReservation": 48,
            **LOG,
        },
    )
    arn = portside.run_task("process")
    found = said(portside, arn)
    options = set(found.pop("scratch").split(","))
    assert {"nosuid", "nodev", "noexec", "noatime", "size=3072k", "mode=700"} <= options
    bits = int(found.pop("capabilities"), 16)
    assert (bits >> 19 & 1, bits >> 13 & 1) == (1, 0), "SYS_PTRACE is there, NET_RAW is not"
    assert found == {
        "directory": "/tmp",
        "who": "1000:2000",
        "greeting": "hello = world",
        "first": "init",
        "files": "111:222",
        "ttl": "42",
        "root": "readonly",
        "terminal": "yes",
        "input": "open",
        "done": "",
    }
    task_id = arn.rpartition("/")[2]
    own, all_of_it = limits(portside, task_id, "main"), limits(portside, task_id)
    assert (own["memory"], own["reservation"], own["cpu"]) == (96 * MIB, 48 * MIB, shares(portside, 128))
    assert (all_of_it["memory"], all_of_it["cpu"]) == (512 * MIB, shares(portside, 256))
    assert stop(portside, arn)["containers"][0]["exitCode"] == 0


OVERRIDDEN = r"""
echo "own=$OWN"
echo "given=$GIVEN"
echo "file=$FILE"
echo "size=$(df -m / | tail -1 | awk '{print $2}')"
echo "done="
exec sleep 600
"""


def test_overrides(portside: Instance) -> None:
    """What RunTask says in place of the definition is what the container gets: command, environment, environment
    files, cpu, memory, memoryReservation, and the task's size and ephemeral storage."""
    folder = portside.settings.data_dir / "env"
    folder.mkdir(exist_ok=True)
    (folder / "definition.env").write_text("FILE=definition\n")
    (folder / "override.env").write_text("FILE=override\n")
    files = {name: [{"type": "s3", "value": f"file://{folder}/{name}.env"}] for name in ("definition", "override")}
    portside.register(
        "overridden",
        {
            "command": ["false"],
            "environment": [{"name": "OWN", "value": "definition"}, {"name": "GIVEN", "value": "definition"}],
            "environmentFiles": files["definition"],
            "cpu": 64,
            "memory": 64,
            **LOG,
        },
        ephemeralStorage={"sizeInGiB": 30},
    )
    override = {
        "name": "main",
        "command": ["sh", "-c", OVERRIDDEN],
        "environment": [{"name": "GIVEN", "value": "override"}],
        "environmentFiles": files["override"],
        "cpu": 100,
        "memory": 200,
        "memoryReservation": 100,
    }
    arn = portside.run_task(
        "overridden",
        overrides={
            "cpu": "512",
            "memory": "1024",
            "ephemeralStorage": {"sizeInGiB": 25},
            "containerOverrides": [override],
        },
    )
    found = said(portside, arn)
    assert 24 * 1024 < int(found.pop("size")) <= 25 * 1024
    assert found == {"own": "definition", "given": "override", "file": "override", "done": ""}
    task_id = arn.rpartition("/")[2]
    own, all_of_it = limits(portside, task_id, "main"), limits(portside, task_id)
    assert (own["memory"], own["reservation"], own["cpu"]) == (200 * MIB, 100 * MIB, shares(portside, 100))
    assert (all_of_it["memory"], all_of_it["cpu"]) == (1024 * MIB, shares(portside, 512))
    stop(portside, arn)


def test_order(portside: Instance) -> None:
    """COMPLETE and SUCCESS wait for the end of the other container, whatever its code or with success; one that is not
    essential ends without its task."""
    wait = 'until test -s /data/go; do sleep 0.05; done; cat /data/go; echo "done="; '
    mount = {"mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}]}
    portside.register(
        "order",
        {
            "name": "fails",
            "essential": False,
            "command": ["sh", "-c", "sleep 0.3; echo order=fails >> /data/go; exit 5"],
            **mount,
        },
        {
            "name": "succeeds",
            "essential": False,
            "dependsOn": [{"containerName": "fails", "condition": "COMPLETE"}],
            "command": ["sh", "-c", "echo order=fails,succeeds > /data/go"],
            **mount,
        },
        {
            "dependsOn": [{"containerName": "succeeds", "condition": "SUCCESS"}],
            "command": ["sh", "-c", wait + "exec sleep 600"],
            **mount,
            **LOG,
        },
        volumes=[{"name": "data"}],
    )
    arn = portside.run_task("order")
    portside.wait_task(arn, "RUNNING")
    assert said(portside, arn)["order"] == "fails,succeeds"
    codes = {each["name"]: each.get("exitCode") for each in portside.task(arn)["containers"]}
    assert codes == {"fails": 5, "succeeds": 0, "main": None}
    stop(portside, arn)


def test_a_dependency_that_takes_too_long(portside: Instance) -> None:
    """startTimeout ends the wait for another container, and with it the task; the words are AWS's."""
    portside.register(
        "late",
        {"name": "slow", "command": ["sleep", "600"], "essential": False, "startTimeout": 2},
        {"command": ["true"], "dependsOn": [{"containerName": "slow", "condition": "COMPLETE"}]},
    )
    task = portside.wait_task(portside.run_task("late"), "STOPPED", timeout_s=60)
    (main,) = (each for each in task["containers"] if each["name"] == "main")
    assert "container ordering dependency [slow(" in main["reason"]
    assert main["reason"].endswith("has timed out.")
    assert "exitCode" not in main


def test_a_start_period(portside: Instance) -> None:
    """Failures within startPeriod do not count; the same check without one makes the container unhealthy at once."""
    check = {"command": ["CMD-SHELL", "test -e /ready"], "interval": 5, "timeout": 2, "retries": 1}
    for name, more in (("patient", {"startPeriod": 300}), ("strict", {})):
        portside.register(name, {"command": ["sleep", "600"], "healthCheck": check | more})
    arns = {name: portside.run_task(name) for name in ("patient", "strict")}
    wait_for(lambda: portside.task(arns["strict"])["healthStatus"] == "UNHEALTHY", timeout_s=60, what="UNHEALTHY")
    assert portside.task(arns["patient"])["healthStatus"] == "UNKNOWN"
    for arn in arns.values():
        stop(portside, arn)


def test_a_service_keeps_its_image(portside: Instance) -> None:
    """versionConsistency: when the tag moves, new tasks of a deployment run the image that it began with, unless the
    container's definition turns that off."""
    name = "localhost/portside-test-moving:1"
    images = [
        ensure_busybox_image(f"localhost/portside-test-moving-{word}:1", changes=[f"ENV WORD={word}"])
        for word in ("old", "new")
    ]
    script = ["sh", "-c", 'echo "word=$WORD"; echo "done="; trap "exit 0" TERM; while :; do sleep 0.1; done']
    ecs = portside.client("ecs")
    try:
        subprocess.run(["podman", "tag", images[0], name], check=True, capture_output=True)
        for family, consistency in (("held", "enabled"), ("loose", "disabled")):
            portside.register(family, {"image": name, "command": script, "versionConsistency": consistency, **LOG})
            ecs.create_service(
                serviceName=family,
                taskDefinition=family,
                desiredCount=1,
                launchType="FARGATE",
                networkConfiguration=portside.network(),
            )
            _tasks(portside, family, 1)
        subprocess.run(["podman", "tag", images[1], name], check=True, capture_output=True)
        for family, expected in (("held", ["old", "old"]), ("loose", ["new", "old"])):
            ecs.update_service(service=family, desiredCount=2)
            arns = _tasks(portside, family, 2)
            assert sorted(said(portside, arn)["word"] for arn in arns) == expected
            ecs.delete_service(service=family, force=True)
            for arn in arns:
                portside.wait_task(arn, "STOPPED", timeout_s=60)
    finally:
        subprocess.run(["podman", "untag", name, name], check=False, capture_output=True)


def _tasks(portside: Instance, service: str, count: int) -> list[str]:
    ecs = portside.client("ecs")

    def running() -> list[str]:
        arns = ecs.list_tasks(serviceName=service)["taskArns"]
        found = ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
        ready = [str(each["taskArn"]) for each in found if each["lastStatus"] == "RUNNING"]
        return ready if len(ready) == count else []

    return wait_for(running, timeout_s=60, what=f"{count} tasks of {service}")


ON_INSTANCE = r"""
echo "hostname=$(hostname)"
echo "servers=$(grep nameserver /etc/resolv.conf | cut -d' ' -f2)"
echo "search=$(grep search /etc/resolv.conf)"
echo "extra=$(grep db.example /etc/hosts | cut -f1)"
echo "device=$(stat -c %F /dev/messages)"
echo "shm=$(df -m /dev/shm | tail -1 | awk '{print $2}')"
echo "privileges=$(grep NoNewPrivs /proc/self/status | cut -f2)"
echo "added=$(grep CapBnd /proc/self/status | cut -f2)"
echo "others=$(ps | grep -c '[s]leep 31415')"
echo "word=$(cat /dev/shm/word)"
echo "done="
exec sleep 600
"""


def test_a_process_on_an_instance(portside: Instance) -> None:
    """What AWS refuses on Fargate or in awsvpc mode: hostname, dnsServers, dnsSearchDomains, extraHosts, devices,
    sharedMemorySize, maxSwap, swappiness, dockerSecurityOptions, further capabilities, ipcMode and pidMode task."""
    ecs, ec2 = portside.client("ecs"), portside.client("ec2")
    ec2.run_instances(ImageId=AMI, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=portside.subnets()[0])
    wait_for(lambda: ecs.list_container_instances()["containerInstanceArns"], timeout_s=30, what="the instance")
    swap = cgroup.detect(portside.settings.instance_id).counts_swap()
    v2 = isinstance(cgroup.detect(portside.settings.instance_id), cgroup.CgroupTreeV2)
    linux: dict[str, Any] = {
        "devices": [{"hostPath": "/dev/kmsg", "containerPath": "/dev/messages", "permissions": ["read"]}],
        "sharedMemorySize": 80,
        "capabilities": {"add": ["SYS_TIME"]},
    }
    if swap:
        linux["maxSwap"] = 32
        linux |= {} if v2 else {"swappiness": 7}
    log = json.loads(json.dumps(LOG))
    ecs.register_task_definition(
        family="on-instance",
        networkMode="bridge",
        requiresCompatibilities=["EC2"],
        pidMode="task",
        ipcMode="task",
        executionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/execution",
        containerDefinitions=[
            {
                "name": "main",
                "image": IMAGE,
                "memory": 64,
                "stopTimeout": 2,
                "command": ["sh", "-c", ON_INSTANCE],
                "dependsOn": [{"containerName": "other", "condition": "HEALTHY"}],
                "hostname": "web-7",
                "dnsServers": ["10.1.2.3"],
                "dnsSearchDomains": ["example.test"],
                "extraHosts": [{"hostname": "db.example", "ipAddress": "10.9.8.7"}],
                "dockerSecurityOptions": ["no-new-privileges"],
                "linuxParameters": linux,
                **log,
            },
            {
                "name": "other",
                "image": IMAGE,
                "memory": 64,
                "stopTimeout": 2,
                "command": ["sh", "-c", "echo hello > /dev/shm/word; exec sleep 31415"],
                "healthCheck": {"command": ["CMD-SHELL", "test -s /dev/shm/word"], "interval": 5},
            },
        ],
    )
    answer = ecs.run_task(taskDefinition="on-instance", launchType="EC2")
    assert not answer["failures"]
    arn = answer["tasks"][0]["taskArn"]
    found = said(portside, arn)
    assert int(found.pop("added"), 16) >> 25 & 1, "SYS_TIME"
    assert int(found.pop("others")) > 0
    assert found == {
        "hostname": "web-7",
        "servers": "10.1.2.3",
        "search": "search example.test",
        "extra": "10.9.8.7",
        "device": "character special file",
        "shm": "80",
        "privileges": "1",
        "word": "hello",
        "done": "",
    }
    tree = cgroup.detect(portside.settings.instance_id)
    (group,) = (each for each in tree.tasks() if each.endswith(arn.rpartition("/")[2]))
    if swap:
        own = limits(portside, *group.split("/"), "main")
        assert own["swap"] == (32 if v2 else 64 + 32) * MIB
    if swap and not v2:
        file = Path("/sys/fs/cgroup/memory", tree.path(*group.split("/"), "main").lstrip("/"), "memory.swappiness")
        assert file.read_text().strip() == "7"
    stop(portside, arn)
    assert not os.path.exists(portside.settings.run_dir / "pause" / arn.rpartition("/")[2])
