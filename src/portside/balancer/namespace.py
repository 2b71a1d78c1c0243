"""The one thing the data plane sets up in a load balancer's network namespace: ports that connections may not take."""

import ctypes
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

CLONE_NEWNET: Final = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def reserve_ports(netns: Path, ports: Sequence[int]) -> None:
    """Keep outgoing connections in a namespace off these ports. Blocking; the namespace is entered by a thread of
    its own, which ends there.

    Raises: OSError. Source: Linux, Documentation/networking/ip-sysctl, ip_local_reserved_ports."""
    failure: list[OSError] = []

    def work() -> None:
        try:
            descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(descriptor, CLONE_NEWNET) != 0:
                    code = ctypes.get_errno()
                    raise OSError(code, os.strerror(code), str(netns))
            finally:
                os.close(descriptor)
            with open("/proc/sys/net/ipv4/ip_local_reserved_ports", "w") as file:
                file.write(",".join(str(port) for port in ports) + "\n")
        except OSError as error:
            failure.append(error)

    thread = threading.Thread(target=work, name="reserve ports")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
