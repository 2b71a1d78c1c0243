"""When an alarm is one."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain import alarm as rule
from portside.domain.alarm import Alarm, AlarmQuery, State
from portside.domain.metric import MetricName
from portside.domain.record import Scope
from portside.domain.refusal import Refused

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
END_S = int(NOW.timestamp())


def alarm(**changes: Any) -> Alarm:
    metric = MetricName(namespace="shop", name="load")
    query = AlarmQuery(id="m1", metric=metric, statistic="Average", period_s=60)
    given = {"evaluation_periods": 3, "threshold": 50.0, "queries": (query,)} | changes
    return Alarm(
        scope=Scope(account="0", region="r"), name="a", updated_at=NOW, state_at=NOW, transitioned_at=NOW, **given
    )


def series(points: str) -> list[tuple[int, float | None]]:
    """0 does not breach, X does, - is missing; the newest is last."""
    values = {"0": 10.0, "X": 90.0, "-": None}
    found = [values[each] for each in points.split()]
    return [(END_S - 60 * (len(found) - index), value) for index, value in enumerate(found)]


def state(points: str, **changes: Any) -> str:
    found = rule.evaluate(alarm(**changes), series(points), now=NOW)
    return "retained" if found is None else found.state


@pytest.mark.parametrize(
    ("points", "needed", "missing", "ignore", "breaching", "not_breaching"),
    [
        ("0 - X - X", 3, "OK", "OK", "OK", "OK"),
        ("0 - - - -", 3, "OK", "OK", "OK", "OK"),
        ("- - - - -", 3, "INSUFFICIENT_DATA", "retained", "ALARM", "OK"),
        ("0 X X - X", 3, "ALARM", "ALARM", "ALARM", "ALARM"),
        ("- - X - -", 3, "ALARM", "retained", "ALARM", "OK"),
        ("0 - X - X", 2, "ALARM", "ALARM", "ALARM", "ALARM"),
        ("0 0 X 0 X", 2, "ALARM", "ALARM", "ALARM", "ALARM"),
        ("0 - X - -", 2, "OK", "OK", "ALARM", "OK"),
        ("- - - - 0", 2, "OK", "OK", "ALARM", "OK"),
        ("- - - X -", 2, "ALARM", "retained", "ALARM", "OK"),
        ("- - - - X", 3, "retained", "retained", "ALARM", "OK"),
        ("- - - X -", 3, "retained", "retained", "ALARM", "OK"),
    ],
)
def test_missing_data(points: str, needed: int, missing: str, ignore: str, breaching: str, not_breaching: str) -> None:
    """The tables of AWS's guide, and its examples of alarms that would be premature."""
    found = [
        state(points, datapoints_to_alarm=needed, missing=treatment)
        for treatment in ("missing", "ignore", "breaching", "notBreaching")
    ]
    assert found == [missing, ignore, breaching, not_breaching]


@given(st.lists(st.sampled_from([10.0, 50.0, 90.0]), min_size=5, max_size=5), st.integers(1, 3))
def test_enough_data(values: list[float], needed: int) -> None:
    """With all datapoints there the newest decide: an alarm if so many of them are above."""
    points = [(END_S - 60 * (5 - index), value) for index, value in enumerate(values)]
    found = rule.evaluate(alarm(datapoints_to_alarm=needed), points, now=NOW)
    assert found is not None
    assert found.state == ("ALARM" if sum(value > 50 for value in values[-3:]) >= needed else "OK")


