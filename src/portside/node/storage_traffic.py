"""What processes have read from and written to storage. Source: proc(5), /proc/PID/io.

Not by the cgroup's block devices: in version 1 these count nothing where no device is throttled (kernel 6.18), and what
a cache takes first is nobody's there.
"""

from collections.abc import Iterable
from pathlib import Path

from portside.node.kernel_file import text_of


def of_processes(pids: Iterable[int], proc: Path = Path("/proc")) -> tuple[int, int]:
    """Bytes read and written, by these processes and by their children that have ended and were waited for."""
    read = written = 0
    for pid in pids:
        try:
            lines = text_of(proc / str(pid) / "io").splitlines()
        except OSError:
            continue  # it has ended
        counts = dict(line.split(": ", 1) for line in lines)
        read += int(counts.get("read_bytes", 0))
        written += int(counts.get("write_bytes", 0))
    return read, written
