"""The files of EBS volumes and snapshots on real loop devices: sizes, copies, what a crash or a bad disk leaves."""

import hashlib
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from portside.node import loop, syscall
from portside.node.rootfs.account import ROOT, Account
from portside.node.rootfs.ebs import BlockStorage, CannotAttach
from portside.node.rootfs.mount_point import mounts_below
from portside.node.rootfs.snapshot import CHUNK_BYTES
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

GIB, MIB = 1024**3, 1024**2
ONE, TWO, THREE = "vol-01", "vol-02", "vol-03"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[BlockStorage]:
    made = BlockStorage(tmp_path / "ebs")
    made.start()
    yield made
    made.close()
    wait_for(lambda: not loop.attached(tmp_path), timeout_s=20, what="the loop devices' end")
    assert mounts_below(tmp_path / "ebs") == []


def write(storage: BlockStorage, volume_id: str, name: str, data: bytes, kind: str = "ext4") -> str:
    """As a container does; returns the checksum."""
    pinned = storage.pin(volume_id, kind, ROOT, "writer")
    try:
        with (pinned.source / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    finally:
        pinned.close()
    return hashlib.sha256(data).hexdigest()


def read(storage: BlockStorage, volume_id: str, kind: str = "ext4") -> dict[str, str]:
    """The checksums of all files."""
    pinned = storage.pin(volume_id, kind, ROOT, "reader")
    files = [each for each in pinned.source.iterdir() if each.is_file()]
    found = {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in files}
    pinned.close()
    return found


@pytest.fixture(params=["ext3", "ext4", "xfs"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "xfs" and not any((Path(each) / "mkfs.xfs").exists() for each in os.get_exec_path()):
        pytest.skip("mkfs.xfs is not installed")
    return str(request.param)


def test_a_volume_keeps_its_data_and_its_size(storage: BlockStorage, kind: str, tmp_path: Path) -> None:
    """It is as large as asked for and no larger, takes the disk for what is in it only, and has the same data after it
    was detached, whichever file system is in it."""
    storage.make(ONE, GIB)
    storage.attach(ONE, kind)
    written = write(storage, ONE, "file", os.urandom(8 * MIB), kind)
    usage = storage.usage(ONE)
    assert usage is not None
    assert usage.capacity_bytes is not None
    assert usage.used_bytes is not None
    assert 0.85 * GIB < usage.capacity_bytes <= GIB
    assert 8 * MIB < usage.used_bytes < 128 * MIB
    assert usage.stored_bytes < 128 * MIB
    with pytest.raises(OSError, match="No space left"):
        write(storage, ONE, "large", bytes(GIB), kind)
    storage.detach(ONE)
    assert loop.attached(tmp_path) == {}
    storage.attach(ONE, kind)
    assert read(storage, ONE, kind)["file"] == written
    storage.detach(ONE)
    with pytest.raises(CannotAttach, match=f"holds a file system of type {kind}"):
        storage.attach(ONE, "xfs" if kind == "ext4" else "ext4")


def test_a_volume_grows_with_what_is_in_it(storage: BlockStorage, kind: str) -> None:
    """Detached or from a smaller snapshot: with the next use the file system takes all of the volume."""
    storage.make(ONE, GIB)
    storage.attach(ONE, kind)
    written = write(storage, ONE, "file", b"x" * MIB, kind)
    storage.snapshot(ONE, "snap-1")
    storage.detach(ONE)
    storage.grow(ONE, 2 * GIB)
    storage.make(TWO, 2 * GIB, "snap-1")
    for volume_id in (ONE, TWO):
        storage.attach(volume_id, kind)
        usage = storage.usage(volume_id)
        assert usage is not None
        assert usage.capacity_bytes is not None
        assert 1.85 * GIB < usage.capacity_bytes <= 2 * GIB
        assert read(storage, volume_id, kind)["file"] == written


def test_xfs_grows_while_it_is_used(storage: BlockStorage, tmp_path: Path) -> None:
    """When asked to, as ext4 does where Portside has CAP_SYS_RESOURCE; the volume alone being larger changes nothing
    in it, as on AWS."""
    if not any((Path(each) / "mkfs.xfs").exists() for each in os.get_exec_path()):
        pytest.skip("mkfs.xfs is not installed")
    storage.make(ONE, GIB)
    storage.attach(ONE, "xfs")
    storage.grow(ONE, 3 * GIB)
    usage = storage.usage(ONE)
    assert usage is not None
    assert usage.capacity_bytes is not None
    assert usage.capacity_bytes < GIB
    (device,) = loop.attached(tmp_path).values()
    assert loop.size_bytes(device) == 3 * GIB
    storage.extend(ONE)
    usage = storage.usage(ONE)
    assert usage is not None
    assert usage.capacity_bytes is not None
    assert usage.capacity_bytes > 2.85 * GIB


def test_snapshots_are_of_one_moment_and_need_no_other(storage: BlockStorage, kind: str) -> None:
    """Each makes volumes with what was there then; the second takes the disk for what changed only; the first, deleted,
    takes nothing away from it."""
    storage.make(ONE, GIB)
    storage.attach(ONE, kind)
    first = write(storage, ONE, "a", os.urandom(32 * MIB), kind)
    storage.snapshot(ONE, "snap-1")
    stored = storage.snapshots.stored_bytes()
    second = write(storage, ONE, "b", os.urandom(MIB), kind)
    storage.snapshot(ONE, "snap-2")
    assert storage.snapshots.stored_bytes() - stored < 12 * MIB
    write(storage, ONE, "a", b"overwritten", kind)
    storage.make(TWO, GIB, "snap-1")
    assert read(storage, TWO, kind) == {"a": first}
    storage.remove_snapshots(["snap-1"])
    storage.make(THREE, GIB, "snap-2")
    assert read(storage, THREE, kind) == {"a": first, "b": second}
    storage.remove_snapshots(["snap-2"])
    assert storage.snapshots.stored_bytes() == 0
    assert read(storage, THREE, kind) == {"a": first, "b": second}


def test_a_copy_of_a_snapshot_needs_it_no_more(storage: BlockStorage, tmp_path: Path) -> None:
    """It takes hardly any disk, and makes volumes of the same after the first one is gone."""
    storage.make(ONE, GIB)
    storage.attach(ONE, "ext4")
    written = write(storage, ONE, "a", os.urandom(8 * MIB), "ext4")
    storage.snapshot(ONE, "snap-1")
    stored = storage.snapshots.stored_bytes()
    assert storage.copy_snapshot("snap-1", "snap-2") == storage.copy_snapshot("snap-1", "snap-2") > 8 * MIB
    assert storage.snapshots.stored_bytes() in (stored, 2 * stored)  # of clones, as if each had its blocks alone
    storage.remove_snapshots(["snap-1"])
    storage.make(TWO, GIB, "snap-2")
    assert read(storage, TWO, "ext4") == {"a": written}
    with pytest.raises(OSError, match="snap-1"):
        storage.copy_snapshot("snap-1", "snap-3")
    assert storage.snapshot_names() == {"snap-2"}


def test_a_snapshot_under_a_writer_can_be_mounted(storage: BlockStorage) -> None:
    """Somebody writes numbers one after the other: the copy has them up to one of them, with no gap."""
    storage.make(ONE, GIB)
    storage.attach(ONE, "ext4")
    pinned = storage.pin(ONE, "ext4", ROOT, "writer")
    stop = threading.Event()
    count = 0

    def writing() -> None:
        nonlocal count
        while not stop.is_set():
            (pinned.source / f"{count:06d}").write_bytes(b"x" * 5000)
            count += 1

    thread = threading.Thread(target=writing)
    thread.start()
    try:
        wait_for(lambda: count > 200, timeout_s=60, what="some files")
        storage.snapshot(ONE, "snap-1")
        at_snapshot = count
        wait_for(lambda: count > at_snapshot, timeout_s=60, what="the writer to go on")
    finally:
        stop.set()
        thread.join()
        pinned.close()
    storage.make(TWO, GIB, "snap-1")
    names = sorted(read(storage, TWO))
    assert names == [f"{number:06d}" for number in range(len(names))]
    assert 200 <= len(names) <= at_snapshot + 1


def test_a_damaged_snapshot_is_said_to_be_and_harms_no_other(storage: BlockStorage, tmp_path: Path) -> None:
    """A chunk that is missing or has changed, or the list: the volume is not made, the message names the snapshot, and
    what other snapshots and volumes hold is as it was, also after the damaged one is deleted."""
    storage.make(ONE, GIB)
    storage.attach(ONE, "ext4")
    first = write(storage, ONE, "a", os.urandom(4 * MIB))
    storage.snapshot(ONE, "snap-1")
    if (tmp_path / "ebs" / "snapshots" / "snap-1.img").exists():
        pytest.skip("this file system shares blocks: there are no chunks")
    before = set((tmp_path / "ebs" / "snapshots" / "chunks").glob("??/*"))
    data = os.urandom(4 * MIB)
    second = write(storage, ONE, "b", data)
    storage.snapshot(ONE, "snap-2")
    new = set((tmp_path / "ebs" / "snapshots" / "chunks").glob("??/*")) - before
    chunk = next(each for each in new if data[2 * MIB : 2 * MIB + 64] in each.read_bytes())
    good = chunk.read_bytes()
    for harm, words in ((b"\0" * len(good), "has changed"), (None, "is missing")):
        chunk.unlink()
        if harm is not None:
            chunk.write_bytes(harm)
        with pytest.raises(OSError, match=f"snapshot snap-2 is damaged: .* {words}"):
            storage.make(TWO, GIB, "snap-2")
        assert storage.names() == {ONE}
        storage.make(THREE, GIB, "snap-1")
        assert read(storage, THREE) == {"a": first}
        storage.remove(THREE)
    chunk.write_bytes(good)
    listed = tmp_path / "ebs" / "snapshots" / "snap-2.list"
    listed.write_bytes(listed.read_bytes()[:-1] + b"!")
    with pytest.raises(OSError, match=r"snap-2\.list has changed"):
        storage.make(TWO, GIB, "snap-2")
    storage.remove_snapshots(["snap-1"])  # what the damaged one had can not be told: nothing goes
    assert before | new == set((tmp_path / "ebs" / "snapshots" / "chunks").glob("??/*"))
    storage.remove_snapshots(["snap-2"])
    assert storage.snapshots.stored_bytes() == 0
    assert read(storage, ONE) == {"a": first, "b": second}


def test_a_volume_whose_file_is_missing_or_spoilt_is_said_to_be(storage: BlockStorage, tmp_path: Path) -> None:
    """The message says which file, and what is the matter; it is not made anew, empty, in silence."""
    storage.make(ONE, GIB)
    file = tmp_path / "ebs" / "volumes" / f"{ONE}.img"
    file.rename(tmp_path / "away")
    with pytest.raises(CannotAttach, match=f"the file of volume {ONE} is missing .*{file}"):
        storage.attach(ONE, "ext4")
    with pytest.raises(FileNotFoundError):
        storage.snapshot(ONE, "snap-1")
    assert not file.exists()
    storage.make(TWO, GIB)
    with (tmp_path / "ebs" / "volumes" / f"{TWO}.img").open("r+b") as opened:
        opened.write(b"no file system at all")
    with pytest.raises(CannotAttach, match="holds no file system"):
        storage.attach(TWO, "ext4")


def test_a_volume_that_is_full_or_read_only_says_so_and_harms_no_other(storage: BlockStorage, kind: str) -> None:
    """Writers are told; what was there before, and another volume, is as it was; a snapshot can still be taken."""
    for each in (ONE, TWO):
        storage.make(each, GIB)
        storage.attach(each, kind)
    kept = write(storage, ONE, "kept", b"a" * MIB, kind)
    other = write(storage, TWO, "other", b"b" * MIB, kind)
    pinned = storage.pin(ONE, kind, ROOT, "full")

    def fill() -> None:
        with (pinned.source / "much").open("wb", buffering=0) as writing:
            while True:
                writing.write(b"c" * MIB)

    with pytest.raises(OSError, match="No space left"):
        fill()
    usage = storage.usage(ONE)
    assert usage is not None
    assert usage.is_nearly_full
    assert not usage.is_read_only
    (pinned.source / "much").unlink()
    syscall.mount("none", str(pinned.source), None, syscall.MS_REMOUNT | syscall.MS_RDONLY | syscall.MS_NODEV)
    usage = storage.usage(ONE)
    assert usage is not None
    assert usage.is_read_only
    with pytest.raises(OSError, match="Read-only"):
        (pinned.source / "new").touch()
    storage.snapshot(ONE, "snap-1")
    with pytest.raises(CannotAttach, match="is read-only"):
        storage.pin(ONE, kind, ROOT, "another")
    pinned.close()
    storage.detach(ONE)
    storage.attach(ONE, kind)
    assert read(storage, ONE, kind)["kept"] == kept
    assert read(storage, TWO, kind)["other"] == other


def test_a_user_that_is_not_root_can_write(storage: BlockStorage) -> None:
    """By its group, as ECS arranges it."""
    storage.make(ONE, GIB)
    storage.attach(ONE, "ext4")
    pinned = storage.pin(ONE, "ext4", Account(1000, 1001, (1001,)), "user")
    found = pinned.source.stat()
    pinned.close()
    assert (found.st_gid, found.st_mode & 0o2070) == (1001, 0o2070)


def test_clones_are_snapshots_where_blocks_are_shared(tmp_path: Path) -> None:
    """On XFS a snapshot is a clone: it takes no disk at first, and is what was there then."""
    if not any((Path(each) / "mkfs.xfs").exists() for each in os.get_exec_path()):
        pytest.skip("mkfs.xfs is not installed")
    disk, image = tmp_path / "disk", tmp_path / "image"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(2 * GIB)
    subprocess.run(["mkfs.xfs", "-q", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=True)
    storage = BlockStorage(disk / "ebs")
    try:
        storage.start()
        storage.make(ONE, GIB)
        storage.attach(ONE, "ext4")
        written = write(storage, ONE, "a", os.urandom(64 * MIB))
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        storage.snapshot(ONE, "snap-1")
        write(storage, ONE, "b", b"later")
        storage.make(TWO, GIB, "snap-1")
        assert free - os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize < 16 * MIB
        assert storage.snapshot_names() == {"snap-1"}
        assert read(storage, TWO) == {"a": written}
        storage.remove_snapshots(["snap-1"])
        assert read(storage, TWO) == {"a": written}
    finally:
        storage.close()
        wait_for(lambda: not loop.attached(disk), timeout_s=20, what="the loop devices' end")
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("moment", ["within-make-volume", "within-attach-ebs-volume", "within-take-snapshot"])
def test_a_daemon_that_dies_midway_is_made_good(tmp_path: Path, moment: str) -> None:
    """Killed while a file is made, formatted or copied, also with the file system standing still: nothing half made is
    found by the next one, what was written is there, and writers go on."""
    folder = tmp_path / "ebs"
    program = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        from portside.node.rootfs.account import ROOT
        from portside.node.rootfs.ebs import BlockStorage
        die = lambda moment: os.kill(os.getpid(), signal.SIGKILL) if moment == {moment!r} else None
        storage = BlockStorage(Path({str(folder)!r}), die)
        storage.start()
        storage.make("{ONE}", {GIB})
        storage.attach("{ONE}", "ext4")
        pinned = storage.pin("{ONE}", "ext4", ROOT, "stays")
        (pinned.source / "a").write_bytes(b"a" * 100)
        storage.snapshot("{ONE}", "snap-1")
        """
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert done.returncode == -9
    storage = BlockStorage(folder)
    if moment == "within-take-snapshot":
        # As a container does, the mount keeps the file system in use; the daemon's own goes at its start.
        used = tmp_path / "used"
        used.mkdir()
        subprocess.run(["mount", "--bind", str(folder / "mount" / "stays"), str(used)], check=True)
    try:
        storage.start()
        storage.recover([ONE])
        assert not list((folder / "volumes").glob("*.fresh"))
        assert storage.snapshot_names() == set()
        if moment == "within-take-snapshot":
            (used / "b").write_bytes(b"b")
            assert len(loop.attached(folder)) == 1
    finally:
        if moment == "within-take-snapshot":
            subprocess.run(["umount", str(used)], check=True)
    storage.make(ONE, GIB)
    storage.attach(ONE, "ext4")
    storage.snapshot(ONE, "snap-1")
    names = set(read(storage, ONE))
    assert names == ({"a", "b"} if moment == "within-take-snapshot" else set())
    storage.detach(ONE)
    storage.close()
    assert loop.attached(folder) == {}
    assert mounts_below(folder) == []


def test_chunks_are_as_large_as_those_of_ebs() -> None:
    """512 KiB: what GetSnapshotBlock of AWS gives, too."""
    assert CHUNK_BYTES == 512 * 1024


def test_a_hundred_volumes_at_once(storage: BlockStorage, tmp_path: Path) -> None:
    """Each has its own data, and a daemon after this one finds those that are in use."""
    names = [f"vol-{number:03x}" for number in range(100)]
    pinned = []
    for each in names:
        storage.make(each, GIB)
        storage.attach(each, "ext4")
        pinned.append(storage.pin(each, "ext4", ROOT, f"use-{each}"))
        (pinned[-1].source / "name").write_text(each)
    assert len(loop.attached(tmp_path)) == 100
    storage.close()
    after = BlockStorage(tmp_path / "ebs")
    after.recover(names)
    try:
        for each in names:
            usage = after.usage(each)
            assert usage is not None
            assert usage.used_bytes is not None
        for mount in pinned:
            mount.close()
        for each in names:
            after.detach(each)
        assert loop.attached(tmp_path) == {}
        for each in names:
            found = after.pin(each, "ext4", ROOT, "check")
            assert (found.source / "name").read_text() == each
            found.close()
            after.remove(each)
    finally:
        after.close()
