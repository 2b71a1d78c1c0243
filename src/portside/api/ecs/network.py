"""The network configuration of tasks and services, checked against the subnets and security groups that exist."""

from typing import Final

from portside.api.ecs import wire
from portside.api.ecs.error import invalid
from portside.aws.service import Params, RequestContext
from portside.domain.record import replace
from portside.domain.table import SECURITY_GROUP, SUBNET
from portside.domain.task.record import NetworkRequest
from portside.domain.task_definition import NetworkMode
from portside.store.interface import Store

SUBNETS_MOST: Final = 16
SECURITY_GROUPS_MOST: Final = 5
"""API_AwsVpcConfiguration."""


def checked_network(
    store: Store, context: RequestContext, params: Params, network_mode: NetworkMode
) -> NetworkRequest | None:
    """The request that `networkConfiguration` makes, with the VPC's default security group where it names none.

    Raises:
        ServiceError: InvalidParameterException, in ECS's words.
    """
    network = wire.network_from(params.get("networkConfiguration"))
    if network_mode != "awsvpc":
        if network is not None:
            raise invalid("Network Configuration is not valid for the given networkMode of this task definition.")
        return None
    if network is None:
        raise invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    vpc_id = _vpc_of_subnets(store, context, network.subnet_ids)
    if network.security_group_ids:
        _check_security_groups(store, context, network.security_group_ids, vpc_id)
        return network
    default = tuple(
        group.id
        for group in store.find(SECURITY_GROUP, "vpc", vpc_id)
        if group.name == "default" and group.scope.prefix == context.prefix
    )
    return replace(network, security_group_ids=default, default_security_group=True)


def _vpc_of_subnets(store: Store, context: RequestContext, subnet_ids: tuple[str, ...]) -> str:
    if not subnet_ids:
        raise invalid("subnets can not be empty.")
    if len(subnet_ids) > SUBNETS_MOST:
        raise invalid(f"subnets can have at most {SUBNETS_MOST} items.")
    vpc_ids: dict[str, None] = {}
    for subnet_id in subnet_ids:
        if not subnet_id.strip():
            raise invalid("subnet cannot be blank.")
        subnet = store.get(SUBNET, context.prefix + subnet_id)
        if subnet is None:
            raise invalid(
                f"Error retrieving subnet information for [{', '.join(subnet_ids)}]: "
                f"The subnet ID '{subnet_id}' does not exist (ErrorCode: InvalidSubnetID.NotFound)"
            )
        vpc_ids[subnet.vpc_id] = None
    if len(vpc_ids) > 1:
        raise invalid(f"The subnets belong to more than one VPC: {', '.join(vpc_ids)}.")
    return next(iter(vpc_ids))


def _check_security_groups(store: Store, context: RequestContext, group_ids: tuple[str, ...], vpc_id: str) -> None:
    if len(group_ids) > SECURITY_GROUPS_MOST:
        raise invalid(f"securityGroups can have at most {SECURITY_GROUPS_MOST} items.")
    for group_id in group_ids:
        if not group_id.strip():
            raise invalid("security group cannot be blank.")
        group = store.get(SECURITY_GROUP, context.prefix + group_id)
        if group is None:
            raise invalid(
                f"Error retrieving security group information for [{', '.join(group_ids)}]: "
                f"The security group '{group_id}' does not exist (ErrorCode: InvalidGroup.NotFound)"
            )
        if group.vpc_id != vpc_id:
            raise invalid(f"Security group {group_id} does not appear to belong to the same VPC as the input subnets.")
