"""Volumes of EBS held to their IOPS and throughput (`--ebs-rates`), in real tasks.

What is shown is that it takes at least so long; how much longer is the machine's matter.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portside.domain import ecs_image
from portside.node.teardown import teardown
from portside.testing import leak
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, REGION, Instance, instance
from portside.testing.wait import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]

ROLE = "arn:aws:iam::000000000000:role/ecsInfrastructureRole"
SLOW = {"volumeType": "io1", "sizeInGiB": 4, "iops": 100}
"""100 operations and 25 MiB a second: the slowest that there is."""
TIMED = """
now() { cut -d' ' -f1 /proc/uptime | tr -d .; }
atleast() { least=$1; shift; was=$(now); "$@" || exit 9; [ $(($(now) - was)) -ge $least ] || exit 1; }
"""


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance(PORTSIDE_EBS_RATES="yes") as running:
        running.client("ecs").create_cluster(clusterName="default")
        yield running


def run(portside: Instance, script: str, **managed: Any) -> str:
    portside.register(
        "rate",
        {
            "name": "main",
            "command": ["sh", "-c", TIMED + script],
            "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
            "stopTimeout": 2,
        },
        volumes=[{"name": "data", "configuredAtLaunch": True}],
    )
    given = {"roleArn": ROLE, "filesystemType": "ext4", **managed}
    return portside.run_task("rate", volumeConfigurations=[{"name": "data", "managedEBSVolume": given}])


def code(portside: Instance, script: str, **managed: Any) -> int:
    task = portside.wait_task(run(portside, script, **managed), "STOPPED", timeout_s=180)
    assert "exitCode" in task["containers"][0], task.get("stoppedReason")
    return int(task["containers"][0]["exitCode"])


def rules(portside: Instance) -> set[str]:
    """All that the kernel holds loop devices to, in the groups of this instance and for what is written later."""
    found = set()
    for root in leak.cgroup_roots():
        tree = root / f"portside-{portside.settings.instance_id}"
        for name in ("blkio.throttle.*_device", "io.max"):
            for file in (*root.glob(name), *tree.rglob(name)):
                found |= {f"{file.name} {line}" for line in file.read_text().splitlines() if line.startswith("7:")}
    return found


def none_left(portside: Instance) -> bool:
    return not rules(portside) and not list((portside.settings.run_dir / "throttled").iterdir())


def test_operations(portside: Instance) -> None:
    """300 operations of 100 a second take three seconds: reads, writes; the task's end leaves no rule behind."""
    script = """
    dd if=/dev/zero of=/data/file bs=1M count=4 conv=fsync
    atleast 240 dd if=/dev/zero of=/data/file bs=4k count=300 conv=notrunc oflag=direct
    atleast 240 dd if=/data/file of=/dev/null bs=4k count=300 iflag=direct
    """
    assert code(portside, script, **SLOW) == 0
    wait_for(lambda: none_left(portside), timeout_s=60, what="the rules' end")


def test_bytes_also_those_that_the_kernel_writes_later(portside: Instance) -> None:
    """60 MiB at 25 MiB a second: written past the page cache, through it until it is on the disk, and read."""
    script = """
    atleast 180 dd if=/dev/zero of=/data/direct bs=256k count=240 oflag=direct
    atleast 180 sh -c 'dd if=/dev/zero of=/data/cached bs=256k count=240 && sync'
    atleast 180 dd if=/data/direct of=/dev/null bs=256k iflag=direct
    """
    assert code(portside, script, **SLOW) == 0


def test_a_modified_volume_has_its_new_rates_at_once(portside: Instance) -> None:
    """ModifyVolume while the task runs; a restart of the daemon by kill -9 keeps what there is."""
    arn = run(portside, "exec sleep 600", **SLOW)
    task = portside.wait_task(arn, "RUNNING", timeout_s=60)
    (details,) = (each["details"] for each in task["attachments"] if each["type"] == "AmazonElasticBlockStorage")
    volume_id = next(each["value"] for each in details if each["name"] == "volumeId")
    wait_for(lambda: rules(portside), timeout_s=60, what="the rules")
    assert any("100" in each for each in rules(portside))
    portside.client("ec2").modify_volume(VolumeId=volume_id, Iops=123)
    wait_for(lambda: all("100" not in each for each in rules(portside)), timeout_s=60, what="the new rates")
    before = rules(portside)
    assert any("123" in each for each in before)
    portside.kill()
    assert rules(portside) == before
    portside.start()
    portside.ready()
    portside.client("ecs").stop_task(task=arn)
    portside.wait_task(arn, "STOPPED", timeout_s=60)
    wait_for(lambda: none_left(portside), timeout_s=60, what="the rules' end")


def test_what_a_killed_daemon_leaves_goes(portside: Instance) -> None:
    """Rules of a volume whose task is removed while no daemon runs: with `portside down`, and with a daemon that is not
    told to hold volumes to anything."""
    arn = run(portside, "exec sleep 600", **SLOW)
    portside.wait_task(arn, "RUNNING", timeout_s=60)
    wait_for(lambda: rules(portside), timeout_s=60, what="the rules")
    portside.kill()
    portside.start(PORTSIDE_EBS_RATES="no")
    portside.ready()
    wait_for(lambda: not rules(portside), timeout_s=60, what="the rules' end")
    portside.stop()
    portside.start()
    portside.ready()
    wait_for(lambda: rules(portside), timeout_s=60, what="the rules")
    portside.kill()
    (portside.settings.run_dir / "daemon.json").unlink(missing_ok=True)
    teardown(portside.settings)
    assert not rules(portside)
    portside.start()
    portside.ready()
    portside.wait_task(arn, "STOPPED", timeout_s=60)


def test_an_attached_volume_is_of_its_instance(portside: Instance) -> None:
    """What tasks of a container instance do with a volume that it has counts, too."""
    ec2, ecs = portside.client("ec2"), portside.client("ecs")
    ami = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")
    subnet = portside.subnets()[0]
    only = str(
        ec2.run_instances(ImageId=ami, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=subnet)["Instances"][
            0
        ]["InstanceId"]
    )
    arn = wait_for(
        lambda: next(iter(ecs.list_container_instances()["containerInstanceArns"]), None),
        timeout_s=60,
        what="the instance to join",
    )
    volume_id = str(ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=4, VolumeType="io1", Iops=100)["VolumeId"])
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id], WaiterConfig={"Delay": 1})
    ec2.attach_volume(VolumeId=volume_id, InstanceId=only, Device="/dev/sdf")
    device = Path(portside.settings.data_dir) / "instances" / only / "root" / "dev" / "sdf"
    wait_for(device.is_block_device, timeout_s=60, what="the device")
    ecs.register_task_definition(
        family="raw",
        requiresCompatibilities=["EC2"],
        networkMode="bridge",
        containerDefinitions=[
            {
                "name": "main",
                "image": IMAGE,
                "memory": 64,
                "command": ["sh", "-c", TIMED + "atleast 240 dd if=/dev/zero of=/dev/sdf bs=4k count=300 oflag=direct"],
                "linuxParameters": {"devices": [{"hostPath": "/dev/sdf"}]},
            }
        ],
    )
    task = ecs.start_task(taskDefinition="raw", containerInstances=[arn])["tasks"][0]["taskArn"]
    ended = portside.wait_task(task, "STOPPED", timeout_s=90)
    assert ended["containers"][0].get("exitCode") == 0, ended
    ec2.detach_volume(VolumeId=volume_id)
    wait_for(lambda: not device.exists() and none_left(portside), timeout_s=60, what="the rules' end")
    ec2.terminate_instances(InstanceIds=[only])
