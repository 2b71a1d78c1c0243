"""Functions of Logs Insights queries: on numbers, text, times and addresses. Pure.

Source: CloudWatch Logs user guide, "Boolean, comparison, numeric, datetime, and other functions".
"""

import ipaddress
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from portside.domain.insights_query_value import Time, Value, number, numbers, sort_key, text, truth

_INTEGER_MOST: Final = 2.0**53


class Function(NamedTuple):
    """`most`: arguments; None: as many as one likes."""

    run: Callable[..., Value]
    least: int
    most: int | None


def tidy(found: float) -> Value:
    """Whole numbers without a fraction; None for what is no number."""
    if not math.isfinite(found):
        return None
    return int(found) if abs(found) < _INTEGER_MOST and found == int(found) else found


def _of_number(run: Callable[[float], float]) -> Callable[[Value], Value]:
    def found(value: Value) -> Value:
        given = number(value)
        try:
            return tidy(run(given)) if given is not None else None
        except (ValueError, OverflowError):
            return None

    return found


def _extreme(pick: Callable[[list[float]], float]) -> Callable[..., Value]:
    def found(*values: Value) -> Value:
        numbers = [each for each in map(number, values) if each is not None]
        return tidy(pick(numbers)) if numbers else None

    return found


def _of_text(run: Callable[[str], Value]) -> Callable[[Value], Value]:
    return lambda value: run(text(value)) if value is not None else None


def _trim(run: Callable[..., str]) -> Callable[..., Value]:
    def found(value: Value, letters: Value = None) -> Value:
        if value is None:
            return None
        return run(text(value), text(letters)) if letters is not None else run(text(value))

    return found


def _substr(value: Value, start: Value, length: Value = None) -> Value:
    at = number(start)
    if value is None or at is None:
        return None
    begin = max(0, int(at))
    if length is None:
        return text(value)[begin:]
    count = number(length)
    return text(value)[begin : begin + max(0, int(count))] if count is not None else None


def _replace(value: Value, old: Value, new: Value) -> Value:
    if value is None or old is None or new is None:
        return value
    return text(value).replace(text(old), text(new)) if text(old) else text(value)


def _to_millis(value: Value) -> Value:
    found = number(value)
    return int(found) if found is not None else None


def _from_millis(value: Value) -> Value:
    found = number(value)
    return Time(int(found)) if found is not None else None


def _address(value: Value) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text(value)) if value is not None else None
    except ValueError:
        return None


def _is_address(*versions: int) -> Callable[[Value], Value]:
    def found(value: Value) -> bool:
        address = _address(value)
        return address is not None and address.version in versions

    return found


def _is_in_subnet(*versions: int) -> Callable[[Value, Value], Value]:
    def found(value: Value, subnet: Value) -> bool:
        address = _address(value)
        if address is None or address.version not in versions or subnet is None:
            return False
        try:
            network = ipaddress.ip_network(text(subnet), strict=False)
        except ValueError:
            return False
        return network.version == address.version and address in network

    return found


def _first(values: Sequence[Value]) -> Value:
    return next((each for each in values if each is not None), None)


