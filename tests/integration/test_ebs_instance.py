"""Volumes of EBS that container instances have as block devices: attached, in use, detached, without a byte lost."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from portside.domain import ecs_image
from portside.node import loop
from portside.node.rootfs.mount_point import mounts_below
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, REGION, Instance, instance
from portside.testing.wait import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]

AMI = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")
MIB = 1024**2


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="default")
        yield running


def launched(portside: Instance, zone: int = 0) -> str:
    subnet = portside.subnets()[zone]
    ec2, ecs = portside.client("ec2"), portside.client("ecs")
    made = ec2.run_instances(ImageId=AMI, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=subnet)
    found = str(made["Instances"][0]["InstanceId"])

    def joined() -> bool:
        arns = ecs.list_container_instances()["containerInstanceArns"]
        there = ecs.describe_container_instances(containerInstances=arns)["containerInstances"] if arns else []
        return found in [each["ec2InstanceId"] for each in there]

    wait_for(joined, timeout_s=60, what="the instance to join")
    return found


def root_of(portside: Instance, instance_id: str) -> Path:
    return Path(portside.settings.data_dir) / "instances" / instance_id / "root"


def shown(portside: Instance, volume_id: str) -> dict[str, Any]:
    return dict(portside.client("ec2").describe_volumes(VolumeIds=[volume_id])["Volumes"][0])


def until(portside: Instance, volume_id: str, state: str, attachment: str = "") -> None:
    def there() -> bool:
        found = shown(portside, volume_id)
        states = [each["State"] for each in found["Attachments"]]
        return found["State"] == state and states == ([attachment] if attachment else [])

    wait_for(there, timeout_s=60, what=f"{volume_id} to be {state} {attachment}")


def attach(portside: Instance, volume_id: str, instance_id: str) -> Path:
    """By the real command. Returns the device file."""
    named = ("--volume-id", volume_id, "--instance-id", instance_id, "--device", "/dev/sdf")
    portside.aws("ec2", "attach-volume", *named)
    portside.aws("ec2", "wait", "volume-in-use", "--volume-ids", volume_id)
    until(portside, volume_id, "in-use", "attached")
    return root_of(portside, instance_id) / "dev" / "sdf"


def mounted(portside: Instance, instance_id: str, device: Path) -> Path:
    point = root_of(portside, instance_id) / "mnt"
    point.mkdir(exist_ok=True)
    subprocess.run(["mount", str(device), str(point)], check=True)
    return point


def volumes_attached(portside: Instance) -> dict[Path, str]:
    return loop.attached(Path(portside.settings.data_dir) / "ebs")


MOUNTED = {"host": {"sourcePath": "/mnt"}}


def run_on(
    portside: Instance, instance_id: str, script: str, volume: Mapping[str, Any] = MOUNTED, **container: Any
) -> dict[str, Any]:
    ecs = portside.client("ecs")
    ecs.register_task_definition(
        family="on-instance",
        networkMode="bridge",
        requiresCompatibilities=["EC2"],
        containerDefinitions=[
            {
                "name": "main",
                "image": IMAGE,
                "memory": 64,
                "command": ["sh", "-c", script],
                "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
                **container,
            }
        ],
        volumes=[{"name": "data", **volume}],
    )
    arns = ecs.list_container_instances()["containerInstanceArns"]
    there = ecs.describe_container_instances(containerInstances=arns)["containerInstances"]
    arn = next(each["containerInstanceArn"] for each in there if each["ec2InstanceId"] == instance_id)
    answer = ecs.start_task(taskDefinition="on-instance", containerInstances=[arn])
    assert not answer["failures"], answer["failures"]
    return portside.wait_task(answer["tasks"][0]["taskArn"], "STOPPED", timeout_s=60)


def test_data_goes_with_the_volume_from_instance_to_instance(portside: Instance) -> None:
    """What a task wrote there is there byte for byte after a kill -9 of Portside, a snapshot, a detachment and in
    another instance; a detachment waits for who uses the device; an instance that ends leaves the volume as it was."""
    ec2 = portside.client("ec2")
    first, second = launched(portside), launched(portside)
    volume_id = str(ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1, VolumeType="gp3")["VolumeId"])
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id], WaiterConfig={"Delay": 1})
    device = attach(portside, volume_id, first)
    (mapping,) = ec2.describe_instances(InstanceIds=[first])["Reservations"][0]["Instances"][0]["BlockDeviceMappings"]
    assert (mapping["DeviceName"], mapping["Ebs"]["VolumeId"]) == ("/dev/sdf", volume_id)
    with pytest.raises(ClientError, match="VolumeInUse"):
        ec2.attach_volume(VolumeId=volume_id, InstanceId=second, Device="/dev/sdf")
    subprocess.run(["mkfs.ext4", "-q", str(device)], check=True)
    point = mounted(portside, first, device)
    script = "dd if=/dev/urandom of=/data/file bs=1M count=24 && cd /data && sha256sum file > sum && sync"
    assert run_on(portside, first, script)["containers"][0]["exitCode"] == 0
    written = hashlib.sha256((point / "file").read_bytes()).hexdigest()
    assert written in (point / "sum").read_text()
    before = volumes_attached(portside)

    portside.kill()
    portside.start()
    portside.ready()
    until(portside, volume_id, "in-use", "attached")
    assert volumes_attached(portside) == before
    assert hashlib.sha256((point / "file").read_bytes()).hexdigest() == written

    taken = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[taken], WaiterConfig={"Delay": 1})

    portside.aws("ec2", "detach-volume", "--volume-id", volume_id)
    wait_for(lambda: not device.exists(), timeout_s=60, what="the end of the device file")
    assert shown(portside, volume_id)["Attachments"][0]["State"] == "detaching"
    assert hashlib.sha256((point / "file").read_bytes()).hexdigest() == written
    subprocess.run(["umount", str(point)], check=True)
    until(portside, volume_id, "available")
    assert volumes_attached(portside) == {}
    ec2.delete_snapshot(SnapshotId=taken)

    device = attach(portside, volume_id, second)
    point = mounted(portside, second, device)
    assert run_on(portside, second, "cd /data && sha256sum -c sum")["containers"][0]["exitCode"] == 0
    ec2.terminate_instances(InstanceIds=[second])
    wait_for(lambda: not root_of(portside, second).exists(), timeout_s=60, what="the end of the instance's files")
    until(portside, volume_id, "available")
    device = attach(portside, volume_id, first)
    point = mounted(portside, first, device)
    assert hashlib.sha256((point / "file").read_bytes()).hexdigest() == written
    subprocess.run(["umount", str(point)], check=True)


def test_a_task_may_have_the_device_and_sees_its_size(portside: Instance) -> None:
    """By linuxParameters.devices, as /dev/sdf of the instance; ModifyVolume makes the device larger, and what is in it
    stays; nothing else that lies in the instance's folder is a device for tasks."""
    ec2 = portside.client("ec2")
    only = launched(portside)
    volume_id = str(ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"])
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id], WaiterConfig={"Delay": 1})
    device = attach(portside, volume_id, only)
    devices = {"linuxParameters": {"devices": [{"hostPath": "/dev/sdf"}]}}
    size = "test $(blockdev --getsize64 /dev/sdf) = {}"
    script = f"{size.format(1024 * MIB)} && printf hello | dd of=/dev/sdf bs=4096 conv=sync && sync"
    assert run_on(portside, only, script, **devices)["containers"][0]["exitCode"] == 0
    ec2.modify_volume(VolumeId=volume_id, Size=2)
    wait_for(lambda: shown(portside, volume_id)["Size"] == 2, timeout_s=60, what="the new size")
    script = f"{size.format(2048 * MIB)} && test $(head -c 5 /dev/sdf) = hello"
    assert run_on(portside, only, script, **devices)["containers"][0]["exitCode"] == 0
    os.mknod(device.with_name("sdg"), 0o60660, os.makedev(7, 255))
    other = {"linuxParameters": {"devices": [{"hostPath": "/dev/sdg"}]}}
    assert "exitCode" not in run_on(portside, only, "true", **other)["containers"][0]
    ec2.detach_volume(VolumeId=volume_id)
    until(portside, volume_id, "available")


