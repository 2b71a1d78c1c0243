"""Values in Logs Insights queries: what is a number, how two compare, how they sort and how they are shown.

A value is None (the event has no such field), text, a number, a truth, or a time. Text that is a number is one where a
number is wanted, as fields that `parse` takes out are text.

Source: CloudWatch Logs user guide, "CloudWatch Logs Insights language query syntax", sort and functions.
"""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

Value = Any

_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_CHUNKS: Final = re.compile(r"\d+|\D+", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER_MOST: Final = 2**53


class Time(int):
    """Milliseconds since 1970."""

    __slots__ = ()


def number(value: Value) -> float | None:
    """As a number; None if it is none."""
    if isinstance(value, str):
        if len(value) > 400 or not _NUMBER.fullmatch(value):
            return None
        found = float(value)
        return found if math.isfinite(found) else None
    if value is None:
        return None
    return float(value) if abs(value) <= _INTEGER_MOST or isinstance(value, float) else _large(value)


def numbers(values: Sequence[Value]) -> list[float]:
    """Those that are numbers."""
    if are_plain(values):
        return list(map(float, values))
    return [each for each in map(number, values) if each is not None]


_PLAIN_NUMBERS: Final = frozenset([int, float])


def are_plain(values: Sequence[Value]) -> bool:
    """Whether they are numbers all, and none is too great to be exact."""
    if not values or not {*map(type, values)} <= _PLAIN_NUMBERS:
        return False
    return bool(min(values) >= -_INTEGER_MOST and max(values) <= _INTEGER_MOST)


def _large(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def text(value: Value) -> str:
    """As it is shown; of what is there."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Time):
        return shown_time(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _INTEGER_MOST else repr(value)
    return str(value)


def shown_time(ms: int) -> str:
    try:
        at = _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return str(int(ms))
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"


def truth(value: Value) -> bool:
    if isinstance(value, str):
        return value.lower() == "true" or bool(number(value))
    return bool(value)


def equal(a: Value, b: Value) -> bool:
    """Whether both are there and the same, as numbers if both are numbers."""
    if a is None or b is None:
        return False
    if isinstance(a, str) and isinstance(b, str) and a == b:
        return True
    left, right = number(a), number(b)
    if left is not None and right is not None:
        return left == right
    if isinstance(a, bool) or isinstance(b, bool):
        return _bool_text(a) == _bool_text(b)
    return text(a) == text(b)


def _bool_text(value: Value) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else text(value)


def compare(a: Value, b: Value) -> int | None:
    """Less than, equal to or greater than zero; None where one is missing."""
    if a is None or b is None:
        return None
    left, right = number(a), number(b)
    if left is not None and right is not None:
        return (left > right) - (left < right)
    one, other = text(a), text(b)
    return (one > other) - (one < other)


def sort_key(value: Value) -> tuple[Any, ...]:
    """Natural order: what is missing, then text by its runs of digits and of others, then numbers."""
    if value is None:
        return (0,)
    if isinstance(value, Time):
        return (2, int(value))
    as_number = number(value)
    if as_number is not None:
        return (2, as_number)
    return (1, tuple(_chunk_key(each) for each in _CHUNKS.findall(text(value))))


def sort_keys(values: Sequence[Value]) -> list[tuple[Any, ...]]:
    """Of each."""
    return [(2, float(each)) for each in values] if are_plain(values) else list(map(sort_key, values))


def _chunk_key(chunk: str) -> tuple[int, int, str]:
    if chunk[0].isascii() and chunk[0].isdigit():
        digits = chunk.lstrip("0")
        return (1, len(digits), digits)
    return (0, 0, chunk)


class Period:
    """A length of time of the calendar: `amount` of milliseconds, or of months."""

    def __init__(self, amount: int, unit: str) -> None:
        per = _UNITS[unit]
        self._ms = amount * per if per > 0 else 0
        self._months = -amount * per if per < 0 else 0
        self._offset = _MONDAY_MS if unit == "w" else 0

    def floor(self, ms: int) -> Time:
        if self._ms:
            return Time((ms - self._offset) // self._ms * self._ms + self._offset)
        return self._month(self._number(ms) // self._months * self._months)

    def floors(self, several: Sequence[int]) -> list[Value]:
        """Of many times; None for what is beyond the calendar."""
        if self._ms:
            per, offset = self._ms, self._offset
            numbers = [(ms - offset) // per for ms in several]
            known = {each: Time(each * per + offset) for each in set(numbers)}
            return [known[each] for each in numbers]
        found: list[Value] = []
        for ms in several:
            try:
                found.append(self.floor(ms))
            except (OverflowError, ValueError):
                found.append(None)
        return found

    @property
    def plain_ms(self) -> int:
        """Milliseconds, where periods are counted from 1970; 0 where they are not."""
        return 0 if self._offset else self._ms

    def ceil(self, ms: int) -> Time:
        low = self.floor(ms)
        if low == ms:
            return low
        return Time(low + self._ms) if self._ms else self._month(self._number(low) + self._months)

    def _number(self, ms: int) -> int:
        at = _EPOCH + timedelta(milliseconds=ms)
        return (at.year - 1970) * 12 + at.month - 1

    def _month(self, count: int) -> Time:
        at = datetime(1970 + count // 12, count % 12 + 1, 1, tzinfo=UTC)
        return Time((at - _EPOCH) // timedelta(milliseconds=1))


_MONDAY_MS: Final = 4 * 86_400_000
"""The first Monday after the beginning of 1970."""
_DAY_MS: Final = 86_400_000
_UNITS: Final = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": _DAY_MS,
    "w": 7 * _DAY_MS,
    "mo": -1,
    "q": -3,
    "y": -12,
}
_SPELLINGS: Final = {
    "ms": ("millisecond", "ms", "msec"),
    "s": ("second", "s", "sec"),
    "m": ("minute", "m", "min"),
    "h": ("hour", "h", "hr"),
    "d": ("day", "d"),
    "w": ("week", "w"),
    "mo": ("month", "mo", "mon"),
    "q": ("quarter", "q", "qtr"),
    "y": ("year", "y", "yr"),
}
UNIT_OF: Final = {
    spelling + plural: unit
    for unit, spellings in _SPELLINGS.items()
    for spelling in spellings
    for plural in (("", "s") if len(spelling) > 1 and spelling != "ms" else ("",))
}
"""Spelling, plurals among them -> unit."""
