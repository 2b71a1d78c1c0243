"""What `portside top` lists: clusters, services, tasks and containers, each with what is used below it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any, Final

from portside.domain import arn
from portside.domain.record import Scope

Key = tuple[str, ...]
"""(account, region, cluster, "service" or "family", its name, task, container), as far as it goes."""


class Level(IntEnum):
    """What is listed; the value is the length of its keys."""

    CLUSTERS = 3
    SERVICES = 5
    TASKS = 6
    CONTAINERS = 7


LEVELS: Final = tuple(Level)
OTHERS: Final = "other containers"
"""Stands among the clusters, with what Portside did not start: by namespace or runtime, then by pod or container."""


@dataclass(frozen=True, kw_only=True)
class Used:
    """CPU in processors, memory in bytes, the rest in bytes a second. None: not known."""

    cpu: float | None = None
    memory: float | None = None
    received: float | None = None
    sent: float | None = None
    read: float | None = None
    written: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a list.

    Args:
        is_well: whether what it stands for is as it is to be; None while that is not known.
        cpu_reserved: in processors; memory_reserved: in bytes; None where there is no such number.
    """

    key: Key
    name: str
    state: str
    is_well: bool | None
    health: str
    used: Used
    cpu_reserved: float | None
    memory_reserved: float | None
    restarts: int
    age_s: float | None = None


def rows(document: dict[str, Any], level: Level, above: Key) -> list[Row]:
    """Of a level, those under a key, by name.

    Args: document: the daemon's answer to `/_portside/usage`."""
    every = [*document["tasks"], *_others(document)]
    tasks = [each for each in every if _is_under(_key_of_task(each), above)]
    if level is Level.CONTAINERS:
        found = [_container(task, each) for task in tasks for each in task["containers"]]
    elif level is Level.TASKS:
        found = [_task(each, document["at"]) for each in tasks]
    elif level is Level.SERVICES:
        found = _services(document, tasks, above)
    else:
        found = _clusters(document, tasks)
    return sorted(found, key=lambda each: (each.name, each.key))


def is_other(key: Key) -> bool:
    """Whether it is, or is in, what Portside did not start."""
    return key[0] == "" and key[2] == OTHERS


