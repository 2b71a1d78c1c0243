"""Removing an instance from the machine, with no daemon running: `portside down`."""

import contextlib
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable

from portside.node import cgroup, process, syscall
from portside.node.container.record import ContainerFolder, boot_id
from portside.node.network.network import teardown as teardown_network
from portside.node.rootfs.ebs import thaw_all, unplug_all
from portside.node.rootfs.mount_point import mounts_below
from portside.node.volume_rate import NOTES, clear_all
from portside.settings import Settings

log = logging.getLogger(__name__)

RUN_FOLDERS = ("crun", "conmon", "exit", "pause", "volumes", "mounts", NOTES)
"""Below run_dir, the node's own; pins of namespaces are the network's."""
_GONE_TIMEOUT_S = 15.0
_POLL_S = 0.01


class StillThere(OSError):
    """Something of the instance could not be removed; the message names it."""


def teardown(settings: Settings) -> None:
    """Remove all that runs or is mounted for the instance: processes, mounts, cgroups, namespaces, firewall tables.

    Containers' folders stay, without what the containers wrote, so that the next start reports how they ended and
    delivers the rest of their output; they hold nothing but files. Safe to repeat. Raises StillThere, after having
    tried everything; NodeUnusable.
    """
    left: list[str] = []
    containers = settings.data_dir / "node" / "containers"
    tree = cgroup.detect(settings.instance_id)
    thaw_all(settings.data_dir / "ebs")
    tree.kill()
    if not _until(lambda: not tree.processes()):
        left.append(f"processes {sorted(tree.processes())} are still there after SIGKILL")
    # Each monitor ends by itself once its container has, having written the exit file; only a stuck one is killed.
    if not _until(lambda: not process.runtimes_of(containers), timeout_s=3.0):
        for pid in process.runtimes_of(containers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not _until(lambda: not process.runtimes_of(containers)):
            left.append(f"monitors of containers: {sorted(process.runtimes_of(containers))}")
    # A monitor that was killed while it created may have left a process in a new cgroup.
    tree.kill()
    mounting = [settings.data_dir / each for each in ("node", "efs", "instances", "ebs")]
    for folder in (*mounting, *(settings.run_dir / each for each in ("pause", "volumes", "mounts"))):
        for point in reversed(mounts_below(folder)):
            _unmount(point, left)
    left += unplug_all(settings.data_dir / "ebs")
    # What ended containers wrote is of no use to anybody, and may be what fills the disk.
    shutil.rmtree(settings.data_dir / "node" / "storage", ignore_errors=True)
    if not _until(tree.remove_all):
        left.append(f"the cgroup {tree.path()} is still in use")
    clear_all(tree, settings.run_dir / NOTES)
    teardown_network(settings)
    for name in RUN_FOLDERS:
        shutil.rmtree(settings.run_dir / name, ignore_errors=True)
    shutil.rmtree(settings.run_dir / "images", ignore_errors=True)  # marks of images that its tasks used
    with contextlib.suppress(OSError):
        (settings.run_dir / "oom").unlink(missing_ok=True)  # conmon's note that a container ran out of memory
        settings.run_dir.rmdir()  # unless something of the proxy's is still in it
    if left:
        raise StillThere("; ".join(left))


def end_containers(settings: Settings, *, grace_s: float) -> None:
    """Before the machine halts, with no daemon running: every container gets its stop signal, and SIGKILL if it has not
    ended in time. The monitors write down how each ended; networks and folders stay. Raises NodeUnusable, StillThere.

    Process 1 of a container without a handler ignores SIGTERM, so without this a halt waits for systemd's patience."""
    containers = settings.data_dir / "node" / "containers"
    tree = cgroup.detect(settings.instance_id)
    thaw_all(settings.data_dir / "ebs")
    for folder in sorted(containers.iterdir()) if containers.is_dir() else ():
        record = ContainerFolder(folder).read()
        if record is None or record.pid is None or record.pid_started is None or record.boot_id != boot_id():
            continue
        pidfd = process.open_pidfd(record.pid, record.pid_started)
        if pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, record.stop_signal)
            os.close(pidfd)
    if not _until(lambda: not tree.processes(), timeout_s=grace_s):
        tree.kill()
    if not _until(lambda: not tree.processes() and not process.runtimes_of(containers)):
        raise StillThere(f"processes {sorted(tree.processes())} are still there after SIGKILL")


def _unmount(point: str, left: list[str]) -> None:
    try:
        syscall.umount(point)
    except OSError as error:
        left.append(f"{point} could not be unmounted: {error}")


def _until(condition: Callable[[], bool], timeout_s: float = _GONE_TIMEOUT_S) -> bool:
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(_POLL_S)
    return True
