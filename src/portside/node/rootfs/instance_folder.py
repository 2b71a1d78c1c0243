"""The file systems of container instances: one folder each below the data directory, made when it is first needed.
Beside its root directory are the Docker volumes that outlive tasks.

What a task definition calls a path of the instance is resolved within that folder (openat2): whatever links tasks leave
there, none leads to the machine's own files.
"""

import contextlib
import errno
import os
import re
import shutil
import stat
from pathlib import Path

from portside.domain.task.record import InstanceMount
from portside.node import syscall
from portside.node.rootfs.efs import Pinned
from portside.node.rootfs.file_system import disk_bytes, disk_bytes_within
from portside.node.rootfs.mount_point import MountPoints, mounts_below

_ID = re.compile(r"i-[0-9a-f]{8,40}")
_VOLUME = re.compile(r"(dv-[0-9a-f]+)(\.\w+)?")
CONTAINERS = "/var/lib/docker/containers"
"""Where Docker has the files of its log driver `json-file`."""
_CONTAINER = re.compile(r"[0-9a-f]{64}")
_ROOT, _VOLUMES = "root", "volumes"
_NOT_OF_THE_PATH = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.EINTR, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
)


class CannotMount(Exception):
    """The container can not start by it; `str()` is Docker's reason."""


class InstanceFolders:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mounts = MountPoints(folder / ".mounts")

    def root(self, instance_id: str) -> Path:
        """Its "/", owned by root, mode 0755. Raises OSError."""
        path = self._path(instance_id) / _ROOT
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.mkdir(mode=0o755, exist_ok=True)
        return path

    def pin(self, mount: InstanceMount, name: str) -> Pinned:
        """Hold a file or directory of it to be mounted. Args: name: of the mount point, which no other start has.

        Raises CannotMount, OSError."""
        root = os.open(self.root(mount.instance_id), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = _there(root, mount.path) if mount.must_exist else _opened(root, mount.path)
        finally:
            os.close(root)
        try:
            is_file = not stat.S_ISDIR(os.fstat(found).st_mode)
            pinned = Pinned(self._mounts.new(name, is_file=is_file), options=("nodev", *mount.flags))
            try:
                syscall.mount(f"/proc/self/fd/{found}", str(pinned.source), None, syscall.MS_BIND)
            except BaseException:
                pinned.close()
                raise
        finally:
            os.close(found)
        return pinned

    def open_root(self, instance_id: str) -> int:
        """A descriptor of its "/". Raises OSError."""
        return os.open(self.root(instance_id), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def open_directory(self, instance_id: str, path: str, *, is_made: bool = True) -> int:
        """A descriptor of a directory of it, made if it is not there. Raises OSError."""
        if not is_made and not self._path(instance_id).exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        root = self.open_root(instance_id)
        try:
            return _opened(root, path) if is_made else _found(root, path)
        except CannotMount as error:
            raise OSError(errno.ENOTDIR, str(error)) from error
        finally:
            os.close(root)

    def container_ids(self) -> list[tuple[str, str]]:
        """The containers that Docker's folder has something of: instance and id."""
        found = []
        for instance_id in self.names():
            with contextlib.suppress(OSError):
                folder = self.open_directory(instance_id, CONTAINERS, is_made=False)
                try:
                    listed = os.listdir(f"/proc/self/fd/{folder}")
                finally:
                    os.close(folder)
                found += [(instance_id, each) for each in listed if _CONTAINER.fullmatch(each)]
        return sorted(found)

    def remove_container(self, instance_id: str, container: str) -> None:
        """Docker's folder has nothing of it. Idempotent. Raises OSError."""
        try:
            folder = self.open_directory(instance_id, CONTAINERS, is_made=False)
        except FileNotFoundError:
            return
        try:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(container, dir_fd=folder)
        finally:
            os.close(folder)

    def volumes(self, instance_id: str) -> Path:
        """Where its Docker volumes are. Raises OSError."""
        path = self.root(instance_id).parent / _VOLUMES
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def volume_ids(self) -> list[tuple[str, str]]:
        """The Docker volumes that have a folder, or the rest of one: instance and id."""
        found = set()
        for instance_id in self.names():
            folder = self._path(instance_id) / _VOLUMES
            for each in folder.iterdir() if folder.is_dir() else ():
                if match := _VOLUME.fullmatch(each.name):
                    found.add((instance_id, match[1]))
        return sorted(found)

    def remove_volume(self, instance_id: str, volume_id: str) -> None:
        """Nothing of it is left. Idempotent. Raises OSError."""
        for path in (self._path(instance_id) / _VOLUMES).glob(f"{volume_id}*"):
            match = _VOLUME.fullmatch(path.name)
            if match is None or match[1] != volume_id:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def volume(self, instance_id: str, volume_id: str) -> Path:
        """Where a Docker volume's files are, once there are any."""
        return self._path(instance_id) / _VOLUMES / volume_id

    def used_bytes(self, instance_id: str, volume_id: str) -> int:
        """What its files take on the disk."""
        return disk_bytes(self.volume(instance_id, volume_id))

    def path_bytes(self, instance_id: str, path: str, most: int | None) -> int | None:
        """What a path of it takes on the disk; None: it is not there, or holds more files than `most`."""
        try:
            root = os.open(self._path(instance_id) / _ROOT, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                opened = _found(root, path)
            finally:
                os.close(root)
        except OSError:
            return None
        try:
            found = os.fstat(opened)
            if not stat.S_ISDIR(found.st_mode):
                return found.st_blocks * 512
            return disk_bytes_within(Path(f"/proc/self/fd/{opened}"), most)
        finally:
            os.close(opened)

    def disk_percent(self) -> float | None:
        """How full the disk is that has all of them, as df counts; None if it can not be asked."""
        try:
            found = os.statvfs(self._folder if self._folder.exists() else self._folder.parent)
        except OSError:
            return None
        used, whole = found.f_blocks - found.f_bfree, found.f_blocks - found.f_bfree + found.f_bavail
        return 100 * used / whole if whole else None

    def unmount_all(self) -> None:
        """What a killed daemon left mounted."""
        self._mounts.unmount_all()

    def names(self) -> list[str]:
        """The instances that have a folder, or the rest of one."""
        if not self._folder.is_dir():
            return []
        return sorted(each.name for each in self._folder.iterdir() if _ID.fullmatch(each.name))

    def put_device(self, instance_id: str, device: str, block_device: str) -> None:
        """The block device of the machine is there at the path `device`, as /dev/sdf, and no other one. Idempotent.

        Raises OSError."""
        wanted = os.stat(block_device).st_rdev
        name, folder = self._device_folder(instance_id, device)
        try:
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(name, dir_fd=folder)
                if stat.S_ISBLK(found.st_mode) and found.st_rdev == wanted:
                    return
                os.unlink(name, dir_fd=folder)
            os.mknod(name, stat.S_IFBLK | 0o660, wanted, dir_fd=folder)
        finally:
            os.close(folder)

    def remove_device(self, instance_id: str, device: str) -> None:
        """Idempotent. Raises OSError."""
        if not self._path(instance_id).exists():
            return
        name, folder = self._device_folder(instance_id, device)
        try:
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISBLK(os.lstat(name, dir_fd=folder).st_mode):
                    os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)

    def device(self, instance_id: str, path: str) -> os.stat_result | None:
        """The block device that is at a path of the instance; None: there is none. Raises OSError."""
        root = os.open(self.root(instance_id), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            opened = _found(root, path)
            try:
                found = os.fstat(opened)
            finally:
                os.close(opened)
        except OSError as error:
            if error.errno in _NOT_OF_THE_PATH:
                raise
            return None
        finally:
            os.close(root)
        return found if stat.S_ISBLK(found.st_mode) else None

    def _device_folder(self, instance_id: str, device: str) -> tuple[str, int]:
        """The name, and a descriptor of the directory that it is in. Raises OSError."""
        folder, _, name = device.rpartition("/")
        root = os.open(self.root(instance_id), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            opened = _opened(root, folder)
        except CannotMount as error:
            raise OSError(errno.ENOTDIR, str(error)) from error
        finally:
            os.close(root)
        return name, opened

    def remove(self, instance_id: str) -> None:
        """Nothing of it is left. What somebody mounted there is unmounted, and keeps its files. Idempotent.

        Raises OSError."""
        path = self._path(instance_id)
        for point in reversed(mounts_below(path)):
            syscall.umount(point)
        if path.exists():
            shutil.rmtree(path)

    def _path(self, instance_id: str) -> Path:
        assert _ID.fullmatch(instance_id), instance_id
        return self._folder / instance_id


def _opened(root: int, path: str) -> int:
    """A descriptor of what is there, else of a directory that is made, as Docker does. Raises CannotMount, OSError."""
    try:
        return _found(root, path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _refused(path, error) from error
    try:
        walked = ""
        here = os.dup(root)
        try:
            for part in (each for each in path.split("/") if each not in ("", ".")):
                walked += f"/{part}"
                try:
                    following = _found(root, walked)
                except FileNotFoundError:
                    try:
                        os.mkdir(part, 0o755, dir_fd=here)
                    except FileExistsError:
                        pass  # another start made it this moment; if it is a link to nowhere, it is still not found
                    following = _found(root, walked)
                os.close(here)
                here = following
        finally:
            os.close(here)
        return _found(root, path)
    except OSError as error:
        raise _refused(path, error) from error


def _there(root: int, path: str) -> int:
    """As Docker's driver `local` says that it is not. Raises CannotMount, OSError."""
    try:
        return _found(root, path)
    except OSError as error:
        if error.errno in _NOT_OF_THE_PATH:
            raise
        words = (error.strerror or "").lower()
        raise CannotMount(f"failed to mount local volume: mount {path}: flags: 0x1000: {words}") from error


def _found(root: int, path: str) -> int:
    """Raises OSError, FileNotFoundError."""
    return syscall.open_in_root(root, path, os.O_PATH)


def _refused(path: str, error: OSError) -> Exception:
    if error.errno in _NOT_OF_THE_PATH:
        return error
    words = (error.strerror or "").lower()
    return CannotMount(f"error while creating mount source path '{path}': mkdir {path}: {words}")
