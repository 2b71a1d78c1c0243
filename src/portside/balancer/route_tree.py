"""How Envoy finds a route among many: by how the path begins, not one after the other.

Envoy tries the routes of a host in order, and each costs a little, also those whose path is another. So where the paths
of many rules begin with plain text there is a list for each of some beginnings: of those routes, in their order, that a
path which begins so may take. Which route is taken does not change.

Source: https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto, VirtualHost.matcher.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

Route = dict[str, Any]

_TYPE: Final = "type.googleapis.com/envoy."
IN_ORDER: Final = 16
"""Up to so many beginnings are tried one after the other."""
_TOGETHER: Final = 16
"""So many beginnings share a list."""


def choice(routes: Sequence[Route]) -> dict[str, Any]:
    """The member of a virtual host that says which of these routes a request takes: the first that matches."""
    texts = sorted({text for each in routes if len(text := plain(each)) > 1})
    if len(texts) <= IN_ORDER:
        return {"routes": list(routes)}
    named = lists(routes, texts)
    others = _action(named.pop(""))
    path = {"@type": f"{_TYPE}type.matcher.v3.HttpRequestHeaderMatchInput", "header_name": ":path"}
    return {
        "matcher": {
            "matcher_tree": {
                "input": {"name": "path", "typed_config": path},
                "prefix_match_map": {"map": {beginning: _action(several) for beginning, several in named.items()}},
            },
            "on_no_match": others,
        }
    }


def plain(route: Route) -> str:
    """What a path that takes it begins with; empty if it goes by an expression."""
    match = route["match"]
    return str(match.get("prefix", match.get("path", "")))


def lists(routes: Sequence[Route], texts: Sequence[str]) -> dict[str, list[Route]]:
    """By beginning: those that a path may take of which no longer one is the beginning. "" is every path's.

    Args:
        texts: what is plain of the routes, in alphabetical order, each once.
    """
    beginnings = ["", *_beginnings(texts, "")]
    with_text = [(plain(each), each) for each in routes]
    made: dict[str, list[Route]] = {}
    for beginning in beginnings:
        longer = tuple(each for each in beginnings if each != beginning and each.startswith(beginning))
        made[beginning] = [
            route
            for text, route in with_text
            if (text.startswith(beginning) or beginning.startswith(text)) and not text.startswith(longer)
        ]
    return made


def _beginnings(texts: Sequence[str], common: str) -> Iterator[str]:
    """Args: texts: begin with `common`, in alphabetical order."""
    longer = [each for each in texts if len(each) > len(common)]
    if len(longer) <= _TOGETHER:
        return
    for letter, several in groupby(longer, key=lambda each: each[len(common)]):
        group = list(several)
        if len(group) < len(longer) or len(longer) < len(texts):
            yield common + letter
        yield from _beginnings(group, common + letter)


def _action(routes: list[Route]) -> dict[str, Any]:
    return {
        "action": {
            "name": "routes",
            "typed_config": {"@type": f"{_TYPE}config.route.v3.RouteList", "routes": routes},
        }
    }
