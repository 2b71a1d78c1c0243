"""Where a task or service is to run: launch type, capacity providers, platform version.

On Fargate there is always room; on container instances a task is placed when it is made, or fails with the reasons.
"""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, Protocol

from portside.api.ecs import wire
from portside.api.ecs.error import invalid
from portside.api.ecs.field import is_asked_for
from portside.aws.service import Params
from portside.domain import arn, cluster_rule, fargate
from portside.domain.capacity import Capacity
from portside.domain.cluster import CapacityProviderShare, Cluster
from portside.domain.container_instance import ContainerInstance
from portside.domain.fargate import unsupported
from portside.domain.placement import Constraints, Strategy
from portside.domain.record import Scope
from portside.domain.table import CONTAINER_INSTANCE, SUBNET, TASK
from portside.domain.task.record import NetworkRequest
from portside.domain.task_definition import TaskDefinition
from portside.store.interface import Store

NO_INSTANCES: Final = "No Container Instances were found in your cluster."
NOT_ASSOCIATED: Final = (
    "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the "
    "cluster. Associate the capacity provider with the cluster and try again."
)
NO_WEIGHT: Final = (
    "There are no capacity providers with a weight value greater than zero defined in the {} capacity provider "
    "strategy. At least one capacity provider must have a weight value greater than zero specified. Update the "
    "cluster's default capacity provider strategy or specify a valid capacity provider strategy and try again."
)
"""Source: as AWS answers, reported in terraform-aws-modules/terraform-aws-ecs issue 27 (of a default strategy)."""
STRATEGIES_MOST: Final = 5
CONSTRAINTS_MOST: Final = 10
_SPREAD_FIELDS: Final = {
    "instanceid": "instanceId",
    "host": "instanceId",
    "attribute:ecs.availability-zone": "attribute:ecs.availability-zone",
}


class Launch(NamedTuple):
    """`strategy` is empty where the launch type was named (or is EC2, the default)."""

    type: Literal["FARGATE", "EC2"]
    strategy: tuple[CapacityProviderShare, ...] = ()


def asked_launch(params: Params, cluster: Cluster) -> Launch:
    """What the request, else the cluster's default strategy, else ECS's default (EC2) says.

    Raises:
        ServiceError, Refused: both are given, or something that Portside has no capacity for.
    """
    named = params.get("launchType")
    strategy = wire.shares_from(params.get("capacityProviderStrategy"))
    if named and strategy:
        raise invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again."
        )
    if named in ("FARGATE", "EC2"):
        return Launch(named)
    if named:
        raise unsupported(f"launchType {named}")
    for share in strategy:
        if share.capacity_provider not in fargate.CAPACITY_PROVIDERS:
            raise invalid(f"The specified capacity provider '{share.capacity_provider}' was not found.")
        if share.capacity_provider not in cluster.capacity_providers:
            raise invalid(NOT_ASSOCIATED)
    is_default = not strategy
    if is_default:
        strategy = cluster.default_capacity_provider_strategy
    if not strategy:
        return Launch("EC2")
    cluster_rule.check_shares(strategy)
    if not any(share.weight for share in strategy):
        raise invalid(NO_WEIGHT.format("default" if is_default else "specified"))
    return Launch("FARGATE", strategy)


def check_launch(launch: Launch, definition: TaskDefinition, params: Params) -> str:
    """The platform version that the task gets ("" on instances).

    Raises:
        ServiceError, Refused: the definition can not run so.
    """
    if launch.type not in definition.compatibilities:
        raise invalid(f"Task definition does not support launch_type {launch.type}.")
    if launch.type == "EC2":
        if params.get("platformVersion"):
            raise invalid("The platform version must be null when specifying an EC2 launch type.")
        return ""
    check_launch_members(launch.type, params)
    return fargate.platform_version(params.get("platformVersion"))


