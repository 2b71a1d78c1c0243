"""Schedules of AWS: `at(…)`, `rate(…)` and `cron(…)`. Pure.

Source: Application Auto Scaling user guide, "Schedule recurring scaling actions using cron expressions"; EventBridge
user guide, "Cron expressions". A cron's fields: minutes, hours, day of month, month, day of week (1 is Sunday), year.
"""

import calendar
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from portside.domain.record import Record
from portside.domain.refusal import RefusalKind, Refused

_AT: Final = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2})?)\)")
_RATE: Final = re.compile(r"rate\((\d{1,6}) (minute|minutes|hour|hours|day|days)\)")
_CRON: Final = re.compile(r"cron\(([^()]*)\)")
_MONTHS: Final = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS: Final = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
_YEARS: Final = range(1970, 2200)
_LOOKED_AHEAD: Final = timedelta(days=366 * 5)
"""A cron that has no time within five years has none that matters (29 February comes every four)."""


class _Cron(Record, frozen=True, kw_only=True):
    minutes: frozenset[int]
    hours: frozenset[int]
    day_of_month: str
    months: frozenset[int]
    day_of_week: str
    years: frozenset[int]


def check(expression: str) -> None:
    """Raises Refused: it is no schedule."""
    next_after(
        expression, datetime(2026, 1, 1, tzinfo=UTC), zone=ZoneInfo("UTC"), since=datetime(2026, 1, 1, tzinfo=UTC)
    )


def next_after(expression: str, after: datetime, *, zone: ZoneInfo, since: datetime) -> datetime | None:
    """The first time after `after`, in UTC; None if there is none.

    Args:
        zone: of what the expression says. since: when a rate begins to count.
    Raises:
        Refused: INVALID, it is no schedule.
    """
    if (match := _AT.fullmatch(expression)) is not None:
        try:
            at = datetime.fromisoformat(match[1]).replace(tzinfo=zone).astimezone(UTC)
        except ValueError:
            raise _invalid(expression) from None
        return at if at > after else None
    if (match := _RATE.fullmatch(expression)) is not None:
        every = int(match[1]) * timedelta(**{match[2].rstrip("s") + "s": 1})
        if not every or (match[1] == "1") == match[2].endswith("s"):
            raise _invalid(expression)
        return since + every * ((after - since) // every + 1) if after >= since else since + every
    if (match := _CRON.fullmatch(expression)) is not None:
        return _next_of_cron(_cron(expression, match[1]), after, zone)
    raise _invalid(expression)


def _invalid(expression: str) -> Refused:
    return Refused(RefusalKind.INVALID, f"Invalid Schedule Expression {expression}.", "schedule")


def _cron(expression: str, fields: str) -> _Cron:
    parts = fields.split()
    if len(parts) != 6:
        raise _invalid(expression)
    minutes, hours, day_of_month, months, day_of_week, years = (each.upper() for each in parts)
    if (day_of_month == "?") == (day_of_week == "?"):
        raise _invalid(expression)  # exactly one of the two says the day
    try:
        found = _Cron(
            minutes=_values(minutes, range(60)),
            hours=_values(hours, range(24)),
            day_of_month=day_of_month,
            months=_values(months, range(1, 13), _MONTHS),
            day_of_week=day_of_week,
            years=_values(years, _YEARS),
        )
        _day_matcher(found)(date(2024, 2, 29))
    except (ValueError, KeyError):
        raise _invalid(expression) from None
    return found


def _values(field: str, allowed: range, names: dict[str, int] | None = None) -> frozenset[int]:
    """What a field stands for: `*`, numbers, ranges, steps, lists of these. Raises ValueError."""

    def number(text: str) -> int:
        value = (names or {}).get(text)
        value = int(text) if value is None else value
        if value not in allowed:
            raise ValueError(text)
        return value

    found: set[int] = set()
    for part in field.split(","):
        base, _, step = part.partition("/")
        if step and (not step.isdigit() or int(step) == 0):
            raise ValueError(part)
        if base == "*":
            first, last = allowed[0], allowed[-1]
        elif "-" in base:
            low, _, high = base.partition("-")
            first, last = number(low), number(high)
            if first > last:
                raise ValueError(part)
        else:
            first = number(base)
            last = allowed[-1] if step else first
        found.update(range(first, last + 1, int(step) if step else 1))
    return frozenset(found)


def _day_matcher(cron: _Cron) -> Callable[[date], bool]:
    """Whether a day is one of the schedule's. Raises ValueError, KeyError: its fields are none."""
    if cron.day_of_week == "?":
        return _month_day_matcher(cron.day_of_month)
    return _week_day_matcher(cron.day_of_week)


def _month_day_matcher(field: str) -> Callable[[date], bool]:
    if field == "L":
        return lambda day: day.day == calendar.monthrange(day.year, day.month)[1]
    if field.endswith("W"):
        wanted = int(field[:-1])
        if not 1 <= wanted <= 31:
            raise ValueError(field)
        return lambda day: day.day == _nearest_weekday(day.year, day.month, wanted)
    days = _values(field, range(1, 32))
    return lambda day: day.day in days


def _nearest_weekday(year: int, month: int, wanted: int) -> int:
    """The working day nearest to that day, within the month."""
    last = calendar.monthrange(year, month)[1]
    wanted = min(wanted, last)
    weekday = date(year, month, wanted).weekday()
    if weekday == 5:
        return wanted - 1 if wanted > 1 else wanted + 2
    if weekday == 6:
        return wanted + 1 if wanted < last else wanted - 2
    return wanted


def _week_day_matcher(field: str) -> Callable[[date], bool]:
    def number(text: str) -> int:
        value = _DAYS[text] if text in _DAYS else int(text)
        if not 1 <= value <= 7:
            raise ValueError(text)
        return value

    if "#" in field:
        weekday, _, which = field.partition("#")
        wanted, nth = number(weekday), int(which)
        if not 1 <= nth <= 5:
            raise ValueError(field)
        return lambda day: _number_of(day) == wanted and (day.day - 1) // 7 + 1 == nth
    if field == "L":
        return lambda day: _number_of(day) == 7
    if field.endswith("L"):
        wanted = number(field[:-1])
        return lambda day: _number_of(day) == wanted and day.day + 7 > calendar.monthrange(day.year, day.month)[1]
    days = _values(field, range(1, 8), _DAYS)
    return lambda day: _number_of(day) in days


def _number_of(day: date) -> int:
    """1 for Sunday to 7 for Saturday."""
    return (day.weekday() + 1) % 7 + 1


def _next_of_cron(cron: _Cron, after: datetime, zone: ZoneInfo) -> datetime | None:
    matches = _day_matcher(cron)
    day, end = after.astimezone(zone).date(), (after + _LOOKED_AHEAD).date()
    while day <= end:
        if day.month in cron.months and day.year in cron.years and matches(day):
            for hour in sorted(cron.hours):
                for minute in sorted(cron.minutes):
                    local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                    at = local.astimezone(UTC)
                    # An hour that the clocks skip does not come that day.
                    if at > after and at.astimezone(zone).hour == hour:
                        return at
        day += timedelta(days=1)
    return None
