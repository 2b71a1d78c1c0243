"""Container Insights: each minute, for clusters that have it on, performance log events and the metrics in them."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from portside.domain import emf, insight
from portside.domain.insight import Event, Looks, Mode
from portside.domain.log import LogEvent, LogGroup
from portside.domain.metric import Sample, merged
from portside.domain.record import Scope, replace
from portside.domain.table import CLUSTER, CONTAINER_INSTANCE, LOG_GROUP, SERVICE, TASK
from portside.domain.task.record import Task, TaskStatus
from portside.store.interface import ABSENT, Put, Store
from portside.telemetry.interface import LogStore
from portside.telemetry.metric import MetricStore

PER_PUT: Final = 1000


@dataclass
class _Page:
    """What is to be written of one cluster."""

    looks: list[tuple[Task, Looks]] = field(default_factory=list)
    by_stream: dict[str, list[Event]] = field(default_factory=dict)


class ContainerInsights:
    """
    Args:
        ephemeral: bytes that a task has written and may write, by its id.
        disk_percent: how full the disk is that has the files of container instances; None where that is not known.
    """

    def __init__(
        self,
        store: Store,
        logs: LogStore,
        metrics: MetricStore,
        ephemeral: Callable[[str], tuple[int, int] | None],
        disk_percent: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._disk_percent = disk_percent
        self._store, self._logs, self._metrics, self._ephemeral = store, logs, metrics, ephemeral

    def mode(self, task: Task) -> Mode:
        return insight.mode_of(self._store.get(CLUSTER, f"{task.scope.prefix}{task.cluster}"))

    async def put(self, looks: Iterable[tuple[Task, Looks]], now: datetime) -> None:
        """The events of all clusters that have it on and in which something runs.

        Raises:
            LogsUnavailable: the disk refused; what is not written is lost.
        """
        pages: dict[tuple[Scope, str], _Page] = {}
        for task, looked in looks:
            mode = self.mode(task)
            if mode == "disabled" or not looked:
                continue
            page = pages.setdefault((task.scope, task.cluster), _Page())
            page.looks.append((task, looked))
            events = insight.of_task(task, looked, self._ephemeral(task.id), mode, at=now)
            page.by_stream.setdefault(insight.log_stream(task), []).extend(events)
        for (scope, cluster), page in pages.items():
            self._add_whole(scope, cluster, page, now)
            await self._write(scope, cluster, page.by_stream, now)

    def _add_whole(self, scope: Scope, cluster: str, page: _Page, now: datetime) -> None:
        """The events of the services with running tasks, of container instances, and the cluster's own."""
        inside = f"{scope.prefix}{cluster}/"
        services = [each for each in self._store.scan(SERVICE, inside) if each.status != "INACTIVE"]
        running = {task.service for task, _ in page.looks}
        for service in services:
            if service.name in running:
                tasks = self._store.find(TASK, "service_live", f"{inside}{service.name}")
                event = insight.of_service(service, tasks, at=now)
                page.by_stream[f"ServiceTelemetry-{service.name}"] = [event]
        instances = list(self._store.scan(CONTAINER_INSTANCE, inside))
        for instance in instances:
            placed = [
                (task, looked)
                for task, looked in page.looks
                if task.placement is not None and task.placement.container_instance == instance.id
            ]
            event = insight.of_instance(instance, placed, self._disk_percent(), at=now)
            page.by_stream[f"InstanceTelemetry-{instance.id}"] = [event]
        tasks = [each for each in self._store.scan(TASK, inside) if each.last_status is TaskStatus.RUNNING]
        page.by_stream[f"ClusterTelemetry-{cluster}"] = [
            insight.of_cluster(
                cluster,
                tasks=len(tasks),
                container_instances=len(instances),
                services=len(services),
                at=now,
            )
        ]

    async def _write(self, scope: Scope, cluster: str, by_stream: Mapping[str, Sequence[Event]], now: datetime) -> None:
        group = insight.log_group(cluster)
        if self._store.get(LOG_GROUP, f"{scope.prefix}{group}") is None:
            made = LogGroup(scope=scope, name=group, retention_days=insight.RETENTION_DAYS, created_at=now)
            self._store.transact(Put(LOG_GROUP, made, ABSENT))
        at_ms = round(now.timestamp() * 1000)
        for stream, events in by_stream.items():
            await self._logs.create_stream(scope, group, stream)
            lines = [LogEvent(at_ms=at_ms, message=json.dumps(each, separators=(",", ":"))) for each in events]
            for start in range(0, len(lines), PER_PUT):
                await self._logs.put(scope, group, stream, lines[start : start + PER_PUT])
        found = [
            sample
            for events in by_stream.values()
            for event in events
            for sample in emf.samples(event, at_s=now.timestamp())
        ]
        await self._metrics.put(scope, _one_each(found))


def _one_each(samples: Iterable[Sample]) -> list[Sample]:
    """With the samples of one metric as one: many tasks count for one cluster."""
    by_metric: dict[object, list[Sample]] = {}
    for sample in samples:
        by_metric.setdefault((sample.metric, sample.at_s, sample.resolution_s, sample.point.unit), []).append(sample)
    return [
        replace(several[0], point=merged(each.point for each in several)) if len(several) > 1 else several[0]
        for several in by_metric.values()
    ]
