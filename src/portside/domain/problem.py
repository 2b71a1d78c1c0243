"""What is wrong: in one place, with the cause and what to do about it. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from portside.domain.alarm import Alarm
from portside.domain.certificate import Certificate
from portside.domain.container_instance import ContainerInstance
from portside.domain.event_bridge import Delivery
from portside.domain.instance import Instance
from portside.domain.load_balancer import LoadBalancer, Target, TargetGroup
from portside.domain.record import Record, replace
from portside.domain.service.record import RolloutState, Service
from portside.domain.service.why import Reason
from portside.domain.task import story
from portside.domain.task.record import HealthStatus, StopCode, Task, TaskStatus
from portside.domain.topic import Notification

Severity = Literal["error", "warning"]
Kind = Literal[
    "machine", "service", "task", "load balancer", "alarm", "container instance", "event rule", "topic", "certificate"
]

SEVERITIES: Final = ("error", "warning")
EXPIRES_SOON: Final = timedelta(days=30)
FAILED: Final = (StopCode.TASK_FAILED_TO_START, StopCode.ESSENTIAL_CONTAINER_EXITED)
"""How tasks end that were not asked to."""


class Problem(Record, frozen=True, kw_only=True):
    """`what` is wrong, `why`, and what would `mend` it, each in a sentence or two.

    `error`: something does not work; `warning`: it does, and should be looked at. `account` and `region` are empty for
    what concerns the machine; `cluster`: of a service, task or instance; `since`: None where that is not known."""

    severity: Severity
    kind: Kind
    account: str = ""
    region: str = ""
    cluster: str = ""
    name: str = ""
    what: str
    why: str
    mend: str
    since: datetime | None = None


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """The worst first, then by what they concern."""
    return sorted(
        problems,
        key=lambda each: (
            SEVERITIES.index(each.severity),
            each.kind,
            each.account,
            each.region,
            each.cluster,
            each.name,
            each.why,
        ),
    )


def of_service(service: Service, reason: Reason | None) -> Problem | None:
    """None for a service that is as it should be, or that needs nothing but time."""
    if reason is None or not reason.mend:
        return None
    primary = next((each for each in service.deployments if each.status == "PRIMARY"), None)
    has_failed = primary is not None and primary.rollout_state is RolloutState.FAILED
    return Problem(
        severity="error",
        kind="service",
        account=service.scope.account,
        region=service.scope.region,
        cluster=service.cluster,
        name=service.name,
        what=f"The deployment of {service.name} has failed" if has_failed else f"{service.name} is not as it should be",
        why=reason.what,
        mend=reason.mend,
    )


def of_tasks(tasks: Iterable[Task]) -> Iterator[Problem]:
    """Of tasks that no service looks after: what can not start, what is unhealthy, and what has failed for as long as
    it is remembered. Those of a family that failed are one problem, with the last one's reason."""
    failed: dict[tuple[str, str, str], list[Task]] = {}
    for task in tasks:
        if task.service is not None:
            continue
        where = (task.scope.region, task.cluster, task.family)
        if task.stop is not None:
            if task.last_status >= TaskStatus.STOPPED and task.stop.code in FAILED and _is_failure(task):
                failed.setdefault(where, []).append(task)
        elif task.last_status < TaskStatus.RUNNING and task.retries:
            yield _of_task(task, "error", f"Task {task.id[:8]} of {task.family} can not start", _START_MEND)
        elif any(each.health is HealthStatus.UNHEALTHY for each in task.history):
            mend = "See what the container writes, and try its health check's command in a shell of the container."
            yield _of_task(task, "error", f"Task {task.id[:8]} of {task.family} is unhealthy", mend)
    for (_, _, family), several in failed.items():
        last = max(several, key=lambda each: each.stopped_at or each.created_at)
        count = f"{len(several)} tasks" if len(several) > 1 else "A task"
        has_started = last.started_at is not None
        mend = (
            "Read what its containers wrote last, mend the image or its command, and run it again."
            if has_started
            else _START_MEND
        )
        verb = "failed" if has_started else "failed to start"
        yield _of_task(last, "warning", f"{count} of {family} {verb}", mend, last.stopped_at)


def of_lost_output(task: Task) -> Iterator[Problem]:
    """As long as the task is remembered."""
    for each, said in zip((h for h in task.history if h.lost_output is not None), story.losses(task), strict=True):
        assert each.lost_output is not None
        what = f"Output of {each.name} in task {task.id[:8]} of {task.family} is lost"
        problem = _of_task(task, "warning", what, story.LOSS_MEND, each.lost_output.since)
        yield replace(problem, why=said)


_START_MEND: Final = "Mend what the reason names: image, secret, volume or network. Its story tells each step."


def _of_task(task: Task, severity: Severity, what: str, mend: str, since: datetime | None = None) -> Problem:
    return Problem(
        severity=severity,
        kind="task",
        account=task.scope.account,
        region=task.scope.region,
        cluster=task.cluster,
        name=task.id,
        what=what,
        why=story.summary(task),
        mend=mend,
        since=since or task.created_at,
    )


def _is_failure(task: Task) -> bool:
    """An essential container that ends with 0 has done its work."""
    return task.stop is not None and (
        task.stop.code is StopCode.TASK_FAILED_TO_START
        or any(each.exit is not None and each.exit.code != 0 for each in task.history)
    )


