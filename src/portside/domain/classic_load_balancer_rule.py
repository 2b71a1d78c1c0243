"""The rules of Classic Load Balancers: what listeners, health checks and policies may be, which records of the data
plane come of them, and an instance's health in AWS's words. Pure; `api/elb` maps refusals to AWS's codes.

Sources: Elastic Load Balancing API reference 2012-06-01; Classic Load Balancer guide, "Listeners", "Health checks",
"Quotas".
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

from portside.domain import arn as arns
from portside.domain.classic_load_balancer import (
    ClassicHealthCheck,
    ClassicInstance,
    ClassicListener,
    ClassicLoadBalancer,
    ClassicProtocol,
)
from portside.domain.classic_policy import (
    PROXY_PROTOCOL,
    cookie_of,
    invalid,
    is_http,
    is_on,
    is_secured,
    key_digests,
    of_backend,
    security_of,
    unsupported,
    with_default_policy,
)
from portside.domain.load_balancer import (
    ClassicBackend,
    Forward,
    HealthCheck,
    Listener,
    Target,
    TargetGroup,
    WeightedTargetGroup,
)
from portside.domain.load_balancer_rule import TCP_IDLE
from portside.domain.record import Scope, replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.ssl_policy import DEFAULT, POLICIES

LOAD_BALANCERS_PER_REGION: Final = 20
LISTENERS_PER_LOAD_BALANCER: Final = 100
INSTANCES_PER_LOAD_BALANCER: Final = 1000
SECURITY_GROUPS_PER_LOAD_BALANCER: Final = 5

UNDRAINED_S: Final = 2
"""For how long a deregistered instance may end its requests without connection draining: long enough for the data plane
to have heard of it before a service stops the task."""

_NAME: Final = re.compile(r"[A-Za-z0-9-]+")


def check_name(name: str) -> None:
    """Source: CreateLoadBalancer, member LoadBalancerName."""
    if not 1 <= len(name) <= 32:
        raise invalid("LoadBalancer name cannot be longer than 32 characters" if name else "LoadBalancer name is empty")
    if not _NAME.fullmatch(name):
        raise invalid("LoadBalancer name can only contain characters that are alphanumeric characters and hyphens(-)")
    if name.startswith("-") or name.endswith("-"):
        raise invalid("LoadBalancer name cannot begin or end with a hyphen(-)")
    if name.startswith("internal-"):
        raise invalid("LoadBalancer name cannot begin with 'internal-'")


# --- listeners ------------------------------------------------------------------------------------------------------


def protocol(given: str) -> ClassicProtocol:
    """In any case, as on AWS."""
    match given.upper():
        case "HTTP":
            return "HTTP"
        case "HTTPS":
            return "HTTPS"
        case "TCP":
            return "TCP"
        case "SSL":
            return "SSL"
    raise invalid(f"Protocol '{given}' must be one of HTTP, HTTPS, TCP, SSL")


def check_listener(listener: ClassicListener) -> None:
    for what, port in (("LoadBalancerPort", listener.port), ("InstancePort", listener.instance_port)):
        if not 1 <= port <= 65535:
            raise invalid(f"{what} must be between 1 and 65535, not {port}")
    if is_http(listener.protocol) != is_http(listener.instance_protocol):
        layers = "HTTP or HTTPS" if is_http(listener.protocol) else "TCP or SSL"
        raise invalid(
            f"InstanceProtocol '{listener.instance_protocol}' must be {layers} for a listener of protocol "
            f"'{listener.protocol}'"
        )
    if is_secured(listener.protocol) and not listener.certificate_arn:
        raise invalid(f"Listener of protocol '{listener.protocol}' must specify an SSLCertificateId")
    if not is_secured(listener.protocol) and listener.certificate_arn:
        raise invalid(f"SSLCertificateId cannot be specified for a listener of protocol '{listener.protocol}'")


def check_listeners(listeners: Sequence[ClassicListener]) -> None:
    """What they must be together."""
    if len(listeners) > LISTENERS_PER_LOAD_BALANCER:
        raise invalid(f"A load balancer can have at most {LISTENERS_PER_LOAD_BALANCER} listeners")
    spoken: dict[int, str] = {}
    for listener in listeners:
        before = spoken.setdefault(listener.instance_port, listener.instance_protocol)
        if before != listener.instance_protocol:
            raise unsupported(
                f"Speaking both {before} and {listener.instance_protocol} to port {listener.instance_port}"
            )


def with_listener(balancer: ClassicLoadBalancer, listener: ClassicListener) -> ClassicLoadBalancer:
    """The same one again changes nothing. An HTTPS or SSL listener begins with the default security policy.

    Raises: Refused CONFLICT for a port that another listener has."""
    known = next((each for each in balancer.listeners if each.port == listener.port), None)
    if known is not None:
        if replace(known, policy_names=()) == replace(listener, policy_names=()):
            return balancer
        raise Refused(
            RefusalKind.IN_USE,
            f"A listener already exists for {balancer.name} with LoadBalancerPort {listener.port}, but with a "
            "different InstancePort, Protocol, or SSLCertificateId",
        )
    if is_secured(listener.protocol):
        balancer = with_default_policy(balancer)
        listener = replace(listener, policy_names=(DEFAULT,))
    return replace(balancer, listeners=(*balancer.listeners, listener))


# --- health checks --------------------------------------------------------------------------------------------------

_TARGET: Final = re.compile(r"(HTTP|HTTPS|TCP|SSL):(\d+)(.*)", re.IGNORECASE | re.DOTALL)


def check_target(target: str) -> tuple[ClassicProtocol, int, str]:
    """The protocol, port and path of a health check's target, as `HTTP:80/ping`."""
    found = _TARGET.fullmatch(target)
    if found is None:
        raise invalid(
            "HealthCheck Target must begin with one of HTTP, TCP, HTTPS, SSL, followed by a port: HTTP:80/ping"
        )
    spoken, port, path = protocol(found[1]), int(found[2]), found[3]
    if not 1 <= port <= 65535:
        raise invalid("HealthCheck Target port must be between 1 and 65535")
    if is_http(spoken) and not path.startswith("/"):
        raise invalid(
            f"HealthCheck {spoken} Target must specify a port followed by a path that begins with a slash. "
            f"e.g. {spoken}:80/ping/this/path"
        )
    if not is_http(spoken) and path:
        raise invalid(f"HealthCheck {spoken} Target must specify a port only. e.g. {spoken}:80")
    if len(path) > 1024 or not path.isascii() or (path and not path.isprintable()) or " " in path:
        raise invalid("HealthCheck Target path must be at most 1024 printable characters")
    return spoken, port, path


