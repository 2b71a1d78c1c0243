"""Folders of Portside's own, which nobody else is to look into."""

import stat
from pathlib import Path

_OTHERS = stat.S_IRWXO


def make(folder: Path) -> bool:
    """The folder is there, for its owner alone where it was made or empty: one with something in it keeps its mode.

    Returns: whether users who are neither its owner nor of its group may enter it. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not is_open(folder):
        return False
    if any(folder.iterdir()):
        return True
    folder.chmod(0o700)
    return False


def told(folder: Path, error: OSError) -> str:
    """Why a folder can not be used. Where something else is in its place that is said, rather than "File exists"."""
    other = next((each for each in (folder, *folder.parents) if each.exists() and not each.is_dir()), None)
    return str(error.strerror) if other is None else f"{other} is no directory"


def is_open(folder: Path) -> bool:
    return bool(stat.S_IMODE(folder.stat().st_mode) & _OTHERS)
