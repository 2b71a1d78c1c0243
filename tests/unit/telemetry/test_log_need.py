"""What a message surely has if a pattern finds it."""

import json
import sqlite3
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from portside.domain import log_need
from portside.domain.log_need import Needs
from portside.domain.log_pattern import parse
from portside.domain.log_pattern_json import JsonPattern
from portside.telemetry import log_search

LETTERS = st.text('aeE*?[]x1.-/"\\\n\u00e9\u2028\ufffe\uffff\U0001f600\0', max_size=4)
NUMBERS = ["1", "1.0", "10", "1e1", "0.1e2", "-1", "1E+400", "12345678901234567890123"]
SCALARS = st.one_of(
    LETTERS.map(json.dumps),
    LETTERS.map(lambda text: json.dumps(text, ensure_ascii=False)),
    LETTERS.map(lambda text: '"' + "".join(f"\\u{ord(each):04X}" for each in text if ord(each) < 0x10000) + '"'),
    LETTERS.map(lambda text: json.dumps(text, ensure_ascii=False).replace("/", "\\/")),
    st.sampled_from([*NUMBERS, "true", "false", "null"]),
)
NAMES = st.sampled_from(["a", "xe", "\u00e9"])


@st.composite
def documents(draw: st.DrawFn, depth: int = 2) -> str:
    """JSON in any spelling that a writer may choose."""
    members = []
    for _ in range(draw(st.integers(0, 3))):
        name = draw(NAMES)
        written = draw(st.sampled_from([json.dumps(name), json.dumps(name, ensure_ascii=False), f'"{_hidden(name)}"']))
        inner = draw(st.one_of(SCALARS, documents(depth - 1))) if depth else draw(SCALARS)
        members.append(f"{written}{draw(st.sampled_from([':', ' : ']))}{inner}")
    return "{" + ",".join(members) + "}"


def _hidden(text: str) -> str:
    return "".join(f"\\u{ord(each):04x}" for each in text)


def _quoted(text: str) -> str:
    return '"' + "".join("\\" + each if each in '"\\*' else each for each in text) + '"'


LITERALS = st.one_of(
    LETTERS.map(_quoted),
    st.tuples(LETTERS, LETTERS).map(lambda two: f"{_quoted(two[0])[:-1]}*{_quoted(two[1])[1:]}"),
    st.sampled_from([*NUMBERS, "1*", "*e1", "e*", "true", "null", "nan", "ax", "ae*x", "%a+x%", "%1e1%", "%e%"]),
)
SELECTORS = st.sampled_from(["$.a", "$.xe", "$.*", "$.a.a", "$.['\u00e9']"])
CONDITIONS = st.one_of(
    st.tuples(SELECTORS, st.sampled_from(["=", "!="]), LITERALS).map(" ".join),
    st.tuples(SELECTORS, st.sampled_from(["> 1", "IS NULL", "IS TRUE", "NOT EXISTS"])).map(" ".join),
)
PATTERNS = st.recursive(
    CONDITIONS, lambda inner: st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda t: f"({' '.join(t)})")
)


def selected(messages: list[str], needs: Needs) -> set[int]:
    """What SQLite lets through."""
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE event (id INTEGER PRIMARY KEY, group_id INTEGER, at_ms INTEGER, message TEXT NOT NULL)")
    db.execute(log_search.ZERO_INDEX)
    db.executemany("INSERT INTO event VALUES (?, 1, 1, ?)", enumerate(messages))
    condition, values = log_search.condition(needs, with_zeros=log_search.has_zeros(db))
    found = {row[0] for row in db.execute(f"SELECT id FROM event WHERE {condition}", values)}
    db.close()
    return found


@settings(max_examples=400)
@given(PATTERNS, st.lists(documents(), min_size=1, max_size=8))
def test_no_document_that_matches_is_left_out(pattern: str, messages: list[str]) -> None:
    """However its texts, names and numbers are written: escaped, by their code, in any notation."""
    try:
        known = JsonPattern("{" + pattern + "}")
    except Exception:  # more wildcards or expressions than AWS allows
        return
    holds, needs = known._holds, known.needs
    known.needs = ()
    matching = {number for number, each in enumerate(messages) if known.matches(each)}
    assert callable(holds)
    assert matching <= selected(messages, needs)
    assert matching <= {number for number, each in enumerate(messages) if log_need.may_be(needs, each)}


TERMS = st.text("aE*?[]%_ é\ufffe\uffff", min_size=1, max_size=3).filter(str.strip)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.sampled_from(["", "-", "?"]), TERMS), min_size=1, max_size=3),
    st.lists(st.text("aE*?[]%_ é\ufffe\uffff\0", max_size=8), min_size=1, max_size=8),
)
def test_no_message_with_the_terms_is_left_out(terms: list[tuple[str, str]], messages: list[str]) -> None:
    """Whatever characters are in them that mean something to SQLite."""
    pattern = parse(" ".join(f'{sign}"{term}"' for sign, term in terms))
    matching = {number for number, each in enumerate(messages) if pattern.matches(each)}
    assert matching <= selected(messages, pattern.needs)


@given(
    st.lists(st.sampled_from(["", "a", "b = 1*", "c = x*a", "d != x", 'e = "é a"', "f = %ax%", "g = 1", "..."])),
    st.lists(st.text('ax1é "[]', max_size=8), min_size=1, max_size=6),
)
def test_no_line_with_the_fields_is_left_out(fields: list[str], messages: list[str]) -> None:
    """Of space-delimited patterns."""
    try:
        pattern: Any = parse(f"[{','.join(fields)}]")
    except Exception:  # a field twice
        return
    matching = {number for number, each in enumerate(messages) if pattern.matches(each)}
    assert matching <= selected(messages, pattern.needs)


def test_what_is_not_needed_is_not_read() -> None:
    """Documents without the text, the expression's text or the name are left out."""
    for pattern in ('{ $.level = "ERROR" }', "{ $.level = %ERR+% }", "{ $.level > 3 }", "{ $.level = ERROR }"):
        assert not selected(['{"said": "no"}'], parse(pattern).needs)
