"""Whom a container runs as: `user[:group]` of the definition or the image, by the image's own passwd and group."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from portside.node import syscall

_READ_MAX_BYTES = 4 * 1024 * 1024


class UnknownUser(Exception):
    """The user or group is not in the image, in the words of Docker's daemon."""


@dataclass(frozen=True, slots=True)
class Account:
    """`additional_gids` holds the primary group too: without it a process that drops its groups could pass a file that
    denies that group (CVE-2022-36109)."""

    uid: int
    gid: int
    additional_gids: tuple[int, ...] = ()


ROOT = Account(0, 0, (0,))


def resolve(root: Path, user: str) -> Account:
    """Args: root: the mounted root file system. Raises UnknownUser, OSError."""
    if user in ("", "0", "root", "0:0", "root:root"):
        return ROOT
    name, _, group = user.partition(":")
    passwd = [line.split(":") for line in read_text(root, "/etc/passwd").splitlines()]
    groups = [line.split(":") for line in read_text(root, "/etc/group").splitlines()]
    entry = next((each for each in passwd if len(each) > 3 and each[0] == name), None)
    if entry is None and name.isdigit():
        entry = next((each for each in passwd if len(each) > 3 and each[2] == name), None)
    if entry is not None:
        uid, gid, login = int(entry[2]), int(entry[3]), entry[0]
    elif name.isdigit():
        uid, gid, login = int(name), 0, ""
    else:
        raise UnknownUser(f"unable to find user {name}: no matching entries in passwd file")
    if group:
        found = next((each for each in groups if len(each) > 2 and each[0] == group), None)
        if found is None and not group.isdigit():
            raise UnknownUser(f"unable to find group {group}: no matching entries in group file")
        gid = int(found[2]) if found else int(group)
        return Account(uid, gid, (gid,))
    further = [
        int(each[2]) for each in groups if len(each) > 3 and login and login in each[3].split(",") and each[2].isdigit()
    ]
    return Account(uid, gid, tuple(dict.fromkeys((gid, *further))))


def read_text(root: Path, path: str) -> str:
    """A small regular file of the image, "" if it is not there; links stay within the image. Raises OSError."""
    base = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        # O_NONBLOCK: an image may hold a FIFO of that name.
        descriptor = syscall.open_in_root(base, path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    finally:
        os.close(base)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return file.read(_READ_MAX_BYTES).decode(errors="replace")


def ensure_directory(root: Path, path: str) -> None:
    """Make the working directory if the image lacks it, as Docker does; links stay within the image. Raises OSError."""
    here = os.open(root, os.O_PATH | os.O_DIRECTORY)
    base = os.dup(here)
    try:
        walked = ""
        for part in [each for each in path.split("/") if each not in ("", ".")]:
            walked += f"/{part}"
            try:
                following = syscall.open_in_root(base, walked, os.O_PATH | os.O_DIRECTORY)
            except FileNotFoundError:
                os.mkdir(part, 0o755, dir_fd=here)
                following = syscall.open_in_root(base, walked, os.O_PATH | os.O_DIRECTORY)
            os.close(here)
            here = following
    finally:
        os.close(here)
        os.close(base)
