"""The retention loop: log events older than their group keeps them are removed, hourly and when the policy changes."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from portside.control.loop import Loop
from portside.domain.clock import Clock
from portside.domain.log import LogGroup
from portside.domain.table import LOG_GROUP
from portside.store.interface import Change, Store
from portside.telemetry.interface import LogStore, LogsUnavailable

PERIOD: Final = timedelta(hours=1)
"""AWS removes expired events within 72 hours (API_PutRetentionPolicy); an hour keeps the file small."""
RETRY: Final = timedelta(minutes=1)


class RetentionLoop:
    """One worker per log group that has a retention policy."""

    def __init__(self, store: Store, logs: LogStore, clock: Clock) -> None:
        self._store, self._logs, self._clock = store, logs, clock
        self._loop = Loop("retention", clock, self._step, resync_s=2 * PERIOD.total_seconds())
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        for group in self._store.scan(LOG_GROUP):
            if group.retention_days is not None:
                self._loop.wake(LOG_GROUP.key(group))

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()

    def _changed(self, change: Change) -> None:
        if change.kind == LOG_GROUP and isinstance(change.value, LogGroup) and change.value.retention_days is not None:
            self._loop.wake(change.key)

    async def _step(self, key: str) -> datetime | None:
        group = self._store.get(LOG_GROUP, key)
        if group is None or group.retention_days is None:
            self._loop.finish(key)
            return None
        now = self._clock.now()
        keep_from = now - timedelta(days=group.retention_days)
        try:
            await self._logs.expire(group.scope, group.name, int(keep_from.timestamp() * 1000))
        except LogsUnavailable:
            return now + RETRY
        return now + PERIOD
