"""The volumes of a task that are of its container instance, as its node mounts them; a volume of Docker's that is to
outlive the task is recorded when the first task that may make it needs it."""

from datetime import datetime

from portside.domain import docker_volume
from portside.domain.clock import Ids
from portside.domain.docker_volume import KeptVolume
from portside.domain.secret_reference import Unresolvable
from portside.domain.table import DOCKER_VOLUME
from portside.domain.task.record import InstanceMount, Task
from portside.domain.task_definition import DockerVolume
from portside.store.interface import Put, Store


def resolve(store: Store, task: Task, ids: Ids, now: datetime) -> tuple[InstanceMount, ...]:
    """Those of the whole task. Raises Unresolvable: one is not there."""
    if task.placement is None:
        return ()
    instance_id = task.placement.instance_id
    found = [
        InstanceMount(volume=each.name, instance_id=instance_id, path=each.host_path)
        for each in task.volumes
        if each.host_path
    ]
    for each in task.volumes:
        if each.docker is None:
            continue
        if each.docker.scope == "task":
            own_id, options = f"{task.id}.{each.name}", each.docker.driver_opts
        else:
            kept = _kept(store, task, instance_id, each.name, each.docker, ids, now)
            own_id, options = kept.id, kept.driver_opts
        found.append(_mount(each.name, instance_id, own_id, options, is_kept=each.docker.scope == "shared"))
    return tuple(found)


def _mount(volume: str, instance_id: str, own_id: str, options: dict[str, str], *, is_kept: bool) -> InstanceMount:
    local = docker_volume.local_mount(volume, options)
    match local.kind:
        case "bind":
            return InstanceMount(
                volume=volume, instance_id=instance_id, path=local.path, must_exist=True, flags=local.flags
            )
        case "tmpfs":
            return InstanceMount(
                volume=volume, instance_id=instance_id, kind="tmpfs", id=own_id, data=local.data, flags=local.flags
            )
        case "mount":
            return InstanceMount(
                volume=volume,
                instance_id=instance_id,
                kind="mount",
                path=local.path,
                file_system=local.file_system,
                id=own_id,
                data=local.data,
                flags=local.flags,
            )
        case "folder":
            return InstanceMount(
                volume=volume, instance_id=instance_id, kind="folder" if is_kept else "task", id=own_id
            )


def _kept(
    store: Store, task: Task, instance_id: str, name: str, docker: DockerVolume, ids: Ids, now: datetime
) -> KeptVolume:
    """The instance's volume of that name, whatever its options are: as ECS's agent, which compares names alone."""
    wanted = KeptVolume(
        scope=task.scope,
        instance_id=instance_id,
        name=name,
        id=f"dv-{ids.hex(17)}",
        driver_opts=docker.driver_opts,
        labels=docker.labels,
        created_at=now,
        created_by=f"{task.cluster}/{task.id}",
    )
    known = store.get(DOCKER_VOLUME, wanted.key)
    if known is not None:
        return known
    if not docker.autoprovision:
        raise Unresolvable(
            f"CannotCreateContainerError: Error response from daemon: get {name}: no such volume (autoprovision is not "
            f"true, and no volume {name} is on {instance_id})"
        )
    store.transact(Put(DOCKER_VOLUME, wanted))
    return wanted
