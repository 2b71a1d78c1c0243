"""EC2 instances through boto3 and the aws command: launched, described, started and stopped, refused."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from portside.api.ec2.instance_request import NATIVE_ARCHITECTURE
from portside.api.ec2.service import ec2_service
from portside.api.iam.service import iam_service
from portside.api.ssm.service import ssm_service
from portside.control.clock import RandomIds, SystemClock
from portside.domain import instance
from portside.domain.table import ENI, INSTANCE
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.vault.aes import AesVault

PARAMETER = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended"
if NATIVE_ARCHITECTURE == "arm64":
    PARAMETER = PARAMETER.replace("2023/", "2023/arm64/")
TYPE = "t3.small" if NATIVE_ARCHITECTURE == "x86_64" else "t4g.small"
FOREIGN = "t4g.small" if NATIVE_ARCHITECTURE == "x86_64" else "t3.small"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def served(serve: Callable[..., Any], store: MemoryStore) -> Any:
    clock, ids = SystemClock(), RandomIds()
    return serve(
        [
            ec2_service(store, clock, ids),
            ssm_service(store, AesVault(bytes(32)), clock),
            iam_service(store, AesVault(bytes(32)), clock, ids),
        ]
    )


@pytest.fixture
def ec2(served: Any) -> Any:
    return served.client("ec2")


@pytest.fixture
def image(served: Any) -> str:
    """The image that the public parameter names."""
    return str(served.client("ssm").get_parameter(Name=f"{PARAMETER}/image_id")["Parameter"]["Value"])


def launch(ec2: Any, image: str, **params: Any) -> Any:
    return ec2.run_instances(**{"ImageId": image, "InstanceType": TYPE, "MinCount": 1, "MaxCount": 1, **params})


def come_true(store: MemoryStore) -> None:
    """What was asked of every instance has happened on the machine."""
    for each in list(store.scan(INSTANCE)):
        store.transact(Put(INSTANCE, instance.done(each, now=datetime.now(UTC))))


def error_of(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def one(answer: Any) -> Any:
    ((found,),) = [each["Instances"] for each in answer["Reservations"]]
    return found


def test_launched_and_described(ec2: Any, image: str) -> None:
    """An instance is pending at first, with an address in a default subnet and an interface that is its own."""
    answer = launch(
        ec2,
        image,
        UserData="#!/bin/bash\necho ECS_CLUSTER=web >> /etc/ecs/ecs.config",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "one"}]}],
    )
    (made,) = answer["Instances"]
    assert answer["ReservationId"].startswith("r-0")
    assert made["State"] == {"Code": 0, "Name": "pending"}
    assert made["PrivateIpAddress"].startswith("172.31.")
    assert made["Tags"] == [{"Key": "Name", "Value": "one"}]
    found = one(ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": ["one"]}]))
    assert found["InstanceId"] == made["InstanceId"]
    (interface,) = found["NetworkInterfaces"]
    (shown,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert shown["NetworkInterfaceId"] == interface["NetworkInterfaceId"]
    assert shown["Attachment"]["InstanceId"] == made["InstanceId"]
    assert (shown["Attachment"]["DeviceIndex"], shown["RequesterManaged"]) == (0, False)
    data = ec2.describe_instance_attribute(InstanceId=made["InstanceId"], Attribute="userData")["UserData"]["Value"]
    assert b"ECS_CLUSTER=web" in base64.b64decode(data)
    assert (
        ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])["Reservations"] == []
    )


def test_states(ec2: Any, image: str, store: MemoryStore) -> None:
    """Stop, start and terminate answer with the state before and now; what can not be is refused."""
    ids = [each["InstanceId"] for each in launch(ec2, image, MinCount=2, MaxCount=2)["Instances"]]
    assert error_of(ec2.stop_instances, InstanceIds=ids) == "IncorrectInstanceState"
    come_true(store)
    assert [each["InstanceId"] for each in ec2.describe_instance_status()["InstanceStatuses"]] == sorted(ids)
    ec2.get_waiter("instance_running").wait(InstanceIds=ids)
    ec2.get_waiter("instance_status_ok").wait(InstanceIds=ids)
    stopping = ec2.stop_instances(InstanceIds=ids[:1])["StoppingInstances"]
    assert [(each["PreviousState"]["Name"], each["CurrentState"]["Name"]) for each in stopping] == [
        ("running", "stopping")
    ]
    assert error_of(ec2.start_instances, InstanceIds=ids[:1]) == "IncorrectInstanceState"
    come_true(store)
    stopped = one(ec2.describe_instances(InstanceIds=ids[:1]))
    assert stopped["State"] == {"Code": 80, "Name": "stopped"}
    assert stopped["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    starting = ec2.start_instances(InstanceIds=ids)["StartingInstances"]
    assert sorted(each["CurrentState"]["Name"] for each in starting) == ["pending", "running"]
    ending = ec2.terminate_instances(InstanceIds=ids)["TerminatingInstances"]
    assert {each["CurrentState"]["Code"] for each in ending} == {32}
    come_true(store)
    assert one(ec2.describe_instances(InstanceIds=ids[:1]))["State"]["Name"] == "terminated"
    assert ec2.terminate_instances(InstanceIds=ids)["TerminatingInstances"][0]["CurrentState"]["Code"] == 48


def test_by_the_command(served: Any) -> None:
    """The aws command launches by the name of a public parameter, and reads the parameter and the types."""
    (named,) = served.aws("ssm", "get-parameters", "--names", PARAMETER)["Parameters"]
    assert '"image_id"' in named["Value"]
    by_path = served.aws("ssm", "get-parameters-by-path", "--path", PARAMETER)["Parameters"]
    image = next(each["Value"] for each in by_path if each["Name"] == f"{PARAMETER}/image_id")
    made = served.aws(
        "ec2",
        "run-instances",
        "--image-id",
        f"resolve:ssm:{PARAMETER}/image_id",
        "--instance-type",
        TYPE,
        "--count",
        "2",
    )["Instances"]
    assert [each["AmiLaunchIndex"] for each in made] == [0, 1]
    assert {each["ImageId"] for each in made} == {image}
    assert len({each["PrivateIpAddress"] for each in made}) == 2
    (kind,) = served.aws("ec2", "describe-instance-types", "--instance-types", "m5.large")["InstanceTypes"]
    assert (kind["VCpuInfo"]["DefaultVCpus"], kind["MemoryInfo"]["SizeInMiB"]) == (2, 8192)
    assert kind["NetworkInfo"]["MaximumNetworkInterfaces"] == 3


def test_client_token(ec2: Any, image: str) -> None:
    """The same request again launches nothing; another one with its token is refused."""
    first = launch(ec2, image, ClientToken="t")
    again = launch(ec2, image, ClientToken="t")
    assert again["Instances"][0]["InstanceId"] == first["Instances"][0]["InstanceId"]
    assert error_of(launch, ec2=ec2, image=image, ClientToken="t", MaxCount=2) == "IdempotentParameterMismatch"
    assert len(ec2.describe_instances()["Reservations"]) == 1


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
        ({"InstanceType": "x1e.32xlarge"}, "Unsupported"),
        ({"InstanceType": FOREIGN}, "InvalidParameterValue"),
        ({"SubnetId": "subnet-0123"}, "InvalidSubnetID.NotFound"),
        ({"SecurityGroupIds": ["sg-0123"]}, "InvalidGroup.NotFound"),
        ({"MinCount": 2}, "InvalidParameterValue"),
        ({"MaxCount": 21}, "InstanceLimitExceeded"),
        ({"KeyName": "me"}, "InvalidKeyPair.NotFound"),
        ({"IamInstanceProfile": {"Name": "none"}}, "InvalidParameterValue"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8}}]}, "UnsupportedOperation"),
        ({"InstanceMarketOptions": {"MarketType": "spot"}}, "UnsupportedOperation"),
        ({"Placement": {"AvailabilityZone": "us-east-1x"}}, "InvalidParameterValue"),
        ({"Placement": {"GroupName": "g"}}, "UnsupportedOperation"),
        ({"PrivateIpAddress": "10.0.0.1"}, "InvalidParameterValue"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_refused(ec2: Any, image: str, params: dict[str, Any], code: str, store: MemoryStore) -> None:
    """What can not be launched is refused with EC2's code, and nothing is made."""
    assert error_of(launch, ec2=ec2, image=image, **params) == code
    assert list(store.scan(INSTANCE)) == []
    assert list(store.scan(ENI)) == []


