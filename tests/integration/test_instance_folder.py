"""Folders of instances on the host: what a crash leaves, and what a hostile task may try."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from portside.domain.task.record import InstanceMount
from portside.domain.task_definition import MountPoint
from portside.node.rootfs import volume
from portside.node.rootfs.instance_folder import CannotMount, InstanceFolders
from portside.node.rootfs.mount_point import mounts_below
from portside.node.rootfs.tmpfs_volume import TmpfsVolumes

pytestmark = pytest.mark.integration

ID = "i-0123456789abcdef0"


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[InstanceFolders]:
    made = InstanceFolders(tmp_path / "instances")
    yield made
    made.unmount_all()


def mount(path: str, **more: object) -> InstanceMount:
    return InstanceMount(volume="data", instance_id=ID, path=path, **more)  # type: ignore[arg-type]


def test_what_a_killed_daemon_left_mounted_goes_and_no_file_with_it(folders: InstanceFolders) -> None:
    """Of directories and of files; neither the next daemon nor the next start by the same name removes a file;
    what is no mount point of ours is left alone and stops nobody."""
    root = folders.root(ID)
    (root / "srv").mkdir()
    (root / "srv" / "kept").write_text("kept")
    for path in ("/srv", "/srv/kept", "/srv"):
        left = folders.pin(mount(path), "left")
    again = folders.pin(mount("/srv/kept"), "other")
    assert again.source.read_text() == "kept"
    assert len(mounts_below(left.source.parent)) == 2
    strange = left.source.parent / "strange"
    strange.mkdir()
    (strange / "file").touch()
    for _ in range(2):
        folders.unmount_all()
    assert os.listdir(left.source.parent) == ["strange"]
    assert (root / "srv" / "kept").read_text() == "kept"


def test_a_path_that_changes_meanwhile_leads_nowhere_else(folders: InstanceFolders, tmp_path: Path) -> None:
    """A task swaps links, to the host's root and up out of the instance and within it, as fast as it can, while
    another one's path leads through them: what is mounted or made is always the instance's, or the start is refused."""
    root = folders.root(ID)
    outside = tmp_path / "outside"
    outside.mkdir()
    up = "../" * 40 + str(outside).lstrip("/")
    os.makedirs(f"{root}{outside}")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for target in (up, str(outside), "/", "inside"):
                (root / "next").symlink_to(target)
                os.rename(root / "next", root / "shown")

    (root / "inside").mkdir()
    (root / "shown").symlink_to("/")
    neighbour = threading.Thread(target=swap)
    neighbour.start()
    try:
        mounted = 0
        for turn in range(300):
            try:
                pinned = folders.pin(mount(f"/shown/made{turn}"), "race")
            except (CannotMount, BlockingIOError):
                continue
            mounted += 1
            (pinned.source / "mark").touch()
            pinned.close()
    finally:
        done.set()
        neighbour.join()
    assert mounted
    assert os.listdir(outside) == []
    assert not [each for each in os.listdir("/") if each.startswith("made")]


def test_a_copy_of_the_image_that_was_cut_short_is_done_again(folders: InstanceFolders, tmp_path: Path) -> None:
    """In a volume that is empty it is done in place: who has it mounted already sees it. What somebody wrote since
    stays, and a volume that holds something is left alone."""
    image = tmp_path / "image"
    (image / "site").mkdir(parents=True)
    (image / "site" / "page").write_text("page")
    (image / "site").chmod(0o750)
    place, point = folders.volumes(ID), [MountPoint(volume="dv-1", container_path="/site")]
    target = volume.prepare(place, point, image, set())["dv-1"]
    before = target.stat().st_ino
    (target.parent / "dv-1.filling").touch()
    (target / "page").write_text("pa")
    (target / "own").write_text("own")
    assert volume.prepare(place, point, image, {"/site"})["dv-1"] == target
    assert (target / "page").read_text() == "page"
    assert (target / "own").read_text() == "own"
    assert (target.stat().st_ino, target.stat().st_mode & 0o7777) == (before, 0o750)
    (image / "site" / "page").write_text("newer")
    volume.prepare(place, point, image, {"/site"})
    assert (target / "page").read_text() == "page"
    (target.parent / "dv-1.fresh").mkdir()
    assert folders.volume_ids() == [(ID, "dv-1")]
    folders.volume(ID, "dv-12").mkdir()
    for _ in range(2):
        folders.remove_volume(ID, "dv-1")
    assert os.listdir(place) == ["dv-12"]


def test_a_volume_in_memory_that_was_cut_short_begins_anew(tmp_path: Path) -> None:
    """Nothing half-filled is ever handed out, and tasks that are no more hold nothing."""
    kept = TmpfsVolumes(tmp_path / "volumes")

    def fails(target: Path) -> None:
        (target / "half").touch()
        raise OSError("killed")

    def fills(target: Path) -> None:
        (target / "word").touch()

    with pytest.raises(OSError, match="killed"):
        kept.hold("dv-1", "one", "size=1m", fails)
    place = kept.hold("dv-1", "one", "size=1m", fills)
    assert kept.hold("dv-1", "two", "size=1m", fails) == place
    assert os.listdir(place) == ["word"]
    assert mounts_below(place) == [str(place)]
    (place / "big").write_bytes(b"x" * 300_000)
    used, size = kept.fill("dv-1") or (0, 0)
    assert 300_000 <= used < 400_000
    assert size == 1 << 20
    (place / "big").unlink()
    kept.release("one")
    assert os.listdir(place) == ["word"]
    again = TmpfsVolumes(tmp_path / "volumes")
    again.recover(["three"])
    assert os.listdir(tmp_path / "volumes") == []
    assert mounts_below(tmp_path / "volumes") == []
    assert again.fill("dv-1") is None


def test_how_full_the_disk_is(tmp_path: Path) -> None:
    """As df counts, before there is a folder and after."""
    folders = InstanceFolders(tmp_path / "instances")
    for _ in range(2):
        said = subprocess.run(["df", "--output=pcent", tmp_path], capture_output=True, text=True, check=True).stdout
        found = folders.disk_percent()
        assert found is not None
        assert abs(found - int(said.split()[1].rstrip("%"))) <= 1.5  # df rounds up, and others write
        folders.root("i-0123456789abcdef0")
