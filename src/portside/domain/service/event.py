"""Service events: their texts in AWS's words, and the log of the newest hundred.

Source: ECS developer guide, "Service event messages", and events of real services as published in issue threads.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from portside.domain.record import replace
from portside.domain.service.record import Service, ServiceEvent
from portside.domain.task.record import TargetRef

EVENTS_KEPT: Final = 100
"""API_Service, `events`: up to 100 of the latest events are displayed."""
SILENCE: Final = timedelta(hours=6)
"""A message about a lasting cause is given again after six hours only (guide, "Service event messages")."""
BREAKER: Final = "ECS deployment circuit breaker"
ALARMS: Final = "ECS deployment alarms"
TASKS_NAMED: Final = 10
"""Tasks named in one message; a larger batch is told in several."""


def started(service: str, task_ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        f"(service {service}) has started {len(batch)} tasks: {_tasks(batch)}." for batch in _batches(task_ids)
    )


def stopped(service: str, task_ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        f"(service {service}) has stopped {len(batch)} running tasks: {_tasks(batch)}." for batch in _batches(task_ids)
    )


def unbalanced(service: str, counts: Mapping[str, int]) -> str:
    return f"(service {service}) is not AZ balanced with {_zones(counts)}. AZ Rebalancing in progress."


def balanced(service: str, counts: Mapping[str, int]) -> str:
    return f"(service {service}) is AZ balanced with {_zones(counts)}."


def moved_to(service: str, zone: str, task_ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        f"(service {service}) has started {len(batch)} tasks in {zone} to AZ Rebalance: {_tasks(batch)}."
        for batch in _batches(task_ids)
    )


def moved_from(service: str, zone: str, task_ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        f"(service {service}) has stopped {len(batch)} running tasks in {zone} due to AZ rebalancing: {_tasks(batch)}."
        for batch in _batches(task_ids)
    )


def unmoved(service: str, zone: str) -> str:
    return (
        f"(service {service}) is unable to place a task in {zone} because no container instance met all of its "
        "requirements."
    )


def registered(service: str, count: int, ref: TargetRef) -> str:
    return f"(service {service}) registered {count} {_kind(ref)} in {ref.place}"


def not_registered(service: str, ref: TargetRef) -> str:
    """The group, or what leads to the port, was deleted under the service."""
    said = f"Target groups '{ref.target_group_arn}' not found"
    if ref.load_balancer_name:
        said = f"Load balancer '{ref.load_balancer_name}', or its listener for the host port, not found"
    return f"(service {service}) failed to register {_kind(ref)} in {ref.place} with (error {said})"


def deregistered(service: str, count: int, ref: TargetRef) -> str:
    return f"(service {service}) deregistered {count} {_kind(ref)} in {ref.place}"


def _kind(ref: TargetRef) -> str:
    return "instances" if ref.load_balancer_name else "targets"


def draining(service: str, deployment_id: str, count: int) -> str:
    return f"(service {service}, taskSet {deployment_id}) has begun draining connections on {count} tasks."


def unhealthy(service: str, task_id: str, ref: TargetRef, reason: str) -> str:
    return (
        f"(service {service}) (task {task_id}) (port {ref.container_port}) is unhealthy in {ref.place} "
        f"due to (reason {reason})"
    )


def failed_container_checks(service: str, task_id: str) -> str:
    return f"(service {service}) (task {task_id}) failed container health checks."


def steady(service: str) -> str:
    return f"(service {service}) has reached a steady state."


def completed(service: str, deployment_id: str) -> str:
    return f"(service {service}) (deployment {deployment_id}) deployment completed."


def failed(service: str, deployment_id: str, why: str) -> str:
    return f"(service {service}) (deployment {deployment_id}) deployment failed: {why}"


def rolling_back(service: str, deployment_id: str) -> str:
    return f"(service {service}) rolling back to (deployment {deployment_id})."


def impaired(service: str) -> str:
    return f"(service {service}) is unable to consistently start tasks successfully."


def unplaced(service: str, reason: str) -> str:
    return f"(service {service}) was unable to place a task. Reason: {reason.rstrip('.')}."


def no_instances(service: str) -> str:
    return _unmet(service, "Reason: No Container Instances were found in your cluster.")


def unmet(service: str, instance_id: str, reason: str) -> str:
    """No container instance has room.

    Args:
        instance_id: the closest matching one. reason: that of the failure, as RunTask gives it.
    """
    words = {
        "RESOURCE:CPU": "has insufficient CPU units available.",
        "RESOURCE:MEMORY": "has insufficient memory available.",
        "RESOURCE:PORTS": "is already using a port required by your task.",
        "ATTRIBUTE": "is missing an attribute required by your task.",
    }.get(reason, f'encountered error "{reason.rstrip(".")}".')
    return _unmet(service, f"The closest matching (container-instance {instance_id}) {words}")


def _unmet(service: str, why: str) -> str:
    return (
        f"(service {service}) was unable to place a task because no container instance met all of its requirements. "
        f"{why} For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
    )


def unlaunched(service: str, error: str) -> str:
    return f"(service {service}) failed to launch a task with (error {error})."


def stuck(service: str) -> str:
    return (
        f"(service {service}) was unable to stop or start tasks during a deployment because of the service deployment "
        "configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
    )


def protected(service: str, deployment_id: str) -> str:
    return (
        f"(service {service}) was unable to reach steady state because task set ({deployment_id}) was unable to scale "
        "in. Reason: The number of protected tasks are more than the desired count of tasks."
    )


def is_repeated(service: Service, message: str, *, now: datetime) -> bool:
    """Whether a message about a lasting cause is to be omitted: it was given, the service has not been steady since,
    and six hours have not passed."""
    calm = steady(service.name)
    for event in service.events:
        if event.at <= now - SILENCE or event.message == calm:
            return False
        if event.message == message:
            return True
    return False


def with_events(service: Service, messages: Sequence[str], event_ids: Sequence[str], *, now: datetime) -> Service:
    """The service with these events added, the last message newest.

    Args:
        event_ids: one UUID per message.
    """
    if not messages:
        return service
    new = [ServiceEvent(id=event_id, at=now, message=text) for text, event_id in zip(messages, event_ids, strict=True)]
    return replace(service, events=(*reversed(new), *service.events)[:EVENTS_KEPT])


def _tasks(task_ids: Sequence[str]) -> str:
    return " ".join(f"(task {task_id})" for task_id in task_ids)


def _zones(counts: Mapping[str, int]) -> str:
    found = [f"{count} tasks in {zone}" for zone, count in counts.items()]
    return found[0] if len(found) < 2 else f"{', '.join(found[:-1])}{',' if len(found) > 2 else ''} and {found[-1]}"


def _batches(task_ids: Sequence[str]) -> list[Sequence[str]]:
    return [task_ids[start : start + TASKS_NAMED] for start in range(0, len(task_ids), TASKS_NAMED)]
