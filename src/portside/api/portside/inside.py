"""Where a task's containers are on the machine: for `portside forward` and `portside capture`,
`/_portside/tasks/TASK/network`."""

from collections.abc import Callable
from typing import Any

from portside.api.portside.story import found
from portside.domain.task.record import Task
from portside.store.interface import Store


def answer(
    store: Store, process: Callable[[str], int | None], named: str, cluster: str = ""
) -> tuple[int, dict[str, Any]]:
    """HTTP status and document.

    Args:
        process: the first process of a container, by its runtime id; None if it does not run.
        named, cluster: as for the story.

    Returns: {"id", "mode": the network mode, "containers": [{"name", "pid", "address", "ports"}]} with those that run;
        {"error": ...} with 404 for no such task, with 409 where several ids begin so or nothing of it runs.
    """
    task = found(store, named, cluster)
    if not isinstance(task, Task):
        return task
    containers = []
    for history in task.history:
        pid = process(history.runtime_id)
        definition = next((each for each in task.containers if each.name == history.name), None)
        if pid is None or definition is None:
            continue
        ports = [port for each in definition.port_mappings for port in each.ports]
        containers.append({"name": history.name, "pid": pid, "address": _address(task, history.name), "ports": ports})
    if not containers:
        return 409, {"error": f"no container of task {task.id[:8]} runs: it is {task.last_status.name}"}
    return 200, {"id": task.id, "mode": task.network_mode, "containers": containers}


def _address(task: Task, container: str) -> str:
    if task.eni is not None:
        return task.eni.address
    if task.placement is None:
        return ""
    own = next((each.address for each in task.placement.endpoints if each.container == container), None)
    return own or task.placement.address
