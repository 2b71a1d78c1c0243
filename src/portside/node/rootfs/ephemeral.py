"""A task's disk: a file system of the size of its `ephemeralStorage`, in a sparse file, for its containers' writable
layers.

Below one folder each task that runs has a folder: the file, and an empty file in `users` for each container that writes
to it. The disk goes with the last of them. No mount stays on the host: each container's start mounts the disk, and what
keeps it after that is the container's overlay and a descriptor in the daemon's memory. So whatever dies, the kernel
unmounts and detaches what nobody uses any more.

The task's volumes are on it, too, and count as one more user: they outlive the containers.

There is no journal: a disk never outlives a boot of the machine.
"""

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from portside.node import loop, syscall
from portside.node.container.record import boot_id
from portside.node.rootfs.file_system import disk_bytes_within

log = logging.getLogger(__name__)

GIB = 1024**3
VOLUMES = "volumes"
"""Where on the disk the task's volumes are; no container's runtime id is this word."""
_MKFS_TIMEOUT_S = 60
_TRIAL, _TRIAL_GIB = "trial", 20
"""Of the usual size: so the first task finds its template made."""
RESERVE_BYTES = 16 * 1024**2
"""Of the host's room, kept for Portside's own state: with less, not even the stop of a task could be recorded."""
_WORTH_BYTES = 64 * 1024**2
"""Ending a task that takes less would not help."""
_KIND = "ext4"
_OPTIONS = "noinit_itable"
"""A hole reads as the zeroes that the kernel would otherwise write in the background."""
_FS_IOC_SHUTDOWN = 0x8004587D
_SHUTDOWN_AT_ONCE = (2).to_bytes(4, "little")
"""EXT4_GOING_FLAGS_NOLOGFLUSH: nothing that is not on disk yet is written any more."""


@dataclass
class _Disk:
    lock: threading.Lock = field(default_factory=threading.Lock)
    device: str | None = None
    root: int | None = None