FUNCTIONS: Final[Mapping[str, Function]] = {
    "abs": Function(_of_number(abs), 1, 1),
    "ceil": Function(_of_number(math.ceil), 1, 1),
    "floor": Function(_of_number(math.floor), 1, 1),
    "log": Function(_of_number(math.log), 1, 1),
    "sqrt": Function(_of_number(math.sqrt), 1, 1),
    "greatest": Function(_extreme(max), 1, None),
    "least": Function(_extreme(min), 1, None),
    "ispresent": Function(lambda value: value is not None, 1, 1),
    "coalesce": Function(lambda *values: _first(values), 1, None),
    "if": Function(lambda condition, then, otherwise: then if truth(condition) else otherwise, 3, 3),
    "isempty": Function(lambda value: value is None or text(value) == "", 1, 1),
    "isblank": Function(lambda value: value is None or not text(value).strip(), 1, 1),
    "concat": Function(lambda *values: "".join(text(each) for each in values if each is not None), 1, None),
    "trim": Function(_trim(str.strip), 1, 2),
    "ltrim": Function(_trim(str.lstrip), 1, 2),
    "rtrim": Function(_trim(str.rstrip), 1, 2),
    "strlen": Function(_of_text(len), 1, 1),
    "toupper": Function(_of_text(str.upper), 1, 1),
    "tolower": Function(_of_text(str.lower), 1, 1),
    "substr": Function(_substr, 2, 3),
    "replace": Function(_replace, 3, 3),
    "strcontains": Function(
        lambda value, part: int(value is not None and part is not None and text(part) in text(value)), 2, 2
    ),
    "tomillis": Function(_to_millis, 1, 1),
    "frommillis": Function(_from_millis, 1, 1),
    "isvalidip": Function(_is_address(4, 6), 1, 1),
    "isvalidipv4": Function(_is_address(4), 1, 1),
    "isvalidipv6": Function(_is_address(6), 1, 1),
    "isipinsubnet": Function(_is_in_subnet(4, 6), 2, 2),
    "isipv4insubnet": Function(_is_in_subnet(4), 2, 2),
    "isipv6insubnet": Function(_is_in_subnet(6), 2, 2),
}
"""By name in lower case. `bin`, `datefloor` and `dateceil` take a period and are told apart by the parser."""


# Aggregations

EXACT_MOST: Final = 10_000
"""Values of a percentile, and distinct values, that are kept as they are; beyond, to one part in a hundred."""
_STEP: Final = math.log(1.01)


class Aggregate:
    """Takes the values of a group's rows, one after the other; `at`: the row's time."""

    def add(self, value: Value, at: Value) -> None:
        raise NotImplementedError

    def add_many(self, values: Sequence[Value], ats: Sequence[Value]) -> None:
        """As each of them."""
        for value, at in zip(values, ats, strict=True):
            self.add(value, at)

    def result(self) -> Value:
        raise NotImplementedError


class Count(Aggregate):
    def __init__(self) -> None:
        self._count = 0

    def add(self, value: Value, at: Value) -> None:
        if value is not None:
            self._count += 1

    def add_many(self, values: Sequence[Value], ats: Sequence[Value]) -> None:
        self._count += len(values) - values.count(None)

    def count(self, events: int) -> None:
        """So many that are there."""
        self._count += events

    def result(self) -> Value:
        return self._count


class CountDistinct(Aggregate):
    """Exact for a few; beyond, of a sample of them by their hashes."""

    def __init__(self) -> None:
        self._hashes: set[int] = set()
        self._shift = 0

    def add(self, value: Value, at: Value) -> None:
        if value is None:
            return
        mark = hash(text(value))
        if mark & ((1 << self._shift) - 1):
            return
        self._hashes.add(mark)
        while len(self._hashes) > EXACT_MOST:
            self._shift += 1
            self._hashes = {each for each in self._hashes if not each & ((1 << self._shift) - 1)}

    def result(self) -> Value:
        return len(self._hashes) << self._shift


class _Numeric(Aggregate):
    def add(self, value: Value, at: Value) -> None:
        found = number(value)
        if found is not None:
            self.take(found)

    def add_many(self, values: Sequence[Value], ats: Sequence[Value]) -> None:
        self.take_many(numbers(values))

    def take(self, found: float) -> None:
        raise NotImplementedError

    def take_many(self, several: Sequence[float]) -> None:
        for each in several:
            self.take(each)