def check_health_check(check: ClassicHealthCheck) -> None:
    for name, value, low, high in (
        ("Interval", check.interval_s, 5, 300),
        ("Timeout", check.timeout_s, 2, 60),
        ("UnhealthyThreshold", check.unhealthy_threshold, 2, 10),
        ("HealthyThreshold", check.healthy_threshold, 2, 10),
    ):
        if not low <= value <= high:
            raise invalid(f"HealthCheck {name} must be between {low} and {high}, not {value}")
    if check.timeout_s >= check.interval_s:
        raise invalid("HealthCheck timeout must be less than interval")


def default_health_check(listener: ClassicListener) -> ClassicHealthCheck:
    """Of a new load balancer: whether its first listener's port takes connections."""
    return ClassicHealthCheck(protocol="TCP", port=listener.instance_port)


# --- what the data plane has of it ----------------------------------------------------------------------------------


class Plane(NamedTuple):
    listeners: tuple[Listener, ...]
    groups: tuple[TargetGroup, ...]


_SPOKEN: Final[dict[str, Literal["HTTP", "HTTPS", "TCP", "TLS"]]] = {
    "HTTP": "HTTP",
    "HTTPS": "HTTPS",
    "TCP": "TCP",
    "SSL": "TLS",
}


def listener_arn(load_balancer_arn: str, port: int) -> str:
    digits = hashlib.sha256(f"{load_balancer_arn}:{port}".encode()).hexdigest()[:16]
    return f"{load_balancer_arn.replace(':loadbalancer/', ':listener/')}/{digits}"


def group_arn(scope: Scope, name: str, instance_port: int) -> str:
    """Of what leads to one port of the instances. By names alone: services find it again that were there before a
    listener, or a load balancer, was made anew."""
    digits = hashlib.sha256(f"{scope.prefix}{name}:{instance_port}".encode()).hexdigest()[:16]
    return arns.target_group(scope, f"{name}/{instance_port}", digits)


def plane(balancer: ClassicLoadBalancer) -> Plane:
    """The listeners and target groups that serve it: one group for each port of the instances that a listener leads
    to."""
    groups: dict[int, TargetGroup] = {}
    listeners: list[Listener] = []
    for each in balancer.listeners:
        group = groups.setdefault(each.instance_port, _group(balancer, each))
        listeners.append(_listener(balancer, each, group))
    return Plane(tuple(listeners), tuple(groups.values()))


