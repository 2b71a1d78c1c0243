"""Security groups as nftables text: pure functions from groups to the rule set of a VPC's namespace.

The path of a packet, all in the forward hook: tracked flows pass; a new one goes to the egress chain of its source's
combination of groups, which jumps on to `inbound` if a rule matches, and that to the ingress chain of the
destination's combination, which accepts if a rule matches. Whatever no rule names falls through to a drop: an
address that the maps do not know can neither send nor receive. NAT gateways have no groups: what is routed to one
passes to it, and what it sends has left its source's groups already. The router's own addresses, where tasks ask
about themselves and for names, are no destinations of the forward hook: no group has a say there.

TCP and UDP that a group admits from or to anywhere, and whose answers a rule of the other direction admits on every
port, is untracked at that interface: bits of the flow's mark say at which end. There its packets, and the answers,
are judged by the rules that stand now. Source: EC2 user guide, "Untracked connections".
"""

import hashlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from portside.domain.vpc import SecurityGroup, SecurityGroupRule
from portside.node.network import balanced, link_local
from portside.node.network.elastic import Elastic, rules

TABLE = "portside"
EGRESS_MAP = "egress_of"
INGRESS_MAP = "ingress_of"
PUBLIC_OF = "public_of"
PRIVATE_OF = "private_of"
PUBLIC_SET = "has_public"
NAT_LEGS = "nat_legs"
UPLINK = "uplink"
ASKERS = "resolver_askers"
QUESTIONS_A_S = 1024
"""Packets that one address may send to the VPC's resolver in a second. Source: VPC user guide, "DNS quotas"."""

UNTRACKED_AT_SOURCE, UNTRACKED_AT_TARGET = 1, 2
"""Bits of a flow's mark. Source is who began it. They stay with the flow: what began as tracked goes on as such."""
_ANYWHERE = "0.0.0.0/0"
UNGUARDED = "unguarded"
"""Stands for the groups of an interface that has none and lets everything pass: a Network Load Balancer's."""

Combination = tuple[str, ...]
"""Security group ids, sorted, each once: what decides an interface's chains."""


def combination(group_ids: Iterable[str]) -> Combination:
    return tuple(sorted(set(group_ids)))


def _digest(groups: Combination) -> str:
    return hashlib.sha256(",".join(groups).encode()).hexdigest()[:16]


def egress_chain(groups: Combination) -> str:
    return f"egress_{_digest(groups)}"


def ingress_chain(groups: Combination) -> str:
    return f"ingress_{_digest(groups)}"


def balanced_chain(groups: Combination) -> str:
    return f"balanced_{_digest(groups)}"


def member_set(group_id: str) -> str:
    """The set of the addresses of a group's members."""
    return f"members_{group_id.replace('-', '_')}"


def ruleset(
    groups: Mapping[str, SecurityGroup],
    members: Mapping[str, Combination],
    public: Mapping[str, str],
    nat_legs: Iterable[str] = (),
    *,
    with_flows: bool = False,
    elastic: Mapping[str, Elastic] = MappingProxyType({}),
    others: Iterable[str] = (),
) -> str:
    """The whole table, replacing what is there in one transaction.

    Args:
        groups: by id, every group of the VPC.
        members: address -> its groups.
        public: private address -> public address.
        nat_legs: the links that lead to NAT gateways.
        with_flows: with what the flows of Network Load Balancers need; the flows themselves are added to it.
        elastic: by the address of a load balancer's leg, its public one.
        others: lines that belong into it besides.
    """
    combinations = sorted(set(members.values()))
    lines = [f"add table inet {TABLE}", f"delete table inet {TABLE}", f"add table inet {TABLE}"]
    for name in (EGRESS_MAP, INGRESS_MAP):
        lines.append(f"add map inet {TABLE} {name} {{ type ipv4_addr : verdict; }}")
    for name in (PUBLIC_OF, PRIVATE_OF):
        lines.append(f"add map inet {TABLE} {name} {{ type ipv4_addr : ipv4_addr; }}")
    lines.append(f"add set inet {TABLE} {PUBLIC_SET} {{ type ipv4_addr; }}")
    lines.append(f"add set inet {TABLE} {NAT_LEGS} {{ type ifname; }}")
    for group_id in sorted({*groups, UNGUARDED, *(each for combo in combinations for each in combo)}):
        lines += add_group(group_id, with_flows=with_flows)
    lines += _base(with_flows)
    for combo in combinations:
        lines.append(add_combination(combo, groups, with_flows=with_flows))
    for address, combo in sorted(members.items()):
        lines.append(f"add element inet {TABLE} {EGRESS_MAP} {{ {address} : goto {egress_chain(combo)} }}")
        lines.append(f"add element inet {TABLE} {INGRESS_MAP} {{ {address} : goto {ingress_chain(combo)} }}")
        if with_flows:
            chain = balanced_chain(combo)
            lines.append(f"add element inet {TABLE} {balanced.TARGET_MAP} {{ {address} : goto {chain} }}")
        for group_id in combo:
            lines.append(add_member(group_id, address))
    for address, public_address in sorted(public.items()):
        lines.append(f"add element inet {TABLE} {PUBLIC_OF} {{ {address} : {public_address} }}")
        lines.append(f"add element inet {TABLE} {PRIVATE_OF} {{ {public_address} : {address} }}")
        lines.append(f"add element inet {TABLE} {PUBLIC_SET} {{ {address} }}")
    lines += [add_nat_leg(each) for each in sorted(nat_legs)]
    lines += [*rules(TABLE, elastic, UPLINK), *others]
    return "\n".join(lines) + "\n"


