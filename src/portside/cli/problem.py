"""`portside problems`: everything that is wrong now, why, and what to do."""

import json
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from portside.cli import instance as daemon
from portside.settings import Settings

COLOURS: Final = {"error": "red", "warning": "yellow"}


def show(settings: Settings, *, as_json: bool) -> int:
    """Returns the exit code: 1 if something does not work. Raises: Failure when the daemon does not run."""
    answer = daemon.ask(settings, "/_portside/problems")[1]
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        console = Console(highlight=False)
        for line in render(answer):
            console.print(line, soft_wrap=True)
    return 1 if any(each["severity"] == "error" for each in answer["problems"]) else 0


def render(answer: dict[str, Any]) -> list[Text]:
    """What is wrong, with its reason and its remedy below."""
    lines: list[Text] = []
    for each in answer["problems"]:
        where = ", ".join(part for part in (each["cluster"], each["region"]) if part)
        lines.append(Text.assemble((each["what"], COLOURS[each["severity"]]), (f"  {where}" if where else "", "dim")))
        lines += [Text(f"  {each['why']}")] if each["why"] else []
        lines.append(Text(f"  → {each['mend']}"))
    return lines or [Text("Nothing is wrong.", style="green")]
