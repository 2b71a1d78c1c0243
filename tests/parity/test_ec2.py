"""EC2 through boto3 and the aws command: the default network, security groups, filters, tags, errors."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from portside.api.ec2.default_network import ensure_default_network
from portside.api.ec2.service import ec2_service
from portside.control.clock import RandomIds, SystemClock
from portside.control.enis import Enis
from portside.domain.record import Scope
from portside.domain.table import VPC
from portside.domain.task.record import NetworkRequest
from portside.domain.vpc import Vpc
from portside.store.interface import Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")
HTTP = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "in"}]}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def served(serve: Callable[..., Any], store: MemoryStore) -> Any:
    return serve([ec2_service(store, SystemClock(), RandomIds())])


@pytest.fixture
def ec2(served: Any) -> Any:
    return served.client("ec2")


def error_of(call: Callable[..., Any], **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def make_group(ec2: Any, name: str = "web", **params: Any) -> str:
    group_id: str = ec2.create_security_group(GroupName=name, Description=name, **params)["GroupId"]
    return group_id


def group_of(ec2: Any, group_id: str) -> Any:
    return ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]


def test_default_vpc(ec2: Any) -> None:
    """The default VPC is there at first sight, and stays the same one."""
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    assert (vpc["CidrBlock"], vpc["IsDefault"], vpc["State"]) == ("172.31.0.0/16", True, "available")
    assert vpc["CidrBlockAssociationSet"][0]["CidrBlock"] == "172.31.0.0/16"
    assert ec2.describe_vpcs()["Vpcs"][0]["VpcId"] == vpc["VpcId"]
    assert ec2.describe_vpcs(VpcIds=[vpc["VpcId"]])["Vpcs"] == [vpc]


def test_default_vpc_of_each_region_and_account(served: Any) -> None:
    """Accounts and regions have default VPCs of their own."""
    clients = [
        served.client("ec2"),
        served.client("ec2", region="eu-west-1"),
        served.client("ec2", key="111122223333"),
    ]
    assert len({client.describe_vpcs()["Vpcs"][0]["VpcId"] for client in clients}) == 3


def test_default_subnets(ec2: Any) -> None:
    """A /20 in each of three zones, with all but AWS's five reserved addresses free."""
    subnets = ec2.describe_subnets()["Subnets"]
    assert sorted((s["AvailabilityZone"], s["CidrBlock"], s["AvailabilityZoneId"]) for s in subnets) == [
        ("us-east-1a", "172.31.0.0/20", "use1-az1"),
        ("us-east-1b", "172.31.16.0/20", "use1-az2"),
        ("us-east-1c", "172.31.32.0/20", "use1-az3"),
    ]
    assert {s["AvailableIpAddressCount"] for s in subnets} == {4091}
    assert all(s["DefaultForAz"] and s["MapPublicIpOnLaunch"] for s in subnets)


def test_addresses_count_down(ec2: Any, store: MemoryStore) -> None:
    """Each interface takes one address of its subnet, and is described with what it belongs to."""
    ensure_default_network(store, SystemClock(), RandomIds(), SCOPE)
    subnet = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1b"]}])["Subnets"][0]
    enis = Enis(store, RandomIds())
    request = NetworkRequest(subnet_ids=(subnet["SubnetId"],))
    eni = enis.allocate(
        scope=SCOPE, request=request, owner="task:x", description="arn:x", zone_load={}, now=datetime.now(UTC)
    )
    count = ec2.describe_subnets(SubnetIds=[subnet["SubnetId"]])["Subnets"][0]["AvailableIpAddressCount"]
    assert count == 4090
    (shown,) = ec2.describe_network_interfaces(
        Filters=[{"Name": "addresses.private-ip-address", "Values": [eni.address]}]
    )["NetworkInterfaces"]
    assert shown["NetworkInterfaceId"] == eni.eni_id
    assert shown["Groups"][0]["GroupName"] == "default"
    assert (shown["Status"], shown["Description"]) == ("in-use", "arn:x")
    enis.release(SCOPE, eni.eni_id)
    assert error_of(ec2.describe_network_interfaces, NetworkInterfaceIds=[eni.eni_id])[0] == (
        "InvalidNetworkInterfaceID.NotFound"
    )


