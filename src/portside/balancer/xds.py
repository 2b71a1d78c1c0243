"""Envoy's configuration for a set of load balancers: pure, from records to xDS resources.

What the field names mean is in Envoy's v3 API reference. Every deviation from Envoy's defaults below is there
because an Application Load Balancer behaves so; the reasons are in docs/architecture/load-balancer.md.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from portside.balancer import checker, desync, hit, route_tree
from portside.balancer.follower import follower
from portside.balancer.interface import BalancerConfig, ServerCertificate
from portside.domain import application_access_log, connection_log, health_check_log
from portside.domain.access_log import FIELDS, LogKind, is_logged
from portside.domain.listener_condition import condition_regex
from portside.domain.load_balancer import (
    Action,
    ClassicBackend,
    Condition,
    FixedResponse,
    Forward,
    Listener,
    LoadBalancer,
    Redirect,
    Rule,
    Target,
    TargetCookie,
    TargetGroup,
    ZoneMapping,
)
from portside.domain.load_balancer_metric import ANSWERS
from portside.domain.load_balancer_rule import (
    ALPN_POLICIES,
    CROSS_ZONE,
    NETWORK_PROTOCOLS,
    RESPONSE_HEADERS,
    ROUTING,
    SERVER_HEADER,
    TLS_HEADERS,
    app_cookie,
    app_cookie_s,
    check_port,
    client_keep_alive_s,
    has_proxy_protocol,
    idle_timeout_s,
    in_order,
    is_zonal,
    other_ranges,
    slow_start_s,
    sticky_s,
    suffix,
    tcp_idle_timeout_s,
    used_groups,
)
from portside.domain.ssl_policy import DEFAULT, POLICIES, TLS13
from portside.domain.target_group_health import has_enough, least_healthy, pools

Resource = dict[str, Any]

SHARED_ADDRESS: Final = "127.0.0.1"
"""Where curl and browsers look for every name under localhost, without asking any resolver."""
UPSTREAM_IDLE_S: Final = 4
"""Below the shortest keep-alive time-out of the usual servers (Node.js: 5 s), so that no request is sent on a
connection which the target is about to close."""
CONNECT_TIMEOUT_S: Final = 10
"""As the Application Load Balancer's (troubleshooting guide, HTTP 504)."""
BREAKER: Final = 1_000_000
"""Envoy's limits of 1,024 connections and requests per cluster would answer 503 under load."""
PANIC_PERCENT: Final = 100
"""With it Envoy sends to all targets as soon as the share of the healthy ones times the assignment's overprovisioning
factor is below one: the factor alone says when, and it comes with the endpoints, which change in place."""

_CONNECTIONS: Final = ("TCP", "TCP_UDP", "TLS")
"""Listeners whose connections are handed on as they are; of TCP_UDP, its TCP."""
_TYPE = "type.googleapis.com/envoy."


@dataclass(frozen=True, kw_only=True)
class Options:
    """
    Args:
        directory: where the xDS files are.
        health_log: where Envoy writes its health checks' events.
    """

    directory: Path
    health_log: Path

    def access_log(self, load_balancer_arn: str, kind: LogKind = "access") -> Path:
        """Where Envoy tells of a load balancer's requests, or connections."""
        return self.directory / f"{kind}-{suffix(load_balancer_arn)}.log"


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Everything Envoy is to have, by name. `host_bindings`: the (address, port) pairs that a listener takes on the
    host, where something else may sit already."""

    listeners: Mapping[str, Resource] = field(default_factory=dict)
    routes: Mapping[str, Resource] = field(default_factory=dict)
    clusters: Mapping[str, Resource] = field(default_factory=dict)
    endpoints: Mapping[str, Resource] = field(default_factory=dict)
    secrets: Mapping[str, Resource] = field(default_factory=dict, repr=False)
    host_bindings: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)


def cluster_name(load_balancer_arn: str, target_group_arn: str) -> str:
    """A cluster is per load balancer and target group, since its connections leave from the balancer's namespace."""
    return f"{suffix(load_balancer_arn)}_{suffix(target_group_arn)}"


def route_name(listener_arn: str) -> str:
    return f"listener_{suffix(listener_arn)}"


def zone_name(listener_arn: str, zone: str) -> str:
    """Of what a listener has in a zone, and what that is counted under."""
    return f"{route_name(listener_arn)}_{zone}"


def shared_name(port: int) -> str:
    return f"shared_{port}"


def endpoint_file(name: str) -> str:
    return f"eds-{name}.json"


def route_file(name: str) -> str:
    return f"rds-{name}.json"


def secret_name(certificate_arn: str) -> str:
    """Server certificates of IAM are not unique by the last part of their ARNs alone."""
    if ":server-certificate/" in certificate_arn:
        return f"certificate_{hashlib.sha256(certificate_arn.encode()).hexdigest()[:32]}"
    return f"certificate_{suffix(certificate_arn)}"


def secret_file(name: str) -> str:
    return f"sds-{name}.json"


def render(configs: Sequence[BalancerConfig], options: Options) -> Resources:
    """The whole configuration. The order of `configs` does not matter."""
    listeners: dict[str, Resource] = {}
    routes: dict[str, Resource] = {}
    clusters: dict[str, Resource] = {}
    endpoints: dict[str, Resource] = {}
    host_bindings: dict[str, tuple[tuple[str, int], ...]] = {}
    secrets: dict[str, Resource] = {}
    shared: dict[int, list[tuple[BalancerConfig, Listener]]] = {}
    for config in sorted(configs, key=lambda c: c.load_balancer.arn):
        balancer = config.load_balancer
        used = used_groups(config.listeners, config.rules)
        checks: list[tuple[str, TargetGroup]] = []
        for group in config.target_groups:
            if group.arn not in used:
                continue
            name = cluster_name(balancer.arn, group.arn)
            clusters[name] = cluster(config, group, options)
            targets = [target for target in config.targets if target.target_group_arn == group.arn]
            endpoints[name] = assignment(balancer, group, targets)
            if checker.is_needed(balancer, group):
                through_checker(config, group, endpoints[name], clusters)
                checks.append((checker.cluster_name(name), group))
        if checks:
            name = checker.listener_name(balancer.arn)
            place = socket_address(checker.address(balancer.arn), checker.PORT, config.netns_path)
            handler = checker.manager(checks, health_check_logs(balancer, options))
            listeners[name] = listener_resource(name, [place], ("", handler))
        secrets.update({secret_name(each.arn): secret(each) for each in config.certificates})
        for listener in config.listeners:
            if listener.protocol == "UDP":
                continue  # the VPC's router carries it; Envoy checks its targets
            tls = tls_context([(config, listener)], options)
            if tls is None and listener.protocol in ("HTTPS", "TLS"):
                continue  # none of its certificates can be read
            for name, zone, places in fronts(config, listener):
                handlers: list[tuple[ZoneMapping, Resource]] = []  # by zone
                if listener.protocol in _CONNECTIONS:
                    handler = tcp_proxy(config, listener, options, zone)
                else:
                    is_zonal = bool(zonal_clusters(config))
                    # one for each zone, so that each counts its requests
                    for each in places:
                        own = zone_name(listener.arn, each.zone)
                        led_by, led_in = (own, each.zone) if is_zonal else (name, "")
                        if led_by not in routes:
                            reached = [virtual_host(config, listener, ("*",), led_in)]
                            routes[led_by] = route_configuration(led_by, reached)
                        handlers.append((each, http_manager(led_by, [(config, listener)], options, own)))
                legs = [each.address for each in places if each.address]
                logs = connection_logs([config], options, secured=tls is not None)
                filters = name_filters([config], secured=tls is not None)
                if legs and listener.arn not in config.in_kernel:
                    addresses = [socket_address(leg, listener.port, config.netns_path) for leg in legs]
                    chains = [(each.address, own) for each, own in handlers if each.address] or [("", handler)]
                    in_vpc = [*filters, AS_CLIENT] if listener.arn in config.transparent else filters
                    listeners[f"{name}_legs"] = listener_resource(
                        f"{name}_legs", addresses, *chains, tls=tls, logs=logs, filters=in_vpc
                    )
                hosts = [each.host_address for each in places if each.host_address]
                if hosts and balancer.scheme == "internet-facing":
                    addresses = [socket_address(host, listener.port) for host in hosts]
                    on_host = f"{name}_host"
                    chains = [(each.host_address, own) for each, own in handlers if each.host_address]
                    chains = chains or [("", handler)]
                    listeners[on_host] = listener_resource(
                        on_host, addresses, *chains, exclusive=True, tls=tls, logs=logs, filters=filters
                    )
                    host_bindings[on_host] = tuple((host, listener.port) for host in hosts)
            if balancer.scheme == "internet-facing":
                shared.setdefault(listener.port, []).append((config, listener))
    for port, on_port in shared.items():
        # one port speaks TLS or does not: as the oldest of its listeners
        oldest = min((listener for _, listener in on_port), key=lambda each: (each.created_at, each.arn))
        members = [(config, listener) for config, listener in on_port if listener.protocol == oldest.protocol]
        name = shared_name(port)
        if oldest.protocol in _CONNECTIONS:
            members = [(config, listener) for config, listener in members if listener == oldest]
            handler = tcp_proxy(*members[0], options)
        else:
            routes[name] = route_configuration(name, shared_hosts(members))
            handler = http_manager(name, members, options)
        addresses = [socket_address(SHARED_ADDRESS, port)]
        tls = tls_context(members, options)
        configs_there = [config for config, _ in members]
        logs = connection_logs(configs_there, options, secured=tls is not None)
        filters = name_filters(configs_there, secured=tls is not None)
        listeners[name] = listener_resource(
            name, addresses, ("", handler), exclusive=True, tls=tls, logs=logs, filters=filters
        )
        host_bindings[name] = ((SHARED_ADDRESS, port),)
    return Resources(
        listeners=listeners,
        routes=routes,
        clusters=clusters,
        endpoints=endpoints,
        secrets=secrets,
        host_bindings=host_bindings,
    )


