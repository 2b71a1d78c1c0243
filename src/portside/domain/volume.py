"""Volumes of a task definition: what may be asked for, and what each container's mount points are in the end.

Source: ECS developer guide, "Use bind mounts with Amazon ECS"; API_Volume, API_MountPoint, API_VolumeFrom.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from portside.domain import docker_volume, file_mount
from portside.domain.record import replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.task_definition import ContainerDefinition, DependsOn, MountPoint, TaskDefinition

OF_TASKS: Final = ("ephemeral", "task")
"""Kinds of storage that go with their task: what it can write, and its volumes on that."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")


def check(definition: TaskDefinition) -> None:
    """Raises Refused: a name is not one, a path is none, or something is named that is not there."""
    names: set[str] = set()
    for volume in definition.volumes:
        if not _NAME.fullmatch(volume.name):
            raise _invalid(f"Volume name contains invalid characters: '{volume.name}'.", "volumes")
        if volume.name in names:
            raise _invalid(f"Volume names must be unique: '{volume.name}' is there twice.", "volumes")
        names.add(volume.name)
        if volume.efs is not None:
            file_mount.check(volume.name, volume.efs)
        if volume.docker is not None:
            docker_volume.check(volume.name, volume.docker)
        if volume.host_path and (not volume.host_path.startswith("/") or "\0" in volume.host_path):
            raise _invalid(
                f"Volume '{volume.name}': sourcePath '{volume.host_path}' is not an absolute path.", "volumes"
            )
    if sum(each.is_configured_at_launch for each in definition.volumes) > 1:
        raise _invalid("A task definition can have only one volume that is configured at launch.", "volumes")
    by_name = {each.name: each for each in definition.containers}
    for container in definition.containers:
        _check_mount_points(container, names)
        for inherited in container.volumes_from:
            if inherited.container not in by_name or inherited.container == container.name:
                raise _invalid(
                    f"Container '{container.name}' can not take volumes from container '{inherited.container}', "
                    "which is not another one of the task definition.",
                    "volumesFrom",
                )


def _check_mount_points(container: ContainerDefinition, volumes: set[str]) -> None:
    paths: set[str] = set()
    for mount in container.mount_points:
        if mount.volume not in volumes:
            raise _invalid(f"Unknown volume '{mount.volume}'.", "mountPoints")
        path = mount.container_path
        parts = path.split("/")
        if not path.startswith("/") or not any(parts) or ".." in parts or "\0" in path:
            raise _invalid(
                f"Invalid 'mountPoints' setting for container '{container.name}': containerPath '{path}' is not an "
                "absolute path below '/'.",
                "mountPoints",
            )
        place = "/".join(each for each in parts if each not in ("", "."))
        if place in paths:
            raise _invalid(
                f"Invalid 'mountPoints' setting for container '{container.name}': '{path}' is mounted twice.",
                "mountPoints",
            )
        paths.add(place)


def with_inherited(container: ContainerDefinition, containers: Sequence[ContainerDefinition]) -> ContainerDefinition:
    """The container with the mount points that it takes from others as its own, and started after those.

    Its own mount point wins where both are at one path."""
    if not container.volumes_from:
        return container
    waits = {each.container for each in container.depends_on}
    implied = tuple(
        DependsOn(container=each.container, condition="START")
        for each in container.volumes_from
        if each.container not in waits
    )
    found = _mount_points(container, {each.name: each for each in containers})
    return replace(container, mount_points=tuple(found.values()), depends_on=(*container.depends_on, *implied))


def _mount_points(container: ContainerDefinition, by_name: Mapping[str, ContainerDefinition]) -> dict[str, MountPoint]:
    """By path, those of its sources first. There is no cycle: registration refuses one."""
    found: dict[str, MountPoint] = {}
    for source in container.volumes_from:
        for path, mount in _mount_points(by_name[source.container], by_name).items():
            found[path] = replace(mount, read_only=mount.read_only or source.read_only)
    found.update((each.container_path, each) for each in container.mount_points)
    return found


def _invalid(message: str, what: str) -> Refused:
    return Refused(RefusalKind.INVALID, message, what)


def shown_id(kind: str, id_: str) -> str:
    """An id of storage as lists show it, and as it may be asked for: where it begins with a task's, with the first
    eight digits of that."""
    task, slash, name = id_.partition("/")
    return f"{task[:8]}{slash}{name}" if kind in OF_TASKS else id_
