"""What the security groups of two interfaces let pass between them: the ports that rules on both sides have in common.

Network ACLs are not looked at: for one protocol and port, `reach.between` has the verdict with all of it. Pure.
"""

from collections.abc import Iterator

from portside.domain.reach import Member, Network, is_for
from portside.domain.record import Record
from portside.domain.vpc import SecurityGroupRule

_NAMES = {"6": "tcp", "17": "udp", "1": "icmp"}
_ANY = "-1"
_PORTS = (0, 65535)


class Span(Record, frozen=True, kw_only=True):
    """`protocol` is tcp, udp, icmp, a number as text, or -1 for all. `first` to `last` are ports; both None: all of
    them. Of icmp they are type and code, None for any."""

    protocol: str
    first: int | None = None
    last: int | None = None

    @property
    def words(self) -> str:
        """everything, tcp, tcp 80, udp 8000-8010, icmp type 8"""
        if self.protocol == _ANY:
            return "everything"
        name = self.protocol if self.protocol in _NAMES.values() else f"protocol {self.protocol}"
        if self.first is None:
            return name
        if self.protocol == "icmp":
            return f"icmp type {self.first}"
        return f"{name} {self.first}" if self.first == self.last else f"{name} {self.first}-{self.last}"


def between(network: Network, source: Member, target: Member) -> tuple[Span, ...]:
    """What `source` may begin with `target`, as far as their groups say; nothing twice."""
    found: list[Span] = []
    sent = list(_rules(network, source, target, egress=True))
    for taken in _rules(network, target, source, egress=False):
        for span in sent:
            both = _common(span, taken)
            if both is not None and both not in found:
                found.append(both)
    return tuple(
        sorted(
            (each for each in found if not any(each != other and _covers(other, each) for other in found)),
            key=lambda each: (each.protocol, each.first or 0),
        )
    )


def _rules(network: Network, member: Member, other: Member, *, egress: bool) -> Iterator[Span]:
    for group_id in member.group_ids:
        group = network.groups.get(group_id)
        for rule in group.rules if group is not None else ():
            if rule.egress == egress and is_for(network, rule, other.address, other.group_ids):
                yield span_of(rule)


def span_of(rule: SecurityGroupRule) -> Span:
    """What a rule lets pass."""
    protocol = _NAMES.get(rule.protocol, rule.protocol)
    first, last = rule.from_port, rule.to_port
    if protocol == "icmp":
        return Span(protocol=protocol, first=_some(first), last=_some(last) if _some(first) is not None else None)
    if protocol not in ("tcp", "udp") or first is None or last is None or first < 0 or (first, last) == _PORTS:
        return Span(protocol=protocol)
    return Span(protocol=protocol, first=first, last=last)


def _some(value: int | None) -> int | None:
    return None if value is None or value < 0 else value


def _common(one: Span, other: Span) -> Span | None:
    if _covers(one, other):
        return other
    if _covers(other, one):
        return one
    if one.protocol != other.protocol or one.protocol == "icmp":
        return None
    if one.first is None or one.last is None or other.first is None or other.last is None:
        return None
    first, last = max(one.first, other.first), min(one.last, other.last)
    return Span(protocol=one.protocol, first=first, last=last) if first <= last else None


def _covers(wide: Span, narrow: Span) -> bool:
    if wide.protocol == _ANY:
        return True
    if wide.protocol != narrow.protocol:
        return False
    if wide.first is None:
        return True
    if wide.protocol == "icmp":
        return wide.first == narrow.first and wide.last in (None, narrow.last)
    if wide.last is None or narrow.first is None or narrow.last is None:
        return False
    return wide.first <= narrow.first and narrow.last <= wide.last
