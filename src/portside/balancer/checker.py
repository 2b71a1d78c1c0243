"""Health checks by way of a listener of Envoy's own, where its checker does not see enough by itself: the code of any
answer of gRPC, and what a health check log tells.

The checker asks this listener, in the load balancer's namespace, on a loopback address; it goes on to the target that
`:authority` names, with the check's own transport. An answer of gRPC comes back as a status of HTTP that has its code.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from portside.domain.access_log import is_logged
from portside.domain.load_balancer import LoadBalancer, TargetGroup
from portside.domain.load_balancer_rule import GRPC_HEALTH, grpc_ranges, matcher_ranges, suffix

Resource = dict[str, Any]

PORT: Final = 6500
HEADER: Final = "x-portside-check"
"""Names the cluster that a check is for; targets do not see it."""
GRPC: Final = 400
"""The status that stands for gRPC's code nought; those up to 99 follow."""
NOT_SERVING: Final = 598
NO_ANSWER: Final = 599
EMPTY_MESSAGE: Final = "0000000000"
"""A message of gRPC without content, in hex: not compressed, no bytes."""
_PREFIX: Final = "checks_"
_TYPE: Final = "type.googleapis.com/envoy."


def is_needed(balancer: LoadBalancer, group: TargetGroup) -> bool:
    """Whether a target group's checks go this way."""
    check = group.health_check
    if balancer.type != "application" or check.protocol not in ("HTTP", "HTTPS"):
        return False
    if is_logged(balancer, "health_check"):
        return True
    return group.protocol_version == "GRPC" and (check.path, check.matcher) != (GRPC_HEALTH, "0")


def address(load_balancer_arn: str) -> str:
    """Where a load balancer's checks go, in its own namespace."""
    digest = hashlib.sha256(load_balancer_arn.encode()).digest()
    return f"127.77.{digest[0]}.{digest[1] % 254 + 1}"


def cluster_name(cluster: str) -> str:
    return f"check_{cluster}"


def listener_name(load_balancer_arn: str) -> str:
    return f"{_PREFIX}{suffix(load_balancer_arn)}"


def is_listener(name: str) -> bool:
    return name.startswith(_PREFIX)


def expected(group: TargetGroup) -> list[tuple[int, int]]:
    """The statuses that the checker is to see, as half-open ranges."""
    matcher = group.health_check.matcher
    if group.protocol_version == "GRPC":
        return [(GRPC + start, GRPC + end) for start, end in grpc_ranges(matcher)]
    return matcher_ranges(matcher)


def metadata(group: TargetGroup) -> Resource:
    """What the route of a group's checks knows."""
    check, version = group.health_check, group.protocol_version
    secured = {"HTTP2": "h2"}.get(version, "https") if check.protocol == "HTTPS" else "http"
    kind = "http"
    if version == "GRPC":
        kind = "serving" if (check.path, check.matcher) == (GRPC_HEALTH, "0") else "grpc"
    told = {"group": group.name, "matcher": check.matcher, "type": "grpc" if version == "GRPC" else secured}
    return {"filter_metadata": {"envoy.filters.http.lua": {"kind": kind}, "portside": told}}


def cluster(name: str, group: TargetGroup, bind: Resource, transport: Resource | None) -> Resource:
    """To whatever target a check is for. Each connection is for one check.

    Args: bind: where connections leave from; transport: None for plain ones."""
    http2 = group.protocol_version in ("HTTP2", "GRPC")
    made: Resource = {
        "@type": f"{_TYPE}config.cluster.v3.Cluster",
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": f"{group.health_check.timeout_s}s",
        "original_dst_lb_config": {"use_http_header": True, "http_header_name": ":authority"},
        "upstream_bind_config": bind,
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}extensions.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"max_requests_per_connection": 1},
                "explicit_http_config": {"http2_protocol_options": {}} if http2 else {"http_protocol_options": {}},
            }
        },
    }
    if transport is not None:
        made["transport_socket"] = transport
    return made


def manager(checks: Sequence[tuple[str, TargetGroup]], logs: Sequence[Resource]) -> Resource:
    """What takes a load balancer's checks.

    Args: checks: the clusters of this module's, with their groups."""
    routes = [
        {
            "match": {"prefix": "/", "headers": [{"name": HEADER, "string_match": {"exact": name}}]},
            "route": {"cluster": name, "timeout": "0s"},
            "metadata": metadata(group),
        }
        for name, group in checks
    ]
    made: Resource = {
        "@type": f"{_TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "checks",
        "codec_type": "AUTO",
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "http_protocol_options": {"accept_http_10": True},
        "route_config": {
            "name": "checks",
            # the clusters come after this listener, so that their first check finds it
            "validate_clusters": False,
            "request_headers_to_remove": [HEADER, "x-forwarded-proto", "x-envoy-expected-rq-timeout-ms"],
            "virtual_hosts": [{"name": "checks", "domains": ["*"], "routes": routes}],
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.lua",
                "typed_config": {
                    "@type": f"{_TYPE}extensions.filters.http.lua.v3.Lua",
                    "default_source_code": {"inline_string": _SCRIPT},
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}extensions.filters.http.router.v3.Router"},
            },
        ],
    }
    if logs:
        made["access_log"] = list(logs)
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": made}


_SCRIPT: Final = rf"""
function envoy_on_response(handle)
  local headers = handle:headers()
  -- which Envoy sets where a target answered: an answer of its own has a code of gRPC, too
  local answered = headers:get("x-envoy-upstream-service-time")
  local kind = handle:metadata():get("kind")
  if not answered then
    headers:replace(":status", "{NO_ANSWER}")
    return
  end
  if kind == "http" then return end
  local code, serving = headers:get("grpc-status"), false
  if code == nil and headers:get(":status") == "200" then
    local body = handle:body()
    if body and body:length() > 6 then
      serving = body:getBytes(0, body:length()):sub(6):find("\8\1", 1, true) ~= nil
    end
    local trailers = handle:trailers()
    code = trailers and trailers:get("grpc-status")
  end
  local status, number = {NO_ANSWER}, tonumber(code)
  if number and number >= 0 and number <= 99 then status = {GRPC} + number end
  if kind == "serving" and status == {GRPC} and not serving then status = {NOT_SERVING} end
  handle:headers():replace(":status", tostring(status))
end
"""