# --- listeners ------------------------------------------------------------------------------------------------------


def socket_address(address: str, port: int, netns_path: str = "") -> Resource:
    place: Resource = {"address": address, "port_value": port}
    if netns_path:
        place["network_namespace_filepath"] = netns_path
    return {"socket_address": place}


def listener_resource(
    name: str,
    addresses: Sequence[Resource],
    *chains: tuple[str, Resource],
    exclusive: bool = False,
    tls: Resource | None = None,
    logs: Sequence[Resource] = (),
    filters: Sequence[Resource] = (),
) -> Resource:
    """
    Args:
        chains: handlers, each for connections to one of the addresses, or, if that is empty, to any. With others in
            place of these, the listener keeps its sockets.
        exclusive: no SO_REUSEPORT, so that taking a port which another instance has fails instead of sharing it.
    """
    resource: Resource = {
        "@type": f"{_TYPE}config.listener.v3.Listener",
        "name": name,
        "stat_prefix": name,
        "address": addresses[0],
        "per_connection_buffer_limit_bytes": 1 << 20,
        # each thread gets as many: by chance one may have six of a client's eight, and they last
        "connection_balance_config": {"exact_balance": {}},
        "filter_chains": [
            {
                **({"filter_chain_match": {"prefix_ranges": [_only(to)]}, "name": to} if to else {}),
                "filters": [handler],
                **({"transport_socket": tls} if tls is not None else {}),
            }
            for to, handler in chains
        ],
    }
    if len(addresses) > 1:
        resource["additional_addresses"] = [{"address": address} for address in addresses[1:]]
    if exclusive:
        resource["enable_reuse_port"] = False
    if logs:
        resource["access_log"] = list(logs)
    if filters:
        resource["listener_filters"] = list(filters)
    return resource


AS_CLIENT: Final[Resource] = {
    "name": "envoy.filters.listener.original_src",
    "typed_config": {"@type": f"{_TYPE}extensions.filters.listener.original_src.v3.OriginalSrc"},
}
"""Connections to targets come from the client's address. On the host they do not: its programs have 127.0.0.1."""


def _only(address: str) -> Resource:
    return {"address_prefix": address, "prefix_len": 32}


def fronts(config: BalancerConfig, listener: Listener) -> list[tuple[str, str, tuple[ZoneMapping, ...]]]:
    """A listener of Envoy's by name, with the zone whose targets it may have (empty: any, or by address) and where it
    stands. A Network Load Balancer has one for each zone in any case, an Application Load Balancer one for all: a
    listener that stays where it is can change, one of another name would find its place on the host taken."""
    name, balancer = route_name(listener.arn), config.load_balancer
    if balancer.type == "application" or (balancer.type == "classic" and not zonal_clusters(config)):
        return [(name, "", balancer.zones)]
    return [(zone_name(listener.arn, each.zone), each.zone, (each,)) for each in balancer.zones]


def zonal_clusters(config: BalancerConfig) -> set[str]:
    """Those whose targets each zone has for itself."""
    balancer = config.load_balancer
    return {cluster_name(balancer.arn, each.arn) for each in config.target_groups if is_zonal(balancer, each)}


def in_zone(zone: str) -> Resource:
    """Targets of that zone alone."""
    return {"metadata_match": {"filter_metadata": {"envoy.lb": {"zone": zone}}}}


def tcp_proxy(config: BalancerConfig, listener: Listener, options: Options, zone: str = "") -> Resource:
    """Bytes to the target groups of the action; a connection is closed if there is none."""
    balancer = config.load_balancer
    place = zone_name(listener.arn, zone) if zone else route_name(listener.arn)
    known = {group.arn for group in config.target_groups}
    chosen = listener.default_action.target_groups if isinstance(listener.default_action, Forward) else ()
    zonal = zonal_clusters(config) if zone else set()
    weighted: list[Resource] = [
        {"name": name, "weight": group.weight, **(in_zone(zone) if name in zonal else {})}
        for group in chosen
        for name in [cluster_name(balancer.arn, group.target_group_arn)]
        if group.target_group_arn in known and (group.weight > 0 or len(chosen) == 1)
    ]
    proxy: Resource = {
        "@type": f"{_TYPE}extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": place,
        "idle_timeout": f"{tcp_idle_timeout_s(listener)}s",
        "max_connect_attempts": 3,
        # counts where a target group is sticky
        "hash_policy": [{"source_ip": {}}],
        "access_log": [
            hit.connection_logger() if balancer.type == "classic" else hit.failure_logger(place),
            *access_logs([config], options),
        ],
    }
    if len(weighted) > 1:
        proxy["weighted_clusters"] = {"clusters": weighted}
    else:
        proxy["cluster"] = weighted[0]["name"] if weighted else "none"
        if proxy["cluster"] in zonal:
            proxy.update(in_zone(zone))
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}


_TLS_VERSIONS: Final = {"TLSv1": "TLSv1_0", "TLSv1.1": "TLSv1_1", "TLSv1.2": "TLSv1_2", "TLSv1.3": "TLSv1_3"}


