"""One VPC: a network namespace that routes between its interfaces and holds its security groups.

Everything here blocks for a millisecond or less and runs in the network's worker threads. One lock per VPC; what the
kernel holds is what counts: a new process reads members and routes back from it.
"""

import errno
import hashlib
import ipaddress
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from portside.domain.flow import Flow, FlowCounts, FlowOwner, owner_of
from portside.domain.vpc import SecurityGroup
from portside.domain.vpc_route import Target, cidr_blocks
from portside.node.interface import VpcConfig
from portside.node.network import acl, balanced, conntrack, elastic, firewall, link_local, netns, rtnetlink, transparent
from portside.node.network.door import Door, entries, stand_ins
from portside.node.network.door import rules as door_rules
from portside.node.network.elastic import Elastic
from portside.node.network.firewall import TABLE, Combination
from portside.node.network.flow_file import FlowFile, earlier
from portside.node.network.netlink import Message, NetlinkError, NetlinkSocket
from portside.node.network.nftables import Nftables, NftablesError, add_element, commit, delete_element, nf_socket
from portside.node.network.uplink import NEXT_HOP, Uplink

log = logging.getLogger(__name__)

ROUTER_MAC = "02:00:00:00:00:01"
"""The address of every router-side end, so that one permanent neighbour entry serves every interface: no ARP."""

