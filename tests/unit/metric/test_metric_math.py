"""Metric math against Python's own arithmetic, and its functions one by one."""

import itertools
import math
import operator
import statistics
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portside.domain.metric_math import Search, Series, evaluate, searches_in
from portside.domain.refusal import RefusalKind, Refused

A, B = {0: 1.0, 60: 4.0, 180: 9.0}, {0: 2.0, 120: 5.0, 180: 3.0}
TIMES = (0, 60, 120, 180)


def value(expression: str, **ids: Any) -> Any:
    return evaluate(expression, ids or {"a": A, "b": B}, period_s=60, times=TIMES)


NUMBER = st.integers(1, 20).map(str)
EXPRESSION = st.recursive(
    NUMBER,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(" ".join),
        inner.map(lambda each: f"({each})"),
        inner.map(lambda each: f"-({each})"),
    ),
    max_leaves=15,
)


@given(EXPRESSION)
def test_numbers(expression: str) -> None:
    """Precedence, associativity, signs and parentheses are those of arithmetic."""
    assert value(expression) == pytest.approx(float(eval(expression)))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a + b", {0: 3.0, 180: 12.0}),
        ("a * 2", {0: 2.0, 60: 8.0, 180: 18.0}),
        ("100 - a", {0: 99.0, 60: 96.0, 180: 91.0}),
        ("a / 0", {}),
        ("a ^ 2", {0: 1.0, 60: 16.0, 180: 81.0}),
        ("-a", {0: -1.0, 60: -4.0, 180: -9.0}),
        ("a > 3", {0: 0.0, 60: 1.0, 180: 1.0}),
        ("a > 3 && a < 5", {0: 0.0, 60: 1.0, 180: 0.0}),
        ("SUM(METRICS())", {0: 3.0, 60: 4.0, 120: 5.0, 180: 12.0}),
        ("AVG([a, b])", {0: 1.5, 60: 4.0, 120: 5.0, 180: 6.0}),
        ("MAX(METRICS('b'))", {0: 2.0, 120: 5.0, 180: 3.0}),
        ("SUM(a)", 14.0),
        ("MIN(a)", 1.0),
        ("METRIC_COUNT(METRICS())", 2.0),
        ("PERIOD(a)", 60.0),
        ("a / PERIOD(a)", {0: 1 / 60, 60: 4 / 60, 180: 9 / 60}),
        ("FILL(a, 0)", {0: 1.0, 60: 4.0, 120: 0.0, 180: 9.0}),
        ("FILL(a, REPEAT)", {0: 1.0, 60: 4.0, 120: 4.0, 180: 9.0}),
        ("FILL(a, LINEAR)", {0: 1.0, 60: 4.0, 120: 6.5, 180: 9.0}),
        ("DIFF(a)", {60: 3.0, 180: 5.0}),
        ("RATE(a)", {60: 3 / 60, 180: 5 / 120}),
        ("RUNNING_SUM(a)", {0: 1.0, 60: 5.0, 180: 14.0}),
        ("IF(a > 3, a, 0)", {0: 0.0, 60: 4.0, 180: 9.0}),
        ("IF(a > 3, a)", {60: 4.0, 180: 9.0}),
        ("CEIL(a / 2)", {0: 1.0, 60: 2.0, 180: 5.0}),
        ("LAST(METRICS())", B),
        ("TIME_SERIES(3)", dict.fromkeys(TIMES, 3.0)),
    ],
)
def test_series(expression: str, expected: Any) -> None:
    """Each operator and function on series with gaps."""
    assert value(expression) == expected


SERIES = st.dictionaries(st.sampled_from(TIMES), st.integers(-4, 4).map(float), max_size=4)
LEAVES = st.one_of(st.sampled_from(["a", "b"]), st.integers(0, 4).map(str))
OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "<": operator.lt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
TREES = st.recursive(LEAVES, lambda inner: st.tuples(inner, st.sampled_from(list(OPERATORS)), inner), max_leaves=6)


def written(tree: Any) -> str:
    return tree if isinstance(tree, str) else f"({written(tree[0])} {tree[1]} {written(tree[2])})"


def at(tree: Any, ids: dict[str, Any], time: int) -> float | None:
    """The oracle: a tree's value at one time; None where a part of it has none, or is divided by nothing."""
    if isinstance(tree, str):
        found = ids[tree].get(time) if tree in ids else float(tree)
        return None if found is None else float(found)
    left, right = at(tree[0], ids, time), at(tree[2], ids, time)
    if left is None or right is None or (tree[1] == "/" and right == 0):
        return None
    return float(OPERATORS[tree[1]](left, right))


