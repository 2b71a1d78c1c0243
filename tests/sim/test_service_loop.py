"""The service loop on the event loop: real wake-ups, a store in memory, tasks that start as fast as they can."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from portside.control.clock import RandomIds, SystemClock
from portside.control.services import ServiceLoop
from portside.domain import arn
from portside.domain.account_setting import LOG_MODE, AccountSetting
from portside.domain.container_instance import Attribute, ContainerInstance
from portside.domain.iam import Role
from portside.domain.placement import Constraints
from portside.domain.record import Scope, replace
from portside.domain.service import change, event
from portside.domain.service.record import Deployment, Service
from portside.domain.table import ACCOUNT_SETTING, CONTAINER_INSTANCE, ROLE, SERVICE, TASK, TASK_DEFINITION
from portside.domain.task import machine
from portside.domain.task.record import StopCode, Task, TaskStatus
from portside.domain.task_definition import ContainerDefinition, LogConfiguration, TaskDefinition
from portside.store.interface import Change, Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")
KEY = "000000000000/us-east-1/default/web"


class Tasks:
    """Moves every task on at once: to RUNNING, or to STOPPED when its end is asked for."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.unsubscribe = store.subscribe(self._changed)

    def _changed(self, news: Change) -> None:
        if isinstance(news.value, Task):
            asyncio.get_running_loop().call_soon(self._move, news.key)

    def _move(self, key: str) -> None:
        task = self.store.get(TASK, key)
        now = datetime.now(UTC)
        if task is None:
            return
        if task.stop is not None and task.last_status < TaskStatus.STOPPED:
            self.store.transact(Put(TASK, replace(task, last_status=TaskStatus.STOPPED)))
        elif task.stop is None and task.last_status < TaskStatus.RUNNING:
            self.store.transact(Put(TASK, replace(task, last_status=TaskStatus.RUNNING, started_at=now)))


@asynccontextmanager
async def running(desired: int, retention_s: float = 3600) -> AsyncIterator[MemoryStore]:
    store, now = MemoryStore(), datetime.now(UTC)
    definition = TaskDefinition(
        scope=SCOPE,
        family="web",
        revision=1,
        containers=(ContainerDefinition(name="web", image="web", log=LogConfiguration(driver="awslogs")),),
        registered_at=now,
        registered_by="test",
    )
    deployment = Deployment(
        id="ecs-svc/1",
        status="PRIMARY",
        task_definition_arn=arn.task_definition(SCOPE, "web", 1),
        desired_count=desired,
        network=None,
        launch_type="FARGATE",
        platform_version="1.4.0",
        created_at=now,
        updated_at=now,
    )
    service = Service(
        scope=SCOPE,
        cluster="default",
        name="web",
        desired_count=desired,
        created_at=now,
        created_by="test",
        deployments=(deployment,),
    )
    Tasks(store)
    loop = ServiceLoop(store, SystemClock(), RandomIds(), retention_s=retention_s)
    await loop.start()
    store.transact(Put(TASK_DEFINITION, definition), Put(SERVICE, service))
    try:
        yield store
    finally:
        await loop.close()


async def until(store: MemoryStore, fact: Callable[[], bool]) -> None:
    """Wait until a commit makes it true, ten seconds at most."""
    changed = asyncio.Event()
    unsubscribe = store.subscribe(lambda _: changed.set())
    try:
        async with asyncio.timeout(10):
            while not fact():
                changed.clear()
                await changed.wait()
    finally:
        unsubscribe()


def alive(store: MemoryStore) -> list[Task]:
    return [task for task in store.find(TASK, "service_live", KEY) if task.stop is None]


def is_steady(store: MemoryStore) -> bool:
    service = store.get(SERVICE, KEY)
    return service is not None and service.steady


def test_from_nothing_to_two_hundred_and_back() -> None:
    """Two hundred tasks come up, the deployment completes, and a desired count of 0 takes them down again."""

    async def run() -> None:
        async with running(200) as store:
            await until(store, lambda: is_steady(store))
            assert len(alive(store)) == 200
            service = store.get(SERVICE, KEY)
            assert service is not None
            assert service.deployments[0].rollout_state == "COMPLETED"
            store.transact(Put(SERVICE, replace(service, desired_count=0)))
            await until(store, lambda: is_steady(store) and not alive(store))

    asyncio.run(run())


