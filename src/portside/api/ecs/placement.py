"""Where a task or service is to run: launch type, capacity providers, platform version.

Only Fargate has capacity so far.
"""

from typing import Literal, NamedTuple

from portside.api.ecs import wire
from portside.api.ecs.error import invalid
from portside.api.ecs.field import is_asked_for
from portside.aws.service import Params
from portside.domain import cluster_rule, fargate
from portside.domain.cluster import CapacityProviderShare, Cluster
from portside.domain.fargate import unsupported
from portside.domain.task_definition import TaskDefinition


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
        if share.capacity_provider not in cluster.capacity_providers and (
            share.capacity_provider not in fargate.CAPACITY_PROVIDERS
        ):
            raise invalid(f"The specified capacity provider '{share.capacity_provider}' was not found.")
    if not strategy:
        strategy = cluster.default_capacity_provider_strategy
    if not strategy:
        return Launch("EC2")
    cluster_rule.check_shares(strategy)
    if not any(share.weight or share.base for share in strategy):
        raise invalid("The capacity provider strategy must have at least one capacity provider with a weight above 0.")
    for share in strategy:
        if share.capacity_provider != "FARGATE":
            raise unsupported(f"capacity provider {share.capacity_provider}")
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
    if is_asked_for(params.get("placementConstraints")):
        raise invalid("Placement constraints are not supported with FARGATE launch type.")
    if is_asked_for(params.get("placementStrategy")):
        raise invalid("Placement strategies are not supported with FARGATE launch type.")
    return fargate.platform_version(params.get("platformVersion"))
