"""Lets NAT gateways come and go: pending until the node has them, deleting until it has them no more."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from portside.control.loop import Loop
from portside.domain import elastic_address, nat_gateway_rule
from portside.domain.clock import Clock
from portside.domain.record import Scope
from portside.domain.table import ELASTIC_ADDRESS, ENI, NAT_GATEWAY, VPC
from portside.domain.vpc import NatGateway, NatGatewayState
from portside.store.interface import Change, Delete, Put, Store, Write


class VpcEnsurer(Protocol):
    async def ensure(self, scope: Scope, vpc_id: str) -> None: ...


class NatGatewayLoop:
    """One serial worker per NAT gateway. That the VPC has it is the VPC's loop's doing.

    Effects: NAT_GATEWAY records; those of its interface and of its address once it is deleted.
    """

    def __init__(self, store: Store, clock: Clock, vpcs: VpcEnsurer) -> None:
        self._store, self._clock, self._vpcs = store, clock, vpcs
        self._loop = Loop("nat gateway", clock, self._step)
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        for each in self._store.scan(NAT_GATEWAY):
            self._loop.wake(NAT_GATEWAY.key(each))

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()

    def _changed(self, change: Change) -> None:
        if isinstance(change.value, NatGateway):
            self._loop.wake(change.key)

    async def _step(self, key: str) -> datetime | None:
        stored = self._store.read(NAT_GATEWAY, key)
        if stored is None:
            self._loop.finish(key)
            return None
        nat = stored.value
        match nat.state:
            case NatGatewayState.PENDING | NatGatewayState.DELETING:
                if self._store.get(VPC, nat.scope.prefix + nat.vpc_id) is not None:
                    await self._vpcs.ensure(nat.scope, nat.vpc_id)
                done = nat_gateway_rule.applied(nat, now=self._clock.now())
                # It may have been deleted meanwhile: then the commit conflicts, and the worker looks again.
                writes: list[Write] = [Put(NAT_GATEWAY, done, expect=stored.version)]
                if done.state is NatGatewayState.DELETED:
                    writes += self._release(nat)
                self._store.transact(*writes)
                return None
            case NatGatewayState.AVAILABLE:
                return None
            case NatGatewayState.DELETED:
                return self._forget(key, nat, stored.version)

    def _release(self, nat: NatGateway) -> list[Write]:
        """Its interface goes; its address stays its account's."""
        held = self._store.find(ELASTIC_ADDRESS, "eni", nat.eni_id)
        return [
            Delete(ENI, nat.scope.prefix + nat.eni_id),
            *(Put(ELASTIC_ADDRESS, elastic_address.disassociated(each)) for each in held),
        ]

    def _forget(self, key: str, nat: NatGateway, version: int) -> datetime | None:
        due = (nat.deleted_at or nat.created_at) + nat_gateway_rule.DELETED_SEEN
        if self._clock.now() < due:
            return due
        self._store.transact(Delete(NAT_GATEWAY, key, version))
        self._loop.finish(key)
        return None
