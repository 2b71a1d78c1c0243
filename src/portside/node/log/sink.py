"""Where containers' output goes: what the node needs of a log store, and no more."""

from collections.abc import Sequence
from typing import Protocol

from portside.domain.log import LogEvent, LogGroupMissing
from portside.domain.record import Record, Scope

__all__ = ["LogDestination", "LogGroupMissing", "LogSink"]


class LogSink(Protocol):
    """The same shape as the telemetry room's, which the node may not import."""

    async def open_stream(self, scope: Scope, group: str, stream: str, *, create_group: bool) -> None:
        """Raises LogGroupMissing."""
        ...

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent]) -> None:
        """Append; durable (against the end of this process) when it returns."""
        ...


class LogDestination(Record, frozen=True, kw_only=True):
    """One container's stream. `begins`: pattern of lines that begin an event; empty if each line is one."""

    scope: Scope
    group: str
    stream: str
    create_group: bool = False
    begins: str = ""
