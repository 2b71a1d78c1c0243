"""Joining the monitor's lines to events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.node.log.cri import EVENT_MAX_BYTES, Assembler

_STAMP = b"2026-01-02T03:04:05.678901234+00:00"
_AT_MS = 1_767_323_045_678


def test_whole_lines() -> None:
    """Each F line is an event, with its time in ms; blanks are kept, empty lines and carriage returns are not."""
    events = Assembler().feed(
        _STAMP + b" stdout F one  two \r\n" + _STAMP + b" stdout F \n" + _STAMP + b" stderr F  three\n"
    )
    assert [(each.at_ms, each.message) for each in events] == [(_AT_MS, "one  two "), (_AT_MS, " three")]


def test_parts_of_two_streams() -> None:
    """Parts are joined per stream, also when the other stream's lines come in between."""
    events = Assembler().feed(
        b"".join(
            _STAMP + each
            for each in (b" stdout P he\n", b" stderr F error\n", b" stdout P llo\n", b" stdout F  world\n")
        )
    )
    assert [each.message for each in events] == ["error", "hello world"]


def test_time_zones_and_seconds() -> None:
    """The same moment in another zone, and another second after it."""
    events = Assembler().feed(
        _STAMP + b" stdout F a\n2026-01-02T05:04:05.678901234+02:00 stdout F b\n2026-01-02T03:04:06.000+00:00 x F c\n"
    )
    assert [each.at_ms for each in events[:2]] == [_AT_MS, _AT_MS]


def test_what_is_open_survives_a_restart() -> None:
    """An unfinished line can be taken out and put into a new assembler; at the end it is flushed."""
    first = Assembler()
    assert first.feed(_STAMP + b" stdout P begin\n") == []
    second = Assembler(first.partial)
    assert [each.message for each in second.feed(_STAMP + b" stdout F -end\n")] == ["begin-end"]
    second.feed(_STAMP + b" stderr P unfinished")
    assert [each.message for each in second.flush(5)] == ["unfinished"]
    assert second.flush(5) == []


def test_torn_lines_are_left_out() -> None:
    """What is not a line of the monitor (after a crash of the machine) harms nothing else."""
    events = Assembler().feed(b"\0\0\0\n" + b"garbage\n" + _STAMP + b" stdout F ok\n")
    assert [each.message for each in events] == ["ok"]


@pytest.mark.parametrize("length", range(1, len(_STAMP) + 10))
def test_what_follows_a_torn_line_counts(length: int) -> None:
    """A line that a full disk cut off anywhere in its head does not take the next one with it."""
    torn = (_STAMP + b" stdout F lost")[:length]
    events = Assembler().feed(torn + _STAMP + b" stderr F ok\n")
    assert [(each.at_ms, each.message) for each in events] == [(_AT_MS, "ok")]


@given(st.binary(max_size=200))
def test_garbage_is_survived(garbage: bytes) -> None:
    """Whatever is in the file, the line after it arrives."""
    events = Assembler().feed(garbage + b"\n" + _STAMP + b" stdout F ok\n")
    assert events[-1].message.endswith("ok")


@given(st.lists(st.binary(max_size=60).map(lambda each: each.replace(b"\n", b"").replace(b"\r", b"")), max_size=20))
def test_no_byte_is_lost(parts: list[bytes]) -> None:
    """However a line is cut into parts, the joined events hold exactly its bytes."""
    lines = b"".join(_STAMP + b" stdout P " + each + b"\n" for each in parts) + _STAMP + b" stdout F \n"
    events = Assembler().feed(lines)
    assert "".join(each.message for each in events) == b"".join(parts).decode(errors="replace")


def test_very_long_lines_are_cut() -> None:
    """A line longer than an event may be becomes several, none too long, none empty."""
    part = _STAMP + b" stdout P " + b"x" * 8192 + b"\n"
    events = Assembler().feed(part * 80 + _STAMP + b" stdout F \n")
    assert [len(each.message) for each in events] == [EVENT_MAX_BYTES, EVENT_MAX_BYTES, 80 * 8192 - 2 * EVENT_MAX_BYTES]
