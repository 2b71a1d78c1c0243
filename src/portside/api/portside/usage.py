"""What runs and what it uses: the extension behind `portside top`, `/_portside/usage`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from portside.domain import arn
from portside.domain.clock import Clock
from portside.domain.insight import Look, Looks, Traffic, reserved_cpu_units, reserved_memory_mib, traffic, traffic_of
from portside.domain.other_container import OtherContainer
from portside.domain.service.record import Service
from portside.domain.table import CLUSTER, SERVICE, TASK
from portside.domain.task import health
from portside.domain.task.record import ContainerHistory, Task, TaskStatus
from portside.domain.usage import Usage
from portside.store.interface import Store

FRESH: Final = timedelta(seconds=1)
"""So long a look at the kernel's counters is answered again."""
_RECENT: Final = timedelta(minutes=1)
"""Rates are those since the look before, if that is not longer ago."""
_MIB: Final = 1024**2


@dataclass(frozen=True)
class Seen:
    """What one look found: what the containers of running tasks use, by the tasks' keys, and bytes that the tasks have
    written and may write, where that is limited; containers that Portside did not start, where they are looked at."""

    at: datetime
    looks: dict[str, Looks]
    ephemeral: dict[str, tuple[int, int]]
    others: list[tuple[OtherContainer, Look]] = field(default_factory=list)


