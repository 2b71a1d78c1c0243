"""`portside logs TARGET`: what a service's or a task's containers write, across tasks, in colours."""

import json
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from portside.cli import instance as daemon
from portside.cli.failure import Failure
from portside.settings import Settings

PAUSE_S: Final = 0.3
"""Between two looks while nothing is written."""
COLOURS: Final = ("cyan", "magenta", "green", "yellow", "blue", "red", "bright_cyan", "bright_magenta", "bright_green")

_SPAN: Final = re.compile(r"(\d+)\s*(s|m|h|d|w)")
_UNIT: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def since_ms(text: str, now: datetime) -> int:
    """Of a span before now (`30s`, `5m`, `1h`, `2d`), or a time in ISO 8601.

    Raises: Failure for anything else."""
    if match := _SPAN.fullmatch(text.strip()):
        return int((now - timedelta(seconds=int(match[1]) * _UNIT[match[2]])).timestamp() * 1000)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(f"{text} is no time", "A span before now: --since 5m", "Or: --since 2026-01-31T12:00") from None
    return int((at if at.tzinfo is not None else at.astimezone()).timestamp() * 1000)


def show(
    settings: Settings,
    target: str,
    *,
    cluster: str,
    container: str,
    since: str | None,
    grep: str | None,
    follow: bool,
    lines: int,
    as_json: bool,
) -> None:
    """Until there is no more, or with `follow` until interrupted, also while the daemon is started anew.

    Raises: Failure for a target that is not there, or whose output is not kept."""
    pattern = _pattern(grep)
    asked: dict[str, Any] = {
        "target": target,
        "cluster": cluster,
        "container": container,
        "since": since_ms(since, datetime.now(UTC)) if since is not None else None,
        "lines": lines,
        "after": None,
    }
    printer = _Printer(pattern, as_json=as_json)
    is_away = False
    while True:
        try:
            answer = _answer(settings, asked)
        except Failure as failure:
            if not follow or asked["after"] is None:
                raise
            if not is_away:
                print(f"portside: {failure.message}; waiting until it is back", file=sys.stderr)
            is_away = True
            time.sleep(PAUSE_S)
            continue
        is_away = False
        for event in answer["events"]:
            printer.print(event)
        sys.stdout.flush()
        asked["after"] = answer["after"]
        if not answer["more"]:
            if not follow:
                return
            time.sleep(PAUSE_S)


def _answer(settings: Settings, asked: dict[str, Any]) -> Any:
    hints = (
        "Services and tasks: portside status",
        "A container writes there with the log driver awslogs, on a container instance with json-file, too.",
    )
    return daemon.ask(settings, "/_portside/logs", *hints, method="POST", body=json.dumps(asked).encode())[1]


def _pattern(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise Failure(f"{text} is no regular expression: {error}") from None


class _Printer:
    """Lines as they are, after the time and who wrote them; each task in a colour of its own."""

    def __init__(self, pattern: re.Pattern[str] | None, *, as_json: bool) -> None:
        self._pattern, self._as_json = pattern, as_json
        self._console = Console(highlight=False, soft_wrap=True)
        self._colours: dict[str, str] = {}

    def print(self, event: dict[str, Any]) -> None:
        message = event["message"]
        if self._pattern is not None and not self._pattern.search(message):
            return
        if self._as_json:
            print(json.dumps({key: value for key, value in event.items() if key != "containers"}))
            return
        colour = self._colours.setdefault(event["task"], COLOURS[len(self._colours) % len(COLOURS)])
        at = datetime.fromtimestamp(event["at"] / 1000).astimezone()
        who = f"{event['service'] or event['family']}/{event['task'][:8]}"
        if event["containers"] > 1:
            who += f" {event['container']}"
        line = Text.assemble((f"{at:%H:%M:%S}.{event['at'] % 1000:03d} ", "dim"), (who, colour), " ")
        said = Text.from_ansi(message) if "\x1b" in message else Text(message)
        if self._pattern is not None:
            said.highlight_regex(self._pattern, "bold")
        self._console.print(line + said)
