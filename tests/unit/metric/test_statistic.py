"""Statistics of points against plain arithmetic over the samples."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain.metric import check_statistic, merged, point_of, statistic
from portside.domain.refusal import Refused

VALUES = st.lists(st.integers(-1000, 1000).map(float), min_size=1, max_size=100)


def point(values: list[float]):  # type: ignore[no-untyped-def]
    return point_of((value, 1.0) for value in values)


@given(VALUES)
def test_plain_statistics(values: list[float]) -> None:
    """Count, sum, extremes and mean are those of the samples."""
    found = point(values)
    assert statistic(found, "SampleCount") == len(values)
    assert statistic(found, "Sum") == pytest.approx(math.fsum(values))
    assert (statistic(found, "Minimum"), statistic(found, "Maximum")) == (min(values), max(values))
    assert statistic(found, "Average") == pytest.approx(statistics.fmean(values))


@given(VALUES, st.integers(0, 100))
def test_percentiles(values: list[float], percent: int) -> None:
    """The nearest-rank percentile of the sorted samples."""
    rank = max(1, math.ceil(percent / 100 * len(values) - 1e-9))
    assert statistic(point(values), f"p{percent}") == sorted(values)[rank - 1]


@given(VALUES, st.integers(-1000, 1000), st.integers(1, 500))
def test_ranges_of_values(values: list[float], low: int, width: int) -> None:
    """Counts, sums, ranks and trimmed means between two values: above the lower and not above the upper."""
    high = low + width
    inside = [each for each in values if low < each <= high]
    found = point(values)
    assert statistic(found, f"TC({low}:{high})") == len(inside)
    assert statistic(found, f"TS({low}:{high})") == pytest.approx(math.fsum(inside))
    assert statistic(found, f"PR({low}:{high})") == pytest.approx(100 * len(inside) / len(values))
    mean = statistic(found, f"TM({low}:{high})")
    assert mean == (pytest.approx(statistics.fmean(inside)) if inside else None)


@given(VALUES)
def test_trimmed_to_the_whole(values: list[float]) -> None:
    """All of the samples trimmed to all of them are themselves."""
    found = point(values)
    assert statistic(found, "tm100") == pytest.approx(statistics.fmean(values))
    assert statistic(found, "wm(0%:100%)") == pytest.approx(statistics.fmean(values))


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_merging_is_as_if_put_together(several: list[list[float]]) -> None:
    """Points of parts, merged, are the point of the whole."""
    whole, parts = point([each for values in several for each in values]), merged(point(each) for each in several)
    for name in ("SampleCount", "Sum", "Minimum", "Maximum", "p50", "p99"):
        assert statistic(parts, name) == pytest.approx(statistic(whole, name))


@given(st.lists(st.floats(0.001, 1e9), min_size=200, max_size=400, unique=True))
def test_many_values_are_near(values: list[float]) -> None:
    """Beyond a hundred and fifty distinct values percentiles are within one part in a hundred; the rest stays exact."""
    found = point(values)
    exact = sorted(values)[math.ceil(0.9 * len(values)) - 1]
    assert statistic(found, "p90") == pytest.approx(exact, rel=0.011)
    assert statistic(found, "Sum") == pytest.approx(math.fsum(values))
    assert (statistic(found, "Minimum"), statistic(found, "Maximum")) == (min(values), max(values))


@pytest.mark.parametrize("name", ["p101", "p", "avg", "tm", "TM(10:5)", "PR(10%:20%)", "tm(:150%)", "pr50", "x99"])
def test_what_is_no_statistic(name: str) -> None:
    """Names that AWS does not know are refused."""
    with pytest.raises(Refused):
        check_statistic(name)


@pytest.mark.parametrize(
    "name", ["p0", "p99.9", "p100", "tm90", "TM(10%:90%)", "TM(:90%)", "tc(5:10)", "PR(:300)", "IQM"]
)
def test_what_is_one(name: str) -> None:
    """Names that AWS knows are not refused."""
    check_statistic(name)


@given(VALUES, st.integers(0, 99), st.integers(1, 100))
def test_ranges_of_percent(values: list[float], low: int, width: int) -> None:
    """Trimmed and winsorized means, counts and sums between two percentages, against a list that has each sample a
    hundred times: so both bounds fall between two of its members, also where they cut a sample."""
    high = min(low + width, 100)
    many = sorted(value for value in values for _ in range(100))
    inside = many[low * len(values) : high * len(values)]
    bounded = [min(max(each, inside[0]), inside[-1]) for each in many]
    found, bounds = point(values), f"({low}%:{high}%)"
    assert statistic(found, f"TM{bounds}") == pytest.approx(statistics.fmean(inside), abs=1e-6)
    assert statistic(found, f"WM{bounds}") == pytest.approx(statistics.fmean(bounded), abs=1e-6)
    assert statistic(found, f"TC{bounds}") == pytest.approx(len(inside) / 100)
    assert statistic(found, f"TS{bounds}") == pytest.approx(math.fsum(inside) / 100, abs=1e-6)
    assert statistic(found, f"tm{high}") == pytest.approx(statistics.fmean(many[: high * len(values)]), abs=1e-6)
    middle = many[25 * len(values) : 75 * len(values)]
    assert statistic(found, "IQM") == pytest.approx(statistics.fmean(middle), abs=1e-6)
