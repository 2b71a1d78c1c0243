"""Regular expressions of filter patterns, between percent signs, searched in time that grows with the text alone.

There are no groups, so an expression is alternatives of rows of characters with quantifiers. A backtracking engine may
take a power of the text's length for those; where it could, a set of states goes through the text once instead.

Source: CloudWatch Logs user guide, "Supported regular expressions (regex) syntax".
"""

import re
from typing import Final

from portside.domain.refusal import RefusalKind, Refused

_SYMBOLS: Final = frozenset(":_#=@/;,-")
_CLASSES: Final = frozenset("dDsSwW")
_QUANTIFIER: Final = re.compile(r"[*+?]|\{(\d{1,4})(?:(,)(\d{0,4}))?\}")
_ATOMS_MOST: Final = 2000
"""Characters of an expression, with its counted repetitions written out."""
_STEPS_MOST: Final = 30_000
"""What a backtracking search may cost at worst; beyond it the text is gone through once."""
_STATES_MOST: Final = 2000

ONE, OPTIONAL, ANY = 0, 1, 2


class LogRegex:
    """
    Raises:
        Refused: INVALID, a character or an operator that filter patterns do not have.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        alternatives = _Parser(text).alternatives()
        self._quick = re.compile("|".join(each.written for each in alternatives), re.ASCII)
        self._ranges = sum(each.ranges for each in alternatives)
        self.literal = alternatives[0].literal if len(alternatives) == 1 else ""
        """Is in whatever it matches."""
        self._states = _States(alternatives)

    def found_in(self, text: str) -> bool:
        """Whether it matches anywhere in the text."""
        if self.literal not in text:
            return False
        if (len(text) + 1) ** min(1 + self._ranges, 8) <= _STEPS_MOST:
            return self._quick.search(text) is not None
        return self._states.found_in(text)


class _Alternative:
    """One row of characters. `atoms`: (what matches one character, how often)."""

    def __init__(self) -> None:
        self.atoms: list[tuple[re.Pattern[str], int]] = []
        self.written = ""
        self.ranges = 0
        self.is_from_start = self.is_to_end = False
        self._runs: list[str] = [""]

    @property
    def literal(self) -> str:
        """The longest text that is in whatever it matches."""
        return max(self._runs, key=len)

    def add(self, written: str, plain: str, least: int, most: int | None) -> None:
        """`plain`: the character, where it is exactly one."""
        one = re.compile(written, re.ASCII)
        self.atoms += [(one, ONE)] * least
        self.atoms += [(one, ANY)] if most is None else [(one, OPTIONAL)] * (most - least)
        if len(self.atoms) > _ATOMS_MOST:
            raise _invalid()
        self.ranges += most != least
        if (least, most) == (1, 1):
            self.written += written
        else:
            self.written += f"{written}{{{least},{'' if most is None else most}}}"
        if plain and (least, most) == (1, 1):
            self._runs[-1] += plain
        else:
            self._runs.append("")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def alternatives(self) -> list[_Alternative]:
        if not self._text:
            raise _invalid()
        found = [self._alternative()]
        while self._at < len(self._text):
            self._at += 1  # the bar
            found.append(self._alternative())
        return found

    def _alternative(self) -> _Alternative:
        made = _Alternative()
        if self._text[self._at : self._at + 1] == "^":
            self._at += 1
            made.is_from_start, made.written = True, r"\A"
        while self._at < len(self._text) and self._text[self._at] != "|":
            if self._text[self._at] == "$":
                self._at += 1
                if self._at < len(self._text) and self._text[self._at] != "|":
                    raise _invalid()
                made.is_to_end = True
                made.written += r"\Z"
                break
            written, plain = self._one()
            made.add(written, plain, *self._quantity())
        return made

    def _one(self) -> tuple[str, str]:
        """What matches one character, as it is written for Python; and the character, if it is one."""
        letter = self._text[self._at]
        self._at += 1
        if letter == "\\":
            return self._escaped()
        if letter == "[":
            return self._class(), ""
        if letter == ".":
            return ".", ""
        if letter in _SYMBOLS or (letter.isascii() and letter.isalnum()):
            return re.escape(letter), letter
        raise _invalid(letter)

    def _escaped(self) -> tuple[str, str]:
        letter = self._text[self._at : self._at + 1]
        self._at += 1
        if letter in _CLASSES and letter:
            return f"\\{letter}", ""
        if letter == "x":
            digits = self._text[self._at : self._at + 2]
            if not re.fullmatch("[0-9A-Fa-f]{2}", digits):
                raise _invalid()
            self._at += 2
            return re.escape(chr(int(digits, 16))), chr(int(digits, 16))
        if letter and letter.isascii() and not letter.isalnum() and letter.isprintable() and letter not in "()":
            return re.escape(letter), letter
        raise _invalid(letter)

    def _class(self) -> str:
        negated = self._text[self._at : self._at + 1] == "^"
        self._at += negated
        parts: list[str] = []
        while True:
            if self._at >= len(self._text):
                raise _invalid("[")
            if self._text[self._at] == "]":
                break
            low = self._member()
            if self._text[self._at : self._at + 1] == "-" and self._text[self._at + 1 : self._at + 2] not in ("", "]"):
                self._at += 1
                high = self._member()
                if len(low) != 1 or len(high) != 1 or low > high:
                    raise _invalid()
                parts.append(f"{re.escape(low)}-{re.escape(high)}")
            else:
                parts.append(low if len(low) == 2 else re.escape(low))
        self._at += 1
        if not parts:
            raise _invalid("[]")
        return f"[{'^' if negated else ''}{''.join(parts)}]"

    def _member(self) -> str:
        """A character of a class, or an escape of several (two letters)."""
        letter = self._text[self._at]
        self._at += 1
        if letter == "\\":
            written, plain = self._escaped()
            return plain or written
        if letter in _SYMBOLS or letter in "^$?{}|*+." or (letter.isascii() and letter.isalnum()):
            return letter
        raise _invalid(letter)

    def _quantity(self) -> tuple[int, int | None]:
        match = _QUANTIFIER.match(self._text, self._at)
        if match is None:
            return 1, 1
        self._at = match.end()
        match match[0]:
            case "*":
                return 0, None
            case "+":
                return 1, None
            case "?":
                return 0, 1
        least = int(match[1])
        most = least if match[2] is None else int(match[3]) if match[3] else None
        if most is not None and most < least:
            raise _invalid()
        return least, most


class _States:
    """The places in an expression where a match may be, as the bits of a number; each alternative ends in one bit."""

    def __init__(self, alternatives: list[_Alternative]) -> None:
        self._matchers: list[tuple[re.Pattern[str], int]] = []
        self._skipped = self._kept = self._ends = self._last_ends = self._begin = self._again = 0
        bit = 1
        for each in alternatives:
            self._begin |= bit
            if not each.is_from_start:
                self._again |= bit
            for one, kind in each.atoms:
                self._matchers.append((one, bit))
                if kind != ONE:
                    self._skipped |= bit
                if kind == ANY:
                    self._kept |= bit
                bit <<= 1
            if each.is_to_end:
                self._last_ends |= bit
            else:
                self._ends |= bit
            bit <<= 1
        self._begin, self._again = self._closed(self._begin), self._closed(self._again)
        self._by_letter: dict[str, int] = {}
        self._known: dict[int, dict[str, int]] = {}

    def found_in(self, text: str) -> bool:
        state = self._begin
        if state & self._ends:
            return True
        row = self._row(state)
        for letter in text:
            after = row.get(letter)
            if after is None:
                after = row[letter] = self._step(state, letter)
            if after != state:
                state = after
                if state & self._ends:
                    return True
                row = self._row(state)
        return bool(state & self._last_ends)

    def _row(self, state: int) -> dict[str, int]:
        row = self._known.get(state)
        if row is None:
            if len(self._known) >= _STATES_MOST:
                self._known.clear()
            row = self._known[state] = {}
        return row

    def _step(self, state: int, letter: str) -> int:
        fitting = self._by_letter.get(letter)
        if fitting is None:
            if len(self._by_letter) >= _STATES_MOST:
                self._by_letter.clear()
            fitting = 0
            for one, bit in self._matchers:
                if one.fullmatch(letter):
                    fitting |= bit
            self._by_letter[letter] = fitting
        matched = state & fitting
        return self._closed((matched & self._kept) | ((matched & ~self._kept) << 1)) | self._again

    def _closed(self, state: int) -> int:
        """With the places that are reached by leaving out what may be left out."""
        while True:
            wider = state | ((state & self._skipped) << 1)
            if wider == state:
                return state
            state = wider


def _invalid(what: str = "") -> Refused:
    said = f"Invalid character(s) in term '{what}'" if what else "Invalid filter pattern"
    return Refused(RefusalKind.INVALID, said, "filterPattern")
