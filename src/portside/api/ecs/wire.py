"""Between ECS's wire shapes and the domain's records: plain functions, both ways. No decision is made here.

Answers are built as plain dicts by hand: DescribeTasks and RegisterTaskDefinition are what clients call most.
"""

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from portside.domain import arn, cluster_query
from portside.domain.cluster import CapacityProviderShare, Cluster, Setting
from portside.domain.managed_volume import ManagedVolume
from portside.domain.record import Tag, Tags
from portside.domain.service.record import CircuitBreaker, Deployment, DeploymentAlarms, Service
from portside.domain.service.rollout import ServiceRevision, revision_id
from portside.domain.task import health
from portside.domain.task.record import (
    ContainerHistory,
    HealthStatus,
    NetworkRequest,
    PortBinding,
    RegistryRef,
    TargetRef,
    Task,
    TaskStatus,
)
from portside.domain.task_definition import ContainerDefinition

Wire = dict[str, Any]
"""One AWS structure, by its member names."""
FromWire = Mapping[str, Any]

# --- small things -----------------------------------------------------------------------------------------------------


def tags_from(items: Iterable[FromWire] | None) -> Tags:
    return tuple(Tag(key=item.get("key") or "", value=item.get("value") or "") for item in items or ())


def tags_to(tags: Tags) -> list[Wire]:
    return [{"key": tag.key, "value": tag.value} for tag in tags]


def shares_from(items: Iterable[FromWire] | None) -> tuple[CapacityProviderShare, ...]:
    return tuple(
        CapacityProviderShare(
            capacity_provider=item["capacityProvider"], weight=item.get("weight") or 0, base=item.get("base") or 0
        )
        for item in items or ()
    )


def shares_to(shares: Iterable[CapacityProviderShare]) -> list[Wire]:
    return [
        {"capacityProvider": share.capacity_provider, "weight": share.weight, "base": share.base} for share in shares
    ]


def network_from(configuration: FromWire | None) -> NetworkRequest | None:
    """None where no awsvpcConfiguration was given."""
    awsvpc = (configuration or {}).get("awsvpcConfiguration")
    if not awsvpc:
        return None
    return NetworkRequest(
        subnet_ids=tuple(awsvpc.get("subnets") or ()),
        security_group_ids=tuple(awsvpc.get("securityGroups") or ()),
        assign_public_ip=awsvpc.get("assignPublicIp") == "ENABLED",
    )


def network_to(network: NetworkRequest) -> Wire:
    return {
        "awsvpcConfiguration": {
            "subnets": list(network.subnet_ids),
            "securityGroups": [] if network.default_security_group else list(network.security_group_ids),
            "assignPublicIp": "ENABLED" if network.assign_public_ip else "DISABLED",
        }
    }


def failure(resource_arn: str, reason: str = "MISSING") -> Wire:
    return {"arn": resource_arn, "reason": reason}


# --- clusters ---------------------------------------------------------------------------------------------------------


def settings_from(items: Iterable[FromWire] | None) -> tuple[Setting, ...]:
    return tuple(Setting(name=item.get("name") or "", value=item.get("value") or "") for item in items or ())


def cluster_to(
    cluster: Cluster,
    *,
    running: int = 0,
    pending: int = 0,
    services: int = 0,
    instances: int = 0,
    include: frozenset[str] = frozenset(),
) -> Wire:
    """
    Args:
        include: of SETTINGS, TAGS, CONFIGURATIONS, ATTACHMENTS; statistics are the caller's to add.
    """
    wire: Wire = {
        "clusterArn": arn.cluster(cluster.scope, cluster.name),
        "clusterName": cluster.name,
        "status": cluster.status,
        "registeredContainerInstancesCount": instances,
        "runningTasksCount": running,
        "pendingTasksCount": pending,
        "activeServicesCount": services,
        "statistics": [],
        "tags": tags_to(cluster.tags) if "TAGS" in include else [],
        "settings": [{"name": each.name, "value": each.value} for each in cluster.settings]
        if "SETTINGS" in include
        else [],
        "capacityProviders": list(cluster.capacity_providers),
        "defaultCapacityProviderStrategy": shares_to(cluster.default_capacity_provider_strategy),
    }
    if "ATTACHMENTS" in include:
        wire["attachments"] = []
    if "CONFIGURATIONS" in include and cluster.configuration_json is not None:
        wire["configuration"] = json.loads(cluster.configuration_json)
    return wire


