"""What a container instance's own namespace holds besides its interface: a bridge for containers, and port mappings.

As Docker has them: `docker0` with 172.17.0.1/16, containers with an address and a namespace of their own, mapped ports
by destination NAT, everything that leaves masqueraded as the instance. Containers of one instance reach each other;
from outside only mapped ports lead in. The rule set is written as a whole, in one transaction, whenever a task comes or
goes: it is small, and nothing has to be remembered of it.
"""

import hashlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from portside.domain.instance_network import BRIDGE_ADDRESS, BRIDGE_CIDR, BRIDGE_PREFIX_LENGTH
from portside.domain.task.record import BridgeEndpoint, Placement
from portside.node.network import conntrack, link_local, netns, rtnetlink
from portside.node.network.netlink import NetlinkError, NetlinkSocket
from portside.node.network.nftables import Nftables, nf_socket

log = logging.getLogger(__name__)

BRIDGE = "docker0"
TABLE = "portside"
INTERFACE_INDEX = 2
_BRIDGE_INDEX = 3
_BRIDGE_MAC = "02:42:00:00:00:01"
_SETTLE_TRIES, _SETTLE_PAUSE_S = 200, 0.001
_SYSCTLS = (
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    # Of several interfaces each answers, whichever one the way back would be.
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
)


Endpoints = Mapping[tuple[str, int], int]
"""Of link-local addresses: (address, port) -> the port at which the daemon listens. They differ because tasks in host
mode may listen at any port on every address, but not at the agent's."""


NO_ENDPOINTS: Endpoints = MappingProxyType({})


def ruleset(placements: Iterable[Placement], endpoints: Endpoints = NO_ENDPOINTS) -> str:
    """The whole table of an instance with these tasks, replacing what is there.

    Args:
        endpoints: where the daemon listens.
    """
    lines = [f"add table ip {TABLE}", f"delete table ip {TABLE}", f"add table ip {TABLE}"]
    ports: dict[str, list[str]] = {"tcp": [], "udp": []}
    for placement in placements:
        address_of = {each.container: each.address for each in placement.endpoints}
        for binding in placement.bindings:
            if binding.container in address_of:
                ports[binding.protocol] += [
                    f"{port} : {address_of[binding.container]} . {binding.container_port + offset}"
                    for offset, port in enumerate(binding.host_ports)
                ]
    for protocol, elements in ports.items():
        contents = f" elements = {{ {', '.join(sorted(elements))} }};" if elements else ""
        lines.append(
            f"add map ip {TABLE} {protocol}_ports {{ type inet_service : ipv4_addr . inet_service;{contents} }}"
        )
    for chain, hook in (("inward", "prerouting"), ("own", "output")):
        lines.append(f"add chain ip {TABLE} {chain} {{ type nat hook {hook} priority -100; policy accept; }}")
        for (address, asked), listened in endpoints.items():
            lines.append(
                f"add rule ip {TABLE} {chain} ip daddr {address} tcp dport {asked} dnat to {address}:{listened}"
            )
        for protocol in ports:
            lines.append(
                f"add rule ip {TABLE} {chain} fib daddr type local dnat ip to {protocol} dport map @{protocol}_ports"
            )
    lines += [
        # The bridge routes loopback addresses, so that the instance reaches mapped ports by its own: none may come in.
        f"add chain ip {TABLE} guard {{ type filter hook prerouting priority raw; policy accept; }}",
        f'add rule ip {TABLE} guard iifname != "lo" ip daddr 127.0.0.0/8 drop',
        f"add chain ip {TABLE} outward {{ type nat hook postrouting priority srcnat; policy accept; }}",
        f'add rule ip {TABLE} outward ip saddr {BRIDGE_CIDR} oifname != "{BRIDGE}" masquerade',
        # To a container by way of a mapped port, from a container or the instance itself: the answer has to come back.
        f'add rule ip {TABLE} outward ip saddr {BRIDGE_CIDR} oifname "{BRIDGE}" ct status dnat masquerade',
        f'add rule ip {TABLE} outward ip saddr 127.0.0.0/8 oifname "{BRIDGE}" masquerade',
        f"add chain ip {TABLE} through {{ type filter hook forward priority filter; policy drop; }}",
        f"add rule ip {TABLE} through ct state established,related accept",
        f'add rule ip {TABLE} through iifname "{BRIDGE}" accept',
        f'add rule ip {TABLE} through oifname "{BRIDGE}" ct status dnat accept',
    ]
    return "\n".join(lines) + "\n"


