"""Links, addresses, neighbours, routes and rules, as rtnetlink messages (rtnetlink(7), linux/if_link.h).

Every function returns a message; `NetlinkSocket.request` sends several in one system call.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from portside.node.network.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    NetlinkError,
    NetlinkSocket,
    attribute,
    attributes,
    text,
    u32,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH = 28
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MASTER, IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_NET_NS_FD = 1, 3, 10, 16, 18, 28
IF_OPER_UP = 6
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_MODE = 4, 5, 4
IFF_UP = 0x1
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS, IFA_F_NOPREFIXROUTE = 1, 2, 8, 0x200
NDA_DST, NDA_LLADDR, NUD_PERMANENT = 1, 2, 0x80
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_TABLE = 1, 4, 5, 7, 15
RTN_UNICAST, RTPROT_STATIC, RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RTNH_F_ONLINK = 1, 4, 0, 253, 4
RTN_LOCAL, RT_SCOPE_HOST = 2, 254
RT_TABLE_MAIN = 254
RTN_BLACKHOLE, RTN_UNREACHABLE = 6, 7
FRA_SRC, FRA_IIFNAME, FRA_PRIORITY, FRA_FWMARK, FRA_TABLE, FR_ACT_TO_TBL = 2, 3, 6, 10, 15, 1

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_ROUTE = struct.Struct("=BBBBBBBBI")

LOOPBACK_INDEX = 1


def rt_socket() -> NetlinkSocket:
    """An rtnetlink socket of the calling thread's present network namespace."""
    return NetlinkSocket(socket.NETLINK_ROUTE)


def packed(address: str) -> bytes:
    return socket.inet_aton(address)


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def new_veth(
    name: str,
    index: int,
    mac: str,
    *,
    peer_name: str,
    peer_index: int,
    peer_mac: str,
    peer_netns_fd: int,
    bridge: int | None = None,
) -> Message:
    """A veth pair: this end, up, in the socket's namespace (and a port of a bridge); the peer, down, in another.

    The peer must be set up later: IFF_UP on it here fails with ENOTCONN (measured).
    """
    peer = (
        _LINK.pack(0, 0, peer_index, 0, 0)
        + text(IFLA_IFNAME, peer_name)
        + attribute(IFLA_ADDRESS, mac_bytes(peer_mac))
        + u32(IFLA_NET_NS_FD, peer_netns_fd)
    )
    info = text(IFLA_INFO_KIND, "veth") + attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer))
    body = (
        _LINK.pack(0, 0, index, IFF_UP, IFF_UP)
        + text(IFLA_IFNAME, name)
        + attribute(IFLA_ADDRESS, mac_bytes(mac))
        + (u32(IFLA_MASTER, bridge) if bridge is not None else b"")
        + attribute(IFLA_LINKINFO, info)
    )
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"create veth {name} (peer {peer_name})")


def new_bridge(name: str, index: int, mac: str) -> Message:
    """A bridge, up; its address is its own, not that of a port that may go."""
    body = (
        _LINK.pack(0, 0, index, IFF_UP, IFF_UP)
        + text(IFLA_IFNAME, name)
        + attribute(IFLA_ADDRESS, mac_bytes(mac))
        + attribute(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bridge"))
    )
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"create bridge {name}")


def bridge_port_hairpin(name: str) -> Message:
    """What comes in by this port of a bridge may go out by it: a container reaches itself by a mapped port."""
    info = text(IFLA_INFO_SLAVE_KIND, "bridge") + attribute(IFLA_INFO_SLAVE_DATA, attribute(IFLA_BRPORT_MODE, b"\x01"))
    body = _LINK.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name) + attribute(IFLA_LINKINFO, info)
    return Message(RTM_NEWLINK, 0, body, f"set hairpin of {name}")


def link_up(index: int) -> Message:
    return Message(RTM_NEWLINK, 0, _LINK.pack(0, 0, index, IFF_UP, IFF_UP), f"set link {index} up")


def delete_link(name: str) -> Message:
    """Takes some 30 ms (it waits for an RCU grace period): never on the way of a task; drop the namespace instead."""
    return Message(RTM_DELLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name), f"delete link {name}")


def add_address(index: int, address: str, prefix_length: int, *, prefix_route: bool = False) -> Message:
    """The address with its prefix. By default without the prefix's route: neighbours in a subnet are reached by the
    router."""
    raw = packed(address)
    body = (
        _ADDRESS.pack(socket.AF_INET, prefix_length, 0, 0, index)
        + attribute(IFA_LOCAL, raw)
        + attribute(IFA_ADDRESS, raw)
        + (b"" if prefix_route else u32(IFA_FLAGS, IFA_F_NOPREFIXROUTE))
    )
    return Message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body, f"add address {address}/{prefix_length}")


def delete_address(index: int, address: str, prefix_length: int) -> Message:
    body = _ADDRESS.pack(socket.AF_INET, prefix_length, 0, 0, index) + attribute(IFA_LOCAL, packed(address))
    return Message(RTM_DELADDR, 0, body, f"delete address {address}/{prefix_length}")


