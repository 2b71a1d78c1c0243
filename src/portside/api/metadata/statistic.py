"""Usage in the shape of Docker's statistics, as the endpoint gives it. Source: Docker Engine API, ContainerStats."""

from datetime import datetime
from typing import Any

from portside.domain.usage import InterfaceUsage, Usage

NO_LIMIT_BYTES = 2**63 - 4096
"""What the kernel gives where there is no limit, and AWS hands on: whoever divides by it gets an answer."""
_ZERO_TIME = "0001-01-01T00:00:00Z"


def statistics(name: str, runtime_id: str, usage: Usage, before: Usage | None) -> dict[str, Any]:
    """One container's document.

    Args:
        before: the last sample that was given, for `precpu_stats` and the rates.
    """
    return {
        "id": runtime_id,
        "name": name,
        "read": _time(usage),
        "preread": _time(before) if before is not None else _ZERO_TIME,
        "num_procs": 0,
        "pids_stats": {"current": usage.processes},
        "cpu_stats": _cpu(usage),
        "precpu_stats": _cpu(before),
        "memory_stats": {
            "usage": usage.memory_bytes,
            "max_usage": usage.memory_most_bytes,
            "limit": usage.memory_limit_bytes or NO_LIMIT_BYTES,
            "stats": dict(usage.memory),
        },
        "blkio_stats": _blocks(usage),
        "storage_stats": {},
        "networks": {name: _interface(each) for name, each in usage.network.items()},
        "network_rate_stats": _rates(usage, before),
    }


def _cpu(usage: Usage | None) -> dict[str, Any]:
    used = usage if usage is not None else Usage(at=datetime.min)
    return {
        "cpu_usage": {
            "total_usage": used.cpu_ns,
            "usage_in_kernelmode": used.cpu_system_ns,
            "usage_in_usermode": used.cpu_user_ns,
        },
        "system_cpu_usage": used.machine_cpu_ns,
        "online_cpus": used.machine_cpus,
        "throttling_data": {
            "periods": used.cpu_periods,
            "throttled_periods": used.cpu_throttled_periods,
            "throttled_time": used.cpu_throttled_ns,
        },
    }


def _blocks(usage: Usage) -> dict[str, Any]:
    def entries(read: str, write: str) -> list[dict[str, Any]]:
        return [
            {"major": each.major, "minor": each.minor, "op": operation, "value": getattr(each, field)}
            for each in usage.block
            for operation, field in (("Read", read), ("Write", write))
        ]

    return {
        "io_service_bytes_recursive": entries("read_bytes", "written_bytes"),
        "io_serviced_recursive": entries("reads", "writes"),
    }


def _interface(usage: InterfaceUsage) -> dict[str, int]:
    return {
        f"{side}_{unit}": getattr(usage, f"{side}_{unit}")
        for side in ("rx", "tx")
        for unit in ("bytes", "packets", "errors", "dropped")
    }


def _rates(usage: Usage, before: Usage | None) -> dict[str, float]:
    """Bytes a second since the last sample; empty if there is none."""
    seconds = (usage.at - before.at).total_seconds() if before is not None else 0.0
    if before is None or seconds <= 0:
        return {}

    received = _sum(usage, "rx_bytes") - _sum(before, "rx_bytes")
    sent = _sum(usage, "tx_bytes") - _sum(before, "tx_bytes")
    return {"rx_bytes_per_sec": max(0, received) / seconds, "tx_bytes_per_sec": max(0, sent) / seconds}


def _sum(usage: Usage, field: str) -> int:
    return sum(int(getattr(each, field)) for each in usage.network.values())


def _time(usage: Usage) -> str:
    return usage.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
