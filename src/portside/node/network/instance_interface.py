"""What an instance has besides its first interface: those that were attached to it, and secondary addresses.

What is there is read from the kernel each time, so that a restart, or a half-done change, needs nothing remembered. An
attached interface is `eth1`, `eth2`, … by its device index; what has one of its addresses as source leaves by it.
"""

import re
from collections.abc import Mapping

from portside.domain.task.record import EniAttachment
from portside.node.network import rtnetlink
from portside.node.network.bridge import INTERFACE_INDEX
from portside.node.network.netlink import Message, NetlinkSocket
from portside.node.network.router import ROUTER_MAC, Router

_FIRST_INDEX = 1_000_000
"""Of the link of device index 0: far from those that the kernel gives to the bridge's ports."""
_FIRST_TABLE = 1000
_RULE_PRIORITY = 1000
_NAME = re.compile(r"eth([1-9][0-9]*)")


def apply(
    router: Router, rt: NetlinkSocket, fd: int, first: EniAttachment, further: Mapping[int, EniAttachment]
) -> None:
    """Exactly these interfaces and addresses, under their groups' rules.

    Args:
        rt, fd: of the instance's namespace, in which the first interface is whole.
        further: by device index, from 1.
    """
    present = _addresses(rt)
    for link in rtnetlink.links(rt):
        named = _NAME.fullmatch(link.name)
        if named is None:
            continue
        wanted = further.get(int(named[1]))
        there = present.get(link.index, [])
        if wanted is None or wanted.address not in there or not router.has_leg(wanted.eni_id):
            for address in there:
                router.expel_address(address)
            rt.request([rtnetlink.delete_link(link.name)])
            present.pop(link.index, None)
    for number, eni in further.items():
        router.admit(eni.eni_id, eni.address, eni.security_group_ids, eni.public_address)
        if _FIRST_INDEX + number not in present:
            _add(router, rt, fd, number, eni)
            present[_FIRST_INDEX + number] = [eni.address]
    _apply_secondary(router, rt, INTERFACE_INDEX, first, present)
    for number, eni in further.items():
        _apply_secondary(router, rt, _FIRST_INDEX + number, eni, present)
    _apply_rules(rt, further)


def addresses(rt: NetlinkSocket) -> set[str]:
    """All that the namespace of the socket has besides the loopback's."""
    return {address for index, address in rtnetlink.addresses(rt) if index != rtnetlink.LOOPBACK_INDEX}


def _addresses(rt: NetlinkSocket) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for index, address in rtnetlink.addresses(rt):
        found.setdefault(index, []).append(address)
    return found


def _add(router: Router, rt: NetlinkSocket, fd: int, number: int, eni: EniAttachment) -> None:
    index = _FIRST_INDEX + number
    leg = router.add_leg(
        eni.eni_id, eni.address, eni.mac_address, netns_fd=fd, peer_name=f"eth{number}", peer_index=index
    )
    rt.request(
        [
            rtnetlink.link_up(index),
            rtnetlink.permanent_neighbour(index, eni.gateway, ROUTER_MAC),
            rtnetlink.default_route(eni.gateway, index, table=_FIRST_TABLE + number),
            # Last: an interface with its address is whole.
            rtnetlink.add_address(index, eni.address, eni.prefix_length),
        ]
    )
    router.settle(leg)


def _apply_secondary(
    router: Router, rt: NetlinkSocket, index: int, eni: EniAttachment, present: Mapping[int, list[str]]
) -> None:
    there = set(present[index])
    for address in sorted(there - {eni.address, *eni.secondary_addresses}):
        router.withdraw(eni.eni_id, address)
        rt.request([rtnetlink.delete_address(index, address, 32)])
    for address in eni.secondary_addresses:
        router.admit(eni.eni_id, address, eni.security_group_ids)
        router.lead(eni.eni_id, address, eni.mac_address)
        if address not in there:
            rt.request([rtnetlink.add_address(index, address, 32)])


def _apply_rules(rt: NetlinkSocket, further: Mapping[int, EniAttachment]) -> None:
    wanted = {
        f"{address}/32": _FIRST_TABLE + number
        for number, eni in further.items()
        for address in (eni.address, *eni.secondary_addresses)
    }
    there = rtnetlink.block_rules(rt, _RULE_PRIORITY)
    messages: list[Message] = [
        rtnetlink.block_rule(block, table, _RULE_PRIORITY, add=False)
        for block, table in there.items()
        if wanted.get(block) != table
    ]
    messages += [
        rtnetlink.block_rule(block, table, _RULE_PRIORITY, add=True)
        for block, table in wanted.items()
        if there.get(block) != table
    ]
    if messages:
        rt.request(messages)
