"""What the data plane does in a load balancer's network namespace: ports that connections may not take, and a look at
the connections to targets."""

import ctypes
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

CLONE_NEWNET: Final = 0x40000000
_OPEN: Final = {"01", "04", "05", "08"}
"""ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT: at least one side may still send."""

_libc = ctypes.CDLL(None, use_errno=True)


def reserve_ports(netns: Path, ports: Sequence[int]) -> None:
    """Keep outgoing connections in a namespace off these ports. Blocking.

    Raises: OSError. Source: Linux, Documentation/networking/ip-sysctl, ip_local_reserved_ports."""

    def work() -> None:
        with open("/proc/sys/net/ipv4/ip_local_reserved_ports", "w") as file:
            file.write(",".join(str(port) for port in ports) + "\n")

    _within(netns, work)


def open_connections(netns: Path) -> Counter[tuple[str, int]]:
    """How many connections of a namespace are open, by the address and port that they lead to. Blocking.

    Raises: OSError"""
    tables: list[str] = []
    _within(netns, lambda: tables.append(Path("/proc/thread-self/net/tcp").read_text()))
    return counted(tables[0])


def counted(table: str) -> Counter[tuple[str, int]]:
    """Of `/proc/net/tcp`. What nobody holds any more (without an inode) is left to the kernel alone.

    Source: Linux, Documentation/networking/proc_net_tcp."""
    found: Counter[tuple[str, int]] = Counter()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] in _OPEN and fields[9] != "0":
            address, _, port = fields[2].partition(":")
            found[socket.inet_ntoa(int(address, 16).to_bytes(4, "little")), int(port, 16)] += 1
    return found


def _within(netns: Path, work: Callable[[], None]) -> None:
    """The namespace is entered by a thread of its own, which ends there."""
    failure: list[OSError] = []

    def body() -> None:
        try:
            descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(descriptor, CLONE_NEWNET) != 0:
                    code = ctypes.get_errno()
                    raise OSError(code, os.strerror(code), str(netns))
            finally:
                os.close(descriptor)
            work()
        except OSError as error:
            failure.append(error)

    thread = threading.Thread(target=body, name="in a namespace")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
