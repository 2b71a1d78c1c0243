"""Logs Insights queries."""

import json
import math
import re
import statistics
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain import insights_query_function
from portside.domain.insights_query import Event, Malformed, Query, TooMany

START_MS = 1_700_000_000_000
"""2023-11-14 22:13:20 UTC."""


def event(message: str | dict[str, Any], number: int = 0, at_ms: int | None = None, stream: str = "s") -> Event:
    text = message if isinstance(message, str) else json.dumps(message)
    at_ms = START_MS + number * 1000 if at_ms is None else at_ms
    return Event(at_ms, text, stream, "000000000000:g", at_ms + 5, number)


def asked(query: str, events: Iterable[Event | str | dict[str, Any]], limit: int = 10_000) -> list[dict[str, str]]:
    """The rows; events are given in the order that the query wants, until it is satisfied."""
    made = [each if isinstance(each, Event) else event(each, number) for number, each in enumerate(events)]
    run = Query(query, limit)
    for each in sorted(made, key=lambda one: (one.at_ms, one.number), reverse=not run.wants_oldest_first):
        if run.is_satisfied:
            break
        run.take(each)
    rows = [dict(row) for row in run.rows()]
    for row in rows:
        row.pop("@ptr", None)
    return rows


def values(query: str, events: Iterable[Event | str | dict[str, Any]], name: str = "x") -> list[str | None]:
    return [row.get(name) for row in asked(query, events)]


def computed(expression: str, message: str | dict[str, Any] = "") -> str | None:
    return values(f"fields {expression} as x", [message])[0]


def test_a_plain_query_shows_time_and_message() -> None:
    """The latest first, and where the event can be found again."""
    run = Query("filter @message like /a/")
    for each in (event("ab", 1), event("c", 0), event("a", 0)):
        run.take(each)
    assert [[name for name, _ in row] for row in run.rows()] == [["@timestamp", "@message", "@ptr"]] * 2
    assert asked("filter @message like /a/", ["a", "b", "ab"]) == [
        {"@timestamp": "2023-11-14 22:13:22.000", "@message": "ab"},
        {"@timestamp": "2023-11-14 22:13:20.000", "@message": "a"},
    ]


