"""Rules and requests drawn at random, and which rule a request goes by according to AWS's documentation, told in
another way than the product tells it: nothing of what is tested is used here but its records.

Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-condition-types.html
"""

import socket
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from portside.domain.listener_match import Request
from portside.domain.load_balancer import Condition, QueryParameter

_REGEXES: Final[dict[str, Callable[[str], bool]]] = {
    "^/a": lambda text: text.startswith("/a"),
    "b$": lambda text: text.endswith("b"),
    "a.b": lambda text: any(text[at] == "a" and text[at + 2] == "b" for at in range(len(text) - 2)),
    "^[^0-9]*$": lambda text: not any(char.isdigit() for char in text),
    "(aa|bb)": lambda text: "aa" in text or "bb" in text,
    "^/(a|b)/?$": lambda text: text in ("/a", "/b", "/a/", "/b/"),
    "1{2}": lambda text: "11" in text,
}
"""Each with what it says, in words of Python."""
_HOST_REGEXES: Final[dict[str, Callable[[str], bool]]] = {
    r"^a\.": lambda text: text.startswith("a."),
    r"\.com$": lambda text: text.endswith(".com"),
    "^[ab]+[.]b": lambda text: text.partition(".")[2].startswith("b") and set(text.partition(".")[0]) <= {"a", "b"},
}


def conditions(random: Random) -> tuple[Condition, ...]:
    """One rule's, within AWS's limits."""
    kinds = random.sample(
        ("path-pattern", "host-header", "http-header", "http-request-method", "query-string", "source-ip"),
        random.choice((1, 1, 1, 2, 2, 3)),
    )
    return tuple(_condition(random, kind) for kind in kinds)


def plain_path(random: Random) -> tuple[Condition, ...]:
    """Of a rule that goes by how the path begins, or by the whole of it, and mostly by nothing else."""
    path = "/" + "".join(random.choice("ab/1A") for _ in range(random.randint(2, 4)))
    named = Condition(field="path-pattern", values=(path + random.choice(("", "*", "*")),))
    return (named,) if random.random() < 0.7 else (named, _condition(random, "http-header"))


