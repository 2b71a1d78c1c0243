"""An interruption of a task on FARGATE_SPOT: the extension behind `portside interrupt`,
`POST /_portside/tasks/TASK/interruption`."""

from typing import Any, Final

from portside.api.portside import story
from portside.domain import arn, capacity_provider
from portside.domain import pace as pace_rule
from portside.domain.clock import Clock
from portside.domain.pace import REAL
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.table import SERVICE, TASK
from portside.domain.task.record import Task
from portside.store.interface import Conflict, Put, Store

_STATUS: Final = {RefusalKind.CONFLICT: 409}


def answer(
    store: Store, clock: Clock, method: str, named: str, cluster: str = "", *, pace: float = REAL
) -> tuple[int, dict[str, Any]]:
    """HTTP status and document; `named` and `cluster` as a story has them. `pace`: the instance's."""
    if method != "POST":
        return 405, {"error": f"{method} is not answered here"}
    task = story.found(store, named, cluster)
    if not isinstance(task, Task):
        return task
    stored = store.read(TASK, task.key)
    if stored is None:
        return 404, {"error": f"there is no task {named}"}
    try:
        service = store.get(SERVICE, f"{task.scope.prefix}{task.cluster}/{task.service}") if task.service else None
        own = pace_rule.of(service.tags, pace) if service is not None else pace
        gone = capacity_provider.interrupted(stored.value, at=clock.now(), pace=own)
        store.transact(Put(TASK, gone, expect=stored.version))
    except Refused as refused:
        return _STATUS.get(refused.kind, 400), {"error": refused.message}
    except Conflict:
        return 409, {"error": f"{task.id} has changed meanwhile; try again"}
    return 200, {
        "arn": arn.task(gone.scope, gone.cluster, gone.id),
        "id": gone.id,
        "cluster": gone.cluster,
        "group": gone.group,
    }
