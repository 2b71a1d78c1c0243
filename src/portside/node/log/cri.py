"""conmon's log file: one line per read, `TIMESTAMP STREAM TAG CONTENT`, where tag P is a part of a longer line and F
its end. Source: https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
"""

import re
from datetime import datetime
from typing import Final

from portside.domain.log import LogEvent

EVENT_MAX_BYTES = 256 * 1024 - 26
"""Longer lines become several events, as the awslogs driver splits them: CloudWatch counts 26 bytes of its own."""


_HEAD: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d) std(?:out|err) [FP] ")


class LineReader:
    """Takes lines of the file apart."""

    def __init__(self) -> None:
        self._second: bytes = b""
        self._second_ms: int = 0

    def parsed(self, line: bytes) -> tuple[int, bytes, bytes, bytes, bytes] | None:
        """Time, its stamp, stream, tag and content. None for what is not conmon's. A line that was torn, by a crash of
        the machine or a full disk, has the next one right behind it: that one counts."""
        parts = line.split(b" ", 3)
        if len(parts) == 4 and parts[2] in (b"F", b"P"):
            try:
                return self._at_ms(parts[0]), parts[0], parts[1], parts[2], parts[3]
            except ValueError:
                pass
        whole = _HEAD.search(line, 1)
        return self.parsed(line[whole.start() :]) if whole is not None else None

    def _at_ms(self, stamp: bytes) -> int:
        # `2026-01-02T03:04:05.678901234+00:00`: parsing a date is slow, and most lines share their second.
        second = stamp[:19] + stamp[29:]
        if second != self._second:
            parsed = datetime.fromisoformat(second.decode())
            self._second, self._second_ms = second, int(parsed.timestamp()) * 1000
        return self._second_ms + int(stamp[20:23])


class LineCounter:
    """How many lines, and bytes of them, there are where nothing is delivered."""

    def __init__(self) -> None:
        self._open: set[bytes] = set()
        self._reader = LineReader()

    def count(self, lines: bytes) -> tuple[int, int]:
        """Args: lines: whole lines of the file. Returns: those that end there and are not empty, and bytes of all."""
        ended = size = 0
        for line in lines.split(b"\n"):
            parsed = self._reader.parsed(line) if line else None
            if parsed is None:
                continue
            _, _, stream, tag, content = parsed
            size += len(content)
            if tag == b"P":
                self._open.add(stream)
            else:
                ended += bool(content) or stream in self._open
                self._open.discard(stream)
        return ended, size


class Assembler:
    """Joins partial lines, per stream. What is still open can be taken out and put back, across a restart."""

    def __init__(self, partial: dict[str, bytes] | None = None) -> None:
        self._open: dict[bytes, bytearray] = {
            stream.encode(): bytearray(content) for stream, content in (partial or {}).items() if content
        }
        self._reader = LineReader()

    @property
    def partial(self) -> dict[str, bytes]:
        return {stream.decode(): bytes(content) for stream, content in self._open.items() if content}

    def feed(self, lines: bytes) -> list[LogEvent]:
        """Args: lines: whole lines of the file. Returns: the events that are complete, in order."""
        events: list[LogEvent] = []
        for line in lines.split(b"\n"):
            if not line:
                continue
            parsed = self._reader.parsed(line)
            if parsed is None:
                continue
            at_ms, _, stream, tag, content = parsed
            held = self._open.get(stream)
            if tag == b"F" and not held:
                events.extend(_events(at_ms, content))
                continue
            if held is None:
                held = self._open[stream] = bytearray()
            held += content
            while len(held) > EVENT_MAX_BYTES:
                events.extend(_events(at_ms, bytes(held[:EVENT_MAX_BYTES])))
                del held[:EVENT_MAX_BYTES]
            if tag == b"F":
                events.extend(_events(at_ms, bytes(held)))
                del self._open[stream]  # so that what is open is in the order in which it began
        return events

    def flush(self, at_ms: int) -> list[LogEvent]:
        """The container has ended: what is still open is a last line without its end."""
        events = [event for content in self._open.values() if content for event in _events(at_ms, bytes(content))]
        self._open.clear()
        return events


def _events(at_ms: int, content: bytes) -> list[LogEvent]:
    content = content.removesuffix(b"\r")
    if not content:
        return []  # CloudWatch refuses empty events; the awslogs driver leaves them out
    return [
        LogEvent(at_ms=at_ms, message=content[at : at + EVENT_MAX_BYTES].decode(errors="replace"))
        for at in range(0, len(content), EVENT_MAX_BYTES)
    ]
