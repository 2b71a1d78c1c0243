"""The rules of Elastic Load Balancing, one by one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain import load_balancer_rule as rule
from portside.domain.load_balancer import HealthCheck, LoadBalancer, TargetState, ZoneMapping
from portside.domain.record import replace
from portside.domain.refusal import RefusalKind, Refused
from portside.testing.balancer_lab import AT, Balancer, fixed, forward, group, target


@pytest.mark.parametrize(
    ("matcher", "ranges"),
    [
        ("200", [(200, 201)]),
        ("200-299", [(200, 300)]),
        ("200,202", [(200, 201), (202, 203)]),
        ("404,200-201,202", [(200, 203), (404, 405)]),
    ],
)
def test_matcher(matcher: str, ranges: list[tuple[int, int]]) -> None:
    """Codes, ranges and lists become joined half-open ranges."""
    assert rule.matcher_ranges(matcher) == ranges


@pytest.mark.parametrize("matcher", ["", "99", "200-", "299-200", "500", "2xx", "200,,201"])
def test_bad_matcher(matcher: str) -> None:
    """Anything but codes between 200 and 499 is refused; Network Load Balancers take those up to 599."""
    with pytest.raises(Refused):
        rule.matcher_ranges(matcher, "HTTP")
    assert rule.matcher_ranges("200,500-599", "TCP") == [(200, 201), (500, 600)]


@given(st.lists(st.integers(200, 499), min_size=1, max_size=8))
def test_ranges_cover_every_status_once(codes: list[int]) -> None:
    """The expected and the other ranges together hold each status from 100 to 599 exactly once."""
    expected = rule.matcher_ranges(",".join(map(str, codes)))
    covered = sorted(code for start, end in expected + rule.other_ranges(expected) for code in range(start, end))
    assert covered == list(range(100, 600))
    assert {code for start, end in expected for code in range(start, end)} == set(codes)


@pytest.mark.parametrize("name", ["", "a" * 33, "-a", "a-", "a_b", "internal-x"])
def test_bad_names(name: str) -> None:
    """Names of load balancers have 1 to 32 letters, digits and inner hyphens, and no internal- in front."""
    with pytest.raises(Refused):
        rule.check_name(name, "load balancer")


def test_good_name() -> None:
    """The longest allowed name passes."""
    rule.check_name("a" * 32, "load balancer")
    rule.check_name("internal-x", "target group")


def test_dns_name() -> None:
    """An internal load balancer's name says so, as on AWS; names are in lower case."""
    outer = rule.dns_name("Web", "1234567890", "eu-west-1", "internet-facing")
    assert outer == "web-1234567890.eu-west-1.elb.localhost"
    assert rule.dns_name("web", "1", "r", "internal").startswith("internal-web-1.")


def test_bad_actions() -> None:
    """Weights, statuses and content types have their limits, and a group is named once."""
    g = group("g")
    for action in (
        forward(),
        forward(g, g),
        forward(g, weights=(1000,)),
        forward(*(group(str(n)) for n in range(6))),
        fixed(301),
        fixed(200, "x" * 1025),
        fixed(200, "", "text/xml"),
    ):
        with pytest.raises(Refused):
            rule.check_action(action)
    rule.check_action(forward(g, group("h"), weights=(0, 999)))


def test_health_check_limits() -> None:
    """Every figure of a health check has its range, and the time-out is below the interval."""
    good = HealthCheck()
    rule.check_health_check(good)
    for wrong in (
        {"interval_s": 4},
        {"interval_s": 301},
        {"timeout_s": 1},
        {"timeout_s": 30},
        {"healthy_threshold": 1},
        {"unhealthy_threshold": 11},
        {"path": "x"},
        {"port": "0"},
        {"enabled": False},
        {"protocol": "UDP"},
    ):
        with pytest.raises(Refused):
            rule.check_health_check(replace(good, **wrong))


def balancer(state: Any = "active", *zones: str, **more: Any) -> LoadBalancer:
    made = Balancer("web", "/netns").record
    there = tuple(ZoneMapping(zone=zone, subnet_id=zone, address=f"10.0.0.{n}") for n, zone in enumerate(zones or "a"))
    return replace(made, state=state, zones=there, **more)


