"""The generic loop: one serial worker per entity, woken by changes, timers and facts.

A worker runs `step(key)`, which reads the entity, decides and acts, and returns when to be woken again at the latest.
A lost wake-up costs time, never correctness: every worker also wakes by itself within `resync_s`.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from portside.domain.clock import Clock
from portside.store.interface import Conflict, StoreUnavailable

log = logging.getLogger(__name__)

RETRY_MAX_S = 5.0

_owned: set[asyncio.Task[Any]] = set()


def spawn(
    name: str, work: Coroutine[Any, Any, Any], *, owner: set[asyncio.Task[Any]] | None = None
) -> asyncio.Task[Any]:
    """Start a named task that is kept alive until it ends; a failure is logged, never lost."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    tasks = _owned if owner is None else owner
    tasks.add(task)

    def ended(done: asyncio.Task[Any]) -> None:
        tasks.discard(done)
        if not done.cancelled() and done.exception() is not None:
            log.error("background work %s failed", name, exc_info=done.exception())

    task.add_done_callback(ended)
    return task


def next_period(now: datetime, period_s: float) -> datetime:
    """The next full period of the clock, so that each has one look."""
    return now + timedelta(seconds=period_s - now.timestamp() % period_s)


class Loop:
    """Workers by key.

    Args:
        name: for logs and task names.
        step: one pass over one entity; returns the time of the next wake-up, or None for "only when woken".
            Raising Conflict means "decide again at once"; StoreUnavailable "again later"; anything else is a bug, which
            is logged and tried again with growing delay.
        resync_s: a worker that nobody wakes takes a pass after about so many seconds.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        step: Callable[[str], Awaitable[datetime | None]],
        *,
        resync_s: float = 60.0,
    ) -> None:
        self.name, self._clock, self._step, self._resync_s = name, clock, step, resync_s
        self._woken: dict[str, asyncio.Event] = {}
        self._workers: set[asyncio.Task[Any]] = set()
        self._finished: set[str] = set()
        self._closed = False

    def wake(self, key: str) -> None:
        """Let the entity's worker take another pass, starting the worker if there is none."""
        if self._closed:
            return
        event = self._woken.get(key)
        if event is None:
            event = self._woken[key] = asyncio.Event()
            spawn(f"{self.name}:{key}", self._work(key, event), owner=self._workers)
        event.set()

    def finish(self, key: str) -> None:
        """Called from `step`: the entity is over; its worker ends after this pass unless woken meanwhile."""
        self._finished.add(key)

    async def close(self) -> None:
        """End all workers. What they had under way is cancelled; a restart plans it again."""
        self._closed = True
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, key: str, event: asyncio.Event) -> None:
        failures = 0
        try:
            while True:
                event.clear()
                wake_at: datetime | None = None
                try:
                    wake_at = await self._step(key)
                    failures = 0
                except Conflict:
                    event.set()
                    await asyncio.sleep(0)
                except StoreUnavailable as error:
                    failures += 1
                    log.warning("%s %s waits for the store: %s", self.name, key, error)
                except Exception:
                    failures += 1
                    log.exception("%s %s: a pass failed", self.name, key)
                if key in self._finished:
                    self._finished.discard(key)
                    if not event.is_set():
                        return
                await self._pause(event, wake_at, failures)
        finally:
            if self._woken.get(key) is event:
                del self._woken[key]

    async def _pause(self, event: asyncio.Event, wake_at: datetime | None, failures: int) -> None:
        delay_s = self._resync_s * random.uniform(0.8, 1.2)
        if wake_at is not None:
            delay_s = min(delay_s, max(0.0, (wake_at - self._clock.now()).total_seconds()))
        if failures:
            delay_s = min(RETRY_MAX_S, 0.1 * 2 ** min(failures, 10))
            await asyncio.sleep(delay_s)
            return
        try:
            async with asyncio.timeout(delay_s):
                await event.wait()
        except TimeoutError:
            pass
