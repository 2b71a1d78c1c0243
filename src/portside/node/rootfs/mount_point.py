"""Mount points on the host for as long as a container starts: what a killed daemon left is undone by the next one."""

import contextlib
import logging
import os
from pathlib import Path

from portside.node import cgroup, syscall

log = logging.getLogger(__name__)


class MountPoints:
    """Below one folder, in which there is nothing else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new(self, name: str, *, is_file: bool = False) -> Path:
        """An empty directory, or an empty file, to mount on. Args: name: no other start has it. Raises OSError."""
        path = self._folder / name
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        drop(path)  # of a start that was cut short
        if is_file:
            path.touch(mode=0o600)
        else:
            path.mkdir()
        return path

    def unmount_all(self) -> None:
        """One that can not be unmounted stays, and keeps no other."""
        for path in list(self._folder.iterdir()) if self._folder.is_dir() else ():
            try:
                drop(path)
            except OSError as error:
                log.warning("a mount point that was left: %s", error)


def drop(path: Path) -> None:
    """Unmount it and remove what is below: an empty directory or file, never a tree. Idempotent. Raises OSError."""
    syscall.umount(str(path))
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()


def mounts_below(folder: Path) -> list[str]:
    """Mount points at or below a folder, in the order they were made. Source: proc(5), mountinfo."""
    prefix = str(folder.resolve())
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = cgroup.unescape(line.split(" ")[4])
        if point == prefix or point.startswith(f"{prefix}/"):
            found.append(point)
    return found


def mounts_of(device: str) -> list[str]:
    """Where this process's namespace has a block device mounted, the last one first. Raises OSError."""
    number = os.stat(device).st_rdev
    wanted = f"{os.major(number)}:{os.minor(number)}"
    lines = [line.split(" ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [cgroup.unescape(each[4]) for each in reversed(lines) if each[2] == wanted]
