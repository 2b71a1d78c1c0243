"""Tracked flows: by the port they were sent to, forgotten when the port leads elsewhere; by their mark, counted.

A flow keeps the translation it began with for as long as packets come. Without this, a UDP client that never pauses
would send to a container that is gone, whatever has its port now.
Source: linux/netfilter/nfnetlink_conntrack.h
"""

import errno
import socket
import struct
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from portside.node.network.netlink import Message, NetlinkError, NetlinkSocket, attribute, attributes

_SUBSYSTEM = 1 << 8
_GET, _DELETE = 1, 2
_TUPLE_ORIG, _TUPLE_PROTO = 1, 2
_TUPLE_REPLY, _PROTOINFO, _MARK, _MARK_MASK = 2, 4, 8, 21
_TUPLE_IP, _IP_SOURCE = 1, 1
_PROTO_SOURCE_PORT = 2
_PROTOINFO_TCP, _TCP_STATE = 1, 1
_TCP_OVER = (6, 7, 8)  # LAST_ACK, TIME_WAIT, CLOSE
_PROTO_NUMBER, _PROTO_DESTINATION_PORT = 1, 3
_NESTED = 0x8000
_GENERIC = struct.Struct(">BBH")  # family, version, resource id


@dataclass(frozen=True)
class Flow:
    """A tracked flow. `target`: who answers it, whatever address it was sent to."""

    mark: int
    target: tuple[str, int]
    original: bytes


def marked(nf: NetlinkSocket, bit: int) -> list[Flow]:
    """The IPv4 flows of TCP and UDP whose mark has this bit, without connections that have ended.

    Raises: NetlinkError."""
    header = _GENERIC.pack(socket.AF_INET, 0, 0)
    chosen = attribute(_MARK, struct.pack(">I", bit)) + attribute(_MARK_MASK, struct.pack(">I", bit))
    found: list[Flow] = []
    for body in nf.dump(Message(_SUBSYSTEM | _GET, 0, header + chosen, "list marked flows")):
        parts = dict(attributes(body[_GENERIC.size :]))
        mark = int.from_bytes(parts.get(_MARK, b""))
        if not mark & bit or _TUPLE_ORIG not in parts or _TUPLE_REPLY not in parts:
            continue
        state = dict(attributes(dict(attributes(parts.get(_PROTOINFO, b""))).get(_PROTOINFO_TCP, b""))).get(_TCP_STATE)
        target = _source(parts[_TUPLE_REPLY])
        if target is not None and not (state and state[0] in _TCP_OVER):
            found.append(Flow(mark, target, parts[_TUPLE_ORIG]))
    return found


def delete(nf: NetlinkSocket, flows: Iterable[Flow]) -> int:
    """Forget these flows. Returns how many were still there. Raises NetlinkError."""
    return sum(_delete(nf, flow.original) for flow in flows)


def _delete(nf: NetlinkSocket, original: bytes) -> bool:
    header = _GENERIC.pack(socket.AF_INET, 0, 0)
    message = Message(_SUBSYSTEM | _DELETE, 0, header + attribute(_TUPLE_ORIG | _NESTED, original), "forget a flow")
    try:
        nf.request([message])
    except NetlinkError as error:
        if error.errno != errno.ENOENT:  # it has ended meanwhile
            raise
        return False
    return True


def _source(flow: bytes) -> tuple[str, int] | None:
    parts = dict(attributes(flow))
    address = dict(attributes(parts.get(_TUPLE_IP, b""))).get(_IP_SOURCE)
    port = dict(attributes(parts.get(_TUPLE_PROTO, b""))).get(_PROTO_SOURCE_PORT)
    return (socket.inet_ntoa(address), int.from_bytes(port)) if address and port else None


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
        count += _delete(nf, original)
    return count


def _destination(flow: bytes) -> tuple[int, int] | None:
    """Protocol number and port that a flow was sent to."""
    protocol = dict(attributes(dict(attributes(flow)).get(_TUPLE_PROTO, b"")))
    number, port = protocol.get(_PROTO_NUMBER), protocol.get(_PROTO_DESTINATION_PORT)
    if not number or not port:
        return None
    return number[0], int(struct.unpack(">H", port)[0])
