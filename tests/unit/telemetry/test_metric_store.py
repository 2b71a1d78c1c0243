"""The metric store against a list of all that was put."""

import asyncio
import math
import sqlite3
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portside.domain.metric import MetricName, Point, Sample, point_of, statistic
from portside.domain.record import Scope
from portside.telemetry import metric as store_module
from portside.telemetry.interface import LogsUnavailable
from portside.telemetry.metric import SPANS, TIERS, SqliteMetricStore

SCOPES = [Scope(account="0", region="r"), Scope(account="1", region="r")]
METRICS = [MetricName(namespace="n", name=name, dimensions=(("d", value),)) for name in "ab" for value in "xy"]
START_S = 1_700_000_000 // 3600 * 3600
LONG_S = 4 * 3600
UNITS = ["None", "Percent"]

Run = Callable[[Callable[[SqliteMetricStore], Awaitable[None]]], None]

VALUES = st.dictionaries(st.sampled_from([0.0, -1.5, 2.0, 3.0, 1e9]), st.integers(1, 3), min_size=1, max_size=3)
PUTS = st.tuples(
    st.sampled_from(METRICS), st.integers(0, LONG_S - 1), st.sampled_from([1, 60]), VALUES, st.sampled_from(UNITS)
)
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(SCOPES), st.lists(PUTS, max_size=6)),
        st.tuples(st.just("roll up"), st.integers(0, 5 * 3600)),
        st.tuples(st.just("killed")),
        st.tuples(st.just("look"), st.sampled_from(SCOPES), st.sampled_from(METRICS)),
    ),
    max_size=12,
)
PERIODS = st.sampled_from([60, 300, 3600])


@settings(max_examples=60)
@given(
    DEEDS, PERIODS, st.integers(-1, LONG_S), st.integers(0, LONG_S), st.sampled_from([None, *UNITS]), st.integers(0, 20)
)
def test_points_are_what_was_put(
    deeds: list[tuple],
    period_s: int,
    start_s: int,
    long_s: int,
    unit: str | None,
    most: int,  # type: ignore[type-arg]
) -> None:
    """Whatever was folded, rolled up and read in between, and however often the daemon was killed: the points of a
    range are those of all samples in it, by scope, metric and unit."""
    # What is rolled up has the time of its minute, which may have begun before the range.
    first, last = START_S + start_s // period_s * period_s, START_S + -(-(start_s + long_s) // period_s) * period_s
    put: list[tuple[Scope, Sample]] = []

    async def test(path: Path) -> None:
        store, killed = SqliteMetricStore(path), list[SqliteMetricStore]()
        for deed in deeds:
            match deed:
                case ("put", scope, several):
                    samples = [_sample(*each) for each in several]
                    await store.put(scope, samples)
                    put.extend((scope, each) for each in samples)
                case ("roll up", later_s):
                    if period_s >= 60:
                        await store.roll_up(START_S + TIERS[0][1] + later_s)
                case ("killed",):
                    # What it has in memory is gone; a process that is dead writes nothing any more.
                    await store._worker.run(lambda db: None)
                    killed.append(store)
                    store = SqliteMetricStore(path)
                case (_, scope, metric):
                    await _points(store, scope, metric, first, last, period_s, unit)
        for scope in SCOPES:
            for metric in METRICS:
                found = await _points(store, scope, metric, first, last, period_s, unit)
                samples = [each for whose, each in put if whose == scope and each.metric == metric]
                _same(found, samples, first, last, period_s, unit)
            for name in ("SampleCount", "Sum", "Minimum", "Maximum", "Average", "p50", "tm10"):
                # All at once, and again when what was read is remembered.
                asked = [*METRICS, MetricName(namespace="n", name="none"), METRICS[0]]
                several = await store.statistics(
                    *(scope, asked, name), start_s=first, end_s=last, period_s=period_s, unit=unit
                )
                for metric, series in zip(asked, several, strict=True):
                    points = await _points(store, scope, metric, first, last, period_s, unit)
                    assert series == pytest.approx({at_s: statistic(point, name) for at_s, point in points.items()})
            named = await store.names(scope, namespace="n", name=None, since_s=START_S)
            assert named == sorted({each.metric for whose, each in put if whose == scope}, key=_order)
        for each in (*killed, store):
            await each.close()

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(store_module, "HEAD_MOST", most)
        patch.setattr(store_module, "DECODED_MOST", 20 * most)
        patch.setattr(store_module, "AT_ONCE", 2)
        asyncio.run(test(Path(folder) / "metrics.db"))


def _sample(metric: MetricName, after_s: int, resolution_s: int, values: dict[float, int], unit: str) -> Sample:
    point = point_of(((value, float(times)) for value, times in values.items()), unit)
    return Sample(metric=metric, at_s=START_S + after_s, point=point, resolution_s=resolution_s)


def _order(metric: MetricName) -> tuple[str, str]:
    return metric.name, str(metric.dimensions)


async def _points(
    store: SqliteMetricStore,
    scope: Scope,
    metric: MetricName,
    start_s: int,
    end_s: int,
    period_s: int,
    unit: str | None,
) -> Mapping[int, Point]:
    return await store.points(scope, metric, start_s=start_s, end_s=end_s, period_s=period_s, unit=unit)