def _group(balancer: ClassicLoadBalancer, listener: ClassicListener) -> TargetGroup:
    check = balancer.health_check
    port = listener.instance_port
    policies = of_backend(balancer, port)
    proxied = any(each.type_name == PROXY_PROTOCOL and is_on(each, "ProxyProtocol") for each in policies)
    http = is_http(listener.instance_protocol)
    algorithm = {"load_balancing.algorithm.type": "least_outstanding_requests"} if http else {}
    delay_s = balancer.draining_timeout_s if balancer.draining_enabled else UNDRAINED_S
    return TargetGroup(
        scope=balancer.scope,
        arn=group_arn(balancer.scope, balancer.name, port),
        name=f"{balancer.name}:{port}",
        protocol="HTTP" if http else "TCP",
        protocol_version="HTTP1" if http else "",
        port=port,
        target_type="instance",
        health_check=HealthCheck(
            protocol=check.protocol,
            port=str(check.port),
            path=check.path,
            interval_s=check.interval_s,
            timeout_s=check.timeout_s,
            healthy_threshold=check.healthy_threshold,
            unhealthy_threshold=check.unhealthy_threshold,
        ),
        attributes={"deregistration_delay.timeout_seconds": str(delay_s), **algorithm},
        classic=ClassicBackend(
            tls=is_secured(listener.instance_protocol),
            key_digests=key_digests(balancer, policies),
            proxy_protocol=proxied,
        ),
        created_at=balancer.created_at,
    )


def _listener(balancer: ClassicLoadBalancer, listener: ClassicListener, group: TargetGroup) -> Listener:
    security = security_of(balancer, listener)
    own = security if security.name not in POLICIES else None
    http = is_http(listener.protocol)
    return Listener(
        scope=balancer.scope,
        arn=listener_arn(balancer.load_balancer_arn, listener.port),
        load_balancer_arn=balancer.load_balancer_arn,
        port=listener.port,
        protocol=_SPOKEN[listener.protocol],
        default_action=Forward(
            target_groups=(WeightedTargetGroup(target_group_arn=group.arn),), cookie=cookie_of(balancer, listener)
        ),
        certificate_arn=listener.certificate_arn,
        ssl_policy=security.name if is_secured(listener.protocol) else "",
        own_ssl_policy=own if is_secured(listener.protocol) else None,
        attributes={} if http else {TCP_IDLE: str(balancer.idle_timeout_s)},
        created_at=balancer.created_at,
    )


# --- instances ------------------------------------------------------------------------------------------------------


def targets_of(instance: ClassicInstance, groups: Iterable[TargetGroup]) -> list[Target]:
    """A registered instance at each of the ports that listeners lead to."""
    return [
        Target(
            scope=group.scope,
            target_group_arn=group.arn,
            id=instance.id,
            port=group.port,
            instance_address=instance.address,
            zone=instance.zone,
            registered_at=instance.registered_at,
        )
        for group in groups
    ]


def with_instance(balancer: ClassicLoadBalancer, instance: ClassicInstance) -> ClassicLoadBalancer:
    """One that is registered already stays as it is."""
    if any(each.id == instance.id for each in balancer.instances):
        return balancer
    if len(balancer.instances) >= INSTANCES_PER_LOAD_BALANCER:
        raise invalid(f"A load balancer can have at most {INSTANCES_PER_LOAD_BALANCER} registered instances")
    return replace(balancer, instances=(*balancer.instances, instance))


def without_instances(balancer: ClassicLoadBalancer, ids: Iterable[str]) -> ClassicLoadBalancer:
    gone = set(ids)
    return replace(balancer, instances=tuple(each for each in balancer.instances if each.id not in gone))


class InstanceHealth(NamedTuple):
    state: Literal["InService", "OutOfService", "Unknown"]
    reason: str = "N/A"
    description: str = "N/A"


REGISTERING: Final = InstanceHealth("OutOfService", "ELB", "Instance registration is still in progress.")
UNHEALTHY: Final = InstanceHealth(
    "OutOfService",
    "Instance",
    "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.",
)
STOPPED: Final = InstanceHealth("OutOfService", "Instance", "Instance is in stopped state.")
NOT_REGISTERED: Final = InstanceHealth(
    "OutOfService", "Instance", "Instance is not currently registered with the LoadBalancer."
)
DRAINING: Final = InstanceHealth("InService", "N/A", "Instance deregistration currently in progress.")


def instance_health(targets: Sequence[Target], *, registered: bool, drains: bool = False) -> InstanceHealth:
    """
    Args:
        targets: the instance's, at every port; all are checked at the same one.
        drains: the load balancer has connection draining.
    """
    live = [each for each in targets if each.deregistered_at is None]
    if not registered:
        return DRAINING if drains and targets else NOT_REGISTERED
    if any(each.checked == "unhealthy" for each in live):
        return UNHEALTHY
    if live and all(each.checked == "healthy" for each in live):
        return InstanceHealth("InService")
    return REGISTERING


def deregistered(targets: Iterable[Target], *, now: datetime) -> list[Target]:
    """Those of an instance that leaves, as they begin to drain."""
    return [replace(each, deregistered_at=now) for each in targets if each.deregistered_at is None]
