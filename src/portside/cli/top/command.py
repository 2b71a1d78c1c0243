"""`portside top`: what runs and what it uses, live, with keys as in k9s."""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from portside.cli import exec as session
from portside.cli import instance as daemon
from portside.cli import service, why
from portside.cli.failure import Failure
from portside.cli.top.row import Key, Level, Row, is_other, rows, target_of
from portside.cli.top.screen import Screen
from portside.cli.top.view import View, line_of, line_of_titles
from portside.settings import Settings

PAUSE_S: Final = 1.0
"""Between two looks."""
_LOG_PAUSE_S: Final = 0.3
_LINES: Final = 500
"""Of a log's past."""


def show(settings: Settings, *, cluster: str, once: bool, as_json: bool) -> None:
    """Until `q`, where there is a terminal; otherwise one look.

    Raises: Failure when the daemon does not run or does not answer."""
    first = _only(_ask(settings), cluster)
    if not once and not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        _Session(settings, first, cluster).run()
        return
    foreign = first.get("otherContainers", ())
    if any(map(_lacks_rates, first["tasks"])) or _lacks_rates({"containers": foreign}):
        time.sleep(PAUSE_S + 0.1)
        first = _only(_ask(settings), cluster)
    if as_json:
        print(json.dumps(first, indent=2))
        return
    console = Console(highlight=False)
    for line in tree(first, console.width):
        console.print(line, no_wrap=True, overflow="crop", crop=True)


def tree(document: dict[str, Any], width: int) -> list[Text]:
    """Everything at once: clusters, in them services, in them tasks, in them containers."""
    lines = [line_of_titles(Level.CLUSTERS, width, "name")]

    def add(row: Row, depth: int) -> None:
        lines.append(line_of(row, width, "  " * depth))
        deeper = [level for level in Level if level > len(row.key)]
        for each in rows(document, deeper[0], row.key) if deeper else ():
            add(each, depth + 1)

    for each in rows(document, Level.CLUSTERS, ()):
        add(each, 0)
    return lines


def _ask(settings: Settings) -> dict[str, Any]:
    return dict(daemon.ask(settings, "/_portside/usage")[1])


def _only(document: dict[str, Any], cluster: str) -> dict[str, Any]:
    """Raises: Failure for a cluster that is not there."""
    if not cluster:
        return document
    if not any(each["name"] == cluster for each in document["clusters"]):
        raise Failure(f"there is no cluster {cluster}", "Clusters: portside status")
    return document | {
        "clusters": [each for each in document["clusters"] if each["name"] == cluster],
        "services": [each for each in document["services"] if each["cluster"] == cluster],
        "tasks": [each for each in document["tasks"] if each["cluster"] == cluster],
        "otherContainers": [],
    }


def _lacks_rates(task: dict[str, Any]) -> bool:
    return any(each["usage"] is not None and each["usage"]["cpuUnits"] is None for each in task["containers"])


def wake_up(wake: int) -> None:
    with contextlib.suppress(BlockingIOError):  # full: it is awake
        os.write(wake, b"x")


class _Feed(threading.Thread):
    """Asks the daemon, so that keys are answered meanwhile.

    Args: wake: written to when there is something new."""

    def __init__(self, settings: Settings, cluster: str, wake: int) -> None:
        super().__init__(daemon=True)
        self._settings, self._cluster, self._wake = settings, cluster, wake
        self._lock = threading.Lock()
        self._again = threading.Event()
        self._document: dict[str, Any] | None = None
        self._trouble = ""
        self._log: dict[str, Any] | None = None
        self._events: list[dict[str, Any]] = []

    def follow(self, key: Key | None) -> None:
        """From now on bring this one's log; None for no log."""
        with self._lock:
            self._events, self._log = [], None
            if key is not None:
                target, cluster, container = target_of(key)
                asked = {"target": target, "cluster": cluster, "container": container}
                self._log = asked | {"since": None, "lines": _LINES, "after": None}
        self._again.set()

    def take(self) -> tuple[dict[str, Any] | None, list[dict[str, Any]], str]:
        """What is new: the document, events of the log, and what is wrong."""
        with self._lock:
            document, events = self._document, self._events
            self._document, self._events = None, []
            return document, events, self._trouble

    def run(self) -> None:
        looked_at = -PAUSE_S
        while True:
            trouble = ""
            try:
                if time.monotonic() - looked_at >= PAUSE_S:
                    looked_at = time.monotonic()
                    document = _only(_ask(self._settings), self._cluster)
                    with self._lock:
                        self._document = document
                self._bring_log()
            except Failure as failure:
                trouble = failure.message
            with self._lock:
                self._trouble = trouble
            wake_up(self._wake)
            self._again.wait(_LOG_PAUSE_S if self._log is not None else PAUSE_S)
            self._again.clear()

    def _bring_log(self) -> None:
        asked = self._log
        if asked is None:
            return
        body = json.dumps(asked).encode()
        answer = daemon.ask(self._settings, "/_portside/logs", method="POST", body=body)[1]
        with self._lock:
            if self._log is asked:  # no other has been asked for meanwhile
                self._events += answer["events"]
                self._log = asked | {"after": answer["after"]}


