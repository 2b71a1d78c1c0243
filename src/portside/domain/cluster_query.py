"""The cluster query language: expressions that choose container instances (`memberOf`, the filter of a listing).

    attribute:ecs.instance-type =~ t3.* and not(task:group == service:web)

Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-query-language.html
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from portside import __version__
from portside.domain.container_instance import ContainerInstance
from portside.domain.fargate import unsupported
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.task.record import Task, TaskStatus

EXPRESSION_MAX: Final = 2000
"""API_PlacementConstraint, expression."""
_DEPTH_MAX: Final = 20
_REPEATS_MAX: Final = 4
_GROUPS_MAX: Final = 4

Predicate = Callable[[ContainerInstance, Sequence[Task]], bool]
"""Of an instance and the tasks on it that have not STOPPED."""
_Place = tuple[float, ...]
"""Where a value stands in its order."""

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<quoted>'[^']*'|"[^"]*") | (?P<symbol>&&|\|\||==|!=|=~|!~|>=|<=|>|<|[()\[\],]|!(?:exists\b|in\b)?)
        | (?P<word>[^\s()\[\],'"=<>!&|]+)
    )""",
    re.VERBOSE,
)
_PATTERN: Final = re.compile(r"""\s*(?:(?P<quoted>'[^']*'|"[^"]*")|(?P<word>(?:\([^\s()]*\)|[^\s()])+))""")
_OPERATORS: Final = {
    "==": "==",
    "equals": "==",
    "!=": "!=",
    "not_equals": "!=",
    "=~": "=~",
    "matches": "=~",
    "!~": "!~",
    "not_matches": "!~",
    ">": ">",
    "greater_than": ">",
    ">=": ">=",
    "greater_than_equal": ">=",
    "<": "<",
    "less_than": "<",
    "<=": "<=",
    "less_than_equal": "<=",
    "exists": "exists",
    "!exists": "!exists",
    "not_exists": "!exists",
    "in": "in",
    "!in": "!in",
    "not_in": "!in",
}
_SUBJECTS: Final = (
    "agentConnected",
    "agentVersion",
    "ec2InstanceId",
    "registeredAt",
    "runningTasksCount",
    "task:group",
)
_VERSION: Final = re.compile(r"\d{1,9}(?:\.\d{1,9}){0,3}")


class _Token(NamedTuple):
    kind: str
    text: str


@lru_cache(maxsize=256)
def parsed(expression: str) -> Predicate:
    """
    Raises:
        Refused: INVALID, it is no expression; UNSUPPORTED, it asks for what Portside does not know.
    """
    if not expression.strip() or len(expression) > EXPRESSION_MAX:
        raise _invalid(expression[:100])
    parser = _Parser(expression)
    found = parser.either(0)
    if parser.ahead is not None:
        raise _invalid(expression)
    return found


