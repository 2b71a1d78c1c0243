"""Volumes of EBS in real tasks: one for each, kept or deleted as asked, never lost, never left as a device or mount."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from portside.domain import ecs_image
from portside.node import loop
from portside.node.failpoint import EBS_MOMENTS
from portside.node.rootfs.mount_point import mounts_below
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, REGION, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

ROLE = "arn:aws:iam::000000000000:role/ecsInfrastructureRole"
FAMILY = "ebs"


@pytest.fixture(scope="module")
def shared() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="default")
        yield running


@pytest.fixture
def portside(shared: Instance) -> Iterator[Instance]:
    """The instance; afterwards no volume is a device, or mounted on the host."""
    yield shared
    folder = ebs_folder(shared)
    wait_for(lambda: not loop.attached(folder), timeout_s=60, what="the loop devices' end")
    assert mounts_below(folder) == []
    assert os.listdir(folder / "mount") == []


def ebs_folder(portside: Instance) -> Path:
    return Path(portside.settings.data_dir) / "ebs"


def register(portside: Instance, script: str, family: str = FAMILY, **container: Any) -> None:
    mount = [{"sourceVolume": "data", "containerPath": "/data"}]
    portside.register(
        family,
        {"name": "main", "command": ["sh", "-c", script], "mountPoints": mount, "stopTimeout": 2, **container},
        volumes=[{"name": "data", "configuredAtLaunch": True}],
    )


def configuration(**managed: Any) -> list[dict[str, Any]]:
    given = {"roleArn": ROLE, "sizeInGiB": 1, "filesystemType": "ext4", **managed}
    return [{"name": "data", "managedEBSVolume": {name: value for name, value in given.items() if value is not None}}]


def run(portside: Instance, script: str, family: str = FAMILY, **managed: Any) -> str:
    register(portside, script, family)
    return portside.run_task(family, volumeConfigurations=configuration(**managed))


def ended(portside: Instance, script: str, **managed: Any) -> dict[str, Any]:
    return portside.wait_task(run(portside, script, **managed), "STOPPED", timeout_s=90)


def attachment(task: Mapping[str, Any]) -> dict[str, str]:
    (found,) = [each for each in task["attachments"] if each["type"] == "AmazonElasticBlockStorage"]
    return {"status": found["status"], **{each["name"]: each["value"] for each in found["details"]}}


def volume(portside: Instance, volume_id: str) -> dict[str, Any] | None:
    found = portside.client("ec2").describe_volumes(Filters=[{"Name": "volume-id", "Values": [volume_id]}])["Volumes"]
    return dict(found[0]) if found else None


def gone(portside: Instance, volume_id: str) -> None:
    wait_for(lambda: volume(portside, volume_id) is None, timeout_s=60, what=f"the end of {volume_id}")
    assert not (ebs_folder(portside) / "volumes" / f"{volume_id}.img").exists()


KEEP = {"terminationPolicy": {"deleteOnTermination": False}}


def test_a_task_has_a_volume_of_its_own_for_as_long_as_it_runs(portside: Instance) -> None:
    """Of the size asked for, in the zone of its subnet, tagged, shown as an attachment; a task that needs more is told
    that no space is left; the volume is deleted with the task."""
    tags = [{"resourceType": "volume", "tags": [{"key": "a", "value": "b"}]}]
    task = run(portside, "echo here > /data/file; exec sleep 600", tagSpecifications=tags)
    running = portside.wait_task(task, "RUNNING")
    shown = attachment(running)
    assert (shown["status"], shown["volumeName"], shown["deleteOnTermination"]) == ("ATTACHED", "data", "true")
    assert shown["roleArn"] == ROLE
    made = volume(portside, shown["volumeId"])
    assert made is not None
    assert (made["State"], made["Size"], made["VolumeType"]) == ("in-use", 1, "gp3")
    assert made["AvailabilityZone"] == running["availabilityZone"]
    assert made["Attachments"][0]["AssociatedResource"] == task
    assert {each["Key"]: each["Value"] for each in made["Tags"]} == {
        "AmazonECSCreated": task,
        "AmazonECSManaged": "true",
        "a": "b",
    }
    with pytest.raises(Exception, match="VolumeInUse"):
        portside.client("ec2").delete_volume(VolumeId=shown["volumeId"])
    portside.client("ecs").stop_task(cluster="default", task=task)
    assert attachment(portside.wait_task(task, "STOPPED"))["status"] == "DELETED"
    gone(portside, shown["volumeId"])
    full = ended(portside, "dd if=/dev/zero of=/data/large bs=1M count=1100")
    assert full["containers"][0]["exitCode"] == 1
    gone(portside, attachment(full)["volumeId"])


def test_data_survives_a_kill_the_task_and_a_snapshot(portside: Instance) -> None:
    """Written and synced before a kill -9 of the daemon and the task's end, it is there byte for byte in tasks whose
    volumes are from snapshots, taken while it ran and after; with the last snapshot its chunks are gone."""
    script = "dd if=/dev/urandom of=/data/blob bs=1M count=16; sync; sha256sum /data/blob > /data/sum; sync; sleep 600"
    task = run(portside, script, **KEEP)
    volume_id = attachment(portside.wait_task(task, "RUNNING"))["volumeId"]
    usage = ebs_folder(portside) / "volumes" / f"{volume_id}.img"
    wait_for(lambda: usage.stat().st_blocks * 512 > 16 << 20, timeout_s=60, what="what was written")
    portside.kill()
    portside.start()
    portside.ready()
    assert portside.task(task)["lastStatus"] == "RUNNING"
    ec2 = portside.client("ec2")

    def summed() -> str | None:
        taken = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
        ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[taken], WaiterConfig={"Delay": 1})
        checked = ended(portside, "cd /data && test -s sum && sha256sum -c sum", sizeInGiB=2, snapshotId=taken)
        if checked["containers"][0]["exitCode"] == 0:
            return str(taken)
        ec2.delete_snapshot(SnapshotId=taken)
        return None

    taken = wait_for(summed, timeout_s=120, pause_s=0.5, what="a snapshot with the sum")
    portside.client("ecs").stop_task(cluster="default", task=task)
    portside.wait_task(task, "STOPPED")
    left = volume(portside, volume_id)
    assert left is not None
    assert (left["State"], left["Attachments"]) == ("available", [])
    again = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[again], WaiterConfig={"Delay": 1})
    ec2.delete_snapshot(SnapshotId=taken)
    ec2.delete_volume(VolumeId=volume_id)
    gone(portside, volume_id)
    checked = ended(portside, "cd /data && sha256sum -c sum", sizeInGiB=None, snapshotId=again)
    assert checked["containers"][0]["exitCode"] == 0
    ec2.delete_snapshot(SnapshotId=again)
    chunks = ebs_folder(portside) / "snapshots" / "chunks"
    wait_for(lambda: not list(chunks.glob("??/*")), timeout_s=60, what="the end of the snapshots' chunks")


def test_what_can_not_be_made_or_attached_is_the_tasks_reason(portside: Instance) -> None:
    """A role that leaves ECS out, a snapshot that is not there, one with another file system, a file that is missing:
    the task ends in TaskFailedToStart with the cause, and nothing of it is left."""
    iam, ec2 = portside.client("iam"), portside.client("ec2")
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
    iam.create_role(RoleName="wrong", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    role = "arn:aws:iam::000000000000:role/wrong"
    refused = ended(portside, "true", roleArn=role)
    assert (refused["stopCode"], refused["stoppedReason"]) == (
        "TaskFailedToStart",
        f"ECS was unable to assume the configured ECS Infrastructure Role '{role}'. Please verify that the role being "
        "passed has the proper trust relationship with Amazon ECS",
    )
    assert attachment(refused)["statusReason"] == refused["stoppedReason"]
    missing = ended(portside, "true", snapshotId="snap-00000000000000000")
    assert "The snapshot 'snap-00000000000000000' does not exist." in missing["stoppedReason"]
    kept = attachment(ended(portside, "true", **KEEP))["volumeId"]
    taken = ec2.create_snapshot(VolumeId=kept)["SnapshotId"]
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[taken], WaiterConfig={"Delay": 1})
    other = ended(portside, "true", snapshotId=taken, filesystemType="xfs")
    assert "holds a file system of type ext4, not xfs" in other["stoppedReason"]
    ec2.delete_snapshot(SnapshotId=taken)
    ec2.delete_volume(VolumeId=kept)
    for each in (other, missing, refused):
        if "volumeId" in attachment(each):
            gone(portside, attachment(each)["volumeId"])


def test_each_task_of_a_service_has_a_volume_and_a_replacement_a_new_one(portside: Instance) -> None:
    """Two tasks do not share; a task that is killed is replaced, with an empty volume; all go with the service."""
    ecs = portside.client("ecs")
    register(portside, "ls -A /data; test ! -e /data/mine || exit 3; touch /data/mine; exec sleep 600")
    ecs.create_service(
        cluster="default",
        serviceName="stateful",
        taskDefinition=FAMILY,
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration=portside.network(),
        volumeConfigurations=configuration(),
    )
    (shown,) = ecs.describe_services(cluster="default", services=["stateful"])["services"]
    assert shown["deployments"][0]["volumeConfigurations"] == configuration(volumeType="gp3")

    def tasks() -> list[dict[str, Any]]:
        arns = ecs.list_tasks(cluster="default", serviceName="stateful")["taskArns"]
        found = ecs.describe_tasks(cluster="default", tasks=arns)["tasks"] if arns else []
        return [each for each in found if each["lastStatus"] == "RUNNING"]

    wait_for(lambda: len(tasks()) == 2, timeout_s=90, what="two tasks")
    first = {attachment(each)["volumeId"] for each in tasks()}
    assert len(first) == 2
    victim = tasks()[0]
    ecs.stop_task(cluster="default", task=victim["taskArn"])
    wait_for(
        lambda: len(tasks()) == 2 and victim["taskArn"] not in [each["taskArn"] for each in tasks()],
        timeout_s=90,
        what="the replacement",
    )
    second = {attachment(each)["volumeId"] for each in tasks()}
    assert len(second & first) == 1
    gone(portside, attachment(victim)["volumeId"])
    ecs.delete_service(cluster="default", service="stateful", force=True)
    for each in first | second:
        gone(portside, each)


@pytest.mark.parametrize("moment", [each for each in EBS_MOMENTS if "snapshot" not in each])
def test_a_daemon_killed_midway_loses_nothing_and_leaves_nothing(portside: Instance, moment: str) -> None:
    """At each step of making, attaching and detaching: the next daemon goes on, the task writes what it was to write,
    the volume is kept with it, and after its deletion nothing is left."""
    script = f"echo {moment} > /data/word; sync"
    portside.stop()
    portside.start(PORTSIDE_FAILPOINT=moment)
    portside.ready()
    register(portside, script)
    task = portside.run_task(FAMILY, volumeConfigurations=configuration(**KEEP))
    portside.died()
    portside.start()
    portside.ready()
    done = portside.wait_task(task, "STOPPED", timeout_s=90)
    assert done["containers"][0]["exitCode"] == 0, done
    volume_id = attachment(done)["volumeId"]
    owned = portside.client("ec2").describe_volumes()["Volumes"]
    assert [(each["VolumeId"], each["State"]) for each in owned] == [(volume_id, "available")]
    image = (ebs_folder(portside) / "volumes" / f"{volume_id}.img").read_bytes()
    assert f"{moment}\n".encode() in image
    portside.client("ec2").delete_volume(VolumeId=volume_id)
    gone(portside, volume_id)


def test_a_volume_grows_under_its_task(portside: Instance) -> None:
    """As on AWS, the block device is larger at once, and the file system in it as it was; XFS takes the new size when
    it is told to, under the task, with what it wrote before."""
    if not any((Path(each) / "mkfs.xfs").exists() for each in os.get_exec_path()):
        pytest.skip("mkfs.xfs is not installed")
    device = "$(basename $(df /data | tail -1 | awk '{print $1}'))"
    larger = f"test $(cat /sys/block/{device}/size) = 4194304"
    grown = "test $(df -m /data | tail -1 | awk '{print $2}') -gt 1500"
    script = f"echo a > /data/a; until {larger}; do sleep 0.1; done; {grown} && exit 9; touch /data/seen; sync; "
    script += f"until {grown}; do sleep 0.1; done; cat /data/a"
    task = run(portside, script, filesystemType="xfs")
    volume_id = attachment(portside.wait_task(task, "RUNNING"))["volumeId"]
    portside.client("ec2").modify_volume(VolumeId=volume_id, Size=2)

    def size() -> int:
        found = volume(portside, volume_id)
        assert found is not None
        return int(found["Size"])

    wait_for(lambda: size() == 2, timeout_s=60, what="the larger volume")
    (record,) = Path(portside.settings.data_dir, "node", "containers").glob("*/record.json")
    root = Path(f"/proc/{json.loads(record.read_text())['pid']}/root")
    wait_for(lambda: (root / "data" / "seen").exists(), timeout_s=60, what="the task to see a larger device")
    assert volume_id in portside_command(portside, "volume", "grow", volume_id)
    done = portside.wait_task(task, "STOPPED", timeout_s=60)
    assert done["containers"][0]["exitCode"] == 0
    gone(portside, volume_id)


def portside_command(portside: Instance, *words: str) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "portside.cli", *words, "--data-dir", str(portside.settings.data_dir)]
    environment = os.environ | {"PORTSIDE_RUN_DIR": str(portside.settings.run_dir)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_volumes_are_listed_with_how_full_they_are(portside: Instance) -> None:
    """And with their task; one that is nearly full is marked, and a problem of the instance; after the task it is
    listed without one, and one whose file is missing is said to be, and can be deleted."""
    task = run(portside, "dd if=/dev/zero of=/data/much bs=1M count=930; exec sleep 600", **KEEP)
    volume_id = attachment(portside.wait_task(task, "RUNNING"))["volumeId"]

    def row() -> dict[str, Any]:
        (found,) = [
            each for each in json.loads(portside_command(portside, "volume", "ls", "--json")) if each["id"] == volume_id
        ]
        return dict(found)

    wait_for(lambda: row()["isNearlyFull"], timeout_s=60, what="a nearly full volume")
    assert row()["usedBy"] == [f"default/{task.rsplit('/', 1)[-1]}"]
    assert row()["sizeBytes"] > 900 << 20
    assert "nearly full" in portside_command(portside, "volume", "ls")
    assert any(volume_id in each and " % full" in each for each in portside.status()["problems"])
    assert json.loads(portside_command(portside, "volume", "inspect", volume_id))["kind"] == "ebs"
    portside.client("ecs").stop_task(cluster="default", task=task)
    portside.wait_task(task, "STOPPED")
    assert (row()["usedBy"], row()["isNearlyFull"], row()["status"]) == ([], False, "available")
    (ebs_folder(portside) / "volumes" / f"{volume_id}.img").unlink()
    assert row()["isMissing"]
    ec2 = portside.client("ec2")
    lost = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]

    def state() -> str:
        (found,) = ec2.describe_snapshots(SnapshotIds=[lost])["Snapshots"]
        return "" if found["State"] == "pending" else f"{found['State']}: {found.get('StateMessage')}"

    said = wait_for(state, timeout_s=30, what="the snapshot's end")
    assert said.startswith("error:")
    assert "is missing" in said
    ec2.delete_snapshot(SnapshotId=lost)
    ec2.delete_volume(VolumeId=volume_id)
    gone(portside, volume_id)


def test_a_daemon_killed_over_a_snapshot_leaves_no_task_standing(portside: Instance) -> None:
    """The file system stands still while a snapshot is taken: the next daemon lets the task go on, and takes it."""
    portside.stop()
    portside.start(PORTSIDE_FAILPOINT="within-take-snapshot")
    portside.ready()
    task = run(portside, "i=0; while true; do i=$((i+1)); echo $i >> /data/log; sync; echo $i; done")
    volume_id = attachment(portside.wait_task(task, "RUNNING"))["volumeId"]
    ec2 = portside.client("ec2")
    with contextlib.suppress(Exception):  # the daemon dies before, within or after its answer
        ec2.create_snapshot(VolumeId=volume_id)
    portside.died()
    portside.start()
    portside.ready()
    for each in ec2.describe_snapshots()["Snapshots"]:
        ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[each["SnapshotId"]], WaiterConfig={"Delay": 1})
        ec2.delete_snapshot(SnapshotId=each["SnapshotId"])
    assert portside.task(task)["lastStatus"] == "RUNNING"
    portside.client("ecs").stop_task(cluster="default", task=task)
    portside.wait_task(task, "STOPPED", timeout_s=60)
    gone(portside, volume_id)


def test_an_instance_whose_volume_stands_still_can_be_removed() -> None:
    """`portside down` after a daemon was killed over a snapshot: the task that waits to write ends, and nothing of the
    instance is left."""
    with instance(PORTSIDE_FAILPOINT="within-take-snapshot") as running:
        running.client("ecs").create_cluster(clusterName="default")
        task = run(running, "while true; do date >> /data/log; sync; done")
        volume_id = attachment(running.wait_task(task, "RUNNING"))["volumeId"]
        with contextlib.suppress(Exception):
            running.client("ec2").create_snapshot(VolumeId=volume_id)
        running.died()


AMI = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")


def test_tasks_on_container_instances_have_volumes_too(portside: Instance) -> None:
    """By StartTask, in bridge mode, in the zone of the instance: the two containers of a task share it, one that its
    restart policy starts again finds what it wrote, and the volume goes with the task."""
    ec2, ecs = portside.client("ec2"), portside.client("ecs")
    launched = ec2.run_instances(
        ImageId=AMI, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=portside.subnets()[1]
    )
    (instance_id,) = [each["InstanceId"] for each in launched["Instances"]]
    wait_for(lambda: ecs.list_container_instances()["containerInstanceArns"], timeout_s=60, what="the instance joins")
    mount = [{"sourceVolume": "data", "containerPath": "/data"}]
    policy = {"enabled": True, "restartAttemptPeriod": 60}
    scripts = {"main": "until test -e /data/other; do sleep 0.1; done; exec sleep 600", "other": "touch /data/other"}
    ecs.register_task_definition(
        family="on-instance",
        networkMode="bridge",
        requiresCompatibilities=["EC2"],
        containerDefinitions=[
            {
                "name": name,
                "image": IMAGE,
                "memory": 64,
                "essential": name == "main",
                "command": ["sh", "-c", script],
                "mountPoints": mount,
                "stopTimeout": 2,
                **({"restartPolicy": policy} if name == "main" else {}),
            }
            for name, script in scripts.items()
        ],
        volumes=[{"name": "data", "configuredAtLaunch": True}],
    )
    answer = ecs.start_task(
        taskDefinition="on-instance",
        containerInstances=ecs.list_container_instances()["containerInstanceArns"],
        volumeConfigurations=configuration(volumeType="standard"),
    )
    assert not answer["failures"], answer["failures"]
    task = portside.wait_task(answer["tasks"][0]["taskArn"], "RUNNING")
    found = attachment(task)
    made = volume(portside, found["volumeId"])
    assert made is not None
    assert (found["status"], made["VolumeType"]) == ("ATTACHED", "standard")
    assert made["AvailabilityZone"] == task["availabilityZone"] == f"{REGION}b"
    ecs.stop_task(cluster="default", task=task["taskArn"])
    portside.wait_task(task["taskArn"], "STOPPED")
    gone(portside, found["volumeId"])
    ec2.terminate_instances(InstanceIds=[instance_id])


def test_a_task_that_ends_does_not_wait_for_its_volume(portside: Instance) -> None:
    """Stopped at once after it was asked for: whatever was made of its volume by then goes."""
    ecs = portside.client("ecs")
    register(portside, "exec sleep 600")
    asked = [portside.run_task(FAMILY, volumeConfigurations=configuration()) for _ in range(5)]
    for each in asked:
        ecs.stop_task(cluster="default", task=each)
    for each in asked:
        portside.wait_task(each, "STOPPED", timeout_s=60)
    ec2 = portside.client("ec2")
    wait_for(lambda: not ec2.describe_volumes()["Volumes"], timeout_s=60, what="the volumes' end")
    assert not list((ebs_folder(portside) / "volumes").glob("vol-*"))