def test_reasons() -> None:
    """Why, in AWS's words."""
    found = rule.evaluate(alarm(evaluation_periods=1), [(END_S - 60, 99.5)], now=NOW)
    assert found is not None
    assert found.reason == (
        "Threshold Crossed: 1 out of the last 1 datapoints [99.5 (01/03/26 11:59:00)] was greater than the threshold "
        "(50.0) (minimum 1 datapoint for OK -> ALARM transition)."
    )
    assert json.loads(found.reason_data) == {
        "version": "1.0",
        "queryDate": "2026-03-01T12:00:00.000+0000",
        "startDate": "2026-03-01T11:59:00.000+0000",
        "statistic": "Average",
        "period": 60,
        "recentDatapoints": [99.5],
        "threshold": 50.0,
    }
    found = rule.evaluate(alarm(datapoints_to_alarm=2), series("0 0 X"), now=NOW)
    assert found is not None
    assert found.reason == (
        "Threshold Crossed: 2 out of the last 3 datapoints [90.0 (01/03/26 11:59:00), 10.0 (01/03/26 11:58:00), 10.0 "
        "(01/03/26 11:57:00)] were not greater than the threshold (50.0) (minimum 2 datapoints for ALARM -> OK "
        "transition)."
    )
    for missing, reason in (
        ("missing", "Insufficient Data: 3 datapoints were unknown."),
        (
            "breaching",
            "Threshold Crossed: no datapoints were received for 3 periods and 3 missing datapoints were treated as "
            "[Breaching].",
        ),
    ):
        found = rule.evaluate(alarm(missing=missing), series("- - - - -"), now=NOW)
        assert found is not None
        assert found.reason == reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"datapoints_to_alarm": 4}, "DatapointsToAlarm"),
        ({"period_s": 45}, "multiple of 60"),
        ({"period_s": 300, "evaluation_periods": 289}, "more than a day"),
        ({"period_s": 3600, "evaluation_periods": 169}, "more than a week"),
        ({"threshold": float("nan")}, "finite"),
        ({"is_plain": False, "queries": ()}, "Exactly one"),
        ({"rule": "ALARM(a) AND"}, "syntax"),
    ],
)
def test_refused(changes: dict[str, Any], words: str) -> None:
    """What can not be evaluated is refused with the reason."""
    rule.check(alarm())
    with pytest.raises(Refused, match=words):
        rule.check(alarm(**changes))


# --- composite alarms

NAMES = st.sampled_from(["a", "b-1", "arn:aws:cloudwatch:r:0:alarm:c", "with space", 'qu"ote'])
STATES: tuple[State, ...] = ("OK", "ALARM", "INSUFFICIENT_DATA")
TREES = st.recursive(
    st.one_of(st.booleans(), st.tuples(st.sampled_from(STATES), NAMES)),
    lambda inner: st.one_of(st.tuples(st.just("NOT"), inner), st.tuples(st.sampled_from(["AND", "OR"]), inner, inner)),
    max_leaves=8,
)


def written(tree: Any) -> str:
    match tree:
        case bool():
            return str(tree).upper()
        case ("NOT", inner):
            return f"NOT ({written(inner)})"
        case (("AND" | "OR") as word, left, right):
            return f"(({written(left)}) {word} {written(right)})"
        case (state, name):
            escaped = name.replace('"', '\\"')
            return f'{state}("{escaped}")'
    raise AssertionError(tree)


def true_of(tree: Any, states: dict[str, State]) -> bool:
    match tree:
        case bool():
            return tree
        case ("NOT", inner):
            return not true_of(inner, states)
        case ("AND", left, right):
            return true_of(left, states) and true_of(right, states)
        case ("OR", left, right):
            return true_of(left, states) or true_of(right, states)
        case (state, name):
            return states[name] == state
    raise AssertionError(tree)


@given(TREES, st.data())
def test_rules(tree: Any, data: st.DataObject) -> None:
    """A rule is true where its tree is, whatever the states of the alarms in it."""
    text = written(tree)
    states = {name: data.draw(st.sampled_from(STATES)) for name in rule.names_in(text)}
    assert rule.holds(text, states.__getitem__) == true_of(tree, states)


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("ALARM(x) OR OK(y) AND NOT ALARM(x)", True),
        ("(ALARM(x) OR OK(y)) AND NOT ALARM(x)", False),
        ("alarm( 'x' ) and not insufficient_data(y)", True),
        ("NOT NOT FALSE", False),
    ],
)
def test_precedence(text: str, true: bool) -> None:
    """NOT binds most, OR least; words in any case, names with or without quotes."""
    states: dict[str, State] = {"x": "ALARM", "y": "OK"}
    assert rule.holds(text, states.__getitem__) is true


@pytest.mark.parametrize(
    "text", ["", "ALARM", "ALARM()", "ALARM(a) OK(b)", "(TRUE", "TRUE)", "XOR(a)", "(" * 200, "NOT"]
)
def test_broken_rules(text: str) -> None:
    """A rule that can not be read is refused, however deep it is."""
    with pytest.raises(Refused, match="AlarmRule"):
        rule.names_in(text)
