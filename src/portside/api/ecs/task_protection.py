"""Task scale-in protection: tasks of a service that scale-in and deployments leave alone for a while."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from portside.api.ecs import lookup, wire
from portside.api.ecs.error import invalid
from portside.aws.service import Handler, Params, RequestContext, Result
from portside.domain import arn
from portside.domain.clock import Clock
from portside.domain.record import replace
from portside.domain.table import TASK
from portside.domain.task.record import Task, TaskStatus
from portside.store.interface import Put, Store, Stored, Write

UPDATED_MOST: Final = 10
DESCRIBED_MOST: Final = 100
EXPIRES_MIN: Final = 120
"""Minutes of protection, unless given."""
EXPIRES_MIN_LEAST, EXPIRES_MIN_MOST = 1, 2880
TASK_IDS: Final = (32, 36)
NOT_OF_A_SERVICE: Final = "Specified task is not part of an ECS service. Check the task and try again."
NOT_RUNNING: Final = "Specified task has stopped or is stopping. Check the task and try again."


class TaskProtections:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def handlers(self) -> Mapping[str, Handler]:
        return {"GetTaskProtection": self.get, "UpdateTaskProtection": self.update}

    def get(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.any_cluster(self._store, self._clock, context, params["cluster"]).name
        found, failures = self._find(context, cluster, params.get("tasks") or (), DESCRIBED_MOST)
        return {"protectedTasks": [self._to_wire(stored.value) for stored in found], "failures": failures}

    def update(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.active_cluster(self._store, self._clock, context, params["cluster"]).name
        minutes = params.get("expiresInMinutes")
        if minutes is None:
            minutes = EXPIRES_MIN
        if not EXPIRES_MIN_LEAST <= minutes <= EXPIRES_MIN_MOST:
            raise invalid(f"expiresInMinutes must be between {EXPIRES_MIN_LEAST} and {EXPIRES_MIN_MOST}.")
        until = self._clock.now() + timedelta(minutes=minutes) if params["protectionEnabled"] else None
        found, failures = self._find(context, cluster, params["tasks"], UPDATED_MOST)
        changed: list[Task] = []
        writes: list[Write] = []
        for stored in found:
            task = replace(stored.value, protected_until=until)
            changed.append(task)
            writes.append(Put(TASK, task, stored.version))
        if writes:
            self._store.transact(*writes)
        return {"protectedTasks": [self._to_wire(task) for task in changed], "failures": failures}

    def _find(
        self, context: RequestContext, cluster: str, asked: Sequence[str], most: int
    ) -> tuple[list[Stored[Task]], list[wire.Wire]]:
        """The named tasks that can be protected, each once, and why the others can not."""
        if not asked:
            raise invalid("Tasks cannot be empty.")
        if len(asked) > most:
            raise invalid(f"Tasks cannot have more than {most} elements.")
        scope = lookup.scope(context)
        found: list[Stored[Task]] = []
        failures: list[wire.Wire] = []
        for task_id in dict.fromkeys(lookup.in_cluster(context, cluster, named, "task") for named in asked):
            if len(task_id) not in TASK_IDS:
                raise invalid("taskId length should be one of [32,36]")
            stored = self._store.read(TASK, f"{context.prefix}{cluster}/{task_id}")
            task_arn = arn.task(scope, cluster, task_id)
            if stored is None:
                failures.append(wire.failure(task_arn))
            elif detail := failure_detail(stored.value):
                failures.append({**wire.failure(task_arn, "TASK_NOT_VALID"), "detail": detail})
            else:
                found.append(stored)
        return found, failures

    def _to_wire(self, task: Task) -> wire.Wire:
        shown: wire.Wire = {"taskArn": arn.task(task.scope, task.cluster, task.id), "protectionEnabled": False}
        if task.protected_until is not None and self._clock.now() < task.protected_until:
            shown |= {"protectionEnabled": True, "expirationDate": task.protected_until}
        return shown


def failure_detail(task: Task) -> str:
    """Why the task can not be protected; "" if it can."""
    if task.service is None:
        return NOT_OF_A_SERVICE
    if task.stop is not None or task.last_status > TaskStatus.RUNNING:
        return NOT_RUNNING
    return ""
