"""Volumes and snapshots of EBS as boto3 and the aws command see them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import ACCOUNT, REGION, Served, serving

from portside.api.ec2.service import ec2_service
from portside.control.clock import RandomIds, SystemClock
from portside.domain import ebs
from portside.domain.instance import Instance, InstanceState
from portside.domain.record import Scope, replace
from portside.domain.table import EBS_SNAPSHOT, EBS_VOLUME, INSTANCE
from portside.store.interface import Put
from portside.store.memory import MemoryStore

ZONE = f"{REGION}a"
Settle = Callable[[], None]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def served(store: MemoryStore) -> Iterator[Served]:
    with serving([ec2_service(store, SystemClock(), RandomIds())]) as found:
        yield found


@pytest.fixture
def ec2(served: Served) -> Any:
    return served.client("ec2")


@pytest.fixture
def settle(store: MemoryStore) -> Settle:
    """What the loop of EBS does to the records."""

    def done() -> None:
        for volume in list(store.scan(EBS_VOLUME)):
            if volume.status == "creating":
                store.transact(Put(EBS_VOLUME, replace(volume, status="available")))
            elif volume.modification is not None and volume.modification.status == "modifying":
                store.transact(Put(EBS_VOLUME, ebs.modification_done(volume, now=SystemClock().now())))
        for snapshot in list(store.scan(EBS_SNAPSHOT)):
            now = SystemClock().now()
            store.transact(Put(EBS_SNAPSHOT, replace(snapshot, status="completed", completed_at=now, full_bytes=1024)))

    return done


def error_of(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    found = caught.value.response["Error"]
    return str(found["Code"]), str(found["Message"])


def volume_of(ec2: Any, **asked: Any) -> str:
    return str(ec2.create_volume(**{"AvailabilityZone": ZONE, "Size": 8, **asked})["VolumeId"])


def test_a_volume_is_made_shown_and_deleted(ec2: Any, settle: Settle) -> None:
    """With the defaults of its type, its tags, and the statuses of EC2."""
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": "data"}]}]
    made = ec2.create_volume(AvailabilityZone=ZONE, Size=10, VolumeType="gp3", TagSpecifications=tags, Encrypted=True)
    assert (made["State"], made["Size"], made["VolumeType"]) == ("creating", 10, "gp3")
    assert (made["Iops"], made["Throughput"], made["Encrypted"]) == (3000, 125, True)
    with pytest.raises(ClientError) as caught:
        ec2.delete_volume(VolumeId=made["VolumeId"])
    assert error_of(caught)[0] == "IncorrectState"
    settle()
    (shown,) = ec2.describe_volumes(Filters=[{"Name": "tag:Name", "Values": ["da*"]}])["Volumes"]
    assert (shown["VolumeId"], shown["State"], shown["Attachments"]) == (made["VolumeId"], "available", [])
    (status,) = ec2.describe_volume_status(VolumeIds=[made["VolumeId"]])["VolumeStatuses"]
    assert status["VolumeStatus"]["Status"] == "ok"
    ec2.create_tags(Resources=[made["VolumeId"]], Tags=[{"Key": "a", "Value": "b"}])
    found = ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": ["volume"]}])["Tags"]
    assert [(each["Key"], each["ResourceId"]) for each in found] == [
        ("Name", made["VolumeId"]),
        ("a", made["VolumeId"]),
    ]
    ec2.delete_volume(VolumeId=made["VolumeId"])
    assert ec2.describe_volumes(VolumeIds=[made["VolumeId"]])["Volumes"][0]["State"] == "deleting"


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ({"Size": 0}, "InvalidParameterValue", "minimum is 1GiB"),
        ({"Size": 16_385}, "InvalidParameterValue", "maximum is 16384GiB"),
        ({"Size": 124, "VolumeType": "st1"}, "InvalidParameterValue", "minimum is 125GiB"),
        ({"Size": 1025, "VolumeType": "standard"}, "InvalidParameterValue", "maximum is 1024GiB"),
        ({"VolumeType": "io1"}, "MissingParameter", "iops"),
        ({"VolumeType": "io1", "Iops": 99}, "InvalidParameterValue", "too low; minimum is 100"),
        ({"VolumeType": "io1", "Iops": 401}, "InvalidParameterValue", "maximum is 50"),
        ({"VolumeType": "io2", "Iops": 256_001, "Size": 300}, "InvalidParameterValue", "too high; maximum is 256000"),
        ({"VolumeType": "gp3", "Iops": 2999}, "InvalidParameterValue", "minimum is 3000"),
        ({"VolumeType": "gp3", "Iops": 4001}, "InvalidParameterValue", "maximum is 500"),
        ({"VolumeType": "gp3", "Throughput": 124}, "InvalidParameterValue", "minimum is 125"),
        ({"VolumeType": "gp3", "Throughput": 751}, "InvalidParameterValue", "maximum is 0.250000"),
        ({"VolumeType": "gp2", "Iops": 100}, "InvalidParameterCombination", "not supported for gp2"),
        ({"VolumeType": "io1", "Iops": 100, "Throughput": 125}, "InvalidParameterCombination", "throughput"),
        ({"AvailabilityZone": "mars-1a"}, "InvalidZone.NotFound", "The zone 'mars-1a' does not exist."),
        ({"AvailabilityZone": None}, "MissingParameter", "zone"),
        ({"Size": None}, "MissingParameter", "size/snapshot"),
        ({"SnapshotId": "snap-00000000000000000"}, "InvalidSnapshot.NotFound", "does not exist"),
        ({"KmsKeyId": "alias/mine"}, "InvalidParameterDependency", "KmsKeyId"),
        ({"MultiAttachEnabled": True, "VolumeType": "io2", "Iops": 100}, "UnsupportedOperation", "MultiAttachEnabled"),
        ({"DryRun": True}, "DryRunOperation", "would have succeeded"),
    ],
)
def test_a_volume_that_ec2_would_not_make_is_refused(ec2: Any, asked: dict[str, Any], code: str, words: str) -> None:
    """With its code, and the bound that is broken; nothing is made."""
    asked = {name: value for name, value in {"AvailabilityZone": ZONE, "Size": 8, **asked}.items() if value is not None}
    with pytest.raises(ClientError) as caught:
        ec2.create_volume(**asked)
    found, message = error_of(caught)
    assert found == code
    assert words in message
    assert ec2.describe_volumes()["Volumes"] == []


def test_the_performance_of_gp2_follows_its_size(ec2: Any) -> None:
    """3 IOPS for each GiB, between 100 and 16,000."""
    made = [ec2.create_volume(AvailabilityZone=ZONE, Size=size)["Iops"] for size in (1, 100, 16_384)]
    assert made == [100, 300, 16_000]


def test_a_client_token_makes_one_volume(ec2: Any) -> None:
    """The second request is told the first one's; another request with the token is refused."""
    assert volume_of(ec2, ClientToken="one") == volume_of(ec2, ClientToken="one")
    with pytest.raises(ClientError) as caught:
        volume_of(ec2, ClientToken="one", Size=9)
    assert error_of(caught)[0] == "IdempotentParameterMismatch"


