"""The lines of an Application Load Balancer's connection log. Pure.

Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-connection-logs.html
"""

from collections.abc import Mapping
from typing import Any, Final

from portside.domain.load_balancer import LoadBalancer
from portside.domain.load_balancer_metric import resource

FIELDS: Final = (
    *("began", "client_address", "client_port", "port", "version", "cipher", "handshake_ms", "group", "failure"),
    *("connection", "node", "secured"),
)
"""What the data plane tells of each connection; None for what there is not. `secured`: whether the listener has TLS."""


def connection_line(balancer: LoadBalancer, entry: Mapping[str, Any]) -> str:
    """One connection.

    Args:
        entry: by the names of `FIELDS`.
    """
    secured = entry["secured"] == "true"
    shaken = secured and bool(entry["version"]) and not entry["failure"]
    status = ("Success" if shaken else "Failed:UnmappedConnectionError") if secured else "-"
    latency_ms = entry["handshake_ms"]
    fields = (
        entry["began"],
        entry["client_address"] or "-",
        entry["client_port"] or "-",
        entry["port"],
        entry["version"] or "-",
        entry["cipher"] or "-",
        f"{int(latency_ms) / 1000:.3f}" if shaken and latency_ms is not None else "-",
        *("-", "-", "-"),  # of the client's certificate, which is asked for with mutual TLS alone
        status,
        f"TID_{entry['connection'] or 0:032x}",
        entry["group"] or "-",
        resource(balancer.arn),
        entry["node"],
    )
    return " ".join(map(str, fields))