class EphemeralStorage:
    """All disks of one instance. Methods may be called in any thread, for one task from several at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(os.path.realpath(folder))
        self._disks: dict[str, _Disk] = {}
        self._lock = threading.Lock()
        self._making_template = threading.Lock()
        self.problem = ""
        """Why sizes can not be enforced on this machine; empty if they are."""

    def start(self) -> None:
        """Raises OSError: the folder can not be written."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._drop_other_boots()
        self.problem = problem() or self._try()
        if self.problem:
            log.warning("ephemeralStorage is not enforced, a task can fill the disk of the host: %s", self.problem)

    def _try(self) -> str:
        """Why a disk can not be used here; empty if it can, or a full disk says nothing about it."""
        point = self._folder / "trial.point"
        try:
            self.mount(_TRIAL, _TRIAL, _TRIAL_GIB, point)
        except OSError as error:
            return "" if error.errno in (errno.ENOSPC, errno.EDQUOT) else f"a file system in a file: {error}"
        finally:
            syscall.umount(str(point))
            self.release(_TRIAL, _TRIAL)
        return ""

    def close(self) -> None:
        for disk in self._disks.values():
            _let_go(disk)
        self._disks.clear()

    def mount(self, task_id: str, user: str, size_gib: int, target: Path, *, again: bool = False) -> Path:
        """Mount the task's disk on a folder, made if need be; the disk is made for the first user. Raises OSError.

        Returns: where on it this user may write; nothing is there yet, unless it is mounted `again`.
        Cleanup: the caller unmounts; `release` with the same user."""
        with self._held(task_id) as disk:
            self._users(task_id).mkdir(parents=True, exist_ok=True)
            (self._users(task_id) / user).touch()
            target.mkdir(exist_ok=True)
            self._mount(task_id, disk, size_gib, target)
            with contextlib.suppress(FileNotFoundError):
                if not again:
                    shutil.rmtree(target / user)  # of an attempt that a crash cut short
            return target / user

    def _mount(self, task_id: str, disk: _Disk, size_gib: int, target: Path) -> None:
        file = self._file(task_id)
        if disk.root is not None and disk.device is not None:
            syscall.mount(disk.device, str(target), _KIND, 0, _OPTIONS)
            return
        if file.exists():
            # A daemon before this one made it. If it is still in use, it must not be attached twice.
            device = loop.attached(self._folder).get(file)
            if device is not None:
                with contextlib.suppress(OSError):  # the kernel detaches it this moment
                    self._mount_and_hold(disk, device, target)
                    return
        else:
            _copy(self._template(size_gib), file)
        descriptor, device = loop.attach(file)
        try:
            self._mount_and_hold(disk, device, target)
        finally:
            os.close(descriptor)

    def release(self, task_id: str, user: str) -> None:
        """The user writes no more, and has no process and no mount. Idempotent. Raises OSError."""
        with self._held(task_id) as disk:
            users = self._users(task_id)
            (users / user).unlink(missing_ok=True)
            if users.is_dir() and any(users.iterdir()):
                if disk.root is not None:
                    with contextlib.suppress(FileNotFoundError):
                        shutil.rmtree(user, dir_fd=disk.root)
                return
            self._drop(task_id, disk)
            with self._lock:
                self._disks.pop(task_id, None)

    def hold_volumes(self, task_id: str) -> None:
        """The task's volumes are there, whoever of its containers is, until they are released. Raises OSError."""
        with self._held(task_id):
            self._users(task_id).mkdir(parents=True, exist_ok=True)
            (self._users(task_id) / VOLUMES).touch()

    def release_volumes(self, task_id: str) -> None:
        """No volume of the task is left. Idempotent. Raises OSError."""
        self.release(task_id, VOLUMES)

    def volumes_without_disk(self, task_id: str) -> Path:
        """Where volumes are on a machine that can not have a disk for each task. After `hold_volumes`."""
        return self._folder / task_id / VOLUMES

    def usage(self, task_id: str) -> tuple[int, int] | None:
        """Bytes used and reserved; None if the task has no disk."""
        disk = self._disks.get(task_id)
        if disk is None or disk.root is None:
            return None
        try:
            found = os.fstatvfs(disk.root)
            return (found.f_blocks - found.f_bfree) * found.f_frsize, self._file(task_id).stat().st_size
        except OSError:
            return None  # it is going this moment

    def volume_bytes(self, task_id: str, name: str, most: int | None) -> int | None:
        """What a volume of the task takes; None: there is none, or it holds more files than `most`."""
        if self.problem:
            folder = self.volumes_without_disk(task_id) / name
            return disk_bytes_within(folder, most) if folder.is_dir() else None
        disk = self._disks.get(task_id)
        if disk is None:
            return None
        with disk.lock:
            if disk.root is None:
                return None
            root = os.dup(disk.root)
        try:
            folder = Path(f"/proc/self/fd/{root}/{VOLUMES}/{name}")
            return disk_bytes_within(folder, most) if folder.is_dir() else None
        finally:
            os.close(root)

    def give_up_largest(self) -> str | None:
        """If the host has hardly any room left, make the disk that takes the most of it fail at once and take its room
        back: for the kernel would accept what tasks write, and lose it. Returns the task, which is to be ended."""
        host = os.statvfs(self._folder)
        if host.f_bfree * host.f_frsize >= RESERVE_BYTES:
            return None
        sizes = {}
        for task_id, disk in list(self._disks.items()):
            with contextlib.suppress(OSError):  # it may be going this moment
                if disk.root is not None:
                    sizes[task_id] = self._file(task_id).stat().st_blocks * 512
        task_id = max(sizes, key=lambda each: sizes[each], default="")
        if sizes.get(task_id, 0) < _WORTH_BYTES:
            return None
        with self._held(task_id) as disk:
            if disk.root is None:
                return None
            fcntl.ioctl(disk.root, _FS_IOC_SHUTDOWN, _SHUTDOWN_AT_ONCE)
            os.truncate(self._file(task_id), 0)
        return task_id

    def recover(self, task_ids: Collection[str]) -> None:
        """Hold the disks of these tasks that are in use; remove all others. Before the first `mount`."""
        attached = loop.attached(self._folder)
        for task_id in self._tasks():
            syscall.umount(str(self._point(task_id)))  # a daemon was killed just here
            with self._held(task_id) as disk:
                try:
                    if task_id not in task_ids:
                        log.info("the disk of task %s, which is no more, is removed", task_id)
                        self._drop(task_id, disk)
                    elif (device := attached.get(self._file(task_id))) is not None:
                        self._adopt(task_id, disk, device)
                except OSError as error:
                    log.warning("the disk of task %s: %s", task_id, error)

    def _adopt(self, task_id: str, disk: _Disk, device: str) -> None:
        point = self._point(task_id)
        point.mkdir(exist_ok=True)
        self._mount_and_hold(disk, device, point)
        syscall.umount(str(point))

    def _mount_and_hold(self, disk: _Disk, device: str, target: Path) -> None:
        syscall.mount(device, str(target), _KIND, 0, _OPTIONS)
        disk.root, disk.device = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), device

    def _drop(self, task_id: str, disk: _Disk) -> None:
        if disk.root is not None:
            with contextlib.suppress(OSError):
                # Else the kernel would write out all that a task wrote, only for it to be deleted.
                fcntl.ioctl(disk.root, _FS_IOC_SHUTDOWN, _SHUTDOWN_AT_ONCE)
        _let_go(disk)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._folder / task_id)

    @contextlib.contextmanager
    def _held(self, task_id: str) -> Iterator[_Disk]:
        """The task's disk, for this thread alone."""
        while True:
            with self._lock:
                disk = self._disks.setdefault(task_id, _Disk())
            with disk.lock:
                if self._disks.get(task_id) is disk:  # else it was released while this thread waited
                    yield disk
                    return

    def _file(self, task_id: str) -> Path:
        return self._folder / task_id / "disk"

    def _users(self, task_id: str) -> Path:
        return self._folder / task_id / "users"

    def _point(self, task_id: str) -> Path:
        return self._folder / task_id / "point"

    def _tasks(self) -> list[str]:
        return [each.name for each in self._folder.iterdir() if each.is_dir() and each.suffix != ".point"]

    def _drop_other_boots(self) -> None:
        """What the machine wrote before it was last started may be half written, and nobody uses it."""
        note = self._folder / "boot"
        with contextlib.suppress(FileNotFoundError):
            if note.read_text() == boot_id():
                return
        for task_id in self._tasks():
            shutil.rmtree(self._folder / task_id)
        for template in self._folder.glob("*GiB"):
            template.unlink()
        note.write_text(boot_id())

    def _template(self, size_gib: int) -> Path:
        template = self._folder / f"{size_gib}GiB"
        with self._making_template:
            if not template.exists():
                fresh = template.with_suffix(".fresh")
                fresh.unlink(missing_ok=True)
                make(fresh, size_gib)
                os.replace(fresh, template)
        return template


