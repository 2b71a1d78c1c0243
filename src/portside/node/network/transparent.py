"""Proxied connections that keep their clients' addresses, as nftables text.

A load balancer's proxy may send as its client: for TLS listeners and with the proxy protocol, where the kernel can not
lead the flow. What comes by a leg's link with an address that is not the leg's is such a connection. Its flow has a
mark of its own, which names the link, and answers follow it back: a rule leads packets with that mark to the leg. It is
judged as a flow that the kernel leads with its client preserved: by the load balancer's groups towards the target, then
by the target's, where a group means the load balancer's.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from portside.node.network.balanced import BALANCED, NUMBER_SHIFT, TRANSPARENT, TRANSPARENT_EGRESS, links_of_group

MARK_OF_LINK: Final = "transparent_mark"
"""The map whose keys are the links, for who takes over from an earlier process."""
_LEGS: Final = "transparent_legs"
_TABLE: Final = 0x7F000000
"""Route tables of subnets are numbered by their first address, and none begins with 127."""
UNTRACKED_BITS: Final = 3


class Leg(NamedTuple):
    """`chain`: the egress chain of its groups."""

    address: str
    link_index: int
    groups: tuple[str, ...]
    chain: str


def mark(index: int) -> int:
    """Of flows of the link with that index."""
    return (index << NUMBER_SHIFT) | BALANCED | TRANSPARENT


def route_table(index: int) -> int:
    return _TABLE | index


def rules(table: str, legs: Mapping[str, Leg]) -> list[str]:
    """Args: legs: by link. Nothing is added where there is none."""
    if not legs:
        return []
    whose = f"ct mark and {0xFFFFFFFF & ~UNTRACKED_BITS:#x}"
    lines = f"""
add map inet {table} {MARK_OF_LINK} {{ type ifname : mark; }}
add set inet {table} {_LEGS} {{ type ipv4_addr; }}
add chain inet {table} transparent_in {{ type filter hook prerouting priority mangle; policy accept; }}
add rule inet {table} transparent_in ct mark and {TRANSPARENT} != 0 ct direction reply meta mark set {whose}
add rule inet {table} transparent_in ct state new ip saddr != @{_LEGS} ct mark set iifname map @{MARK_OF_LINK}
""".strip().splitlines()
    for link, leg in sorted(legs.items()):
        lines.append(f'add element inet {table} {MARK_OF_LINK} {{ "{link}" : {mark(leg.link_index):#x} }}')
        lines.append(f"add element inet {table} {_LEGS} {{ {leg.address} }}")
        lines.append(f'add element inet {table} {TRANSPARENT_EGRESS} {{ "{link}" : goto {leg.chain} }}')
        lines += [f'add element inet {table} {links_of_group(each)} {{ "{link}" }}' for each in leg.groups]
    return lines
