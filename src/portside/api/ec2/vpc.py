"""VPCs: made, described, changed, deleted. What belongs to every VPC comes and goes with it."""

import hashlib
from typing import Any

from portside.api.ec2 import default_network, error
from portside.api.ec2.default_network import new_id
from portside.api.ec2.lookup import asked, dependency, found, scope_of
from portside.api.ec2.selection import answer, flag, page, selected, tag_list, tags_for
from portside.api.ec2.unsupported import refuse_others, unsupported
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import vpc_route, vpc_rule
from portside.domain.clock import Clock, Ids
from portside.domain.kind import Kind
from portside.domain.record import replace
from portside.domain.table import (
    ENI,
    INTERNET_GATEWAY,
    NAT_GATEWAY,
    NETWORK_ACL,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    VPC,
)
from portside.domain.vpc import NatGatewayState, Vpc, VpcCidrBlock
from portside.store.interface import ABSENT, Delete, Put, Store, Write

_MOST_BLOCKS = 5
"""https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html"""


_NO_NETWORKS = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "198.18.0.0/15", "224.0.0.0/3")
"""What a VPC can not be in: of the host itself, link-local, this instance's public addresses, multicast."""


class VpcHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateVpc": self.create,
            "CreateDefaultVpc": self.create_default,
            "DeleteVpc": self.delete,
            "DescribeVpcs": self.describe,
            "DescribeVpcAttribute": self.describe_attribute,
            "ModifyVpcAttribute": self.modify_attribute,
            "AssociateVpcCidrBlock": self.associate_block,
            "DisassociateVpcCidrBlock": self.disassociate_block,
            "DescribeDhcpOptions": self.describe_dhcp_options,
            "DescribeVpnGateways": self.describe_vpn_gateways,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        refuse_others("CreateVpc", params, "CidrBlock", "InstanceTenancy")
        if (params.get("InstanceTenancy") or "default") != "default":
            raise unsupported("CreateVpc", f"InstanceTenancy {params['InstanceTenancy']}")
        if not params.get("CidrBlock"):
            raise error.missing_parameter("cidrBlock")
        vpc = Vpc(
            scope=scope_of(context),
            id=new_id(self._ids, "vpc"),
            cidr_block=block_of(params["CidrBlock"], "vpc"),
            dns_hostnames=False,
            tags=tags_for(params, "vpc"),
            created_at=self._clock.now(),
        )
        self._store.transact(
            Put(VPC, vpc, expect=ABSENT),
            Put(SECURITY_GROUP, default_network.default_group(self._clock, self._ids, vpc), expect=ABSENT),
            Put(ROUTE_TABLE, default_network.main_route_table(self._clock, self._ids, vpc), expect=ABSENT),
            Put(NETWORK_ACL, default_network.default_acl(self._clock, self._ids, vpc), expect=ABSENT),
        )
        return {"Vpc": _to_wire(vpc) | {"State": "pending"}}

    def create_default(self, context: RequestContext, params: Params) -> Result:
        if any(each.is_default for each in self._store.scan(VPC, context.prefix)):
            raise ServiceError(
                "DefaultVpcAlreadyExists", "A Default VPC already exists for this account in this region."
            )
        vpc, writes = default_network.default_network(self._clock, self._ids, scope_of(context))
        self._store.transact(*writes)
        return {"Vpc": _to_wire(vpc)}

    def delete(self, context: RequestContext, params: Params) -> Result:
        vpc = found(self._store, context, VPC, params.get("VpcId"))
        groups = self._store.find(SECURITY_GROUP, "vpc", vpc.id)
        tables = self._store.find(ROUTE_TABLE, "vpc", vpc.id)
        acls = self._store.find(NETWORK_ACL, "vpc", vpc.id)
        nats = [n for n in self._store.find(NAT_GATEWAY, "vpc", vpc.id) if n.state is not NatGatewayState.DELETED]
        kinds: tuple[Kind[Any], ...] = (SUBNET, ENI, INTERNET_GATEWAY)
        if (
            any(self._store.find(kind, "vpc", vpc.id) for kind in kinds)
            or nats
            or any(each.name != "default" for each in groups)
            or any(not each.is_main for each in tables)
            or any(not each.is_default for each in acls)
        ):
            raise dependency(f"The vpc '{vpc.id}' has dependencies and cannot be deleted.")
        writes: list[Write] = [Delete(VPC, VPC.key(vpc))]
        writes += [Delete(SECURITY_GROUP, SECURITY_GROUP.key(each)) for each in groups]
        writes += [Delete(ROUTE_TABLE, ROUTE_TABLE.key(each)) for each in tables]
        writes += [Delete(NETWORK_ACL, NETWORK_ACL.key(each)) for each in acls]
        self._store.transact(*writes)
        return {}

    def describe(self, context: RequestContext, params: Params) -> Result:
        vpcs = asked(self._store, context, VPC, params.get("VpcIds"))
        rows, token = page(selected(vpcs, params, _FIELDS, lambda v: v.tags), params, lambda v: v.id)
        return answer("Vpcs", [_to_wire(each) for each in rows], token)

    def describe_attribute(self, context: RequestContext, params: Params) -> Result:
        vpc = found(self._store, context, VPC, params.get("VpcId"))
        values = {
            "enableDnsSupport": ("EnableDnsSupport", vpc.dns_support),
            "enableDnsHostnames": ("EnableDnsHostnames", vpc.dns_hostnames),
            "enableNetworkAddressUsageMetrics": ("EnableNetworkAddressUsageMetrics", False),
        }
        if params.get("Attribute") not in values:
            raise error.invalid_value(f"Value ({params.get('Attribute')}) for parameter attribute is invalid.")
        member, value = values[params["Attribute"]]
        return {"VpcId": vpc.id, member: {"Value": value}}

    def modify_attribute(self, context: RequestContext, params: Params) -> Result:
        refuse_others("ModifyVpcAttribute", params, "VpcId", "EnableDnsSupport", "EnableDnsHostnames")
        vpc = found(self._store, context, VPC, params.get("VpcId"))
        changes = [name for name in params if name.startswith("Enable")]
        if len(changes) != 1:
            raise ServiceError(
                "InvalidParameterCombination", "Exactly one attribute of a VPC can be changed by a request."
            )
        value = bool((params[changes[0]] or {}).get("Value"))
        changed = (
            replace(vpc, dns_hostnames=value) if changes[0] == "EnableDnsHostnames" else replace(vpc, dns_support=value)
        )
        self._store.transact(Put(VPC, changed))
        return {}

    def associate_block(self, context: RequestContext, params: Params) -> Result:
        refuse_others("AssociateVpcCidrBlock", params, "VpcId", "CidrBlock")
        vpc = found(self._store, context, VPC, params.get("VpcId"))
        if not params.get("CidrBlock"):
            raise error.missing_parameter("cidrBlock")
        block = block_of(params["CidrBlock"], "vpc")
        blocks = vpc_route.cidr_blocks(vpc)
        if any(vpc_rule.overlap(block, each) for each in blocks):
            raise ServiceError(
                "InvalidVpc.Range", f"The CIDR '{block}' conflicts with another CIDR block of the VPC '{vpc.id}'."
            )
        if len(blocks) >= _MOST_BLOCKS:
            raise ServiceError(
                "CidrLimitExceeded", f"This network '{vpc.id}' has met its maximum number of allowed CIDRs: 5"
            )
        for table in self._store.find(ROUTE_TABLE, "vpc", vpc.id):
            if any(vpc_rule.contains(block, each.destination) for each in table.routes):
                raise ServiceError(
                    "InvalidVpc.Range", f"The CIDR '{block}' is as large as or larger than a route of {table.id}."
                )
        made = VpcCidrBlock(association_id=new_id(self._ids, "vpc-cidr-assoc"), cidr_block=block)
        self._store.transact(Put(VPC, replace(vpc, further_cidr_blocks=(*vpc.further_cidr_blocks, made))))
        return {"VpcId": vpc.id, "CidrBlockAssociation": _association(made, "associating")}

    def disassociate_block(self, context: RequestContext, params: Params) -> Result:
        wanted = params.get("AssociationId") or ""
        for vpc in self._store.scan(VPC, context.prefix):
            if wanted == _first(vpc).association_id:
                raise ServiceError(
                    "OperationNotPermitted",
                    f"The vpc CIDR block with association ID {wanted} may not be disassociated. It is the primary IPv4"
                    " CIDR block of the VPC",
                )
            gone = next((each for each in vpc.further_cidr_blocks if each.association_id == wanted), None)
            if gone is None:
                continue
            subnets = self._store.find(SUBNET, "vpc", vpc.id)
            if any(vpc_rule.contains(gone.cidr_block, each.cidr_block) for each in subnets):
                raise dependency(f"The vpc '{vpc.id}' has subnets in the CIDR block {gone.cidr_block}.")
            left = tuple(each for each in vpc.further_cidr_blocks if each is not gone)
            self._store.transact(Put(VPC, replace(vpc, further_cidr_blocks=left)))
            return {"VpcId": vpc.id, "CidrBlockAssociation": _association(gone, "disassociating")}
        raise ServiceError(
            "InvalidVpcCidrBlockAssociationID.NotFound", f"The vpc CIDR block association ID '{wanted}' does not exist"
        )

    def describe_dhcp_options(self, context: RequestContext, params: Params) -> Result:
        """The one set that an account has in a region: addresses and names as EC2 gives them."""
        region = context.region
        options = {
            "DhcpOptionsId": _dhcp_options_id(context.prefix),
            "OwnerId": context.account,
            "DhcpConfigurations": [
                {
                    "Key": "domain-name",
                    "Values": [
                        {"Value": "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"},
                    ],
                },
                {"Key": "domain-name-servers", "Values": [{"Value": "AmazonProvidedDNS"}]},
            ],
            "Tags": [],
        }
        for each in params.get("DhcpOptionsIds") or ():
            if each not in (options["DhcpOptionsId"], "default"):
                raise ServiceError("InvalidDhcpOptionID.NotFound", f"The dhcpOption ID '{each}' does not exist")
        rows, token = page(selected([options], params, _DHCP_FIELDS), params, lambda o: str(o["DhcpOptionsId"]))
        return answer("DhcpOptions", rows, token)

    def describe_vpn_gateways(self, context: RequestContext, params: Params) -> Result:
        """There are none: they can not be made."""
        for each in params.get("VpnGatewayIds") or ():
            raise ServiceError("InvalidVpnGatewayID.NotFound", f"The vpnGateway ID '{each}' does not exist")
        return {"VpnGateways": []}


