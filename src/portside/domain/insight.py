"""Container Insights: the performance log events of containers, tasks, services and clusters, metrics embedded. Pure.

Sources: CloudWatch user guide, "Container Insights performance log events for Amazon ECS" (the members of each type),
"Amazon ECS Container Insights metrics" and "... with enhanced observability metrics" (names, units, dimensions).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from portside.domain.cluster import Cluster
from portside.domain.container_instance import ContainerInstance
from portside.domain.record import Record
from portside.domain.service.record import Service
from portside.domain.task.record import ContainerHistory, HealthStatus, Task, TaskStatus
from portside.domain.task_definition import ContainerDefinition
from portside.domain.usage import InterfaceUsage, Usage

NAMESPACE: Final = "ECS/ContainerInsights"
RETENTION_DAYS: Final = 1
"""Of a cluster's performance log group, where Container Insights makes it. As on AWS."""
_MIB: Final = 1024**2
_GIB: Final = 1024**3

Mode = Literal["disabled", "enabled", "enhanced"]
Event = dict[str, Any]

_TASK_METRICS: Final = (
    ("CpuUtilized", "None"),
    ("CpuReserved", "None"),
    ("MemoryUtilized", "Megabytes"),
    ("MemoryReserved", "Megabytes"),
    ("StorageReadBytes", "Bytes/Second"),
    ("StorageWriteBytes", "Bytes/Second"),
    ("NetworkRxBytes", "Bytes/Second"),
    ("NetworkTxBytes", "Bytes/Second"),
    ("EphemeralStorageReserved", "Gigabytes"),
    ("EphemeralStorageUtilized", "Gigabytes"),
)
_ENHANCED_TASK_METRICS: Final = (
    ("TaskCpuUtilization", "Percent"),
    ("TaskMemoryUtilization", "Percent"),
    ("TaskEphemeralStorageUtilization", "Percent"),
)
_CONTAINER_METRICS: Final = (
    ("ContainerCpuUtilized", "None"),
    ("ContainerCpuReserved", "None"),
    ("ContainerCpuUtilization", "Percent"),
    ("ContainerMemoryUtilized", "Megabytes"),
    ("ContainerMemoryReserved", "Megabytes"),
    ("ContainerMemoryUtilization", "Percent"),
    ("ContainerNetworkRxBytes", "Bytes/Second"),
    ("ContainerNetworkTxBytes", "Bytes/Second"),
    ("ContainerStorageReadBytes", "Bytes"),
    ("ContainerStorageWriteBytes", "Bytes"),
    ("UnHealthyContainerHealthStatus", "Count"),
)
_SERVICE_METRICS: Final = (
    "DesiredTaskCount",
    "RunningTaskCount",
    "PendingTaskCount",
    "DeploymentCount",
    "TaskSetCount",
)


class Look(Record, frozen=True, kw_only=True):
    """What a container used at one look, and at the one before it."""

    usage: Usage
    before: Usage | None = None

    @property
    def seconds(self) -> float:
        """Between the two; 0 where there is one only."""
        return (self.usage.at - self.before.at).total_seconds() if self.before is not None else 0.0

    @property
    def cpu_units(self) -> float | None:
        """Used since the look before, on average; 1024 are a processor. None after one look only."""
        if self.before is None or self.seconds <= 0:
            return None
        return max(0.0, (self.usage.cpu_ns - self.before.cpu_ns) / (self.seconds * 1e9)) * 1024

    @property
    def memory_bytes(self) -> int:
        """Held, without the file pages that the kernel drops first when memory is short."""
        memory = self.usage.memory
        return max(0, self.usage.memory_bytes - memory.get("total_inactive_file", memory.get("inactive_file", 0)))


Looks = Mapping[str, Look]
"""By the container's name; without the containers that do not run."""


def mode_of(cluster: Cluster | None) -> Mode:
    value = next((each.value for each in cluster.settings if each.name == "containerInsights"), "") if cluster else ""
    return "enhanced" if value == "enhanced" else "enabled" if value == "enabled" else "disabled"


def log_group(cluster: str) -> str:
    return f"/aws/ecs/containerinsights/{cluster}/performance"


def log_stream(task: Task) -> str:
    """Of a task's and its containers' events."""
    if task.placement is None:
        return "FargateTelemetry"
    return f"AgentTelemetry-{task.placement.container_instance}"


def reserved_cpu_units(task: Task) -> int:
    return task.cpu_units or sum(each.cpu_units for each in task.containers)


def reserved_memory_mib(task: Task) -> int:
    return task.memory_mib or sum(each.memory_reservation_mib or each.memory_mib or 0 for each in task.containers)