def test_pages_and_filters_find_volumes(ec2: Any) -> None:
    """By boto3's own paginator; ids and pages exclude each other."""
    made = {volume_of(ec2) for _ in range(7)}
    pages = list(ec2.get_paginator("describe_volumes").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(each["Volumes"]) for each in pages] == [5, 2]
    assert {each["VolumeId"] for page in pages for each in page["Volumes"]} == made
    for name, value, count in (
        ("status", "creating", 7),
        ("size", "8", 7),
        ("volume-type", "gp3", 0),
        ("availability-zone", ZONE, 7),
        ("volume-id", min(made), 1),
    ):
        assert len(ec2.describe_volumes(Filters=[{"Name": name, "Values": [value]}])["Volumes"]) == count, name
    for asked in ({"Filters": [{"Name": "weight", "Values": ["1"]}]}, {"MaxResults": 4}):
        with pytest.raises(ClientError) as caught:
            ec2.describe_volumes(**asked)
        assert error_of(caught)[0] == "InvalidParameterValue"
    with pytest.raises(ClientError) as caught:
        ec2.describe_volumes(VolumeIds=[min(made)], MaxResults=5)
    assert error_of(caught)[0] == "InvalidParameterCombination"
    with pytest.raises(ClientError) as caught:
        ec2.describe_volumes(VolumeIds=["vol-00000000000000000"])
    assert error_of(caught) == ("InvalidVolume.NotFound", "The volume 'vol-00000000000000000' does not exist.")