def tls_context(members: Sequence[tuple[BalancerConfig, Listener]], options: Options) -> Resource | None:
    """The first one's default certificate is for clients that name no host, or one that none is for; the policy is the
    first one's, too. Envoy chooses among the certificates by the name that the client asks for.

    Returns: None without TLS, or if there is no certificate."""
    names: list[str] = []
    for config, listener in members:
        there = {certificate.arn for certificate in config.certificates}
        names += [secret_name(arn) for arn in (listener.certificate_arn, *listener.certificate_list) if arn in there]
    if not names:
        return None
    config, listener = members[0]
    policy = listener.own_ssl_policy or POLICIES[listener.ssl_policy or DEFAULT]
    parameters: Resource = {
        "tls_minimum_protocol_version": _TLS_VERSIONS[policy.versions[0]],
        "tls_maximum_protocol_version": _TLS_VERSIONS[policy.versions[-1]],
    }
    if older := [cipher for cipher in policy.ciphers if cipher not in TLS13]:
        parameters["cipher_suites"] = older
    if listener.protocol == "TLS":
        spoken = ALPN_POLICIES[listener.alpn_policy or "None"]
    else:
        http2 = config.load_balancer.attributes.get("routing.http2.enabled", "true") == "true"
        spoken = ("h2", "http/1.1") if http2 else ("http/1.1",)
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPE}extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            **({} if policy.server_order else {"prefer_client_ciphers": True}),
            "common_tls_context": {
                "tls_params": parameters,
                "tls_certificate_sds_secret_configs": [
                    {"name": name, "sds_config": file_source(options.directory / secret_file(name))}
                    for name in dict.fromkeys(names)
                ],
                **({"alpn_protocols": list(spoken)} if spoken else {}),
            },
        },
    }


def secret(certificate: ServerCertificate) -> Resource:
    return {
        "@type": f"{_TYPE}extensions.transport_sockets.tls.v3.Secret",
        "name": secret_name(certificate.arn),
        "tls_certificate": {
            "certificate_chain": {"inline_string": certificate.chain_pem},
            "private_key": {"inline_string": certificate.key_pem},
        },
    }


_KEEP_CASE: Final[Resource] = {
    "stateful_formatter": {
        "name": "preserve_case",
        "typed_config": {
            "@type": f"{_TYPE}extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig",
            "formatter_type_on_envoy_headers": "PROPER_CASE",
        },
    }
}


CLIENT_HEADER: Final = "x-envoy-external-address"
"""The client's address while a route is chosen, from Envoy, whatever a client says; targets do not see it."""
_STATEFUL_SESSION: Final = "envoy.filters.http.stateful_session"


def http_manager(
    routes: str, members: Sequence[tuple[BalancerConfig, Listener]], options: Options, place: str = ""
) -> Resource:
    """Where several load balancers share a port, the longest of their times count, and a header is dropped if any one
    drops it.

    Args:
        place: what its requests are counted under, if not its routes' name.
    """
    place = place or routes
    balancers = [config.load_balancer for config, _ in members]
    idle_s = max(idle_timeout_s(balancer) for balancer in balancers)
    is_classic = all(balancer.type == "classic" for balancer in balancers)
    mode = desync.strictest({balancer.attributes.get(desync.MODE, "defensive") for balancer in balancers})
    mutations: list[Resource] = []
    if any(_is_on(balancer, "routing.http.drop_invalid_header_fields.enabled") for balancer in balancers):
        mutations.append({"remove_on_match": {"key_matcher": {"safe_regex": {"regex": _INVALID_HEADER}}}})
    mutations.append({"append": _overwrite(desync.CHUNKED, "%REQ(TRANSFER-ENCODING)%")})
    manager: Resource = {
        "@type": f"{_TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": place,
        "codec_type": "AUTO",
        "rds": {
            "route_config_name": routes,
            "config_source": file_source(options.directory / route_file(routes)),
        },
        "early_header_mutation_extensions": [
            {
                "name": "envoy.http.early_header_mutation.header_mutation",
                "typed_config": {
                    "@type": f"{_TYPE}extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                    "mutations": mutations,
                },
            }
        ],
        "access_log": [
            *hit.loggers(place, weighted=_is_weighted(members)),
            *access_logs([config for config, _ in members], options),
        ],
        "http_filters": [
            desync.http_filter(mode),
            *IDLE,
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{_TYPE}extensions.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            },
        ],
        "use_remote_address": True,
        # Envoy would name this machine's own address for clients on loopback; the routes add the client's as it is
        "skip_xff_append": True,
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "common_http_protocol_options": {
            "idle_timeout": f"{idle_s}s",
            "max_connection_duration": f"{max(client_keep_alive_s(balancer) for balancer in balancers)}s",
        },
        # the connection ends with an answer that says so, not between two requests
        "http1_safe_max_connection_duration": True,
        "stream_idle_timeout": f"{idle_s}s",
        "http_protocol_options": {
            "accept_http_10": True,
            "allow_custom_methods": True,
            "header_key_format": _KEEP_CASE,
            # a length beside chunks: without it targets get what was meant most likely
            **({"allow_chunked_length": True} if mode == "monitor" else {}),
        },
        "http2_protocol_options": FROM_CLIENTS,
        "max_request_headers_kb": 64,
        "upgrade_configs": [] if is_classic else [{"upgrade_type": "websocket"}],
        # without a range clients with private addresses are internal ones, and those have no CLIENT_HEADER
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        "local_reply_config": local_replies(server=any(_names_server(listener) for _, listener in members)),
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


FROM_CLIENTS: Final[Resource] = {
    "max_concurrent_streams": 128,
    "initial_stream_window_size": 64 << 10,
    "initial_connection_window_size": 1 << 20,
}
"""Requests at once, as an Application Load Balancer's, and what is kept for a target that takes a body slowly. By
Envoy's defaults (1,024 streams, 24 MiB) some hundred clients that read and write no more fill the machine's memory."""
TO_TARGETS: Final[Resource] = {"initial_stream_window_size": 64 << 10, "initial_connection_window_size": 64 << 20}
"""Clients that do not read hold up nobody else: as many streams as a connection may have leave room in its window. By
Envoy's defaults (16 of 24 MiB) two of them would hold up all others of a target."""

_LUA: Final = "envoy.filters.http.lua"
IDLE: Final[tuple[Resource, ...]] = (
    # before the stateful session on the way in, after it on the way out
    {"name": _LUA, "typed_config": {"@type": f"{_TYPE}extensions.filters.http.lua.v3.Lua"}, "disabled": True},
    {
        "name": _STATEFUL_SESSION,
        "typed_config": {"@type": f"{_TYPE}extensions.filters.http.stateful_session.v3.StatefulSession"},
        "disabled": True,
    },
)
"""Filters that requests do not have, but where a route has a script, or a cookie, for them."""


def _is_weighted(members: Sequence[tuple[BalancerConfig, Listener]]) -> bool:
    """Whether any action has a choice of target groups."""
    actions = [listener.default_action for _, listener in members]
    of = {listener.arn for _, listener in members}
    actions += [rule.action for config, _ in members for rule in config.rules if rule.listener_arn in of]
    return any(isinstance(each, Forward) and len(each.target_groups) > 1 for each in actions)