def test_a_type_that_is_none(ec2: Any, image: str) -> None:
    """Of the thousand that there are, those are named that look like the one asked for."""
    for asked, like in (("t3.mikro", "t3.micro"), ("x1e.32xlarge", "2xlarge")):
        with pytest.raises(ClientError) as caught:
            launch(ec2, image, InstanceType=asked)
        message = caught.value.response["Error"]["Message"]
        assert like in message.replace(asked, "")
        assert len(message) < 250
    with pytest.raises(ClientError, match=r"is invalid\. There are \d+ valid values"):
        launch(ec2, image, InstanceType="?")


def test_where_and_with_what(ec2: Any, served: Any, image: str) -> None:
    """Subnet, groups, address, zone and instance profile are those asked for; a small subnet fills up."""
    subnet = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1b"]}])["Subnets"][0]
    address = subnet["CidrBlock"].replace("16.0/20", "16.77")
    made = one({"Reservations": [launch(ec2, image, SubnetId=subnet["SubnetId"], PrivateIpAddress=address)]})
    assert (made["PrivateIpAddress"], made["Placement"]["AvailabilityZone"]) == (address, "us-east-1b")
    assert error_of(launch, ec2=ec2, image=image, SubnetId=subnet["SubnetId"], PrivateIpAddress=address) == (
        "InvalidIPAddress.InUse"
    )
    iam = served.client("iam")
    iam.create_instance_profile(InstanceProfileName="ecsInstanceRole")
    zoned = launch(
        ec2, image, Placement={"AvailabilityZone": "us-east-1c"}, IamInstanceProfile={"Name": "ecsInstanceRole"}
    )["Instances"][0]
    assert zoned["Placement"]["AvailabilityZone"] == "us-east-1c"
    assert zoned["IamInstanceProfile"]["Arn"].endswith(":instance-profile/ecsInstanceRole")
    interface = {"DeviceIndex": 0, "SubnetId": subnet["SubnetId"], "AssociatePublicIpAddress": False}
    assert launch(ec2, image, NetworkInterfaces=[interface])["Instances"][0]["SubnetId"] == subnet["SubnetId"]
    both = error_of(launch, ec2=ec2, image=image, NetworkInterfaces=[interface], SubnetId=subnet["SubnetId"])
    assert both == "InvalidParameterCombination"


