"""The calls that infrastructure tools make for a VPC with public and private subnets, in their order and parameters."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from portside.api.ec2.service import ec2_service
from portside.control.clock import RandomIds, SystemClock
from portside.store.memory import MemoryStore


@pytest.fixture
def ec2(serve: Callable[..., Any]) -> Any:
    return serve([ec2_service(MemoryStore(), SystemClock(), RandomIds(), "198.18.0.0/24")]).client("ec2")


def named(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


def filters(**values: str) -> list[dict[str, Any]]:
    return [{"Name": name.replace("_", "-").replace("--", "."), "Values": [value]} for name, value in values.items()]


def make_vpc(ec2: Any) -> str:
    """As Terraform's `aws_vpc`: made, changed, and read back with what belongs to every VPC."""
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", InstanceTenancy="default", TagSpecifications=named("vpc", "shop"))
    vpc_id = vpc["Vpc"]["VpcId"]
    for attribute in ("EnableDnsHostnames", "EnableDnsSupport"):
        ec2.modify_vpc_attribute(VpcId=vpc_id, **{attribute: {"Value": True}})
    (found,) = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"]
    assert (found["State"], found["InstanceTenancy"], found["IsDefault"]) == ("available", "default", False)
    assert found["CidrBlockAssociationSet"][0]["CidrBlockState"]["State"] == "associated"
    for name, value in (
        ("enableDnsHostnames", True),
        ("enableDnsSupport", True),
        ("enableNetworkAddressUsageMetrics", False),
    ):
        answer = ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute=name)
        assert answer[name[0].upper() + name[1:]]["Value"] is value
    for operation, member, which in (
        ("describe_network_acls", "NetworkAcls", {"default": "true"}),
        ("describe_route_tables", "RouteTables", {"association--main": "true"}),
        ("describe_security_groups", "SecurityGroups", {"group_name": "default"}),
    ):
        assert len(getattr(ec2, operation)(Filters=filters(vpc_id=vpc_id, **which))[member]) == 1
    return str(vpc_id)


def make_subnet(ec2: Any, vpc_id: str, number: int, zone: str, *, public: bool) -> str:
    made = ec2.create_subnet(
        VpcId=vpc_id,
        CidrBlock=f"10.0.{number}.0/24",
        AvailabilityZone=zone,
        TagSpecifications=named("subnet", f"shop-{number}"),
    )["Subnet"]
    if public:
        ec2.modify_subnet_attribute(SubnetId=made["SubnetId"], MapPublicIpOnLaunch={"Value": True})
    (found,) = ec2.describe_subnets(SubnetIds=[made["SubnetId"]])["Subnets"]
    assert (found["State"], found["MapPublicIpOnLaunch"], found["AvailableIpAddressCount"]) == (
        "available",
        public,
        251,
    )
    assert found["AssignIpv6AddressOnCreation"] is False
    assert found["PrivateDnsNameOptionsOnLaunch"]["HostnameType"] == "ip-name"
    return str(found["SubnetId"])


def make_table(ec2: Any, vpc_id: str, name: str, subnets: list[str], **target: str) -> list[str]:
    """Returns: the associations' ids."""
    table = ec2.create_route_table(VpcId=vpc_id, TagSpecifications=named("route-table", name))["RouteTable"]
    ec2.create_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", **target)
    associations = []
    for subnet in subnets:
        answer = ec2.associate_route_table(RouteTableId=table["RouteTableId"], SubnetId=subnet)
        associations.append(answer["AssociationId"])
        which = {"association--route_table_association_id": answer["AssociationId"]}
        (found,) = ec2.describe_route_tables(Filters=filters(**which))["RouteTables"]
        assert {each["State"] for each in found["Routes"]} == {"active"}
        mine = next(each for each in found["Associations"] if each["SubnetId"] == subnet)
        assert mine["AssociationState"]["State"] == "associated"
    return associations


