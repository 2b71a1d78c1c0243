"""One seeded history of tasks: the real task loop on virtual time, a fake machine, and everything that can go wrong.

Used by `tests/sim`. A history is deterministic: the same seed makes the same steps. Phases: `storm` (tasks are made and
stopped while effects fail, answers are lost, the control plane crashes, the machine restarts, the disk is full), `calm`
(nothing fails any more: every task must reach what is desired of it), `end` (all are stopped: nothing may be left).
"""

import asyncio
import ipaddress
import random
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

from portside.control import discovery as registrar
from portside.control import tasks as control
from portside.control.secret_resolver import VaultResolver
from portside.domain import table, vpc_rule
from portside.domain.cloud_map import DiscoveryInstance, DiscoveryService
from portside.domain.managed_volume import ManagedVolume
from portside.domain.record import Scope, Tag, replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.task import discovery, invariant, machine
from portside.domain.task import record as r
from portside.domain.task.creation import new_task
from portside.domain.task.record import (
    EbsAttachment,
    EniAttachment,
    HealthStatus,
    NetworkRequest,
    NodeEffect,
    RegistryRef,
    StopCode,
    TargetRef,
    Task,
    TaskStatus,
)
from portside.domain.task_definition import (
    ContainerDefinition,
    DependsOn,
    HealthCheck,
    MountPoint,
    RestartPolicy,
    TaskDefinition,
    Volume,
)
from portside.domain.vpc import Eni
from portside.store.faulty import FaultyStore
from portside.store.interface import Change, Conflict, Delete, Put, Store, StoreUnavailable
from portside.store.memory import MemoryStore
from portside.testing.clock import EPOCH, LoopClock, SeededIds, VirtualTimeLoop
from portside.testing.fake_node import Behaviour, FakeNode, Machine
from portside.vault.aes import AesVault

SCOPE = Scope(account="000000000000", region="eu-west-1")
STORM_S = 90.0
PATIENCE_S = 8_000.0
"""How long the calm may last before a task counts as stuck: an answer to a pull may be waited for 30 minutes."""


class FakeEnis:
    """An allocator with few addresses, whose ENIs are real records."""

    def __init__(self, store: Store, ids: SeededIds, world: Machine, addresses: int = 50) -> None:
        self.store, self.ids, self.world = store, ids, world
        self.free = [str(ipaddress.ip_address("10.0.0.4") + n) for n in range(addresses)]
        self.targets: FakeTargets | None = None

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
        taken = {each.address for each in self.store.scan(table.ENI)}
        free = [each for each in self.free if each not in taken]
        if not free:
            raise vpc_rule.exhausted(request.subnet_ids[0], public=request.assign_public_ip)
        eni = Eni(
            scope=scope,
            id=f"eni-{self.ids.hex(17)}",
            subnet_id=request.subnet_ids[0],
            vpc_id="vpc-1",
            zone="eu-west-1a",
            address=free[0],
            mac_address="02:00:00:00:00:01",
            private_dns_name="",
            security_group_ids=(),
            owner=owner,
            created_at=now,
        )
        self.store.transact(Put(table.ENI, eni))
        return attachment(eni)

    def attachment(self, eni: Eni) -> EniAttachment:
        return attachment(eni)

    def release(self, scope: Scope, eni_id: str) -> None:
        eni = self.store.get(table.ENI, f"{scope.prefix}{eni_id}")
        if eni is None:
            return
        if eni.owner.removeprefix("task:") in self.world.networks:
            self.world.wrong.append(f"{eni.address} was freed while its network is there")
        if self.targets is not None and eni.address in self.targets.registered:
            self.world.wrong.append(f"{eni.address} was freed while it is a target")
        self.store.transact(Delete(table.ENI, table.ENI.key(eni)))