def test_not_there(ec2: Any) -> None:
    """Instances that are not there, and ids that are none, have EC2's codes."""
    assert error_of(ec2.describe_instances, InstanceIds=["i-0123456789abcdef0"]) == "InvalidInstanceID.NotFound"
    assert error_of(ec2.terminate_instances, InstanceIds=["web"]) == "InvalidInstanceID.Malformed"
    assert error_of(ec2.describe_instance_types, InstanceTypes=["x1e.32xlarge"]) == "InvalidInstanceType"


def test_images(served: Any, ec2: Any, image: str) -> None:
    """The image is found as AWS's documentation finds it, by owner and name; no other image is there."""
    (found,) = ec2.describe_images(ImageIds=[image])["Images"]
    assert found["Architecture"] == NATIVE_ARCHITECTURE
    listed = served.aws(
        *("ec2", "describe-images", "--owners", "amazon", "--filters", "Name=name,Values=al2023-ami-ecs-hvm-*-ebs"),
        *(f"Name=architecture,Values={NATIVE_ARCHITECTURE}", "Name=state,Values=available"),
    )["Images"]
    assert [each["ImageId"] for each in listed] == [image]
    assert ec2.describe_images(Owners=["self"])["Images"] == []
    assert error_of(ec2.describe_images, ImageIds=["ami-0123"]) == "InvalidAMIID.NotFound"
    offered = ec2.describe_instance_type_offerings(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": ["t3.micro"]}]
    )["InstanceTypeOfferings"]
    assert [each["Location"] for each in offered] == ["us-east-1a", "us-east-1b", "us-east-1c"]


