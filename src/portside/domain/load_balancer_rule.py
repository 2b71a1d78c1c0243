"""The rules of Elastic Load Balancing: what a name, condition, action, health check or attribute may be, and what a
target's health is. Pure; `api/elbv2` maps refusals to AWS's codes, `balancer/` turns what passed here into
configuration.
"""

import ipaddress
import re
from collections.abc import Container, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from portside.domain import access_log
from portside.domain.listener_condition import check_redirect
from portside.domain.load_balancer import (
    Action,
    FixedResponse,
    Forward,
    HealthCheck,
    Listener,
    LoadBalancer,
    Redirect,
    Rule,
    Target,
    TargetGroup,
    TargetState,
    ZoneMapping,
)
from portside.domain.record import replace
from portside.domain.refusal import RefusalKind, Refused

RULES_PER_LOAD_BALANCER: Final = 100
LISTENERS_PER_LOAD_BALANCER: Final = 50
LOAD_BALANCERS_PER_REGION: Final = 50
"""Of each type."""
TARGET_GROUPS_PER_REGION: Final = 3000
TARGET_GROUPS_PER_ACTION: Final = 5
TARGET_GROUPS_PER_LOAD_BALANCER: Final = 100
TARGETS_PER_TARGET_GROUP: Final = 1000
TAGS_PER_RESOURCE: Final = 50
SECURITY_GROUPS_PER_LOAD_BALANCER: Final = 5
WEIGHT_MAX: Final = 999
PRIORITY_MAX: Final = 50_000
STICKY_MAX_S: Final = 604_800
"""https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html, the default quotas."""

CONTENT_TYPES: Final = ("text/plain", "text/css", "text/html", "application/javascript", "application/json")

LOAD_BALANCER_ATTRIBUTES: Final[dict[str, str]] = {
    "access_logs.s3.enabled": "false",
    "access_logs.s3.bucket": "",
    "access_logs.s3.prefix": "",
    "idle_timeout.timeout_seconds": "60",
    "deletion_protection.enabled": "false",
    "routing.http2.enabled": "true",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http.preserve_host_header.enabled": "false",
    "routing.http.xff_header_processing.mode": "append",
    "load_balancing.cross_zone.enabled": "true",
    "routing.http.desync_mitigation_mode": "defensive",
    "client_keep_alive.seconds": "3600",
    "waf.fail_open.enabled": "false",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "zonal_shift.config.enabled": "false",
    "connection_logs.s3.enabled": "false",
    "connection_logs.s3.bucket": "",
    "connection_logs.s3.prefix": "",
    "health_check_logs.s3.enabled": "false",
    "health_check_logs.s3.bucket": "",
    "health_check_logs.s3.prefix": "",
}
"""An Application Load Balancer's attributes and their defaults."""

NETWORK_LOAD_BALANCER_ATTRIBUTES: Final[dict[str, str]] = {
    "access_logs.s3.enabled": "false",
    "access_logs.s3.bucket": "",
    "access_logs.s3.prefix": "",
    "deletion_protection.enabled": "false",
    "load_balancing.cross_zone.enabled": "false",
    "dns_record.client_routing_policy": "any_availability_zone",
    "zonal_shift.config.enabled": "false",
}
"""A Network Load Balancer's attributes."""

TCP_TARGET_GROUP_ATTRIBUTES: Final[dict[str, str]] = {
    "deregistration_delay.timeout_seconds": "300",
    "deregistration_delay.connection_termination.enabled": "false",
    "preserve_client_ip.enabled": "false",
    "proxy_protocol_v2.enabled": "false",
    "stickiness.enabled": "false",
    "stickiness.type": "source_ip",
    "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
    "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
    "target_health_state.unhealthy.connection_termination.enabled": "true",
    "target_health_state.unhealthy.draining_interval_seconds": "0",
}
"""The attributes of a target group of a Network Load Balancer; those of TCP to addresses have these defaults."""

NETWORK_PROTOCOLS: Final = ("TCP", "TLS", "UDP", "TCP_UDP")
"""Of the target groups of Network Load Balancers."""

TARGET_GROUP_ATTRIBUTES: Final[dict[str, str]] = {
    "stickiness.enabled": "false",
    "deregistration_delay.timeout_seconds": "300",
    "stickiness.app_cookie.cookie_name": "",
    "stickiness.type": "lb_cookie",
    "stickiness.lb_cookie.duration_seconds": "86400",
    "slow_start.duration_seconds": "0",
    "stickiness.app_cookie.duration_seconds": "86400",
    "load_balancing.algorithm.type": "round_robin",
    "load_balancing.algorithm.anomaly_mitigation": "off",
    "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
    "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
}
"""The attributes of a target group of addresses and their defaults."""

