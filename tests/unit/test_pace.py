"""The pace of long timers: what names one, and what it shortens."""

import pytest

from portside.domain import pace
from portside.domain.record import Tag


@pytest.mark.parametrize(("text", "found"), [("1", 1), ("60", 60), ("2.5", 2.5), ("1e3", 1000), ("10000", 10_000)])
def test_a_pace(text: str, found: float) -> None:
    """Numbers from real time to ten thousand times it."""
    assert pace.parse(text) == found


@pytest.mark.parametrize("text", ["", "fast", "0", "0.9", "-1", "10001", "nan", "inf", "60x"])
def test_no_pace(text: str) -> None:
    """Everything else is none."""
    with pytest.raises(ValueError, match="a pace is a number"):
        pace.parse(text)


def test_a_service_goes_before_the_instance() -> None:
    """The tag decides where there is one; a minute at sixty times real time is a second."""
    assert pace.of((Tag(key="a", value="b"), Tag(key=pace.TAG, value="60")), 2) == 60
    assert pace.of((), 2) == 2
    assert pace.shortened(60, 60).total_seconds() == 1
