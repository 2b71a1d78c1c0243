"""What `reach` says stops a packet, and that it says what let it through."""

from datetime import UTC, datetime
from typing import Any

import pytest

from portside.domain import reach
from portside.domain.record import Scope, replace
from portside.domain.vpc import NetworkAclEntry, SecurityGroup, SecurityGroupRule, Subnet
from portside.domain.vpc_route import ResolvedRoute, Target

SCOPE = Scope(account="000000000000", region="us-east-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HTTP = reach.Probe(protocol="tcp", port=80)
PING = reach.Probe(protocol="icmp")
WORLD = "203.0.113.1"
OUT = ResolvedRoute(destination="0.0.0.0/0", target=Target.INTERNET)
BY_NAT = ResolvedRoute(destination="0.0.0.0/0", target=Target.NAT, address="10.0.1.9")


def group(group_id: str, *rules: SecurityGroupRule) -> SecurityGroup:
    return SecurityGroup(
        scope=SCOPE, id=group_id, vpc_id="vpc-1", name=group_id, description="", rules=rules, created_at=NOW
    )


def rule(rule_id: str, *, egress: bool = False, **fields: Any) -> SecurityGroupRule:
    return SecurityGroupRule(id=rule_id, egress=egress, **{"protocol": "-1", **fields})


def view(number: int, *routes: ResolvedRoute, acl: tuple[NetworkAclEntry, ...] | None = None) -> reach.SubnetView:
    subnet = Subnet(
        scope=SCOPE,
        id=f"subnet-{number}",
        vpc_id="vpc-1",
        cidr_block=f"10.0.{number}.0/24",
        zone="us-east-1a",
        zone_id="use1-az1",
        created_at=NOW,
    )
    return reach.SubnetView(subnet=subnet, routes=routes, route_table_id=f"rtb-{number}", acl=acl, acl_id="acl-1")


def entry(number: int, *, egress: bool, allow: bool = True, **fields: Any) -> NetworkAclEntry:
    words = {"protocol": "-1", "cidr": "0.0.0.0/0", **fields}
    return NetworkAclEntry(rule_number=number, egress=egress, allow=allow, **words)


GROUPS = {
    "sg-open": group("sg-open", rule("sgr-in", cidr="0.0.0.0/0"), rule("sgr-out", egress=True, cidr="0.0.0.0/0")),
    "sg-web": group("sg-web", rule("sgr-web", protocol="tcp", from_port=80, to_port=80, group_id="sg-open")),
}
ONE = reach.Member(name="eni-1", address="10.0.1.4", group_ids=("sg-open",))
TWO = reach.Member(name="eni-2", address="10.0.2.4", group_ids=("sg-web",))
PUBLIC = replace(ONE, public_address="198.18.0.4")


def network(*views: reach.SubnetView, **fields: Any) -> reach.Network:
    return reach.Network(vpc_id="vpc-1", cidr_blocks=("10.0.0.0/16",), subnets=views, groups=GROUPS, **fields)


def stopped(verdict: reach.Verdict) -> str:
    assert not verdict.passes
    return verdict.why[-1]


def test_groups() -> None:
    """The rule that lets a packet through is named, and the groups that have none."""
    plain = network(view(1), view(2))
    verdict = reach.between(plain, ONE, TWO, HTTP)
    assert verdict.passes
    assert verdict.why == (
        "egress rule sgr-out of sg-open lets it out",
        "ingress rule sgr-web of sg-web lets it in",
    )
    assert stopped(reach.between(plain, ONE, TWO, PING)) == "no ingress rule of sg-web lets ICMP echo from 10.0.1.4 in"
    assert stopped(reach.between(plain, TWO, ONE, HTTP)) == "no egress rule of sg-web lets TCP 80 to 10.0.1.4 out"


def test_lists_there_and_back() -> None:
    """A list stops the packet itself, or its answer; within a subnet it stops nothing."""
    web = entry(10, egress=False, protocol="6", from_port=80, to_port=80)
    back = entry(10, egress=True, protocol="6", from_port=1024, to_port=65535)
    partly = entry(10, egress=True, protocol="6", from_port=1024, to_port=40000)
    verdict = reach.between(network(view(1), view(2, acl=(web,))), ONE, TWO, HTTP)
    assert stopped(verdict) == "no outbound entry of acl-1 allows tcp port 32768, 10.0.1.4"
    verdict = reach.between(network(view(1), view(2, acl=(web, partly))), ONE, TWO, HTTP)
    assert stopped(verdict) == "no outbound entry of acl-1 allows tcp port 40001, 10.0.1.4"
    assert reach.between(network(view(1), view(2, acl=(web, back))), ONE, TWO, HTTP).passes
    deny = entry(5, egress=False, allow=False, cidr="10.0.1.4/32")
    verdict = reach.between(network(view(1), view(2, acl=(deny, web, back))), ONE, TWO, HTTP)
    assert stopped(verdict) == "inbound entry 5 of acl-1 denies tcp port 80, 10.0.1.4"
    near = replace(TWO, address="10.0.1.5")
    assert reach.between(network(view(1, acl=())), ONE, near, HTTP).passes


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        ((), f"route table rtb-1 of subnet-1 has no route to {WORLD}"),
        ((OUT,), "eni-1 has no public address, which an internet gateway asks for"),
        (
            (OUT, ResolvedRoute(destination="203.0.113.0/24", target=Target.BLACKHOLE)),
            "route 203.0.113.0/24 of rtb-1 is a black hole: its target is gone",
        ),
        ((BY_NAT,), "the NAT gateway at 10.0.1.9 is not there"),
    ],
)
def test_no_way_out(routes: tuple[ResolvedRoute, ...], said: str) -> None:
    """What stops a packet on its way out is named."""
    assert stopped(reach.to_world(network(view(1, *routes)), ONE, WORLD, HTTP)) == said


def test_ways_out() -> None:
    """Out by the internet gateway as itself, or by a NAT gateway as that; not where nothing is beyond."""
    assert reach.to_world(network(view(1, OUT)), PUBLIC, WORLD, HTTP).why[-1] == "it is seen as 198.18.0.4"
    nat = reach.NatView(id="nat-1", address="10.0.1.9", public_address="198.18.0.9")
    inner = replace(ONE, address="10.0.2.7")
    both = network(view(1, OUT), view(2, BY_NAT), nats=(nat,))
    assert reach.to_world(both, inner, WORLD, HTTP).why[-1] == "it is seen as 198.18.0.9, of nat-1"
    lost = network(view(1), view(2, BY_NAT), nats=(nat,))
    assert stopped(reach.to_world(lost, inner, WORLD, HTTP)) == f"route table rtb-1 of subnet-1 has no route to {WORLD}"
    nowhere = network(view(1, OUT), leads_out=False)
    assert "--egress none" in stopped(reach.to_world(nowhere, PUBLIC, WORLD, HTTP))


def test_ways_in() -> None:
    """In at a public address whose subnet has a way back, as groups allow."""
    assert reach.from_world(network(view(1, OUT)), WORLD, PUBLIC, HTTP).passes
    assert stopped(reach.from_world(network(view(1, OUT)), WORLD, ONE, HTTP)) == "eni-1 has no public address"
    assert "no route" in stopped(reach.from_world(network(view(1)), WORLD, PUBLIC, HTTP))
    closed = replace(PUBLIC, group_ids=("sg-web",))
    said = stopped(reach.from_world(network(view(1, OUT)), WORLD, closed, HTTP))
    assert said == f"no ingress rule of sg-web lets TCP 80 from {WORLD} in"
