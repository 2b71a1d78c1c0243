"""The network that every account has in every region from the start, as EC2 makes it."""

from dataclasses import replace
from typing import Any

from portside.aws.service import Handler, Params, RequestContext, Service
from portside.domain import vpc_rule
from portside.domain.clock import Clock, Ids
from portside.domain.record import Scope
from portside.domain.table import SECURITY_GROUP, SUBNET, VPC
from portside.domain.vpc import SecurityGroup, SecurityGroupRule, Subnet, Vpc
from portside.store.interface import ABSENT, Put, Store


def ensure_default_network(store: Store, clock: Clock, ids: Ids, scope: Scope) -> None:
    """The default VPC (172.31.0.0/16), a /20 subnet in each of three zones, the default security group.

    Made once per account and region, in one commit; costs a look-up afterwards.
    Source: https://docs.aws.amazon.com/vpc/latest/userguide/default-vpc-components.html
    """
    if next(iter(store.scan(VPC, scope.prefix)), None) is not None:
        return
    now = clock.now()
    vpc = Vpc(scope=scope, id=new_id(ids, "vpc"), cidr_block=vpc_rule.DEFAULT_VPC_CIDR, is_default=True, created_at=now)
    subnets = [
        Subnet(
            scope=scope,
            id=new_id(ids, "subnet"),
            vpc_id=vpc.id,
            cidr_block=cidr,
            zone=f"{scope.region}{letter}",
            zone_id=vpc_rule.zone_id(scope.region, letter),
            default_for_zone=True,
            map_public_ip=True,
            created_at=now,
        )
        for letter, cidr in zip(vpc_rule.ZONE_LETTERS, vpc_rule.DEFAULT_SUBNET_CIDRS, strict=True)
    ]
    group_id = new_id(ids, "sg")
    group = SecurityGroup(
        scope=scope,
        id=group_id,
        vpc_id=vpc.id,
        name="default",
        description="default VPC security group",
        rules=(
            SecurityGroupRule(id=new_id(ids, "sgr"), egress=False, protocol="-1", group_id=group_id),
            open_egress(ids),
        ),
        created_at=now,
    )
    writes: list[Any] = [Put(SUBNET, subnet, expect=ABSENT) for subnet in subnets]
    store.transact(Put(VPC, vpc, expect=ABSENT), *writes, Put(SECURITY_GROUP, group, expect=ABSENT))


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
