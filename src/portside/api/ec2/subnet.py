"""Subnets: made, described, changed, deleted."""

from typing import Any

from portside.api.ec2 import error
from portside.api.ec2.default_network import default_subnet, new_id
from portside.api.ec2.lookup import asked, dependency, found, scope_of
from portside.api.ec2.selection import answer, flag, page, selected, tag_list, tags_for
from portside.api.ec2.unsupported import refuse_others, unsupported
from portside.api.ec2.vpc import block_of
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import vpc_route, vpc_rule
from portside.domain.clock import Clock, Ids
from portside.domain.record import replace
from portside.domain.table import ENI, NETWORK_ACL, ROUTE_TABLE, SUBNET, VPC
from portside.domain.vpc import NetworkAclAssociation, Subnet
from portside.store.interface import ABSENT, Delete, Put, Store, Write


class SubnetHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateSubnet": self.create,
            "CreateDefaultSubnet": self.create_default,
            "DeleteSubnet": self.delete,
            "DescribeSubnets": self.describe,
            "ModifySubnetAttribute": self.modify,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        refuse_others("CreateSubnet", params, "VpcId", "CidrBlock", "AvailabilityZone", "AvailabilityZoneId")
        vpc = found(self._store, context, VPC, params.get("VpcId"))
        if not params.get("CidrBlock"):
            raise error.missing_parameter("cidrBlock")
        block = block_of(params["CidrBlock"], "subnet")
        if not any(vpc_rule.contains(each, block) for each in vpc_route.cidr_blocks(vpc)):
            raise ServiceError("InvalidSubnet.Range", f"The CIDR '{block}' is invalid.")
        if any(vpc_rule.overlap(block, each.cidr_block) for each in self._store.find(SUBNET, "vpc", vpc.id)):
            raise ServiceError("InvalidSubnet.Conflict", f"The CIDR '{block}' conflicts with another subnet")
        letter = _zone_letter(context.region, params)
        subnet = Subnet(
            scope=scope_of(context),
            id=new_id(self._ids, "subnet"),
            vpc_id=vpc.id,
            cidr_block=block,
            zone=f"{context.region}{letter}",
            zone_id=vpc_rule.zone_id(context.region, letter),
            tags=tags_for(params, "subnet"),
            created_at=self._clock.now(),
        )
        self._store.transact(Put(SUBNET, subnet, expect=ABSENT), *self._into_default_acl(subnet))
        return {"Subnet": self._to_wire(subnet)}

    def create_default(self, context: RequestContext, params: Params) -> Result:
        refuse_others("CreateDefaultSubnet", params, "AvailabilityZone", "AvailabilityZoneId")
        vpc = next((each for each in self._store.scan(VPC, context.prefix) if each.is_default), None)
        if vpc is None:
            raise ServiceError("DefaultVpcDoesNotExist", "No default VPC exists for this account in this region.")
        letter = _zone_letter(context.region, params)
        there = self._store.find(SUBNET, "vpc", vpc.id)
        if any(each.default_for_zone and each.zone == f"{context.region}{letter}" for each in there):
            raise ServiceError(
                "DefaultSubnetAlreadyExistsInAvailabilityZone",
                f"'{context.region}{letter}' already has a default subnet.",
            )
        block = vpc_rule.DEFAULT_SUBNET_CIDRS[vpc_rule.ZONE_LETTERS.index(letter)]
        if any(vpc_rule.overlap(block, each.cidr_block) for each in there):
            raise ServiceError("InvalidSubnet.Conflict", f"The CIDR '{block}' conflicts with another subnet")
        subnet = default_subnet(self._clock, self._ids, vpc, letter, block)
        self._store.transact(Put(SUBNET, subnet, expect=ABSENT), *self._into_default_acl(subnet))
        return {"Subnet": self._to_wire(subnet)}

    def delete(self, context: RequestContext, params: Params) -> Result:
        subnet = found(self._store, context, SUBNET, params.get("SubnetId"))
        if self._store.find(ENI, "subnet", subnet.id):
            raise dependency(f"The subnet '{subnet.id}' has dependencies and cannot be deleted.")
        writes: list[Write] = [Delete(SUBNET, SUBNET.key(subnet))]
        for table in self._store.find(ROUTE_TABLE, "vpc", subnet.vpc_id):
            left = tuple(each for each in table.associations if each.subnet_id != subnet.id)
            if left != table.associations:
                writes.append(Put(ROUTE_TABLE, replace(table, associations=left)))
        for acl in self._store.find(NETWORK_ACL, "vpc", subnet.vpc_id):
            kept = tuple(each for each in acl.associations if each.subnet_id != subnet.id)
            if kept != acl.associations:
                writes.append(Put(NETWORK_ACL, replace(acl, associations=kept)))
        self._store.transact(*writes)
        return {}

    def describe(self, context: RequestContext, params: Params) -> Result:
        subnets = asked(self._store, context, SUBNET, params.get("SubnetIds"))
        fields = {**_FIELDS, "available-ip-address-count": lambda s: [str(self._free(s))]}
        rows, token = page(selected(subnets, params, fields, lambda s: s.tags), params, lambda s: s.id)
        return answer("Subnets", [self._to_wire(each) for each in rows], token)

    def modify(self, context: RequestContext, params: Params) -> Result:
        named = {name: value for name, value in params.items() if name not in ("SubnetId", "DryRun")}
        subnet = found(self._store, context, SUBNET, params.get("SubnetId"))
        kind = named.pop("PrivateDnsHostnameTypeOnLaunch", "ip-name")
        if kind != "ip-name":
            raise unsupported("ModifySubnetAttribute", f"PrivateDnsHostnameTypeOnLaunch {kind}")
        refuse_others("ModifySubnetAttribute", named, "MapPublicIpOnLaunch")
        if "MapPublicIpOnLaunch" in named:
            subnet = replace(subnet, map_public_ip=bool((named["MapPublicIpOnLaunch"] or {}).get("Value")))
            self._store.transact(Put(SUBNET, subnet))
        return {}

    def _into_default_acl(self, subnet: Subnet) -> list[Write]:
        return [
            Put(
                NETWORK_ACL,
                replace(
                    acl,
                    associations=(
                        *acl.associations,
                        NetworkAclAssociation(id=new_id(self._ids, "aclassoc"), subnet_id=subnet.id),
                    ),
                ),
            )
            for acl in self._store.find(NETWORK_ACL, "vpc", subnet.vpc_id)
            if acl.is_default
        ]

    def _free(self, subnet: Subnet) -> int:
        taken = sum(1 + len(eni.secondary_addresses) for eni in self._store.find(ENI, "subnet", subnet.id))
        return vpc_rule.usable_count(subnet.cidr_block) - taken

    def _to_wire(self, subnet: Subnet) -> dict[str, Any]:
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


def _zone_letter(region: str, params: Params) -> str:
    """The zone that is asked for, or the first. Raises: ServiceError for one that is not there."""
    zone, zone_id = params.get("AvailabilityZone"), params.get("AvailabilityZoneId")
    if not zone and not zone_id:
        return vpc_rule.ZONE_LETTERS[0]
    for letter in vpc_rule.ZONE_LETTERS:
        if zone == f"{region}{letter}" or (not zone and zone_id == vpc_rule.zone_id(region, letter)):
            return letter
    zones = ", ".join(f"{region}{letter}" for letter in vpc_rule.ZONE_LETTERS)
    name = "availabilityZone" if zone else "availabilityZoneId"
    raise error.invalid_value(
        f"Value ({zone or zone_id}) for parameter {name} is invalid. Subnets can currently only be created in the "
        f"following availability zones: {zones}."
    )


_FIELDS = {
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