def of_task(task: Task, looks: Looks, ephemeral: tuple[int, int] | None, mode: Mode, *, at: datetime) -> list[Event]:
    """The task's event, and one of each of its containers that runs.

    Args:
        ephemeral: bytes that the task has written and may write; None where that is not limited.
    """
    passed = {name: traffic(task, look, len(looks)) for name, look in looks.items()}
    parts = [
        _container(task, each, looks[each.name], passed[each.name], mode, at)
        for each in task.history
        if each.name in looks
    ]
    return [_task(task, looks, passed.values(), ephemeral, mode, at), *parts]


def of_service(service: Service, tasks: Iterable[Task], *, at: datetime) -> Event:
    """
    Args:
        tasks: the service's, without those that have STOPPED.
    """
    statuses = [each.last_status for each in tasks]
    return {
        "Version": "0",
        "Type": "Service",
        "ServiceName": service.name,
        "ClusterName": service.cluster,
        "Timestamp": _ms(at),
        "DesiredTaskCount": service.desired_count,
        "RunningTaskCount": sum(each is TaskStatus.RUNNING for each in statuses),
        "PendingTaskCount": sum(each < TaskStatus.RUNNING for each in statuses),
        "DeploymentCount": sum(each.status != "INACTIVE" for each in service.deployments),
        "TaskSetCount": 0,
        "CloudWatchMetrics": _directive(
            [(name, "Count") for name in _SERVICE_METRICS], [["ServiceName", "ClusterName"]]
        ),
    }


def of_cluster(cluster: str, *, tasks: int, container_instances: int, services: int, at: datetime) -> Event:
    return {
        "Version": "0",
        "Type": "Cluster",
        "ClusterName": cluster,
        "Timestamp": _ms(at),
        "TaskCount": tasks,
        "ContainerInstanceCount": container_instances,
        "ServiceCount": services,
        "CloudWatchMetrics": _directive(
            [(name, "Count") for name in ("TaskCount", "ContainerInstanceCount", "ServiceCount")], [["ClusterName"]]
        ),
    }


_INSTANCE_METRICS: Final = (
    ("instance_cpu_limit", "None"),
    ("instance_cpu_usage_total", "None"),
    ("instance_cpu_utilization", "Percent"),
    ("instance_cpu_reserved_capacity", "Percent"),
    ("instance_filesystem_utilization", "Percent"),
    ("instance_memory_limit", "Bytes"),
    ("instance_memory_working_set", "Bytes"),
    ("instance_memory_utilization", "Percent"),
    ("instance_memory_reserved_capacity", "Percent"),
    ("instance_network_total_bytes", "Bytes/Second"),
    ("instance_number_of_running_tasks", "Count"),
)


def of_instance(
    instance: ContainerInstance, tasks: Sequence[tuple[Task, Looks]], disk_percent: float | None, *, at: datetime
) -> Event:
    """What the tasks on a container instance use and reserve of what it has registered. CPU in units; as long as there
    are no two looks, what takes them is missing.

    Args: disk_percent: how full the disk is that has the instance's files; None where that is not known.

    Source: CloudWatch user guide, "Amazon ECS Container Insights metrics", those of instances."""
    looks = [look for _, looked in tasks for look in looked.values()]
    limit_bytes = instance.memory_mib * _MIB
    held = sum(each.memory_bytes for each in looks)
    values: dict[str, float] = {
        "instance_cpu_limit": instance.cpu_units,
        "instance_cpu_reserved_capacity": _of(sum(reserved_cpu_units(each) for each, _ in tasks), instance.cpu_units),
        "instance_memory_limit": limit_bytes,
        "instance_memory_working_set": held,
        "instance_memory_utilization": _of(held, limit_bytes),
        "instance_memory_reserved_capacity": _of(
            sum(reserved_memory_mib(each) for each, _ in tasks), instance.memory_mib
        ),
        "instance_number_of_running_tasks": len(tasks),
    }
    if disk_percent is not None:
        values["instance_filesystem_utilization"] = disk_percent
    used = [each.cpu_units for each in looks if each.cpu_units is not None]
    if used or not looks:
        values["instance_cpu_usage_total"] = sum(used)
        values["instance_cpu_utilization"] = _of(sum(used), instance.cpu_units)
    passed = [traffic(task, look, len(looked)) for task, looked in tasks for look in looked.values()]
    rates = [sum(each.rates) for each in passed if each is not None and each.rates is not None]
    if rates or not looks:
        values["instance_network_total_bytes"] = sum(rates)
    return {
        "Version": "0",
        "Type": "Instance",
        "ClusterName": instance.cluster,
        "InstanceId": instance.instance_id,
        "ContainerInstanceId": instance.id,
        "InstanceType": instance.instance_type,
        "Timestamp": _ms(at),
        **values,
        "CloudWatchMetrics": _directive(
            [each for each in _INSTANCE_METRICS if each[0] in values],
            [["ClusterName"], ["ClusterName", "InstanceId", "ContainerInstanceId"]],
        ),
    }


