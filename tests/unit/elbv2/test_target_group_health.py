"""When a target group has enough healthy targets, and what comes of it if not."""

import pytest

from portside.domain.load_balancer import LoadBalancer, Target, TargetGroup, ZoneMapping
from portside.domain.load_balancer_rule import CROSS_ZONE, DNS_FAILOVER, ROUTING
from portside.domain.record import replace
from portside.domain.target_group_health import answering_zones, chosen_targets, least_healthy, within_reach
from portside.testing.balancer_lab import AT, Balancer, group, target

WEB = replace(
    Balancer("web", "/n").record, zones=tuple(ZoneMapping(zone=zone, subnet_id=zone, address=zone) for zone in "ab")
)


def asking(name: str = "g", **more: str) -> TargetGroup:
    """A group with settings: `dns`, `dns_percentage`, `routing`, `routing_percentage`, `across`."""
    keys = {
        "dns": f"{DNS_FAILOVER}.count",
        "dns_percentage": f"{DNS_FAILOVER}.percentage",
        "routing": f"{ROUTING}.count",
        "routing_percentage": f"{ROUTING}.percentage",
        "across": CROSS_ZONE,
    }
    return group(name, attributes={keys[key]: value for key, value in more.items()})


def in_zone(of: TargetGroup, zone: str, healthy: int, unhealthy: int = 0) -> list[Target]:
    states = ["healthy"] * healthy + ["unhealthy"] * unhealthy
    return [target(of, f"10.0.{ord(zone)}.{n}", zone=zone, checked=state) for n, state in enumerate(states)]


def answering(targets: dict[str, list[Target]], *groups: TargetGroup, balancer: LoadBalancer = WEB) -> str:
    return "".join(each.zone for each in answering_zones(balancer, groups, lambda arn: targets.get(arn, [])))


@pytest.mark.parametrize(
    ("settings", "registered", "least"),
    [
        ({}, 10, 1),
        ({"dns": "off"}, 10, 0),
        ({"dns": "3"}, 10, 3),
        ({"dns": "3"}, 2, 3),
        ({"dns_percentage": "50"}, 9, 5),
        ({"dns": "7", "dns_percentage": "50"}, 10, 7),
        ({"dns": "7", "dns_percentage": "50"}, 20, 10),
        ({"dns": "off", "dns_percentage": "50"}, 0, 1),
        ({"dns": "off", "dns_percentage": "1"}, 3, 1),
    ],
)
def test_least_number_of_healthy_targets(settings: dict[str, str], registered: int, least: int) -> None:
    """One by default; of count and percentage the stricter one; a share of so many is rounded up."""
    assert least_healthy(asking(**settings), DNS_FAILOVER, registered) == least


@pytest.mark.parametrize("across", ["true", "false"])
def test_example_of_the_guide(across: str) -> None:
    """Ten targets in each of two zones, 50 % asked for both actions, six of one zone fail: that zone leaves the name
    and its address leads to all of its ten targets; across zones 14 of 20 are enough."""
    asked = asking(dns_percentage="50", routing_percentage="50", across=across)
    targets = in_zone(asked, "a", 10) + in_zone(asked, "b", 4, 6)
    reached = [len(chosen_targets(asked, within_reach(WEB, asked, zone, targets))) for zone in "ab"]
    assert (answering({asked.arn: targets}, asked), reached) == (
        ("a", [10, 10]) if across == "false" else ("ab", [14, 14])
    )


def test_draining_targets_do_not_count() -> None:
    """A deregistered target is neither healthy nor registered, and gets nothing even if all do."""
    asked = asking(routing="2", routing_percentage="100")
    leaving = replace(target(asked, "10.0.0.9", checked="healthy"), deregistered_at=AT)
    both = in_zone(asked, "a", 2)
    assert chosen_targets(asked, [*both, leaving]) == both
    one = in_zone(asked, "a", 1, 1)
    assert chosen_targets(asked, [*one, leaving]) == one


def test_zones_that_a_name_leads_to() -> None:
    """A zone answers if each group has enough healthy targets within reach of its address. If none does all answer."""
    one, two = asking("one", across="false"), asking("two", across="false")
    across = asking("across")
    targets = {
        one.arn: in_zone(one, "a", 1) + in_zone(one, "b", 1),
        two.arn: in_zone(two, "b", 1),
        across.arn: in_zone(across, "a", 1),
    }
    assert answering(targets, one) == "ab"
    assert answering(targets, one, two) == "b"
    assert answering(targets, one, across) == "ab"
    assert answering(targets, one, two, asking("empty")) == "ab", "a group without targets has too few in each zone"
    assert answering(targets, one, two, asking("empty", dns="off")) == "b"
    targets[two.arn] = in_zone(two, "b", 0, 1)
    assert answering(targets, one, two) == "ab"
    assert answering({}) == "ab", "nothing but fixed responses"


def test_thresholds_of_zones_in_the_name() -> None:
    """With a count or a percentage a zone leaves the name before its last healthy target fails; what is in a zone that
    the load balancer has not counts for nothing, and what is in no zone for each."""
    for settings in ({"dns": "2"}, {"dns_percentage": "60"}):
        asked = asking(across="false", **settings)
        targets = in_zone(asked, "a", 2) + in_zone(asked, "b", 1, 1)
        assert answering({asked.arn: targets}, asked) == "a"
    off = asking(dns="off", across="false")
    assert answering({off.arn: in_zone(off, "a", 1)}, off) == "ab"
    two = asking(dns="2", across="false")
    targets = in_zone(two, "b", 2) + in_zone(two, "c", 2)
    assert answering({two.arn: targets}, two) == "b"
    everywhere = [target(two, "10.9.0.1", zone="all", checked="healthy"), *in_zone(two, "a", 1)]
    assert answering({two.arn: everywhere}, two) == "a"
