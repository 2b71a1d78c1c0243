"""The lines of an Application Load Balancer's access log. Pure.

Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from portside.domain.load_balancer import LoadBalancer
from portside.domain.load_balancer_metric import resource

FIELDS: Final = (
    *("client", "target", "to_target_us", "target_us", "from_target_us", "status", "details", "method", "scheme"),
    *("host", "port", "path", "protocol", "agent", "cipher", "version", "began", "ended", "connection", "cluster"),
    *("wire_received", "wire_sent", "trace", "upgrade", "content_type", "location", "name", "route", "desync", "node"),
)
"""What the data plane tells of each request; None for what there is not. `route`: what the rule's route knows."""


def application_line(balancer: LoadBalancer, entry: Mapping[str, Any]) -> str:
    """One request.

    Args:
        entry: by the names of `FIELDS`.
    """
    known = entry.get("route") or {}  # nothing for what no rule was looked for
    odd = entry.get("desync") or {}
    action = known.get("action", "-")
    cluster = str(entry["cluster"] or "")
    answered = entry["details"] == "via_upstream"
    target = entry["target"] or "-"
    status = str(entry["status"] or "-")
    of_target = status if answered else "-"
    uri = f"{entry['scheme']}://{_host(entry)}:{entry['port']}{entry['path']}" if entry["method"] else "-"
    version = {"HTTP/2": "HTTP/2.0"}.get(entry["protocol"], entry["protocol"])
    fields = (
        _type(entry),
        _time(_ended(entry)),
        resource(balancer.arn),
        entry["client"] or "-",
        target,
        _seconds(entry["to_target_us"]),
        _seconds(entry["target_us"] if answered else None),
        _seconds(entry["from_target_us"] if answered else None),
        status,
        of_target,
        entry["wire_received"] or 0,
        entry["wire_sent"] or 0,
        _quoted(f"{entry['method'] or '-'} {uri} {version or '-'}"),
        _quoted(entry["agent"]),
        entry["cipher"] or "-",
        entry["version"] or "-",
        known.get("groups", {}).get(cluster.rpartition("_")[2], "-"),
        _quoted(entry["trace"]),
        _quoted(entry["name"]),
        _quoted(known.get("certificate") if entry["version"] else None),
        known.get("priority", "-1"),
        _time(_began(entry)),
        _quoted(action),
        _quoted(entry["location"] if action == "redirect" else None),
        _quoted(None),
        _quoted(target),
        _quoted(of_target),
        _quoted(odd.get("classification")),
        _quoted(odd.get("reason")),
        f"TID_{entry['connection']:032x}",
        _quoted(None),
        _quoted(None),
        _quoted(None),
        entry.get("node") or "-",
    )
    return " ".join(map(str, fields))


def _type(entry: Mapping[str, Any]) -> str:
    secured = "s" if entry["version"] else ""
    if str(entry["upgrade"] or "").lower() == "websocket":
        return f"ws{secured}"
    if str(entry["content_type"] or "").startswith("application/grpc"):
        return "grpcs"
    return "h2" if entry["protocol"] == "HTTP/2" else f"http{secured}"


def _host(entry: Mapping[str, Any]) -> str:
    return re.sub(r":[0-9]+\Z", "", entry["host"] or "")


def _began(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(float(entry["began"]), UTC)


def _ended(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(float(entry["ended"]), UTC)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"


def _seconds(microseconds: int | None) -> str:
    """Without a target there is no such time."""
    return "-1" if microseconds is None else f"{microseconds / 1_000_000:.3f}"


def _quoted(text: str | None) -> str:
    """What could end the field, and what is no printable character of ASCII, as `\\xHH`."""
    return f'"{_ODD.sub(_escaped, text)}"' if text else '"-"'


_ODD: Final = re.compile(r'[^\x20-\x7e]|["\\]')


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in found[0].encode())
