"""Containers that Portside did not start, as metrics of CloudWatch: with the names and dimensions of Container Insights
for Kubernetes, whatever the runtime. Pure.

Of containers outside of pods AWS has no metrics; they are called as those in pods, without a pod and a namespace.

Source: CloudWatch user guide, "Amazon EKS and Kubernetes Container Insights metrics" and "... with enhanced
observability metrics".
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from portside.domain.insight import Look, traffic_of
from portside.domain.metric import MetricName, Sample, dimensions_of, point_of
from portside.domain.other_container import OtherContainer
from portside.domain.record import Record

NAMESPACE: Final = "ContainerInsights"


class Machine(Record, frozen=True, kw_only=True):
    """`name`: the value of the dimension ClusterName."""

    name: str
    cpus: int
    memory_bytes: int


Seen = Sequence[tuple[OtherContainer, Look]]
_Value = tuple[str, float, str]


def samples(seen: Seen, machine: Machine, now: datetime) -> list[Sample]:
    """Percentages are of the machine; what takes two looks is missing at the first. Each set of dimensions has a sample
    a container, or a pod."""
    found: list[Sample] = []
    pods: dict[tuple[str, str], list[tuple[OtherContainer, Look]]] = {}
    for container, look in seen:
        if container.pod_uid:
            pods.setdefault((container.namespace, container.pod or container.pod_uid), []).append((container, look))
        sets = list(_sets_of_container(container, machine))
        found += _samples(_of_container(look, machine, in_pod=bool(container.pod_uid)), sets, now)
    for (namespace, pod), several in pods.items():
        by_cluster = {"ClusterName": machine.name}
        in_namespace = by_cluster | ({"Namespace": namespace} if namespace else {})
        sets = [by_cluster, in_namespace, in_namespace | {"PodName": pod}]
        looks = [look for _, look in several]
        found += _samples(_of_pod(looks, machine), sets if namespace else sets[1:], now)
    return found


def _of_container(look: Look, machine: Machine, *, in_pod: bool) -> Iterator[_Value]:
    if look.cpu_units is not None:
        yield "container_cpu_utilization", _percent(look.cpu_units, machine.cpus * 1024), "Percent"
    yield "container_memory_utilization", _percent(look.memory_bytes, machine.memory_bytes), "Percent"
    if 0 < look.usage.memory_limit_bytes <= machine.memory_bytes:
        share = _percent(look.memory_bytes, look.usage.memory_limit_bytes)
        yield "container_memory_utilization_over_container_limit", share, "Percent"
    if not in_pod:
        yield from _network("container", look)


def _of_pod(looks: Sequence[Look], machine: Machine) -> Iterator[_Value]:
    used = [each.cpu_units for each in looks if each.cpu_units is not None]
    if used:
        yield "pod_cpu_utilization", _percent(sum(used), machine.cpus * 1024), "Percent"
    held = sum(each.memory_bytes for each in looks)
    yield "pod_memory_utilization", _percent(held, machine.memory_bytes), "Percent"
    limits = [each.usage.memory_limit_bytes for each in looks]
    if all(0 < each <= machine.memory_bytes for each in limits):
        yield "pod_memory_utilization_over_pod_limit", _percent(held, sum(limits)), "Percent"
    yield "pod_number_of_running_containers", len(looks), "Count"
    # Containers of a pod share its network: each of them sees all of it.
    for look in looks:
        passed = list(_network("pod", look))
        if passed:
            yield from passed
            return


def _network(kind: str, look: Look) -> Iterator[_Value]:
    rates = traffic_of(look).rates if look.usage.network else None
    if rates is not None:
        yield f"{kind}_network_rx_bytes", rates[0], "Bytes/Second"
        yield f"{kind}_network_tx_bytes", rates[1], "Bytes/Second"


def _sets_of_container(container: OtherContainer, machine: Machine) -> Iterator[dict[str, str]]:
    by_cluster = {"ClusterName": machine.name}
    yield by_cluster
    name = {"ContainerName": container.name or container.id[:12]}
    if not container.pod_uid:
        yield by_cluster | name
        return
    within = {"Namespace": container.namespace} if container.namespace else {}
    yield by_cluster | within | {"PodName": container.pod or container.pod_uid} | name


def _samples(values: Iterable[_Value], sets: Sequence[dict[str, str]], now: datetime) -> list[Sample]:
    return [
        Sample(
            metric=MetricName(namespace=NAMESPACE, name=name, dimensions=dimensions_of(dimensions)),
            at_s=now.timestamp(),
            point=point_of([(value, 1.0)], unit),
        )
        for name, value, unit in values
        for dimensions in sets
    ]


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0
