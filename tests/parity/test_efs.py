"""EFS as boto3 and the aws command see it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import ACCOUNT, REGION, Served, serving

from portside.api.ec2.default_network import with_default_network
from portside.api.ec2.service import ec2_service
from portside.api.efs.service import efs_service
from portside.control.clock import RandomIds, SystemClock
from portside.store.memory import MemoryStore

SIZE = 12345


@pytest.fixture
def served() -> Iterator[Served]:
    store, clock, ids = MemoryStore(), SystemClock(), RandomIds()
    efs = efs_service(store, clock, ids, lambda _: SIZE)
    with serving([with_default_network(efs, store, clock, ids), ec2_service(store, clock, ids)]) as found:
        yield found


@pytest.fixture
def efs(served: Served) -> Any:
    return served.client("efs")


@pytest.fixture
def ec2(served: Served) -> Any:
    return served.client("ec2")


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


def subnets_of(ec2: Any) -> list[Any]:
    return sorted(ec2.describe_subnets()["Subnets"], key=lambda each: str(each["AvailabilityZone"]))


def test_a_file_system_is_made_shown_and_deleted(efs: Any) -> None:
    """With the statuses of the model, the size measured, and the tag Name as its name."""
    made = efs.create_file_system(CreationToken="one", Encrypted=True, Tags=[{"Key": "Name", "Value": "data"}])
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    (shown,) = efs.describe_file_systems(FileSystemId=made["FileSystemId"])["FileSystems"]
    assert shown["Name"] == "data"
    assert shown["Encrypted"] is True
    assert shown["SizeInBytes"]["Value"] == SIZE
    assert shown["FileSystemArn"] == f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:file-system/{shown['FileSystemId']}"
    assert efs.describe_file_systems(FileSystemId=shown["FileSystemArn"])["FileSystems"][0]["Name"] == "data"
    gone = efs.delete_file_system(FileSystemId=made["FileSystemId"])
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(efs.exceptions.FileSystemNotFound) as caught:
        efs.describe_file_systems(FileSystemId=made["FileSystemId"])
    assert caught.value.response["ErrorCode"] == "FileSystemNotFound"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_a_creation_token_makes_one_file_system(efs: Any) -> None:
    """The second request is told which one is there."""
    made = efs.create_file_system(CreationToken="one")
    with pytest.raises(efs.exceptions.FileSystemAlreadyExists) as caught:
        efs.create_file_system(CreationToken="one")
    assert caught.value.response["FileSystemId"] == made["FileSystemId"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409


def test_pages_show_every_file_system_once(efs: Any) -> None:
    """By boto3's own paginator, and by creation token."""
    made = {efs.create_file_system(CreationToken=f"t{n}")["FileSystemId"] for n in range(5)}
    pages = list(efs.get_paginator("describe_file_systems").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(each["FileSystems"]) for each in pages] == [2, 2, 1]
    assert {each["FileSystemId"] for page in pages for each in page["FileSystems"]} == made
    assert len(efs.describe_file_systems(CreationToken="t3")["FileSystems"]) == 1


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("describe_file_systems", {"FileSystemId": "nothing"}),
        ("describe_file_systems", {"MaxItems": 0}),
        ("describe_file_systems", {"Marker": "!"}),
        ("create_file_system", {"CreationToken": ""}),
        ("create_file_system", {"CreationToken": "a", "ThroughputMode": "provisioned"}),
        ("create_file_system", {"CreationToken": "a", "KmsKeyId": "alias/mine"}),
        ("create_file_system", {"CreationToken": "a", "Tags": [{"Key": "aws:x", "Value": ""}]}),
        ("describe_mount_targets", {}),
    ],
)
def test_what_is_wrong_is_a_bad_request(efs: Any, operation: str, params: dict[str, Any]) -> None:
    """EFS's own code for it."""
    with pytest.raises(ClientError) as caught:
        getattr(efs, operation)(**params)
    assert code_of(caught) == "BadRequest"


