"""Where the clone is, and how its launcher is called."""

import shutil
from pathlib import Path
from typing import Final

CLONE: Final = Path(__file__).resolve().parents[3]


def command_name() -> str:
    """From here: `portside` where the PATH leads to it, else by its place."""
    launcher = CLONE / "portside"
    found = shutil.which("portside")
    if found and Path(found).resolve() == launcher:
        return "portside"
    return "./portside" if Path.cwd() == launcher.parent else str(launcher)
