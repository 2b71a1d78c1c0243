"""The network that every account has in every region from the start, as EC2 makes it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from portside.aws.service import Handler, Params, RequestContext, Service
from portside.domain import network_acl_rule, vpc_rule
from portside.domain.clock import Clock, Ids
from portside.domain.record import Scope
from portside.domain.table import (
    DEFAULT_NETWORK,
    INTERNET_GATEWAY,
    NETWORK_ACL,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    VPC,
)
from portside.domain.vpc import (
    DefaultNetwork,
    InternetGateway,
    NetworkAcl,
    NetworkAclAssociation,
    Route,
    RouteTable,
    RouteTableAssociation,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
    Vpc,
)
from portside.store.interface import ABSENT, Put, Store, Write


def ensure_default_network(store: Store, clock: Clock, ids: Ids, scope: Scope) -> None:
    """The default VPC (172.31.0.0/16) with a /20 subnet in each of three zones and a way out.

    Made once per account and region, in one commit; costs a look-up afterwards. Once deleted it stays away until
    CreateDefaultVpc asks for it.
    Source: https://docs.aws.amazon.com/vpc/latest/userguide/default-vpc-components.html
    """
    if store.get(DEFAULT_NETWORK, scope.prefix) is not None:
        return
    writes: list[Write] = [Put(DEFAULT_NETWORK, DefaultNetwork(scope=scope), expect=ABSENT)]
    there = list(store.scan(VPC, scope.prefix))
    for vpc in there:
        writes += _completion(store, clock, ids, vpc)
    if not there:
        writes += default_network(clock, ids, scope)[1]
    store.transact(*writes)


def default_network(clock: Clock, ids: Ids, scope: Scope) -> tuple[Vpc, list[Write]]:
    """A default VPC with all that belongs to it."""
    now = clock.now()
    vpc = Vpc(scope=scope, id=new_id(ids, "vpc"), cidr_block=vpc_rule.DEFAULT_VPC_CIDR, is_default=True, created_at=now)
    subnets = [
        default_subnet(clock, ids, vpc, letter, cidr)
        for letter, cidr in zip(vpc_rule.ZONE_LETTERS, vpc_rule.DEFAULT_SUBNET_CIDRS, strict=True)
    ]
    return vpc, [
        Put(VPC, vpc, expect=ABSENT),
        *(Put(SUBNET, subnet, expect=ABSENT) for subnet in subnets),
        Put(SECURITY_GROUP, default_group(clock, ids, vpc), expect=ABSENT),
        *_way_out(clock, ids, vpc),
        Put(NETWORK_ACL, default_acl(clock, ids, vpc, subnets), expect=ABSENT),
    ]


def default_subnet(clock: Clock, ids: Ids, vpc: Vpc, letter: str, cidr: str) -> Subnet:
    return Subnet(
        scope=vpc.scope,
        id=new_id(ids, "subnet"),
        vpc_id=vpc.id,
        cidr_block=cidr,
        zone=f"{vpc.scope.region}{letter}",
        zone_id=vpc_rule.zone_id(vpc.scope.region, letter),
        default_for_zone=True,
        map_public_ip=True,
        created_at=clock.now(),
    )


def default_group(clock: Clock, ids: Ids, vpc: Vpc) -> SecurityGroup:
    """The group that every VPC has: it admits its own members and lets everything out."""
    group_id = new_id(ids, "sg")
    return SecurityGroup(
        scope=vpc.scope,
        id=group_id,
        vpc_id=vpc.id,
        name="default",
        description="default VPC security group",
        rules=(
            SecurityGroupRule(id=new_id(ids, "sgr"), egress=False, protocol="-1", group_id=group_id),
            open_egress(ids),
        ),
        created_at=clock.now(),
    )


def main_route_table(clock: Clock, ids: Ids, vpc: Vpc, *routes: Route) -> RouteTable:
    """The table that every VPC has, for subnets without one of their own."""
    return RouteTable(
        scope=vpc.scope,
        id=new_id(ids, "rtb"),
        vpc_id=vpc.id,
        routes=routes,
        associations=(RouteTableAssociation(id=new_id(ids, "rtbassoc")),),
        created_at=clock.now(),
    )


def default_acl(clock: Clock, ids: Ids, vpc: Vpc, subnets: Iterable[Subnet] = ()) -> NetworkAcl:
    """The list that every VPC has, for subnets without one of their own: everything may pass."""
    return NetworkAcl(
        scope=vpc.scope,
        id=new_id(ids, "acl"),
        vpc_id=vpc.id,
        is_default=True,
        entries=network_acl_rule.default_entries(),
        associations=tuple(NetworkAclAssociation(id=new_id(ids, "aclassoc"), subnet_id=each.id) for each in subnets),
        created_at=clock.now(),
    )


def _way_out(clock: Clock, ids: Ids, vpc: Vpc) -> list[Write]:
    gateway = InternetGateway(scope=vpc.scope, id=new_id(ids, "igw"), vpc_id=vpc.id, created_at=clock.now())
    route = Route(destination="0.0.0.0/0", gateway_id=gateway.id)
    return [
        Put(INTERNET_GATEWAY, gateway, expect=ABSENT),
        Put(ROUTE_TABLE, main_route_table(clock, ids, vpc, route), expect=ABSENT),
    ]


def _completion(store: Store, clock: Clock, ids: Ids, vpc: Vpc) -> list[Write]:
    """What a VPC lacks that was recorded when there were no route tables, gateways and lists."""
    writes: list[Write] = []
    if not store.find(ROUTE_TABLE, "vpc", vpc.id):
        if vpc.is_default:
            writes += _way_out(clock, ids, vpc)
        else:
            writes.append(Put(ROUTE_TABLE, main_route_table(clock, ids, vpc), expect=ABSENT))
    if not store.find(NETWORK_ACL, "vpc", vpc.id):
        subnets = store.find(SUBNET, "vpc", vpc.id)
        writes.append(Put(NETWORK_ACL, default_acl(clock, ids, vpc, subnets), expect=ABSENT))
    return writes


def with_default_network(service: Service, store: Store, clock: Clock, ids: Ids) -> Service:
    """The service, for which an account has its default network in a region from its first call on."""

    def wrap(handler: Handler) -> Handler:
        def handle(context: RequestContext, params: Params) -> Any:
            ensure_default_network(store, clock, ids, Scope(account=context.account, region=context.region))
            return handler(context, params)

        return handle

    return replace(service, handlers={name: wrap(handler) for name, handler in service.handlers.items()})


def open_egress(ids: Ids) -> SecurityGroupRule:
    """The rule every new security group starts with: everything may leave."""
    return SecurityGroupRule(id=new_id(ids, "sgr"), egress=True, protocol="-1", cidr="0.0.0.0/0")


def new_id(ids: Ids, prefix: str) -> str:
    """`prefix-` and 17 hex digits, the first of them 0 as AWS's are."""
    return f"{prefix}-0{ids.hex(16)}"
