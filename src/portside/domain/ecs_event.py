"""What ECS tells EventBridge of: changes of tasks, services, deployments and container instances. Pure.

Source: ECS developer guide, "Amazon ECS events": task state change, service action, service deployment state change and
container instance state change events.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from portside.domain import arn
from portside.domain.container_instance import ContainerInstance
from portside.domain.record import Record
from portside.domain.service.record import Deployment, RolloutState, Service
from portside.domain.task.record import Task

SOURCE: Final = "aws.ecs"
TASK: Final = "ECS Task State Change"
SERVICE: Final = "ECS Service Action"
DEPLOYMENT: Final = "ECS Deployment State Change"
INSTANCE: Final = "ECS Container Instance State Change"

_REASONS: Final = (
    ("insufficient CPU", "RESOURCE:CPU"),
    ("insufficient memory", "RESOURCE:MEMORY"),
    ("already using a port", "RESOURCE:PORTS"),
    ("missing an attribute", "ATTRIBUTE"),
)


class Happening(Record, frozen=True, kw_only=True):
    """Something to tell. Its detail is the record `described`, as ECS shows it, or `detail`."""

    detail_type: str
    resource: str
    at: datetime
    detail: dict[str, Any] = {}
    described: Task | ContainerInstance | None = None


def happenings(old: Record | None, new: Record | None, *, since: datetime, now: datetime) -> Iterator[Happening]:
    """What a change of a record tells.

    Args:
        old: None where it is new, or not known any more: then what has happened after `since` is told.
    """
    match new, old:
        case Task(), (Task() | None) as before:
            if before is None or before.version != new.version:
                resource = arn.task(new.scope, new.cluster, new.id)
                yield Happening(detail_type=TASK, resource=resource, at=now, described=new)
        case ContainerInstance(), (ContainerInstance() | None) as before:
            if before is None or before.version != new.version:
                resource = arn.container_instance(new.scope, new.cluster, new.id)
                yield Happening(detail_type=INSTANCE, resource=resource, at=now, described=new)
        case Service(), (Service() | None) as before:
            yield from _of_service(before, new, since, now)


def _of_service(old: Service | None, new: Service, since: datetime, now: datetime) -> Iterator[Happening]:
    resource = arn.service(new.scope, new.cluster, new.name)
    # Of others it is a user, or a scaling policy as one, that updates it.
    if old is not None and old.desired_count != new.desired_count and new.scheduling_strategy == "DAEMON":
        detail = _action(new, now, "INFO", "SERVICE_DESIRED_COUNT_UPDATED") | {"desiredCount": new.desired_count}
        yield Happening(detail_type=SERVICE, resource=resource, at=now, detail=detail)
    known = {each.id: each for each in old.deployments} if old is not None else {}
    for deployment in new.deployments:
        before = known.get(deployment.id)
        is_new = deployment.updated_at > since if old is None else before is None
        if is_new or (before is not None and before.rollout_state is not deployment.rollout_state):
            detail = _rollout(deployment)
            yield Happening(detail_type=DEPLOYMENT, resource=resource, at=deployment.updated_at, detail=detail)
    told = {each.id for each in old.events} if old is not None else set[str]()
    for each in reversed(new.events):
        named = _named(each.message)
        if named is None or each.id in told or (old is None and each.at <= since):
            continue
        kind, name, reason = named
        detail = _action(new, each.at, kind, name)
        if reason:
            detail["reason"] = reason
        yield Happening(detail_type=SERVICE, resource=resource, at=each.at, detail=detail)


def _action(service: Service, at: datetime, kind: str, name: str) -> dict[str, Any]:
    return {
        "eventType": kind,
        "eventName": name,
        "clusterArn": arn.cluster(service.scope, service.cluster),
        "createdAt": iso(at),
    }


def _rollout(deployment: Deployment) -> dict[str, Any]:
    return {
        "eventType": "ERROR" if deployment.rollout_state is RolloutState.FAILED else "INFO",
        "eventName": f"SERVICE_DEPLOYMENT_{deployment.rollout_state.value}",
        "deploymentId": deployment.id,
        "updatedAt": iso(deployment.updated_at),
        "reason": deployment.rollout_reason,
    }


def _named(message: str) -> tuple[str, str, str] | None:
    """Type, name and reason of the event that a service's message is; None if it is none."""
    if message.endswith("has reached a steady state."):
        return "INFO", "SERVICE_STEADY_STATE", ""
    if message.endswith("is unable to consistently start tasks successfully."):
        return "WARN", "SERVICE_TASK_START_IMPAIRED", ""
    if message.endswith(". AZ Rebalancing in progress."):
        return "INFO", "SERVICE_REBALANCING_STARTED", ""
    if " is AZ balanced with " in message:
        return "INFO", "SERVICE_REBALANCING_COMPLETED", ""
    if message.startswith("(service ") and " to AZ Rebalance: " in message:
        return "INFO", "TASKS_STARTED", ""
    if " has stopped " in message and " running tasks" in message:
        return "INFO", "TASKS_STOPPED", ""
    if "is unable to place a task in " in message:
        return "ERROR", "SERVICE_TASK_PLACEMENT_FAILURE", ""
    if "was unable to place a task" in message:
        found = next((reason for words, reason in _REASONS if words in message), None)
        return "ERROR", "SERVICE_TASK_PLACEMENT_FAILURE", found or message.partition("Reason: ")[2].rstrip(".")
    if "failed to launch a task with (error " in message:
        reason = message.partition("(error ")[2].removesuffix(".").removesuffix(")")
        return "ERROR", "SERVICE_TASK_CONFIGURATION_FAILURE", reason
    return None


def iso(at: datetime) -> str:
    """As events have times: milliseconds, and a Z."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
