"""Network ACLs as nftables text: stateless, before the security groups, in a table of their own.

A packet from a subnet to another place meets the subnet's outbound entries, and one from elsewhere the inbound entries
of the subnet that it enters; packets within a subnet meet none. Every packet is looked at, also of tracked flows. For
what goes to or comes from a NAT gateway the gateway's subnet counts, whatever addresses the packet has.
"""

from collections.abc import Mapping, Sequence

from portside.domain.network_acl_rule import lets_all_pass
from portside.domain.vpc import NetworkAclEntry
from portside.node.interface import SubnetConfig

TABLE = "portside_acl"


def ruleset(subnets: Sequence[SubnetConfig], nat_legs: Mapping[str, str]) -> str:
    """The whole table, replacing what is there in one transaction.

    Args: nat_legs: the router's link to a NAT gateway -> the subnet that the gateway is in.
    """
    lines = [f"add table inet {TABLE}", f"delete table inet {TABLE}", f"add table inet {TABLE}"]
    checked = [each for each in subnets if each.acl is not None and not lets_all_pass(each.acl)]
    if not checked:
        return "\n".join(lines[:2]) + "\n"
    for each in checked:
        for egress in (True, False):
            lines += _chain(each, _legs_in(each, nat_legs), egress=egress)
    lines.append(f"add chain inet {TABLE} forward {{ type filter hook forward priority -10; policy accept; }}")
    for egress, side, link_side in ((True, "saddr", "iifname"), (False, "daddr", "oifname")):
        for each in checked:
            block, jump = each.subnet.cidr_block, f"jump {_name(each.subnet.id, egress=egress)}"
            for link in _legs_in(each, nat_legs):
                lines.append(f'add rule inet {TABLE} forward {link_side} "{link}" ip {side} != {block} {jump}')
            lines.append(f"add rule inet {TABLE} forward ip {side} {block} {jump}")
    return "\n".join(lines) + "\n"


def _legs_in(each: SubnetConfig, nat_legs: Mapping[str, str]) -> list[str]:
    return sorted(link for link, subnet_id in nat_legs.items() if subnet_id == each.subnet.id)


def _name(subnet_id: str, *, egress: bool) -> str:
    return f"{'leave' if egress else 'enter'}_{subnet_id.replace('-', '_')}"


def _chain(each: SubnetConfig, legs: Sequence[str], *, egress: bool) -> list[str]:
    name = _name(each.subnet.id, egress=egress)
    block = each.subnet.cidr_block
    lines = [
        f"add chain inet {TABLE} {name}",
        f"add rule inet {TABLE} {name} ip saddr {block} ip daddr {block} return",
    ]
    for link in legs:  # between the subnet's interfaces and a NAT gateway in it
        lines.append(f'add rule inet {TABLE} {name} ip saddr {block} oifname "{link}" return')
        lines.append(f'add rule inet {TABLE} {name} iifname "{link}" ip daddr {block} return')
    for entry in each.acl or ():
        if entry.egress != egress:
            continue
        match = _match(entry)
        if match is not None:
            verdict = "return" if entry.allow else "drop"
            lines.append(" ".join(f"add rule inet {TABLE} {name} {match} {verdict}".split()))
    lines.append(f"add rule inet {TABLE} {name} drop")
    return lines


def _match(entry: NetworkAclEntry) -> str | None:
    """The nft match of an entry, or None for one that can match no packet here (IPv6)."""
    if entry.cidr is None:
        return None
    other = "" if entry.cidr.endswith("/0") else f"ip {'daddr' if entry.egress else 'saddr'} {entry.cidr}"
    first, last = entry.from_port, entry.to_port
    match entry.protocol:
        case "-1":
            rest = ""
        case "6" | "17":
            protocol = "tcp" if entry.protocol == "6" else "udp"
            if first is None or last is None or (first, last) == (0, 65535):
                rest = f"meta l4proto {protocol}"
            else:
                rest = f"{protocol} dport {first}-{last}" if first != last else f"{protocol} dport {first}"
        case "1":
            rest = "meta l4proto icmp"
            if first is not None and first != -1:
                rest = f"icmp type {first}" + (f" icmp code {last}" if last is not None and last != -1 else "")
        case "58":
            return None
        case number:
            rest = f"meta l4proto {number}"
    return f"{other} {rest}".strip()
