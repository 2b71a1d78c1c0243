"""The task loop: reads a task, plans, records intents, runs effects, folds their facts in.

One serial worker per live task (`control/loop.py`); the decisions are `domain/task/machine.py`'s. What does not belong
here: any decision about a task's life, anything that touches a machine.
"""

import asyncio
import heapq
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from portside.control import file_mounts, instance_mounts
from portside.control.loop import Loop, spawn
from portside.control.secret_resolver import SecretResolver
from portside.domain import image_reference, pace, table
from portside.domain.clock import Clock, Ids
from portside.domain.image import NO_SPACE
from portside.domain.managed_volume import ManagedVolume
from portside.domain.record import Record, Scope, replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.secret_reference import Unresolvable
from portside.domain.task import machine
from portside.domain.task import record as r
from portside.domain.task.record import (
    AnyFact,
    EbsAttachment,
    Effect,
    EniAttachment,
    NetworkRequest,
    TargetRef,
    Task,
    TaskStatus,
)
from portside.domain.vpc import Eni
from portside.node.interface import Node
from portside.store.interface import Change, Delete, Put, Store, StoreUnavailable

log = logging.getLogger(__name__)

START_PARALLELISM: Final = 8
"""Containers started at once. Beyond it each start only takes longer (measured on two cores, 8 against 16)."""
RETENTION_S: Final = 3600
"""AWS shows a stopped task for at least an hour."""
STOP_CHECK_S: Final = 2.0
"""How soon it is seen that nobody waits for a volume any more."""
DELETES_PER_COMMIT: Final = 100
RETRY_S: Final = 0.2
TIMEOUT_S: Final[Mapping[type[Any], float]] = {
    r.AllocateEni: 30,
    r.CreateNetwork: 30,
    r.ReleaseNetwork: 30,
    r.ReleaseEni: 30,
    r.PullImage: 1800,
    r.StartContainer: 60,
    r.SignalContainer: 10,
    r.KillContainer: 10,
    r.RemoveContainer: 60,
    r.ReleaseVolumes: 60,
    r.CreateEbsVolume: 1800,  # a large snapshot takes its time
    r.AttachEbsVolume: 150,
    r.DetachEbsVolume: 60,
    r.ReleaseEbsVolume: 30,
    r.RegisterTargets: 30,
    r.DrainTargets: 3660,  # the longest deregistration delay, and a minute
}
"""Seconds after which an effect counts as failed for a passing cause. The wait for a start slot is not part of it."""


class EniAllocator(Protocol):
    def allocate(
        self,
        *,
        scope: Scope,
        request: NetworkRequest,
        owner: str,
        description: str,
        zone_load: Mapping[str, int],
        now: datetime,
        attachment_id: str,
    ) -> EniAttachment:
        """Record an ENI with a free address, in the zone with the least load.

        Args:
            zone_load: Availability Zone -> tasks of the same group there.
        Raises:
            Refused: EXHAUSTED, no subnet has a free address (in the words of a stopped task); NOT_FOUND, a subnet or
                group is gone.
        """
        ...

    def attachment(self, eni: Eni) -> EniAttachment:
        """An ENI recorded earlier. Raises Refused NOT_FOUND if its subnet is gone."""
        ...

    def release(self, scope: Scope, eni_id: str) -> None:
        """Remove the ENI; nothing happens if there is none."""
        ...


class VpcEnsurer(Protocol):
    async def ensure(self, scope: Scope, vpc_id: str) -> None:
        """Return once the VPC's data plane is as the store says. Raises Refused NOT_FOUND if it is gone."""
        ...


class WayOut(Protocol):
    def missing(self, scope: Scope, eni: EniAttachment) -> str | None:
        """Why an interface reaches no registry, in words; None if it does."""
        ...


class RoomMaker(Protocol):
    async def make_room(self, since: datetime) -> bool:
        """A pull that began then found no space. Whether there is more room now. Raises OSError."""
        ...


class TargetRegistrar(Protocol):
    def register(self, scope: Scope, refs: tuple[TargetRef, ...], address: str, zone: str, now: datetime) -> None: ...

    async def drain(
        self,
        scope: Scope,
        refs: tuple[TargetRef, ...],
        address: str,
        task_key: str = "",
        pace: float | None = None,
    ) -> None:
        """Deregister, and return when drained (at most the deregistration delay, at the pace of its service)."""
        ...


