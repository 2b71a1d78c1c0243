"""`portside service SERVICE`: its deployment as it goes, live; and what `portside why SERVICE` says."""

import json
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from portside.cli import instance as daemon
from portside.cli.failure import Failure
from portside.settings import Settings

PAUSE_S: Final = 0.5
EVENTS_SHOWN: Final = 5
COLOURS: Final = {
    "RUNNING": "green",
    "HEALTHY": "green",
    "healthy": "green",
    "COMPLETED": "green",
    "UNHEALTHY": "red",
    "unhealthy": "red",
    "unhealthy.draining": "red",
    "FAILED": "red",
}


def ask(settings: Settings, name: str, *, cluster: str) -> Any:
    """What the daemon tells of the service. Raises: Failure for one that is unknown, or in several clusters."""
    path = f"/_portside/services/{quote(name, safe='')}" + (f"?{urlencode({'cluster': cluster})}" if cluster else "")
    return daemon.ask(settings, path, "Services: portside status")[1]


def found(settings: Settings, name: str, *, cluster: str) -> Any:
    """Like `ask`; None if no service is called so."""
    try:
        return ask(settings, name, cluster=cluster)
    except Failure as failure:
        if failure.message.startswith("there is no service"):
            return None
        raise


def explain(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"service": answer["arn"], "why": answer["why"]}, indent=2))
        return
    Console(highlight=False).print(*_why(answer, datetime.now(UTC)), sep="\n", soft_wrap=True)


def show(settings: Settings, name: str, *, cluster: str, once: bool, as_json: bool) -> None:
    """Until interrupted, where there is a terminal to go on at. Raises: Failure, as `ask` does."""
    answer = ask(settings, name, cluster=cluster)
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    console = Console(highlight=False)
    if once or not sys.stdout.isatty():
        console.print(render(answer, datetime.now(UTC)))
        return
    with Live(render(answer, datetime.now(UTC)), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(PAUSE_S)
            try:
                answer = ask(settings, name, cluster=cluster)
            except Failure as failure:
                live.update(Text(failure.message, style="yellow"), refresh=True)
                continue
            live.update(render(answer, datetime.now(UTC)), refresh=True)


def render(answer: dict[str, Any], now: datetime) -> Group:
    """The daemon's answer as things to print."""
    head = Text.assemble((answer["name"], "bold"), f" in {answer['cluster']}: ")
    count = f"{answer['running']}/{answer['desired']} running"
    head.append(count, "green" if answer["running"] == answer["desired"] else "yellow")
    if answer["pending"]:
        head.append(f", {answer['pending']} starting", "yellow")
    if answer["status"] != "ACTIVE":
        head.append(f" ({answer['status']})", "yellow")
    if answer.get("pace", 1) != 1:
        head.append(f" (long timers {answer['pace']:g} times as fast as on AWS)", "yellow")
    parts: list[Any] = [head, *_why(answer, now)]
    for each in answer["deployments"]:
        parts += ["", _deployment(each, now)]
    if answer["events"]:
        parts.append("")
        for each in answer["events"][:EVENTS_SHOWN]:
            message = each["message"].removeprefix(f"(service {answer['name']}) ")
            parts.append(Text(f"{_age(each['at'], now):>7}  {message}", style="dim"))
    return Group(*parts)


def _why(answer: dict[str, Any], now: datetime) -> list[Text]:
    why = answer["why"]
    if why is None:
        return [Text("It is as it should be.", style="green")]
    lines = [Text(why["what"], style="yellow")]
    if why["mend"]:
        lines.append(Text(f"→ {why['mend']}", style="yellow"))
    if why["until"]:
        at = datetime.fromisoformat(why["until"])
        seconds = max(0.0, (at - now).total_seconds())
        lines.append(Text(f"It goes on by itself at {at:%H:%M:%S} UTC, in {seconds:.0f} s.", style="yellow"))
    if why["task"]:
        lines.append(Text(f"More: portside why {why['task'][:8]}", style="dim"))
    return lines


def _deployment(deployment: dict[str, Any], now: datetime) -> Table:
    failed = f", {deployment['failed']} failed" if deployment["failed"] else ""
    state = deployment["rolloutState"]
    title = Text.assemble(
        (f"{deployment['status']} {deployment['taskDefinition']} ", "bold"),
        (state, COLOURS.get(state, "yellow")),
        f" ({len(deployment['tasks'])} of {deployment['desired']} tasks{failed})",
    )
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("task", "state", "health", "targets", "address", "age"):
        table.add_column(column, header_style="dim", overflow="fold")
    for task in sorted(deployment["tasks"], key=lambda each: str(each["createdAt"])):
        table.add_row(
            task["id"][:8],
            _coloured(task["lastStatus"], " (stopping)" if task["isStopping"] else ""),
            _coloured(task["health"]) if task["health"] != "UNKNOWN" else Text("-", style="dim"),
            Text(" ").join([_coloured(each) for each in task["targets"]]) or Text("-", style="dim"),
            task["address"],
            _age(task["createdAt"], now),
        )
    return table


def _coloured(word: str, more: str = "") -> Text:
    return Text.assemble((word, COLOURS.get(word, "yellow")), (more, "dim"))


def _age(text: str, now: datetime) -> str:
    seconds = max(0, int((now - datetime.fromisoformat(text)).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
