"""Targets as the task loop registers and drains them: records in, records awaited. What acts on them is `balancers`."""

import asyncio
from datetime import datetime

from portside.control.loop import spawn
from portside.domain import classic_load_balancer_rule as classic
from portside.domain.classic_load_balancer import ClassicInstance
from portside.domain.clock import Clock
from portside.domain.instance import Instance
from portside.domain.load_balancer import Target, TargetGroup
from portside.domain.load_balancer_rule import deregistration_delay_s
from portside.domain.pace import REAL, shortened
from portside.domain.record import Scope, replace
from portside.domain.table import CLASSIC_LOAD_BALANCER, INSTANCE, TARGET, TARGET_GROUP, TASK
from portside.domain.task.record import TargetRef, TaskStatus
from portside.store.interface import Change, Put, Store


class Targets:
    """
    Args:
        pace: how many times as fast as real time deregistration delays run.
    """

    def __init__(self, store: Store, clock: Clock, *, pace: float = REAL) -> None:
        self._store, self._clock, self._pace = store, clock, pace

    def register(self, scope: Scope, refs: tuple[TargetRef, ...], address: str, zone: str, now: datetime) -> None:
        """The address, or the instance of that id, is a target of each group, at the ref's port. Idempotent; a draining
        target is registered anew. Groups that are gone are left out: the service has an event about that.

        Raises: StoreUnavailable."""
        instance = self._store.get(INSTANCE, f"{scope.prefix}{address}")
        writes: list[Put] = self._with_instance(scope, refs, instance, now)
        for ref in self._each_port(scope, refs):
            if self._group(scope, ref) is None:
                continue
            known = self._store.get(TARGET, _key(scope, ref, address))
            if known is not None and known.deregistered_at is None:
                continue
            fresh = Target(
                scope=scope,
                target_group_arn=ref.target_group_arn,
                id=address,
                port=ref.port,
                instance_address=instance.address if instance is not None else "",
                zone=zone,
                registered_at=now,
            )
            writes.append(Put(TARGET, fresh))
        if writes:
            self._store.transact(*writes)

    async def drain(
        self,
        scope: Scope,
        refs: tuple[TargetRef, ...],
        address: str,
        task_key: str = "",
        pace: float | None = None,
    ) -> None:
        """Deregister, and return once no request is open any more, at the latest after the deregistration delay.

        An instance stays with a Classic Load Balancer while another task there needs it.

        Args:
            pace: of the service that they are of.
        Raises: StoreUnavailable."""
        refs = self._each_port(
            scope, tuple(each for each in refs if not self._is_needed(scope, each, address, task_key))
        )
        waiting = {_key(scope, ref, address) for ref in refs}
        changed = asyncio.Event()

        def listen(change: Change) -> None:
            if change.kind == TARGET and change.key in waiting:
                changed.set()

        end = self._store.subscribe(listen)
        timer: asyncio.Task[None] | None = None
        try:
            deadline = self._deregister(scope, refs, address, self._pace if pace is None else pace)
            while self._draining(waiting) and self._clock.now() < deadline:
                if timer is None:
                    timer = spawn(f"drain:{address}", self._clock.sleep_until(deadline))
                    timer.add_done_callback(lambda _: changed.set())
                await changed.wait()
                changed.clear()
        finally:
            end()
            if timer is not None:
                timer.cancel()

    def _deregister(self, scope: Scope, refs: tuple[TargetRef, ...], address: str, pace: float) -> datetime:
        """Mark the targets; returns when the last of them is over at the latest."""
        now = self._clock.now()
        deadline = now
        writes: list[Put] = []
        for ref in refs:
            target = self._store.get(TARGET, _key(scope, ref, address))
            group = self._group(scope, ref)
            if target is None or group is None:
                continue
            since = target.deregistered_at or now
            deadline = max(deadline, since + shortened(deregistration_delay_s(group), pace))
            if target.deregistered_at is None:
                writes.append(Put(TARGET, replace(target, deregistered_at=now, pace=pace)))
        for name in dict.fromkeys(ref.load_balancer_name for ref in refs if ref.load_balancer_name):
            balancer = self._store.get(CLASSIC_LOAD_BALANCER, f"{scope.prefix}{name}")
            if balancer is not None:
                writes.append(Put(CLASSIC_LOAD_BALANCER, classic.without_instances(balancer, [address])))
        if writes:
            self._store.transact(*writes)
        return deadline

    # --- Classic Load Balancers -------------------------------------------------------------------------------------

    def _with_instance(
        self, scope: Scope, refs: tuple[TargetRef, ...], instance: Instance | None, now: datetime
    ) -> list[Put]:
        """The instance as one of the load balancers'."""
        writes: list[Put] = []
        for name in dict.fromkeys(ref.load_balancer_name for ref in refs if ref.load_balancer_name):
            balancer = self._store.get(CLASSIC_LOAD_BALANCER, f"{scope.prefix}{name}")
            if balancer is None or instance is None:
                continue
            fresh = ClassicInstance(id=instance.id, address=instance.address, zone=instance.zone, registered_at=now)
            writes.append(Put(CLASSIC_LOAD_BALANCER, classic.with_instance(balancer, fresh)))
        return writes

    def _each_port(self, scope: Scope, refs: tuple[TargetRef, ...]) -> tuple[TargetRef, ...]:
        """A Classic Load Balancer has the instance at every port that its listeners lead to."""
        found: list[TargetRef] = []
        for ref in refs:
            if not ref.load_balancer_name:
                found.append(ref)
                continue
            balancer = self._store.get(CLASSIC_LOAD_BALANCER, f"{scope.prefix}{ref.load_balancer_name}")
            if balancer is not None:
                found += [
                    replace(ref, target_group_arn=group.arn, host_port=group.port)
                    for group in classic.plane(balancer).groups
                ]
        return tuple(found)

    def _is_needed(self, scope: Scope, ref: TargetRef, instance_id: str, task_key: str) -> bool:
        """Whether another task of the instance is behind the same Classic Load Balancer."""
        if not ref.load_balancer_name:
            return False
        return any(
            task.key != task_key
            and task.stop is None
            and task.last_status <= TaskStatus.RUNNING
            and each.load_balancer_name == ref.load_balancer_name
            for task in self._store.find(TASK, "on_instance", f"{scope.prefix}{instance_id}")
            for each in task.targets
        )

    def _draining(self, keys: set[str]) -> bool:
        targets = [target for key in keys if (target := self._store.get(TARGET, key)) is not None]
        return any(target.deregistered_at is not None and target.drained_at is None for target in targets)

    def _group(self, scope: Scope, ref: TargetRef) -> TargetGroup | None:
        return self._store.get(TARGET_GROUP, f"{scope.prefix}{ref.target_group_arn}")


def _key(scope: Scope, ref: TargetRef, address: str) -> str:
    return f"{scope.prefix}{ref.target_group_arn}/{address}:{ref.port}"
