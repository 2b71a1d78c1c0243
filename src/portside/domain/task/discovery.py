"""What a task is in Cloud Map: the attributes and the health of its instance.

Source: ECS developer guide, "Service discovery"; the attributes are those that ECS sets.
"""

from portside.domain.cloud_map import DiscoveryInstance, DiscoveryService, Health
from portside.domain.cloud_map_rule import INITIAL_HEALTH, IPV4, PORT
from portside.domain.task import health, target
from portside.domain.task.record import HealthStatus, RegistryRef, TargetRef, Task


def instance_of(task: Task, ref: RegistryRef, service: DiscoveryService) -> DiscoveryInstance | None:
    """The instance that a task is to be; None before it has an address."""
    address = _address(task)
    if address is None:
        return None
    attributes = {IPV4: address}
    port = _port(task, ref)
    if port is not None:
        attributes[PORT] = str(port)
    zone = task.placement.zone if task.placement is not None else task.eni.zone if task.eni is not None else ""
    attributes |= {
        "AVAILABILITY_ZONE": zone,
        "REGION": task.scope.region,
        "ECS_SERVICE_NAME": task.service or "",
        "ECS_CLUSTER_NAME": task.cluster,
        "ECS_TASK_DEFINITION_FAMILY": task.family,
    }
    if task.placement is not None:
        attributes["EC2_INSTANCE_ID"] = task.placement.instance_id
    if service.custom_health:
        attributes[INITIAL_HEALTH] = "UNHEALTHY" if _is_checked(task) else "HEALTHY"
    return DiscoveryInstance(
        scope=task.scope,
        service_id=service.id,
        id=task.id,
        attributes=attributes,
        health=health_of(task, service),
        owner=task.key,
        created_at=task.created_at,
    )


def health_of(task: Task, service: DiscoveryService) -> Health:
    """A task whose containers are checked is unhealthy until the checks say that it is well."""
    if not service.custom_health:
        return Health.UNKNOWN
    if _is_checked(task) and health.of_task(task) is not HealthStatus.HEALTHY:
        return Health.UNHEALTHY
    return Health.HEALTHY


def is_registered(task: Task) -> bool:
    """Whether its instances may be there: from the intent to register them until they are deregistered."""
    return bool(task.registries) and task.targets_issued_at is not None and task.targets_drained_at is None


def _is_checked(task: Task) -> bool:
    return any(each.essential and each.health_check is not None for each in task.containers)


def _address(task: Task) -> str | None:
    if task.eni is not None:
        return task.eni.address
    return task.placement.address if task.placement is not None else None


def _port(task: Task, ref: RegistryRef) -> int | None:
    if ref.port is not None or ref.container_name is None or ref.container_port is None:
        return ref.port
    wanted = TargetRef(target_group_arn="", container_name=ref.container_name, container_port=ref.container_port)
    return target.port(task, wanted)
