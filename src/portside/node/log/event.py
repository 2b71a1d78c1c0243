"""Lines gathered into events, where a pattern says which line begins one.

As the awslogs driver does it: lines up to the next that matches are one event, with the time of the first. What is
gathered is an event, too, when nothing has been added for a while or it would be longer than an event may be.
"""

from collections.abc import Sequence
from typing import Final

from portside.domain.line_pattern import LinePattern
from portside.domain.log import LogEvent
from portside.node.log.cri import EVENT_MAX_BYTES

WAIT_MS: Final = 5000
"""So old what is gathered may be. Source: Docker, awslogs driver, awslogs-force-flush-interval-seconds."""


class Gatherer:
    """
    Args:
        pattern: of lines that begin an event; None if each line is one.
        held: what an earlier one had gathered.
    """

    def __init__(self, pattern: LinePattern | None, held: LogEvent | None = None) -> None:
        self._pattern = pattern
        self._lines = [held.message] if held is not None else []
        self._at_ms = held.at_ms if held is not None else 0
        self._bytes = len(held.message.encode()) if held is not None else 0

    @property
    def held(self) -> LogEvent | None:
        """What is gathered and not yet an event."""
        return LogEvent(at_ms=self._at_ms, message="\n".join(self._lines)) if self._lines else None

    def add(self, lines: Sequence[LogEvent]) -> list[LogEvent]:
        """Returns: the events that are complete by them."""
        if self._pattern is None:
            return list(lines)
        events: list[LogEvent] = []
        for line in lines:
            size = len(line.message.encode()) + 1
            if self._lines and (self._bytes + size > EVENT_MAX_BYTES or self._pattern.found_in(line.message)):
                events += self.flush()
            if not self._lines:
                self._at_ms = line.at_ms
            self._lines.append(line.message)
            self._bytes += size
        return events

    def flush(self, before_ms: int | None = None) -> list[LogEvent]:
        """What is gathered, if there is something. Args: before_ms: only if it began before this."""
        held = self.held
        if held is None or (before_ms is not None and held.at_ms >= before_ms):
            return []
        self._lines, self._bytes = [], 0
        return [held]
