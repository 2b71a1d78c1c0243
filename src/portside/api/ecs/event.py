"""The details of ECS's events: tasks and container instances as they are described."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from portside.api.ecs.instance_wire import container_instance_to
from portside.api.ecs.wire import task_to
from portside.domain.container_instance import ContainerInstance
from portside.domain.ecs_event import iso
from portside.domain.table import TASK
from portside.domain.task.record import Task, TaskStatus
from portside.store.interface import Store


def detail_of(store: Store, record: Task | ContainerInstance, at: datetime) -> dict[str, Any]:
    """In JSON's types; `at` is its `updatedAt`."""
    if isinstance(record, Task):
        shape = task_to(record)
        # Events call an interface by its old name, and leave out what is for people who look.
        shape["attachments"] = [{**each, "type": "eni"} for each in shape["attachments"]]
        del shape["tags"]
    else:
        tasks = [each for each in store.find(TASK, "placed", record.key) if each.last_status < TaskStatus.STOPPED]
        shape = container_instance_to(record, tasks, with_tags=False)
    return {**_plain(shape), "updatedAt": iso(at)}


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return iso(value)
        case Mapping():
            return {key: _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
    return value