class Watch:
    """Looks at what containers use when it is asked to; one look at a time, and at most one a second.

    Args:
        usage: what a container uses, by its runtime id; None if it does not run.
        ephemeral: bytes that a task has written and may write, by its id.
        others: containers that Portside did not start.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        usage: Callable[[str], Awaitable[Usage | None]],
        ephemeral: Callable[[str], tuple[int, int] | None],
        others: Callable[[], Awaitable[Sequence[tuple[OtherContainer, Usage]]]] | None = None,
    ) -> None:
        self._others = others
        self._store, self._clock, self._usage, self._ephemeral = store, clock, usage, ephemeral
        self._lock = asyncio.Lock()
        self._seen: Seen | None = None
        self._before: dict[str, Usage] = {}

    async def look(self) -> Seen:
        async with self._lock:
            now = self._clock.now()
            if self._seen is None or not timedelta() <= now - self._seen.at < FRESH:
                self._seen = await self._looked(now)
            return self._seen

    async def _looked(self, now: datetime) -> Seen:
        seen = Seen(at=now, looks={}, ephemeral={})
        usages: dict[str, Usage] = {}
        for task in list(self._store.scan(TASK)):
            if not TaskStatus.PENDING <= task.last_status < TaskStatus.STOPPED:
                continue
            looks: dict[str, Look] = {}
            for each in task.history:
                usage = await self._usage(each.runtime_id)
                if usage is None:
                    continue
                looks[each.name] = self._since_before(each.runtime_id, usage)
                usages[each.runtime_id] = usage
            seen.looks[task.key] = looks
            written = self._ephemeral(task.id)
            if written is not None:
                seen.ephemeral[task.key] = written
        for container, usage in await self._others() if self._others is not None else ():
            seen.others.append((container, self._since_before(container.id, usage)))
            usages[container.id] = usage
        self._before = usages
        return seen

    def _since_before(self, key: str, usage: Usage) -> Look:
        before = self._before.get(key)
        # Counters begin anew with a container that is started again.
        is_usable = before is not None and usage.at - before.at <= _RECENT and usage.cpu_ns >= before.cpu_ns
        return Look(usage=usage, before=before if is_usable else None)


def document(store: Store, seen: Seen) -> dict[str, Any]:
    """Clusters, services and tasks that have not stopped, of every account and region.

    Returns: {"at", "clusters": [...], "services": [...], "tasks": [{..., "containers": [...]}], "otherContainers":
        [...]}. Bytes and CPU units
        (1024 are a processor); rates are per second and None until there are two looks. What a container uses is
        there under "usage" while it runs. Times in ISO 8601.
    """
    return {
        "at": seen.at.isoformat(),
        "clusters": [
            {"account": each.scope.account, "region": each.scope.region, "name": each.name}
            for each in store.scan(CLUSTER)
            if each.status == "ACTIVE"
        ],
        "services": [_service(store, each) for each in store.scan(SERVICE) if each.status != "INACTIVE"],
        "tasks": [
            _task(each, seen.looks.get(each.key, {}), seen.ephemeral.get(each.key))
            for each in store.scan(TASK)
            if each.last_status < TaskStatus.STOPPED
        ],
        "otherContainers": [_other(*each) for each in seen.others],
    }


def counts(store: Store, service: Service) -> tuple[int, int]:
    """How many tasks of a service run, and how many are on the way to it."""
    statuses = [each.last_status for each in store.find(TASK, "service_live", service.key)]
    return sum(each is TaskStatus.RUNNING for each in statuses), sum(each < TaskStatus.RUNNING for each in statuses)


def _service(store: Store, service: Service) -> dict[str, Any]:
    running, pending = counts(store, service)
    return {
        "account": service.scope.account,
        "region": service.scope.region,
        "cluster": service.cluster,
        "name": service.name,
        "desired": service.desired_count,
        "running": running,
        "pending": pending,
    }


def _task(task: Task, looks: Looks, ephemeral: tuple[int, int] | None) -> dict[str, Any]:
    return {
        "arn": arn.task(task.scope, task.cluster, task.id),
        "account": task.scope.account,
        "region": task.scope.region,
        "cluster": task.cluster,
        "id": task.id,
        "service": task.service,
        "family": task.family,
        "revision": task.revision,
        "lastStatus": task.last_status.name,
        "desiredStatus": task.desired_status.name,
        "health": health.of_task(task).value,
        "createdAt": task.created_at.isoformat(),
        "startedAt": task.started_at.isoformat() if task.started_at else None,
        "cpuReserved": reserved_cpu_units(task),
        "memoryReserved": reserved_memory_mib(task) * _MIB,
        "ephemeralStorage": None if ephemeral is None else {"used": ephemeral[0], "size": ephemeral[1]},
        "containers": [_container(task, each, looks) for each in task.history],
    }


def _container(task: Task, history: ContainerHistory, looks: Looks) -> dict[str, Any]:
    look = looks.get(history.name)
    return {
        "name": history.name,
        "health": history.health.value,
        "restarts": history.restarts,
        "exitCode": history.exit.code if history.exit else None,
        "usage": _usage(look, traffic(task, look, len(looks))) if look is not None else None,
    }


def _other(container: OtherContainer, look: Look) -> dict[str, Any]:
    return {
        "runtime": container.runtime,
        "id": container.id,
        "name": container.name,
        "pod": container.pod,
        "namespace": container.namespace,
        "usage": _usage(look, traffic_of(look) if look.usage.network else None),
    }


def _usage(look: Look, passed: Traffic | None) -> dict[str, Any]:
    usage, before = look.usage, look.before
    seconds = look.seconds
    disk = None
    if before is not None and seconds > 0:
        disk = (
            max(0.0, (usage.storage_read_bytes - before.storage_read_bytes) / seconds),
            max(0.0, (usage.storage_written_bytes - before.storage_written_bytes) / seconds),
        )
    return {
        "at": usage.at.isoformat(),
        "cpuNanoseconds": usage.cpu_ns,
        "cpuUnits": None if look.cpu_units is None else round(look.cpu_units, 2),
        "memory": look.memory_bytes,
        "memoryLimit": usage.memory_limit_bytes or None,
        "storageRead": usage.storage_read_bytes,
        "storageWritten": usage.storage_written_bytes,
        "storageReadRate": None if disk is None else round(disk[0]),
        "storageWriteRate": None if disk is None else round(disk[1]),
        "networkReceived": None if passed is None else passed.total.rx_bytes,
        "networkSent": None if passed is None else passed.total.tx_bytes,
        "networkReceiveRate": None if passed is None or passed.rates is None else round(passed.rates[0]),
        "networkSendRate": None if passed is None or passed.rates is None else round(passed.rates[1]),
    }
