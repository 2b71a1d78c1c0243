"""Time and identifiers that a test decides: a clock set by hand, one that follows a virtual-time loop, seeded ids."""

import asyncio
import random
import selectors
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""Where fake time begins."""


class FakeClock:
    """A clock that stands still until it is told to move. `sleep_until` moves it."""

    def __init__(self, at: datetime = EPOCH) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> datetime:
        self.at += timedelta(seconds=seconds)
        return self.at

    async def sleep_until(self, at: datetime) -> None:
        self.at = max(self.at, at)
        await asyncio.sleep(0)


class LoopClock:
    """The time of day as a virtual-time loop has it: EPOCH plus the loop's seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.time())

    async def sleep_until(self, at: datetime) -> None:
        await asyncio.sleep(max(0.0, (at - self.now()).total_seconds()))


class SeededIds:
    """Identifiers that come out the same for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def hex(self, digits: int) -> str:
        return f"{self._random.getrandbits(4 * digits):0{digits}x}"

    def uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def number(self, digits: int) -> str:
        return str(self._random.randrange(10 ** (digits - 1), 10**digits))


PASSES_AT_ONE_TIME = 20_000


class NothingWillHappen(Exception):
    """A virtual-time loop has no ready callback and no timer: what is awaited will never come."""


class TimeStandsStill(Exception):
    """A virtual-time loop is busy for ever without any time passing."""


class _NoSelector(selectors.BaseSelector):
    """A selector without files: instead of waiting it lets the loop's time pass."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self._passes = 0
        self._files: dict[Any, selectors.SelectorKey] = {}

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingWillHappen
        self._passes += 1
        if timeout > 0:
            self.passed_s += timeout
            self._passes = 0
        elif self._passes > PASSES_AT_ONE_TIME:
            raise TimeStandsStill
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        # Only the loop's own wake-up socket comes here; nothing ever writes to it without threads or signals.
        self._files[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return self._files[fileobj]

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._files.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._files


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in which an hour of waiting costs nothing: when nothing is ready, time jumps to the next timer.

    Deterministic: the same program makes the same steps at the same times. No sockets, no subprocesses, no threads.

    Raises:
        NothingWillHappen: from `run_until_complete`, when everything waits and no timer is set.
        TimeStandsStill: after so many passes without a timer that the program must be spinning.
    """

    def __init__(self) -> None:
        self._virtual = _NoSelector()
        super().__init__(self._virtual)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._virtual.passed_s
