"""Metric math against Python's own arithmetic, and its functions one by one."""

import math
from typing import Any

import pytest
from hypothesis import given
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
