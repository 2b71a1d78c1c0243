"""What the API changes on a service: a new deployment, another count, the end. The scheduler makes it so.

Source: API_CreateService, API_UpdateService, API_DeleteService, API_DeploymentConfiguration.
"""

from datetime import datetime
from typing import Final

from portside.domain.cluster_rule import NAME
from portside.domain.record import replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.service.record import Deployment, RolloutState, Service

DESIRED_MOST: Final = 5000
"""Tasks a service may have (ECS service quotas)."""
PERCENT_MOST: Final = 10_000
GRACE_MAX_S: Final = 2_147_483_647
TARGET_GROUPS_MOST: Final = 5


def check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise _invalid(
            "Service names can have up to 255 letters (uppercase and lowercase), numbers, underscores, and hyphens.",
            "serviceName",
        )


def check_count(desired_count: int) -> None:
    if not 0 <= desired_count <= DESIRED_MOST:
        raise _invalid(f"desiredCount must be between 0 and {DESIRED_MOST}.", "desiredCount")


def check_percentages(minimum_healthy: int, maximum: int) -> None:
    """That a rolling update can move at all."""
    if not 0 <= minimum_healthy <= 100:
        raise _invalid("minimumHealthyPercent must be between 0 and 100.", "deploymentConfiguration")
    if not 100 <= maximum <= PERCENT_MOST:
        raise _invalid(f"maximumPercent must be between 100 and {PERCENT_MOST}.", "deploymentConfiguration")
    if minimum_healthy == maximum == 100:
        raise _invalid(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
            "deploymentConfiguration",
        )


def check_grace_period(period_s: int | None, *, has_targets: bool) -> None:
    if period_s is None:
        return
    if not has_targets:
        raise _invalid(
            "Health check grace period is only valid for services configured to use load balancers",
            "healthCheckGracePeriodSeconds",
        )
    if not 0 <= period_s <= GRACE_MAX_S:
        raise _invalid(
            f"healthCheckGracePeriodSeconds must be between 0 and {GRACE_MAX_S}.", "healthCheckGracePeriodSeconds"
        )


def primary(service: Service) -> Deployment | None:
    """The newest deployment; None once the service is over."""
    return next((each for each in service.deployments if each.status == "PRIMARY"), None)


def deployed(service: Service, deployment: Deployment) -> Service:
    """The service with that deployment as its PRIMARY one; those it replaces are ACTIVE until their tasks are gone.

    Its images are resolved anew, whatever those of the deployment that it was made from were."""
    begun = replace(
        deployment,
        status="PRIMARY",
        desired_count=service.desired_count,
        rollout_state=RolloutState.IN_PROGRESS,
        rollout_reason=f"ECS deployment {deployment.id} in progress.",
        failed_tasks=0,
        triggered_alarms=(),
        baking_until=None,
        image_digests={},
    )
    replaced = tuple(
        replace(each, status="ACTIVE", updated_at=begun.created_at) if each.status == "PRIMARY" else each
        for each in service.deployments
    )
    return replace(service, deployments=(begun, *replaced))


def scaled(service: Service, desired_count: int, *, now: datetime) -> Service:
    """Another count: no new deployment comes of it."""
    if desired_count == service.desired_count:
        return service
    deployments = tuple(
        replace(each, desired_count=desired_count, updated_at=now) if each.status == "PRIMARY" else each
        for each in service.deployments
    )
    return replace(service, desired_count=desired_count, deployments=deployments)


def deleted(service: Service, *, force: bool, now: datetime) -> Service:
    """DRAINING: the scheduler stops what runs, then the service is INACTIVE.

    Raises:
        Refused: tasks are desired, and it is not forced.
    """
    if service.status != "ACTIVE":
        return service
    if service.desired_count > 0 and not force and service.scheduling_strategy == "REPLICA":
        raise _invalid("The service cannot be stopped while it is scaled above 0.", "desiredCount")
    return replace(scaled(service, 0, now=now), status="DRAINING")


def _invalid(message: str, what: str) -> Refused:
    return Refused(RefusalKind.INVALID, message, what)
