"""The log forwarder, killed before and after what it puts: the next one goes on where it was."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portside.domain.log import LogEvent
from portside.domain.record import Scope
from portside.domain.task.record import LostOutput
from portside.node import syscall
from portside.node.log import forwarder as forwarder_module
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

    def __init__(self, sink: LogSink, report: Callable[[str, LostOutput], None] = lambda container, lost: None) -> None:
        super().__init__(lambda container, destination, kept: AwslogsOutlet(sink, destination, kept), report)

    def _kick(self, tail: object, delay_s: float = 0) -> None:
        pass


LINES = st.lists(
    st.tuples(st.sampled_from(["stdout", "stderr"]), st.sampled_from("FFFP"), st.sampled_from(["a", "B", "Bc", "é"])),
    max_size=6,
)
STEPS = st.lists(st.tuples(LINES, st.booleans()), min_size=1, max_size=6)
BUFFERS = st.sampled_from([None, 0, 2000, 10_000])
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


def test_what_stands_in_the_file_outlives_a_delivery_that_fails() -> None:
    """What a container printed while the daemon was down is more than its buffer, and the store refuses the first
    delivery, as often as it is tried: all of it is delivered once the store takes it."""
    sink, lines = FullSink(), [f"line {number}" for number in range(3000)]
    to = LogDestination(scope=SCOPE, group=GROUP, stream=STREAM, buffer_bytes=2000)

    async def test(file: Path) -> int:
        file.write_text("".join(line("stdout", "F", each) for each in lines))
        current = Quiet(sink)
        current.adopt("c", file, to)
        tail = current._tails["c"]
        for _ in range(3):
            with pytest.raises(OSError, match="no space"):
                await current._forward(tail)
            await current._give_up(tail)
        sink.is_full = False
        assert await current.finish("c", 10)
        return tail.lost

    with tempfile.TemporaryDirectory() as folder:
        assert asyncio.run(test(Path(folder) / "log")) == 0
    assert sink.lines(STREAM) == lines


class Step(NamedTuple):
    """Lines that are written; puts that the store takes before it refuses; whether the daemon is killed then."""

    lines: int
    puts: int
    is_killed: bool


@settings(max_examples=100)
@given(st.lists(st.builds(Step, st.integers(0, 400), st.just(0), st.booleans()), min_size=1, max_size=6), BUFFERS)
@example([Step(1, 0, False), Step(1, 0, True), Step(0, 0, False), Step(1, 0, False)], 0)  # a gap where another ends
def test_what_waits_for_a_store_that_takes_nothing(steps: list[Step], buffer_bytes: int | None) -> None:
    """What stood there when a daemon met the refusal, and of what came since as much as the buffer holds: the newest,
    in order, to the line. What was given up is counted to the line and the byte, and told."""
    kept: list[str] = []
    buffer: list[str] = []
    dropped: list[str] = []
    written, is_met = 0, False
    for step in steps:
        new = [f"line {number}" for number in range(written, written + step.lines)]
        written += step.lines
        if is_met:
            buffer += new
        else:
            kept, buffer = kept + buffer + new, []
        while buffer_bytes is not None and sum(len(line("stdout", "F", each)) for each in buffer) > buffer_bytes:
            dropped.append(buffer.pop(0))
        is_met = written > 0 and not step.is_killed
    sink = RefusingSink()
    told = forwarded(sink, steps, buffer_bytes)
    assert sink.lines(STREAM) == kept + buffer
    counts = [(each.lines, each.size_bytes) for each in told]
    assert counts == sorted(counts)
    assert (counts or [(0, 0)])[-1] == (len(dropped), sum(map(len, dropped)))


@settings(max_examples=100)
@given(
    st.lists(st.builds(Step, st.integers(0, 400), st.integers(0, 4), st.booleans()), min_size=1, max_size=6),
    st.sampled_from([0, 2000, 10_000]),
    st.dictionaries(st.integers(1, 30), st.sampled_from(["before", "after"]), max_size=4),
)
@example([Step(1, 0, False), Step(56, 1, False), Step(1, 3, False)], 0, {})  # a batch at hand with newer lines
def test_a_store_that_takes_little(steps: list[Step], buffer_bytes: int, deaths: dict[int, str]) -> None:
    """Whatever it takes in between and whenever the daemon is killed: lines are delivered once and in order, and those
    that are not are as many as were counted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forwarder_module, "_CHUNK_BYTES", 1000)
        sink = RefusingSink()
        sink.deaths = deaths
        told = forwarded(sink, steps, buffer_bytes)
    numbers = [int(each.removeprefix("line ")) for each in sink.lines(STREAM)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + (told[-1].lines if told else 0) == sum(each.lines for each in steps)


class RefusingSink(DeadlySink):
    """Takes as many puts as are left."""

    left = 0

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent], mark: str = "") -> None:
        if self.left == 0:
            raise OSError("no space left on device")
        self.left -= 1
        await super().put(scope, group, stream, events, mark)