# --- tasks ------------------------------------------------------------------------------------------------------------


_UNATTACHED: Final = ("PRECREATED", "ElasticNetworkInterface")


_ATTRIBUTES: Final = (
    {
        "name": "ecs.cpu-architecture",
        "value": {"aarch64": "arm64"}.get(platform.machine(), platform.machine()),
    },
)
"""Of every task: the machine it runs on, in AWS's words."""


def task_to(task: Task) -> Wire:
    """As DescribeTasks shows it, without tags."""
    scope, cluster = task.scope, task.cluster
    task_arn = arn.task(scope, cluster, task.id)
    status = task.last_status
    wire: Wire = {
        "attachments": _attachments_to(task),
        "attributes": list(_ATTRIBUTES),
        "clusterArn": arn.cluster(scope, cluster),
        "containers": _containers_to(task, task_arn),
        "createdAt": task.created_at,
        "desiredStatus": task.desired_status.name,
        "enableExecuteCommand": task.enable_execute_command,
        "group": task.group,
        "healthStatus": health.of_task(task).value,
        "lastStatus": status.name,
        "launchType": task.launch_type,
        "overrides": _overrides_to(task),
        "tags": [],
        "taskArn": task_arn,
        "taskDefinitionArn": task.task_definition_arn,
        "version": task.version,
    }
    if task.placement is not None:
        wire["availabilityZone"] = task.placement.zone
        wire["containerInstanceArn"] = arn.container_instance(scope, cluster, task.placement.container_instance)
    elif task.eni is not None:
        wire["availabilityZone"] = task.eni.zone
    if task.capacity_provider is not None:
        wire["capacityProviderName"] = task.capacity_provider
    if task.cpu_units is not None:
        wire["cpu"] = str(task.cpu_units)
    if task.memory_mib is not None:
        wire["memory"] = str(task.memory_mib)
    if task.launch_type == "FARGATE":
        wire["platformVersion"] = task.platform_version
        wire["platformFamily"] = "Linux"
        wire["ephemeralStorage"] = {"sizeInGiB": task.ephemeral_storage_gib}
        wire["fargateEphemeralStorage"] = {"sizeInGiB": task.ephemeral_storage_gib}
    if task.started_by is not None:
        wire["startedBy"] = task.started_by
    if task.stop is not None:
        wire["stopCode"] = task.stop.code.value
        wire["stoppedReason"] = task.stop.reason
    for member, at in (
        ("pullStartedAt", task.pull_started_at),
        ("pullStoppedAt", task.pull_stopped_at),
        ("startedAt", task.started_at),
        ("stoppingAt", task.stopping_at),
        ("executionStoppedAt", task.execution_stopped_at),
        ("stoppedAt", task.stopped_at),
    ):
        if at is not None:
            wire[member] = at
    if task.connectivity_at is not None:
        wire["connectivity"] = "CONNECTED"
        wire["connectivityAt"] = task.connectivity_at
    return wire


def _attachments_to(task: Task) -> list[Wire]:
    attachments = [_attachment_to(task)] if task.network_mode == "awsvpc" else []
    if task.managed_volume is not None:
        attachments.append(_ebs_attachment_to(task, task.managed_volume))
    return attachments


