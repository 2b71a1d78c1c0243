"""Container instances and their attributes between records and ECS's shapes."""

from collections.abc import Sequence

from portside import __version__
from portside.api.ecs.wire import Wire, tags_to
from portside.domain import arn, placement
from portside.domain.container_instance import Attribute, ContainerInstance
from portside.domain.task.record import Task, TaskStatus


def container_instance_to(instance: ContainerInstance, tasks: Sequence[Task], *, with_tags: bool) -> Wire:
    """
    Args:
        tasks: those on the instance that have not STOPPED.
    """
    left = placement.room(instance, tasks)
    tcp, udp = placement.reserved_ports(instance, tasks)
    return {
        "containerInstanceArn": arn.container_instance(instance.scope, instance.cluster, instance.id),
        "ec2InstanceId": instance.instance_id,
        "version": instance.version,
        "versionInfo": {"agentVersion": __version__},
        "registeredResources": _resources(
            instance.cpu_units, instance.memory_mib, instance.reserved_ports, instance.reserved_ports_udp
        ),
        "remainingResources": _resources(left.cpu_units, left.memory_mib, tcp, udp),
        "status": instance.status,
        "agentConnected": instance.agent_connected,
        "runningTasksCount": sum(task.last_status is TaskStatus.RUNNING for task in tasks),
        "pendingTasksCount": sum(task.last_status < TaskStatus.RUNNING for task in tasks),
        "attributes": [attribute_to(each) for each in instance.attributes],
        "registeredAt": instance.registered_at,
        "attachments": [],
        "tags": tags_to(instance.tags) if with_tags else [],
    }


def _resources(cpu_units: int, memory_mib: int, ports: Sequence[int], ports_udp: Sequence[int]) -> list[Wire]:
    return [
        *(
            {"name": name, "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": value}
            for name, value in (("CPU", cpu_units), ("MEMORY", memory_mib))
        ),
        *(
            {
                "name": name,
                "type": "STRINGSET",
                "doubleValue": 0.0,
                "longValue": 0,
                "integerValue": 0,
                "stringSetValue": [str(each) for each in value],
            }
            for name, value in (("PORTS", ports), ("PORTS_UDP", ports_udp))
        ),
    ]


def attribute_to(attribute: Attribute, target: ContainerInstance | None = None) -> Wire:
    """
    Args:
        target: shown where attributes of several instances are listed.
    """
    wire: Wire = {"name": attribute.name}
    if attribute.value is not None:
        wire["value"] = attribute.value
    if target is not None:
        wire["targetId"] = arn.container_instance(target.scope, target.cluster, target.id)
    return wire
