"""EventBridge's event patterns: which events a rule is for. Pure.

Source: EventBridge user guide, "Amazon EventBridge event patterns", "Comparison operators for use in event patterns".
Strings are matched character by character; numbers by how they are written (300, 300.0 and 3.0e2 differ) except by
`numeric`; an array in the event matches if one of its elements does.
"""

import ipaddress
import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from portside.domain.record import Record
from portside.domain.refusal import RefusalKind, Refused

LENGTH_MOST: Final = 4096
_NUMERIC: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MISSING: Final = object()

Matcher = Callable[[object], bool]
"""Of one value of the event, or of `_MISSING`."""


class Number(Record, frozen=True):
    """A number as it is written."""

    text: str

    @property
    def value(self) -> float:
        return float(self.text)


class Pattern:
    """A pattern that was found to be one."""

    def __init__(self, test: Matcher) -> None:
        self._test = test

    def matches(self, event: str) -> bool:
        """
        Args:
            event: a JSON document.
        """
        return self._test(loads(event))


def loads(text: str) -> Any:
    """A JSON document, its numbers as they are written. Raises ValueError."""
    return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_no_constant)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def parsed(text: str) -> Pattern:
    """
    Raises:
        Refused: it is no pattern; the message says why.
    """
    if len(text) > LENGTH_MOST:
        raise _invalid(f"it is longer than {LENGTH_MOST} characters")
    try:
        found = json.loads(
            text, parse_int=Number, parse_float=Number, parse_constant=_no_constant, object_pairs_hook=_unique
        )
    except (ValueError, RecursionError) as error:
        raise _invalid(str(error)) from error
    if not isinstance(found, dict):
        raise _invalid("Filter is not an object")
    if not found:
        raise _invalid("Empty objects are not allowed")
    return Pattern(_object(found))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("Path is defined twice")
    return found


def _object(pattern: dict[str, Any]) -> Matcher:
    """All members have to match; of an array of objects, one element has to match all."""
    members = [(name, _member(name, value)) for name, value in pattern.items() if not _is_or(name, value)]
    either = [_either(value) for name, value in pattern.items() if _is_or(name, value)]

    def one(event: Mapping[str, Any]) -> bool:
        return all(test(event.get(name, _MISSING)) for name, test in members) and all(test(event) for test in either)

    def test(event: object) -> bool:
        if isinstance(event, list) and event:
            return any(test(each) for each in event)
        return one(event if isinstance(event, dict) else {})

    return test


def _is_or(name: str, value: object) -> bool:
    return (
        name == "$or" and isinstance(value, list) and len(value) > 1 and all(isinstance(each, dict) for each in value)
    )


def _either(alternatives: list[dict[str, Any]]) -> Matcher:
    tests = [_object(each) for each in alternatives]
    return lambda event: any(test(event) for test in tests)


def _member(name: str, value: object) -> Matcher:
    if isinstance(value, dict):
        if not value:
            raise _invalid("Empty objects are not allowed")
        return _object(value)
    if not isinstance(value, list):
        raise _invalid(f'"{name}" must be an object or an array')
    if not value:
        raise _invalid("Empty arrays are not allowed")
    return _leaf(value)


def _leaf(alternatives: list[Any]) -> Matcher:
    tests = [_alternative(each) for each in alternatives]

    def test(found: object) -> bool:
        if isinstance(found, list):
            # An empty array is there, and has no value.
            return any(test(each) for each in found) or (not found and any(one(found) for one in tests))
        return any(one(found) for one in tests)

    return test


def _alternative(value: object) -> Matcher:
    if isinstance(value, dict):
        if len(value) != 1:
            raise _invalid("Only one key allowed in match expression")
        ((name, operand),) = value.items()
        if name not in _OPERATORS:
            raise _invalid(f"Unrecognized match type {name}")
        return _OPERATORS[name](operand)
    if isinstance(value, list):
        raise _invalid("Match value must be String, number, true, false, or null")
    return lambda found: type(found) is type(value) and found == value


# --- operators


def _of_string(test: Callable[[str], bool]) -> Matcher:
    return lambda found: isinstance(found, str) and test(found)


def _text(operand: object, name: str) -> str:
    if not isinstance(operand, str):
        raise _invalid(f"{name} match pattern must be a string")
    return operand


def _prefix(operand: object) -> Matcher:
    if isinstance(operand, dict):
        folded = _ignoring_case(operand, "prefix")
        return _of_string(lambda found: found.lower().startswith(folded))
    text = _text(operand, "prefix")
    return _of_string(lambda found: found.startswith(text))