def _ebs_attachment_to(task: Task, asked: ManagedVolume) -> Wire:
    """The volume of EBS. Source: API_Attachment."""
    if task.ebs_released_at is not None or task.last_status is TaskStatus.STOPPED:
        status = "DELETED"
    elif task.ebs_failure:
        status = "FAILED"
    elif task.ebs_detached_at is not None:
        status = "DETACHED"
    elif task.ebs_attached_at is not None:
        status = "ATTACHED"
    elif task.ebs_attach_issued_at is not None:
        status = "ATTACHING"
    else:
        status = "CREATED" if task.ebs is not None else "PRECREATED"
    details = {
        "roleArn": asked.role_arn,
        "volumeName": asked.volume,
        "deleteOnTermination": "true" if asked.delete_on_termination else "false",
    }
    if task.ebs is not None:
        details["volumeId"] = task.ebs.volume_id
    if task.ebs_failure:
        details["statusReason"] = task.ebs_failure
    return {
        "id": task.ebs_attachment_id,
        "type": "AmazonElasticBlockStorage",
        "status": status,
        "details": [{"name": name, "value": value} for name, value in details.items()],
    }


def _attachment_to(task: Task) -> Wire:
    """The ENI, with the statuses AWS gives it; its type changes its name once it is deleted (as recorded from AWS)."""
    eni = task.eni
    if task.eni_released_at is not None or task.last_status is TaskStatus.STOPPED:
        status, kind = "DELETED", "eni"
    elif eni is None:
        status, kind = _UNATTACHED
    elif task.network_released_at is not None:
        status, kind = "DETACHED", "ElasticNetworkInterface"
    elif task.network_ready_at is not None:
        status, kind = "ATTACHED", "ElasticNetworkInterface"
    else:
        status, kind = "ATTACHING", "ElasticNetworkInterface"
    if eni is not None:
        details = [
            {"name": "subnetId", "value": eni.subnet_id},
            {"name": "networkInterfaceId", "value": eni.eni_id},
            {"name": "macAddress", "value": eni.mac_address},
            {"name": "privateDnsName", "value": eni.private_dns_name},
            {"name": "privateIPv4Address", "value": eni.address},
        ]
    elif task.network is not None and task.network.subnet_ids:
        details = [{"name": "subnetId", "value": task.network.subnet_ids[0]}]
    else:
        details = []
    return {"id": task.attachment_id, "type": kind, "status": status, "details": details}


def _containers_to(task: Task, task_arn: str) -> list[Wire]:
    history = {each.name: each for each in task.history}
    interfaces = (
        [{"attachmentId": task.attachment_id, "privateIpv4Address": task.eni.address}] if task.eni is not None else []
    )
    return [_task_container_to(task, task_arn, each, history.get(each.name), interfaces) for each in task.containers]


def _task_container_to(
    task: Task, task_arn: str, definition: ContainerDefinition, known: ContainerHistory | None, interfaces: list[Wire]
) -> Wire:
    wire: Wire = {
        "containerArn": arn.container(task.scope, task.cluster, task.id, arn.container_id(task.id, definition.name)),
        "taskArn": task_arn,
        "name": definition.name,
        "image": definition.image,
        "lastStatus": _container_status(task, known),
        "networkBindings": [],
        "networkInterfaces": interfaces,
        "healthStatus": (known.health if known is not None else HealthStatus.UNKNOWN).value,
        "cpu": str(definition.cpu_units),
    }
    if definition.memory_mib is not None:
        wire["memory"] = str(definition.memory_mib)
    if definition.memory_reservation_mib is not None:
        wire["memoryReservation"] = str(definition.memory_reservation_mib)
    if known is not None:
        if known.image_digest is not None:
            wire["imageDigest"] = known.image_digest
        if known.started_at is not None:
            wire["runtimeId"] = known.runtime_id
            wire["networkBindings"] = _bindings_to(task, definition.name)
        if task.enable_execute_command:
            wire["managedAgents"] = [_agent_to(wire["lastStatus"], known)]
        if known.exit is not None:
            if known.exit.code is not None:
                wire["exitCode"] = known.exit.code
            if known.exit.reason is not None:
                wire["reason"] = known.exit.reason
    return wire


