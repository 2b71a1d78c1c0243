"""The contract of the log store: streams and events of CloudWatch Logs. Groups are records in the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from portside.domain.log import LogEvent, LogGroupMissing
from portside.domain.record import Scope

__all__ = ["LogGroupMissing", "LogSink", "LogStore", "StoredEvent", "StreamInfo"]


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


class LogStore(Protocol):
    async def create_stream(self, scope: Scope, group: str, stream: str) -> bool:
        """False if it was there."""
        ...

    async def delete_stream(self, scope: Scope, group: str, stream: str) -> bool: ...

    async def delete_group(self, scope: Scope, group: str) -> None:
        """Streams and events of a group go."""
        ...

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent]) -> None:
        """Append; durable (against the end of this process) when it returns."""
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
        """Events of one stream in time order; `after` and `before` are (at_ms, id) of an event, exclusive."""
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
    ) -> list[StoredEvent]:
        """Events of several streams in time order that match the filter pattern."""
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

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent]) -> None: ...
