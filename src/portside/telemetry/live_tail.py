"""Live tails: sessions that get what is put into log groups, second by second."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from portside.domain.log import LogEvent
from portside.domain.log_pattern import Pattern
from portside.domain.record import Scope

PIECE_EVENTS: Final = 1000
UPDATE_EVENTS: Final = 500
"""Events of one update; of more, as many are drawn at random."""


@dataclass(frozen=True, slots=True)
class TailedEvent:
    """Times in ms since 1970."""

    group: str
    stream: str
    event: LogEvent
    ingested_ms: int


@dataclass(frozen=True, slots=True)
class TailUpdate:
    """`is_sampled`: whether there were more events than these."""

    events: list[TailedEvent]
    is_sampled: bool


@dataclass(eq=False)
class TailSession:
    """What one session wants, and what has come for it since its last update.

    Args:
        streams: names; empty: all. `prefixes`: beginnings of names, likewise.
    """

    scope: Scope
    groups: frozenset[str]
    streams: frozenset[str]
    prefixes: tuple[str, ...]
    pattern: Pattern
    _kept: list[tuple[int, TailedEvent]] = field(default_factory=list)
    _count: int = 0
    _random: random.Random = field(default_factory=random.Random)

    def wants(self, scope: Scope, group: str, stream: str) -> bool:
        return (
            group in self.groups
            and scope == self.scope
            and (not self.streams or stream in self.streams)
            and (not self.prefixes or stream.startswith(self.prefixes))
        )

    def add(self, event: TailedEvent) -> None:
        """Each event has the same chance to be of the sample."""
        self._count += 1
        if len(self._kept) < UPDATE_EVENTS:
            self._kept.append((self._count, event))
            return
        place = self._random.randrange(self._count)
        if place < UPDATE_EVENTS:
            self._kept[place] = (self._count, event)

    def take(self) -> TailUpdate:
        """What has come, in order of arrival."""
        update = TailUpdate(
            [each for _, each in sorted(self._kept, key=lambda kept: kept[0])], self._count > len(self._kept)
        )
        self._kept, self._count = [], 0
        return update


class LiveTails:
    """All sessions. `take` is for `on_put` of the log store."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._sessions: set[TailSession] = set()
        self.is_closed = False

    def open(self, session: TailSession) -> None:
        self._sessions.add(session)

    def close(self, session: TailSession) -> None:
        self._sessions.discard(session)

    def end(self) -> None:
        """Portside ends: so do the sessions, with their next update."""
        self.is_closed = True

    def count(self, scope: Scope) -> int:
        return sum(each.scope == scope for each in self._sessions)

    async def take(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent]) -> None:
        for session in list(self._sessions):
            if session.wants(scope, group, stream):
                now_ms = self._now_ms()
                for number, event in enumerate(events):
                    if number % PIECE_EVENTS == PIECE_EVENTS - 1:
                        await asyncio.sleep(0)  # others have their turn
                    if session.pattern.matches(event.message):
                        session.add(TailedEvent(group, stream, event, now_ms))
