"""Storage that goes with its task: what it can write, its volumes on that; and paths of instances that tasks have."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from portside.api.portside.meter import Fill, Meters, filled
from portside.domain import docker_volume
from portside.domain.table import TASK
from portside.domain.task.record import Task, TaskStatus
from portside.domain.task_definition import Volume
from portside.store.interface import Store


def rows(
    store: Store, meters: Meters, most: int | None
) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    """Of tasks that have come as far as to their containers and are not stopped. Args: most: files that are counted."""
    tasks = [each for each in store.scan(TASK) if TaskStatus.PENDING <= each.last_status < TaskStatus.STOPPED]
    for task in tasks:
        row = {
            **_of(task),
            "id": task.id,
            "name": task.group,
            "kind": "ephemeral",
            "sizeGiB": task.ephemeral_storage_gib,
            "usedBy": [_user(task)],
        }
        yield row, partial(filled, partial(meters.ephemeral, task.id))
    for task in tasks:
        for volume in task.volumes:
            if (measure := _measure(task, volume, meters, most)) is not None:
                row = {
                    **_of(task),
                    "id": f"{task.id}/{volume.name}",
                    "name": volume.name,
                    "kind": "task",
                    "mountPoints": _mount_points(task, volume.name),
                    "usedBy": [_user(task)],
                }
                yield row, partial(filled, measure)
    users: dict[tuple[str, str], list[Task]] = {}
    for task in tasks:
        if task.placement is not None:
            for path in {_path(each) for each in task.volumes} - {""}:
                users.setdefault((task.placement.instance_id, path), []).append(task)
    for (instance_id, path), using in sorted(users.items()):
        row = {
            **_of(using[0]),
            "id": f"{instance_id}:{path}",
            "name": path,
            "kind": "host",
            "usedBy": sorted(_user(each) for each in using),
        }
        yield row, partial(filled, partial(meters.instance_path, instance_id, path, most))


def _measure(task: Task, volume: Volume, meters: Meters, most: int | None) -> Callable[[], int | Fill] | None:
    """None: it is not the task's own."""
    if volume.efs is not None or volume.host_path or volume.is_configured_at_launch:
        return None
    if volume.docker is None:
        return partial(meters.task_volume, task.id, volume.name, most)
    if volume.docker.scope != "task":
        return None
    local = docker_volume.local_mount(volume.name, volume.docker.driver_opts)
    match local.kind:
        case "folder":
            return partial(meters.task_volume, task.id, volume.name, most)
        case "tmpfs" | "mount":
            return partial(meters.mounted, f"{task.id}.{volume.name}", local)
        case "bind":
            return None


def _path(volume: Volume) -> str:
    """Of the instance; empty if it is something else."""
    if volume.docker is None:
        return volume.host_path
    local = docker_volume.local_mount(volume.name, volume.docker.driver_opts)
    return local.path if local.kind == "bind" and volume.docker.scope == "task" else ""


def _mount_points(task: Task, volume: str) -> list[dict[str, Any]]:
    return [
        {"container": container.name, "path": mount.container_path, "readOnly": mount.read_only}
        for container in task.containers
        for mount in container.mount_points
        if mount.volume == volume
    ]


def _of(task: Task) -> dict[str, Any]:
    place: dict[str, Any] = {"zones": [] if task.eni is None else [task.eni.zone]}
    if task.placement is not None:
        place = {"instance": task.placement.instance_id}
    return {"account": task.scope.account, "region": task.scope.region, **place}


def _user(task: Task) -> str:
    return f"{task.cluster}/{task.id}"
