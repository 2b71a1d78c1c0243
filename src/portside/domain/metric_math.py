"""Metric math: expressions over series. Pure.

A value is a number, a series (time -> value), or several series. Operators work element by element; where one side has
no value at a time, the result has none. Source: CloudWatch user guide, "Metric math syntax and functions".
"""

import itertools
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from portside.domain.refusal import RefusalKind, Refused

Series = dict[int, float]
Value = float | Series | list[Series]


class NamedSeries(dict[int, float]):
    """A series that a search found, with what tells it from others of that search."""

    label = ""


class Search(NamedTuple):
    """`SEARCH(text, statistic, period_s)`; without a period that of the expression counts."""

    text: str
    statistic: str
    period_s: int | None


_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<text>'[^']*'|\"[^\"]*\")|(?P<sign><=|>=|==|!=|&&|\|\||[-+*/^(),<>\[\]]))"
)
_UNSUPPORTED: Final = frozenset(
    {"ANOMALY_DETECTION_BAND", "INSIGHT_RULE_METRIC", "SERVICE_QUOTA", "LAMBDA", "DB_PERF_INSIGHTS"}
)
_DEPTH_MOST: Final = 50
_SEARCH: Final = re.compile(r"\bSEARCH\s*\(\s*'([^']*)'\s*,\s*'([^']*)'\s*(?:,\s*(\d+)\s*)?\)")


def evaluate(
    expression: str,
    ids: Mapping[str, Value],
    *,
    period_s: int,
    times: Sequence[int],
    searched: Mapping[Search, list[Series]] | None = None,
) -> Value:
    """The expression's value.

    Args:
        ids: what the names in it stand for; `METRICS()` are those that are series.
        times: the starts of all periods that are asked for, for what makes up values.
        searched: what its searches found; None where nothing may be searched for.
    Raises:
        Refused: INVALID, it can not be read; UNSUPPORTED, Portside does not have a function of it.
    """
    return _Parser(expression, ids, period_s, times, searched).run()


def searches_in(expression: str) -> list[Search]:
    """Those that an expression needs to have been done."""
    return [Search(match[1], match[2], int(match[3]) if match[3] else None) for match in _SEARCH.finditer(expression)]


def names_in(expression: str) -> set[str]:
    """The ids that an expression needs: names that begin with a small letter."""
    return {match["name"] for match in _TOKEN.finditer(expression) if match["name"] and match["name"][0].islower()}


def in_order(expressions: Mapping[str, str]) -> list[str]:
    """The ids of expressions, each after those that it needs. Raises Refused: they need each other."""
    left, done = dict(expressions), list[str]()
    while left:
        ready = [each for each, text in left.items() if not names_in(text) & left.keys()]
        if not ready:
            raise _invalid(f"Circular dependency in expressions: {', '.join(sorted(left))}")
        done += ready
        for each in ready:
            del left[each]
    return done


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, f"Error in expression: {message}", "Expression")


