"""A task's scale-in protection as it asks for it itself, at `$ECS_AGENT_URI/task-protection/v1/state`.

Source: ECS developer guide, "Amazon ECS task scale-in protection endpoint"; its errors are those of amazon-ecs-agent,
ecs-agent/tmds/handlers/taskprotection.
"""

import json
from datetime import timedelta
from typing import Any, Final

from portside.api.ecs.task_protection import EXPIRES_MIN, EXPIRES_MIN_LEAST, EXPIRES_MIN_MOST, failure_detail
from portside.domain import arn
from portside.domain.clock import Clock
from portside.domain.record import replace
from portside.domain.table import TASK
from portside.domain.task.record import Task
from portside.store.interface import Put, Store

PATH: Final = "task-protection/v1/state"


def answer(store: Store, clock: Clock, task: Task, method: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """HTTP status and document of a GET or a PUT. Effects: a PUT protects the task, or does so no more."""
    task_arn = arn.task(task.scope, task.cluster, task.id)

    def error(status: int, code: str, message: str) -> tuple[int, dict[str, Any]]:
        return status, {"error": {"Arn": task_arn, "Code": code, "Message": message}}

    until = task.protected_until
    if method == "PUT":
        try:
            asked = json.loads(body)
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            return error(400, "InvalidParameterException", "UpdateTaskProtection: failed to decode request")
        enabled, minutes = asked.get("ProtectionEnabled"), asked.get("ExpiresInMinutes")
        minutes = EXPIRES_MIN if minutes is None else minutes
        if not isinstance(enabled, bool):
            message = "Invalid request: does not contain 'ProtectionEnabled' field"
            return error(400, "InvalidParameterException", message)
        if type(minutes) is not int or not EXPIRES_MIN_LEAST <= minutes <= EXPIRES_MIN_MOST:
            message = f"expiresInMinutes must be between {EXPIRES_MIN_LEAST} and {EXPIRES_MIN_MOST}."
            return error(400, "InvalidParameterException", message)
        until = clock.now() + timedelta(minutes=minutes) if enabled else None
    if task.task_role_arn is None:
        message = "Invalid Request: no task IAM role credentials available for task"
        return error(403, "AccessDeniedException", message)
    detail = failure_detail(task)
    if detail:
        return 200, {"failure": {"Arn": task_arn, "Reason": "TASK_NOT_VALID", "Detail": detail}}
    if method == "PUT":
        stored = store.read(TASK, task.key)
        if stored is not None:
            store.transact(Put(TASK, replace(stored.value, protected_until=until), stored.version))
    protected = until is not None and clock.now() < until
    shown = until.strftime("%Y-%m-%dT%H:%M:%S.") + f"{until.microsecond // 1000:03}Z" if until and protected else None
    return 200, {"protection": {"ExpirationDate": shown, "ProtectionEnabled": protected, "TaskArn": task_arn}}
