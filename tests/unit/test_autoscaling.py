"""How many tasks there should be: one decision at a time, and its safety for any metrics."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from portside.domain.autoscaling import Policy, ScalableTarget, TrackedMetric, decide
from portside.domain.record import Scope, replace

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CPU = Policy(
    id="cpu",
    name="cpu",
    target=50.0,
    metric=TrackedMetric(predefined="ECSServiceAverageCPUUtilization"),
    created_at=NOW,
)
TARGET = ScalableTarget(
    scope=Scope(account="0" * 12, region="r"),
    id="t",
    cluster="prod",
    service="web",
    minimum=2,
    maximum=10,
    role_arn="role",
    policies=(CPU,),
    created_at=NOW,
)


def count(desired: int, values: Sequence[float | None], target: ScalableTarget = TARGET) -> int | None:
    found = decide(target, desired, {"cpu": values}, now=NOW)
    return found.desired if found is not None else None


def test_out_in_proportion() -> None:
    """Three minutes above the target: as many as bring the metric back to it, one at least, the maximum at most."""
    assert count(4, [90.0] * 3) == 8
    assert count(4, [51.0] * 3) == 5
    assert count(4, [500.0] * 3) == 10
    assert count(10, [500.0] * 3) is None
    assert count(4, [90.0, 90.0, 49.0]) is None
    assert count(4, [90.0, None, 90.0]) is None
    assert count(4, [90.0] * 2) is None


def test_in_slowly() -> None:
    """Fifteen minutes well below: as many as the busiest of them needs, at least the minimum."""
    assert count(8, [20.0] * 15) == 4
    assert count(8, [20.0] * 14 + [30.0]) == 5
    assert count(8, [1.0] * 15) == 2
    assert count(8, [46.0] * 15) is None
    assert count(8, [20.0] * 14) is None
    assert count(2, [1.0] * 15) is None


def test_cooldowns() -> None:
    """After a change out nothing goes out for its cooldown; nothing goes in after any change for the other's."""
    recent, long_ago = NOW - timedelta(seconds=100), NOW - timedelta(seconds=301)
    assert count(4, [90.0] * 3, replace(TARGET, out_at=recent)) is None
    assert count(4, [90.0] * 3, replace(TARGET, out_at=long_ago)) == 8
    assert count(4, [90.0] * 3, replace(TARGET, in_at=recent)) == 8
    assert count(8, [20.0] * 15, replace(TARGET, out_at=recent)) is None
    assert count(8, [20.0] * 15, replace(TARGET, out_at=long_ago)) == 4


def test_several_policies() -> None:
    """The one that wants most goes out; in only if all agree, to what the neediest wants."""
    memory = replace(CPU, id="memory", name="memory", target=80.0)
    both = replace(TARGET, policies=(CPU, memory))

    def decided(cpu: list[float], memory: list[float], target: ScalableTarget = both) -> int | None:
        found = decide(target, 4, {"cpu": cpu, "memory": memory}, now=NOW)
        return found.desired if found is not None else None

    assert decided([60.0] * 15, [160.0] * 15) == 8
    assert decided([1.0] * 15, [79.0] * 15) is None
    assert decided([12.0] * 15, [60.0] * 15) == 3
    keeps = replace(both, policies=(CPU, replace(memory, disable_scale_in=True)))
    assert decided([1.0] * 15, [79.0] * 15, keeps) == 2
    assert decided([90.0] * 15, [1.0] * 15, replace(both, suspended=("out",))) is None


def test_the_cause_is_told() -> None:
    """In the words of AWS's activities."""
    found = decide(TARGET, 4, {"cpu": [90.0] * 3}, now=NOW)
    assert found is not None
    assert found.cause == (
        "monitor alarm TargetTracking-service/prod/web-AlarmHigh-cpu in state ALARM triggered policy cpu"
    )


@given(
    st.integers(0, 20),
    st.lists(st.one_of(st.none(), st.floats(0, 1000)), max_size=15),
    st.integers(0, 10),
    st.integers(0, 10),
)
def test_any_metrics(desired: int, values: list[float | None], low: int, high: int) -> None:
    """Whatever the metrics say, the count goes out only towards the maximum and in only towards the minimum."""
    low, high = min(low, high), max(low, high)
    found = decide(replace(TARGET, minimum=low, maximum=high), desired, {"cpu": values}, now=NOW)
    if found is not None and found.direction == "out":
        assert desired < found.desired <= high
    elif found is not None:
        assert low <= found.desired < desired
