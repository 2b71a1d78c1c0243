"""Whether a packet passes from here to there, and if not, what stops it: the data plane's rules, told in words. Pure.

What the kernel does is in `node/network`; a property test sends packets and compares.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping

from portside.domain.network_acl_rule import in_order
from portside.domain.record import Record
from portside.domain.vpc import NetworkAclEntry, SecurityGroup, SecurityGroupRule, Subnet
from portside.domain.vpc_route import ResolvedRoute, Target

EPHEMERAL = (32768, 60999)
"""Ports from which connections come: Linux's, of which the answer must be let back by stateless lists."""
_NUMBERS = {"tcp": "6", "udp": "17", "icmp": "1"}
_ECHO, _ECHO_REPLY = 8, 0


class SubnetView(Record, frozen=True, kw_only=True):
    """A subnet with what its packets meet. `acl` None: no list."""

    subnet: Subnet
    routes: tuple[ResolvedRoute, ...] = ()
    route_table_id: str = ""
    acl: tuple[NetworkAclEntry, ...] | None = None
    acl_id: str = ""


class NatView(Record, frozen=True, kw_only=True):
    id: str
    address: str
    public_address: str | None = None


class Network(Record, frozen=True, kw_only=True):
    """One VPC, as far as packets are concerned."""

    vpc_id: str
    cidr_blocks: tuple[str, ...]
    subnets: tuple[SubnetView, ...]
    groups: Mapping[str, SecurityGroup]
    nats: tuple[NatView, ...] = ()
    leads_out: bool = True
    """Whether anything is beyond the internet gateway: no with egress `none`."""

    def subnet_of(self, address: str) -> SubnetView | None:
        asked = ipaddress.IPv4Address(address)
        return next(
            (each for each in self.subnets if asked in ipaddress.IPv4Network(each.subnet.cidr_block)),
            None,
        )


class Member(Record, frozen=True, kw_only=True):
    """An interface of the VPC."""

    name: str
    address: str
    group_ids: tuple[str, ...]
    public_address: str | None = None


class Probe(Record, frozen=True, kw_only=True):
    """What is sent: tcp or udp to a port, or an ICMP echo request (no port)."""

    protocol: str
    port: int = 0


class Verdict(Record, frozen=True, kw_only=True):
    """`why`: what let it through, step by step, and last what stopped it."""

    passes: bool
    why: tuple[str, ...]


class _Stopped(Exception):
    pass


def between(network: Network, source: Member, target: Member, probe: Probe) -> Verdict:
    """From an interface to another of the same VPC, and back."""

    def walk(why: list[str]) -> None:
        _group_lets(network, source, probe, target.address, target.group_ids, why, egress=True)
        _lists_let(network, source.address, target.address, probe, why)
        _group_lets(network, target, probe, source.address, source.group_ids, why, egress=False)

    return _judged(walk)


def to_world(network: Network, source: Member, address: str, probe: Probe) -> Verdict:
    """From an interface to an address outside of the VPC, and back."""

    def walk(why: list[str]) -> None:
        _group_lets(network, source, probe, address, (), why, egress=True)
        subnet = network.subnet_of(source.address)
        if subnet is None:
            raise _Stopped(f"{source.address} is in no subnet")
        route = _route(subnet, address, why)
        if route.target is Target.INTERNET:
            _list_lets(subnet, address, probe, why, egress=True)
            _list_lets_answer(subnet, address, probe, why, egress=False)
            if source.public_address is None:
                raise _Stopped(f"{source.name} has no public address, which an internet gateway asks for")
            why.append(f"it is seen as {source.public_address}")
        else:
            _through_nat(network, subnet, route, source, address, probe, why)
        if not network.leads_out:
            raise _Stopped("nothing is beyond the internet gateway: Portside runs with --egress none")

    return _judged(walk)


