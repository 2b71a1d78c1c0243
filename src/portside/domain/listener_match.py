"""Which rule of a listener a request goes by, and why not an earlier one.

The same conditions are Envoy's as regular expressions (`listener_condition`); here each is weighed by itself, so that
the answer can say which one failed, and over what.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from portside.domain.load_balancer import Condition, Redirect, Rule
from portside.domain.load_balancer_rule import in_order


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a rule sees of a request. `host` may have a port; `headers` has those that are sent besides Host."""

    method: str
    host: str
    path: str = "/"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    source: str = "127.0.0.1"

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    def header(self, name: str) -> list[str]:
        """All values of a header, which may be sent several times."""
        return [value.strip() for key, value in self.headers if key.lower() == name.lower()]


class Question(NamedTuple):
    """Whether a regular expression is found in a text."""

    regex: str
    text: str
    any_case: bool


Finder = Callable[[Question], bool]
"""Answers such questions. Expressions are their authors', so where the answer is sought, and for how long, is the
caller's to say."""


def find(question: Question) -> bool:
    """For expressions that are known to be harmless."""
    return re.search(question.regex, question.text, re.IGNORECASE if question.any_case else 0) is not None


class Weighed(NamedTuple):
    """A condition, whether it holds, and in words over what."""

    condition: Condition
    holds: bool
    why: str


class Considered(NamedTuple):
    """A rule, and its conditions as the request has them. It matches if all of them hold."""

    rule: Rule
    conditions: tuple[Weighed, ...]

    @property
    def matches(self) -> bool:
        return all(each.holds for each in self.conditions)


def consider(rules: Iterable[Rule], request: Request, finder: Finder = find) -> list[Considered]:
    """The rules in the order in which they are tried, up to the first that matches; if none does, the listener's
    default action is the answer."""
    found: list[Considered] = []
    for rule in in_order(rules):
        found.append(Considered(rule, tuple(weigh(each, request, finder) for each in rule.conditions)))
        if found[-1].matches:
            break
    return found


def questions(rules: Iterable[Rule], request: Request) -> set[Question]:
    """Everything that `consider` may ask a finder."""
    asked: set[Question] = set()
    for rule in rules:
        for condition in rule.conditions:
            for text in texts(condition, request):
                asked.update(_question(condition, regex, text) for regex in condition.regex_values)
    return asked


def weigh(condition: Condition, request: Request, finder: Finder = find) -> Weighed:
    seen = texts(condition, request)
    if not seen:
        return Weighed(condition, False, f"the request has no header {condition.header}")
    for text in seen:
        for wanted, holds in _each(condition, text, finder):
            if holds:
                return Weighed(condition, True, f"{_shown(text)} matches {wanted}")
    return Weighed(condition, False, f"{' and '.join(map(_shown, seen))} {_none_of(condition)}")


def texts(condition: Condition, request: Request) -> list[str]:
    """What a condition looks at: any one of them is enough."""
    match condition.field:
        case "path-pattern":
            return [request.path]
        case "host-header":
            return [host_name(request.host)]
        case "http-header":
            return request.header(condition.header)
        case "http-request-method":
            return [request.method]
        case "query-string":
            return [request.query]
        case "source-ip":
            return [request.source]


def _each(condition: Condition, text: str, finder: Finder) -> Iterator[tuple[str, bool]]:
    """Each of the condition's alternatives in words, and whether it holds."""
    for regex in condition.regex_values:
        yield regex, finder(_question(condition, regex, text))
    for pair in condition.query:
        yield _pair(pair.key, pair.value), any(_has(part, pair.key, pair.value) for part in text.split("&"))
    for value in condition.values:
        match condition.field:
            case "http-request-method":
                yield value, text == value
            case "source-ip":
                yield value, _is_in(text, value)
            case "path-pattern":
                yield value, is_like(text, value)
            case _:
                yield value, is_like(text.lower(), value.lower())


def _question(condition: Condition, regex: str, text: str) -> Question:
    return Question(regex, text, condition.field == "host-header")


def _has(parameter: str, key: str, value: str) -> bool:
    """Whether a parameter is such a pair. No wildcard of the key stands for an equals sign."""
    text = parameter.lower()
    for position, char in enumerate(text):
        if char == "=" and is_like(text[position + 1 :], value.lower(), escapes=True):
            before = text[:position]
            if is_like(before, key.lower(), escapes=True, but="=") if key else "=" not in before:
                return True
    return False


def is_like(text: str, pattern: str, *, escapes: bool = False, but: str = "") -> bool:
    """Whether a text is, as a whole, what a pattern with `*` and `?` says, in time that grows with the product of their
    lengths.

    Args:
        escapes: a backslash before them, and before another, takes their meaning.
        but: a character that no wildcard stands for.
    """
    here = {0}
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if escapes and char == "\\" and pattern[position + 1 : position + 2] in ("*", "?", "\\"):
            position += 1
            here = {at + 1 for at in here if text[at : at + 1] == pattern[position]}
        elif char == "?":
            here = {at + 1 for at in here if at < len(text) and text[at] != but}
        elif char == "*":
            here = _onward(text, min(here), but) if not but else set().union(*(_onward(text, at, but) for at in here))
        else:
            here = {at + 1 for at in here if text[at : at + 1] == char}
        if not here:
            return False
        position += 1
    return len(text) in here


def _onward(text: str, start: int, but: str) -> set[int]:
    end = text.find(but, start) if but else -1
    return set(range(start, (len(text) if end < 0 else end) + 1))


def _is_in(address: str, network: str) -> bool:
    parsed = ipaddress.ip_network(network)
    return parsed.version == 4 and ipaddress.ip_address(address) in parsed


def host_name(host: str) -> str:
    """A Host header without its port."""
    return _PORT.sub("", host)


_PORT: Final = re.compile(r":[0-9]+\Z")


def _pair(key: str, value: str) -> str:
    return f"{key}={value}" if key else value


def _shown(text: str) -> str:
    return repr(text) if text else "nothing"


def _none_of(condition: Condition) -> str:
    wanted = [*condition.regex_values, *condition.values, *(_pair(each.key, each.value) for each in condition.query)]
    return f"matches none of {', '.join(wanted)}" if len(wanted) > 1 else f"does not match {wanted[0]}"


# --- redirects ------------------------------------------------------------------------------------------------------


def location(redirect: Redirect, request: Request, *, protocol: str, port: int) -> str:
    """Where a redirect sends this request. Args: protocol, port: the listener's."""
    parts: Sequence[tuple[str, str]] = (
        ("protocol", protocol.lower()),
        ("host", host_name(request.host)),
        ("port", str(port)),
        ("path", request.path.removeprefix("/")),
        ("query", request.query),
    )

    def filled(template: str) -> str:
        return _KEYWORD.sub(lambda found: dict(parts)[found[1]], template)

    query = filled(redirect.query)
    scheme = filled(redirect.protocol).lower()
    return f"{scheme}://{filled(redirect.host)}:{filled(redirect.port)}{filled(redirect.path)}" + (
        f"?{query}" if query else ""
    )


_KEYWORD: Final = re.compile(r"#\{(protocol|host|port|path|query)\}")
