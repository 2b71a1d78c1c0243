"""A load balancer's world for tests: records made in a line, a namespace with servers, and a data plane's reports."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from portside.balancer.interface import BalancerConfig, HealthReport, ServerCertificate
from portside.domain.load_balancer import (
    Action,
    Condition,
    FixedResponse,
    Forward,
    HealthCheck,
    Listener,
    LoadBalancer,
    Rule,
    Target,
    TargetGroup,
    WeightedTargetGroup,
    ZoneMapping,
)
from portside.domain.record import Scope, replace
from portside.domain.ssl_policy import DEFAULT
from portside.vault import x509

SCOPE = Scope(account="000000000000", region="us-east-1")
AT = datetime(2026, 1, 1, tzinfo=UTC)
_ARN = "arn:aws:elasticloadbalancing:us-east-1:000000000000:"

LEG = "10.0.1.5"
CHECK = HealthCheck(path="/health", interval_s=1, timeout_s=1)
"""More often than AWS allows, so that tests are quick."""


def group(name: str, **more: object) -> TargetGroup:
    made = TargetGroup(
        scope=SCOPE, arn=f"{_ARN}targetgroup/{name}/tg{name}", name=name, created_at=AT, health_check=CHECK
    )
    return replace(made, **more)


def by_cookie(name: str) -> dict[str, str]:
    """The attributes of a target group whose clients stay by a cookie of their application's, for 90 seconds."""
    return {
        "stickiness.enabled": "true",
        "stickiness.type": "app_cookie",
        "stickiness.app_cookie.cookie_name": name,
        "stickiness.app_cookie.duration_seconds": "90",
    }


def target(of: TargetGroup, address: str, port: int = 8080, **more: object) -> Target:
    made = Target(scope=SCOPE, target_group_arn=of.arn, id=address, port=port, registered_at=AT)
    return replace(made, **more)


def forward(*groups: TargetGroup, weights: tuple[int, ...] = ()) -> Forward:
    weighted = zip(groups, weights or (1,) * len(groups), strict=True)
    return Forward(target_groups=tuple(WeightedTargetGroup(target_group_arn=g.arn, weight=w) for g, w in weighted))


def fixed(status: int, body: str = "", content_type: str | None = "text/plain") -> FixedResponse:
    return FixedResponse(status_code=str(status), message_body=body, content_type=content_type)


def paths(*values: str) -> Condition:
    return Condition(field="path-pattern", values=values)


def hosts(*values: str) -> Condition:
    return Condition(field="host-header", values=values)


@dataclass
class Balancer:
    """A load balancer in the making; `config()` is its present state."""

    name: str
    netns_path: str
    leg: str = LEG
    host_address: str = ""
    scheme: str = "internal"
    further_zones: tuple[ZoneMapping, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    listeners: list[Listener] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    groups: list[TargetGroup] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    certificates: list[ServerCertificate] = field(default_factory=list)

    @property
    def record(self) -> LoadBalancer:
        zone = ZoneMapping(zone="us-east-1a", subnet_id="s", address=self.leg, host_address=self.host_address)
        return LoadBalancer(
            scope=SCOPE,
            arn=f"{_ARN}loadbalancer/app/{self.name}/lb{self.name}",
            name=self.name,
            scheme="internet-facing" if self.scheme == "internet-facing" else "internal",
            dns_name=f"{self.name}-1234567890.us-east-1.elb.localhost",
            vpc_id="vpc-1",
            zones=(zone, *self.further_zones),
            attributes=self.attributes,
            created_at=AT,
        )

    def listen(self, port: int, action: Action) -> Listener:
        arn = f"{_ARN}listener/app/{self.name}/lb{self.name}/l{self.name}{port}"
        made = Listener(
            scope=SCOPE, arn=arn, load_balancer_arn=self.record.arn, port=port, default_action=action, created_at=AT
        )
        self.listeners.append(made)
        return made

    def listen_tcp(self, port: int, action: Action) -> Listener:
        self.listeners[-1:] = [made := replace(self.listen(port, action), protocol="TCP")]
        return made

    def listen_tls(
        self, port: int, action: Action, *certificates: ServerCertificate, policy: str = DEFAULT
    ) -> Listener:
        """An HTTPS listener; the first certificate is the default one."""
        plain = self.listen(port, action)
        first, *others = [certificate.arn for certificate in certificates]
        made = replace(
            plain, protocol="HTTPS", certificate_arn=first, certificate_list=tuple(others), ssl_policy=policy
        )
        self.listeners[-1] = made
        self.certificates += [each for each in certificates if each not in self.certificates]
        return made

    def listen_tls_tcp(self, port: int, action: Action, certificate: ServerCertificate, alpn: str = "") -> Listener:
        """A TLS listener of a Network Load Balancer."""
        made = replace(self.listen_tls(port, action, certificate), protocol="TLS", alpn_policy=alpn)
        self.listeners[-1] = made
        return made

    def rule(self, listener: Listener, priority: int, action: Action, *conditions: Condition) -> Rule:
        arn = f"{listener.arn.replace(':listener/', ':listener-rule/')}/r{priority}"
        made = Rule(
            scope=SCOPE,
            arn=arn,
            listener_arn=listener.arn,
            priority=priority,
            conditions=conditions,
            action=action,
        )
        self.rules.append(made)
        return made

    def config(self) -> BalancerConfig:
        return BalancerConfig(
            load_balancer=self.record,
            netns_path=self.netns_path,
            listeners=tuple(self.listeners),
            rules=tuple(self.rules),
            target_groups=tuple(self.groups),
            targets=tuple(self.targets),
            certificates=tuple(self.certificates),
        )


class LabAuthority:
    """Issues certificates for tests; `root_pem` is what clients trust."""

    def __init__(self) -> None:
        self.root_pem, self._key_pem = x509.make_authority(datetime.now(UTC))

    def issue(self, name: str, *names: str, algorithm: str = "EC_prime256v1") -> ServerCertificate:
        """The same name again has the same ARN: a renewed certificate."""
        pem, key_pem = x509.issue(self.root_pem, self._key_pem, (name, *names), algorithm, datetime.now(UTC))
        label = name.replace("*", "any").replace(".", "-")
        arn = f"arn:aws:acm:us-east-1:000000000000:certificate/{label}"
        return ServerCertificate(arn=arn, chain_pem=pem + self.root_pem, key_pem=key_pem)


class Reports:
    """The health reports of a data plane, awaited by content."""

    def __init__(self) -> None:
        self.all: list[HealthReport] = []
        self._came = asyncio.Event()

    def __call__(self, report: HealthReport) -> None:
        self.all.append(report)
        self._came.set()

    async def wait(self, address: str, state: str, *, timeout_s: float = 20) -> HealthReport:
        """The last report about an address, once it has that state."""
        async with asyncio.timeout(timeout_s):
            while True:
                last = next((report for report in reversed(self.all) if report.target_id == address), None)
                if last is not None and last.state == state:
                    return last
                self._came.clear()
                await self._came.wait()


async def eventually(condition: Callable[[], Awaitable[bool]], *, timeout_s: float = 10) -> None:
    """Wait for a fact that nothing announces. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