def test_tasks_get_the_mode_of_logs_of_who_made_the_service() -> None:
    """AWS's default; then the account's; then that principal's own; of a role's session, the role's."""
    role = Role(
        account=SCOPE.account, name="ci", id="AROA1", path="/x/", assume_role_policy="{}", created_at=datetime.now(UTC)
    )

    async def run() -> None:
        async with running(1) as store:
            for desired, (principal, value) in enumerate(
                (
                    ("", ""),
                    ("arn:aws:iam::000000000000:root", "blocking"),
                    ("test", "non-blocking"),
                    ("arn:aws:iam::000000000000:role/x/ci", "blocking"),
                ),
                1,
            ):
                setting = AccountSetting(scope=SCOPE, name=LOG_MODE, principal_arn=principal, value=value)
                service = store.get(SERVICE, KEY)
                assert service is not None
                maker = "arn:aws:sts::000000000000:assumed-role/ci/me" if desired == 4 else "test"
                changed = replace(service, desired_count=desired, created_by=maker)
                store.transact(Put(ROLE, role), Put(ACCOUNT_SETTING, setting), Put(SERVICE, changed))
                await until(store, lambda count=desired: len(alive(store)) == count)  # type: ignore[misc]
            logs = [each.containers[0].log for each in sorted(alive(store), key=lambda each: each.created_at)]
            assert [each.options["mode"] for each in logs if each] == 2 * ["non-blocking", "blocking"]

    asyncio.run(run())


def test_a_task_that_ends_is_replaced_without_waiting() -> None:
    """A replacement is in the store within a few turns of the event loop: no timer stands between."""

    async def run() -> None:
        async with running(2) as store:
            await until(store, lambda: is_steady(store))
            first, _ = alive(store)
            store.transact(
                Put(
                    TASK,
                    machine.stop(
                        first, code=StopCode.ESSENTIAL_CONTAINER_EXITED, reason="exited", at=datetime.now(UTC)
                    ),
                )
            )
            for _ in range(10):
                await asyncio.sleep(0)
            assert len({task.id for task in store.find(TASK, "service", KEY)}) == 3

    asyncio.run(run())


def test_protection_holds_until_it_is_taken_back_or_over() -> None:
    """Scaled to nothing, a service keeps its protected tasks; each goes when its protection does, by itself."""

    async def run() -> None:
        async with running(2) as store:
            await until(store, lambda: is_steady(store))
            first, second = (task.key for task in alive(store))
            later = datetime.now(UTC) + timedelta(hours=2)
            for key in (first, second):
                task = store.get(TASK, key)
                assert task is not None
                store.transact(Put(TASK, replace(task, protected_until=later)))
            service = store.get(SERVICE, KEY)
            assert service is not None
            store.transact(Put(SERVICE, replace(service, desired_count=0)))
            await until(store, lambda: not is_steady(store))
            task = store.get(TASK, first)
            assert task is not None
            store.transact(Put(TASK, replace(task, protected_until=None)))
            await until(store, lambda: [each.key for each in alive(store)] == [second])
            task = store.get(TASK, second)
            assert task is not None
            store.transact(Put(TASK, replace(task, protected_until=datetime.now(UTC) + timedelta(milliseconds=50))))
            await until(store, lambda: not alive(store) and is_steady(store))

    asyncio.run(run())


def test_a_deleted_service_is_seen_for_a_while_and_then_forgotten() -> None:
    """A deleted service is INACTIVE once its tasks are gone; after the retention its record goes, also after a restart;
    one made anew under its name meanwhile stays."""

    async def run() -> None:
        async with running(2, retention_s=0.05) as store:
            await until(store, lambda: is_steady(store))
            service = store.get(SERVICE, KEY)
            assert service is not None
            states: list[str] = []
            store.subscribe(lambda news: states.append(getattr(news.value, "status", "")))
            store.transact(Put(SERVICE, change.deleted(service, force=True, now=datetime.now(UTC))))
            await until(store, lambda: store.get(SERVICE, KEY) is None)
            assert "INACTIVE" in states
        async with running(1) as store:
            await until(store, lambda: is_steady(store))
            service = store.get(SERVICE, KEY)
            assert service is not None
            over = replace(service, status="INACTIVE", name="over", ended_at=service.created_at, deployments=())
            store.transact(Put(SERVICE, over))
            again = ServiceLoop(store, SystemClock(), RandomIds(), retention_s=0.05)
            await again.start()
            await until(store, lambda: store.get(SERVICE, over.key) is None)
            assert is_steady(store)
            await again.close()

    asyncio.run(run())


