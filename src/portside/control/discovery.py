"""Tasks as instances of Cloud Map: the task loop registers and deregisters them, and this loop tells of their health.

What an earlier process left registered goes at the start, if its task does not run any more.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from portside.control.loop import Loop
from portside.domain.clock import Clock
from portside.domain.cloud_map_rule import changed
from portside.domain.record import replace
from portside.domain.table import DISCOVERY_INSTANCE, DISCOVERY_SERVICE, TASK
from portside.domain.task import discovery, health
from portside.domain.task.record import Task
from portside.store.interface import Change, Delete, Put, Store, Write

log = logging.getLogger(__name__)


class DiscoveryLoop:
    """One short-lived worker for each task whose health has changed, and at the start for each that is registered."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._loop = Loop("discovery", clock, self._step)
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        for instance in self._store.scan(DISCOVERY_INSTANCE):
            if instance.owner:
                self._loop.wake(instance.owner)

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()

    def register(self, task: Task) -> None:
        """The task is an instance in each of its registries; those that are gone are left out. Idempotent.

        Raises: StoreUnavailable."""
        writes: list[Write] = []
        for ref in task.registries:
            service = self._store.get(DISCOVERY_SERVICE, f"{task.scope.prefix}{ref.service_id}")
            if service is None:
                log.warning("%s can not be registered in %s, which is gone", task.key, ref.registry_arn)
                continue
            instance = discovery.instance_of(task, ref, service)
            if instance is not None and self._store.get(DISCOVERY_INSTANCE, instance.key) != instance:
                writes += [Put(DISCOVERY_INSTANCE, instance), Put(DISCOVERY_SERVICE, changed(service))]
        if writes:
            self._store.transact(*writes)

    def deregister(self, task: Task) -> None:
        """The task is an instance nowhere. Idempotent. Raises: StoreUnavailable."""
        writes: list[Write] = []
        for ref in task.registries:
            key = f"{task.scope.prefix}{ref.service_id}/{task.id}"
            if self._store.get(DISCOVERY_INSTANCE, key) is None:
                continue
            writes.append(Delete(DISCOVERY_INSTANCE, key))
            service = self._store.get(DISCOVERY_SERVICE, f"{task.scope.prefix}{ref.service_id}")
            if service is not None:
                writes.append(Put(DISCOVERY_SERVICE, changed(service)))
        if writes:
            self._store.transact(*writes)

    def _changed(self, change: Change) -> None:
        old, new = change.old, change.value
        if not isinstance(new, Task) or not new.registries or not isinstance(old, Task):
            return
        if health.of_task(old) is not health.of_task(new) and discovery.is_registered(new):
            self._loop.wake(change.key)

    async def _step(self, key: str) -> datetime | None:
        task = self._store.get(TASK, key)
        for instance in self._store.find(DISCOVERY_INSTANCE, "owner", key):
            service = self._store.get(DISCOVERY_SERVICE, f"{instance.scope.prefix}{instance.service_id}")
            writes: list[Write] = []
            if task is None or not discovery.is_registered(task):
                log.warning("%s is registered in %s and runs no more", instance.id, instance.service_id)
                writes = [Delete(DISCOVERY_INSTANCE, instance.key)]
            elif service is not None and (now := discovery.health_of(task, service)) is not instance.health:
                writes = [Put(DISCOVERY_INSTANCE, replace(instance, health=now))]
            if writes and service is not None:
                writes.append(Put(DISCOVERY_SERVICE, changed(service)))
            self._store.transact(*writes)
        self._loop.finish(key)
        return None
