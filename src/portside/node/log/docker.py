"""Lines as Docker's drivers get them: with their stream and the nanosecond, long ones in parts of 16 KiB."""

import asyncio
import base64
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from portside.node.log.cri import LineReader
from portside.node.log.outlet import Kept

PART_BYTES: Final = 16 * 1024
"""Source: Docker, defaultBufSize of its copier."""


class Line(NamedTuple):
    """`at`: as in RFC 3339, in UTC, nine digits of the second. `is_whole`: its end has come."""

    at: str
    stream: str
    content: bytes
    is_whole: bool


class Delivery:
    """Blocking work of one outlet, one at a time: who gave up waiting for it finds it at the next call."""

    def __init__(self) -> None:
        self._running: asyncio.Future[None] | None = None

    async def run(self, work: Callable[[], None], has_more: Callable[[], bool]) -> None:
        """Until there is no more. Raises what the work raises."""
        while self._running is not None or has_more():
            if self._running is None:
                self._running = asyncio.get_running_loop().run_in_executor(None, work)
            running = self._running
            try:
                await asyncio.shield(running)
            finally:
                if running.done():
                    self._running = None


class DockerLines:
    def __init__(self, kept: Kept) -> None:
        self._open = {stream: bytearray(base64.b64decode(content)) for stream, content in kept.partial.items()}
        self._reader = LineReader()
        self._at = "1970-01-01T00:00:00.000000000Z"

    def feed(self, lines: bytes) -> list[Line]:
        found: list[Line] = []
        for line in lines.split(b"\n"):
            parsed = self._reader.parsed(line) if line else None
            if parsed is None:
                continue
            _, stamp, of, tag, content = parsed
            stream, self._at = of.decode(), _utc(stamp)
            held = self._open.setdefault(stream, bytearray())
            held += content
            while len(held) > PART_BYTES:
                found.append(Line(self._at, stream, bytes(held[:PART_BYTES]), is_whole=False))
                del held[:PART_BYTES]
            if tag == b"F":
                found.append(Line(self._at, stream, bytes(held), is_whole=True))
                held.clear()
        return found

    def end(self) -> list[Line]:
        """What has no end."""
        found = [Line(self._at, stream, bytes(held), is_whole=True) for stream, held in self._open.items() if held]
        self._open.clear()
        return found

    def kept(self) -> Kept:
        return Kept(partial={stream: base64.b64encode(held).decode() for stream, held in self._open.items() if held})


class DockerOutlet(ABC):
    """What Docker's drivers have in common as outlets: lines that are pending until blocking work has delivered them.
    They keep no marks, and as much as there is may wait."""

    def __init__(self, kept: Kept) -> None:
        self._lines = DockerLines(kept)
        self._pending: deque[Line] = deque()
        self._delivery = Delivery()

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _deliver_all(self) -> None:
        """What is pending, until nothing is. Blocks. Raises OSError: what still is pending is tried again."""

    @property
    def has_more(self) -> bool:
        return bool(self._pending)

    def feed(self, lines: bytes) -> None:
        self._pending += self._lines.feed(lines)

    def end(self) -> None:
        self._pending += self._lines.end()

    def ripen(self) -> float | None:
        return None

    async def deliver(self, mark: str) -> None:
        await self._delivery.run(self._deliver_all, lambda: self.has_more)

    async def mark(self) -> str:
        return ""

    def drop(self) -> int:
        count = len(self._pending)
        self._pending.clear()
        return count

    @property
    def buffer_bytes(self) -> int | None:
        return None

    def kept(self) -> Kept:
        return self._lines.kept()


def _utc(stamp: bytes) -> str:
    """conmon writes the machine's zone."""
    text = stamp.decode()
    if text.endswith(("+00:00", "Z")):
        return f"{text[:29]}Z"
    second = datetime.fromisoformat(f"{text[:19]}{text[29:]}").astimezone(UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}{text[19:29]}Z"