def test_a_volume_is_modified(ec2: Any, settle: Settle) -> None:
    """What it was and is to be are shown; it can not shrink, and one change is made after the other."""
    volume_id = volume_of(ec2)
    settle()
    change = ec2.modify_volume(VolumeId=volume_id, Size=20, VolumeType="gp3", Iops=5000)["VolumeModification"]
    assert (change["ModificationState"], change["OriginalSize"], change["TargetSize"]) == ("modifying", 8, 20)
    assert (change["OriginalVolumeType"], change["TargetIops"], change["TargetThroughput"]) == ("gp2", 5000, 125)
    with pytest.raises(ClientError) as caught:
        ec2.modify_volume(VolumeId=volume_id, Size=30)
    assert error_of(caught)[0] == "IncorrectModificationState"
    settle()
    (shown,) = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
    assert (shown["Size"], shown["VolumeType"], shown["Iops"]) == (20, "gp3", 5000)
    (change,) = ec2.describe_volumes_modifications(VolumeIds=[volume_id])["VolumesModifications"]
    assert (change["ModificationState"], change["Progress"]) == ("completed", 100)
    for asked, code in (({"Size": 19}, "InvalidParameterValue"), ({}, "MissingParameter")):
        with pytest.raises(ClientError) as caught:
            ec2.modify_volume(VolumeId=volume_id, **asked)
        assert error_of(caught)[0] == code
    with pytest.raises(ClientError) as caught:
        ec2.describe_volumes_modifications(VolumeIds=[volume_of(ec2)])
    assert error_of(caught)[0] == "InvalidVolumeModification.NotFound"


def test_a_snapshot_is_taken_and_makes_volumes_in_every_zone(ec2: Any, settle: Settle) -> None:
    """With the size of its source at least; not while it is pending."""
    source = volume_of(ec2, Encrypted=True)
    with pytest.raises(ClientError) as caught:
        ec2.create_snapshot(VolumeId=source)
    assert error_of(caught)[0] == "IncorrectState"
    settle()
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}]
    taken = ec2.create_snapshot(VolumeId=source, Description="before", TagSpecifications=tags)
    assert (taken["State"], taken["Progress"], taken["VolumeSize"]) == ("pending", "0%", 8)
    with pytest.raises(ClientError) as caught:
        ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=taken["SnapshotId"])
    assert error_of(caught)[0] == "IncorrectState"
    settle()
    (shown,) = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert (shown["State"], shown["Progress"], shown["OwnerId"]) == ("completed", "100%", ACCOUNT)
    assert shown["Description"] == "before"
    assert ec2.describe_snapshots(OwnerIds=["amazon"])["Snapshots"] == []
    for letter in "abc":
        made = ec2.create_volume(AvailabilityZone=f"{REGION}{letter}", SnapshotId=taken["SnapshotId"])
        assert (made["Size"], made["SnapshotId"], made["Encrypted"]) == (8, taken["SnapshotId"], True)
    with pytest.raises(ClientError) as caught:
        ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=taken["SnapshotId"], Size=7)
    assert "expect size >= 8GiB" in error_of(caught)[1]
    ec2.delete_snapshot(SnapshotId=taken["SnapshotId"])
    with pytest.raises(ClientError) as caught:
        ec2.delete_snapshot(SnapshotId=taken["SnapshotId"])
    assert error_of(caught)[0] == "InvalidSnapshot.NotFound"