def add_nat_leg(link: str) -> str:
    return f'add element inet {TABLE} {NAT_LEGS} {{ "{link}" }}'


def delete_nat_leg(link: str) -> str:
    return f'delete element inet {TABLE} {NAT_LEGS} {{ "{link}" }}'


def _base(with_flows: bool) -> list[str]:
    asks = f"meta l4proto {{ tcp, udp }} th dport {link_local.RESOLVER_PORT}"
    too_often = f"limit rate over {QUESTIONS_A_S}/second burst {QUESTIONS_A_S} packets"
    goes, answers = "ct state established ct direction original", "ct state established ct direction reply"
    no_source, no_target = f"ct mark and {UNTRACKED_AT_SOURCE} == 0", f"ct mark and {UNTRACKED_AT_TARGET} == 0"
    at_inbound = "\n".join(balanced.inbound(TABLE) if with_flows else ())
    at_forward = "\n".join(balanced.forward(TABLE) if with_flows else ())
    at_forward_new = "\n".join(balanced.forward_new(TABLE, EGRESS_MAP) if with_flows else ())
    rules = f"""
add chain inet {TABLE} input {{ type filter hook input priority filter; policy drop; }}
add rule inet {TABLE} input iifname "lo" accept
add rule inet {TABLE} input iifname != "{UPLINK}" ip daddr {link_local.ADDRESS} meta l4proto tcp accept
add set inet {TABLE} {ASKERS} {{ type ipv4_addr; size 65535; flags dynamic,timeout; timeout 10s; }}
add rule inet {TABLE} input {asks} update @{ASKERS} {{ ip saddr {too_often} }} drop
add rule inet {TABLE} input iifname != "{UPLINK}" {asks} accept
add chain inet {TABLE} inbound
{at_inbound}
add rule inet {TABLE} inbound {goes} {no_target} accept
add rule inet {TABLE} inbound {answers} {no_source} accept
add rule inet {TABLE} inbound ip daddr vmap @{INGRESS_MAP}
add rule inet {TABLE} inbound oifname "{UPLINK}" ip saddr @{PUBLIC_SET} accept
add rule inet {TABLE} inbound oifname @{NAT_LEGS} ct mark set 0 accept
add rule inet {TABLE} inbound drop
add chain inet {TABLE} forward {{ type filter hook forward priority filter; policy drop; }}
add rule inet {TABLE} forward meta nfproto != ipv4 drop
add rule inet {TABLE} forward ip daddr 169.254.0.0/16 drop
add rule inet {TABLE} forward ip saddr 169.254.0.0/16 drop
{at_forward}
add rule inet {TABLE} forward ct state related accept
add rule inet {TABLE} forward ct state established ct mark and {UNTRACKED_AT_SOURCE | UNTRACKED_AT_TARGET} == 0 accept
add rule inet {TABLE} forward ct state invalid drop
{at_forward_new}
add rule inet {TABLE} forward iifname "{UPLINK}" goto inbound
add rule inet {TABLE} forward iifname @{NAT_LEGS} goto inbound
add rule inet {TABLE} forward {goes} {no_source} goto inbound
add rule inet {TABLE} forward {answers} {no_target} goto inbound
add rule inet {TABLE} forward ip saddr vmap @{EGRESS_MAP}
add chain inet {TABLE} to_private {{ type nat hook prerouting priority dstnat; policy accept; }}
add rule inet {TABLE} to_private iifname "{UPLINK}" dnat ip to ip daddr map @{PRIVATE_OF}
add chain inet {TABLE} to_public {{ type nat hook postrouting priority srcnat; policy accept; }}
add rule inet {TABLE} to_public oifname "{UPLINK}" snat ip to ip saddr map @{PUBLIC_OF}
"""
    lines = [line for line in rules.splitlines() if line]
    if not with_flows:
        return lines
    return [f"add chain inet {TABLE} inbound", *balanced.base(TABLE, EGRESS_MAP, UPLINK, NAT_LEGS), *lines]


def add_group(group_id: str, *, with_flows: bool = False) -> list[str]:
    links = f"add set inet {TABLE} {balanced.links_of_group(group_id)} {{ type ifname; }}"
    return [f"add set inet {TABLE} {member_set(group_id)} {{ type ipv4_addr; }}", *([links] if with_flows else [])]


def add_member(group_id: str, address: str) -> str:
    return f"add element inet {TABLE} {member_set(group_id)} {{ {address} }}"