def _condition(random: Random, kind: str) -> Condition:
    match kind:
        case "path-pattern":
            if random.random() < 0.3:
                return Condition(field="path-pattern", regex_values=(random.choice(tuple(_REGEXES)),))
            return Condition(field="path-pattern", values=("/" + _pattern(random, "ab/1A"),))
        case "host-header":
            if random.random() < 0.3:
                return Condition(field="host-header", regex_values=(random.choice(tuple(_HOST_REGEXES)),))
            return Condition(
                field="host-header", values=(f"{_pattern(random, 'abA')}.{random.choice(('com', 'b.*', 'b?'))}",)
            )
        case "http-header":
            if random.random() < 0.3:
                return Condition(
                    field="http-header", header=random.choice(("X-One", "x-two")), regex_values=(_any(random),)
                )
            return Condition(field="http-header", header=random.choice(("X-One", "x-two")), values=(_value(random),))
        case "http-request-method":
            return Condition(
                field="http-request-method", values=tuple(random.sample(("GET", "POST", "PURGE", "PUT"), 2))
            )
        case "query-string":
            key = random.choice(("", "a", "B?", "a*", "*"))
            return Condition(field="query-string", query=(QueryParameter(key=key, value=_query_value(random)),))
        case _:
            networks = ("10.0.1.0/30", "10.0.1.4/31", "10.0.1.4/32", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32")
            return Condition(field="source-ip", values=tuple(random.sample(networks, random.choice((1, 2)))))


def _any(random: Random) -> str:
    return random.choice(tuple(_REGEXES))


def _pattern(random: Random, letters: str) -> str:
    text = "".join(random.choice(letters + "*?") for _ in range(random.randint(0, 3)))
    return (
        (text or random.choice(letters)) if text.count("*") + text.count("?") < 2 else text.replace("?", letters[0])[:2]
    )


def _value(random: Random) -> str:
    return random.choice(("a", "*", "a*", "?b", "B", "1?*", "aa bb"))


def _query_value(random: Random) -> str:
    return random.choice(("a", "*", "A*", "?", r"\*", "b=?", r"a\\?"))


def request(random: Random, source: str) -> Request:
    path = "/" + "".join(random.choice("ab/1A") for _ in range(random.randint(0, 4)))
    path = path.replace("//", "/")
    headers = [
        (random.choice(("X-One", "x-ONE", "X-Two")), random.choice(("a", "ab", "B", "11", "/a", "aa bb", "bab")))
        for _ in range(random.choice((0, 1, 1, 2)))
    ]
    pairs = [
        f"{random.choice(('a', 'b', 'bx', 'Ab'))}={random.choice(('a', 'b=a', '*', 'AB', 'a%5Cx', ''))}"
        if random.random() < 0.9
        else "a"
        for _ in range(random.choice((0, 1, 1, 2, 3)))
    ]
    host = f"{random.choice(('a', 'ab', 'b', 'A', 'ba'))}.{random.choice(('com', 'b.com', 'B.b', 'bb'))}"
    return Request(
        method=random.choice(("GET", "POST", "PURGE")),
        host=host + random.choice(("", ":80", ":8080")),
        path=path,
        query="&".join(pairs),
        headers=tuple(headers),
        source=source,
    )


def first(rules: Sequence[tuple[Condition, ...]], sent: Request) -> int | None:
    """The number of the first rule all of whose conditions hold."""
    return next((number for number, each in enumerate(rules) if all(holds(one, sent) for one in each)), None)


def holds(condition: Condition, sent: Request) -> bool:
    match condition.field:
        case "path-pattern":
            found = [_REGEXES[each](sent.path) for each in condition.regex_values]
            return any([*found, *(like(sent.path, each) for each in condition.values)])
        case "host-header":
            name = sent.host.split(":")[0].lower()
            found = [_HOST_REGEXES[each](name) for each in condition.regex_values]
            return any([*found, *(like(name, each.lower()) for each in condition.values)])
        case "http-header":
            texts = [value for key, value in sent.headers if key.lower() == condition.header.lower()]
            found = [_REGEXES[each](text) for each in condition.regex_values for text in texts]
            return any([*found, *(like(text.lower(), each.lower()) for each in condition.values for text in texts)])
        case "http-request-method":
            return sent.method in condition.values
        case "query-string":
            pairs = [each.lower().split("=", 1) for each in sent.query.split("&") if "=" in each]
            return any(
                (not wanted.key or like(key, _unescaped(wanted.key))) and like(value, _unescaped(wanted.value))
                for wanted in condition.query
                for key, value in pairs
            )
        case _:
            return any(_inside(sent.source, each) for each in condition.values if ":" not in each)


_LITERAL: Final = {"*": "\0", "?": "\1"}


def _unescaped(pattern: str) -> str:
    """Escaped characters become ones that `like` takes for themselves."""
    text, made = pattern.lower(), ""
    while text:
        if text[0] == "\\" and text[1:2] in ("*", "?", "\\"):
            made += _LITERAL.get(text[1], text[1])
            text = text[2:]
        else:
            made += text[0]
            text = text[1:]
    return made


def like(text: str, pattern: str) -> bool:
    """By the definition: a star is nothing, or a character and a star."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return like(text, pattern[1:]) or (bool(text) and like(text[1:], pattern))
    literal = {"\0": "*", "\1": "?"}.get(pattern[0], pattern[0])
    return bool(text) and (pattern[0] == "?" or text[0] == literal) and like(text[1:], pattern[1:])


def _inside(address: str, network: str) -> bool:
    base, _, length = network.partition("/")
    bits = 32 - int(length)
    one, other = (struct.unpack("!I", socket.inet_aton(each))[0] for each in (address, base))
    return bool(one >> bits == other >> bits)
