"""Which table a subnet has, what routes lead to, the order of a list's entries, and the life of a NAT gateway."""

from datetime import UTC, datetime
from typing import Any

import pytest

from portside.domain import elastic_address, nat_gateway_rule, network_acl_rule, vpc_route
from portside.domain.record import Scope
from portside.domain.vpc import (
    ElasticAddress,
    Eni,
    InternetGateway,
    NatGateway,
    NatGatewayState,
    NetworkAclEntry,
    Route,
    RouteTable,
    RouteTableAssociation,
    Vpc,
    VpcCidrBlock,
)
from portside.domain.vpc_route import Target

SCOPE = Scope(account="000000000000", region="us-east-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def table(table_id: str, *subnet_ids: str | None) -> RouteTable:
    associations = tuple(
        RouteTableAssociation(id=f"rtbassoc-{index}", subnet_id=each) for index, each in enumerate(subnet_ids)
    )
    return RouteTable(scope=SCOPE, id=table_id, vpc_id="vpc-1", associations=associations, created_at=NOW)


def nat(state: NatGatewayState) -> NatGateway:
    return NatGateway(
        scope=SCOPE,
        id="nat-1",
        vpc_id="vpc-1",
        subnet_id="subnet-1",
        eni_id="eni-1",
        address="10.0.0.9",
        state=state,
        created_at=NOW,
    )


def test_table_of_a_subnet() -> None:
    """A subnet's own table comes before the main one, wherever it stands in the list."""
    main, own = table("rtb-main", None), table("rtb-own", "subnet-1")
    for tables in ([main, own], [own, main]):
        assert vpc_route.table_of(tables, "subnet-1") is own
        assert vpc_route.table_of(tables, "subnet-2") is main
    assert vpc_route.table_of([own], "subnet-2") is None


def test_gateways_lead_out_while_attached() -> None:
    """A route to an internet gateway leads out while it is attached to this VPC; else it is a black hole."""
    route = Route(destination="0.0.0.0/0", gateway_id="igw-1")

    def target(vpc_id: str | None) -> Target:
        gateway = InternetGateway(scope=SCOPE, id="igw-1", vpc_id=vpc_id, created_at=NOW)
        return vpc_route.resolved(route, "vpc-1", {"igw-1": gateway}, {}).target

    assert target("vpc-1") is Target.INTERNET
    assert target(None) is Target.BLACKHOLE
    assert target("vpc-2") is Target.BLACKHOLE
    assert vpc_route.resolved(route, "vpc-1", {}, {}).target is Target.BLACKHOLE


@pytest.mark.parametrize("state", list(NatGatewayState))
def test_nat_gateways_lead_out_while_they_live(state: NatGatewayState) -> None:
    """A route to a NAT gateway leads there, by its address, until it is asked to go."""
    found = vpc_route.resolved(
        Route(destination="0.0.0.0/0", nat_gateway_id="nat-1"), "vpc-1", {}, {"nat-1": nat(state)}
    )
    if state in (NatGatewayState.PENDING, NatGatewayState.AVAILABLE):
        assert (found.target, found.address) == (Target.NAT, "10.0.0.9")
    else:
        assert found.target is Target.BLACKHOLE


def test_local_destinations() -> None:
    """What lies in any of a VPC's blocks is local; what only contains them is not."""
    further = (VpcCidrBlock(association_id="a", cidr_block="10.9.0.0/16"),)
    vpc = Vpc(scope=SCOPE, id="vpc-1", cidr_block="10.0.0.0/16", further_cidr_blocks=further, created_at=NOW)
    assert vpc_route.is_local(vpc, "10.0.0.0/16")
    assert vpc_route.is_local(vpc, "10.9.3.0/24")
    assert not vpc_route.is_local(vpc, "10.0.0.0/8")
    assert not vpc_route.is_local(vpc, "0.0.0.0/0")


def test_nat_gateway_life() -> None:
    """Pending becomes available, deleting becomes deleted, and nothing else happens by itself or twice."""
    available = nat_gateway_rule.applied(nat(NatGatewayState.PENDING), now=NOW)
    assert available.state is NatGatewayState.AVAILABLE
    assert nat_gateway_rule.applied(available, now=NOW) is available
    deleting = nat_gateway_rule.deleting(available)
    deleted = nat_gateway_rule.applied(deleting, now=NOW)
    assert (deleted.state, deleted.deleted_at) == (NatGatewayState.DELETED, NOW)
    assert nat_gateway_rule.deleting(deleted) is deleted
    assert nat_gateway_rule.deleting(deleting) is deleting


def entry(number: int, **fields: Any) -> NetworkAclEntry:
    words = {"egress": False, "protocol": "-1", "allow": True, "cidr": "0.0.0.0/0", **fields}
    return NetworkAclEntry(rule_number=number, **words)


def test_lists_that_need_no_check() -> None:
    """Only a list whose first entries allow everything both ways lets all pass; entries for IPv6 do not count."""
    both = network_acl_rule.default_entries()
    assert network_acl_rule.lets_all_pass(both)
    assert network_acl_rule.lets_all_pass((*both, entry(200, allow=False), entry(50, cidr=None, cidr_v6="::/0")))
    for first in (entry(50, allow=False), entry(50, protocol="6"), entry(50, cidr="10.0.0.0/8")):
        assert not network_acl_rule.lets_all_pass((*both, first))
    assert not network_acl_rule.lets_all_pass(both[:1])
    assert not network_acl_rule.lets_all_pass(())


def test_entries_in_order() -> None:
    """Entries are in the order of their numbers, inbound ones first."""
    entries = network_acl_rule.in_order([entry(200), entry(100, egress=True), entry(100)])
    assert [(each.rule_number, each.egress) for each in entries] == [(100, False), (200, False), (100, True)]


def test_protocols() -> None:
    """Names and numbers of protocols are one; what is neither is none."""
    names = {"tcp": "6", "UDP": "17", "icmp": "1", "all": "-1", "-1": "-1", "47": "47", "x": None, "256": None}
    assert {name: network_acl_rule.normal_protocol(name) for name in names} == names


def test_elastic_address() -> None:
    """Address and interface know of each other, and forget each other together."""
    address = ElasticAddress(scope=SCOPE, id="eipalloc-1", public_address="198.18.0.9", created_at=NOW)
    eni = Eni(
        scope=SCOPE,
        id="eni-1",
        subnet_id="subnet-1",
        vpc_id="vpc-1",
        zone="us-east-1a",
        address="10.0.0.4",
        mac_address="",
        private_dns_name="",
        security_group_ids=(),
        public_address="198.18.0.4",
        created_at=NOW,
    )
    given, has = elastic_address.associated(address, eni, "eipassoc-1")
    assert (given.eni_id, given.private_address, given.association_id) == ("eni-1", "10.0.0.4", "eipassoc-1")
    assert (has.public_address, has.allocation_id) == ("198.18.0.9", "eipalloc-1")
    assert elastic_address.disassociated(given) == address
    assert elastic_address.without(has).public_address is None