_NAME = re.compile(r"[a-zA-Z0-9-]+")
_COOKIE_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
VALID_HEADER: Final = re.compile(r"[-A-Za-z0-9]+")
"""The names that routing.http.drop_invalid_header_fields leaves."""


class TargetHealth(NamedTuple):
    """`reason` and `description` are empty for healthy targets."""

    state: TargetState
    reason: str = ""
    description: str = ""


def invalid(message: str, what: str = "") -> Refused:
    return Refused(RefusalKind.INVALID, message, what)


def unsupported(message: str, what: str = "") -> Refused:
    return Refused(RefusalKind.UNSUPPORTED, message, what)


def conflict(message: str) -> Refused:
    """AWS's InvalidConfigurationRequest."""
    return Refused(RefusalKind.CONFLICT, message)


# --- names ----------------------------------------------------------------------------------------------------------


def check_name(name: str, what: str) -> None:
    """Raises Refused unless `name` may name a load balancer or target group. `what`: "load balancer" or "target group".

    Source: CreateLoadBalancer and CreateTargetGroup, member Name."""
    if not 1 <= len(name) <= 32:
        raise invalid(
            f"The {what} name '{name}' cannot be longer than '32' characters"
            if name
            else f"A {what} name must be specified"
        )
    if not _NAME.fullmatch(name):
        raise invalid(
            f"The {what} name '{name}' can only contain characters that are alphanumeric characters and hyphens(-)"
        )
    if name.startswith("-") or name.endswith("-"):
        raise invalid(f"The {what} name '{name}' cannot begin or end with a hyphen")
    if what == "load balancer" and name.startswith("internal-"):
        raise invalid(f"The {what} name '{name}' cannot begin with 'internal-'")


def dns_name(name: str, number: str, region: str, scheme: str) -> str:
    """`NAME-1234567890.REGION.elb.localhost`; names under localhost are loopback for resolvers (RFC 6761, 6.3)."""
    prefix = "internal-" if scheme == "internal" else ""
    return f"{prefix}{name}-{number}.{region}.elb.localhost".lower()


def zonal_name(balancer: LoadBalancer, zone: ZoneMapping) -> str:
    """Of one zone's address alone, whatever is healthy there; empty where load balancers have no such names.

    Source: Network Load Balancer guide, "DNS name"."""
    return f"{zone.zone}.{balancer.dns_name}" if balancer.type == "network" else ""


def suffix(arn: str) -> str:
    """The last part of an ARN: what makes it unique."""
    return arn.rpartition("/")[2]


# --- rules ----------------------------------------------------------------------------------------------------------


def check_action(action: Action) -> None:
    match action:
        case Redirect():
            check_redirect(action)
        case Forward(target_groups=groups, sticky_s=sticky_s):
            if not 0 <= sticky_s <= STICKY_MAX_S:
                raise invalid(f"The stickiness duration must be between '1' and '{STICKY_MAX_S}' seconds")
            if not groups:
                raise invalid("A target group ARN must be specified")
            if len(groups) > TARGET_GROUPS_PER_ACTION:
                raise Refused(
                    RefusalKind.LIMIT,
                    f"You can specify at most '{TARGET_GROUPS_PER_ACTION}' target groups in an action",
                )
            arns = [group.target_group_arn for group in groups]
            if len(set(arns)) != len(arns):
                raise invalid("A target group may be specified only once in an action")
            for group in groups:
                if not 0 <= group.weight <= WEIGHT_MAX:
                    raise invalid(f"The weight '{group.weight}' must be between '0' and '{WEIGHT_MAX}' inclusive")
        case FixedResponse(status_code=status, content_type=content_type, message_body=body):
            if not re.fullmatch(r"[245]\d\d", status):
                raise invalid(f"The status code '{status}' of a fixed response must be 2XX, 4XX, or 5XX")
            if content_type is not None and content_type not in CONTENT_TYPES:
                raise invalid(f"The content type '{content_type}' must be one of '{', '.join(CONTENT_TYPES)}'")
            if body is not None and len(body) > 1024:
                raise invalid("The message body of a fixed response cannot be longer than '1024' characters")


