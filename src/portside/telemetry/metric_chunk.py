"""A metric's points of a span of time as columns, and how these are kept: transposed and compressed. Pure.

Most points are one sample: a time and a value. Others have how often each value came (domain/metric.py).
"""

import math
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from portside.domain.metric import Point, merged, point_of_samples, statistic

_LEVEL: Final = 1
_KeptColumn = tuple[str, bytes, bytes]
_KeptPoint = tuple[int, str, float, float, float, float, bytes, bytes]


class Column:
    """Samples of one unit, each of one value: times and values."""

    __slots__ = ("ats", "values")

    def __init__(self, ats: "array[int] | None" = None, values: "array[float] | None" = None) -> None:
        self.ats = array("q") if ats is None else ats
        self.values = array("d") if values is None else values

    def in_order(self) -> "tuple[Sequence[int], Sequence[float]]":
        """Times and values by time, as they nearly always are."""
        ats = self.ats.tolist()
        if ats == sorted(ats):
            return ats, self.values
        order = sorted(range(len(ats)), key=ats.__getitem__)
        return [ats[index] for index in order], [self.values[index] for index in order]


class Slice:
    """Points of one metric and tier, in no order; of one time and unit there may be several, which count together."""

    __slots__ = ("columns", "points")

    def __init__(self) -> None:
        self.columns: dict[str, Column] = {}
        self.points: list[tuple[int, Point]] = []

    def column(self, unit: str) -> Column:
        found = self.columns.get(unit)
        if found is None:
            found = self.columns[unit] = Column()
        return found

    def add(self, other: "Slice") -> None:
        for unit, column in other.columns.items():
            mine = self.column(unit)
            mine.ats.extend(column.ats)
            mine.values.extend(column.values)
        self.points += other.points

    def by_span(self, span_s: int) -> Mapping[int, "Slice"]:
        """What is in each span, by its start."""
        found: dict[int, Slice] = {}
        for unit, column in self.columns.items():
            for at_s, value in zip(column.ats, column.values, strict=True):
                start_s = at_s // span_s * span_s
                if start_s not in found:
                    found[start_s] = Slice()
                mine = found[start_s].column(unit)
                mine.ats.append(at_s)
                mine.values.append(value)
        for at_s, point in self.points:
            found.setdefault(at_s // span_s * span_s, Slice()).points.append((at_s, point))
        return found

    def by_period(
        self, period_s: int, *, start_s: int | None = None, end_s: int | None = None, unit: str | None = None
    ) -> dict[int, Point]:
        """One point a period; of what is in the range and of that unit alone, if they are given."""
        several: dict[int, list[Point]] = {}
        for each, column in self.columns.items():
            if unit is not None and each != unit:
                continue
            ats, values = column.in_order()
            index = 0 if start_s is None else bisect_left(ats, start_s)
            end = len(ats) if end_s is None else bisect_left(ats, end_s)
            while index < end:
                period = ats[index] // period_s * period_s
                last = index + 1
                if last < end and ats[last] < period + period_s:
                    last = bisect_left(ats, period + period_s, last, end)
                several.setdefault(period, []).append(point_of_samples(values[index:last], each))
                index = last
        for at_s, point in self.points:
            if (start_s is not None and at_s < start_s) or (end_s is not None and at_s >= end_s):
                continue
            if unit is None or point.unit == unit:
                several.setdefault(at_s // period_s * period_s, []).append(point)
        return {period: points[0] if len(points) == 1 else merged(points) for period, points in sorted(several.items())}

    def statistics(
        self, name: str, period_s: int, *, start_s: int, end_s: int, unit: str | None = None
    ) -> dict[int, float]:
        """A statistic of each period; those of sums and extremes straight from the samples, where all are samples."""
        way = _PLAIN_WAYS.get(name)
        chosen = [column for each, column in self.columns.items() if unit in (None, each)]
        if way is None or self.points or len(chosen) > 1:
            points = self.by_period(period_s, start_s=start_s, end_s=end_s, unit=unit)
            several = {at_s: statistic(point, name) for at_s, point in points.items()}
            return {at_s: value for at_s, value in several.items() if value is not None}
        found: dict[int, float] = {}
        for column in chosen:
            ats, values = column.in_order()
            index, end = bisect_left(ats, start_s), bisect_left(ats, end_s)
            while index < end:
                period = ats[index] // period_s * period_s
                last = bisect_left(ats, period + period_s, index + 1, end)
                found[period] = way(values[index:last])
                index = last
        return found

    @property
    def size(self) -> int:
        """How many samples; a point counts as many as it has values."""
        return sum(len(each.ats) for each in self.columns.values()) + sum(
            1 + len(point.values) for _, point in self.points
        )

    def rolled_up(self, period_s: int) -> "Slice":
        """With one point of a period and unit; times are those of the periods' starts."""
        found = Slice()
        units = [*self.columns, *(point.unit for _, point in self.points)]
        for unit in dict.fromkeys(units):
            for at_s, point in self.by_period(period_s, unit=unit).items():
                found.put(at_s, point)
        return found

    def put(self, at_s: int, point: Point) -> None:
        if point.count == 1.0 and len(point.values) == 1:
            column = self.column(point.unit)
            column.ats.append(at_s)
            column.values.append(point.least)
        else:
            self.points.append((at_s, point))

    @property
    def is_tidy(self) -> bool:
        """Whether it surely has no two points of one time and unit."""
        return not self.points and all(len(set(each.ats)) == len(each.ats) for each in self.columns.values())


_PLAIN_WAYS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "SampleCount": lambda values: float(len(values)),
    "Sum": math.fsum,
    "Minimum": min,
    "Maximum": max,
    "Average": lambda values: math.fsum(values) / len(values),
}


def encoded(part: Slice) -> bytes:
    columns: list[_KeptColumn] = [
        (unit, transposed(column.ats), transposed(column.values)) for unit, column in part.columns.items()
    ]
    points: list[_KeptPoint] = []
    for at_s, point in part.points:
        times = array("d", point.values.values())
        points.append(
            (
                *(at_s, point.unit, point.count, point.total, point.least, point.most),
                transposed(array("d", point.values)),
                b"" if all(each == 1.0 for each in times) else times.tobytes(),
            )
        )
    return packed((columns, points))


def decoded(content: bytes) -> Slice:
    columns, points = unpacked(content)
    found = Slice()
    for unit, ats, values in columns:
        found.columns[unit] = Column(restored("q", ats), restored("d", values))
    found.points = [(at_s, kept_point(*rest)) for at_s, *rest in points]
    return found


def kept_point(unit: str, count: float, total: float, least: float, most: float, values: bytes, times: bytes) -> Point:
    distinct: array[float] = restored("d", values)
    often: Iterable[float] = array("d", times) if times else (1.0 for _ in distinct)
    return Point(
        count=count,
        total=total,
        least=least,
        most=most,
        values=dict(zip(distinct, often, strict=True)),
        unit=unit,
    )


def packed(value: Any) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(value), _LEVEL)


def unpacked(content: bytes) -> Any:
    return msgspec.msgpack.decode(zlib.decompress(content))


def transposed(numbers: "array[Any]") -> bytes:
    """The first bytes of all numbers, then the second ones, …: most are alike, and what is alike is compressed away."""
    content = numbers.tobytes()
    return b"".join(content[index :: numbers.itemsize] for index in range(numbers.itemsize))


def restored(kind: str, content: bytes) -> "array[Any]":
    found: array[Any] = array(kind)
    count = len(content) // found.itemsize
    whole = bytearray(len(content))
    for index in range(found.itemsize):
        whole[index :: found.itemsize] = content[index * count : (index + 1) * count]
    found.frombytes(bytes(whole))
    return found