_TOLD: Final[dict[str, str]] = {
    "at": "%START_TIME(%Y-%m-%dT%H:%M:%S.%6fZ)%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "target": "%UPSTREAM_HOST%",
    "to_target_us": "%COMMON_DURATION(DS_RX_BEG:US_TX_BEG:us)%",
    "target_us": "%COMMON_DURATION(US_TX_BEG:US_RX_BEG:us)%",
    "from_target_us": "%COMMON_DURATION(US_RX_BEG:DS_TX_BEG:us)%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "method": "%REQ(:METHOD)%",
    "scheme": "%REQ(:SCHEME)%",
    "host": "%REQ(:AUTHORITY)%",
    "port": "%DOWNSTREAM_LOCAL_PORT%",
    "path": "%REQ(:PATH)%",
    "protocol": "%PROTOCOL%",
    "agent": "%REQ(USER-AGENT)%",
    "cipher": "%DOWNSTREAM_TLS_CIPHER%",
    "version": "%DOWNSTREAM_TLS_VERSION%",
    # of Application Load Balancers
    "began": "%START_TIME(%s.%6f)%",
    "ended": "%EMIT_TIME(%s.%6f)%",
    "connection": "%CONNECTION_ID%",
    "cluster": "%UPSTREAM_CLUSTER_RAW%",
    "wire_received": "%DOWNSTREAM_WIRE_BYTES_RECEIVED%",
    "wire_sent": "%DOWNSTREAM_WIRE_BYTES_SENT%",
    "trace": "%REQ(X-AMZN-TRACE-ID)%",
    "upgrade": "%REQ(UPGRADE)%",
    "content_type": "%REQ(CONTENT-TYPE)%",
    "location": "%RESP(LOCATION)%",
    "name": "%REQUESTED_SERVER_NAME%",
    "route": "%METADATA(ROUTE:portside)%",
    "desync": f"%DYNAMIC_METADATA({desync.METADATA})%",
    # of health checks
    "took_us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
    "took_ms": "%DURATION%",
    "flags": "%RESPONSE_FLAGS%",
    # of connections
    "client_address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "client_port": "%DOWNSTREAM_REMOTE_PORT%",
    "node": "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
    "handshake_ms": "%DOWNSTREAM_HANDSHAKE_DURATION%",
    "group": "%DOWNSTREAM_TLS_GROUP%",
    "failure": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
}


def access_logs(configs: Sequence[BalancerConfig], options: Options) -> list[Resource]:
    """Each load balancer that has its requests logged has them in a file of its own, also of a port that it shares."""
    logs: list[Resource] = []
    for config in configs:
        balancer = config.load_balancer
        if not is_logged(balancer):
            continue
        fields = FIELDS if balancer.type == "classic" else application_access_log.FIELDS
        log = _file_log(options.access_log(balancer.arn), {name: _TOLD[name] for name in fields})
        if len(configs) > 1:
            log["filter"] = {
                "extension_filter": {
                    "name": "envoy.access_loggers.extension_filters.cel",
                    "typed_config": {
                        "@type": f"{_TYPE}extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                        "expression": f"xds.virtual_host_name == '{host_name(balancer)}'",
                    },
                }
            }
        logs.append(log)
    return logs


def connection_logs(configs: Sequence[BalancerConfig], options: Options, *, secured: bool) -> list[Resource]:
    """Of a place where connections come in. Where several load balancers share it, nobody can tell whose one is."""
    if len(configs) != 1 or not is_logged(configs[0].load_balancer, "connection"):
        return []
    known = {**_TOLD, "began": _TOLD["at"], "secured": "true" if secured else "false"}
    told = {name: known[name] for name in connection_log.FIELDS}
    return [_file_log(options.access_log(configs[0].load_balancer.arn, "connection"), told)]


def name_filters(configs: Sequence[BalancerConfig], *, secured: bool) -> list[Resource]:
    """Has a listener read the name that a client asks for first, where an access log tells it."""
    balancers = [config.load_balancer for config in configs]
    if not secured or not any(balancer.type == "application" and is_logged(balancer) for balancer in balancers):
        return []
    inspector = f"{_TYPE}extensions.filters.listener.tls_inspector.v3.TlsInspector"
    return [{"name": "envoy.filters.listener.tls_inspector", "typed_config": {"@type": inspector}}]


def health_check_logs(balancer: LoadBalancer, options: Options) -> list[Resource]:
    if not is_logged(balancer, "health_check"):
        return []
    known = {**_TOLD, "began": _TOLD["at"]}
    told = {name: known[name] for name in health_check_log.FIELDS}
    return [_file_log(options.access_log(balancer.arn, "health_check"), told)]


def _file_log(path: Path, told: Mapping[str, str]) -> Resource:
    """A line of JSON for each."""
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_TYPE}extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {"json_format": dict(told)},
        },
    }


def known_of(config: BalancerConfig, listener: Listener, priority: int, action: Action) -> Resource:
    """What a route knows for an Application Load Balancer's log. Args: priority: nought for the default action."""
    balancer = config.load_balancer
    if balancer.type != "application" or not is_logged(balancer):
        return {}
    told = {
        "priority": str(priority),
        "action": ANSWERS.get(type(action), "forward"),
        "groups": {suffix(group.arn): group.arn for group in config.target_groups},
        # which one of several a client got, Envoy does not tell
        "certificate": "" if listener.certificate_list else listener.certificate_arn,
    }
    return {"metadata": {"filter_metadata": {"portside": told}}}


def host_name(balancer: LoadBalancer) -> str:
    """Its virtual hosts'."""
    return f"{balancer.name}_{suffix(balancer.arn)}"


_INVALID_HEADER: Final = "[^:]*[^-A-Za-z0-9:][^:]*"
"""The names that routing.http.drop_invalid_header_fields drops."""


def _is_on(balancer: LoadBalancer, attribute: str) -> bool:
    return balancer.attributes.get(attribute) == "true"


def _names_server(listener: Listener) -> bool:
    return listener.attributes.get(SERVER_HEADER, "true") == "true"


def _overwrite(name: str, value: str) -> Resource:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def local_replies(*, server: bool) -> Resource:
    """The answers that the load balancer gives itself, as AWS gives them: 502 for a target that could not be reached or
    broke off, 504 for one that took too long, 503 for an empty group, each with AWS's page.

    The filters go by response flags, which fixed responses do not have: these stay as they are."""
    flags_502 = ["UF", "UC", "UR", "LR", "UPE"]
    timed_out = {
        "and_filter": {
            "filters": [
                _flags(["UF"]),
                {
                    "extension_filter": {
                        "name": "envoy.access_loggers.extension_filters.cel",
                        "typed_config": {
                            "@type": f"{_TYPE}extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                            "expression": "response.code_details.contains('connection_timeout')",
                        },
                    }
                },
            ]
        }
    }
    mappers = [
        _page(timed_out, 504, "Gateway Time-out"),
        _page(_flags(flags_502), 502, "Bad Gateway"),
        _page(_flags(["UT"]), 504, "Gateway Time-out"),
        _page({"and_filter": {"filters": [_flags(["SI"]), _status(504)]}}, 504, "Gateway Time-out"),
        _page({"and_filter": {"filters": [_flags(["SI"]), _status(408)]}}, 408, "Request Timeout"),
        _page(_flags(["UH", "UO", "NC", "NR"]), 503, "Service Temporarily Unavailable"),
    ]
    if server:
        mappers = [{**mapper, "headers_to_add": [_SERVER]} for mapper in mappers]
    return {"mappers": mappers}


def _flags(flags: list[str]) -> Resource:
    return {"response_flag_filter": {"flags": flags}}


