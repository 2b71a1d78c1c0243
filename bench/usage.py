"""What it costs the daemon to measure containers once a second: CPU time of a scrape, how long it takes, memory.

Each container is a control group with a process, as Docker makes them, measured by `--other-containers`: what is read
of the kernel is the same as for tasks' containers, and a thousand of them fit a small machine.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.measure import cpu_s, percentile, pss_kib
from portside.node import cgroup
from portside.testing.instance import instance
from portside.testing.wait import http_get

COUNTS = (0, 100, 300, 1000)


def bench(quick: bool) -> dict[str, Any]:
    rounds = 3 if quick else 20
    found: dict[str, Any] = {}
    with instance(PORTSIDE_OTHER_CONTAINERS="1") as portside:
        for count in COUNTS[:2] if quick else COUNTS:
            with containers(count):
                http_get(f"{portside.url}/_portside/metrics")
                took, before = [], cpu_s(portside.pid)
                for _ in range(rounds):
                    began = time.perf_counter()
                    text = http_get(f"{portside.url}/_portside/metrics")
                    took.append((time.perf_counter() - began) * 1000)
                    time.sleep(max(0.0, 1.01 - (time.perf_counter() - began)))
                spent = cpu_s(portside.pid) - before
                found[f"containers_{count}"] = {
                    "scrape_p50_ms": percentile(took, 0.5),
                    "scrape_p99_ms": percentile(took, 0.99),
                    "cpu_ms_a_scrape": spent / rounds * 1000,
                    "kib_of_text": len(text) / 1024,
                    "pss_mib": pss_kib(portside.pid) / 1024,
                }
    return found


@contextlib.contextmanager
def containers(count: int) -> Iterator[None]:
    """Control groups with a process each, while this lasts."""
    tree = cgroup.detect("bench")
    names = [secrets.token_hex(32) for _ in range(count)]
    roots = [root for root in tree._roots() if root.name in ("memory", "cpu", "cpuacct", "pids", "cgroup")]
    groups = [root / "docker" / name for name in names for root in roots]
    parents = [root / "docker" for root in roots if not (root / "docker").exists()]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for each in groups:
            each.mkdir(parents=True)
        for name in names:
            process = subprocess.Popen(["sleep", "3600"])
            processes.append(process)
            for root in roots:
                (root / "docker" / name / "cgroup.procs").write_text(str(process.pid))
        yield
    finally:
        for process in processes:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        for each in [*groups, *parents]:
            _remove(each)


def _remove(group: Path) -> None:
    until = time.monotonic() + 30
    while group.exists():
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