def test_default_group(ec2: Any) -> None:
    """The default group admits its own members and lets everything out."""
    (group,) = ec2.describe_security_groups()["SecurityGroups"]
    assert group["GroupName"] == "default"
    (ingress,) = group["IpPermissions"]
    assert ingress["IpProtocol"] == "-1"
    assert ingress["UserIdGroupPairs"] == [{"GroupId": group["GroupId"], "UserId": "000000000000"}]
    assert "FromPort" not in ingress
    assert group["IpPermissionsEgress"][0]["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]
    assert error_of(ec2.delete_security_group, GroupId=group["GroupId"])[0] == "CannotDelete"


def test_group_life(ec2: Any) -> None:
    """A group is made in the default VPC with open egress, found by name, and deleted."""
    group_id = make_group(
        ec2, TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": "stage", "Value": "test"}]}]
    )
    assert group_id.startswith("sg-0")
    assert len(group_id) == 20
    (group,) = ec2.describe_security_groups(GroupNames=["web"])["SecurityGroups"]
    assert group["Tags"] == [{"Key": "stage", "Value": "test"}]
    assert group["IpPermissions"] == []
    assert group["IpPermissionsEgress"][0]["IpProtocol"] == "-1"
    code, status, message = error_of(ec2.create_security_group, GroupName="web", Description="again")
    assert (code, status) == ("InvalidGroup.Duplicate", 400)
    assert message == f"The security group 'web' already exists for VPC '{group['VpcId']}'"
    ec2.delete_security_group(GroupId=group_id)
    code, _status, message = error_of(ec2.describe_security_groups, GroupIds=[group_id])
    assert (code, message) == ("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"GroupName": "default", "Description": "x"}, "InvalidParameterValue"),
        ({"GroupName": "sg-mine", "Description": "x"}, "InvalidParameterValue"),
        ({"GroupName": "n" * 256, "Description": "x"}, "InvalidParameterValue"),
        ({"GroupName": "smile \u263a", "Description": "x"}, "InvalidParameterValue"),
        ({"GroupName": "w", "Description": "x", "VpcId": "vpc-00000000000000000"}, "InvalidVpcID.NotFound"),
        (
            {"GroupName": "w", "Description": "x", "TagSpecifications": [{"ResourceType": "vpc", "Tags": []}]},
            "InvalidParameterValue",
        ),
    ],
)
def test_group_refused(ec2: Any, params: dict[str, Any], code: str) -> None:
    """Names, VPCs and tag specifications that EC2 would not take are refused with its codes."""
    assert error_of(ec2.create_security_group, **params)[:2] == (code, 400)


def test_authorize_and_revoke(ec2: Any) -> None:
    """Rules come, are shown in both shapes, may not come twice, and go by permission or by id."""
    group_id = make_group(ec2)
    (rule,) = ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[HTTP])["SecurityGroupRules"]
    assert (rule["CidrIpv4"], rule["FromPort"], rule["ToPort"], rule["IsEgress"]) == ("10.0.0.0/8", 80, 80, False)
    (permission,) = group_of(ec2, group_id)["IpPermissions"]
    assert permission["IpRanges"] == HTTP["IpRanges"]
    code, _status, message = error_of(
        ec2.authorize_security_group_ingress,
        GroupId=group_id,
        IpPermissions=[HTTP | {"IpRanges": [{"CidrIp": "10.0.0.0/8"}]}],
    )
    assert code == "InvalidPermission.Duplicate"
    assert '"peer: 10.0.0.0/8, TCP, from port: 80, to port: 80, ALLOW" already exists' in message
    ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=[HTTP])
    assert group_of(ec2, group_id)["IpPermissions"] == []
    (rule,) = ec2.authorize_security_group_ingress(
        GroupId=group_id, IpProtocol="udp", FromPort=53, ToPort=54, CidrIp="10.1.2.3/16"
    )["SecurityGroupRules"]
    assert rule["CidrIpv4"] == "10.1.0.0/16"
    listed = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group_id]}])
    assert {each["IsEgress"] for each in listed["SecurityGroupRules"]} == {True, False}
    ec2.revoke_security_group_ingress(GroupId=group_id, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
    assert error_of(
        ec2.revoke_security_group_ingress, GroupId=group_id, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]]
    )[0] == ("InvalidSecurityGroupRuleId.NotFound")


