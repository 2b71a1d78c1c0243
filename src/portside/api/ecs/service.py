"""Amazon ECS as the gateway serves it: every implemented operation in one visible list."""

from secrets import token_bytes
from typing import Final

from portside.api.ecs.account_setting import AccountSettings
from portside.api.ecs.capacity_provider import CapacityProviders
from portside.api.ecs.cluster import Clusters
from portside.api.ecs.container_instance import ContainerInstances
from portside.api.ecs.error import mapped
from portside.api.ecs.execute_command import ExecSessions, ExecuteCommand
from portside.api.ecs.field import member_table
from portside.api.ecs.placement import ClusterCapacities
from portside.api.ecs.scheduled_service import Services
from portside.api.ecs.service_deployment import ServiceDeployments
from portside.api.ecs.tag import TagsOfResources
from portside.api.ecs.task import Tasks
from portside.api.ecs.task_definition import TaskDefinitions
from portside.api.ecs.task_protection import TaskProtections
from portside.aws.service import Service
from portside.domain.clock import Clock, Ids
from portside.domain.instance_identity import InstanceIdentities
from portside.store.interface import Store

SETTINGS: Final = (
    "containerInsights is what new clusters get; short ARNs, FIPS mode and event windows are refused; "
    "defaultLogDriverMode is what tasks get; the others are kept and have nothing to act on yet"
)

PARTIAL: Final = {
    "CreateCluster": "ECS Exec settings are kept and shown; "
    "no Service Connect defaults, no managed storage keys, no Auto Scaling group capacity providers",
    "UpdateCluster": "as CreateCluster",
    "PutClusterCapacityProviders": "FARGATE and FARGATE_SPOT",
    "DescribeCapacityProviders": "FARGATE and FARGATE_SPOT",
    "RegisterTaskDefinition": "see the members below",
    "RunTask": "no capacity providers but FARGATE and FARGATE_SPOT; see the members below",
    "ListContainerInstances": "filter: in patterns no repeated groups and no lookaround",
    "RegisterContainerInstance": "by an instance of Portside's own, which registers itself when it starts",
    "DescribeContainerInstances": "no health of instances",
    "DeregisterContainerInstance": "forced, it ends the tasks on the instance",
    "ExecuteCommand": "sessions are neither logged nor encrypted by a KMS key, "
    "whatever the cluster's configuration says",
    "ListTasks": "there are no daemons to filter by",
    "CreateService": "rolling updates with the circuit breaker and alarms; no Service Connect",
    "UpdateService": "as CreateService",
    "UpdateTaskProtection": "no DEPLOYMENT_BLOCKED failure",
    "PutAccountSetting": SETTINGS,
    "PutAccountSettingDefault": SETTINGS,
    "TagResource": "clusters, services, tasks, task definitions, container instances",
}
"""What is not there yet, for the coverage page."""


def ecs_service(
    store: Store,
    clock: Clock,
    ids: Ids,
    sessions: ExecSessions | None = None,
    identities: InstanceIdentities | None = None,
    capacities: ClusterCapacities | None = None,
) -> Service:
    """The service for the gateway. Operations that are not in its list are not implemented.

    Args:
        capacities: where container instances are followed.
        identities: who has signed the documents of instances; without it nobody has.
    """
    identities = identities or InstanceIdentities(token_bytes(32))
    handlers = {
        **Clusters(store, clock).handlers(),
        **CapacityProviders(store, clock).handlers(),
        **TaskDefinitions(store, clock).handlers(),
        **Tasks(store, clock, ids, capacities).handlers(),
        **ExecuteCommand(store, clock, sessions or ExecSessions(clock)).handlers(),
        **Services(store, clock, ids).handlers(),
        **ServiceDeployments(store, clock, ids).handlers(),
        **TaskProtections(store, clock).handlers(),
        **ContainerInstances(store, clock, ids, identities).handlers(),
        **AccountSettings(store).handlers(),
        **TagsOfResources(store, clock).handlers(),
    }
    return Service(
        name="ecs",
        handlers={operation: mapped(operation, handler) for operation, handler in handlers.items()},
        partial=PARTIAL,
        notes=member_table(),
    )
