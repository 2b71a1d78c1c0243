"""System calls that Python's standard library does not have, through ctypes. No policy lives here."""

import ctypes
import errno
import os
import struct
from dataclasses import dataclass

_libc = ctypes.CDLL(None, use_errno=True)

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SHARED = 1 << 20
MNT_DETACH = 2

IN_MODIFY = 0x00000002
IN_ONESHOT = 0x80000000
IN_IGNORED = 0x00008000
IN_Q_OVERFLOW = 0x00004000

_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442  # unified numbers, too
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH, _MOUNT_ATTR_IDMAP, _AT_EMPTY_PATH = 1, 4, 0x100000, 0x1000
_SYS_OPENAT2 = 437  # the same number on every architecture: it came after the tables were unified
_RESOLVE_IN_ROOT = 0x10

_INOTIFY_HEAD = struct.Struct("iIII")


def _raise(what: str) -> None:
    code = ctypes.get_errno()
    raise OSError(code, os.strerror(code), what)


def mount(source: str, target: str, kind: str | None, flags: int = 0, options: str | None = None) -> None:
    """mount(2). Raises OSError. `options` may not exceed one page (4,095 bytes)."""
    result = _libc.mount(
        source.encode(),
        target.encode(),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        None if options is None else options.encode(),
    )
    if result != 0:
        _raise(target)


def umount(target: str, flags: int = MNT_DETACH) -> bool:
    """umount2(2). False if nothing is mounted there (or it does not exist); raises OSError otherwise."""
    if _libc.umount2(target.encode(), flags) == 0:
        return True
    if ctypes.get_errno() in (errno.EINVAL, errno.ENOENT):
        return False
    _raise(target)
    return False


def punch_hole(descriptor: int, offset: int, length: int) -> None:
    """Give the blocks of a byte range back to the file system; the file keeps its length. Raises OSError."""
    result = _libc.fallocate(
        descriptor,
        _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE,
        ctypes.c_longlong(offset),
        ctypes.c_longlong(length),
    )
    if result != 0:
        _raise("fallocate")


def syncfs(descriptor: int) -> None:
    """syncfs(2): all that was written to the descriptor's file system is on the disk. Raises OSError."""
    if _libc.syncfs(descriptor) != 0:
        _raise("syncfs")


def open_in_root(root: int, path: str, flags: int, mode: int = 0) -> int:
    """openat2(2) with RESOLVE_IN_ROOT: symbolic links of an image can not lead out of it.

    Args: root: a descriptor of the directory that is "/". Returns: a descriptor. Raises OSError."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, _RESOLVE_IN_ROOT)
    result: int = _libc.syscall(_SYS_OPENAT2, root, path.encode(), how, len(how))
    if result < 0:
        _raise(path)
    return result


def mount_mapped(directory: int, target: str, user_namespace: int) -> None:
    """Mount a directory once more, with ids mapped as in a user namespace (mount_setattr(2), MOUNT_ATTR_IDMAP).

    Args: directory, user_namespace: descriptors. Raises OSError (EINVAL: the kernel or the file system has no such)."""
    made: int = _libc.syscall(_SYS_OPEN_TREE, directory, b"", _AT_EMPTY_PATH | _OPEN_TREE_CLONE | os.O_CLOEXEC)
    if made < 0:
        _raise("open_tree")
    try:
        attributes = struct.pack("QQQQ", _MOUNT_ATTR_IDMAP, 0, 0, user_namespace)
        if _libc.syscall(_SYS_MOUNT_SETATTR, made, b"", _AT_EMPTY_PATH, attributes, len(attributes)) < 0:
            _raise("mount_setattr")
        if _libc.syscall(_SYS_MOVE_MOUNT, made, b"", -100, target.encode(), _MOVE_MOUNT_F_EMPTY_PATH) < 0:
            _raise(target)
    finally:
        os.close(made)


@dataclass(frozen=True, slots=True)
class InotifyEvent:
    watch: int
    mask: int


def inotify_open() -> int:
    """A non-blocking inotify instance. Raises OSError (EMFILE: fs.inotify.max_user_instances is used up)."""
    result: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if result < 0:
        _raise("inotify_init1")
    return result


def inotify_add(descriptor: int, path: str, mask: int) -> int:
    """Watch a path; the same file again gives the same number with the new mask. Raises OSError."""
    result: int = _libc.inotify_add_watch(descriptor, path.encode(), ctypes.c_uint32(mask))
    if result < 0:
        _raise(path)
    return result


def inotify_remove(descriptor: int, watch: int) -> None:
    """A watch that is gone already is no error."""
    _libc.inotify_rm_watch(descriptor, watch)


def inotify_read(descriptor: int) -> list[InotifyEvent]:
    """What happened since the last read; empty if nothing did."""
    try:
        data = os.read(descriptor, 65536)
    except BlockingIOError:
        return []
    events = []
    at = 0
    while at < len(data):
        watch, mask, _cookie, length = _INOTIFY_HEAD.unpack_from(data, at)
        events.append(InotifyEvent(watch, mask))
        at += _INOTIFY_HEAD.size + length
    return events