def _status(code: int) -> Resource:
    return {
        "status_code_filter": {
            "comparison": {"op": "EQ", "value": {"default_value": code, "runtime_key": f"portside.status.{code}"}}
        }
    }


def page(status: int, text: str) -> str:
    title = f"{status} {text}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )


def _page(when: Resource, status: int, text: str) -> Resource:
    return {
        "filter": when,
        "status_code": status,
        "body_format_override": {
            "text_format_source": {"inline_string": page(status, text)},
            "content_type": "text/html",
        },
    }


_SERVER: Final[Resource] = {
    "header": {"key": "server", "value": "awselb/2.0"},
    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
}


# --- routes ---------------------------------------------------------------------------------------------------------


def route_configuration(name: str, virtual_hosts: list[Resource]) -> Resource:
    return {
        "@type": f"{_TYPE}config.route.v3.RouteConfiguration",
        "name": name,
        "virtual_hosts": virtual_hosts,
        "ignore_port_in_host_matching": True,
        "request_headers_to_add": [_overwrite("x-forwarded-port", "%DOWNSTREAM_LOCAL_PORT%")],
        "request_headers_to_remove": [CLIENT_HEADER, desync.CHUNKED],
    }


def shared_hosts(members: Sequence[tuple[BalancerConfig, Listener]]) -> list[Resource]:
    """The virtual hosts of a host port that several load balancers share: each has its DNS name and those host names of
    its rules that no other one claims. With one load balancer on the port, every other host name is its too."""
    claims: dict[str, set[str]] = {}
    for config, listener in members:
        for name in _host_names(config, listener):
            claims.setdefault(name, set()).add(config.load_balancer.arn)
    hosts: list[Resource] = []
    for config, listener in members:
        balancer = config.load_balancer
        domains = [balancer.dns_name.lower()]
        domains += [
            name
            for name in sorted(_host_names(config, listener))
            if name != domains[0] and claims[name] == {balancer.arn}
        ]
        if len(members) == 1:
            domains = ["*"]
        hosts.append(virtual_host(config, listener, domains))
    if len(members) > 1:
        names = "\n".join(sorted(config.load_balancer.dns_name for config, _ in members))
        text = f"No load balancer of this name listens on this port. Those that do:\n{names}\n"
        hosts.append({"name": "none", "domains": ["*"], "routes": [_everything(_answer(404, text, "text/plain"))]})
    return hosts


def _host_names(config: BalancerConfig, listener: Listener) -> set[str]:
    """The host names, or `*.name`, of a listener's rules, as far as Envoy's virtual hosts can express them."""
    names = {config.load_balancer.dns_name.lower()}
    for rule in config.rules:
        if rule.listener_arn != listener.arn:
            continue
        for condition in rule.conditions:
            if condition.field == "host-header":
                names.update(v.lower() for v in condition.values if re.fullmatch(r"(\*\.)?[^*?]+", v))
    return names


def virtual_host(config: BalancerConfig, listener: Listener, domains: Iterable[str], zone: str = "") -> Resource:
    rules = in_order(rule for rule in config.rules if rule.listener_arn == listener.arn)
    routes = [
        {**made, **known_of(config, listener, rule.priority or 0, rule.action)}
        for rule in rules
        for made in route(config, rule)
    ]
    everything = {
        "name": hit.default_name(listener.arn),
        "match": {"prefix": "/"},
        **known_of(config, listener, 0, listener.default_action),
    }
    routes += _onward(everything, config, listener.default_action)
    zonal = zonal_clusters(config) if zone else set()
    for each in routes if zonal else ():
        onward = each.get("route", {})
        chosen = [onward, *onward.get("weighted_clusters", {}).get("clusters", ())]
        for choice in chosen:
            if choice.get("cluster", choice.get("name")) in zonal:
                choice.update(in_zone(zone))
    balancer = config.load_balancer
    return {
        "name": host_name(balancer),
        "domains": list(domains),
        **route_tree.choice([*desync.routes(each["name"] for each in IDLE), *_refused_methods(balancer), *routes]),
        **headers(balancer, listener),
    }


def _refused_methods(balancer: LoadBalancer) -> list[Resource]:
    """Source: Application Load Balancer guide, "Troubleshoot your Application Load Balancers", HTTP 405."""
    if balancer.type == "classic":
        return []
    asked = {"name": ":method", "string_match": {"exact": "TRACE"}}
    return [
        {
            "name": "refused",
            "match": {"prefix": "/", "headers": [asked]},
            **_answer(405, page(405, "Method Not Allowed"), "text/html"),
        }
    ]


def headers(balancer: LoadBalancer, listener: Listener) -> Resource:
    """What a load balancer adds to requests and answers, and takes from them, by its attributes and the listener's."""
    added: list[Resource] = []
    removed: list[str] = []
    answered = [
        _overwrite(name, listener.attributes[attribute].replace("%", "%%"))
        for attribute, name in RESPONSE_HEADERS.items()
        if listener.attributes.get(attribute)
    ]
    mode = balancer.attributes.get("routing.http.xff_header_processing.mode", "append")
    if mode == "append":
        port = "" if _is_on(balancer, "routing.http.xff_client_port.enabled") else "_WITHOUT_PORT"
        client = {"key": "x-forwarded-for", "value": f"%DOWNSTREAM_REMOTE_ADDRESS{port}%"}
        added.append({"header": client, "append_action": "APPEND_IF_EXISTS_OR_ADD"})
    elif mode == "remove":
        removed.append("x-forwarded-for")
    if listener.protocol == "HTTPS" and _is_on(balancer, "routing.http.x_amzn_tls_version_and_cipher_suite.enabled"):
        added += [
            _overwrite(listener.attributes.get(attribute, name), f"%{what}%")
            for attribute, (name, what) in TLS_HEADERS.items()
        ]
    made: Resource = {}
    if added:
        made["request_headers_to_add"] = added
    if removed:
        made["request_headers_to_remove"] = removed
    if answered:
        made["response_headers_to_add"] = answered
    if not _names_server(listener):
        made["response_headers_to_remove"] = ["server"]
    return made


def _everything(outcome: Resource) -> Resource:
    return {"match": {"prefix": "/"}, **outcome}


def route(config: BalancerConfig, rule: Rule) -> list[Resource]:
    """All conditions must hold; of a condition's values any one."""
    match: Resource = {"prefix": "/"}
    conditions: list[Resource] = []
    for condition in rule.conditions:
        regex = {"safe_regex": {"regex": condition_regex(condition)}}
        match condition.field:
            case "path-pattern":
                match = path_match(condition)
            case "host-header":
                conditions.append({"name": ":authority", "string_match": regex})
            case "http-header":
                conditions.append({"name": condition.header.lower(), "string_match": regex})
            case "http-request-method":
                conditions.append({"name": ":method", "string_match": regex})
            case "query-string":
                conditions.append({"name": ":path", "string_match": regex})
            case "source-ip":
                conditions.append({"name": CLIENT_HEADER, "string_match": regex})
    if conditions:
        match["headers"] = conditions
    return _onward({"name": suffix(rule.arn), "match": match}, config, rule.action)


def path_match(condition: Condition) -> Resource:
    """A path that stands for itself, or for all that begin with it, is compared as text: that is cheaper than an
    expression, and a listener tries its rules one after the other."""
    if len(condition.values) == 1 and not condition.regex_values:
        (pattern,) = condition.values
        text = pattern.removesuffix("*")
        if text and not re.search(r"[*?#]", text):
            return {"path": text} if text == pattern else {"prefix": text}
    return {"safe_regex": {"regex": condition_regex(condition)}}


