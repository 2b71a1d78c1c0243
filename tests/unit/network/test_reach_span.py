"""What security groups let pass between two interfaces, as ports."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain import reach, reach_span
from portside.domain.reach_span import Span
from portside.domain.record import Scope, replace
from portside.domain.vpc import SecurityGroup, SecurityGroupRule, Subnet

SCOPE = Scope(account="000000000000", region="us-east-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SUBNET = Subnet(
    scope=SCOPE, id="subnet-1", vpc_id="vpc-1", cidr_block="10.0.1.0/24", zone="a", zone_id="z", created_at=NOW
)
ONE = reach.Member(name="eni-1", address="10.0.1.4", group_ids=("sg-one",))
TWO = reach.Member(name="eni-2", address="10.0.1.5", group_ids=("sg-two",))


def rule(**fields: Any) -> SecurityGroupRule:
    return SecurityGroupRule(id="sgr-1", **{"protocol": "-1", **fields})


def network(one: list[SecurityGroupRule], two: list[SecurityGroupRule]) -> reach.Network:
    groups = {
        name: SecurityGroup(
            scope=SCOPE, id=name, vpc_id="vpc-1", name=name, description="", rules=tuple(rules), created_at=NOW
        )
        for name, rules in (("sg-one", one), ("sg-two", two))
    }
    return reach.Network(
        vpc_id="vpc-1", cidr_blocks=("10.0.0.0/16",), subnets=(reach.SubnetView(subnet=SUBNET),), groups=groups
    )


ALL_OUT = rule(egress=True, cidr="0.0.0.0/0")


@pytest.mark.parametrize(
    ("sent", "taken", "words"),
    [
        ([ALL_OUT], [rule(egress=False, protocol="tcp", from_port=80, to_port=80, group_id="sg-one")], ["tcp 80"]),
        ([ALL_OUT], [rule(egress=False, protocol="tcp", from_port=80, to_port=80, group_id="sg-two")], []),
        ([ALL_OUT], [rule(egress=False, cidr="10.0.1.4/32")], ["everything"]),
        ([], [rule(egress=False, cidr="0.0.0.0/0")], []),
        (
            [rule(egress=True, protocol="6", from_port=100, to_port=200, cidr="0.0.0.0/0")],
            [rule(egress=False, protocol="tcp", from_port=150, to_port=300, cidr="0.0.0.0/0")],
            ["tcp 150-200"],
        ),
        (
            [ALL_OUT],
            [
                rule(egress=False, protocol="udp", from_port=53, to_port=53, cidr="0.0.0.0/0"),
                rule(egress=False, protocol="udp", from_port=0, to_port=65535, cidr="10.0.0.0/8"),
                rule(egress=False, protocol="icmp", from_port=8, to_port=-1, cidr="10.0.0.0/8"),
                rule(egress=False, protocol="47", cidr="10.0.0.0/8"),
            ],
            ["protocol 47", "icmp type 8", "udp"],
        ),
    ],
)
def test_it_is_what_both_sides_have_in_common(
    sent: list[SecurityGroupRule], taken: list[SecurityGroupRule], words: list[str]
) -> None:
    """Rules out of one side and into the other, by group or by block, narrowed to the ports of both; nothing twice."""
    assert [each.words for each in reach_span.between(network(sent, taken), ONE, TWO)] == words


rules = st.builds(
    lambda protocol, first, more, cidr, group: rule(
        egress=False,
        protocol=protocol,
        from_port=first if protocol in ("tcp", "udp", "6") else None,
        to_port=first + more if protocol in ("tcp", "udp", "6") else None,
        **({"group_id": group} if group else {"cidr": cidr}),
    ),
    st.sampled_from(["-1", "tcp", "udp", "6", "47"]),
    st.integers(0, 20),
    st.integers(0, 5),
    st.sampled_from(["0.0.0.0/0", "10.0.1.4/32", "10.0.1.5/32", "10.9.0.0/16"]),
    st.sampled_from(["", "", "sg-one", "sg-two"]),
)


def covers(span: Span, protocol: str, port: int) -> bool:
    if span.protocol not in ("-1", protocol):
        return False
    return span.first is None or (span.last is not None and span.first <= port <= span.last)


@given(st.lists(rules, max_size=5), st.lists(rules, max_size=5))
def test_it_says_what_the_verdicts_say(one: list[SecurityGroupRule], two: list[SecurityGroupRule]) -> None:
    """A port is among them exactly if a packet to it passes."""
    where = network([replace(each, egress=True) for each in one], two)
    spans = reach_span.between(where, ONE, TWO)
    for protocol in ("tcp", "udp"):
        for port in range(27):
            passes = reach.between(where, ONE, TWO, reach.Probe(protocol=protocol, port=port)).passes
            assert passes == any(covers(each, protocol, port) for each in spans), (protocol, port, spans)