def test_a_snapshot_is_copied_between_regions(served: Served, ec2: Any, settle: Settle) -> None:
    """A snapshot of its own, of no volume that there is, encrypted where its source is or it is asked for; not of one
    that is pending or not there."""
    source = volume_of(ec2)
    settle()
    taken = ec2.create_snapshot(VolumeId=source, Description="first")["SnapshotId"]
    west = served.client("ec2", region="us-west-2")
    asked = {"SourceRegion": REGION, "SourceSnapshotId": taken}
    with pytest.raises(ClientError) as caught:
        west.copy_snapshot(**asked)
    assert error_of(caught)[0] == "IncorrectState"
    settle()
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}]
    made = west.copy_snapshot(**asked, Encrypted=True, Description="copy", TagSpecifications=tags)
    assert made["Tags"] == [{"Key": "a", "Value": "b"}]
    settle()
    (shown,) = west.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert (shown["SnapshotId"], shown["VolumeId"], shown["VolumeSize"]) == (made["SnapshotId"], "vol-ffffffff", 8)
    assert (shown["Encrypted"], shown["Description"], shown["State"]) == (True, "copy", "completed")
    assert west.create_volume(AvailabilityZone="us-west-2a", SnapshotId=made["SnapshotId"])["Encrypted"]
    again = west.copy_snapshot(SourceRegion="us-west-2", SourceSnapshotId=made["SnapshotId"])
    assert again["SnapshotId"] != made["SnapshotId"]
    for wrong, code in (
        ({**asked, "SourceRegion": "us-west-2"}, "InvalidSnapshot.NotFound"),
        ({**asked, "KmsKeyId": "alias/x"}, "InvalidParameterDependency"),
        ({**asked, "CompletionDurationMinutes": 15}, "UnsupportedOperation"),
    ):
        with pytest.raises(ClientError) as caught:
            west.copy_snapshot(**wrong)
        assert error_of(caught)[0] == code


def test_a_volume_of_a_task_is_in_use(ec2: Any, store: MemoryStore, settle: Settle) -> None:
    """It can not be deleted, and who has it is shown."""
    volume_id = volume_of(ec2)
    settle()
    (volume,) = store.scan(EBS_VOLUME)
    now = SystemClock().now()
    used = replace(volume, owner="key", owner_arn="arn:task", status="in-use", attached_at=now)
    store.transact(Put(EBS_VOLUME, used))
    with pytest.raises(ClientError) as caught:
        ec2.delete_volume(VolumeId=volume_id)
    assert error_of(caught)[0] == "VolumeInUse"
    (shown,) = ec2.describe_volumes(Filters=[{"Name": "attachment.status", "Values": ["attached"]}])["Volumes"]
    assert shown["State"] == "in-use"
    assert shown["Attachments"][0]["AssociatedResource"] == "arn:task"


def test_fast_restores_are_kept_and_shown(ec2: Any, settle: Settle) -> None:
    """Enabled at once, zone by zone; what can not be is said by snapshot and zone."""
    volume_id = volume_of(ec2)
    settle()
    taken = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    asked = {"AvailabilityZones": [ZONE, "mars-1a"], "SourceSnapshotIds": [taken, "snap-0"]}
    done = ec2.enable_fast_snapshot_restores(**asked)
    assert [(each["SnapshotId"], each["AvailabilityZone"]) for each in done["Successful"]] == [(taken, ZONE)]
    codes = [
        (each["SnapshotId"], error["Error"]["Code"])
        for each in done["Unsuccessful"]
        for error in each["FastSnapshotRestoreStateErrors"]
    ]
    missing = ("snap-0", "InvalidSnapshot.NotFound")
    assert codes == [(taken, "InvalidZone.NotFound"), missing, missing]
    filters = [{"Name": "snapshot-id", "Values": [taken]}]
    (shown,) = ec2.describe_fast_snapshot_restores(Filters=filters)["FastSnapshotRestores"]
    assert (shown["AvailabilityZone"], shown["State"]) == (ZONE, "enabled")
    ec2.disable_fast_snapshot_restores(AvailabilityZones=[ZONE], SourceSnapshotIds=[taken])
    assert ec2.describe_fast_snapshot_restores()["FastSnapshotRestores"] == []