def forwarded_groups(action: Action) -> tuple[str, ...]:
    """The ARNs of the target groups that an action sends requests to."""
    return tuple(group.target_group_arn for group in action.target_groups) if isinstance(action, Forward) else ()


def used_groups(listeners: Iterable[Listener], rules: Iterable[Rule]) -> set[str]:
    """The ARNs of the target groups that these listeners and rules send requests to."""
    used: set[str] = set()
    for listener in listeners:
        used.update(forwarded_groups(listener.default_action))
    for rule in rules:
        used.update(forwarded_groups(rule.action))
    return used


def in_order(rules: Iterable[Rule]) -> list[Rule]:
    """Lowest priority number first; default rules are left out."""
    return sorted((r for r in rules if r.priority is not None), key=lambda r: r.priority or 0)


# --- health checks --------------------------------------------------------------------------------------------------


def matcher_ranges(matcher: str, protocol: str = "TCP") -> list[tuple[int, int]]:
    """The status codes of a matcher ("200", "200-299", "200,202") as half-open ranges, joined and in order.

    Args: protocol: the target group's.
    Raises: Refused. Source: API_Matcher: codes between 200 and 499 for Application Load Balancers, 599 for Network
    ones."""
    most = 599 if protocol in NETWORK_PROTOCOLS else 499
    refusal = invalid(f"Health check matcher HTTP code '{matcher}' must be a code or range between '200' and '{most}'")
    return _ranges(matcher, 200, most, refusal)


def grpc_ranges(matcher: str) -> list[tuple[int, int]]:
    """The same of gRPC's codes ("0", "0-5", "0,12").

    Raises: Refused. Source: API_Matcher: codes between 0 and 99."""
    refusal = invalid(f"Health check matcher gRPC code '{matcher}' must be a code or range between '0' and '99'")
    return _ranges(matcher, 0, 99, refusal)


