"""Which lines begin an event: regular expressions as the awslogs driver takes them, searched in time that grows with
the line alone, whatever the expression. Pure.

The syntax is that of Go's regexp without word boundaries, Unicode properties and named classes; those are refused. An
expression becomes a set of states that goes through the line once; transitions are remembered.

Source: Go, package regexp/syntax; ECS API, LogConfiguration, "awslogs-datetime-format" and "awslogs-multiline-pattern".
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

_STATES_MOST: Final = 5000
"""Of an expression, with its counted repetitions written out."""
_REPEATS_MOST: Final = 1000
_KNOWN_MOST: Final = 10_000
"""Transitions that are remembered."""
_QUANTIFIER: Final = re.compile(r"[*+?]|\{(\d+)(?:(,)(\d*))?\}")
_CLASSES: Final = {"d": "0-9", "s": "\t\n\f\r ", "w": "0-9A-Za-z_"}
_CONTROL: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}

Fits = Callable[[str], bool]


class LinePatternError(Exception):
    """What is wrong with an expression, or not supported of it."""


class LinePattern:
    """Raises: LinePatternError."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._fits: list[Fits | None] = []
        self._next: list[list[int]] = []
        self._anchors: dict[int, str] = {}
        end = self._state()
        self._end = end
        self._start = _Parser(self, text).parse(end)
        self._known: dict[tuple[frozenset[int], str], frozenset[int]] = {}
        self._first = self._closure([self._start], is_first=True)
        self._anywhere = self._closure([self._start])

    def found_in(self, line: str) -> bool:
        """Whether it matches anywhere in the line."""
        now = self._first
        for character in line:
            if self._end in now:
                return True
            following = self._known.get((now, character))
            if following is None:
                following = self._step(now, character)
            now = following
        return self._end in now or self._end in self._closure(now, is_last=True, is_first=not line)

    def _step(self, now: frozenset[int], character: str) -> frozenset[int]:
        passed = [
            following
            for state in now
            if (fits := self._fits[state]) is not None and fits(character)
            for following in self._next[state]
        ]
        found = self._closure(passed) | self._anywhere
        if len(self._known) >= _KNOWN_MOST:
            self._known.clear()
        self._known[now, character] = found
        return found

    def _closure(self, states: Iterable[int], *, is_first: bool = False, is_last: bool = False) -> frozenset[int]:
        """All that is reached without a character."""
        found: set[int] = set()
        waiting = list(states)
        while waiting:
            state = waiting.pop()
            if state in found:
                continue
            found.add(state)
            anchor = self._anchors.get(state)
            is_open = anchor is None or (is_first if anchor == "^" else is_last)
            if self._fits[state] is None and is_open:
                waiting += self._next[state]
        return frozenset(found)

    def _state(self, following: Iterable[int] = (), fits: Fits | None = None, anchor: str = "") -> int:
        if len(self._fits) >= _STATES_MOST:
            raise LinePatternError("it is too long")
        self._fits.append(fits)
        self._next.append(list(following))
        if anchor:
            self._anchors[len(self._fits) - 1] = anchor
        return len(self._fits) - 1


# What is put before a state: gives the state that it begins with.
Part = Callable[[int], int]