def _bindings_to(task: Task, container: str) -> list[Wire]:
    return [
        {"bindIP": "0.0.0.0", **_bound_ports_to(each), "protocol": each.protocol}
        for each in (task.placement.bindings if task.placement is not None else ())
        if each.container == container
    ]


def _bound_ports_to(binding: PortBinding) -> Wire:
    if binding.count is None:
        return {"containerPort": binding.container_port, "hostPort": binding.host_port}
    last = binding.container_port + binding.count - 1
    return {
        "containerPortRange": f"{binding.container_port}-{last}",
        "hostPortRange": f"{binding.host_port}-{binding.host_ports[-1]}",
    }


def _agent_to(status: str, known: ContainerHistory) -> Wire:
    """ECS Exec's agent, which is as its container is: Portside itself stands in for it."""
    agent: Wire = {"name": "ExecuteCommandAgent", "lastStatus": status}
    if known.started_at is not None:
        agent["lastStartedAt"] = known.started_at
    return agent


def _container_status(task: Task, known: ContainerHistory | None) -> str:
    if task.last_status is TaskStatus.STOPPED or (known is not None and known.exit is not None):
        return "STOPPED"
    return "RUNNING" if known is not None and known.started_at is not None else "PENDING"


def _overrides_to(task: Task) -> Wire:
    """As given, with an entry for every container and no empty members left out that AWS shows."""
    if task.overrides_json == "{}":
        return {
            "containerOverrides": [{"name": each.name} for each in task.containers],
            "inferenceAcceleratorOverrides": [],
        }
    given: Wire = json.loads(task.overrides_json)
    by_name = {each["name"]: each for each in given.get("containerOverrides") or ()}
    return {
        **given,
        "containerOverrides": [by_name.get(each.name, {"name": each.name}) for each in task.containers],
        "inferenceAcceleratorOverrides": [],
    }


def expressions_from(constraints: Iterable[FromWire]) -> tuple[str, ...]:
    """
    Raises:
        Refused: one that is none.
    """
    found = tuple(each.get("expression") or "" for each in constraints if each.get("type") == "memberOf")
    for each in found:
        cluster_query.parsed(each)
    return found


def constraints_to(expressions: Iterable[str]) -> list[Wire]:
    """Placement constraints of type memberOf."""
    return [{"type": "memberOf", "expression": each} for each in expressions]


# --- services ---------------------------------------------------------------------------------------------------------


def target_from(item: FromWire) -> TargetRef:
    return TargetRef(
        target_group_arn=item.get("targetGroupArn") or "",
        load_balancer_name=item.get("loadBalancerName") or "",
        container_name=item["containerName"],
        container_port=item["containerPort"],
    )


def registry_to(ref: RegistryRef) -> Wire:
    members = {"port": ref.port, "containerName": ref.container_name, "containerPort": ref.container_port}
    return {"registryArn": ref.registry_arn} | {name: each for name, each in members.items() if each is not None}


def volume_configurations_to(volume: ManagedVolume | None) -> list[Wire]:
    """As a deployment and a service revision show it."""
    if volume is None:
        return []
    members: Wire = {
        "encrypted": volume.is_encrypted,
        "kmsKeyId": volume.kms_key_id or None,
        "volumeType": volume.type,
        "sizeInGiB": volume.size_gib,
        "snapshotId": volume.snapshot_id or None,
        "iops": volume.iops,
        "throughput": volume.throughput,
        "roleArn": volume.role_arn,
        "filesystemType": volume.file_system,
        "volumeInitializationRate": volume.initialization_rate,
    }
    if volume.tags or volume.propagate_tags != "NONE":
        specification: Wire = {"resourceType": "volume", "tags": tags_to(volume.tags)}
        if volume.propagate_tags != "NONE":
            specification["propagateTags"] = volume.propagate_tags
        members["tagSpecifications"] = [specification]
    return [
        {
            "name": volume.volume,
            "managedEBSVolume": {name: value for name, value in members.items() if value is not None},
        }
    ]


