"""A NAT gateway: a namespace with one interface, which sends on what it is sent, as coming from its own address.

What a subnet's route leads to it comes in by eth0 and leaves by eth0; the VPC's router then looks for a route from the
gateway's own subnet, and translates to its public address. Answers go the same way back, by connection tracking.
"""

import os
from contextlib import suppress

from portside.node.network import netns, rtnetlink
from portside.node.network.netlink import NetlinkSocket
from portside.node.network.nftables import run_once

_SYSCTLS = (
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
)
_RULES = """
add table ip portside
add chain ip portside input { type filter hook input priority filter; policy drop; }
add chain ip portside forward { type filter hook forward priority filter; policy accept; }
add rule ip portside forward ct state invalid drop
add chain ip portside outward { type nat hook postrouting priority srcnat; policy accept; }
add rule ip portside outward masquerade
"""


def inside() -> tuple[NetlinkSocket, int]:
    """Prepare the calling thread's namespace, which is new. Returns: a socket and a descriptor of it."""
    for name, value in _SYSCTLS:
        netns.write_sysctl(name, value)
    for name in ("all", "default"):
        with suppress(FileNotFoundError):
            netns.write_sysctl(f"ipv6/conf/{name}/disable_ipv6", "1")
    run_once(_RULES.lstrip())
    return rtnetlink.rt_socket(), os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
