"""The one thing that keeps a service from its steady state."""

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from test_scheduler import NEW, NOW, OLD, S, deployment, service, task

from portside.domain.load_balancer import Target
from portside.domain.record import replace
from portside.domain.service import event
from portside.domain.service.record import RolloutState, Service, ServiceEvent
from portside.domain.service.why import blocked
from portside.domain.task.record import ContainerHistory, HealthStatus, Stop, StopCode, TargetRef, Task
from portside.domain.task_definition import ContainerDefinition, HealthCheck

GROUP = "arn:aws:elasticloadbalancing:r:0:targetgroup/web/1"


def what(of: Service, *tasks: Task, targets: Any = ()) -> str | None:
    found = blocked(of, tasks, {(each.target_group_arn, each.id, each.port): each for each in targets}, now=NOW)
    return found.what if found is not None else None


def registered(of: Task, **changes: Any) -> Target:
    assert of.eni is not None
    made = Target(scope=of.scope, target_group_arn=GROUP, id=of.eni.address, port=80, registered_at=NOW)
    return replace(made, **changes)


def behind(of: Task) -> Task:
    return replace(of, targets=(TargetRef(target_group_arn=GROUP, container_name="main", container_port=80),))


def test_nothing() -> None:
    """A service with all its tasks running, and one that wants none."""
    assert what(service(2), task(1), task(2)) is None
    assert what(service(0)) is None


def test_held_back() -> None:
    """After failures: how many, until when, and how the last one ended."""
    stop = Stop(code=StopCode.TASK_FAILED_TO_START, reason="CannotPullContainerError: not found", at=NOW)
    failed = task(1, S.STOPPED, stop=stop, stopped_at=NOW)
    of = service(1, start_not_before=NOW + timedelta(seconds=8), consecutive_start_failures=3)
    found = blocked(of, [failed], {}, now=NOW)
    assert found is not None
    assert found.until == NOW + timedelta(seconds=8)
    assert found.task == failed.id
    assert "3 in a row" in found.what
    assert found.mend
    assert "CannotPullContainerError: not found" in found.what
    assert blocked(of, [task(2)], {}, now=NOW + timedelta(seconds=9)) is None


def test_given_up_or_deleted() -> None:
    """A failed deployment says why; a service that is deleted waits for its tasks."""
    failed = deployment(rollout_state=RolloutState.FAILED, rollout_reason="ECS deployment circuit breaker: x.")
    assert "has failed: ECS deployment circuit breaker: x." in str(what(service(1, failed)))
    assert "being deleted: 1 task is still to end" in str(what(replace(service(0), status="DRAINING"), task(1)))


def test_no_room() -> None:
    """The event that says so, unless the service has been steady since."""
    said = "(service web) was unable to place a task because no container instance met all of its requirements."
    told = ServiceEvent(id="1", at=NOW, message=said)
    calm = ServiceEvent(id="2", at=NOW, message="(service web) has reached a steady state.")
    assert (
        what(service(1, events=(told,)))
        == "Was unable to place a task because no container instance met all of its requirements."
    )
    assert what(service(1, events=(calm, told))) == "1 of 1 tasks are not started yet."


def test_starting_and_unhealthy() -> None:
    """The oldest task that does not run yet; a health check that fails or has not passed; targets, with the reason."""
    late = task(2, S.PENDING)
    assert str(what(service(2), task(1), late)).startswith(f"Task {late.id[:8]} is starting. It does not run yet")
    container = ContainerDefinition(name="main", image="i", health_check=HealthCheck(command=("CMD", "x")))
    history = ContainerHistory(name="main", runtime_id="r")
    checked = replace(task(1), containers=(container,), history=(history,))
    assert "has not passed yet" in str(what(service(1), checked))
    sick = replace(checked, history=(replace(history, health=HealthStatus.UNHEALTHY),))
    assert "fails" in str(what(service(1), sick))
    one = behind(task(1))
    assert "is not registered with target group web" in str(what(service(1), one))
    assert "has not found" in str(what(service(1), one, targets=[registered(one)]))
    apart = registered(one, failure_detail="Its zone is not enabled")
    assert "gets nothing from target group web: Its zone" in str(what(service(1), one, targets=[apart]))
    bad = registered(one, checked="unhealthy", failure_detail="Request timed out")
    assert "is unhealthy in target group web: Request timed out." in str(what(service(1), one, targets=[bad]))
    assert what(service(1), one, targets=[registered(one, checked="healthy")]) is None


def test_what_was_before() -> None:
    """Older tasks: drained, ending, or in the way of new ones."""
    stop = Stop(code=StopCode.SERVICE_SCHEDULER_INITIATED, reason="", at=NOW)
    of = service(1, deployment(NEW), deployment(OLD, status="ACTIVE"))
    good = task(1)
    old = task(2, of=OLD)
    assert "of an older deployment" in str(what(of, good, old))
    assert "ending" in str(what(of, good, replace(old, stop=stop)))
    assert "taken out of its target groups" in str(what(of, good, replace(behind(old), stop=stop)))
    full = replace(of, maximum_percent=100)
    assert "maximumPercent 100 lets no more than 1" in str(what(full, old))


def test_zones_and_alarms() -> None:
    """Tasks that are moved between zones, and what keeps them where they are; alarms that are watched still."""
    moving = service(1, rebalancing=True)
    assert what(moving, task(1)) == "Its tasks are moved between Availability Zones, until these are even."
    messages = [event.unbalanced("web", {"a": 2, "b": 0}), event.unmoved("web", "b")]
    full = event.with_events(moving, messages, ["1", "2"], now=NOW)
    assert str(what(full, task(1))).startswith("Is unable to place a task in b because")
    baking = service(1, deployment(baking_until=NOW))
    assert what(baking, task(1)) == "All is well; its alarms are watched a while longer."


@given(st.integers(0, 3), st.lists(st.tuples(st.sampled_from(list(S)), st.sampled_from([OLD, NEW])), max_size=4))
def test_any_tasks(desired: int, states: list[tuple[S, str]]) -> None:
    """There is a reason, or the tasks that there should be run and no others are there."""
    tasks = [task(number, state, of=of) for number, (state, of) in enumerate(states)]
    of = service(desired, deployment(NEW), deployment(OLD, status="ACTIVE"))
    if blocked(of, tasks, {}, now=NOW) is None:
        live = [each for each in tasks if each.last_status < S.STOPPED]
        assert all(each.deployment_id == NEW for each in live)
        assert len(live) >= desired
        assert all(each.last_status >= S.RUNNING for each in live)
