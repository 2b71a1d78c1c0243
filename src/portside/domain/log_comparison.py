"""Values that filter patterns compare with: text with asterisks, numbers, regular expressions."""

import re
from collections.abc import Callable
from typing import Final

from portside.domain.log_regex import LogRegex
from portside.domain.record import Record
from portside.domain.refusal import RefusalKind, Refused

Test = Callable[[str], bool]

_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
ORDERS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}


class Literal(Record, frozen=True, kw_only=True):
    """What stands behind an operator. `pieces`: the text between asterisks."""

    pieces: tuple[str, ...] = ("",)
    is_quoted: bool = False
    regex: str | None = None

    @property
    def number(self) -> float | None:
        return None if self.is_quoted or self.regex is not None or len(self.pieces) > 1 else number_of(self.pieces[0])

    def test(self) -> Test:
        """Whether a text is like it."""
        if self.regex is not None:
            return LogRegex(self.regex).found_in
        return like(self.pieces)


def number_of(text: str) -> float | None:
    """The number that a text is, in decimal or scientific notation; None if it is none."""
    return float(text) if len(text) < 400 and _NUMBER.fullmatch(text) else None


def like(pieces: tuple[str, ...]) -> Test:
    """Whether a text is these pieces with anything between them."""
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return lambda text: text == first
    middle = [piece for piece in pieces[1:-1] if piece]

    def test(text: str) -> bool:
        end = len(text) - len(last)
        if not text.startswith(first) or not text.endswith(last) or end < len(first):
            return False
        at = len(first)
        for piece in middle:
            found = text.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True

    return test


def quoted(text: str, at: int) -> tuple[tuple[str, ...], int]:
    """The pieces of a quoted text that begins there, and where it ends; `\\"`, `\\\\` and `\\*` are the characters.

    Raises:
        Refused: INVALID, it is not closed.
    """
    pieces, letters = list[str](), list[str]()
    at += 1
    while at < len(text) and text[at] != '"':
        if text[at] == "*":
            pieces.append("".join(letters))
            letters.clear()
        else:
            at += text[at] == "\\" and at + 1 < len(text)
            letters.append(text[at])
        at += 1
    if at >= len(text):
        raise invalid()
    return (*pieces, "".join(letters)), at + 1


def regex_at(text: str, at: int) -> tuple[str, int]:
    """The expression between percent signs that begins there, and where it ends. Raises Refused: it is not closed."""
    end = text.find("%", at + 1)
    if end < 0:
        raise invalid()
    return text[at + 1 : end], end + 1


def invalid(said: str = "Invalid filter pattern") -> Refused:
    return Refused(RefusalKind.INVALID, said, "filterPattern")


def bad_term(term: str) -> Refused:
    return invalid(f"Invalid character(s) in term '{term}'")
