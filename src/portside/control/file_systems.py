"""The file system loop: what a deleted file system held is removed, also what a killed daemon did not get to."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

from portside.control.loop import Loop
from portside.domain.clock import Clock
from portside.domain.table import FILE_SYSTEM
from portside.store.interface import Change, Store

log = logging.getLogger(__name__)

RETRY: Final = timedelta(seconds=5)


class Folders(Protocol):
    def names(self) -> list[str]:
        """The file systems that hold something."""
        ...

    def remove(self, file_system_id: str) -> None:
        """Idempotent. Raises OSError."""
        ...


class FileSystemLoop:
    def __init__(self, store: Store, clock: Clock, folders: Folders) -> None:
        self._store, self._clock, self._folders = store, clock, folders
        self._loop = Loop("file systems", clock, self._step)
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
        if change.kind == FILE_SYSTEM and change.value is None:
            self._loop.wake("")

    async def _step(self, key: str) -> datetime | None:
        # Listed first: a folder is made after its record, so one without a record now never gets one.
        there = await asyncio.to_thread(self._folders.names)
        known = {each.id for each in self._store.scan(FILE_SYSTEM)}
        for name in there:
            if name not in known:
                try:
                    await asyncio.to_thread(self._folders.remove, name)
                except OSError as error:  # a task may still write there
                    log.warning("file system %s could not be removed yet: %s", name, error)
                    return self._clock.now() + RETRY
                log.info("file system %s was removed", name)
        return None
