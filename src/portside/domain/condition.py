"""Conditions of policy statements: whether they hold for what is known of a request.

A key that nothing is known of counts as absent, as IAM has it. An operator that is not here, or a policy variable,
can not be decided: `None`; whoever asks then decides for the safe side.
Source: IAM user guide, "IAM JSON policy elements: Condition operators".
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

Known = Mapping[str, str]
"""What is known of the request, by the key's name in lower case."""


def holds(condition: object, known: Known) -> bool | None:
    """Whether all operators of a statement's Condition (JSON) hold; None if that can not be told."""
    if not isinstance(condition, dict):
        return None
    undecided = False
    for operator, keys in condition.items():
        for key, wanted in keys.items() if isinstance(keys, dict) else [("", None)]:
            found = _holds(operator.lower(), known.get(key.lower()), wanted)
            if found is False:
                return False
            undecided = undecided or found is None
    return None if undecided else True


def _holds(operator: str, value: str | None, wanted: Any) -> bool | None:
    values = wanted if isinstance(wanted, list) else [wanted]
    texts = [_text(each) for each in values]
    if not texts or any(each is None or "${" in each for each in texts):
        return None
    patterns = [each for each in texts if each is not None]
    if operator == "null":
        return (value is None) == (patterns[0].lower() == "true")
    # With one value a key, "for all" and "for any" differ only where there is none.
    quantifier, _, operator = operator.rpartition(":")
    optional = operator.endswith("ifexists")
    operator = operator.removesuffix("ifexists")
    negated = operator in _NEGATED
    matches = _MATCH.get(_NEGATED.get(operator, operator))
    if matches is None or quantifier not in ("", "forallvalues", "foranyvalue"):
        return None
    if value is None:
        return optional or quantifier == "forallvalues" or (negated and not quantifier)
    return any(matches(value, each) for each in patterns) is not negated


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int) else None


def like(value: str, pattern: str) -> bool:
    """Whether the text fits the pattern, in which * stands for any characters and ? for one."""
    return _compiled(pattern).fullmatch(value) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    first, *rest = (".".join(map(re.escape, piece.split("?"))) for piece in re.split(r"\*+", pattern))
    if not rest:
        return re.compile(first, re.DOTALL)
    # What lies between two stars is taken where it is met first, for good: so the time grows with the text alone.
    middle = "".join(f"(?>.*?{piece})" for piece in rest[:-1])
    return re.compile(f"{first}{middle}.*{rest[-1]}", re.DOTALL)


def _arn_like(value: str, pattern: str) -> bool:
    """Each of the six parts by itself: a star does not reach over a colon."""
    parts, wanted = value.split(":", 5), pattern.split(":", 5)
    return len(parts) == len(wanted) == 6 and all(map(like, parts, wanted))


_MATCH: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "stringequals": lambda value, wanted: value == wanted,
    "stringequalsignorecase": lambda value, wanted: value.lower() == wanted.lower(),
    "stringlike": like,
    "arnequals": _arn_like,
    "arnlike": _arn_like,
    "bool": lambda value, wanted: value.lower() == wanted.lower(),
}
_NEGATED: Final[Mapping[str, str]] = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
}
