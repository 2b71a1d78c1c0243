"""Security groups as nftables text."""

from datetime import UTC, datetime
from typing import Any

import pytest

from portside.domain.record import Scope
from portside.domain.vpc import SecurityGroup, SecurityGroupRule
from portside.node.network import firewall

SCOPE = Scope(account="000000000000", region="us-east-1")
WEB, DATABASE = "sg-00000000000000001", "sg-00000000000000002"


def rule(**fields: Any) -> SecurityGroupRule:
    return SecurityGroupRule(id="sgr-1", egress=fields.pop("egress", False), **fields)


def group(group_id: str, *rules: SecurityGroupRule) -> SecurityGroup:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return SecurityGroup(
        scope=SCOPE, id=group_id, vpc_id="vpc-1", name=group_id, description="", rules=rules, created_at=at
    )


GROUPS = {WEB: group(WEB), DATABASE: group(DATABASE)}


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"protocol": "-1", "cidr": "0.0.0.0/0"}, ""),
        ({"protocol": "tcp", "from_port": 80, "to_port": 80, "cidr": "0.0.0.0/0"}, "tcp dport 80"),
        ({"protocol": "udp", "from_port": 1, "to_port": 9, "cidr": "10.0.0.0/8"}, "ip saddr 10.0.0.0/8 udp dport 1-9"),
        ({"protocol": "tcp", "from_port": 0, "to_port": 65535, "cidr": "0.0.0.0/0"}, "meta l4proto tcp"),
        ({"protocol": "icmp", "from_port": -1, "to_port": -1, "cidr": "0.0.0.0/0"}, "meta l4proto icmp"),
        ({"protocol": "icmp", "from_port": 3, "to_port": 4, "cidr": "0.0.0.0/0"}, "icmp type 3 icmp code 4"),
        ({"protocol": "50", "cidr": "10.0.0.1/32"}, "ip saddr 10.0.0.1/32 meta l4proto 50"),
        ({"protocol": "-1", "group_id": WEB}, "ip saddr @members_sg_00000000000000001"),
        ({"protocol": "-1", "group_id": WEB, "egress": True}, "ip daddr @members_sg_00000000000000001"),
        ({"protocol": "-1", "group_id": "sg-00000000000000009"}, None),
        ({"protocol": "-1", "cidr_v6": "::/0"}, None),
        ({"protocol": "icmpv6", "from_port": -1, "to_port": -1, "cidr": "0.0.0.0/0"}, None),
    ],
)
def test_rule_match(fields: dict[str, Any], match: str | None) -> None:
    """Each kind of rule has its match; what can match no packet here has none."""
    assert firewall.rule_match(rule(**fields), GROUPS) == match


def test_combination() -> None:
    """The order of groups and repetitions make no difference to the chains."""
    assert firewall.combination([DATABASE, WEB, DATABASE]) == firewall.combination([WEB, DATABASE])
    assert firewall.ingress_chain((WEB,)) != firewall.ingress_chain((DATABASE,))


def test_chains_end_in_a_drop() -> None:
    """A combination's chains hold the rules of all its groups, each once, and drop the rest."""
    open_port = rule(protocol="tcp", from_port=80, to_port=80, cidr="0.0.0.0/0")
    groups = {WEB: group(WEB, open_port), DATABASE: group(DATABASE, open_port, rule(protocol="-1", group_id=WEB))}
    lines = firewall.add_combination((WEB, DATABASE), groups).splitlines()
    chain = firewall.ingress_chain((WEB, DATABASE))
    rules = [line.removeprefix(f"add rule inet portside {chain} ") for line in lines if f"{chain} " in line]
    assert rules == [
        "tcp dport 80 accept",
        "ip saddr @members_sg_00000000000000001 accept",
        "drop",
    ]
    assert lines[-1].endswith(" drop")


TCP_80 = {"protocol": "tcp", "from_port": 80, "to_port": 80, "cidr": "0.0.0.0/0"}
ALL_OUT = {"egress": True, "protocol": "-1", "cidr": "0.0.0.0/0"}


@pytest.mark.parametrize(
    ("fields", "coming_in", "going_out"),
    [
        pytest.param([TCP_80, ALL_OUT], ["tcp dport 80"], [], id="a port from anywhere, answers to anywhere"),
        pytest.param([TCP_80 | {"cidr": "10.0.0.0/8"}, ALL_OUT], [], [], id="from a range"),
        pytest.param([{"protocol": "tcp", "group_id": WEB}, ALL_OUT], [], [], id="from a group"),
        pytest.param([TCP_80, ALL_OUT | {"cidr": "10.0.0.0/8"}], [], [], id="answers to a range"),
        pytest.param([TCP_80, ALL_OUT | {"protocol": "udp"}], [], [], id="answers by another protocol"),
        pytest.param(
            [TCP_80, ALL_OUT | {"protocol": "tcp", "from_port": 1024, "to_port": 65535}],
            [],
            [],
            id="answers on some ports",
        ),
        pytest.param(
            [{"protocol": "-1", "cidr": "0.0.0.0/0"}, ALL_OUT],
            ["meta l4proto tcp", "meta l4proto udp"],
            ["meta l4proto tcp", "meta l4proto udp"],
            id="everything both ways, but never ICMP",
        ),
        pytest.param(
            [{"protocol": "icmp", "from_port": -1, "to_port": -1, "cidr": "0.0.0.0/0"}, ALL_OUT], [], [], id="ICMP"
        ),
        pytest.param([TCP_80 | {"cidr": None, "cidr_v6": "::/0"}, ALL_OUT], [], [], id="IPv6"),
    ],
)
def test_untracked_flows(fields: list[dict[str, Any]], coming_in: list[str], going_out: list[str]) -> None:
    """TCP and UDP are untracked in a direction if admitted from anywhere and all answers are admitted to anywhere."""
    groups = {WEB: group(WEB, *(rule(**each) for each in fields))}
    assert firewall.untracked_matches((WEB,), groups, egress=False) == coming_in
    assert firewall.untracked_matches((WEB,), groups, egress=True) == going_out


def test_rules_of_several_groups_make_a_flow_untracked() -> None:
    """One group's open rule and another's rule for answers count together, and groups that are unknown for nothing."""
    groups = {WEB: group(WEB, rule(**TCP_80)), DATABASE: group(DATABASE, rule(**ALL_OUT))}
    assert firewall.untracked_matches((WEB, DATABASE), groups, egress=False) == ["tcp dport 80"]
    assert firewall.untracked_matches((WEB, "sg-00000000000000009"), groups, egress=False) == []


def test_ruleset_is_one_replacement() -> None:
    """The whole rule set begins by replacing the table, and names every member of every group."""
    text = firewall.ruleset(GROUPS, {"172.31.0.4": (WEB,)}, {"172.31.0.4": "198.18.0.4"})
    assert text.splitlines()[:3] == [
        "add table inet portside",
        "delete table inet portside",
        "add table inet portside",
    ]
    assert f"{firewall.INGRESS_MAP} {{ 172.31.0.4 : goto {firewall.ingress_chain((WEB,))} }}" in text
    assert "members_sg_00000000000000001 { 172.31.0.4 }" in text
    assert "private_of { 198.18.0.4 : 172.31.0.4 }" in text
    assert text.index("add chain inet portside inbound") < text.index(firewall.ingress_chain((WEB,)))
