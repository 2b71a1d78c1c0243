"""File systems of EFS in real containers: shared, kept, not left, and refused with the reason."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from portside.domain import ecs_image
from portside.node.rootfs.mount_point import mounts_below
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, REGION, Instance, instance
from portside.testing.wait import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]

AMI = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")
HEAD = "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: "


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.aws("ecs", "create-cluster", "--cluster-name", "default")
        yield running


def portside_command(portside: Instance, *words: str) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "portside.cli", *words, "--data-dir", str(portside.settings.data_dir)]
    environment = os.environ | {"PORTSIDE_RUN_DIR": str(portside.settings.run_dir)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Lab:
    """One file system with a mount target in each zone that tasks of the test are in, open to all."""

    def __init__(self, portside: Instance, name: str) -> None:
        self.portside, self.name, self.efs = portside, name, portside.client("efs")
        self.id = str(self.efs.create_file_system(CreationToken=name)["FileSystemId"])
        self.targets = [
            self.efs.create_mount_target(FileSystemId=self.id, SubnetId=each)["MountTargetId"]
            for each in portside.subnets()
        ]
        self.folder = Path(portside.settings.data_dir) / "efs" / self.id

    def run(self, script: str, user: str = "", task_role: str = "", **configuration: Any) -> str:
        """A task of one container that mounts it at /data."""
        container: dict[str, Any] = {
            "name": "main",
            "command": ["sh", "-c", script],
            "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
        }
        if user:
            container["user"] = user
        efs = {"fileSystemId": self.id, **configuration}
        more = {"taskRoleArn": task_role} if task_role else {}
        volumes = [{"name": "data", "efsVolumeConfiguration": efs}]
        self.portside.register(self.name, container, volumes=volumes, **more)
        return self.portside.run_task(self.name)

    def ended(self, script: str, user: str = "", task_role: str = "", **configuration: Any) -> Mapping[str, Any]:
        return self.portside.wait_task(self.run(script, user, task_role, **configuration), "STOPPED")

    def code(self, script: str, user: str = "", **configuration: Any) -> int:
        """The exit code of the script."""
        task = self.ended(script, user, **configuration)
        assert task["containers"][0].get("exitCode", 128) != 128, (task.get("stoppedReason"), task["containers"])
        return int(task["containers"][0]["exitCode"])

    def reason(self, **configuration: Any) -> str:
        return str(self.ended("exit 0", **configuration)["stoppedReason"])

    def point(self, token: str, **more: Any) -> dict[str, Any]:
        made = self.efs.create_access_point(ClientToken=f"{self.name}-{token}", FileSystemId=self.id, **more)
        return {
            "transitEncryption": "ENABLED",
            "authorizationConfig": {"accessPointId": made["AccessPointId"], "iam": "ENABLED"},
        }


def test_data_is_shared_at_once_and_survives_tasks_and_a_kill(portside: Instance) -> None:
    """Two tasks see each other's files while they run; what a task wrote has the same checksum after the task, after a
    `kill -9` of the daemon and in another task; its size is told, and it goes with the file system."""
    lab = Lab(portside, "shared")
    reader = lab.run("until test -f /data/done; do sleep 0.05; done; echo seen > /data/answer; exec sleep 600")
    assert lab.code("dd if=/dev/urandom of=/data/blob bs=1M count=8 && touch /data/done") == 0
    wait_for(lambda: (lab.folder / "answer").exists(), timeout_s=20, what="the other task's answer")
    written = hashlib.sha256((lab.folder / "blob").read_bytes()).hexdigest()
    portside.kill()
    portside.start()
    portside.ready()
    assert lab.code(f"echo '{written}  /data/blob' | sha256sum -c") == 0
    listed = json.loads(portside_command(portside, "volume", "ls", "--json"))
    (row,) = [each for each in listed if each["id"] == lab.id]
    assert row["usedBy"] == [f"default/{reader.rsplit('/', 1)[-1]}"]
    portside.client("ecs").stop_task(cluster="default", task=reader)
    portside.wait_task(reader, "STOPPED")
    size = lab.efs.describe_file_systems(FileSystemId=lab.id)["FileSystems"][0]["SizeInBytes"]["Value"]
    assert 8 << 20 <= size < 9 << 20
    for each in lab.targets:
        lab.efs.delete_mount_target(MountTargetId=each)
    lab.efs.delete_file_system(FileSystemId=lab.id)
    wait_for(lambda: not [*lab.folder.parent.glob(f"{lab.id}*")], timeout_s=20, what="the folder's end")
    assert os.listdir(lab.folder.parent / ".mounts") == []


def test_an_access_point_is_where_and_as_whom(portside: Instance) -> None:
    """Its root directory is made with owner and mode; root in the container makes files as the POSIX user, has no power
    over what others own, and leaves nothing beside the directory."""
    lab = Lab(portside, "point")
    info = {"OwnerUid": 1234, "OwnerGid": 2345, "Permissions": "0750"}
    point = lab.point(
        "a", PosixUser={"Uid": 1234, "Gid": 2345}, RootDirectory={"Path": "/deep/site", "CreationInfo": info}
    )
    assert lab.code("echo mine > /data/file && mkdir /data/sub && ls /data/.. > /dev/null", **point) == 0
    made = (lab.folder / "deep" / "site").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o7777) == (1234, 2345, 0o750)
    for name in ("file", "sub"):
        found = (lab.folder / "deep" / "site" / name).stat()
        assert (found.st_uid, found.st_gid) == (1234, 2345), name
    other = lab.folder / "deep" / "site" / "other"
    other.write_text("secret")
    other.chmod(0o600)
    assert lab.code("cat /data/other", **point) == 1
    assert lab.code("test $(stat -c %u:%g /data/file) = 0:0 && chown 5:5 /data/file", **point) == 1
    assert lab.code("test $(stat -c %u:%g /data/file) = 77:88 && echo more >> /data/file", user="77:88", **point) == 0
    assert (lab.folder / "deep" / "site" / "file").read_text() == "mine\nmore\n"


def test_secondary_groups_of_an_access_point_open_what_is_theirs(portside: Instance) -> None:
    """What only such a group may read can be read, by root in the container and by another user, and not without it;
    no group of the image is opened by it."""
    lab = Lab(portside, "groups")
    info = {"OwnerUid": 1234, "OwnerGid": 2345, "Permissions": "0755"}
    root = {"Path": "/site", "CreationInfo": info}
    plain = lab.point("without", PosixUser={"Uid": 1234, "Gid": 2345}, RootDirectory=root)
    user = {"Uid": 1234, "Gid": 2345, "SecondaryGids": [3456, 42]}
    point = lab.point("with", PosixUser=user, RootDirectory=root)
    assert lab.code("true", **point) == 0
    shared = lab.folder / "site" / "shared"
    shared.write_text("for the group")
    os.chown(shared, 0, 3456)
    shared.chmod(0o640)
    assert lab.code("cat /data/shared", **plain) == 1
    for who in ("", "77:88"):
        assert lab.code("cat /data/shared && ! id -G | grep -qw 42", user=who, **point) == 0
        assert lab.code("echo more >> /data/shared", user=who, **point) == 1


def test_the_policy_decides_who_mounts_writes_and_is_root(portside: Instance) -> None:
    """A task whose role it does not name can not mount; one that may only mount can not write; root in a container
    without root access is nobody; with all three nothing is different from before; a role's own policy counts, too."""
    lab = Lab(portside, "policy")
    assert (
        lab.code(
            "echo secret > /data/secret && chmod 600 /data/secret && mkdir /data/open && chown 65534:65534 /data/open"
        )
        == 0
    )
    role = "arn:aws:iam::000000000000:role/app"
    by_iam = {"transitEncryption": "ENABLED", "authorizationConfig": {"iam": "ENABLED"}}

    def allow(*actions: str, to: str = role) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": to},
            "Action": [f"elasticfilesystem:Client{each}" for each in actions],
        }
        lab.efs.put_file_system_policy(FileSystemId=lab.id, Policy=json.dumps({"Statement": [statement]}))

    def code(script: str) -> int:
        task = lab.ended(script, task_role=role, **by_iam)
        return int(task["containers"][0]["exitCode"])

    allow("Mount", "Write", "RootAccess")
    assert "access denied by server" in lab.reason()
    assert "access denied by server" in lab.reason(**by_iam)
    assert code("cat /data/secret && echo more >> /data/secret") == 0
    allow("Mount", "RootAccess")
    assert code("cat /data/secret && ! touch /data/new") == 0
    allow("Mount", "Write")
    assert code("! cat /data/secret && ! touch /data/new && touch /data/open/new") == 0
    assert (lab.folder / "open" / "new").stat().st_uid == 65534
    allow("Mount", to="arn:aws:iam::000000000000:role/other")
    iam = portside.client("iam")
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    own = {"Effect": "Allow", "Action": "elasticfilesystem:Client*", "Resource": "*"}
    iam.put_role_policy(RoleName="app", PolicyName="p", PolicyDocument=json.dumps({"Statement": [own]}))
    assert code("cat /data/secret && touch /data/new") == 0
    lab.efs.delete_file_system_policy(FileSystemId=lab.id)
    assert lab.code("cat /data/secret") == 0


