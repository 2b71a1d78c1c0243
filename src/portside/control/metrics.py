"""The metric loop: what services use, a minute at a time, into CloudWatch's `AWS/ECS`.

Source: ECS developer guide, "Amazon ECS CloudWatch metrics": CPUUtilization and MemoryUtilization of a service are what
its tasks use of what their task definition reserves, in percent, with one sample a task and minute.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from portside.control.loop import Loop
from portside.domain.clock import Clock
from portside.domain.metric import MetricName, Sample, dimensions_of, point_of
from portside.domain.record import Scope
from portside.domain.table import TASK
from portside.domain.task.record import Task, TaskStatus
from portside.domain.usage import Usage
from portside.store.interface import Store
from portside.telemetry.interface import LogsUnavailable
from portside.telemetry.metric import MetricStore

log = logging.getLogger(__name__)

PERIOD_S: Final = 60
ROLL_UP_EVERY: Final = timedelta(hours=1)
NAMESPACE: Final = "AWS/ECS"
_ALL: Final = "all"
_MIB: Final = 1024**2


@dataclass(frozen=True, slots=True)
class _Share:
    """Percent of its reservation that a task uses."""

    cpu: float | None
    memory: float | None


class MetricLoop:
    """
    Args:
        usage: what a container uses, by its runtime id; None if it does not run.
        period_s: between two looks.
    """

    def __init__(
        self,
        store: Store,
        metrics: MetricStore,
        clock: Clock,
        usage: Callable[[str], Awaitable[Usage | None]],
        *,
        period_s: float = PERIOD_S,
    ) -> None:
        self._store, self._metrics, self._clock, self._usage, self._period_s = store, metrics, clock, usage, period_s
        self._loop = Loop("metrics", clock, self._step, resync_s=2 * period_s)
        self._before: dict[str, Usage] = {}
        self._rolled_up: datetime | None = None

    async def start(self) -> None:
        self._loop.wake(_ALL)

    async def close(self) -> None:
        await self._loop.close()

    async def _step(self, _key: str) -> datetime:
        now = self._clock.now()
        try:
            await self._look(now)
            if self._rolled_up is None or now - self._rolled_up >= ROLL_UP_EVERY:
                await self._metrics.roll_up(int(now.timestamp()))
                self._rolled_up = now
        except LogsUnavailable as error:
            log.warning("metrics of this minute are lost: %s", error)
        return _next(now, self._period_s)

    async def _look(self, now: datetime) -> None:
        shares: dict[Scope, dict[tuple[str, str], list[_Share]]] = {}
        seen: dict[str, Usage] = {}
        for task in list(self._store.scan(TASK)):
            if task.service is None or task.last_status is not TaskStatus.RUNNING:
                continue
            found = {}
            for history in task.history:
                usage = await self._usage(history.runtime_id)
                if usage is not None:
                    found[history.runtime_id] = usage
            if found:
                share = _share(task, found, self._before)
                shares.setdefault(task.scope, {}).setdefault((task.cluster, task.service), []).append(share)
                seen |= found
        self._before = seen
        for scope, by_service in shares.items():
            samples = [each for key, several in by_service.items() for each in _samples(*key, several, now)]
            if samples:
                await self._metrics.put(scope, samples)


def _share(task: Task, usages: Mapping[str, Usage], before: Mapping[str, Usage]) -> _Share:
    """Its containers together. The CPU's share takes two looks at the same containers."""
    cpu_units = task.cpu_units or sum(each.cpu_units for each in task.containers)
    memory_mib = task.memory_mib or sum(each.memory_reservation_mib or each.memory_mib or 0 for each in task.containers)
    rates = [
        (usage.cpu_ns - last.cpu_ns) / (seconds * 1e9)
        for runtime_id, usage in usages.items()
        if (last := before.get(runtime_id)) is not None and (seconds := (usage.at - last.at).total_seconds()) > 0
    ]
    used = sum(max(0, each.memory_bytes - _reclaimable(each)) for each in usages.values())
    return _Share(
        cpu=100 * sum(max(0.0, rate) for rate in rates) * 1024 / cpu_units if rates and cpu_units else None,
        memory=100 * used / (memory_mib * _MIB) if memory_mib else None,
    )


def _reclaimable(usage: Usage) -> int:
    """File pages that the kernel drops first when memory is short: not what a container needs."""
    return usage.memory.get("total_inactive_file", usage.memory.get("inactive_file", 0))


def _samples(cluster: str, service: str, shares: list[_Share], now: datetime) -> list[Sample]:
    dimensions = dimensions_of({"ClusterName": cluster, "ServiceName": service})
    found = []
    for name, values in (
        ("CPUUtilization", [each.cpu for each in shares if each.cpu is not None]),
        ("MemoryUtilization", [each.memory for each in shares if each.memory is not None]),
    ):
        if values:
            found.append(
                Sample(
                    metric=MetricName(namespace=NAMESPACE, name=name, dimensions=dimensions),
                    at_s=now.timestamp(),
                    point=point_of(((value, 1.0) for value in values), "Percent"),
                )
            )
    return found


def _next(now: datetime, period_s: float) -> datetime:
    """The next full period of the clock, so that each has one look."""
    seconds = now.timestamp()
    return now + timedelta(seconds=period_s - seconds % period_s)
