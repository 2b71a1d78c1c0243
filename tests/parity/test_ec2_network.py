"""VPC networking through boto3 and the aws command, called as infrastructure tools call it."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from portside.api.ec2.service import ec2_service
from portside.control.clock import RandomIds, SystemClock
from portside.store.memory import MemoryStore


@pytest.fixture
def served(serve: Callable[..., Any]) -> Any:
    return serve([ec2_service(MemoryStore(), SystemClock(), RandomIds(), "198.18.0.0/28")])


@pytest.fixture
def ec2(served: Any) -> Any:
    return served.client("ec2")


def code_of(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def by(name: str, *values: str) -> dict[str, Any]:
    return {"Name": name, "Values": list(values)}


def tagged(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


@pytest.fixture
def vpc_id(ec2: Any) -> str:
    made: str = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tagged("vpc", "main"))["Vpc"]["VpcId"]
    return made


def make_subnet(ec2: Any, vpc_id: str, block: str = "10.0.1.0/24", **params: Any) -> str:
    made: str = ec2.create_subnet(VpcId=vpc_id, CidrBlock=block, **params)["Subnet"]["SubnetId"]
    return made


def make_gateway(ec2: Any, vpc_id: str) -> str:
    made: str = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=vpc_id)
    return made


def main_table(ec2: Any, vpc_id: str) -> Any:
    (table,) = ec2.describe_route_tables(Filters=[by("vpc-id", vpc_id), by("association.main", "true")])["RouteTables"]
    return table


def test_vpc_comes_with_its_defaults(ec2: Any, vpc_id: str) -> None:
    """A new VPC has a main route table with the local route, a default list and a default group, and no way out."""
    (vpc,) = ec2.describe_vpcs(Filters=[by("tag:Name", "main")])["Vpcs"]
    assert (vpc["VpcId"], vpc["State"], vpc["IsDefault"]) == (vpc_id, "available", False)
    table = main_table(ec2, vpc_id)
    assert table["Routes"] == [
        {
            "DestinationCidrBlock": "10.0.0.0/16",
            "GatewayId": "local",
            "Origin": "CreateRouteTable",
            "State": "active",
        }
    ]
    (acl,) = ec2.describe_network_acls(Filters=[by("vpc-id", vpc_id), by("default", "true")])["NetworkAcls"]
    assert [(e["RuleNumber"], e["Egress"], e["RuleAction"]) for e in acl["Entries"]] == [
        (100, False, "allow"),
        (32767, False, "deny"),
        (100, True, "allow"),
        (32767, True, "deny"),
    ]
    (group,) = ec2.describe_security_groups(Filters=[by("vpc-id", vpc_id), by("group-name", "default")])[
        "SecurityGroups"
    ]
    assert group["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"] == group["GroupId"]
    assert ec2.describe_internet_gateways(Filters=[by("attachment.vpc-id", vpc_id)])["InternetGateways"] == []


def test_vpc_attributes(ec2: Any, vpc_id: str) -> None:
    """Attributes are read and changed one at a time; what is not there is refused by name."""

    def value(name: str) -> bool:
        answer = ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute=name)
        return bool(answer[name[0].upper() + name[1:]]["Value"])

    assert value("enableDnsSupport")
    assert not value("enableDnsHostnames")
    assert not value("enableNetworkAddressUsageMetrics")
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True})
    assert value("enableDnsHostnames")
    assert (
        code_of(ec2.modify_vpc_attribute, VpcId=vpc_id, EnableNetworkAddressUsageMetrics={"Value": True})
        == "UnsupportedOperation"
    )
    assert code_of(ec2.create_vpc, CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True) == "UnsupportedOperation"
    assert code_of(ec2.create_vpc, CidrBlock="10.0.0.0/8") == "InvalidVpc.Range"
    assert code_of(ec2.create_vpc, CidrBlock="198.18.0.0/16") == "InvalidVpc.Range"
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsSupport={"Value": False})
    assert not value("enableDnsSupport")
    assert value("enableDnsHostnames")
    assert code_of(ec2.create_vpc, CidrBlock="ten") == "InvalidParameterValue"
    assert code_of(ec2.create_vpc) == "MissingParameter"
    (options,) = ec2.describe_dhcp_options()["DhcpOptions"]
    assert ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]["DhcpOptionsId"] == options["DhcpOptionsId"]


def test_further_blocks(ec2: Any, vpc_id: str) -> None:
    """A VPC takes further blocks, which its routes and subnets know; one in use stays."""
    made = ec2.associate_vpc_cidr_block(VpcId=vpc_id, CidrBlock="10.1.0.0/16")["CidrBlockAssociation"]
    assert {"10.0.0.0/16", "10.1.0.0/16"} == {
        each["DestinationCidrBlock"] for each in main_table(ec2, vpc_id)["Routes"]
    }
    subnet_id = make_subnet(ec2, vpc_id, "10.1.5.0/24")
    association = made["AssociationId"]
    assert code_of(ec2.disassociate_vpc_cidr_block, AssociationId=association) == "DependencyViolation"
    ec2.delete_subnet(SubnetId=subnet_id)
    ec2.disassociate_vpc_cidr_block(AssociationId=association)
    assert code_of(ec2.associate_vpc_cidr_block, VpcId=vpc_id, CidrBlock="10.0.128.0/20") == "InvalidVpc.Range"
    (vpc,) = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"]
    (first,) = vpc["CidrBlockAssociationSet"]
    assert code_of(ec2.disassociate_vpc_cidr_block, AssociationId=first["AssociationId"]) == "OperationNotPermitted"


def test_subnets(ec2: Any, vpc_id: str) -> None:
    """Subnets lie in their VPC and its zones, do not overlap, and are changed and deleted."""
    subnet_id = make_subnet(ec2, vpc_id, AvailabilityZone="us-east-1b", TagSpecifications=tagged("subnet", "private"))
    (subnet,) = ec2.describe_subnets(Filters=[by("vpc-id", vpc_id), by("tag:Name", "private")])["Subnets"]
    assert (subnet["AvailabilityZone"], subnet["AvailableIpAddressCount"]) == ("us-east-1b", 251)
    assert not subnet["MapPublicIpOnLaunch"]
    ec2.modify_subnet_attribute(SubnetId=subnet_id, MapPublicIpOnLaunch={"Value": True})
    assert ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["MapPublicIpOnLaunch"]
    assert code_of(ec2.modify_subnet_attribute, SubnetId=subnet_id, EnableDns64={"Value": True}) == (
        "UnsupportedOperation"
    )
    create = ec2.create_subnet
    assert code_of(create, VpcId=vpc_id, CidrBlock="10.0.1.128/25") == "InvalidSubnet.Conflict"
    assert code_of(create, VpcId=vpc_id, CidrBlock="10.9.0.0/24") == "InvalidSubnet.Range"
    assert code_of(create, VpcId=vpc_id, CidrBlock="10.0.2.0/29") == "InvalidSubnet.Range"
    assert code_of(create, VpcId=vpc_id, CidrBlock="10.0.2.0/24", AvailabilityZone="x") == "InvalidParameterValue"
    assert code_of(create, VpcId="vpc-0", CidrBlock="10.0.2.0/24") == "InvalidVpcID.NotFound"
    (acl,) = ec2.describe_network_acls(Filters=[by("association.subnet-id", subnet_id)])["NetworkAcls"]
    assert acl["IsDefault"]
    ec2.delete_subnet(SubnetId=subnet_id)
    assert code_of(ec2.delete_subnet, SubnetId=subnet_id) == "InvalidSubnetID.NotFound"


def test_routes(ec2: Any, vpc_id: str) -> None:
    """A table gets routes; one whose gateway is detached is a black hole; what can not be is refused."""
    gateway_id = make_gateway(ec2, vpc_id)
    table_id = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    world = {"RouteTableId": table_id, "DestinationCidrBlock": "0.0.0.0/0"}
    assert ec2.create_route(**world, GatewayId=gateway_id)["Return"]
    assert ec2.create_route(**world, GatewayId=gateway_id)["Return"], "the same again"

    def routes() -> dict[str, tuple[str, str]]:
        (table,) = ec2.describe_route_tables(RouteTableIds=[table_id])["RouteTables"]
        return {r["DestinationCidrBlock"]: (r.get("GatewayId", ""), r["State"]) for r in table["Routes"]}

    assert routes()["0.0.0.0/0"] == (gateway_id, "active")
    assert ec2.describe_route_tables(Filters=[by("route.gateway-id", gateway_id)])["RouteTables"]
    ec2.detach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
    assert routes()["0.0.0.0/0"] == (gateway_id, "blackhole")
    other = make_gateway(ec2, vpc_id)
    assert code_of(ec2.create_route, **world, GatewayId=other) == "RouteAlreadyExists"
    ec2.replace_route(**world, GatewayId=other)
    assert routes()["0.0.0.0/0"] == (other, "active")
    inner = {"RouteTableId": table_id, "DestinationCidrBlock": "10.0.3.0/24"}
    assert code_of(ec2.create_route, **inner, GatewayId=other) == "InvalidParameterValue"
    assert code_of(ec2.create_route, **world) == "MissingParameter"
    assert code_of(ec2.create_route, **world, GatewayId="igw-0") == "InvalidGatewayID.NotFound"
    assert code_of(ec2.create_route, **world, NatGatewayId="nat-0") == "InvalidNatGatewayID.NotFound"
    assert code_of(ec2.create_route, **world, TransitGatewayId="tgw-0") == "UnsupportedOperation"
    assert code_of(ec2.create_route, RouteTableId=table_id, DestinationIpv6CidrBlock="::/0", GatewayId=other) == (
        "UnsupportedOperation"
    )
    ec2.delete_route(**world)
    assert list(routes()) == ["10.0.0.0/16"]
    assert code_of(ec2.delete_route, **world) == "InvalidRoute.NotFound"
    assert (
        code_of(ec2.delete_route, RouteTableId=table_id, DestinationCidrBlock="10.0.0.0/16") == "InvalidParameterValue"
    )


def test_route_table_associations(ec2: Any, vpc_id: str) -> None:
    """A subnet has one table; the main one can be another; a table with associations stays."""
    subnet_id = make_subnet(ec2, vpc_id)
    first, second = (ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"] for _ in range(2))
    made = ec2.associate_route_table(RouteTableId=first, SubnetId=subnet_id)
    assert made["AssociationState"]["State"] == "associated"
    association = made["AssociationId"]
    (found,) = ec2.describe_route_tables(Filters=[by("association.route-table-association-id", association)])[
        "RouteTables"
    ]
    assert found["RouteTableId"] == first
    assert code_of(ec2.associate_route_table, RouteTableId=second, SubnetId=subnet_id) == "Resource.AlreadyAssociated"
    assert code_of(ec2.delete_route_table, RouteTableId=first) == "DependencyViolation"
    replaced = ec2.replace_route_table_association(AssociationId=association, RouteTableId=second)["NewAssociationId"]
    (found,) = ec2.describe_route_tables(Filters=[by("association.subnet-id", subnet_id)])["RouteTables"]
    assert found["RouteTableId"] == second
    ec2.delete_route_table(RouteTableId=first)
    ec2.disassociate_route_table(AssociationId=replaced)
    assert ec2.describe_route_tables(Filters=[by("association.subnet-id", subnet_id)])["RouteTables"] == []
    before = main_table(ec2, vpc_id)
    main = before["Associations"][0]["RouteTableAssociationId"]
    assert code_of(ec2.disassociate_route_table, AssociationId=main) == "InvalidParameterValue"
    ec2.replace_route_table_association(AssociationId=main, RouteTableId=second)
    assert main_table(ec2, vpc_id)["RouteTableId"] == second
    ec2.delete_route_table(RouteTableId=before["RouteTableId"])
    assert code_of(ec2.disassociate_route_table, AssociationId="rtbassoc-0") == "InvalidAssociationID.NotFound"


def test_internet_gateways(ec2: Any, vpc_id: str) -> None:
    """A gateway is attached to one VPC, a VPC has one, and one that is attached stays."""
    gateway_id = make_gateway(ec2, vpc_id)
    (shown,) = ec2.describe_internet_gateways(InternetGatewayIds=[gateway_id])["InternetGateways"]
    assert shown["Attachments"] == [{"State": "available", "VpcId": vpc_id}]
    call = {"InternetGatewayId": gateway_id, "VpcId": vpc_id}
    assert code_of(ec2.attach_internet_gateway, **call) == "Resource.AlreadyAssociated"
    assert code_of(ec2.delete_internet_gateway, InternetGatewayId=gateway_id) == "DependencyViolation"
    second = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    assert code_of(ec2.attach_internet_gateway, InternetGatewayId=second, VpcId=vpc_id) == "InvalidParameterValue"
    ec2.detach_internet_gateway(**call)
    assert code_of(ec2.detach_internet_gateway, **call) == "Gateway.NotAttached"
    ec2.delete_internet_gateway(InternetGatewayId=gateway_id)
    assert code_of(ec2.describe_internet_gateways, InternetGatewayIds=[gateway_id]) == (
        "InvalidInternetGatewayID.NotFound"
    )


def test_elastic_addresses(ec2: Any, vpc_id: str) -> None:
    """An address is kept, given to an interface, moved, and released once it is free."""
    subnet_id = make_subnet(ec2, vpc_id)
    one, two = (
        ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["NetworkInterfaceId"] for _ in range(2)
    )
    made = ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip", "nat"))
    allocation = made["AllocationId"]
    assert made["PublicIp"].startswith("198.18.0.")
    assert code_of(ec2.associate_address, AllocationId=allocation, NetworkInterfaceId=one) == "Gateway.NotAttached"
    make_gateway(ec2, vpc_id)
    association = ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=one)["AssociationId"]
    (shown,) = ec2.describe_addresses(Filters=[by("tag:Name", "nat")])["Addresses"]
    assert (shown["AssociationId"], shown["NetworkInterfaceId"]) == (association, one)
    (eni,) = ec2.describe_network_interfaces(Filters=[by("association.allocation-id", allocation)])["NetworkInterfaces"]
    assert eni["Association"]["PublicIp"] == made["PublicIp"]
    assert code_of(ec2.release_address, AllocationId=allocation) == "InvalidIPAddress.InUse"
    call = {"AllocationId": allocation, "NetworkInterfaceId": two}
    assert code_of(ec2.associate_address, **call, AllowReassociation=False) == "Resource.AlreadyAssociated"
    moved = ec2.associate_address(**call)["AssociationId"]
    assert moved != association
    assert "Association" not in ec2.describe_network_interfaces(NetworkInterfaceIds=[one])["NetworkInterfaces"][0]
    assert code_of(ec2.disassociate_address, AssociationId=association) == "InvalidAssociationID.NotFound"
    ec2.disassociate_address(AssociationId=moved)
    assert ec2.describe_addresses_attribute(AllocationIds=[allocation], Attribute="domain-name")["Addresses"] == []
    ec2.release_address(AllocationId=allocation)
    assert code_of(ec2.describe_addresses, AllocationIds=[allocation]) == "InvalidAllocationID.NotFound"
    for _ in range(11):
        ec2.allocate_address()
    assert code_of(ec2.allocate_address) == "AddressLimitExceeded"


def test_nat_gateways(ec2: Any, vpc_id: str) -> None:
    """A NAT gateway takes an address of its subnet and an Elastic one, and begins as pending."""
    subnet_id = make_subnet(ec2, vpc_id)
    allocation = ec2.allocate_address()["AllocationId"]
    call = {"SubnetId": subnet_id, "AllocationId": allocation, "ClientToken": "once"}
    assert code_of(ec2.create_nat_gateway, **call) == "Gateway.NotAttached"
    make_gateway(ec2, vpc_id)
    nat = ec2.create_nat_gateway(**call, TagSpecifications=tagged("natgateway", "out"))["NatGateway"]
    assert ec2.create_nat_gateway(**call)["NatGateway"]["NatGatewayId"] == nat["NatGatewayId"]
    assert nat["State"] == "pending"
    assert nat["NatGatewayAddresses"][0]["AllocationId"] == allocation
    (eni,) = ec2.describe_network_interfaces(Filters=[by("interface-type", "nat_gateway")])["NetworkInterfaces"]
    assert eni["Description"] == f"Interface for NAT Gateway {nat['NatGatewayId']}"
    assert ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["AvailableIpAddressCount"] == 250
    assert code_of(ec2.delete_subnet, SubnetId=subnet_id) == "DependencyViolation"
    table_id = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat["NatGatewayId"])
    ec2.delete_nat_gateway(NatGatewayId=nat["NatGatewayId"])
    (shown,) = ec2.describe_nat_gateways(Filter=[by("state", "deleting"), by("tag:Name", "out")])["NatGateways"]
    assert shown["NatGatewayId"] == nat["NatGatewayId"]
    (table,) = ec2.describe_route_tables(RouteTableIds=[table_id])["RouteTables"]
    assert table["Routes"][1]["State"] == "blackhole"
    assert code_of(ec2.describe_nat_gateways, NatGatewayIds=["nat-0"]) == "NatGatewayNotFound"
    private = ec2.create_nat_gateway(SubnetId=subnet_id, ConnectivityType="private")["NatGateway"]
    assert (private["ConnectivityType"], "PublicIp" in private["NatGatewayAddresses"][0]) == ("private", False)


def test_network_acls(ec2: Any, vpc_id: str) -> None:
    """A list denies everything at first; entries are made, replaced and deleted; a subnet's list is replaced."""
    subnet_id = make_subnet(ec2, vpc_id)
    acl_id = ec2.create_network_acl(VpcId=vpc_id)["NetworkAcl"]["NetworkAclId"]
    web = {
        "NetworkAclId": acl_id,
        "RuleNumber": 110,
        "Egress": False,
        "Protocol": "tcp",
        "RuleAction": "allow",
        "CidrBlock": "0.0.0.0/0",
        "PortRange": {"From": 80, "To": 81},
    }
    ec2.create_network_acl_entry(**web)
    assert code_of(ec2.create_network_acl_entry, **web) == "NetworkAclEntryAlreadyExists"
    ec2.replace_network_acl_entry(**{**web, "RuleAction": "deny"})
    (acl,) = ec2.describe_network_acls(NetworkAclIds=[acl_id])["NetworkAcls"]
    assert acl["Entries"][0] == {
        "RuleNumber": 110,
        "Egress": False,
        "Protocol": "6",
        "RuleAction": "deny",
        "CidrBlock": "0.0.0.0/0",
        "PortRange": {"From": 80, "To": 81},
    }
    ping = {**web, "RuleNumber": 120, "Protocol": "1", "IcmpTypeCode": {"Type": 8, "Code": -1}}
    ec2.create_network_acl_entry(**ping)
    assert code_of(ec2.create_network_acl_entry, **{**web, "RuleNumber": 32767}) == "InvalidParameterValue"
    assert code_of(ec2.create_network_acl_entry, **{**web, "RuleNumber": 5, "PortRange": {}}) == "MissingParameter"
    assert code_of(ec2.delete_network_acl_entry, NetworkAclId=acl_id, RuleNumber=7, Egress=False) == (
        "InvalidNetworkAclEntry.NotFound"
    )
    ec2.delete_network_acl_entry(NetworkAclId=acl_id, RuleNumber=110, Egress=False)
    (before,) = ec2.describe_network_acls(Filters=[by("association.subnet-id", subnet_id)])["NetworkAcls"]
    association = before["Associations"][0]["NetworkAclAssociationId"]
    made = ec2.replace_network_acl_association(AssociationId=association, NetworkAclId=acl_id)["NewAssociationId"]
    assert code_of(ec2.delete_network_acl, NetworkAclId=acl_id) == "DependencyViolation"
    assert code_of(ec2.delete_network_acl, NetworkAclId=before["NetworkAclId"]) == "InvalidParameterValue"
    ec2.replace_network_acl_association(AssociationId=made, NetworkAclId=before["NetworkAclId"])
    ec2.delete_network_acl(NetworkAclId=acl_id)
    assert code_of(ec2.describe_network_acls, NetworkAclIds=[acl_id]) == "InvalidNetworkAclID.NotFound"


