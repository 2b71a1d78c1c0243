"""Performance log events of Container Insights."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portside.domain import emf, insight
from portside.domain.container_instance import ContainerInstance
from portside.domain.insight import Event, Look
from portside.domain.metric import dimensions_of, statistic
from portside.domain.record import Scope, replace
from portside.domain.service.record import Service
from portside.domain.task.record import ContainerHistory, HealthStatus, Placement, Task, TaskStatus
from portside.domain.task_definition import ContainerDefinition, HealthCheck, RestartPolicy
from portside.domain.usage import InterfaceUsage, Usage

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCOPE = Scope(account="000000000000", region="eu-west-1")
MIB = 1024**2
GIB = 1024**3

TASK = Task(
    scope=SCOPE,
    cluster="prod",
    id="a" * 32,
    task_definition_arn="arn",
    family="web",
    revision=3,
    group="service:front",
    service="front",
    launch_type="FARGATE",
    cpu_units=512,
    memory_mib=1024,
    network=None,
    containers=(
        ContainerDefinition(
            name="app",
            image="app:1",
            cpu_units=256,
            memory_mib=512,
            restart_policy=RestartPolicy(enabled=True),
            health_check=HealthCheck(command=("CMD", "true")),
        ),
        ContainerDefinition(name="side", image="side:1"),
    ),
    history=(
        ContainerHistory(name="app", runtime_id="r1", restarts=2, health=HealthStatus.UNHEALTHY),
        ContainerHistory(name="side", runtime_id="r2"),
    ),
    last_status=TaskStatus.RUNNING,
    created_at=NOW - timedelta(minutes=5),
    cause_id="test",
)


def look(*, cpu_s: float = 0.0, memory_mib: int = 0, rx: int = 0, written: int = 0) -> Look:
    """After a minute in which it used so much."""
    before = Usage(at=NOW - timedelta(minutes=1), cpu_ns=10**9, network={"eth0": InterfaceUsage(rx_bytes=1000)})
    usage = Usage(
        at=NOW,
        cpu_ns=10**9 + round(cpu_s * 1e9),
        memory_bytes=memory_mib * MIB + 7 * MIB,
        memory={"inactive_file": 7 * MIB},
        storage_written_bytes=written,
        network={"eth0": InterfaceUsage(rx_bytes=1000 + rx, rx_packets=9, tx_bytes=500)},
    )
    return Look(usage=usage, before=before)


LOOKS = {"app": look(cpu_s=15, memory_mib=128, rx=6000, written=4096), "side": look(memory_mib=64, rx=6000)}


def events(task: Task = TASK, mode: insight.Mode = "enhanced", **changes: Any) -> list[Event]:
    return insight.of_task(task, changes.get("looks", LOOKS), changes.get("ephemeral", (GIB, 20 * GIB)), mode, at=NOW)


def metrics(event: Event, **dimensions: str) -> dict[str, float | None]:
    """What the event embeds with exactly these dimensions."""
    return {
        each.metric.name: statistic(each.point, "Sum")
        for each in emf.samples(event, at_s=0)
        if each.metric.dimensions == dimensions_of(dimensions) and each.metric.namespace == "ECS/ContainerInsights"
    }


def test_a_task() -> None:
    """CPU in units and bytes by the second over the last minute; memory without what the kernel drops first; what two
    containers share of a network counts once."""
    task = events()[0]
    assert task["Type"] == "Task"
    found = metrics(task, ClusterName="prod", ServiceName="front")
    assert found == metrics(task, ClusterName="prod") == metrics(task, ClusterName="prod", TaskDefinitionFamily="web")
    assert found == metrics(task, ClusterName="prod", ServiceName="front", TaskId="a" * 32)
    assert found == {
        "CpuUtilized": 256.0,
        "CpuReserved": 512.0,
        "MemoryUtilized": 192.0,
        "MemoryReserved": 1024.0,
        "StorageReadBytes": 0.0,
        "StorageWriteBytes": 4096.0,
        "NetworkRxBytes": 100.0,
        "NetworkTxBytes": 8.0,
        "EphemeralStorageReserved": 20.0,
        "EphemeralStorageUtilized": 1.0,
        "TaskCpuUtilization": 50.0,
        "TaskMemoryUtilization": 18.75,
        "TaskEphemeralStorageUtilization": 5.0,
    }
    assert (task["TaskDefinitionRevision"], task["KnownStatus"], task["LaunchType"]) == ("3", "RUNNING", "FARGATE")


def test_containers() -> None:
    """With enhanced observability each container has metrics; what it does not reserve itself, its task does."""
    _, app, side = events()
    assert metrics(app, ClusterName="prod", ServiceName="front", ContainerName="app") == {
        "ContainerCpuUtilized": 256.0,
        "ContainerCpuReserved": 256.0,
        "ContainerCpuUtilization": 100.0,
        "ContainerMemoryUtilized": 128.0,
        "ContainerMemoryReserved": 512.0,
        "ContainerMemoryUtilization": 25.0,
        "ContainerNetworkRxBytes": 50.0,
        "ContainerNetworkTxBytes": 4.0,
        "ContainerStorageReadBytes": 0.0,
        "ContainerStorageWriteBytes": 4096.0,
        "RestartCount": 2.0,
        "UnHealthyContainerHealthStatus": 1.0,
    }
    found = metrics(side, ClusterName="prod", TaskDefinitionFamily="web", TaskId="a" * 32, ContainerName="side")
    assert (found["ContainerCpuReserved"], found["ContainerMemoryReserved"]) == (512.0, 1024.0)
    assert "RestartCount" not in found
    assert "UnHealthyContainerHealthStatus" not in found


def test_without_enhanced_observability() -> None:
    """Tasks and containers have no metrics of their own; restarts are counted all the same."""
    task, app, side = events(mode="enabled")
    assert "TaskCpuUtilization" not in metrics(task, ClusterName="prod")
    assert metrics(task, ClusterName="prod", ServiceName="front", TaskId="a" * 32) == {}
    assert metrics(app, ClusterName="prod") == {"RestartCount": 2.0}
    assert list(emf.samples(side, at_s=0)) == []
    assert side["CpuUtilized"] == 0.0


@pytest.mark.parametrize("network_mode", ["host", "none"])
def test_no_network_of_its_own(network_mode: Any) -> None:
    """A task without a network of its own has no network metrics, as on AWS."""
    found = metrics(events(replace(TASK, network_mode=network_mode))[0], ClusterName="prod")
    assert not [name for name in found if name.startswith("Network")]


def test_on_a_bridge() -> None:
    """Each container on a bridge has an interface of its own: theirs add up."""
    found = metrics(events(replace(TASK, network_mode="bridge"))[0], ClusterName="prod")
    assert found["NetworkRxBytes"] == 200.0


def test_after_one_look() -> None:
    """What takes two looks is left out, not made up."""
    looks = {"app": Look(usage=LOOKS["app"].usage)}
    task, app = events(looks=looks)
    assert "CpuUtilized" not in metrics(task, ClusterName="prod")
    assert "NetworkRxBytes" not in metrics(task, ClusterName="prod")
    assert "ContainerCpuUtilization" not in metrics(app, ClusterName="prod")
    assert metrics(task, ClusterName="prod")["MemoryUtilized"] == 128.0


def test_on_a_container_instance() -> None:
    """Its events name the instance and are in the instance's stream; ephemeral storage is Fargate's."""
    placement = Placement(
        container_instance="c1", instance_id="i-1", zone="eu-west-1a", address="10.0.0.9", private_dns_name="ip"
    )
    task = replace(TASK, launch_type="EC2", placement=placement)
    found = events(task)[0]
    assert (found["ContainerInstanceId"], found["EC2InstanceId"]) == ("c1", "i-1")
    assert "EphemeralStorageReserved" not in found
    assert insight.log_stream(task) == "AgentTelemetry-c1"


def test_container_instances() -> None:
    """What the tasks on one use and reserve of what it has registered, for the cluster and for itself; an empty one
    uses nothing; after one look what takes two is missing."""
    instance = ContainerInstance(
        scope=SCOPE,
        cluster="prod",
        id="c1",
        instance_id="i-1",
        instance_type="m5.large",
        cpu_units=2048,
        memory_mib=4096,
        interfaces=2,
        vpc_id="vpc-1",
        subnet_id="subnet-1",
        zone="eu-west-1a",
        address="10.0.0.9",
        private_dns_name="ip",
        registered_at=NOW,
    )
    found = insight.of_instance(instance, [(TASK, LOOKS)], 42.0, at=NOW)
    own = metrics(found, ClusterName="prod", InstanceId="i-1", ContainerInstanceId="c1")
    assert own == metrics(found, ClusterName="prod")
    assert own == {
        "instance_cpu_limit": 2048.0,
        "instance_cpu_usage_total": pytest.approx(256),
        "instance_cpu_utilization": pytest.approx(12.5),
        "instance_cpu_reserved_capacity": 25.0,
        "instance_filesystem_utilization": 42.0,
        "instance_memory_limit": 4096.0 * MIB,
        "instance_memory_working_set": 192.0 * MIB,
        "instance_memory_utilization": pytest.approx(4.6875),
        "instance_memory_reserved_capacity": 25.0,
        "instance_network_total_bytes": pytest.approx((6000 + 500) / 60),
        "instance_number_of_running_tasks": 1.0,
    }
    empty = metrics(insight.of_instance(instance, [], None, at=NOW), ClusterName="prod")
    assert (empty["instance_cpu_usage_total"], empty["instance_number_of_running_tasks"]) == (0, 0)
    once = {"app": replace(LOOKS["app"], before=None)}
    first = metrics(insight.of_instance(instance, [(TASK, once)], None, at=NOW), ClusterName="prod")
    assert first.keys().isdisjoint({"instance_cpu_usage_total", "instance_network_total_bytes"})


def test_services_and_clusters() -> None:
    """A service's and a cluster's counts."""
    service = Service(
        scope=SCOPE, cluster="prod", name="front", desired_count=3, created_at=NOW, created_by="arn:aws:iam::0:root"
    )
    pending = replace(TASK, last_status=TaskStatus.PENDING)
    assert metrics(insight.of_service(service, [TASK, pending], at=NOW), ServiceName="front", ClusterName="prod") == {
        "DesiredTaskCount": 3.0,
        "RunningTaskCount": 1.0,
        "PendingTaskCount": 1.0,
        "DeploymentCount": 0.0,
        "TaskSetCount": 0.0,
    }
    cluster = insight.of_cluster("prod", tasks=4, container_instances=1, services=2, at=NOW)
    assert metrics(cluster, ClusterName="prod") == {
        "TaskCount": 4.0,
        "ContainerInstanceCount": 1.0,
        "ServiceCount": 2.0,
    }