def empty_defaults(ec2: Any, vpc_id: str, subnets: list[str]) -> None:
    """As `aws_default_security_group` and `aws_default_network_acl`: what AWS put there goes, own rules come."""
    (group,) = ec2.describe_security_groups(Filters=filters(vpc_id=vpc_id, group_name="default"))["SecurityGroups"]
    ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
    ec2.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=group["IpPermissionsEgress"])
    (left,) = ec2.describe_security_groups(GroupIds=[group["GroupId"]])["SecurityGroups"]
    assert left["IpPermissions"] == left["IpPermissionsEgress"] == []
    (acl,) = ec2.describe_network_acls(Filters=filters(vpc_id=vpc_id, default="true"))["NetworkAcls"]
    for entry in acl["Entries"]:
        if entry["RuleNumber"] < 32767:
            ec2.delete_network_acl_entry(
                NetworkAclId=acl["NetworkAclId"], RuleNumber=entry["RuleNumber"], Egress=entry["Egress"]
            )
    for egress in (False, True):
        for number, block in ((100, {"CidrBlock": "0.0.0.0/0"}), (101, {"Ipv6CidrBlock": "::/0"})):
            ec2.create_network_acl_entry(
                NetworkAclId=acl["NetworkAclId"],
                RuleNumber=number,
                Protocol="-1",
                RuleAction="allow",
                Egress=egress,
                PortRange={"From": 0, "To": 0},
                **block,
            )
    (acl,) = ec2.describe_network_acls(NetworkAclIds=[acl["NetworkAclId"]])["NetworkAcls"]
    assert {each["SubnetId"] for each in acl["Associations"]} == set(subnets)
    assert len([each for each in acl["Entries"] if each["RuleNumber"] < 32767]) == 4


def test_vpc_module(ec2: Any) -> None:
    """Two zones with a public and a private subnet each, one NAT gateway, the defaults emptied, groups with rules of
    their own ids: all made, read back as it is, changed, and taken away in the opposite order."""
    vpc_id = make_vpc(ec2)
    zones = [
        each["ZoneName"]
        for each in ec2.describe_availability_zones(Filters=filters(state="available"))["AvailabilityZones"]
    ]
    public = [make_subnet(ec2, vpc_id, 1 + n, zones[n], public=True) for n in range(2)]
    private = [make_subnet(ec2, vpc_id, 11 + n, zones[n], public=False) for n in range(2)]
    gateway = ec2.create_internet_gateway(TagSpecifications=named("internet-gateway", "shop"))["InternetGateway"]
    gateway_id = gateway["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
    (found,) = ec2.describe_internet_gateways(InternetGatewayIds=[gateway_id])["InternetGateways"]
    assert found["Attachments"] == [{"State": "available", "VpcId": vpc_id}]
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=named("elastic-ip", "shop"))
    named_by = ec2.describe_addresses_attribute(AllocationIds=[address["AllocationId"]], Attribute="domain-name")
    assert all(not each.get("PtrRecord") for each in named_by["Addresses"])
    nat = ec2.create_nat_gateway(
        AllocationId=address["AllocationId"],
        SubnetId=public[0],
        ConnectivityType="public",
        ClientToken="terraform-1",
        TagSpecifications=named("natgateway", "shop"),
    )["NatGateway"]
    assert nat["State"] == "pending"
    associations = make_table(ec2, vpc_id, "public", public, GatewayId=gateway_id)
    associations += make_table(ec2, vpc_id, "private", private, NatGatewayId=nat["NatGatewayId"])
    empty_defaults(ec2, vpc_id, public + private)

    group = ec2.create_security_group(
        GroupName="shop-web", Description="Managed", VpcId=vpc_id, TagSpecifications=named("security-group", "shop")
    )["GroupId"]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    rule = ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
        TagSpecifications=named("security-group-rule", "web"),
    )["SecurityGroupRules"][0]
    ec2.modify_security_group_rules(
        GroupId=group,
        SecurityGroupRules=[
            {
                "SecurityGroupRuleId": rule["SecurityGroupRuleId"],
                "SecurityGroupRule": {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIpv4": "10.0.0.0/8"},
            }
        ],
    )
    (rule,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])[
        "SecurityGroupRules"
    ]
    assert (rule["FromPort"], rule["CidrIpv4"], rule["Tags"]) == (443, "10.0.0.0/8", [{"Key": "Name", "Value": "web"}])

    # Away with it, in the opposite order.
    ec2.delete_security_group(GroupId=group)
    for each in associations:
        ec2.disassociate_route_table(AssociationId=each)
    for each in ec2.describe_route_tables(Filters=filters(vpc_id=vpc_id))["RouteTables"]:
        if not any(one.get("Main") for one in each["Associations"]):
            ec2.delete_route(RouteTableId=each["RouteTableId"], DestinationCidrBlock="0.0.0.0/0")
            ec2.delete_route_table(RouteTableId=each["RouteTableId"])
    ec2.delete_nat_gateway(NatGatewayId=nat["NatGatewayId"])
    with pytest.raises(ClientError) as caught:
        ec2.delete_vpc(VpcId=vpc_id)
    assert caught.value.response["Error"]["Code"] == "DependencyViolation"
