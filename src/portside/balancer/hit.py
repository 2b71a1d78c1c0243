"""How requests ended: counters of Envoy's, fed as its access log is.

Each request counts once, by the place it came to, under the name of its route, which is the rule and where that leads.
Answers other than 200, errors that Envoy answered itself, and what is not as RFC 7230 has it, count once more: other
requests are only compared for that.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from portside.balancer.desync import METADATA
from portside.domain.load_balancer_rule import suffix

Kind = Literal["hits", "other", "own", "odd", "lost"]
_KINDS: Final[dict[str, Kind]] = {each: each for each in get_args(Kind)}
CONNECTIONS: Final = "connections"
"""In place of a place, for listeners whose connections are told apart by their addresses."""
_COUNTER: Final = re.compile(rf"^portside\.(?:([^.]+)\.)?({'|'.join(_KINDS)})\.(?:ended\.|route\.)*(.+): ([0-9]+)$")
FILTER: Final = rf"^portside\.([^.]+\.)?({'|'.join(_KINDS)})\."
_TYPE: Final = "type.googleapis.com/envoy."


@dataclass(frozen=True, kw_only=True)
class Ended:
    """So many requests, of `place`. `what`: by kind the parts that its format has."""

    kind: Kind
    place: str
    what: tuple[str, ...]
    count: int


def default_name(listener_arn: str) -> str:
    """The route of a listener's default action."""
    return f"default-{suffix(listener_arn)}"


def loggers(place: str, *, weighted: bool) -> list[dict[str, Any]]:
    """Of an HTTP listener. The names are Portside's own, so there are as many counters as places, rules, target groups
    and statuses.

    Args:
        weighted: whether a route leads to several clusters. Then each request's is told, which costs a little.
    """
    cluster = "%UPSTREAM_CLUSTER_RAW%"
    classified = {"filter": METADATA, "path": [{"key": "classification"}], "value": {"present_match": True}}
    not_200 = {"comparison": {"op": "NE", "value": {"default_value": 200, "runtime_key": "portside.status.not_200"}}}
    return [
        _logger(place, "hits", f"%ROUTE_NAME%/{cluster}" if weighted else "%ROUTE_NAME%"),
        {
            **_logger(place, "other", f"%ROUTE_NAME%/{cluster}/%RESPONSE_CODE%"),
            "filter": {"status_code_filter": not_200},
        },
        {
            **_logger(place, "own", f"{cluster}/%RESPONSE_CODE%"),
            # the expression is for what was interrupted alone
            "filter": {"and_filter": {"filters": [{"response_flag_filter": {}}, _NOT_OF_TARGET]}},
        },
        {
            **_logger(place, "odd", f"{cluster}/%RESPONSE_CODE%/%RESPONSE_CODE_DETAILS%/%PROTOCOL%"),
            "filter": {
                "or_filter": {
                    "filters": [
                        {"metadata_filter": {"matcher": classified, "match_if_key_not_found": False}},
                        {"response_flag_filter": {"flags": ["DPE"]}},
                    ]
                }
            },
        },
    ]


def connection_logger() -> dict[str, Any]:
    """Of a listener that hands connections on: each is as a request, when it has ended."""
    return _logger(CONNECTIONS, "hits", "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%/%UPSTREAM_CLUSTER_RAW%")


_NOT_OF_TARGET: Final[dict[str, Any]] = {
    "extension_filter": {
        "name": "envoy.access_loggers.extension_filters.cel",
        "typed_config": {
            "@type": f"{_TYPE}extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            "expression": "response.code >= 400 && response.code_details != 'via_upstream'",
        },
    }
}


def _logger(place: str, kind: Kind, value: str) -> dict[str, Any]:
    return {
        "name": "envoy.access_loggers.stats",
        "typed_config": {
            "@type": f"{_TYPE}extensions.access_loggers.stats.v3.Config",
            "stats_scope": {"prefix": f"portside.{place}"},
            "counters": [
                {"stat": {"name": kind, "tags": [{"name": "ended", "value_format": value}]}, "value_fixed": 1}
            ],
        },
    }


def failure_logger(place: str) -> dict[str, Any]:
    """Of a listener that hands connections on: those that no target took."""
    flags = {"flags": ["UH", "UF", "UO", "NR", "NC"]}
    return {**_logger(place, "lost", "%UPSTREAM_CLUSTER_RAW%"), "filter": {"response_flag_filter": flags}}


def failed_connections(ended: Iterable[Ended]) -> Counter[str]:
    """By place."""
    found: Counter[str] = Counter()
    for each in ended:
        if each.kind == "lost":
            found[each.place] += each.count
    return found


def read(text: str) -> Iterator[Ended]:
    """What an Envoy of an earlier Portside has counted is of no place."""
    for line in text.splitlines():
        if matched := _COUNTER.match(line.strip()):
            yield Ended(
                kind=_KINDS[matched[2]],
                place=matched[1] or "",
                what=tuple("" if each == "-" else each for each in matched[3].split("/")),
                count=int(matched[4]),
            )


def by_rule(ended: list[Ended]) -> Counter[str]:
    """By what a rule's routes are named after. Those that keep clients at a target group count for their rule."""
    found: Counter[str] = Counter()
    for each in ended:
        if each.kind == "hits" and each.place != CONNECTIONS:
            found[each.what[0].partition("_")[0]] += each.count
    return found