class _Parser:
    def __init__(
        self,
        expression: str,
        ids: Mapping[str, Value],
        period_s: int,
        times: Sequence[int],
        searched: Mapping[Search, list[Series]] | None,
    ) -> None:
        self._ids, self._period_s, self._times, self._searched = ids, period_s, times, searched
        self._tokens: list[tuple[str, str]] = []
        at = 0
        text = expression.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise _invalid(f"unexpected '{text[at:][:10]}'")
            kind = match.lastgroup or ""
            self._tokens.append((kind, match[kind]))
            at = match.end()
        self._at = self._depth = 0

    def run(self) -> Value:
        value = self._either()
        if self._at < len(self._tokens):
            raise _invalid(f"unexpected '{self._tokens[self._at][1]}'")
        return value

    # --- grammar, from the weakest operator to the strongest

    def _either(self) -> Value:
        self._depth += 1
        if self._depth > _DEPTH_MOST:
            raise _invalid("it is nested too deeply")
        value = self._both()
        while self._next_is("||", "OR"):
            value = _each(lambda a, b: float(bool(a) or bool(b)), value, self._both())
        self._depth -= 1
        return value

    def _both(self) -> Value:
        value = self._compared()
        while self._next_is("&&", "AND"):
            value = _each(lambda a, b: float(bool(a) and bool(b)), value, self._compared())
        return value

    def _compared(self) -> Value:
        value = self._sum()
        while (sign := self._next_is(*_COMPARISONS)) is not None:
            value = _each(_truth_of(_COMPARISONS[sign]), value, self._sum())
        return value

    def _sum(self) -> Value:
        value = self._product()
        while (sign := self._next_is("+", "-")) is not None:
            value = _each(operator.add if sign == "+" else operator.sub, value, self._product())
        return value

    def _product(self) -> Value:
        value = self._negated()
        while (sign := self._next_is("*", "/")) is not None:
            value = _each(operator.mul if sign == "*" else _divided, value, self._negated())
        return value

    def _negated(self) -> Value:
        if self._next_is("-") is not None:
            return _each(operator.mul, -1.0, self._negated())
        return self._power()

    def _power(self) -> Value:
        value = self._atom()
        if self._next_is("^") is not None:
            return _each(_raised, value, self._negated())
        return value

    def _atom(self) -> Value:
        if self._at >= len(self._tokens):
            raise _invalid("it ends too early")
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return float(text)
        if text == "(":
            value = self._either()
            self._expect(")")
            return value
        if text == "[":
            return self._list()
        if kind == "name":
            if self._next_is("(") is not None:
                return self._call(text)
            if text in self._ids:
                return self._ids[text]
            raise _invalid(f"there is no '{text}'")
        raise _invalid(f"unexpected '{text}'")

    def _list(self) -> Value:
        found: list[Series] = []
        while True:
            found += _several(self._either())
            if self._next_is("]") is not None:
                return found
            self._expect(",")

    def _call(self, name: str) -> Value:
        arguments: list[Value] = []
        words: list[str] = []
        while self._next_is(")") is None:
            if arguments or words:
                self._expect(",")
            if self._at < len(self._tokens) and (
                self._tokens[self._at][0] == "text" or self._tokens[self._at][1] in ("REPEAT", "LINEAR")
            ):
                kind, text = self._tokens[self._at]
                words.append(text[1:-1] if kind == "text" else text)
                self._at += 1
            else:
                arguments.append(self._either())
        if name in _UNSUPPORTED:
            raise Refused(RefusalKind.UNSUPPORTED, f"Portside does not implement {name} in expressions.", name)
        return self._apply(name, arguments, words)

    def _apply(self, name: str, arguments: list[Value], words: list[str]) -> Value:
        match name, arguments:
            case "SEARCH", [] | [float()] if len(words) == 2:
                return self._found(Search(words[0], words[1], int(arguments[0]) if arguments else None))  # type: ignore[arg-type]
            case "METRICS", []:
                wanted = words[0] if words else ""
                return [each for key, each in self._ids.items() if isinstance(each, dict) and wanted in key]
            case "METRIC_COUNT", [value]:
                return float(len(_several(value)))
            case "PERIOD", [dict()]:
                return float(self._period_s)
            case "TIME_SERIES", [float(number)]:
                return dict.fromkeys(self._times, number)
            case (("SUM" | "AVG" | "MIN" | "MAX" | "STDDEV"), [value]):
                return _reduced(_REDUCTIONS[name], value)
            case (("ABS" | "CEIL" | "FLOOR" | "LOG" | "LOG10"), [value]):
                return _mapped(_FUNCTIONS[name], value)
            case (("DIFF" | "RATE" | "RUNNING_SUM"), [dict() as series]):
                return _along(name, series)
            case "FIRST" | "LAST", [value]:
                several = _several(value)
                if not several:
                    raise _invalid(f"{name} of nothing")
                return several[0 if name == "FIRST" else -1]
            case "FILL", [value, *filling]:
                return (
                    [self._filled(each, filling, words) for each in value]
                    if isinstance(value, list)
                    else (self._filled(value, filling, words) if isinstance(value, dict) else value)
                )
            case "IF", [condition, true]:
                return _chosen(condition, true, None)
            case "IF", [condition, true, false]:
                return _chosen(condition, true, false)
        raise _invalid(f"{name} does not exist or does not take these arguments")

    def _found(self, search: Search) -> list[Series]:
        if self._searched is None:
            raise _invalid("SEARCH is not supported here")
        if search not in self._searched:
            raise _invalid("SEARCH takes a search, a statistic and a period, in single quotation marks the first two")
        return self._searched[search]

    def _filled(self, series: Series, filling: list[Value], words: list[str]) -> Series:
        if words == ["REPEAT"]:
            found: Series = {}
            for at in self._times:
                if at in series:
                    found[at] = series[at]
                elif found:
                    found[at] = next(reversed(found.values()))
            return found
        if words == ["LINEAR"]:
            known = sorted(series)
            found = dict(series)
            for left, right in itertools.pairwise(known):
                for at in self._times:
                    if left < at < right:
                        found[at] = series[left] + (series[right] - series[left]) * (at - left) / (right - left)
            return dict(sorted(found.items()))
        if len(filling) == 1 and isinstance(filling[0], float):
            return {at: series.get(at, filling[0]) for at in sorted({*self._times, *series})}
        if len(filling) == 1 and isinstance(filling[0], dict):
            other = filling[0]
            return {at: series.get(at, other.get(at, 0.0)) for at in sorted({*series, *other})}
        raise _invalid("FILL takes a series and a number, a series, REPEAT or LINEAR")

    def _next_is(self, *wanted: str) -> str | None:
        if self._at < len(self._tokens) and self._tokens[self._at][1] in wanted:
            self._at += 1
            return self._tokens[self._at - 1][1]
        return None

    def _expect(self, wanted: str) -> None:
        if self._next_is(wanted) is None:
            raise _invalid(f"'{wanted}' is missing")


