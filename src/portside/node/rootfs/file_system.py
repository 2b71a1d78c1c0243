"""EFS file systems: one folder each below the data directory, made when it is first needed."""

import itertools
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from portside.node import syscall
from portside.node.rootfs import mount_point
from portside.node.rootfs.mount_point import MountPoints

_ID = re.compile(r"fs-[0-9a-f]{8,40}")
_GONE = ".gone"


class FileSystemFolders:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mounts = MountPoints(folder / ".mounts")

    def ensure(self, file_system_id: str) -> Path:
        """Its root, owned by root, mode 0755, as EFS makes it. Raises OSError."""
        path = self.path(file_system_id)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            path.mkdir(mode=0o755, exist_ok=True)
            path.chmod(0o755)
        return path

    def fresh(self) -> Path:
        """An empty directory on the same disk, mode 0755, to be put in its place. For one caller at a time."""
        path = self._folder / ".fresh"
        shutil.rmtree(path, ignore_errors=True)  # a killed daemon left it
        path.mkdir(mode=0o755)
        path.chmod(0o755)
        return path

    def mount_point(self, name: str) -> Path:
        """A new one. Raises OSError."""
        return self._mounts.new(name)

    def unmount_all(self) -> None:
        """What a killed daemon left mounted. Never more than empty folders is removed."""
        self._mounts.unmount_all()

    def path(self, file_system_id: str) -> Path:
        assert _ID.fullmatch(file_system_id), file_system_id
        return self._folder / file_system_id

    def used_bytes(self, file_system_id: str) -> int:
        return disk_bytes(self.path(file_system_id))

    def names(self) -> list[str]:
        """Those that have a folder, or the rest of one."""
        if not self._folder.is_dir():
            return []
        return sorted({each.name.removesuffix(_GONE) for each in self._folder.iterdir() if _ID.match(each.name)})

    def remove(self, file_system_id: str) -> None:
        """Nothing of it is left. What somebody mounted there is unmounted, and keeps its files. Idempotent.

        Raises OSError."""
        path = self.path(file_system_id)
        gone = path.with_name(f"{path.name}{_GONE}")
        for point in (*reversed(mount_point.mounts_below(path)), *reversed(mount_point.mounts_below(gone))):
            syscall.umount(point)
        if gone.exists():
            shutil.rmtree(gone)
        if path.exists():
            path.rename(gone)  # nobody finds half of it
            shutil.rmtree(gone)


def disk_bytes(path: Path) -> int:
    """What its files take on the disk; a file of several names counts once. What goes meanwhile does not count."""
    return _sum(_walk(path))


def disk_bytes_within(path: Path, most: int | None) -> int | None:
    """As `disk_bytes`, unless there are more files and directories than `most`."""
    if most is None:
        return disk_bytes(path)
    walk = _walk(path)
    total = _sum(itertools.islice(walk, most))
    return total if next(walk, None) is None else None


def _sum(walk: Iterable[os.stat_result]) -> int:
    seen: set[tuple[int, int]] = set()
    total = 0
    for found in walk:
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            if (found.st_dev, found.st_ino) in seen:
                continue
            seen.add((found.st_dev, found.st_ino))
        total += found.st_blocks * 512
    return total


def _walk(path: Path) -> Iterator[os.stat_result]:
    """Of everything below; links are not followed."""
    pending = [str(path)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    try:
                        found = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    yield found
                    if stat.S_ISDIR(found.st_mode):
                        pending.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue
