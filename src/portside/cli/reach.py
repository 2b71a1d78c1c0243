"""`portside reach FROM TO PORT`: whether a packet would pass, and what lets it through or stops it."""

import json
from typing import Any
from urllib.parse import urlencode

from rich.console import Console
from rich.text import Text

from portside.cli import instance as daemon
from portside.settings import Settings

STOPPED = 3
"""Exit code where the packet does not pass."""


def show(settings: Settings, source: str, target: str, port: int, *, protocol: str, as_json: bool) -> int:
    """Returns: the exit code. Raises: Failure for what is unknown, and when the daemon does not run."""
    query = urlencode({"from": source, "to": target, "port": port, "protocol": protocol})
    _, answer = daemon.ask(settings, f"/_portside/reach?{query}", "Tasks and their ids: portside status")
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        console = Console(highlight=False)
        for line in render(answer):
            console.print(line)
    return 0 if answer["passes"] else STOPPED


def render(answer: dict[str, Any]) -> list[Text]:
    what = f"{answer['protocol']} {answer['port']}" if answer["port"] else answer["protocol"]
    head = f"{_name(answer['from'])} → {_name(answer['to'])}, {what}: "
    passes = answer["passes"]
    lines = [
        Text(head, style="bold").append("passes" if passes else "does not pass", style="green" if passes else "red")
    ]
    for index, step in enumerate(answer["why"]):
        stops = not passes and index == len(answer["why"]) - 1
        lines.append(Text(f"  {'stopped: ' if stops else ''}{step}", style="red" if stops else ""))
    return lines


def _name(end: dict[str, Any]) -> str:
    return f"{end['networkInterfaceId']} ({end['address']})" if "networkInterfaceId" in end else str(end["address"])