def problem() -> str:
    """Why a disk can not be made on this machine; empty if it can."""
    if shutil.which("mkfs.ext4") is None:
        return "mkfs.ext4 is not installed (apt-get install e2fsprogs)"
    if found := loop.problem():
        return f"no loop devices (modprobe loop): {found}"
    return ""


def make(file: Path, size_gib: int) -> None:
    """Make a file system in a new sparse file. Raises OSError."""
    with file.open("xb") as opened:
        opened.truncate(size_gib * GIB)
    # Room for the user alone, and as little written as there must be: this much is copied for each task.
    features = "^has_journal,^resize_inode,sparse_super2"
    command = ["mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-O", features, "-E", "num_backup_sb=0", str(file)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_MKFS_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"mkfs.ext4 did not end within {_MKFS_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise OSError(f"mkfs.ext4: {done.stderr.strip() or done.returncode}")


def _copy(source: Path, target: Path) -> None:
    """A copy that has the holes of its source. Nothing, or all of it, is at `target`."""
    fresh = target.with_name("disk.fresh")
    with source.open("rb") as reading, fresh.open("wb") as writing:
        size = os.fstat(reading.fileno()).st_size
        os.ftruncate(writing.fileno(), size)
        at = 0
        while at < size:
            try:
                at = os.lseek(reading.fileno(), at, os.SEEK_DATA)
            except OSError:
                break  # ENXIO: only a hole is left
            end = os.lseek(reading.fileno(), at, os.SEEK_HOLE)
            while at < end:
                copied = os.copy_file_range(reading.fileno(), writing.fileno(), end - at, at, at)
                if copied == 0:
                    raise OSError(f"{source} ended at {at}")
                at += copied
    os.replace(fresh, target)


def _let_go(disk: _Disk) -> None:
    if disk.root is not None:
        os.close(disk.root)
    disk.root = disk.device = None
