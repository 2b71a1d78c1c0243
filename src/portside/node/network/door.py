"""A way from the machine's own programs to a VPC's Network Load Balancers: for datagrams, which no proxy carries.

A veth pair leads from the namespace Portside runs in to the router. What a program sends to a load balancer's address
on the host (127.66.x.y) is translated to one of 240.0.0.0/4 (240.66.x.y), which no network has and which the pair
leads to; its source becomes 240.66.0.1, since no address of 127.0.0.0/8 can leave the loopback link. The router
rewrites 240.66.x.y to the leg's address and back, packet by packet, as it does public ones. Nothing goes out of a VPC
by it but answers, so it is there whatever `egress` says.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from portside.domain.flow import Flow
from portside.node.network import netns, rtnetlink
from portside.node.network.balanced import DOOR
from portside.node.network.netlink import NetlinkError, NetlinkSocket
from portside.node.network.nftables import Nftables, NftablesError, run_once
from portside.node.network.uplink import outside_prefix

HOST: Final = "240.66.0.1"
"""All programs of the host, as a router sees them."""
_BEFORE_DSTNAT: Final = -105
"""nft has no name for it at this hook. Source: linux/netfilter_ipv4.h, NF_IP_PRI_NAT_DST."""
_INSIDE_MAC, _OUTSIDE_MAC = "02:00:00:00:00:04", "02:00:00:00:00:05"


def stand_in(host_address: str) -> str:
    """What stands for a load balancer's address on the host between the host and the router."""
    return f"240{host_address[host_address.index('.') :]}"


def entries(flows: Iterable[Flow]) -> dict[tuple[str, int], str]:
    """Address on the host and port -> the leg, of flows of datagrams."""
    return {
        (each.host_address, each.port): each.address for each in flows if each.host_address and each.protocol == "udp"
    }


def stand_ins(wanted: Mapping[tuple[str, int], str]) -> dict[str, str]:
    """Leg -> what stands for its address on the host."""
    return {leg: stand_in(host_address) for (host_address, _port), leg in wanted.items()}


def rules(table: str, legs: Mapping[str, str]) -> list[str]:
    """The router's side. Nothing is added where there is no door."""
    if not legs:
        return []
    lines = f"""
add map inet {table} leg_of_door {{ type ipv4_addr : ipv4_addr; }}
add map inet {table} door_of_leg {{ type ipv4_addr : ipv4_addr; }}
add chain inet {table} door_in {{ type filter hook prerouting priority raw; policy accept; }}
add rule inet {table} door_in iifname "{DOOR}" ip daddr set ip daddr map @leg_of_door
add chain inet {table} door_out {{ type filter hook postrouting priority srcnat + 50; policy accept; }}
add rule inet {table} door_out oifname "{DOOR}" ip saddr set ip saddr map @door_of_leg
""".strip().splitlines()
    for leg, address in sorted(legs.items()):
        lines.append(f"add element inet {table} leg_of_door {{ {address} : {leg} }}")
        lines.append(f"add element inet {table} door_of_leg {{ {leg} : {address} }}")
    return lines


class Door:
    """That of one VPC. Made when it is first needed."""

    def __init__(self, instance_id: str, vpc_id: str) -> None:
        digest = hashlib.sha256(vpc_id.encode()).hexdigest()
        self._name = f"{outside_prefix(instance_id)}x{digest[:6]}"
        self._table = f"{_table_prefix(instance_id)}{digest[:7]}"

    def lead(self, wanted: Mapping[tuple[str, int], str], inside: NetlinkSocket, pin: Path) -> None:
        """Make the addresses and ports that lead to the router these. Idempotent."""
        if not wanted:
            self.remove()
            return
        rt = rtnetlink.rt_socket()
        try:
            self._connect(rt, inside, pin)
            index = rtnetlink.link_index(rt, self._name)
            addresses = set(stand_ins(wanted).values())
            there = {address for address, at in rtnetlink.host_routes(rt).items() if at == index}
            rt.request(
                [
                    message
                    for address in sorted(addresses)
                    for message in (
                        rtnetlink.permanent_neighbour(index, address, _INSIDE_MAC),
                        rtnetlink.host_route(address, index),
                    )
                ]
            )
            for address in there - addresses:
                rt.request([rtnetlink.delete_host_route(address, index)])
        finally:
            rt.close()
        run_once(self._translations(wanted))

    def remove(self) -> None:
        """Nothing of it is left. Idempotent."""
        rt = rtnetlink.rt_socket()
        try:
            if rtnetlink.link_index(rt, self._name):
                rt.request([rtnetlink.delete_link(self._name)])
        finally:
            rt.close()
        run_once(f"add table ip {self._table}\ndelete table ip {self._table}\n")

    def _connect(self, rt: NetlinkSocket, inside: NetlinkSocket, pin: Path) -> None:
        index = rtnetlink.link_index(inside, DOOR)
        if not index or not rtnetlink.link_index(rt, self._name):
            with suppress(NetlinkError):
                rt.request([rtnetlink.delete_link(self._name)])
            fd = os.open(pin, os.O_RDONLY | os.O_CLOEXEC)
            try:
                rt.request(
                    [
                        rtnetlink.new_veth(
                            self._name,
                            0,
                            _OUTSIDE_MAC,
                            peer_name=DOOR,
                            peer_index=0,
                            peer_mac=_INSIDE_MAC,
                            peer_netns_fd=fd,
                        )
                    ]
                )
            finally:
                os.close(fd)
            index = rtnetlink.link_index(inside, DOOR)
        inside.request(
            [
                rtnetlink.link_up(index),
                rtnetlink.permanent_neighbour(index, HOST, _OUTSIDE_MAC),
                rtnetlink.host_route(HOST, index),
            ]
        )
        # what leaves here was sent by a program to a loopback address, and answers are for it
        netns.write_sysctl(f"ipv4/conf/{self._name}/route_localnet", "1")

    def _translations(self, wanted: Mapping[tuple[str, int], str]) -> str:
        table = self._table
        elements = ", ".join(f"{address} . {port} : {stand_in(address)}" for address, port in sorted(wanted))
        return (
            f"add table ip {table}\n"
            f"delete table ip {table}\n"
            f"add table ip {table}\n"
            f"add map ip {table} leads {{ type ipv4_addr . inet_service : ipv4_addr; }}\n"
            f"add element ip {table} leads {{ {elements} }}\n"
            f"add chain ip {table} sent {{ type nat hook output priority {_BEFORE_DSTNAT}; policy accept; }}\n"
            f"add rule ip {table} sent meta l4proto udp dnat to ip daddr . udp dport map @leads\n"
            f"add chain ip {table} leaving {{ type nat hook postrouting priority srcnat - 5; policy accept; }}\n"
            f'add rule ip {table} leaving oifname "{self._name}" snat to {HOST}\n'
            # the machine's own programs come by it, nobody behind it
            f"add chain ip {table} forwarded {{ type filter hook forward priority filter; policy accept; }}\n"
            f'add rule ip {table} forwarded oifname "{self._name}" drop\n'
            f'add rule ip {table} forwarded iifname "{self._name}" drop\n'
        )


def remove_doors(instance_id: str) -> None:
    """Remove those of all VPCs of an instance, on the host's side."""
    rt, nft = rtnetlink.rt_socket(), Nftables()
    try:
        rtnetlink.delete_links(rt, f"{outside_prefix(instance_id)}x")
        for line in nft.run("list tables ip").splitlines():
            if line.startswith(f"table ip {_table_prefix(instance_id)}"):
                with suppress(NftablesError):
                    nft.run(f"delete {line}\n")
    finally:
        rt.close()
        nft.close()


def _table_prefix(instance_id: str) -> str:
    return f"portside_door_{instance_id}_"