def test_network_interfaces(ec2: Any, vpc_id: str) -> None:
    """An interface holds its addresses: they are counted, refused to others, and free again with it."""
    subnet_id = make_subnet(ec2, vpc_id)
    eni = ec2.create_network_interface(
        SubnetId=subnet_id,
        PrivateIpAddress="10.0.1.50",
        SecondaryPrivateIpAddressCount=1,
        Description="held",
        TagSpecifications=tagged("network-interface", "held"),
    )["NetworkInterface"]
    eni_id = eni["NetworkInterfaceId"]
    assert (eni["Status"], "Attachment" in eni, eni["RequesterManaged"]) == ("available", False, False)

    def free() -> int:
        return int(ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["AvailableIpAddressCount"])

    assert free() == 249
    create = ec2.create_network_interface
    assert code_of(create, SubnetId=subnet_id, PrivateIpAddress="10.0.1.50") == "InvalidIPAddress.InUse"
    assert code_of(create, SubnetId=subnet_id, PrivateIpAddress="10.0.2.50") == "InvalidParameterValue"
    assert code_of(create, SubnetId=subnet_id, Groups=["sg-00000000000000000"]) == "InvalidGroup.NotFound"
    given = ec2.assign_private_ip_addresses(NetworkInterfaceId=eni_id, PrivateIpAddresses=["10.0.1.60"])
    assert given["AssignedPrivateIpAddresses"] == [{"PrivateIpAddress": "10.0.1.60"}]
    assert free() == 248
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni_id, PrivateIpAddresses=["10.0.1.60"])
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc_id)["GroupId"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni_id, Groups=[group])
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni_id, Description={"Value": "new"})
    (shown,) = ec2.describe_network_interfaces(Filters=[by("group-id", group)])["NetworkInterfaces"]
    assert shown["Description"] == "new"
    assert code_of(
        ec2.modify_network_interface_attribute, NetworkInterfaceId=eni_id, SourceDestCheck={"Value": False}
    ) == ("UnsupportedOperation")
    assert code_of(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    ec2.delete_network_interface(NetworkInterfaceId=eni_id)
    assert free() == 251
    assert code_of(ec2.delete_network_interface, NetworkInterfaceId=eni_id) == "InvalidNetworkInterfaceID.NotFound"


def test_rules_are_changed_in_place(ec2: Any, vpc_id: str) -> None:
    """A rule is replaced by another and keeps its id, direction and tags; the same rule twice, and prefix lists, are
    refused, and then nothing of the request is done."""
    group, other = (
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc_id)["GroupId"] for name in ("a", "b")
    )
    made = ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}],
        TagSpecifications=tagged("security-group-rule", "web"),
    )["SecurityGroupRules"][0]["SecurityGroupRuleId"]

    def modify(**rule: Any) -> None:
        ec2.modify_security_group_rules(
            GroupId=group, SecurityGroupRules=[{"SecurityGroupRuleId": made, "SecurityGroupRule": rule}]
        )

    modify(IpProtocol="icmp", FromPort=8, ToPort=-1, ReferencedGroupId=other, Description="ping")
    (shown,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=[made])["SecurityGroupRules"]
    assert (shown["IpProtocol"], shown["FromPort"], shown["ToPort"]) == ("icmp", 8, -1)
    assert (shown["ReferencedGroupInfo"]["GroupId"], shown["Description"]) == (other, "ping")
    assert shown["Tags"] == [{"Key": "Name", "Value": "web"}]
    assert code_of(modify, IpProtocol="tcp", FromPort=1, ToPort=2, PrefixListId="pl-1") == (
        "InvalidPrefixListID.NotFound"
    )
    assert code_of(modify, IpProtocol="tcp", FromPort=1, ToPort=2) == "InvalidParameterCombination"
    ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="10.0.0.0/8")
    assert code_of(modify, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIpv4="10.0.0.0/8") == (
        "InvalidPermission.Duplicate"
    )
    unknown = [{"SecurityGroupRuleId": "sgr-0", "SecurityGroupRule": {}}]
    assert code_of(ec2.modify_security_group_rules, GroupId=group, SecurityGroupRules=unknown) == (
        "InvalidSecurityGroupRuleId.NotFound"
    )


