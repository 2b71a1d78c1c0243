"""The loop that removes sessions which have expired. Their keys stay known as expired ones (ADR 0016)."""

from datetime import datetime, timedelta
from typing import Final

from portside.control.loop import Loop
from portside.domain.clock import Clock
from portside.domain.table import SESSION
from portside.store.interface import Delete, Store

PERIOD: Final = timedelta(minutes=10)
BATCH: Final = 500
"""Removed in one commit: other work waits no longer than that takes."""
_ALL: Final = "expired"


class SessionLoop:
    """One worker for all sessions."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._loop = Loop("sessions", clock, self._step, resync_s=2 * PERIOD.total_seconds())

    async def start(self) -> None:
        self._loop.wake(_ALL)

    async def close(self) -> None:
        await self._loop.close()

    async def _step(self, _: str) -> datetime:
        now = self._clock.now()
        expired = [SESSION.key(each) for each in self._store.scan(SESSION) if each.expires_at <= now]
        if expired:
            self._store.transact(*(Delete(SESSION, key) for key in expired[:BATCH]))
        return now if len(expired) > BATCH else now + PERIOD
