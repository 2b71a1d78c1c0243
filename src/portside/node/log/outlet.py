"""What becomes of the lines in conmon's file, by the container's log driver.

An outlet makes items of lines and delivers them; the forwarder says when, and keeps what an outlet has to remember
across a restart.
"""

import base64
import logging
import time
from typing import Protocol

from portside.domain.line_pattern import LinePattern
from portside.domain.log import LogEvent
from portside.domain.record import Record
from portside.node.log.cri import Assembler
from portside.node.log.event import WAIT_MS, Gatherer
from portside.node.log.sink import LogDestination, LogGroupMissing, LogSink

log = logging.getLogger(__name__)


class Kept(Record, frozen=True, kw_only=True):
    """`partial`: base64 of what came before the position and whose end of line has not come yet, per stream. `held`:
    lines before it that are gathered for one event."""

    partial: dict[str, str] = {}
    held: LogEvent | None = None


class Outlet(Protocol):
    async def open(self) -> None:
        """The destination is there. Raises LogGroupMissing, CannotLog, or what the destination raises."""
        ...

    @property
    def has_more(self) -> bool:
        """Whether something is to be delivered."""
        ...

    def feed(self, lines: bytes) -> None:
        """Whole lines of the file, which are to be delivered with what is undelivered already."""
        ...

    def end(self) -> None:
        """There are no more: what is still open is to be delivered, too."""
        ...

    def ripen(self) -> float | None:
        """What has been gathered for long is to be delivered. Returns: seconds until there may be more of that."""
        ...

    async def deliver(self, mark: str) -> None:
        """All that is to be delivered, as a batch that is known by its mark. After an error the same is delivered at
        the next call."""
        ...

    async def mark(self) -> str:
        """Of the last batch that the destination has; empty if it keeps none."""
        ...

    def drop(self) -> int:
        """What is to be delivered is not. Returns: how many events or lines that is."""
        ...

    @property
    def buffer_bytes(self) -> int | None:
        """How much may wait while the destination takes nothing; None for all."""
        ...

    def kept(self) -> Kept:
        """What the next outlet of this container goes on with."""
        ...

    def close(self) -> None: ...


class CannotLog(Exception):
    """The driver can not be started; `str()` is Docker's reason."""


class AwslogsOutlet:
    """Of the driver awslogs: to a stream of CloudWatch Logs."""

    def __init__(self, sink: LogSink, destination: LogDestination, kept: Kept) -> None:
        self._sink, self._to = sink, destination
        self._assembler = Assembler({stream: base64.b64decode(content) for stream, content in kept.partial.items()})
        self._gatherer = Gatherer(LinePattern(destination.begins) if destination.begins else None, kept.held)
        self._pending: list[LogEvent] = []

    async def open(self) -> None:
        to = self._to
        await self._sink.open_stream(to.scope, to.group, to.stream, create_group=to.create_group)

    @property
    def has_more(self) -> bool:
        return bool(self._pending)

    def feed(self, lines: bytes) -> None:
        self._pending += self._gatherer.add(self._assembler.feed(lines))

    def end(self) -> None:
        self._pending += self._gatherer.add(self._assembler.flush(now_ms())) + self._gatherer.flush()

    def ripen(self) -> float | None:
        self._pending += self._gatherer.flush(now_ms() - WAIT_MS)
        held = self._gatherer.held
        return max(held.at_ms + WAIT_MS - now_ms(), 0) / 1000 if held is not None else None

    async def deliver(self, mark: str) -> None:
        if not self._pending:
            return
        to = self._to
        try:
            await self._sink.put(to.scope, to.group, to.stream, self._pending, mark)
        except LogGroupMissing:
            # Deleted under a running container: CloudWatch, too, drops what is sent to it from then on.
            log.warning("log group %s is gone: %d lines of %s are dropped", to.group, len(self._pending), to.stream)
        self._pending = []

    async def mark(self) -> str:
        return await self._sink.mark(self._to.scope, self._to.group, self._to.stream)

    def drop(self) -> int:
        count, self._pending = len(self._pending), []
        return count

    @property
    def buffer_bytes(self) -> int | None:
        return self._to.buffer_bytes

    def kept(self) -> Kept:
        partial = {stream: base64.b64encode(content).decode() for stream, content in self._assembler.partial.items()}
        return Kept(partial=partial, held=self._gatherer.held)

    def close(self) -> None:
        pass


def now_ms() -> int:
    return time.time_ns() // 1_000_000
