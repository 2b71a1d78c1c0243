"""Exports of log groups into folders: one worker a task, stream by stream. A crash begins a task anew."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from portside.control.loop import Loop
from portside.domain.clock import Clock
from portside.domain.log_export import ENDED, ExportStatus, ExportTask
from portside.domain.record import replace
from portside.domain.table import EXPORT_TASK
from portside.store.interface import Change, Put, Store
from portside.telemetry.export import ExportFolder
from portside.telemetry.interface import LogStore, LogStreamMissing, LogsUnavailable

PIECE_EVENTS: Final = 10_000


class _Cancelled(Exception):
    """The task is to end."""


class ExportLoop:
    """
    Args:
        folder: of all exports.
    """

    def __init__(self, store: Store, logs: LogStore, clock: Clock, folder: Path) -> None:
        self._store, self._logs, self._clock, self._folder = store, logs, clock, folder
        self._loop = Loop("exports", clock, self._step)
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        for task in self._store.scan(EXPORT_TASK):
            if task.status not in ENDED:
                self._loop.wake(task.key)

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()

    def _changed(self, change: Change) -> None:
        if change.kind == EXPORT_TASK and isinstance(change.value, ExportTask) and change.value.status not in ENDED:
            self._loop.wake(change.key)

    async def _step(self, key: str) -> datetime | None:
        task = self._store.get(EXPORT_TASK, key)
        if task is None or task.status in ENDED:
            self._loop.finish(key)
            return None
        files = ExportFolder(self._folder, task)
        status, message = ExportStatus.COMPLETED, "Completed successfully"
        try:
            self._check(key)
            self._store.transact(Put(EXPORT_TASK, replace(task, status=ExportStatus.RUNNING)))
            await self._write(task, files)
        except _Cancelled:
            status, message = ExportStatus.CANCELLED, "Cancelled by user"
        except (OSError, LogsUnavailable) as error:
            status, message = ExportStatus.FAILED, str(error)
        if status is not ExportStatus.COMPLETED:
            await asyncio.to_thread(files.discard)
        ended = replace(task, status=status, message=message, ended_at=self._clock.now())
        self._store.transact(Put(EXPORT_TASK, ended))
        self._loop.finish(key)
        return None

    def _check(self, key: str) -> None:
        now = self._store.get(EXPORT_TASK, key)
        if now is None or now.status is ExportStatus.PENDING_CANCEL:
            raise _Cancelled

    async def _write(self, task: ExportTask, files: ExportFolder) -> None:
        await asyncio.to_thread(files.begin)
        for stream in await self._logs.streams(task.scope, task.group, task.stream_prefix):
            if stream.last_event_ms is None or stream.last_event_ms < task.from_ms:
                continue
            file: Path | None = None
            place: tuple[int, str] | None = None
            while True:
                self._check(task.key)
                try:
                    events = await self._logs.get(
                        *(task.scope, task.group, stream.name),
                        start_ms=task.from_ms,
                        end_ms=task.to_ms + 1,
                        after=place,
                        before=None,
                        from_head=True,
                        limit=PIECE_EVENTS,
                    )
                except LogStreamMissing:
                    break  # deleted meanwhile
                if not events:
                    break
                if file is None:
                    file = await asyncio.to_thread(files.file_of, stream.name)
                await asyncio.to_thread(files.append, file, events)
                place = (events[-1].at_ms, events[-1].id)
        self._check(task.key)
        await asyncio.to_thread(files.finish)
