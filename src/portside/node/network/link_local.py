"""The link-local address at which tasks ask about themselves, in the namespace of their VPC.

It is on the router, never in a task's own namespace, where a program that listens on every address would be in its way.
Who asks is told by the source address, which the router lets nobody forge (rp_filter), and by the VPC.

Source: ECS developer guide, "Amazon ECS task metadata endpoint".
"""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from portside.node.network import netns, rtnetlink
from portside.node.network.netlink import NetlinkSocket

ADDRESS: Final = "169.254.170.2"
METADATA_PORT: Final = 80
INSTANCE_METADATA_ADDRESS: Final = "169.254.169.254"
"""Where instances ask about themselves, in their own namespace."""

RESOLVER_ADDRESS: Final = "169.254.169.253"
"""Where the resolver of every VPC answers, besides an address of the VPC's own."""
RESOLVER_PORT: Final = 53

SocketListener = Callable[[str, Sequence[socket.socket]], None]
"""Called in a worker thread with the id of a VPC or an instance and the listening sockets opened in its namespace; none
when it goes."""


def open_sockets(rt: NetlinkSocket, pin: Path, ports: Sequence[int], address: str = ADDRESS) -> list[socket.socket]:
    """Listening sockets in the namespace. Raises OSError; then none is open."""
    rt.request([rtnetlink.add_address(rtnetlink.LOOPBACK_INDEX, address, 32)])
    opened: list[socket.socket] = []

    def inside() -> None:
        for port in ports:
            # The protocol is named because asyncio turns Nagle's delay off only for sockets that say that they are TCP.
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            opened.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
            sock.listen(128)
            sock.setblocking(False)

    try:
        netns.within(pin, inside)
    except OSError:
        for sock in opened:
            sock.close()
        raise
    return opened


def open_resolver_sockets(rt: NetlinkSocket, pin: Path, address: str) -> list[socket.socket]:
    """A UDP socket and a listening one at the resolver's port of an address. Raises OSError; then none is open."""
    rt.request([rtnetlink.add_address(rtnetlink.LOOPBACK_INDEX, address, 32)])
    opened: list[socket.socket] = []

    def inside() -> None:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            sock = socket.socket(socket.AF_INET, kind)
            opened.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, RESOLVER_PORT))
            if kind == socket.SOCK_STREAM:
                sock.listen(128)
            sock.setblocking(False)

    try:
        netns.within(pin, inside)
    except OSError:
        for sock in opened:
            sock.close()
        raise
    return opened
