"""Placement: what a task takes of a container instance, what is left there, and what it gets of it. Pure.

Which instance it goes to is `capacity`.

Sources: ECS developer guide, "How Amazon ECS places tasks on container instances" and "Task placement strategies";
API_failures_messages for the reasons.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

from portside.domain import instance_network
from portside.domain.container_instance import ContainerInstance
from portside.domain.record import Record, replace
from portside.domain.task.record import (
    BridgeEndpoint,
    Moment,
    NetworkRequest,
    Placement,
    PortBinding,
    Task,
    TaskStatus,
)
from portside.domain.task_definition import ContainerDefinition, PortMapping

CPU: Final = "RESOURCE:CPU"
MEMORY: Final = "RESOURCE:MEMORY"
PORTS: Final = "RESOURCE:PORTS"
ENI: Final = "RESOURCE:ENI"
ATTRIBUTE: Final = "ATTRIBUTE"
AGENT: Final = "AGENT"
INACTIVE: Final = "INACTIVE"
MEMBER_OF: Final = "MemberOf placement constraint unsatisfied."
DISTINCT: Final = "DistinctInstance placement constraint unsatisfied."

ARCHITECTURES: Final = {"X86_64": "x86_64", "ARM64": "arm64"}


class Demand(Record, frozen=True, kw_only=True):
    """What one task takes."""

    cpu_units: int
    memory_mib: int
    ports: tuple[int, ...] = ()  # fixed ones
    ports_udp: tuple[int, ...] = ()
    interfaces: int = 0
    architecture: str | None = None  # of the attribute ecs.cpu-architecture


class Room(Record, frozen=True, kw_only=True):
    """What is left of an instance. `ports`: those that are taken, fixed and dynamic."""

    cpu_units: int
    memory_mib: int
    interfaces: int
    ports: frozenset[int]
    ports_udp: frozenset[int]


class Wanted(Record, frozen=True, kw_only=True):
    """A task to be placed, as its definition with the overrides applied says."""

    containers: tuple[ContainerDefinition, ...]
    cpu_units: int | None
    memory_mib: int | None
    network_mode: str
    cpu_architecture: str | None = None
    group: str = ""
    expressions: tuple[str, ...] = ()  # the definition's own constraints


class Constraints(Record, frozen=True, kw_only=True):
    """`expressions`: in the cluster query language, all of which the instance must fulfil. `distinct`: not where a task
    of the same group is."""

    expressions: tuple[str, ...] = ()
    distinct: bool = False


NONE: Final = Constraints()


class Strategy(Record, frozen=True, kw_only=True):
    """`field`: cpu or memory of binpack, instanceId or attribute:NAME of spread."""

    type: Literal["random", "spread", "binpack"]
    field: str = ""


DEFAULT: Final = (Strategy(type="spread", field="instanceId"),)
"""Where no strategy is asked for."""
DEFAULT_OF_SERVICE: Final = (Strategy(type="spread", field="attribute:ecs.availability-zone"), *DEFAULT)
"""A service's tasks are spread over Availability Zones first."""


def demand(wanted: Wanted) -> Demand:
    """The task's own sizes where it has them, else the sums of its containers': of memory each one's reservation, or
    its limit if it has none."""
    cpu_units, memory_mib = wanted.cpu_units, wanted.memory_mib
    if cpu_units is None:
        cpu_units = sum(each.cpu_units for each in wanted.containers)
    if memory_mib is None:
        memory_mib = sum(each.memory_reservation_mib or each.memory_mib or 0 for each in wanted.containers)
    ports: dict[str, list[int]] = {"tcp": [], "udp": []}
    if wanted.network_mode in ("bridge", "host"):
        for _, mapping in _mapped(wanted.containers):
            if mapping.host_port:
                ports[mapping.protocol].append(mapping.host_port)
    architecture = wanted.cpu_architecture
    return Demand(
        cpu_units=cpu_units,
        memory_mib=memory_mib,
        ports=tuple(ports["tcp"]),
        ports_udp=tuple(ports["udp"]),
        interfaces=1 if wanted.network_mode == "awsvpc" else 0,
        architecture=ARCHITECTURES.get(architecture) if architecture else None,
    )


def _mapped(containers: Iterable[ContainerDefinition]) -> Iterator[tuple[ContainerDefinition, PortMapping]]:
    """The ports that lead to a container. One without a network has none, whatever it maps: Docker does the same."""
    for container in containers:
        if not container.disable_networking:
            for mapping in container.port_mappings:
                yield container, mapping


def wanted_of(task: Task) -> Wanted:
    return Wanted(
        containers=task.containers,
        cpu_units=task.cpu_units,
        memory_mib=task.memory_mib,
        network_mode=task.network_mode,
        cpu_architecture=task.cpu_architecture,
        group=task.group,
        expressions=task.placement_expressions,
    )


def room(instance: ContainerInstance, tasks: Iterable[Task]) -> Room:
    """
    Args:
        tasks: those on the instance that have not STOPPED.
    """
    cpu_units, memory_mib, interfaces = instance.cpu_units, instance.memory_mib, instance.interfaces
    ports = {"tcp": set(instance.reserved_ports), "udp": set(instance.reserved_ports_udp)}
    for task in tasks:
        taken = demand(wanted_of(task))
        cpu_units -= taken.cpu_units
        memory_mib -= taken.memory_mib
        interfaces -= taken.interfaces
        for binding in task.placement.bindings if task.placement is not None else ():
            ports[binding.protocol].update(binding.host_ports)
    return Room(
        cpu_units=cpu_units,
        memory_mib=memory_mib,
        interfaces=interfaces,
        ports=frozenset(ports["tcp"]),
        ports_udp=frozenset(ports["udp"]),
    )


