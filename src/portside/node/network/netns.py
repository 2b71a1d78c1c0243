"""Network namespaces: making, entering, pinning, dropping.

A namespace lives as long as a process, an open descriptor or a pin (a bind mount of it on a file) holds it. Portside
pins every namespace it makes, so that it outlives Portside. The functions here that enter a namespace change the
calling thread and change it back; they must run in a worker thread, never on the event loop's.
"""

import contextlib
import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
MS_BIND, MS_REC, MS_SHARED = 4096, 16384, 1 << 20
MNT_DETACH = 2
_NSFS_MAGIC = 0x6E736673

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.unshare.argtypes = (ctypes.c_int,)

_THREAD_NETNS = "/proc/thread-self/ns/net"


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _mount(source: str, target: str, flags: int) -> None:
    _check(_libc.mount(source.encode(), target.encode(), None, flags, None), f"mount {source} on {target}")


@contextlib.contextmanager
def _home() -> Iterator[None]:
    """Bring the calling thread back to the namespace it is in now."""
    home = os.open(_THREAD_NETNS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            _check(_libc.setns(home, CLONE_NEWNET), "setns")
        finally:
            os.close(home)


def create(pin: Path, inside: Callable[[], T]) -> T:
    """Make a namespace, run `inside` in it (to set sysctls and open sockets), pin it, and come back.

    Args:
        pin: the path of the pin; made. An empty file left there by a crash is reused.

    Returns: what `inside` returned.
    """
    with _home():
        _check(_libc.unshare(CLONE_NEWNET), "unshare network namespace")
        result = inside()
        os.close(os.open(pin, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600))
        _mount(_THREAD_NETNS, str(pin), MS_BIND)
    return result


def within(namespace: Path, inside: Callable[[], T]) -> T:
    """Run `inside` with the calling thread in the namespace, and come back."""
    fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with _home():
            _check(_libc.setns(fd, CLONE_NEWNET), f"setns {namespace}")
            return inside()
    finally:
        os.close(fd)


def is_pinned(pin: Path) -> bool:
    """Whether a namespace is mounted there (a plain file is what a reboot leaves)."""
    buffer = ctypes.create_string_buffer(256)
    if _libc.statfs(str(pin).encode(), buffer) != 0:
        return False
    return int.from_bytes(buffer.raw[:8], "little") == _NSFS_MAGIC


def drop(pin: Path) -> None:
    """Remove the pin. The kernel removes the namespace, with the links in it, as soon as nothing else holds it."""
    while _libc.umount2(str(pin).encode(), MNT_DETACH) == 0:
        pass
    code = ctypes.get_errno()
    if code not in (errno.EINVAL, errno.ENOENT):
        raise OSError(code, f"unmount {pin}: {os.strerror(code)}")
    pin.unlink(missing_ok=True)


def prepare_folder(folder: Path) -> None:
    """A folder for pins, a shared mount of its own: dropping a pin then also reaches mount namespaces that were cloned
    while it existed; else a program that cloned one would keep a dropped network alive."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not _is_mount_point(folder):
        _mount(str(folder), str(folder), MS_BIND)
        _mount("none", str(folder), MS_SHARED)


def _is_mount_point(folder: Path) -> bool:
    """os.path.ismount does not see a bind mount of a folder on itself."""
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        return any(line.split(" ", 5)[4] == str(folder) for line in table)


def remove_folder(folder: Path) -> None:
    """Drop every pin and the folder."""
    if not folder.is_dir():
        return
    for pin in folder.iterdir():
        drop(pin)
    while _libc.umount2(str(folder).encode(), MNT_DETACH) == 0:
        pass
    folder.rmdir()


def write_sysctl(name: str, value: str) -> None:
    """Set a sysctl of the calling thread's network namespace; `name` with slashes, below net/."""
    fd = os.open(f"/proc/sys/net/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