class InstanceNamespace:
    """The namespace of one container instance, opened; made if it is not there. `close` leaves it as it is."""

    def __init__(self, pin: Path, endpoints: Endpoints = NO_ENDPOINTS) -> None:
        self.pin, self._endpoints = pin, endpoints
        self._lock = threading.Lock()
        self._placements: dict[str, Placement] = {}
        opened = netns.within(pin, _opened) if netns.is_pinned(pin) else netns.create(pin, _prepared)
        self.rt, self._nf, self._nft, self.fd = opened

    def is_whole(self) -> bool:
        """Whether the interface has its address, which it is given last."""
        return any(index == INTERFACE_INDEX for index, _ in rtnetlink.addresses(self.rt))

    def make_bridge(self) -> None:
        """The bridge and the empty rule set. Before the interface is there, so that no packet passes without rules."""
        self.rt.request(
            [
                rtnetlink.link_up(rtnetlink.LOOPBACK_INDEX),
                rtnetlink.new_bridge(BRIDGE, _BRIDGE_INDEX, _BRIDGE_MAC),
                rtnetlink.add_address(_BRIDGE_INDEX, BRIDGE_ADDRESS, BRIDGE_PREFIX_LENGTH, prefix_route=True),
            ]
        )
        netns.within(self.pin, lambda: netns.write_sysctl(f"ipv4/conf/{BRIDGE}/route_localnet", "1"))
        self._nft.run(ruleset((), self._endpoints))

    def listen(self) -> list[socket.socket]:
        """Sockets at the link-local addresses, in the order of the endpoints. Raises OSError."""
        opened: list[socket.socket] = []
        try:
            for (address, _), port in self._endpoints.items():
                opened += link_local.open_sockets(self.rt, self.pin, [port], address)
        except OSError:
            for each in opened:
                each.close()
            raise
        return opened

    def adopt(self, placements: Mapping[str, Placement]) -> None:
        """After a restart: these tasks, and no others, are on the instance."""
        with self._lock:
            self._placements = dict(placements)
            self._nft.run(ruleset(self._placements.values(), self._endpoints))

    def connect(self, endpoint: BridgeEndpoint, pin: Path) -> None:
        """A namespace with `eth0` on the bridge. Idempotent: a half-made one is made anew."""
        if netns.is_pinned(pin):
            if netns.within(pin, _has_address):
                return
            netns.drop(pin)
        name = port_name(endpoint)
        rt, fd = netns.create(pin, _inside_of_container)
        try:
            for attempt in range(2):
                try:
                    self._new_port(name, endpoint, fd)
                    break
                except NetlinkError:
                    if attempt:
                        raise
                    # Of a namespace that is still being taken down.
                    with suppress(NetlinkError):
                        self.rt.request([rtnetlink.delete_link(name)])
            rt.request(
                [
                    rtnetlink.link_up(rtnetlink.LOOPBACK_INDEX),
                    rtnetlink.link_up(INTERFACE_INDEX),
                    rtnetlink.add_address(INTERFACE_INDEX, endpoint.address, BRIDGE_PREFIX_LENGTH, prefix_route=True),
                    rtnetlink.default_route(BRIDGE_ADDRESS, INTERFACE_INDEX),
                ]
            )
            self._settle(name)
        except OSError:
            netns.drop(pin)
            raise
        finally:
            rt.close()
            os.close(fd)

    def _new_port(self, name: str, endpoint: BridgeEndpoint, fd: int) -> None:
        digits = endpoint.address.split(".")
        tail = ":".join(f"{int(each):02x}" for each in digits)
        self.rt.request(
            [
                rtnetlink.new_veth(
                    name,
                    0,
                    f"02:43:{tail}",
                    peer_name="eth0",
                    peer_index=INTERFACE_INDEX,
                    peer_mac=f"02:42:{tail}",
                    peer_netns_fd=fd,
                    bridge=_BRIDGE_INDEX,
                ),
                rtnetlink.bridge_port_hairpin(name),
            ]
        )

    def _settle(self, name: str) -> None:
        """Wait until the bridge's end sends: else the first packets to the container would be lost."""
        index = next((link.index for link in rtnetlink.links(self.rt) if link.name == name), 0)
        for _attempt in range(_SETTLE_TRIES):
            if not index or rtnetlink.link_can_send(self.rt, index):
                return
            time.sleep(_SETTLE_PAUSE_S)

    def publish(self, task_key: str, placement: Placement) -> None:
        """The task's ports lead to its containers."""
        with self._lock:
            if self._placements.get(task_key) == placement:
                return
            self._placements[task_key] = placement
            self._nft.run(ruleset(self._placements.values(), self._endpoints))
            self._forget_flows(placement)

    def withdraw(self, task_key: str) -> None:
        """The task's ports lead nowhere, also for flows that go on."""
        with self._lock:
            placement = self._placements.pop(task_key, None)
            if placement is not None:
                self._nft.run(ruleset(self._placements.values(), self._endpoints))
                self._forget_flows(placement)

    def _forget_flows(self, placement: Placement) -> None:
        ports: dict[str, list[int]] = {"tcp": [], "udp": []}
        for binding in placement.bindings:
            ports[binding.protocol] += binding.host_ports
        try:
            conntrack.forget(self._nf, ports)
        except OSError as error:
            log.warning("tracked flows of %s could not be forgotten: %s", self.pin.name, error)

    def close(self) -> None:
        self.rt.close()
        self._nf.close()
        self._nft.close()
        os.close(self.fd)


def port_name(endpoint: BridgeEndpoint) -> str:
    """The bridge's end of a container's pair: an address is one container's at a time."""
    return "v" + hashlib.sha256(f"{endpoint.address}/{endpoint.container}".encode()).hexdigest()[:13]


def _opened() -> tuple[NetlinkSocket, NetlinkSocket, Nftables, int]:
    fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    return rtnetlink.rt_socket(), nf_socket(), Nftables(), fd


def _prepared() -> tuple[NetlinkSocket, NetlinkSocket, Nftables, int]:
    for name, value in _SYSCTLS:
        netns.write_sysctl(name, value)
    _no_ipv6()
    return _opened()


def _no_ipv6() -> None:
    with suppress(FileNotFoundError):  # a kernel without IPv6
        netns.write_sysctl("ipv6/conf/default/disable_ipv6", "1")


def _inside_of_container() -> tuple[NetlinkSocket, int]:
    _no_ipv6()
    return rtnetlink.rt_socket(), os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _has_address() -> bool:
    rt = rtnetlink.rt_socket()
    try:
        return any(index == INTERFACE_INDEX for index, _ in rtnetlink.addresses(rt))
    finally:
        rt.close()
