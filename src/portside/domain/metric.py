"""Metrics: what a sample, a statistic set and a statistic are, and how points are merged. Pure.

A point keeps how often each value came, so that percentiles and trimmed statistics are exact for a few distinct values;
beyond that, values are kept to one part in a hundred, as a sparse histogram.

Source: CloudWatch user guide, "Statistics definitions"; API_MetricDatum, API_GetMetricStatistics.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from portside.domain.record import Record
from portside.domain.refusal import RefusalKind, Refused

EXACT_MOST: Final = 150
"""Distinct values of a point that are kept as they are. AWS takes as many in one datum."""
_STEP: Final = math.log(1.01)
VALUE_MOST: Final = 2.0**360
PLAIN: Final = ("SampleCount", "Sum", "Minimum", "Maximum", "Average")

_PERCENTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")
_RANGED: Final = re.compile(r"(tm|wm|tc|ts|pr|TM|WM|TC|TS|PR)(?:(\d{1,2}(?:\.\d{1,10})?|100)|\(([^:()]*):([^:()]*)\))")

Dimensions = tuple[tuple[str, str], ...]
"""Names and values, sorted by name."""


class MetricName(Record, frozen=True, kw_only=True):
    """What one series of values is called."""

    namespace: str
    name: str
    dimensions: Dimensions = ()


class Point(Record, frozen=True, kw_only=True):
    """All samples of one period. `values`: value -> how often; empty where only sums are known."""

    count: float = 0.0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    values: dict[float, float] = {}
    unit: str = "None"


class Sample(Record, frozen=True, kw_only=True):
    """A datum as it was put. `at_s`: seconds since 1970; `resolution_s`: 1 or 60."""

    metric: MetricName
    at_s: float
    point: Point
    resolution_s: int = 60


def dimensions_of(pairs: Mapping[str, str]) -> Dimensions:
    return tuple(sorted(pairs.items()))


def point_of(values: Iterable[tuple[float, float]], unit: str = "None") -> Point:
    """Of values with how often each came."""
    kept: dict[float, float] = {}
    for value, count in values:
        kept[value] = kept.get(value, 0.0) + count
    count = sum(kept.values())
    total = math.fsum(value * times for value, times in kept.items())
    return Point(
        count=count,
        total=total,
        least=min(kept, default=math.inf),
        most=max(kept, default=-math.inf),
        values=_coarse(kept),
        unit=unit,
    )


def point_of_samples(values: Sequence[float], unit: str) -> Point:
    """Of at least one sample, each by itself."""
    if len(values) == 1:
        value = values[0]
        return Point(count=1.0, total=value, least=value, most=value, values={value: 1.0}, unit=unit)
    kept = {value: float(times) for value, times in Counter(values).items()}
    return Point(
        count=float(len(values)),
        total=math.fsum(values),
        least=min(values),
        most=max(values),
        values=_coarse(kept),
        unit=unit,
    )


def merged(points: Iterable[Point]) -> Point:
    """One point of several; where one knows sums only, so does the whole."""
    count = total = 0.0
    least, most, unit = math.inf, -math.inf, ""
    values: dict[float, float] = {}
    has_values = True
    for point in points:
        if not point.count:
            continue
        count, total = count + point.count, total + point.total
        least, most = min(least, point.least), max(most, point.most)
        unit = point.unit if unit in ("", point.unit) else "None"
        has_values = has_values and bool(point.values)
        for value, times in point.values.items():
            values[value] = values.get(value, 0.0) + times
    return Point(
        count=count,
        total=total,
        least=least,
        most=most,
        values=_coarse(values) if has_values else {},
        unit=unit or "None",
    )


def _coarse(values: dict[float, float]) -> dict[float, float]:
    """Values to one part in a hundred, where there are too many distinct ones."""
    if len(values) <= EXACT_MOST:
        return values
    found: dict[float, float] = {}
    for value, times in values.items():
        near = math.copysign(math.exp(round(math.log(abs(value)) / _STEP) * _STEP), value) if value else 0.0
        found[near] = found.get(near, 0.0) + times
    return found


def check_statistic(name: str) -> None:
    """Raises Refused: it is none."""
    if name in PLAIN or name == "IQM" or _PERCENTILE.fullmatch(name):
        return
    match = _RANGED.fullmatch(name)
    if match is not None:
        try:
            _bounds(match)
            return
        except ValueError:
            pass
    raise Refused(RefusalKind.INVALID, f"The value {name} for parameter Stat is not supported.", "Stat")


def statistic(point: Point, name: str) -> float | None:
    """A statistic of a point; None where it has no samples, or only sums of them and that is not enough."""
    if not point.count:
        return None
    plain = {
        "SampleCount": point.count,
        "Sum": point.total,
        "Minimum": point.least,
        "Maximum": point.most,
        "Average": point.total / point.count,
    }.get(name)
    if plain is not None or name in PLAIN:
        return plain
    if not point.values:
        # AWS gives percentiles of a statistic set where it can hold one value only.
        return point.least if point.least == point.most and name[0] == "p" else None
    if (percentile := _PERCENTILE.fullmatch(name)) is not None:
        return _percentile(point, float(percentile[1]))
    match = _RANGED.fullmatch("tm(25%:75%)" if name == "IQM" else name)
    return _ranged(point, match) if match is not None else None


def _percentile(point: Point, percent: float) -> float:
    """The least value that so many percent of the samples do not exceed."""
    due = percent / 100 * point.count
    seen = 0.0
    for value in sorted(point.values):
        seen += point.values[value]
        if seen >= due - 1e-9:
            return min(max(value, point.least), point.most)
    return point.most


def _bounds(match: re.Match[str]) -> tuple[str, float, float, bool]:
    """Kind, lower and upper bound, and whether these are percentages. Raises ValueError."""
    kind = match[1].lower()
    if match[2] is not None:
        if kind == "pr":
            raise ValueError
        return kind, 0.0, float(match[2]), True
    low, high = match[3].strip(), match[4].strip()
    percent = low.endswith("%") or high.endswith("%")
    if kind == "pr" and percent:
        raise ValueError
    lower = float(low.rstrip("%")) if low else (0.0 if percent else -math.inf)
    upper = float(high.rstrip("%")) if high else (100.0 if percent else math.inf)
    if lower >= upper or (percent and not (lower >= 0 and upper <= 100)):
        raise ValueError
    return kind, lower, upper, percent


def _ranged(point: Point, match: re.Match[str]) -> float | None:
    kind, lower, upper, percent = _bounds(match)
    ordered = sorted(point.values.items())
    inside: list[tuple[float, float]] = []
    if percent:
        first, last = lower / 100 * point.count, upper / 100 * point.count
        seen = 0.0
        for value, times in ordered:
            share = min(seen + times, last) - max(seen, first)
            if share > 1e-9:
                inside.append((value, share))
            seen += times
    else:
        inside = [(value, times) for value, times in ordered if lower < value <= upper]
    count = sum(times for _, times in inside)
    match kind:
        case "tc":
            return count
        case "ts":
            return math.fsum(value * times for value, times in inside)
        case "pr":
            return 100 * count / point.count
        case "tm":
            return math.fsum(value * times for value, times in inside) / count if count else None
        case _:  # wm: what is outside counts as the bound it lies beyond
            if not inside:
                return None
            least, most = inside[0][0], inside[-1][0]
            total = math.fsum(min(max(value, least), most) * times for value, times in ordered)
            return total / point.count
