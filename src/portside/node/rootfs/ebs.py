"""Volumes of EBS: each a sparse file as large as the volume, with a file system in it from its first use on.

A task's containers mount it through a loop device; no mount stays on the host. What keeps the file system mounted are
the containers, and a descriptor in the daemon's memory from `attach` to `detach`. Whatever dies, the kernel unmounts
and detaches what nobody uses any more; unlike a task's own disk, the file stays, and has a journal.
"""

import contextlib
import errno
import fcntl
import logging
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from portside.domain.ebs import Rates, VolumeUsage
from portside.node import loop, syscall
from portside.node.rootfs import mount_point
from portside.node.rootfs.account import Account
from portside.node.rootfs.efs import Pinned
from portside.node.rootfs.snapshot import Snapshots, sync_folder
from portside.node.volume_rate import VolumeRates

log = logging.getLogger(__name__)

_ID = re.compile(r"vol-[0-9a-f]+")
_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878
_EXT4_RESIZE, _XFS_GROW = 0x40086610, 0x4010586E
_BLOCK_BYTES = 4096
_XFS_IMAXPCT = 25
_MKFS_TIMEOUT_S = 120
_DETACH_TIMEOUT_S = 10.0
_UNPLUG_TIMEOUT_S = 1.0
"""Whoever mounted it may take any time: it is tried again."""
_POLL_S = 0.01
_COMMANDS = {
    # Room for the user alone; what reads as zeroes anyhow is not written.
    "ext3": ("mkfs.ext4", "-q", "-F", "-t", "ext3", "-b", "4096", "-m", "0", "-E", "lazy_itable_init=1,nodiscard"),
    "ext4": (
        *("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0"),
        *("-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"),
    ),
    "xfs": ("mkfs.xfs", "-q", "-K", "-s", "size=4096"),  # the sectors of the loop device
}
_UNMOUNTABLE = frozenset({errno.EUCLEAN, errno.EINVAL, errno.EIO, errno.ENODEV, errno.ENOTSUP})
_PACKAGES = {"mkfs.ext4": "e2fsprogs", "mkfs.xfs": "xfsprogs"}
_OPTIONS = {"ext3": "", "ext4": "noinit_itable", "xfs": "nouuid"}
"""nouuid: a volume from a snapshot has the id of its source."""


class CannotAttach(Exception):
    """For good; `str()` says why."""


@dataclass
class _Volume:
    lock: threading.Lock = field(default_factory=threading.Lock)
    device: str | None = None
    root: int | None = None
    kind: str = ""
    plugged: str | None = None  # the device that it is for an instance