class _Parser:
    def __init__(self, pattern: LinePattern, text: str) -> None:
        self._pattern, self._text, self._at = pattern, text, 0
        self._depth = 0
        self._ignores_case = text.startswith("(?i)")
        if self._ignores_case:
            self._at = 4

    def parse(self, end: int) -> int:
        whole = self._alternatives()
        if self._at < len(self._text):
            raise LinePatternError("unexpected )")
        return whole(end)

    def _alternatives(self) -> Part:
        self._depth += 1
        if self._depth > 50:
            raise LinePatternError("it is nested too deeply")
        several = [self._row()]
        while self._peek() == "|":
            self._at += 1
            several.append(self._row())
        self._depth -= 1
        if len(several) == 1:
            return several[0]
        return lambda following: self._pattern._state([each(following) for each in several])

    def _row(self) -> Part:
        parts: list[Part] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._quantified(self._atom()))

        def row(following: int) -> int:
            for each in reversed(parts):
                following = each(following)
            return following

        return row

    def _quantified(self, part: Part) -> Part:
        match = _QUANTIFIER.match(self._text, self._at)
        if match is None:
            return part
        self._at = match.end()
        if self._peek() == "?":
            self._at += 1  # which of several matches makes no difference here
        if self._peek() in ("*", "+", "?") or _QUANTIFIER.match(self._text, self._at):
            raise LinePatternError("invalid nested repetition operator")
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(match[0], (int(match[1] or 0), None))
        if match[1] is not None:
            most = None if match[2] and not match[3] else int(match[3] or match[1])
        if max(least, most or 0) > _REPEATS_MOST or (most is not None and most < least):
            raise LinePatternError("invalid repeat count")
        return self._repeated(part, least, most)

    def _repeated(self, part: Part, least: int, most: int | None) -> Part:
        pattern = self._pattern

        def repeated(following: int) -> int:
            if most is None:
                again = pattern._state([following])
                pattern._next[again].append(part(again))
                following = again
            else:
                for _ in range(most - least):
                    following = pattern._state([following, part(following)])
            for _ in range(least):
                following = part(following)
            return following

        return repeated

    def _atom(self) -> Part:
        character = self._take()
        if character == "(":
            self._group_head()
            inner = self._alternatives()
            if self._take() != ")":
                raise LinePatternError("missing )")
            return inner
        if character in ("^", "$"):
            return lambda following: self._pattern._state([following], anchor=character)
        if character in ("*", "+", "?"):
            raise LinePatternError(f"missing argument to repetition operator: {character}")
        if character == "[":
            return self._one(self._class())
        if character == ".":
            return self._one(lambda each: each != "\n")
        if character == "\\":
            return self._escape()
        return self._one(self._literal(character))

    def _group_head(self) -> None:
        if self._peek() != "?":
            return
        match = re.compile(r"\?(?::|P?<[A-Za-z_]\w*>)").match(self._text, self._at)
        if match is None:
            raise LinePatternError("a group of this kind is not supported")
        self._at = match.end()

    def _escape(self) -> Part:
        character = self._take()
        if character in ("A", "z"):
            anchor = {"A": "^", "z": "$"}[character]
            return lambda following: self._pattern._state([following], anchor=anchor)
        if character.lower() in _CLASSES:
            return self._one(_of_class(character))
        return self._one(self._literal(self._escaped(character)))

    def _escaped(self, character: str) -> str:
        if character in _CONTROL:
            return _CONTROL[character]
        if character == "x":
            match = re.compile(r"[0-9A-Fa-f]{2}").match(self._text, self._at)
            if match is None:
                raise LinePatternError("invalid escape sequence: \\x")
            self._at = match.end()
            return chr(int(match[0], 16))
        if not character or character.isalnum():
            raise LinePatternError(f"\\{character} is not supported" if character else "trailing backslash")
        return character

    def _class(self) -> Fits:
        is_not = self._peek() == "^"
        self._at += is_not
        ranges: list[tuple[str, str]] = []
        classes: list[Fits] = []
        is_empty = True
        while is_empty or self._peek() != "]":
            is_empty = False
            low = self._take()
            if low == "[" and self._peek() == ":":
                raise LinePatternError("[: is not supported")
            if low == "\\":
                escape = self._take()
                if escape.lower() in _CLASSES:
                    classes.append(_of_class(escape))
                    continue
                low = self._escaped(escape)
            high = low
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._take()
                high = self._escaped(self._take()) if high == "\\" else high
                if high < low:
                    raise LinePatternError(f"invalid character class range: {low}-{high}")
            ranges.append((low, high))
        self._at += 1
        folds = self._ignores_case

        def fits(character: str) -> bool:
            several = {character, character.lower(), character.upper()} if folds else {character}
            inside = any(low <= each <= high for each in several for low, high in ranges)
            return (inside or any(each(character) for each in classes)) is not is_not

        return fits

    def _literal(self, wanted: str) -> Fits:
        if self._ignores_case:
            return lambda character: character.lower() == wanted.lower()
        return lambda character: character == wanted

    def _one(self, fits: Fits) -> Part:
        return lambda following: self._pattern._state([following], fits)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise LinePatternError("it ends too early")
        self._at += 1
        return character


def _of_class(letter: str) -> Fits:
    expression = re.compile(f"[{_CLASSES[letter.lower()]}]")
    is_inside = letter.islower()
    return lambda character: (expression.match(character) is not None) is is_inside


_DATETIME: Final = {
    "a": "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
    "A": "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)",
    "w": "[0-6]",
    "d": r"(?:0[1-9]|[12]\d|3[01])",
    "b": "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
    "B": "(?:January|February|March|April|May|June|July|August|September|October|November|December)",
    "m": "(?:0[1-9]|1[0-2])",
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "H": r"(?:[01]\d|2[0-3])",
    "I": r"(?:0\d|1[0-2])",
    "p": "[AP]M",
    "M": r"[0-5]\d",
    "S": r"[0-5]\d",
    "L": r"\.\d{3}",
    "f": r"\d{6}",
    "z": r"[+-]\d{4}",
    "Z": "[A-Z]{1,4}T",
    "j": r"(?:[0-2]\d\d|3[0-5]\d|36[0-6])",
}
"""What each code of a datetime format stands for. Source: Docker, "Amazon CloudWatch Logs logging driver"."""


def of_datetime(text: str) -> str:
    """An expression for times in this format. What is no code stands for itself.

    Raises: LinePatternError for a code that the driver does not have."""
    found, at = "", 0
    while at < len(text):
        if text[at] == "%":
            code = text[at + 1 : at + 2]
            if code not in _DATETIME and code != "%":
                raise LinePatternError(f"%{code} is not supported")
            found += _DATETIME.get(code, "%")
            at += 2
        else:
            found += text[at] if text[at].isalnum() or text[at] in " \t_" else "\\" + text[at]
            at += 1
    return found


def pattern_of(options: Mapping[str, str]) -> str:
    """The expression of a line that begins an event, by the options of the awslogs driver; empty where each line is
    one. A datetime format goes first. Raises: LinePatternError."""
    if "awslogs-datetime-format" in options:
        return of_datetime(options["awslogs-datetime-format"])
    return options.get("awslogs-multiline-pattern", "")
