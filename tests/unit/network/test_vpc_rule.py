"""The pure rules of VPC networking."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain import vpc_rule
from portside.domain.vpc import SecurityGroupRule


def number(address: str) -> int:
    return int(ipaddress.IPv4Address(address))


def test_reserved_addresses_are_never_given() -> None:
    """The first four addresses of a subnet and its last are AWS's; a /28 has eleven left."""
    used: set[int] = set()
    while (found := vpc_rule.next_address("10.0.0.0/28", used)) is not None:
        used.add(found)
    assert sorted(used) == list(range(number("10.0.0.4"), number("10.0.0.14") + 1))
    assert vpc_rule.usable_count("10.0.0.0/28") == 11 == len(used)
    assert vpc_rule.usable_count("172.31.0.0/20") == 4091


def test_next_fit() -> None:
    """The search goes on behind the last address given, and comes round."""
    assert vpc_rule.next_address("10.0.0.0/28", set(), number("10.0.0.6")) == number("10.0.0.7")
    assert vpc_rule.next_address("10.0.0.0/28", {number("10.0.0.7")}, number("10.0.0.6")) == number("10.0.0.8")
    assert vpc_rule.next_address("10.0.0.0/28", set(), number("10.0.0.14")) == number("10.0.0.4")


@given(st.integers(24, 28), st.sets(st.integers(0, 255)), st.integers(0, 255))
def test_an_address_is_found_if_there_is_one(prefix: int, offsets: set[int], after: int) -> None:
    """Whatever is used and wherever the search starts: a free usable address comes out, or none exists."""
    network = ipaddress.IPv4Network(f"10.0.0.0/{prefix}")
    base = number("10.0.0.0")
    used = {base + offset for offset in offsets}
    usable = set(range(base + 4, int(network.broadcast_address)))
    found = vpc_rule.next_address(str(network), used, base + after)
    assert found in usable - used if usable - used else found is None


@pytest.mark.parametrize(
    ("region", "zone_id"),
    [
        ("us-east-1", "use1-az2"),
        ("eu-central-1", "euc1-az2"),
        ("ap-southeast-2", "apse2-az2"),
        ("ap-northeast-1", "apne1-az2"),
        ("us-gov-west-1", "usgw1-az2"),
        ("mx-central-1", "mxc1-az2"),
    ],
)
def test_zone_id(region: str, zone_id: str) -> None:
    """Zone ids abbreviate the region as AWS does."""
    assert vpc_rule.zone_id(region, "b") == zone_id


def test_private_dns_name() -> None:
    """us-east-1 has a domain of its own."""
    assert vpc_rule.private_dns_name("172.31.0.4", "us-east-1") == "ip-172-31-0-4.ec2.internal"
    assert vpc_rule.private_dns_name("172.31.0.4", "eu-west-1") == "ip-172-31-0-4.eu-west-1.compute.internal"


@pytest.mark.parametrize(
    ("text", "protocol"),
    [("TCP", "tcp"), ("6", "tcp"), ("17", "udp"), ("1", "icmp"), ("-1", "-1"), ("all", "-1"), ("50", "50")],
)
def test_protocols(text: str, protocol: str) -> None:
    """Protocols are kept by name where EC2 names them, else by number."""
    assert vpc_rule.normal_protocol(text) == protocol


@pytest.mark.parametrize("text", ["", "quic", "256", "-2"])
def test_unknown_protocols(text: str) -> None:
    """What is no protocol is refused."""
    with pytest.raises(vpc_rule.Malformed):
        vpc_rule.normal_protocol(text)


def test_ports() -> None:
    """Ports are for TCP and UDP, type and code for ICMP, neither for the rest."""
    assert vpc_rule.normal_ports("tcp", 80, 80) == (80, 80)
    assert vpc_rule.normal_ports("tcp", -1, -1) == (0, 65535)
    assert vpc_rule.normal_ports("icmp", None, None) == (-1, -1)
    assert vpc_rule.normal_ports("-1", 80, 80) == (None, None)
    for first, last in ((None, 80), (80, None), (81, 80), (-1, 80), (80, 65536)):
        with pytest.raises(vpc_rule.Malformed):
            vpc_rule.normal_ports("udp", first, last)


def test_same_permission() -> None:
    """Descriptions and ids make no difference between rules; everything else does."""
    rule = SecurityGroupRule(
        id="sgr-1", egress=False, protocol="tcp", from_port=80, to_port=80, cidr="0.0.0.0/0", description="web"
    )
    other = SecurityGroupRule(id="sgr-2", egress=False, protocol="tcp", from_port=80, to_port=80, cidr="0.0.0.0/0")
    egress = SecurityGroupRule(id="sgr-2", egress=True, protocol="tcp", from_port=80, to_port=80, cidr="0.0.0.0/0")
    assert vpc_rule.same_permission(rule, other)
    assert not vpc_rule.same_permission(other, egress)
