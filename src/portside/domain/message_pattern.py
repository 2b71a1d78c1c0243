"""The patterns of log messages: texts that recur, with tokens in the places where they vary. Pure.

What looks like a value (a time, an address, an id, a number, any word with a digit in it) is a token at once. Messages
that are the same but for those have one shape, and shapes are counted. In the end, shapes with the same punctuation,
keys and severity, and with most of their words in common, are laid over each other: a place where they have many
different words is a token, too; where they have a few, there are as many patterns. So which patterns there are does not
depend on the order of the messages, as long as their shapes all fit in memory.

Source: CloudWatch Logs user guide, "pattern", for what is found and what it is called, and for the tokens Time, ID and
IPAddress. How AWS finds it is not published.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

MESSAGE_MOST: Final = 4096
"""So many characters of a message are looked at."""
SHAPES_MOST: Final = 4000
"""Shapes that are kept in memory. At more than these they are made patterns on the way."""
PATTERNS_MOST: Final = 1000
"""Patterns that are found. What has none of the most frequent ones has the pattern `<Token-1>`."""
ALIKE: Final = 0.6
"""Shapes are laid over each other from this share of words in common on."""
VARIED_LEAST: Final = 4
"""From so many different words on a place varies."""

_KINDS: Final = {
    "Time": (
        r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[-+]\d\d:?\d\d)?)?"
        r"|\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d(?: [-+]\d{4})?"
        r"|\d\d:\d\d:\d\d(?:[.,]\d+)?"
    ),
    "ID": r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "IPAddress": r"\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?",
    "Number": r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?",
    "Token": r"[\w.%-]*\d[\w.%-]*",
}
_DYNAMIC: Final = re.compile(
    r"(?<![\w.%-])(?:"
    + "|".join(f"(?P<{name}>(?:{kind})(?!{'' if name == 'Token' else r'[.%-]?'}\\w))" for name, kind in _KINDS.items())
    + ")"
)
_MARKED: Final = re.compile("\0([A-Za-z]+)\0")
_PIECE: Final = re.compile("(\0[A-Za-z]+\0|\\w+)")
_ANY: Final = "\0Token\0"
_SEVERITY: Final = re.compile(
    r"(?<![\w/.-])(fatal|critical|error|warn(?:ing)?|info|debug|trace)(?!\.?[\w/-])", re.IGNORECASE
)
"""A word by itself: none of a path or of a longer name."""
_LABELS: Final = {
    "fatal": "Error",
    "critical": "Error",
    "error": "Error",
    "warn": "Warning",
    "warning": "Warning",
    "info": "Info",
    "debug": "Debug",
    "trace": "Debug",
}


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """`severity`: what its messages say of themselves; empty if they say nothing."""

    text: str
    count: int
    severity: str


class Patterns:
    """Takes messages; tells their patterns."""

    def __init__(self) -> None:
        self._shapes: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return self._shapes.total()

    def take(self, message: str) -> None:
        self._shapes[_shape(message)] += 1
        if len(self._shapes) > SHAPES_MOST:
            self._shapes = _few(_patterns(self._shapes), SHAPES_MOST // 2)

    def found(self) -> list[Pattern]:
        """The most frequent first."""
        several = _few(_patterns(self._shapes), PATTERNS_MOST)
        return [
            Pattern(text=_shown(each), count=several[each], severity=_severity(each)) for each in _in_order(several)
        ]


def _shape(message: str) -> str:
    """The message with a mark in place of each token."""
    return _DYNAMIC.sub(lambda match: f"\0{match.lastgroup}\0", message[:MESSAGE_MOST].replace("\0", " "))


def _severity(shape: str) -> str:
    found = _SEVERITY.search(shape)
    return _LABELS[found[1].lower()] if found else ""


def _shown(shape: str) -> str:
    """With the number of each token."""
    number = iter(range(1, len(shape)))
    return _MARKED.sub(lambda match: f"<{match[1]}-{next(number)}>", shape)


def _few(patterns: Counter[str], most: int) -> Counter[str]:
    """Those that are beyond have one that says nothing."""
    if len(patterns) <= most:
        return patterns
    ordered = _in_order(patterns)
    few = Counter({each: patterns[each] for each in ordered[: most - 1]})
    few[_ANY] += sum(patterns[each] for each in ordered[most - 1 :])
    return few


def _in_order(shapes: Counter[str]) -> list[str]:
    """The most frequent first."""
    return sorted(shapes, key=lambda each: (-shapes[each], each))


def _patterns(shapes: Counter[str]) -> Counter[str]:
    alike: dict[tuple[str, ...], list[list[str]]] = {}
    for shape in _in_order(shapes):
        pieces = _PIECE.split(shape)
        alike.setdefault((_severity(shape), *_frame(pieces)), []).append(pieces)
    found: Counter[str] = Counter()
    for several in alike.values():
        for members in _clusters(several):
            places = range(1, len(members[0]), 2)
            varies = {place for place in places if _is_varied({each[place] for each in members})}
            for pieces in members:
                pattern = "".join(_ANY if place in varies else piece for place, piece in enumerate(pieces))
                found[pattern] += shapes["".join(pieces)]
    return found


def _frame(pieces: Sequence[str]) -> Iterator[str]:
    """What shapes share that are laid over each other: what is between their words, and their keys."""
    for place, piece in enumerate(pieces):
        if place % 2 == 0:
            yield piece
        elif _is_key(pieces, place):
            yield f"{place} {piece}"


def _is_key(pieces: Sequence[str], place: int) -> bool:
    """Whether a value comes next: `key=` and `"key":`."""
    return pieces[place + 1].lstrip("\"'")[:1] in ("=", ":")


def _is_varied(pieces: set[str]) -> bool:
    return len(pieces) > 1 and (len(pieces) >= VARIED_LEAST or _ANY in pieces)


def _clusters(several: Iterable[list[str]]) -> list[list[list[str]]]:
    """Each shape with the first one that it is like, the most frequent shapes first."""
    clusters: list[list[list[str]]] = []
    words_of: list[int] = []
    having: dict[tuple[int, str], list[int]] = {}
    only_tokens: list[list[str]] = []
    for pieces in several:
        words = [(place, pieces[place]) for place in range(1, len(pieces), 2) if _is_word(pieces, place)]
        if not words:
            only_tokens.append(pieces)
            continue
        keys = sum(pieces[place][0] != "\0" for place in range(1, len(pieces), 2)) - len(words)
        places = len(pieces) // 2 - keys
        same = Counter(number for word in words for number in having.get(word, ()))
        for number in sorted(same):
            # where one has a word and the other a token, nothing is compared
            least = len(words) + words_of[number] - places
            if same[number] >= ALIKE * least and _are_alike(clusters[number][0], pieces):
                clusters[number].append(pieces)
                break
        else:
            for word in words:
                having.setdefault(word, []).append(len(clusters))
            clusters.append([pieces])
            words_of.append(len(words))
    return [*clusters, *([only_tokens] if only_tokens else [])]


def _is_word(pieces: Sequence[str], place: int) -> bool:
    """One that tells shapes apart: no token, and no key."""
    return pieces[place][0] != "\0" and not _is_key(pieces, place)


def _are_alike(one: Sequence[str], other: Sequence[str]) -> bool:
    both = [place for place in range(1, len(one), 2) if _is_word(one, place) and _is_word(other, place)]
    same = sum(one[place] == other[place] for place in both)
    return same > 0 and same >= ALIKE * len(both)
