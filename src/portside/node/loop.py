"""Loop devices: a file as a block device. Each detaches itself once nothing uses it, so a crash leaves none behind; but
one that is to stay.

Source: https://man7.org/linux/man-pages/man4/loop.4.html and linux/loop.h.
"""

import contextlib
import errno
import fcntl
import os
import stat
import struct
from pathlib import Path

CONTROL = Path("/dev/loop-control")
_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CLR_FD = 0x4C01
_LOOP_SET_CAPACITY = 0x4C07
_LOOP_MAJOR = 7
_AUTOCLEAR = 4
_DIRECT_IO = 16
_BLOCK_SIZE = 4096
_TRIES = 100
"""Of taking a device that is free: another program may take the same one in between."""

_CONFIG = struct.Struct("=II40x12xI64s64x32x16x64x")
"""struct loop_config: fd, block_size, and of its struct loop_info64 lo_flags and lo_file_name; the rest is zero."""


def problem() -> str:
    """Why there are no loop devices here; empty if there are."""
    try:
        os.close(os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{CONTROL}: {error.strerror}"
    return ""


def attach(file: Path, *, is_to_stay: bool = False) -> tuple[int, str]:
    """Make the file a block device. Returns a descriptor of it and its path.

    The device is gone once the descriptor is closed and nothing is mounted from it, or with `detach`. Raises OSError.
    """
    backing = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
        try:
            for _ in range(_TRIES):
                path = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
                device = _open(path)
                try:
                    # Direct: what a container writes is not cached a second time below it.
                    flags = _DIRECT_IO if is_to_stay else _AUTOCLEAR | _DIRECT_IO
                    name = os.fsencode(file)[-63:]
                    fcntl.ioctl(device, _LOOP_CONFIGURE, _CONFIG.pack(backing, _BLOCK_SIZE, flags, name))
                    return device, path
                except OSError as error:
                    os.close(device)
                    if error.errno != errno.EBUSY:
                        raise
        finally:
            os.close(control)
    finally:
        os.close(backing)
    raise OSError(errno.EAGAIN, "other programs took each free loop device first", str(file))


def detach(device: str) -> None:
    """The device goes, as soon as nothing uses it. Raises OSError."""
    descriptor = _open(device)
    try:
        fcntl.ioctl(descriptor, _LOOP_CLR_FD)
    except OSError as error:
        if error.errno != errno.ENXIO:  # it was none any more
            raise
    finally:
        os.close(descriptor)


def stays(device: str) -> bool:
    """Whether it goes by `detach` alone."""
    try:
        return Path(f"/sys/block/{device.removeprefix('/dev/')}/loop/autoclear").read_text().strip() == "0"
    except OSError:
        return False


def attached(folder: Path) -> dict[Path, str]:
    """Files below the folder that are block devices now, each with the device's path."""
    prefix = f"{os.path.realpath(folder)}/"
    found = {}
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            file = entry.read_text().rstrip("\n")
            if file.startswith(prefix):
                found[Path(file)] = f"/dev/{entry.parents[1].name}"
    return found


def file_of(device: str) -> Path | None:
    """The file that the device is; None if it is none."""
    try:
        return Path(Path(f"/sys/block/{device.removeprefix('/dev/')}/loop/backing_file").read_text().rstrip("\n"))
    except OSError:
        return None


def size_bytes(device: str) -> int:
    """How large the device is. Source: sysfs, in sectors of 512 bytes."""
    return int(Path(f"/sys/block/{device.removeprefix('/dev/')}/size").read_text()) * 512


def refresh_size(device: str) -> None:
    """Make the device as large as its file is now. Raises OSError."""
    descriptor = _open(device)
    try:
        fcntl.ioctl(descriptor, _LOOP_SET_CAPACITY)
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        # A /dev that the kernel does not fill by itself, as in containers.
        with contextlib.suppress(FileExistsError):
            os.mknod(path, stat.S_IFBLK | 0o660, os.makedev(_LOOP_MAJOR, int(path.removeprefix("/dev/loop"))))
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