DOCUMENT = {
    "eventName": "Start",
    "userIdentity": {"type": "IAMUser", "user.name": "ann"},
    "items": [{"id": "i-1", "code": 16}, {"id": "i-2"}],
    "foo-bar": "dash",
    "@type": "REPORT",
    "count": 3,
    "ratio": 0.5,
    "ok": True,
    "bad": False,
    "none": None,
    "text": "  padded ",
    "empty": "",
    "ip": "192.0.2.7",
    "ip6": "2001:db8::7",
    "big": 12345678901234567890,
}


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("eventName", "Start"),
        ("userIdentity.type", "IAMUser"),
        ("userIdentity.`user.name`", "ann"),
        ("items.0.id", "i-1"),
        ("items.1.code", None),
        ("items.7.id", None),
        ("userIdentity", None),
        ("`foo-bar`", "dash"),
        ("@@type", "REPORT"),
        ("ok", "1"),
        ("none", None),
        ("big", "12345678901234567890"),
        ("@logStream", "s"),
        ("@log", "000000000000:g"),
        ("@ingestionTime", "2023-11-14 22:13:20.005"),
        ("1 + 2 * 3 ^ 2", "19"),
        ("2 ^ 3 ^ 2", "512"),
        ("(1 + 2) * 3", "9"),
        ("10 % 3", "1"),
        ("-7 % 3", "-1"),
        ("1 - 2 - 3", "-4"),
        ("7 / 2", "3.5"),
        ("1 / 0", None),
        ("-count", "-3"),
        ("missing + 1", None),
        ('"4" + 1', "5"),
        ("abs(-3.5)", "3.5"),
        ("ceil(1.2)", "2"),
        ("floor(-1.2)", "-2"),
        ("greatest(1, count, 2)", "3"),
        ("least(1, count, 2)", "1"),
        ("log(1)", "0"),
        ("log(0)", None),
        ("sqrt(16)", "4"),
        ("sqrt(-1)", None),
        ("ispresent(count)", "1"),
        ("ispresent(missing)", "0"),
        ("coalesce(missing, none, ratio)", "0.5"),
        ("isempty(empty)", "1"),
        ("isempty(text)", "0"),
        ("isblank(missing)", "1"),
        ('concat(eventName, "-", count)', "Start-3"),
        ("strlen(eventName)", "5"),
        ('strlen("𝄞ä")', "2"),
        ("toupper(eventName)", "START"),
        ("tolower(eventName)", "start"),
        ("trim(text)", "padded"),
        ("ltrim(text)", "padded "),
        ("rtrim(text)", "  padded"),
        ('ltrim("xyZxyfooxyZ", "xyZ")', "fooxyZ"),
        ('rtrim("xyZfooxyxyZ", "xyZ")', "xyZfoo"),
        ('trim("xyZxyfooxyxyZ", "xyZ")', "foo"),
        ('substr("xyZfooxyZ", 3, 3)', "foo"),
        ('substr("abc", 1)', "bc"),
        ('replace("smoke_test", "smoke_test", "Smoke")', "Smoke"),
        ('strcontains(eventName, "tar")', "1"),
        ("bin(5m)", "2023-11-14 22:10:00.000"),
        ("bin(1h)", "2023-11-14 22:00:00.000"),
        ("bin(30 secs)", "2023-11-14 22:13:00.000"),
        ("bin(1w)", "2023-11-13 00:00:00.000"),
        ("datefloor(@timestamp, 1mo)", "2023-11-01 00:00:00.000"),
        ("dateceil(@timestamp, 1q)", "2024-01-01 00:00:00.000"),
        ("datefloor(@timestamp, 1y)", "2023-01-01 00:00:00.000"),
        ("dateceil(@timestamp, 1h)", "2023-11-14 23:00:00.000"),
        ("toMillis(@timestamp)", str(START_MS)),
        ("fromMillis(0)", "1970-01-01 00:00:00.000"),
        ("isValidIp(ip)", "1"),
        ("isValidIpV4(ip6)", "0"),
        ("isValidIpV6(ip6)", "1"),
        ('isIpv4InSubnet(ip, "192.0.2.0/24")', "1"),
        ('isIpv6InSubnet(ip6, "2001:db8::/32")', "1"),
        ('isIpInSubnet(ip, "2001:db8::/32")', "0"),
        ('if(count > 2, "many", "few")', "many"),
        ('eventName = "Start"', "1"),
        ("ok = 1 and not bad", "1"),
        ('ok = "true"', "1"),
        ("count = '3'", "1"),
        ("missing = 1 or missing != 1", "1"),
        ("missing < 1 or missing > 1", "0"),
        ('eventName in ["Stop", "Start"]', "1"),
        ("count not in [1, 2]", "1"),
        ("eventName like 'tar'", "1"),
        ("eventName not like /^T/", "1"),
        ("eventName =~ /(?i)^start$/", "1"),
        ("count like /3/", "1"),
        ('@timestamp > "2023-11-14"', "1"),
        ("@timestamp >= 1700000000000", "1"),
    ],
)
def test_expressions(expression: str, shown: str | None) -> None:
    """Fields, operators and functions, as the guide has them."""
    assert computed(expression, DOCUMENT) == shown


