"""`portside volume`: storage that outlives tasks."""

import json
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from portside.cli import instance as daemon
from portside.settings import Settings


def ls(settings: Settings, *, as_json: bool) -> None:
    """Raises: Failure."""
    found = daemon.ask(settings, "/_portside/volumes")[1]["volumes"]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    console = Console(highlight=False)
    console.print(render(found))
    console.print(f"{size(shutil.disk_usage(settings.data_dir).free)} free on their disk", style="dim")


def render(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Ids are never cut; who uses one is folded."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("file system", "name", "size", "zones", "used by"):
        is_fixed = column in ("file system", "size")
        table.add_column(column, header_style="dim", overflow="fold", no_wrap=is_fixed)
    for each in rows:
        tasks = ", ".join(_short(user) for user in each["usedBy"])
        table.add_row(each["id"], each["name"], size(each["sizeBytes"]), " ".join(each["zones"]) or "none", tasks)
    return table


def size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _short(user: str) -> str:
    cluster, _, task_id = user.partition("/")
    return f"{cluster}/{task_id[:8]}"
