"""The documents of the endpoint, versions 3 and 4, from a task's record.

Source: ECS developer guide, "Amazon ECS task metadata endpoint version 4 for tasks on Fargate" (and version 3), with
their examples of answers.
"""

import ipaddress
from datetime import datetime
from typing import Any

from portside.domain import arn
from portside.domain.task.record import ContainerHistory, HealthStatus, Task, TaskStatus
from portside.domain.task_definition import ContainerDefinition

Document = dict[str, Any]

_MIB = 1024**2
_LEAST_CPU_UNITS = 2


def container_document(task: Task, history: ContainerHistory, *, version: int) -> Document:
    """What the endpoint says of one container."""
    definition = next(each for each in task.containers if each.name == history.name)
    document: Document = {
        "DockerId": history.runtime_id,
        "Name": definition.name,
        "DockerName": definition.name,
        "Image": definition.image,
        "ImageID": history.image_digest or "",
        "Labels": _labels(task, definition),
        "DesiredStatus": task.desired_status.name,
        "KnownStatus": _known_status(task, history),
        "Limits": _limits(task, history, definition),
        "Type": "NORMAL",
    }
    if definition.port_mappings:
        document["Ports"] = _ports(task, definition)
    ended = history.exit or history.down
    for member, at in (
        ("CreatedAt", history.start_issued_at),
        ("StartedAt", history.restarted_at or history.started_at),
        ("FinishedAt", ended.at if ended is not None else None),
    ):
        if at is not None:
            document[member] = _time(at)
    if ended is not None and ended.code is not None:
        document["ExitCode"] = ended.code
    if definition.health_check is not None:
        document["Health"] = {"status": history.health.name if history.health else HealthStatus.UNKNOWN.name}
    document["Networks"] = _networks(task, definition.name, version=version)
    if version >= 4:
        document["ContainerARN"] = arn.container(
            task.scope, task.cluster, task.id, arn.container_id(task.id, definition.name)
        )
        if definition.restart_policy is not None and definition.restart_policy.enabled:
            document["RestartCount"] = history.restarts
        if definition.log is not None:
            document["LogDriver"] = definition.log.driver
            document["LogOptions"] = _log_options(task, definition)
        document["Snapshotter"] = "overlayfs"
    return document


def task_document(
    task: Task, *, version: int, storage: tuple[int, int] | None = None, with_tags: bool = False
) -> Document:
    """What the endpoint says of the task.

    Args:
        storage: bytes that its containers have written, and how many they may.
    """
    cluster = arn.cluster(task.scope, task.cluster) if version >= 4 else task.cluster
    document: Document = {
        "Cluster": cluster,
        "TaskARN": arn.task(task.scope, task.cluster, task.id),
        "Family": task.family,
        "Revision": str(task.revision),
        "DesiredStatus": task.desired_status.name,
        "KnownStatus": task.last_status.name,
        "Containers": [container_document(task, each, version=version) for each in task.history],
    }
    if task.cpu_units or task.memory_mib:
        document["Limits"] = {"CPU": (task.cpu_units or 0) / 1024, "Memory": task.memory_mib or 0}
    for member, at in (
        ("PullStartedAt", task.pull_started_at),
        ("PullStoppedAt", task.pull_stopped_at),
        ("ExecutionStoppedAt", task.execution_stopped_at),
    ):
        if at is not None:
            document[member] = _time(at)
    if task.placement is not None:
        document["AvailabilityZone"] = task.placement.zone
    elif task.eni is not None:
        document["AvailabilityZone"] = task.eni.zone
    if version >= 4:
        document["LaunchType"] = task.launch_type
        if task.service is not None:
            document["ServiceName"] = task.service
        if task.placement is not None:
            document["VPCID"] = task.placement.vpc_id
        if storage is not None:
            document["EphemeralStorageMetrics"] = {"Utilized": storage[0] // _MIB, "Reserved": storage[1] // _MIB}
        document["FaultInjectionEnabled"] = False
    if with_tags:
        document["TaskTags"] = {each.key: each.value for each in task.tags}
    return document


def _ports(task: Task, definition: ContainerDefinition) -> list[Document]:
    if task.placement is not None and task.placement.bindings:
        return [
            {
                "ContainerPort": each.container_port + offset,
                "Protocol": each.protocol,
                "HostPort": port,
                "HostIp": "0.0.0.0",
            }
            for each in task.placement.bindings
            if each.container == definition.name
            for offset, port in enumerate(each.host_ports)
        ]
    return [
        {"ContainerPort": each.container_port, "Protocol": each.protocol, "HostPort": each.host_port or 0}
        for each in definition.port_mappings
    ]


def _limits(task: Task, history: ContainerHistory, definition: ContainerDefinition) -> dict[str, int]:
    """As AWS has been seen to answer: the least share that the kernel knows, once there is a container; on Fargate no
    memory where the container has no limit of its own."""
    least = _LEAST_CPU_UNITS if history.start_issued_at is not None else 0
    limits = {"CPU": max(definition.cpu_units, least)}
    if definition.memory_mib or task.launch_type != "FARGATE":
        limits["Memory"] = definition.memory_mib or 0
    return limits


def _log_options(task: Task, definition: ContainerDefinition) -> dict[str, str]:
    """With the stream's name in place of its prefix."""
    options = dict(definition.log.options) if definition.log is not None else {}
    prefix = options.pop("awslogs-stream-prefix", None)
    if prefix is not None:
        options["awslogs-stream"] = f"{prefix}/{definition.name}/{task.id}"
    return options


def _labels(task: Task, definition: ContainerDefinition) -> dict[str, str]:
    return {
        **definition.docker_labels,
        "com.amazonaws.ecs.cluster": arn.cluster(task.scope, task.cluster),
        "com.amazonaws.ecs.container-name": definition.name,
        "com.amazonaws.ecs.task-arn": arn.task(task.scope, task.cluster, task.id),
        "com.amazonaws.ecs.task-definition-family": task.family,
        "com.amazonaws.ecs.task-definition-version": str(task.revision),
    }


def _networks(task: Task, name: str, *, version: int) -> list[Document]:
    """Args: name: the container's."""
    eni = task.eni
    if eni is None:
        if task.placement is None or task.network_mode == "none":
            return []
        addresses = [each.address for each in task.placement.endpoints if each.container == name]
        return [{"NetworkMode": task.network_mode, "IPv4Addresses": addresses}]
    network: Document = {"NetworkMode": task.network_mode, "IPv4Addresses": [eni.address]}
    if version >= 4:
        subnet = ipaddress.ip_network(f"{eni.address}/{eni.prefix_length}", strict=False)
        domain = eni.private_dns_name.partition(".")[2]
        network |= {
            "AttachmentIndex": 0,
            "MACAddress": eni.mac_address,
            "IPv4SubnetCIDRBlock": str(subnet),
            "DomainNameServers": ["169.254.169.253"],
            "DomainNameSearchList": [domain] if domain else [],
            "PrivateDNSName": eni.private_dns_name,
            "SubnetGatewayIpv4Address": f"{eni.gateway}/{eni.prefix_length}",
        }
    return [network]


def _known_status(task: Task, history: ContainerHistory) -> str:
    if history.exit is not None or task.last_status is TaskStatus.STOPPED:
        return "STOPPED"
    if history.started_at is not None:
        return "RUNNING"
    return "PULLED" if history.pulled_at is not None else "NONE"


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
