"""The deployment circuit breaker, and the history of deployments that follows the service."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_scheduler import DEFINITIONS, NEW, NOW, OLD, S, deployment, planned, service, task

from portside.domain.alarm import Alarm, State
from portside.domain.record import replace
from portside.domain.service import breaker, event, rollout
from portside.domain.service.record import CircuitBreaker, DeploymentAlarms, RolloutState, Service
from portside.domain.service.scheduler import ServicePlan, plan
from portside.domain.task.record import Stop, StopCode, Task

ON = CircuitBreaker(enable=True, rollback=True)
GOOD = deployment(OLD, status="PRIMARY", rollout_state=RolloutState.COMPLETED)


def failed(number: int, *, ran: bool = False) -> Task:
    """A task of the new deployment that never ran, or that ended by itself."""
    code = StopCode.ESSENTIAL_CONTAINER_EXITED if ran else StopCode.TASK_FAILED_TO_START
    stop = Stop(code=code, reason="", at=NOW)
    return task(number, S.STOPPED, stop=stop, started_at=NOW - timedelta(seconds=8) if ran else None)


def watching(tasks: list[Task], *, breaker: CircuitBreaker = ON, desired: int = 1, failures: int = 0) -> Service:
    return service(
        desired,
        deployment(failed_tasks=failures),
        replace(GOOD, status="ACTIVE"),
        breaker=breaker,
        last_completed=GOOD,
        watched=tuple(each.id for each in tasks),
    )


@pytest.mark.parametrize(
    ("kind", "value", "desired", "expected"),
    [
        ("BOUNDED_PERCENT", 50, 1, 3),
        ("BOUNDED_PERCENT", 50, 25, 13),
        ("BOUNDED_PERCENT", 50, 1000, 200),
        ("UNBOUNDED_PERCENT", 50, 1, 1),
        ("UNBOUNDED_PERCENT", 50, 1000, 500),
        ("UNBOUNDED_PERCENT", 200, 10, 20),
        ("COUNT", 7, 1000, 7),
    ],
)
def test_thresholds(kind: str, value: int, desired: int, expected: int) -> None:
    """Half of the tasks, rounded up, between 3 and 200, unless told otherwise."""
    assert breaker.threshold(CircuitBreaker(threshold_type=kind, threshold=value), desired) == expected  # type: ignore[arg-type]


def test_trips_at_the_threshold_and_not_before() -> None:
    """Two failures are counted, the third gives the deployment up: the last completed one is PRIMARY again, in AWS's
    words, the failed one is on its way out, and no task of it is started any more."""
    good = task(9, of=OLD)
    tasks = [failed(1), failed(2)]
    result = planned(watching(tasks), [good, *tasks])
    assert result.service.deployments[0].failed_tasks == 2
    assert result.service.deployments[0].rollout_state is RolloutState.IN_PROGRESS
    third = failed(3, ran=True)
    again = replace(result.service, watched=(third.id,))
    result = planned(again, [good, third])
    primary, old = result.service.deployments
    assert (primary.id, primary.status, primary.rollout_state) == (OLD, "PRIMARY", RolloutState.IN_PROGRESS)
    assert primary.rollout_reason == "ECS deployment circuit breaker: rolling back to deploymentId ecs-svc/1."
    assert (old.id, old.status, old.rollout_state) == (NEW, "ACTIVE", RolloutState.FAILED)
    assert old.rollout_reason == "ECS deployment circuit breaker: tasks failed to start."
    assert result.messages[-2:] == (
        "(service web) (deployment ecs-svc/2) deployment failed: tasks failed to start.",
        "(service web) rolling back to (deployment ecs-svc/1).",
    )
    assert result.start is None
    assert not result.stops


@pytest.mark.parametrize("rollback", [True, False])
def test_stalls_without_a_candidate(rollback: bool) -> None:
    """With no completed deployment to go back to, or no wish to, the deployment is FAILED and starts nothing more."""
    tasks = [failed(1), failed(2), failed(3)]
    of = replace(watching(tasks, breaker=replace(ON, rollback=rollback)), last_completed=None if rollback else GOOD)
    result = planned(of, tasks)
    primary = result.service.deployments[0]
    assert (primary.id, primary.status, primary.rollout_state) == (NEW, "PRIMARY", RolloutState.FAILED)
    reason = "ECS deployment circuit breaker: tasks failed to start."
    assert primary.rollout_reason == (f"{reason} {breaker.NO_CANDIDATE}" if rollback else reason)
    assert result.start is None
    assert planned(result.service, []).start is None


def alarm(name: str, state: State, *, ago_s: float) -> Alarm:
    at = NOW - timedelta(seconds=ago_s)
    return Alarm(scope=OWN.scope, name=name, state=state, updated_at=at, state_at=at, transitioned_at=at)


OWN = service(1)


@pytest.mark.parametrize("rollback", [True, False])
def test_an_alarm_ends_a_deployment(rollback: bool) -> None:
    """One that goes off while the deployment is under way gives it up; one that did before, or is off, does not."""
    began = NOW - timedelta(seconds=60)
    of = replace(watching([]), alarms=DeploymentAlarms(names=("busy", "calm"), enable=True, rollback=rollback))
    of = replace(of, deployments=(replace(of.deployments[0], updated_at=began), *of.deployments[1:]))

    def after(*alarms: Alarm) -> ServicePlan:
        return plan(of, [task(9, of=OLD)], [], DEFINITIONS, now=NOW, alarms=alarms)

    for others in ([], [alarm("busy", "OK", ago_s=5)], [alarm("busy", "ALARM", ago_s=61)]):
        assert after(*others).service.deployments[0].rollout_state is RolloutState.IN_PROGRESS
    result = after(alarm("busy", "ALARM", ago_s=5), alarm("calm", "OK", ago_s=5))
    given_up = next(each for each in result.service.deployments if each.id == NEW)
    assert (given_up.rollout_state, given_up.triggered_alarms) == (RolloutState.FAILED, ("busy",))
    assert given_up.rollout_reason == "ECS deployment alarms: alarm detected."
    assert result.messages[0] == "(service web) (deployment ecs-svc/2) deployment failed: alarm detected."
    primary = result.service.deployments[0]
    assert (primary.id, primary.rollout_state) == (
        (OLD, RolloutState.IN_PROGRESS) if rollback else (NEW, RolloutState.FAILED)
    )
    # What it is rolled back to is not given up by the same alarm.
    again = plan(result.service, [task(9, of=OLD)], [], DEFINITIONS, now=NOW, alarms=[alarm("busy", "ALARM", ago_s=5)])
    assert again.service.deployments[0].id == primary.id
    assert again.service.deployments[0].rollout_state is not (
        RolloutState.FAILED if rollback else RolloutState.COMPLETED
    )


def test_a_healthy_task_ends_the_count_unless_told_otherwise() -> None:
    """A task that becomes healthy resets the count; one that was healthy before does not, nor any where that is off."""
    healthy, bad = task(5), failed(1)
    of = replace(watching([bad], desired=2, failures=2), healthy=())
    counted = planned(of, [healthy, bad]).service
    assert counted.deployments[0].failed_tasks == 1
    assert counted.healthy == (healthy.id,)
    more = failed(2)
    assert planned(replace(counted, watched=(more.id,)), [healthy, more]).service.deployments[0].failed_tasks == 2
    kept = replace(of, breaker=CircuitBreaker(reset_on_healthy_task=False))
    assert planned(kept, [healthy, bad]).service.deployments[0].failed_tasks == 3


@given(st.lists(st.sampled_from(["complete", "fail", "roll back", "done back", "fail back", "same"]), max_size=12))
def test_history_follows_and_ends(steps: list[str]) -> None:
    """Whatever becomes of a deployment, its history never leaves an end it has reached, and tells the same twice."""
    now = NOW
    state = service(1, deployment(), breaker=ON, rollout_id="r", last_completed=GOOD)
    record, _ = rollout.begun(state, "r", before=None, now=now)
    for step in steps:
        now += timedelta(seconds=1)
        primary = state.deployments[0]
        match step:
            case "complete" | "done back":
                done = replace(primary, rollout_state=RolloutState.COMPLETED)
                state = replace(state, deployments=(done, *state.deployments[1:]))
            case "fail" | "fail back":
                state = breaker.given_up(state, primary, by="X", why="y.", roll_back=False, now=now).service
            case "roll back":
                state = breaker.given_up(state, primary, by="X", why="y.", roll_back=True, now=now).service
        before = record
        record = rollout.followed(record, state, now=now)
        assert rollout.followed(record, state, now=now + timedelta(seconds=9)) is record
        if before.status in rollout.ENDED:
            assert record is before
        assert (record.finished_at is not None) == (record.status in rollout.ENDED)
        assert (record.rollback is not None) == record.status.startswith("ROLLBACK")


def test_alarms_are_watched_a_while_longer() -> None:
    """A deployment that is done is watched as long as its slowest alarm needs: it is COMPLETED after that, with one
    steady state told, or rolled back if an alarm goes off meanwhile."""
    slow = replace(alarm("errors", "OK", ago_s=0), period_s=60, evaluation_periods=5)
    of = service(
        1,
        deployment(),
        alarms=DeploymentAlarms(names=("errors",), enable=True, rollback=True),
        last_completed=deployment(OLD, rollout_state=RolloutState.COMPLETED),
    )
    done = plan(of, [task(1)], [], DEFINITIONS, now=NOW, alarms=[slow])
    (baking,) = done.service.deployments
    later = NOW + timedelta(minutes=5)
    assert (baking.rollout_state, baking.baking_until, done.service.steady) == (RolloutState.IN_PROGRESS, later, True)
    assert done.wake_at == later
    on = event.with_events(done.service, done.messages, ["1"] * len(done.messages), now=NOW)
    over = plan(on, [task(1)], [], DEFINITIONS, now=later, alarms=[slow])
    assert over.service.deployments[0].rollout_state is RolloutState.COMPLETED
    assert over.messages == (event.completed("web", NEW),)
    rang = replace(slow, state="ALARM", transitioned_at=NOW + timedelta(minutes=1))
    back = plan(on, [task(1)], [], DEFINITIONS, now=NOW + timedelta(minutes=1), alarms=[rang])
    assert [each.id for each in back.service.deployments] == [OLD, NEW]