def test_revoking_what_is_not_there(ec2: Any, store: MemoryStore) -> None:
    """In a default VPC the unknown permission is named in the answer; in any other it is an error."""
    group_id = make_group(ec2)
    answer = ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=[HTTP])
    assert answer["UnknownIpPermissions"][0]["IpRanges"][0]["CidrIp"] == "10.0.0.0/8"
    other = Vpc(scope=SCOPE, id="vpc-0aaaaaaaaaaaaaaaa", cidr_block="10.0.0.0/16", created_at=datetime.now(UTC))
    store.transact(Put(VPC, other))
    elsewhere = make_group(ec2, VpcId=other.id)
    code, _status, message = error_of(ec2.revoke_security_group_ingress, GroupId=elsewhere, IpPermissions=[HTTP])
    assert (code, message) == (
        "InvalidPermission.NotFound",
        "The specified rule does not exist in this security group.",
    )


def test_egress(ec2: Any) -> None:
    """The open egress rule can be revoked and a narrow one authorised."""
    group_id = make_group(ec2)
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.revoke_security_group_egress(GroupId=group_id, IpPermissions=[everything])
    assert group_of(ec2, group_id)["IpPermissionsEgress"] == []
    ec2.authorize_security_group_egress(GroupId=group_id, IpPermissions=[HTTP])
    (permission,) = group_of(ec2, group_id)["IpPermissionsEgress"]
    assert (permission["FromPort"], permission["ToPort"]) == (80, 80)


def test_group_reference_holds_the_group(ec2: Any) -> None:
    """A group that another group's rule names can not be deleted until that rule is gone."""
    balancer, tasks = make_group(ec2, "balancer"), make_group(ec2, "tasks")
    permission = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": balancer}]}
    (rule,) = ec2.authorize_security_group_ingress(GroupId=tasks, IpPermissions=[permission])["SecurityGroupRules"]
    assert rule["ReferencedGroupInfo"]["GroupId"] == balancer
    code, _status, message = error_of(ec2.delete_security_group, GroupId=balancer)
    assert (code, message) == ("DependencyViolation", f"resource {balancer} has a dependent object")
    ec2.revoke_security_group_ingress(GroupId=tasks, IpPermissions=[permission])
    ec2.delete_security_group(GroupId=balancer)


def test_group_in_use(ec2: Any, store: MemoryStore) -> None:
    """A group of an interface can not be deleted."""
    group_id = make_group(ec2)
    subnet_id = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    enis = Enis(store, RandomIds())
    eni = enis.allocate(
        scope=SCOPE,
        request=NetworkRequest(subnet_ids=(subnet_id,), security_group_ids=(group_id,)),
        owner="task:x",
        description="",
        zone_load={},
        now=datetime.now(UTC),
    )
    assert error_of(ec2.delete_security_group, GroupId=group_id)[0] == "DependencyViolation"
    enis.release(SCOPE, eni.eni_id)
    ec2.delete_security_group(GroupId=group_id)


