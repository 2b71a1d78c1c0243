"""Who uses a role: what is asked before one is changed or deleted. No operation of AWS's answers it at once."""

from typing import Any

from portside.domain import table
from portside.domain.record import Scope
from portside.domain.task.record import TaskStatus
from portside.domain.task_definition import TaskDefinitionStatus
from portside.store.interface import Store


def role_use(store: Store, scope: Scope, arn: str) -> dict[str, Any]:
    """Active task definitions, tasks that run, services, instance profiles of a region: what the role is to each."""

    def parts(one: Any) -> list[str]:
        found = []
        if one.task_role_arn == arn:
            found.append("task role")
        if one.execution_role_arn == arn:
            found.append("execution role")
        return found

    definitions = [
        {"name": f"{each.family}:{each.revision}", "as": used}
        for each in store.scan(table.TASK_DEFINITION, scope.prefix)
        if each.status is TaskDefinitionStatus.ACTIVE and (used := parts(each))
    ]
    tasks = [
        {"cluster": each.cluster, "id": each.id, "as": used}
        for each in store.scan(table.TASK, scope.prefix)
        if each.last_status is not TaskStatus.STOPPED and (used := parts(each))
    ]
    services = [
        {"cluster": each.cluster, "name": each.name, "as": ["service role"]}
        for each in store.scan(table.SERVICE, scope.prefix)
        if each.role_arn == arn and each.status != "INACTIVE"
    ]
    name = arn.rpartition("/")[2]
    profiles = [
        {"name": each.name, "as": ["role"]}
        for each in store.scan(table.INSTANCE_PROFILE, f"{scope.account}/")
        if each.role == name
    ]
    return {"definitions": definitions, "tasks": tasks, "services": services, "profiles": profiles}
