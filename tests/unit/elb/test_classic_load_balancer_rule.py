"""What Classic Load Balancers may be, what the data plane has of them, and the health of their instances."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain import classic_load_balancer_rule as rule
from portside.domain import classic_policy as policy_rule
from portside.domain.classic_load_balancer import (
    BackendPolicies,
    ClassicHealthCheck,
    ClassicInstance,
    ClassicListener,
    ClassicLoadBalancer,
    ClassicPolicy,
    PolicyAttribute,
)
from portside.domain.load_balancer import ClassicBackend, LoadBalancer, Target, TargetGroup, ZoneMapping
from portside.domain.load_balancer_rule import CROSS_ZONE, deregistration_delay_s
from portside.domain.record import Scope, replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.target_group_health import answering_zones

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCOPE = Scope(account="000000000000", region="us-east-1")
ARN = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/classic/web/0123456789abcdef"
HTTP = ClassicListener(protocol="HTTP", port=80, instance_protocol="HTTP", instance_port=8080)
TCP = ClassicListener(protocol="TCP", port=5432, instance_protocol="TCP", instance_port=5432)
WEB = ClassicLoadBalancer(
    scope=SCOPE,
    name="web",
    load_balancer_arn=ARN,
    listeners=(HTTP, TCP),
    health_check=ClassicHealthCheck(protocol="HTTP", port=8080, path="/ping"),
    created_at=NOW,
)


def target(state: str, *, leaving: bool = False) -> Target:
    return Target(
        scope=SCOPE,
        target_group_arn="g",
        id="i-1",
        port=1,
        registered_at=NOW,
        checked="healthy" if state == "healthy" else "unhealthy" if state == "unhealthy" else "unknown",
        deregistered_at=NOW if leaving else None,
    )


@pytest.mark.parametrize("text", ["TCP:1", "SSL:65535", "HTTP:80/", "HTTPS:443/a/b?c=d"])
def test_targets_of_health_checks(text: str) -> None:
    """A target that is taken is shown as it was given."""
    protocol, port, path = rule.check_target(text)
    assert ClassicHealthCheck(protocol=protocol, port=port, path=path).target == text


@given(st.text(max_size=30))
def test_no_target_gets_by(text: str) -> None:
    """Any other text is refused, and nothing but a refusal is raised."""
    try:
        protocol, port, path = rule.check_target(text)
    except Refused:
        return
    assert 1 <= port <= 65535
    assert path.startswith("/") == policy_rule.is_http(protocol)


def test_groups_are_by_port() -> None:
    """Listeners that lead to one port of the instances share a group; a cookie belongs to its listener alone."""
    hour = policy_rule.made_policy(
        "hour", policy_rule.LB_COOKIE, [PolicyAttribute(name=policy_rule.EXPIRATION, value="3600")]
    )
    sticky = replace(HTTP, port=81, policy_names=("hour",))
    balancer = replace(WEB, listeners=(HTTP, sticky, TCP), policies=(hour,))
    listeners, groups = rule.plane(balancer)
    assert [(group.protocol, group.port) for group in groups] == [("HTTP", 8080), ("TCP", 5432)]
    actions = [each.default_action for each in listeners]
    assert [each.target_groups[0].target_group_arn for each in actions] == [  # type: ignore[union-attr]
        groups[0].arn,
        groups[0].arn,
        groups[1].arn,
    ]
    cookies = [each.cookie for each in actions]  # type: ignore[union-attr]
    assert cookies[0] is None
    assert cookies[1] is not None
    assert (cookies[1].name, cookies[1].duration_s) == ("AWSELB", 3600)


def test_groups_outlast_listeners() -> None:
    """A listener that is made anew leads to the same group, so that what is registered there finds it again."""
    before = rule.plane(WEB).groups[0]
    again = rule.plane(replace(WEB, listeners=(replace(HTTP, port=8000),))).groups[0]
    assert before == again
    assert before.arn == rule.group_arn(SCOPE, "web", 8080)


def test_what_belongs_to_a_port() -> None:
    """TLS to instances, the proxy protocol, draining and the health check's own port reach the group."""
    proxy = ClassicPolicy(
        name="p",
        type_name=policy_rule.PROXY_PROTOCOL,
        attributes=(PolicyAttribute(name="ProxyProtocol", value="true"),),
    )
    balancer = replace(
        WEB,
        listeners=(replace(TCP, instance_protocol="SSL"),),
        policies=(proxy,),
        backend_policies=(BackendPolicies(instance_port=5432, policy_names=("p",)),),
        draining_enabled=True,
        draining_timeout_s=7,
    )
    (group,) = rule.plane(balancer).groups
    assert group.classic is not None
    assert (group.classic.tls, group.classic.proxy_protocol) == (True, True)
    assert (group.health_check.port, group.health_check.path) == ("8080", "/ping")
    assert deregistration_delay_s(group) == 7
    assert deregistration_delay_s(rule.plane(replace(balancer, draining_enabled=False)).groups[0]) == rule.UNDRAINED_S