def test_vpc_is_deleted_last(ec2: Any, vpc_id: str) -> None:
    """A VPC goes when nothing is left in it but its defaults, which go with it."""
    gateway_id = make_gateway(ec2, vpc_id)
    subnet_id = make_subnet(ec2, vpc_id)
    assert code_of(ec2.delete_vpc, VpcId=vpc_id) == "DependencyViolation"
    ec2.delete_subnet(SubnetId=subnet_id)
    assert code_of(ec2.delete_vpc, VpcId=vpc_id) == "DependencyViolation"
    ec2.detach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
    ec2.delete_vpc(VpcId=vpc_id)
    for describe, name in (
        (ec2.describe_route_tables, "RouteTables"),
        (ec2.describe_network_acls, "NetworkAcls"),
        (ec2.describe_security_groups, "SecurityGroups"),
    ):
        assert describe(Filters=[by("vpc-id", vpc_id)])[name] == []
    assert code_of(ec2.delete_vpc, VpcId=vpc_id) == "InvalidVpcID.NotFound"


def test_default_vpc_goes_and_comes(ec2: Any) -> None:
    """The default VPC has a way out; once deleted it stays away, until it is asked for."""
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    assert code_of(ec2.create_default_vpc) == "DefaultVpcAlreadyExists"
    table = main_table(ec2, vpc["VpcId"])
    assert {r["DestinationCidrBlock"]: r["State"] for r in table["Routes"]}["0.0.0.0/0"] == "active"
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    made = ec2.create_default_subnet(AvailabilityZone="us-east-1a")["Subnet"]
    assert (made["CidrBlock"], made["DefaultForAz"]) == ("172.31.0.0/20", True)
    assert code_of(ec2.create_default_subnet, AvailabilityZone="us-east-1a") == (
        "DefaultSubnetAlreadyExistsInAvailabilityZone"
    )
    ec2.delete_subnet(SubnetId=made["SubnetId"])
    (gateway,) = ec2.describe_internet_gateways()["InternetGateways"]
    ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc["VpcId"])
    ec2.delete_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"])
    ec2.delete_vpc(VpcId=vpc["VpcId"])
    assert ec2.describe_vpcs()["Vpcs"] == []
    assert code_of(ec2.create_default_subnet, AvailabilityZone="us-east-1a") == "DefaultVpcDoesNotExist"
    assert ec2.create_default_vpc()["Vpc"]["IsDefault"]
    assert len(ec2.describe_subnets()["Subnets"]) == 3


