"""Virtual networks as EC2 has them: VPC, subnet, routes, gateways, addresses, groups, lists, interfaces (ENI)."""

from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from portside.domain.record import Record, Scope, Tags


class VpcCidrBlock(Record, frozen=True, kw_only=True):
    association_id: str
    cidr_block: str


class Vpc(Record, frozen=True, kw_only=True):
    """`further_cidr_blocks` are those associated after the first."""

    scope: Scope
    id: str
    cidr_block: str
    further_cidr_blocks: tuple[VpcCidrBlock, ...] = ()
    is_default: bool = False
    dns_support: bool = True
    dns_hostnames: bool = True
    tags: Tags = ()
    created_at: datetime


class Subnet(Record, frozen=True, kw_only=True):
    scope: Scope
    id: str
    vpc_id: str
    cidr_block: str
    zone: str
    zone_id: str
    default_for_zone: bool = False
    map_public_ip: bool = False
    tags: Tags = ()
    created_at: datetime


class SecurityGroupRule(Record, frozen=True, kw_only=True):
    """One permission. `protocol` is tcp, udp, icmp, a number as text, or "-1" for all (then no ports). Exactly one of
    `cidr` and `group_id` names the other side. For icmp the ports are type and code, -1 for any."""

    id: str
    egress: bool
    protocol: str
    from_port: int | None = None
    to_port: int | None = None
    cidr: str | None = None
    cidr_v6: str | None = None
    group_id: str | None = None
    description: str | None = None
    tags: Tags = ()


class SecurityGroup(Record, frozen=True, kw_only=True):
    scope: Scope
    id: str
    vpc_id: str
    name: str
    description: str
    rules: tuple[SecurityGroupRule, ...] = ()
    tags: Tags = ()
    created_at: datetime


_INSTANCE: Final = "instance:"


def instance_owner(instance_id: str) -> str:
    """`Eni.owner` of an instance's interfaces."""
    return f"{_INSTANCE}{instance_id}"


class Eni(Record, frozen=True, kw_only=True):
    """A network interface. `owner` says what uses it: `task:<task key>`, `instance:<id>`, `loadbalancer:<arn>`,
    `natgateway:<id>`, `mounttarget:<id>`, or nothing: then it is available. `public_address` is an Elastic one if there
    is an `allocation_id`. `device_index` and `delete_on_termination` are those of one that an instance has,
    `attached_at` of one that it got after its launch."""

    scope: Scope
    id: str
    subnet_id: str
    vpc_id: str
    zone: str
    address: str
    mac_address: str
    private_dns_name: str
    security_group_ids: tuple[str, ...]
    description: str = ""
    interface_type: Literal["interface", "load_balancer", "nat_gateway", "efs"] = "interface"
    requester_managed: bool = True
    owner: str = ""
    public_address: str | None = None
    allocation_id: str = ""
    secondary_addresses: tuple[str, ...] = ()
    client_token: str = ""
    attachment_id: str = ""
    device_index: int = 0
    delete_on_termination: bool = True
    attached_at: datetime | None = None
    tags: Tags = ()
    created_at: datetime

    @property
    def instance_id(self) -> str:
        """The instance that has it; empty if none has."""
        return self.owner.removeprefix(_INSTANCE) if self.owner.startswith(_INSTANCE) else ""


class Route(Record, frozen=True, kw_only=True):
    """One of a route table's own routes; that to the VPC itself is not kept. One target is given."""

    destination: str
    gateway_id: str | None = None
    nat_gateway_id: str | None = None


class RouteTableAssociation(Record, frozen=True, kw_only=True):
    """`subnet_id` None: the table is the VPC's main one, for subnets without a table of their own."""

    id: str
    subnet_id: str | None = None


class RouteTable(Record, frozen=True, kw_only=True):
    scope: Scope
    id: str
    vpc_id: str
    routes: tuple[Route, ...] = ()
    associations: tuple[RouteTableAssociation, ...] = ()
    client_token: str = ""
    tags: Tags = ()
    created_at: datetime

    @property
    def is_main(self) -> bool:
        return any(each.subnet_id is None for each in self.associations)


class InternetGateway(Record, frozen=True, kw_only=True):
    scope: Scope
    id: str
    vpc_id: str | None = None
    tags: Tags = ()
    created_at: datetime


class ElasticAddress(Record, frozen=True, kw_only=True):
    """A public address that an account keeps. `id` is its allocation id; associated if it has an `eni_id`.

    `load_balancer_arn`: a load balancer that it was given to, from before that has an interface until it has none."""

    scope: Scope
    id: str
    public_address: str
    association_id: str = ""
    eni_id: str = ""
    private_address: str = ""
    load_balancer_arn: str = ""
    tags: Tags = ()
    created_at: datetime

    @property
    def is_in_use(self) -> bool:
        return bool(self.eni_id or self.load_balancer_arn)


class NatGatewayState(StrEnum):
    PENDING = "pending"
    AVAILABLE = "available"
    DELETING = "deleting"
    DELETED = "deleted"


class NatGateway(Record, frozen=True, kw_only=True):
    """`public_address` and `allocation_id` are empty for one whose connectivity is private."""

    scope: Scope
    id: str
    vpc_id: str
    subnet_id: str
    state: NatGatewayState = NatGatewayState.PENDING
    eni_id: str
    address: str
    public_address: str = ""
    allocation_id: str = ""
    association_id: str = ""
    client_token: str = ""
    tags: Tags = ()
    created_at: datetime
    deleted_at: datetime | None = None


class NetworkAclEntry(Record, frozen=True, kw_only=True):
    """`protocol` is a number as text, "-1" for all. For icmp the ports are type and code, -1 for any."""

    rule_number: int
    egress: bool
    protocol: str
    allow: bool
    cidr: str | None = None
    cidr_v6: str | None = None
    from_port: int | None = None
    to_port: int | None = None


class NetworkAclAssociation(Record, frozen=True, kw_only=True):
    id: str
    subnet_id: str


class NetworkAcl(Record, frozen=True, kw_only=True):
    """`entries` without the last one of all lists, which denies."""

    scope: Scope
    id: str
    vpc_id: str
    is_default: bool = False
    entries: tuple[NetworkAclEntry, ...] = ()
    associations: tuple[NetworkAclAssociation, ...] = ()
    client_token: str = ""
    tags: Tags = ()
    created_at: datetime


class DefaultNetwork(Record, frozen=True, kw_only=True):
    """That an account was given its default network in a region: once deleted, it does not come back by itself."""

    scope: Scope
