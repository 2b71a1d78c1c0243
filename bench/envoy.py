"""Envoy configured by hand, as a yardstick: its smallest pieces, without xDS."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from portside.balancer.process import find_binary

TYPE: Final = "type.googleapis.com/envoy."


def listener(
    address: str,
    port: int,
    routes: Sequence[dict[str, Any]],
    *,
    chain: Mapping[str, Any] = MappingProxyType({}),
    **manager: Any,
) -> dict[str, Any]:
    """Args: chain: further members of its filter chain. manager: of its HTTP connection manager."""
    connections = {
        "@type": f"{TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "hand",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": list(routes)}]},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{TYPE}extensions.filters.http.router.v3.Router"}}
        ],
        **manager,
    }
    return {
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": connections}], **chain}],
    }


def cluster(name: str, targets: Sequence[tuple[str, int]], **more: Any) -> dict[str, Any]:
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}} for host, port in targets
    ]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        **more,
    }


def document(listeners: Sequence[dict[str, Any]], clusters: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"static_resources": {"listeners": list(listeners), "clusters": list(clusters)}})


def command(configuration: Path) -> list[str]:
    """Two threads, as Portside's has."""
    arguments = ["-c", str(configuration), "--concurrency", "2", "--disable-hot-restart", "-l", "error"]
    return [str(find_binary(None)), *arguments]