def attachment(eni: Eni) -> EniAttachment:
    return EniAttachment(
        eni_id=eni.id,
        subnet_id=eni.subnet_id,
        vpc_id=eni.vpc_id,
        zone=eni.zone,
        address=eni.address,
        prefix_length=24,
        gateway="10.0.0.1",
        mac_address=eni.mac_address,
        private_dns_name=eni.private_dns_name,
        security_group_ids=eni.security_group_ids,
    )


REGISTRY = DiscoveryService(
    scope=SCOPE, id="srv-1", namespace_id="ns-1", name="web", custom_health=True, created_at=EPOCH
)


class FakeTargets:
    """Target groups that take up to `drain_s` to drain."""

    def __init__(self, world: Machine, drain_s: float = 20.0) -> None:
        self.world, self.drain_s = world, drain_s
        self.registered: set[str] = set()

    def register(self, scope: Scope, refs: tuple[TargetRef, ...], address: str, zone: str, now: datetime) -> None:
        if self.world.chance(self.world.behaviour.passing):
            raise RuntimeError("a passing cause")
        self.registered.add(address)

    async def drain(
        self,
        scope: Scope,
        refs: tuple[TargetRef, ...],
        address: str,
        task_key: str = "",
        pace: float | None = None,
    ) -> None:
        await asyncio.sleep(self.world.rng.uniform(0, self.drain_s))
        if self.world.chance(self.world.behaviour.passing):
            raise RuntimeError("a passing cause")
        self.registered.discard(address)


class FakeEbs:
    """Volumes that come at once, or never: those of tasks whose ids end so can not be made."""

    def __init__(self, world: Machine) -> None:
        self.world = world
        self.volumes: dict[str, str] = {}  # task key -> volume
        self.kept: set[str] = set()

    async def create(self, task: Task, asked: ManagedVolume, zone: str) -> EbsAttachment:
        await asyncio.sleep(self.world.rng.uniform(0, 1))
        if self.world.chance(self.world.behaviour.passing):
            raise RuntimeError("a passing cause")
        if self.world.chance(self.world.behaviour.start_fails):
            raise Refused(RefusalKind.INVALID, "ECS was unable to create the EBS volume for your Task: no space")
        volume_id = self.volumes.setdefault(task.key, f"vol-{task.id[:17]}")
        return EbsAttachment(volume_id=volume_id, zone=zone)

    def attached(self, task: Task) -> None:
        if task.key not in self.volumes:
            self.world.wrong.append(f"the volume of {task.key} is attached and not there")

    def release(self, task: Task) -> None:
        if task.key in self.world.ebs:
            self.world.wrong.append(f"the volume of {task.key} is released while it is attached")
        if self.world.chance(self.world.behaviour.passing):
            raise RuntimeError("a passing cause")
        volume_id = self.volumes.pop(task.key, None)
        assert task.managed_volume is not None
        if volume_id is not None and not task.managed_volume.delete_on_termination:
            self.kept.add(volume_id)


class FakeVpcs:
    async def ensure(self, scope: Scope, vpc_id: str) -> None:
        await asyncio.sleep(0)


