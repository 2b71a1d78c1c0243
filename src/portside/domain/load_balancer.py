"""Load balancers as Elastic Load Balancing (v2) has them: load balancer, listener, rule, target group, target."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from portside.domain.record import Record, Scope, Tags
from portside.domain.ssl_policy import SslPolicy


class ZoneMapping(Record, frozen=True, kw_only=True):
    zone: str
    subnet_id: str
    eni_id: str = ""
    address: str = ""  # inside the VPC
    host_address: str = ""  # 127.66.x.y on the host, for internet-facing ones
    static_address: str = ""  # the address inside the VPC that was asked for
    allocation_id: str = ""  # of its Elastic address
    public_address: str = ""  # the Elastic address itself


class LoadBalancer(Record, frozen=True, kw_only=True):
    scope: Scope
    arn: str
    name: str
    type: Literal["application", "network", "gateway", "classic"] = "application"
    scheme: Literal["internet-facing", "internal"] = "internet-facing"
    dns_name: str
    vpc_id: str
    zones: tuple[ZoneMapping, ...]
    security_group_ids: tuple[str, ...] = ()  # a Network Load Balancer without any lets everything pass
    private_link_groups: Literal["on", "off"] = (
        "on"  # whether groups judge what comes by PrivateLink, which is not here
    )
    ip_address_type: str = "ipv4"
    state: Literal["provisioning", "active", "failed"] = "provisioning"
    state_reason: str = ""
    attributes: dict[str, str] = {}
    tags: Tags = ()
    created_at: datetime


class WeightedTargetGroup(Record, frozen=True, kw_only=True):
    target_group_arn: str
    weight: int = 1


class TargetCookie(Record, frozen=True, kw_only=True):
    """Keeps a client at its target. `duration_s` None: as long as the browser runs. `follows`: a cookie of the
    application's, with which it comes and without which it counts for nothing."""

    name: str
    duration_s: int | None = None
    follows: str = ""


class Forward(Record, tag="forward", frozen=True, kw_only=True):
    """`sticky_s`: for how long a client stays with the target group it got first; 0 without stickiness. `cookie`: of a
    Classic Load Balancer's listener; other load balancers have theirs by target group."""

    target_groups: tuple[WeightedTargetGroup, ...]
    sticky_s: int = 0
    cookie: TargetCookie | None = None


class FixedResponse(Record, tag="fixed-response", frozen=True, kw_only=True):
    status_code: str
    content_type: str | None = None
    message_body: str | None = None


class Redirect(Record, tag="redirect", frozen=True, kw_only=True):
    """The parts of the location are templates: `#{protocol}`, `#{host}`, `#{port}`, `#{path}` and `#{query}` are the
    request's."""

    status_code: Literal["HTTP_301", "HTTP_302"]
    protocol: str = "#{protocol}"
    host: str = "#{host}"
    port: str = "#{port}"
    path: str = "/#{path}"
    query: str = "#{query}"


Action = Forward | FixedResponse | Redirect


class QueryParameter(Record, frozen=True, kw_only=True):
    """A pattern for one parameter of a query string. Without `key`: any parameter with that value."""

    key: str = ""
    value: str


class Condition(Record, frozen=True, kw_only=True):
    """Any one of its values, regular expressions or query parameters is enough. `header`: of http-header conditions."""

    field: Literal["path-pattern", "host-header", "http-header", "http-request-method", "query-string", "source-ip"]
    values: tuple[str, ...] = ()
    regex_values: tuple[str, ...] = ()
    header: str = ""
    query: tuple[QueryParameter, ...] = ()


class Rule(Record, frozen=True, kw_only=True):
    """`priority` None: the default rule of its listener."""

    scope: Scope
    arn: str
    listener_arn: str
    priority: int | None
    conditions: tuple[Condition, ...] = ()
    action: Action
    tags: Tags = ()


class Listener(Record, frozen=True, kw_only=True):
    """Its default action is its default rule. `certificate_arn`: the default one, of HTTPS and TLS listeners;
    `certificate_list`: those that clients get who name their hosts. `own_ssl_policy`: one that is not AWS's."""

    scope: Scope
    arn: str
    load_balancer_arn: str
    port: int
    protocol: Literal["HTTP", "HTTPS", "TCP", "UDP", "TCP_UDP", "TLS"] = "HTTP"
    default_action: Action
    certificate_arn: str = ""
    certificate_list: tuple[str, ...] = ()
    ssl_policy: str = ""
    own_ssl_policy: SslPolicy | None = None
    alpn_policy: str = ""
    attributes: dict[str, str] = {}
    tags: Tags = ()
    created_at: datetime


class HealthCheck(Record, frozen=True, kw_only=True):
    enabled: bool = True
    protocol: str = "HTTP"
    port: str = "traffic-port"
    path: str = "/"
    interval_s: int = 30
    timeout_s: int = 5
    healthy_threshold: int = 5
    unhealthy_threshold: int = 2
    matcher: str = "200"


class ClassicBackend(Record, frozen=True, kw_only=True):
    """How a Classic Load Balancer speaks to its instances at one port. `key_digests`: of the public keys that they may
    have (SHA-256, base64); empty if any will do. `proxy_protocol`: version 1."""

    tls: bool = False
    key_digests: tuple[str, ...] = ()
    proxy_protocol: bool = False


class TargetGroup(Record, frozen=True, kw_only=True):
    """`classic`: what leads to one port of a Classic Load Balancer's instances; no target group to the API."""

    scope: Scope
    arn: str
    name: str
    protocol: str = "HTTP"
    protocol_version: str = "HTTP1"
    port: int = 80
    vpc_id: str = ""
    target_type: Literal["instance", "ip", "lambda", "alb"] = "ip"
    health_check: HealthCheck = HealthCheck()
    attributes: dict[str, str] = {}
    classic: ClassicBackend | None = None
    tags: Tags = ()
    created_at: datetime


class TargetState(StrEnum):
    INITIAL = "initial"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNHEALTHY_DRAINING = "unhealthy.draining"
    UNUSED = "unused"
    DRAINING = "draining"
    UNAVAILABLE = "unavailable"


class Target(Record, frozen=True, kw_only=True):
    """One registered target. Health is what Envoy's checks reported (kept here so that it survives a restart), and
    `is_being_checked` that it has been told of the target;
    `deregistered_at` marks it draining until the delay has passed, then the record goes."""

    scope: Scope
    target_group_arn: str
    id: str  # an address, or the id of an instance
    port: int
    instance_address: str = ""  # where the instance is
    zone: str = ""
    registered_at: datetime
    checked: Literal["unknown", "healthy", "unhealthy"] = "unknown"
    checked_at: datetime | None = None
    is_being_checked: bool = False
    failure_code: str = ""  # AWS's reason code for unhealthy; or why nothing checks it
    failure_detail: str = ""
    deregistered_at: datetime | None = None
    pace: float | None = None  # at which its deregistration delay runs, where it is not the instance's
    drained_at: datetime | None = None  # idle: no request open any more

    @property
    def address(self) -> str:
        return self.instance_address or self.id
