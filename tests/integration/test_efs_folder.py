"""Folders of file systems on the host: what a crash leaves, and what a hostile neighbour may try."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from portside.domain.file_system import CreationInfo, PosixUser
from portside.domain.task.record import FileMount
from portside.node import syscall
from portside.node.rootfs import efs
from portside.node.rootfs.account import ROOT
from portside.node.rootfs.file_system import FileSystemFolders
from portside.node.rootfs.mount_point import mounts_below

pytestmark = pytest.mark.integration

ID = "fs-0123456789abcdef0"
INFO = CreationInfo(owner_uid=7, owner_gid=8, permissions="2770")


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[FileSystemFolders]:
    made = FileSystemFolders(tmp_path / "efs")
    yield made
    made.unmount_all()


def mount(path: str = "/", **more: object) -> FileMount:
    return FileMount(volume="data", file_system_id=ID, path=path, **more)  # type: ignore[arg-type]


def test_what_a_killed_daemon_left_mounted_goes_and_no_file_with_it(folders: FileSystemFolders) -> None:
    """Neither the next daemon nor the next start by the same name removes a file through a mount point."""
    root = folders.ensure(ID)
    (root / "kept").write_text("kept")
    left = efs.pin(folders, mount(), ROOT, "left").source
    assert (left / "kept").read_text() == "kept"
    again = efs.pin(folders, mount(), ROOT, "left")
    assert mounts_below(again.source) == [str(again.source)]
    folders.unmount_all()
    folders.unmount_all()
    assert not again.source.exists()
    assert (root / "kept").read_text() == "kept"


def test_a_root_directory_that_was_half_made_is_made_anew(folders: FileSystemFolders) -> None:
    """Nobody ever sees it with another owner or mode; what is there already stays as it is."""
    folders.ensure(ID)
    (folders.fresh() / "rest").touch()
    for _ in range(2):
        pinned = efs.pin(folders, mount("/a/b", creation=INFO), ROOT, "one")
        found = pinned.source.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (7, 8, 0o2770)
        assert os.listdir(pinned.source) == []
        pinned.close()
    assert folders.names() == [ID]
    assert (folders.path(ID) / "a").stat().st_uid == 0


def test_a_path_that_changes_meanwhile_leads_nowhere_else(folders: FileSystemFolders) -> None:
    """A neighbour swaps a directory and a link to the host's root as fast as it can: what is mounted is always of the
    file system, or the start is refused."""
    root = folders.ensure(ID)
    (root / "inside").mkdir()
    (root / "link").symlink_to("/")
    (root / "inside" / "mark").touch()
    (root / "mark").touch()
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for name in ("link", "inside"):
                os.symlink("/", root / "next") if name == "link" else os.link(root / "mark", root / "next")
                os.rename(root / "next", root / "shown")

    (root / "shown").symlink_to("/")
    neighbour = threading.Thread(target=swap)
    neighbour.start()
    try:
        mounted = 0
        for _ in range(200):
            try:
                pinned = efs.pin(folders, mount("/shown"), ROOT, "race")
            except efs.CannotMount:
                continue
            mounted += 1
            assert (pinned.source / "mark").exists()
            assert pinned.source.stat().st_ino == root.stat().st_ino
            pinned.close()
    finally:
        done.set()
        neighbour.join()
    assert mounted


def test_a_mapped_mount_is_the_one_user_alone(folders: FileSystemFolders) -> None:
    """What is made through it is the POSIX user's; what others own is nobody's."""
    root = folders.ensure(ID)
    os.chown(root, 1234, 2345)
    (root / "other").touch()
    pinned = efs.pin(folders, mount(posix_user=PosixUser(uid=1234, gid=2345)), ROOT, "user")
    (pinned.source / "mine").touch()
    made, seen = (root / "mine").stat(), (pinned.source / "other").stat()
    assert (made.st_uid, made.st_gid) == (1234, 2345)
    assert (seen.st_uid, seen.st_gid) == (65534, 65534)
    with pytest.raises(OSError, match="too large"):
        os.chown(pinned.source / "mine", 5, 5)
    pinned.close()
    user = PosixUser(uid=1234, gid=2345, secondary_gids=(5, 2345, 6))
    pinned = efs.pin(folders, mount(posix_user=user), ROOT, "user")
    os.chown(root / "other", 0, 6)
    assert (pinned.source / "other").stat().st_gid == pinned.gids[1]
    assert len(pinned.gids) == 2
    pinned.close()
    assert not syscall.umount(str(folders.path(ID)))


def test_size_and_removal(folders: FileSystemFolders, tmp_path: Path) -> None:
    """A file of two names counts once, links are not followed; a removal that was cut short is finished."""
    root = folders.ensure(ID)
    (root / "blob").write_bytes(b"x" * 1_000_000)
    os.link(root / "blob", root / "blob2")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "big").write_bytes(b"x" * 5_000_000)
    (root / "link").symlink_to(outside)
    assert 1_000_000 <= folders.used_bytes(ID) < 1_100_000
    root.rename(root.with_name(f"{ID}.gone"))
    assert folders.names() == [ID]
    folders.ensure(ID)
    folders.remove(ID)
    folders.remove(ID)
    assert folders.names() == []
    assert (outside / "big").exists()
