"""Space-delimited filter patterns: `[ip, user, ..., status = 4*, bytes > 1000]`.

Source: CloudWatch Logs user guide, "Using filter patterns to match terms in space-delimited log events". Text in
quotes or brackets is one field. Without `...` the last field is the whole rest of the message.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from portside.domain import log_need
from portside.domain.log_comparison import ORDERS, Literal, Test, bad_term, invalid, number_of, quoted, regex_at
from portside.domain.log_need import Needs
from portside.domain.log_regex import LogRegex

REGEXES_MOST: Final = 2
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_OPERATOR: Final = re.compile(r"!=|>=|<=|=|>|<")
_WORD: Final = re.compile(r'[^\s,"%()]+?(?=\s|,|&&|\|\||\)|$)')
_NESTED_MOST: Final = 50
_ELLIPSIS: Final = "..."
_Condition = tuple[Test, Needs]
_CLOSING: Final = {"[": "]", '"': '"'}


class FieldPattern:
    """Implements `Pattern`.

    Raises:
        Refused: INVALID.
    """

    def __init__(self, text: str) -> None:
        parser = _Parser(text)
        fields, self.needs = parser.fields()
        self.regexes = parser.regexes
        names = [name for name, _ in fields]
        self._has_ellipsis = _ELLIPSIS in names
        at = names.index(_ELLIPSIS) if self._has_ellipsis else len(names)
        self._head, self._tail = fields[:at], fields[at + 1 :]
        self.names = frozenset(f"${name}" for name in names if name and name != _ELLIPSIS)

    def matches(self, message: str) -> bool:
        return self._values(message) is not None

    def extract(self, message: str) -> dict[str, str]:
        """The fields by their names, and those without one by their number; empty if it does not match."""
        return self._values(message) or {}

    def _values(self, message: str) -> dict[str, str] | None:
        head, tail = self._head, self._tail
        fewest = len(head) + len(tail)
        words = fields_of(message, None if self._has_ellipsis else fewest)
        if len(words) < fewest:
            return None
        back = len(words) - len(tail)
        for fields, start in ((head, 0), (tail, back)):
            for number, (_, test) in enumerate(fields, start):
                if test is not None and not test(words[number]):
                    return None
        names = [name for name, _ in head] + [""] * (back - len(head)) + [name for name, _ in tail]
        return {f"${name or number}": word for number, (name, word) in enumerate(zip(names, words, strict=True), 1)}


def fields_of(message: str, most: int | None) -> list[str]:
    """The fields of a message; with `most` the last of so many is all that is left."""
    words: list[str] = []
    at, end = 0, len(message.rstrip())
    hopeless: set[str] = set()
    """Closing characters that do not come any more."""
    while True:
        while at < end and message[at].isspace():
            at += 1
        if at >= end:
            return words
        closing = _CLOSING.get(message[at])
        after = -1
        if closing is not None and closing not in hopeless:
            after = message.find(closing, at + 1, end)
            if after < 0:
                hopeless.add(closing)
        if after >= 0:
            if len(words) + 1 == most and after + 1 < end:
                words.append(message[at:end])
                return words
            words.append(message[at + 1 : after])
            at = after + 1
            continue
        start = at
        if len(words) + 1 == most:
            at = end
        while at < end and not message[at].isspace():
            at += 1
        words.append(message[start:at])


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text[1:-1]
        self._at = 0
        self.regexes = 0

    def fields(self) -> tuple[Sequence[tuple[str, Test | None]], Needs]:
        """Names (empty, or `...`) with their tests."""
        several = [self._field()]
        while self._take(","):
            several.append(self._field())
        found = [(name, condition[0] if condition is not None else None) for name, condition in several]
        if self._skip() < len(self._text):
            raise bad_term(self._text[self._at])
        if [name for name, _ in found].count(_ELLIPSIS) > 1:
            raise invalid()
        names = [name for name, _ in found if name and name != _ELLIPSIS]
        if len(set(names)) < len(names):
            raise invalid("Invalid filter pattern: field names must be unique")
        if self.regexes > REGEXES_MOST:
            raise invalid(f"Invalid filter pattern: at most {REGEXES_MOST} regular expressions are allowed")
        return found, tuple(row for _, condition in several if condition is not None for row in condition[1])

    def _field(self) -> tuple[str, _Condition | None]:
        if self._take(_ELLIPSIS):
            return _ELLIPSIS, None
        if self._text[self._skip() :][:1] in ("", ","):
            return "", None
        match = _NAME.match(self._text, self._at)
        if match is not None:
            after = self._text[match.end() :].lstrip()[:1]
            if after in ("", ","):
                self._at = match.end()
                return match[0], None
        names: list[str] = []
        test = self._any(names, 0)
        if len({name.lower() for name in names}) != 1:
            raise invalid()
        return names[0], test

    def _any(self, names: list[str], depth: int) -> _Condition:
        if depth > _NESTED_MOST:
            raise invalid()
        several = [self._all(names, depth)]
        while self._take("||"):
            several.append(self._all(names, depth))
        found = several[0][0]
        for each, _ in several[1:]:
            found = _either(found, each)
        return found, log_need.either(needs for _, needs in several) if len(several) > 1 else several[0][1]

    def _all(self, names: list[str], depth: int) -> _Condition:
        found, needs = self._condition(names, depth)
        while self._take("&&"):
            other, more = self._condition(names, depth)
            found, needs = _both(found, other), needs + more
        return found, needs

    def _condition(self, names: list[str], depth: int) -> _Condition:
        if self._take("("):
            found = self._any(names, depth + 1)
            if not self._take(")"):
                raise self._unexpected()
            return found
        name = _NAME.match(self._text, self._skip())
        if name is None:
            raise self._unexpected()
        names.append(name[0])
        self._at = name.end()
        operator = _OPERATOR.match(self._text, self._skip())
        if operator is None:
            raise self._unexpected()
        self._at = operator.end()
        literal = self._literal()
        return _compared(operator[0], literal), _needs(literal) if operator[0] == "=" else ()

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


def _needs(literal: Literal) -> Needs:
    """Of a message with a field that is like it: fields stand in messages as they are."""
    if literal.number is not None:
        return ()
    if literal.regex is not None:
        return log_need.in_message(LogRegex(literal.regex).literal)
    return tuple(row for piece in literal.pieces for row in log_need.in_message(piece))


def _either(a: Test, b: Test) -> Test:
    return lambda text: a(text) or b(text)


def _both(a: Test, b: Test) -> Test:
    return lambda text: a(text) and b(text)


def _compared(operator: str, literal: Literal) -> Test:
    number = literal.number
    if operator in ORDERS:
        if number is None:
            raise invalid()
        return _ordered(ORDERS[operator], number)
    is_like, wanted = literal.test(), operator == "="
    if number is None:
        return lambda text: is_like(text) is wanted
    return lambda text: (is_like(text) or number_of(text) == number) is wanted


def _ordered(order: Callable[[float, float], bool], limit: float) -> Test:
    def test(text: str) -> bool:
        value = number_of(text)
        return value is not None and order(value, limit)

    return test