def reserved_ports(instance: ContainerInstance, tasks: Iterable[Task]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ports, TCP and UDP, that an instance with these tasks shows as taken: dynamic ones are not among them."""
    taken = [demand(wanted_of(task)) for task in tasks]
    return (
        (*instance.reserved_ports, *(port for each in taken for port in each.ports)),
        (*instance.reserved_ports_udp, *(port for each in taken for port in each.ports_udp)),
    )


def lacking(instance: ContainerInstance, left: Room, asked: Demand) -> str | None:
    """Why the task can not be placed there, in ECS's words; None if it can."""
    if not instance.agent_connected:
        return AGENT
    if asked.architecture is not None:
        own = instance.attribute("ecs.cpu-architecture")
        if own is None or own.value != asked.architecture:
            return ATTRIBUTE
    if asked.cpu_units > left.cpu_units:
        return CPU
    if asked.memory_mib > left.memory_mib:
        return MEMORY
    if left.ports.intersection(asked.ports) or left.ports_udp.intersection(asked.ports_udp):
        return PORTS
    return ENI if asked.interfaces > left.interfaces else None


class Placed(Record, frozen=True, kw_only=True):
    """Where a task goes; `network` is its request with the subnets that an interface can be in there."""

    placement: Placement
    network: NetworkRequest | None


def at_its_place(task: Task, found: Placed) -> Task:
    """The new task with its place, which its story tells."""
    place = found.placement
    ports = ", ".join(f"{each.host_ports[0]}/{each.protocol} for {each.container}" for each in place.bindings)
    told = Moment(at=task.created_at, what="Placed", detail=f"on {place.instance_id}{f': {ports}' if ports else ''}")
    return replace(task, placement=place, network=found.network, story=(*task.story, told))


def placed(instance: ContainerInstance, wanted: Wanted, tasks: Sequence[Task]) -> Placement:
    """The task's place on the instance, with an address for each container on the bridge, and its ports.

    Args:
        tasks: all that is known on the instance, also what has stopped: what they had is given out last.
    Raises:
        Refused: EXHAUSTED, no address or dynamic port is left.
    """
    live = [task for task in tasks if task.last_status < TaskStatus.STOPPED]
    return Placement(
        container_instance=instance.id,
        instance_id=instance.instance_id,
        zone=instance.zone,
        address=instance.address,
        private_dns_name=instance.private_dns_name,
        vpc_id=instance.vpc_id,
        endpoints=_endpoints(wanted, live, tasks) if wanted.network_mode == "bridge" else (),
        bindings=_bindings(instance, wanted, live, tasks) if wanted.network_mode in ("bridge", "host") else (),
    )


def _latest(tasks: Iterable[Task]) -> list[Placement]:
    """The places that were given out last, at one time."""
    placed_tasks = [task for task in tasks if task.placement is not None]
    at = max((task.created_at for task in placed_tasks), default=None)
    return [task.placement for task in placed_tasks if task.created_at == at and task.placement is not None]


def _endpoints(wanted: Wanted, live: Iterable[Task], tasks: Iterable[Task]) -> tuple[BridgeEndpoint, ...]:
    used = {each.address for task in live if task.placement is not None for each in task.placement.endpoints}
    bridged = [task for task in tasks if task.placement is not None and task.placement.endpoints]
    given = [each.address for placement in _latest(bridged) for each in placement.endpoints]
    last = max(given, key=instance_network.number_of, default=None)
    found: list[BridgeEndpoint] = []
    for container in wanted.containers:
        if not container.disable_networking:
            last = instance_network.next_bridge_address(used, last)
            used.add(last)
            found.append(BridgeEndpoint(container=container.name, address=last))
    return tuple(found)


def _bindings(
    instance: ContainerInstance, wanted: Wanted, live: Iterable[Task], tasks: Iterable[Task]
) -> tuple[PortBinding, ...]:
    taken = {"tcp": set(instance.reserved_ports), "udp": set(instance.reserved_ports_udp)}
    for task in live:
        for binding in task.placement.bindings if task.placement is not None else ():
            taken[binding.protocol].update(binding.host_ports)
    asked = demand(wanted)
    taken["tcp"].update(asked.ports)  # a dynamic port is none that another of its containers has fixed
    taken["udp"].update(asked.ports_udp)
    dynamic = instance_network.DYNAMIC_PORTS
    bound = [
        task
        for task in tasks
        if task.placement is not None and any(each.host_port in dynamic for each in task.placement.bindings)
    ]
    given = [each.host_ports[-1] for placement in _latest(bound) for each in placement.bindings]
    last = max((port for port in given if port in dynamic), default=None)
    found: list[PortBinding] = []
    for container, mapping in _mapped(wanted.containers):
        host_port, count = mapping.host_port, len(mapping.ports)
        if not host_port:
            host_port = instance_network.next_ports(taken[mapping.protocol], last, count)
            last = host_port + count - 1
        binding = PortBinding(
            container=container.name,
            container_port=mapping.container_port,
            host_port=host_port,
            count=count if mapping.last_container_port is not None else None,
            protocol=mapping.protocol,
        )
        taken[mapping.protocol].update(binding.host_ports)
        found.append(binding)
    return tuple(found)