def test_one_port_is_spoken_to_in_one_way() -> None:
    """Two listeners that would speak differently to one port are refused, plainly."""
    with pytest.raises(Refused) as caught:
        rule.check_listeners((HTTP, replace(HTTP, port=81, instance_protocol="HTTPS")))
    assert caught.value.kind is RefusalKind.UNSUPPORTED


def test_instances_are_at_every_port() -> None:
    """A registered instance is a target at each port that a listener leads to."""
    instance = ClassicInstance(id="i-1", address="10.0.0.9", zone="us-east-1a", registered_at=NOW)
    targets = rule.targets_of(instance, rule.plane(WEB).groups)
    assert [(each.id, each.address, each.port) for each in targets] == [
        ("i-1", "10.0.0.9", 8080),
        ("i-1", "10.0.0.9", 5432),
    ]
    balancer = rule.with_instance(WEB, instance)
    assert rule.with_instance(balancer, replace(instance, registered_at=NOW.replace(year=2027))) is balancer
    assert rule.without_instances(balancer, ["i-1"]) == WEB


def test_health() -> None:
    """An instance is in service when all its ports are, out of service once one fails, draining when it leaves."""
    health = rule.instance_health
    assert health([], registered=True) == rule.REGISTERING
    assert health([target("healthy"), target("unknown")], registered=True) == rule.REGISTERING
    assert health([target("healthy"), target("healthy")], registered=True).state == "InService"
    assert health([target("healthy"), target("unhealthy")], registered=True) == rule.UNHEALTHY
    assert health([target("healthy", leaving=True)], registered=False, drains=True) == rule.DRAINING
    assert health([target("healthy", leaving=True)], registered=False) == rule.NOT_REGISTERED
    assert health([], registered=False) == rule.NOT_REGISTERED


def test_listeners_and_their_policies() -> None:
    """A secured listener begins with the default policy; a policy in use can not be deleted, nor two of a kind used."""
    secured = replace(HTTP, port=443, protocol="HTTPS", certificate_arn="arn")
    balancer = rule.with_listener(WEB, secured)
    assert balancer.listeners[-1].policy_names == ("ELBSecurityPolicy-2016-08",)
    assert rule.with_listener(balancer, secured) is balancer
    with pytest.raises(Refused, match="disassociate"):
        policy_rule.without_policy(balancer, "ELBSecurityPolicy-2016-08")
    for name in "ab":
        balancer = policy_rule.with_policy(balancer, policy_rule.made_policy(name, policy_rule.LB_COOKIE, ()))
    with pytest.raises(Refused, match="Only one stickiness policy"):
        policy_rule.with_listener_policies(balancer, balancer.listeners[-1], ["a", "b"])
    with pytest.raises(Refused, match="HTTP and HTTPS"):
        policy_rule.with_listener_policies(balancer, TCP, ["a"])
    balancer = policy_rule.with_listener_policies(balancer, balancer.listeners[-1], ["a"])
    assert rule.plane(balancer).listeners[-1].ssl_policy == "ELBSecurityPolicy-2016-08"
    assert "b" not in {each.name for each in policy_rule.without_policy(balancer, "b").policies}


def test_zones_in_the_name() -> None:
    """Without cross-zone load balancing a name leads to the zones with a healthy target, to all if there is none."""
    zones = tuple(ZoneMapping(zone=zone, subnet_id=f"subnet-{zone}") for zone in "ab")
    plane = LoadBalancer(
        scope=SCOPE,
        arn=ARN,
        name="web",
        type="classic",
        dns_name="d",
        vpc_id="v",
        zones=zones,
        attributes={CROSS_ZONE: "false"},
        created_at=NOW,
    )
    in_a = [replace(target("healthy"), zone="a"), replace(target("unhealthy"), zone="b")]

    served = TargetGroup(scope=SCOPE, arn="g", name="g", classic=ClassicBackend(), created_at=NOW)

    def answering(made: LoadBalancer, targets: list[Target]) -> tuple[ZoneMapping, ...]:
        return answering_zones(made, [served], lambda _arn: targets)

    assert answering(plane, in_a) == zones[:1]
    assert answering(plane, [*in_a, replace(target("healthy", leaving=True), zone="b")]) == zones[:1]
    assert answering(plane, []) == zones
    assert answering(replace(plane, attributes={CROSS_ZONE: "true"}), in_a) == zones
