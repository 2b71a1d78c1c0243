"""What load balancers count, as CloudWatch has it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain import autoscaling
from portside.domain import load_balancer_metric as rule
from portside.domain.flow import FlowCounts
from portside.domain.load_balancer import ZoneMapping
from portside.domain.load_balancer_metric import GroupCounts, Seen, Spoken
from portside.domain.load_balancer_rule import CROSS_ZONE, DNS_FAILOVER, ROUTING
from portside.domain.metric import dimensions_of, statistic
from portside.domain.record import replace
from portside.domain.refusal import Refused
from portside.testing.balancer_lab import Balancer, forward, group, target

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GROUP = group("web")
LB = Balancer("lb", "/netns").record
COUNTS = GroupCounts(
    requests=50,
    responses={2: 40, 4: 10, 5: 0},
    no_target=3,
    timeouts=2,
    connect_errors=1,
    connections=7,
    connections_active=2,
    bytes=999,
    times_ms={2.0: 40, 100.0: 10},
)


def found(balancer: Any, counts: GroupCounts, *targets: Any) -> dict[tuple[str, frozenset[str]], Any]:
    """By name and the names of the dimensions."""
    samples = rule.samples(balancer, [(GROUP, counts, targets)], NOW)
    return {(each.metric.name, frozenset(dict(each.metric.dimensions))): each for each in samples}


def test_of_an_application_load_balancer() -> None:
    """By load balancer and by target group: sums of requests and answers, response times with percentiles; what is
    nought is left out."""
    both, one = frozenset({"LoadBalancer", "TargetGroup"}), frozenset({"LoadBalancer"})
    metrics = found(LB, COUNTS)
    for dimensions in (both, one):
        sums = {
            name: statistic(each.point, "Sum")
            for (name, of), each in metrics.items()
            if of == dimensions and name != "TargetResponseTime" and "Host" not in name
        }
        assert sums == {
            "RequestCount": 50.0,
            "HTTPCode_Target_2XX_Count": 40.0,
            "HTTPCode_Target_4XX_Count": 10.0,
            "HTTPCode_ELB_5XX_Count": 5.0,
            "HTTPCode_ELB_503_Count": 3.0,
            "HTTPCode_ELB_504_Count": 2.0,
            "TargetConnectionErrorCount": 1.0,
        }
    times = metrics["TargetResponseTime", both].point
    assert (statistic(times, "p50"), statistic(times, "p95"), statistic(times, "SampleCount")) == (0.002, 0.1, 50)
    assert dict(metrics["RequestCount", both].metric.dimensions) == {
        "LoadBalancer": "app/lb/lblb",
        "TargetGroup": "targetgroup/web/tgweb",
    }
    assert {each.metric.namespace for each in metrics.values()} == {"AWS/ApplicationELB"}


def test_hosts() -> None:
    """Healthy and unhealthy ones, as a whole and by zone; those that drain or are not checked yet count for neither."""
    targets = [
        target(GROUP, "10.0.0.1", zone="a", checked="healthy"),
        target(GROUP, "10.0.0.2", zone="b", checked="healthy"),
        target(GROUP, "10.0.0.3", zone="b", checked="unhealthy"),
        target(GROUP, "10.0.0.4", zone="b"),
        target(GROUP, "10.0.0.5", zone="b", checked="healthy", deregistered_at=NOW),
    ]
    metrics = rule.samples(LB, [(GROUP, COUNTS, targets)], NOW)
    hosts = {
        (each.metric.name, dict(each.metric.dimensions).get("AvailabilityZone")): statistic(each.point, "Maximum")
        for each in metrics
        if "Host" in each.metric.name
    }
    assert hosts == {
        ("HealthyHostCount", None): 2.0,
        ("HealthyHostCount", "a"): 1.0,
        ("HealthyHostCount", "b"): 1.0,
        ("UnHealthyHostCount", None): 1.0,
        ("UnHealthyHostCount", "a"): 0.0,
        ("UnHealthyHostCount", "b"): 1.0,
    }
    share = [each for each in metrics if each.metric.name == "RequestCountPerTarget"]
    assert {statistic(each.point, "Sum") for each in share} == {25.0}


def test_requests_that_went_to_all_targets() -> None:
    """Those whose target was chosen among all count where there are targets, of Application Load Balancers alone."""
    there = target(GROUP, "10.0.0.1", checked="unhealthy")
    for balancer, targets, counted in (
        (LB, (there,), 7.0),
        (LB, (), None),
        (LB, (replace(there, deregistered_at=NOW),), None),
        (replace(LB, type="network"), (there,), None),
    ):
        made = found(balancer, GroupCounts(fail_open=7), *targets)
        several = [s for (name, _), s in made.items() if name == "UnhealthyRoutingRequestCount"]
        assert [statistic(each.point, "Sum") for each in several] == ([counted] if counted else [])
    assert rule.since(GroupCounts(fail_open=9), GroupCounts(fail_open=2)).fail_open == 7


@pytest.mark.parametrize("across", ["true", "false"])
def test_zones_with_enough_healthy_targets(across: str) -> None:
    """How many zones have what a group asks for and how many have not, and by zone 1 or 0; across zones all have it or
    none has. Of a Classic Load Balancer there is no such thing."""
    zones = tuple(ZoneMapping(zone=zone, subnet_id=zone, address=zone) for zone in "ab")
    balancer = replace(LB, type="application", zones=zones)
    asked = replace(GROUP, attributes={CROSS_ZONE: across, f"{DNS_FAILOVER}.count": "2", f"{ROUTING}.percentage": "50"})
    targets = [
        target(asked, "10.0.0.1", zone="a", checked="healthy"),
        target(asked, "10.0.0.2", zone="a", checked="healthy"),
        target(asked, "10.0.0.3", zone="b", checked="healthy"),
        target(asked, "10.0.0.4", zone="b", checked="unhealthy"),
        target(asked, "10.0.0.5", zone="c", checked="unhealthy"),
    ]
    made = rule.samples_of_health(balancer, [(asked, targets)], NOW)
    found = {
        (each.metric.name, dict(each.metric.dimensions).get("AvailabilityZone", "")): statistic(each.point, "Sum")
        for each in made
    }
    apart = across == "false"
    assert found == {
        ("HealthyStateDNS", ""): 1 if apart else 2,
        ("HealthyStateDNS", "a"): 1,
        ("HealthyStateDNS", "b"): 0 if apart else 1,
        ("UnhealthyStateDNS", ""): 1 if apart else 0,
        ("UnhealthyStateDNS", "a"): 0,
        ("UnhealthyStateDNS", "b"): 1 if apart else 0,
        ("HealthyStateRouting", ""): 2,
        ("HealthyStateRouting", "a"): 1,
        ("HealthyStateRouting", "b"): 1,
        ("UnhealthyStateRouting", ""): 0,
        ("UnhealthyStateRouting", "a"): 0,
        ("UnhealthyStateRouting", "b"): 0,
    }
    assert all({"LoadBalancer", "TargetGroup"} <= dict(each.metric.dimensions).keys() for each in made)
    assert rule.samples_of_health(replace(balancer, type="classic"), [(asked, targets)], NOW) == []


def test_of_a_network_load_balancer() -> None:
    """Flows and bytes, and no requests."""
    network = replace(LB, type="network")
    metrics = found(network, COUNTS, target(GROUP, "10.0.0.1", checked="healthy"))
    both = frozenset({"LoadBalancer", "TargetGroup"})
    assert {name for name, _ in metrics} == {
        "ActiveFlowCount",
        "NewFlowCount",
        "ProcessedBytes",
        "HealthyHostCount",
        "UnHealthyHostCount",
    }
    assert statistic(metrics["ProcessedBytes", both].point, "Sum") == 999.0


def test_flows_of_several_groups_are_one_number() -> None:
    """How many flows a Network Load Balancer has is one sample a minute, whatever number of target groups it has: the
    average of those samples is the number itself."""
    network = replace(LB, type="network")
    other = replace(GROUP, arn=f"{GROUP.arn}2")
    groups = [
        (GROUP, GroupCounts(connections_active=3, connections=5, bytes=900), []),
        (other, GroupCounts(connections_active=4, connections=6, bytes=99), []),
    ]
    whole = frozenset({"LoadBalancer"})
    made = [s for s in rule.samples(network, groups, NOW) if {key for key, _ in s.metric.dimensions} == whole]
    assert {s.metric.name: statistic(s.point, "Average") for s in made} == {
        "ActiveFlowCount": 7.0,
        "NewFlowCount": 11.0,
        "ProcessedBytes": 999.0,
    }
    assert len(made) == 3


def test_flows_by_protocol() -> None:
    """What there was of each protocol has AWS's names; a group behind both TCP and TLS may be of either, and as soon as
    it has flows neither number is told."""
    network, lab = replace(LB, type="network"), Balancer("lb", "/netns")
    plain, both = (replace(group(name), protocol="TCP") for name in ("plain", "both"))
    tcp = lab.listen_tcp(80, forward(plain, both))
    tls = replace(tcp, port=443, protocol="TLS", default_action=forward(both))
    assert [rule.spoken_to(each, [tcp, tls]) for each in (plain, both)] == ["TCP", ""]
    assert rule.spoken_to(both, [tls]) == "TLS"
    flows: dict[Spoken, FlowCounts] = {
        "TCP": FlowCounts(new=2, active=1, bytes=9),
        "UDP": FlowCounts(new=3),
        "TLS": FlowCounts(),
    }
    made = rule.samples_by_protocol(network, flows, NOW, "a")
    assert {each.metric.name: statistic(each.point, "Sum") for each in made} == {
        "ActiveFlowCount_TCP": 1.0,
        "NewFlowCount_TCP": 2.0,
        "ProcessedBytes_TCP": 9.0,
        "NewFlowCount_UDP": 3.0,
    }
    assert {frozenset(dict(each.metric.dimensions)) for each in made} == {
        frozenset({"LoadBalancer", "AvailabilityZone"})
    }
    assert rule.samples_by_protocol(network, {**flows, "": FlowCounts()}, NOW, "a") == made
    assert rule.samples_by_protocol(network, {**flows, "": FlowCounts(new=1)}, NOW) == []


def test_hosts_are_counted_where_some_are_registered() -> None:
    """Where nothing is registered there are no host counts, as on AWS."""
    for balancer in (LB, replace(LB, type="network"), replace(LB, type="classic")):
        names = {each.metric.name for each in rule.samples(balancer, [(GROUP, COUNTS, [])], NOW)}
        assert not names & {"HealthyHostCount", "UnHealthyHostCount"}


def test_requests_since_the_last_look() -> None:
    """By counter: one that is new counts as a whole, one that is lower than before has begun anew, and the others' are
    what came on top; a rule that is gone takes nothing away."""

    def seen(counter: str, zone: str = "a") -> Seen:
        return Seen(
            load_balancer_arn=LB.arn,
            zone=zone,
            target_group_arn=GROUP.arn,
            what="request",
            status=0,
            counter=counter,
        )

    before = {seen("stays"): 5, seen("goes on"): 5, seen("begins anew"): 5, seen("gone"): 5}
    now = {seen("stays"): 5, seen("goes on"): 7, seen("begins anew"): 3, seen("new", "b"): 1}
    assert rule.seen_since(now, before) == {seen("goes on"): 2, seen("begins anew"): 3, seen("new", "b"): 1}


@given(st.integers(0, 100), st.integers(0, 100), st.dictionaries(st.sampled_from([1.0, 2.0]), st.integers(1, 9)))
def test_what_came_on_top(before: int, after: int, times: dict[float, int]) -> None:
    """Differences add up to the whole; a data plane that began anew counts from nought."""
    old = GroupCounts(requests=before, responses={2: before}, connections=before, times_ms=times)
    new = GroupCounts(requests=after, responses={2: after}, connections=after, times_ms=times)
    gained = rule.since(new, old)
    if after >= before:
        assert gained.requests == after - before
        assert gained.responses.get(2, 0) == after - before
        assert gained.times_ms == {}
    else:
        assert gained == new


def test_the_label_of_a_policy() -> None:
    """ALBRequestCountPerTarget names load balancer and target group in one word."""
    metric = autoscaling.requests_of("app/lb/1/targetgroup/web/2")
    assert metric.dimensions == dimensions_of({"LoadBalancer": "app/lb/1", "TargetGroup": "targetgroup/web/2"})
    for label in ("", "app/lb/1", "net/lb/1/targetgroup/web/2", "app/lb/1/targetgroup/web"):
        with pytest.raises(Refused, match="ResourceLabel"):
            autoscaling.requests_of(label)


def test_of_a_classic_load_balancer() -> None:
    """By its name; an instance counts once, however many ports lead to it, and is unhealthy if one of them is."""
    classic = replace(LB, type="classic")
    tcp = replace(group("db"), protocol="TCP")
    at_web = [
        target(GROUP, "i-1", zone="a", checked="healthy"),
        target(GROUP, "i-2", zone="b", checked="healthy"),
    ]
    at_db = [target(tcp, "i-1", zone="a", checked="healthy"), target(tcp, "i-2", zone="b", checked="unhealthy")]
    samples = rule.samples(classic, [(GROUP, COUNTS, at_web), (tcp, GroupCounts(connections=7), at_db)], NOW)
    of_all = {frozenset({"LoadBalancerName": "lb"}.items())}
    assert {each.metric.namespace for each in samples} == {"AWS/ELB"}
    sums: dict[str, float] = {}
    for each in samples:
        if frozenset(each.metric.dimensions) in of_all and each.metric.name != "Latency":
            sums[each.metric.name] = sums.get(each.metric.name, 0) + (statistic(each.point, "Sum") or 0)
    assert sums == {
        "RequestCount": 57.0,
        "HTTPCode_Backend_2XX": 40.0,
        "HTTPCode_Backend_4XX": 10.0,
        "HTTPCode_ELB_5XX": 5.0,
        "BackendConnectionErrors": 1.0,
        "EstimatedProcessedBytes": 999.0,
        "HealthyHostCount": 1.0,
        "UnHealthyHostCount": 1.0,
    }
    zones = {
        (each.metric.name, dict(each.metric.dimensions)["AvailabilityZone"]): statistic(each.point, "Maximum")
        for each in samples
        if "AvailabilityZone" in dict(each.metric.dimensions)
    }
    assert zones[("HealthyHostCount", "b")] == 0.0
    assert zones[("UnHealthyHostCount", "b")] == 1.0