def test_tags_of_everything(ec2: Any, vpc_id: str) -> None:
    """Tags are put on whatever belongs to a VPC, found, and taken away."""
    subnet_id = make_subnet(ec2, vpc_id)
    gateway_id = make_gateway(ec2, vpc_id)
    table_id = main_table(ec2, vpc_id)["RouteTableId"]
    (acl,) = ec2.describe_network_acls(Filters=[by("vpc-id", vpc_id)])["NetworkAcls"]
    allocation = ec2.allocate_address()["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=subnet_id, AllocationId=allocation)["NatGateway"]["NatGatewayId"]
    every = [vpc_id, subnet_id, gateway_id, table_id, acl["NetworkAclId"], allocation, nat]
    ec2.create_tags(Resources=every, Tags=[{"Key": "stage", "Value": "test"}])
    found = ec2.describe_tags(Filters=[by("key", "stage")])["Tags"]
    assert {each["ResourceId"]: each["ResourceType"] for each in found} == dict(
        zip(
            every,
            ["vpc", "subnet", "internet-gateway", "route-table", "network-acl", "elastic-ip", "natgateway"],
            strict=True,
        )
    )
    ec2.delete_tags(Resources=every, Tags=[{"Key": "stage"}])
    assert ec2.describe_tags(Filters=[by("key", "stage")])["Tags"] == []


def test_dry_run_and_pages(ec2: Any, vpc_id: str) -> None:
    """A dry run changes nothing; long lists come in pages."""
    assert code_of(ec2.create_route_table, VpcId=vpc_id, DryRun=True) == "DryRunOperation"
    for _ in range(6):
        ec2.create_route_table(VpcId=vpc_id)
    pages = list(ec2.get_paginator("describe_route_tables").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["RouteTables"]) for page in pages] == [5, 3]


