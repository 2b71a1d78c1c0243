"""A directory of a file system of EFS, made ready for a container: found, made if its access point says how, held open.

Containers write into these file systems, as root too: whatever links they leave there, a path is resolved within the
file system (openat2), and what was found is mounted by its descriptor, not by a name that could come to mean another
place.
"""

import errno
import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from portside.domain import file_mount
from portside.domain.file_system import CreationInfo, PosixUser
from portside.domain.task.record import FileMount
from portside.node import syscall
from portside.node.rootfs import mount_point
from portside.node.rootfs.account import Account
from portside.node.rootfs.file_system import FileSystemFolders

_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_NOBODY = 65534
_STAND_IN = 2_000_000_000
"""The first of the groups that stand for others; no image has groups as high."""
_making = threading.Lock()


class CannotMount(Exception):
    """The whole task ends by it; `str()` is the reason."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A directory that a container is to mount: a mount point of the host's, until the container has its own.

    `gids`: groups that the container's processes are to be in, for what is in the mount."""

    source: Path
    options: tuple[str, ...] = ("nodev",)
    gids: tuple[int, ...] = ()

    def close(self) -> None:
        """Raises OSError."""
        mount_point.drop(self.source)


def pin(folders: FileSystemFolders, mount: FileMount, account: Account, name: str) -> Pinned:
    """Args: name: of the mount point, which no other start has. Raises CannotMount, OSError."""
    root = os.open(folders.ensure(mount.file_system_id), _DIRECTORY | os.O_CLOEXEC)
    try:
        found = _opened(root, folders, mount)
    finally:
        os.close(root)
    user = _user(mount, account)
    options = ("nodev", "ro") if mount.is_read_only else ("nodev",)
    pinned = Pinned(folders.mount_point(name), options, gids=tuple(_stand_ins(user)))
    try:
        if user is None:
            syscall.mount(f"/proc/self/fd/{found}", str(pinned.source), None, syscall.MS_BIND)
        else:
            _mount_as(user, account, found, pinned.source)
    except BaseException:
        pinned.close()
        raise
    finally:
        os.close(found)
    return pinned


def _user(mount: FileMount, account: Account) -> PosixUser | None:
    """Who the container's user is in the file system; None: itself, and root has all power."""
    asked = mount.posix_user
    if not mount.squashes_root:
        return asked
    if asked is None:
        asked = PosixUser(uid=account.uid, gid=account.gid)
    if asked.uid == 0:
        return PosixUser(uid=_NOBODY, gid=_NOBODY)
    return asked


def _opened(root: int, folders: FileSystemFolders, mount: FileMount) -> int:
    try:
        return syscall.open_in_root(root, mount.path, _DIRECTORY)
    except FileNotFoundError:
        if mount.creation is None:
            cause = f"{mount.file_system_id} has no directory {mount.path}"
            raise CannotMount(file_mount.not_served(mount.path, "No such file or directory", cause)) from None
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        cause = f"{mount.path} is no directory of {mount.file_system_id}"
        raise CannotMount(file_mount.not_served(mount.path, "Not a directory", cause)) from None
    try:
        with _making:
            _make(root, folders, mount.path, mount.creation)
        return syscall.open_in_root(root, mount.path, _DIRECTORY)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        cause = f"the root directory {mount.path} of the access point could not be made: {error.strerror}"
        raise CannotMount(file_mount.not_served(mount.path, "No such file or directory", cause)) from None


def _make(root: int, folders: FileSystemFolders, path: str, creation: CreationInfo) -> None:
    """Each part that is not there; the last one with its owner and mode, all at once."""
    here = os.dup(root)
    try:
        walked = ""
        parts = [each for each in path.split("/") if each not in ("", ".")]
        for number, part in enumerate(parts, 1):
            walked += f"/{part}"
            try:
                following = syscall.open_in_root(root, walked, _DIRECTORY)
            except FileNotFoundError:
                fresh = folders.fresh()
                if number == len(parts):
                    os.chown(fresh, creation.owner_uid, creation.owner_gid)
                    os.chmod(fresh, int(creation.permissions, 8))
                os.rename(fresh, part, dst_dir_fd=here)
                following = syscall.open_in_root(root, walked, _DIRECTORY)
            os.close(here)
            here = following
    finally:
        os.close(here)


def _mount_as(user: PosixUser, account: Account, directory: int, target: Path) -> None:
    """The container's user is the access point's. Raises CannotMount, OSError.

    Within the mount there is no other user: what others own in the file system is nobody's there, root in the container
    has no power over it, and a process of another user can not make files."""
    groups = {account.gid: user.gid} | _stand_ins(user)
    try:
        namespace = _user_namespace(
            f"{user.uid} {account.uid} 1\n", "".join(f"{theirs} {ours} 1\n" for ours, theirs in groups.items())
        )
    except OSError as error:
        cause = f"the POSIX user of the access point takes a user namespace, which can not be made: {error.strerror}"
        raise CannotMount(file_mount.failed("b'mount.nfs4: Operation not permitted'", 32, cause)) from error
    try:
        syscall.mount_mapped(directory, str(target), namespace)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EPERM):
            raise
        cause = f"the POSIX user of the access point takes id-mapped mounts, which this machine lacks: {error.strerror}"
        raise CannotMount(file_mount.failed("b'mount.nfs4: Operation not permitted'", 32, cause)) from error
    finally:
        os.close(namespace)


def _stand_ins(user: PosixUser | None) -> dict[int, int]:
    """The groups by which a container's processes have the rights of the user's secondary groups, in the mount alone:
    the groups themselves may mean something else in the image, or in another mount."""
    if user is None:
        return {}
    further = [each for each in dict.fromkeys(user.secondary_gids) if each != user.gid]
    return {_STAND_IN + number: each for number, each in enumerate(further)}


def _user_namespace(uids: str, gids: str) -> int:
    """A descriptor of a user namespace with these maps; nothing runs in it. Raises OSError."""
    holder = subprocess.Popen(["unshare", "--user", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        if not holder.stdout.read(1):  # it is in its namespace once it answers
            raise OSError(errno.EPERM, "no user namespace could be made")
        folder = Path(f"/proc/{holder.pid}")
        (folder / "uid_map").write_text(uids)
        (folder / "gid_map").write_text(gids)
        return os.open(folder / "ns" / "user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        holder.kill()
        holder.communicate()
