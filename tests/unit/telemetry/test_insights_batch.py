"""Logs Insights queries over many events at once, against the same queries event by event."""

import asyncio
import json
import random
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portside.domain.insights_query import Event, Query
from portside.domain.insights_query_syntax import literal_of
from portside.domain.log import LogEvent
from portside.domain.record import Scope
from portside.telemetry import insights_process
from portside.telemetry.insights import QueryOrder
from portside.telemetry.sqlite import SqliteLogStore

SCOPE = Scope(account="000000000000", region="us-east-1")
SCALARS: Any = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.0, 2**60, -(2**60), 1e300, -1e300, True, False, None, "1", "1.0", "-2", "true", "", "nan"]),
    st.text('aE*é"\\/\n\0\uffff', max_size=3),
)
DOCUMENTS = st.dictionaries(
    st.sampled_from(["a", "b", "E", "é"]), st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.just({"a": 1}))
)
MESSAGES = st.one_of(
    st.tuples(DOCUMENTS, st.booleans()).map(lambda each: json.dumps(each[0], ensure_ascii=each[1])),
    DOCUMENTS.map(lambda each: re.sub(r"[a-zé]", lambda found: f"\\u{ord(found[0]):04x}", json.dumps(each))),
    st.sampled_from(['{"a": 1, "a": 2}', '{"a": 1e999}', '{"b": "\\ud800", "a": 1}', "{", "[1]", "plain E\0aE", "é"]),
)
EVENTS = st.lists(st.tuples(st.sampled_from("st"), st.integers(0, 9), MESSAGES), max_size=12)
TEXTS = st.sampled_from(["a", "E", "aE", "E*", "é", '"', "/", "true", "1", "nan", "1.0", "\n", "\0", "\uffff"])
CONDITIONS = st.one_of(
    st.tuples(
        st.sampled_from(["a", "b", "E", "a.a", "b.0", "@message"]), st.sampled_from(["=", "!=", "<", "like"]), TEXTS
    )
    .filter(lambda three: '"' not in three[2])
    .map(lambda three: f'{three[0]} {three[1]} "{three[2]}"'),
    st.sampled_from(["a > 0", "1 = a", "b = a", "not a = 'E'", "ispresent(b)", "a in ['E', 1]", "a =~ /E/"]),
    st.sampled_from(["@message like /E/", "b like /aE?/", "@message like /(?i)e/", "a like /a|E/", "a like /\\x45+a/"]),
)
FILTERS = st.recursive(
    CONDITIONS,
    lambda inner: st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda three: f"({' '.join(three)})"),
    max_leaves=4,
)
ENDS = st.sampled_from(
    [
        "stats count(*) as n",
        "stats count(*), count() as m by bin(2ms)",
        "stats count(*) by bin(1w)",
        "stats count(*) by bin(3mo), @logStream",
        "stats count(a), sum(a), avg(b), stddev(a), pct(a, 50), min(a), max(b), count_distinct(a) by b",
        "stats sum(a + 1), latest(b), earliest(@message), sortslast(a) by bin(3ms) as t, E",
        "stats sum(a) as a by a | filter a > 1",
        "sort @timestamp asc | stats count(*) by bin(1ms)",
        "fields a | limit 3",
        "fields a as b | filter b = 'E' | stats count(*) by b",
        'parse @message "E*" as a | stats count(*), sum(a) by a',
        "parse @message /(?<b>E.)/ | filter b like 'a' | display b",
        "sort a desc, @timestamp | limit 4",
        "sort a desc | limit 3",
        "sort b | limit 2",
        "fields @timestamp, a | sort a desc | limit 3",
        "fields b as a | sort a desc | limit 3",
        "fields a, b | stats sum(a) by b",
        "fields a.a, @message | filter ispresent(a) | sort @timestamp + 0 desc | limit 2",
        "sort a + 1 desc | fields a, @message, @logStream | limit 3",
        "dedup a",
        "pattern @message",
        "pattern a | sort @sampleCount | limit 2",
        'parse @message "E*" as a | pattern a | filter @ratio > 0.1 | fields @pattern',
    ]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS, st.one_of(st.none(), FILTERS), ENDS, st.booleans(), st.integers(0, 2**32))
def test_many_at_once_are_as_one_by_one(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    events: list[tuple[str, int, str]],
    condition: str | None,
    end: str,
    is_one_group: bool,
    seed: int,
) -> None:
    """Whatever is filtered, grouped and summed: rows, their order, and how many events were seen and came through."""
    rand = random.Random(seed)
    for name in ("FIRST_PIECE_EVENTS", "PIECE_EVENTS", "COUNTED_PIECE_EVENTS"):
        monkeypatch.setattr(insights_process, name, rand.randint(1, 5))
    monkeypatch.setattr(insights_process, "_tell", lambda news: None)
    path = tmp_path_factory.mktemp("logs") / "logs.db"

    async def fill() -> None:
        store = SqliteLogStore(path, now_ms=lambda: 5)
        for stream in ("s", "t"):
            await store.create_stream(SCOPE, "g", stream)
        for stream, at_ms, message in events:
            await store.put(SCOPE, "g", stream, [LogEvent(at_ms=at_ms, message=message)])
        await store.close()

    asyncio.run(fill())
    text = f"filter {condition} | {end}" if condition is not None else end
    expected = Query(text)
    seen, size = 0, 0
    numbered = [
        Event(at_ms, message, stream, f"{SCOPE.account}:g", 5, number)
        for number, (stream, at_ms, message) in enumerate(events, 1)
    ]
    for each in sorted(numbered, key=lambda one: (one.at_ms, one.number), reverse=not expected.wants_oldest_first):
        if expected.is_satisfied:
            break
        seen, size = seen + 1, size + len(each.message.encode())
        expected.take(each)
    groups = ["g"] if is_one_group else ["g", "none"]
    news = insights_process.run(path, QueryOrder(SCOPE.prefix, SCOPE.account, groups, text, 0, 100, 10_000))
    assert news.rows == expected.rows()
    assert (news.scanned, news.scanned_bytes, news.matched) == (seen, size, expected.matched)


@settings(max_examples=500)
@given(
    st.lists(
        st.sampled_from(
            ["a", "E", "a?", "E*", "a+", "b{0,2}", "[ab]", "(E)", "(a)?", "^", "$", ".", "\\x45", "\\.", "|"]
        )
    ),
    st.text("aEb.", max_size=6),
)
def test_a_text_of_an_expression_is_in_whatever_it_matches(parts: list[str], text: str) -> None:
    """Where there is none that is plain to see, it is empty."""
    try:
        regex = re.compile("".join(parts))
    except re.error:
        return
    if regex.search(text):
        assert literal_of(regex.pattern) in text


def test_texts_of_expressions() -> None:
    """The longest that stands by itself."""
    wanted = {
        "unheard": "unheard",
        "ab.cdef?": "cde",
        "abc{0}": "ab",
        "(?i)abc": "",
        "abc|d": "",
        "ab[cd]": "ab",
        "a?(a)?": "",
    }
    assert {each: literal_of(each) for each in wanted} == wanted
