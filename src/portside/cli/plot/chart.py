"""A chart before it is drawn: points, and axes with round numbers. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final, Literal

from portside.cli.top.view import size

Unit = Literal["percent", "count", "bytes/s", "bytes", "seconds"]
_BYTES: Final = ("bytes", "bytes/s")

_SIGNS: Final = {"percent": "%", "seconds": "s"}
_TIME_STEPS_S: Final = (
    60,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10800,
    21600,
    43200,
    86400,
    2 * 86400,
    7 * 86400,
    28 * 86400,
)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One metric over a time.

    Args:
        points: times and values, in order; where two are further apart than `period`, the line is broken.
    """

    title: str
    unit: Unit
    begin: datetime
    end: datetime
    period: timedelta
    points: Sequence[tuple[datetime, float]]

    @property
    def top(self) -> float:
        """What the value axis goes up to: a round number at or above everything. It begins at nothing."""
        return self.values[-1]

    @property
    def values(self) -> list[float]:
        """Where the value axis has lines."""
        most = max((value for _, value in self.points), default=0.0)
        if self.unit in _BYTES:
            scale = 1024 ** max(int(math.log(most, 1024)), 0) if most >= 1 else 1
            step = scale * max(_round_step(most / scale), 1 / 8 if scale > 1 else 1.0)
        else:
            step = max(_round_step(most), 1.0 if self.unit == "count" else 0.001)
        number = max(math.ceil(most / step - 1e-9), 1)
        return [index * step for index in range(number + 1)]

    @property
    def times(self) -> list[datetime]:
        """Where the time axis has marks, in local time."""
        seconds = (self.end - self.begin).total_seconds()
        step_s = next((each for each in _TIME_STEPS_S if seconds / each <= 6), _TIME_STEPS_S[-1])
        local = self.begin.astimezone()
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        first = math.ceil((local - midnight).total_seconds() / step_s) * step_s
        found, at = [], midnight + timedelta(seconds=first)
        while at <= self.end:
            found.append(at)
            at += timedelta(seconds=step_s)
        return found

    def across(self, at: datetime) -> float:
        """Where a time is, from 0 at the beginning to 1 at the end."""
        return (at - self.begin) / (self.end - self.begin)

    def up(self, value: float) -> float:
        """Where a value is, from 0 at the bottom to 1 at the top."""
        return value / self.top

    def lines(self) -> Iterator[list[tuple[float, float]]]:
        """Unbroken stretches, of places from 0 to 1."""
        line: list[tuple[float, float]] = []
        before: datetime | None = None
        for at, value in self.points:
            if before is not None and at - before > self.period * 1.5:
                yield line
                line = []
            line.append((self.across(at), self.up(value)))
            before = at
        if line:
            yield line

    def value_label(self, value: float) -> str:
        if self.unit in _BYTES:
            return size(value)
        return f"{value:g}{_SIGNS.get(self.unit, '')}"

    def time_label(self, at: datetime, zone: tzinfo | None = None) -> str:
        at = at.astimezone(zone)
        return f"{at:%H:%M}" if self.end - self.begin <= timedelta(days=2) else f"{at:%d %b}"

    def summary(self) -> str:
        """The last, lowest, highest and mean value in words."""
        values = [value for _, value in self.points]
        said = {"last": values[-1], "lowest": min(values), "mean": sum(values) / len(values), "highest": max(values)}
        return "  ".join(f"{name} {self._exact(value)}" for name, value in said.items())

    def _exact(self, value: float) -> str:
        if self.unit in _BYTES:
            return f"{size(value)}B{self.unit.removeprefix('bytes')}"
        if self.unit == "seconds":
            return f"{value:.3g}s"
        return f"{value:.1f}%" if self.unit == "percent" else f"{value:g}"


def _round_step(most: float) -> float:
    """1, 2 or 5 times a power of ten, of which at most five make the whole."""
    if most < 1e-9:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most / 5))
    return next(step for factor in (1, 2, 5, 10) if (step := factor * power) * 5 >= most * (1 - 1e-9))
