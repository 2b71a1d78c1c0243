"""The inside of a task's network, for commands that go there. Entering it takes root."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from portside.cli import instance as daemon
from portside.cli.failure import Failure
from portside.node.network import netns
from portside.settings import Settings

T = TypeVar("T")


def containers(settings: Settings, task: str, *, cluster: str) -> Any:
    """The task that is meant, with its running containers (`api/portside/inside.py`).

    Raises: Failure for a task that is unknown, not one, or does not run, and where nobody may enter a network."""
    if os.geteuid() != 0:
        raise Failure("entering a task's network takes root", "Try: sudo portside …")
    path = f"/_portside/tasks/{quote(task, safe='')}/network"
    if cluster:
        path += f"?{urlencode({'cluster': cluster})}"
    return daemon.ask(settings, path, "Tasks and their ids: portside status")[1]


def chosen(answer: Any, container: str, port: int | None = None) -> Any:
    """Of a task's running containers the one that is named, else the one that maps the port, else the only one, or any
    where all share a network.

    Raises: Failure where that is none, or several."""
    running = answer["containers"]
    names = ", ".join(each["name"] for each in running)
    if container:
        named = [each for each in running if each["name"] == container]
        if not named:
            raise Failure(f"no container {container} of task {answer['id'][:8]} runs", f"There are: {names}")
        return named[0]
    mapped = [each for each in running if port in each["ports"]]
    if len(mapped) == 1 or answer["mode"] in ("awsvpc", "host") or len(running) == 1:
        return (mapped or running)[0]
    raise Failure("the task has several containers, each with a network of its own", f"Name one by -c: {names}")


def within(container: Any, inside: Callable[[], T]) -> T:
    """Run it in the container's network namespace, in this thread. Raises OSError if it has ended."""
    return netns.within(Path(f"/proc/{container['pid']}/ns/net"), inside)
