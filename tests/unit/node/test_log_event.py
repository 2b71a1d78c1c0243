"""Lines gathered into events."""

from hypothesis import given
from hypothesis import strategies as st

from portside.domain.line_pattern import LinePattern
from portside.domain.log import LogEvent
from portside.node.log.cri import EVENT_MAX_BYTES
from portside.node.log.event import Gatherer

LINES = st.lists(st.sampled_from(["INFO a", "  at b", "INFO", "c"]), max_size=20)


def at(lines: list[str]) -> list[LogEvent]:
    return [LogEvent(at_ms=number, message=line) for number, line in enumerate(lines)]


@given(LINES, st.lists(st.integers(0, 20), max_size=5))
def test_however_lines_come(lines: list[str], cuts: list[int]) -> None:
    """In whatever pieces, and with a new gatherer for each piece: no line is lost, each event begins with a match but
    the first, holds no further one, and has the time of its first line."""
    events: list[LogEvent] = []
    held = None
    begin = 0
    for end in (*sorted(cuts), len(lines)):
        gatherer = Gatherer(LinePattern("^INFO"), held)
        events += gatherer.add(at(lines)[begin:end])
        held, begin = gatherer.held, max(begin, end)
    events += Gatherer(LinePattern("^INFO"), held).flush()
    assert [line for each in events for line in each.message.split("\n")] == lines
    seen = 0
    for index, each in enumerate(events):
        first, *others = each.message.split("\n")
        assert each.at_ms == seen
        assert first.startswith("INFO") or index == 0
        assert not any(line.startswith("INFO") for line in others)
        seen += 1 + len(others)


def test_not_longer_than_an_event_may_be() -> None:
    """A trace without end becomes several events, each within the limit, with nothing lost."""
    line = "é" * 1000
    gatherer = Gatherer(LinePattern("^INFO"))
    events = [*gatherer.add([LogEvent(at_ms=1, message=line)] * 1000), *gatherer.flush()]
    assert all(len(each.message.encode()) <= EVENT_MAX_BYTES for each in events)
    assert sum(each.message.count(line) for each in events) == 1000


def test_without_a_pattern() -> None:
    """Each line is an event at once."""
    gatherer = Gatherer(None)
    assert gatherer.add(at(["a", "b"])) == at(["a", "b"])
    assert gatherer.held is None


def test_what_is_old() -> None:
    """Only what began before the time is flushed."""
    gatherer = Gatherer(LinePattern("^INFO"))
    gatherer.add([LogEvent(at_ms=100, message="a")])
    assert gatherer.flush(100) == []
    assert gatherer.flush(101) == [LogEvent(at_ms=100, message="a")]
    assert gatherer.flush(101) == []
