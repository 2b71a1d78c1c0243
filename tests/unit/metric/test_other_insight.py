"""Containers of others as CloudWatch's metrics."""

import dataclasses
from datetime import UTC, datetime, timedelta

from portside.domain.insight import Look
from portside.domain.other_container import OtherContainer
from portside.domain.other_insight import Machine, samples
from portside.domain.record import replace
from portside.domain.usage import InterfaceUsage, Usage

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MACHINE = Machine(name="box", cpus=4, memory_bytes=1000)
DOCKER = OtherContainer(runtime="docker", id="a" * 64, cgroup="docker/a", name="db")
POD = OtherContainer(
    runtime="containerd", id="b" * 64, cgroup="kubepods/b", pod_uid="u", pod="web-1", namespace="shop", name="app"
)


def look(*, seconds: int = 60, cpu_share: float = 1.0, memory: int = 100, limit: int = 0, rx: int = 0) -> Look:
    before = Usage(at=NOW - timedelta(seconds=seconds), cpu_ns=0, memory_bytes=memory, memory_limit_bytes=limit)
    before = replace_network(before, 0)
    after = Usage(at=NOW, cpu_ns=int(cpu_share * seconds * 1e9), memory_bytes=memory, memory_limit_bytes=limit)
    return Look(usage=replace_network(after, rx), before=before)


def replace_network(usage: Usage, rx: int) -> Usage:
    return dataclasses.replace(usage, network={"eth0": InterfaceUsage(rx_bytes=rx)})


def told(*seen: tuple[OtherContainer, Look], **dimensions: str) -> dict[str, float]:
    wanted = tuple(sorted(dimensions.items()))
    return {
        each.metric.name: each.point.total
        for each in samples(seen, MACHINE, NOW)
        if each.metric.dimensions == wanted and each.metric.namespace == "ContainerInsights"
    }


def test_a_container() -> None:
    """What it uses of the machine and of its limit, by its name; its network is its own."""
    found = told((DOCKER, look(limit=200, rx=6000)), ClusterName="box", ContainerName="db")
    assert found == {
        "container_cpu_utilization": 25.0,
        "container_memory_utilization": 10.0,
        "container_memory_utilization_over_container_limit": 50.0,
        "container_network_rx_bytes": 100.0,
        "container_network_tx_bytes": 0.0,
    }
    first = told((DOCKER, replace(look(), before=None)), ClusterName="box", ContainerName="db")
    assert first == {"container_memory_utilization": 10.0}


def test_a_pod() -> None:
    """The sum of its containers, but the network, which each of them sees; containers are by pod and namespace."""
    side = replace(POD, id="c" * 64, name="side")
    seen = ((POD, look(rx=600)), (side, look(memory=50, rx=600)))
    assert told(*seen, ClusterName="box", Namespace="shop", PodName="web-1") == {
        "pod_cpu_utilization": 50.0,
        "pod_memory_utilization": 15.0,
        "pod_number_of_running_containers": 2.0,
        "pod_network_rx_bytes": 10.0,
        "pod_network_tx_bytes": 0.0,
    }
    own = told(*seen, ClusterName="box", Namespace="shop", PodName="web-1", ContainerName="side")
    assert own == {"container_cpu_utilization": 25.0, "container_memory_utilization": 5.0}
    assert told(*seen, ClusterName="box")["pod_memory_utilization"] == 15.0