@pytest.mark.parametrize(
    ("permission", "code"),
    [
        ({"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, "InvalidParameterValue"),
        (HTTP | {"FromPort": 90}, "InvalidParameterValue"),
        (HTTP | {"ToPort": 70000}, "InvalidParameterValue"),
        (HTTP | {"IpProtocol": "quic"}, "InvalidPermission.Malformed"),
        (HTTP | {"IpRanges": [{"CidrIp": "10.0.0.0"}]}, "InvalidParameterValue"),
        (HTTP | {"IpRanges": [{"CidrIp": "10.0.0.256/24"}]}, "InvalidParameterValue"),
        (HTTP | {"IpRanges": []}, "InvalidParameterValue"),
        (HTTP | {"IpRanges": [], "UserIdGroupPairs": [{"GroupId": "sg-00000000000000000"}]}, "InvalidGroup.NotFound"),
        (HTTP | {"IpRanges": [], "PrefixListIds": [{"PrefixListId": "pl-1"}]}, "InvalidPrefixListID.NotFound"),
        (HTTP | {"IpRanges": [{"CidrIp": "10.0.0.0/8"}, {"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
    ],
)
def test_permission_refused(ec2: Any, permission: dict[str, Any], code: str) -> None:
    """Permissions that EC2 would not take are refused, and nothing is kept of them."""
    group_id = make_group(ec2)
    assert error_of(ec2.authorize_security_group_ingress, GroupId=group_id, IpPermissions=[permission])[0] == code
    assert group_of(ec2, group_id)["IpPermissions"] == []


def test_rule_limit(ec2: Any) -> None:
    """A group takes sixty rules in a direction."""
    group_id = make_group(ec2)
    ranges = [{"CidrIp": f"10.{n}.0.0/16"} for n in range(61)]
    permission = HTTP | {"IpRanges": ranges}
    code = error_of(ec2.authorize_security_group_ingress, GroupId=group_id, IpPermissions=[permission])[0]
    assert code == "RulesPerSecurityGroupLimitExceeded"
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[HTTP | {"IpRanges": ranges[:60]}])
    assert len(group_of(ec2, group_id)["IpPermissions"][0]["IpRanges"]) == 60


def test_rule_descriptions(ec2: Any) -> None:
    """A rule's description is changed without touching the rule."""
    group_id = make_group(ec2)
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[HTTP])
    changed = HTTP | {"IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "changed"}]}
    ec2.update_security_group_rule_descriptions_ingress(GroupId=group_id, IpPermissions=[changed])
    assert group_of(ec2, group_id)["IpPermissions"][0]["IpRanges"][0]["Description"] == "changed"


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([("group-name", ["w*"])], {"web", "worker"}),
        ([("group-name", ["we?"])], {"web"}),
        ([("group-name", ["web", "default"])], {"web", "default"}),
        ([("group-name", ["*"]), ("tag:stage", ["prod"])], {"web"}),
        ([("tag-key", ["stage"])], {"web", "worker"}),
        ([("tag:stage", ["*"]), ("ip-permission.from-port", ["80"])], {"web"}),
        ([("group-name", ["WEB"])], set()),
        ([("description", ["w*"]), ("egress.ip-permission.cidr", ["0.0.0.0/0"])], {"web", "worker"}),
    ],
)
def test_filters(ec2: Any, filters: list[tuple[str, list[str]]], names: set[str]) -> None:
    """All filters must match, one value of each is enough, and wildcards work."""
    web, worker = make_group(ec2, "web"), make_group(ec2, "worker")
    ec2.create_tags(Resources=[web], Tags=[{"Key": "stage", "Value": "prod"}])
    ec2.create_tags(Resources=[worker], Tags=[{"Key": "stage", "Value": "dev"}])
    ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[HTTP])
    answer = ec2.describe_security_groups(Filters=[{"Name": name, "Values": values} for name, values in filters])
    assert {group["GroupName"] for group in answer["SecurityGroups"]} == names


def test_filters_of_the_network(ec2: Any) -> None:
    """VPCs and subnets are found by the filters that CDK and Terraform use."""
    for name in ("isDefault", "is-default"):
        assert len(ec2.describe_vpcs(Filters=[{"Name": name, "Values": ["true"]}])["Vpcs"]) == 1
        assert ec2.describe_vpcs(Filters=[{"Name": name, "Values": ["false"]}])["Vpcs"] == []
    vpc_id = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    filters = [{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "default-for-az", "Values": ["true"]}]
    assert len(ec2.describe_subnets(Filters=filters)["Subnets"]) == 3
    code, status, message = error_of(ec2.describe_vpcs, Filters=[{"Name": "colour", "Values": ["red"]}])
    assert (code, status, message) == ("InvalidParameterValue", 400, "The filter 'colour' is invalid")


def test_pages(ec2: Any) -> None:
    """Pages are complete, without repetition, and a strange token is refused."""
    made = {make_group(ec2, f"group-{n}") for n in range(11)}
    pages = list(ec2.get_paginator("describe_security_groups").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["SecurityGroups"]) for page in pages] == [5, 5, 2]
    found = [group["GroupId"] for page in pages for group in page["SecurityGroups"]]
    assert len(found) == 12
    assert made < set(found)
    assert error_of(ec2.describe_security_groups, MaxResults=2)[0] == "InvalidParameterValue"
    assert error_of(ec2.describe_security_groups, MaxResults=5, NextToken="?")[0] == "InvalidParameterValue"


def test_dry_run(ec2: Any) -> None:
    """A dry run says that it would have worked, and changes nothing."""
    code, status, message = error_of(ec2.create_security_group, GroupName="web", Description="x", DryRun=True)
    assert (code, status) == ("DryRunOperation", 412)
    assert message == "Request would have succeeded, but DryRun flag is set."
    assert len(ec2.describe_security_groups()["SecurityGroups"]) == 1


def test_not_found(ec2: Any) -> None:
    """What is not there has EC2's code for it."""
    assert error_of(ec2.describe_vpcs, VpcIds=["vpc-1"])[0] == "InvalidVpcID.NotFound"
    assert error_of(ec2.describe_subnets, SubnetIds=["subnet-1"])[0] == "InvalidSubnetID.NotFound"
    assert error_of(ec2.describe_security_groups, GroupIds=["web"])[0] == "InvalidGroupId.Malformed"
    assert error_of(ec2.describe_security_groups, GroupNames=["web"])[0] == "InvalidGroup.NotFound"
    assert error_of(ec2.describe_security_group_rules, SecurityGroupRuleIds=["sgr-1"])[0] == (
        "InvalidSecurityGroupRuleId.NotFound"
    )
    assert error_of(ec2.delete_security_group)[0] == "MissingParameter"


def test_tags(ec2: Any) -> None:
    """Tags are added, replaced, listed with filters, and removed by key or by key and value; all or nothing."""
    group_id = make_group(ec2)
    vpc_id = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    ec2.create_tags(Resources=[group_id, vpc_id], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    ec2.create_tags(Resources=[group_id], Tags=[{"Key": "a", "Value": "3"}])
    assert group_of(ec2, group_id)["Tags"] == [{"Key": "a", "Value": "3"}, {"Key": "b", "Value": "2"}]
    ec2.delete_tags(Resources=[group_id, vpc_id], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b"}])
    listed = ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": ["security-group"]}])["Tags"]
    assert listed == [{"Key": "a", "Value": "3", "ResourceId": group_id, "ResourceType": "security-group"}]
    code = error_of(ec2.create_tags, Resources=[vpc_id, "sg-00000000000000000"], Tags=[{"Key": "late", "Value": "1"}])[
        0
    ]
    assert code == "InvalidGroup.NotFound"
    assert ec2.describe_vpcs()["Vpcs"][0].get("Tags", []) == []
    reserved = error_of(ec2.create_tags, Resources=[vpc_id], Tags=[{"Key": "aws:x", "Value": "1"}])
    assert reserved[0] == "InvalidParameterValue"
    many = [{"Key": f"k{n}", "Value": ""} for n in range(51)]
    assert error_of(ec2.create_tags, Resources=[vpc_id], Tags=many)[0] == "TagLimitExceeded"


def test_rule_tags(ec2: Any) -> None:
    """Rules carry tags of their own."""
    group_id = make_group(ec2)
    specification = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "why", "Value": "web"}]}]
    (rule,) = ec2.authorize_security_group_ingress(
        GroupId=group_id, IpPermissions=[HTTP], TagSpecifications=specification
    )["SecurityGroupRules"]
    filters = [{"Name": "tag:why", "Values": ["web"]}]
    (found,) = ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    assert found["SecurityGroupRuleId"] == rule["SecurityGroupRuleId"]


