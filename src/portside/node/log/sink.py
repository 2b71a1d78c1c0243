"""Where containers' output goes: what the node needs of a log store, and no more."""

from collections.abc import Sequence
from typing import Protocol

from portside.domain.log import LogEvent, LogGroupMissing
from portside.domain.log_driver import JsonFile, Syslog
from portside.domain.record import Record, Scope

__all__ = ["DockerDestination", "LogDestination", "LogGroupMissing", "LogSink"]


class LogSink(Protocol):
    """The same shape as the telemetry room's, which the node may not import."""

    async def open_stream(self, scope: Scope, group: str, stream: str, *, create_group: bool) -> None:
        """Raises LogGroupMissing."""
        ...

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent], mark: str = "") -> None:
        """Append; durable (against the end of this process) when it returns, and with it the writer's mark."""
        ...

    async def mark(self, scope: Scope, group: str, stream: str) -> str:
        """That of the last batch that had one; empty if none had."""
        ...


class DockerDestination(Record, frozen=True, kw_only=True):
    """Of Docker's drivers, on a container instance. `attributes`: what each line tells of its container."""

    instance_id: str
    json_file: JsonFile | None = None
    syslog: Syslog | None = None
    attributes: dict[str, str] = {}
    tag: str = ""
    hostname: str = ""


class LogDestination(Record, frozen=True, kw_only=True):
    """One container's stream. `begins`: pattern of lines that begin an event; empty if each line is one. `docker`: of a
    driver of Docker's, which has no stream. `buffer_bytes`: how much may wait while the store takes nothing; None for
    all."""

    scope: Scope
    group: str = ""
    stream: str = ""
    create_group: bool = False
    begins: str = ""
    buffer_bytes: int | None = None
    docker: DockerDestination | None = None