def permanent_neighbour(index: int, address: str, mac: str) -> Message:
    body = (
        _NEIGHBOUR.pack(socket.AF_INET, index, NUD_PERMANENT, 0, 0)
        + attribute(NDA_DST, packed(address))
        + attribute(NDA_LLADDR, mac_bytes(mac))
    )
    return Message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body, f"set neighbour {address} {mac}")


def host_route(address: str, index: int) -> Message:
    """`address/32 dev index scope link`, replacing one that an interface just released may still hold."""
    body = (
        _ROUTE.pack(socket.AF_INET, 32, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_LINK, RTN_UNICAST, 0)
        + attribute(RTA_DST, packed(address))
        + u32(RTA_OIF, index)
    )
    return Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body, f"route {address}/32 to link {index}")


def delete_host_route(address: str, index: int) -> Message:
    body = (
        _ROUTE.pack(socket.AF_INET, 32, 0, 0, RT_TABLE_MAIN, 0, RT_SCOPE_LINK, 0, 0)
        + attribute(RTA_DST, packed(address))
        + u32(RTA_OIF, index)
    )
    return Message(RTM_DELROUTE, 0, body, f"delete route {address}/32")


def default_route(gateway: str, index: int, *, source: str | None = None, table: int = RT_TABLE_MAIN) -> Message:
    """`default via gateway dev index onlink src source`."""
    body = (
        _ROUTE.pack(
            socket.AF_INET, 0, 0, 0, min(table, 255), RTPROT_STATIC, RT_SCOPE_UNIVERSE, RTN_UNICAST, RTNH_F_ONLINK
        )
        + attribute(RTA_GATEWAY, packed(gateway))
        + u32(RTA_OIF, index)
        + (attribute(RTA_PREFSRC, packed(source)) if source is not None else b"")
        + u32(RTA_TABLE, table)
    )
    return Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body, f"default route via {gateway} table {table}")


def link_can_send(rt: NetlinkSocket, index: int) -> bool:
    """Whether a link has taken notice of its carrier. Until then it drops what it is to send.

    The kernel does that later, in a worker; asking for the link makes it do so at once from Linux 6.8 on.
    """
    body = rt.get(Message(RTM_GETLINK, 0, _LINK.pack(0, 0, index, 0, 0), f"look at link {index}"))
    return dict(attributes(body[_LINK.size :])).get(IFLA_OPERSTATE) == bytes([IF_OPER_UP])


@dataclass(frozen=True, kw_only=True)
class Route:
    """A route of a table. `kind` is unicast (then with the neighbour and the link it leads to), blackhole, …"""

    table: int
    destination: str
    kind: int = RTN_UNICAST
    via: str | None = None
    index: int = 0


def _route_body(route: Route) -> bytes:
    address, _, length = route.destination.partition("/")
    return (
        _ROUTE.pack(
            socket.AF_INET,
            int(length),
            0,
            0,
            route.table if route.table < 256 else 0,
            RTPROT_STATIC,
            RT_SCOPE_HOST if route.kind == RTN_LOCAL else RT_SCOPE_UNIVERSE,
            route.kind,
            RTNH_F_ONLINK if route.via else 0,
        )
        + (attribute(RTA_DST, packed(address)) if length != "0" else b"")
        + (attribute(RTA_GATEWAY, packed(route.via)) if route.via else b"")
        + (u32(RTA_OIF, route.index) if route.index else b"")
        + u32(RTA_TABLE, route.table)
    )


def put_route(route: Route) -> Message:
    """The route, in place of another one of the table to that destination."""
    what = f"route {route.destination} via {route.via} table {route.table}"
    return Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, _route_body(route), what)


def delete_route(route: Route) -> Message:
    return Message(RTM_DELROUTE, 0, _route_body(route), f"delete route {route.destination} table {route.table}")


def routes(rt: NetlinkSocket) -> list[Route]:
    """The routes that programs have made in the socket's namespace, without the main table's to one address."""
    found = []
    for body in rt.dump(Message(RTM_GETROUTE, 0, _ROUTE.pack(socket.AF_INET, *[0] * 8), "list routes")):
        _family, length, _source, _tos, table, protocol, _scope, kind, _flags = _ROUTE.unpack_from(body)
        values = dict(attributes(body[_ROUTE.size :]))
        if RTA_TABLE in values:
            table = struct.unpack("=I", values[RTA_TABLE])[0]
        if protocol != RTPROT_STATIC or (length == 32 and table == RT_TABLE_MAIN):
            continue
        via, index = values.get(RTA_GATEWAY), values.get(RTA_OIF)
        found.append(
            Route(
                table=table,
                destination=f"{socket.inet_ntoa(values.get(RTA_DST, bytes(4)))}/{length}",
                kind=kind,
                via=socket.inet_ntoa(via) if via is not None else None,
                index=struct.unpack("=I", index)[0] if index is not None else 0,
            )
        )
    return found


