"""The flows of Network Load Balancers that the kernel carries: from records to where each leads. Pure.

A listener of TCP or UDP is a translation in the VPC's router; TLS and the header of the proxy protocol need somebody
who ends the client's connection, which is the data plane's proxy.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from portside.domain.load_balancer import Forward, Listener, LoadBalancer, Target, TargetGroup
from portside.domain.load_balancer_rule import (
    forwarded_groups,
    has_proxy_protocol,
    preserves_client,
    proxy_keeps_clients,
    tcp_idle_timeout_s,
    terminates_unhealthy,
)
from portside.domain.record import Record
from portside.domain.target_group_health import chosen_targets, pools, within_reach

PROTOCOLS: Final = {"TCP": ("tcp",), "UDP": ("udp",), "TCP_UDP": ("tcp", "udp")}
"""By listener protocol: those of its flows."""
UDP_IDLE_S: Final = 120
"""Source: Network Load Balancer guide, "Connection idle timeout"."""


class FlowBackend(Record, frozen=True, kw_only=True):
    """A target group of a flow. `targets`: addresses and ports, those that new flows go to.

    `keeps_client`: targets see the client's address, else the load balancer's. `by_source`: a client stays with its
    target whatever its port."""

    target_group_arn: str
    weight: int = 1
    targets: tuple[tuple[str, int], ...] = ()
    keeps_client: bool = False
    by_source: bool = False


class Flow(Record, frozen=True, kw_only=True):
    """What comes to an address and port of a load balancer, and where it goes. `idle_s`: when silence ends it.
    `host_address`: where programs of the machine send datagrams for it; their connections go by the proxy."""

    load_balancer_arn: str
    address: str
    protocol: str
    port: int
    backends: tuple[FlowBackend, ...]
    idle_s: int
    host_address: str = ""


class FlowOwner(NamedTuple):
    """Whose a flow is. `address`: the load balancer's that it came to. `protocol`: `tcp` or `udp`. Both are empty where
    an earlier Portside did not tell them apart."""

    load_balancer_arn: str
    target_group_arn: str
    address: str
    protocol: str


def owner_of(flow: Flow, backend: FlowBackend) -> FlowOwner:
    return FlowOwner(flow.load_balancer_arn, backend.target_group_arn, flow.address, flow.protocol)


class FlowCounts(Record, frozen=True, kw_only=True):
    """Of a load balancer's address, since who carries its flows began to count. `active`: now. `lost`: those of `new`
    that no target took. `tls_errors`: clients'."""

    new: int = 0
    active: int = 0
    bytes: int = 0
    client_resets: int = 0
    target_resets: int = 0
    tls_errors: int = 0
    lost: int = 0

    def __add__(self, other: "FlowCounts") -> "FlowCounts":
        return FlowCounts(
            new=self.new + other.new,
            active=self.active + other.active,
            bytes=self.bytes + other.bytes,
            client_resets=self.client_resets + other.client_resets,
            target_resets=self.target_resets + other.target_resets,
            tls_errors=self.tls_errors + other.tls_errors,
            lost=self.lost + other.lost,
        )


def kernel_listeners(
    balancer: LoadBalancer, listeners: Iterable[Listener], groups: Iterable[TargetGroup], targets: Iterable[Target]
) -> frozenset[str]:
    """The ARNs of the listeners whose flows the kernel carries."""
    if balancer.type != "network":
        return frozenset()
    not_here = {group.arn for group in groups if has_proxy_protocol(group)}
    not_here |= {target.target_group_arn for target in targets if target.zone == "all"}  # beyond the VPC's router
    return frozenset(
        each.arn
        for each in listeners
        if each.protocol in PROTOCOLS
        and isinstance(each.default_action, Forward)
        and not any(group.target_group_arn in not_here for group in each.default_action.target_groups)
    )


def transparent_listeners(
    balancer: LoadBalancer, listeners: Iterable[Listener], groups: Iterable[TargetGroup], targets: Iterable[Target]
) -> frozenset[str]:
    """The ARNs of the listeners whose connections the data plane's proxy makes as their clients."""
    listeners, groups, targets = list(listeners), list(groups), list(targets)
    if balancer.type != "network":
        return frozenset()
    led = kernel_listeners(balancer, listeners, groups, targets)
    beyond = {target.target_group_arn for target in targets if target.zone == "all"}
    by_arn = {group.arn: group for group in groups}
    found = set()
    for each in listeners:
        named = forwarded_groups(each.default_action)
        chosen = [by_arn[arn] for arn in named if arn in by_arn]
        if each.protocol != "UDP" and each.arn not in led and not beyond & set(named) and proxy_keeps_clients(chosen):
            found.add(each.arn)
    return frozenset(found)


def flows(
    balancer: LoadBalancer,
    listeners: Iterable[Listener],
    groups: Iterable[TargetGroup],
    targets: Sequence[Target],
) -> tuple[Flow, ...]:
    """Of these listeners, at each of the load balancer's addresses.

    Args:
        targets: as the data plane knows them, by address.
    """
    by_arn = {group.arn: group for group in groups}
    made: list[Flow] = []
    is_public = balancer.scheme == "internet-facing"
    for listener in sorted(listeners, key=lambda each: each.arn):
        if not isinstance(listener.default_action, Forward):
            continue
        for zone in balancer.zones:
            backends = tuple(
                FlowBackend(
                    target_group_arn=each.target_group_arn,
                    weight=1 if len(listener.default_action.target_groups) == 1 else each.weight,
                    targets=_places(group, within_reach(balancer, group, zone.zone, targets)),
                    keeps_client=preserves_client(group),
                    by_source=group.attributes.get("stickiness.enabled") == "true",
                )
                for each in listener.default_action.target_groups
                if (group := by_arn.get(each.target_group_arn)) is not None
            )
            for protocol in PROTOCOLS[listener.protocol]:
                made.append(
                    Flow(
                        load_balancer_arn=balancer.arn,
                        address=zone.address,
                        protocol=protocol,
                        port=listener.port,
                        backends=backends,
                        idle_s=tcp_idle_timeout_s(listener) if protocol == "tcp" else UDP_IDLE_S,
                        host_address=zone.host_address if protocol == "udp" and is_public else "",
                    )
                )
    return tuple(made)


def _places(group: TargetGroup, targets: Iterable[Target]) -> tuple[tuple[str, int], ...]:
    """Where new flows to one of several groups go."""
    own = [each for each in targets if each.target_group_arn == group.arn]
    return tuple(sorted((each.address, each.port) for each in chosen_targets(group, own)))


def abandoned_targets(
    balancer: LoadBalancer, groups: Iterable[TargetGroup], targets: Sequence[Target]
) -> set[tuple[str, str, int]]:
    """Unhealthy ones whose connections end: by their target group, address and port.

    None of those that get new flows all the same, since too few healthy ones are left in their place.

    Args:
        targets: as the data plane knows them, by address.
    """
    found: set[tuple[str, str, int]] = set()
    for group in groups if balancer.type == "network" else ():
        if not terminates_unhealthy(group):
            continue
        own = [each for each in targets if each.target_group_arn == group.arn and each.deregistered_at is None]
        chosen = [each for pool in pools(balancer, group, own) for each in chosen_targets(group, pool)]
        found |= {
            (group.arn, each.address, each.port) for each in own if each.checked == "unhealthy" and each not in chosen
        }
    return found