def of_balancer(balancer: LoadBalancer, groups: Sequence[tuple[TargetGroup, Sequence[Target]]]) -> Iterator[Problem]:
    """Args: groups: that its rules lead to, each with its targets."""
    account, region, name = balancer.scope.account, balancer.scope.region, balancer.name
    if balancer.state == "failed":
        mend = "Mend what the reason names, or make it anew."
        yield Problem(
            severity="error",
            kind="load balancer",
            what=f"{balancer.name} does not work",
            why=balancer.state_reason,
            mend=mend,
            account=account,
            region=region,
            name=name,
        )
    for group, targets in groups:
        active = [each for each in targets if each.deregistered_at is None]
        if apart := [each for each in active if each.checked == "unknown" and each.failure_detail]:
            yield Problem(
                severity="warning",
                kind="load balancer",
                what=f"{len(apart)} of {len(active)} targets of {group.name} are unused",
                why=f"{apart[0].id}:{apart[0].port}: {apart[0].failure_detail}",
                mend="Give the load balancer a subnet in their zones: aws elbv2 set-subnets.",
                account=account,
                region=region,
                name=name,
            )
        sick = [each for each in active if each.checked == "unhealthy"]
        if not sick:
            continue
        first, behind = sick[0], group.name if group.classic is None else name
        why = first.failure_detail or first.failure_code or "its health check fails"
        yield Problem(
            severity="error" if len(sick) == len(active) else "warning",
            kind="load balancer",
            what=f"{len(sick)} of {len(active)} targets of {behind} are unhealthy",
            why=f"{first.id}:{first.port}: {why}",
            mend="See that the target listens on that port, that its security groups let the load balancer in, and "
            "that the health check asks for a path that is answered.",
            since=first.checked_at,
            account=account,
            region=region,
            name=name,
        )


def of_taken_place(address: str, port: int) -> Problem:
    """On this machine, where a listener was to be."""
    return Problem(
        severity="warning",
        kind="machine",
        what=f"{address}:{port} is taken by another program",
        why="Load balancers with a listener on this port are not reachable there.",
        mend=f"End that program (`ss -ltnp sport = :{port}` names it) or give the listener another port. What becomes "
        "free is taken within seconds.",
    )


def of_alarm(alarm: Alarm) -> Problem | None:
    if alarm.state != "ALARM":
        return None
    return Problem(
        severity="warning",
        kind="alarm",
        account=alarm.scope.account,
        region=alarm.scope.region,
        name=alarm.name,
        what=f"{alarm.name} is in alarm",
        why=alarm.reason,
        mend=alarm.description or "Look at its metric over time, and at what changed when it went off.",
        since=alarm.transitioned_at,
    )


def of_container_instance(instance: ContainerInstance) -> Problem | None:
    if instance.agent_connected:
        return None
    return Problem(
        severity="error",
        kind="container instance",
        account=instance.scope.account,
        region=instance.scope.region,
        cluster=instance.cluster,
        name=instance.instance_id,
        what=f"{instance.instance_id} does not answer",
        why="Its agent is not connected, so no task is placed on it.",
        mend="Start the instance if it is stopped, or deregister it.",
    )


def of_waiting_instance(instance: Instance, cluster: str) -> Problem:
    """Args: cluster: the one that it is to join, and that is not there."""
    return Problem(
        severity="error",
        kind="container instance",
        account=instance.scope.account,
        region=instance.scope.region,
        cluster=cluster,
        name=instance.id,
        what=f"{instance.id} joins no cluster",
        why=f"Its user data names the cluster {cluster} (ECS_CLUSTER), which is not there.",
        mend="Make that cluster, or launch the instance with the right name.",
        since=instance.launched_at,
    )


FAILURE_MOST: Final = 500
"""Characters of a failed attempt's words that are kept, to be told."""


def of_delivery(delivery: Delivery) -> Problem | None:
    if delivery.attempts == 0:
        return None
    return Problem(
        severity="warning",
        kind="event rule",
        account=delivery.scope.account,
        region=delivery.scope.region,
        name=delivery.rule,
        what=f"An event of the rule {delivery.rule} is not delivered yet",
        why=_not_taken(delivery.target.arn, delivery.attempts, delivery.failure),
        mend="See that the target is there and that its role allows what the rule does.",
        since=delivery.event_at,
    )


def of_notification(notification: Notification, endpoint: str) -> Problem | None:
    """Args: endpoint: the subscriber's address."""
    if notification.attempts == 0:
        return None
    return Problem(
        severity="warning",
        kind="topic",
        account=notification.scope.account,
        region=notification.scope.region,
        name=notification.topic,
        what=f"A message of the topic {notification.topic} is not delivered yet",
        why=_not_taken(endpoint, notification.attempts, notification.failure),
        mend="See that the subscriber answers with a status of 2xx, or unsubscribe it.",
        since=notification.at,
    )


def _not_taken(by: str, attempts: int, failure: str) -> str:
    said = f"{by} did not take it, {attempts} times by now" if attempts > 1 else f"{by} did not take it"
    return f"{said}: {failure.rstrip('.')}." if failure else f"{said}."


def of_certificate(certificate: Certificate, *, now: datetime) -> Problem | None:
    if certificate.not_after > now + EXPIRES_SOON:
        return None
    is_over = certificate.not_after <= now
    return Problem(
        severity="error" if is_over else "warning",
        kind="certificate",
        account=certificate.scope.account,
        region=certificate.scope.region,
        name=certificate.domain_name,
        what=f"The certificate of {certificate.domain_name} {'has expired' if is_over else 'expires soon'}",
        why=f"It is good until {certificate.not_after:%Y-%m-%d %H:%M} UTC.",
        mend=f"Import a newer one under the same ARN: aws acm import-certificate --certificate-arn {certificate.arn}"
        if certificate.type == "IMPORTED"
        else "Request another one, and give it to the listeners.",
        since=certificate.not_after if is_over else None,
    )
