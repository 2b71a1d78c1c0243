"""What runs, as one JSON document: the extension behind `portside status` and `GET /_portside/status`."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from portside.api.elbv2 import lookup
from portside.domain import arn, placement
from portside.domain import pace as pace_rule
from portside.domain.image import PullProgress
from portside.domain.instance import Instance, InstanceState
from portside.domain.load_balancer import Listener, LoadBalancer
from portside.domain.load_balancer_rule import target_health
from portside.domain.pace import REAL
from portside.domain.service.record import Service
from portside.domain.table import (
    CLUSTER,
    CONTAINER_INSTANCE,
    INSTANCE,
    LOAD_BALANCER,
    SERVICE,
    TARGET,
    TASK,
)
from portside.domain.task.record import Task, TaskStatus
from portside.store.interface import Store


def status(
    store: Store, problems: Sequence[str] = (), pulls: Sequence[PullProgress] = (), *, pace: float = REAL
) -> dict[str, Any]:
    """Clusters, services, tasks and load balancers of every account and region.

    Args:
        problems: what a person should know or do, in sentences.
        pulls: images that are being pulled.
        pace: the instance's.

    Returns: {"problems": [...], "clusters": [...], "services": [...], "tasks": [...], "pulls": [...],
        "loadBalancers": [...]}, times in ISO 8601.
    """
    return {
        "problems": [*problems],
        "clusters": [
            {"account": c.scope.account, "region": c.scope.region, "name": c.name, "status": c.status}
            for c in store.scan(CLUSTER)
            if c.status == "ACTIVE"
        ],
        "pace": pace,
        "services": [_service(store, s, pace) for s in store.scan(SERVICE) if s.status != "INACTIVE"],
        "tasks": [_task(t) for t in store.scan(TASK)],
        "pulls": [pull(each) for each in pulls],
        "instances": [_instance(store, i) for i in store.scan(INSTANCE) if i.state is not InstanceState.TERMINATED],
        "loadBalancers": [_load_balancer(store, b) for b in store.scan(LOAD_BALANCER)],
    }


def pull(progress: PullProgress) -> dict[str, Any]:
    """A pull that is under way; totals are None while they are not known."""
    return {
        "reference": progress.reference,
        "source": progress.source,
        "names": list(progress.names),
        "startedAt": progress.started_at.isoformat(),
        "layersDone": progress.layers_done,
        "layersTotal": progress.layers_total,
        "bytesDone": progress.bytes_done,
        "bytesTotal": progress.bytes_total,
        "progress": progress.words,
    }


def _service(store: Store, service: Service, pace: float) -> dict[str, Any]:
    tasks = store.find(TASK, "service", service.key)
    primary = next((d for d in service.deployments if d.status == "PRIMARY"), None)
    return {
        "arn": arn.service(service.scope, service.cluster, service.name),
        "cluster": service.cluster,
        "name": service.name,
        "status": service.status,
        "taskDefinition": primary.task_definition_arn.rsplit("/", 1)[-1] if primary else "",
        "rolloutState": str(primary.rollout_state) if primary else "",
        "desired": service.desired_count,
        "running": sum(t.last_status == TaskStatus.RUNNING for t in tasks),
        "pending": sum(t.last_status < TaskStatus.RUNNING for t in tasks),
        "pace": pace_rule.of(service.tags, pace),
        "lastEvent": service.events[0].message if service.events else "",
    }


def _task(task: Task) -> dict[str, Any]:
    return {
        "arn": arn.task(task.scope, task.cluster, task.id),
        "cluster": task.cluster,
        "id": task.id,
        "group": task.group,
        "taskDefinition": f"{task.family}:{task.revision}",
        "lastStatus": task.last_status.name,
        "desiredStatus": task.desired_status.name,
        "address": _address(task),
        "publicAddress": task.eni.public_address if task.eni else None,
        "ports": [m.container_port for c in task.containers for m in c.port_mappings if m.protocol == "tcp"],
        "zone": task.placement.zone if task.placement else task.eni.zone if task.eni else "",
        "createdAt": task.created_at.isoformat(),
        "startedAt": task.started_at.isoformat() if task.started_at else None,
        "stoppedAt": task.stopped_at.isoformat() if task.stopped_at else None,
        "stopCode": str(task.stop.code) if task.stop else None,
        "stoppedReason": task.stop.reason if task.stop else None,
        "containers": [
            {"name": c.name, "exitCode": c.exit.code if c.exit else None, "reason": c.exit.reason if c.exit else None}
            for c in task.history
        ],
    }


def _address(task: Task) -> str:
    """Its own, or its instance's with the ports that lead to it."""
    if task.eni is not None or task.placement is None:
        return task.eni.address if task.eni else ""
    ports = ",".join(str(port) for each in task.placement.bindings for port in each.host_ports)
    return f"{task.placement.address}:{ports}" if ports else task.placement.address


def _instance(store: Store, instance: Instance) -> dict[str, Any]:
    joined = store.find(CONTAINER_INSTANCE, "instance", instance.key)
    tasks = [
        task
        for each in joined
        for task in store.find(TASK, "placed", each.key)
        if task.last_status < TaskStatus.STOPPED
    ]
    left = placement.room(joined[0], tasks) if joined else None
    return {
        "id": instance.id,
        "type": instance.instance_type,
        "state": instance.state.value,
        "address": instance.address,
        "zone": instance.zone,
        "cluster": joined[0].cluster if joined else "",
        "status": joined[0].status if joined else "",
        "tasks": len(tasks),
        "remainingCpu": left.cpu_units if left else None,
        "remainingMemory": left.memory_mib if left else None,
    }


def _load_balancer(store: Store, balancer: LoadBalancer) -> dict[str, Any]:
    listeners = lookup.listeners_of(store, balancer.arn)
    return {
        "arn": balancer.arn,
        "name": balancer.name,
        "state": balancer.state,
        "scheme": balancer.scheme,
        "dnsName": balancer.dns_name,
        "urls": [_url(balancer, listener) for listener in listeners],
        "hostAddresses": [z.host_address for z in balancer.zones if z.host_address],
        "targets": _targets(store, balancer, listeners),
    }


def _url(balancer: LoadBalancer, listener: Listener) -> str:
    scheme = listener.protocol.lower()
    if scheme not in (usual := {"http": 80, "https": 443}):
        return f"{scheme}://{balancer.dns_name}:{listener.port}"
    return f"{scheme}://{balancer.dns_name}{'' if listener.port == usual[scheme] else f':{listener.port}'}/"


def _targets(store: Store, balancer: LoadBalancer, listeners: list[Listener]) -> dict[str, int]:
    """Targets of the groups that its listeners and rules lead to, by their health to it."""
    return dict(
        Counter(
            target_health(target, [balancer]).state.value
            for group in lookup.groups_of(store, balancer, listeners)
            for target in store.find(TARGET, "target_group", group.arn)
        )
    )
