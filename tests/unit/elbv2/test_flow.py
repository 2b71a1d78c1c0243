"""Which flows of a Network Load Balancer the kernel carries, and where they lead."""

from datetime import UTC, datetime
from typing import Any

from portside.domain.flow import (
    Flow,
    FlowBackend,
    abandoned_targets,
    flows,
    kernel_listeners,
    transparent_listeners,
)
from portside.domain.load_balancer import (
    Forward,
    Listener,
    LoadBalancer,
    Target,
    TargetGroup,
    WeightedTargetGroup,
    ZoneMapping,
)
from portside.domain.record import Scope, replace

SCOPE = Scope(account="000000000000", region="us-east-1")
AT = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = (
    ZoneMapping(zone="us-east-1a", subnet_id="s1", address="172.31.0.10"),
    ZoneMapping(zone="us-east-1b", subnet_id="s2", address="172.31.16.10"),
)
BALANCER = LoadBalancer(
    scope=SCOPE, arn="lb", name="lb", type="network", dns_name="lb", vpc_id="vpc-1", zones=ZONES, created_at=AT
)

ACROSS = replace(BALANCER, attributes={"load_balancing.cross_zone.enabled": "true"})


def group(arn: str = "g", protocol: str = "TCP", target_type: Any = "ip", **attributes: str) -> TargetGroup:
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return TargetGroup(
        scope=SCOPE, arn=arn, name=arn, protocol=protocol, target_type=target_type, attributes=named, created_at=AT
    )


def listener(protocol: Any = "TCP", *arns: str) -> Listener:
    chosen = tuple(WeightedTargetGroup(target_group_arn=arn) for arn in arns or ("g",))
    action = Forward(target_groups=chosen)
    return Listener(
        scope=SCOPE, arn="l", load_balancer_arn="lb", port=80, protocol=protocol, default_action=action, created_at=AT
    )


def target(address: str, **fields: Any) -> Target:
    return Target(
        scope=SCOPE,
        target_group_arn="g",
        id=address,
        port=8080,
        registered_at=AT,
        **{"zone": "us-east-1a", "checked": "healthy", **fields},
    )


def test_what_needs_a_proxy_is_not_the_kernels() -> None:
    """TCP and UDP are the kernel's; TLS, the proxy protocol, targets beyond the VPC, and other kinds of load balancers
    are not."""
    for protocol, there in (("TCP", True), ("UDP", True), ("TCP_UDP", True), ("TLS", False)):
        assert bool(kernel_listeners(BALANCER, [listener(protocol)], [group()], [])) == there
    assert not kernel_listeners(BALANCER, [listener()], [group(proxy_protocol_v2__enabled="true")], [])
    assert not kernel_listeners(BALANCER, [listener()], [group()], [target("10.0.0.1", zone="all")])
    assert not kernel_listeners(replace(BALANCER, type="classic"), [listener()], [group()], [])


def test_flows_of_a_listener() -> None:
    """One for each zone's address and protocol, to the healthy targets; to all registered ones if none is healthy."""
    targets = [
        target("172.31.0.20"),
        target("172.31.16.20", checked="unhealthy"),
        target("172.31.0.21", deregistered_at=AT),
    ]
    made = flows(ACROSS, [listener("TCP_UDP")], [group(protocol="TCP_UDP")], targets)
    assert [(each.address, each.protocol, each.port, each.idle_s) for each in made] == [
        (zone.address, *rest) for zone in ZONES for rest in (("tcp", 80, 350), ("udp", 80, 120))
    ]
    backend = FlowBackend(target_group_arn="g", targets=(("172.31.0.20", 8080),), keeps_client=True)
    assert made[0] == Flow(
        load_balancer_arn="lb", address="172.31.0.10", protocol="tcp", port=80, backends=(backend,), idle_s=350
    )
    none_healthy = [replace(each, checked="unhealthy") for each in targets]
    (first, *_) = flows(ACROSS, [listener()], [group()], none_healthy)
    assert first.backends[0].targets == (("172.31.0.20", 8080), ("172.31.16.20", 8080))
    assert not first.backends[0].keeps_client, "targets by address see the load balancer"


def test_instances_are_led_to_by_their_address() -> None:
    """A target that is an instance is known by its address, and sees the client unless that is turned off."""
    there = target("i-1", instance_address="172.31.0.30")
    for attributes, kept in (({}, True), ({"preserve_client_ip__enabled": "false"}, False)):
        (first, *_) = flows(BALANCER, [listener()], [group(target_type="instance", **attributes)], [there])
        assert first.backends[0].targets == (("172.31.0.30", 8080),)
        assert first.backends[0].keeps_client == kept