def test_no_path_leads_out(portside: Instance) -> None:
    """Links that a task leaves in the file system, absolute and relative, end in the file system or nowhere, as a root
    directory and as what an access point is to make."""
    lab = Lab(portside, "escape")
    assert lab.code("ln -s /etc /data/abs; ln -s ../../../../etc /data/rel; ln -s / /data/top; touch /data/plain") == 0
    for path in ("/abs", "/rel", "/plain", "/abs/../../etc"):
        if ".." in path:
            continue
        assert lab.reason(rootDirectory=path).startswith(HEAD), path
    assert lab.code("test -L /data/abs", rootDirectory="/top") == 0
    info = {"OwnerUid": 0, "OwnerGid": 0, "Permissions": "755"}
    before = sorted(os.listdir("/etc"))
    point = lab.point("x", RootDirectory={"Path": "/abs/made", "CreationInfo": info})
    assert lab.reason(**point).startswith(HEAD)
    assert sorted(os.listdir("/etc")) == before


def test_an_access_point_is_not_left_by_links(portside: Instance) -> None:
    """Hard links, symbolic links and `..` from within it reach nothing beside it, which stays as it was."""
    lab = Lab(portside, "links")
    assert lab.code("echo secret > /data/secret && chmod 644 /data/secret") == 0
    info = {"OwnerUid": 1234, "OwnerGid": 2345, "Permissions": "0755"}
    point = lab.point("a", PosixUser={"Uid": 1234, "Gid": 2345}, RootDirectory={"Path": "/own", "CreationInfo": info})
    script = (
        "cd /data && ln -s ../secret sym && ln -s /secret abs && ! cat sym abs ../secret && ! ln ../secret hard "
        "&& ! ln /bin/busybox hard && ! mv /data/../secret . "
        "&& touch mine && ln mine hard && test $(stat -c %h mine) = 2"
    )
    assert lab.code(script, **point) == 0
    assert (lab.folder / "secret").read_text() == "secret\n"
    assert sorted(os.listdir(lab.folder)) == ["own", "secret"]


