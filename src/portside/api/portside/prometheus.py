"""What runs and what it uses, in Prometheus's text format: `GET /_portside/metrics`.

Source: Prometheus, "Exposition formats" (text format 0.0.4) and "Metric and label naming".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from portside.api.portside.usage import Seen, counts
from portside.domain.insight import Look, reserved_cpu_units, reserved_memory_mib
from portside.domain.table import CLUSTER, SERVICE, TASK
from portside.domain.task.record import HealthStatus, Task, TaskStatus
from portside.domain.usage import InterfaceUsage
from portside.store.interface import Store

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MIB: Final = 1024**2


@dataclass
class Family:
    """A metric with its samples."""

    name: str
    type: Literal["counter", "gauge"]
    help: str
    samples: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    def add(self, labels: Mapping[str, str], value: float) -> None:
        self.samples.append((labels, value))


def text(families: Sequence[Family]) -> str:
    """Those with samples, each with its help and type."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines.append(f"# HELP {family.name} {_escaped(family.help)}")
            lines.append(f"# TYPE {family.name} {family.type}")
            lines += [f"{family.name}{_labels(labels)} {_number(value)}" for labels, value in family.samples]
    return "\n".join([*lines, ""])


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escaped(value, quotes=True)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(words: str, *, quotes: bool = False) -> str:
    escaped = words.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if quotes else escaped


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def families(store: Store, seen: Seen) -> list[Family]:
    """Of clusters, services, tasks and containers of every account and region."""
    return [*_of_tasks(store, seen), *_of_services(store), _by_status(store), *_of_others(seen)]


def _of_tasks(store: Store, seen: Seen) -> list[Family]:
    cpu = Family(
        "portside_container_cpu_seconds_total", "counter", "CPU time that the container's processes have used."
    )
    memory = Family(
        *("portside_container_memory_bytes", "gauge"),
        "Memory held, without pages of files that the kernel drops first when memory is short.",
    )
    limit = Family("portside_container_memory_limit_bytes", "gauge", "Memory that the container may hold.")
    read = Family("portside_container_storage_read_bytes_total", "counter", "Read by the container's processes.")
    written = Family(
        "portside_container_storage_written_bytes_total", "counter", "Written by the container's processes."
    )
    restarts = Family(
        "portside_container_restarts", "gauge", "Times its restart policy has started the container anew."
    )
    healthy = Family(
        *("portside_container_healthy", "gauge"),
        "Whether its health check says HEALTHY (1) or UNHEALTHY (0); absent while it says neither.",
    )
    received = Family(
        *("portside_network_receive_bytes_total", "counter"),
        "Received by the task, or by the container where each has a network of its own.",
    )
    sent = Family(
        *("portside_network_transmit_bytes_total", "counter"),
        "Sent by the task, or by the container where each has a network of its own.",
    )
    reserved_cpu = Family("portside_task_cpu_reserved_cores", "gauge", "Processors that the task reserves.")
    reserved_memory = Family("portside_task_memory_reserved_bytes", "gauge", "Memory that the task reserves.")
    used = Family("portside_task_ephemeral_storage_used_bytes", "gauge", "What the task's containers have written.")
    size = Family("portside_task_ephemeral_storage_size_bytes", "gauge", "What they may write together.")
    for task in store.scan(TASK):
        if task.last_status >= TaskStatus.STOPPED:
            continue
        labels, looks = _of_task(task), seen.looks.get(task.key, {})
        reserved_cpu.add(labels, reserved_cpu_units(task) / 1024)
        reserved_memory.add(labels, reserved_memory_mib(task) * _MIB)
        if (written_and_size := seen.ephemeral.get(task.key)) is not None:
            used.add(labels, written_and_size[0])
            size.add(labels, written_and_size[1])
        for each in task.history:
            own = labels | {"container": each.name}
            look = looks.get(each.name)
            restarts.add(own, each.restarts)
            if each.health is not HealthStatus.UNKNOWN:
                healthy.add(own, each.health is HealthStatus.HEALTHY)
            if look is not None:
                cpu.add(own, look.usage.cpu_ns / 1e9)
                memory.add(own, look.memory_bytes)
                if look.usage.memory_limit_bytes:
                    limit.add(own, look.usage.memory_limit_bytes)
                read.add(own, look.usage.storage_read_bytes)
                written.add(own, look.usage.storage_written_bytes)
        for own, interfaces in _networks(task, labels, looks):
            received.add(own, sum(each.rx_bytes for each in interfaces))
            sent.add(own, sum(each.tx_bytes for each in interfaces))
    return [
        *(cpu, memory, limit, read, written, restarts, healthy),
        *(received, sent, reserved_cpu, reserved_memory, used, size),
    ]