def on_instances(*instances: ContainerInstance, **changes: Any) -> MemoryStore:
    """A DAEMON service for the instances of the stack red, or what the changes make of it."""
    store, now = MemoryStore(), datetime.now(UTC)
    definition = TaskDefinition(
        scope=SCOPE,
        family="web",
        revision=1,
        containers=(ContainerDefinition(name="web", image="web", memory_mib=64),),
        network_mode="bridge",
        registered_at=now,
        registered_by="test",
    )
    deployment = Deployment(
        id="ecs-svc/1",
        status="PRIMARY",
        task_definition_arn=arn.task_definition(SCOPE, "web", 1),
        desired_count=0,
        network=None,
        launch_type="EC2",
        platform_version="",
        created_at=now,
        updated_at=now,
    )
    service = Service(
        scope=SCOPE,
        cluster="default",
        name="web",
        desired_count=0,
        scheduling_strategy="DAEMON",
        minimum_healthy_percent=0,
        maximum_percent=100,
        placement_constraints=Constraints(expressions=("attribute:stack == red",)),
        created_at=now,
        created_by="test",
        deployments=(deployment,),
    )
    store.transact(Put(TASK_DEFINITION, definition), Put(SERVICE, replace(service, **changes)))
    store.transact(*(Put(CONTAINER_INSTANCE, each) for each in instances))
    return store


def an_instance(number: int, zone: str = "us-east-1a") -> ContainerInstance:
    return ContainerInstance(
        scope=SCOPE,
        cluster="default",
        id=f"{number:032x}",
        instance_id=f"i-{number}",
        instance_type="t3.small",
        cpu_units=2048,
        memory_mib=2048,
        interfaces=2,
        vpc_id="vpc-1",
        subnet_id="subnet-a",
        zone=zone,
        address=f"10.0.0.{number}",
        private_dns_name="",
        attributes=(Attribute(name="stack", value="red"),),
        registered_at=datetime.now(UTC),
    )


def homes(store: MemoryStore) -> list[str]:
    return sorted(task.placement.instance_id for task in alive(store) if task.placement is not None)


def test_tasks_move_to_a_zone_that_comes_later() -> None:
    """An instance in another Availability Zone joins: half of the tasks move there, one after another; when it drains,
    they are back; and a task that does not fit on it stays, with an event about that."""

    async def run() -> None:
        store = on_instances(
            an_instance(4),
            scheduling_strategy="REPLICA",
            desired_count=2,
            minimum_healthy_percent=100,
            maximum_percent=200,
            placement_constraints=Constraints(),
            az_rebalancing="ENABLED",
        )
        Tasks(store)
        loop = ServiceLoop(store, SystemClock(), RandomIds())
        await loop.start()
        await until(store, lambda: homes(store) == ["i-4", "i-4"] and is_steady(store))
        store.transact(Put(CONTAINER_INSTANCE, an_instance(5, "us-east-1b")))
        await until(store, lambda: homes(store) == ["i-4", "i-5"] and is_steady(store))
        store.transact(Put(CONTAINER_INSTANCE, replace(an_instance(5, "us-east-1b"), status="DRAINING")))
        await until(store, lambda: homes(store) == ["i-4", "i-4"] and is_steady(store))
        store.transact(Put(CONTAINER_INSTANCE, replace(an_instance(6, "us-east-1c"), memory_mib=1)))
        told = event.unmoved("web", "us-east-1c")
        await until(store, lambda: told in [each.message for each in next(iter(store.scan(SERVICE))).events])
        assert homes(store) == ["i-4", "i-4"]
        await loop.close()

    asyncio.run(run())


def test_a_daemon_leaves_the_instance_that_is_none_of_its_own_any_more() -> None:
    """Of three daemon tasks the one goes whose instance no longer meets the constraint, whatever its age, and one is
    there again once the instance does."""
    instances = [an_instance(number) for number in range(4, 7)]

    async def run() -> None:
        store = on_instances(*instances)
        Tasks(store)
        loop = ServiceLoop(store, SystemClock(), RandomIds())
        await loop.start()
        await until(store, lambda: homes(store) == ["i-4", "i-5", "i-6"])
        for first in instances[:2]:
            store.transact(Put(CONTAINER_INSTANCE, replace(first, attributes=())))
            await until(store, lambda gone=first.instance_id: len(homes(store)) == 2 and gone not in homes(store))
            store.transact(Put(CONTAINER_INSTANCE, first))
            await until(store, lambda: homes(store) == ["i-4", "i-5", "i-6"])
        await loop.close()

    asyncio.run(run())
