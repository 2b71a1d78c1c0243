"""Metrics from log events."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.control.metric_filters import MetricFilters
from portside.domain.log import LogEvent
from portside.domain.metric import MetricName, Point, Sample, statistic
from portside.domain.metric_filter import Extraction, MetricFilter, check
from portside.domain.record import Scope
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.table import METRIC_FILTER
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.telemetry.interface import LogsUnavailable
from portside.testing.clock import EPOCH, FakeClock

SCOPE = Scope(account="000000000000", region="us-east-1")
START_MS = int(EPOCH.timestamp() * 1000)


def filtered(pattern: str, value: str = "1", **changes: Any) -> MetricFilter:
    values: dict[str, Any] = {
        "scope": SCOPE,
        "group": "g",
        "name": "f",
        "pattern": pattern,
        "namespace": "App",
        "metric": "m",
        "value": value,
        "created_at": EPOCH,
    }
    return MetricFilter(**(values | changes))


def event(message: str, minute: float = 0) -> LogEvent:
    return LogEvent(at_ms=START_MS + int(minute * 60_000), message=message)


@given(
    st.lists(st.tuples(st.sampled_from([0, 0.5, 1, 2.9]), st.sampled_from([None, "x", -1, 0, 2.5, 1000])), max_size=20)
)
def test_values_are_summed_by_the_minute(events: list[tuple[float, Any]]) -> None:
    """Each number found counts once, in the minute of its event; what is no number is left out."""
    lines = [
        event(f'{{"took": {"null" if value is None else repr(value)}}}'.replace("'", '"'), at) for at, value in events
    ]
    samples, matched = Extraction(filtered("{ $.took = * }", "$.took")).samples(lines)
    for minute in (0, 1, 2):
        inside = [value for at, value in events if int(at) == minute]
        numbers = [value for value in inside if isinstance(value, int | float)]
        at_ms = START_MS + minute * 60_000
        point = next((each.point for each in samples if each.at_s * 1000 == at_ms), Point())
        assert statistic(point, "SampleCount") == (len(numbers) or None)
        assert (statistic(point, "Sum") or 0) == sum(numbers)
        assert (at_ms in matched) is any(value is not None for value in inside)


def test_dimensions_come_from_the_event() -> None:
    """Each set of values is a metric of its own; an event without one of them gives none."""
    told = filtered("[ip, user, status=4*, ...]", dimensions=(("status", "$status"), ("user", "$user")), unit="Count")
    samples, _ = Extraction(told).samples([event("::1 ann 404 x"), event("::1 ann 404"), event("::1 bob 410 y")])
    assert {(each.metric.dimensions, each.point.total, each.point.unit) for each in samples} == {
        ((("status", "404"), ("user", "ann")), 2.0, "Count"),
        ((("status", "410"), ("user", "bob")), 1.0, "Count"),
    }
    told = filtered("{ $.a = * }", "3", dimensions=(("b", "$.b.c"),))
    samples, matched = Extraction(told).samples([event('{"a": 1}'), event('{"a": 1, "b": {"c": 7}}')])
    assert [(each.metric.dimensions, each.point.total) for each in samples] == [((("b", "7"),), 3.0)]
    assert len(matched) == 1


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (filtered("{ $.a"), "If a filter pattern starts with '{' it must end with '}'"),
        (
            filtered("?ERROR ?WARN", dimensions=(("a", "$.a"),)),
            "The specified filter pattern does not support dimensions",
        ),
        (
            filtered("{ $.a = * }", dimensions=(("a", "$.a"),), default=0.0),
            "Invalid metric transformation: dimensions and default value are mutually exclusive properties.",
        ),
        (
            filtered("{ $.a = * }", dimensions=tuple((name, "$.a") for name in "abcd")),
            "Invalid metric transformation: at most 3 dimensions are allowed.",
        ),
        (
            filtered("[a, b]", "$c"),
            "Invalid metric transformation: $c is neither a number nor a field of the specified filter pattern.",
        ),
        (
            filtered("ERROR", "many"),
            "Invalid metric transformation: many is neither a number nor a field of the specified filter pattern.",
        ),
    ],
)
def test_refused(told: MetricFilter, said: str) -> None:
    """What a filter may not say."""
    with pytest.raises(Refused) as caught:
        check(told, ())
    assert caught.value.message == said


def test_a_group_has_so_many() -> None:
    """A hundred filters, of which five have regular expressions."""
    check(filtered("%a%"), [filtered("ERROR")] * 99)
    for others in ([filtered("ERROR")] * 100, [filtered("%b%")] * 5):
        with pytest.raises(Refused) as caught:
            check(filtered("%a%"), others)
        assert caught.value.kind is RefusalKind.LIMIT


class Kept:
    """A metric store that remembers what was put."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.is_full = False

    async def put(self, scope: Scope, samples: Sequence[Sample]) -> None:
        if self.is_full:
            raise LogsUnavailable("full")
        self.samples += samples

    def told(self) -> list[tuple[int, float]]:
        return [(round(each.at_s * 1000 - START_MS) // 60_000, each.point.total) for each in self.samples]


def test_a_default_is_told_of_a_minute_without_a_match() -> None:
    """Once, when the minute is over, and only if events came in it and none matched."""

    async def test() -> None:
        store, clock, kept = MemoryStore(), FakeClock(), Kept()
        filters: Any = MetricFilters(store, kept, clock)  # type: ignore[arg-type]
        store.transact(Put(METRIC_FILTER, filtered("ERROR", default=0.5)))
        store.transact(Put(METRIC_FILTER, filtered("ERROR", group="other", default=7.0)))
        await filters.take(SCOPE, "g", "s", [event("ok"), event("ok", 1), event("ERROR", 1.5), event("ok", 1.9)])
        await filters.take(SCOPE, "g", "s", [event("ok", 2), event("ok", 2)])
        assert kept.told() == [(1, 1.0)]
        wake_at = await filters._step("")
        assert kept.told() == [(1, 1.0)]
        assert wake_at == EPOCH + timedelta(seconds=5)
        clock.advance(185)
        assert await filters._step("") == EPOCH + timedelta(seconds=245)
        assert await filters._step("")
        assert kept.told() == [(1, 1.0), (0, 0.5), (2, 0.5)]
        assert kept.samples[0].metric == MetricName(namespace="App", name="m")

    asyncio.run(test())


def test_a_full_disk_loses_metrics_not_events() -> None:
    """What takes values from events never fails the events."""

    async def test() -> None:
        store, kept = MemoryStore(), Kept()
        kept.is_full = True
        store.transact(Put(METRIC_FILTER, filtered("ERROR")))
        await MetricFilters(store, kept, FakeClock()).take(SCOPE, "g", "s", [event("ERROR")])  # type: ignore[arg-type]

    asyncio.run(test())