def _onward(base: Resource, config: BalancerConfig, chosen: Action) -> list[Resource]:
    """The routes of one rule, or of a listener's default action: the first ones lead clients to the target group that
    they had before, if that is to be."""
    known = {group.arn for group in config.target_groups}
    made: list[Resource] = []
    if isinstance(chosen, Forward) and chosen.sticky_s and len(chosen.target_groups) > 1:
        for group in chosen.target_groups:
            if group.target_group_arn not in known or group.weight == 0:
                continue
            before = {
                "name": "cookie",
                "string_match": {
                    "safe_regex": {"regex": rf"(?:.*; ?)?{GROUP_COOKIE}={suffix(group.target_group_arn)}(?:;.*)?"}
                },
            }
            held = {**base, "match": {**base["match"], "headers": [*base["match"].get("headers", ()), before]}}
            if "name" in base:
                held["name"] = f"{base['name']}_{suffix(group.target_group_arn)}"
            made.append({**held, **action(config, Forward(target_groups=(group,)))})
    last = {**base, **action(config, chosen)}
    if "name" in base:  # requests are counted by it
        if isinstance(chosen, Forward) and len(chosen.target_groups) == 1:
            last["name"] = f"{base['name']}_{suffix(chosen.target_groups[0].target_group_arn)}"
        elif kind := ANSWERS.get(type(chosen)):
            last["name"] = f"{base['name']}_{kind}"
    return [*made, last]


GROUP_COOKIE: Final = "AWSALBTG"
TARGET_COOKIE: Final = "AWSALB"
APP_COOKIE: Final = "AWSALBAPP-0"


def action(config: BalancerConfig, chosen: Action) -> Resource:
    groups = {group.arn: group for group in config.target_groups}
    balancer_arn = config.load_balancer.arn
    match chosen:
        case FixedResponse(status_code=status, content_type=content_type, message_body=body):
            return _answer(int(status), body or "", content_type or "text/plain; charset=utf-8")
        case Redirect(status_code=status):
            code, text = (301, "Moved Permanently") if status == "HTTP_301" else (302, "Found")
            answer = _answer(code, page(code, text), "text/html")
            answer["response_headers_to_add"].append(_overwrite("location", location(chosen)))
            return answer
        case Forward(target_groups=named):
            there = [each for each in named if each.target_group_arn in groups]
            weighted = [each for each in there if each.weight > 0]
            if not there or (len(named) > 1 and not weighted):
                return _answer(503, page(503, "Service Temporarily Unavailable"), "text/html")
            onward: Resource = {
                # no limit on a whole answer, only on silence: that is the load balancer's idle time-out
                "timeout": "0s",
                "idle_timeout": f"{idle_timeout_s(config.load_balancer)}s",
                "retry_policy": RETRY,
            }
            versions = {groups[each.target_group_arn].protocol_version for each in there}
            # which HTTP/2 does not have, and an odd request may
            without: Resource = {"request_headers_to_remove": ["connection"]} if versions & {"HTTP2", "GRPC"} else {}
            if len(named) == 1:
                onward["cluster"] = cluster_name(balancer_arn, there[0].target_group_arn)
                cookie = chosen.cookie or group_cookie(groups[there[0].target_group_arn])
                return {"route": onward, **without, **stickiness(cookie)}
            clusters: list[Resource] = []
            for each in weighted:
                choice: Resource = {
                    "name": cluster_name(balancer_arn, each.target_group_arn),
                    "weight": each.weight,
                    **stickiness(group_cookie(groups[each.target_group_arn])),
                }
                if chosen.sticky_s:
                    held = f"{GROUP_COOKIE}={suffix(each.target_group_arn)}; Max-Age={chosen.sticky_s}; Path=/"
                    choice["response_headers_to_add"] = [
                        {"header": {"key": "set-cookie", "value": held}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}
                    ]
                clusters.append(choice)
            onward["weighted_clusters"] = {"clusters": clusters}
            return {"route": onward, **without}


def group_cookie(group: TargetGroup) -> TargetCookie | None:
    """The cookie of a target group's attributes."""
    if name := app_cookie(group):
        return TargetCookie(name=APP_COOKIE, duration_s=app_cookie_s(group), follows=name)
    seconds = sticky_s(group)
    return TargetCookie(name=TARGET_COOKIE, duration_s=seconds) if seconds else None


def stickiness(cookie: TargetCookie | None) -> Resource:
    """A client stays with its target by a cookie, as long as the target is healthy and registered."""
    if cookie is None:
        return {}
    following: Resource = {}
    if cookie.follows:
        following[_LUA] = {
            "@type": f"{_TYPE}extensions.filters.http.lua.v3.LuaPerRoute",
            "source_code": {"inline_string": follower(cookie.name, cookie.follows, cookie.duration_s)},
        }
    lasting = {"ttl": f"{cookie.duration_s}s"} if cookie.duration_s is not None else {}
    return {
        "typed_per_filter_config": {
            **following,
            _STATEFUL_SESSION: {
                "@type": f"{_TYPE}extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute",
                "stateful_session": {
                    "session_state": {
                        "name": "envoy.http.stateful_session.cookie",
                        "typed_config": {
                            "@type": f"{_TYPE}extensions.http.stateful_session.cookie.v3.CookieBasedSessionState",
                            "cookie": {"name": cookie.name, "path": "/", **lasting},
                        },
                    }
                },
            },
        }
    }


def location(redirect: Redirect) -> str:
    """A redirect's location as Envoy's format. The port is always named, as on AWS."""
    protocol = "%REQ(:SCHEME)%" if redirect.protocol == "#{protocol}" else redirect.protocol.lower()
    query = _filled(redirect.query)
    if redirect.query == "#{query}":
        query = r"%CEL(re.extract(request.path, '[?].*', r'\0'))%"  # without a question mark if there is none
    elif query:
        query = f"?{query}"
    return f"{protocol}://{_filled(redirect.host)}:{_filled(redirect.port)}{_filled(redirect.path)}{query}"


def _filled(template: str) -> str:
    filled = template.replace("%", "%%")
    for keyword, what in {
        "protocol": "%REQ(:SCHEME)%",
        "host": r"%CEL(re.extract(request.host, '^[^:]*', r'\0'))%",
        "port": "%DOWNSTREAM_LOCAL_PORT%",
        "path": r"%CEL(re.extract(request.url_path, '^/(.*)$', r'\1'))%",
        "query": "%QUERY_PARAMS%",
    }.items():
        filled = filled.replace(f"#{{{keyword}}}", what)
    return filled


RETRY: Final[Resource] = {
    # Only where the target can not have seen the request.
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 2,
    "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": f"{_TYPE}extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
        }
    ],
    "host_selection_retry_max_attempts": 5,
}


def _answer(status: int, body: str, content_type: str) -> Resource:
    response: Resource = {"status": status}
    if body:
        response["body"] = {"inline_string": body}
    return {
        "direct_response": response,
        "response_headers_to_add": [
            {
                "header": {"key": "content-type", "value": content_type},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            },
            _SERVER,
        ],
    }


# --- clusters and endpoints -----------------------------------------------------------------------------------------


def file_source(path: Path) -> Resource:
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


_POLICIES: Final = {
    "round_robin": "ROUND_ROBIN",
    "least_outstanding_requests": "LEAST_REQUEST",
    "weighted_random": "RANDOM",
}


