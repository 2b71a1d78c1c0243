"""Keeps each VPC on the node as the store has it: its namespace, groups, lists, routes and NAT gateways."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from portside.control.loop import Loop
from portside.domain import network_acl_rule, vpc_route, vpc_rule
from portside.domain.clock import Clock
from portside.domain.record import Scope
from portside.domain.refusal import RefusalKind, Refused
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
from portside.domain.vpc import (
    Eni,
    InternetGateway,
    NatGateway,
    NatGatewayState,
    NetworkAcl,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
)
from portside.node.interface import EniConfig, NatConfig, Node, SubnetConfig, VpcConfig
from portside.store.interface import Change, Store


class VpcLoop:
    """One serial worker per VPC. A VPC is made on the node when something first needs it (`ensure`), not before: most
    accounts and regions that are looked at never run anything."""

    def __init__(self, store: Store, clock: Clock, node: Node) -> None:
        self._store, self._node = store, node
        self._loop = Loop("vpc", clock, self._step)
        self._wanted: set[str] = set()  # keys of VPCs that something has needed
        self._current: set[str] = set()  # those of them that the node has as the store has them
        self._changed_since: set[str] = set()  # changed while the node was applying
        self._locks: dict[str, asyncio.Lock] = {}
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        """Follow changes of VPCs and what belongs to them; VPCs with interfaces are applied from now on."""
        self._unsubscribe = self._store.subscribe(self._changed)
        await self._node.retain_vpcs({vpc.id for vpc in self._store.scan(VPC)})
        for key in {f"{eni.scope.prefix}{eni.vpc_id}" for eni in self._store.scan(ENI)}:
            self._wanted.add(key)
            self._loop.wake(key)

    async def ensure(self, scope: Scope, vpc_id: str) -> None:
        """The VPC is on the node, with all of it as the store has it now. Awaited before a network is made in it.

        Raises: Refused NOT_FOUND; whatever the node raises.
        """
        key = f"{scope.prefix}{vpc_id}"
        if self._store.get(VPC, key) is None:
            raise Refused(RefusalKind.NOT_FOUND, f"The vpc ID '{vpc_id}' does not exist", vpc_id)
        if key in self._current:
            return
        self._wanted.add(key)  # from here on it is kept right
        await self._apply(key)

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()

    def config(self, key: str) -> VpcConfig | None:
        """What the node should have, or None if the VPC is no more."""
        vpc = self._store.get(VPC, key)
        if vpc is None:
            return None
        subnets = self._store.find(SUBNET, "vpc", vpc.id)
        blocks = {each.id: each.cidr_block for each in subnets}
        nats = [
            each
            for each in self._store.find(NAT_GATEWAY, "vpc", vpc.id)
            if each.state in (NatGatewayState.PENDING, NatGatewayState.AVAILABLE)
        ]
        return VpcConfig(
            vpc=vpc,
            subnets=self._subnets(vpc, subnets, nats),
            security_groups=tuple(self._store.find(SECURITY_GROUP, "vpc", vpc.id)),
            nat_gateways=tuple(
                _nat(each, eni, blocks[each.subnet_id])
                for each in nats
                if (eni := self._store.get(ENI, each.scope.prefix + each.eni_id)) is not None
                and each.subnet_id in blocks
            ),
        )

    def _subnets(self, vpc: Vpc, subnets: list[Subnet], nats: list[NatGateway]) -> tuple[SubnetConfig, ...]:
        tables = self._store.find(ROUTE_TABLE, "vpc", vpc.id)
        gateways = {each.id: each for each in self._store.find(INTERNET_GATEWAY, "vpc", vpc.id)}
        nats_by_id = {each.id: each for each in nats}
        entries = {
            association.subnet_id: network_acl_rule.in_order(acl.entries)
            for acl in self._store.find(NETWORK_ACL, "vpc", vpc.id)
            for association in acl.associations
        }
        configs = []
        for subnet in subnets:
            table = vpc_route.table_of(tables, subnet.id)
            configs.append(
                SubnetConfig(
                    subnet=subnet,
                    routes=tuple(
                        vpc_route.resolved(route, vpc.id, gateways, nats_by_id)
                        for route in (table.routes if table is not None else ())
                    ),
                    acl=entries.get(subnet.id),
                )
            )
        return tuple(configs)

    async def _step(self, key: str) -> datetime | None:
        await self._apply(key)
        if key not in self._wanted:
            self._loop.finish(key)
        return None

    async def _apply(self, key: str) -> None:
        # Two passes must not overtake each other on the node: the later one would be undone by the earlier.
        async with self._locks.setdefault(key, asyncio.Lock()):
            config = self.config(key)
            self._changed_since.discard(key)
            if config is not None:
                await self._node.apply_vpc(config)
                if key not in self._changed_since:
                    self._current.add(key)
            elif key in self._wanted:
                await self._node.remove_vpc(key.rsplit("/", 1)[-1])
                self._wanted.discard(key)

    def _changed(self, change: Change) -> None:
        record = change.value or change.old
        if isinstance(record, Vpc):
            self._wake(change.key)
        elif isinstance(record, SecurityGroup | Subnet | RouteTable | NetworkAcl | NatGateway):
            self._wake(f"{record.scope.prefix}{record.vpc_id}")
        elif isinstance(record, InternetGateway):
            for each in (change.value, change.old):
                if isinstance(each, InternetGateway) and each.vpc_id is not None:
                    self._wake(f"{each.scope.prefix}{each.vpc_id}")
        elif isinstance(record, Eni) and record.interface_type == "nat_gateway":
            self._wake(f"{record.scope.prefix}{record.vpc_id}")

    def _wake(self, key: str) -> None:
        self._current.discard(key)
        if key in self._wanted:
            self._changed_since.add(key)
            self._loop.wake(key)


def _nat(nat: NatGateway, eni: Eni, block: str) -> NatConfig:
    return NatConfig(
        nat_gateway_id=nat.id,
        eni=EniConfig(
            eni_id=eni.id,
            vpc_id=eni.vpc_id,
            address=eni.address,
            prefix_length=vpc_rule.prefix_length(block),
            gateway=vpc_rule.gateway(block),
            mac_address=eni.mac_address,
            security_group_ids=(),
        ),
        public_address=eni.public_address,
    )