class BlockStorage:
    """All volumes and snapshots of one instance. Methods block, and may be called in any thread."""

    def __init__(self, folder: Path, reached: Callable[[str], None] = lambda moment: None) -> None:
        """Args: reached: is told of moments at which a test lets the daemon die."""
        self._folder = Path(os.path.realpath(folder))
        self._files, self._points = self._folder / "volumes", self._folder / "mount"
        self.snapshots = Snapshots(self._folder / "snapshots")
        self._volumes: dict[str, _Volume] = {}
        self._lock = threading.Lock()
        self._reached = reached
        self.rates: VolumeRates | None = None
        """None: no volume is held to any."""

    def start(self) -> None:
        """Before anything else. What a killed daemon had half made is removed. Raises OSError."""
        for each in (self._folder, self._files, self._points):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        for point in list(self._points.iterdir()):
            _unmount(point)
        for left in self._files.glob("*.fresh"):
            left.unlink()
        self.snapshots.start()

    def close(self) -> None:
        """Containers go on."""
        for volume in self._volumes.values():
            _let_go(volume)
        self._volumes.clear()

    # --- files

    def make(self, volume_id: str, size_bytes: int, snapshot_id: str = "") -> None:
        """The volume's file is there, empty or with what the snapshot holds. Idempotent. Raises OSError."""
        file = self._file(volume_id)
        with self._held(volume_id):
            if file.exists():
                return
            fresh = file.with_suffix(".fresh")
            fresh.unlink(missing_ok=True)
            try:
                if snapshot_id:
                    self.snapshots.restore(snapshot_id, fresh)
                with fresh.open("ab") as writing:
                    os.ftruncate(writing.fileno(), size_bytes)
                    os.fsync(writing.fileno())
            except OSError:
                fresh.unlink(missing_ok=True)
                raise
            self._reached("within-make-volume")
            os.replace(fresh, file)
            sync_folder(self._files)

    def grow(self, volume_id: str, size_bytes: int) -> None:
        """The volume is that large, as a block device in use, too; it never shrinks. The file system in it is as it was
        until `extend`, or the next use by a task. Idempotent. Raises OSError."""
        with self._held(volume_id):
            file = self._existing(volume_id)
            if file.stat().st_size < size_bytes:
                os.truncate(file, size_bytes)
            device = loop.attached(self._files).get(file)
            if device is not None:
                loop.refresh_size(device)

    def extend(self, volume_id: str) -> None:
        """The file system of a volume that a task has takes all of the volume. Idempotent.

        Raises OSError: it can not grow; PermissionError, ext4 takes CAP_SYS_RESOURCE to grow in use."""
        with self._held(volume_id) as volume:
            self._existing(volume_id)
            self._adopt(volume_id, volume)
            if volume.root is None or volume.device is None:
                raise OSError(errno.ENODEV, f"no task has volume {volume_id}")
            _grow(volume)

    def remove(self, volume_id: str) -> None:
        """Nothing of the volume is left. Idempotent. Raises OSError: it is in use."""
        with self._held(volume_id) as volume:
            self._let_go_and_wait(volume_id, volume)
            self._file(volume_id).unlink(missing_ok=True)
        with self._lock:
            self._volumes.pop(volume_id, None)

    def limit(self, volume_id: str, rates: Rates | None, *, instance_id: str = "", task_id: str = "") -> None:
        """Hold whoever has the volume to its rates, from now on; None: nobody has it. Idempotent."""
        if self.rates is None:
            return
        if rates is None:
            self.rates.forget(volume_id)
        else:
            self.rates.want(volume_id, rates, "/".join(each for each in (instance_id, task_id) if each))

    def attached_devices(self) -> set[str]:
        return set(loop.attached(self._files).values())

    def names(self) -> set[str]:
        return {each.stem for each in self._files.glob("vol-*.img")}

    def usage(self, volume_id: str) -> VolumeUsage | None:
        """None: it has no file."""
        try:
            found = self._file(volume_id).stat()
        except FileNotFoundError:
            return None
        size, stored = found.st_size, found.st_blocks * 512
        with contextlib.suppress(OSError):  # it may be going this moment
            if (held := self._file_system_of(volume_id)) is not None:
                return VolumeUsage(
                    size_bytes=size,
                    stored_bytes=stored,
                    used_bytes=(held.f_blocks - held.f_bfree) * held.f_frsize,
                    capacity_bytes=held.f_blocks * held.f_frsize,
                    is_read_only=bool(held.f_flag & os.ST_RDONLY),
                )
        return VolumeUsage(size_bytes=size, stored_bytes=stored)

    def _file_system_of(self, volume_id: str) -> os.statvfs_result | None:
        """None: it is mounted nowhere that this process sees. Raises OSError."""
        volume = self._volumes.get(volume_id)
        if volume is None:
            return None
        if volume.root is not None:
            return os.fstatvfs(volume.root)
        if volume.plugged is None or loop.file_of(volume.plugged) != self._file(volume_id):
            return None
        points = mount_point.mounts_of(volume.plugged)
        return os.statvfs(points[0]) if points else None

    def snapshot(self, volume_id: str, snapshot_id: str) -> int:
        """Keep what the volume holds at one moment, at which nobody writes to it. Idempotent.

        Returns: bytes that it holds. Raises OSError."""
        with self._held(volume_id) as volume:
            file = self._existing(volume_id)
            self._adopt(volume_id, volume)
            if volume.root is None:
                device = loop.attached(self._files).get(file)
                still = partial(self._plugged_still, volume_id, device) if device is not None else None
                return self.snapshots.take(file, snapshot_id, still, self._reached)
            root = os.dup(volume.root)
        try:
            # Containers come and go meanwhile; the volume stays attached, by this descriptor.
            return self.snapshots.take(file, snapshot_id, partial(_still, root), self._reached)
        finally:
            os.close(root)

    def copy_snapshot(self, source_id: str, snapshot_id: str) -> int:
        """Keep what another snapshot holds, whatever becomes of that one. Idempotent.

        Returns: bytes that it holds. Raises OSError."""
        return self.snapshots.copy(source_id, snapshot_id)

    def snapshot_names(self) -> set[str]:
        return self.snapshots.names()

    def remove_snapshots(self, snapshot_ids: Collection[str]) -> None:
        """Nothing of them is left. Idempotent. Raises OSError."""
        self.snapshots.remove(snapshot_ids)

    # --- use

    def attach(self, volume_id: str, kind: str) -> None:
        """The volume is a block device with a file system of this kind, made if there is none. Idempotent.

        Raises CannotAttach, OSError (passing)."""
        with self._held(volume_id) as volume:
            self._attach(volume_id, volume, kind)

    def pin(self, volume_id: str, kind: str, account: Account, name: str) -> Pinned:
        """Mount the volume on the host until a container has a mount of its own. After `attach`.

        Args: account: whom the container runs as; name: of the mount point, which no other start has.
        Raises CannotAttach, OSError."""
        with self._held(volume_id) as volume:
            self._attach(volume_id, volume, kind)
            assert volume.root is not None
            assert volume.device is not None
            if os.fstatvfs(volume.root).f_flag & os.ST_RDONLY:
                raise CannotAttach(f"the file system of volume {volume_id} is read-only: it met an error")
            _open_to(account, volume.root)
            point = self._points / name
            point.mkdir(exist_ok=True)
            _mount(volume.device, point, volume.kind)
            return Pinned(point)

    def detach(self, volume_id: str) -> None:
        """The volume is no block device any more, and all that was written is in its file. Idempotent.

        Raises OSError: something still uses it."""
        with self._held(volume_id) as volume:
            self._let_go_and_wait(volume_id, volume)

    def plug(self, volume_id: str) -> str:
        """The volume is a block device, with whatever is in it, until `unplug`, whatever dies. Idempotent.

        Returns: the device's path. Raises OSError."""
        with self._held(volume_id) as volume:
            file = self._existing(volume_id)
            device = loop.attached(self._files).get(file)
            if device is not None and not loop.stays(device):
                self._let_go_and_wait(volume_id, volume)
                device = None
            if device is None:
                descriptor, device = loop.attach(file, is_to_stay=True)
                os.close(descriptor)
            volume.plugged = device
            self._rate(volume_id, device)
            return device

    def unplug(self, volume_id: str) -> None:
        """The volume is no block device any more. Idempotent. Raises OSError: something still uses it."""
        with self._held(volume_id) as volume:
            device = loop.attached(self._files).get(self._file(volume_id))
            volume.plugged = None
            self._unrate(volume_id)
            if device is not None:
                loop.detach(device)
            _let_go(volume)
            self._wait_until_gone(volume_id, _UNPLUG_TIMEOUT_S)

    def plugged(self) -> dict[int, str]:
        """The block devices that volumes of instances are, by their numbers."""
        return {os.stat(each).st_rdev: each for each in loop.attached(self._files).values() if loop.stays(each)}

    def recover(self, used: Collection[str]) -> None:
        """Hold the volumes that are in use; those that a daemon was killed over while nobody could write go on."""
        attached = {file.stem for file in loop.attached(self._files)}
        for volume_id in attached:
            with self._held(volume_id) as volume:
                try:
                    self._thaw_plugged(volume_id)
                    self._adopt(volume_id, volume)
                    if volume.root is not None:
                        _thaw(volume.root)
                    if volume_id not in used:
                        self._unrate(volume_id)
                        _let_go(volume)
                except OSError as error:
                    log.warning("volume %s: %s", volume_id, error)

    @contextlib.contextmanager
    def _plugged_still(self, volume_id: str, device: str) -> Iterator[None]:
        """Whoever has mounted the device waits, and nobody mounts it meanwhile. A program that writes to the device
        itself is not kept from it."""
        try:
            alone = os.open(device, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            root = self._opened(volume_id, device)
            try:
                with _still(root):
                    yield
            finally:
                os.close(root)
            return
        try:
            os.fsync(alone)
            yield
        finally:
            os.close(alone)

    def _opened(self, volume_id: str, device: str) -> int:
        """A descriptor of the file system of a device that is mounted somewhere. Raises OSError."""
        point = self._points / volume_id
        point.mkdir(exist_ok=True)
        try:
            _mount(device, point, _kind_of(Path(device)))
            return os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            _unmount(point)

    def _thaw_plugged(self, volume_id: str) -> None:
        """Raises OSError."""
        device = loop.attached(self._files).get(self._file(volume_id))
        if device is None or not loop.stays(device) or not is_mounted(device):
            return
        root = self._opened(volume_id, device)
        try:
            _thaw(root)
        finally:
            os.close(root)

    def _attach(self, volume_id: str, volume: _Volume, kind: str) -> None:
        if volume.root is not None:
            return
        file = self._file(volume_id)
        if not file.exists():
            raise CannotAttach(f"the file of volume {volume_id} is missing ({file})")
        self._adopt(volume_id, volume)
        if volume.root is not None:
            return
        found = _kind_of(file)
        if found == "" and _is_blank(file):
            self._format(file, kind)
            found = kind
        if found == "":
            raise CannotAttach(f"volume {volume_id} holds no file system that can be mounted")
        if found != kind:
            raise CannotAttach(f"volume {volume_id} holds a file system of type {found}, not {kind}")
        self._attach_file(volume_id, volume, found)
        try:
            _grow(volume)
        except PermissionError:
            # Without CAP_SYS_RESOURCE, ext4 grows only while it is not mounted.
            self._let_go_and_wait(volume_id, volume)
            _grow_unmounted(file)
            self._attach_file(volume_id, volume, found)

    def _attach_file(self, volume_id: str, volume: _Volume, kind: str) -> None:
        descriptor, device = loop.attach(self._file(volume_id))
        try:
            self._mount_and_hold(volume_id, volume, device, kind)
        except OSError as error:
            _let_go(volume)
            if error.errno in _UNMOUNTABLE:
                raise CannotAttach(f"the file system of volume {volume_id} can not be mounted: {error}") from error
            raise
        finally:
            os.close(descriptor)

    def _format(self, file: Path, kind: str) -> None:
        """A crash leaves it as it was, or formatted. Raises CannotAttach, OSError."""
        command = _COMMANDS[kind]
        if shutil.which(command[0]) is None:
            raise CannotAttach(
                f"{command[0]} is not installed on this machine (apt-get install {_PACKAGES[command[0]]})"
            )
        fresh = file.with_suffix(".fresh")
        fresh.unlink(missing_ok=True)
        with fresh.open("xb") as opened:
            opened.truncate(file.stat().st_size)
        try:
            done = subprocess.run(
                [*command, str(fresh)],
                capture_output=True,
                text=True,
                timeout=_MKFS_TIMEOUT_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise OSError(f"{command[0]} did not end within {_MKFS_TIMEOUT_S} s") from error
        if done.returncode != 0:
            fresh.unlink(missing_ok=True)
            raise OSError(f"{command[0]}: {done.stderr.strip() or done.returncode}")
        with fresh.open("rb") as written:
            os.fsync(written.fileno())
        self._reached("within-attach-ebs-volume")
        os.replace(fresh, file)
        sync_folder(self._files)

    def _adopt(self, volume_id: str, volume: _Volume) -> None:
        """Hold the device that a daemon before this one made, if it is still in use: it must not be made twice."""
        if volume.root is not None:
            return
        file = self._file(volume_id)
        device = loop.attached(self._files).get(file)
        kind = _kind_of(file) if device is not None else ""
        if device is not None and (loop.stays(device) or not kind):
            return  # plugged into an instance: what is in it is not this daemon's
        if device is not None:
            with contextlib.suppress(OSError):  # the kernel detaches it this moment
                self._mount_and_hold(volume_id, volume, device, kind)
                return
            self._wait_until_gone(volume_id)

    def _mount_and_hold(self, volume_id: str, volume: _Volume, device: str, kind: str) -> None:
        point = self._points / volume_id
        point.mkdir(exist_ok=True)
        try:
            _mount(device, point, kind)
            volume.root = os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            volume.device, volume.kind = device, kind
            self._rate(volume_id, device)
        finally:
            _unmount(point)

    def _rate(self, volume_id: str, device: str) -> None:
        if self.rates is not None:
            self.rates.attached(volume_id, device)

    def _unrate(self, volume_id: str) -> None:
        if self.rates is not None:
            self.rates.detaching(volume_id)

    def _let_go_and_wait(self, volume_id: str, volume: _Volume) -> None:
        self._unrate(volume_id)
        _let_go(volume)
        self._wait_until_gone(volume_id)

    def _wait_until_gone(self, volume_id: str, timeout_s: float = _DETACH_TIMEOUT_S) -> None:
        file, until = self._file(volume_id), time.monotonic() + timeout_s
        while file in loop.attached(self._files):
            if time.monotonic() > until:
                raise OSError(errno.EBUSY, f"volume {volume_id} is still in use")
            time.sleep(_POLL_S)

    @contextlib.contextmanager
    def _held(self, volume_id: str) -> Iterator[_Volume]:
        """The volume, for this thread alone."""
        while True:
            with self._lock:
                volume = self._volumes.setdefault(volume_id, _Volume())
            with volume.lock:
                if self._volumes.get(volume_id) is volume:  # else it was removed while this thread waited
                    yield volume
                    return

    def _file(self, volume_id: str) -> Path:
        assert _ID.fullmatch(volume_id), volume_id
        return self._files / f"{volume_id}.img"

    def _existing(self, volume_id: str) -> Path:
        """Raises OSError."""
        file = self._file(volume_id)
        if not file.exists():
            raise FileNotFoundError(errno.ENOENT, f"the file of volume {volume_id} is missing", str(file))
        return file


def thaw_all(folder: Path) -> None:
    """Whatever a daemon that was killed over a snapshot left standing still goes on: else its writers could not even be
    killed. With no daemon running. Raises OSError."""
    files, point = Path(os.path.realpath(folder)) / "volumes", folder / "mount" / "thaw"
    for file, device in loop.attached(files).items():
        if not _kind_of(file) or (loop.stays(device) and not is_mounted(device)):
            continue
        point.mkdir(exist_ok=True)
        with contextlib.suppress(OSError):  # it goes this moment
            _mount(device, point, _kind_of(file))
            try:
                root = os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    _thaw(root)
                finally:
                    os.close(root)
            finally:
                _unmount(point)


def unplug_all(folder: Path) -> list[str]:
    """No volume is a block device of an instance any more; what was mounted from it is unmounted. With no daemon
    running. Returns: what could not be."""
    left = []
    for device in loop.attached(Path(os.path.realpath(folder)) / "volumes").values():
        if not loop.stays(device):
            continue
        try:
            for point in mount_point.mounts_of(device):
                syscall.umount(point)
            loop.detach(device)
        except OSError as error:
            left.append(f"{device}: {error}")
    return left


def is_mounted(device: str) -> bool:
    """Whether a file system on it is in use, in any namespace. Raises OSError."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return True
    return False


def _kind_of(file: Path) -> str:
    """The kind of file system that a file holds; empty if it is none of those here. Source: the kernel's ext4.h
    (s_magic, s_feature_incompat) and xfs_format.h (XFS_SB_MAGIC)."""
    with file.open("rb") as reading:
        head = os.pread(reading.fileno(), 2048, 0)
    if head[:4] == b"XFSB":
        return "xfs"
    if head[0x438:0x43A] == b"\x53\xef":
        extents = int.from_bytes(head[0x460:0x464], "little") & 0x40
        return "ext4" if extents else "ext3"
    return ""


def _is_blank(file: Path) -> bool:
    with file.open("rb") as reading:
        try:
            os.lseek(reading.fileno(), 0, os.SEEK_DATA)
        except OSError as error:
            return error.errno == errno.ENXIO
    return False


def _blocks_of(device: Path) -> int:
    """How many blocks the file system of a device or file takes, as its superblock says."""
    with device.open("rb") as reading:
        head = os.pread(reading.fileno(), 2048, 0)
    if head[:4] == b"XFSB":
        return int.from_bytes(head[8:16], "big")
    low, high = int.from_bytes(head[0x404:0x408], "little"), int.from_bytes(head[0x550:0x554], "little")
    is_64_bit = int.from_bytes(head[0x460:0x464], "little") & 0x80
    return low | (high << 32 if is_64_bit else 0)


def _grow_unmounted(file: Path) -> None:
    """Raises OSError."""
    for command, well in ((("e2fsck", "-f", "-p"), (0, 1)), (("resize2fs",), (0,))):
        done = subprocess.run(
            [*command, str(file)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        if done.returncode not in well:
            raise OSError(f"{command[0]} {file}: {done.stderr.strip() or done.returncode}")


def _mount(device: str, point: Path, kind: str) -> None:
    flags = syscall.MS_NODEV
    syscall.mount(device, str(point), "ext4" if kind == "ext3" else kind, flags, _OPTIONS[kind] or None)


def _grow(volume: _Volume) -> None:
    """The file system takes all of its device. Source: linux/ext4.h, xfs_fs.h."""
    assert volume.root is not None
    assert volume.device is not None
    blocks = loop.size_bytes(volume.device) // _BLOCK_BYTES
    if _blocks_of(Path(volume.device)) >= blocks:
        return
    if volume.kind == "xfs":
        wanted = blocks.to_bytes(8, "little") + _XFS_IMAXPCT.to_bytes(4, "little") + bytes(4)
        fcntl.ioctl(volume.root, _XFS_GROW, wanted)
    else:
        fcntl.ioctl(volume.root, _EXT4_RESIZE, blocks.to_bytes(8, "little"))


@contextlib.contextmanager
def _still(root: int) -> Iterator[None]:
    """Whoever writes to the file system waits, and what was written before is on the disk."""
    fcntl.ioctl(root, _FIFREEZE, 0)
    try:
        yield
    finally:
        _thaw(root)


def _thaw(root: int) -> None:
    try:
        fcntl.ioctl(root, _FITHAW, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:  # it was not frozen
            raise


def _open_to(account: Account, root: int) -> None:
    """A user that is not root may write there, by its group. Source: ECS developer guide, "Specify Amazon EBS volume
    configuration at Amazon ECS deployment"."""
    found = os.fstat(root)
    if account.uid != 0 and found.st_uid != account.uid and found.st_gid != account.gid:
        os.chown(root, -1, account.gid)
        os.chmod(root, 0o2775)


def _unmount(point: Path) -> None:
    syscall.umount(str(point))
    with contextlib.suppress(FileNotFoundError):
        point.rmdir()


def _let_go(volume: _Volume) -> None:
    if volume.root is not None:
        os.close(volume.root)
    volume.root = volume.device = None
