"""Classic Load Balancers as Elastic Load Balancing's first API has them: listeners and policies inside of one record,
and instances registered with the load balancer itself.

What the data plane serves of it are the records of `load_balancer`, made from this one by
`classic_load_balancer_rule.plane`.
"""

from datetime import datetime
from typing import Literal

from portside.domain.record import Record, Scope

ClassicProtocol = Literal["HTTP", "HTTPS", "TCP", "SSL"]


class PolicyAttribute(Record, frozen=True, kw_only=True):
    name: str
    value: str


class ClassicPolicy(Record, frozen=True, kw_only=True):
    name: str
    type_name: str
    attributes: tuple[PolicyAttribute, ...] = ()

    def value(self, name: str) -> str:
        """Of an attribute; empty if it is not there."""
        return next((each.value for each in self.attributes if each.name == name), "")


class ClassicListener(Record, frozen=True, kw_only=True):
    """`port` is the load balancer's. `policy_names`: of policies of the load balancer."""

    protocol: ClassicProtocol
    port: int
    instance_protocol: ClassicProtocol
    instance_port: int
    certificate_arn: str = ""
    policy_names: tuple[str, ...] = ()


class BackendPolicies(Record, frozen=True, kw_only=True):
    """Which policies hold for what is sent to one port of the instances."""

    instance_port: int
    policy_names: tuple[str, ...]


class ClassicHealthCheck(Record, frozen=True, kw_only=True):
    """`path`: of HTTP and HTTPS checks."""

    protocol: ClassicProtocol
    port: int
    path: str = ""
    interval_s: int = 30
    timeout_s: int = 5
    unhealthy_threshold: int = 2
    healthy_threshold: int = 10

    @property
    def target(self) -> str:
        return f"{self.protocol}:{self.port}{self.path}"


class ClassicInstance(Record, frozen=True, kw_only=True):
    id: str
    address: str
    zone: str
    registered_at: datetime


class AccessLogSettings(Record, frozen=True, kw_only=True):
    bucket: str
    prefix: str = ""
    interval_minutes: int = 60


class ClassicLoadBalancer(Record, frozen=True, kw_only=True):
    """`load_balancer_arn`: of the record with its addresses, security groups, scheme and tags."""

    scope: Scope
    name: str
    load_balancer_arn: str
    listeners: tuple[ClassicListener, ...]
    health_check: ClassicHealthCheck
    policies: tuple[ClassicPolicy, ...] = ()
    backend_policies: tuple[BackendPolicies, ...] = ()
    instances: tuple[ClassicInstance, ...] = ()
    idle_timeout_s: int = 60
    cross_zone: bool = False
    desync_mode: str = "defensive"
    access_log: AccessLogSettings | None = None
    draining_enabled: bool = False
    draining_timeout_s: int = 300
    created_at: datetime
