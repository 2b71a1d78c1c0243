"""`portside status`: what runs, and why it is as it is, in tables that fit 80 columns."""

import json
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from portside.cli import instance as daemon
from portside.settings import Settings

STOPPED_SHOWN = 5
"""Stopped tasks beyond these are only counted."""

BEFORE_STOPPING = ("PROVISIONING", "PENDING", "ACTIVATING", "RUNNING")

COLOURS = {
    "RUNNING": "green",
    "ACTIVE": "green",
    "active": "green",
    "running": "green",
    "stopped": "dim",
    "COMPLETED": "green",
    "STOPPED": "dim",
    "FAILED": "red",
    "failed": "red",
}


def show(settings: Settings, *, as_json: bool) -> None:
    """Raises: Failure when the daemon does not run or does not answer."""
    running, answer = daemon.ask(settings, "/_portside/status")
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    console = Console(highlight=False)
    console.print(f"Portside {running.version} at {running.url} (pid {running.pid}, data in {settings.data_dir})")
    for line in render(answer, datetime.now(UTC)):
        # Only tables are folded; a URL or a reason stays whole, to be copied.
        console.print(line, soft_wrap=isinstance(line, Text))


def render(answer: dict[str, Any], now: datetime) -> list[Table | Text]:
    """The daemon's answer as things to print, sections without content left out."""
    sections: list[Table | Text] = [Text(problem, style="red") for problem in answer.get("problems", ())]
    clusters = [f"{cluster['name']} ({cluster['region']})" for cluster in answer["clusters"]]
    sections.append(Text(f"Clusters: {', '.join(clusters) or 'none yet'}"))
    pace = answer.get("pace", 1)
    paces = {"": pace} if pace != 1 else {}
    paces |= {f" of {each['name']}": each["pace"] for each in answer["services"] if each.get("pace", pace) != pace}
    for whose, own in paces.items():
        said = f"{own:g} times as fast as" if own != 1 else "as"
        sections.append(Text(f"Pace{whose}: long timers run {said} on AWS.", style="yellow"))
    if answer["services"]:
        sections.append(_services(answer["services"]))
        sections += [
            Text(f"  {service['name']}: {service['lastEvent']}", style="yellow")
            for service in answer["services"]
            if service["running"] != service["desired"] and service["lastEvent"]
        ]
    if answer["tasks"]:
        sections += _tasks(answer["tasks"], now)
    if answer.get("pulls"):
        sections.append(_pulls(answer["pulls"], now))
    if answer.get("instances"):
        sections.append(_instances(answer["instances"]))
    if answer["loadBalancers"]:
        sections += _load_balancers(answer["loadBalancers"])
    return sections


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, header_style="dim", overflow="fold")
    return table


def _coloured(word: str) -> Text:
    return Text(word, style=COLOURS.get(word, "yellow"))


def _services(services: list[dict[str, Any]]) -> Table:
    table = _table("Services", "cluster", "service", "task definition", "running", "rollout")
    for service in services:
        waiting = f" (+{service['pending']} starting)" if service["pending"] else ""
        counts = Text(
            f"{service['running']}/{service['desired']}{waiting}",
            style="green" if service["running"] == service["desired"] else "yellow",
        )
        rollout = service["rolloutState"] or service["status"]
        table.add_row(service["cluster"], service["name"], service["taskDefinition"], counts, _coloured(rollout))
    return table


def _tasks(tasks: list[dict[str, Any]], now: datetime) -> list[Table | Text]:
    live = [task for task in tasks if task["lastStatus"] not in ("STOPPED", "DELETED")]
    stopped = [task for task in tasks if task["lastStatus"] in ("STOPPED", "DELETED")]
    stopped.sort(key=lambda task: task["stoppedAt"] or "", reverse=True)
    table = _table("Tasks", "task", "of", "state", "address", "zone", "age")
    sections: list[Table | Text] = [table]
    for task in sorted(live, key=lambda task: (task["group"], task["createdAt"])) + stopped[:STOPPED_SHOWN]:
        table.add_row(
            task["id"][:8],
            task["group"].removeprefix("service:").removeprefix("family:"),
            _state(task),
            "\n".join(each for each in (task["address"], task.get("publicAddress")) if each),
            task["zone"],
            _age(task, now),
        )
        if why := _why(task):
            sections.append(Text(f"  {task['id'][:8]}: {why}", style="yellow"))
    reachable = next((task for task in live if task["lastStatus"] == "RUNNING" and task["ports"]), None)
    if reachable is not None:
        way = f"  From this machine: portside forward {reachable['id'][:8]}:{reachable['ports'][0]}"
        sections.append(Text(way, style="dim"))
    if len(stopped) > STOPPED_SHOWN:
        sections.append(Text(f"  and {len(stopped) - STOPPED_SHOWN} more stopped tasks", style="dim"))
    return sections


def _instances(instances: list[dict[str, Any]]) -> Table:
    table = _table("Instances", "instance", "type", "state", "cluster", "tasks", "CPU, MiB left")
    for each in sorted(instances, key=lambda each: str(each["id"])):
        drains = each["status"] == "DRAINING" and each["state"] == "running"
        state = _coloured("draining" if drains else each["state"])
        left = "" if each["remainingCpu"] is None else f"{each['remainingCpu']}, {each['remainingMemory']}"
        table.add_row(each["id"], each["type"], state, each["cluster"], str(each["tasks"]), left)
    return table


def _pulls(pulls: list[dict[str, Any]], now: datetime) -> Table:
    table = _table("Images that are being pulled", "image", "came so far", "since")
    for pull in pulls:
        seconds = max(0.0, (now - datetime.fromisoformat(pull["startedAt"])).total_seconds())
        table.add_row(pull["reference"], Text(pull["progress"], style="yellow"), f"{seconds:.0f} s")
    return table


def _state(task: dict[str, Any]) -> Text:
    on_the_way = task["desiredStatus"] == "STOPPED" and task["lastStatus"] in BEFORE_STOPPING
    return _coloured(task["lastStatus"]) + Text(" (stopping)" if on_the_way else "", style="dim")


def _why(task: dict[str, Any]) -> str:
    """Why a task stopped, in the words that DescribeTasks has, with exit codes."""
    if not task["stoppedReason"]:
        return ""
    ends = [
        f"{container['name']} exited with {container['exitCode']}"
        + (f", {container['reason']}" if container["reason"] else "")
        if container["exitCode"] is not None
        else f"{container['name']}: {container['reason']}"
        for container in task["containers"]
        # a container that failed to start has the very words of the task
        if container["exitCode"] is not None or container["reason"] not in (None, "", task["stoppedReason"])
    ]
    return str(task["stoppedReason"]) + (f" ({'; '.join(ends)})" if ends else "")


def _age(task: dict[str, Any], now: datetime) -> str:
    text = task["stoppedAt"] or task["startedAt"] or task["createdAt"]
    seconds = max(0, int((now - datetime.fromisoformat(text)).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _load_balancers(balancers: list[dict[str, Any]]) -> list[Table | Text]:
    sections: list[Table | Text] = [Text("Load balancers", style="bold")]
    for balancer in balancers:
        targets = ", ".join(f"{count} {state}" for state, count in sorted(balancer["targets"].items()))
        line = Text.assemble(balancer["name"], "  ", _coloured(balancer["state"]), f"  {balancer['scheme']}")
        sections.append(line + Text(f"  targets: {targets or 'none'}", style="dim"))
        sections += [Text(f"  {url}") for url in balancer["urls"]]
    return sections