def test_parse() -> None:
    """Wildcards and named groups take fields out; what does not fit leaves them out."""
    line = "25 May 2019 10:24:39,474 [ERROR] {foo=2, bar=data} The error was: DataIntegrityException"
    expected = {"level": "ERROR", "config": "{foo=2, bar=data}", "exception": "DataIntegrityException"}
    shown = " | display level, config, exception"
    for how in (
        'parse @message "[*] * The error was: *" as level, config, exception',
        r"parse @message /\[(?<level>\S+)\]\s+(?<config>\{.*\})\s+The error was: (?<exception>\S+)/",
        r"parse @message /\[(\S+)\]\s+(\{.*\})\s+The error was: (\S+)/ as level, config, exception",
    ):
        assert asked(how + shown, [line, "other"]) == [{}, expected]
    query = "parse @message /user=(?<@user>\\w+)/ | filter ispresent(@user) | fields @user"
    assert asked(query, ["user=ann", "x"]) == [{"@user": "ann"}]
    query = 'FIELDS @message | PARSE @message "* [*] *" as at, kind, said | FILTER kind IN ["ERROR", "INFO"]'
    query += ' | DISPLAY said, kind = "ERROR" as isError'
    assert asked(query, ["1 [ERROR] a", "2 [INFO] b c", "3 [WARN] d"]) == [
        {"said": "b c", "isError": "0"},
        {"said": "a", "isError": "1"},
    ]


@given(st.lists(st.text("ab ", max_size=3), min_size=2, max_size=4), st.text("ab ", max_size=14))
def test_globs_take_what_regexes_would(pieces: list[str], given_text: str) -> None:
    """Each wildcard takes as little as may be, the last one at the end the rest."""
    names = [f"f{number}" for number in range(len(pieces) - 1)]
    query = f"parse @message {json.dumps('*'.join(pieces))} as {', '.join(names)} | display {', '.join(names)}"
    expression = re.escape(pieces[0])
    for number, piece in enumerate(pieces[1:], 1):
        is_rest = number == len(pieces) - 1 and not piece
        expression += "(.*)" if is_rest else "(.*?)" + re.escape(piece)
    match = re.search(expression, given_text, re.DOTALL)
    assert asked(query, [given_text]) == [dict(zip(names, match.groups(), strict=True)) if match else {}]


NUMBERS = st.one_of(st.integers(-5, 5), st.sampled_from([0.25, 1e9, -2.5]))
ROWS = st.lists(
    st.fixed_dictionaries({}, optional={"g": st.sampled_from(["a", "b", "c9", "c10"]), "n": NUMBERS}), max_size=25
)


def near(shown: str | None, wanted: float | None) -> bool:
    if shown is None or wanted is None:
        return shown is wanted
    return math.isclose(float(shown), wanted, rel_tol=1e-9, abs_tol=1e-9)


@given(ROWS, st.integers(1, 100))
def test_stats_against_the_standard_library(rows: list[dict[str, Any]], percent: int) -> None:
    """Every aggregation by group, over numbers that may be missing."""
    query = (
        "stats count(*) as all, count(n) as some, count_distinct(n) as kinds, sum(n) as total, avg(n) as mean,"
        f" min(n) as low, max(n) as high, stddev(n) as spread, pct(n, {percent}) as pct, earliest(n) as first,"
        " latest(n) as last, max(n) - min(n) as width, width * 2 as double by g"
    )
    groups: dict[Any, list[Any]] = {}
    for row in rows:
        groups.setdefault(row.get("g"), []).append(row.get("n"))
    found = {row.get("g"): row for row in asked(query, rows)}
    assert found.keys() == groups.keys()
    for group, members in groups.items():
        row, numbers = found[group], [each for each in members if each is not None]
        assert (row["all"], row["some"]) == (str(len(members)), str(len(numbers)))
        assert row["kinds"] == str(len({float(each) for each in numbers}))
        assert near(row.get("total"), math.fsum(numbers) if numbers else None)
        assert near(row.get("mean"), statistics.fmean(numbers) if numbers else None)
        assert near(row.get("low"), min(numbers, default=None))
        assert near(row.get("high"), max(numbers, default=None))
        assert near(row.get("spread"), statistics.pstdev(map(float, numbers)) if numbers else None)
        ordered = sorted(numbers)
        assert near(row.get("pct"), ordered[math.ceil(percent / 100 * len(ordered)) - 1] if ordered else None)
        assert near(row.get("first"), numbers[0] if numbers else None)
        assert near(row.get("last"), numbers[-1] if numbers else None)
        assert near(row.get("width"), max(numbers) - min(numbers) if numbers else None)
        assert near(row.get("double"), 2 * (max(numbers) - min(numbers)) if numbers else None)


