"""When a VPC is applied to the node, and when not."""

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from portside.api.ec2.default_network import ensure_default_network
from portside.control.clock import RandomIds, SystemClock
from portside.control.enis import Enis
from portside.control.vpcs import VpcLoop
from portside.domain.record import Scope, replace
from portside.domain.refusal import Refused
from portside.domain.table import SECURITY_GROUP, SUBNET, VPC
from portside.domain.task.record import NetworkRequest
from portside.domain.vpc import Vpc
from portside.node.interface import VpcConfig
from portside.store.interface import Delete, Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")


class Recorder:
    """A node that notes what it is asked to do, and can be held up."""

    def __init__(self) -> None:
        self.applied: list[VpcConfig] = []
        self.removed: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()

    async def apply_vpc(self, config: VpcConfig) -> None:
        self.entered.set()
        await self.gate.wait()
        self.applied.append(config)

    async def remove_vpc(self, vpc_id: str) -> None:
        self.removed.append(vpc_id)

    async def retain_vpcs(self, vpc_ids: Collection[str]) -> None:
        self.retained = set(vpc_ids)


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    ensure_default_network(made, SystemClock(), RandomIds(), SCOPE)
    return made


def vpc_of(store: MemoryStore) -> Vpc:
    return next(store.scan(VPC))


def rename_group(store: MemoryStore, description: str) -> None:
    group = next(store.scan(SECURITY_GROUP))
    store.transact(Put(SECURITY_GROUP, replace(group, description=description)))


async def until(fact: Any) -> None:
    async with asyncio.timeout(5):
        while not fact():  # noqa: ASYNC110 - the store and the node under test have no event for it
            await asyncio.sleep(0)


def test_ensure_applies_once(store: MemoryStore) -> None:
    """The first need applies the VPC with its subnets and groups; further needs cost nothing."""

    async def script() -> None:
        node: Any = Recorder()
        loop = VpcLoop(store, SystemClock(), node)
        await loop.start()
        assert node.applied == []
        for _ in range(3):
            await loop.ensure(SCOPE, vpc_of(store).id)
        (config,) = node.applied
        assert config.vpc == vpc_of(store)
        assert len(config.subnets) == 3
        assert len(config.security_groups) == 1
        await loop.close()

    asyncio.run(script())


def test_changes_are_followed(store: MemoryStore) -> None:
    """A changed group is applied by itself once the VPC is in use, and an `ensure` after it awaits it."""

    async def script() -> None:
        node: Any = Recorder()
        loop = VpcLoop(store, SystemClock(), node)
        await loop.start()
        rename_group(store, "before anyone needs it")
        await asyncio.sleep(0)
        assert node.applied == []
        await loop.ensure(SCOPE, vpc_of(store).id)
        rename_group(store, "changed")
        await until(lambda: node.applied[-1].security_groups[0].description == "changed")
        rename_group(store, "again")
        await loop.ensure(SCOPE, vpc_of(store).id)
        assert node.applied[-1].security_groups[0].description == "again"
        await loop.close()

    asyncio.run(script())


def test_change_while_applying(store: MemoryStore) -> None:
    """A change that comes while the node applies is not lost: the next `ensure` applies it."""

    async def script() -> None:
        node: Any = Recorder()
        loop = VpcLoop(store, SystemClock(), node)
        await loop.start()
        node.gate.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(loop.ensure(SCOPE, vpc_of(store).id))
            await node.entered.wait()
            rename_group(store, "meanwhile")
            node.gate.set()
        await loop.ensure(SCOPE, vpc_of(store).id)
        assert node.applied[-1].security_groups[0].description == "meanwhile"
        await loop.close()

    asyncio.run(script())


def test_vpcs_in_use_are_applied_at_start(store: MemoryStore) -> None:
    """After a restart the VPCs that have interfaces are applied without being asked for."""
    subnet = next(store.scan(SUBNET))
    Enis(store, RandomIds()).allocate(
        scope=SCOPE,
        request=NetworkRequest(subnet_ids=(subnet.id,)),
        owner="task:x",
        description="",
        zone_load={},
        now=SystemClock().now(),
    )

    async def script() -> None:
        node: Any = Recorder()
        loop = VpcLoop(store, SystemClock(), node)
        await loop.start()
        await until(lambda: len(node.applied) == 1)
        await loop.close()

    asyncio.run(script())


def test_deleted_vpc_is_removed(store: MemoryStore) -> None:
    """A VPC that is deleted is removed from the node; one that is not there can not be ensured."""

    async def script() -> None:
        node: Any = Recorder()
        loop = VpcLoop(store, SystemClock(), node)
        await loop.start()
        vpc = vpc_of(store)
        await loop.ensure(SCOPE, vpc.id)
        store.transact(Delete(VPC, VPC.key(vpc)))
        await until(lambda: node.removed == [vpc.id])
        with pytest.raises(Refused):
            await loop.ensure(SCOPE, vpc.id)
        await loop.close()

    asyncio.run(script())
