"""What a task is called as a target: by its own address, or, where it shares an instance's, by instance and port."""

from portside.domain.record import replace
from portside.domain.task.record import TargetRef, Task


def target_id(task: Task) -> str | None:
    """The id of its targets; None before it has an interface."""
    if task.placement is not None and task.network_mode in ("bridge", "host"):
        return task.placement.instance_id
    return task.eni.address if task.eni is not None else None


def refs(task: Task) -> tuple[TargetRef, ...]:
    """Its target groups, with the port that each sends to."""
    return tuple(_with_port(task, each) for each in task.targets)


def port(task: Task, ref: TargetRef) -> int:
    return _with_port(task, ref).port


def _with_port(task: Task, ref: TargetRef) -> TargetRef:
    for binding in task.placement.bindings if task.placement is not None else ():
        if (binding.container, binding.container_port) == (ref.container_name, ref.container_port):
            return replace(ref, host_port=binding.host_port)
    return ref
