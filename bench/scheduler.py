"""Decisions of the service scheduler on simulated container instances: the cost of replacing one task, in a
small cluster and in one ten times as large, of placing the first tasks of a service, and of noticing an instance."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from portside.control.clock import RandomIds, SystemClock
from portside.control.services import ServiceLoop
from portside.domain import arn
from portside.domain.container_instance import Attribute, ContainerInstance
from portside.domain.record import Scope, replace
from portside.domain.service.record import Deployment, RolloutState, Service
from portside.domain.table import CONTAINER_INSTANCE, SERVICE, TASK, TASK_DEFINITION
from portside.domain.task import machine
from portside.domain.task.record import StopCode, TaskStatus
from portside.domain.task_definition import ContainerDefinition, TaskDefinition
from portside.store.interface import Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")
OF_SERVICE = 50
"""Tasks of each service."""
ON_INSTANCE = 10
"""Tasks on each instance, of which it takes twice as many."""


class Cluster:
    """Services of fifty tasks each on instances of ten tasks each. The passes are the real ones, taken by hand."""

    def __init__(self, tasks: int) -> None:
        self.store, self.now = MemoryStore(), datetime.now(UTC) - timedelta(hours=1)
        self.loop = ServiceLoop(self.store, SystemClock(), RandomIds())
        self.store.transact(Put(TASK_DEFINITION, self._definition()))
        for number in range(tasks // ON_INSTANCE):
            self.join(number)
        self.services = [self._service(f"s{number}") for number in range(tasks // OF_SERVICE)]

    async def fill(self) -> None:
        """Follow the store, without workers, and let every service get all its tasks."""
        self.loop._unsubscribe = self.store.subscribe(self.loop._changed)
        self.loop._loop.wake = lambda _key: None  # type: ignore[assignment,method-assign]
        self.loop._wake_soon = lambda _key: None  # type: ignore[assignment,method-assign]
        for service in self.services:
            self.store.transact(Put(SERVICE, service))
            await self.settle(service.key)

    async def settle(self, key: str) -> int:
        """Passes until the service is as it should be; returns how many there were."""
        for passes in range(1, 100):
            before = len(self.store.find(TASK, "service_live", key))
            await self.loop._step(key)
            after = self.store.find(TASK, "service_live", key)
            for task in after:
                if task.last_status < TaskStatus.RUNNING:
                    self.store.transact(Put(TASK, replace(task, last_status=TaskStatus.RUNNING, started_at=self.now)))
            if len(after) == before:
                return passes
        raise AssertionError(f"{key} does not settle")

    async def replace_one(self, key: str) -> float:
        """A task ends; seconds until the pass that has placed another is over."""
        task = self.store.find(TASK, "service_live", key)[0]
        gone = machine.stop(task, code=StopCode.ESSENTIAL_CONTAINER_EXITED, reason="exited", at=datetime.now(UTC))
        begun = time.perf_counter()
        self.store.transact(Put(TASK, replace(gone, last_status=TaskStatus.STOPPED, stopped_at=datetime.now(UTC))))
        await self.loop._step(key)
        taken_s = time.perf_counter() - begun
        await self.settle(key)
        assert len(self.store.find(TASK, "service_live", key)) == OF_SERVICE
        return taken_s

    async def first_tasks(self, name: str) -> float:
        """Seconds that placing a new service's fifty tasks takes."""
        service = self._service(name)
        begun = time.perf_counter()
        self.store.transact(Put(SERVICE, service))
        await self.settle(service.key)
        return time.perf_counter() - begun

    def join(self, number: int) -> None:
        zone = f"us-east-1{'abc'[number % 3]}"
        instance = ContainerInstance(
            scope=SCOPE,
            cluster="default",
            id=f"{number:032x}",
            instance_id=f"i-{number:017x}",
            instance_type="m5.xlarge",
            cpu_units=100 * 2 * ON_INSTANCE,
            memory_mib=100 * 2 * ON_INSTANCE,
            interfaces=3,
            vpc_id="vpc-1",
            subnet_id="subnet-a",
            zone=zone,
            address=f"10.{number // 60000}.{number // 250 % 250}.{number % 250}",
            private_dns_name="",
            attributes=(Attribute(name="ecs.availability-zone", value=zone),),
            registered_at=self.now,
        )
        self.store.transact(Put(CONTAINER_INSTANCE, instance))

    def _definition(self) -> TaskDefinition:
        return TaskDefinition(
            scope=SCOPE,
            family="web",
            revision=1,
            containers=(ContainerDefinition(name="web", image="web", cpu_units=100, memory_mib=100),),
            network_mode="bridge",
            registered_at=self.now,
            registered_by="bench",
        )

    def _service(self, name: str) -> Service:
        deployment = Deployment(
            id=f"ecs-svc/{name}",
            status="PRIMARY",
            task_definition_arn=arn.task_definition(SCOPE, "web", 1),
            desired_count=OF_SERVICE,
            network=None,
            launch_type="EC2",
            platform_version="",
            rollout_state=RolloutState.COMPLETED,
            created_at=self.now,
            updated_at=self.now,
        )
        return Service(
            scope=SCOPE,
            cluster="default",
            name=name,
            desired_count=OF_SERVICE,
            created_at=self.now,
            created_by="bench",
            deployments=(deployment,),
        )


def _taken(services: list[Service], rounds: int) -> Iterator[str]:
    for number in range(rounds):
        yield services[number * 7 % len(services)].key


async def _measured(tasks: int, rounds: int) -> dict[str, float]:
    cluster = Cluster(tasks)
    begun = time.perf_counter()
    await cluster.fill()
    filled_s = time.perf_counter() - begun
    replaced = [await cluster.replace_one(key) for key in _taken(cluster.services, rounds)]
    first_s = [await cluster.first_tasks(f"new{number}") for number in range(3)]
    return {
        "instances": tasks / ON_INSTANCE,
        "placements_per_s_from_empty": tasks / filled_s,
        "replacement_ms": statistics.median(replaced) * 1000,
        "decisions_per_s": 1 / statistics.median(replaced),
        "first_fifty_tasks_ms": statistics.median(first_s) * 1000,
    }


def bench(quick: bool) -> dict[str, Any]:
    small = asyncio.run(_measured(200 if quick else 1000, 10 if quick else 100))
    large = asyncio.run(_measured(1000 if quick else 10_000, 10 if quick else 100))
    return {
        "small": small,
        "ten_times_as_large": large,
        "cost_of_a_replacement_large_to_small": large["replacement_ms"] / small["replacement_ms"],
    }
