"""The loop of instances' folders: what a terminated instance held is removed, also what a killed daemon left of it."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

from portside.control.loop import Loop
from portside.domain.clock import Clock
from portside.domain.instance import Instance, InstanceState
from portside.domain.table import INSTANCE
from portside.store.interface import Change, Store

log = logging.getLogger(__name__)

RETRY: Final = timedelta(seconds=5)


class Folders(Protocol):
    def names(self) -> list[str]:
        """The instances that hold something."""
        ...

    def remove(self, instance_id: str) -> None:
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
        if change.kind == INSTANCE and (not isinstance(change.value, Instance) or _is_gone(change.value)):
            self._loop.wake("")

    async def _step(self, key: str) -> datetime | None:
        # Listed first: a folder is made after its record, so one without a record now never gets one.
        there = await asyncio.to_thread(self._folders.names)
        known = {each.id for each in self._store.scan(INSTANCE) if not _is_gone(each)}
        for name in there:
            if name not in known:
                try:
                    await asyncio.to_thread(self._folders.remove, name)
                except OSError as error:
                    log.warning("the folder of instance %s could not be removed yet: %s", name, error)
                    return self._clock.now() + RETRY
                log.info("the folder of instance %s was removed", name)
        return None


def _is_gone(instance: Instance) -> bool:
    """No task is on it any more, and none comes."""
    return instance.state is InstanceState.TERMINATED