def _of(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0


class Traffic(Record, frozen=True, kw_only=True):
    """A container's part of what passed its network. `rates`: bytes in and out a second, None after one look."""

    total: InterfaceUsage
    rates: tuple[float, float] | None


def traffic(task: Task, look: Look, containers: int) -> Traffic | None:
    """None where the container has no network of its own to be measured. Containers that share one have equal parts."""
    if task.network_mode not in ("awsvpc", "bridge"):
        return None
    return traffic_of(look, containers if task.network_mode == "awsvpc" else 1)


def traffic_of(look: Look, shared_by: int = 1) -> Traffic:
    """What passed the interfaces that a container sees, which it shares with so many."""
    total = _sum(look.usage.network.values(), shared_by)
    before = _sum(look.before.network.values(), shared_by) if look.before is not None else None
    if before is None or look.seconds <= 0:
        return Traffic(total=total, rates=None)
    rates = (
        max(0.0, (total.rx_bytes - before.rx_bytes) / look.seconds),
        max(0.0, (total.tx_bytes - before.tx_bytes) / look.seconds),
    )
    return Traffic(total=total, rates=rates)


def _sum(interfaces: Iterable[InterfaceUsage], shared_by: int) -> InterfaceUsage:
    several = list(interfaces)
    return InterfaceUsage(
        **{name: sum(getattr(each, name) for each in several) // shared_by for name in _COUNTERS.values()}
    )


_COUNTERS: Final = {
    "RxBytes": "rx_bytes",
    "RxDropped": "rx_dropped",
    "RxErrors": "rx_errors",
    "RxPackets": "rx_packets",
    "TxBytes": "tx_bytes",
    "TxDropped": "tx_dropped",
    "TxErrors": "tx_errors",
    "TxPackets": "tx_packets",
}


def _network(traffics: Iterable[Traffic | None]) -> Event:
    """The network's members of an event: bytes by the second, the others since the start."""
    several = [each for each in traffics if each is not None]
    if not several:
        return {}
    event: Event = {
        f"Network{member}": sum(getattr(each.total, name) for each in several) for member, name in _COUNTERS.items()
    }
    rates = [each.rates for each in several if each.rates is not None]
    for index, member in enumerate(("NetworkRxBytes", "NetworkTxBytes")):
        if rates:
            event[member] = round(sum(each[index] for each in rates))
        else:
            del event[member]  # no two looks yet
    return event


def _storage(looks: Iterable[Look]) -> Event:
    """Bytes since the start."""
    usages = [each.usage for each in looks]
    return {
        "StorageReadBytes": sum(each.storage_read_bytes for each in usages),
        "StorageWriteBytes": sum(each.storage_written_bytes for each in usages),
    }


def _task(
    task: Task,
    looks: Looks,
    traffics: Iterable[Traffic | None],
    ephemeral: tuple[int, int] | None,
    mode: Mode,
    at: datetime,
) -> Event:
    event = _place(task, "Task") | {
        "AccountID": task.scope.account,
        "Region": task.scope.region,
        "AvailabilityZone": _zone(task),
        "KnownStatus": task.last_status.name,
        "LaunchType": task.launch_type,
    }
    for member, moment in (
        ("PullStartedAt", task.pull_started_at),
        ("PullStoppedAt", task.pull_stopped_at),
        ("CreatedAt", task.created_at),
        ("StartedAt", task.started_at),
    ):
        if moment is not None:
            event[member] = _ms(moment)
    event["Timestamp"] = _ms(at)
    used = [units for look in looks.values() if (units := look.cpu_units) is not None]
    event |= _processor(sum(used) if used else None, reserved_cpu_units(task))
    event |= _memory(sum(each.memory_bytes for each in looks.values()), reserved_memory_mib(task))
    event |= _storage(looks.values()) | _network(traffics)
    if ephemeral is not None and task.launch_type == "FARGATE":
        written, most = ephemeral
        event["EphemeralStorageReserved"] = round(most / _GIB, 2)
        event["EphemeralStorageUtilized"] = round(written / _GIB, 2)
    metrics = list(_TASK_METRICS)
    sets = [["ClusterName"], ["ClusterName", "TaskDefinitionFamily"]]
    if task.service is not None:
        sets.append(["ClusterName", "ServiceName"])
    if mode == "enhanced":
        metrics += _ENHANCED_TASK_METRICS
        sets += [[*each, "TaskId"] for each in sets[1:]]
        event |= _percent("TaskCpuUtilization", event.get("CpuUtilized"), event.get("CpuReserved"))
        event |= _percent("TaskMemoryUtilization", event.get("MemoryUtilized"), event.get("MemoryReserved"))
        if ephemeral is not None:
            event |= _percent("TaskEphemeralStorageUtilization", *ephemeral)
    event["CloudWatchMetrics"] = _directive([each for each in metrics if each[0] in event], sets)
    return event


def _container(
    task: Task, history: ContainerHistory, look: Look, traffic: Traffic | None, mode: Mode, at: datetime
) -> Event:
    definition = next(each for each in task.containers if each.name == history.name)
    event = _place(task, "Container") | {
        "ContainerName": history.name,
        "Image": definition.image,
        "ContainerKnownStatus": "RUNNING",
        "Timestamp": _ms(at),
    }
    event |= _processor(look.cpu_units, definition.cpu_units)
    event |= _memory(look.memory_bytes, definition.memory_reservation_mib or definition.memory_mib or 0)
    event |= _storage([look]) | _network([traffic])
    metrics: list[tuple[str, str]] = []
    if definition.restart_policy is not None and definition.restart_policy.enabled:
        event["RestartCount"] = history.restarts
        metrics.append(("RestartCount", "Count"))
    if mode == "enhanced":
        event |= _of_container_alone(task, definition, history, event)
        metrics += [each for each in _CONTAINER_METRICS if each[0] in event]
    if metrics:
        event["CloudWatchMetrics"] = _directive(metrics, _container_sets(task, mode))
    return event


def _of_container_alone(
    task: Task, definition: ContainerDefinition, history: ContainerHistory, event: Mapping[str, Any]
) -> Event:
    """The members that enhanced observability adds. What a container does not reserve itself, its task does for it."""
    found: Event = {
        f"Container{name}": event[name]
        for name in (
            *("CpuUtilized", "MemoryUtilized", "NetworkRxBytes", "NetworkTxBytes"),
            *("StorageReadBytes", "StorageWriteBytes"),
        )
        if name in event
    }
    found["ContainerCpuReserved"] = float(definition.cpu_units or reserved_cpu_units(task))
    found["ContainerMemoryReserved"] = event["MemoryReserved"] or reserved_memory_mib(task)
    found |= _percent("ContainerCpuUtilization", found.get("ContainerCpuUtilized"), found.get("ContainerCpuReserved"))
    found |= _percent("ContainerMemoryUtilization", found["ContainerMemoryUtilized"], found["ContainerMemoryReserved"])
    if definition.health_check is not None:
        found["ContainerHealthStatus"] = history.health.value
        if history.health is not HealthStatus.UNKNOWN:
            found["UnHealthyContainerHealthStatus"] = int(history.health is HealthStatus.UNHEALTHY)
    return found


def _container_sets(task: Task, mode: Mode) -> list[list[str]]:
    owners = [["ClusterName", "TaskDefinitionFamily"]]
    if task.service is not None:
        owners.append(["ClusterName", "ServiceName"])
    sets = [["ClusterName"], *owners, *([*each, "ContainerName"] for each in owners)]
    if mode == "enhanced":
        sets += [[*each, "TaskId"] for each in owners]
        sets += [[*each, "TaskId", "ContainerName"] for each in owners]
    return sets


def _place(task: Task, kind: str) -> Event:
    event: Event = {
        "Version": "0",
        "Type": kind,
        "TaskId": task.id,
        "TaskDefinitionFamily": task.family,
        "TaskDefinitionRevision": str(task.revision),
    }
    if task.service is not None:
        event["ServiceName"] = task.service
    if task.placement is not None:
        event["ContainerInstanceId"] = task.placement.container_instance
        event["EC2InstanceId"] = task.placement.instance_id
    event["ClusterName"] = task.cluster
    return event


def _zone(task: Task) -> str:
    if task.placement is not None:
        return task.placement.zone
    return task.eni.zone if task.eni is not None else ""


def _processor(used: float | None, reserved: int) -> Event:
    event: Event = {"CpuReserved": float(reserved)}
    if used is not None:
        event["CpuUtilized"] = round(used, 2)
    return event


def _memory(used_bytes: int, reserved_mib: int) -> Event:
    return {"MemoryUtilized": used_bytes // _MIB, "MemoryReserved": reserved_mib}


def _percent(name: str, used: float | None, of: float | None) -> Event:
    return {name: round(100 * used / of, 2)} if used is not None and of else {}


def _directive(metrics: Sequence[tuple[str, str]], sets: Sequence[Sequence[str]]) -> list[Event]:
    return [
        {
            "Namespace": NAMESPACE,
            "Metrics": [{"Name": name, "Unit": unit} for name, unit in metrics],
            "Dimensions": [list(each) for each in sets],
        }
    ]


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
