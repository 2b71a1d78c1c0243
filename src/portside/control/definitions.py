"""The loop of deleted task definitions: a revision whose deletion was asked for goes when nothing uses it any more."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from portside.control.loop import Loop
from portside.domain import arn
from portside.domain.clock import Clock
from portside.domain.table import SERVICE, TASK, TASK_DEFINITION
from portside.domain.task.record import TaskStatus
from portside.domain.task_definition import TaskDefinition, TaskDefinitionStatus
from portside.store.interface import Change, Delete, Store

SEEN: Final = timedelta(hours=1)
"""How long a deleted revision is shown as DELETE_IN_PROGRESS at least; AWS says not for how long."""
LOOK_AGAIN: Final = timedelta(minutes=1)
"""Between looks at whether tasks and services still use it."""


class DefinitionLoop:
    """One worker per revision that is DELETE_IN_PROGRESS.

    Effects: deletes TASK_DEFINITION records; the family's record stays, for no revision number is given twice.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._loop = Loop("task definition", clock, self._step)
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        for definition in self._store.scan(TASK_DEFINITION):
            if definition.status is TaskDefinitionStatus.DELETE_IN_PROGRESS:
                self._loop.wake(TASK_DEFINITION.key(definition))

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()

    def _changed(self, change: Change) -> None:
        new = change.value
        if isinstance(new, TaskDefinition) and new.status is TaskDefinitionStatus.DELETE_IN_PROGRESS:
            self._loop.wake(change.key)

    async def _step(self, key: str) -> datetime | None:
        stored = self._store.read(TASK_DEFINITION, key)
        if stored is None or stored.value.delete_requested_at is None:
            self._loop.finish(key)
            return None
        now, due = self._clock.now(), stored.value.delete_requested_at + SEEN
        if now < due:
            return due
        if self._is_used(stored.value):
            return now + LOOK_AGAIN
        self._store.transact(Delete(TASK_DEFINITION, key, stored.version))
        self._loop.finish(key)
        return None

    def _is_used(self, definition: TaskDefinition) -> bool:
        """Whether a task that has not STOPPED, or a deployment of a service, refers to it."""
        name = arn.task_definition(definition.scope, definition.family, definition.revision)
        prefix = definition.scope.prefix
        return any(
            task.task_definition_arn == name and task.last_status < TaskStatus.STOPPED
            for task in self._store.scan(TASK, prefix)
        ) or any(
            deployment.task_definition_arn == name
            for service in self._store.scan(SERVICE, prefix)
            for deployment in service.deployments
        )
