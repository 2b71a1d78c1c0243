"""Filter patterns of FilterLogEvents: terms, quoted phrases, `-excluded` and `?any of these` terms.

Source: CloudWatch Logs user guide, "Filter pattern syntax", unstructured log events. JSON patterns (`{ $.x = 1 }`),
space-delimited ones (`[a, b]`) and regular expressions (`%x%`) are refused.
"""

from portside.domain.record import Record
from portside.domain.refusal import RefusalKind, Refused


class LogPattern(Record, frozen=True, kw_only=True):
    """An event matches if its message contains all `required`, at least one of `optional` (if there are any), and none
    of `excluded`. Case matters."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    def matches(self, message: str) -> bool:
        return (
            all(term in message for term in self.required)
            and (not self.optional or any(term in message for term in self.optional))
            and not any(term in message for term in self.excluded)
        )


def parse(text: str | None) -> LogPattern:
    """
    Raises:
        Refused: INVALID, a quote is not closed or a term is empty; UNSUPPORTED, a kind of pattern that is not built.
    """
    pattern = (text or "").strip()
    if pattern[:1] == "{":
        raise _unsupported("JSON filter patterns")
    if pattern[:1] == "[":
        raise _unsupported("Space-delimited filter patterns")
    required: list[str] = []
    optional: list[str] = []
    excluded: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern[at].isspace():
            at += 1
            continue
        terms = required
        if pattern[at] in "?-":
            terms = optional if pattern[at] == "?" else excluded
            at += 1
        term, at = _term(pattern, at)
        terms.append(term)
    # "?" terms beside others are ignored, as AWS does.
    return LogPattern(
        required=tuple(required),
        optional=() if required or excluded else tuple(optional),
        excluded=tuple(excluded),
    )


def _term(pattern: str, at: int) -> tuple[str, int]:
    """The term that starts there, and where it ends."""
    if pattern[at : at + 1] == "%":
        raise _unsupported("Regular expressions in filter patterns")
    if pattern[at : at + 1] != '"':
        end = at
        while end < len(pattern) and not pattern[end].isspace():
            end += 1
        term = pattern[at:end]
    else:
        letters: list[str] = []
        end = at + 1
        while end < len(pattern) and pattern[end] != '"':
            end += pattern[end] == "\\" and end + 1 < len(pattern)
            letters.append(pattern[end])
            end += 1
        if end >= len(pattern):
            raise Refused(RefusalKind.INVALID, "Invalid filter pattern: a quote is not closed", "filterPattern")
        term = "".join(letters)
        end += 1
    if not term:
        raise Refused(RefusalKind.INVALID, "Invalid filter pattern: a term is empty", "filterPattern")
    return term, end


def _unsupported(what: str) -> Refused:
    return Refused(
        RefusalKind.UNSUPPORTED,
        f'{what} are not implemented by Portside; terms, "phrases", -exclusions and ?alternatives are',
        "filterPattern",
    )
