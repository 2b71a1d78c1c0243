"""The pace: how much faster than real time the long timers of services run, for tests and for learning. Pure.

It is a setting of the instance, and a tag of a service goes before it. Deregistration delays, the backoff of failing
starts, bake times, grace periods and the two minutes of a Spot interruption are divided by it; what is measured,
checked or answered is not. 1 is real time.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from portside.domain.record import Tag, Tags
from portside.domain.refusal import RefusalKind, Refused

TAG: Final = "portside:pace"
REAL: Final = 1.0
MOST: Final = 10_000.0


def parse(text: str) -> float:
    """`60`: sixty times real time. Raises: ValueError, with what is wrong."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not REAL <= found <= MOST:
        raise ValueError(f"a pace is a number from 1 to {MOST:.0f}, not {text!r}")
    return found


def check(tags: Iterable[Tag]) -> None:
    """
    Raises:
        Refused: INVALID, a tag names a pace that is none.
    """
    for tag in tags:
        if tag.key == TAG:
            try:
                parse(tag.value)
            except ValueError as error:
                raise Refused(RefusalKind.INVALID, f"The tag {TAG} is not valid: {error}.", "tags") from None


def of(tags: Tags, default: float) -> float:
    """That of a service with these tags."""
    named = next((tag.value for tag in tags if tag.key == TAG), None)
    if named is None:
        return default
    try:
        return parse(named)
    except ValueError:
        return default


def shortened(seconds: float, pace: float) -> timedelta:
    """How long a timer of so many seconds takes."""
    return timedelta(seconds=seconds / pace)


def text(pace: float) -> str:
    """`60x`."""
    return f"{pace:g}x"
