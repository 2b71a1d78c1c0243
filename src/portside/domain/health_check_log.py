"""The lines of an Application Load Balancer's health check log. Pure.

Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-health-check-logs.html
"""

from collections.abc import Mapping
from typing import Any, Final

from portside.domain.load_balancer import LoadBalancer
from portside.domain.load_balancer_metric import resource
from portside.domain.load_balancer_rule import grpc_ranges, matcher_ranges

FIELDS: Final = ("began", "took_us", "took_ms", "host", "status", "flags", "route")
"""What the data plane tells of each check; None for what there is not. `route`: what is known of the target group."""

_GRPC: Final = range(400, 500)
"""Statuses that stand for gRPC's codes."""


def health_check_line(balancer: LoadBalancer, entry: Mapping[str, Any]) -> str:
    """One check.

    Args:
        entry: by the names of `FIELDS`.
    """
    known = entry["route"]
    code, reason = _outcome(known, int(entry["status"] or 0), str(entry["flags"] or "-"))
    took_us = entry["took_us"] if entry["took_us"] is not None else int(entry["took_ms"] or 0) * 1000
    node = next((zone.address for zone in balancer.zones if zone.address), "-")
    fields = (
        known["type"],
        entry["began"],
        f"{int(took_us) / 1_000_000:.9f}",
        entry["host"] or "-",
        known["group"],
        "FAIL" if reason else "PASS",
        code,
        reason or "-",
        resource(balancer.arn),
        node,
    )
    return " ".join(map(str, fields))


def _outcome(known: Mapping[str, str], status: int, flags: str) -> tuple[str, str]:
    """The target's code and, of a check that failed, the reason."""
    if flags != "-":
        return "-", "TimedOut" if {"DC", "UT"} & set(flags.split(",")) else "ConnectionReset"
    if known["type"] != "grpc":
        if any(start <= status < end for start, end in matcher_ranges(known["matcher"])):
            return str(status), ""
        return str(status), "TargetError" if status >= 500 else "ResponseCodeMismatch"
    if status not in _GRPC:
        return "-", "GRPCStatusHeaderEmpty"
    code = status - _GRPC.start
    wanted = any(start <= code < end for start, end in grpc_ranges(known["matcher"]))
    return str(code), "" if wanted else "GRPCUnexpectedStatus"