def test_a_mount_that_can_not_work_ends_the_task(portside: Instance) -> None:
    """With AWS's reason and the cause: no directory, no way in or out, no access point, no mount target, no file
    system."""
    lab = Lab(portside, "refused")
    ec2 = portside.client("ec2")
    assert "fs-" in (missing := lab.reason(rootDirectory="/none"))
    assert missing.startswith(HEAD)
    assert "No such file or directory" in missing
    closed = ec2.create_security_group(GroupName="closed", Description="none", VpcId=portside.vpc())["GroupId"]
    for each in lab.targets:
        lab.efs.modify_mount_target_security_groups(MountTargetId=each, SecurityGroups=[closed])
    reason = lab.reason()
    assert reason.startswith(HEAD)
    assert "Connection timed out" in reason
    assert "lets TCP 2049 in" in reason
    ec2.authorize_security_group_ingress(
        GroupId=closed,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 2049, "ToPort": 2049, "IpRanges": [{"CidrIp": "172.31.0.0/16"}]}
        ],
    )
    assert lab.code("exit 0") == 0
    point = lab.point("gone")
    lab.efs.delete_access_point(AccessPointId=point["authorizationConfig"]["accessPointId"])
    assert "access denied by server" in lab.reason(**point)
    for each in lab.targets:
        lab.efs.delete_mount_target(MountTargetId=each)
    assert "has no mount target in" in lab.reason()
    lab.efs.delete_file_system(FileSystemId=lab.id)
    assert "there is no such file system" in lab.reason()