def _others(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Pods, and containers outside of pods, in the shape of tasks."""
    pods: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for each in document.get("otherContainers", ()):
        group = each["namespace"] or each["runtime"]
        pods.setdefault((group, each["pod"] or each["name"] or each["id"][:12]), []).append(each)
    return [
        {
            "account": "",
            "region": "",
            "cluster": OTHERS,
            "service": None,
            "family": group,
            "id": name,
            "name": name,
            "createdAt": None,
            "lastStatus": "RUNNING",
            "health": "UNKNOWN",
            "cpuReserved": 0,
            "memoryReserved": 0,
            "containers": [
                {
                    "name": each["name"] or each["id"][:12],
                    "health": "UNKNOWN",
                    "restarts": 0,
                    "exitCode": None,
                    "usage": each["usage"],
                }
                for each in several
            ],
        }
        for (group, name), several in pods.items()
    ]


def sort_by(found: Sequence[Row], what: str) -> list[Row]:
    """The biggest first. Args: what: a member of `Used`, or "name" for the order that they are in."""
    if what == "name":
        return list(found)
    return sorted(found, key=lambda each: getattr(each.used, what) or 0.0, reverse=True)


def target_of(key: Key) -> tuple[str, str, str]:
    """How `portside logs` and others call it: target, cluster, container. Not for clusters."""
    scope, cluster = Scope(account=key[0], region=key[1]), key[2]
    container = key[6] if len(key) > Level.TASKS else ""
    if len(key) >= Level.TASKS:
        return arn.task(scope, cluster, key[5]), cluster, container
    return (arn.service(scope, cluster, key[4]) if key[3] == "service" else key[4]), cluster, ""


def _is_under(key: Key, above: Key) -> bool:
    return key[: len(above)] == above


def _key_of_task(task: dict[str, Any]) -> Key:
    if task["cluster"] == OTHERS and not task["account"]:
        return ("", "", OTHERS, "others", task["family"], task["id"])
    kind = ("service", task["service"]) if task["service"] is not None else ("family", task["family"])
    return (task["account"], task["region"], task["cluster"], *kind, task["id"])


def _total(several: Iterable[float | None]) -> float | None:
    known = [each for each in several if each is not None]
    return sum(known) if known else None


def _sum(several: Sequence[Used]) -> Used:
    return Used(
        cpu=_total(each.cpu for each in several),
        memory=_total(each.memory for each in several),
        received=_total(each.received for each in several),
        sent=_total(each.sent for each in several),
        read=_total(each.read for each in several),
        written=_total(each.written for each in several),
    )


def _used(container: dict[str, Any]) -> Used:
    usage = container["usage"]
    if usage is None:
        return Used()
    return Used(
        cpu=None if usage["cpuUnits"] is None else usage["cpuUnits"] / 1024,
        memory=usage["memory"],
        received=usage["networkReceiveRate"],
        sent=usage["networkSendRate"],
        read=usage["storageReadRate"],
        written=usage["storageWriteRate"],
    )


def _container(task: dict[str, Any], container: dict[str, Any]) -> Row:
    exit_code, usage = container["exitCode"], container["usage"]
    runs = usage is not None
    ended = f"exit {exit_code}" if exit_code is not None else "-"
    return Row(
        key=(*_key_of_task(task), container["name"]),
        name=container["name"],
        state="running" if runs else ended,
        is_well=_wellness([container["health"]], runs or exit_code == 0 or None),
        health=_health([container["health"]]),
        used=_used(container),
        cpu_reserved=None,
        memory_reserved=usage["memoryLimit"] if usage is not None else None,
        restarts=container["restarts"],
    )


def _task(task: dict[str, Any], at: str) -> Row:
    made = task["createdAt"]
    since = datetime.fromisoformat(at) - datetime.fromisoformat(made) if made is not None else None
    return Row(
        key=_key_of_task(task),
        name=task.get("name") or f"{task['id'][:8]} {task['family']}:{task['revision']}",
        state=str(task["lastStatus"]).lower(),
        is_well=_wellness([task["health"]], True if task["lastStatus"] == "RUNNING" else None),
        health=_health([task["health"]]),
        used=_sum([_used(each) for each in task["containers"]]),
        cpu_reserved=task["cpuReserved"] / 1024,
        memory_reserved=task["memoryReserved"],
        restarts=_restarts([task]),
        age_s=since.total_seconds() if since is not None else None,
    )


def _services(document: dict[str, Any], tasks: list[dict[str, Any]], above: Key) -> list[Row]:
    by_key: dict[Key, list[dict[str, Any]]] = {}
    wanted: dict[Key, dict[str, Any]] = {}
    for each in document["services"]:
        key: Key = (each["account"], each["region"], each["cluster"], "service", each["name"])
        if _is_under(key, above):
            wanted[key] = each
            by_key[key] = []
    for task in tasks:
        by_key.setdefault(_key_of_task(task)[: Level.SERVICES], []).append(task)
    found = []
    for key, own in by_key.items():
        service = wanted.get(key)
        running = sum(each["lastStatus"] == "RUNNING" for each in own)
        desired = service["desired"] if service is not None else len(own)
        name = f"{key[4]} (no service)" if key[3] == "family" else key[4]
        found.append(_group(key, name, own, f"{running}/{desired}", running == desired))
    return found


def _clusters(document: dict[str, Any], tasks: list[dict[str, Any]]) -> list[Row]:
    by_key: dict[Key, list[dict[str, Any]]] = {
        (each["account"], each["region"], each["name"]): [] for each in document["clusters"]
    }
    for task in tasks:
        by_key.setdefault(_key_of_task(task)[: Level.CLUSTERS], []).append(task)
    several = len({key[:2] for key in by_key if not is_other(key)}) > 1
    found = []
    for key, own in by_key.items():
        running = sum(each["lastStatus"] == "RUNNING" for each in own)
        name = f"{key[2]} {key[1]} {key[0]}" if several and not is_other(key) else key[2]
        found.append(_group(key, name, own, f"{running}/{len(own)}", running == len(own)))
    return found


def _group(key: Key, name: str, tasks: list[dict[str, Any]], state: str, is_complete: bool) -> Row:
    healths = [each["health"] for each in tasks]
    return Row(
        key=key,
        name=name,
        state=state,
        is_well=_wellness(healths, is_complete or None),
        health=_health(healths),
        used=_sum([_used(each) for task in tasks for each in task["containers"]]),
        cpu_reserved=sum(each["cpuReserved"] for each in tasks) / 1024,
        memory_reserved=sum(each["memoryReserved"] for each in tasks),
        restarts=_restarts(tasks),
    )


def _wellness(healths: Iterable[str], otherwise: bool | None) -> bool | None:
    return False if "UNHEALTHY" in healths else otherwise


def _health(healths: Sequence[str]) -> str:
    """`ok`, `bad` or `3 bad`; `-` where nothing is checked."""
    bad = sum(each == "UNHEALTHY" for each in healths)
    if bad:
        return "bad" if len(healths) == 1 else f"{bad} bad"
    return "ok" if "HEALTHY" in healths else "-"


def _restarts(tasks: Iterable[dict[str, Any]]) -> int:
    return sum(each["restarts"] for task in tasks for each in task["containers"])
