"""VPCs and subnets: described. (Making and deleting them is not implemented.)"""

import hashlib
from typing import Any

from portside.api.ec2 import error
from portside.api.ec2.selection import answer, flag, page, selected, tag_list
from portside.aws.service import Params, RequestContext, Result
from portside.domain import vpc_rule
from portside.domain.table import ENI, SUBNET, VPC
from portside.domain.vpc import Subnet, Vpc
from portside.store.interface import Store


class VpcHandlers:
    def __init__(self, store: Store) -> None:
        self._store = store

    def describe_vpcs(self, context: RequestContext, params: Params) -> Result:
        for vpc_id in params.get("VpcIds") or ():
            if self._store.get(VPC, context.prefix + vpc_id) is None:
                raise error.vpc_not_found(vpc_id)
        asked = set(params.get("VpcIds") or ())
        vpcs = [each for each in self._store.scan(VPC, context.prefix) if not asked or each.id in asked]
        rows, token = page(selected(vpcs, params, _VPC_FIELDS, lambda v: v.tags), params, lambda v: v.id)
        return answer("Vpcs", [_vpc_to_wire(each) for each in rows], token)

    def describe_subnets(self, context: RequestContext, params: Params) -> Result:
        for subnet_id in params.get("SubnetIds") or ():
            if self._store.get(SUBNET, context.prefix + subnet_id) is None:
                raise error.subnet_not_found(subnet_id)
        asked = set(params.get("SubnetIds") or ())
        subnets = [each for each in self._store.scan(SUBNET, context.prefix) if not asked or each.id in asked]
        fields = {**_SUBNET_FIELDS, "available-ip-address-count": lambda s: [str(self._free(s))]}
        rows, token = page(selected(subnets, params, fields, lambda s: s.tags), params, lambda s: s.id)
        return answer("Subnets", [self._subnet_to_wire(each) for each in rows], token)

    def _free(self, subnet: Subnet) -> int:
        return vpc_rule.usable_count(subnet.cidr_block) - len(self._store.find(ENI, "subnet", subnet.id))

    def _subnet_to_wire(self, subnet: Subnet) -> dict[str, Any]:
        return {
            "SubnetId": subnet.id,
            "SubnetArn": f"arn:aws:ec2:{subnet.scope.region}:{subnet.scope.account}:subnet/{subnet.id}",
            "VpcId": subnet.vpc_id,
            "OwnerId": subnet.scope.account,
            "State": "available",
            "CidrBlock": subnet.cidr_block,
            "AvailableIpAddressCount": self._free(subnet),
            "AvailabilityZone": subnet.zone,
            "AvailabilityZoneId": subnet.zone_id,
            "DefaultForAz": subnet.default_for_zone,
            "MapPublicIpOnLaunch": subnet.map_public_ip,
            "MapCustomerOwnedIpOnLaunch": False,
            "AssignIpv6AddressOnCreation": False,
            "Ipv6CidrBlockAssociationSet": [],
            "Ipv6Native": False,
            "EnableDns64": False,
            "PrivateDnsNameOptionsOnLaunch": {
                "HostnameType": "ip-name",
                "EnableResourceNameDnsARecord": False,
                "EnableResourceNameDnsAAAARecord": False,
            },
            "Tags": tag_list(subnet.tags),
        }


def _dhcp_options_id(vpc: Vpc) -> str:
    return "dopt-0" + hashlib.sha256(vpc.scope.prefix.encode()).hexdigest()[:16]


def _vpc_to_wire(vpc: Vpc) -> dict[str, Any]:
    return {
        "VpcId": vpc.id,
        "OwnerId": vpc.scope.account,
        "State": "available",
        "CidrBlock": vpc.cidr_block,
        "CidrBlockAssociationSet": [
            {
                "AssociationId": vpc.id.replace("vpc-", "vpc-cidr-assoc-"),
                "CidrBlock": vpc.cidr_block,
                "CidrBlockState": {"State": "associated"},
            }
        ],
        "DhcpOptionsId": _dhcp_options_id(vpc),
        "InstanceTenancy": "default",
        "IsDefault": vpc.is_default,
        "Tags": tag_list(vpc.tags),
    }


_VPC_FIELDS = {
    "vpc-id": lambda v: [v.id],
    "cidr": lambda v: [v.cidr_block],
    "cidr-block-association.cidr-block": lambda v: [v.cidr_block],
    "cidr-block-association.association-id": lambda v: [v.id.replace("vpc-", "vpc-cidr-assoc-")],
    "cidr-block-association.state": lambda v: ["associated"],
    "dhcp-options-id": lambda v: [_dhcp_options_id(v)],
    "is-default": lambda v: flag(v.is_default),
    "isDefault": lambda v: flag(v.is_default),
    "owner-id": lambda v: [v.scope.account],
    "state": lambda v: ["available"],
}
_SUBNET_FIELDS = {
    "subnet-id": lambda s: [s.id],
    "subnet-arn": lambda s: [f"arn:aws:ec2:{s.scope.region}:{s.scope.account}:subnet/{s.id}"],
    "vpc-id": lambda s: [s.vpc_id],
    "availability-zone": lambda s: [s.zone],
    "availabilityZone": lambda s: [s.zone],
    "availability-zone-id": lambda s: [s.zone_id],
    "availabilityZoneId": lambda s: [s.zone_id],
    "cidr": lambda s: [s.cidr_block],
    "cidr-block": lambda s: [s.cidr_block],
    "cidrBlock": lambda s: [s.cidr_block],
    "default-for-az": lambda s: flag(s.default_for_zone),
    "defaultForAz": lambda s: flag(s.default_for_zone),
    "map-public-ip-on-launch": lambda s: flag(s.map_public_ip),
    "owner-id": lambda s: [s.scope.account],
    "state": lambda s: ["available"],
}