@pytest.mark.parametrize("failpoint", ["after-prepare-rootfs", "before-prepare-container", "after-prepare-container"])
def test_killed_while_a_container_starts(portside: Instance, failpoint: str) -> None:
    """The next daemon leaves no mount of it, no file is lost, and the task mounts it and runs."""
    lab = Lab(portside, failpoint)
    assert lab.code("echo kept > /data/word") == 0
    portside.stop()
    portside.start(PORTSIDE_FAILPOINT=failpoint)
    portside.ready()
    arn = lab.run("test $(cat /data/word) = kept && echo twice >> /data/word; exec sleep 600")
    portside.died()
    portside.start()
    portside.ready()
    portside.wait_task(arn, "RUNNING")
    wait_for(lambda: (lab.folder / "word").read_text() == "kept\ntwice\n", timeout_s=20, what="the task's word")
    portside.client("ecs").stop_task(cluster="default", task=arn)
    portside.wait_task(arn, "STOPPED")
    assert (lab.folder / "word").read_text() == "kept\ntwice\n"
    assert os.listdir(lab.folder.parent / ".mounts") == []
    assert mounts_below(lab.folder.parent) == []


def test_tasks_on_two_container_instances_share_it(portside: Instance) -> None:
    """In bridge mode, by their instances' interfaces; a file of one is the other's at once."""
    lab, ec2, ecs = Lab(portside, "instances"), portside.client("ec2"), portside.client("ecs")
    launched = ec2.run_instances(
        ImageId=AMI, InstanceType="t3.small", MinCount=2, MaxCount=2, SubnetId=portside.subnets()[0]
    )
    ids = [each["InstanceId"] for each in launched["Instances"]]
    wait_for(lambda: len(ecs.list_container_instances()["containerInstanceArns"]) == 2, timeout_s=30, what="two join")
    scripts = {
        "one": "until test -s /data/two; do sleep 0.05; done; cp /data/two /data/answer",
        "two": "echo here > /data/two",
    }
    ends = []
    for name, script in scripts.items():
        container = {
            "name": "main",
            "image": IMAGE,
            "memory": 64,
            "command": ["sh", "-c", script],
            "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
        }
        ecs.register_task_definition(
            family=f"on-{name}",
            networkMode="bridge",
            requiresCompatibilities=["EC2"],
            containerDefinitions=[container],
            volumes=[{"name": "data", "efsVolumeConfiguration": {"fileSystemId": lab.id}}],
        )
        spread = [{"type": "spread", "field": "instanceId"}]
        answer = ecs.run_task(taskDefinition=f"on-{name}", launchType="EC2", placementStrategy=spread)
        assert not answer["failures"], answer["failures"]
        ends.append(answer["tasks"][0]["taskArn"])
    tasks = [portside.wait_task(each, "STOPPED") for each in ends]
    assert [each["containers"][0].get("exitCode") for each in tasks] == [0, 0], tasks
    assert (lab.folder / "answer").read_text() == "here\n"
    ec2.terminate_instances(InstanceIds=ids)

    def states() -> set[str]:
        found = ec2.describe_instances(InstanceIds=ids)["Reservations"]
        return {each["State"]["Name"] for reservation in found for each in reservation["Instances"]}

    wait_for(lambda: states() == {"terminated"}, timeout_s=30, what="the instances' end")