class Moments(_Numeric):
    """Sums, from which several are told. `kind`: sum, avg or stddev."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._count = 0
        self._total = self._lost = 0.0
        self._mean = self._squares = 0.0

    def take(self, found: float) -> None:
        self._count += 1
        # Neumaier's summation: the low bits that an addition loses are summed apart.
        total = self._total + found
        self._lost += (self._total - total) + found if abs(self._total) >= abs(found) else (found - total) + self._total
        self._total = total
        if self._kind == "stddev":
            apart = found - self._mean
            self._mean += apart / self._count
            self._squares += apart * (found - self._mean)

    def take_many(self, several: Sequence[float]) -> None:
        try:
            total = math.fsum(several)
        except OverflowError:
            total = math.inf
        if self._kind == "stddev" or not several or not math.isfinite(total):
            super().take_many(several)
            return
        self._count += len(several) - 1
        self.take(total)

    def result(self) -> Value:
        if not self._count:
            return None
        total = self._total + self._lost
        match self._kind:
            case "sum":
                return tidy(total)
            case "avg":
                return tidy(total / self._count)
        return tidy(math.sqrt(max(0.0, self._squares / self._count)))


class Extreme(Aggregate):
    """The value that sorts first or last."""

    def __init__(self, *, is_least: bool, is_numeric: bool) -> None:
        self._is_least, self._is_numeric = is_least, is_numeric
        self._value: Value = None
        self._key: tuple[Value, ...] | None = None

    def add(self, value: Value, at: Value) -> None:
        if value is None:
            return
        key = sort_key(value)
        if self._key is None or (key < self._key if self._is_least else key > self._key):
            self._value, self._key = value, key

    def result(self) -> Value:
        found = number(self._value) if self._is_numeric and not isinstance(self._value, Time) else None
        return tidy(found) if found is not None else self._value


class Percentile(_Numeric):
    """The least value that so many in a hundred do not exceed."""

    def __init__(self, percent: float) -> None:
        self._percent = percent
        self._values: dict[float, int] = {}
        self._count = 0
        self._is_coarse = False

    def take(self, found: float) -> None:
        self._count += 1
        if self._is_coarse:
            found = _near(found)
        self._values[found] = self._values.get(found, 0) + 1
        if not self._is_coarse and len(self._values) > EXACT_MOST:
            self._is_coarse = True
            values: dict[float, int] = {}
            for each, count in self._values.items():
                values[_near(each)] = values.get(_near(each), 0) + count
            self._values = values

    def take_many(self, several: Sequence[float]) -> None:
        counts = Counter(several)
        if self._is_coarse or len(counts) + len(self._values) > EXACT_MOST:
            super().take_many(several)
            return
        self._count += len(several)
        for each, count in counts.items():
            self._values[each] = self._values.get(each, 0) + count

    def result(self) -> Value:
        left = max(1, math.ceil(self._percent / 100 * self._count))
        for value in sorted(self._values):
            left -= self._values[value]
            if left <= 0:
                return tidy(value)
        return None


def _near(value: float) -> float:
    if not value:
        return 0.0
    return math.copysign(math.exp(round(math.log(abs(value)) / _STEP) * _STEP), value)


class Edge(Aggregate):
    """The value of the earliest or latest row that has one."""

    def __init__(self, *, is_earliest: bool) -> None:
        self._is_earliest = is_earliest
        self._at: Value = None
        self._value: Value = None

    def add(self, value: Value, at: Value) -> None:
        if value is None or at is None:
            return
        if self._at is None or (at < self._at if self._is_earliest else at > self._at):
            self._at, self._value = at, value

    def result(self) -> Value:
        return self._value


AGGREGATES: Final[Mapping[str, Callable[[], Aggregate]]] = {
    "count": Count,
    "count_distinct": CountDistinct,
    "sum": lambda: Moments("sum"),
    "avg": lambda: Moments("avg"),
    "stddev": lambda: Moments("stddev"),
    "min": lambda: Extreme(is_least=True, is_numeric=True),
    "max": lambda: Extreme(is_least=False, is_numeric=True),
    "sortsfirst": lambda: Extreme(is_least=True, is_numeric=False),
    "sortslast": lambda: Extreme(is_least=False, is_numeric=False),
    "earliest": lambda: Edge(is_earliest=True),
    "latest": lambda: Edge(is_earliest=False),
}
"""By name in lower case; `pct` takes a number as well and is told apart by the parser."""