def test_vpn_gateways(ec2: Any, vpc_id: str) -> None:
    """What infrastructure tools ask on a look-up, though it can not be made, is answered: there is none."""
    asked = [by("attachment.vpc-id", vpc_id), by("attachment.state", "attached"), by("state", "available")]
    assert ec2.describe_vpn_gateways(Filters=asked)["VpnGateways"] == []


def test_with_the_aws_command(served: Any) -> None:
    """A small network by the aws command, from its own documentation's example."""
    vpc = served.aws("ec2", "create-vpc", "--cidr-block", "10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = served.aws("ec2", "create-subnet", "--vpc-id", vpc, "--cidr-block", "10.0.1.0/24")["Subnet"]["SubnetId"]
    gateway = served.aws("ec2", "create-internet-gateway")["InternetGateway"]["InternetGatewayId"]
    served.aws("ec2", "attach-internet-gateway", "--vpc-id", vpc, "--internet-gateway-id", gateway)
    table = served.aws("ec2", "create-route-table", "--vpc-id", vpc)["RouteTable"]["RouteTableId"]
    route = ("--destination-cidr-block", "0.0.0.0/0", "--gateway-id", gateway)
    assert served.aws("ec2", "create-route", "--route-table-id", table, *route) == {"Return": True}
    served.aws("ec2", "associate-route-table", "--subnet-id", subnet, "--route-table-id", table)
    served.aws("ec2", "modify-subnet-attribute", "--subnet-id", subnet, "--map-public-ip-on-launch")
    shown = served.aws("ec2", "describe-subnets", "--subnet-ids", subnet)["Subnets"][0]
    assert shown["MapPublicIpOnLaunch"]
