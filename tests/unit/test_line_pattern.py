"""Patterns of lines that begin an event, against Python's own regular expressions."""

import re
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain.line_pattern import LinePattern, LinePatternError, of_datetime, pattern_of

ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "-",
        r"\.",
        ".",
        r"\d",
        r"\W",
        "[ab]",
        "[^a-c]",
        r"[\d-]",
        "(?:a|b)",
        "(ab|)",
        "^",
        "$",
        "(a*)",
        r"\[",
        "(?:b{2}|a+)",
    ]
)
PARTS = st.tuples(ATOMS, st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,}", "{0,2}", "*?"])).filter(
    lambda each: each[0] not in "^$" or not each[1]
)
ROWS = st.lists(PARTS.map("".join), max_size=5).map("".join)
PATTERNS = st.lists(ROWS, min_size=1, max_size=3).map("|".join)


@given(PATTERNS, st.booleans(), st.lists(st.text("aAbBc-.[1 ", max_size=8), max_size=8))
def test_the_same_as_python(text: str, ignores_case: bool, lines: list[str]) -> None:
    """Expressions and lines of every kind: found in the same lines, the first time and from memory."""
    text = "(?i)" * ignores_case + text
    ours, theirs = LinePattern(text), re.compile(text, re.ASCII)
    for line in (*lines, *lines):
        assert ours.found_in(line) == (theirs.search(line) is not None), (text, line)


@pytest.mark.parametrize("text", ["(a+)+$", "(a|a)*b", "(.*.*)*=", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_no_expression_takes_long(text: str) -> None:
    """Those that a backtracking engine would not end with, on a line of 256 KiB."""
    assert not LinePattern(text).found_in("a" * 256 * 1024 + "!")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(", "too early"),
        ("a)", "unexpected )"),
        ("[a", "too early"),
        ("*a", "missing argument"),
        ("a**", "nested repetition"),
        ("a++", "nested repetition"),
        ("a{2,1}", "repeat count"),
        ("a{1001}", "repeat count"),
        ("((a{1000}){1000}){9}", "too long"),
        ("[b-a]", "class range"),
        (r"a\b", r"\b is not supported"),
        (r"\pL", r"\p is not supported"),
        ("[[:alpha:]]", "[: is not supported"),
        ("(?=a)", "not supported"),
        ("(" * 60 + ")" * 60, "nested too deeply"),
        ("\\", "too early"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(LinePatternError, match=re.escape(words)):
        LinePattern(text)


@given(
    st.datetimes(datetime(1000, 1, 1)),
    st.sampled_from(["%Y-%m-%d %H:%M:%S", "[%b %d, %Y %H:%M:%S]", "%a %j %I %p", "%A %B %y %f", "100%% %w"]),
)
def test_formats_of_times(at: datetime, text: str) -> None:
    """Every time that is written in a format is found by it, anywhere in a line; other lines are not."""
    pattern = LinePattern(of_datetime(text))
    assert pattern.found_in(f"> {at.strftime(text)} began")
    assert not pattern.found_in("\tat Main.java")


def test_which_option_counts() -> None:
    """A datetime format goes before a pattern; without both each line is an event."""
    assert pattern_of({"awslogs-group": "g"}) == ""
    assert pattern_of({"awslogs-multiline-pattern": "^INFO"}) == "^INFO"
    assert pattern_of({"awslogs-multiline-pattern": "^INFO", "awslogs-datetime-format": "%Y"}) == r"\d{4}"
    with pytest.raises(LinePatternError, match="%Q"):
        of_datetime("%Q")
