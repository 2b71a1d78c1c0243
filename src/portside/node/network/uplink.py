"""A VPC's way out: a veth from its namespace to the host's, or to one that the operator named.

Only interfaces with a public address get out, by 1:1 translation in the VPC's namespace, and only from subnets with a
route to an internet gateway. Outside, each public address is a /32 route to the VPC. Public addresses are from
198.18.0.0/15, which RFC 2544 sets aside and no network routes. Beyond the machine they are masqueraded.
"""

import errno
import hashlib
import ipaddress
import os
import socket
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from portside.node.network import firewall, netns, rtnetlink
from portside.node.network.netlink import NetlinkError, NetlinkSocket
from portside.node.network.nftables import NftablesError, run_once

T = TypeVar("T")

PUBLIC_CIDR = "198.18.0.0/15"
NEXT_HOP = "169.254.1.1"
"""Names the outside end; both sides hold permanent neighbour entries, so nobody needs to answer for it."""
_INSIDE_MAC, _OUTSIDE_MAC = "02:00:00:00:00:02", "02:00:00:00:00:03"


def public_block(instance_id: str) -> str:
    """The instance's own part of PUBLIC_CIDR, 2,046 addresses, so that two instances on one machine keep apart."""
    network = ipaddress.IPv4Network(PUBLIC_CIDR)
    return str(list(network.subnets(new_prefix=21))[int(instance_id, 16) % 64])


def outside_prefix(instance_id: str) -> str:
    return f"ps{instance_id[:6]}"


def outside_table(instance_id: str) -> str:
    return f"portside_{instance_id}"


class Uplink:
    """The way out of one VPC. `outside` None: the namespace Portside runs in."""

    def __init__(self, instance_id: str, vpc_id: str, outside: Path | None) -> None:
        self._instance_id = instance_id
        self._outside = outside
        self._name = outside_prefix(instance_id) + hashlib.sha256(vpc_id.encode()).hexdigest()[:7]
        self._index = 0
        self.inside_index = 0
        """Of its end in the VPC's namespace; 0 until it is connected. Routes of subnets lead there."""
        self._rt: NetlinkSocket | None = None

    def connect(self, inside: NetlinkSocket, pin: Path) -> None:
        """Make the pair if it is not there, and forwarding and masquerading outside. What leads there, routes say."""
        if self._rt is not None:
            return
        self._rt = self._in_outside(rtnetlink.rt_socket)
        if all(link.name != firewall.UPLINK for link in rtnetlink.links(inside)):
            with suppress(NetlinkError):
                self._rt.request([rtnetlink.delete_link(self._name)])
            fd = os.open(pin, os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._rt.request(
                    [
                        rtnetlink.new_veth(
                            self._name,
                            0,
                            _OUTSIDE_MAC,
                            peer_name=firewall.UPLINK,
                            peer_index=0,
                            peer_mac=_INSIDE_MAC,
                            peer_netns_fd=fd,
                        )
                    ]
                )
            finally:
                os.close(fd)
        index = next(link.index for link in rtnetlink.links(inside) if link.name == firewall.UPLINK)
        inside.request(
            [
                rtnetlink.link_up(index),
                rtnetlink.permanent_neighbour(index, NEXT_HOP, _OUTSIDE_MAC),
            ]
        )
        self.inside_index = index
        self._index = next(link.index for link in rtnetlink.links(self._rt) if link.name == self._name)
        self._in_outside(self._prepare_outside)

    def route(self, public_address: str) -> None:
        """Lead the public address from outside into the VPC."""
        assert self._rt is not None
        self._rt.request(
            [
                rtnetlink.permanent_neighbour(self._index, public_address, _INSIDE_MAC),
                rtnetlink.host_route(public_address, self._index),
            ]
        )

    def unroute(self, public_address: str) -> None:
        assert self._rt is not None
        try:
            self._rt.request([rtnetlink.delete_host_route(public_address, self._index)])
        except NetlinkError as error:
            if error.errno != errno.ESRCH:
                raise

    def retain(self, public_addresses: Collection[str]) -> None:
        """Lead no other address into the VPC: one may be left by an end between two steps."""
        if self._rt is None:
            return
        for address, index in rtnetlink.host_routes(self._rt).items():
            if index == self._index and address not in public_addresses:
                self.unroute(address)

    def _in_outside(self, inside: Callable[[], T]) -> T:
        return inside() if self._outside is None else netns.within(self._outside, inside)

    def _prepare_outside(self) -> None:
        # Left on when Portside goes: other programs may have come to rely on it.
        netns.write_sysctl("ipv4/ip_forward", "1")
        table, links = outside_table(self._instance_id), f"{outside_prefix(self._instance_id)}*"
        run_once(
            f"add table ip {table}\n"
            f"delete table ip {table}\n"
            f"add table ip {table}\n"
            f"add chain ip {table} outward {{ type nat hook postrouting priority srcnat; policy accept; }}\n"
            f'add rule ip {table} outward ip saddr {PUBLIC_CIDR} oifname != "ps*" oifname != "lo" masquerade\n'
            # The machine itself reaches public addresses (its packets are not forwarded), its neighbours do not.
            f"add chain ip {table} inward {{ type filter hook forward priority filter; policy accept; }}\n"
            f'add rule ip {table} inward iifname != "ps*" oifname "{links}" ct state new drop\n'
        )


def remove_outside(instance_id: str, outside: Path | None) -> None:
    """Remove what uplinks of the instance have made outside: links (their routes go with them) and the table."""

    def inside() -> None:
        rt = rtnetlink.rt_socket()
        try:
            rtnetlink.delete_links(rt, outside_prefix(instance_id))
        finally:
            rt.close()
        with suppress(NftablesError):
            run_once(f"delete table ip {outside_table(instance_id)}\n")

    if outside is None:
        inside()
    else:
        netns.within(outside, inside)


def outside_socket(egress: str) -> Callable[[int, int], socket.socket] | None:
    """What opens a socket where the way out leads, for questions of the resolver; None where nothing may leave."""
    if egress == "none":
        return None
    if egress == "host":
        return socket.socket
    return lambda family, kind: netns.within(Path(egress), lambda: socket.socket(family, kind))