@given(ROWS, st.booleans(), st.booleans(), st.integers(1, 30))
def test_sort_and_limit_give_the_first_in_order(
    rows: list[dict[str, Any]], by_group_down: bool, by_number_down: bool, count: int
) -> None:
    """Stable in two directions: text in natural order, what is missing below everything else."""
    order = {None: 0, "a": 1, "b": 2, "c9": 3, "c10": 4}
    numbered = [{**row, "i": number} for number, row in enumerate(rows)]
    expected = numbered[::-1]
    expected.sort(key=lambda row: row.get("n", -math.inf) * (-1 if by_number_down else 1))
    expected.sort(key=lambda row: -order[row.get("g")] if by_group_down else order[row.get("g")])
    query = f"fields i | sort g {'desc' if by_group_down else 'asc'}, n {'desc' if by_number_down else ''}"
    assert values(f"{query} | limit {count}", numbered, "i") == [str(row["i"]) for row in expected[:count]]
    assert values(query, numbered, "i") == [str(row["i"]) for row in expected]


@given(ROWS, st.booleans())
def test_dedup_keeps_the_first_in_order(rows: list[dict[str, Any]], oldest: bool) -> None:
    """One for each set of values, the latest unless the query sorts; those that lack a value all stay."""
    numbered = [{**row, "i": number} for number, row in enumerate(rows)]
    seen: set[Any] = set()
    expected = []
    for row in numbered if oldest else numbered[::-1]:
        key = (row.get("g"), row.get("n"))
        if None in key or key not in seen:
            seen.add(key)
            expected.append(str(row["i"]))
    query = f"fields i | sort @timestamp {'asc' if oldest else 'desc'} | dedup g, n"
    assert values(query, numbered, "i") == expected
    assert values(query + " | limit 2", numbered, "i") == expected[:2]


TREES = st.recursive(
    st.tuples(
        st.sampled_from(["n", "g"]), st.sampled_from(["=", "!=", "<", ">="]), st.sampled_from(["1", "'a'", "-2"])
    ),
    lambda inner: st.one_of(st.tuples(inner, st.sampled_from(["and", "or"]), inner), st.tuples(st.just("not"), inner)),
    max_leaves=5,
)


def written(tree: Any) -> str:
    if tree[0] == "not":
        return f"not ({written(tree[1])})"
    if isinstance(tree[0], tuple):
        return f"({written(tree[0])} {tree[1]} {written(tree[2])})"
    return " ".join(tree)


def holds(tree: Any, row: dict[str, Any]) -> bool:
    if tree[0] == "not":
        return not holds(tree[1], row)
    if isinstance(tree[0], tuple):
        return (all if tree[1] == "and" else any)(holds(each, row) for each in (tree[0], tree[2]))
    name, sign, right = tree
    value = row.get(name)
    if value is None:
        return bool(sign == "!=")
    wanted: Any = right.strip("'") if right.startswith("'") else int(right)
    if isinstance(value, str) or isinstance(wanted, str):
        value, wanted = str(value), str(wanted)
        if isinstance(row[name], float) and row[name].is_integer():
            value = str(int(row[name]))
    return bool({"=": value == wanted, "!=": value != wanted, "<": value < wanted, ">=": value >= wanted}[sign])