def check_launch_members(launch_type: Literal["FARGATE", "EC2"], params: Params) -> None:
    """
    Raises:
        ServiceError: Fargate's places are not for the caller to choose.
    """
    if launch_type == "FARGATE":
        if is_asked_for(params.get("placementConstraints")):
            raise invalid("Placement constraints are not supported with FARGATE launch type.")
        if is_asked_for(params.get("placementStrategy")):
            raise invalid("Placement strategies are not supported with FARGATE launch type.")


def check_on_instance(request: NetworkRequest | None) -> None:
    """
    Raises:
        ServiceError: a public address, which interfaces of tasks on instances do not get.
    """
    if request is not None and request.assign_public_ip:
        raise invalid("Assign public IP is not supported for this launch type.")


class ClusterCapacities(Protocol):
    """What is left on the instances of each cluster, kept up to date by somebody else."""

    def capacity(self, scope: Scope, cluster: str) -> Capacity: ...

    def forget(self, scope: Scope, cluster: str) -> None:
        """A task that was placed has not been made after all."""
        ...


def capacity(store: Store, cluster: Cluster, instances: Iterable[ContainerInstance]) -> Capacity:
    """These container instances of the cluster, with what is on them."""
    found = tuple(instances)
    return Capacity(
        found,
        {each.id: store.find(TASK, "placed", each.key) for each in found},
        lambda each: store.get(SUBNET, f"{cluster.scope.prefix}{each}"),
    )


def active_instances(store: Store, cluster: Cluster) -> tuple[ContainerInstance, ...]:
    """Those that tasks may be placed on.

    Raises:
        ServiceError: there is none.
    """
    prefix = f"{cluster.scope.prefix}{cluster.name}/"
    found = tuple(each for each in store.scan(CONTAINER_INSTANCE, prefix) if each.status == "ACTIVE")
    if not found:
        raise invalid(NO_INSTANCES)
    return found


def failures_to(failures: Iterable[tuple[ContainerInstance, str]]) -> list[wire.Wire]:
    return [
        wire.failure(arn.container_instance(instance.scope, instance.cluster, instance.id), reason)
        for instance, reason in failures
    ]


def asked_strategies(params: Params) -> tuple[Strategy, ...]:
    """
    Raises:
        ServiceError, Refused: a strategy that ECS or Portside does not have.
    """
    given = params.get("placementStrategy") or ()
    if len(given) > STRATEGIES_MOST:
        raise invalid(f"You can specify a maximum of {STRATEGIES_MOST} strategy rules.")
    found: list[Strategy] = []
    for each in given:
        kind, field = each.get("type"), each.get("field") or ""
        if kind == "random":
            if field:
                raise invalid("The placement strategy random takes no field.")
        elif kind == "binpack":
            if field.lower() not in ("cpu", "memory"):
                raise invalid("The placement strategy binpack takes the field cpu or memory.")
            field = field.lower()
        elif kind == "spread":
            if field.lower() in _SPREAD_FIELDS:
                field = _SPREAD_FIELDS[field.lower()]
            elif not field.startswith("attribute:") or len(field) <= len("attribute:"):
                raise invalid("The placement strategy spread takes the field instanceId, host or an attribute.")
        else:
            raise invalid(f"Unknown placement strategy: {kind}.")
        found.append(Strategy(type=kind, field=field))
    return tuple(found)


def asked_constraints(params: Params) -> Constraints:
    """
    Raises:
        ServiceError, Refused: a constraint that ECS or Portside does not have.
    """
    given = params.get("placementConstraints") or ()
    if len(given) > CONSTRAINTS_MOST:
        raise invalid(f"You can specify a maximum of {CONSTRAINTS_MOST} constraints.")
    for each in given:
        if each.get("type") == "distinctInstance":
            if each.get("expression"):
                raise invalid("The placement constraint distinctInstance takes no expression.")
        elif each.get("type") != "memberOf":
            raise invalid(f"Unknown placement constraint: {each.get('type')}.")
    return Constraints(
        expressions=wire.expressions_from(given),
        distinct=any(each.get("type") == "distinctInstance" for each in given),
    )
