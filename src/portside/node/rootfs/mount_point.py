"""Mount points on the host for as long as a container starts: what a killed daemon left is undone by the next one."""

import contextlib
import logging
from pathlib import Path

from portside.node import syscall

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
