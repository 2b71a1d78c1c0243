"""Service revisions and service deployments: the history of what a service was to run, and how it went.

Both are records beside the service, written in the same commit as the change they tell of. A service deployment follows
the service's record: `followed` reads off how far it is, so that the same comes out again after a crash.

Sources: API_ServiceDeployment, API_ServiceRevision, API_ServiceDeploymentCircuitBreaker.
"""

from datetime import datetime
from typing import Final, Literal

from portside.domain.record import Record, Scope, replace
from portside.domain.service import breaker
from portside.domain.service.record import CircuitBreaker, Deployment, DeploymentAlarms, RolloutState, Service

KEPT: Final = 100
"""Service deployments remembered for a service; the oldest go."""
SUPERSEDED: Final = "A new service deployment was started."

Status = Literal[
    "PENDING",
    "IN_PROGRESS",
    "SUCCESSFUL",
    "STOP_REQUESTED",
    "STOPPED",
    "ROLLBACK_REQUESTED",
    "ROLLBACK_IN_PROGRESS",
    "ROLLBACK_SUCCESSFUL",
    "ROLLBACK_FAILED",
]
_ROLLED_BACK: Final[dict[RolloutState, Status]] = {
    RolloutState.IN_PROGRESS: "ROLLBACK_IN_PROGRESS",
    RolloutState.COMPLETED: "ROLLBACK_SUCCESSFUL",
    RolloutState.FAILED: "ROLLBACK_FAILED",
}
ENDED: Final = frozenset({"SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"})


class ServiceRevision(Record, frozen=True, kw_only=True):
    """What a service was to run. `deployment`: the settings, and the image digests that its tasks resolved."""

    scope: Scope
    cluster: str
    service: str
    deployment: Deployment

    @property
    def id(self) -> str:
        return revision_id(self.deployment)


class Rollback(Record, frozen=True, kw_only=True):
    reason: str
    started_at: datetime
    revision: str


class ServiceDeployment(Record, frozen=True, kw_only=True):
    """One change from a service's revisions to another one. `target`, `sources`: ids of revisions."""

    scope: Scope
    cluster: str
    service: str
    id: str
    target: str
    sources: tuple[str, ...] = ()
    status: Status = "IN_PROGRESS"
    reason: str = ""
    minimum_healthy_percent: int
    maximum_percent: int
    breaker: CircuitBreaker
    alarms: DeploymentAlarms = DeploymentAlarms()
    triggered: tuple[str, ...] = ()  # names of the alarms that ended it
    desired_count: int
    failures: int = 0
    rollback: Rollback | None = None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None
    stopped_at: datetime | None = None


def revision_id(deployment: Deployment) -> str:
    """The number of `ecs-svc/NUMBER`."""
    return deployment.id.rpartition("/")[2]


def begun(
    service: Service, deployment_id: str, *, before: Service | None, now: datetime
) -> tuple[ServiceDeployment, ServiceRevision]:
    """What is remembered of a new PRIMARY deployment.

    Args: service: with it, and `rollout_id` set to `deployment_id`; before: without it, None for a new service."""
    primary = next(each for each in service.deployments if each.status == "PRIMARY")
    record = ServiceDeployment(
        scope=service.scope,
        cluster=service.cluster,
        service=service.name,
        id=deployment_id,
        target=revision_id(primary),
        sources=tuple(revision_id(each) for each in before.deployments) if before is not None else (),
        minimum_healthy_percent=service.minimum_healthy_percent,
        maximum_percent=service.maximum_percent,
        breaker=service.breaker,
        alarms=service.alarms,
        desired_count=service.desired_count,
        created_at=now,
        updated_at=now,
    )
    revision = ServiceRevision(
        scope=service.scope,
        cluster=service.cluster,
        service=service.name,
        deployment=primary,
    )
    return record, revision


def superseded(record: ServiceDeployment, *, now: datetime) -> ServiceDeployment:
    """The record once another one has taken its place; one that had ended stays as it is."""
    if record.status in ENDED:
        return record
    return replace(record, status="STOPPED", reason=SUPERSEDED, stopped_at=now, finished_at=now, updated_at=now)


def followed(record: ServiceDeployment, service: Service, *, now: datetime) -> ServiceDeployment:
    """The record as the service's state says that it goes. The same object if nothing changed."""
    primary = next((each for each in service.deployments if each.status == "PRIMARY"), None)
    if record.status in ENDED:
        return record
    if primary is None:  # the service is over
        return superseded(record, now=now)
    target = next((each for each in service.deployments if revision_id(each) == record.target), None)
    status, reason, rollback = record.status, record.reason, record.rollback
    if primary is target:
        if primary.rollout_state is RolloutState.COMPLETED:
            status, reason = "SUCCESSFUL", ""
        elif primary.rollout_state is RolloutState.FAILED:
            status, reason = "STOPPED", primary.rollout_reason
    else:
        if rollback is None:
            reason = target.rollout_reason if target is not None else primary.rollout_reason
            rollback = Rollback(reason=reason, started_at=now, revision=revision_id(primary))
        status = _ROLLED_BACK[primary.rollout_state]
    # A deployment that has completed forgets its failures; how many there were is worth remembering.
    failures = max(target.failed_tasks, record.failures) if target is not None else record.failures
    changed = replace(
        record,
        status=status,
        reason=reason,
        rollback=rollback,
        failures=failures,
        triggered=target.triggered_alarms if target is not None else record.triggered,
        desired_count=service.desired_count,
    )
    if changed == record:
        return record
    ended = now if status in ENDED else None
    return replace(
        changed, updated_at=now, finished_at=ended, stopped_at=now if status == "STOPPED" else record.stopped_at
    )


def alarm_status(record: ServiceDeployment) -> str:
    """API_ServiceDeploymentAlarms, `status`."""
    if not record.alarms.enable:
        return "DISABLED"
    if record.triggered:
        return "TRIGGERED"
    return "MONITORING_COMPLETE" if record.status in ENDED else "MONITORING"


def breaker_status(record: ServiceDeployment) -> str:
    """API_ServiceDeploymentCircuitBreaker, `status`."""
    if not record.breaker.enable:
        return "DISABLED"
    if record.failures >= breaker.threshold(record.breaker, record.desired_count) and record.status != "SUCCESSFUL":
        return "TRIGGERED"
    return "MONITORING_COMPLETE" if record.status in ENDED else "MONITORING"
