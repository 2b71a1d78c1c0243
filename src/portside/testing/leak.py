"""What an instance may leave behind on a machine, counted: tests compare before and after.

before = snapshot()
...
assert not snapshot().beyond(before)
"""

import json
import os
import subprocess
import time
from dataclasses import dataclass, fields
from pathlib import Path

from portside.node import cgroup, process
from portside.node.teardown import RUN_FOLDERS


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """Each a set of words that name one thing."""

    processes: frozenset[str] = frozenset()
    monitors: frozenset[str] = frozenset()
    mounts: frozenset[str] = frozenset()
    cgroups: frozenset[str] = frozenset()
    runtime_state: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    interfaces: frozenset[str] = frozenset()
    tables: frozenset[str] = frozenset()
    loops: frozenset[str] = frozenset()
    throttles: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))

    def __str__(self) -> str:
        return "; ".join(
            f"{each.name}: {', '.join(sorted(getattr(self, each.name)))}"
            for each in fields(self)
            if getattr(self, each.name)
        )

    def beyond(self, before: "Leaks") -> "Leaks":
        """What is here and was not before."""
        return Leaks(**{each.name: getattr(self, each.name) - getattr(before, each.name) for each in fields(self)})


def snapshot(*words: str) -> Leaks:
    """What of any instance is on the machine now.

    Args: words: only what names one of these (an instance id, a data folder); all if none is given. Interfaces and
        firewall tables of the host are always those whose name says that they are Portside's.
    """
    cgroups: set[str] = set()
    processes: set[str] = set()
    for root in cgroup_roots():
        for top in root.glob("portside-*"):
            if not _named(top.name, words):
                continue
            for folder, _, _ in os.walk(top):
                path = Path(folder)
                cgroups.add(str(path))
                try:
                    processes |= {f"{pid} in {path}" for pid in (path / "cgroup.procs").read_text().split()}
                except OSError:
                    continue
    mounts = {
        point
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if _ours(point := cgroup.unescape(line.split(" ")[4])) and _named(point, words)
    }
    pins = Path("/run/portside").glob("*/netns/*")
    return Leaks(
        processes=frozenset(processes),
        monitors=frozenset(
            f"{pid} {' '.join(argv)[:200]}"
            for pid, argv in process.runtimes_of(Path("/")).items()
            if "/node/containers/" in " ".join(argv) and _named(" ".join(argv), words)
        ),
        mounts=frozenset(mounts),
        cgroups=frozenset(cgroups),
        runtime_state=frozenset(
            str(each)
            for name in RUN_FOLDERS
            for each in Path("/run/portside").glob(f"*/{name}/*")
            if _named(str(each), words)
        ),
        namespaces=frozenset(str(each) for each in pins if _named(str(each), words)),
        interfaces=frozenset(each for each in _interfaces() if _named(each, words)),
        tables=frozenset(each for each in _tables() if _named(each, words)),
        loops=frozenset(each for each in _loops() if _named(each, words)),
        throttles=frozenset(_throttles()),
    )


def wait_for_none(before: Leaks, *words: str, timeout_s: float = 10.0) -> Leaks:
    """What is still there beyond `before` when the time is up: the kernel removes some things after a while. Empty as
    soon as nothing is."""
    until = time.monotonic() + timeout_s
    while True:
        found = snapshot(*words).beyond(before)
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.05)


def _named(text: str, words: tuple[str, ...]) -> bool:
    return not words or any(word in text for word in words)


def _ours(point: str) -> bool:
    return point.startswith("/run/portside/") or any(
        each in point for each in ("/node/containers/", "/node/storage/", "/efs/.mounts/", "/instances/.mounts/")
    )


def cgroup_roots() -> set[Path]:
    """Mount points of all cgroup hierarchies."""
    roots: set[Path] = set()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        head, _, tail = line.partition(" - ")
        if tail.split(" ", 1)[0] in ("cgroup", "cgroup2") and head.split(" ")[3] == "/":
            roots.add(Path(cgroup.unescape(head.split(" ")[4])))
    return roots


def _interfaces() -> list[str]:
    """veth interfaces of the host's own namespace."""
    done = subprocess.run(
        ["ip", "-json", "link", "show", "type", "veth"], capture_output=True, text=True, timeout=10, check=True
    )
    return interface_names(done.stdout)


def interface_names(answer: str) -> list[str]:
    """Of `ip -json link show type …`, which in some versions leaves an empty object for each link of another type."""
    return [each["ifname"] for each in json.loads(answer or "[]") if each]


def _tables() -> list[str]:
    done = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, timeout=10, check=True)
    return [line for line in done.stdout.splitlines() if "portside" in line]


def _loops() -> list[str]:
    """Loop devices with a file behind them."""
    found = []
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found.append(f"{entry.parents[1].name} {entry.read_text().strip()}")
        except OSError:
            continue
    return found


def _throttles() -> list[str]:
    """Loop devices that the machine's root groups are held to rates of (cgroup v1)."""
    found = []
    for root in cgroup_roots():
        for file in root.glob("blkio.throttle.*_device"):
            found += [f"{file.name} {line}" for line in file.read_text().splitlines() if line.startswith("7:")]
    return found
