"""What a message has somewhere if a pattern or a filter finds it: known once, before any message is read. Pure.

Looking for a few texts is far cheaper than reading a document. A need never leaves out a message that is found; it may
let others through, so what comes through is looked at as before.
"""

from collections.abc import Iterable
from typing import Final

Needs = tuple[tuple[str, ...], ...]
"""A message has, of each row, at least one text."""

_ESCAPED: Final = frozenset('"\\/\b\f\n\r\t')
"""Characters that JSON has an escape of two letters for; any other can be hidden by `\\u` alone."""
_OF_NUMBERS: Final = frozenset("0123456789+-.eEtrufalsin")
"""Of how a number, `true`, `false`, `null`, `inf` and `nan` are written."""
_WORDS: Final = frozenset(["true", "false", "null", "inf", "nan"])


def in_message(text: str) -> Needs:
    """It is there as it stands."""
    return ((text,),) if text else ()


def in_string(text: str) -> Needs:
    """It is within a string, or a name, of a JSON document."""
    return ((text, "\\" if _ESCAPED.intersection(text) else "\\u"),) if text else ()


def equal_to(text: str) -> Needs:
    """A value is that text, which is no number: no number and no constant is written so."""
    return in_string(text) if text[:1].isalpha() and text.lower() not in _WORDS else part_of(text)


def part_of(text: str) -> Needs:
    """A value has that text in it; numbers are not written in a document as they are compared."""
    return () if _OF_NUMBERS.issuperset(text) else in_string(text)


def either(several: Iterable[Needs]) -> Needs:
    """Of what is found if one of several holds: a row of each, or nothing."""
    found: dict[str, None] = {}
    for needs in several:
        if not needs:
            return ()
        longest = max(needs, key=lambda row: len(row[0]))
        found.update(dict.fromkeys(longest))
    return (tuple(found),)


def may_be(needs: Needs, message: str) -> bool:
    return all(any(text in message for text in row) for row in needs)
