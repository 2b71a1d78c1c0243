"""Files that hold what a container was entrusted with: its environment, and so its secrets."""

import os
from pathlib import Path


def write_for_root(path: Path, data: bytes) -> None:
    """The file holds the data and nobody but its owner reads it, whatever it was before. Raises OSError."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        # The mode above is for a file that is made; one of an earlier run is there already.
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
