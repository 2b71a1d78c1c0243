"""The volumes of a task: folders on its disk, which the containers that mount them share.

A volume begins empty, owned by root, mode 0755; or with what the first container's image has at that path, if the image
declares it as a VOLUME. Source: ECS developer guide, "Use bind mounts with Amazon ECS".
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from portside.domain.task_definition import MountPoint
from portside.node import syscall

_COPY_TIMEOUT_S = 50
_preparing = threading.Lock()
"""Two containers that start at once must not both fill one volume."""


def prepare(folder: Path, mount_points: Sequence[MountPoint], root: Path, declared: Collection[str]) -> dict[str, Path]:
    """Make the volumes that are not there yet.

    Args: folder: where the task's volumes are; root: the container's root file system, mounted; declared: the VOLUME
        paths of its image.

    Returns: each volume's folder by its name. Raises OSError."""
    found: dict[str, Path] = {}
    paths = {PurePosixPath(each) for each in declared}
    with _preparing:
        folder.mkdir(mode=0o755, exist_ok=True)
        for mount in mount_points:
            target = folder / mount.volume
            path = mount.container_path if PurePosixPath(mount.container_path) in paths else None
            if not target.exists():
                _make(target, root, path)
            elif path is not None:
                _fill(target, root, path)
            found[mount.volume] = target
    return found


def _make(target: Path, root: Path, image_path: str | None) -> None:
    """All of it, or nothing, is there afterwards."""
    fresh = target.with_name(f"{target.name}.fresh")  # a dot: no volume has this name
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o755)
    if image_path is not None:
        copy(root, image_path, fresh)
    os.rename(fresh, target)


def _fill(target: Path, root: Path, image_path: str) -> None:
    """In place, if it is empty: a container that runs may have it. One that was cut short is done again."""
    filling = target.with_name(f"{target.name}.filling")
    if any(target.iterdir()) and not filling.exists():
        return
    filling.touch()
    copy(root, image_path, target)
    filling.unlink()


def copy(root: Path, path: str, target: Path) -> None:
    """What the image has at a path, with owners, modes, times, links and attributes; its links stay within it. Nothing
    if it has no such directory. Raises OSError."""
    base = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        source = syscall.open_in_root(base, path, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return  # the image declares what it does not have
    finally:
        os.close(base)
    try:
        done = subprocess.run(
            ["cp", "-a", "-T", f"/proc/self/fd/{source}/.", str(target)],
            capture_output=True,
            text=True,
            timeout=_COPY_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            pass_fds=(source,),
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"the image's content of {path} was not copied within {_COPY_TIMEOUT_S} s") from error
    finally:
        os.close(source)
    if done.returncode != 0:
        raise OSError(f"the image's content of {path}: {done.stderr.strip() or done.returncode}")