def _suffix(operand: object) -> Matcher:
    if isinstance(operand, dict):
        folded = _ignoring_case(operand, "suffix")
        return _of_string(lambda found: found.lower().endswith(folded))
    text = _text(operand, "suffix")
    return _of_string(lambda found: found.endswith(text))


def _ignoring_case(operand: dict[str, Any], name: str) -> str:
    if list(operand) != ["equals-ignore-case"]:
        raise _invalid(f"{name} match pattern must be a string, or equals-ignore-case of one")
    return _text(operand["equals-ignore-case"], name).lower()


def _equals_ignore_case(operand: object) -> Matcher:
    folded = _text(operand, "equals-ignore-case").lower()
    return _of_string(lambda found: found.lower() == folded)


def _wildcard(operand: object) -> Matcher:
    text = _text(operand, "wildcard")
    if re.search(r"(?<!\\)(?:\\\\)*\*\*", text):
        raise _invalid("Consecutive wildcard characters")
    parts: list[str] = []
    at = 0
    while at < len(text):
        if text[at] == "\\":
            if text[at + 1 : at + 2] not in ("*", "\\"):
                raise _invalid("Invalid escape character")
            parts.append(re.escape(text[at + 1]))
            at += 2
            continue
        parts.append(".*" if text[at] == "*" else re.escape(text[at]))
        at += 1
    regex = re.compile("".join(parts), re.DOTALL)
    return _of_string(lambda found: regex.fullmatch(found) is not None)


def _exists(operand: object) -> Matcher:
    if not isinstance(operand, bool):
        raise _invalid("exists match pattern must be either true or false")
    return lambda found: not isinstance(found, dict) and (found is not _MISSING) is operand


def _numeric(operand: object) -> Matcher:
    if not isinstance(operand, list) or not operand or len(operand) % 2 or len(operand) > 4:
        raise _invalid("Invalid numeric match: an operator and a number, once or twice")
    tests: list[tuple[Callable[[float, float], bool], float]] = []
    for name, limit in zip(operand[::2], operand[1::2], strict=True):
        if name not in _NUMERIC or not isinstance(limit, Number):
            raise _invalid("Invalid numeric match: an operator and a number, once or twice")
        tests.append((_NUMERIC[name], limit.value))
    return lambda found: isinstance(found, Number) and all(test(found.value, limit) for test, limit in tests)


def _cidr(operand: object) -> Matcher:
    try:
        network = ipaddress.ip_network(_text(operand, "cidr"), strict=False)
    except ValueError:
        raise _invalid(f"Malformed CIDR, one '/' required: {operand}") from None

    def test(found: str) -> bool:
        try:
            return ipaddress.ip_address(found) in network
        except ValueError:
            return False

    return _of_string(test)


def _anything_but(operand: object) -> Matcher:
    """A value, and none of these. Of an array it is enough if one element is none of them."""
    if isinstance(operand, dict):
        if len(operand) != 1 or next(iter(operand)) not in ("prefix", "suffix", "equals-ignore-case", "wildcard"):
            raise _invalid("Unsupported anything-but pattern")
        ((name, inner),) = operand.items()
        several = inner if isinstance(inner, list) else [inner]
        if not several or not all(isinstance(each, str) and each for each in several):
            raise _invalid(f"anything-but {name} must be a non-empty string, or several")
        tests = [_OPERATORS[name](each) for each in several]
        return lambda found: _is_value(found) and not any(test(found) for test in tests)
    values = operand if isinstance(operand, list) else [operand]
    if not values or not all(isinstance(each, str | Number) for each in values):
        raise _invalid("Inside anything-but list, either all values are number or string, mixed type is not supported")
    if len({type(each) for each in values}) > 1:
        raise _invalid("Inside anything-but list, either all values are number or string, mixed type is not supported")
    return lambda found: _is_value(found) and found not in values


def _is_value(found: object) -> bool:
    return found is not _MISSING and not isinstance(found, dict | list)


_OPERATORS: Final[Mapping[str, Callable[[object], Matcher]]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
    "exists": _exists,
    "numeric": _numeric,
    "cidr": _cidr,
    "anything-but": _anything_but,
}


def _invalid(reason: str) -> Refused:
    return Refused(RefusalKind.INVALID, f"Event pattern is not valid. Reason: {reason}", "EventPattern")
