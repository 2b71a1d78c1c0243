"""The service: what is desired (API), its deployments and events (scheduler)."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from portside.domain.cluster import CapacityProviderShare
from portside.domain.managed_volume import ManagedVolume
from portside.domain.placement import Constraints, Strategy
from portside.domain.record import Record, Scope, Tags
from portside.domain.task.record import NetworkRequest, RegistryRef, TargetRef


class RolloutState(StrEnum):
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Deployment(Record, frozen=True, kw_only=True):
    """One rollout: a task definition with its network. `status` PRIMARY is the newest, ACTIVE the ones it replaces."""

    id: str  # ecs-svc/1234567890123456789
    status: Literal["PRIMARY", "ACTIVE", "INACTIVE"]
    task_definition_arn: str
    desired_count: int
    network: NetworkRequest | None
    launch_type: Literal["FARGATE", "EC2"]
    platform_version: str
    capacity_provider_strategy: tuple[
        CapacityProviderShare, ...
    ] = ()  # what chose the launch type, if it was not named
    targets: tuple[TargetRef, ...] = ()
    registries: tuple[RegistryRef, ...] = ()
    managed_volume: ManagedVolume | None = None  # of EBS: each task gets one
    rollout_state: RolloutState = RolloutState.IN_PROGRESS
    rollout_reason: str = ""
    failed_tasks: int = 0
    triggered_alarms: tuple[str, ...] = ()  # for which it was given up
    baking_until: datetime | None = None  # all is done, and alarms are watched so long
    image_digests: dict[str, str] = {}  # container -> digest that the deployment's first task resolved
    created_at: datetime
    updated_at: datetime


class CircuitBreaker(Record, frozen=True, kw_only=True):
    """Source: API_DeploymentCircuitBreaker."""

    enable: bool = False
    rollback: bool = False
    reset_on_healthy_task: bool = True
    threshold_type: Literal["COUNT", "BOUNDED_PERCENT", "UNBOUNDED_PERCENT"] = "BOUNDED_PERCENT"
    threshold: int = 50


class DeploymentAlarms(Record, frozen=True, kw_only=True):
    """Alarms that end a deployment under way. Source: API_DeploymentAlarms."""

    names: tuple[str, ...] = ()
    enable: bool = False
    rollback: bool = False


class ServiceEvent(Record, frozen=True, kw_only=True):
    id: str
    at: datetime
    message: str


class Service(Record, frozen=True, kw_only=True):
    # desired: written by the API
    scope: Scope
    cluster: str
    name: str
    status: Literal["ACTIVE", "DRAINING", "INACTIVE"] = "ACTIVE"
    desired_count: int
    scheduling_strategy: Literal["REPLICA", "DAEMON"] = "REPLICA"
    minimum_healthy_percent: int = 100
    maximum_percent: int = 200
    breaker: CircuitBreaker = CircuitBreaker()
    alarms: DeploymentAlarms = DeploymentAlarms()
    health_check_grace_period_s: int | None = None
    enable_execute_command: bool = False
    enable_ecs_managed_tags: bool = False
    propagate_tags: Literal["NONE", "TASK_DEFINITION", "SERVICE"] = "NONE"
    role_arn: str | None = None
    platform_version: str = "LATEST"  # as asked for; a deployment has the version it stands for
    placement_strategies: tuple[Strategy, ...] = ()  # on container instances
    placement_constraints: Constraints = Constraints()
    az_rebalancing: Literal["ENABLED", "DISABLED"] = "DISABLED"
    creation_digest: str = (
        ""  # of the parameters of CreateService, until the first update: the same again is no conflict
    )
    tags: Tags = ()
    created_at: datetime
    created_by: str
    # written by the API (a new PRIMARY) and the scheduler (progress)
    deployments: tuple[Deployment, ...] = ()
    # written by the scheduler
    events: tuple[ServiceEvent, ...] = ()  # newest first, at most 100
    last_completed: Deployment | None = None  # what a failed deployment is rolled back to, once
    rollout_id: str = ""  # of the service deployment that is under way, or was the last
    healthy: tuple[str, ...] = ()  # ids of the PRIMARY deployment's tasks that were healthy when last looked at
    steady: bool = False  # the steady-state event has been given for the present state
    watched: tuple[str, ...] = ()  # ids of tasks whose end the scheduler has not taken note of yet
    registered: tuple[str, ...] = ()  # of these, the ones reported as registered with their target groups
    rebalancing: bool = False  # tasks are moved between Availability Zones
    rebalanced: tuple[str, ...] = ()  # ids of the tasks that were started for that
    consecutive_start_failures: int = 0
    consecutive_short_lives: int = 0
    start_not_before: datetime | None = None  # throttle of failing starts
    throttled_at: datetime | None = None  # when the throttle last grew
    ended_at: datetime | None = None  # when it became INACTIVE
    throttled_deployment: str = ""  # the deployment these counts are about; another one starts afresh

    @property
    def key(self) -> str:
        return f"{self.scope.account}/{self.scope.region}/{self.cluster}/{self.name}"