def _of_others(seen: Seen) -> list[Family]:
    """Containers that Portside did not start."""
    of = "portside_other_container"
    cpu = Family(f"{of}_cpu_seconds_total", "counter", "CPU time that the container's processes have used.")
    memory = Family(f"{of}_memory_bytes", "gauge", "Memory held, without pages of files that the kernel drops first.")
    limit = Family(f"{of}_memory_limit_bytes", "gauge", "Memory that the container may hold.")
    read = Family(f"{of}_storage_read_bytes_total", "counter", "Read by the container's processes.")
    written = Family(f"{of}_storage_written_bytes_total", "counter", "Written by the container's processes.")
    received = Family(f"{of}_network_receive_bytes_total", "counter", "Received by the container, or by its pod.")
    sent = Family(f"{of}_network_transmit_bytes_total", "counter", "Sent by the container, or by its pod.")
    for container, look in seen.others:
        usage = look.usage
        labels = {
            "runtime": container.runtime,
            "id": container.id,
            "name": container.name,
            "pod": container.pod,
            "namespace": container.namespace,
        }
        cpu.add(labels, usage.cpu_ns / 1e9)
        memory.add(labels, look.memory_bytes)
        if usage.memory_limit_bytes:
            limit.add(labels, usage.memory_limit_bytes)
        read.add(labels, usage.storage_read_bytes)
        written.add(labels, usage.storage_written_bytes)
        if usage.network:
            received.add(labels, sum(each.rx_bytes for each in usage.network.values()))
            sent.add(labels, sum(each.tx_bytes for each in usage.network.values()))
    return [cpu, memory, limit, read, written, received, sent]


def _networks(
    task: Task, labels: dict[str, str], looks: Mapping[str, Look]
) -> list[tuple[dict[str, str], list[InterfaceUsage]]]:
    """The containers of a task in awsvpc mode see the same interface."""
    if task.network_mode == "awsvpc":
        several = [list(each.usage.network.values()) for each in looks.values() if each.usage.network]
        if not several:
            return []
        return [(labels, max(several, key=lambda found: sum(each.rx_bytes + each.tx_bytes for each in found)))]
    if task.network_mode == "bridge":
        return [
            (labels | {"container": name}, list(each.usage.network.values()))
            for name, each in looks.items()
            if each.usage.network
        ]
    return []


def _of_task(task: Task) -> dict[str, str]:
    return {
        "account": task.scope.account,
        "region": task.scope.region,
        "cluster": task.cluster,
        "service": task.service or "",
        "family": task.family,
        "revision": str(task.revision),
        "task": task.id,
    }


def _of_services(store: Store) -> list[Family]:
    desired = Family("portside_service_desired_tasks", "gauge", "Tasks that the service is to have.")
    running = Family("portside_service_running_tasks", "gauge", "Tasks of the service that run.")
    pending = Family("portside_service_pending_tasks", "gauge", "Tasks of the service that do not run yet.")
    for service in store.scan(SERVICE):
        if service.status == "INACTIVE":
            continue
        labels = {
            "account": service.scope.account,
            "region": service.scope.region,
            "cluster": service.cluster,
            "service": service.name,
        }
        run, wait = counts(store, service)
        desired.add(labels, service.desired_count)
        running.add(labels, run)
        pending.add(labels, wait)
    return [desired, running, pending]


def _by_status(store: Store) -> Family:
    found = Family("portside_tasks", "gauge", "Tasks by their last status; STOPPED are those that are still known.")
    numbers: dict[tuple[str, str, str, str], int] = {
        (each.scope.account, each.scope.region, each.name, status.name): 0
        for each in store.scan(CLUSTER)
        if each.status == "ACTIVE"
        for status in TaskStatus
    }
    for task in store.scan(TASK):
        key = (task.scope.account, task.scope.region, task.cluster, task.last_status.name)
        numbers[key] = numbers.get(key, 0) + 1
    for (account, region, cluster, status), number in numbers.items():
        found.add({"account": account, "region": region, "cluster": cluster, "status": status}, number)
    return found


def of_portside(
    *, version: str, calls: Mapping[tuple[str, str], int], cpu_seconds: float, resident_bytes: int
) -> list[Family]:
    """Of Portside itself.

    Args:
        calls: of the API, by service and operation.
    """
    info = Family("portside_info", "gauge", "Always 1.")
    info.add({"version": version}, 1)
    called = Family("portside_api_calls_total", "counter", "Calls of AWS's API that reached their operation.")
    for (service, operation), number in sorted(calls.items()):
        called.add({"service": service, "operation": operation}, number)
    cpu = Family("process_cpu_seconds_total", "counter", "CPU time of Portside's own process.")
    cpu.add({}, round(cpu_seconds, 3))
    resident = Family("process_resident_memory_bytes", "gauge", "Memory of Portside's own process.")
    resident.add({}, resident_bytes)
    return [info, called, cpu, resident]