def delete_group(group_id: str, *, with_flows: bool = False) -> list[str]:
    sets = [member_set(group_id), *([balanced.links_of_group(group_id)] if with_flows else [])]
    return [f"delete set inet {TABLE} {each}" for each in sets]


def add_combination(combo: Combination, groups: Mapping[str, SecurityGroup], *, with_flows: bool = False) -> str:
    """The two chains of a combination, or three; if they are there, their rules are replaced. One transaction."""
    lines = []
    for chain, egress in ((egress_chain(combo), True), (ingress_chain(combo), False)):
        lines += [f"add chain inet {TABLE} {chain}", f"flush chain inet {TABLE} {chain}"]
        bit = UNTRACKED_AT_SOURCE if egress else UNTRACKED_AT_TARGET
        lines += [
            f"add rule inet {TABLE} {chain} ct state new {each} ct mark set ct mark or {bit}"
            for each in untracked_matches(combo, groups, egress=egress)
        ]
        verdict = "goto inbound" if egress else "accept"
        if UNGUARDED in combo:
            lines.append(f"add rule inet {TABLE} {chain} {verdict}")
        matches = (rule_match(rule, groups) for rule in _rules(combo, groups) if rule.egress == egress)
        for match in dict.fromkeys(each for each in matches if each is not None):
            lines.append(" ".join(f"add rule inet {TABLE} {chain} {match} {verdict}".split()))
        lines.append(f"add rule inet {TABLE} {chain} drop")
    if with_flows:
        chain = balanced_chain(combo)
        lines += [f"add chain inet {TABLE} {chain}", f"flush chain inet {TABLE} {chain}"]
        found = (each for rule in _rules(combo, groups) if not rule.egress for each in _balanced_matches(rule, groups))
        lines += [" ".join(f"add rule inet {TABLE} {chain} {each} accept".split()) for each in dict.fromkeys(found)]
        lines.append(f"add rule inet {TABLE} {chain} drop")
    return "\n".join(lines)


def _rules(combo: Combination, groups: Mapping[str, SecurityGroup]) -> list[SecurityGroupRule]:
    return [rule for group_id in combo if group_id in groups for rule in groups[group_id].rules]


def _balanced_matches(rule: SecurityGroupRule, groups: Mapping[str, SecurityGroup]) -> list[str]:
    protocol = _protocol_match(rule)
    if protocol is None or (other := _other_side(rule, groups)) is None:
        return []
    return balanced.target_rules(other, protocol, group_id=rule.group_id)


def untracked_matches(combo: Combination, groups: Mapping[str, SecurityGroup], *, egress: bool) -> list[str]:
    """The nft matches of new flows in a direction that are untracked at an interface with these groups."""
    to_anywhere = [rule for rule in _rules(combo, groups) if rule.group_id is None and rule.cidr == _ANYWHERE]
    found: dict[str, None] = {}
    for protocol in ("tcp", "udp"):
        whole = f"meta l4proto {protocol}"
        if not any(each.egress != egress and _protocol_match(each) in ("", whole) for each in to_anywhere):
            continue  # no rule admits every answer
        for rule in to_anywhere:
            if rule.egress == egress and rule.protocol in ("-1", protocol):
                found[_protocol_match(rule) or whole] = None
    return list(found)


def delete_combination(combo: Combination, *, with_flows: bool = False) -> str:
    chains = [egress_chain(combo), ingress_chain(combo), *([balanced_chain(combo)] if with_flows else [])]
    return "\n".join(f"{verb} chain inet {TABLE} {chain}" for verb in ("flush", "delete") for chain in chains)


def rule_match(rule: SecurityGroupRule, groups: Mapping[str, SecurityGroup]) -> str | None:
    """The nft match of a rule, or None for one that can match no packet here (IPv6, a group of another VPC)."""
    other, protocol = _other_side(rule, groups), _protocol_match(rule)
    return None if other is None or protocol is None else f"{other} {protocol}".strip()


def _other_side(rule: SecurityGroupRule, groups: Mapping[str, SecurityGroup]) -> str | None:
    """The nft match of the address at the other end; empty for any."""
    side = "daddr" if rule.egress else "saddr"
    if rule.group_id is not None:
        return f"ip {side} @{member_set(rule.group_id)}" if rule.group_id in groups else None
    if rule.cidr is None:
        return None
    return "" if rule.cidr.endswith("/0") else f"ip {side} {rule.cidr}"


def _protocol_match(rule: SecurityGroupRule) -> str | None:
    first, last = rule.from_port, rule.to_port
    match rule.protocol:
        case "-1":
            return ""
        case "tcp" | "udp" as protocol:
            if first is None or last is None or first < 0 or (first, last) == (0, 65535):
                return f"meta l4proto {protocol}"
            return f"{protocol} dport {first}" if first == last else f"{protocol} dport {first}-{last}"
        case "icmp":
            if first is None or first == -1:
                return "meta l4proto icmp"
            code = f" icmp code {last}" if last is not None and last != -1 else ""
            return f"icmp type {first}{code}"
        case "icmpv6" | "58":
            return None
        case number:
            return f"meta l4proto {number}"
