"""Virtual networks: VPC, subnet, security group, network interface (ENI), as EC2 has them."""

from datetime import datetime
from typing import Literal

from portside.domain.record import Record, Scope, Tags


class Vpc(Record, frozen=True, kw_only=True):
    scope: Scope
    id: str
    cidr_block: str
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


class Eni(Record, frozen=True, kw_only=True):
    """A network interface. `owner` says what uses it: `task:<task key>`, `instance:<id>` or
    `loadbalancer:<arn>`."""

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
    interface_type: Literal["interface", "load_balancer"] = "interface"
    requester_managed: bool = True
    owner: str = ""
    public_address: str | None = None
    attachment_id: str = ""
    tags: Tags = ()
    created_at: datetime
