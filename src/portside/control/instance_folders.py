"""The loop of instances' folders: what a terminated instance or a removed Docker volume held goes, and the files of
containers whose task is forgotten, also what a killed daemon left of it."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

from portside.control.loop import Loop
from portside.domain.clock import Clock
from portside.domain.instance import Instance, InstanceState
from portside.domain.table import DOCKER_VOLUME, INSTANCE, TASK
from portside.domain.task.record import Task
from portside.store.interface import Change, Delete, Store

log = logging.getLogger(__name__)

RETRY: Final = timedelta(seconds=5)


class Folders(Protocol):
    def names(self) -> list[str]:
        """The instances that hold something."""
        ...

    def remove(self, instance_id: str) -> None:
        """Idempotent. Raises OSError."""
        ...

    def volume_ids(self) -> list[tuple[str, str]]:
        """The Docker volumes that hold something: instance and id."""
        ...

    def remove_volume(self, instance_id: str, volume_id: str) -> None:
        """Idempotent. Raises OSError."""
        ...

    def container_ids(self) -> list[tuple[str, str]]:
        """The containers whose output is kept in files: instance and id."""
        ...

    def remove_container(self, instance_id: str, container: str) -> None:
        """Idempotent. Raises OSError."""
        ...


class InstanceFolderLoop:
    def __init__(self, store: Store, clock: Clock, folders: Folders) -> None:
        self._store, self._clock, self._folders = store, clock, folders
        self._loop = Loop("instance folders", clock, self._step)
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        self._loop.wake("")

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()

    def _changed(self, change: Change) -> None:
        instance_went = change.kind == INSTANCE and (not isinstance(change.value, Instance) or _is_gone(change.value))
        files_went = change.value is None and isinstance(change.old, Task) and _has_files(change.old)
        if instance_went or files_went or (change.kind == DOCKER_VOLUME and change.value is None):
            self._loop.wake("")

    async def _step(self, key: str) -> datetime | None:
        # Listed first: a folder is made after its record, so one without a record now never gets one.
        there = await asyncio.to_thread(self._folders.names)
        volumes = await asyncio.to_thread(self._folders.volume_ids)
        containers = await asyncio.to_thread(self._folders.container_ids)
        remembered = (
            {each.runtime_id for task in self._store.scan(TASK) for each in task.history} if containers else set()
        )
        instances = {each.id for each in self._store.scan(INSTANCE) if not _is_gone(each)}
        kept = self._store.scan(DOCKER_VOLUME)
        lost = [Delete(DOCKER_VOLUME, each.key) for each in kept if each.instance_id not in instances]
        if lost:
            self._store.transact(*lost)
        known = {each.id for each in self._store.scan(DOCKER_VOLUME)}
        try:
            for name in there:
                if name not in instances:
                    await asyncio.to_thread(self._folders.remove, name)
                    log.info("the folder of instance %s was removed", name)
            for instance_id, volume_id in volumes:
                if instance_id in instances and volume_id not in known:
                    await asyncio.to_thread(self._folders.remove_volume, instance_id, volume_id)
                    log.info("the Docker volume %s of instance %s was removed", volume_id, instance_id)
            for instance_id, container in containers:
                if instance_id in instances and container not in remembered:
                    await asyncio.to_thread(self._folders.remove_container, instance_id, container)
        except OSError as error:
            log.warning("a folder of an instance could not be removed yet: %s", error)
            return self._clock.now() + RETRY
        return None


def _has_files(task: Task) -> bool:
    """Whether output of its containers is in files of its instance."""
    return any(each.log is not None and each.log.driver == "json-file" for each in task.containers)


def _is_gone(instance: Instance) -> bool:
    """No task is on it any more, and none comes."""
    return instance.state is InstanceState.TERMINATED
