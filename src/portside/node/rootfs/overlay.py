"""A container's root file system: an overlay of its image's layers with a writable layer of its own.

The writable layer is on the task's disk (`ephemeral`), which all containers of the task share and which is as large as
its `ephemeralStorage`; without such a disk it is in the container's folder.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from portside.node import syscall

DISK = "disk"
"""Where in a container's folder the task's disk is mounted while the container starts."""
MOUNT_POINTS = ("merged", DISK)
_OPTIONS_MAX = 4_000  # mount(2) takes one page of options, the final NUL included


def mount(layers: Sequence[Path], folder: Path, writable: Path, *, again: bool = False) -> Path:
    """Mount an overlay below `folder`; returns the mount point. Raises OSError.

    Args: writable: an empty or new folder for what the container writes, on a file system that takes it; again: the
        container ran before, and what it wrote is kept.

    Cleanup: `unmount` once the container has a mount of its own, `remove` for everything."""
    target, upper, work = folder / "merged", writable / "upper", writable / "work"
    if again:
        # The kernel refuses the work folder of a volatile mount; it holds nothing once that is gone.
        shutil.rmtree(work, ignore_errors=True)
    for made in (target, upper, work):
        made.mkdir(0o755, parents=True, exist_ok=again)
    descriptors: list[int] = []
    lower = ":".join(_escaped(each) for each in layers)
    try:
        if len(lower) + 2 * len(str(writable)) > _OPTIONS_MAX - 100:
            # Many layers: descriptors have short names. The kernel resolves them while mount(2) runs and keeps none.
            descriptors = [os.open(each, os.O_PATH | os.O_DIRECTORY) for each in layers]
            lower = ":".join(f"/proc/self/fd/{each}" for each in descriptors)
        options = f"lowerdir={lower},upperdir={_escaped(upper)},workdir={_escaped(work)}"
        try:
            # volatile: nothing of it must survive a crash of the machine, so nothing is synced at unmount.
            syscall.mount("overlay", str(target), "overlay", 0, f"{options},volatile")
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            syscall.mount("overlay", str(target), "overlay", 0, options)
    finally:
        for each in descriptors:
            os.close(each)
    return target


def unmount(folder: Path) -> None:
    """Drop the host's copies of the mounts. The container keeps its own; every mount left here would make every later
    start slower, since each clones the mount table (measured: 2.0 -> 4.1 ms at 1,000 mounts)."""
    for name in MOUNT_POINTS:
        syscall.umount(str(folder / name))


def remove(folder: Path) -> None:
    """Unmount and delete everything below the folder, and itself. No harm if it is gone. Raises OSError."""
    with contextlib.suppress(OSError):
        unmount(folder)
    for name in MOUNT_POINTS:
        if os.path.ismount(folder / name):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(folder / name))
    for attempt in range(3):
        try:
            shutil.rmtree(folder)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            # A process that is just dying may still create a file.
            if error.errno != errno.ENOTEMPTY or attempt == 2:
                raise


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
