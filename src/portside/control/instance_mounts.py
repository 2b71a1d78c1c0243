"""The volumes of a task that are of its container instance, as its node mounts them."""

from portside.domain.task.record import InstanceMount, Task


def resolve(task: Task) -> tuple[InstanceMount, ...]:
    """Those of the whole task."""
    if task.placement is None:
        return ()
    return tuple(
        InstanceMount(volume=each.name, instance_id=task.placement.instance_id, path=each.host_path)
        for each in task.volumes
        if each.host_path
    )