def test_a_docker_volume_may_be_an_attached_volume(portside: Instance) -> None:
    """By the options of the driver `local`: mounted as long as a task has it, its data there for the next task, after a
    `kill -9` of the daemon and in the next instance; a device that is not there ends the task in Docker's words."""
    ec2 = portside.client("ec2")
    only = launched(portside)
    volume_id = str(ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"])
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id], WaiterConfig={"Delay": 1})
    device = attach(portside, volume_id, only)
    subprocess.run(["mkfs.ext4", "-q", str(device)], check=True)
    options = {"type": "ext4", "device": "/dev/sdf"}
    volume = {"dockerVolumeConfiguration": {"scope": "shared", "autoprovision": True, "driverOpts": options}}
    held = Path(portside.settings.run_dir) / "mounts"
    script = "dd if=/dev/urandom of=/data/file bs=1M count=8 && cd /data && sha256sum file > sum && sync"
    assert run_on(portside, only, script, volume)["containers"][0]["exitCode"] == 0
    wait_for(lambda: os.listdir(held) == [], timeout_s=60, what="the mount's end")
    assert mounts_below(held) == []
    portside.kill()
    portside.start()
    portside.ready()
    until(portside, volume_id, "in-use", "attached")
    assert run_on(portside, only, "cd /data && sha256sum -c sum", volume)["containers"][0]["exitCode"] == 0
    options = {"type": "ext4", "device": "/dev/sdg"}
    missing = {"dockerVolumeConfiguration": {"scope": "task", "driverOpts": options}}
    reason = run_on(portside, only, "true", missing)["containers"][0]["reason"]
    assert "failed to mount local volume: mount /dev/sdg:data: no such file or directory" in reason
    ec2.detach_volume(VolumeId=volume_id)
    until(portside, volume_id, "available")


