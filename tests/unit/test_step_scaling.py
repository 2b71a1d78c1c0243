"""Step scaling against the rules and examples of AWS's guide."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain import step_scaling
from portside.domain.autoscaling import ScalableTarget, Step, StepPolicy
from portside.domain.record import Scope, replace
from portside.domain.refusal import Refused
from portside.domain.step_scaling import Breach, adjusted, decide

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def policy(*steps: tuple[float | None, float | None, int], **changes: Any) -> StepPolicy:
    found = tuple(Step(lower=low, upper=high, adjustment=by) for low, high, by in steps)
    given = {"adjustment": "PercentChangeInCapacity"} | changes
    return StepPolicy(id="p", name="steps", steps=found, created_at=NOW, **given)


OUT = policy((0, 10, 0), (10, 20, 10), (20, None, 30))
IN = policy((-10, 0, 0), (-20, -10, -10), (None, -20, -30))
TARGET = ScalableTarget(
    scope=Scope(account="0", region="r"),
    id="t",
    cluster="prod",
    service="web",
    minimum=1,
    maximum=100,
    role_arn="",
    step_policies=(OUT,),
    created_at=NOW,
)


@pytest.mark.parametrize(
    ("of", "count", "delta", "after"),
    [
        (OUT, 10, 9.9, 10),
        (OUT, 10, 10, 11),
        (OUT, 10, 25, 13),
        (IN, 10, -10, 9),
        (IN, 10, -9.9, 10),
        (IN, 10, -20, 7),
        (OUT, 10, -1, None),
        # Between 0 and 1 it is one; beyond, towards none.
        (policy((0, None, 5)), 10, 0, 11),
        (policy((0, None, 127)), 10, 0, 22),
        (policy((None, 0, -5)), 10, -1, 9),
        (policy((None, 0, -67)), 10, -1, 4),
        (policy((0, None, 25), minimum_magnitude=2), 4, 1, 6),
        (policy((0, None, 3), adjustment="ChangeInCapacity"), 4, 1, 7),
        (policy((None, 0, -30), adjustment="ChangeInCapacity"), 4, -1, 0),
        (policy((0, None, 9), adjustment="ExactCapacity"), 4, 1, 9),
    ],
)
def test_the_step_that_the_distance_falls_into(of: StepPolicy, count: int, delta: float, after: int | None) -> None:
    """Above the threshold a lower bound belongs to its step, below it the upper one; percentages are rounded as AWS
    rounds them."""
    assert adjusted(of, count, delta) == after


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (policy(), "between 1 and"),
        (policy((0, 10, 1), (20, None, 2)), "overlap or have a gap"),
        (policy((0, 10, 1), (5, None, 2)), "overlap or have a gap"),
        (policy((0, None, 1), (10, None, 2)), "overlap or have a gap"),
        (policy((0, 10, 1)), "positive upper bound"),
        (policy((-10, 0, 1)), "negative lower bound"),
        (policy((None, None, 1), (0, None, 1)), "both be null"),
        (policy((5, 5, 1)), "below its upper"),
        (policy((0, None, 1), adjustment="ChangeInCapacity", minimum_magnitude=1), "PercentChangeInCapacity only"),
        (policy((0, None, -1), adjustment="ExactCapacity"), "must not be negative"),
        (policy((0, None, 1), cooldown_s=-1), "cooldown"),
    ],
)
def test_refused(of: StepPolicy, words: str) -> None:
    """Steps that overlap, leave a gap or have no end where they need one are refused with the reason."""
    with pytest.raises(Refused, match=words):
        step_scaling.check(of)


def test_accepted() -> None:
    """The policies of AWS's guide; a single step without bounds covers all."""
    for each in (OUT, IN, policy((None, None, 10))):
        step_scaling.check(each)


def test_cooldown() -> None:
    """While the last step out settles, the next one counts from where that began: a larger one adds the difference, the
    same one nothing. In goes nothing until it is over."""

    def count(target: ScalableTarget, desired: int, delta: float, seconds: int) -> int | None:
        breach = Breach(policy_id="p", alarm="busy", state="ALARM", delta=delta)
        found = decide(target, desired, [breach], now=NOW + timedelta(seconds=seconds))
        return found.desired if found is not None else None

    assert count(TARGET, 10, 15, 0) == 11
    after = replace(TARGET, out_at=NOW, out_from=10)
    assert count(after, 11, 15, 60) is None
    assert count(after, 11, 25, 60) == 13
    assert count(after, 11, 15, 301) == 12
    inwards = replace(after, step_policies=(IN,))
    assert count(inwards, 11, -15, 60) is None
    assert count(inwards, 11, -15, 301) == 10
    assert count(replace(TARGET, suspended=("out",)), 10, 15, 0) is None


@given(st.integers(0, 50), st.floats(-1000, 1000), st.integers(0, 20), st.integers(0, 20), st.sampled_from([OUT, IN]))
def test_within_bounds(desired: int, delta: float, low: int, high: int, of: StepPolicy) -> None:
    """Whatever the distance, the count is changed only to one within the bounds."""
    low, high = min(low, high), max(low, high)
    target = replace(TARGET, minimum=low, maximum=high, step_policies=(of,))
    found = decide(target, desired, [Breach(policy_id="p", alarm="a", state="ALARM", delta=delta)], now=NOW)
    if found is not None:
        assert low <= found.desired <= high
        assert (found.direction == "out") is (found.desired > desired)