def block_of(text: str, of: str) -> str:
    """A block as it is kept. Raises: ServiceError, in EC2's words."""
    try:
        block = vpc_rule.normal_cidr(text)
    except vpc_rule.Malformed:
        raise error.invalid_value(
            f"Value ({text}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        ) from None
    if not 16 <= vpc_rule.prefix_length(block) <= 28:
        code = "InvalidVpc.Range" if of == "vpc" else "InvalidSubnet.Range"
        raise ServiceError(code, f"The CIDR '{text}' is invalid.")
    if of == "vpc" and any(vpc_rule.overlap(block, each) for each in _NO_NETWORKS):
        raise ServiceError("InvalidVpc.Range", f"The CIDR '{text}' is invalid.")
    return block


def _dhcp_options_id(prefix: str) -> str:
    return "dopt-0" + hashlib.sha256(prefix.encode()).hexdigest()[:16]


def _first(vpc: Vpc) -> VpcCidrBlock:
    return VpcCidrBlock(association_id=vpc.id.replace("vpc-", "vpc-cidr-assoc-"), cidr_block=vpc.cidr_block)


def _blocks(vpc: Vpc) -> list[VpcCidrBlock]:
    return [_first(vpc), *vpc.further_cidr_blocks]


def _association(block: VpcCidrBlock, state: str) -> dict[str, Any]:
    return {
        "AssociationId": block.association_id,
        "CidrBlock": block.cidr_block,
        "CidrBlockState": {"State": state},
    }


def _to_wire(vpc: Vpc) -> dict[str, Any]:
    return {
        "VpcId": vpc.id,
        "OwnerId": vpc.scope.account,
        "State": "available",
        "CidrBlock": vpc.cidr_block,
        "CidrBlockAssociationSet": [_association(each, "associated") for each in _blocks(vpc)],
        "Ipv6CidrBlockAssociationSet": [],
        "DhcpOptionsId": _dhcp_options_id(vpc.scope.prefix),
        "InstanceTenancy": "default",
        "IsDefault": vpc.is_default,
        "Tags": tag_list(vpc.tags),
    }


_FIELDS = {
    "vpc-id": lambda v: [v.id],
    "cidr": lambda v: [v.cidr_block],
    "cidr-block": lambda v: [v.cidr_block],
    "cidr-block-association.cidr-block": lambda v: [each.cidr_block for each in _blocks(v)],
    "cidr-block-association.association-id": lambda v: [each.association_id for each in _blocks(v)],
    "cidr-block-association.state": lambda v: ["associated"],
    "dhcp-options-id": lambda v: [_dhcp_options_id(v.scope.prefix)],
    "is-default": lambda v: flag(v.is_default),
    "isDefault": lambda v: flag(v.is_default),
    "owner-id": lambda v: [v.scope.account],
    "state": lambda v: ["available"],
}
_DHCP_FIELDS = {
    "dhcp-options-id": lambda o: [o["DhcpOptionsId"]],
    "owner-id": lambda o: [o["OwnerId"]],
    "key": lambda o: [each["Key"] for each in o["DhcpConfigurations"]],
    "value": lambda o: [value["Value"] for each in o["DhcpConfigurations"] for value in each["Values"]],
}