def from_world(network: Network, address: str, target: Member, probe: Probe) -> Verdict:
    """From outside to an interface's public address, and back."""

    def walk(why: list[str]) -> None:
        if target.public_address is None:
            raise _Stopped(f"{target.name} has no public address")
        if not network.leads_out:
            raise _Stopped("nothing is beyond the internet gateway: Portside runs with --egress none")
        subnet = network.subnet_of(target.address)
        if subnet is None:
            raise _Stopped(f"{target.address} is in no subnet")
        if _route(subnet, address, why).target is not Target.INTERNET:
            raise _Stopped(f"{subnet.route_table_id} does not lead back by the internet gateway")
        _list_lets(subnet, address, probe, why, egress=False)
        _group_lets(network, target, probe, address, (), why, egress=False)
        _list_lets_answer(subnet, address, probe, why, egress=True)

    return _judged(walk)


def _judged(walk: Callable[[list[str]], None]) -> Verdict:
    why: list[str] = []
    try:
        walk(why)
    except _Stopped as stopped:
        return Verdict(passes=False, why=(*why, str(stopped)))
    return Verdict(passes=True, why=tuple(why))


# --- routes


def _route(subnet: SubnetView, address: str, why: list[str]) -> ResolvedRoute:
    """The subnet's most specific route to the address."""
    asked = ipaddress.IPv4Address(address)
    fitting = [each for each in subnet.routes if asked in ipaddress.IPv4Network(each.destination)]
    if not fitting:
        raise _Stopped(f"route table {subnet.route_table_id} of {subnet.subnet.id} has no route to {address}")
    found = max(fitting, key=lambda each: ipaddress.IPv4Network(each.destination).prefixlen)
    if found.target is Target.BLACKHOLE:
        raise _Stopped(f"route {found.destination} of {subnet.route_table_id} is a black hole: its target is gone")
    target = "the internet gateway" if found.target is Target.INTERNET else f"the NAT gateway at {found.address}"
    why.append(f"route {found.destination} of {subnet.route_table_id} leads to {target}")
    return found


def _through_nat(
    network: Network,
    subnet: SubnetView,
    route: ResolvedRoute,
    source: Member,
    address: str,
    probe: Probe,
    why: list[str],
) -> None:
    nat = next((each for each in network.nats if each.address == route.address), None)
    home = network.subnet_of(nat.address) if nat is not None else None
    if nat is None or home is None:
        raise _Stopped(f"the NAT gateway at {route.address} is not there")
    elsewhere = home.subnet.id != subnet.subnet.id
    if elsewhere:
        _list_lets(subnet, address, probe, why, egress=True)
        _list_lets(home, source.address, probe, why, egress=False)
    if _route(home, address, why).target is not Target.INTERNET:
        raise _Stopped(f"{nat.id} has no route to an internet gateway itself")
    if nat.public_address is None:
        raise _Stopped(f"{nat.id} has no public address")
    _list_lets(home, address, probe, why, egress=True)
    _list_lets_answer(home, address, probe, why, egress=False)
    if elsewhere:
        _list_lets_answer(home, source.address, probe, why, egress=True)
        _list_lets_answer(subnet, address, probe, why, egress=False)
    why.append(f"it is seen as {nat.public_address}, of {nat.id}")


# --- security groups


def _group_lets(
    network: Network,
    member: Member,
    probe: Probe,
    other: str,
    other_groups: Iterable[str],
    why: list[str],
    *,
    egress: bool,
) -> None:
    verb, word = ("out", "egress") if egress else ("in", "ingress")
    for group_id in member.group_ids:
        group = network.groups.get(group_id)
        for rule in group.rules if group is not None else ():
            if rule.egress == egress and _rule_matches(network, rule, probe, other, set(other_groups)):
                why.append(f"{word} rule {rule.id} of {group_id} lets it {verb}")
                return
    groups = ", ".join(member.group_ids) or "no group"
    raise _Stopped(f"no {word} rule of {groups} lets {_words(probe)} {'to' if egress else 'from'} {other} {verb}")


