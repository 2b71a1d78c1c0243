"""Docker volumes in memory: a tmpfs each, mounted on the host as long as a task has it.

Each has a folder: the mount point, an empty file in `users` for each task that has it, and the note `filled`, without
which a daemon was killed before any container had it. All of it lies where nothing survives a boot.
"""

import contextlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from portside.node import syscall
from portside.node.rootfs import mount_point

log = logging.getLogger(__name__)

_MOUNT, _USERS, _FILLED = "mount", "users", "filled"


class TmpfsVolumes:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def hold(self, volume_id: str, task_id: str, data: str, fill: Callable[[Path], None]) -> Path:
        """Where it is mounted, until no task holds it any more. Args: fill: writes what it begins with.

        Raises OSError."""

        def mount(target: Path) -> None:
            syscall.mount("tmpfs", str(target), "tmpfs", syscall.MS_NODEV, data or None)

        return self.hold_mount(volume_id, task_id, mount, fill)

    def hold_mount(
        self, volume_id: str, task_id: str, mount: Callable[[Path], None], fill: Callable[[Path], None]
    ) -> Path:
        """As `hold`, of anything that `mount` mounts on a directory; what is in it stays. Raises OSError."""
        folder = self._folder / volume_id
        target = folder / _MOUNT
        with self._lock:
            (folder / _USERS).mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / _USERS / task_id).touch()
            if not (folder / _FILLED).exists():
                syscall.umount(str(target))
                target.mkdir(exist_ok=True)
                mount(target)
                if not any(target.iterdir()):
                    fill(target)
                (folder / _FILLED).touch()
        return target

    def fill(self, volume_id: str) -> tuple[int, int] | None:
        """Bytes used and how many there can be; None if no task has it."""
        try:
            found = os.statvfs(self._folder / volume_id / _MOUNT)
        except OSError:
            return None
        return (found.f_blocks - found.f_bfree) * found.f_frsize, found.f_blocks * found.f_frsize

    def release(self, task_id: str) -> None:
        """The task holds none any more; those that nobody holds are gone with what is in them. Raises OSError."""
        self._drop(lambda user: user == task_id)

    def recover(self, task_ids: Collection[str]) -> None:
        """Only these tasks hold any."""
        try:
            self._drop(lambda user: user not in task_ids)
        except OSError as error:  # the next task that releases one does it
            log.warning("a volume in memory that nobody has: %s", error)

    def _drop(self, is_over: Callable[[str], bool]) -> None:
        with self._lock:
            for folder in list(self._folder.iterdir()) if self._folder.is_dir() else ():
                users = folder / _USERS
                for each in list(users.iterdir()) if users.is_dir() else ():
                    if is_over(each.name):
                        each.unlink()
                if users.is_dir() and any(users.iterdir()):
                    continue
                mount_point.drop(folder / _MOUNT)
                if os.path.ismount(folder / _MOUNT):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(folder)