@given(TREES, ROWS)
def test_filters_hold_as_their_trees_say(tree: Any, rows: list[dict[str, Any]]) -> None:
    """Any tree of conditions, against an evaluation that knows the tree."""
    numbered = [{**row, "i": number} for number, row in enumerate(rows)]
    expected = [str(row["i"]) for row in numbered[::-1] if holds(tree, row)]
    assert values(f"filter {written(tree)} | fields i", numbered, "i") == expected


def test_groups_of_time() -> None:
    """By a period, with what the query says as the columns' names; a second stats goes over the first one's groups."""
    events = [event({"n": number}, at_ms=START_MS + number * 60_000, number=number) for number in range(12)]
    rows = asked("stats count(*), avg(n) by bin(5m)", events)
    assert sorted(rows, key=lambda row: row["bin(5m)"]) == [
        {"bin(5m)": "2023-11-14 22:10:00.000", "count(*)": "2", "avg(n)": "0.5"},
        {"bin(5m)": "2023-11-14 22:15:00.000", "count(*)": "5", "avg(n)": "4"},
        {"bin(5m)": "2023-11-14 22:20:00.000", "count(*)": "5", "avg(n)": "9"},
    ]
    query = "stats count(*) as c by bin(5m) as t | sort t desc | limit 2 | stats max(c) as m, latest(c) as l"
    assert asked(query, events) == [{"m": "5", "l": "5"}]
    assert asked("filter n > 100 | stats count(*), sum(n)", events) == [{"count(*)": "0"}]
    assert asked("filter n > 100 | stats count(*) by n", events) == []


def test_comments_and_case() -> None:
    """Lines that begin with # are ignored, and keywords have no case."""
    query = "Fields n as x # the number\n  # | filter n = 7\n | SORT x DESC\n | Limit 1"
    assert asked(query, [{"n": number} for number in range(3)]) == [{"x": "2"}]
    assert computed("'# | \"'") == '# | "'


def test_the_last_display_counts() -> None:
    """Fields of all `fields` commands are shown, or those of the last `display`."""
    row: dict[str, Any] = {"a": 1, "b": 2, "c": 3}
    assert asked("fields a | fields b as d, a", [row]) == [{"a": "1", "d": "2"}]
    assert asked("fields a | display b | display c", [row]) == [{"c": "3"}]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "unexpected symbol found <EOF> at line 1 and position 0"),
        ("fields a |", "unexpected symbol found <EOF> at line 1 and position 10"),
        ("fields a,\n | limit 3", "unexpected symbol found | at line 2 and position 1"),
        ("filter (a = 1", "unexpected symbol found <EOF> at line 1 and position 13"),
        ("filter a = 1)", "unexpected symbol found ) at line 1 and position 12"),
        ("count(*)", "unexpected symbol found count at line 1 and position 0"),
        ("pattern a | pattern b", "at most one pattern command is allowed"),
        ("unmask @message", "Portside does not implement the command unmask"),
        ("fields jsonParse(@message) as x", "Portside does not implement the function jsonParse"),
        ("fields nothing(a)", "unknown function nothing"),
        ("fields abs(a, b)", "invalid number of arguments for abs"),
        ("fields sum(a)", "the aggregation function sum is allowed in stats only"),
        ("stats sum(avg(a))", "the aggregation function avg is allowed in stats only"),
        ("stats a by b", "stats needs an aggregation function"),
        ("stats count(*) | stats count(*) | stats count(*)", "at most 2 stats commands are allowed"),
        ("limit 0", "the limit is a number from 1 to 100000"),
        ('parse @message "a*b*" as x', "the number of wildcards and of names differ"),
        ("parse @message /a(?<b>.)(c)/", "the number of groups and of names differ"),
        ("filter a like /(/", "invalid regular expression: missing ), unterminated subpattern at position 0"),
        ("filter a like /b", "a regular expression is not closed"),
        ("filter a = 'b", "a quote is not closed"),
        ("filter " + "(" * 50 + "a" + ")" * 50, "the query is nested too deep"),
        ("fields " + "+".join("1" * 500), "the expression is too long"),
        ("stats pct(a, 101)", "unexpected symbol found 101 at line 1 and position 13"),
        ("stats count(*) by bin(5 parsecs)", "unexpected symbol found 5 at line 1 and position 22"),
    ],
)
def test_malformed(query: str, said: str) -> None:
    """What is no query, and what is not built, is refused before anything is read."""
    with pytest.raises(Malformed) as caught:
        Query(query)
    assert caught.value.message == said
    assert 0 <= caught.value.start <= caught.value.end <= len(query)


