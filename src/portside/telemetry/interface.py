"""The contract of the log store: streams and events of CloudWatch Logs. Groups are records in the store."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from portside.domain.log import LogEvent, LogGroupMissing
from portside.domain.record import Scope

__all__ = [
    "FoundEvents",
    "LogGroupMissing",
    "LogSink",
    "LogStore",
    "LogStreamMissing",
    "LogsUnavailable",
    "Receiver",
    "StoredEvent",
    "StreamInfo",
]


Receiver = Callable[[Scope, str, str, Sequence[LogEvent]], Awaitable[None]]
"""Gets what was put into a group's stream, once that is durable. Never fails."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A log stream. Times in ms since 1970; None where there is no event yet."""

    name: str
    created_ms: int
    first_event_ms: int | None
    last_event_ms: int | None
    last_ingestion_ms: int | None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """`id` is unique and sorts by arrival within a group."""

    id: str
    stream: str
    at_ms: int
    ingested_ms: int
    message: str


@dataclass(frozen=True, slots=True)
class FoundEvents:
    """Events of a search. `reached`: the (at_ms, id) up to which was searched, where the rest of the range is left for
    another call."""

    events: list[StoredEvent]
    reached: tuple[int, str] | None = None


class LogStreamMissing(Exception):
    """The stream was never created, or is deleted."""


class LogsUnavailable(Exception):
    """The disk refused (full, read-only, damaged). Nothing of the call was kept. Retryable."""


class LogStore(Protocol):
    """Streams and events by group. Every call may raise LogsUnavailable."""

    async def create_stream(self, scope: Scope, group: str, stream: str) -> bool:
        """False if it was there."""
        ...

    async def delete_stream(self, scope: Scope, group: str, stream: str) -> bool: ...

    async def delete_group(self, scope: Scope, group: str) -> None:
        """Streams and events of a group go."""
        ...

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent], mark: str = "") -> None:
        """Append; durable (against the end of this process) when it returns, and with it the writer's mark, if given.

        Raises:
            LogStreamMissing: there is no such stream.
        """
        ...

    async def mark(self, scope: Scope, group: str, stream: str) -> str:
        """Of the last batch of the stream that had one; empty if none had, or there is no such stream."""
        ...

    async def streams(self, scope: Scope, group: str, prefix: str = "") -> list[StreamInfo]: ...

    async def get(
        self,
        scope: Scope,
        group: str,
        stream: str,
        *,
        start_ms: int | None,
        end_ms: int | None,
        after: tuple[int, str] | None,
        before: tuple[int, str] | None,
        from_head: bool,
        limit: int,
    ) -> list[StoredEvent]:
        """Events of one stream in time order, of equal times in order of arrival. `start_ms` is inclusive, `end_ms`
        exclusive; `after` and `before` are (at_ms, id) of an event, exclusive. With `from_head` the first `limit` of
        the range, else the last.

        Raises:
            LogStreamMissing: there is no such stream.
        """
        ...

    async def filter(
        self,
        scope: Scope,
        group: str,
        *,
        streams: Sequence[str] | None,
        start_ms: int | None,
        end_ms: int | None,
        terms: str | None,
        after: tuple[int, str] | None,
        limit: int,
        before: tuple[int, str] | None = None,
        from_head: bool = True,
    ) -> FoundEvents:
        """Events of several streams (None: all) that match the filter pattern, in time order: the first `limit` of the
        range, or with `from_head=False` the last. A long search is ended early.

        Raises:
            Refused: the pattern is invalid.
        """
        ...

    async def event(self, scope: Scope, group: str, event_id: str) -> StoredEvent | None:
        """One event of a group."""
        ...

    async def stored_bytes(self, scope: Scope) -> dict[str, int]:
        """Bytes held per group: messages in UTF-8 and 26 an event, as AWS counts. Not all groups are in it."""
        ...

    async def expire(self, scope: Scope, group: str, before_ms: int) -> int:
        """Retention: remove events older than that; returns how many."""
        ...

    async def close(self) -> None: ...


class LogSink(Protocol):
    """What a node needs to deliver containers' output (implemented over the store and the log store)."""

    async def open_stream(self, scope: Scope, group: str, stream: str, *, create_group: bool) -> None:
        """Raises LogGroupMissing."""
        ...

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent], mark: str = "") -> None: ...

    async def mark(self, scope: Scope, group: str, stream: str) -> str: ...