LEAST_OUTSTANDING: Final[Resource] = {
    "name": "envoy.load_balancing_policies.least_request",
    "typed_config": {
        "@type": f"{_TYPE}extensions.load_balancing_policies.least_request.v3.LeastRequest",
        # by default Envoy takes the better of two that it draws
        "selection_method": "FULL_SCAN",
    },
}


def leaving_from(config: BalancerConfig) -> Resource:
    """Connections to targets are from the load balancer's first address, in its namespace."""
    source = next(zone.address for zone in config.load_balancer.zones if zone.address)
    return {"source_address": socket_address(source, 0, config.netns_path)["socket_address"]}


def through_checker(
    config: BalancerConfig, group: TargetGroup, endpoint: Resource, clusters: dict[str, Resource]
) -> None:
    """The checks of a group's targets go by the load balancer's checker."""
    arn = config.load_balancer.arn
    name = checker.cluster_name(cluster_name(arn, group.arn))
    alpn = ("h2",) if group.protocol_version in ("HTTP2", "GRPC") else ()
    transport = tls_to_target(alpn=alpn) if group.health_check.protocol == "HTTPS" else None
    clusters[name] = checker.cluster(name, group, leaving_from(config), transport)
    for locality in endpoint["endpoints"]:
        for entry in locality["lb_endpoints"]:
            check = entry["endpoint"]["health_check_config"]
            check["address"] = socket_address(checker.address(arn), checker.PORT)
            check["port_value"] = checker.PORT


def cluster(config: BalancerConfig, group: TargetGroup, options: Options) -> Resource:
    name = cluster_name(config.load_balancer.arn, group.arn)
    algorithm = group.attributes.get("load_balancing.algorithm.type", "round_robin")
    by_source = group.protocol in NETWORK_PROTOCOLS and group.attributes.get("stickiness.enabled") == "true"
    # a Classic Load Balancer has no target where none is healthy
    panic = PANIC_PERCENT if group.classic is None else 0
    limits = {
        "max_connections": BREAKER,
        "max_pending_requests": BREAKER,
        "max_requests": BREAKER,
        "max_retries": BREAKER,
    }
    protocol: Resource = (
        {"http2_protocol_options": TO_TARGETS}
        if group.protocol_version in ("HTTP2", "GRPC")
        else {"http_protocol_options": {"header_key_format": _KEEP_CASE}}
    )
    made: Resource = {
        "@type": f"{_TYPE}config.cluster.v3.Cluster",
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": file_source(options.directory / endpoint_file(name))},
        "connect_timeout": f"{CONNECT_TIMEOUT_S}s",
        "lb_policy": "MAGLEV" if by_source else _POLICIES[algorithm],
        # A change of health, or to draining, counts at once; by default Envoy gathers changes for a second (seen: the
        # second of two targets got its first request a second after it was healthy).
        "common_lb_config": {"healthy_panic_threshold": {"value": panic}, "update_merge_window": "0s"},
        # a removed target is gone at once, although its checks still pass
        "ignore_health_on_host_removal": True,
        # do not hold back a route until every target of a new group has been checked
        "wait_for_warm_on_init": False,
        "circuit_breakers": {"thresholds": [{"priority": "DEFAULT", **limits}, {"priority": "HIGH", **limits}]},
        "upstream_bind_config": leaving_from(config),
        "health_checks": [health_check(config.load_balancer, group, options)],
    }
    if group.classic is not None:
        made.update(classic_transport(group, group.classic))
    else:
        made.update(transport(config.load_balancer, group))
    subset: Resource = {
        "fallback_policy": "ANY_ENDPOINT",
        "subset_selectors": [{"keys": ["zone"], "fallback_policy": "NO_FALLBACK"}],
        "list_as_any": True,
    }
    if may_be_zonal(group):
        # What comes from no zone's own address may go to any; in a zone without a target there is none. Always there,
        # so that zones which begin to keep to themselves, or cease to, cost no request.
        made["lb_subset_config"] = subset
    if algorithm == "least_outstanding_requests" and group.classic is None:
        del made["lb_policy"]
        least: Resource = {"policies": [{"typed_extension_config": LEAST_OUTSTANDING}]}
        if made.pop("lb_subset_config", None) is not None:
            least = {"policies": [{"typed_extension_config": by_zone(subset, least)}]}
        made["load_balancing_policy"] = least
    if seconds := slow_start_s(group):
        made["round_robin_lb_config"] = {"slow_start_config": {"slow_start_window": f"{seconds}s"}}
    if group.protocol not in NETWORK_PROTOCOLS:
        made["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}extensions.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"idle_timeout": f"{UPSTREAM_IDLE_S}s"},
                "explicit_http_config": protocol,
            }
        }
    return made


def by_zone(subset: Resource, within: Resource) -> Resource:
    """A choice of a zone's targets, and among them by another policy."""
    return {
        "name": "envoy.load_balancing_policies.subset",
        "typed_config": {
            "@type": f"{_TYPE}extensions.load_balancing_policies.subset.v3.Subset",
            **subset,
            "subset_lb_policy": within,
        },
    }


RAW: Final[Resource] = {
    "name": "envoy.transport_sockets.raw_buffer",
    "typed_config": {"@type": f"{_TYPE}extensions.transport_sockets.raw_buffer.v3.RawBuffer"},
}


def tls_to_target(key_digests: Sequence[str] = (), *, alpn: Sequence[str] = ()) -> Resource:
    """Whatever certificate the target shows is taken, as on AWS, unless its key is to be one of these."""
    context: Resource = {"tls_params": {"tls_minimum_protocol_version": "TLSv1_0"}}
    if key_digests:
        context["validation_context"] = {"verify_certificate_spki": list(key_digests)}
    if alpn:
        context["alpn_protocols"] = list(alpn)
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPE}extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": context,
        },
    }


def proxied(version: str, inner: Resource) -> Resource:
    """A transport that begins with the client's address."""
    return {
        "name": "envoy.transport_sockets.upstream_proxy_protocol",
        "typed_config": {
            "@type": f"{_TYPE}extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
            "config": {"version": version},
            "transport_socket": inner,
        },
    }


def transport(balancer: LoadBalancer, group: TargetGroup) -> Resource:
    """What carries requests or connections to targets, and what carries checks where only the one or the other speaks
    TLS."""

    def carried(*, tls: bool) -> Resource:
        alpn = ("h2",) if group.protocol_version in ("HTTP2", "GRPC") else ()
        inner = tls_to_target(alpn=alpn) if tls else RAW
        # checks begin with a header, too, which names no client
        return proxied("V2", inner) if has_proxy_protocol(group) else inner

    made: Resource = {}
    if _is_secured(group) or has_proxy_protocol(group):
        made["transport_socket"] = carried(tls=_is_secured(group))
    if _is_checked_otherwise(balancer, group):
        check = carried(tls=_is_check_secured(balancer, group))
        made["transport_socket_matches"] = [{"name": "check", "match": _CHECK, "transport_socket": check}]
    return made


def _is_secured(group: TargetGroup) -> bool:
    return group.protocol in ("HTTPS", "TLS")


def _is_check_secured(balancer: LoadBalancer, group: TargetGroup) -> bool:
    """Whether Envoy's own check speaks TLS; the checker, which may be between, is in clear."""
    return group.health_check.protocol == "HTTPS" and not checker.is_needed(balancer, group)


def _is_checked_otherwise(balancer: LoadBalancer, group: TargetGroup) -> bool:
    """Whether checks speak TLS and requests do not, or the other way round."""
    return group.classic is not None or _is_secured(group) != _is_check_secured(balancer, group)


