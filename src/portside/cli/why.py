"""`portside why TASK`: the story of a task, in tables that fit 80 columns."""

import json
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from rich.console import Console
from rich.table import Table
from rich.text import Text

from portside.cli import instance as daemon
from portside.cli import service
from portside.settings import Settings

COLOURS = {"done": "green", "under way": "yellow", "unfinished": "red"}


def story(settings: Settings, task: str, *, cluster: str = "") -> Any:
    """What the daemon tells of the task that is meant: by its id, the beginning of it, or its ARN.

    Raises: Failure for a task that is unknown or not one, and when the daemon does not run or does not answer."""
    path = f"/_portside/tasks/{quote(task, safe='')}/story"
    if cluster:
        path += f"?{urlencode({'cluster': cluster})}"
    _, answer = daemon.ask(
        settings,
        path,
        "Tasks and their ids: portside status",
        "A stopped task is forgotten after an hour, unless PORTSIDE_STOPPED_TASK_RETENTION_S says otherwise.",
    )
    return answer


def show(settings: Settings, task: str, *, cluster: str, as_json: bool) -> None:
    """Of a service, if one is called so. Raises: Failure, as `story` does."""
    of_service = service.found(settings, task, cluster=cluster)
    if of_service is not None:
        service.explain(of_service, as_json=as_json)
        return
    answer = story(settings, task, cluster=cluster)
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    console = Console(highlight=False)
    for line in render(answer):
        console.print(line)


def render(answer: dict[str, Any]) -> list[Table | Text]:
    """The daemon's answer as things to print."""
    head = f"{answer['id']} of {answer['group']} ({answer['taskDefinition']}) in {answer['cluster']}"
    begin = datetime.fromisoformat(answer["createdAt"])
    phases = _table("Phases", "phase", "after", "took", "state")
    for phase in answer["phases"]:
        phases.add_row(
            phase["name"],
            _after(phase["startedAt"], begin),
            _span(phase["seconds"]),
            Text(phase["state"], style=COLOURS.get(phase["state"], "")),
        )
    moments = _table("Story", "after", "what", "detail")
    for moment in answer["story"]:
        moments.add_row(_after(moment["at"], begin), moment["what"], Text(moment["detail"]))
    return [
        Text(head, style="bold"),
        Text(f"{answer['lastStatus']}, created {begin:%Y-%m-%d %H:%M:%S} UTC"),
        *([Text(f"Reference: {answer['referenceId']}")] if answer["referenceId"] else []),
        Text(answer["summary"], style="yellow"),
        *([phases] if answer["phases"] else []),
        *([moments] if answer["story"] else []),
    ]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, header_style="dim", overflow="fold")
    return table


def _after(text: str, begin: datetime) -> str:
    return f"+{_span(max(0.0, (datetime.fromisoformat(text) - begin).total_seconds()))}"


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