def service_to(service: Service, tasks: Sequence[Task], *, with_tags: bool) -> Wire:
    """As DescribeServices shows it.

    Args:
        tasks: the service's tasks; stopped ones do not count.
    """
    primary = next((each for each in service.deployments if each.status == "PRIMARY"), None)
    counts = counts_of(tasks)
    running = sum(count[0] for count in counts.values())
    pending = sum(count[1] for count in counts.values())
    wire: Wire = {
        "serviceArn": arn.service(service.scope, service.cluster, service.name),
        "serviceName": service.name,
        "clusterArn": arn.cluster(service.scope, service.cluster),
        "loadBalancers": [_target_to(each) for each in primary.targets] if primary is not None else [],
        "serviceRegistries": [registry_to(each) for each in primary.registries] if primary is not None else [],
        "status": service.status,
        "desiredCount": service.desired_count,
        "runningCount": running,
        "pendingCount": pending,
        "deploymentConfiguration": deployment_configuration_to(
            service.breaker,
            service.alarms,
            minimum=service.minimum_healthy_percent,
            maximum=service.maximum_percent,
        ),
        "deployments": [_deployment_to(each, service, counts) for each in service.deployments],
        "events": [{"id": each.id, "createdAt": each.at, "message": each.message} for each in service.events],
        "createdAt": service.created_at,
        "placementConstraints": [
            *([{"type": "distinctInstance"}] if service.placement_constraints.distinct else []),
            *constraints_to(service.placement_constraints.expressions),
        ],
        "placementStrategy": [
            {"type": each.type, "field": each.field.upper() if each.type == "binpack" else each.field}
            if each.field
            else {"type": each.type}
            for each in service.placement_strategies
        ],
        "schedulingStrategy": service.scheduling_strategy,
        "deploymentController": {"type": "ECS"},
        "createdBy": service.created_by,
        "enableECSManagedTags": service.enable_ecs_managed_tags,
        "propagateTags": service.propagate_tags,
        "enableExecuteCommand": service.enable_execute_command,
        "availabilityZoneRebalancing": service.az_rebalancing,
    }
    if primary is not None:
        wire["taskDefinition"] = primary.task_definition_arn
        wire["currentServiceRevisions"] = [
            {
                "arn": arn.service_revision(service.scope, service.cluster, service.name, revision_id(each)),
                "requestedTaskCount": each.desired_count,
                "runningTaskCount": counts.get(each.id, (0, 0))[0],
                "pendingTaskCount": counts.get(each.id, (0, 0))[1],
            }
            for each in service.deployments
        ]
        if service.rollout_id:
            wire["currentServiceDeployment"] = arn.service_deployment(
                service.scope, service.cluster, service.name, service.rollout_id
            )
        if primary.network is not None:
            wire["networkConfiguration"] = network_to(primary.network)
        wire.update(_launch_to(primary))
        if primary.launch_type == "FARGATE":
            wire["platformVersion"] = service.platform_version
            wire["platformFamily"] = "Linux"
        if primary.targets and service.health_check_grace_period_s is None:
            wire["healthCheckGracePeriodSeconds"] = 0
    if service.health_check_grace_period_s is not None:
        wire["healthCheckGracePeriodSeconds"] = service.health_check_grace_period_s
    if service.role_arn is not None:
        wire["roleArn"] = service.role_arn
    if with_tags and service.tags:
        wire["tags"] = tags_to(service.tags)
    return wire


