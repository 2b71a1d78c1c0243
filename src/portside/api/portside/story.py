"""The story of one task as a JSON document: the extension behind `portside why`, `/_portside/tasks/TASK/story`."""

from collections.abc import Sequence
from typing import Any

from portside.api.portside.status import pull
from portside.domain import arn
from portside.domain.clock import Clock
from portside.domain.image import PullProgress, pulls_of
from portside.domain.table import TASK
from portside.domain.task import story
from portside.domain.task.record import Task
from portside.store.interface import Store

CANDIDATES_SHOWN = 5


def answer(
    store: Store, clock: Clock, named: str, cluster: str = "", pulls: Sequence[PullProgress] = ()
) -> tuple[int, dict[str, Any]]:
    """HTTP status and document.

    Args:
        named: a task's id, the beginning of one, or an ARN.
        cluster: only in the cluster of this name.
        pulls: images that are being pulled.

    Returns: the story; {"error": ...} with 404 for no such task, with 409 where several ids begin so.
    """
    task = found(store, named, cluster)
    return (200, document(task, clock, pulls)) if isinstance(task, Task) else task


def found(store: Store, named: str, cluster: str = "") -> Task | tuple[int, dict[str, Any]]:
    """The task that is meant, or HTTP status and the error, as `answer` has them."""
    parsed = arn.parse(named)
    if parsed is not None:
        parts = parsed.resource.split("/")
        if parsed.service != "ecs" or parts[0] != "task" or len(parts) != 3:
            return 404, {"error": f"{named} is not the ARN of a task"}
    tasks = [
        task
        for task in store.scan(TASK)
        if (not cluster or task.cluster == cluster)
        and (
            arn.task(task.scope, task.cluster, task.id) == named
            if parsed is not None
            else bool(named) and task.id.startswith(named)
        )
    ]
    exact = [task for task in tasks if task.id == named]
    tasks = exact or tasks
    if not tasks:
        where = f" in the cluster {cluster}" if cluster else ""
        return 404, {"error": f"there is no task {named}{where}"}
    if len(tasks) > 1:
        names = ", ".join(f"{task.id} ({task.cluster})" for task in tasks[:CANDIDATES_SHOWN])
        more = f" and {len(tasks) - CANDIDATES_SHOWN} more" if len(tasks) > CANDIDATES_SHOWN else ""
        return 409, {"error": f"{named} stands for several tasks: {names}{more}"}
    return tasks[0]


def document(task: Task, clock: Clock, pulls: Sequence[PullProgress] = ()) -> dict[str, Any]:
    """Times in ISO 8601; the seconds of a phase that is under way are those until now."""
    now = clock.now()
    waited_for = pulls_of(task, pulls)
    return {
        "arn": arn.task(task.scope, task.cluster, task.id),
        "cluster": task.cluster,
        "id": task.id,
        "group": task.group,
        "referenceId": task.reference_id,
        "taskDefinition": f"{task.family}:{task.revision}",
        "lastStatus": task.last_status.name,
        "desiredStatus": task.desired_status.name,
        "createdAt": task.created_at.isoformat(),
        "summary": " ".join(
            [
                story.summary(task),
                *([story.LOSS_MEND] if any(story.losses(task)) else []),
                *(f"{each.reference}: {each.words} came so far." for each in waited_for),
            ]
        ),
        "pulls": [pull(each) for each in waited_for],
        "stopCode": str(task.stop.code) if task.stop else None,
        "stoppedReason": task.stop.reason if task.stop else None,
        "phases": [
            {
                "name": phase.name,
                "startedAt": phase.started_at.isoformat(),
                "endedAt": phase.ended_at.isoformat() if phase.ended_at else None,
                "seconds": round(max(0.0, ((phase.ended_at or now) - phase.started_at).total_seconds()), 3),
                "state": phase.state,
            }
            for phase in story.phases(task)
        ],
        "story": [{"at": each.at.isoformat(), "what": each.what, "detail": each.detail} for each in task.story],
    }
