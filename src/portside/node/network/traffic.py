"""What has passed the interfaces of a process's network namespace. Source: proc(5), /proc/PID/net/dev."""

from pathlib import Path

from portside.domain.usage import InterfaceUsage
from portside.node.kernel_file import text_of


def of_process(pid: int, proc: Path = Path("/proc")) -> dict[str, InterfaceUsage]:
    """By interface, without the loopback; empty if the process is gone."""
    try:
        lines = text_of(proc / str(pid) / "net" / "dev").splitlines()[2:]
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, rest = line.partition(":")
        counts = [int(each) for each in rest.split()]
        if name.strip() != "lo" and len(counts) >= 12:
            found[name.strip()] = InterfaceUsage(
                rx_bytes=counts[0],
                rx_packets=counts[1],
                rx_errors=counts[2],
                rx_dropped=counts[3],
                tx_bytes=counts[8],
                tx_packets=counts[9],
                tx_errors=counts[10],
                tx_dropped=counts[11],
            )
    return found