def test_changed(ec2: Any, image: str, store: MemoryStore) -> None:
    """Type and user data change while an instance is stopped, its groups at any time."""
    name = launch(ec2, image)["Instances"][0]["InstanceId"]
    come_true(store)
    shown = ec2.describe_instance_credit_specifications(InstanceIds=[name])["InstanceCreditSpecifications"]
    assert shown == [{"InstanceId": name, "CpuCredits": "unlimited"}]
    group = ec2.create_security_group(GroupName="web", Description="web")["GroupId"]
    ec2.modify_instance_attribute(InstanceId=name, Groups=[group])
    assert one(ec2.describe_instances())["SecurityGroups"] == [{"GroupId": group, "GroupName": "web"}]
    larger = {"Value": TYPE.replace("small", "large")}
    assert error_of(ec2.modify_instance_attribute, InstanceId=name, InstanceType=larger) == "IncorrectInstanceState"
    ec2.stop_instances(InstanceIds=[name])
    assert error_of(ec2.reboot_instances, InstanceIds=[name]) == "IncorrectInstanceState"
    come_true(store)
    ec2.modify_instance_attribute(InstanceId=name, InstanceType=larger)
    ec2.modify_instance_attribute(InstanceId=name, UserData={"Value": b"ECS_CLUSTER=web"})
    assert one(ec2.describe_instances())["InstanceType"] == larger["Value"]
    data = ec2.describe_instance_attribute(InstanceId=name, Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(data) == b"ECS_CLUSTER=web"
    refused = error_of(ec2.modify_instance_attribute, InstanceId=name, DisableApiTermination={"Value": True})
    assert refused == "UnsupportedOperation"


def test_interfaces_are_attached_and_detached(ec2: Any, image: str, store: MemoryStore) -> None:
    """As EC2 answers and refuses: one per device index, of the instance's zone, the first one never detached."""
    (made,) = launch(ec2, image)["Instances"]
    come_true(store)
    subnets = {each["AvailabilityZone"]: each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]}
    zone = made["Placement"]["AvailabilityZone"]
    here = ec2.create_network_interface(SubnetId=subnets.pop(zone))["NetworkInterface"]["NetworkInterfaceId"]
    elsewhere = ec2.create_network_interface(SubnetId=next(iter(subnets.values())))["NetworkInterface"]

    def refused(call: Any, **params: Any) -> str:
        with pytest.raises(ClientError) as caught:
            call(**params)
        return str(caught.value.response["Error"]["Code"])

    asked = {"NetworkInterfaceId": here, "InstanceId": made["InstanceId"], "DeviceIndex": 1}
    unknown = asked | {"InstanceId": "i-0123456789abcdef0"}
    assert refused(ec2.attach_network_interface, **unknown) == "InvalidInstanceID.NotFound"
    unknown = asked | {"NetworkInterfaceId": "eni-0123456789abcdef0"}
    assert refused(ec2.attach_network_interface, **unknown) == "InvalidNetworkInterfaceID.NotFound"
    assert refused(ec2.attach_network_interface, **asked | {"DeviceIndex": 0}) == "InvalidParameterValue"
    far = asked | {"NetworkInterfaceId": elsewhere["NetworkInterfaceId"]}
    assert refused(ec2.attach_network_interface, **far) == "InvalidParameterCombination"
    attached = ec2.attach_network_interface(**asked)
    assert attached["NetworkCardIndex"] == 0
    assert refused(ec2.attach_network_interface, **asked | {"DeviceIndex": 2}) == "InvalidNetworkInterface.InUse"
    assert refused(ec2.delete_network_interface, NetworkInterfaceId=here) == "InvalidParameterValue"
    (shown,) = ec2.describe_network_interfaces(
        Filters=[
            {"Name": "attachment.instance-id", "Values": [made["InstanceId"]]},
            {"Name": "attachment.device-index", "Values": ["1"]},
        ]
    )["NetworkInterfaces"]
    told = shown["Attachment"]
    assert (shown["Status"], told["AttachmentId"], told["DeviceIndex"], told["DeleteOnTermination"]) == (
        *("in-use", attached["AttachmentId"]),
        *(1, False),
    )
    (first,) = (
        each["Attachment"]["AttachmentId"]
        for each in ec2.describe_instances()["Reservations"][0]["Instances"][0]["NetworkInterfaces"]
        if each["Attachment"]["DeviceIndex"] == 0
    )
    assert refused(ec2.detach_network_interface, AttachmentId=first) == "OperationNotPermitted"
    gone = "eni-attach-0123456789abcdef0"
    assert refused(ec2.detach_network_interface, AttachmentId=gone) == "InvalidAttachmentID.NotFound"
    ec2.detach_network_interface(AttachmentId=attached["AttachmentId"])
    assert (
        refused(ec2.detach_network_interface, AttachmentId=attached["AttachmentId"]) == "InvalidAttachmentID.NotFound"
    )
    ec2.delete_network_interface(NetworkInterfaceId=here)
