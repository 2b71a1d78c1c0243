"""Metric filters: what they may say, and the metrics that log events give by them. Pure.

Source: CloudWatch Logs user guide, "Creating metrics from log events using filters"; API_PutMetricFilter,
API_MetricTransformation.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from portside.domain import log_pattern
from portside.domain.log import LogEvent
from portside.domain.log_comparison import number_of
from portside.domain.log_pattern_field import FieldPattern
from portside.domain.log_pattern_json import JsonPattern, document_of, selector_at
from portside.domain.metric import VALUE_MOST, Dimensions, MetricName, Sample, dimensions_of, point_of
from portside.domain.record import Record, Scope
from portside.domain.refusal import RefusalKind, Refused

PER_GROUP_MOST: Final = 100
REGEX_PER_GROUP_MOST: Final = 5
"""Filters of a group whose patterns have regular expressions."""
DIMENSIONS_MOST: Final = 3
MINUTE_MS: Final = 60_000

Values = Callable[[str], Mapping[str, str]]


class MetricFilter(Record, frozen=True, kw_only=True):
    """`value`: a number or a selector of the pattern; `dimensions`: names with selectors."""

    scope: Scope
    group: str
    name: str
    pattern: str
    namespace: str
    metric: str
    value: str
    default: float | None = None
    dimensions: Dimensions = ()
    unit: str = "None"
    created_at: datetime

    @property
    def key(self) -> str:
        return f"{self.scope.prefix}{self.group}:{self.name}"


def check(given: MetricFilter, others: Iterable[MetricFilter]) -> None:
    """
    Args:
        others: the group's other filters.

    Raises:
        Refused: INVALID; LIMIT, the group has as many as it may have.
    """
    pattern = log_pattern.parse(given.pattern)
    if given.dimensions:
        if not isinstance(pattern, JsonPattern | FieldPattern):
            raise _invalid("The specified filter pattern does not support dimensions")
        if given.default is not None:
            raise _invalid(
                "Invalid metric transformation: dimensions and default value are mutually exclusive properties."
            )
        if len(given.dimensions) > DIMENSIONS_MOST:
            raise _invalid(f"Invalid metric transformation: at most {DIMENSIONS_MOST} dimensions are allowed.")
        for _, selector in given.dimensions:
            _check_selector(pattern, selector)
    if given.default is not None and not abs(given.default) <= VALUE_MOST:
        raise _invalid(f"Invalid metric transformation: the default value {given.default} is out of range.")
    if number_of(given.value) is None:
        _check_selector(pattern, given.value)
    siblings = list(others)
    if len(siblings) >= PER_GROUP_MOST:
        raise Refused(RefusalKind.LIMIT, "Resource limit exceeded.", "metricFilters")
    if pattern.regexes and sum(_has_regex(each.pattern) for each in siblings) >= REGEX_PER_GROUP_MOST:
        raise Refused(RefusalKind.LIMIT, "Resource limit exceeded.", "filterPattern")


def _has_regex(pattern: str) -> bool:
    return "%" in pattern and log_pattern.parse(pattern).regexes > 0


def _check_selector(pattern: log_pattern.Pattern, selector: str) -> None:
    if selector.startswith("$"):
        if isinstance(pattern, JsonPattern):
            found, end = selector_at(selector, 0)
            if end == len(selector) and not found.wildcards:
                return
        elif isinstance(pattern, FieldPattern) and (selector in pattern.names or selector[1:].isdecimal()):
            return
    raise _invalid(
        f"Invalid metric transformation: {selector} is neither a number nor a field of the specified filter pattern."
    )


class Extraction:
    """A metric filter, ready for use on events."""

    def __init__(self, told: MetricFilter) -> None:
        self.told = told
        self._pattern = log_pattern.parse(told.pattern)
        self._values = _values_of(self._pattern, told)
        self._number = number_of(told.value)

    def samples(self, events: Sequence[LogEvent]) -> tuple[list[Sample], set[int]]:
        """What the events give, a sample for each minute and metric, and the minutes (ms since 1970) in which one
        matched."""
        found: dict[tuple[int, Dimensions], list[tuple[float, float]]] = {}
        matched: set[int] = set()
        for event in events:
            if not self._pattern.matches(event.message):
                continue
            minute = event.at_ms // MINUTE_MS * MINUTE_MS
            matched.add(minute)
            values: Mapping[str, str] = self._values(event.message) if self._values is not None else {}
            number = self._number if self._number is not None else number_of(values.get(self.told.value, ""))
            if number is None or not math.isfinite(number) or abs(number) > VALUE_MOST:
                continue
            pairs = {name: values.get(selector) for name, selector in self.told.dimensions}
            if all(pairs.values()):
                key = (minute, dimensions_of({name: value for name, value in pairs.items() if value}))
                found.setdefault(key, []).append((number, 1.0))
        return [self._sample(minute, numbers, of) for (minute, of), numbers in found.items()], matched

    def default(self, minute: int) -> Sample:
        """What is told of a minute that had events, of which none matched. There is a default."""
        assert self.told.default is not None
        return self._sample(minute, [(self.told.default, 1.0)], ())

    def _sample(self, minute: int, numbers: Sequence[tuple[float, float]], dimensions: Dimensions) -> Sample:
        return Sample(
            metric=MetricName(namespace=self.told.namespace, name=self.told.metric, dimensions=dimensions),
            at_s=minute / 1000,
            point=point_of(numbers, self.told.unit),
        )


def _values_of(pattern: log_pattern.Pattern, told: MetricFilter) -> Values | None:
    """How the values that are asked for are read from a message; None if none is."""
    wanted = {selector for _, selector in told.dimensions}
    if number_of(told.value) is None:
        wanted.add(told.value)
    if not wanted:
        return None
    if not isinstance(pattern, JsonPattern):
        return pattern.extract
    selectors = [selector_at(each, 0)[0] for each in sorted(wanted)]

    def read(message: str) -> Mapping[str, str]:
        document = document_of(message)
        values = ((each.text, each.first(document)) for each in selectors)
        return {name: value for name, value in values if value is not None}

    return read


def _invalid(said: str) -> Refused:
    return Refused(RefusalKind.INVALID, said, "metricTransformations")
