"""Volumes of EBS: what a new one takes, snapshots and restores by size and by change, against `cp` of the file."""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from portside.node.rootfs.account import ROOT
from portside.node.rootfs.ebs import BlockStorage

GIB, MIB = 1024**3, 1024**2
VOLUME = "vol-0"


def bench(quick: bool) -> dict[str, Any]:
    """Args: quick: one small size."""
    sizes = (64,) if quick else (256, 1024, 4096)
    with tempfile.TemporaryDirectory(prefix="portside-bench-") as folder:
        return {
            "at_once": _at_once(Path(folder) / "many", 10 if quick else 100),
            "new": _new(Path(folder) / "new", rounds=3 if quick else 20),
            **{f"{size}MiB": _by_size(Path(folder) / str(size), size) for size in sizes},
        }


def _at_once(folder: Path, count: int) -> dict[str, float]:
    """So many volumes of 1 GiB made, attached and mounted, all at once in use, and detached again."""
    storage = BlockStorage(folder)
    storage.start()
    names = [f"vol-{number:03x}" for number in range(count)]

    def attach(name: str) -> None:
        storage.make(name, GIB)
        storage.attach(name, "ext4")

    with ThreadPoolExecutor(4) as threads:
        attached = _timed(lambda: list(threads.map(attach, names)))
        detached = _timed(lambda: list(threads.map(storage.detach, names)))
    for each in names:
        storage.remove(each)
    storage.close()
    return {"volumes": count, "attached_s": attached, "detached_s": detached}


def _new(folder: Path, rounds: int) -> dict[str, float]:
    """Milliseconds from nothing to a mounted file system of 20 GiB, and back."""
    storage = BlockStorage(folder)
    storage.start()
    found: dict[str, list[float]] = {}
    for kind in ("ext4", "xfs"):
        if shutil.which(f"mkfs.{kind}") is None:
            continue
        for _ in range(rounds):
            storage.make(VOLUME, 20 * GIB)
            attach, detach = partial(storage.attach, VOLUME, kind), partial(storage.detach, VOLUME)
            found.setdefault(f"{kind}_attach_ms", []).append(1000 * _timed(attach))
            found.setdefault(f"{kind}_detach_ms", []).append(1000 * _timed(detach))
            storage.remove(VOLUME)
    storage.close()
    return {name: sorted(times)[len(times) // 2] for name, times in found.items()}


def _by_size(folder: Path, size_mib: int) -> dict[str, float]:
    """Seconds, with so much random data in the volume; the page cache is warm."""
    storage = BlockStorage(folder)
    storage.start()
    storage.make(VOLUME, 20 * GIB)
    storage.attach(VOLUME, "ext4")
    _write(storage, "a", size_mib)
    found = {"first_snapshot_s": _timed(lambda: storage.snapshot(VOLUME, "snap-0"))}
    found["writer_waited_s"] = _longest_wait(storage, lambda: storage.snapshot(VOLUME, "snap-w"))
    found["snapshot_without_change_s"] = _timed(lambda: storage.snapshot(VOLUME, "snap-1"))
    before = storage.snapshots.stored_bytes()
    _write(storage, "b", max(1, size_mib // 100))
    found["snapshot_1_percent_changed_s"] = _timed(lambda: storage.snapshot(VOLUME, "snap-2"))
    found["stored_for_1_percent_MiB"] = (storage.snapshots.stored_bytes() - before) / MIB
    found["restore_s"] = _timed(lambda: storage.make("vol-1", 20 * GIB, "snap-2"))
    copy = folder / "copy"
    file = folder / "volumes" / f"{VOLUME}.img"
    found["cp_sparse_s"] = _timed(lambda: subprocess.run(["cp", "--sparse=always", str(file), str(copy)], check=True))
    found["remove_snapshots_s"] = _timed(lambda: storage.remove_snapshots(storage.snapshot_names()))
    storage.detach(VOLUME)
    storage.close()
    shutil.rmtree(folder)
    return found


def _write(storage: BlockStorage, name: str, size_mib: int) -> None:
    pinned = storage.pin(VOLUME, "ext4", ROOT, "bench")
    try:
        with (pinned.source / name).open("wb") as file:
            for _ in range(size_mib):
                file.write(os.urandom(MIB))
            file.flush()
            os.fsync(file.fileno())
    finally:
        pinned.close()


def _longest_wait(storage: BlockStorage, work: Callable[[], object]) -> float:
    """Of somebody who writes a block and syncs it again and again meanwhile."""
    pinned = storage.pin(VOLUME, "ext4", ROOT, "writer")
    done, longest = threading.Event(), 0.0

    def write() -> None:
        nonlocal longest
        with (pinned.source / "writer").open("wb", buffering=0) as file:
            while not done.is_set():
                began = time.perf_counter()
                file.write(bytes(4096))
                os.fsync(file.fileno())
                longest = max(longest, time.perf_counter() - began)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        work()
    finally:
        done.set()
        thread.join()
        pinned.close()
    return longest


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