def deployment_configuration_to(
    breaker: CircuitBreaker, alarms: DeploymentAlarms, *, minimum: int, maximum: int
) -> Wire:
    return {
        "alarms": {"alarmNames": list(alarms.names), "rollback": alarms.rollback, "enable": alarms.enable},
        "deploymentCircuitBreaker": {
            "enable": breaker.enable,
            "rollback": breaker.rollback,
            "resetOnHealthyTask": breaker.reset_on_healthy_task,
            "thresholdConfiguration": {"type": breaker.threshold_type, "value": breaker.threshold},
        },
        "maximumPercent": maximum,
        "minimumHealthyPercent": minimum,
        "strategy": "ROLLING",
        "bakeTimeInMinutes": 0,
    }


def revision_to(revision: ServiceRevision) -> Wire:
    """As DescribeServiceRevisions shows it."""
    deployment = revision.deployment
    wire: Wire = {
        "serviceRevisionArn": arn.service_revision(revision.scope, revision.cluster, revision.service, revision.id),
        "serviceArn": arn.service(revision.scope, revision.cluster, revision.service),
        "clusterArn": arn.cluster(revision.scope, revision.cluster),
        "taskDefinition": deployment.task_definition_arn,
        "loadBalancers": [_target_to(each) for each in deployment.targets],
        "serviceRegistries": [registry_to(each) for each in deployment.registries],
        "volumeConfigurations": volume_configurations_to(deployment.managed_volume),
        "containerImages": [
            {"containerName": name, "imageDigest": digest} for name, digest in sorted(deployment.image_digests.items())
        ],
        "guardDutyEnabled": False,
        "createdAt": deployment.created_at,
    }
    wire.update(_launch_to(deployment))
    if deployment.launch_type == "FARGATE":
        wire["platformVersion"] = deployment.platform_version
        wire["platformFamily"] = "Linux"
    if deployment.network is not None:
        wire["networkConfiguration"] = network_to(deployment.network)
    return wire


def _launch_to(deployment: Deployment) -> Wire:
    if deployment.capacity_provider_strategy:
        return {"capacityProviderStrategy": shares_to(deployment.capacity_provider_strategy)}
    return {"launchType": deployment.launch_type}


def _target_to(target: TargetRef) -> Wire:
    by_name = {"loadBalancerName": target.load_balancer_name}
    return {
        **(by_name if target.load_balancer_name else {"targetGroupArn": target.target_group_arn}),
        "containerName": target.container_name,
        "containerPort": target.container_port,
    }


def counts_of(tasks: Iterable[Task]) -> dict[str | None, tuple[int, int]]:
    """Running and pending tasks by deployment."""
    counts: dict[str | None, tuple[int, int]] = {}
    for task in tasks:
        running, pending = counts.get(task.deployment_id, (0, 0))
        if task.last_status is TaskStatus.RUNNING:
            counts[task.deployment_id] = (running + 1, pending)
        elif task.last_status < TaskStatus.RUNNING:
            counts[task.deployment_id] = (running, pending + 1)
    return counts


def _deployment_to(deployment: Deployment, service: Service, counts: Mapping[str | None, tuple[int, int]]) -> Wire:
    running, pending = counts.get(deployment.id, (0, 0))
    wire: Wire = {
        "id": deployment.id,
        "status": deployment.status,
        "taskDefinition": deployment.task_definition_arn,
        "desiredCount": deployment.desired_count,
        "pendingCount": pending,
        "runningCount": running,
        "failedTasks": deployment.failed_tasks,
        "createdAt": deployment.created_at,
        "updatedAt": deployment.updated_at,
        "rolloutState": deployment.rollout_state.value,
        "rolloutStateReason": deployment.rollout_reason,
        "volumeConfigurations": volume_configurations_to(deployment.managed_volume),
        **_launch_to(deployment),
    }
    if deployment.launch_type == "FARGATE":
        wire["platformVersion"] = deployment.platform_version
        wire["platformFamily"] = "Linux"
    if deployment.network is not None:
        wire["networkConfiguration"] = network_to(deployment.network)
    return wire