def forwarded(sink: RefusingSink, steps: list[Step], buffer_bytes: int | None) -> list[LostOutput]:
    """Write and forward; in the end the store takes everything. Returns: what was told to be lost."""
    to = LogDestination(scope=SCOPE, group=GROUP, stream=STREAM, buffer_bytes=buffer_bytes)
    told: list[LostOutput] = []

    def adopted(file: Path) -> Quiet:
        current = Quiet(sink, lambda container, lost: told.append(lost))
        current.adopt("c", file, to)
        if (lost := current.lost("c")) is not None:
            told.append(lost)
        return current

    async def test(file: Path) -> None:
        file.touch()
        current, written = adopted(file), 0
        for step in steps:
            with file.open("a") as opened:
                opened.writelines(line("stdout", "F", f"line {n}") for n in range(written, written + step.lines))
            written += step.lines
            sink.left = step.puts
            try:
                await current._forward(current._tails["c"])
            except OSError:
                await current._give_up(current._tails["c"])
            except Killed:
                current = adopted(file)
            if step.is_killed:
                current = adopted(file)
        sink.left = -1
        while True:
            try:
                assert await current.finish("c", 10)
                break
            except Killed:
                current = adopted(file)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(test(Path(folder) / "log"))
    return told


def test_what_was_given_up_takes_no_blocks() -> None:
    """Of a store that refuses for long the file holds what stood there and one buffer, whatever else is written."""
    sink = FullSink()
    to = LogDestination(scope=SCOPE, group=GROUP, stream=STREAM, buffer_bytes=64 * 1024)
    text = line("stdout", "F", "x" * 100) * 1000

    async def test(file: Path) -> None:
        file.write_text(text)
        current = Quiet(sink)
        current.adopt("c", file, to)
        for _ in range(50):
            with pytest.raises(OSError, match="no space"):
                await current._forward(current._tails["c"])
            await current._give_up(current._tails["c"])
            assert file.stat().st_blocks * 512 < len(text) + 64 * 1024 + 16 * 1024
            with file.open("a") as opened:
                opened.write(text)
        sink.is_full = False
        lost = current.lost("c")
        assert lost is not None
        assert await current.finish("c", 10)
        assert len(sink.lines(STREAM)) == 51_000 - lost.lines

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(test(Path(folder) / "log"))


def test_a_gap_within_a_line() -> None:
    """What came of a line before a gap, and what comes behind it, are events of their own: not one line that was never
    written."""
    sink = FullSink()
    to = LogDestination(scope=SCOPE, group=GROUP, stream=STREAM, buffer_bytes=60)

    async def test(file: Path) -> None:
        file.write_text(line("stdout", "F", "whole") + line("stdout", "P", "begin"))
        current = Quiet(sink)
        current.adopt("c", file, to)
        for text in ("", line("stdout", "F", "end") + line("stdout", "F", "next")):
            with file.open("a") as opened:
                opened.write(text)
            with pytest.raises(OSError, match="no space"):
                await current._forward(current._tails["c"])
            await current._give_up(current._tails["c"])
        sink.is_full = False
        assert await current.finish("c", 10)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(test(Path(folder) / "log"))
    assert sink.lines(STREAM) == ["whole", "begin", "next"]


def test_a_position_that_was_lost() -> None:
    """Where the file has given its blocks back already, the rest is delivered."""
    sink = MemorySink()
    to = LogDestination(scope=SCOPE, group=GROUP, stream=STREAM)

    async def test(file: Path) -> None:
        text = line("stdout", "F", "x" * 1000)
        file.write_text(text * 1000 + line("stdout", "F", "last"))
        with file.open("r+b") as opened:
            syscall.punch_hole(opened.fileno(), 0, 500_000)
        current = Quiet(sink)
        current.adopt("c", file, to)
        assert await current.finish("c", 10)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(test(Path(folder) / "log"))
    assert sink.lines(STREAM)[-1] == "last"
    assert set(sink.lines(STREAM)[:-1]) == {"x" * 1000}
    assert len(sink.lines(STREAM)) > 500
