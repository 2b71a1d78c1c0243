"""Placement for any fleet and any tasks: nothing is given out twice, and nothing more than there is."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from portside.domain import placement
from portside.domain.capacity import Capacity
from portside.domain.container_instance import RESERVED_PORTS, ContainerInstance, registered
from portside.domain.instance import Instance
from portside.domain.placement import Constraints, Placed, Strategy
from portside.domain.record import Scope, replace
from portside.domain.task.record import NetworkRequest, Task, TaskStatus
from portside.domain.task_definition import ContainerDefinition, PortMapping
from portside.domain.user_data import AgentConfiguration
from portside.domain.vpc import Subnet

SCOPE = Scope(account="000000000000", region="us-east-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SUBNETS = tuple(
    Subnet(
        scope=SCOPE,
        id=f"subnet-{zone}",
        vpc_id="vpc-1",
        cidr_block="10.0.0.0/24",
        zone=f"us-east-1{zone}",
        zone_id=zone,
        created_at=NOW,
    )
    for zone in "ab"
)
REQUEST = NetworkRequest(subnet_ids=("subnet-a", "subnet-b"))


def an_instance(number: int, kind: str, zone: str) -> ContainerInstance:
    return registered(
        Instance(
            scope=SCOPE,
            id=f"i-{number}",
            reservation_id="r-1",
            image_id="ami-1",
            instance_type=kind,
            eni_id="eni-1",
            subnet_id=f"subnet-{zone}",
            vpc_id="vpc-1",
            zone=f"us-east-1{zone}",
            address=f"10.0.0.{number}",
            launched_at=NOW,
        ),
        cluster="default",
        new_id=f"{number:032x}",
        private_dns_name="",
        configuration=AgentConfiguration(),
        architecture="x86_64",
        interfaces_taken=1,
        now=NOW,
    )


def a_task(number: int, mode: Any, containers: tuple[ContainerDefinition, ...]) -> Task:
    return Task(
        scope=SCOPE,
        cluster="default",
        id=f"{number:032x}",
        task_definition_arn="arn",
        family="web",
        revision=1,
        group=f"family:{number % 3}",
        launch_type="EC2",
        network_mode=mode,
        network=REQUEST if mode == "awsvpc" else None,
        containers=containers,
        created_at=NOW + timedelta(seconds=number // 3),
        cause_id="test",
    )


ports = st.builds(
    PortMapping,
    container_port=st.just(80),
    last_container_port=st.sampled_from([None, None, 84]),
    host_port=st.sampled_from([0, 0, 22, 8080, 32768, 32769]),
    protocol=st.sampled_from(["tcp", "udp"]),
).map(lambda each: replace(each, host_port=0) if each.last_container_port else each)


def has_each_port_once(found: tuple[ContainerDefinition, ...]) -> bool:
    """As registration demands of the fixed ports of one definition."""
    fixed = [(each.protocol, each.host_port) for one in found for each in one.port_mappings if each.host_port]
    return len(fixed) == len(set(fixed))


containers = (
    st.lists(
        st.builds(
            ContainerDefinition,
            name=st.just("main"),
            image=st.just("busybox"),
            cpu_units=st.sampled_from([0, 100, 1024, 4096]),
            memory_mib=st.sampled_from([64, 512, 4096]),
            port_mappings=st.lists(ports, max_size=1).map(tuple),
        ),
        min_size=1,
        max_size=2,
    )
    .map(lambda found: tuple(replace(each, name=f"c{index}") for index, each in enumerate(found)))
    .filter(has_each_port_once)
)
strategies = st.lists(
    st.sampled_from(
        [
            Strategy(type="random"),
            Strategy(type="binpack", field="cpu"),
            Strategy(type="binpack", field="memory"),
            Strategy(type="spread", field="attribute:ecs.availability-zone"),
            Strategy(type="spread", field="attribute:ecs.instance-type"),
            Strategy(type="spread", field="instanceId"),
        ]
    ),
    max_size=3,
)


@settings(max_examples=200, deadline=None)
@given(
    fleet=st.lists(st.tuples(st.sampled_from(["t3.nano", "t3.small", "m5.large"]), st.sampled_from("ab")), max_size=4),
    wanted=st.lists(
        st.tuples(st.sampled_from(["bridge", "host", "none", "awsvpc"]), containers, strategies, st.booleans()),
        max_size=12,
    ),
    ends=st.sets(st.integers(0, 11)),
)
def test_nothing_is_given_out_twice(
    fleet: list[tuple[str, str]],
    wanted: list[tuple[str, tuple[ContainerDefinition, ...], list[Strategy], bool]],
    ends: set[int],
) -> None:
    """No instance has less than nothing left; fixed and dynamic ports, addresses on a bridge and interfaces are one
    task's; a distinct one is alone of its group; what fits nowhere has a reason for each instance."""
    instances = [an_instance(number, kind, zone) for number, (kind, zone) in enumerate(fleet, start=4)]
    tasks: dict[str, list[Task]] = {each.id: [] for each in instances}
    for number, (mode, described, strategy, distinct) in enumerate(wanted):
        task = a_task(number, mode, described)
        found = Capacity(instances, tasks, {each.id: each for each in SUBNETS}.get).place(
            placement.wanted_of(task),
            task.network,
            strategies=strategy,
            constraints=Constraints(distinct=distinct),
            luck=number,
        )
        if not isinstance(found, Placed):
            assert {each.id for each, _ in found} == set(tasks)
            assert all(reason for _, reason in found)
            continue
        home = found.placement.container_instance
        live = [each for each in tasks[home] if each.last_status < TaskStatus.STOPPED]
        assert not distinct or all(each.group != task.group for each in live)
        if task.network is not None:
            assert found.network is not None
            assert found.network.subnet_ids == (f"subnet-{found.placement.zone[-1]}",)
        ended = number in ends
        tasks[home].append(
            replace(
                task,
                placement=found.placement,
                last_status=TaskStatus.STOPPED if ended else TaskStatus.RUNNING,
                stopped_at=NOW if ended else None,
            )
        )
        for instance in instances:
            check(instance, [each for each in tasks[instance.id] if each.last_status < TaskStatus.STOPPED])