class History:
    """One history; `run` plays it and returns what was wrong, in words.

    Args:
        harsh: 0 for a world in which nothing fails, up to 1.
    """

    def __init__(self, seed: int, *, harsh: float | None = None) -> None:
        self.seed, self.rng = seed, random.Random(seed)
        if harsh is None:
            harsh = self.rng.choice((0.0, 0.3, 1.0))
        self.behaviour = self._behaviour(harsh)
        self.harsh = harsh
        self.wrong: list[str] = []
        self.reached: set[TaskStatus] = set()
        self.commits = 0

    def _behaviour(self, harsh: float) -> Behaviour:
        def upto(most: float) -> float:
            return self.rng.uniform(0, most) * harsh

        return Behaviour(
            delay_s=self.rng.choice((0.0, 0.01, 0.5, 5.0)),
            lost=upto(0.1),
            hangs=upto(0.05),
            passing=upto(0.2),
            pull_fails=upto(0.1),
            start_fails=upto(0.1),
            late_exit=self.rng.uniform(0, 0.5),
            exits=self.rng.uniform(0, 0.6),
            exits_at_once=self.rng.uniform(0, 0.2),
            deaf=self.rng.uniform(0, 0.4),
            unkillable=upto(0.3),
        )

    def run(self) -> list[str]:
        random.seed(self.seed)  # the loops' own jitter
        loop = VirtualTimeLoop()
        try:
            loop.run_until_complete(self._play(loop))
        finally:
            loop.close()
        return self.wrong

    async def _play(self, loop: VirtualTimeLoop) -> None:
        self.loop = loop
        self.clock = LoopClock(loop)
        self.ids = SeededIds(self.seed)
        self.disk_full = False
        self.world = Machine(self.clock.now, self.rng, self.behaviour)
        self.store = FaultyStore(MemoryStore(), lambda: self.disk_full)
        self.store.subscribe(self._committed)
        self.targets = FakeTargets(self.world)
        self.ebs = FakeEbs(self.world)
        self.store.transact(Put(table.DISCOVERY_SERVICE, REGISTRY))
        self.enis = FakeEnis(self.store, self.ids, self.world, addresses=self.rng.choice((1, 50)) if self.harsh else 50)
        self.enis.targets = self.targets
        await self._boot()
        await self._storm()
        if not self.wrong:
            await self._calm()
        if not self.wrong:
            await self._end()
        await self.tasks.close()
        await self.discovery.close()
        self.wrong += self.world.wrong

    # --- the world -------------------------------------------------------------------------------------------------

    async def _boot(self) -> None:
        self.node = FakeNode(self.world, self._check)
        secrets = VaultResolver(self.store, AesVault(bytes(32)))
        self.discovery = registrar.DiscoveryLoop(self.store, self.clock)
        self.tasks = control.TaskLoop(
            *(self.store, self.clock, self.ids, self.node, self.enis, FakeVpcs(), self.targets, secrets),
            discovery=self.discovery,
            volumes=self.ebs,
            retention_s=3600,
        )
        await self.tasks.start()
        await self.discovery.start()

    async def _crash(self) -> None:
        """Portside ends at some await; what it had in memory is gone."""
        self.world.listener = None
        await self.tasks.close()
        await self.discovery.close()
        await asyncio.sleep(self.rng.choice((0.0, 1.0, 20.0)))
        if self.rng.random() < 0.15:
            self.world.power_cut()
        await self._boot()

    async def _storm(self) -> None:
        deeds: list[tuple[float, str, Task | None]] = []
        for _ in range(self.rng.randint(1, 4)):
            born = self.rng.choice((0.0, self.rng.uniform(0, STORM_S / 2)))
            task = self._new_task()
            deeds.append((born, "create", task))
            for _ in range(self.rng.choice((0, 0, 1, 2))):
                life = self.rng.choice((0.0, self.rng.expovariate(1.0), self.rng.uniform(0, STORM_S / 2)))
                deeds.append((born + life, "stop", task))
            if self.rng.random() < 0.3:
                deeds.append((born + self.rng.uniform(0, 5), "tag", task))
        if self.harsh:
            for _ in range(self.rng.choice((0, 1, 1, 3))):
                deeds.append((self.rng.uniform(0, STORM_S), "crash", None))
            if self.rng.random() < 0.3:
                full = self.rng.uniform(0, STORM_S)
                deeds += [(full, "full", None), (full + self.rng.uniform(0, 20), "free", None)]
        for at, deed, subject in sorted(deeds, key=lambda each: each[0]):
            await asyncio.sleep(max(0.0, at - self.loop.time()))
            match (deed, subject):
                case ("create", Task() as task):
                    await self._create(task)
                case ("stop", Task() as task):
                    await self._stop(task.key)
                case ("tag", Task() as task):
                    await self._write(task.key, lambda old: old and replace(old, tags=(Tag(key="a"),)))
                case ("crash", _):
                    await self._crash()
                case ("full" | "free", _):
                    self.disk_full = deed == "full"
                case _:
                    raise AssertionError(deed)
        self.disk_full = False

    async def _create(self, task: Task) -> None:
        await self._write(task.key, lambda old: old or task)

    async def _stop(self, key: str) -> None:
        now = self.clock.now()
        code = self.rng.choice((StopCode.USER_INITIATED, StopCode.SPOT_INTERRUPTION))
        await self._write(key, lambda old: old and machine.stop(old, code=code, reason=f"at {now}", at=now))

    async def _write(self, key: str, change: Callable[[Task | None], Task | None]) -> None:
        """What a handler does; it gives up if the store is not writable."""
        for _ in range(5):
            stored = self.store.read(table.TASK, key)
            new = change(stored.value if stored is not None else None)
            if new is None or (stored is not None and new is stored.value):
                return
            try:
                self.store.transact(Put(table.TASK, new, expect=stored.version if stored is not None else 0))
            except Conflict:
                continue
            except StoreUnavailable:
                return
            return

    async def _calm(self) -> None:
        self.behaviour.calm()
        await self._until_at_rest()
        for task in self.store.scan(table.TASK):
            self._compare(task)

    async def _end(self) -> None:
        for task in list(self.store.scan(table.TASK)):
            await self._stop(task.key)
        await self._until_at_rest()
        for task in self.store.scan(table.TASK):
            if task.last_status is not TaskStatus.STOPPED:
                self.wrong.append(f"{task.id} is {task.last_status.name} for ever: {plan_words(task)}")
            self._compare(task)
        world = self.world
        left = [
            *world.containers,
            *world.networks,
            *world.volumes,
            *world.ebs,
            *self.ebs.volumes,
            *self.store.scan(table.ENI),
            *self.targets.registered,
            *self.store.scan(table.DISCOVERY_INSTANCE),
        ]
        if left:
            self.wrong.append(f"left over at the end: {left}")
        await asyncio.sleep(3700)
        kept = [each.id for each in self.store.scan(table.TASK)]
        if kept:
            self.wrong.append(f"stopped tasks are kept for ever: {kept}")

    async def _until_at_rest(self) -> None:
        until = self.loop.time() + PATIENCE_S
        while self.loop.time() < until:
            await asyncio.sleep(31)
            if all(self._at_rest(task) for task in self.store.scan(table.TASK)) or self.wrong or self.world.wrong:
                return

    def _at_rest(self, task: Task) -> bool:
        plan = machine.plan(task, now=self.clock.now())
        return not plan.effects and plan.wake_at is None

    # --- what must hold --------------------------------------------------------------------------------------------

    def _committed(self, change: Change) -> None:
        if change.kind != table.TASK or not isinstance(change.value, Task):
            return
        self.commits += 1
        new, broken = change.value, invariant.of_task(change.value)
        self.reached.add(new.last_status)
        if isinstance(change.old, Task):
            broken += invariant.of_step(change.old, new)
        now = self.clock.now()
        settled = machine.settle(new, now=now)
        broken += invariant.of_plan(settled, machine.plan(settled, now=now))
        self.wrong += [f"{new.id} at {self.loop.time():.3f}: {each}" for each in broken]

    def _check(self, effect: NodeEffect) -> list[str]:
        """An effect begins: its intent must be stored, and the task must be where the effect makes sense."""
        task = self.store.get(table.TASK, effect.task_key)
        name = type(effect).__name__
        if task is None:
            return [f"{name} for a task that is not stored"]
        wrong = []
        if isinstance(effect, r.CreateNetwork) and task.network_issued_at is None:
            wrong.append("CreateNetwork before its intent was stored")
        if isinstance(effect, r.StartContainer):
            h = next(each for each in task.history if each.name == effect.container)
            definition = next(each for each in task.containers if each.name == effect.container)
            if h.start_issued_at is None:
                wrong.append("StartContainer before its intent was stored")
            if task.network is not None and task.network_ready_at is None:
                wrong.append("StartContainer before the network was ready")
            if effect.restart:
                if h.restarts != effect.restart or h.restart_issued_at is None:
                    wrong.append("a restart before its intent was stored")
                return wrong
            wrong += [f"StartContainer before {each}" for each in definition.depends_on if not self._holds(task, each)]
        if isinstance(effect, r.RemoveContainer):
            h = next(each for each in task.history if each.name == effect.container)
            there = self.world.containers.get(task.key, {}).get(h.name)
            has_ended = h.exit is not None and h.started_at is not None and h.down is None
            # Of a start that was tried again, one attempt may have ended and the next one run.
            runs_on = there is not None and there.runs and (task.key, h.name, there.restart) not in self.world.ended
            if has_ended and runs_on:
                wrong.append(f"{h.name} is removed as if it had ended, and it runs")
        if isinstance(effect, r.SignalContainer) and task.stop is not None:
            dependents = [d.name for d in task.containers if any(e.container == effect.container for e in d.depends_on)]
            running = [h.name for h in task.history if h.name in dependents and h.started_at and h.exit is None]
            if running:
                wrong.append(f"{effect.container} was signalled before {running}, which depend on it")
            serves = task.eni is not None and task.eni.address in self.targets.registered
            drains_first = task.stop.code not in (StopCode.ESSENTIAL_CONTAINER_EXITED, StopCode.SPOT_INTERRUPTION)
            if serves and drains_first:
                wrong.append(f"{effect.container} was signalled while it is a target")
            if self._instances(task) and drains_first:
                wrong.append(f"{effect.container} was signalled while it is registered")
        return wrong

    def _instances(self, task: Task) -> list[DiscoveryInstance]:
        return self.store.find(table.DISCOVERY_INSTANCE, "owner", task.key)

    @staticmethod
    def _holds(task: Task, dependency: DependsOn) -> bool:
        on = next(each for each in task.history if each.name == dependency.container)
        if dependency.condition == "HEALTHY":
            return on.health is HealthStatus.HEALTHY and on.exit is None
        if dependency.condition == "START":
            return on.started_at is not None
        if dependency.condition == "COMPLETE":
            return on.exit is not None
        return on.exit is not None and on.exit.code == 0

    def _compare(self, task: Task) -> None:
        """At rest, what is known must be what is so."""
        there = self.world.containers.get(task.key, {})
        if task.last_status is TaskStatus.STOPPED:
            owned = self.store.find(table.ENI, "owner", f"task:{task.key}")
            held = {"network": task.key in self.world.networks, "volumes": task.key in self.world.volumes}
            held |= {"ebs": task.key in self.world.ebs or task.key in self.ebs.volumes}
            owned += self._instances(task)  # type: ignore[arg-type]
            if there or owned or any(held.values()):
                self.wrong.append(f"{task.id} is STOPPED and holds {there, held, owned}")
            return
        if task.stop is not None:
            self.wrong.append(f"{task.id} is {task.last_status.name} for ever: {plan_words(task)}")
        if not self._at_rest(task):
            self.wrong.append(f"{task.id} never comes to rest: {plan_words(task)}")
        for h in task.history:
            container = there.get(h.name)
            runs = container is not None and container.runs
            if runs != (h.started_at is not None and h.exit is None):
                self.wrong.append(f"{task.id}: {h.name} {'runs' if runs else 'does not run'}, unlike what is known")
        address = task.eni.address if task.eni is not None else None
        if task.last_status is TaskStatus.RUNNING and task.targets and address not in self.targets.registered:
            self.wrong.append(f"{task.id} is RUNNING and no target")
        if task.last_status is TaskStatus.RUNNING and task.registries:
            told = [each.health for each in self._instances(task)]
            if told != [discovery.health_of(task, REGISTRY)]:
                self.wrong.append(f"{task.id} is RUNNING and {told} in its registry")
        if task.last_status < TaskStatus.RUNNING and not any(each.depends_on for each in task.containers):
            self.wrong.append(f"{task.id} is {task.last_status.name} for ever")

    # --- tasks -----------------------------------------------------------------------------------------------------

    def _new_task(self) -> Task:
        rng = self.rng
        count = rng.choice((1, 1, 2, 3))
        containers: list[ContainerDefinition] = []
        for n in range(count):
            depends: tuple[DependsOn, ...] = ()
            if n and rng.random() < 0.5:
                on = rng.choice(containers)
                conditions: list[Literal["START", "COMPLETE", "SUCCESS", "HEALTHY"]] = ["START"]
                conditions += [] if on.essential else ["COMPLETE", "SUCCESS"]
                conditions += [] if on.health_check is None else ["HEALTHY"]
                condition = rng.choice(conditions)
                depends = (DependsOn(container=on.name, condition=condition),)
            containers.append(
                ContainerDefinition(
                    name=f"c{n}",
                    image=f"image{n}",
                    essential=n == count - 1 or rng.random() < 0.4,
                    depends_on=depends,
                    stop_timeout_s=rng.choice((None, 2, 10)),
                    start_timeout_s=rng.choice((None, None, 20)),
                    health_check=HealthCheck(command=("CMD", "true")) if rng.random() < 0.4 else None,
                    restart_policy=RestartPolicy(
                        enabled=rng.random() < 0.9,
                        ignored_exit_codes=rng.choice(((), (0,))),
                        attempt_period_s=rng.choice((1, 5)),
                    )
                    if rng.random() < 0.6
                    else None,
                )
            )
        awsvpc = rng.random() < 0.9
        shared = rng.random() < 0.4
        if shared:
            mount = MountPoint(volume="data", container_path="/data")
            containers = [replace(each, mount_points=(mount,)) for each in containers]
        task_id = self.ids.hex(32)
        has_ebs = int(task_id, 16) % 5 == 0
        managed = Volume(name="ebs", is_configured_at_launch=True)
        definition = TaskDefinition(
            scope=SCOPE,
            family="f",
            revision=1,
            containers=tuple(containers),
            network_mode="awsvpc" if awsvpc else "none",
            volumes=(*((Volume(name="data"),) if shared else ()), *((managed,) if has_ebs else ())),
            registered_at=EPOCH,
            registered_by="",
        )
        target = TargetRef(target_group_arn="tg", container_name="c0", container_port=80)
        return new_task(
            scope=SCOPE,
            cluster="default",
            task_id=task_id,
            attachment_id=self.ids.uuid(),
            runtime_ids=[self.ids.hex(32) for _ in containers],
            definition=definition,
            launch_type="FARGATE",
            group="family:f",
            network=NetworkRequest(subnet_ids=("subnet-1",)) if awsvpc else None,
            created_at=self.clock.now(),
            cause_id="sim",
            managed_volume=ManagedVolume(
                volume="ebs", role_arn="r", size_gib=1, delete_on_termination=int(task_id, 16) % 3 > 0
            )
            if has_ebs
            else None,
            targets=(target,) if awsvpc and rng.random() < 0.5 else (),
            registries=(RegistryRef(registry_arn=f"arn/{REGISTRY.id}"),) if awsvpc and int(task_id, 16) % 2 else (),
        )


def plan_words(task: Task) -> str:
    """What is planned for the task, and the end of its story."""
    plan = machine.plan(task, now=datetime.max.replace(tzinfo=EPOCH.tzinfo))
    story = " | ".join(f"{each.at:%H:%M:%S} {each.what} {each.detail}" for each in task.story[-12:])
    return f"{[type(each.effect).__name__ for each in plan.effects]}; {story}"