def classic_transport(group: TargetGroup, backend: ClassicBackend) -> Resource:
    """What carries requests to the instances of a Classic Load Balancer, and what carries its checks, which may speak
    TLS where requests do not, and the other way round."""
    carries = tls_to_target(backend.key_digests) if backend.tls else RAW
    return {
        "transport_socket": proxied("V1", carries) if backend.proxy_protocol else carries,
        "transport_socket_matches": [
            {
                "name": "check",
                "match": _CHECK,
                "transport_socket": tls_to_target() if group.health_check.protocol in ("HTTPS", "SSL") else RAW,
            }
        ],
    }


_CHECK: Final[Resource] = {"check": True}
"""What a check looks for a transport by."""


def may_be_zonal(group: TargetGroup) -> bool:
    """Whether the load balancers that lead to it may keep each zone to itself."""
    is_alone = group.attributes.get(CROSS_ZONE) == "false"
    return group.classic is not None or group.protocol in NETWORK_PROTOCOLS or is_alone


def health_check(balancer: LoadBalancer, group: TargetGroup, options: Options) -> Resource:
    check = group.health_check
    connects = check.protocol in ("TCP", "SSL")
    how: Resource = {"tcp_health_check": {}} if connects else {"http_health_check": http_check(balancer, group)}
    if group.protocol_version == "GRPC" and not checker.is_needed(balancer, group):
        how = {"grpc_health_check": {"initial_metadata": [_user_agent(group)]}}
    if _is_checked_otherwise(balancer, group):
        how["transport_socket_match_criteria"] = _CHECK
    return {
        "timeout": f"{check.timeout_s}s",
        "interval": f"{check.interval_s}s",
        # a target without traffic is checked as often as any (Envoy's default: once a minute)
        "no_traffic_interval": f"{check.interval_s}s",
        "healthy_threshold": check.healthy_threshold,
        "unhealthy_threshold": check.unhealthy_threshold,
        "reuse_connection": False,
        "always_log_health_check_failures": True,
        "event_logger": [
            {
                "name": "envoy.health_check.event_sink.file",
                "typed_config": {
                    "@type": f"{_TYPE}extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink",
                    "event_log_path": str(options.health_log),
                },
            }
        ],
        **how,
    }


def http_check(balancer: LoadBalancer, group: TargetGroup) -> Resource:
    check = group.health_check
    is_grpc = group.protocol_version == "GRPC"
    expected = checker.expected(group)
    http: Resource = {
        "path": check.path,
        "expected_statuses": [{"start": start, "end": end} for start, end in expected],
        # Without this one wrong answer makes a target unhealthy at once, whatever the threshold.
        "retriable_statuses": [{"start": start, "end": end} for start, end in other_ranges(expected)],
        "request_headers_to_add": [_user_agent(group)],
    }
    if group.protocol_version in ("HTTP2", "GRPC"):
        http["codec_client_type"] = "HTTP2"
    if is_grpc:
        http["method"] = "POST"
        http["request_headers_to_add"] += [_overwrite("content-type", "application/grpc"), _overwrite("te", "trailers")]
        http["send"] = {"text": checker.EMPTY_MESSAGE}
    if checker.is_needed(balancer, group):
        name = checker.cluster_name(cluster_name(balancer.arn, group.arn))
        http["request_headers_to_add"].append(_overwrite(checker.HEADER, name))
    return http


def _user_agent(group: TargetGroup) -> Resource:
    return _overwrite("user-agent", f"ELB-HealthChecker/{2 if group.classic is None else 1}.0")


def shown_targets(balancer: LoadBalancer, group: TargetGroup, targets: Sequence[Target]) -> list[Target]:
    """The targets that Envoy is told of. Draining ones stay known (as draining, so that their open requests can be
    counted) while enough healthy ones take the traffic; else Envoy would fall back to them, too."""
    failing = [pool for pool in pools(balancer, group, targets) if not has_enough(group, ROUTING, pool)]
    return [
        each
        for each in targets
        if each.deregistered_at is None or (each.drained_at is None and not any(each in pool for pool in failing))
    ]


def overprovisioning(balancer: LoadBalancer, group: TargetGroup, shown: Sequence[Target]) -> int:
    """The factor, in percent, with which Envoy has enough healthy targets exactly when the group has.

    Zones that keep to themselves have one factor: a count of more than one is met by the same share in each, that of
    the largest zone. 127.0.0.1, which is in no zone, chooses among all."""
    counted = [
        (least_healthy(group, ROUTING, sum(each.deregistered_at is None for each in pool)), len(pool))
        for pool in pools(balancer, group, shown)
        if pool
    ]
    if all(least <= 1 for least, _ in counted):
        return 100 * len(shown)
    return max(-(-100 * there // least) for least, there in counted)


def assignment(balancer: LoadBalancer, group: TargetGroup, targets: Sequence[Target]) -> Resource:
    zones = [zone.zone for zone in balancer.zones]  # a target beyond the VPC is in all of them
    shown = shown_targets(balancer, group, targets)
    endpoints: list[Resource] = []
    for target in sorted(shown, key=lambda t: (t.id, t.port)):
        port = check_port(target, group.health_check)
        check: Resource = {"hostname": f"{target.id}:{port}"}
        if port != target.port:
            check["port_value"] = port
        entry: Resource = {
            "endpoint": {
                "address": {"socket_address": {"address": target.id, "port_value": target.port}},
                "health_check_config": check,
            }
        }
        # also where no zone keeps to itself: those that begin to, or cease to, find it there already
        zone = target.zone if target.zone != "all" else zones
        entry["metadata"] = {"filter_metadata": {"envoy.lb": {"zone": zone}}}
        if target.deregistered_at is not None:
            entry["health_status"] = "DRAINING"
        endpoints.append(entry)
    made: Resource = {
        "@type": f"{_TYPE}config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": cluster_name(balancer.arn, group.arn),
        "endpoints": [{"lb_endpoints": endpoints}] if endpoints else [],
    }
    if shown and group.classic is None:
        made["policy"] = {"overprovisioning_factor": overprovisioning(balancer, group, shown)}
    return made


# --- bootstrap ------------------------------------------------------------------------------------------------------


def bootstrap(options: Options, admin_socket: Path, *, max_connections: int) -> Resource:
    """The static part: where the files are, the admin interface on a Unix socket only, and limits."""
    return {
        "node": {"id": "portside", "cluster": "portside"},
        "inline_headers": [
            {"inline_header_name": name, "inline_header_type": "REQUEST_HEADER"} for name in desync.INLINE
        ],
        "admin": {"address": {"pipe": {"path": str(admin_socket), "mode": 0o600}}},
        "dynamic_resources": {
            "lds_config": file_source(options.directory / "lds.json"),
            "cds_config": file_source(options.directory / "cds.json"),
        },
        "layered_runtime": {
            "layers": [
                {
                    "name": "static",
                    # five patterns of 128 characters make larger programs than Envoy's default of 100 instructions
                    "static_layer": {
                        "re2.max_program_size.error_level": 100_000,
                        "re2.max_program_size.warn_level": 100_000,
                    },
                }
            ]
        },
        # what a burst needed goes back to the machine after it
        "memory_allocator_manager": {"bytes_to_release": 64 << 20, "memory_release_interval": "1s"},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_TYPE}extensions.resource_monitors.downstream_connections.v3"
                        ".DownstreamConnectionsConfig",
                        "max_active_downstream_connections": max_connections,
                    },
                }
            ]
        },
    }
