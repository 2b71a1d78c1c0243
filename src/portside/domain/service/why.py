"""What keeps a service from its steady state: the one thing to look at first. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from portside.domain.load_balancer import Target
from portside.domain.record import Record
from portside.domain.service import event
from portside.domain.service.record import Deployment, RolloutState, Service
from portside.domain.task import health, story
from portside.domain.task import target as target_rule
from portside.domain.task.record import HealthStatus, StopCode, Task, TaskStatus

TargetKey = tuple[str, str, int]
"""Group, id and port."""

PLACE_MEND: Final = "Give it room: container instances with what it asks for, or other constraints or subnets."
OWN_STOPS: Final = (StopCode.USER_INITIATED, StopCode.SERVICE_SCHEDULER_INITIATED)


class Reason(Record, frozen=True, kw_only=True):
    """`what` in one or two sentences; `mend`: what a person can do, empty where it needs nothing but time; `until`:
    when something happens by itself; `task`: whose story tells more."""

    what: str
    mend: str = ""
    until: datetime | None = None
    task: str | None = None


def blocked(
    service: Service, tasks: Sequence[Task], targets: Mapping[TargetKey, Target], *, now: datetime
) -> Reason | None:
    """None for a service that is as it should be.

    Args:
        tasks: the service's, stopped ones that are remembered included.
        targets: the targets of its tasks' groups.
    """
    live = [each for each in tasks if each.last_status < TaskStatus.STOPPED]
    primary = next((each for each in service.deployments if each.status == "PRIMARY"), None)
    if service.status != "ACTIVE":
        return Reason(what=f"It is being deleted: {_count(live, 'task')} still to end.") if live else None
    if primary is None:
        return None
    if primary.rollout_state is RolloutState.FAILED:
        return Reason(
            what=f"Its deployment has failed: {primary.rollout_reason} Update the service to go on.",
            mend="Mend the task definition, or what its tasks failed over, and update the service.",
        )
    mine = [each for each in live if each.deployment_id == primary.id and each.stop is None]
    others = [each for each in live if each.deployment_id != primary.id or each.stop is not None]
    return (
        _throttled(service, primary, tasks, now)
        or _not_placed(service, mine)
        or _not_running(mine)
        or _not_healthy(service, mine, targets)
        or _too_few(service, mine, others)
        or _old_ones(others)
        or _moving(service)
        or _baking(primary)
    )


def _throttled(service: Service, primary: Deployment, tasks: Sequence[Task], now: datetime) -> Reason | None:
    if service.start_not_before is None or service.start_not_before <= now:
        return None
    failed = [
        each
        for each in tasks
        if each.deployment_id == primary.id and each.stop is not None and each.stop.code not in OWN_STOPS
    ]
    last = max(failed, key=lambda each: each.stopped_at or each.created_at, default=None)
    count = service.consecutive_start_failures or service.consecutive_short_lives
    said = f"Its tasks end too soon ({count} in a row), so the next one is held back."
    if last is not None:
        said += f" The last one: {story.summary(last)}"
    mend = "See what the last task wrote and why it ended; update the service once that is mended."
    return Reason(what=said, mend=mend, until=service.start_not_before, task=last.id if last is not None else None)


def _not_placed(service: Service, mine: Sequence[Task]) -> Reason | None:
    if len(mine) >= service.desired_count:
        return None
    for each in service.events:
        if each.message == event.steady(service.name):
            return None
        if "was unable to place a task" in each.message or "failed to launch a task" in each.message:
            said = each.message.partition(") ")[2]
            return Reason(what=said[:1].upper() + said[1:], mend=PLACE_MEND)
    return None


def _not_running(mine: Sequence[Task]) -> Reason | None:
    starting = [each for each in mine if each.last_status < TaskStatus.RUNNING]
    if not starting:
        return None
    first = min(starting, key=lambda each: each.created_at)
    others = f" So are {len(starting) - 1} more." if len(starting) > 1 else ""
    return Reason(
        what=f"Task {first.id[:8]} is starting. {story.summary(first)}{others}",
        mend="Mend what it failed over: it is tried again by itself." if first.retries else "",
        task=first.id,
    )


def _not_healthy(service: Service, mine: Sequence[Task], targets: Mapping[TargetKey, Target]) -> Reason | None:
    for task in mine:
        inside = health.of_task(task)
        checked = [each.name for each in task.containers if each.health_check is not None]
        if checked and inside is not HealthStatus.HEALTHY:
            sick = "fails" if inside is HealthStatus.UNHEALTHY else "has not passed yet"
            return Reason(
                what=f"The health check of {', '.join(checked)} in task {task.id[:8]} {sick}.",
                mend="See what it writes; try the check's command in a shell of the container."
                if sick == "fails"
                else "",
                task=task.id,
            )
        for ref in task.targets:
            name = target_rule.target_id(task)
            found = None if name is None else targets.get((ref.target_group_arn, name, target_rule.port(task, ref)))
            group = f"target group {ref.target_group_arn.rpartition('targetgroup/')[2].partition('/')[0]}"
            if ref.load_balancer_name:
                group = f"load balancer {ref.load_balancer_name}"
            if found is None or found.deregistered_at is not None:
                return Reason(what=f"Task {task.id[:8]} is not registered with {group}.", task=task.id)
            if found.checked == "unhealthy":
                why = found.failure_detail or found.failure_code
                mend = (
                    "See that it listens on that port, that its groups let the load balancer in, and the check's path."
                )
                return Reason(what=f"Task {task.id[:8]} is unhealthy in {group}: {why}.", mend=mend, task=task.id)
            if found.checked == "unknown" and found.failure_detail:
                return Reason(
                    what=f"Task {task.id[:8]} gets nothing from {group}: {found.failure_detail}.",
                    mend="Give the load balancer a subnet in each zone of the service's (set-subnets), or the service "
                    "subnets in the load balancer's zones alone.",
                    task=task.id,
                )
            if found.checked == "unknown":
                return Reason(
                    what=f"{group[0].upper()}{group[1:]} has not found task {task.id[:8]} healthy yet.", task=task.id
                )
    return None


def _too_few(service: Service, mine: Sequence[Task], others: Sequence[Task]) -> Reason | None:
    missing = service.desired_count - len(mine)
    if service.scheduling_strategy == "DAEMON" or missing <= 0:
        return None
    most = service.desired_count * service.maximum_percent // 100
    if len(mine) + len(others) >= most:
        return Reason(
            what=f"{_count(others, 'older task')} still there, and maximumPercent {service.maximum_percent} lets "
            f"no more than {most} be there at once."
        )
    return Reason(what=f"{missing} of {service.desired_count} tasks are not started yet.")


def _old_ones(others: Sequence[Task]) -> Reason | None:
    if not others:
        return None
    draining = [each for each in others if each.stop is not None and each.targets and each.targets_drained_at is None]
    if draining:
        return Reason(
            what=f"{_count(draining, 'task')} taken out of its target groups: requests that are under way may end.",
            task=draining[0].id,
        )
    ending = [each for each in others if each.stop is not None]
    if ending:
        return Reason(what=f"{_count(ending, 'task')} ending.", task=ending[0].id)
    return Reason(what=f"{_count(others, 'task')} of an older deployment still there.", task=others[0].id)


def _moving(service: Service) -> Reason | None:
    if not service.rebalancing:
        return None
    for each in service.events:
        if each.message.startswith(f"(service {service.name}) is unable to place a task in "):
            return Reason(what=each.message.partition(") ")[2].capitalize(), mend=PLACE_MEND)
        if each.message.endswith("AZ Rebalancing in progress."):
            break
    return Reason(what="Its tasks are moved between Availability Zones, until these are even.")


def _baking(primary: Deployment) -> Reason | None:
    if primary.baking_until is None:
        return None
    return Reason(what="All is well; its alarms are watched a while longer.", until=primary.baking_until)


def _count(tasks: Sequence[Task], word: str) -> str:
    return f"{len(tasks)} {word}s are" if len(tasks) != 1 else f"1 {word} is"