def _same(
    found: Mapping[int, Point], samples: list[Sample], start_s: int, end_s: int, period_s: int, unit: str | None
) -> None:
    expected: dict[int, list[float]] = {}
    for sample in samples:
        at_s = int(sample.at_s // sample.resolution_s * sample.resolution_s)
        if start_s <= at_s < end_s and unit in (None, sample.point.unit):
            values = [value for value, times in sample.point.values.items() for _ in range(int(times))]
            expected.setdefault(at_s // period_s * period_s, []).extend(values)
    assert list(found) == sorted(expected)
    for at_s, values in expected.items():
        point = found[at_s]
        assert statistic(point, "SampleCount") == len(values)
        assert statistic(point, "Sum") == pytest.approx(math.fsum(values))
        assert statistic(point, "Average") == pytest.approx(statistics.fmean(values))
        assert (statistic(point, "Minimum"), statistic(point, "Maximum")) == (min(values), max(values))
        assert statistic(point, "p50") == sorted(values)[math.ceil(len(values) / 2) - 1]
        if unit is not None:
            assert point.unit == unit


def test_points_of_an_earlier_portside(tmp_path: Path) -> None:
    """A file with a row for each point is taken over: every point is there, as it was, and the old table is gone."""
    path = tmp_path / "metrics.db"

    async def test() -> None:
        store = SqliteMetricStore(path)
        await store.put(SCOPES[0], [_sample(METRICS[0], 7200, 60, {5.0: 1}, "Percent")])
        with sqlite3.connect(path) as db:
            db.execute(
                "CREATE TABLE point (metric_id INTEGER, tier INTEGER, at_s INTEGER, unit TEXT, count REAL, total REAL,"
                " least REAL, most REAL, sample_values TEXT)"
            )
            db.executemany(
                "INSERT INTO point VALUES (1, ?, ?, 'Percent', ?, ?, ?, ?, ?)",
                [
                    (1, START_S, 1.0, 2.0, 2.0, 2.0, "[[2.0, 1.0]]"),
                    (60, START_S + 3600, 3.0, 9.0, 1.0, 5.0, "[[1.0, 1.0], [3.0, 1.0], [5.0, 1.0]]"),
                    (60, START_S + 3660, 9.0, 90.0, 1.0, 20.0, "[]"),
                ],
            )
        db.close()
        points = await _points(store, SCOPES[0], METRICS[0], START_S, START_S + LONG_S, 60, None)
        assert {at_s - START_S: (each.count, each.total, each.least, each.most) for at_s, each in points.items()} == {
            0: (1.0, 2.0, 2.0, 2.0),
            3600: (3.0, 9.0, 1.0, 5.0),
            3660: (9.0, 90.0, 1.0, 20.0),
            7200: (1.0, 5.0, 5.0, 5.0),
        }
        assert points[START_S + 3600].values == {1.0: 1.0, 3.0: 1.0, 5.0: 1.0}
        await store.close()
        with sqlite3.connect(path) as db:
            assert not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'point'").fetchall()
        db.close()

    asyncio.run(test())


def test_a_full_disk(tmp_path: Path) -> None:
    """What is refused is refused whole; what was put before is there, what is put with room again comes to it, also of
    metrics that were first named in what was refused."""

    async def test() -> None:
        store = SqliteMetricStore(tmp_path / "metrics.db")
        scope, kept = SCOPES[0], 0

        def named(number: int) -> list[Sample]:
            metrics = [MetricName(namespace="n", name=f"{number}-{each}") for each in range(50)]
            return [_sample(each, number, 60, {float(number): 1}, "None") for each in metrics]

        await store.put(scope, named(0))

        def limit(pages: int) -> Callable[[sqlite3.Connection], None]:
            return lambda db: db.execute(f"PRAGMA max_page_count = {pages}") and None

        await store._worker.run(limit(40))

        async def fill() -> None:
            nonlocal kept
            while True:
                await store.put(scope, named(kept + 1))
                kept += 1

        with pytest.raises(LogsUnavailable, match="full"):
            await fill()
        names = await store.names(scope, namespace=None, name=None, since_s=0)
        assert len(names) == 50 * (kept + 1)
        await store._worker.run(limit(10_000))
        await store.put(scope, named(kept + 2))
        await store.put(scope, named(kept + 1))
        await store.roll_up(START_S + 100)
        for number in range(kept + 3):
            for metric in (each.metric for each in named(number)):
                points = await _points(store, scope, metric, START_S, START_S + 3600, 60, None)
                assert {each.total for each in points.values()} == {float(number)}
        await store.close()

    asyncio.run(test())


def test_of_a_tier_at_a_time(tmp_path: Path) -> None:
    """Samples of a second become points of a minute after three hours, with their values; the seconds are gone."""

    async def test() -> None:
        store = SqliteMetricStore(tmp_path / "metrics.db")
        samples = [_sample(METRICS[0], second, 1, {float(second): 1}, "None") for second in range(120)]
        await store.put(SCOPES[0], samples)
        await store.roll_up(START_S + 120 + TIERS[0][1] + SPANS[1])
        points = await _points(store, SCOPES[0], METRICS[0], START_S, START_S + 3600, 1, None)
        assert list(points) == [START_S, START_S + 60]
        assert statistic(points[START_S + 60], "p10") == 65.0
        await store.close()

    asyncio.run(test())