def test_target_health_in_order_of_importance() -> None:
    """Draining before unused before what the checks say before initial."""
    t = target(group("g"), "10.0.0.1", zone="a", checked="unhealthy", failure_code="Target.Timeout", failure_detail="d")
    used = [balancer()]
    draining = rule.target_health(replace(t, deregistered_at=AT), [])
    assert (draining.state, draining.reason) == (TargetState.DRAINING, "Target.DeregistrationInProgress")
    assert rule.target_health(t, []) == rule.NOT_IN_USE
    assert rule.target_health(t, used, {"10.0.0.1"}) == rule.UNUSABLE
    assert rule.target_health(t, used) == ("unhealthy", "Target.Timeout", "d")
    assert rule.target_health(replace(t, checked="healthy"), used) == ("healthy", "", "")


def test_target_health_before_the_first_result() -> None:
    """Being registered until the load balancer is active and its data plane has the target; then being checked; a load
    balancer that failed checks nothing."""
    fresh = target(group("g"), "10.0.0.1", zone="a")
    told = replace(fresh, is_being_checked=True)
    assert rule.target_health(fresh, [balancer("provisioning")]).reason == "Elb.RegistrationInProgress"
    assert rule.target_health(fresh, [balancer()]).reason == "Elb.RegistrationInProgress"
    assert rule.target_health(told, [balancer()]).reason == "Elb.InitialHealthChecking"
    failed = rule.target_health(told, [balancer("failed")])
    assert (failed.state, failed.reason) == (TargetState.UNHEALTHY, "Elb.InternalError")


def test_target_in_a_zone_that_is_not_enabled() -> None:
    """It is unused whatever is known of it, unless another load balancer has the zone, or it is in none."""
    far = target(group("g"), "10.0.0.1", zone="b", checked="healthy")
    assert rule.target_health(far, [balancer()]) == rule.NOT_ENABLED
    assert rule.NOT_ENABLED[:2] == ("unused", "Target.NotInUse")
    assert rule.target_health(far, [balancer(), balancer("active", "b")]).state is TargetState.HEALTHY
    assert rule.target_health(replace(far, zone="all"), [balancer()]).state is TargetState.HEALTHY


def test_target_group_has_the_last_word_on_zones() -> None:
    """A target group's cross-zone attribute goes before the load balancer's, which it follows by itself."""
    alone, across = (group("g", attributes={rule.CROSS_ZONE: value}) for value in ("false", "true"))
    application, network = balancer(), balancer(type="network")
    assert not rule.is_zonal(application, group("g"))
    assert rule.is_zonal(application, alone)
    assert rule.is_zonal(network, group("g"))
    assert not rule.is_zonal(network, across)
    spread = replace(network, attributes={rule.CROSS_ZONE: "true"})
    assert not rule.is_zonal(spread, group("g"))
    assert rule.is_zonal(spread, alone)


def test_cross_zone_of_target_groups_is_checked() -> None:
    """Three values; cookies keep no client where zones keep to themselves."""
    for protocol in ("HTTP", "TCP"):
        for value in ("true", "false", "use_load_balancer_configuration"):
            rule.check_target_group_attribute(rule.CROSS_ZONE, value, protocol)
        with pytest.raises(Refused):
            rule.check_target_group_attribute(rule.CROSS_ZONE, "on", protocol)
    alone = {rule.CROSS_ZONE: "false", "stickiness.enabled": "true"}
    with pytest.raises(Refused, match="Stickiness"):
        rule.check_target_group_attributes({**alone, "stickiness.type": "lb_cookie"})
    rule.check_target_group_attributes({**alone, "stickiness.type": "source_ip"})


def test_target_group_health_settings_are_checked() -> None:
    """Counts up to the most targets that a group may have, percentages up to 100, or off; traffic always goes to all
    targets if none is healthy. A threshold of the name that was given is not below that of routing."""
    for protocol in ("HTTP", "TCP"):
        for key, value in (
            (f"{rule.DNS_FAILOVER}.count", "off"),
            (f"{rule.DNS_FAILOVER}.count", "1000"),
            (f"{rule.DNS_FAILOVER}.percentage", "100"),
            (f"{rule.ROUTING}.count", "1"),
            (f"{rule.ROUTING}.percentage", "off"),
        ):
            rule.check_target_group_attribute(key, value, protocol)
        for key, value in (
            (f"{rule.DNS_FAILOVER}.count", "0"),
            (f"{rule.DNS_FAILOVER}.count", "1001"),
            (f"{rule.DNS_FAILOVER}.percentage", "101"),
            (f"{rule.DNS_FAILOVER}.percentage", "5%"),
            (f"{rule.ROUTING}.count", "off"),
            (f"{rule.ROUTING}.percentage", "OFF"),
        ):
            with pytest.raises(Refused) as caught:
                rule.check_target_group_attribute(key, value, protocol)
            assert caught.value.kind is RefusalKind.INVALID
    for unit in ("count", "percentage"):
        dns, routing = f"{rule.DNS_FAILOVER}.{unit}", f"{rule.ROUTING}.{unit}"
        with pytest.raises(Refused, match="greater than or equal"):
            rule.check_target_group_attributes({dns: "9", routing: "10"})
        for given_attributes in ({dns: "9", routing: "9"}, {dns: "off", routing: "9"}, {routing: "9"}):
            rule.check_target_group_attributes(given_attributes)