def test_a_docker_volume_of_type_nfs_is_mounted_by_the_kernel_or_says_that_it_has_no_nfs(portside: Instance) -> None:
    """Without a client of NFS in the kernel, the task ends in Docker's words, and nothing is left mounted."""
    if "nfs" in Path("/proc/filesystems").read_text():
        pytest.skip("this kernel has NFS")
    only = launched(portside)
    options = {"type": "nfs", "device": ":/export", "o": "addr=10.255.0.1,nfsvers=4"}
    volume = {"dockerVolumeConfiguration": {"scope": "task", "driverOpts": options}}
    reason = run_on(portside, only, "true", volume)["containers"][0]["reason"]
    assert "mount :/export:data, data: addr=10.255.0.1,nfsvers=4: no such device" in reason
    assert mounts_below(Path(portside.settings.run_dir) / "mounts") == []


def test_an_instance_can_be_removed_and_come_back_with_a_volume_in_use(portside: Instance) -> None:
    """`portside down` with an attached volume that is mounted leaves neither mount nor device; afterwards it is as
    before, attached and with its data."""
    ec2 = portside.client("ec2")
    only = launched(portside)
    volume_id = str(ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"])
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id], WaiterConfig={"Delay": 1})
    device = attach(portside, volume_id, only)
    subprocess.run(["mkfs.ext4", "-q", str(device)], check=True)
    (mounted(portside, only, device) / "word").write_text("kept")
    portside.destroy()
    assert volumes_attached(portside) == {}
    portside.start()
    portside.ready()
    until(portside, volume_id, "in-use", "attached")
    wait_for(lambda: volumes_attached(portside), timeout_s=60, what="the device")
    point = mounted(portside, only, device)
    assert (point / "word").read_text() == "kept"


def test_an_attached_volume_whose_file_is_missing_says_so(portside: Instance) -> None:
    """It is in error with the reason, and no instance's any more; another volume is not touched."""
    ec2 = portside.client("ec2")
    only = launched(portside)
    lost, other = (str(ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"]) for _ in range(2))
    ec2.get_waiter("volume_available").wait(VolumeIds=[lost, other], WaiterConfig={"Delay": 1})
    (Path(portside.settings.data_dir) / "ebs" / "volumes" / f"{lost}.img").unlink()
    ec2.attach_volume(VolumeId=lost, InstanceId=only, Device="/dev/sdf")
    until(portside, lost, "error")
    command = [sys.executable, "-m", "portside.cli", "volume", "ls", "--data-dir", str(portside.settings.data_dir)]
    environment = os.environ | {"PORTSIDE_RUN_DIR": str(portside.settings.run_dir)}
    listed = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    assert lost in listed
    device = attach(portside, other, only)
    assert device.is_block_device()
    ec2.detach_volume(VolumeId=other)
    until(portside, other, "available")


def test_how_full_an_attached_volume_is(portside: Instance) -> None:
    """As the file system in it says while it is mounted, and nearly full it is a problem of the instance's; else what
    its file takes."""
    ec2 = portside.client("ec2")
    only = launched(portside)
    volume_id = str(ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"])
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id], WaiterConfig={"Delay": 1})
    device = attach(portside, volume_id, only)
    subprocess.run(["mkfs.ext4", "-q", str(device)], check=True)

    def row() -> dict[str, Any]:
        command = [sys.executable, "-m", "portside.cli", "volume", "inspect", volume_id]
        command += ["--data-dir", str(portside.settings.data_dir)]
        environment = os.environ | {"PORTSIDE_RUN_DIR": str(portside.settings.run_dir)}
        return dict(json.loads(subprocess.run(command, capture_output=True, env=environment, check=True).stdout))

    assert row()["sizeBytes"] == row()["storedBytes"]
    point = mounted(portside, only, device)
    room = os.statvfs(point)
    with (point / "big").open("wb") as writing:
        os.posix_fallocate(writing.fileno(), 0, int(0.98 * room.f_bavail * room.f_frsize))
    found, held = row(), os.statvfs(point)
    assert found["sizeBytes"] == (held.f_blocks - held.f_bfree) * held.f_frsize
    assert found["isNearlyFull"]
    said = [each for each in portside.status()["problems"] if volume_id in each]
    assert f"the EBS volume {volume_id} of instance {only} is 9" in said[0]
    subprocess.run(["umount", str(point)], check=True)
    assert not row()["isNearlyFull"]


def test_what_an_instance_ends_with_keeps_its_files(portside: Instance, tmp_path: Path) -> None:
    """A folder of the machine that somebody mounted in the instance's is unmounted with it, not emptied."""
    only = launched(portside)
    (tmp_path / "mine").write_text("kept")
    point = root_of(portside, only) / "srv"
    point.mkdir(parents=True)
    subprocess.run(["mount", "--bind", str(tmp_path), str(point)], check=True)
    portside.client("ec2").terminate_instances(InstanceIds=[only])
    wait_for(lambda: not root_of(portside, only).exists(), timeout_s=60, what="the end of the instance's files")
    assert (tmp_path / "mine").read_text() == "kept"
    assert mounts_below(root_of(portside, only)) == []