def _ranges(matcher: str, low: int, high: int, refusal: Refused) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for part in matcher.split(","):
        found = re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?\s*", part)
        if not found:
            raise refusal
        first, last = int(found[1]), int(found[2] or found[1])
        if not low <= first <= last <= high:
            raise refusal
        ranges.append((first, last + 1))
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def other_ranges(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The half-open ranges of status codes in [100, 600) that are not in `ranges` (joined and in order)."""
    others: list[tuple[int, int]] = []
    at = 100
    for start, end in ranges:
        if start > at:
            others.append((at, start))
        at = end
    if at < 600:
        others.append((at, 600))
    return others


GRPC_HEALTH: Final = "/grpc.health.v1.Health/Check"
"""The method of gRPC's own health service. Source: https://grpc.io/docs/guides/health-checking/"""


def default_health_check(protocol: str, check_protocol: str | None, version: str = "") -> HealthCheck:
    """Source: CreateTargetGroup, the members' defaults."""
    if version == "GRPC":
        return HealthCheck(path="/AWS.ALB/healthcheck", matcher="12")
    if protocol not in NETWORK_PROTOCOLS:
        return HealthCheck()
    if check_protocol in (None, "TCP"):
        return HealthCheck(protocol="TCP", path="", timeout_s=10, matcher="")
    return HealthCheck(timeout_s=10 if check_protocol == "HTTPS" else 6, matcher="200-399")


def checked_by(group: TargetGroup, protocol: str) -> HealthCheck:
    """Its health check by that protocol. All else is as it was; a path and a matcher are there where that has them."""
    check = group.health_check
    if (check.protocol == "TCP") == (protocol == "TCP"):
        return check
    default = default_health_check(group.protocol, protocol, group.protocol_version)
    return replace(check, path=default.path, matcher=default.matcher)


def check_health_check(check: HealthCheck, protocol: str = "HTTP", version: str = "") -> None:
    """Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html"""
    if not check.enabled:
        raise invalid("Health check enabled must be true for target groups with target type 'instance' or 'ip'")
    has_network = protocol in NETWORK_PROTOCOLS
    if check.protocol == "TCP" and not has_network:
        raise invalid(f"Health check protocol 'TCP' is not supported for target groups with protocol '{protocol}'")
    if check.protocol not in ("HTTP", "HTTPS", "TCP"):
        spoken = "HTTP, HTTPS, TCP" if has_network else "HTTP, HTTPS"
        raise invalid(f"Health check protocol '{check.protocol}' must be one of '{spoken}'")
    for name, value, low, high in (
        ("interval", check.interval_s, 5, 300),
        ("timeout", check.timeout_s, 2, 120),
        ("healthy threshold count", check.healthy_threshold, 2, 10),
        ("unhealthy threshold count", check.unhealthy_threshold, 2, 10),
    ):
        if not low <= value <= high:
            raise invalid(f"Health check {name} '{value}' must be between '{low}' and '{high}' inclusive")
    # a Network Load Balancer's checks may take as long as the interval
    if check.timeout_s > check.interval_s or (check.timeout_s == check.interval_s and not has_network):
        smaller = "smaller than or equal to" if has_network else "smaller than"
        raise invalid(f"Health check timeout '{check.timeout_s}' must be {smaller} the interval '{check.interval_s}'")
    if check.port != "traffic-port" and not (check.port.isdigit() and 1 <= int(check.port) <= 65535):
        raise invalid(f"Health check port '{check.port}' must be 'traffic-port' or a port between '1' and '65535'")
    if check.protocol == "TCP":
        if check.path or check.matcher:
            raise invalid("Health check path and matcher are not supported for health checks with protocol 'TCP'")
        return
    if not check.path.startswith("/") or len(check.path) > 1024 or not check.path.isprintable() or " " in check.path:
        raise invalid(
            f"Health check path '{check.path}' must begin with a '/' character and have at most 1024 characters"
        )
    if version == "GRPC":
        grpc_ranges(check.matcher)
    else:
        matcher_ranges(check.matcher, protocol)


def check_port(target: Target, check: HealthCheck) -> int:
    return target.port if check.port == "traffic-port" else int(check.port)


def is_enabled(target: Target, balancers: Iterable[LoadBalancer]) -> bool:
    """Whether one of its load balancers has its zone; what is in no zone is everybody's."""
    if target.zone in ("", "all"):
        return True
    return any(each.type == "classic" or target.zone in {zone.zone for zone in each.zones} for each in balancers)


def is_usable(target: Target, legs: Container[str]) -> bool:
    """Args: legs: the addresses of load balancers in the VPC, which no target may have."""
    return bool(target.instance_address) or target.id not in legs


def target_health(target: Target, balancers: Sequence[LoadBalancer], legs: Container[str] = ()) -> TargetHealth:
    """A target's health in AWS's words.

    Args:
        balancers: those that use its group.
        legs: the addresses of load balancers in the VPC.

    Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html"""
    if target.deregistered_at is not None:
        return TargetHealth(
            TargetState.DRAINING, "Target.DeregistrationInProgress", "Target deregistration is in progress"
        )
    if not balancers:
        return NOT_IN_USE
    if not is_enabled(target, balancers):
        return NOT_ENABLED
    if not is_usable(target, legs):
        return UNUSABLE
    if target.checked == "healthy":
        return TargetHealth(TargetState.HEALTHY)
    if target.checked == "unhealthy":
        return TargetHealth(TargetState.UNHEALTHY, target.failure_code, target.failure_detail)
    if all(each.state == "failed" for each in balancers):
        return INTERNAL_ERROR
    if not target.is_being_checked or not any(each.state == "active" for each in balancers):
        return TargetHealth(TargetState.INITIAL, "Elb.RegistrationInProgress", "Target registration is in progress")
    return TargetHealth(TargetState.INITIAL, "Elb.InitialHealthChecking", "Initial health checks in progress")


def drains_unhealthy(group: TargetGroup, target: Target, now: datetime) -> bool:
    """Whether an unhealthy target is still given time for its connections. It gets no new ones in either case.

    Source: Network Load Balancer guide, "Unhealthy draining interval"."""
    seconds = int(group.attributes.get(DRAIN_UNHEALTHY, "0"))
    return target.checked_at is not None and now < target.checked_at + timedelta(seconds=seconds)


NOT_IN_USE: Final = TargetHealth(
    TargetState.UNUSED,
    "Target.NotInUse",
    "Target group is not configured to receive traffic from the load balancer",
)
NOT_ENABLED: Final = TargetHealth(
    TargetState.UNUSED,
    "Target.NotInUse",
    "Target is in an Availability Zone that is not enabled for the load balancer",
)
UNUSABLE: Final = TargetHealth(
    TargetState.UNUSED, "Target.IpUnusable", "Target IP address is reserved for use by a load balancer"
)
INTERNAL_ERROR: Final = TargetHealth(
    TargetState.UNHEALTHY, "Elb.InternalError", "Health checks failed due to an internal error"
)
STOPPED: Final = TargetHealth(TargetState.UNUSED, "Target.InvalidState", "Target is in the stopped state")
NOT_REGISTERED: Final = TargetHealth(
    TargetState.UNUSED, "Target.NotRegistered", "Target is not registered to the target group"
)

# --- attributes -----------------------------------------------------------------------------------------------------


def load_balancer_attributes(kind: str) -> dict[str, str]:
    return NETWORK_LOAD_BALANCER_ATTRIBUTES if kind == "network" else LOAD_BALANCER_ATTRIBUTES


def target_group_attributes(protocol: str, target_type: str = "ip") -> dict[str, str]:
    """The attributes of a target group and their defaults."""
    if protocol not in NETWORK_PROTOCOLS:
        return TARGET_GROUP_ATTRIBUTES
    has_udp = protocol in ("UDP", "TCP_UDP")
    keeps = has_udp or target_type == "instance"
    defaults = {
        PRESERVE_CLIENT: _flag(keeps),
        TERMINATE: _flag(has_udp),
        TERMINATE_UNHEALTHY: _flag(not has_udp),
    }
    return {**TCP_TARGET_GROUP_ATTRIBUTES, **defaults}


def _flag(on: bool) -> str:
    return "true" if on else "false"


def check_load_balancer_attribute(key: str, value: str, kind: str = "application") -> None:
    known = load_balancer_attributes(kind)
    if key not in known:
        raise invalid(f"Load balancer attribute key '{key}' is not recognized")
    if key == "idle_timeout.timeout_seconds":
        _check_number(key, value, 1, 4000)
    elif key == "client_keep_alive.seconds":
        _check_number(key, value, 60, STICKY_MAX_S)
    elif key == "routing.http.desync_mitigation_mode":
        _check_choice(key, value, DESYNC_MODES)
    elif key == "routing.http.xff_header_processing.mode":
        _check_choice(key, value, ("append", "preserve", "remove"))
    elif kind == "application" and key in _LOGS:
        if key.endswith(".enabled"):
            _check_choice(key, value, ("true", "false"))
        # buckets and prefixes once the log is enabled, with each other
    elif key in _FLAGS or (key == CROSS_ZONE and kind == "network"):
        _check_choice(key, value, ("true", "false"))
    elif key == CROSS_ZONE:
        _check_choice(key, value, ("true", "false"))
        if value == "false":
            raise invalid(
                "Cross-zone load balancing cannot be turned off for an Application Load Balancer: "
                "its target groups can turn it off"
            )
    elif value != known[key]:
        raise unsupported(f"Load balancer attribute '{key}' with value '{value}' is not supported yet")


DESYNC_MODES: Final = ("monitor", "defensive", "strictest")
_LOGS: Final = tuple(
    access_log.attribute(kind, what) for kind in access_log.KINDS for what in ("enabled", "bucket", "prefix")
)
_FLAGS: Final = (
    "deletion_protection.enabled",
    "routing.http2.enabled",
    "routing.http.drop_invalid_header_fields.enabled",
    "routing.http.xff_client_port.enabled",
    "routing.http.preserve_host_header.enabled",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled",
    "waf.fail_open.enabled",  # there is no WAF that could fail
)


def check_target_group_attribute(key: str, value: str, protocol: str = "HTTP", target_type: str = "ip") -> None:
    known = target_group_attributes(protocol, target_type)
    if key not in known:
        raise invalid(f"Target group attribute key '{key}' is not recognized")
    if key == "deregistration_delay.timeout_seconds":
        _check_number(key, value, 0, 3600)
    elif key == "load_balancing.algorithm.type":
        _check_choice(key, value, ("round_robin", "least_outstanding_requests", "weighted_random"))
    elif key == "slow_start.duration_seconds":
        if value != "0":
            _check_number(key, value, 30, 900)
    elif key in ("stickiness.lb_cookie.duration_seconds", "stickiness.app_cookie.duration_seconds"):
        _check_number(key, value, 1, STICKY_MAX_S)
    elif key == PRESERVE_CLIENT and protocol in ("UDP", "TCP_UDP"):
        if value != "true":
            raise invalid(f"Client IP preservation cannot be disabled for target groups with protocol '{protocol}'")
    elif key == DRAIN_UNHEALTHY:
        _check_number(key, value, 0, 360_000)
    elif key == TERMINATE_UNHEALTHY and protocol in ("UDP", "TCP_UDP"):
        if value != "false":
            raise invalid(
                f"Connection termination for unhealthy targets cannot be enabled for target groups with protocol "
                f"'{protocol}'"
            )
    elif key == "stickiness.type":
        _check_choice(key, value, _STICKINESS_TYPES)
        if (value == "source_ip") != (protocol in NETWORK_PROTOCOLS):
            raise conflict(f"Stickiness type '{value}' is not supported for target groups with the {protocol} protocol")
    elif key == "stickiness.enabled" and value == "true" and protocol == "TLS":
        raise conflict("You cannot enable stickiness on target groups with the TLS protocol")
    elif key == "stickiness.app_cookie.cookie_name":
        if value and (not _COOKIE_NAME.fullmatch(value) or value.startswith(("AWSALB", "AWSELB"))):
            raise invalid(f"'{value}' is not a valid value for attribute '{key}'")
    elif key == PROXY_PROTOCOL and value == "true" and protocol in ("UDP", "TCP_UDP"):
        raise unsupported(f"Target group attribute '{key}' is not supported yet with protocol '{protocol}'")
    elif key == CROSS_ZONE:
        _check_choice(key, value, ("true", "false", USE_LOAD_BALANCER))
    elif key.startswith(HEALTH):
        if value != "off" or key == f"{ROUTING}.count":
            _check_number(key, value, 1, TARGETS_PER_TARGET_GROUP if key.endswith(".count") else 100)
    elif key in (PROXY_PROTOCOL, "stickiness.enabled", PRESERVE_CLIENT, TERMINATE, TERMINATE_UNHEALTHY):
        _check_choice(key, value, ("true", "false"))
    elif value != known[key]:
        raise unsupported(f"Target group attribute '{key}' with value '{value}' is not supported yet")


_STICKINESS_TYPES: Final = ("lb_cookie", "app_cookie", "source_ip", "source_ip_dest_ip", "source_ip_dest_ip_proto")


def check_target_group_attributes(attributes: dict[str, str], protocol: str = "HTTP") -> None:
    """What the attributes must be together."""
    if int(attributes.get(DRAIN_UNHEALTHY, "0")):
        default = target_group_attributes(protocol).get(TERMINATE_UNHEALTHY)
        if attributes.get(TERMINATE_UNHEALTHY, default) == "true":
            raise invalid(f"The attribute '{DRAIN_UNHEALTHY}' can be set only while '{TERMINATE_UNHEALTHY}' is 'false'")
    by_source = attributes.get("stickiness.type") == "source_ip"
    if attributes.get(CROSS_ZONE) == "false" and attributes.get("stickiness.enabled") == "true" and not by_source:
        raise invalid("Stickiness is not supported when cross-zone load balancing is off")
    algorithm = attributes.get("load_balancing.algorithm.type", "round_robin")
    if attributes.get("slow_start.duration_seconds", "0") != "0" and algorithm != "round_robin":
        raise invalid(f"Slow start is not supported with the load balancing algorithm '{algorithm}'")
    for unit in ("count", "percentage"):
        dns, routing = attributes.get(f"{DNS_FAILOVER}.{unit}", "off"), attributes.get(f"{ROUTING}.{unit}", "off")
        if "off" not in (dns, routing) and int(dns) < int(routing):
            raise invalid(
                f"The value '{dns}' of '{DNS_FAILOVER}.{unit}' must be greater than or equal to the value '{routing}' "
                f"of '{ROUTING}.{unit}'"
            )
    by_cookie = attributes.get("stickiness.enabled") == "true" and attributes.get("stickiness.type") == "app_cookie"
    if by_cookie and not attributes.get("stickiness.app_cookie.cookie_name"):
        raise invalid("The attribute 'stickiness.app_cookie.cookie_name' must be specified for the type 'app_cookie'")


RESPONSE_HEADERS: Final[dict[str, str]] = {
    f"routing.http.response.{name.lower().replace('-', '_')}.header_value": name
    for name in (
        "Strict-Transport-Security",
        "Access-Control-Allow-Origin",
        "Access-Control-Allow-Methods",
        "Access-Control-Allow-Headers",
        "Access-Control-Allow-Credentials",
        "Access-Control-Expose-Headers",
        "Access-Control-Max-Age",
        "Content-Security-Policy",
        "X-Content-Type-Options",
        "X-Frame-Options",
    )
}
"""By listener attribute: the header that it puts into every response."""

TLS_HEADERS: Final[dict[str, tuple[str, str]]] = {
    "routing.http.request.x_amzn_tls_version.header_name": ("X-Amzn-Tls-Version", "DOWNSTREAM_TLS_VERSION"),
    "routing.http.request.x_amzn_tls_cipher_suite.header_name": ("X-Amzn-Tls-Cipher-Suite", "DOWNSTREAM_TLS_CIPHER"),
}
"""By listener attribute: the request header's name by default, and what it tells."""

SERVER_HEADER: Final = "routing.http.response.server.enabled"
TCP_IDLE: Final = "tcp.idle_timeout.seconds"


def listener_attributes(protocol: str) -> dict[str, str]:
    """The attributes of a listener and their defaults."""
    if protocol in ("TCP", "TLS", "TCP_UDP"):
        return {TCP_IDLE: "350"}
    if protocol == "UDP":
        return {}
    shown = {SERVER_HEADER: "true", **dict.fromkeys(RESPONSE_HEADERS, "")}
    if protocol == "HTTPS":
        shown |= {key: name for key, (name, _) in TLS_HEADERS.items()}
    return shown


def check_listener_attribute(key: str, value: str, protocol: str) -> None:
    if key not in listener_attributes(protocol):
        raise invalid(f"Listener attribute key '{key}' is not recognized")
    if key == TCP_IDLE:
        _check_number(key, value, 60, 6000)
    elif key == SERVER_HEADER:
        _check_choice(key, value, ("true", "false"))
    elif key in TLS_HEADERS:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", value):
            raise invalid(f"'{value}' is not a valid value for attribute '{key}'")
    elif len(value) > 1024 or not value.isascii() or (value and not value.isprintable()):
        raise invalid(f"'{value}' is not a valid value for attribute '{key}'")


def _check_number(key: str, value: str, low: int, high: int) -> None:
    if not value.isdecimal() or not low <= int(value) <= high:
        raise invalid(f"'{value}' is not a valid value for attribute '{key}': must be between '{low}' and '{high}'")


def _check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        allowed = "' or '".join(choices)
        raise invalid(f"'{value}' is not a valid value for attribute '{key}': must be '{allowed}'")


def deregistration_delay_s(group: TargetGroup) -> int:
    return int(group.attributes.get("deregistration_delay.timeout_seconds", "300"))


HEALTH: Final = "target_group_health."
DNS_FAILOVER: Final = f"{HEALTH}dns_failover.minimum_healthy_targets"
ROUTING: Final = f"{HEALTH}unhealthy_state_routing.minimum_healthy_targets"

CROSS_ZONE: Final = "load_balancing.cross_zone.enabled"
USE_LOAD_BALANCER: Final = "use_load_balancer_configuration"


def is_zonal(balancer: LoadBalancer, group: TargetGroup) -> bool:
    """Whether each zone's address leads to the group's targets in its own zone alone: as the group says, else as the
    load balancer does."""
    own = group.attributes.get(CROSS_ZONE, USE_LOAD_BALANCER) if group.classic is None else USE_LOAD_BALANCER
    if own != USE_LOAD_BALANCER:
        return own == "false"
    default = load_balancer_attributes("network")[CROSS_ZONE] if balancer.type == "network" else "true"
    return balancer.type in ("classic", "network") and balancer.attributes.get(CROSS_ZONE, default) == "false"


def idle_timeout_s(balancer: LoadBalancer) -> int:
    return int(balancer.attributes.get("idle_timeout.timeout_seconds", "60"))


def client_keep_alive_s(balancer: LoadBalancer) -> int:
    return int(balancer.attributes.get("client_keep_alive.seconds", "3600"))


def tcp_idle_timeout_s(listener: Listener) -> int:
    return int(listener.attributes.get(TCP_IDLE, "350"))


ALPN_POLICIES: Final[dict[str, tuple[str, ...]]] = {
    "None": (),
    "HTTP1Only": ("http/1.1", "http/1.0"),
    "HTTP2Only": ("h2",),
    "HTTP2Optional": ("http/1.1", "http/1.0", "h2"),
    "HTTP2Preferred": ("h2", "http/1.1", "http/1.0"),
}
"""What a TLS listener agrees to speak, what it likes best first."""


def has_proxy_protocol(group: TargetGroup) -> bool:
    return group.attributes.get("proxy_protocol_v2.enabled") == "true"


PROXY_PROTOCOL: Final = "proxy_protocol_v2.enabled"
PRESERVE_CLIENT: Final = "preserve_client_ip.enabled"
TERMINATE: Final = "deregistration_delay.connection_termination.enabled"
TERMINATE_UNHEALTHY: Final = "target_health_state.unhealthy.connection_termination.enabled"
DRAIN_UNHEALTHY: Final = "target_health_state.unhealthy.draining_interval_seconds"


def preserves_client(group: TargetGroup) -> bool:
    """Whether targets see the client's address. Source: Network Load Balancer guide, "Client IP preservation"."""
    default = target_group_attributes(group.protocol, group.target_type).get(PRESERVE_CLIENT, "false")
    return group.attributes.get(PRESERVE_CLIENT, default) == "true"


GROUP_PROTOCOLS: Final[dict[str, tuple[str, ...]]] = {
    "HTTP": ("HTTP", "HTTPS"),
    "HTTPS": ("HTTP", "HTTPS"),
    "TCP": ("TCP", "TCP_UDP"),
    "TLS": ("TCP", "TLS"),
    "UDP": ("UDP", "TCP_UDP"),
    "TCP_UDP": ("TCP_UDP",),
}
"""By listener protocol: those that its target groups may have. Source: Network Load Balancer guide, "Listener
configuration"."""


def check_proxied(protocol: str, groups: Iterable[TargetGroup]) -> None:
    """What was asked of a listener's target groups and can not be, since a proxy carries it."""
    together = list(groups)
    is_proxied = protocol == "TLS" or any(has_proxy_protocol(group) for group in together)
    for group in together:
        if is_proxied and group.attributes.get(PRESERVE_CLIENT) == "true" and not proxy_keeps_clients(together):
            raise unsupported(
                f"'{PRESERVE_CLIENT}' of '{group.arn}' is not supported yet beside target groups of the same listener "
                "that do not have it"
            )


def proxy_keeps_clients(groups: Iterable[TargetGroup]) -> bool:
    """Whether connections of a proxied listener come to the targets of these groups, all of its, as the client's."""
    kept = [preserves_client(group) for group in groups]
    return bool(kept) and all(kept)


def terminates(group: TargetGroup) -> bool:
    """Whether a target's connections end with its deregistration delay."""
    default = target_group_attributes(group.protocol, group.target_type).get(TERMINATE, "false")
    return group.attributes.get(TERMINATE, default) == "true"


def terminates_unhealthy(group: TargetGroup) -> bool:
    """Whether connections to a target end when it becomes unhealthy. Source: Network Load Balancer guide, "Connection
    termination for unhealthy targets"."""
    if group.classic is not None or group.protocol not in NETWORK_PROTOCOLS:
        return False
    default = target_group_attributes(group.protocol, group.target_type)[TERMINATE_UNHEALTHY]
    return group.attributes.get(TERMINATE_UNHEALTHY, default) == "true"


def slow_start_s(group: TargetGroup) -> int:
    return int(group.attributes.get("slow_start.duration_seconds", "0"))


def app_cookie(group: TargetGroup) -> str:
    """The name of the application's cookie that keeps a client at its target; empty without."""
    if group.attributes.get("stickiness.enabled") != "true" or group.attributes.get("stickiness.type") != "app_cookie":
        return ""
    return group.attributes.get("stickiness.app_cookie.cookie_name", "")


def app_cookie_s(group: TargetGroup) -> int:
    return int(group.attributes.get("stickiness.app_cookie.duration_seconds", "86400"))


def sticky_s(group: TargetGroup) -> int:
    """For how long the load balancer's cookie keeps a client at its target; 0 without."""
    if group.attributes.get("stickiness.enabled") != "true":
        return 0
    return int(group.attributes.get("stickiness.lb_cookie.duration_seconds", "86400"))


def attributes_with_defaults(own: dict[str, str], defaults: dict[str, str]) -> dict[str, str]:
    return {**defaults, **own}


# --- targets --------------------------------------------------------------------------------------------------------


def check_target_address(address: str) -> None:
    """Only what a load balancer may send to: no loopback, link-local, multicast or unspecified address."""
    try:
        parsed = ipaddress.IPv4Address(address)
    except ValueError:
        raise invalid(f"The IP address '{address}' is not a valid IPv4 address") from None
    if parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified:
        raise invalid(f"The IP address '{address}' must be in a private address range")
