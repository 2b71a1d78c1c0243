"""Search expressions: which metrics SEARCH finds. Pure.

Source: CloudWatch user guide, "CloudWatch search expression syntax".
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from portside.domain.metric import MetricName
from portside.domain.refusal import RefusalKind, Refused

SERIES_MOST: Final = 500
"""Of one search."""
LENGTH_MOST: Final = 1024
_TOKEN: Final = re.compile(r'\s*(?:(?P<exact>"[^"]*")|(?P<sign>[(){}=,])|(?P<word>[^\s(){}=,"]+))')
_PART: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
"""Of a name: `CPUUtilization` has CPU and Utilization."""
_DEPTH_MOST: Final = 20

Fits = Callable[[MetricName], bool]


class MetricSearch:
    """Args: text: `{Namespace,Dimension,...} terms`, of which one part may be missing.

    Raises: Refused: INVALID, it can not be read; UNSUPPORTED, it looks into other accounts."""

    def __init__(self, text: str) -> None:
        if len(text) > LENGTH_MOST:
            raise _invalid(f"a search has at most {LENGTH_MOST} characters")
        self._tokens: list[tuple[str, str]] = []
        at, text = 0, text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise _invalid("a quotation mark is not closed")
            kind = match.lastgroup or ""
            self._tokens.append((kind, match[kind].strip('"') if kind == "exact" else match[kind]))
            at = match.end()
        if not self._tokens:
            raise _invalid("a search needs a metric schema or a term")
        self._at = self._depth = 0
        self.namespace: str | None = None
        schema = self._schema() if self._next_is("{") else None
        terms = self._either() if self._at < len(self._tokens) else None
        if self._at < len(self._tokens):
            raise _invalid(f"unexpected '{self._tokens[self._at][1]}' in a search")
        self._parts = [each for each in (schema, terms) if each is not None]

    def finds(self, metric: MetricName) -> bool:
        return all(each(metric) for each in self._parts)

    def _schema(self) -> Fits:
        """Exactly these dimensions, whatever their values."""
        names = [self._value()]
        while self._next_is(","):
            names.append(self._value())
        if not self._next_is("}"):
            raise _invalid("'}' is missing in a search")
        self.namespace, dimensions = names[0], sorted(names[1:])
        return lambda metric: (
            metric.namespace == names[0] and sorted(name for name, _ in metric.dimensions) == dimensions
        )

    def _either(self) -> Fits:
        self._depth += 1
        if self._depth > _DEPTH_MOST:
            raise _invalid("a search is nested too deeply")
        several = [self._both()]
        while self._next_is("OR"):
            several.append(self._both())
        self._depth -= 1
        return several[0] if len(several) == 1 else lambda metric: any(each(metric) for each in several)

    def _both(self) -> Fits:
        several = [self._not()]
        while True:
            if not self._next_is("AND") and (self._ends() or self._peek() in (("word", "OR"), ("sign", ")"))):
                return several[0] if len(several) == 1 else lambda metric: all(each(metric) for each in several)
            several.append(self._not())

    def _not(self) -> Fits:
        if self._next_is("NOT"):
            fits = self._not()
            return lambda metric: not fits(metric)
        if self._next_is("("):
            fits = self._either()
            if not self._next_is(")"):
                raise _invalid("')' is missing in a search")
            return fits
        return self._term()

    def _term(self) -> Fits:
        kind, text = self._peek()
        value = self._value()
        if not self._next_is("="):
            return _one(lambda metric: (metric.namespace, metric.name, *sum(metric.dimensions, ())), kind, text)
        if value.startswith(":aws."):
            raise Refused(RefusalKind.UNSUPPORTED, f"Portside does not implement {value} in searches.", value)
        of = _of(value)
        if self._next_is("("):
            # Any of several values, as `Name=(a OR "b")`.
            found = [self._valued(of)]
            while self._next_is("OR"):
                found.append(self._valued(of))
            if not self._next_is(")"):
                raise _invalid("')' is missing in a search")
            return lambda metric: any(each(metric) for each in found)
        return self._valued(of)

    def _valued(self, of: Callable[[MetricName], Iterable[str]]) -> Fits:
        kind, text = self._peek()
        self._value()
        return _one(of, kind, text)

    def _value(self) -> str:
        kind, text = self._peek()
        if kind not in ("exact", "word"):
            raise _invalid(f"unexpected '{text}' in a search" if text else "a search ends too early")
        self._at += 1
        return text

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if not self._ends() else ("", "")

    def _ends(self) -> bool:
        return self._at >= len(self._tokens)

    def _next_is(self, wanted: str) -> bool:
        kind, text = self._peek()
        found = kind != "exact" and text == wanted
        self._at += found
        return found


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, f"Error in expression: {message}", "Expression")


def _of(designator: str) -> Callable[[MetricName], Iterable[str]]:
    """What of a metric a designator stands for: its name, its namespace, or the value of a dimension."""
    if designator == "MetricName":
        return lambda metric: (metric.name,)
    if designator == "Namespace":
        return lambda metric: (metric.namespace,)
    return lambda metric: [value for name, value in metric.dimensions if name == designator]


def _one(of: Callable[[MetricName], Iterable[str]], kind: str, wanted: str) -> Fits:
    """In quotation marks the whole as it is, otherwise parts of it in a row, large or small."""
    if kind == "exact":
        return lambda metric: wanted in of(metric)
    parts = _parts(wanted)
    return lambda metric: any(each.lower() == wanted.lower() or _has_row(_parts(each), parts) for each in of(metric))


def _parts(text: str) -> list[str]:
    return [each.lower() for each in _PART.findall(text)]


def _has_row(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether these parts, written together, are some of those in a row."""
    whole = "".join(wanted)
    return bool(whole) and any(
        "".join(parts[begin:end]) == whole for begin in range(len(parts)) for end in range(begin + 1, len(parts) + 1)
    )


def labels(found: Sequence[MetricName]) -> list[str]:
    """What tells metrics apart: values of dimensions that not all share, the name, the namespace; of one, its name."""
    shared = set.intersection(*(set(each.dimensions) for each in found)) if found else set()
    names = {each.name for each in found}
    namespaces = {each.namespace for each in found}
    said = []
    for each in found:
        words = [each.namespace] if len(namespaces) > 1 else []
        words += [value for name, value in each.dimensions if (name, value) not in shared]
        words += [each.name] if len(names) > 1 or not words else []
        said.append(" ".join(words))
    return said
