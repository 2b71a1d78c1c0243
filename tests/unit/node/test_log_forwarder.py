"""The log forwarder, killed before and after what it puts: the next one goes on where it was."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portside.domain.log import LogEvent
from portside.domain.record import Scope
from portside.node.log import outlet as outlet_module
from portside.node.log.forwarder import LogForwarder
from portside.node.log.outlet import AwslogsOutlet
from portside.node.log.sink import LogDestination, LogSink
from portside.testing.node_lab import GROUP, SCOPE, MemorySink

STREAM = "s"


class Killed(BaseException):
    """The daemon is no more."""


class DeadlySink(MemorySink):
    """Takes what is put; before or after that of the numbers told it kills the daemon."""

    deaths: dict[int, str] = {}
    puts = 0

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent], mark: str = "") -> None:
        self.puts += 1
        when = self.deaths.get(self.puts)
        if when != "before":
            await super().put(scope, group, stream, events, mark)
        if when is not None:
            raise Killed


class Quiet(LogForwarder):
    """Works when it is told to, not when the file grows."""

    def __init__(self, sink: LogSink) -> None:
        super().__init__(lambda container, destination, kept: AwslogsOutlet(sink, destination, kept))

    def _kick(self, tail: object, delay_s: float = 0) -> None:
        pass


LINES = st.lists(
    st.tuples(st.sampled_from(["stdout", "stderr"]), st.sampled_from("FFFP"), st.sampled_from(["a", "B", "Bc", "é"])),
    max_size=6,
)
STEPS = st.lists(st.tuples(LINES, st.booleans()), min_size=1, max_size=6)
DEATHS = st.dictionaries(st.integers(1, 12), st.sampled_from(["before", "after"]), max_size=5)


def line(stream: str, tag: str, text: str) -> str:
    return f"2026-01-02T03:04:05.678901234+00:00 {stream} {tag} {text}\n"


def delivered(steps: list[tuple[list[tuple[str, str, str]], bool]], deaths: dict[int, str], begins: str) -> list[str]:
    """What is in the store after all steps: lines are written, forwarded, and what is gathered has waited long."""
    sink = DeadlySink()
    sink.deaths = deaths
    to = LogDestination(scope=SCOPE, group=GROUP, stream=STREAM, begins=begins)

    async def test(file: Path) -> None:
        file.touch()
        current = Quiet(sink)
        current.adopt("c", file, to)
        for lines, is_old in steps:
            with file.open("a") as opened:
                opened.writelines(line(*each) for each in lines)
            while True:
                try:
                    await current._forward(current._tails["c"])
                    if is_old:
                        await current._flush_old(current._tails["c"])
                    break
                except Killed:
                    current = Quiet(sink)
                    current.adopt("c", file, to)
        while True:
            try:
                assert await current.finish("c", 10)
                break
            except Killed:
                current = Quiet(sink)
                current.adopt("c", file, to)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(test(Path(folder) / "log"))
    return sink.lines(STREAM)


@settings(max_examples=150)
@given(STEPS, DEATHS, st.sampled_from(["", "^B"]))
def test_no_event_is_lost_or_comes_twice(
    steps: list[tuple[list[tuple[str, str, str]], bool]], deaths: dict[int, str], begins: str
) -> None:
    """Whenever the daemon is killed, before a batch is put or between that and noting it, also with lines in parts or
    gathered for one event: the events are those of a daemon that lives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outlet_module, "WAIT_MS", -(10**15))  # everything has waited for long
        assert delivered(steps, deaths, begins) == delivered(steps, {}, begins)


class FullSink(MemorySink):
    """Takes nothing while it is full."""

    is_full = True

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent], mark: str = "") -> None:
        if self.is_full:
            raise OSError("no space left on device")
        await super().put(scope, group, stream, events, mark)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=6), st.sampled_from([None, 0, 2000, 10_000]), st.booleans())
def test_what_waits_for_a_store_that_takes_nothing(parts: list[int], buffer_bytes: int | None, is_killed: bool) -> None:
    """All of it, or as much as the buffer holds: the newest, in order; what was given up is counted to the line."""
    sink, lines = FullSink(), [f"line {number}" for number in range(sum(parts))]
    to = LogDestination(scope=SCOPE, group=GROUP, stream=STREAM, buffer_bytes=buffer_bytes)

    async def test(file: Path) -> int:
        file.touch()
        current = Quiet(sink)
        current.adopt("c", file, to)
        written = 0
        for part in parts:
            with file.open("a") as opened:
                opened.writelines(line("stdout", "F", each) for each in lines[written : written + part])
            written += part
            tail = current._tails["c"]
            try:
                await current._forward(tail)
            except OSError:
                await current._give_up(tail)
            if is_killed:
                current = Quiet(sink)
                current.adopt("c", file, to)
        sink.is_full = False
        assert await current.finish("c", 10)
        assert buffer_bytes is None or file.stat().st_size - tail.offset <= max(buffer_bytes, 200)
        return tail.lost

    with tempfile.TemporaryDirectory() as folder:
        lost = asyncio.run(test(Path(folder) / "log"))
    assert sink.lines(STREAM) == lines[lost:]
    assert buffer_bytes is not None or lost == 0