_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def _truth_of(compare: Callable[[float, float], bool]) -> Callable[[float, float], float]:
    """A comparison as a number: 1 or 0; none where there is nothing to compare."""
    return lambda left, right: math.nan if math.isnan(left) or math.isnan(right) else float(compare(left, right))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.sqrt(math.fsum((each - mean) ** 2 for each in values) / len(values))


_REDUCTIONS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "SUM": math.fsum,
    "AVG": _mean,
    "MIN": min,
    "MAX": max,
    "STDDEV": _deviation,
}
_FUNCTIONS: Final[Mapping[str, Callable[[float], float]]] = {
    "ABS": abs,
    "CEIL": lambda value: float(math.ceil(value)),
    "FLOOR": lambda value: float(math.floor(value)),
    "LOG": lambda value: math.log(value) if value > 0 else math.nan,
    "LOG10": lambda value: math.log10(value) if value > 0 else math.nan,
}


def _divided(a: float, b: float) -> float:
    return a / b if b else math.nan


def _raised(a: float, b: float) -> float:
    try:
        result = a**b
    except (OverflowError, ZeroDivisionError):
        return math.nan
    return result if isinstance(result, float) else math.nan


def _several(value: Value) -> list[Series]:
    if isinstance(value, float):
        raise _invalid("a number stands where a series is needed")
    return value if isinstance(value, list) else [value]


def _kept(series: Series) -> Series:
    """Without values that are no numbers: such are no data points."""
    return {at: value for at, value in series.items() if math.isfinite(value)}


def _mapped(function: Callable[[float], float], value: Value) -> Value:
    if isinstance(value, float):
        return function(value)
    if isinstance(value, dict):
        return _kept({at: function(each) for at, each in value.items()})
    return [_kept({at: function(each) for at, each in series.items()}) for series in value]


def _each(function: Callable[[float, float], float], left: Value, right: Value) -> Value:
    """Element by element."""
    if isinstance(left, list):
        if isinstance(right, list):
            raise _invalid("two lists of series can not be combined")
        return [_series(_each(function, each, right)) for each in left]
    if isinstance(right, list):
        return [_series(_each(function, left, each)) for each in right]
    if isinstance(left, dict):
        if isinstance(right, dict):
            return _kept({at: function(value, right[at]) for at, value in left.items() if at in right})
        return _kept({at: function(value, right) for at, value in left.items()})
    if isinstance(right, dict):
        return _kept({at: function(left, value) for at, value in right.items()})
    return function(left, right)


def _series(value: Value) -> Series:
    assert isinstance(value, dict)
    return value


def _reduced(function: Callable[[Sequence[float]], float], value: Value) -> Value:
    """Of one series a number, of several series a series."""
    if isinstance(value, float):
        return value
    if isinstance(value, dict):
        return function(list(value.values())) if value else math.nan
    times = sorted({at for series in value for at in series})
    return {at: function([series[at] for series in value if at in series]) for at in times}


def _along(name: str, series: Series) -> Series:
    times = sorted(series)
    if name == "RUNNING_SUM":
        total, found = 0.0, {}
        for at in times:
            total += series[at]
            found[at] = total
        return found
    pairs = itertools.pairwise(times)
    if name == "DIFF":
        return {at: series[at] - series[before] for before, at in pairs}
    return {at: (series[at] - series[before]) / (at - before) for before, at in pairs}


def _chosen(condition: Value, true: Value, false: Value | None) -> Value:
    if isinstance(condition, list) or isinstance(true, list) or isinstance(false, list):
        raise _invalid("IF does not take lists of series")
    if isinstance(condition, float):
        chosen = true if condition else false
        if chosen is None:
            raise _invalid("IF of a number needs both values")
        return chosen
    found: Series = {}
    for at, value in condition.items():
        chosen = true if value else false
        if isinstance(chosen, float):
            found[at] = chosen
        elif isinstance(chosen, dict) and at in chosen:
            found[at] = chosen[at]
    return found
