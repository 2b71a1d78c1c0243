"""Schedules against the calendar."""

import calendar
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain import schedule
from portside.domain.refusal import Refused

ZERO = datetime(2026, 1, 1, tzinfo=UTC)
GREENWICH, BERLIN, NEW_YORK = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


def following(expression: str, after: datetime, zone: ZoneInfo = GREENWICH) -> datetime | None:
    return schedule.next_after(expression, after, zone=zone, since=ZERO)


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("cron(0 12 * * ? *)", "2026-03-05T12:00", "2026-03-06T12:00"),
        ("cron(15 10 ? * MON-FRI *)", "2026-03-06T10:15", "2026-03-09T10:15"),  # a Friday, then a Monday
        ("cron(0/15 8-9 * * ? *)", "2026-03-05T08:46", "2026-03-05T09:00"),
        ("cron(0 8 1 * ? *)", "2026-03-05T00:00", "2026-04-01T08:00"),
        ("cron(0 8 L * ? *)", "2026-02-05T00:00", "2026-02-28T08:00"),
        ("cron(0 8 15W * ? *)", "2026-02-01T00:00", "2026-02-16T08:00"),  # the 15th is a Sunday
        ("cron(0 8 ? * 2#1 *)", "2026-03-05T00:00", "2026-04-06T08:00"),  # the first Monday
        ("cron(0 8 ? * 6L *)", "2026-03-05T00:00", "2026-03-27T08:00"),  # the last Friday
        ("cron(0 0 29 2 ? *)", "2026-03-05T00:00", "2028-02-29T00:00"),
        ("cron(0 0 1 JAN ? 2027)", "2026-03-05T00:00", "2027-01-01T00:00"),
        ("cron(0 0 1 1 ? 2020)", "2026-03-05T00:00", None),
        ("at(2026-05-01T10:00:00)", "2026-03-05T00:00", "2026-05-01T10:00"),
        ("at(2026-02-01T10:00:00)", "2026-03-05T00:00", None),
        ("rate(1 hour)", "2026-01-01T00:30", "2026-01-01T01:00"),
        ("rate(5 minutes)", "2026-01-01T00:05", "2026-01-01T00:10"),
        ("rate(2 days)", "2026-01-02T00:00", "2026-01-03T00:00"),
    ],
)
def test_next_time(expression: str, after: str, expected: str | None) -> None:
    """Each form, with every sign that AWS documents."""
    found = following(expression, datetime.fromisoformat(after).replace(tzinfo=UTC))
    assert found == (datetime.fromisoformat(expected).replace(tzinfo=UTC) if expected else None)


def test_time_zones() -> None:
    """Times are those of the zone, summer and winter; an hour that the clocks skip does not come."""
    noon = "cron(0 12 * * ? *)"
    assert following(noon, datetime(2026, 1, 5, tzinfo=UTC), BERLIN) == datetime(2026, 1, 5, 11, tzinfo=UTC)
    assert following(noon, datetime(2026, 7, 5, tzinfo=UTC), BERLIN) == datetime(2026, 7, 5, 10, tzinfo=UTC)
    skipped = following("cron(30 2 * * ? *)", datetime(2026, 3, 8, 0, tzinfo=NEW_YORK), NEW_YORK)
    assert skipped == datetime(2026, 3, 9, 2, 30, tzinfo=NEW_YORK).astimezone(UTC)


@given(
    st.sets(st.integers(0, 59), min_size=1, max_size=3),
    st.sets(st.integers(0, 23), min_size=1, max_size=3),
    st.sets(st.integers(1, 7), min_size=1, max_size=3),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
)
def test_against_a_search(minutes: set[int], hours: set[int], days: set[int], after: datetime) -> None:
    """The next time is the first minute that fits, found by looking at each."""
    expression = f"cron({_list(minutes)} {_list(hours)} ? * {_list(days)} *)"
    at = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while not (at.minute in minutes and at.hour in hours and (at.weekday() + 1) % 7 + 1 in days):
        at += timedelta(minutes=1)
    assert following(expression, after) == at


def _list(numbers: set[int]) -> str:
    return ",".join(str(each) for each in sorted(numbers))


@pytest.mark.parametrize(
    "expression",
    [
        *("", "cron()", "cron(0 12 * * * *)", "cron(0 12 ? * ? *)", "cron(60 12 * * ? *)", "cron(0 12 32 * ? *)"),
        *("cron(0 12 * 13 ? *)", "cron(0 12 ? * 8 *)", "cron(0 12 ? * MON#6 *)", "cron(0/0 12 * * ? *)"),
        *("cron(9-1 12 * * ? *)", "cron(0 12 * * ?)", "rate(0 minutes)", "rate(1 minutes)", "rate(2 minute)"),
        *("rate(x hours)", "at(2026-13-01T00:00:00)", "at(tomorrow)", "every day"),
    ],
)
def test_what_is_no_schedule(expression: str) -> None:
    """Broken expressions are refused."""
    with pytest.raises(Refused):
        schedule.check(expression)


def test_every_day_of_a_year() -> None:
    """`L` is each month's last day."""
    at, days = ZERO, []
    for _ in range(12):
        found = following("cron(0 0 L * ? *)", at)
        assert found is not None
        at = found
        days.append(at.day)
    assert days == [calendar.monthrange(2026, month)[1] for month in range(1, 13)]
