"""Storage that outlives tasks, as the command line asks for it: who uses it, how full. `/_portside/volumes`."""

from collections.abc import Callable
from typing import Any

from portside.domain.table import FILE_SYSTEM, MOUNT_TARGET, TASK
from portside.domain.task.record import TaskStatus
from portside.store.interface import Store


def users(store: Store) -> dict[str, list[str]]:
    """By file system: the live tasks that have a volume of it, as `cluster/id`."""
    found: dict[str, list[str]] = {}
    for task in store.scan(TASK):
        if task.last_status is TaskStatus.STOPPED:
            continue
        for system_id in {each.efs.file_system_id for each in task.volumes if each.efs is not None}:
            found.setdefault(f"{task.scope.prefix}{system_id}", []).append(f"{task.cluster}/{task.id}")
    return found


def document(store: Store, meter: Callable[[str], int]) -> dict[str, Any]:
    """Every file system."""
    using = users(store)
    rows = []
    for system in store.scan(FILE_SYSTEM):
        key = FILE_SYSTEM.key(system)
        rows.append(
            {
                "id": system.id,
                "name": next((each.value for each in system.tags if each.key == "Name"), ""),
                "kind": "efs",
                "account": system.scope.account,
                "region": system.scope.region,
                "zones": sorted(each.zone for each in store.find(MOUNT_TARGET, "file_system", key)),
                "sizeBytes": meter(system.id),
                "usedBy": sorted(using.get(key, [])),
            }
        )
    return {"volumes": rows}
