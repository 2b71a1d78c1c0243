"""JSON filter patterns: `{ $.level = "ERROR" && ($.took > 3 || $.user IS NULL) }`.

Source: CloudWatch Logs user guide, "Using filter patterns to match terms in JSON log events". A condition on a member
that is not there, or that is an object or array, does not hold, whatever its operator; NOT EXISTS holds then alone.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from portside.domain import log_need
from portside.domain.log_comparison import (
    ORDERS,
    Literal,
    bad_term,
    invalid,
    quoted,
    regex_at,
)
from portside.domain.log_need import Needs
from portside.domain.log_regex import LogRegex

REGEXES_MOST: Final = 2
WILDCARDS_MOST: Final = 3
"""Selectors with an asterisk in one pattern; each has one asterisk."""
_NESTED_MOST: Final = 50

Holds = Callable[[Any], bool]
_Condition = tuple[Holds, Needs]
Step = str | int | None
"""A member's name, an element's number, or None for any."""

_SELECTOR_STEP: Final = re.compile(
    r"\.([A-Za-z0-9_-]+)|\.(\*)|\[(\d{1,9})\]|\[(\*)\]|\.?\['((?:[^'\\]|\\.)*)'\]",
    re.ASCII,
)
_WORD: Final = re.compile(r'[^\s()&|=!<>"%,{}\[\]]+')
_OPERATOR: Final = re.compile(r"!=|>=|<=|=|>|<")
_IS: Final = re.compile(r"IS\s+(NULL|TRUE|FALSE)(?![A-Za-z0-9_])|NOT\s+EXISTS(?![A-Za-z0-9_])", re.IGNORECASE)
_CONSTANTS: Final = {"NULL": None, "TRUE": True, "FALSE": False}


def document_of(message: str) -> Any:
    """The JSON document that a message is; None if it is none."""
    if message[:1] not in "{[" and message.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


def text_of(value: Any) -> str:
    """A scalar as it is written."""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


class Selector:
    """`$.a.b[0]`: what it points to in a document."""

    def __init__(self, text: str, steps: tuple[Step, ...]) -> None:
        self.text, self._steps = text, steps
        self.wildcards = steps.count(None)
        self.needs = log_need.in_string(max((each for each in steps if isinstance(each, str)), key=len, default=""))

    def found(self, document: Any) -> Iterator[Any]:
        values = [document]
        for step in self._steps:
            values = [each for value in values for each in _inside(value, step)]
        yield from values

    def first(self, document: Any) -> str | None:
        """As text, what is a string, number or boolean; None if there is none."""
        for value in self.found(document):
            if isinstance(value, str | int | float):
                return text_of(value)
        return None


def _inside(value: Any, step: Step) -> Iterator[Any]:
    if step is None:
        yield from value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    elif isinstance(step, str):
        if isinstance(value, dict) and step in value:
            yield value[step]
    elif isinstance(value, list) and step < len(value):
        yield value[step]


def selector_at(text: str, at: int) -> tuple[Selector, int]:
    """The selector that begins there, and where it ends. Raises Refused."""
    start, steps = at, list[Step]()
    at += 1  # the dollar
    while (match := _SELECTOR_STEP.match(text, at)) is not None:
        name, any_member, number, any_element, quoted_name = match.groups()
        if any_member or any_element:
            steps.append(None)
        elif number is not None:
            steps.append(int(number))
        else:
            steps.append(name if name is not None else re.sub(r"\\(.)", r"\1", quoted_name))
        at = match.end()
    if not steps:
        raise bad_term(text[start : start + 1])
    if steps.count(None) > 1:
        raise invalid("Invalid filter pattern: a property selector can have one wildcard")
    return Selector(text[start:at], tuple(steps)), at


class JsonPattern:
    """Implements `Pattern`.

    Raises:
        Refused: INVALID.
    """

    def __init__(self, text: str) -> None:
        parser = _Parser(text)
        self._holds, self.needs = parser.whole()
        self.selectors: Mapping[str, Selector] = parser.selectors
        self.regexes = parser.regexes

    def matches(self, message: str) -> bool:
        if self.needs and not log_need.may_be(self.needs, message):
            return False
        document = document_of(message)
        return document is not None and self._holds(document)

    def extract(self, message: str) -> dict[str, str]:
        """What its selectors point to, by their text."""
        document = document_of(message)
        values = ((name, selector.first(document)) for name, selector in self.selectors.items())
        return {name: value for name, value in values if value is not None}


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text[1:-1]
        self._at = 0
        self.selectors: dict[str, Selector] = {}
        self.regexes = 0

    def whole(self) -> _Condition:
        found = self._any(0)
        if self._skip() < len(self._text):
            raise self._unexpected()
        if sum(each.wildcards > 0 for each in self.selectors.values()) > WILDCARDS_MOST:
            raise invalid(f"Invalid filter pattern: at most {WILDCARDS_MOST} property selectors can have a wildcard")
        if self.regexes > REGEXES_MOST:
            raise invalid(f"Invalid filter pattern: at most {REGEXES_MOST} regular expressions are allowed")
        return found

    def _any(self, depth: int) -> _Condition:
        if depth > _NESTED_MOST:
            raise invalid()
        several = [self._all(depth)]
        while self._take("||"):
            several.append(self._all(depth))
        found = several[0][0]
        for each, _ in several[1:]:
            found = _either(found, each)
        return found, log_need.either(needs for _, needs in several) if len(several) > 1 else several[0][1]

    def _all(self, depth: int) -> _Condition:
        found, needs = self._condition(depth)
        while self._take("&&"):
            other, more = self._condition(depth)
            found, needs = _both(found, other), needs + more
        return found, needs

    def _condition(self, depth: int) -> _Condition:
        if self._take("("):
            found = self._any(depth + 1)
            if not self._take(")"):
                raise self._unexpected()
            return found
        if self._text[self._skip() :][:1] != "$":
            raise self._unexpected()
        selector, self._at = selector_at(self._text, self._at)
        selector = self.selectors.setdefault(selector.text, selector)
        named = _IS.match(self._text, self._skip())
        if named is not None:
            self._at = named.end()
            if named[1] is None:
                return (lambda document: next(selector.found(document), _NONE) is _NONE), ()
            constant = _CONSTANTS[named[1].upper()]
            return (lambda document: any(each is constant for each in selector.found(document))), selector.needs
        operator = _OPERATOR.match(self._text, self._skip())
        if operator is None:
            raise self._unexpected()
        self._at = operator.end()
        literal = self._literal()
        test = _compared(operator[0], literal)
        needs = (_needs(literal) if operator[0] == "=" else ()) or selector.needs
        return (lambda document: any(map(test, selector.found(document)))), needs

    def _literal(self) -> Literal:
        letter = self._text[self._skip() :][:1]
        if letter == '"':
            pieces, self._at = quoted(self._text, self._at)
            return Literal(pieces=pieces, is_quoted=True)
        if letter == "%":
            expression, self._at = regex_at(self._text, self._at)
            self.regexes += 1
            return Literal(regex=expression)
        word = _WORD.match(self._text, self._at)
        if word is None:
            raise self._unexpected()
        if not word[0].isascii():
            raise bad_term(word[0])
        self._at = word.end()
        return Literal(pieces=tuple(word[0].split("*")))

    def _skip(self) -> int:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at

    def _take(self, word: str) -> bool:
        if not self._text.startswith(word, self._skip()):
            return False
        self._at += len(word)
        return True

    def _unexpected(self) -> Exception:
        letter = self._text[self._skip() :][:1]
        return bad_term(letter) if letter else invalid()


_NONE: Final = object()


def _needs(literal: Literal) -> Needs:
    """Of a document with a value that is like it."""
    if literal.is_quoted:  # no number is
        return tuple(row for piece in literal.pieces for row in log_need.in_string(piece))
    if literal.regex is not None:
        return log_need.part_of(LogRegex(literal.regex).literal)
    if literal.number is not None:
        return ()
    if len(literal.pieces) == 1:
        return log_need.equal_to(literal.pieces[0])
    return tuple(row for piece in literal.pieces for row in log_need.part_of(piece))


def _either(a: Holds, b: Holds) -> Holds:
    return lambda document: a(document) or b(document)


def _both(a: Holds, b: Holds) -> Holds:
    return lambda document: a(document) and b(document)


def _compared(operator: str, literal: Literal) -> Holds:
    """Of one value that a selector points to."""
    number = literal.number
    if operator in ORDERS:
        if number is None:
            raise invalid()
        order, limit = ORDERS[operator], number
        return lambda value: _is_number(value) and order(value, limit)
    is_like, wanted = literal.test(), operator == "="
    only_text = literal.is_quoted

    def test(value: Any) -> bool:
        if isinstance(value, str):
            return is_like(value) is wanted
        if not _is_number(value):
            return False
        if number is not None:
            return (value == number) is wanted
        return (not only_text and is_like(text_of(value))) is wanted

    return test


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
