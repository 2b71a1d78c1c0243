"""How often which rule was gone by: a counter of Envoy's for each name of a route, fed as its access log is."""

import re
from collections import Counter
from typing import Any, Final

from portside.domain.load_balancer_rule import suffix

SCOPE: Final = "portside"
_COUNTER: Final = re.compile(rf"^{SCOPE}\.hits(?:\.route)?\.(?:route\.)?([A-Za-z0-9-]+)(?:_[A-Za-z0-9-]+)?: ([0-9]+)$")
FILTER: Final = rf"^{SCOPE}\.hits\."


def default_name(listener_arn: str) -> str:
    """The route of a listener's default action."""
    return f"default-{suffix(listener_arn)}"


def logger() -> dict[str, Any]:
    """The names are Portside's own, so there are as many counters as rules."""
    return {
        "name": "envoy.access_loggers.stats",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config",
            "stats_scope": {"prefix": SCOPE},
            "counters": [
                {
                    "stat": {"name": "hits", "tags": [{"name": "route", "value_format": "%ROUTE_NAME%"}]},
                    "value_fixed": 1,
                }
            ],
        },
    }


def read(text: str) -> Counter[str]:
    """By what a rule's routes are named after. Those that keep clients at a target group count for their rule."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        if matched := _COUNTER.match(line.strip()):
            found[matched[1]] += int(matched[2])
    return found