def test_zones_and_regions(ec2: Any) -> None:
    """Three zones per region; every region of the partition."""
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert [(zone["ZoneName"], zone["ZoneId"]) for zone in zones] == [
        ("us-east-1a", "use1-az1"),
        ("us-east-1b", "use1-az2"),
        ("us-east-1c", "use1-az3"),
    ]
    regions = {region["RegionName"] for region in ec2.describe_regions()["Regions"]}
    assert {"us-east-1", "eu-central-1", "ap-southeast-2"} <= regions
    assert error_of(ec2.describe_availability_zones, ZoneNames=["us-east-1z"])[0] == "InvalidParameterValue"


def test_account_attributes(ec2: Any) -> None:
    """The default VPC is named among the account's attributes."""
    answer = ec2.describe_account_attributes(AttributeNames=["default-vpc"])["AccountAttributes"]
    assert answer[0]["AttributeValues"][0]["AttributeValue"] == ec2.describe_vpcs()["Vpcs"][0]["VpcId"]


def test_not_implemented(ec2: Any) -> None:
    """An operation that is not there says so plainly."""
    code, status, message = error_of(ec2.create_vpc_peering_connection, VpcId="vpc-1", PeerVpcId="vpc-2")
    assert status == 501
    assert "CreateVpcPeeringConnection" in message
    assert code


def test_with_the_aws_command(served: Any) -> None:
    """The aws command's shorthand for rules works."""
    group_id = served.aws("ec2", "create-security-group", "--group-name", "cli", "--description", "by hand")["GroupId"]
    added = served.aws(
        "ec2", "authorize-security-group-ingress", "--group-id", group_id, "--protocol", "tcp", "--port", "8080",
        "--cidr", "0.0.0.0/0",
    )  # fmt: skip
    assert added["SecurityGroupRules"][0]["FromPort"] == 8080
    subnets = served.aws("ec2", "describe-subnets", "--query", "Subnets[].SubnetId")
    assert len(subnets) == 3
