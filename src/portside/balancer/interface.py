"""The contract between the control plane and the load balancers' data plane."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from portside.domain.flow import FlowCounts
from portside.domain.load_balancer import Listener, LoadBalancer, Rule, Target, TargetGroup
from portside.domain.load_balancer_metric import GroupCounts, ListenerCounts, Seen


@dataclass(frozen=True, kw_only=True)
class ServerCertificate:
    """What TLS needs of a certificate. `chain_pem` begins with the certificate itself."""

    arn: str
    chain_pem: str
    key_pem: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class BalancerConfig:
    """One load balancer with all that hangs on it, level-triggered. `netns_path`: the namespace of its legs.

    `in_kernel`: the ARNs of listeners whose flows the VPC's router leads; the data plane checks their targets, and
    serves the host. `transparent`: of listeners that connect to targets as their clients."""

    load_balancer: LoadBalancer
    netns_path: str
    listeners: tuple[Listener, ...]
    rules: tuple[Rule, ...]
    target_groups: tuple[TargetGroup, ...]
    targets: tuple[Target, ...]
    certificates: tuple[ServerCertificate, ...] = ()
    in_kernel: frozenset[str] = frozenset()
    transparent: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class HealthReport:
    """One change of a target's health as the data plane's own checks saw it."""

    target_group_arn: str
    target_id: str
    port: int
    state: Literal["healthy", "unhealthy"]
    reason_code: str = ""  # AWS's: Target.ResponseCodeMismatch, Target.Timeout, Target.FailedHealthChecks
    detail: str = ""


HealthListener = Callable[[HealthReport], None]


class Balancer(Protocol):
    async def start(self, listener: HealthListener) -> None:
        """Adopt the running data plane or start it, and keep it running (restart within a second if it dies)."""
        ...

    async def apply(self, configs: Sequence[BalancerConfig]) -> None:
        """The whole desired state. Only what changed is written. Returns when the data plane has taken it.

        Raises: BalancerRefused with the data plane's own words."""
        ...

    async def open_requests(self, target_group_arn: str) -> dict[tuple[str, int], int]:
        """Requests under way per (target id, port), of the targets still known to the data plane."""
        ...

    async def end_connections(self, target_group_arn: str, address: str, port: int) -> None:
        """Those to a target are broken off. Idempotent.

        Raises: BalancerRefused if that is not possible, with the cause."""
        ...

    async def counts(self) -> Mapping[tuple[str, str], GroupCounts]:
        """By the ARNs of load balancer and target group. Numbers begin anew when the data plane does.

        Raises: BalancerRefused if it does not answer."""
        ...

    async def listener_counts(self) -> Mapping[str, ListenerCounts]:
        """By the ARNs of listeners that the data plane has. Numbers begin anew when it does. Where listeners share a
        port of 127.0.0.1 their connections there are nobody's.

        Raises: BalancerRefused if it does not answer."""
        ...

    async def hits(self) -> Mapping[str, int]:
        """How often each rule was gone by, by its ARN; a default action, where HTTP is spoken, by its listener's.
        Numbers begin anew when the data plane does. Requests are counted when they have ended.

        Raises: BalancerRefused if it does not answer."""
        ...

    async def ended_requests(self) -> Mapping[Seen, int]:
        """How often requests ended how, since the data plane began. Where load balancers share a port of 127.0.0.1,
        what can not be read there is nobody's.

        Raises: BalancerRefused if it does not answer."""
        ...

    async def zone_flows(self) -> Mapping[tuple[str, str], FlowCounts]:
        """By the ARNs of Network Load Balancers' listeners and by zone: the connections that the data plane has handed
        on. Numbers begin anew when it does.

        Raises: BalancerRefused if it does not answer."""
        ...

    def claim_host_address(self, balancer: str, zone: str, preferred: str = "") -> str:
        """A loopback address of this machine (127.66.x.y) that no other leg and no other instance has. Idempotent.

        Args:
            balancer: the load balancer's unique suffix.
            preferred: taken if it is free (the address it had before a reboot)."""
        ...

    def release_host_addresses(self, balancer: str) -> None:
        """Give back a load balancer's addresses. Idempotent."""
        ...

    async def close(self) -> None:
        """Stop supervising; the data plane runs on."""
        ...

    async def stop(self) -> None:
        """End the data plane."""
        ...


class BalancerRefused(Exception):
    """The data plane rejected a configuration; the previous one keeps serving.

    `load_balancers`: the ARNs of those concerned, if all others were taken; empty if nothing of the change was."""

    def __init__(self, message: str, load_balancers: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.load_balancers = load_balancers
