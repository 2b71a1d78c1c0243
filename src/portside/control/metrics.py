"""The metric loop: what services and clusters use, a minute at a time, into CloudWatch's `AWS/ECS`.

Source: ECS developer guide, "Amazon ECS CloudWatch metrics": CPUUtilization and MemoryUtilization of a service are what
its tasks use of what their task definition reserves, in percent, with one sample a task and minute; those of a cluster
what its tasks use of its container instances, whose reserved part is CPUReservation and MemoryReservation.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from portside.control.insights import ContainerInsights
from portside.control.loop import Loop, next_period
from portside.domain.clock import Clock
from portside.domain.insight import Look, Looks, reserved_cpu_units, reserved_memory_mib
from portside.domain.metric import Dimensions, MetricName, Sample, dimensions_of, point_of
from portside.domain.record import Scope
from portside.domain.table import CONTAINER_INSTANCE, TASK
from portside.domain.task.record import Task, TaskStatus
from portside.domain.usage import Usage
from portside.store.interface import Store, StoreUnavailable
from portside.telemetry.interface import LogStreamMissing, LogsUnavailable
from portside.telemetry.metric import MetricStore

log = logging.getLogger(__name__)

PERIOD_S: Final = 60
ROLL_UP_EVERY: Final = timedelta(hours=1)
NAMESPACE: Final = "AWS/ECS"
_ALL: Final = "all"
_MIB: Final = 1024**2


class MetricLoop:
    """
    Args:
        usage: what a container uses, by its runtime id; None if it does not run.
        insights: gets the same looks, where a cluster has Container Insights on.
        period_s: between two looks.
    """

    def __init__(
        self,
        store: Store,
        metrics: MetricStore,
        clock: Clock,
        usage: Callable[[str], Awaitable[Usage | None]],
        insights: ContainerInsights,
        *,
        period_s: float = PERIOD_S,
    ) -> None:
        self._store, self._metrics, self._clock, self._usage, self._period_s = store, metrics, clock, usage, period_s
        self._insights = insights
        self._loop = Loop("metrics", clock, self._step, resync_s=2 * period_s)
        self._before: dict[str, Usage] = {}
        self._due: datetime | None = None
        self._rolled_up: datetime | None = None

    async def start(self) -> None:
        self._loop.wake(_ALL)

    async def close(self) -> None:
        await self._loop.close()

    async def _step(self, _key: str) -> datetime:
        if self._due is not None:
            # A timer may be early: what was left of the period would be a sample of its own.
            await self._clock.sleep_until(self._due)
        now = self._clock.now()
        is_first, self._due = self._due is None, next_period(now, self._period_s)
        try:
            looks = await self._look()
            if is_first:
                return self._due  # what the first samples are counted from: the period's own are told at its end
            for scope, samples in _by_scope(looks, self._registered(), now).items():
                await self._metrics.put(scope, samples)
            await self._insights.put(looks, now)
            if self._rolled_up is None or now - self._rolled_up >= ROLL_UP_EVERY:
                await self._metrics.roll_up(int(now.timestamp()))
                self._rolled_up = now
        except (LogsUnavailable, LogStreamMissing, StoreUnavailable) as error:
            log.warning("metrics of this minute are lost: %s", error)
        return self._due

    async def _look(self) -> list[tuple[Task, Looks]]:
        """What the containers of running tasks use, where it is asked for."""
        found: list[tuple[Task, Looks]] = []
        seen: dict[str, Usage] = {}
        for task in list(self._store.scan(TASK)):
            if task.last_status is not TaskStatus.RUNNING:
                continue
            if task.service is None and task.placement is None and self._insights.mode(task) == "disabled":
                continue
            looks: dict[str, Look] = {}
            for history in task.history:
                usage = await self._usage(history.runtime_id)
                if usage is not None:
                    looks[history.name] = Look(usage=usage, before=self._before_of(history.runtime_id, usage))
                    seen[history.runtime_id] = usage
            if looks:
                found.append((task, looks))
        self._before = seen
        return found

    def _before_of(self, runtime_id: str, usage: Usage) -> Usage | None:
        """The look before; not one that is so near that what a container uses in bursts would pass for what it always
        uses: with a quarter of a processor it has the whole one for a quarter of each tenth of a second."""
        before = self._before.get(runtime_id)
        if before is None or (usage.at - before.at).total_seconds() < self._period_s / 2:
            return None
        return before

    def _registered(self) -> Mapping[tuple[Scope, str], tuple[int, int]]:
        """CPU units and MiB of the container instances, by cluster."""
        found: dict[tuple[Scope, str], tuple[int, int]] = {}
        for each in self._store.scan(CONTAINER_INSTANCE):
            cpu_units, memory_mib = found.get((each.scope, each.cluster), (0, 0))
            found[each.scope, each.cluster] = (cpu_units + each.cpu_units, memory_mib + each.memory_mib)
        return found


def _by_scope(
    looks: Iterable[tuple[Task, Looks]], registered: Mapping[tuple[Scope, str], tuple[int, int]], now: datetime
) -> dict[Scope, list[Sample]]:
    by_service: dict[tuple[Scope, str, str], list[_Use]] = {}
    by_cluster: dict[tuple[Scope, str], list[_Use]] = {}
    for task, looked in looks:
        use = _use(task, looked)
        if task.service is not None:
            by_service.setdefault((task.scope, task.cluster, task.service), []).append(use)
        if task.placement is not None:
            by_cluster.setdefault((task.scope, task.cluster), []).append(use)
    found: dict[Scope, list[Sample]] = {}
    for (scope, cluster, service), uses in by_service.items():
        dimensions = dimensions_of({"ClusterName": cluster, "ServiceName": service})
        shares = {
            "CPUUtilization": [_percent(each.cpu_units, each.cpu_reserved) for each in uses],
            "MemoryUtilization": [_percent(each.memory_mib, each.memory_reserved) for each in uses],
        }
        found.setdefault(scope, []).extend(_samples(dimensions, shares, now))
    for (scope, cluster), uses in by_cluster.items():
        cpu_units, memory_mib = registered.get((scope, cluster), (0, 0))
        shares = {
            "CPUReservation": [_percent(sum(each.cpu_reserved for each in uses), cpu_units)],
            "MemoryReservation": [_percent(sum(each.memory_reserved for each in uses), memory_mib)],
            "CPUUtilization": [_percent(_total([each.cpu_units for each in uses]), cpu_units)],
            "MemoryUtilization": [_percent(sum(each.memory_mib for each in uses), memory_mib)],
        }
        found.setdefault(scope, []).extend(_samples(dimensions_of({"ClusterName": cluster}), shares, now))
    return found


@dataclass(frozen=True, slots=True)
class _Use:
    """What a task uses and reserves: CPU units (None after one look only) and MiB."""

    cpu_units: float | None
    cpu_reserved: int
    memory_mib: float
    memory_reserved: int


def _use(task: Task, looks: Looks) -> _Use:
    """Its containers together. The CPU's share takes two looks at the same containers."""
    return _Use(
        cpu_units=_total([each.cpu_units for each in looks.values()]),
        cpu_reserved=reserved_cpu_units(task),
        memory_mib=sum(each.memory_bytes for each in looks.values()) / _MIB,
        memory_reserved=reserved_memory_mib(task),
    )


def _total(values: Iterable[float | None]) -> float | None:
    """Of those that are known; None if none is."""
    known = [each for each in values if each is not None]
    return sum(known) if known else None


def _percent(used: float | None, of: int) -> float | None:
    return 100 * used / of if used is not None and of else None


def _samples(dimensions: Dimensions, shares: Mapping[str, Iterable[float | None]], now: datetime) -> list[Sample]:
    return [
        Sample(
            metric=MetricName(namespace=NAMESPACE, name=name, dimensions=dimensions),
            at_s=now.timestamp(),
            point=point_of(((value, 1.0) for value in known), "Percent"),
        )
        for name, values in shares.items()
        if (known := [each for each in values if each is not None])
    ]
