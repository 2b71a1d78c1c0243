"""The network inside a container instance: addresses on its bridge and the ports that are given out. Pure.

Sources: https://docs.docker.com/engine/network/drivers/bridge/ for the bridge; API_PortMapping for dynamic ports.
"""

import ipaddress
from collections.abc import Collection
from itertools import chain
from typing import Final

from portside.domain.refusal import RefusalKind, Refused

BRIDGE_CIDR: Final = "172.17.0.0/16"
BRIDGE_ADDRESS: Final = "172.17.0.1"
BRIDGE_PREFIX_LENGTH: Final = 16
DYNAMIC_PORTS: Final = range(32768, 60999 + 1)
"""The kernel's ip_local_port_range, from which ECS chooses."""

_FIRST: Final = int(ipaddress.IPv4Address("172.17.0.2"))
_LAST: Final = int(ipaddress.IPv4Address("172.17.255.254"))


def number_of(address: str) -> int:
    return int(ipaddress.IPv4Address(address))


def next_bridge_address(used: Collection[str], after: str | None) -> str:
    """The next free address, upwards from the one given out last and round, so that one that was released rests.

    Raises: Refused EXHAUSTED.
    """
    start = number_of(after) + 1 if after is not None else _FIRST
    for number in chain(range(start, _LAST + 1), range(_FIRST, min(start, _LAST + 1))):
        address = str(ipaddress.IPv4Address(number))
        if address not in used:
            return address
    raise Refused(RefusalKind.EXHAUSTED, "The instance's bridge has no address left.", "address")


def next_ports(used: Collection[int], after: int | None, count: int = 1) -> int:
    """The first of so many free dynamic ports in a row, upwards from those given out last and round.

    Raises: Refused EXHAUSTED.
    """
    start = after + 1 if after is not None and after + 1 in DYNAMIC_PORTS else DYNAMIC_PORTS.start
    free = 0
    for port in chain(range(start, DYNAMIC_PORTS.stop), range(DYNAMIC_PORTS.start, start)):
        if port == DYNAMIC_PORTS.start or port in used:
            free = 0
        free += port not in used
        if free == count:
            return port - count + 1
    raise Refused(RefusalKind.EXHAUSTED, "The instance has not enough dynamic ports left.", "port")
