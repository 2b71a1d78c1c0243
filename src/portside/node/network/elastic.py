"""The public addresses of load balancers' interfaces as nftables text.

A task's public address is translated by connection tracking, which translates a connection once; one to a Network Load
Balancer is led to a target already. So these are rewritten packet by packet outside of all tracking: what comes to the
public address is for the leg before anything looks at it, and what leaves the VPC as the leg's is the public
address's after everything has.

Answers take the way out of the leg's subnet, whatever routes the target's subnet has: packets of flows to such a leg
have the number of that subnet's table as their mark, and a rule leads them there. Strict reverse-path filtering looks
along the same way.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

PUBLIC_OF_LEG, LEG_OF_PUBLIC, WAY_OF_LEG = "public_of_leg", "leg_of_public", "way_of_leg"
MAPS: Final = (PUBLIC_OF_LEG, WAY_OF_LEG)
"""By the address of a leg."""


class Elastic(NamedTuple):
    """`table`: of the routes of the leg's subnet."""

    public: str
    table: int


def rules(table: str, elastic: Mapping[str, Elastic], uplink: str) -> list[str]:
    """Args: elastic: by the address of the leg. Nothing is added where there is none."""
    if not elastic:
        return []
    lines = f"""
add map inet {table} {LEG_OF_PUBLIC} {{ type ipv4_addr : ipv4_addr; }}
add map inet {table} {PUBLIC_OF_LEG} {{ type ipv4_addr : ipv4_addr; }}
add map inet {table} {WAY_OF_LEG} {{ type ipv4_addr : mark; }}
add chain inet {table} elastic_in {{ type filter hook prerouting priority raw; policy accept; }}
add rule inet {table} elastic_in iifname "{uplink}" ip daddr set ip daddr map @{LEG_OF_PUBLIC}
add chain inet {table} elastic_way {{ type filter hook prerouting priority mangle; policy accept; }}
add rule inet {table} elastic_way meta mark set ct original ip daddr map @{WAY_OF_LEG}
add chain inet {table} elastic_out {{ type filter hook postrouting priority srcnat + 50; policy accept; }}
add rule inet {table} elastic_out oifname "{uplink}" ip saddr set ip saddr map @{PUBLIC_OF_LEG}
""".strip().splitlines()
    for leg, each in sorted(elastic.items()):
        lines.append(f"add element inet {table} {LEG_OF_PUBLIC} {{ {each.public} : {leg} }}")
        lines.append(f"add element inet {table} {PUBLIC_OF_LEG} {{ {leg} : {each.public} }}")
        lines.append(f"add element inet {table} {WAY_OF_LEG} {{ {leg} : {each.table:#x} }}")
    return lines