class _Session:
    """One use of it, from its beginning to `q`."""

    def __init__(self, settings: Settings, document: dict[str, Any], cluster: str) -> None:
        self._settings = settings
        self._view = View()
        self._view.feed(document)
        woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._feed = _Feed(settings, cluster, self._wake)
        self._screen = Screen(woken)

    def run(self) -> None:
        """Effects: the terminal is as before when it returns, also by SIGTERM or ^C."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        signal.signal(signal.SIGWINCH, lambda *_: wake_up(self._wake))
        self._feed.start()
        self._screen.open()
        try:
            self._converse()
        except KeyboardInterrupt:
            pass
        finally:
            self._screen.close()

    def _converse(self) -> None:
        while True:
            self._screen.draw(self._view.lines(*self._screen.size))
            pressed = self._screen.keys(PAUSE_S)
            if pressed is None:
                return
            document, events, trouble = self._feed.take()
            if document is not None:
                self._view.feed(document)
            if events and self._view.mode == "log":
                self._view.add(events)
            self._view.trouble = trouble
            for key in pressed:
                act = self._view.press(key)
                if act is None:
                    continue
                if act.what == "quit":
                    return
                self._do(act.what, act.key)

    def _do(self, what: str, key: Key) -> None:
        if what in ("log", "back"):
            self._feed.follow(key if what == "log" else None)
        elif what == "describe":
            self._describe(key)
        else:
            self._shell(key)

    def _describe(self, key: Key) -> None:
        try:
            page = self._page(key)
        except Failure as failure:
            self._view.said = failure.message
            return
        self._view.open_page("About " + "/".join((*key[2:3], *key[4:])), page)

    def _page(self, key: Key) -> list[Text]:
        is_foreign = is_other(key)
        target, cluster, _ = target_of(key) if len(key) > Level.CLUSTERS and not is_foreign else ("", "", "")
        console = Console(width=self._screen.size[0], highlight=False, force_terminal=True)
        with console.capture() as capture:
            if len(key) >= Level.TASKS and not is_foreign:
                for each in why.render(why.story(self._settings, target, cluster=cluster)):
                    console.print(each)
            elif len(key) == Level.SERVICES and key[3] == "service":
                console.print(service.render(service.ask(self._settings, target, cluster=cluster), datetime.now(UTC)))
            else:
                document = self._view.document or {"clusters": [], "services": [], "tasks": []}
                for line in tree(_below(document, key), console.width):
                    console.print(line, no_wrap=True, overflow="crop", crop=True)
        return [Text.from_ansi(line) for line in capture.get().splitlines()]

    def _shell(self, key: Key) -> None:
        """Effects: the terminal is the container's until its shell ends."""
        target, cluster, container = target_of(key)
        self._screen.close()
        print(f"A shell in {container} of {key[5][:8]}; `exit` leads back.", flush=True)
        changes = signal.getsignal(signal.SIGWINCH)
        try:
            session.run(self._settings, target, cluster=cluster, container=container, command=["/bin/sh"])
        except Failure as failure:
            self._view.said = failure.message
        finally:
            signal.signal(signal.SIGWINCH, changes)
            self._screen.open()


def _below(document: dict[str, Any], key: Key) -> dict[str, Any]:
    """Only what is in a cluster, or of a family without a service; of others, all of them."""
    if is_other(key):
        return document | {"clusters": [], "services": [], "tasks": []}
    tasks = [
        each
        for each in document["tasks"]
        if (each["account"], each["region"], each["cluster"]) == key[:3]
        and (len(key) == Level.CLUSTERS or (each["service"] is None and each["family"] == key[4]))
    ]
    return {
        "at": document.get("at", ""),
        "clusters": [
            each for each in document["clusters"] if (each["account"], each["region"], each["name"]) == key[:3]
        ],
        "services": [
            each
            for each in document["services"]
            if len(key) == Level.CLUSTERS and (each["account"], each["region"], each["cluster"]) == key[:3]
        ],
        "tasks": tasks,
    }