def an_instance(store: MemoryStore, zone: str = ZONE, state: InstanceState = InstanceState.RUNNING) -> str:
    made = Instance(
        scope=Scope(account=ACCOUNT, region=REGION),
        id=f"i-{zone[-1]}{state.value.encode().hex()[:8]}",
        reservation_id="r-1",
        image_id="ami-1",
        instance_type="t3.small",
        eni_id="eni-1",
        subnet_id="subnet-1",
        vpc_id="vpc-1",
        zone=zone,
        address="172.31.0.10",
        launched_at=SystemClock().now(),
        state=state,
    )
    store.transact(Put(INSTANCE, made))
    return made.id


def test_a_volume_is_attached_and_detached(ec2: Any, store: MemoryStore, settle: Settle) -> None:
    """It is in use by one instance, by one device; it can not go meanwhile, nor be attached twice."""
    here = an_instance(store)
    one, two = volume_of(ec2), volume_of(ec2)
    settle()
    made = ec2.attach_volume(VolumeId=one, InstanceId=here, Device="/dev/sdf")
    assert (made["State"], made["Device"], made["InstanceId"]) == ("attaching", "/dev/sdf", here)
    for asked, code in (
        ({"VolumeId": one, "Device": "/dev/sdg"}, "VolumeInUse"),
        ({"VolumeId": two, "Device": "/dev/sdf"}, "InvalidParameterValue"),
        ({"VolumeId": two, "Device": "/dev/xvda"}, "InvalidParameterValue"),
        ({"VolumeId": two, "Device": "/etc/passwd"}, "InvalidParameterValue"),
    ):
        with pytest.raises(ClientError) as caught:
            ec2.attach_volume(InstanceId=here, **asked)
        assert error_of(caught)[0] == code, asked
    with pytest.raises(ClientError, match="VolumeInUse"):
        ec2.delete_volume(VolumeId=one)
    (shown,) = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [here]}])["Volumes"]
    assert (shown["VolumeId"], shown["State"], shown["Attachments"][0]["State"]) == (one, "in-use", "attaching")
    with pytest.raises(ClientError, match="InvalidAttachment"):
        ec2.detach_volume(VolumeId=one, InstanceId="i-0")
    assert ec2.detach_volume(VolumeId=one, InstanceId=here)["State"] == "detaching"
    with pytest.raises(ClientError) as caught:
        ec2.detach_volume(VolumeId=two)
    assert error_of(caught) == ("IncorrectState", f"Volume '{two}' is in the 'available' state.")


def test_a_volume_is_bound_to_its_zone(ec2: Any, store: MemoryStore, settle: Settle) -> None:
    """Another zone's instance, one that has ended, and one that is not there are refused in EC2's words."""
    other, over = an_instance(store, f"{REGION}b"), an_instance(store, state=InstanceState.TERMINATED)
    volume_id = volume_of(ec2)
    with pytest.raises(ClientError, match="IncorrectState"):
        ec2.attach_volume(VolumeId=volume_id, InstanceId=other, Device="/dev/sdf")
    settle()
    with pytest.raises(ClientError) as caught:
        ec2.attach_volume(VolumeId=volume_id, InstanceId=other, Device="/dev/sdf")
    assert error_of(caught) == (
        "InvalidVolume.ZoneMismatch",
        f"The volume '{volume_id}' is not in the same availability zone as instance '{other}'",
    )
    for each, code in ((over, "IncorrectState"), ("i-0", "InvalidInstanceID.NotFound")):
        with pytest.raises(ClientError) as caught:
            ec2.attach_volume(VolumeId=volume_id, InstanceId=each, Device="/dev/sdf")
        assert error_of(caught)[0] == code


def test_the_aws_command_waits_for_a_volume(served: Served, settle: Settle) -> None:
    """`aws ec2 wait volume-available` ends once it is there."""
    made = served.aws("ec2", "create-volume", "--availability-zone", ZONE, "--size", "1")
    settle()
    served.aws("ec2", "wait", "volume-available", "--volume-ids", made["VolumeId"])
    assert served.aws("ec2", "describe-volumes")["Volumes"][0]["State"] == "available"
