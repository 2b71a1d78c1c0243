"""`portside volume`: all storage, who uses it and how full it is."""

import json
import shutil
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from rich.console import Console
from rich.table import Table

from portside.cli import instance as daemon
from portside.domain.volume import shown_id
from portside.settings import Settings


def ls(settings: Settings, *, kinds: Sequence[str], as_json: bool) -> None:
    """Raises: Failure."""
    query = f"?{urlencode({'kind': ','.join(kinds)})}" if kinds else ""
    found = daemon.ask(settings, f"/_portside/volumes{query}")[1]["volumes"]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    console = Console(highlight=False)
    console.print(render(found))
    console.print(f"{size(shutil.disk_usage(settings.data_dir).free)} free on their disk", style="dim")


def inspect(settings: Settings, name: str) -> None:
    """Raises: Failure."""
    found = daemon.ask(settings, f"/_portside/volumes/{quote(name, safe='')}", "Volumes: portside volume ls")[1]
    print(json.dumps(found, indent=2))


def rm(settings: Settings, names: Sequence[str]) -> None:
    """Raises: Failure for the first that is in use, not here, or no Docker volume."""
    for name in names:
        path = f"/_portside/volumes/{quote(name, safe='')}"
        gone = daemon.ask(settings, path, "Volumes: portside volume ls", method="DELETE")[1]
        print(f"{gone['name']} ({gone['id']}) removed")


def grow(settings: Settings, name: str) -> None:
    """Raises: Failure when no task has it, or its file system can not grow now."""
    path = f"/_portside/volumes/{quote(name, safe='')}"
    grown = daemon.ask(settings, path, "Volumes: portside volume ls", method="POST")[1]
    print(f"the file system of {grown['id']} takes all of it")


def render(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Ids are not folded; who uses one is."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("kind", "volume", "name", "size", "where", "used by"):
        is_fixed = column in ("kind", "volume", "size")
        table.add_column(column, header_style="dim", overflow="fold", no_wrap=is_fixed)
    for each in rows:
        tasks = ", ".join(_short(user) for user in each["usedBy"])
        used = "-" if each["sizeBytes"] is None else size(each["sizeBytes"])
        if each.get("capacityBytes") is not None:
            used = f"{used} of {size(each['capacityBytes'])}"
        if each.get("isNearlyFull"):
            used = f"[red]{used}, nearly full[/red]"
        if each.get("isReadOnly"):
            used = f"[red]{used}, read-only after an error[/red]"
        if each.get("isMissing"):
            used = "[red]its file is missing[/red]"
        if each.get("status") == "error":
            used = "[red]error[/red]"
        place = each.get("instance") or " ".join(each.get("zones") or ()) or "none"
        # of a path of an instance, its name and its place say all
        shown = "" if each["kind"] == "host" else shown_id(each["kind"], each["id"])
        table.add_row(each["kind"], shown, each["name"], used, place, tasks)
    return table


def size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _short(user: str) -> str:
    cluster, _, task_id = user.partition("/")
    return f"{cluster}/{task_id[:8]}"