@given(st.text("fields ilter|stcouny()[]=<>!'\"/@,`.*#\\n0123+-%^~", max_size=40))
def test_anything_is_a_query_or_malformed(query: str) -> None:
    """No text makes the parser or a run fail otherwise."""
    for text in (query, f"fields {query}", f"filter {query} | sort {query}", f"stats count(*) by {query}"):
        try:
            run = Query(text)
        except Malformed:
            continue
        for each in (event(DOCUMENT), event("text", 1)):
            run.take(each)
        run.rows()


def test_long_conditions() -> None:
    """Hundreds of alternatives are no nesting."""
    condition = " or ".join(f"n = {number}" for number in range(600))
    assert len(asked(f"filter {condition}", [{"n": 599}, {"n": 600}])) == 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Percentiles and distinct values of very many are near; very many groups end the query."""
    monkeypatch.setattr(insights_query_function, "EXACT_MOST", 500)
    events = [event(str(number), number) for number in range(20_000)]
    (row,) = asked("stats pct(@message, 90) as p, count_distinct(@message) as d", events)
    assert abs(float(row["p"]) / 18_000 - 1) < 0.02
    assert abs(float(row["d"]) / 20_000 - 1) < 0.25
    monkeypatch.setattr("portside.domain.insights_query.GROUPS_MOST", 100)
    for query in ("stats count(*) by @message", "dedup @message"):
        with pytest.raises(TooMany):
            asked(query, events)


def test_the_newest_are_enough_where_nothing_is_sorted() -> None:
    """A query that wants the latest, or the earliest, few is done when it has them."""
    for query, is_first in (("limit 2", False), ("sort @timestamp asc | limit 2", True)):
        run = Query(query)
        assert run.wants_oldest_first is is_first
        for number in range(2):
            assert not run.is_satisfied
            run.take(event("x", number))
        assert run.is_satisfied
    assert not Query("sort @message | limit 2").is_satisfied


@given(st.integers(-(10**14), 10**14), st.integers(1, 90), st.sampled_from(["s", "m", "h", "d", "w", "mo", "q", "y"]))
def test_periods_hold_their_times(ms: int, amount: int, unit: str) -> None:
    """A time is not before its floor nor after its ceiling, and both are floors themselves."""
    at = event("", at_ms=ms)
    run = Query(
        f"fields toMillis(datefloor(@timestamp, {amount}{unit})) as low,"
        f" toMillis(dateceil(@timestamp, {amount}{unit})) as high,"
        f" toMillis(datefloor(dateceil(@timestamp, {amount}{unit}), {amount}{unit})) as again"
    )
    run.take(at)
    shown = dict(run.rows()[0])
    if "low" not in shown or "high" not in shown:
        assert unit in ("mo", "q", "y")  # before the year 1 or after 9999
        return
    assert int(shown["low"]) <= ms <= int(shown["high"])
    assert shown["again"] == shown["high"]


def test_months_are_of_the_calendar() -> None:
    """In UTC."""
    at = datetime(2024, 2, 29, 23, 59, 59, 999000, tzinfo=UTC)
    shown = asked("fields bin(1mo) as m, dateceil(@timestamp, 1mo) as n", [event("", at_ms=int(at.timestamp() * 1000))])
    assert shown == [{"m": "2024-02-01 00:00:00.000", "n": "2024-03-01 00:00:00.000"}]