def ranked(instances: list[ContainerInstance], tasks: dict[str, list[Task]], group: str, by: list[Strategy]) -> Any:
    """The instances' ranks as the strategies say, worked out from scratch."""
    live = {home: [each for each in on if each.last_status < TaskStatus.STOPPED] for home, on in tasks.items()}
    peers = {home: sum(each.group == group for each in on) for home, on in live.items()}

    def of(instance: ContainerInstance) -> tuple[int, ...]:
        left, found = placement.room(instance, live[instance.id]), []
        for each in by or placement.DEFAULT:
            match each.type, each.field:
                case "random", _:
                    found.append(0)
                case "binpack", field:
                    found.append(left.cpu_units if field == "cpu" else left.memory_mib)
                case _, "instanceId":
                    found.append(peers[instance.id])
                case _, "attribute:ecs.availability-zone":
                    found.append(sum(peers[other.id] for other in instances if other.zone == instance.zone))
                case _:
                    kind = instance.instance_type
                    found.append(sum(peers[other.id] for other in instances if other.instance_type == kind))
        return tuple(found)

    return {each.id: of(each) for each in instances}


@settings(max_examples=200, deadline=None)
@given(
    fleet=st.lists(
        st.tuples(st.sampled_from(["t3.nano", "t3.small", "m5.large"]), st.sampled_from("ab")), min_size=1, max_size=6
    ),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["place", "place", "place", "stop", "forget", "leave", "return"]),
            st.integers(0, 30),
            strategies,
            st.booleans(),
        ),
        max_size=30,
    ),
)
def test_what_is_kept_is_what_is_there(
    fleet: list[tuple[str, str]], steps: list[tuple[str, int, list[Strategy], bool]]
) -> None:
    """One capacity that follows tasks and instances as they come and go answers every question as one made anew does:
    with the instance that the strategies put first, worked out from scratch, or with a reason for each."""
    instances = {
        each.id: each for each in (an_instance(n, kind, zone) for n, (kind, zone) in enumerate(fleet, start=4))
    }
    away: set[str] = set()
    tasks: dict[str, list[Task]] = {each: [] for each in instances}
    kept = Capacity(instances.values())
    small = ContainerDefinition(name="main", image="busybox", cpu_units=300, memory_mib=300)
    for number, (what, choice, by, distinct) in enumerate(steps):
        home = list(instances)[choice % len(instances)]
        on = tasks[home]
        if what == "leave":
            away.add(home)
            kept.discard(home)
        elif what == "return":
            away.discard(home)
            kept.put(instances[home], on)
        elif what in ("stop", "forget") and on:
            gone = on.pop(choice % len(on))
            if what == "stop":
                on.append(replace(gone, last_status=TaskStatus.STOPPED, stopped_at=NOW))
                kept.add(on[-1])
            else:
                kept.remove(gone)
        elif what == "place":
            task = a_task(number, "none", (small,))
            here = [each for each in instances.values() if each.id not in away]
            asked: dict[str, Any] = {"strategies": by, "constraints": Constraints(distinct=distinct)}
            found = kept.place(placement.wanted_of(task), None, **asked)
            anew = Capacity(here, tasks).place(placement.wanted_of(task), None, **asked)
            if not isinstance(found, Placed):
                assert not isinstance(anew, Placed)
                assert {(each.id, why) for each, why in found} == {(each.id, why) for each, why in anew}
                continue
            assert isinstance(anew, Placed)
            chosen = found.placement.container_instance
            ranks = ranked(here, {each.id: tasks[each.id] for each in here}, task.group, by)
            fits = [
                each.id
                for each in here
                if placement.lacking(
                    each, placement.room(each, _live(tasks[each.id])), placement.demand(placement.wanted_of(task))
                )
                is None
                and not (distinct and any(other.group == task.group for other in _live(tasks[each.id])))
            ]
            assert chosen in fits
            assert ranks[chosen] == min(ranks[each] for each in fits)
            assert ranks[anew.placement.container_instance] == ranks[chosen]
            placed = replace(task, placement=found.placement, last_status=TaskStatus.RUNNING)
            tasks[chosen].append(placed)
            kept.add(placed)