@example(("a", "<", ("0", "/", "0")), {0: 0.0}, {})
@given(TREES, SERIES, SERIES)
def test_trees_of_series(tree: Any, a: dict[int, float], b: dict[int, float]) -> None:
    """Arithmetic and comparisons of series with gaps, time by time, against an evaluation that knows the tree."""
    text = written(tree)
    if not {"a", "b"} & set(text):
        return  # of numbers alone there is no series
    expected = {time: found for time in TIMES if (found := at(tree, {"a": a, "b": b}, time)) is not None}
    found = value(text, a=a, b=b)
    assert found == pytest.approx(expected)


@given(SERIES, SERIES, st.integers(-4, 4))
def test_functions_of_series(a: dict[int, float], b: dict[int, float], number: int) -> None:
    """Each function on any series, against plain Python."""
    times = sorted(a)
    steps = list(itertools.pairwise(times))
    both = {time: [each[time] for each in (a, b) if time in each] for time in sorted({*a, *b})}
    expected: dict[str, Any] = {
        "SUM([a, b])": {time: math.fsum(each) for time, each in both.items()},
        "AVG([a, b])": {time: statistics.fmean(each) for time, each in both.items()},
        "MIN([a, b])": {time: min(each) for time, each in both.items()},
        "MAX([a, b])": {time: max(each) for time, each in both.items()},
        "ABS(a)": {time: abs(each) for time, each in a.items()},
        "DIFF(a)": {after: a[after] - a[before] for before, after in steps},
        "RATE(a)": {after: (a[after] - a[before]) / (after - before) for before, after in steps},
        "RUNNING_SUM(a)": dict(zip(times, itertools.accumulate(a[time] for time in times), strict=True)),
        f"FILL(a, {number})": {time: a.get(time, float(number)) for time in TIMES},
        f"IF(a > {number}, a, b)": {
            time: found for time in times if (found := a[time] if a[time] > number else b.get(time)) is not None
        },
    }
    if a:
        expected |= {
            "SUM(a)": math.fsum(a.values()),
            "AVG(a)": statistics.fmean(a.values()),
            "MIN(a)": min(a.values()),
            "MAX(a)": max(a.values()),
            "STDDEV(a)": statistics.pstdev(a.values()),
        }
    else:
        del expected[f"FILL(a, {number})"]  # whether nothing can be filled is another question
    for text, wanted in expected.items():
        assert value(text, a=a, b=b) == pytest.approx(wanted), text


def test_deviation() -> None:
    """That of the population."""
    assert value("STDDEV(a)") == pytest.approx(
        math.sqrt(((1 - 14 / 3) ** 2 + (4 - 14 / 3) ** 2 + (9 - 14 / 3) ** 2) / 3)
    )


@pytest.mark.parametrize("expression", ["", "a +", "(a", "a b", "c + 1", "SUM()", "NOPE(a)", "a ? b", "(" * 200 + "1"])
def test_what_can_not_be_read(expression: str) -> None:
    """Broken expressions are told as that."""
    with pytest.raises(Refused) as caught:
        value(expression)
    assert caught.value.kind is RefusalKind.INVALID


def test_what_is_not_there() -> None:
    """Functions of AWS's that Portside does not have are named."""
    with pytest.raises(Refused, match="SERVICE_QUOTA") as caught:
        value("SERVICE_QUOTA(a)")
    assert caught.value.kind is RefusalKind.UNSUPPORTED


def test_searches() -> None:
    """Done before the expression is evaluated, and used in it as several series; not everywhere."""
    text = """SUM(SEARCH('{A,B} "x y" ', 'p99', 60)) + METRIC_COUNT(SEARCH( '{A}' ,'Sum' ))"""
    first, second = searches_in(text)
    assert first == ('{A,B} "x y" ', "p99", 60)
    assert second == ("{A}", "Sum", None)
    searched: dict[Search, list[Series]] = {first: [{0: 1.0}, {0: 2.0}], second: [{0: 5.0}]}
    assert evaluate(text, {}, period_s=60, times=[0], searched=searched) == {0: 4.0}
    with pytest.raises(Refused, match="SEARCH is not supported here"):
        evaluate(text, {}, period_s=60, times=[0])
    with pytest.raises(Refused, match="SEARCH takes"):
        evaluate("SEARCH(\"{A}\", 'Sum')", {}, period_s=60, times=[0], searched={})