def test_a_mount_target_is_an_interface_in_its_subnet(efs: Any, ec2: Any) -> None:
    """One in each zone, with the VPC's default group; the file system is in use while it is there, and so is the
    subnet's interface, which goes with it."""
    system = efs.create_file_system(CreationToken="one")["FileSystemId"]
    first, second, _ = subnets_of(ec2)
    made = efs.create_mount_target(FileSystemId=system, SubnetId=first["SubnetId"])
    assert made["AvailabilityZoneName"] == first["AvailabilityZone"]
    (eni,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[made["NetworkInterfaceId"]])["NetworkInterfaces"]
    assert (eni["PrivateIpAddress"], eni["InterfaceType"], eni["SubnetId"]) == (
        made["IpAddress"],
        "efs",
        first["SubnetId"],
    )
    with pytest.raises(ClientError) as caught:
        efs.create_mount_target(FileSystemId=system, SubnetId=first["SubnetId"])
    assert code_of(caught) == "MountTargetConflict"
    with pytest.raises(ClientError) as caught:
        efs.delete_file_system(FileSystemId=system)
    assert code_of(caught) == "FileSystemInUse"
    asked = efs.create_mount_target(FileSystemId=system, SubnetId=second["SubnetId"], IpAddress="172.31.16.77")
    assert asked["IpAddress"] == "172.31.16.77"
    assert efs.describe_file_systems()["FileSystems"][0]["NumberOfMountTargets"] == 2
    for each in efs.describe_mount_targets(FileSystemId=system)["MountTargets"]:
        efs.delete_mount_target(MountTargetId=each["MountTargetId"])
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    efs.delete_file_system(FileSystemId=system)


def test_security_groups_of_a_mount_target(efs: Any, ec2: Any) -> None:
    """Shown, changed, and refused if they are not there."""
    system = efs.create_file_system(CreationToken="one")["FileSystemId"]
    subnet = subnets_of(ec2)[0]
    group = ec2.create_security_group(GroupName="nfs", Description="nfs", VpcId=subnet["VpcId"])["GroupId"]
    target = efs.create_mount_target(FileSystemId=system, SubnetId=subnet["SubnetId"])["MountTargetId"]
    assert len(efs.describe_mount_target_security_groups(MountTargetId=target)["SecurityGroups"]) == 1
    efs.modify_mount_target_security_groups(MountTargetId=target, SecurityGroups=[group])
    assert efs.describe_mount_target_security_groups(MountTargetId=target)["SecurityGroups"] == [group]
    with pytest.raises(ClientError) as caught:
        efs.modify_mount_target_security_groups(MountTargetId=target, SecurityGroups=["sg-00000000000000000"])
    assert code_of(caught) == "SecurityGroupNotFound"
    with pytest.raises(ClientError) as caught:
        efs.create_mount_target(FileSystemId=system, SubnetId="subnet-00000000000000000")
    assert code_of(caught) == "SubnetNotFound"


def test_an_access_point_is_a_directory_and_a_user(efs: Any) -> None:
    """It goes with its file system; its client token makes one."""
    system = efs.create_file_system(CreationToken="one")["FileSystemId"]
    root = {"Path": "/site/data", "CreationInfo": {"OwnerUid": 1000, "OwnerGid": 1001, "Permissions": "0750"}}
    user = {"Uid": 1000, "Gid": 1001, "SecondaryGids": [5]}
    made = efs.create_access_point(ClientToken="t", FileSystemId=system, PosixUser=user, RootDirectory=root)
    (shown,) = efs.describe_access_points(FileSystemId=system)["AccessPoints"]
    assert (shown["PosixUser"], shown["RootDirectory"], shown["LifeCycleState"]) == (user, root, "available")
    with pytest.raises(efs.exceptions.AccessPointAlreadyExists) as caught:
        efs.create_access_point(ClientToken="t", FileSystemId=system)
    assert caught.value.response["AccessPointId"] == made["AccessPointId"]
    for path in ("/../etc", "relative", "/a/b/c/d/e"):
        with pytest.raises(ClientError) as refused:
            efs.create_access_point(ClientToken="u", FileSystemId=system, RootDirectory={"Path": path})
        assert code_of(refused) == "BadRequest", path
    efs.delete_file_system(FileSystemId=system)
    with pytest.raises(ClientError) as gone:
        efs.describe_access_points(AccessPointId=made["AccessPointId"])
    assert code_of(gone) == "AccessPointNotFound"


def test_tags_of_file_systems_and_access_points(efs: Any) -> None:
    """By id and by ARN, which has slashes in it."""
    system = efs.create_file_system(CreationToken="one", Tags=[{"Key": "a", "Value": "1"}])
    point = efs.create_access_point(ClientToken="t", FileSystemId=system["FileSystemId"])
    for each in (system["FileSystemArn"], system["FileSystemId"], point["AccessPointArn"]):
        efs.tag_resource(ResourceId=each, Tags=[{"Key": "b c", "Value": "2"}, {"Key": "d", "Value": "3"}])
        efs.untag_resource(ResourceId=each, TagKeys=["a", "b c"])
        assert efs.list_tags_for_resource(ResourceId=each)["Tags"] == [{"Key": "d", "Value": "3"}]