class _Parser:
    """Recursive descent, `or` binding less than `and`, `and` less than `not`."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.tokens: list[_Token] = []
        position, text = 0, expression.rstrip()
        while position < len(text):
            follows_match = bool(self.tokens) and self.tokens[-1].text in ("=~", "!~", "matches", "not_matches")
            match = (_PATTERN if follows_match else _TOKEN).match(text, position)
            if match is None:
                raise _invalid(expression)
            kind = match.lastgroup or ""
            self.tokens.append(_Token(kind, match[kind].strip("'\"") if kind == "quoted" else match[kind]))
            position = match.end()
        self.at = 0

    @property
    def ahead(self) -> _Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> _Token:
        token = self.ahead
        if token is None:
            raise _invalid(self.expression)
        self.at += 1
        return token

    def skips(self, *texts: str) -> bool:
        token = self.ahead
        if token is None or token.kind == "quoted" or token.text.lower() not in texts:
            return False
        self.at += 1
        return True

    def either(self, depth: int) -> Predicate:
        found = [self.both(depth)]
        while self.skips("or", "||"):
            found.append(self.both(depth))
        return found[0] if len(found) == 1 else lambda instance, tasks: any(each(instance, tasks) for each in found)

    def both(self, depth: int) -> Predicate:
        found = [self.one(depth)]
        while self.skips("and", "&&"):
            found.append(self.one(depth))
        return found[0] if len(found) == 1 else lambda instance, tasks: all(each(instance, tasks) for each in found)

    def one(self, depth: int) -> Predicate:
        if depth > _DEPTH_MAX:
            raise _invalid(self.expression)
        if self.skips("not", "!"):
            denied = self.one(depth + 1)
            return lambda instance, tasks: not denied(instance, tasks)
        if self.skips("("):
            inner = self.either(depth + 1)
            if not self.skips(")"):
                raise _invalid(self.expression)
            return inner
        return self.comparison()

    def comparison(self) -> Predicate:
        subject = self.take().text
        if not subject.startswith("attribute:") and subject not in _SUBJECTS:
            raise _invalid(self.expression)
        operator = _OPERATORS.get(self.take().text)
        if operator is None:
            raise _invalid(self.expression)
        values = _values(subject)
        if operator in ("exists", "!exists"):
            return lambda instance, tasks: bool(values(instance, tasks)) == (operator == "exists")
        arguments = self.arguments() if operator in ("in", "!in") else [self.take().text]
        if subject in ("agentVersion", "registeredAt") and operator not in ("=~", "!~"):
            return _compared_in_order(values, operator, arguments, self.expression, _ORDERS[subject])
        return _compared(values, operator, arguments, self.expression)

    def arguments(self) -> list[str]:
        if not self.skips("["):
            raise _invalid(self.expression)
        found = [self.take().text]
        while self.skips(","):
            found.append(self.take().text)
        if not self.skips("]"):
            raise _invalid(self.expression)
        return found


def _values(subject: str) -> Callable[[ContainerInstance, Sequence[Task]], list[str]]:
    """What an instance has under that name; empty if it lacks it."""
    name = subject.removeprefix("attribute:")

    def of(instance: ContainerInstance, tasks: Sequence[Task]) -> list[str]:
        match subject:
            case "agentConnected":
                return ["true" if instance.agent_connected else "false"]
            case "agentVersion":
                return [__version__]  # each instance's agent is Portside itself
            case "ec2InstanceId":
                return [instance.instance_id]
            case "registeredAt":
                return [instance.registered_at.isoformat()]
            case "runningTasksCount":
                return [str(sum(task.last_status is TaskStatus.RUNNING for task in tasks))]
            case "task:group":
                return [task.group for task in tasks]
            case _:
                attribute = instance.attribute(name)
                return [] if attribute is None else [attribute.value or ""]

    return of


def _compared(
    values: Callable[[ContainerInstance, Sequence[Task]], list[str]],
    operator: str,
    arguments: Sequence[str],
    expression: str,
) -> Predicate:
    wanted = set(arguments)
    match operator:
        case "==" | "in":
            return lambda instance, tasks: any(each in wanted for each in values(instance, tasks))
        case "!=" | "!in":
            return lambda instance, tasks: all(each not in wanted for each in values(instance, tasks))
        case "=~" | "!~":
            pattern = _pattern(arguments[0], expression)
            positive = operator == "=~"
            return lambda instance, tasks: (
                any(pattern.fullmatch(each) is not None for each in values(instance, tasks)) == positive
            )
        case _:
            bound = _number(arguments[0])
            if bound is None:
                raise _invalid(expression)
            return lambda instance, tasks: any(
                _holds(operator, _number(each), bound) for each in values(instance, tasks)
            )


def _compared_in_order(
    values: Callable[[ContainerInstance, Sequence[Task]], list[str]],
    operator: str,
    arguments: Sequence[str],
    expression: str,
    order: Callable[[str], _Place | None],
) -> Predicate:
    """Of a subject that is a version or a time, of which there is more than one way to write it."""
    bounds = [place for each in arguments if (place := order(each)) is not None]
    if len(bounds) != len(arguments):
        raise _invalid(expression)

    def holds(instance: ContainerInstance, tasks: Sequence[Task]) -> bool:
        (value,) = (order(each) for each in values(instance, tasks))
        match operator:
            case "==" | "in":
                return value in bounds
            case "!=" | "!in":
                return value not in bounds
            case _:
                return value is not None and _holds(operator, value, bounds[0])

    return holds


def _pattern(text: str, expression: str) -> re.Pattern[str]:
    """With few repetitions, and none of a group, so that no expression takes long."""
    repeated = re.search(r"\)[*+{]", text) or re.search(r"\(\?(?!:)|\([^)]*\(", text)
    too_many = sum(text.count(each) for each in "*+{") > _REPEATS_MAX or text.count("(") > _GROUPS_MAX
    if repeated or too_many:
        raise unsupported(f"the pattern {text} in a cluster query")
    try:
        return re.compile(text)
    except re.error:
        raise _invalid(expression) from None


def _number(text: str) -> _Place | None:
    try:
        return (float(text),)
    except ValueError:
        return None


def _version(text: str) -> _Place | None:
    """1.10 is after 1.9."""
    return tuple(float(each) for each in text.split(".")) if _VERSION.fullmatch(text) else None


def _time(text: str) -> _Place | None:
    """Seconds since 1970; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp(),)


_ORDERS: Final[dict[str, Callable[[str], _Place | None]]] = {"agentVersion": _version, "registeredAt": _time}


def _holds(operator: str, value: _Place | None, bound: _Place) -> bool:
    if value is None:
        return False
    return {">": value > bound, ">=": value >= bound, "<": value < bound, "<=": value <= bound}[operator]


def _invalid(expression: str) -> Refused:
    return Refused(RefusalKind.INVALID, f"Invalid expression: {expression}", "expression")
