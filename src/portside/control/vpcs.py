"""Keeps each VPC's namespace and security groups on the node as the store has them."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from portside.control.loop import Loop
from portside.domain.clock import Clock
from portside.domain.record import Scope
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.table import ENI, SECURITY_GROUP, SUBNET, VPC
from portside.domain.vpc import SecurityGroup, Subnet, Vpc
from portside.node.interface import Node, VpcConfig
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
        """Follow changes of VPCs, subnets and security groups; VPCs with interfaces are applied from now on."""
        self._unsubscribe = self._store.subscribe(self._changed)
        for key in {f"{eni.scope.prefix}{eni.vpc_id}" for eni in self._store.scan(ENI)}:
            self._wanted.add(key)
            self._loop.wake(key)

    async def ensure(self, scope: Scope, vpc_id: str) -> None:
        """The VPC is on the node, with its groups as the store has them now. Awaited before a network is made in it.

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
        return VpcConfig(
            vpc=vpc,
            subnets=tuple(self._store.find(SUBNET, "vpc", vpc.id)),
            security_groups=tuple(self._store.find(SECURITY_GROUP, "vpc", vpc.id)),
        )

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
            key = change.key
        elif isinstance(record, SecurityGroup | Subnet):
            key = f"{record.scope.prefix}{record.vpc_id}"
        else:
            return
        self._current.discard(key)
        if key in self._wanted:
            self._changed_since.add(key)
            self._loop.wake(key)
