"""A service as its deployment goes: the extension behind `portside service` and `portside why SERVICE`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from portside.api.elbv2 import lookup
from portside.domain import arn
from portside.domain import pace as pace_rule
from portside.domain.clock import Clock
from portside.domain.load_balancer import Target
from portside.domain.pace import REAL
from portside.domain.service import scheduler, why
from portside.domain.service.record import Deployment, Service
from portside.domain.service.why import TargetKey
from portside.domain.table import SERVICE, TARGET, TARGET_GROUP, TASK
from portside.domain.task import health
from portside.domain.task import target as target_rule
from portside.domain.task.record import Task, TaskStatus
from portside.store.interface import Store

EVENTS_SHOWN: Final = 10


def answer(
    store: Store, clock: Clock, named: str, cluster: str = "", *, pace: float = REAL
) -> tuple[int, dict[str, Any]]:
    """HTTP status and document.

    Args:
        named: a service's name or ARN.
        cluster: only in the cluster of this name.
        pace: the instance's.

    Returns: the service; {"error": ...} with 404 for no such service, with 409 where several clusters have one.
    """
    found = [
        each
        for each in store.scan(SERVICE)
        if each.status != "INACTIVE"
        and (not cluster or each.cluster == cluster)
        and named in (each.name, arn.service(each.scope, each.cluster, each.name))
    ]
    if not found:
        where = f" in the cluster {cluster}" if cluster else ""
        return 404, {"error": f"there is no service {named}{where}"}
    if len(found) > 1:
        places = ", ".join(f"{each.cluster} ({each.scope.region})" for each in found)
        return 409, {"error": f"several clusters have a service {named}: {places}"}
    return 200, _document(store, clock, found[0], pace)


def _document(store: Store, clock: Clock, service: Service, pace: float) -> dict[str, Any]:
    """Times in ISO 8601. `why` is None for a service that is as it should be."""
    tasks = store.find(TASK, "service", service.key)
    targets: dict[TargetKey, Target] = {
        (each.target_group_arn, each.id, each.port): each
        for group in scheduler.target_group_arns(service)
        for each in store.find(TARGET, "target_group", group)
    }
    groups = (store.get(TARGET_GROUP, service.scope.prefix + each) for each in scheduler.target_group_arns(service))
    told = {each.arn: lookup.health_of(store, each, clock.now()) for each in groups if each is not None}
    states = {key: told[key[0]](each).state.value for key, each in targets.items() if key[0] in told}
    reason = why.blocked(service, tasks, targets, now=clock.now())
    live = [each for each in tasks if each.last_status < TaskStatus.STOPPED]
    return {
        "arn": arn.service(service.scope, service.cluster, service.name),
        "name": service.name,
        "cluster": service.cluster,
        "status": service.status,
        "createdAt": service.created_at.isoformat(),
        "pace": pace_rule.of(service.tags, pace),
        "desired": service.desired_count,
        "running": sum(each.last_status is TaskStatus.RUNNING for each in live),
        "pending": sum(each.last_status < TaskStatus.RUNNING for each in live),
        "why": None
        if reason is None
        else {
            "what": reason.what,
            "mend": reason.mend,
            "until": reason.until.isoformat() if reason.until else None,
            "task": reason.task,
        },
        "deployments": [_deployment(each, live, states) for each in service.deployments],
        "events": [{"at": each.at.isoformat(), "message": each.message} for each in service.events[:EVENTS_SHOWN]],
    }


def _deployment(deployment: Deployment, live: Sequence[Task], states: Mapping[TargetKey, str]) -> dict[str, Any]:
    return {
        "id": deployment.id,
        "status": deployment.status,
        "taskDefinition": deployment.task_definition_arn.rpartition("/")[2],
        "rolloutState": deployment.rollout_state.value,
        "rolloutReason": deployment.rollout_reason,
        "desired": deployment.desired_count,
        "failed": deployment.failed_tasks,
        "createdAt": deployment.created_at.isoformat(),
        "tasks": [_task(each, states) for each in live if each.deployment_id == deployment.id],
    }


def _task(task: Task, states: Mapping[TargetKey, str]) -> dict[str, Any]:
    """Args: states: of targets, as their group's health is described."""
    name = target_rule.target_id(task)
    return {
        "id": task.id,
        "lastStatus": task.last_status.name,
        "isStopping": task.stop is not None,
        "health": health.of_task(task).value,
        "targets": [
            "unused"
            if name is None
            else states.get((ref.target_group_arn, name, target_rule.port(task, ref)), "unused")
            for ref in task.targets
        ],
        "address": task.eni.address if task.eni else task.placement.address if task.placement else "",
        "createdAt": task.created_at.isoformat(),
    }
