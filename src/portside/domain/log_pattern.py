"""Filter patterns: terms, quoted phrases, `-excluded` and `?any of these` terms, JSON, space-delimited, `%regex%`.

Source: CloudWatch Logs user guide, "Filter pattern syntax for metric filters, subscription filters, filter log events,
and Live Tail".
"""

from collections.abc import Iterable
from typing import Protocol

from portside.domain.log_comparison import bad_term, invalid, quoted, regex_at
from portside.domain.log_need import Needs, either, in_message
from portside.domain.log_pattern_field import FieldPattern
from portside.domain.log_pattern_json import JsonPattern
from portside.domain.log_regex import LogRegex
from portside.domain.record import Record

_Regexes = tuple[LogRegex, ...]


class Pattern(Protocol):
    def matches(self, message: str) -> bool: ...

    def extract(self, message: str) -> dict[str, str]:
        """The values that the pattern names in a message which it matches."""
        ...

    @property
    def regexes(self) -> int:
        """How many regular expressions are in it."""
        ...

    @property
    def needs(self) -> Needs:
        """What a message has that matches."""
        ...


class LogPattern(Record, frozen=True, kw_only=True):
    """An event matches if its message contains all `required`, at least one of `optional` (if there are any), and none
    of `excluded`. Case matters."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @property
    def regexes(self) -> int:
        return 0

    @property
    def needs(self) -> Needs:
        return tuple((each,) for each in self.required) + ((self.optional,) if self.optional else ())

    @property
    def is_anything(self) -> bool:
        """Whether every event matches."""
        return not (self.required or self.optional or self.excluded)

    def matches(self, message: str) -> bool:
        return (
            all(term in message for term in self.required)
            and (not self.optional or any(term in message for term in self.optional))
            and not any(term in message for term in self.excluded)
        )

    def extract(self, message: str) -> dict[str, str]:
        return {}


class RegexPattern:
    """Terms of which some are regular expressions."""

    def __init__(self, terms: LogPattern, required: _Regexes, optional: _Regexes, excluded: _Regexes) -> None:
        self._terms, self._required, self._optional, self._excluded = terms, required, optional, excluded
        self._is_optional = bool(terms.optional or optional)
        self.regexes = len(required) + len(optional) + len(excluded)
        self.needs: Needs = tuple((each,) for each in terms.required)
        self.needs += tuple(row for each in required for row in in_message(each.literal))
        if self._is_optional:
            self.needs += either([*(((each,),) for each in terms.optional), *(in_message(o.literal) for o in optional)])
        self._only = required[0] if len(required) == 1 and terms.is_anything and not (optional or excluded) else None

    def matches(self, message: str) -> bool:
        if self._only is not None:
            return self._only.found_in(message)
        terms = self._terms
        return (
            all(term in message for term in terms.required)
            and not any(term in message for term in terms.excluded)
            and all(each.found_in(message) for each in self._required)
            and not any(each.found_in(message) for each in self._excluded)
            and (
                not self._is_optional
                or any(term in message for term in terms.optional)
                or any(each.found_in(message) for each in self._optional)
            )
        )

    def extract(self, message: str) -> dict[str, str]:
        return {}


def parse(text: str | None) -> Pattern:
    """
    Raises:
        Refused: INVALID, with what AWS says of it.
    """
    pattern = (text or "").strip()
    if pattern[:1] == "{":
        if pattern[-1] != "}" or len(pattern) < 2:
            raise invalid("If a filter pattern starts with '{' it must end with '}'")
        return JsonPattern(pattern)
    if pattern[:1] == "[":
        if pattern[-1] != "]" or len(pattern) < 2:
            raise invalid("If a filter pattern starts with '[' it must end with ']'")
        return FieldPattern(pattern)
    return _terms(pattern)


def _terms(pattern: str) -> Pattern:
    found: dict[str, list[str | LogRegex]] = {"": [], "?": [], "-": []}
    at = 0
    while at < len(pattern):
        if pattern[at].isspace():
            at += 1
            continue
        kind = pattern[at] if pattern[at] in "?-" else ""
        term, at = _term(pattern, at + len(kind))
        found[kind].append(term)
    if found[""] or found["-"]:
        found["?"] = []  # beside other terms they are ignored, as AWS does
    terms = LogPattern(required=_plain(found[""]), optional=_plain(found["?"]), excluded=_plain(found["-"]))
    regexes = [tuple(each for each in found[kind] if isinstance(each, LogRegex)) for kind in ("", "?", "-")]
    return RegexPattern(terms, *regexes) if any(regexes) else terms


def _plain(terms: Iterable[str | LogRegex]) -> tuple[str, ...]:
    """A quoted blank matches everything."""
    return tuple(each for each in terms if isinstance(each, str) and not each.isspace())


def _term(pattern: str, at: int) -> tuple[str | LogRegex, int]:
    """The term that starts there, and where it ends."""
    if pattern[at : at + 1] == "%":
        expression, end = regex_at(pattern, at)
        return LogRegex(expression), end
    if pattern[at : at + 1] == '"':
        pieces, end = quoted(pattern, at)
        term = "*".join(pieces)
        if not term:
            raise bad_term('""')
        return term, end
    end = at
    while end < len(pattern) and not pattern[end].isspace():
        end += 1
    if end == at:
        raise bad_term(pattern[at - 1 : end])
    return pattern[at:end], end
