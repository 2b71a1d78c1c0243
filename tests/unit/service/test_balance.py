"""Availability Zone rebalancing: what is moved, what is said, and that it ends even without going below or above."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_scheduler import DEFINITIONS, NEW, NOW, deployment, service, stopped, task

from portside.domain.placement import Constraints, Strategy
from portside.domain.record import replace
from portside.domain.service import balance, scheduler
from portside.domain.service.record import RolloutState, Service
from portside.domain.service.scheduler import ServicePlan, plan
from portside.domain.task.record import EniAttachment, Task, TaskStatus

ZONES = ("a", "b", "c")


def even(desired: int, **changes: object) -> Service:
    done = deployment(rollout_state=RolloutState.COMPLETED)
    values: dict[str, object] = {"az_rebalancing": "ENABLED", "steady": True, "throttled_deployment": NEW}
    return service(desired, done, **(values | changes))


def planned(of: Service, tasks: list[Task]) -> ServicePlan:
    return plan(of, tasks, [], DEFINITIONS, now=NOW, zones=ZONES)


def messages(result: ServicePlan, *started: str) -> list[str]:
    return list(scheduler.messages_of(result, started))


def test_a_task_is_moved() -> None:
    """A task starts where the fewest are; once it is healthy, one goes where the most are; then it says so."""
    tasks = [task(number) for number in (1, 2, 3)]
    begun = planned(even(3), tasks)
    assert begun.start is not None
    assert (begun.start.zone, begun.start.count, stopped(begun)) == ("b", 1, [])
    assert messages(begun, "x") == [
        "(service web) is not AZ balanced with 3 tasks in a, 0 tasks in b, and 0 tasks in c. "
        "AZ Rebalancing in progress.",
        "(service web) has started 1 tasks in b to AZ Rebalance: (task x).",
    ]
    fresh = task(4, TaskStatus.PENDING, zone="b")
    of = scheduler.settle(begun, [fresh.id], ["1", "2"], now=NOW)
    assert stopped(planned(of, [*tasks, fresh])) == []
    moved = planned(of, [*tasks, task(4, zone="b")])
    assert (stopped(moved), messages(moved)) == (
        [3],
        [f"(service web) has stopped 1 running tasks in a due to AZ rebalancing: (task {tasks[2].id})."],
    )
    rest = planned(moved.service, [*tasks[:2], task(4, zone="b")])
    assert rest.start is not None
    assert rest.start.zone == "c"
    over = planned(rest.service, [tasks[0], task(4, zone="b"), task(5, zone="c")])
    assert "(service web) is AZ balanced with 1 tasks in a, 1 tasks in b, and 1 tasks in c." in over.messages
    assert not over.service.rebalancing


@pytest.mark.parametrize(
    "changes",
    [
        {"az_rebalancing": "DISABLED"},
        {"steady": False},
        {"start_not_before": NOW + timedelta(seconds=1)},
        {"maximum_percent": 100, "minimum_healthy_percent": 0},
    ],
)
def test_nothing_is_moved(changes: dict[str, object]) -> None:
    """Nothing is moved unasked, before the steady state, while starts are held back, or without room."""
    assert planned(even(3, **changes), [task(number) for number in (1, 2, 3)]).start is None


def test_a_task_that_is_not_healthy_yet_keeps_all_in_place() -> None:
    """Zones are not looked at while a task is starting."""
    tasks = [task(1), task(2), task(3), task(4, started_at=NOW)]
    assert planned(even(4), tasks).start is None


def test_what_can_not_be_rebalanced() -> None:
    """Daemons, no room, and placement that decides on zones by itself."""

    def hindrance(**changes: object) -> str:
        values: dict[str, object] = {
            "is_daemon": False,
            "is_classic": False,
            "maximum_percent": 200,
            "strategies": (),
            "constraints": Constraints(),
        }
        return balance.hindrance(**(values | changes))  # type: ignore[arg-type]

    assert not hindrance()
    assert not hindrance(strategies=(Strategy(type="spread", field=balance.ZONE), Strategy(type="random")))
    assert hindrance(is_daemon=True)
    assert hindrance(is_classic=True)
    assert hindrance(maximum_percent=100)
    assert hindrance(strategies=(Strategy(type="binpack", field="cpu"),))
    assert hindrance(constraints=Constraints(expressions=(f"{balance.ZONE} == us-east-1a",)))


@given(st.lists(st.sampled_from(ZONES), min_size=1, max_size=12), st.sampled_from([120, 150, 200]))
def test_it_ends_even(places: list[str], maximum: int) -> None:
    """From any distribution the zones get even, unless there is no room for one task more; on the way there are never
    fewer healthy tasks than desired, and never more tasks than the maximum."""
    desired = len(places)
    of = even(desired, maximum_percent=maximum)
    most = scheduler.upper_limit(desired, maximum)
    tasks = [task(number, zone=zone) for number, zone in enumerate(places)]
    number = desired
    for _ in range(100):
        result = planned(of, tasks)
        ids: list[str] = []
        if result.start is not None:
            for _ in range(result.start.count):
                fresh = task(number, TaskStatus.PENDING, zone=result.start.zone or "a")
                tasks, ids, number = [*tasks, fresh], [*ids, fresh.id], number + 1
        count = len(scheduler.messages_of(result, ids))
        of = scheduler.settle(result, ids, [str(each) for each in range(count)], now=NOW)
        gone = {each.task.id for each in result.stops}
        tasks = [each for each in tasks if each.id not in gone]
        assert len(tasks) <= max(most, desired)
        assert sum(each.last_status is TaskStatus.RUNNING for each in tasks) >= desired
        if not ids and not gone:
            break
        tasks = [_run(each) for each in tasks]
    counts = balance.counted(ZONES, (_zone(each) for each in tasks))
    assert len(tasks) == desired
    assert balance.is_even(counts) or most == desired
    assert not of.rebalancing or most == desired


def _run(of: Task) -> Task:
    return replace(of, last_status=TaskStatus.RUNNING, started_at=of.started_at or NOW - timedelta(hours=1))


def _zone(of: Task) -> str:
    assert isinstance(of.eni, EniAttachment)
    return of.eni.zone