def test_lifecycle_and_backup_policy_are_kept(efs: Any) -> None:
    """And shown as they were given."""
    system = efs.create_file_system(CreationToken="one")["FileSystemId"]
    assert efs.describe_backup_policy(FileSystemId=system)["BackupPolicy"] == {"Status": "DISABLED"}
    efs.put_backup_policy(FileSystemId=system, BackupPolicy={"Status": "ENABLED"})
    assert efs.describe_backup_policy(FileSystemId=system)["BackupPolicy"] == {"Status": "ENABLED"}
    policies = [{"TransitionToIA": "AFTER_30_DAYS"}, {"TransitionToPrimaryStorageClass": "AFTER_1_ACCESS"}]
    efs.put_lifecycle_configuration(FileSystemId=system, LifecyclePolicies=policies)
    assert efs.describe_lifecycle_configuration(FileSystemId=system)["LifecyclePolicies"] == policies
    changed = efs.update_file_system(
        FileSystemId=system, ThroughputMode="provisioned", ProvisionedThroughputInMibps=64.0
    )
    assert changed["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert changed["ProvisionedThroughputInMibps"] == 64.0


def test_a_policy_is_kept_shown_and_removed(efs: Any) -> None:
    """As given; there is none before, and what is no policy is refused."""
    system = efs.create_file_system(CreationToken="policy")["FileSystemId"]
    with pytest.raises(ClientError, match="PolicyNotFound"):
        efs.describe_file_system_policy(FileSystemId=system)
    with pytest.raises(ClientError, match="InvalidPolicyException"):
        efs.put_file_system_policy(FileSystemId=system, Policy="{}")
    allow = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "elasticfilesystem:ClientMount"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    assert efs.put_file_system_policy(FileSystemId=system, Policy=text)["Policy"] == text
    assert efs.describe_file_system_policy(FileSystemId=system)["Policy"] == text
    efs.delete_file_system_policy(FileSystemId=system)
    with pytest.raises(ClientError, match="PolicyNotFound"):
        efs.describe_file_system_policy(FileSystemId=system)


def test_protection_and_the_older_operations_of_tags(efs: Any) -> None:
    """Kept and shown; the tags are those of TagResource."""
    system = efs.create_file_system(CreationToken="older")["FileSystemId"]
    efs.update_file_system_protection(FileSystemId=system, ReplicationOverwriteProtection="DISABLED")
    (shown,) = efs.describe_file_systems(FileSystemId=system)["FileSystems"]
    assert shown["FileSystemProtection"] == {"ReplicationOverwriteProtection": "DISABLED"}
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    efs.create_tags(FileSystemId=system, Tags=tags)
    assert efs.describe_tags(FileSystemId=system)["Tags"] == tags
    assert efs.list_tags_for_resource(ResourceId=system)["Tags"] == tags
    efs.delete_tags(FileSystemId=system, TagKeys=["a"])
    assert efs.describe_tags(FileSystemId=system)["Tags"] == tags[1:]


def test_what_is_not_there_is_said_by_name(efs: Any) -> None:
    """Replication."""
    system = efs.create_file_system(CreationToken="one")["FileSystemId"]
    with pytest.raises(ClientError) as caught:
        efs.create_replication_configuration(SourceFileSystemId=system, Destinations=[{"Region": "us-west-2"}])
    assert code_of(caught) == "NotImplemented"
    assert "efs:CreateReplicationConfiguration" in str(caught.value)
    with pytest.raises(ClientError) as caught:
        efs.describe_replication_configurations()
    assert "efs:DescribeReplicationConfigurations" in str(caught.value)


def test_the_aws_command(served: Served) -> None:
    """From a file system to its end."""
    made = served.aws("efs", "create-file-system", "--creation-token", "cli", "--tags", "Key=Name,Value=cli")
    system = made["FileSystemId"]
    subnet = served.aws("ec2", "describe-subnets")["Subnets"][0]["SubnetId"]
    target = served.aws("efs", "create-mount-target", "--file-system-id", system, "--subnet-id", subnet)
    shown = served.aws("efs", "describe-mount-targets", "--file-system-id", system)
    assert shown["MountTargets"][0]["MountTargetId"] == target["MountTargetId"]
    served.aws("efs", "delete-mount-target", "--mount-target-id", target["MountTargetId"])
    served.aws("efs", "delete-file-system", "--file-system-id", system)
    assert served.aws("efs", "describe-file-systems")["FileSystems"] == []


def test_ids_are_long(efs: Any) -> None:
    """As an account's preference says, and no other can be set."""
    wanted = {"ResourceIdType": "LONG_ID", "Resources": ["FILE_SYSTEM", "MOUNT_TARGET"]}
    assert efs.describe_account_preferences()["ResourceIdPreference"] == wanted
    assert efs.put_account_preferences(ResourceIdType="LONG_ID")["ResourceIdPreference"] == wanted
    with pytest.raises(ClientError) as caught:
        efs.put_account_preferences(ResourceIdType="SHORT_ID")
    assert caught.value.response["Error"]["Code"] == "BadRequest"