def _live(tasks: list[Task]) -> list[Task]:
    return [each for each in tasks if each.last_status < TaskStatus.STOPPED]


def test_random_goes_everywhere() -> None:
    """By chance alone, all instances get about as many tasks, however often the same is asked."""
    instances = [an_instance(number, "m5.large", "a") for number in range(4, 14)]
    capacity, counts = Capacity(instances), dict.fromkeys((each.id for each in instances), 0)
    tiny = ContainerDefinition(name="main", image="busybox", memory_mib=1)
    for number in range(1000):
        task = a_task(number, "none", (tiny,))
        random = [Strategy(type="random")]
        found = capacity.place(placement.wanted_of(task), None, strategies=random, luck=number * 7919 % 999_983 + 1)
        assert isinstance(found, Placed)
        counts[found.placement.container_instance] += 1
        capacity.add(replace(task, placement=found.placement, last_status=TaskStatus.RUNNING))
    assert min(counts.values()) > 60
    assert max(counts.values()) < 160


def check(instance: ContainerInstance, live: list[Task]) -> None:
    left = placement.room(instance, live)
    assert min(left.cpu_units, left.memory_mib, left.interfaces) >= 0
    bindings = [each for task in live if task.placement for each in task.placement.bindings]
    given = [(each.protocol, port) for each in bindings for port in each.host_ports]
    assert len(given) == len(set(given))
    assert not {port for protocol, port in given if protocol == "tcp"} & set(RESERVED_PORTS)
    addresses = [each.address for task in live if task.placement for each in task.placement.endpoints]
    assert len(addresses) == len(set(addresses))
    for task in live:
        assert task.placement is not None
        assert bool(task.placement.endpoints) == (task.network_mode == "bridge")