class VolumeAllocator(Protocol):
    async def create(self, task: Task, asked: ManagedVolume, zone: str) -> EbsAttachment:
        """The task's volume, once it is there. Idempotent. Raises Refused, in the words of a stopped task."""
        ...

    def attached(self, task: Task) -> None:
        """The volume is about to be the task's to write to. Idempotent."""
        ...

    def release(self, task: Task) -> None:
        """The volume is nobody's, or goes. Idempotent."""
        ...


class InstanceRegistrar(Protocol):
    def register(self, task: Task) -> None:
        """The task is an instance in each of its registries. Idempotent."""
        ...

    def deregister(self, task: Task) -> None:
        """The task is an instance nowhere. Idempotent."""
        ...


class TaskLoop:
    """Runs every live task of the store on a node.

    Args:
        way_out: given, Fargate tasks pull images by the routes of their own subnets.
        retention_s: seconds that a stopped task stays visible.
        start_parallelism: StartContainer effects under way at once.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        node: Node,
        enis: EniAllocator,
        vpcs: VpcEnsurer,
        targets: TargetRegistrar,
        secrets: SecretResolver,
        *,
        discovery: InstanceRegistrar | None = None,
        volumes: VolumeAllocator | None = None,
        room: RoomMaker | None = None,
        way_out: WayOut | None = None,
        retention_s: float = RETENTION_S,
        start_parallelism: int = START_PARALLELISM,
    ) -> None:
        self._store, self._clock, self._ids, self._node = store, clock, ids, node
        self._enis, self._vpcs, self._targets, self._secrets = enis, vpcs, targets, secrets
        self._room, self._way_out, self._discovery = room, way_out, discovery
        self._volumes = volumes
        self._retention = timedelta(seconds=retention_s)
        self._starts = asyncio.Semaphore(start_parallelism)
        self._loop = Loop("task", clock, self._step)
        self._reaper = Loop("task-retention", clock, self._reap)
        self._stopped: list[tuple[datetime, str]] = []
        self._zones = _ZoneLoad()
        # Facts that no commit holds yet, with the time they happened at. They outlive a store that is not writable.
        self._facts: dict[str, list[tuple[AnyFact, datetime]]] = {}
        self._under_way: dict[str, dict[str, asyncio.Task[Any]]] = {}
        self._effects: set[asyncio.Task[Any]] = set()
        self._unsubscribe: Callable[[], None] | None = None
        self._ready = False
        self._closed = False
        self._committing = False

    async def start(self) -> None:
        """Adopt what runs: the node's facts about the live tasks come first, then every task is planned anew.

        Raises:
            NodeUnusable: the machine can not run containers.
        """
        await self._node.start(self.report)
        self._unsubscribe = self._store.subscribe(self._changed)
        live: list[Task] = []
        for task in self._store.scan(table.TASK):
            if task.last_status is TaskStatus.STOPPED:
                self._retain(task)
            else:
                live.append(task)
                self._zones.move(None, task)
        for key, fact in await self._node.recover(live):
            self.report(key, fact)
        self._ready = True
        for task in self._store.scan(table.TASK):
            if task.last_status is not TaskStatus.STOPPED:
                self._loop.wake(task.key)
        self._reaper.wake("")

    async def close(self) -> None:
        """Stop planning and running effects. Containers go on; `start` of the next loop takes up what was left."""
        self._closed = True
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()
        await self._reaper.close()
        effects = list(self._effects)
        for effect in effects:
            effect.cancel()
        await asyncio.gather(*effects, return_exceptions=True)

    def report(self, key: str, fact: AnyFact) -> None:
        """Take a fact about a task in; it is kept until a commit holds it."""
        if self._closed:
            return
        facts = self._facts.setdefault(key, [])
        if isinstance(fact, r.ContainerOutputLost):  # a total, told again and again while the disk may be full
            facts[:] = [
                each for each in facts if not isinstance(each[0], type(fact)) or each[0].container != fact.container
            ]
        facts.append((fact, self._clock.now()))
        self._wake(key)

    # --- one pass --------------------------------------------------------------------------------------------------

    async def _step(self, key: str) -> datetime | None:
        stored = self._store.read(table.TASK, key)
        if stored is None:
            self._let_go(key)
            return None
        now = self._clock.now()
        task = stored.value
        facts = self._facts.get(key, [])
        folded = len(facts)
        for fact, at in facts:
            task = machine.observe(task, fact, now=at)
        task = machine.settle(task, now=now)
        plan = machine.plan(task, now=now)
        due = [planned for planned in plan.effects if not self._is_under_way(key, planned.effect)]
        for planned in due:
            if planned.intent is not None:
                task = machine.observe(task, planned.intent, now=now)
        if task is not stored.value:
            self._commit(task, expect=stored.version)
        del facts[:folded]
        for planned in due:
            self._run(key, planned.effect)
        if task.last_status is TaskStatus.STOPPED:
            if stored.value.last_status is not TaskStatus.STOPPED:
                log.info("task %s stopped: %s", key, task.stop.reason if task.stop is not None else "")
                self._retain(task)
            self._let_go(key)
        return plan.wake_at

    def _commit(self, task: Task, *, expect: int) -> None:
        self._committing = True
        try:
            self._store.transact(Put(table.TASK, task, expect=expect))
        finally:
            self._committing = False

    def _changed(self, change: Change) -> None:
        if change.kind != table.TASK:
            return
        self._zones.move(change.old, change.value)
        if not self._committing:
            self._wake(change.key)

    def _wake(self, key: str) -> None:
        if self._ready and not self._closed:
            self._loop.wake(key)

    def _let_go(self, key: str) -> None:
        """The task is over: nothing of it is kept here, and a pull that nobody waits for any more ends."""
        self._facts.pop(key, None)
        self._secrets.forget(key)
        for effect in self._under_way.pop(key, {}).values():
            effect.cancel()
        self._loop.finish(key)

    # --- retention -------------------------------------------------------------------------------------------------

    def _retain(self, task: Task) -> None:
        due = (task.stopped_at or task.created_at) + self._retention
        heapq.heappush(self._stopped, (due, task.key))
        if self._ready and self._stopped[0][1] == task.key:
            self._reaper.wake("")

    async def _reap(self, _key: str) -> datetime | None:
        now = self._clock.now()
        while self._stopped and self._stopped[0][0] <= now:
            over: list[tuple[datetime, str]] = []
            while self._stopped and self._stopped[0][0] <= now and len(over) < DELETES_PER_COMMIT:
                over.append(heapq.heappop(self._stopped))
            try:
                self._store.transact(*(Delete(table.TASK, key) for _, key in over))
            except StoreUnavailable:
                for each in over:
                    heapq.heappush(self._stopped, each)
                raise
            await asyncio.sleep(0)
        return self._stopped[0][0] if self._stopped else None

    # --- effects ---------------------------------------------------------------------------------------------------

    def _is_under_way(self, key: str, effect: Effect) -> bool:
        return effect.key in self._under_way.get(key, ())

    def _run(self, key: str, effect: Effect) -> None:
        work = self._execute(key, effect)
        running = spawn(f"{type(effect).__name__} {effect.key} of {key}", work, owner=self._effects)
        self._under_way.setdefault(key, {})[effect.key] = running

    async def _execute(self, key: str, effect: Effect) -> None:
        fact = await self._answer(effect)
        under_way = self._under_way.get(key)
        if under_way is not None:
            under_way.pop(effect.key, None)
            if not under_way:
                del self._under_way[key]
        if fact is None:
            self._wake(key)
        else:
            self.report(key, fact)

    async def _answer(self, effect: Effect) -> AnyFact | None:
        """The fact that the effect led to; None if there was no longer a reason to run it."""
        if isinstance(effect, r.StartContainer):
            async with self._starts:
                task = self._store.get(table.TASK, effect.task_key)
                if task is None or task.stop is not None:
                    return None
                return await self._attempt(effect)
        return await self._attempt(effect)

    async def _attempt(self, effect: Effect) -> AnyFact:
        timeout_s = TIMEOUT_S[type(effect)]
        try:
            async with asyncio.timeout(timeout_s):
                fact = await self._perform(effect)
        except TimeoutError:
            return self._failed(effect, f"no answer within {timeout_s:g} s")
        except Exception as error:
            log.warning("%s of %s failed: %s", type(effect).__name__, effect.task_key, error, exc_info=True)
            return self._failed(effect, f"{type(error).__name__}: {error}")
        if isinstance(fact, r.EffectFailed):
            return replace(fact, effect=type(effect).__name__, effect_key=effect.key)
        return fact

    def _failed(self, effect: Effect, reason: str) -> AnyFact:
        # A little at random, so that what failed together is not tried again together.
        retry_at = self._clock.now() + timedelta(seconds=RETRY_S, milliseconds=int(self._ids.number(2)))
        return r.EffectFailed(effect=type(effect).__name__, effect_key=effect.key, reason=reason, retry_at=retry_at)

    async def _perform(self, effect: Effect) -> AnyFact:
        match effect:
            case r.AllocateEni():
                return self._allocate(effect)
            case r.ReleaseEni():
                return self._release(effect)
            case r.RegisterTargets():
                return self._register(effect)
            case r.DrainTargets():
                return await self._drain(effect)
            case r.CreateEbsVolume():
                return await self._create_volume(effect)
            case r.AttachEbsVolume():
                self._allocator().attached(self._task(effect))
                return await self._node.execute(effect)
            case r.ReleaseEbsVolume():
                self._allocator().release(self._task(effect))
                return r.EbsVolumeReleased()
            case r.CreateNetwork(eni=EniAttachment() as eni):
                try:
                    await self._vpcs.ensure(self._task(effect).scope, eni.vpc_id)
                except Refused as refused:
                    return r.StartFailed(reason=f"ResourceInitializationError: {refused.message}")
                return await self._node.execute(effect)
            case r.PullImage() | r.StartContainer():
                try:
                    effect, versions = self._with_secrets(effect)
                except Unresolvable as error:
                    return r.StartFailed(reason=str(error))
                unreachable = self._unreachable(effect)
                if unreachable is not None:
                    return unreachable
                began = self._clock.now()
                fact = await self._node.execute(effect)
                if isinstance(effect, r.PullImage) and _no_space(fact) and await self._makes_room(began):
                    fact = await self._node.execute(effect)
                return replace(fact, secret_versions=versions) if isinstance(fact, r.ImagePulled) else fact
            case _:
                return await self._node.execute(effect)

    def _unreachable(self, effect: r.PullImage | r.StartContainer) -> r.StartFailed | None:
        """That a Fargate task's own network leads to no registry, if it is to pull by that."""
        task = self._task(effect)
        if self._way_out is None or not isinstance(effect, r.PullImage) or task.eni is None or task.placement:
            return None
        reference = image_reference.parse(effect.image)
        missing = self._way_out.missing(task.scope, task.eni) if reference.pullable else None
        if missing is None:
            return None
        return r.StartFailed(
            container=effect.container,
            reason="CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref "
            f"{reference.canonical}: failed to do request: dial tcp: i/o timeout ({missing})",
        )

    async def _makes_room(self, began: datetime) -> bool:
        try:
            return self._room is not None and await self._room.make_room(began)
        except OSError as error:
            log.warning("no room could be made for an image: %s", error)
            return False

    def _with_secrets(
        self, effect: r.PullImage | r.StartContainer
    ) -> tuple[r.PullImage | r.StartContainer, tuple[r.SecretPin, ...]]:
        """The effect with what is secret in it, and its file systems; and the versions of secrets.

        Raises Unresolvable: already at the pull, before anything runs."""
        task = self._task(effect)
        mounts = file_mounts.resolve(self._store, task)
        of_instance = instance_mounts.resolve(self._store, task, self._ids, self._clock.now())
        found = self._secrets.resolve(task, effect.container)
        if isinstance(effect, r.PullImage):
            return replace(effect, login=self._secrets.login(task, effect.container)), found.versions
        definition = effect.definition
        environment = (*definition.environment, *found.variables)
        definition = replace(definition, environment=environment)
        effect = replace(effect, definition=definition, file_mounts=mounts, instance_mounts=of_instance)
        return effect, found.versions

    def _task(self, effect: Effect) -> Task:
        task = self._store.get(table.TASK, effect.task_key)
        if task is None:
            raise LookupError(f"task {effect.task_key} is gone")
        return task

    def _allocate(self, effect: r.AllocateEni) -> AnyFact:
        task = self._task(effect)
        held = self._store.find(table.ENI, "owner", owner(task))
        try:
            if held:  # allocated before a crash that came before its answer
                return r.EniAllocated(eni=self._enis.attachment(held[0]))
            eni = self._enis.allocate(
                scope=task.scope,
                request=effect.request,
                owner=owner(task),
                description=f"arn:aws:ecs:{task.scope.region}:{task.scope.account}:attachment/{task.attachment_id}",
                zone_load=self._zones.of(task),
                now=self._clock.now(),
                attachment_id=task.attachment_id,
            )
        except Refused as refused:
            return r.StartFailed(reason=_no_interface(effect.request, refused))
        return r.EniAllocated(eni=eni)

    def _release(self, effect: r.ReleaseEni) -> AnyFact:
        task = self._task(effect)
        held = {each.id for each in self._store.find(table.ENI, "owner", owner(task))}
        if effect.eni is not None:
            held.add(effect.eni.eni_id)
        for eni_id in sorted(held):
            self._enis.release(task.scope, eni_id)
        return r.EniReleased()

    async def _create_volume(self, effect: r.CreateEbsVolume) -> AnyFact:
        while True:
            task = self._task(effect)
            if task.stop is not None:
                # A large snapshot takes its time; a task that is to end does not wait for it.
                return self._failed(effect, "the task is to end")
            try:
                async with asyncio.timeout(STOP_CHECK_S):
                    made = await self._allocator().create(task, effect.request, effect.zone)
            except TimeoutError:
                continue
            except Refused as refused:
                return r.EbsVolumeFailed(reason=refused.message)
            return r.EbsVolumeCreated(ebs=made)

    def _allocator(self) -> VolumeAllocator:
        assert self._volumes is not None, "there is nobody who makes volumes"
        return self._volumes

    def _register(self, effect: r.RegisterTargets) -> AnyFact:
        task = self._task(effect)
        zone = task.eni.zone if task.eni is not None else ""
        if task.placement is not None:
            zone = task.placement.zone
        try:
            self._targets.register(task.scope, effect.targets, effect.address, zone, self._clock.now())
        except Refused as refused:
            return r.StartFailed(reason=f"ResourceInitializationError: {refused.message}")
        if self._discovery is not None and task.registries:
            self._discovery.register(task)
        return r.TargetsRegistered()

    async def _drain(self, effect: r.DrainTargets) -> AnyFact:
        task = self._task(effect)
        if self._discovery is not None and task.registries:
            self._discovery.deregister(task)
        try:
            await self._targets.drain(task.scope, effect.targets, effect.address, task.key, self._pace(task))
        except Refused as refused:
            if refused.kind is not RefusalKind.NOT_FOUND:
                raise
        return r.TargetsDrained()

    def _pace(self, task: Task) -> float | None:
        """That of its service; None where it is the instance's."""
        key = f"{task.scope.prefix}{task.cluster}/{task.service}"
        service = self._store.get(table.SERVICE, key) if task.service is not None else None
        return pace.of(service.tags, 0.0) or None if service is not None else None


