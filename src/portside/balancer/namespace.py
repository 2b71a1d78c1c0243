"""What the data plane does in a load balancer's network namespace: ports that connections may not take, and a look at
the connections to targets."""

import errno
import os
import socket
import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from portside.node.network import netns

_TABLE: Final = Path("/proc/thread-self/net/tcp")
_OPEN: Final = {"01", "04", "05", "08"}
"""ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT: at least one side may still send."""


def reserve_ports(namespace: Path, ports: Sequence[int]) -> None:
    """Keep outgoing connections in a namespace off these ports. Blocking.

    Raises: OSError. Source: Linux, Documentation/networking/ip-sysctl, ip_local_reserved_ports."""

    def work() -> None:
        with open("/proc/sys/net/ipv4/ip_local_reserved_ports", "w") as file:
            file.write(",".join(str(port) for port in ports) + "\n")

    netns.within(namespace, work)


def open_connections(namespace: Path) -> Counter[tuple[str, int]]:
    """How many connections of a namespace are open, by the address and port that they lead to. Blocking.

    Raises: OSError"""
    return counted(netns.within(namespace, _TABLE.read_text))


def counted(table: str) -> Counter[tuple[str, int]]:
    """Of `/proc/net/tcp`. What nobody holds any more (without an inode) is left to the kernel alone.

    Source: Linux, Documentation/networking/proc_net_tcp."""
    found: Counter[tuple[str, int]] = Counter()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] in _OPEN and fields[9] != "0":
            found[_place(fields[2])] += 1
    return found


def end_connections(namespace: Path, address: str, port: int) -> None:
    """Those of a namespace that lead there are broken off: both sides get a reset. Blocking; idempotent.

    Raises: OSError, EOPNOTSUPP where the kernel can not (without CONFIG_INET_DIAG_DESTROY).
    Source: Linux, sock_diag(7), include/uapi/linux/inet_diag.h."""
    destination = socket.inet_aton(address)

    def work() -> None:
        table = _TABLE.read_text()
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as netlink:
            for line in table.splitlines()[1:]:
                fields = line.split()
                if _place(fields[2]) != (address, port) or fields[3] not in _OPEN:
                    continue
                source, source_port = _place(fields[1])
                who = struct.pack(">HH4s12x4s12x", source_port, port, socket.inet_aton(source), destination)
                asked = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF) + who + _ANY
                netlink.send(struct.pack("=IHHII", 16 + len(asked), _SOCK_DESTROY, _REQUEST_ACK, 0, 0) + asked)
                code = -struct.unpack_from("=i", netlink.recv(4096), 16)[0]
                if code not in (0, errno.ENOENT):
                    raise OSError(code, os.strerror(code), f"connection from {source}:{source_port}")

    netns.within(namespace, work)


def _place(text: str) -> tuple[str, int]:
    """Of `/proc/net/tcp`."""
    address, _, port = text.partition(":")
    return socket.inet_ntoa(int(address, 16).to_bytes(4, "little")), int(port, 16)


_SOCK_DIAG: Final = 4
_SOCK_DESTROY: Final = 21
_REQUEST_ACK: Final = 5
_ANY: Final = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
"""Of any interface, and without a cookie."""
