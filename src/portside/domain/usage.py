"""What a container uses, as the node reads it from the kernel."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class InterfaceUsage:
    """What has passed a network interface since it is there, seen from the task."""

    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0


@dataclass(frozen=True, kw_only=True)
class BlockUsage:
    """What was read from and written to one block device."""

    major: int
    minor: int
    read_bytes: int = 0
    written_bytes: int = 0
    reads: int = 0
    writes: int = 0


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a container has used since it was started. Times in nanoseconds; `machine_cpu_ns` is what all processors of
    its machine have spent. `memory_limit_bytes`: 0 for none. `memory`: the kernel's own breakdown. `storage_*`: by
    its processes, also where `block` counts nothing. `network`: by interface; empty where it has none of its own."""

    at: datetime
    cpu_ns: int = 0
    cpu_user_ns: int = 0
    cpu_system_ns: int = 0
    cpu_periods: int = 0
    cpu_throttled_periods: int = 0
    cpu_throttled_ns: int = 0
    machine_cpu_ns: int = 0
    machine_cpus: int = 1
    memory_bytes: int = 0
    memory_most_bytes: int = 0
    memory_limit_bytes: int = 0
    memory: Mapping[str, int] = field(default_factory=dict)
    processes: int = 0
    block: tuple[BlockUsage, ...] = ()
    storage_read_bytes: int = 0
    storage_written_bytes: int = 0
    network: Mapping[str, InterfaceUsage] = field(default_factory=dict)