def is_for(network: Network, rule: SecurityGroupRule, other: str, groups: Iterable[str]) -> bool:
    """Whether a rule is about an address, or about who has it: an interface in these groups."""
    if rule.group_id is not None:
        return rule.group_id in groups and rule.group_id in network.groups
    return rule.cidr is not None and ipaddress.IPv4Address(other) in ipaddress.IPv4Network(rule.cidr)


def _rule_matches(network: Network, rule: SecurityGroupRule, probe: Probe, other: str, groups: set[str]) -> bool:
    if not is_for(network, rule, other, groups):
        return False
    if rule.protocol == "-1":
        return True
    if rule.protocol not in (probe.protocol, _NUMBERS[probe.protocol]):
        return False
    first, last = rule.from_port, rule.to_port
    if probe.protocol == "icmp":
        return first in (None, -1) or (first == _ECHO and last in (None, -1, 0))
    return first is None or last is None or first < 0 or first <= probe.port <= last


# --- network ACLs


def _lists_let(network: Network, source: str, target: str, probe: Probe, why: list[str]) -> None:
    """The lists between two interfaces of the VPC, there and back; none within a subnet."""
    here, there = network.subnet_of(source), network.subnet_of(target)
    if here is not None and there is not None and here.subnet.id == there.subnet.id:
        return
    if here is not None:
        _list_lets(here, target, probe, why, egress=True)
    if there is not None:
        _list_lets(there, source, probe, why, egress=False)
        _list_lets_answer(there, source, probe, why, egress=True)
    if here is not None:
        _list_lets_answer(here, target, probe, why, egress=False)


def _list_lets(subnet: SubnetView, other: str, probe: Probe, why: list[str], *, egress: bool) -> None:
    _decide(subnet, other, probe.protocol, probe.port if probe.protocol != "icmp" else _ECHO, why, egress=egress)


def _list_lets_answer(subnet: SubnetView, other: str, probe: Probe, why: list[str], *, egress: bool) -> None:
    if probe.protocol == "icmp":
        _decide(subnet, other, "icmp", _ECHO_REPLY, why, egress=egress)
        return
    first, last = EPHEMERAL
    bounds = {first, last}
    for each in subnet.acl or ():
        if each.from_port is not None and each.to_port is not None:
            bounds |= {port for port in (each.from_port, each.to_port + 1) if first <= port <= last}
    for port in sorted(bounds):
        _decide(subnet, other, probe.protocol, port, why if port == last else [], egress=egress)


def _decide(subnet: SubnetView, other: str, protocol: str, port: int, why: list[str], *, egress: bool) -> None:
    if subnet.acl is None:
        return
    word = "outbound" if egress else "inbound"
    what = f"{protocol} {'type' if protocol == 'icmp' else 'port'} {port}"
    for each in in_order(subnet.acl):
        if each.egress != egress or not _entry_matches(each, other, protocol, port):
            continue
        if not each.allow:
            raise _Stopped(f"{word} entry {each.rule_number} of {subnet.acl_id} denies {what}, {other}")
        why.append(f"{word} entry {each.rule_number} of {subnet.acl_id} allows {what}")
        return
    raise _Stopped(f"no {word} entry of {subnet.acl_id} allows {what}, {other}")


def _entry_matches(entry: NetworkAclEntry, other: str, protocol: str, port: int) -> bool:
    if entry.cidr is None or ipaddress.IPv4Address(other) not in ipaddress.IPv4Network(entry.cidr):
        return False
    if entry.protocol == "-1":
        return True
    if entry.protocol != _NUMBERS[protocol]:
        return False
    if protocol == "icmp":
        return entry.from_port in (None, -1) or (entry.from_port == port and entry.to_port in (None, -1, 0))
    return entry.from_port is None or entry.to_port is None or entry.from_port <= port <= entry.to_port


def _words(probe: Probe) -> str:
    return "ICMP echo" if probe.protocol == "icmp" else f"{probe.protocol.upper()} {probe.port}"
