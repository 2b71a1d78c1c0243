"""Waits until a newly registered target accepts connections, before the data plane is told of it.

A container is registered when its process has started, some milliseconds before it listens. The data plane's first
check would find nothing there, and after a failed first check a target needs as many good ones as `HealthyThreshold`
says: 25 s at AWS's default threshold and an interval of 5 s, where AWS's own registration takes longer than the
container's start.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from portside.control.loop import Loop
from portside.domain.clock import Clock
from portside.domain.load_balancer import Target, TargetGroup

Accepts = Callable[[str, str, int], Awaitable[bool]]
"""(path of the balancer's network namespace, address, port) -> whether a TCP connection is accepted."""

QUICK: Final = timedelta(milliseconds=20)
SLOW: Final = timedelta(milliseconds=250)
QUICK_FOR: Final = timedelta(seconds=2)
"""Most servers listen within this time; after it the target is tried less often."""


@dataclass(frozen=True, slots=True)
class _Awaited:
    target: Target
    netns_path: str
    port: int
    until: datetime


class Arrivals:
    """
    Args:
        accepts: tries one connection.
        arrived: called when a target may be given to the data plane: it accepts connections, or one health check's
            interval has passed since its registration and the checks shall say what is wrong.
    """

    def __init__(self, clock: Clock, accepts: Accepts, arrived: Callable[[], None]) -> None:
        self._clock, self._accepts, self._arrived = clock, accepts, arrived
        self._loop = Loop("arrival", clock, self._step)
        self._awaited: dict[str, _Awaited] = {}
        self._here: dict[str, datetime] = {}  # target key -> the registration that it arrived for

    async def close(self) -> None:
        await self._loop.close()

    def is_here(self, key: str, target: Target, group: TargetGroup, netns_path: str) -> bool:
        """Whether the data plane may have the target; if not, `arrived` is called once it may."""
        check = group.health_check
        if target.checked != "unknown" or target.deregistered_at is not None or not check.enabled:
            return True
        if target.is_being_checked:
            return True  # it was told of it, maybe by an earlier process, and keeps it
        if self._here.get(key) == target.registered_at:
            return True
        port = target.port if check.port == "traffic-port" else int(check.port)
        until = target.registered_at + timedelta(seconds=check.interval_s)
        awaited = _Awaited(target, netns_path, port, until)
        # Asked again while it is waited for, as every change of a configuration does, the wait goes on undisturbed.
        if self._awaited.get(key) != awaited:
            self._awaited[key] = awaited
            self._loop.wake(key)
        return False

    def forget(self, key: str) -> None:
        """The target is no more."""
        self._here.pop(key, None)
        self._awaited.pop(key, None)

    async def _step(self, key: str) -> datetime | None:
        awaited = self._awaited.get(key)
        if awaited is None:
            self._loop.finish(key)
            return None
        accepted = await self._accepts(awaited.netns_path, awaited.target.id, awaited.port)
        now = self._clock.now()
        if self._awaited.get(key) is not awaited:
            return now  # registered anew, or gone, meanwhile
        if accepted or now >= awaited.until:
            del self._awaited[key]
            self._here[key] = awaited.target.registered_at
            self._loop.finish(key)
            self._arrived()
            return None
        return now + (QUICK if now - awaited.target.registered_at < QUICK_FOR else SLOW)
