"""Rules of network ACLs: their entries, in order, and what an entry may say. Pure."""

from collections.abc import Iterable, Sequence

from portside.domain.vpc import NetworkAclEntry

LAST_NUMBER = 32766
"""Of an entry that can be made; 32767 is the one of every list that denies the rest."""
DENY_NUMBER = 32767
MAX_ENTRIES = 20
"""In each direction: https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html"""

_PROTOCOLS = {"all": "-1", "tcp": "6", "udp": "17", "icmp": "1", "icmpv6": "58"}


def default_entries() -> tuple[NetworkAclEntry, ...]:
    """Those of a VPC's default list: everything may pass both ways."""
    return tuple(
        NetworkAclEntry(rule_number=100, egress=egress, protocol="-1", allow=True, cidr="0.0.0.0/0")
        for egress in (True, False)
    )


def in_order(entries: Iterable[NetworkAclEntry]) -> tuple[NetworkAclEntry, ...]:
    """As they are evaluated: the first one that matches decides."""
    return tuple(sorted(entries, key=lambda each: (each.egress, each.rule_number)))


def lets_all_pass(entries: Sequence[NetworkAclEntry]) -> bool:
    """Whether the first entry of both directions allows everything, so that nothing needs to be checked."""
    for egress in (True, False):
        first = next((each for each in in_order(entries) if each.egress == egress and each.cidr is not None), None)
        if first is None or not first.allow or first.protocol != "-1" or first.cidr != "0.0.0.0/0":
            return False
    return True


def normal_protocol(text: str) -> str | None:
    """The protocol's number as text, -1 for all; None for what is none."""
    lower = text.lower()
    if lower in _PROTOCOLS:
        return _PROTOCOLS[lower]
    if lower == "-1" or (lower.isdigit() and int(lower) <= 255):
        return str(int(lower))
    return None
