"""Which directory of which file system a task gets, and where it is when it gets none."""

from datetime import UTC, datetime
from typing import Any

import pytest

from portside.control.file_mounts import resolve
from portside.domain.file_system import AccessPoint, FileSystem, MountTarget, PosixUser
from portside.domain.record import Scope
from portside.domain.secret_reference import Unresolvable
from portside.domain.table import ACCESS_POINT, ENI, FILE_SYSTEM, MOUNT_TARGET, SECURITY_GROUP
from portside.domain.task.record import FileMount, Placement, Task
from portside.domain.task_definition import EfsVolume, Volume
from portside.domain.vpc import Eni, SecurityGroup, SecurityGroupRule
from portside.store.interface import Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def eni(name: str, address: str, owner: str, zone: str = "us-east-1a") -> Eni:
    return Eni(
        scope=SCOPE,
        id=name,
        subnet_id="subnet-1",
        vpc_id="vpc-1",
        zone=zone,
        address=address,
        mac_address="",
        private_dns_name="",
        security_group_ids=("sg-1",),
        owner=owner,
        created_at=NOW,
    )


@pytest.fixture
def store() -> MemoryStore:
    """An instance i-1 and a mount target in one zone, in a group that lets its members in."""
    made = MemoryStore()
    rules = (
        SecurityGroupRule(id="sgr-1", egress=True, protocol="-1", cidr="0.0.0.0/0"),
        SecurityGroupRule(id="sgr-2", egress=False, protocol="-1", group_id="sg-1"),
    )
    made.transact(
        Put(ENI, eni("eni-i", "10.0.0.5", "instance:i-1")),
        Put(ENI, eni("eni-far", "10.0.9.5", "instance:i-2", zone="us-east-1b")),
        Put(ENI, eni("eni-t", "10.0.0.6", "mounttarget:fsmt-1")),
        Put(
            SECURITY_GROUP,
            SecurityGroup(
                scope=SCOPE, id="sg-1", vpc_id="vpc-1", name="one", description="", rules=rules, created_at=NOW
            ),
        ),
        Put(FILE_SYSTEM, FileSystem(scope=SCOPE, id="fs-1", creation_token="a", created_at=NOW)),
        Put(
            MOUNT_TARGET,
            MountTarget(
                scope=SCOPE,
                id="fsmt-1",
                file_system_id="fs-1",
                subnet_id="subnet-1",
                vpc_id="vpc-1",
                zone="us-east-1a",
                eni_id="eni-t",
                address="10.0.0.6",
            ),
        ),
        Put(
            ACCESS_POINT,
            AccessPoint(
                scope=SCOPE,
                id="fsap-1",
                client_token="p",
                file_system_id="fs-1",
                path="/site",
                posix_user=PosixUser(uid=1, gid=2),
            ),
        ),
    )
    return made


def task(instance: str = "i-1", **efs: Any) -> Task:
    """On a container instance, whose interface it uses."""
    volume = Volume(name="data", efs=EfsVolume(**({"file_system_id": "fs-1"} | efs)))
    return Task(
        scope=SCOPE,
        cluster="default",
        id="t",
        task_definition_arn="arn:aws:ecs:us-east-1:000000000000:task-definition/web:1",
        group="family:web",
        family="web",
        revision=1,
        launch_type="EC2",
        network_mode="bridge",
        containers=(),
        volumes=(Volume(name="scratch"), volume),
        placement=Placement(
            container_instance="c", instance_id=instance, zone="us-east-1a", address="10.0.0.5", private_dns_name=""
        ),
        created_at=NOW,
        cause_id="test",
    )


def test_a_task_on_an_instance_reaches_it_by_the_instance(store: MemoryStore) -> None:
    """Its directory, or the access point's with the POSIX user; volumes without a source are not among them."""
    assert resolve(store, task(root_directory="/a")) == (FileMount(volume="data", file_system_id="fs-1", path="/a"),)
    (found,) = resolve(store, task(access_point_id="fsap-1", transit_encryption="ENABLED"))
    assert (found.path, found.posix_user) == ("/site", PosixUser(uid=1, gid=2))


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        (task(file_system_id="fs-2"), "there is no such file system"),
        (task(file_system_id="../../etc"), "there is no such file system"),
        (task(instance="i-2"), "it has no mount target in us-east-1b of vpc-1"),
        (task(instance="i-3"), "the task has no interface"),
        (task(access_point_id="fsap-2"), "there is no access point fsap-2 of fs-1"),
    ],
)
def test_what_is_not_there_is_the_cause(store: MemoryStore, given: Task, cause: str) -> None:
    """In the reason that the task ends with."""
    with pytest.raises(Unresolvable, match="failed to invoke EFS utils commands") as caught:
        resolve(store, given)
    assert cause in str(caught.value)
