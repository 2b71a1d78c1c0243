"""The constraints that a model puts on values, and AWS's words for breaking them."""

import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from portside.aws.model import Shape

Path = tuple[Any, str] | None
"""Where a value stands, as a linked list from the innermost: (parent, step). A step is a name or a 1-based position.

Made for every value parsed, so it must cost nothing; turned into text only for a complaint."""

ConstraintKind = Literal["required", "enum", "pattern", "length", "range"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """One rule; `text` is how AWS states it."""

    kind: ConstraintKind
    text: str
    holds: Callable[[Any], bool]
    limit: str = ""


REQUIRED = Constraint("required", "Member must not be null", lambda value: value is not None)


@dataclass(frozen=True, slots=True)
class Violation:
    """A value that breaks a rule. `shown` is None for values that the model calls sensitive."""

    path: Path
    value: Any
    constraint: Constraint
    sensitive: bool = False


def steps(path: Path) -> list[str]:
    """The way to a value, from the outermost."""
    found: list[str] = []
    while path is not None:
        path, step = path
        found.append(step)
    return found[::-1]


def member_path(path: Path) -> str:
    """AWS's notation, as in containerDefinitions.1.member.name."""
    return ".".join(
        f"{step}.member" if step.isdigit() else step[:1].lower() + step[1:] if step[1:2].islower() else step
        for step in steps(path)
    )


def validation_message(violations: Iterable[Violation]) -> str:
    """All complaints in one sentence, as AWS's JSON and query services put it."""
    said = [
        f"{'Value' if one.sensitive else 'Value null' if one.value is None else f'Value {shown(one.value)!s}'}"
        f" at '{member_path(one.path)}' failed to satisfy constraint: {one.constraint.text}"
        for one in violations
    ]
    return f"{len(said)} validation error{'s' if len(said) > 1 else ''} detected: {'; '.join(said)}"


def shown(value: Any) -> str:
    """A value in quotes, in the notation of AWS's messages ([a, b] and {k=v} for lists and maps)."""
    return f"'{_plain(value)}'"


def _plain(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return f"[{', '.join(map(_plain, value))}]"
        case dict():
            return "{" + ", ".join(f"{key}={_plain(item)}" for key, item in value.items()) + "}"
        case datetime():
            return value.isoformat()
        case _:
            return str(value)


def constraints_of(shape: Shape) -> tuple[Constraint, ...]:
    """The rules of one shape (not of its members)."""
    rules: list[Constraint] = []
    match shape.type:
        case "string":
            if shape.enum:
                allowed = frozenset(shape.enum)
                rules.append(
                    Constraint(
                        "enum",
                        f"Member must satisfy enum value set: [{', '.join(shape.enum)}]",
                        allowed.__contains__,
                        ", ".join(shape.enum),
                    )
                )
            rules += _bounds(shape, "length", len)
            if shape.pattern is not None and (regex := _regex(shape.pattern)) is not None:
                rules.append(
                    Constraint(
                        "pattern",
                        f"Member must satisfy regular expression pattern: {shape.pattern}",
                        lambda value: regex.fullmatch(value) is not None,
                    )
                )
        case "list" | "map" | "blob":
            rules += _bounds(shape, "length", len)
        case "integer" | "long" | "float" | "double":
            rules += _bounds(shape, "value", lambda value: value)
    return tuple(rules)


def each(
    rules: tuple[Constraint, ...], said: str = "Member", parts: Callable[[Any], Iterable[Any]] = iter
) -> tuple[Constraint, ...]:
    """The rules of a list's simple elements, or a map's keys or values, as one rule on the whole: so AWS reports them.

    Args:
        said: what AWS calls a part in its message.
        parts: picks the parts out of the whole.
    """
    if not rules:
        return ()

    def holds(whole: Any) -> bool:
        return all(rule.holds(part) for part in parts(whole) for rule in rules)

    text = f"{said} must satisfy constraint: [{', '.join(rule.text for rule in rules)}]"
    return (Constraint(rules[0].kind, text, holds, rules[0].limit),)


def _bounds(shape: Shape, what: str, measure: Callable[[Any], float]) -> list[Constraint]:
    kind: ConstraintKind = "length" if what == "length" else "range"
    rules: list[Constraint] = []
    if (most := shape.max) is not None:
        text = f"Member must have {what} less than or equal to {most:.0f}"
        rules.append(Constraint(kind, text, lambda value: measure(value) <= most, f"less than {most:.0f}"))
    # A least length of zero says nothing.
    if (least := shape.min) is not None and not (kind == "length" and least <= 0):
        text = f"Member must have {what} greater than or equal to {least:.0f}"
        rules.append(Constraint(kind, text, lambda value: measure(value) >= least, f"greater than {least:.0f}"))
    return rules


# The models' patterns are Java's. These classes have near equals in Python; a pattern with another one is not checked.
_JAVA_CLASSES = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\d",
    r"\p{Z}": r"\s",
    r"\p{IsLetter}": r"\w",
    r"\p{IsDigit}": r"\d",
    r"\p{Graph}": r"\x21-\x7e",
    r"\p{Print}": r"\x20-\x7e",
    r"\p{ASCII}": r"\x00-\x7f",
    r"\p{Alnum}": r"a-zA-Z0-9",
    r"\p{Alpha}": r"a-zA-Z",
    r"\p{XDigit}": r"0-9a-fA-F",
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010ffff",  # UTF-16 in pairs
}


_JAVA_PART = re.compile(rf"{'|'.join(map(re.escape, _JAVA_CLASSES))}|\\.|.", re.DOTALL)
"""A class, an escaped character, or a character."""


def _regex(pattern: str) -> re.Pattern[str] | None:
    pattern = _in_python(pattern)
    # Java reads a dash after a class as itself, Python as a range without end.
    pattern = re.sub(r"(\\[wds])-(?=[^\]])", r"\1\\-", pattern)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(pattern)
    except re.error:
        return None


def _in_python(pattern: str) -> str:
    """With Python's classes for Java's: ranges in brackets as they are, and in brackets of their own elsewhere."""
    written: list[str] = []
    in_brackets = False
    for part in _JAVA_PART.findall(pattern):
        if part in _JAVA_CLASSES:
            python = _JAVA_CLASSES[part]
            written.append(python if in_brackets or len(python) == 2 else f"[{python}]")
            continue
        written.append(part)
        in_brackets = part == "[" or (in_brackets and part != "]")
    return "".join(written)
