"""The deployment circuit breaker: when a deployment counts as failed, and what the service goes back to.

Sources: API_DeploymentCircuitBreaker, API_ThresholdConfiguration; ECS developer guide, "How the Amazon ECS deployment
circuit breaker detects failures".
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

from portside.domain.alarm import Alarm
from portside.domain.record import Record, replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.service import event
from portside.domain.service.record import CircuitBreaker, Deployment, DeploymentAlarms, RolloutState, Service

BOUNDS: Final = (3, 200)
"""Of a BOUNDED_PERCENT threshold."""
TASKS_FAILED: Final = "tasks failed to start."
ALARM_DETECTED: Final = "alarm detected."
NO_CANDIDATE: Final = "No rollback candidate was found to run the rollback."

ThresholdType = Literal["COUNT", "BOUNDED_PERCENT", "UNBOUNDED_PERCENT"]


class GivenUp(Record, frozen=True, kw_only=True):
    """What came of giving a deployment up."""

    service: Service
    messages: tuple[str, ...]


def check(breaker: CircuitBreaker) -> None:
    if breaker.threshold < 1 or (breaker.threshold_type == "BOUNDED_PERCENT" and breaker.threshold > 100):
        raise Refused(
            RefusalKind.INVALID,
            "The threshold of the deployment circuit breaker is not valid.",
            "deploymentConfiguration",
        )
    if breaker.rollback and not breaker.enable:
        raise Refused(
            RefusalKind.INVALID,
            "The deployment circuit breaker must be enabled to roll a deployment back.",
            "deploymentConfiguration",
        )


def threshold(breaker: CircuitBreaker, desired: int) -> int:
    """Failures at which a deployment of so many tasks is given up; percentages are rounded up."""
    if breaker.threshold_type == "COUNT":
        return breaker.threshold
    share = -(-desired * breaker.threshold // 100)
    if breaker.threshold_type == "BOUNDED_PERCENT":
        return min(max(share, BOUNDS[0]), BOUNDS[1])
    return max(share, 1)


def is_tripped(service: Service, deployment: Deployment) -> bool:
    """Whether the deployment, under way, has failed as often as the breaker lets it."""
    return (
        service.breaker.enable
        and service.status == "ACTIVE"
        and deployment.rollout_state is RolloutState.IN_PROGRESS
        and deployment.failed_tasks >= threshold(service.breaker, service.desired_count)
    )


def check_alarms(alarms: DeploymentAlarms) -> None:
    if alarms.enable and not alarms.names:
        raise Refused(
            RefusalKind.INVALID, "At least one alarm must be named to monitor deployments.", "deploymentConfiguration"
        )
    if alarms.rollback and not alarms.enable:
        raise Refused(
            RefusalKind.INVALID, "Alarms must be enabled to roll a deployment back.", "deploymentConfiguration"
        )


def triggered(service: Service, deployment: Deployment, alarms: Iterable[Alarm]) -> tuple[str, ...]:
    """Names of the alarms that went off since the deployment, under way, has begun: one that was there before may be
    what the deployment mends."""
    if not service.alarms.enable or service.status != "ACTIVE":
        return ()
    if deployment.rollout_state is not RolloutState.IN_PROGRESS:
        return ()
    return tuple(each.name for each in alarms if each.state == "ALARM" and each.transitioned_at > deployment.updated_at)


def bake_s(service: Service, alarms: Iterable[Alarm]) -> int:
    """How long a deployment that is done is still watched: as long as the slowest of the alarms needs to go off, as
    "Amazon ECS computes this time period based on the alarm configuration" (guide, "How CloudWatch alarms detect Amazon
    ECS deployment failures") does not say how. One that is in ALARM was so before, and is not watched."""
    if not service.alarms.enable:
        return 0
    return max((_period_s(each) * each.evaluation_periods for each in alarms if each.state != "ALARM"), default=0)


def _period_s(alarm: Alarm) -> int:
    """A composite alarm has none: it follows others at once."""
    if alarm.rule:
        return 0
    return max((each.period_s or 0 for each in alarm.queries), default=0) or alarm.period_s


def candidate(service: Service, failed: Deployment) -> Deployment | None:
    """What a failed deployment can be rolled back to: the last one that completed, once."""
    last = service.last_completed
    return last if last is not None and last.id != failed.id else None


def given_up(
    service: Service,
    failed: Deployment,
    *,
    by: str,
    why: str,
    roll_back: bool,
    now: datetime,
    alarms: tuple[str, ...] = (),
) -> GivenUp:
    """The service without that PRIMARY deployment's promise: it starts no more tasks, or the last completed deployment
    takes its place.

    Args:
        by: who gives it up, as the reasons begin. why: in the words of AWS's event.
        alarms: names of those that went off.
    """
    messages = [event.failed(service.name, failed.id, why)]
    back = candidate(service, failed) if roll_back else None
    reason = f"{by}: {why}" if back is not None or not roll_back else f"{by}: {why} {NO_CANDIDATE}"
    stalled = replace(
        failed, rollout_state=RolloutState.FAILED, rollout_reason=reason, triggered_alarms=alarms, updated_at=now
    )
    if back is None:
        deployments = tuple(stalled if each.id == failed.id else each for each in service.deployments)
        return GivenUp(service=replace(service, deployments=deployments, steady=False), messages=tuple(messages))
    messages.append(event.rolling_back(service.name, back.id))
    again = replace(
        back,
        status="PRIMARY",
        desired_count=service.desired_count,
        rollout_state=RolloutState.IN_PROGRESS,
        rollout_reason=f"{by}: rolling back to deploymentId {back.id}.",
        failed_tasks=0,
        baking_until=None,
        updated_at=now,
    )
    others = tuple(each for each in service.deployments if each.id not in (failed.id, back.id))
    rolled = replace(
        service,
        deployments=(again, replace(stalled, status="ACTIVE"), *others),
        last_completed=None,
        healthy=(),
        steady=False,
    )
    return GivenUp(service=rolled, messages=tuple(messages))