_ROUTER_SYSCTLS = (
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/rp_filter", "1"),  # strict: an interface can send from its own address only
    ("ipv4/conf/default/rp_filter", "1"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/default/accept_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
)
_NO_IPV6 = (("ipv6/conf/all/disable_ipv6", "1"), ("ipv6/conf/default/disable_ipv6", "1"))
_FIRST_LEG_INDEX = 10
_BLOCK_RULE_PRIORITY = 40000
"""After the main table, which holds the VPC's own addresses: no route of a subnet leads them elsewhere."""
_TRANSPARENT_RULE_PRIORITY = 20000
"""Before the main table, which knows where a client is: answers to it go to the proxy that sent as it."""
_MARK_RULE_PRIORITY = 39000
"""Before those of blocks: answers of a load balancer's targets take the way of its own subnet."""
_MESSAGES_AT_ONCE = 64
_ATTEMPTS = 3
_SETTLE_TRIES, _SETTLE_PAUSE_S = 200, 0.001


def leg_name(eni_id: str) -> str:
    """The router-side link of an interface: 15 characters at most, unique within the VPC's namespace."""
    digits = eni_id.removeprefix("eni-")
    if len(digits) == 17 and digits.isalnum():
        return f"e{digits[3:]}"
    return f"e{hashlib.sha256(eni_id.encode()).hexdigest()[:14]}"


def disable_ipv6() -> None:
    for name, value in _NO_IPV6:
        with suppress(FileNotFoundError):  # a kernel without IPv6
            netns.write_sysctl(name, value)


class Router:
    """The namespace of one VPC, opened. Made by `Router.open`; `close` leaves the namespace as it is."""

    def __init__(self, vpc_id: str, pin: Path, uplink: Uplink | None, flow_file: FlowFile, door: Door) -> None:
        self.vpc_id, self.pin = vpc_id, pin
        self._flow_file = flow_file
        self._flows = flow_file.flows
        self._with_flows = bool(self._flows)
        self._door = door
        # by address and port on the host; None: an earlier process may have made some
        self._entries: dict[tuple[str, int], str] | None = None if self._flows else {}
        self._counted: set[int] = set()  # numbers whose counters are in the table
        self._lock = threading.RLock()
        self._uplink = uplink
        self._groups: dict[str, SecurityGroup] | None = None
        self._members: dict[str, Combination] = {}
        self._owners: dict[str, str] = {}
        self._public: dict[str, str] = {}
        self._elastic: dict[str, Elastic] = {}  # by the address of a load balancer's leg
        # address of a leg whose proxy sends as its clients -> its link, and that one's index
        self._transparent: dict[str, tuple[str, int]] = {}
        self._chains: dict[Combination, str] = {}
        self._nats: dict[str, str] = {}  # address of a NAT gateway -> its leg
        self._config: VpcConfig | None = None
        self._acl = ""
        self._resolver_addresses: set[str] = set()
        self._routed: tuple[dict[tuple[int, str], rtnetlink.Route], dict[str, int]] | None = None
        if netns.is_pinned(pin):
            self._rt, self._nf, self._nft = netns.within(pin, _sockets)
        else:
            self._rt, self._nf, self._nft = netns.create(pin, _prepared_sockets)
        self._rt.request([rtnetlink.link_up(rtnetlink.LOOPBACK_INDEX)])
        links = {link.index: link.name for link in rtnetlink.links(self._rt)}
        self._next_index = max(_FIRST_LEG_INDEX, *links) + 1
        for address, index in rtnetlink.host_routes(self._rt).items():
            if index in links:
                self._owners[address] = links[index]
        self._read_members()
        if uplink is not None and (self._public or firewall.UPLINK in links.values()):
            self._connect(uplink)

    @property
    def addresses(self) -> list[str]:
        """Every address that the security groups know."""
        with self._lock:
            return list(self._members)

    def listen(self, ports: Sequence[int]) -> list[socket.socket]:
        """Sockets at the link-local address, which tasks reach whatever their security groups say. Raises OSError."""
        return link_local.open_sockets(self._rt, self.pin, ports)

    def listen_for_names(self, address: str) -> list[socket.socket]:
        """Sockets of the VPC's resolver at an address; none if they are open already. Raises OSError."""
        with self._lock:
            if address in self._resolver_addresses:
                return []
            opened = link_local.open_resolver_sockets(self._rt, self.pin, address)
            self._resolver_addresses.add(address)
            return opened

    def has_leg(self, eni_id: str) -> bool:
        return rtnetlink.link_index(self._rt, leg_name(eni_id)) != 0

    def apply(self, config: VpcConfig) -> None:
        """Make the rules those of the configuration, in one transaction; nothing is written when nothing changed."""
        groups = {group.id: group for group in config.security_groups}
        with self._lock:
            self._apply_acl(config)
            nats, self._nats = self._nats, {each.eni.address: leg_name(each.eni.eni_id) for each in config.nat_gateways}
            self._apply_public(config)
            if self._groups is None:
                self._groups = groups
                self._rewrite()
                return
            before, self._groups = self._groups, groups
            try:
                self._apply_difference(before, groups, set(nats.values()))
            except NftablesError as error:
                log.warning("rules of %s could not be changed, writing all of them anew: %s", self.vpc_id, error)
                self._rewrite()

    def apply_routes(self, config: VpcConfig) -> None:
        """Make the routes of the subnets those of the configuration. The legs of its NAT gateways are there.

        Each subnet has a table in the kernel, numbered with its block's first address, and a rule that leads packets
        from the block there. What a rule or table had and is not wanted any more goes last.
        """
        with self._lock:
            self._config = config
            self._apply_routes()

    def _apply_routes(self) -> None:
        assert self._config is not None
        wanted = {(each.table, each.destination): each for each in self._wanted_routes(self._config)}
        rules = {each.subnet.cidr_block: _table(each.subnet.cidr_block) for each in self._config.subnets}
        if self._routed == (wanted, rules):
            return
        before, self._routed = self._routed, None
        known = before[0] if before is not None else {(r.table, r.destination): r for r in rtnetlink.routes(self._rt)}
        self._request(rtnetlink.put_route(each) for key, each in wanted.items() if known.get(key) != each)
        there = rtnetlink.block_rules(self._rt, _BLOCK_RULE_PRIORITY)
        for block in sorted(rules.keys() - there.keys()):
            self._request([rtnetlink.block_rule(block, rules[block], _BLOCK_RULE_PRIORITY, add=True)])
        for block in sorted(there.keys() - rules.keys()):
            self._request([rtnetlink.block_rule(block, there[block], _BLOCK_RULE_PRIORITY, add=False)])
        self._request(rtnetlink.delete_route(each) for key, each in known.items() if key not in wanted)
        self._routed = wanted, rules

    def _wanted_routes(self, config: VpcConfig) -> Iterable[rtnetlink.Route]:
        for block in cidr_blocks(config.vpc):
            # An address of the VPC that nobody has is nowhere, whatever a subnet's default route is.
            yield rtnetlink.Route(
                table=rtnetlink.RT_TABLE_MAIN, destination=block, kind=rtnetlink.RTN_UNREACHABLE, index=0
            )
        for leg in self._transparent_legs().values():
            table = transparent.route_table(leg.link_index)
            yield rtnetlink.Route(table=table, destination="0.0.0.0/0", via=leg.address, index=leg.link_index)
        for each in config.subnets:
            table = _table(each.subnet.cidr_block)
            for route in each.routes:
                via, index = None, 0
                if route.target is Target.INTERNET and self._uplink is not None:
                    via, index = NEXT_HOP, self._uplink.inside_index
                elif route.target is Target.NAT and route.address in self._nats:
                    via, index = route.address, rtnetlink.link_index(self._rt, self._nats[route.address])
                if via is not None and index:
                    yield rtnetlink.Route(table=table, destination=route.destination, via=via, index=index)
                else:
                    kind = rtnetlink.RTN_BLACKHOLE if route.target is Target.BLACKHOLE else rtnetlink.RTN_UNREACHABLE
                    yield rtnetlink.Route(table=table, destination=route.destination, kind=kind)

    def _request(self, messages: Iterable[Message]) -> None:
        every = list(messages)
        for at in range(0, len(every), _MESSAGES_AT_ONCE):
            self._rt.request(every[at : at + _MESSAGES_AT_ONCE])

    def _connect(self, uplink: Uplink) -> None:
        """Made for the first public address, so that a machine on which nobody asks for one stays as it is."""
        before = uplink.inside_index
        uplink.connect(self._rt, self.pin)
        if uplink.inside_index != before and self._config is not None:
            self._apply_routes()

    def _apply_acl(self, config: VpcConfig) -> None:
        legs = {leg_name(each.eni.eni_id): _subnet_of(config, each.eni.address) for each in config.nat_gateways}
        text = acl.ruleset(config.subnets, legs)
        if text != self._acl:
            self._nft.run(text)
            self._acl = text

    def _apply_public(self, config: VpcConfig) -> None:
        """The public addresses of NAT gateways, and none of those that are gone."""
        wanted = {each.eni.address: each.public_address for each in config.nat_gateways}
        for address in set(self._public) - set(self._members):
            if self._public[address] != wanted.get(address):
                self._forget_public(address)
        for address, public in wanted.items():
            if public is None or self._uplink is None or self._public.get(address) == public:
                continue
            self._connect(self._uplink)
            self._public[address] = public
            if self._groups is not None:  # else all is written next
                self._commit(_public_elements(address, public))
                self._uplink.route(public)

    def _forget_public(self, address: str) -> None:
        public = self._public.pop(address)
        with suppress(NetlinkError):  # a table written by an earlier process may not know it
            commit(self._nf, _public_removal(address, public))
        if self._uplink is not None:
            self._uplink.unroute(public)

    def apply_flows(self, flows: tuple[Flow, ...]) -> None:
        """Make the flows that are led on these; standing ones go on. The first ones write the whole table anew."""
        with self._lock:
            if flows == self._flows:
                return
            before, self._flows = self._flows, flows
            self._flow_file.save(flows)
            if self._groups is None:
                return  # the first `apply` writes everything
            moved = stand_ins(entries(before)) != stand_ins(entries(flows))
            if not self._with_flows or moved:
                self._with_flows = True
                self._rewrite()
                return
            self._lead_doors()
            numbers = self._flow_file.numbers
            stale = balanced.chains(before, numbers) - balanced.chains(flows, numbers)
            try:
                self._nft.run(balanced.leads(TABLE, flows, numbers, self._counted, stale))
                self._counted = set(numbers.values())
            except NftablesError as error:
                log.warning("flows of %s could not be changed, writing all rules anew: %s", self.vpc_id, error)
                self._rewrite()

    def _lead_doors(self) -> None:
        """Programs of the host reach what they should. That they do not is no reason to lead nobody else."""
        wanted = entries(self._flows)
        if wanted == self._entries:
            return
        self._entries = None
        try:
            self._door.lead(wanted, self._rt, self.pin)
        except (OSError, NetlinkError, NftablesError) as error:
            log.error("datagrams of this machine's programs do not reach load balancers of %s: %s", self.vpc_id, error)
        else:
            self._entries = wanted

    def standing_flows(self) -> list[tuple[FlowOwner, conntrack.Flow]]:
        """The balanced flows that are open, with whose they are."""
        whose = {number: key for key, number in self._flow_file.numbers.items()}
        return [
            (whose[number], flow)
            for flow in conntrack.marked(self._nf, balanced.BALANCED)
            if not flow.mark & balanced.TRANSPARENT and (number := flow.mark >> balanced.NUMBER_SHIFT) in whose
        ]

    def end_flows(self, target_group_arn: str, address: str, port: int) -> int:
        """What comes next of the target's flows is answered by a reset, or begins anew. Returns how many there were."""
        ended = [
            flow
            for owner, flow in self.standing_flows()
            if owner.target_group_arn == target_group_arn and flow.target == (address, port)
        ]
        return conntrack.delete(self._nf, ended)

    def flow_counts(self) -> dict[FlowOwner, FlowCounts]:
        if not self._flows:
            return {}
        with self._lock:
            counters = {
                entry["counter"]["name"]: entry["counter"] for entry in self._nft.tables() if "counter" in entry
            }
        active = Counter(key for key, _ in self.standing_flows())
        wanted = {
            owner
            for flow in self._flows
            for each in flow.backends
            for owner in (owner_of(flow, each), *earlier(owner_of(flow, each)))
        }
        found = {}
        for key in wanted:
            number = self._flow_file.numbers.get(key)
            if number is not None and f"new_{number}" in counters:
                found[key] = FlowCounts(
                    new=counters[f"new_{number}"]["packets"],
                    active=active[key],
                    bytes=counters[f"bytes_{number}"]["bytes"] + counters[f"new_{number}"]["bytes"],
                    client_resets=counters[f"client_reset_{number}"]["packets"],
                    target_resets=counters[f"target_reset_{number}"]["packets"],
                )
        return found

    def admit(self, eni_id: str, address: str, group_ids: Sequence[str], public_address: str | None = None) -> None:
        """Let the address take part, under the rules of its groups. Idempotent; also changes its groups."""
        combo = firewall.combination(group_ids)
        if self._uplink is None:
            public_address = None
        with self._lock:
            self._owners[address] = leg_name(eni_id)
            if self._members.get(address) == combo and self._public.get(address) == public_address:
                return
            old = self._members.get(address)
            old_public = self._public.get(address)
            self._members[address] = combo
            if old_public is not None and old_public != public_address:
                del self._public[address]
                if self._uplink is not None:
                    self._uplink.unroute(old_public)
            if public_address is not None and self._uplink is not None:
                self._connect(self._uplink)
                self._public[address] = public_address
            if self._groups is None:
                return  # known only: the first `apply` writes everything
            self._ensure_chains(combo)
            messages = self._removal(address, old, old_public) if old is not None else []
            messages += [
                add_element(TABLE, firewall.EGRESS_MAP, address, chain=firewall.egress_chain(combo)),
                add_element(TABLE, firewall.INGRESS_MAP, address, chain=firewall.ingress_chain(combo)),
                *(add_element(TABLE, firewall.member_set(group), address) for group in combo if self._has_set(group)),
            ]
            if self._with_flows:
                messages.append(add_element(TABLE, balanced.TARGET_MAP, address, chain=firewall.balanced_chain(combo)))
            if address in self._public:
                messages += _public_elements(address, self._public[address])
            self._commit(messages)
            if address in self._transparent:
                self._rewrite()
            if address in self._public and self._uplink is not None:
                self._uplink.route(self._public[address])

    def lead_public(self, address: str, prefix_length: int, public: str | None) -> None:
        """What comes to this public address is for a load balancer's leg, which answers from it. None: no other than
        its own. Idempotent."""
        with self._lock:
            wanted = None
            if public is not None and self._uplink is not None:
                wanted = Elastic(public, _table(str(ipaddress.ip_interface(f"{address}/{prefix_length}").network)))
            if self._elastic.get(address) == wanted:
                return
            old = self._elastic.pop(address, None)
            if old is not None and self._uplink is not None:
                self._uplink.unroute(old.public)
            if wanted is not None and self._uplink is not None:
                self._connect(self._uplink)
                self._elastic[address] = wanted
            self._apply_mark_rules()
            if self._groups is not None:
                self._rewrite()
            elif old is not None:
                with suppress(NetlinkError):  # the first `apply` writes everything
                    commit(self._nf, [delete_element(TABLE, each, address) for each in elastic.MAPS])

    def keep_clients(self, eni_id: str, address: str, *, kept: bool) -> None:
        """Whether a load balancer's proxy may send as its clients by this leg, which is there. Idempotent."""
        link = leg_name(eni_id)
        with self._lock:
            wanted = (link, rtnetlink.link_index(self._rt, link)) if kept else None
            if self._transparent.get(address) == wanted:
                return
            self._transparent.pop(address, None)
            if wanted is not None:
                self._transparent[address] = wanted
                self._with_flows = True
            self._apply_transparent()

    def _apply_transparent(self) -> None:
        """A link's own filter holds where none is for all: each has it from its making, but those of such legs."""
        legs = self._transparent_legs()
        if legs:

            def prepare() -> None:
                for link in legs:
                    netns.write_sysctl(f"ipv4/conf/{link}/rp_filter", "0")
                for name in ("rp_filter", "src_valid_mark"):
                    netns.write_sysctl(f"ipv4/conf/all/{name}", "0")

            netns.within(self.pin, prepare)
        wanted = {transparent.mark(each.link_index): transparent.route_table(each.link_index) for each in legs.values()}
        there = rtnetlink.mark_rules(self._rt, _TRANSPARENT_RULE_PRIORITY)
        for mark in sorted(there - wanted.keys()):
            table = transparent.route_table(mark >> balanced.NUMBER_SHIFT)
            self._request([rtnetlink.mark_rule(mark, table, _TRANSPARENT_RULE_PRIORITY, add=False)])
        for mark in sorted(wanted.keys() - there):
            self._request([rtnetlink.mark_rule(mark, wanted[mark], _TRANSPARENT_RULE_PRIORITY, add=True)])
        if self._config is not None:
            self._apply_routes()
        if self._groups is not None:
            self._rewrite()

    def _transparent_legs(self) -> dict[str, transparent.Leg]:
        """By link; those that are there and have groups."""
        return {
            link: transparent.Leg(address, index, combo, firewall.egress_chain(combo))
            for address, (link, index) in self._transparent.items()
            if index and (combo := self._members.get(address)) is not None
        }

    def _apply_mark_rules(self) -> None:
        wanted = {each.table for each in self._elastic.values()}
        there = rtnetlink.mark_rules(self._rt, _MARK_RULE_PRIORITY)
        if wanted:
            sysctl = f"ipv4/conf/{firewall.UPLINK}/src_valid_mark"
            netns.within(self.pin, lambda: netns.write_sysctl(sysctl, "1"))
        for marks, add in ((wanted - there, True), (there - wanted, False)):
            self._request(rtnetlink.mark_rule(each, each, _MARK_RULE_PRIORITY, add=add) for each in sorted(marks))

    def expel(self, eni_id: str, address: str) -> None:
        """The address takes no part any more. Nothing happens if another interface has it by now."""
        with self._lock:
            if self._owners.get(address, leg_name(eni_id)) != leg_name(eni_id):
                return
            self._forget(address)

    def expel_address(self, address: str) -> None:
        """The address takes no part any more, whosever it was."""
        with self._lock:
            self._forget(address)

    def expel_others(self, addresses: set[str]) -> None:
        """Forget every address but these."""
        with self._lock:
            for address in set(self._members) - addresses:
                self._forget(address)

    def lead(self, eni_id: str, address: str, mac: str) -> None:
        """One more address leads to the interface, which has a leg. Idempotent."""
        index = rtnetlink.link_index(self._rt, leg_name(eni_id))
        self._rt.request([rtnetlink.permanent_neighbour(index, address, mac), rtnetlink.host_route(address, index)])

    def withdraw(self, eni_id: str, address: str) -> None:
        """The opposite of `admit` and `lead`. Nothing happens if another interface has the address by now."""
        self.expel(eni_id, address)
        index = rtnetlink.link_index(self._rt, leg_name(eni_id))
        if index and rtnetlink.host_routes(self._rt).get(address) == index:
            self._rt.request([rtnetlink.delete_host_route(address, index)])

    def add_leg(
        self, eni_id: str, address: str, mac: str, *, netns_fd: int, peer_name: str = "eth0", peer_index: int = 2
    ) -> int:
        """A veth pair from here to the namespace, with the route to the address; a leftover of that name goes first.

        Returns: the index of this end, for `settle` once the other end is up.
        """
        name = leg_name(eni_id)
        for attempt in range(_ATTEMPTS):
            with self._lock:
                index = self._next_index
                self._next_index += 1
            try:
                self._rt.request(
                    [
                        rtnetlink.new_veth(
                            name,
                            index,
                            ROUTER_MAC,
                            peer_name=peer_name,
                            peer_index=peer_index,
                            peer_mac=mac,
                            peer_netns_fd=netns_fd,
                        ),
                        rtnetlink.permanent_neighbour(index, address, mac),
                        rtnetlink.host_route(address, index),
                    ]
                )
                return index
            except NetlinkError as error:
                if error.errno not in (errno.EEXIST, errno.EBUSY) or attempt == _ATTEMPTS - 1:
                    raise
                # The interface was attached before, and its old namespace is still being taken down.
                self.delete_leg(eni_id)
        raise AssertionError("the last attempt returns or raises")

    def settle(self, index: int) -> None:
        """Wait until this end sends: else the first packets to a task that was just attached would be lost."""
        for _attempt in range(_SETTLE_TRIES):
            if rtnetlink.link_can_send(self._rt, index):
                return
            time.sleep(_SETTLE_PAUSE_S)
        log.warning("link %s of %s has no carrier yet; its first packets may be lost", index, self.vpc_id)

    def delete_leg(self, eni_id: str) -> None:
        try:
            self._rt.request([rtnetlink.delete_link(leg_name(eni_id))])
        except NetlinkError as error:
            if error.errno != errno.ENODEV:
                raise

    def close(self) -> None:
        """Close sockets; the namespace works on."""
        self._rt.close()
        self._nf.close()
        self._nft.close()

    def _apply_difference(
        self, before: Mapping[str, SecurityGroup], groups: Mapping[str, SecurityGroup], legs_before: set[str]
    ) -> None:
        legs = set(self._nats.values())
        in_use = set(self._members.values())
        new = set(groups) - set(before)
        with_flows = self._with_flows
        commands = [line for each in sorted(new) for line in firewall.add_group(each, with_flows=with_flows)]
        commands += [
            firewall.add_member(each, address)
            for address, combo in self._members.items()
            for each in combo
            if each in new
        ]
        chains = {combo: firewall.add_combination(combo, groups, with_flows=self._with_flows) for combo in in_use}
        commands += [text for combo, text in chains.items() if self._chains.get(combo) != text]
        stale = [combo for combo in self._chains if combo not in in_use]
        # Reading the rules of unused combinations is not worth it: they may refer to groups that go.
        commands += [firewall.delete_combination(combo, with_flows=self._with_flows) for combo in stale]
        held = {group for combo in in_use for group in combo}
        gone = set(before) - set(groups)
        commands += [
            line for each in sorted(gone - held) for line in firewall.delete_group(each, with_flows=with_flows)
        ]
        commands += [firewall.add_nat_leg(each) for each in sorted(legs - legs_before)]
        commands += [firewall.delete_nat_leg(each) for each in sorted(legs_before - legs)]
        if not commands:
            return
        self._nft.run("\n".join(commands) + "\n")
        self._chains = chains

    def _ensure_chains(self, combo: Combination) -> None:
        assert self._groups is not None
        if combo in self._chains:
            return
        text = firewall.add_combination(combo, self._groups, with_flows=self._with_flows)
        self._nft.run(text + "\n")
        self._chains[combo] = text

    def _forget(self, address: str) -> None:
        self.lead_public(address, 32, None)
        if self._transparent.pop(address, None) is not None:
            self._apply_transparent()
        combo = self._members.pop(address, None)
        public = self._public.pop(address, None)
        self._owners.pop(address, None)
        if combo is not None and self._groups is not None:
            self._commit(self._removal(address, combo, public))
        elif combo is not None:
            self._forget_adopted(address, combo, public)
        if public is not None and self._uplink is not None:
            self._uplink.unroute(public)

    def _forget_adopted(self, address: str, combo: Combination, public: str | None) -> None:
        """Before the first `apply` in this process: take the address out of whatever table is there."""
        with suppress(NetlinkError):
            commit(self._nf, self._removal(address, combo, public))

    def _removal(self, address: str, combo: Combination, public: str | None) -> list[Message]:
        known = self._groups
        messages = [
            delete_element(TABLE, firewall.EGRESS_MAP, address),
            delete_element(TABLE, firewall.INGRESS_MAP, address),
            *(
                delete_element(TABLE, firewall.member_set(each), address)
                for each in combo
                if not known or self._has_set(each)
            ),
        ]
        if self._with_flows:
            messages.append(delete_element(TABLE, balanced.TARGET_MAP, address))
        if public is not None:
            messages += _public_removal(address, public)
        return messages

    def _has_set(self, group_id: str) -> bool:
        return group_id == firewall.UNGUARDED or (self._groups is not None and group_id in self._groups)

    def _commit(self, messages: list[Message]) -> None:
        try:
            commit(self._nf, messages)
        except NetlinkError as error:
            log.warning("elements of %s could not be changed, writing all rules anew: %s", self.vpc_id, error)
            self._rewrite()

    def _rewrite(self) -> None:
        """The whole table in one transaction. Tracked flows go on: conntrack is not part of it."""
        assert self._groups is not None
        with_flows, numbers = self._with_flows, self._flow_file.numbers
        text = firewall.ruleset(
            self._groups,
            self._members,
            self._public,
            self._nats.values(),
            with_flows=with_flows,
            elastic=self._elastic,
            others=[
                *door_rules(TABLE, stand_ins(entries(self._flows))),
                *transparent.rules(TABLE, self._transparent_legs()),
            ],
        )
        if with_flows:
            text += balanced.leads(TABLE, self._flows, numbers, known=(), stale=())
        self._nft.run(text)
        self._counted = set(numbers.values()) if with_flows else set()
        self._lead_doors()
        combinations = set(self._members.values())
        self._chains = {
            combo: firewall.add_combination(combo, self._groups, with_flows=with_flows) for combo in combinations
        }
        if self._uplink is not None:
            every = {*self._public.values(), *(each.public for each in self._elastic.values())}
            for public in every:
                self._uplink.route(public)
            self._uplink.retain(every)

    def _read_members(self) -> None:
        """Take over from the kernel which addresses are in which groups."""
        in_groups: dict[str, list[str]] = {}
        of_leg: dict[str, dict[str, str]] = {each: {} for each in elastic.MAPS}
        for entry in self._nft.tables():
            if "set" in entry:
                name, elements = entry["set"]["name"], entry["set"].get("elem", [])
                if name.startswith("members_"):
                    group_id = name.removeprefix("members_").replace("_", "-", 1)
                    for address in elements:
                        in_groups.setdefault(str(address), []).append(group_id)
            if "map" in entry and entry["map"]["name"] == firewall.PUBLIC_OF:
                for private, public in entry["map"].get("elem", []):
                    self._public[str(private)] = str(public)
            if "map" in entry and entry["map"]["name"] == transparent.MARK_OF_LINK:
                links = {str(link) for link, _mark in entry["map"].get("elem", [])}
                self._transparent = {
                    address: (link, rtnetlink.link_index(self._rt, link))
                    for address, link in self._owners.items()
                    if link in links
                }
                self._with_flows = self._with_flows or bool(links)
            if "map" in entry and entry["map"]["name"] in of_leg:
                of_leg[entry["map"]["name"]] = {str(leg): str(value) for leg, value in entry["map"].get("elem", [])}
        ways = of_leg[elastic.WAY_OF_LEG]
        self._elastic = {
            leg: Elastic(public, int(ways[leg], 0))
            for leg, public in of_leg[elastic.PUBLIC_OF_LEG].items()
            if leg in ways
        }
        self._members = {address: firewall.combination(groups) for address, groups in in_groups.items()}


def _table(block: str) -> int:
    """The kernel's number for a subnet's table: subnets of a VPC do not overlap."""
    return int(ipaddress.IPv4Network(block).network_address)


def _subnet_of(config: VpcConfig, address: str) -> str:
    asked = ipaddress.IPv4Address(address)
    within = (each.subnet for each in config.subnets if asked in ipaddress.IPv4Network(each.subnet.cidr_block))
    return next((each.id for each in within), "")


def _public_elements(address: str, public: str) -> list[Message]:
    return [
        add_element(TABLE, firewall.PUBLIC_OF, address, value=public),
        add_element(TABLE, firewall.PRIVATE_OF, public, value=address),
        add_element(TABLE, firewall.PUBLIC_SET, address),
    ]


def _public_removal(address: str, public: str) -> list[Message]:
    return [
        delete_element(TABLE, firewall.PUBLIC_OF, address),
        delete_element(TABLE, firewall.PRIVATE_OF, public),
        delete_element(TABLE, firewall.PUBLIC_SET, address),
    ]


def _sockets() -> tuple[NetlinkSocket, NetlinkSocket, Nftables]:
    return rtnetlink.rt_socket(), nf_socket(), Nftables()


def _prepared_sockets() -> tuple[NetlinkSocket, NetlinkSocket, Nftables]:
    for name, value in _ROUTER_SYSCTLS:
        netns.write_sysctl(name, value)
    disable_ipv6()
    return _sockets()
