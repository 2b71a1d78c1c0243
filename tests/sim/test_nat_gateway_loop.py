"""The NAT gateway loop on a store and a machine in memory: gateways come and go, whatever is interrupted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from portside.api.ec2.default_network import ensure_default_network
from portside.api.ec2.elastic_address import ElasticAddressHandlers
from portside.api.ec2.nat_gateway import NatGatewayHandlers
from portside.aws.service import RequestContext
from portside.control.clock import RandomIds, SystemClock
from portside.control.nat_gateways import NatGatewayLoop
from portside.control.vpcs import VpcLoop
from portside.domain.record import Scope, replace
from portside.domain.table import ELASTIC_ADDRESS, ENI, NAT_GATEWAY, SUBNET
from portside.domain.vpc import NatGateway, NatGatewayState
from portside.node.interface import VpcConfig
from portside.store.interface import Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")


class Node:
    """A machine that fails as often as it is told to, and can be held up."""

    def __init__(self) -> None:
        self.nats: set[str] = set()
        self.failures = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def apply_vpc(self, config: VpcConfig) -> None:
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise OSError("the machine is busy")
        self.nats = {each.nat_gateway_id for each in config.nat_gateways}

    async def retain_vpcs(self, vpc_ids: Any) -> None:
        pass


class World:
    def __init__(self) -> None:
        self.store, self.clock, self.ids = MemoryStore(), SystemClock(), RandomIds()
        ensure_default_network(self.store, self.clock, self.ids, SCOPE)
        self.node: Any = Node()
        self.api = {
            **NatGatewayHandlers(self.store, self.clock, self.ids).handlers(),
            **ElasticAddressHandlers(self.store, self.clock, self.ids, "198.18.0.0/24").handlers(),
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """One run of Portside."""
        vpcs = VpcLoop(self.store, self.clock, self.node)
        loop = NatGatewayLoop(self.store, self.clock, vpcs)
        await vpcs.start()
        await loop.start()
        try:
            yield
        finally:
            await loop.close()
            await vpcs.close()

    def call(self, operation: str, **params: Any) -> Any:
        context = RequestContext(SCOPE.account, SCOPE.region, "ec2", operation, "request", SCOPE.account)
        return self.api[operation](context, params)

    def create(self) -> str:
        subnet = next(self.store.scan(SUBNET))
        allocation = self.call("AllocateAddress")["AllocationId"]
        made = self.call("CreateNatGateway", SubnetId=subnet.id, AllocationId=allocation)
        return str(made["NatGateway"]["NatGatewayId"])

    def nat(self, nat_id: str) -> NatGateway:
        found = self.store.get(NAT_GATEWAY, SCOPE.prefix + nat_id)
        assert found is not None
        return found

    async def reaches(self, nat_id: str, state: NatGatewayState) -> None:
        await self.until(lambda: self.nat(nat_id).state is state)

    async def until(self, holds: Callable[[], bool]) -> None:
        changed = asyncio.Event()
        end = self.store.subscribe(lambda _: changed.set())
        try:
            async with asyncio.timeout(10):
                while not holds():
                    await changed.wait()
                    changed.clear()
        finally:
            end()


def test_comes_and_goes() -> None:
    """Available once the machine has it; deleted, with its interface gone and its address free, once it has not."""

    async def script() -> None:
        world = World()
        async with world.running():
            nat_id = world.create()
            await world.reaches(nat_id, NatGatewayState.AVAILABLE)
            assert world.node.nats == {nat_id}
            world.call("DeleteNatGateway", NatGatewayId=nat_id)
            await world.reaches(nat_id, NatGatewayState.DELETED)
            assert world.node.nats == set()
            assert list(world.store.scan(ENI)) == []
            (address,) = world.store.scan(ELASTIC_ADDRESS)
            assert (address.eni_id, address.association_id) == ("", "")

    asyncio.run(script())


def test_goes_on_after_an_end() -> None:
    """What an earlier run left pending or deleting comes true in the next; a busy machine is asked again."""

    async def script() -> None:
        world = World()
        pending = world.create()
        world.node.failures = 2
        async with world.running():
            await world.reaches(pending, NatGatewayState.AVAILABLE)
        world.call("DeleteNatGateway", NatGatewayId=pending)
        async with world.running():
            await world.reaches(pending, NatGatewayState.DELETED)
        assert world.node.nats == set()

    asyncio.run(script())


def test_deleted_while_it_comes() -> None:
    """One that is deleted before the machine has it never becomes available, and nothing of it stays."""

    async def script() -> None:
        world = World()
        seen: list[NatGatewayState] = []
        world.store.subscribe(lambda c: seen.append(c.value.state) if isinstance(c.value, NatGateway) else None)
        world.node.gate.clear()
        async with world.running():
            nat_id = world.create()
            await asyncio.sleep(0)
            world.call("DeleteNatGateway", NatGatewayId=nat_id)
            world.node.gate.set()
            await world.reaches(nat_id, NatGatewayState.DELETED)
            assert world.node.nats == set()
        assert seen == [NatGatewayState.PENDING, NatGatewayState.DELETING, NatGatewayState.DELETED]

    asyncio.run(script())


def test_is_forgotten_in_the_end() -> None:
    """A deleted one is shown for an hour, and then no more."""

    async def script() -> None:
        world = World()
        nat_id = world.create()
        gone = replace(
            world.nat(nat_id),
            state=NatGatewayState.DELETED,
            deleted_at=world.clock.now() - timedelta(minutes=61),
        )
        world.store.transact(Put(NAT_GATEWAY, gone))
        async with world.running():
            await world.until(lambda: not list(world.store.scan(NAT_GATEWAY)))

    asyncio.run(script())