def test_zones_keep_to_themselves() -> None:
    """Unless cross-zone load balancing is on, each zone's address leads to targets in that zone; to all of them there
    if none is healthy there."""
    targets = [target("172.31.0.20"), target("172.31.16.20", zone="us-east-1b", checked="unhealthy")]
    one, two = flows(BALANCER, [listener()], [group()], targets)
    assert one.backends[0].targets == (("172.31.0.20", 8080),)
    assert two.backends[0].targets == (("172.31.16.20", 8080),)
    one, two = flows(ACROSS, [listener()], [group()], targets)
    assert one.backends[0].targets == two.backends[0].targets == (("172.31.0.20", 8080),)


def test_too_few_healthy_targets() -> None:
    """New flows go to all registered targets of a zone, or of all where zones do not keep to themselves, while fewer
    are healthy there than the group asks for."""
    asked = group(**{"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "2"})
    targets = [
        target("172.31.0.20"),
        target("172.31.0.21", checked="unhealthy"),
        target("172.31.0.22", deregistered_at=AT),
        target("172.31.16.20", zone="us-east-1b"),
        target("172.31.16.21", zone="us-east-1b"),
        target("172.31.16.22", zone="us-east-1b", checked="unhealthy"),
    ]
    one, two = flows(BALANCER, [listener()], [asked], targets)
    assert [place for place, _ in one.backends[0].targets] == ["172.31.0.20", "172.31.0.21"]
    assert [place for place, _ in two.backends[0].targets] == ["172.31.16.20", "172.31.16.21"]
    one, two = flows(ACROSS, [listener()], [asked], targets)
    assert [place for place, _ in one.backends[0].targets] == ["172.31.0.20", "172.31.16.20", "172.31.16.21"]
    assert one.backends == two.backends
    for balancer in (BALANCER, ACROSS):
        left = {address for _, address, _ in abandoned_targets(balancer, [asked], targets)}
        expected = {"172.31.16.22"} if balancer is BALANCER else {"172.31.0.21", "172.31.16.22"}
        assert left == expected, "what gets new flows keeps the old ones"


def test_programs_of_the_host_send_datagrams() -> None:
    """Flows of datagrams of an internet-facing load balancer name its addresses on the host; connections go by the
    proxy, and an internal one has none."""
    zones = tuple(replace(each, host_address=f"127.66.1.{n}") for n, each in enumerate(ZONES))
    public = replace(BALANCER, zones=zones)
    made = flows(public, [listener("TCP_UDP")], [group(protocol="TCP_UDP")], [target("172.31.0.20")])
    assert [each.host_address for each in made if each.protocol == "udp"] == ["127.66.1.0", "127.66.1.1"]
    assert {each.host_address for each in made if each.protocol == "tcp"} == {""}
    internal = replace(public, scheme="internal")
    assert {each.host_address for each in flows(internal, [listener("UDP")], [group(protocol="UDP")], [])} == {""}


def test_target_groups_differ_in_zones() -> None:
    """Of two target groups of one listener, one may keep to each zone while the other reaches across them."""
    groups = [
        group(arn, **{"load_balancing.cross_zone.enabled": value}) for arn, value in (("g", "false"), ("h", "true"))
    ]
    targets = [
        replace(target(f"172.31.0.{n}", zone=zone), target_group_arn=arn)
        for n, (arn, zone) in enumerate((arn, zone) for arn in "gh" for zone in ("us-east-1a", "us-east-1b"))
    ]
    for balancer in (BALANCER, ACROSS):
        one, two = flows(balancer, [listener("TCP", "g", "h")], groups, targets)
        assert [len(each.targets) for each in one.backends] == [len(each.targets) for each in two.backends] == [1, 2]
        assert one.backends[0].targets != two.backends[0].targets


def test_proxies_that_connect_as_their_clients() -> None:
    """Those of TLS listeners and of the proxy protocol, where every target group preserves its clients' addresses and
    no target is beyond the VPC; what the kernel leads needs none."""
    keeps, hides = group("g", preserve_client_ip__enabled="true"), group("h")
    with_header = group("g", preserve_client_ip__enabled="true", proxy_protocol_v2__enabled="true")

    def transparent(asked: Listener, *groups: TargetGroup, **fields: Any) -> bool:
        return bool(transparent_listeners(BALANCER, [asked], groups, [target("172.31.0.20", **fields)]))

    assert transparent(listener("TLS"), keeps)
    assert transparent(listener("TLS"), group(target_type="instance"))
    assert transparent(listener("TCP"), with_header)
    assert not transparent(listener("TCP"), keeps)
    assert not transparent(listener("TLS"), group("g"))
    assert not transparent(listener("TLS", "g", "h"), keeps, hides)
    assert not transparent(listener("TLS"), keeps, zone="all")
    application = replace(BALANCER, type="application")
    assert not transparent_listeners(application, [listener("TLS")], [keeps], [])