def owner(task: Task) -> str:
    """What an ENI's `owner` says of the task that holds it."""
    return f"task:{task.key}"


def _no_interface(request: NetworkRequest, refused: Refused) -> str:
    """AWS's words for a task whose interface EC2 refused, and the cause."""
    if refused.kind is RefusalKind.EXHAUSTED:
        return refused.message
    public = "enabled" if request.assign_public_ip else "disabled"
    subnets = ",".join(request.subnet_ids)
    return (
        "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment "
        f"{public} in subnet '{subnets}': {refused.message}"
    )


class _ZoneLoad:
    """How many tasks that are to run each group has in each zone, kept up to date by the store's changes."""

    def __init__(self) -> None:
        self._count: dict[str, Counter[str]] = {}

    def of(self, task: Task) -> dict[str, int]:
        return dict(self._count.get(self._group(task), {}))

    def move(self, old: Record | None, new: Record | None) -> None:
        before, after = self._place(old), self._place(new)
        if before == after:
            return
        if before is not None:
            counts = self._count[before[0]]
            counts[before[1]] -= 1
            if not counts[before[1]]:
                del counts[before[1]]
            if not counts:
                del self._count[before[0]]
        if after is not None:
            self._count.setdefault(after[0], Counter())[after[1]] += 1

    @staticmethod
    def _group(task: Task) -> str:
        return f"{task.scope.prefix}{task.cluster}/{task.group}"

    @classmethod
    def _place(cls, task: Record | None) -> tuple[str, str] | None:
        if not isinstance(task, Task) or task.eni is None or task.stop is not None:
            return None
        return cls._group(task), task.eni.zone


def _no_space(fact: AnyFact) -> bool:
    return isinstance(fact, r.StartFailed) and f": {NO_SPACE}" in fact.reason
