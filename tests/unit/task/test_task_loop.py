"""The task loop on virtual time, with a machine in memory: what the histories do not look at one by one."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from portside.control.secret_resolver import VaultResolver
from portside.control.tasks import TaskLoop
from portside.domain import table
from portside.domain.record import Scope, Tag, replace
from portside.domain.task import machine
from portside.domain.task import record as r
from portside.domain.task.creation import new_task
from portside.domain.task.record import EniAttachment, NetworkRequest, NodeEffect, StopCode, Task, TaskStatus
from portside.domain.task_definition import ContainerDefinition, TaskDefinition
from portside.store.faulty import FaultyStore
from portside.store.interface import Change, Put
from portside.store.memory import MemoryStore
from portside.testing.clock import EPOCH, LoopClock, SeededIds, VirtualTimeLoop
from portside.testing.fake_node import Behaviour, FakeNode, Machine
from portside.testing.task_history import SCOPE, FakeEnis, FakeTargets, FakeVpcs
from portside.vault.aes import AesVault

VAULT = AesVault(bytes(32))


class Enis(FakeEnis):
    """Also notes the load it was shown, and spreads over zones."""

    loads: list[dict[str, int]]

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
        self.loads = [*getattr(self, "loads", []), dict(zone_load)]
        zone = min(("a", "b"), key=lambda each: zone_load.get(each, 0))
        made = super().allocate(
            scope=scope,
            request=request,
            owner=owner,
            description=description,
            zone_load=zone_load,
            now=now,
            attachment_id=attachment_id,
        )
        return replace(made, zone=zone)


@dataclass
class Bench:
    loop: VirtualTimeLoop
    clock: LoopClock
    store: FaultyStore
    world: Machine
    node: FakeNode
    enis: Enis
    tasks: TaskLoop
    commits: list[Change]
    full: bool = False

    def task(self, name: str, *, group: str = "family:f") -> Task:
        definition = TaskDefinition(
            scope=SCOPE,
            family="f",
            revision=1,
            containers=(ContainerDefinition(name="app", image="app"),),
            network_mode="awsvpc",
            registered_at=EPOCH,
            registered_by="",
        )
        return new_task(
            scope=SCOPE,
            cluster="default",
            task_id=name,
            attachment_id=name,
            runtime_ids=[name],
            definition=definition,
            launch_type="FARGATE",
            group=group,
            network=NetworkRequest(subnet_ids=("subnet-1",)),
            created_at=self.clock.now(),
            cause_id="test",
        )

    def run_task(self, name: str, *, group: str = "family:f") -> str:
        task = self.task(name, group=group)
        self.store.transact(Put(table.TASK, task, expect=0))
        return task.key

    def stop(self, key: str) -> None:
        now = self.clock.now()
        stopped = machine.stop(self.get(key), code=StopCode.USER_INITIATED, reason="enough", at=now)
        self.store.transact(Put(table.TASK, stopped))

    def get(self, key: str) -> Task:
        task = self.store.get(table.TASK, key)
        assert task is not None
        return task

    async def until(self, status: TaskStatus, *keys: str) -> None:
        async with asyncio.timeout(600):
            while any(self.get(key).last_status is not status for key in keys):  # noqa: ASYNC110 (virtual time)
                await asyncio.sleep(0.01)


def play(script: Callable[[Bench], Awaitable[None]], *, delay_s: float = 0.1, retention_s: float = 3600) -> Bench:
    loop = VirtualTimeLoop()
    random.seed(0)
    clock = LoopClock(loop)
    ids = SeededIds(0)
    world = Machine(clock.now, random.Random(0), Behaviour(delay_s=delay_s))
    node = FakeNode(world)
    store = FaultyStore(MemoryStore())
    enis = Enis(store, ids, world, addresses=300)
    commits: list[Change] = []
    store.subscribe(lambda change: commits.append(change) if change.kind == table.TASK else None)

    async def whole() -> Bench:
        secrets = VaultResolver(store, VAULT)
        tasks = TaskLoop(
            store, clock, ids, node, enis, FakeVpcs(), FakeTargets(world), secrets, retention_s=retention_s
        )
        bench = Bench(loop, clock, store, world, node, enis, tasks, commits)
        store.refuses = lambda: bench.full
        await tasks.start()
        await script(bench)
        await tasks.close()
        return bench

    try:
        bench = loop.run_until_complete(whole())
    finally:
        loop.close()
    assert world.wrong == []
    return bench


def test_few_commits() -> None:
    """A task of one container takes at most ten commits to RUNNING, its creation included, and as many to STOPPED."""

    async def script(bench: Bench) -> None:
        key = bench.run_task("one")
        await bench.until(TaskStatus.RUNNING, key)
        assert len(bench.commits) <= 10
        bench.commits.clear()
        bench.stop(key)
        await bench.until(TaskStatus.STOPPED, key)
        assert len(bench.commits) <= 10

    play(script)


def test_starts_are_bounded() -> None:
    """Of 60 tasks at once no more than eight containers are being started at any time; all come to run."""

    async def script(bench: Bench) -> None:
        keys = [bench.run_task(f"task-{n:02d}") for n in range(60)]
        await bench.until(TaskStatus.RUNNING, *keys)

    assert play(script).node.most_starts == 8


def test_stopped_while_waiting_for_a_start() -> None:
    """A task that is stopped before its turn to start never starts its container."""

    async def script(bench: Bench) -> None:
        keys = [bench.run_task(f"task-{n:02d}") for n in range(40)]
        await bench.until(TaskStatus.PENDING, *keys)
        waiting = keys[-1]
        while bench.get(waiting).history[0].start_issued_at is None:
            await _breath()
        assert (waiting, "app") not in bench.world.started
        bench.stop(waiting)
        await bench.until(TaskStatus.STOPPED, waiting)
        assert (waiting, "app") not in bench.world.started

    play(script)


async def _breath() -> None:
    await asyncio.sleep(0.001)


def test_zones_are_counted() -> None:
    """The allocator is told how many tasks of the same group each zone has; those of other groups do not count."""

    async def script(bench: Bench) -> None:
        first = bench.run_task("first", group="service:web")
        await bench.until(TaskStatus.RUNNING, first)
        other = bench.run_task("other", group="service:api")
        await bench.until(TaskStatus.RUNNING, other)
        second = bench.run_task("second", group="service:web")
        await bench.until(TaskStatus.RUNNING, second)
        bench.stop(first)
        await bench.until(TaskStatus.STOPPED, first)
        third = bench.run_task("third", group="service:web")
        await bench.until(TaskStatus.RUNNING, third)

    assert play(script).enis.loads == [{}, {}, {"a": 1}, {"b": 1}]


def test_retention() -> None:
    """A stopped task stays for its retention and no longer; also if it was stopped before a restart."""

    async def script(bench: Bench) -> None:
        key = bench.run_task("one")
        bench.stop(key)
        await bench.until(TaskStatus.STOPPED, key)
        await bench.clock.sleep_until(bench.clock.now() + _minutes(9))
        assert bench.store.get(table.TASK, key) is not None
        await bench.tasks.close()
        bench.tasks = TaskLoop(
            bench.store,
            bench.clock,
            SeededIds(1),
            bench.node,
            bench.enis,
            FakeVpcs(),
            FakeTargets(bench.world),
            VaultResolver(bench.store, VAULT),
            retention_s=600,
        )
        await bench.tasks.start()
        await bench.clock.sleep_until(bench.clock.now() + _minutes(2))
        assert bench.store.get(table.TASK, key) is None
        await bench.tasks.close()

    play(script, retention_s=600)


def _minutes(count: int) -> timedelta:
    return timedelta(minutes=count)


def test_a_fact_outlives_a_full_disk() -> None:
    """An exit that is reported while nothing can be stored is stored once that is possible, with its own time."""

    async def script(bench: Bench) -> None:
        key = bench.run_task("one")
        await bench.until(TaskStatus.RUNNING, key)
        bench.full = True
        exited_at = bench.clock.now()
        bench.world.exit(key, "app", 3)
        await bench.clock.sleep_until(bench.clock.now() + _minutes(30))
        assert bench.get(key).last_status is TaskStatus.RUNNING
        bench.full = False
        await bench.until(TaskStatus.STOPPED, key)
        end = bench.get(key).history[0].exit
        assert end is not None
        assert (end.code, end.at) == (3, exited_at)

    play(script)


def test_totals_that_nobody_can_note() -> None:
    """Of what a container lost while the disk is full one fact is kept, however often it is told: the last one."""

    async def script(bench: Bench) -> None:
        key = bench.run_task("t")
        await bench.until(TaskStatus.RUNNING, key)
        bench.full = True
        for lines in range(1, 1001):
            lost = r.LostOutput(lines=lines, size_bytes=lines, since=EPOCH)
            bench.tasks.report(key, r.ContainerOutputLost(container="app", lost=lost))
        assert len(bench.tasks._facts[key]) == 1
        bench.full = False
        await asyncio.sleep(60)
        (kept,) = bench.get(key).history
        assert kept.lost_output == lost

    play(script)


def test_no_start_while_the_disk_is_full() -> None:
    """An effect whose intent can not be stored does not run."""

    async def script(bench: Bench) -> None:
        key = bench.run_task("one")
        bench.full = True
        await bench.clock.sleep_until(bench.clock.now() + _minutes(5))
        assert bench.world.networks == set()
        assert bench.world.started == []
        bench.full = False
        await bench.until(TaskStatus.RUNNING, key)

    play(script)


def test_a_write_at_the_same_time() -> None:
    """What the API writes while the loop decides is kept: the loop decides again on what is there."""

    async def script(bench: Bench) -> None:
        key = bench.run_task("one")
        for n in range(50):
            stored = bench.store.read(table.TASK, key)
            assert stored is not None
            tagged = replace(stored.value, tags=(Tag(key=str(n)),))
            bench.store.transact(Put(table.TASK, tagged, expect=stored.version))
            await _breath()
        await bench.until(TaskStatus.RUNNING, key)
        assert bench.get(key).tags == (Tag(key="49"),)

    play(script)


def test_exhausted_subnet() -> None:
    """AWS's words when no address is free, and the task ends without a container or exit code."""

    async def script(bench: Bench) -> None:
        bench.enis.free.clear()
        key = bench.run_task("one")
        await bench.until(TaskStatus.STOPPED, key)
        task = bench.get(key)
        assert task.stop is not None
        assert task.stop.code is StopCode.TASK_FAILED_TO_START
        assert task.stop.reason.startswith(
            "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment disabled "
            "in subnet 'subnet-1': InsufficientFreeAddressesInSubnet"
        )
        assert task.history[0].exit is None

    play(script)


def test_a_failing_executor_is_a_fact() -> None:
    """A node that raises, against its contract, costs an attempt: the task runs in the end."""

    async def script(bench: Bench) -> None:
        execute = bench.node.execute
        failures = ["once", "twice"]

        async def failing(effect: NodeEffect) -> r.AnyFact:
            if isinstance(effect, r.CreateNetwork) and failures:
                raise OSError(failures.pop())
            return await execute(effect)

        bench.node.execute = failing  # type: ignore[method-assign]
        key = bench.run_task("one")
        await bench.until(TaskStatus.RUNNING, key)
        told = [each.detail for each in bench.get(key).story if each.what == "EffectFailed"]
        assert told == ["CreateNetwork network: OSError: twice", "CreateNetwork network: OSError: once"]

    play(script)