def block_rule(block: str, table: int, priority: int, *, add: bool) -> Message:
    """`from block lookup table`. EEXIST if it is there, ENOENT if it is to go and is not."""
    address, _, length = block.partition("/")
    body = _rule_body(attribute(FRA_SRC, packed(address)), table, priority, source_length=int(length))
    return _rule(body, f"rule from {block} lookup {table}", add=add)


def block_rules(rt: NetlinkSocket, priority: int) -> dict[str, int]:
    """Block -> table, of the rules of that priority in the socket's namespace."""
    return {
        f"{socket.inet_ntoa(values[FRA_SRC])}/{length}": int(struct.unpack("=I", values[FRA_TABLE])[0])
        for length, values in _rules(rt, priority)
        if FRA_SRC in values
    }


def mark_rule(mark: int, table: int, priority: int, *, add: bool) -> Message:
    """`fwmark mark lookup table`. EEXIST if it is there, ENOENT if it is to go and is not."""
    return _rule(_rule_body(u32(FRA_FWMARK, mark), table, priority), f"rule of mark {mark:#x} lookup {table}", add=add)


def link_rule(link: str, table: int, priority: int) -> Message:
    """`iif link lookup table`. EEXIST if it is there."""
    return _rule(_rule_body(text(FRA_IIFNAME, link), table, priority), f"rule of link {link} lookup {table}", add=True)


def _rule_body(selector: bytes, table: int, priority: int, *, source_length: int = 0) -> bytes:
    head = _ROUTE.pack(socket.AF_INET, 0, source_length, 0, table if table < 256 else 0, 0, 0, FR_ACT_TO_TBL, 0)
    return head + selector + u32(FRA_PRIORITY, priority) + u32(FRA_TABLE, table)


def _rule(body: bytes, what: str, *, add: bool) -> Message:
    if add:
        return Message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, body, what)
    return Message(RTM_DELRULE, 0, body, f"delete {what}")


def mark_rules(rt: NetlinkSocket, priority: int) -> set[int]:
    """The marks of the rules of that priority in the socket's namespace."""
    return {
        int(struct.unpack("=I", values[FRA_FWMARK])[0])
        for _length, values in _rules(rt, priority)
        if FRA_FWMARK in values
    }


def _rules(rt: NetlinkSocket, priority: int) -> Iterator[tuple[int, dict[int, bytes]]]:
    """Of each rule of that priority: the length of its source block, and its attributes."""
    for body in rt.dump(Message(RTM_GETRULE, 0, _ROUTE.pack(socket.AF_INET, *[0] * 8), "list rules")):
        values = dict(attributes(body[_ROUTE.size :]))
        if values.get(FRA_PRIORITY) == struct.pack("=I", priority):
            yield _ROUTE.unpack_from(body)[2], values


def link_index(rt: NetlinkSocket, name: str) -> int:
    """The index of a link; 0 if there is none of that name. Costs the same whatever else is there."""
    body = _LINK.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name)
    try:
        return int(_LINK.unpack_from(rt.get(Message(RTM_GETLINK, 0, body, f"look for link {name}")))[2])
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            return 0
        raise


@dataclass(frozen=True, kw_only=True)
class Link:
    index: int
    name: str


def links(rt: NetlinkSocket) -> list[Link]:
    """The links of the socket's namespace."""
    found = []
    for body in rt.dump(Message(RTM_GETLINK, 0, _LINK.pack(0, 0, 0, 0, 0), "list links")):
        index = _LINK.unpack_from(body)[2]
        names = [value for kind, value in attributes(body[_LINK.size :]) if kind == IFLA_IFNAME]
        if names:
            found.append(Link(index=index, name=names[0].rstrip(b"\0").decode()))
    return found


def delete_links(rt: NetlinkSocket, prefix: str) -> None:
    """Those whose names begin with this; what another has deleted meanwhile is no error."""
    for link in links(rt):
        if link.name.startswith(prefix):
            with suppress(NetlinkError):
                rt.request([delete_link(link.name)])


def addresses(rt: NetlinkSocket) -> list[tuple[int, str]]:
    """The (link index, IPv4 address) pairs of the socket's namespace."""
    found = []
    message = Message(RTM_GETADDR, 0, _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0), "list addresses")
    for body in rt.dump(message):
        index = _ADDRESS.unpack_from(body)[4]
        for kind, value in attributes(body[_ADDRESS.size :]):
            if kind == IFA_LOCAL:
                found.append((index, socket.inet_ntoa(value)))
    return found


def host_routes(rt: NetlinkSocket) -> dict[str, int]:
    """Address -> link index, of the /32 routes of the socket's namespace."""
    found = {}
    for body in rt.dump(Message(RTM_GETROUTE, 0, _ROUTE.pack(socket.AF_INET, *[0] * 8), "list routes")):
        _family, length, _source, _tos, table, protocol, *_rest = _ROUTE.unpack_from(body)
        if (length, table, protocol) != (32, RT_TABLE_MAIN, RTPROT_STATIC):
            continue
        values = dict(attributes(body[_ROUTE.size :]))
        if RTA_DST in values and RTA_OIF in values:
            found[socket.inet_ntoa(values[RTA_DST])] = int(struct.unpack("=I", values[RTA_OIF])[0])
    return found
