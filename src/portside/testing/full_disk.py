"""A disk without a byte left."""

from contextlib import suppress
from pathlib import Path


def fill(folder: Path) -> Path:
    """Returns: the file that takes all that was free; room is there again without it."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (65536, 4096, 512):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return filler
