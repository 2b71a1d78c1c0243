"""Tracked flows by the port they were sent to: forgotten when the port leads elsewhere.

A flow keeps the translation it began with for as long as packets come. Without this, a UDP client that never pauses
would send to a container that is gone, whatever has its port now.
Source: linux/netfilter/nfnetlink_conntrack.h
"""

import errno
import socket
import struct
from collections.abc import Collection, Mapping

from portside.node.network.netlink import Message, NetlinkError, NetlinkSocket, attribute, attributes

_SUBSYSTEM = 1 << 8
_GET, _DELETE = 1, 2
_TUPLE_ORIG, _TUPLE_PROTO = 1, 2
_PROTO_NUMBER, _PROTO_DESTINATION_PORT = 1, 3
_NESTED = 0x8000
_GENERIC = struct.Struct(">BBH")  # family, version, resource id


def forget(nf: NetlinkSocket, ports: Mapping[str, Collection[int]]) -> int:
    """Forget the IPv4 flows to these ports of the socket's namespace; what comes next begins anew.

    Args:
        ports: by protocol, tcp and udp.

    Returns: how many there were. Raises: NetlinkError.
    """
    wanted = {(socket.IPPROTO_TCP, port) for port in ports.get("tcp", ())}
    wanted |= {(socket.IPPROTO_UDP, port) for port in ports.get("udp", ())}
    if not wanted:
        return 0
    header = _GENERIC.pack(socket.AF_INET, 0, 0)
    count = 0
    for body in nf.dump(Message(_SUBSYSTEM | _GET, 0, header, "list tracked flows")):
        original = dict(attributes(body[_GENERIC.size :])).get(_TUPLE_ORIG)
        if original is None or _destination(original) not in wanted:
            continue
        message = Message(_SUBSYSTEM | _DELETE, 0, header + attribute(_TUPLE_ORIG | _NESTED, original), "forget a flow")
        try:
            nf.request([message])
            count += 1
        except NetlinkError as error:
            if error.errno != errno.ENOENT:  # it has ended meanwhile
                raise
    return count


def _destination(flow: bytes) -> tuple[int, int] | None:
    """Protocol number and port that a flow was sent to."""
    protocol = dict(attributes(dict(attributes(flow)).get(_TUPLE_PROTO, b"")))
    number, port = protocol.get(_PROTO_NUMBER), protocol.get(_PROTO_DESTINATION_PORT)
    if not number or not port:
        return None
    return number[0], int(struct.unpack(">H", port)[0])