def test_what_has_no_effect_yet_is_said_to() -> None:
    """An attribute that Portside can not honour is refused as unsupported, never kept and ignored."""
    rule.check_target_group_attribute("stickiness.enabled", "true")
    with pytest.raises(Refused) as caught:
        rule.check_target_group_attribute("load_balancing.algorithm.anomaly_mitigation", "on", "HTTP")
    assert caught.value.kind is RefusalKind.UNSUPPORTED
    with pytest.raises(Refused) as caught:
        rule.check_load_balancer_attribute("nonsense", "true")
    assert caught.value.kind is RefusalKind.INVALID


@pytest.mark.parametrize(
    ("protocol", "target_type", "kept", "ended"),
    [
        ("TCP", "instance", "true", "false"),
        ("TCP", "ip", "false", "false"),
        ("UDP", "instance", "true", "true"),
        ("UDP", "ip", "true", "true"),
        ("TCP_UDP", "ip", "true", "true"),
    ],
)
def test_whether_the_client_is_seen_by_default(protocol: str, target_type: str, kept: str, ended: str) -> None:
    """Client addresses are preserved, and connections ended with the delay, by AWS's defaults per protocol and type of
    target; where datagrams are involved the first can not be turned off."""
    known = rule.target_group_attributes(protocol, target_type)
    assert known["preserve_client_ip.enabled"] == kept
    assert known["deregistration_delay.connection_termination.enabled"] == ended
    rule.check_target_group_attribute("preserve_client_ip.enabled", "true", protocol, target_type)
    if "UDP" in protocol:
        with pytest.raises(Refused):
            rule.check_target_group_attribute("preserve_client_ip.enabled", "false", protocol, target_type)
    else:
        rule.check_target_group_attribute("preserve_client_ip.enabled", "false", protocol, target_type)


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("slow_start.duration_seconds", "0 30 900", "29 901 -1"),
        ("stickiness.lb_cookie.duration_seconds", "1 604800", "0 604801"),
        ("load_balancing.algorithm.type", "round_robin least_outstanding_requests weighted_random", "fastest"),
    ],
)
def test_target_group_attribute_values(key: str, good: str, bad: str) -> None:
    """Each attribute has AWS's values and ranges."""
    for value in good.split():
        rule.check_target_group_attribute(key, value)
    for value in bad.split():
        with pytest.raises(Refused):
            rule.check_target_group_attribute(key, value)


def test_slow_start_goes_with_round_robin_alone() -> None:
    """The other algorithms have no slow start."""
    slow = {"slow_start.duration_seconds": "30"}
    rule.check_target_group_attributes(slow)
    with pytest.raises(Refused):
        rule.check_target_group_attributes({**slow, "load_balancing.algorithm.type": "weighted_random"})


def test_listener_attributes_by_protocol() -> None:
    """A listener has the attributes of its protocol and no others."""
    rule.check_listener_attribute("tcp.idle_timeout.seconds", "60", "TCP")
    rule.check_listener_attribute("routing.http.response.x_frame_options.header_value", "DENY", "HTTP")
    rule.check_listener_attribute("routing.http.request.x_amzn_tls_version.header_name", "X-Tls", "HTTPS")
    for key, value, protocol in (
        ("tcp.idle_timeout.seconds", "59", "TCP"),
        ("tcp.idle_timeout.seconds", "60", "HTTP"),
        ("routing.http.response.server.enabled", "no", "HTTP"),
        ("routing.http.response.x_frame_options.header_value", "a\r\nb: c", "HTTP"),
        ("routing.http.request.x_amzn_tls_version.header_name", "X-Tls", "HTTP"),
    ):
        with pytest.raises(Refused):
            rule.check_listener_attribute(key, value, protocol)
