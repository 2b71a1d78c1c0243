"""The scheduler's plan: one decision at a time, and its safety for any state."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portside.domain import arn
from portside.domain.cluster import CapacityProviderShare
from portside.domain.load_balancer import Target
from portside.domain.record import Scope, replace
from portside.domain.service import event, scheduler
from portside.domain.service.record import Deployment, RolloutState, Service
from portside.domain.service.scheduler import ServicePlan, plan
from portside.domain.task.record import (
    ContainerHistory,
    EniAttachment,
    HealthStatus,
    NetworkRequest,
    Placement,
    Stop,
    StopCode,
    TargetRef,
    Task,
    TaskStatus,
)
from portside.domain.task_definition import ContainerDefinition, HealthCheck, TaskDefinition

SCOPE = Scope(account="000000000000", region="us-east-1")
GROUP = arn.target_group(SCOPE, "web", "0123456789abcdef")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)
NEW, OLD = "ecs-svc/2", "ecs-svc/1"
REF = TargetRef(target_group_arn=GROUP, container_name="web", container_port=80)
S = TaskStatus


def definition(revision: int = 1) -> TaskDefinition:
    return TaskDefinition(
        scope=SCOPE,
        family="web",
        revision=revision,
        containers=(ContainerDefinition(name="web", image="web"),),
        network_mode="awsvpc",
        registered_at=LONG_AGO,
        registered_by="test",
    )


DEFINITIONS = {arn.task_definition(SCOPE, "web", revision): definition(revision) for revision in (1, 2)}


def deployment(id_: str = NEW, **changes: object) -> Deployment:
    values: dict[str, object] = {
        "id": id_,
        "status": "PRIMARY" if id_ == NEW else "ACTIVE",
        "task_definition_arn": arn.task_definition(SCOPE, "web", 2 if id_ == NEW else 1),
        "desired_count": 0,
        "network": NetworkRequest(subnet_ids=("subnet-a", "subnet-b")),
        "launch_type": "FARGATE",
        "platform_version": "1.4.0",
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
    }
    return Deployment(**(values | changes))  # type: ignore[arg-type]


def service(desired: int, *deployments: Deployment, **changes: object) -> Service:
    values: dict[str, object] = {
        "scope": SCOPE,
        "cluster": "default",
        "name": "web",
        "desired_count": desired,
        "deployments": deployments or (deployment(),),
        "created_at": LONG_AGO,
        "created_by": "test",
        "throttled_deployment": NEW,
    }
    return Service(**(values | changes))  # type: ignore[arg-type]


def task(number: int, status: TaskStatus = S.RUNNING, *, of: str = NEW, zone: str = "a", **changes: object) -> Task:
    address = f"10.0.{number // 250}.{number % 250}"
    values: dict[str, object] = {
        "scope": SCOPE,
        "cluster": "default",
        "id": f"{number:032x}",
        "task_definition_arn": arn.task_definition(SCOPE, "web", 1),
        "family": "web",
        "revision": 1,
        "group": "service:web",
        "launch_type": "FARGATE",
        "containers": definition().containers,
        "network": NetworkRequest(subnet_ids=("subnet-a",)),
        "service": "web",
        "deployment_id": of,
        "created_at": LONG_AGO + timedelta(seconds=number),
        "cause_id": "test",
        "last_status": status,
        "eni": EniAttachment(
            eni_id=f"eni-{number}",
            subnet_id=f"subnet-{zone}",
            vpc_id="vpc-1",
            zone=zone,
            address=address,
            prefix_length=16,
            gateway="10.0.0.1",
            mac_address="",
            private_dns_name="",
            security_group_ids=(),
        )
        if status > S.PROVISIONING
        else None,
        "started_at": LONG_AGO + timedelta(minutes=1) if status >= S.RUNNING else None,
    }
    return Task(**(values | changes))  # type: ignore[arg-type]


def balanced(number: int, status: TaskStatus = S.RUNNING, **changes: object) -> Task:
    return task(number, status, targets=(REF,), targets_registered_at=LONG_AGO, **changes)  # type: ignore[arg-type]


def target(of: Task, checked: str, **changes: object) -> Target:
    assert of.eni is not None
    return Target(
        scope=SCOPE,
        target_group_arn=GROUP,
        id=of.eni.address,
        port=80,
        registered_at=LONG_AGO,
        checked=checked,  # type: ignore[arg-type]
        **changes,  # type: ignore[arg-type]
    )


def planned(of: Service, tasks: list[Task], targets: list[Target] | None = None) -> ServicePlan:
    return plan(of, tasks, targets or [], DEFINITIONS, now=NOW)


def stopped(result: ServicePlan) -> list[int]:
    return sorted(int(each.task.id, 16) for each in result.stops)


def started(result: ServicePlan) -> int:
    return result.start.count if result.start is not None else 0


def test_starts_what_is_missing() -> None:
    """A new service starts as many tasks as desired, and says which."""
    result = planned(service(3), [])
    assert started(result) == 3
    ids = ["a" * 32, "b" * 32, "c" * 32]
    settled = scheduler.settle(result, ids, ["event"], now=NOW)
    assert [each.message for each in settled.events] == [
        f"(service web) has started 3 tasks: (task {ids[0]}) (task {ids[1]}) (task {ids[2]})."
    ]
    assert settled.watched == tuple(ids)
    assert settled.deployments[0].desired_count == 3
    assert settled.deployments[0].rollout_reason == "ECS deployment ecs-svc/2 in progress."


def test_many_tasks_start_in_batches() -> None:
    """Two hundred tasks are started a batch at a time, the next one at once."""
    result = planned(service(200), [])
    assert started(result) == scheduler.START_BATCH
    assert result.wake_at == NOW


def test_a_task_that_ends_is_replaced_at_once() -> None:
    """Where a task's container exited, another is started before the first is gone."""
    stop = Stop(code=StopCode.ESSENTIAL_CONTAINER_EXITED, reason="Essential container in task exited", at=NOW)
    tasks = [task(1), task(2, S.DEACTIVATING, stop=stop)]
    assert started(planned(service(2, watched=(tasks[0].id, tasks[1].id)), tasks)) == 1


def test_an_interrupted_task_is_replaced_and_counts_for_no_failure() -> None:
    """Its replacement starts while it still runs, and neither the breaker nor the throttle counts it afterwards."""
    stop = Stop(code=StopCode.SPOT_INTERRUPTION, reason="Your Spot Task was interrupted.", at=NOW)
    running = task(1, stop=stop)
    rollout = service(1, deployment(rollout_state=RolloutState.IN_PROGRESS), watched=(running.id,))
    assert started(planned(rollout, [running])) == 1
    never_ran = task(2, S.STOPPED, stop=stop, started_at=None)
    result = planned(replace(rollout, watched=(never_ran.id,)), [never_ran])
    assert started(result) == 1
    assert result.service.start_not_before is None
    assert result.service.deployments[0].failed_tasks == 0


def test_scale_down_keeps_the_base_of_a_strategy() -> None:
    """Among healthy tasks those that the base asks for go last, be they newer and in the fullest zone."""
    strategy = (
        CapacityProviderShare(capacity_provider="FARGATE", base=1, weight=0),
        CapacityProviderShare(capacity_provider="FARGATE_SPOT", weight=1),
    )
    spot = [task(number, capacity_provider="FARGATE_SPOT") for number in (1, 2)]
    tasks = [*spot, task(3, capacity_provider="FARGATE"), task(4, capacity_provider="FARGATE")]
    result = planned(service(1, deployment(capacity_provider_strategy=strategy)), tasks)
    assert stopped(result) == [1, 2, 4]


def test_scale_down_keeps_zones_even() -> None:
    """Tasks go from the zone that has most of them, tasks that do not run yet before all."""
    tasks = [task(1), task(2), task(3), task(4, zone="b"), task(5, S.PENDING, zone="b")]
    assert stopped(planned(service(3), tasks)) == [3, 5]
    stop = planned(service(3), tasks).stops[0].stop
    assert stop.code == StopCode.SERVICE_SCHEDULER_INITIATED
    assert stop.reason == "Scaling activity initiated by (deployment ecs-svc/2)"


def test_protected_tasks_outlast_scale_in_and_rollouts() -> None:
    """Scale-in takes others, a rollout leaves it, and the scheduler looks again when the protection ends."""
    later = NOW + timedelta(minutes=5)
    kept = task(2, protected_until=later)
    assert stopped(planned(service(1), [task(1), kept])) == [1]
    for held in (planned(service(0), [task(1), kept]), planned(service(0), [kept])):
        assert 2 not in stopped(held)
        assert held.wake_at == later
    rollout = service(2, deployment(), deployment(OLD))
    tasks = [task(1, of=OLD), task(2, of=OLD, protected_until=later), task(3), task(4)]
    held = planned(rollout, tasks)
    assert stopped(held) == [1]
    assert held.wake_at == later
    assert [each.id for each in held.service.deployments] == [NEW, OLD]


def test_protection_ends_with_its_time_its_health_and_its_service() -> None:
    """Protection that has expired, an unhealthy task, and a deleted service's tasks: all may be stopped."""
    later = NOW + timedelta(minutes=5)
    assert stopped(planned(service(0), [task(1, protected_until=NOW)])) == [1]
    assert stopped(planned(service(2, status="DRAINING"), [task(1, protected_until=later)])) == [1]
    sick = balanced(1, protected_until=later)
    assert stopped(planned(service(0), [sick], [target(sick, "unhealthy")])) == [1]


def test_rollout_starts_before_it_stops() -> None:
    """With the default limits new tasks come first, and old ones go as the new become healthy."""
    rollout = service(2, deployment(), deployment(OLD))
    old = [task(1, of=OLD), task(2, of=OLD)]
    result = planned(rollout, old)
    assert started(result) == 2
    assert stopped(result) == []
    assert stopped(planned(rollout, [*old, task(3), task(4, S.PENDING)])) == [2]
    assert stopped(planned(rollout, [*old, task(3), task(4)])) == [1, 2]


@pytest.mark.parametrize(
    ("desired", "minimum", "maximum", "stops", "starts"),
    [(4, 50, 100, 2, 0), (4, 50, 200, 2, 4), (3, 100, 125, 0, 0), (3, 100, 150, 0, 1), (3, 34, 200, 1, 3)],
)
def test_percentages_round_as_aws_does(desired: int, minimum: int, maximum: int, stops: int, starts: int) -> None:
    """The minimum is rounded up and the maximum down, as in AWS's examples."""
    rollout = service(desired, deployment(), deployment(OLD), minimum_healthy_percent=minimum, maximum_percent=maximum)
    result = planned(rollout, [task(number, of=OLD) for number in range(desired)])
    assert (len(result.stops), started(result)) == (stops, starts)


def test_a_rollout_without_room_says_so() -> None:
    """Limits that allow neither a start nor a stop are reported, once."""
    rollout = service(3, deployment(), deployment(OLD), maximum_percent=125)
    tasks = [task(number, of=OLD) for number in range(3)]
    result = planned(rollout, tasks)
    assert result.messages == (event.stuck("web"),)
    settled = scheduler.settle(result, [], ["id"], now=NOW)
    assert planned(settled, tasks).messages == ()


def test_behind_a_load_balancer_health_counts() -> None:
    """An old task stays until the new task's target is healthy."""
    rollout = service(1, deployment(targets=(REF,)), deployment(OLD, targets=(REF,)))
    old, new = balanced(1, of=OLD), balanced(2)
    assert stopped(planned(rollout, [old, new], [target(old, "healthy"), target(new, "unknown")])) == []
    assert stopped(planned(rollout, [old, new], [target(old, "healthy"), target(new, "healthy")])) == [1]


def test_an_unhealthy_task_is_replaced_start_first() -> None:
    """The replacement of an unhealthy task starts first; when it is healthy, the task goes, with AWS's reason."""
    of = service(1, deployment(targets=(REF,)))
    sick, fresh = balanced(1), balanced(2)
    bad = target(sick, "unhealthy", failure_detail="Health checks failed with these codes: [502]")
    result = planned(of, [sick], [bad])
    assert (started(result), stopped(result)) == (1, [])
    assert result.messages == (
        f"(service web) (task {sick.id}) (port 80) is unhealthy in (target-group {GROUP}) due to "
        "(reason Health checks failed with these codes: [502])",
    )
    result = planned(of, [sick, fresh], [bad, target(fresh, "healthy")])
    assert stopped(result) == [1]
    assert result.stops[0].stop.reason == f"Task failed ELB health checks in (target-group {GROUP})"


def checked(number: int, status: HealthStatus, **changes: object) -> Task:
    """A task whose container has a health check that found so."""
    container = ContainerDefinition(name="web", image="web", health_check=HealthCheck(command=("CMD", "true")))
    history = (ContainerHistory(name="web", runtime_id="r", started_at=LONG_AGO, health=status),)
    return task(number, containers=(container,), history=history, **changes)  # type: ignore[arg-type]


def test_a_task_that_fails_its_own_health_check_is_replaced_start_first() -> None:
    """Its replacement starts first and must be found healthy by its own check, for which nothing but news is waited;
    then it goes, with AWS's reason."""
    sick = checked(1, HealthStatus.UNHEALTHY)
    result = planned(service(1), [sick])
    assert (result.start is not None and result.start.count, stopped(result)) == (1, [])
    assert f"(service web) (task {sick.id}) failed container health checks." in result.messages
    waiting = planned(service(1), [sick, checked(2, HealthStatus.UNKNOWN)])
    assert (waiting.start, stopped(waiting), waiting.wake_at) == (None, [], None)
    done = planned(service(1), [sick, checked(2, HealthStatus.HEALTHY)])
    assert stopped(done) == [1]
    assert done.stops[0].stop.reason == "Task failed container health checks"


def on_instance(number: int, home: str, **changes: object) -> Task:
    place = Placement(
        container_instance=home, instance_id=f"i-{home}", zone="a", address="10.0.0.4", private_dns_name=""
    )
    return task(number, launch_type="EC2", eni=None, placement=place, **changes)


def test_tasks_leave_an_instance_that_drains_start_first() -> None:
    """A task on an instance that drains goes once its replacement counts, and nobody is told that it is unhealthy."""
    of = service(2, watched=tuple(f"{number:032x}" for number in (1, 2)))
    tasks = [on_instance(1, "one"), on_instance(2, "two")]
    begun = plan(of, tasks, [], DEFINITIONS, now=NOW, draining={"two"})
    assert (started(begun), stopped(begun), begun.messages) == (1, [], ())
    fresh = on_instance(3, "one", started_at=NOW)
    waiting = plan(of, [*tasks, fresh], [], DEFINITIONS, now=NOW, draining={"two"})
    assert (started(waiting), stopped(waiting)) == (0, [])
    assert waiting.wake_at == NOW + scheduler.COUNTED_AFTER
    left = plan(of, [*tasks, fresh], [], DEFINITIONS, now=NOW + scheduler.COUNTED_AFTER, draining={"two"})
    assert stopped(left) == [2]
    assert left.stops[0].stop.reason.startswith("Scaling activity initiated by")


def test_draining_keeps_to_the_minimum() -> None:
    """What does not run yet leaves a draining instance at once; of what runs as many as the minimum lets go leave
    before their replacements are there, and none where the minimum is all and there is no room for a replacement."""
    four = [on_instance(number, "two") for number in range(1, 5)]
    half = service(4, minimum_healthy_percent=50)
    assert len(plan(half, four, [], DEFINITIONS, now=NOW, draining={"two"}).stops) == 2
    assert len(plan(service(4), four, [], DEFINITIONS, now=NOW, draining={"two"}).stops) == 0
    starting = on_instance(5, "two", status=S.PENDING)
    assert stopped(plan(service(5), [*four, starting], [], DEFINITIONS, now=NOW, draining={"two"})) == [5]
    full = service(1, maximum_percent=150)
    assert stopped(plan(full, four[:1], [], DEFINITIONS, now=NOW, draining={"two"})) == []


def test_scale_in_evens_out_instances() -> None:
    """In a zone, the task that goes is on the instance that has most of the service's."""
    tasks = [on_instance(1, "one"), on_instance(2, "two"), on_instance(3, "one"), on_instance(4, "three")]
    assert stopped(planned(service(3), tasks)) == [3]
    assert stopped(planned(service(3), [*tasks, on_instance(5, "one")])) == [3, 5]


def test_more_protected_tasks_than_desired_are_told() -> None:
    """Where more tasks are protected than are desired, the service says why it has no steady state, once."""
    tasks = [task(number, protected_until=NOW + timedelta(hours=1)) for number in (1, 2)]
    told = event.protected("web", NEW)
    result = planned(service(1), tasks)
    assert (stopped(result), result.messages) == ([], (told,))
    again = event.with_events(service(1), [told], ["1"], now=NOW)
    assert planned(again, tasks).messages == ()


def test_a_rollout_does_not_wait_for_time_where_a_check_decides() -> None:
    """New tasks whose check has not answered make no time to look again at: planning would go round and round."""
    rollout = service(1, deployment(), deployment(OLD))
    result = planned(rollout, [task(1, of=OLD), checked(2, HealthStatus.UNKNOWN)])
    assert (stopped(result), result.wake_at) == ([], None)


def test_an_unhealthy_task_makes_room_where_there_is_none() -> None:
    """With a maximum of 100 % unhealthy tasks go one by one, before their replacements."""
    of = service(2, deployment(targets=(REF,)), maximum_percent=100, minimum_healthy_percent=50)
    sick = [balanced(1), balanced(2)]
    assert len(planned(of, sick, [target(each, "unhealthy") for each in sick]).stops) == 1


def test_grace_period() -> None:
    """Failed health checks do not count before the grace period is over; then the scheduler looks again."""
    of = service(1, deployment(targets=(REF,)), health_check_grace_period_s=60)
    young = balanced(1, started_at=NOW - timedelta(seconds=20))
    result = planned(of, [young], [target(young, "unhealthy")])
    assert (started(result), stopped(result)) == (0, [])
    assert result.wake_at == NOW + timedelta(seconds=40)


def test_completion() -> None:
    """When the last old task is out of the way, the deployment is completed and the service steady, in AWS's words."""
    old = task(1, S.STOPPING, of=OLD, stop=Stop(code=StopCode.SERVICE_SCHEDULER_INITIATED, reason="", at=NOW))
    result = planned(service(1, deployment(), deployment(OLD)), [old, task(2)])
    assert result.messages == (
        "(service web) (deployment ecs-svc/2) deployment completed.",
        "(service web) has reached a steady state.",
    )
    (only,) = result.service.deployments
    assert (only.id, only.rollout_state) == (NEW, RolloutState.COMPLETED)
    assert only.rollout_reason == "ECS deployment ecs-svc/2 completed."
    again = planned(scheduler.settle(result, [], ["1", "2"], now=NOW), [task(2)])
    assert again.messages == ()


def test_superseded_deployment_stays_while_it_drains() -> None:
    """A deployment whose last task still drains its connections is shown."""
    old = task(1, S.DEACTIVATING, of=OLD, stop=Stop(code=StopCode.SERVICE_SCHEDULER_INITIATED, reason="", at=NOW))
    result = planned(service(1, deployment(), deployment(OLD)), [old, task(2)])
    assert [each.id for each in result.service.deployments] == [NEW, OLD]
    assert result.service.deployments[1].desired_count == 0
    assert not result.service.steady


def test_target_events() -> None:
    """Registration, and the draining of a task that ended by itself, are each told once."""
    of = service(1, deployment(targets=(REF,), rollout_state=RolloutState.COMPLETED), watched=(balanced(1).id,))
    one = balanced(1)
    result = planned(of, [one], [target(one, "unknown")])
    assert result.messages == (f"(service web) registered 1 targets in (target-group {GROUP})",)
    assert planned(result.service, [one], [target(one, "unknown")]).messages == ()
    stop = Stop(code=StopCode.ESSENTIAL_CONTAINER_EXITED, reason="", at=NOW)
    gone = replace(one, stop=stop, last_status=S.DEACTIVATING)
    result = planned(result.service, [gone], [target(one, "healthy")])
    assert result.messages == (
        f"(service web) deregistered 1 targets in (target-group {GROUP})",
        "(service web, taskSet ecs-svc/2) has begun draining connections on 1 tasks.",
    )
    assert planned(result.service, [gone]).messages == ()


def test_a_target_group_deleted_under_the_service_is_told() -> None:
    """Registration with a group that is gone is not told as done, but as failed, once."""
    one = balanced(1)
    of = service(1, deployment(targets=(REF,)), watched=(one.id,))
    result = planned(of, [one], [])
    (said,) = result.messages
    assert said.startswith(f"(service web) failed to register targets in (target-group {GROUP}) with (error ")
    assert planned(result.service, [one], []).messages == ()


def test_failed_starts_are_throttled_by_bout() -> None:
    """Three tasks that fail together delay the next start once; a task that reaches RUNNING ends the throttle."""
    stop = Stop(code=StopCode.TASK_FAILED_TO_START, reason="CannotPullContainerError: none", at=NOW)
    failed = [task(number, S.STOPPED, stop=stop, started_at=None) for number in range(3)]
    result = planned(service(3, watched=tuple(each.id for each in failed)), failed)
    assert started(result) == 0
    assert result.service.consecutive_start_failures == 1
    assert result.wake_at == NOW + timedelta(seconds=scheduler.THROTTLE_FIRST_S)
    assert result.service.deployments[0].failed_tasks == 3
    running = task(9, started_at=NOW + timedelta(seconds=1))
    later = plan(result.service, [running], [], DEFINITIONS, now=NOW + timedelta(seconds=2))
    assert later.service.consecutive_start_failures == 0
    assert started(later) == 2


def test_the_pace_shortens_what_is_waited_for() -> None:
    """At sixty times real time a failing start is tried again sixty times as soon, and a grace period is as short."""
    failed = task(1, S.STOPPED, started_at=None, stop=Stop(code=StopCode.TASK_FAILED_TO_START, reason="", at=NOW))
    of = service(1, watched=(failed.id,), consecutive_start_failures=9, throttled_deployment=NEW)
    held = plan(of, [failed], [], DEFINITIONS, now=NOW, pace=60)
    assert held.service.start_not_before == NOW + timedelta(seconds=512 / 60)
    patient = service(1, deployment(targets=(REF,)), health_check_grace_period_s=600)
    fresh = balanced(1, started_at=NOW - timedelta(seconds=9))
    sick = [target(fresh, "unhealthy")]
    assert started(plan(patient, [fresh], sick, DEFINITIONS, now=NOW, pace=60)) == 0
    late = NOW + timedelta(seconds=1)
    assert started(plan(patient, [fresh], sick, DEFINITIONS, now=late, pace=60)) == 1


def test_a_new_deployment_ends_the_throttle() -> None:
    """What failed before does not hold up another task definition."""
    held = service(1, throttled_deployment=OLD, consecutive_start_failures=9, start_not_before=NOW + timedelta(hours=1))
    result = planned(held, [])
    assert started(result) == 1
    assert result.service.consecutive_start_failures == 0


def test_short_lives_are_slowed_down_in_the_end() -> None:
    """A container that exits at once is restarted at once ten times, then with a growing delay."""
    stop = Stop(code=StopCode.ESSENTIAL_CONTAINER_EXITED, reason="", at=NOW)
    of = service(1)
    delays: list[float] = []
    now = NOW
    for number in range(16):
        ended = task(
            number, S.STOPPED, stop=replace(stop, at=now), started_at=now - timedelta(seconds=1), created_at=now
        )
        result = plan(replace(of, watched=(ended.id,)), [ended], [], DEFINITIONS, now=now)
        delays.append(0.0 if started(result) else (result.wake_at - now).total_seconds())  # type: ignore[operator]
        now = max(now, result.wake_at or now) + timedelta(seconds=1)
        of = result.service
    assert delays == [0.0] * 10 + [0.5, 1.0, 2.0, 4.0, 8.0, 10.0]


def test_address_shortage_is_told() -> None:
    """A task that got no network interface leads to AWS's placement message with the reason."""
    stop = Stop(code=StopCode.TASK_FAILED_TO_START, reason="RESOURCE:ENI", at=NOW)
    failed = task(1, S.STOPPED, stop=stop, eni=None, started_at=None)
    result = planned(service(1, watched=(failed.id,)), [failed])
    assert "(service web) was unable to place a task. Reason: RESOURCE:ENI." in result.messages


def test_a_definition_that_is_gone_is_told() -> None:
    """A deployment without its task definition starts nothing and says why."""
    result = plan(service(1), [], [], {}, now=NOW)
    assert result.start is None
    assert result.messages == (
        "(service web) failed to launch a task with (error ClientException: Unable to describe task definition.).",
    )


def test_draining_service_ends_inactive() -> None:
    """A deleted service stops its tasks, and is INACTIVE when they are STOPPED."""
    draining = service(0, status="DRAINING")
    assert stopped(planned(draining, [task(1), task(2, S.PENDING)])) == [1, 2]
    assert planned(draining, [task(1, S.DEPROVISIONING)]).service.status == "DRAINING"
    assert planned(draining, []).service.status == "INACTIVE"


def test_no_desired_tasks_is_steady() -> None:
    """A service with a desired count of 0 completes its deployment without a task."""
    result = planned(service(0), [])
    assert result.service.steady
    assert result.service.deployments[0].rollout_state == RolloutState.COMPLETED


def test_only_the_newest_hundred_events_are_kept() -> None:
    """The event log is newest first and ends at a hundred."""
    of = service(0)
    for number in range(60):
        of = event.with_events(of, [f"a{number}", f"b{number}"], ["1", "2"], now=NOW)
    assert len(of.events) == 100
    assert [each.message for each in of.events[:3]] == ["b59", "a59", "b58"]


def test_lasting_causes_are_told_again_after_six_hours() -> None:
    """The same trouble is not told again until the service was steady, or six hours have passed."""
    of = event.with_events(service(1), [event.impaired("web")], ["1"], now=NOW)
    assert event.is_repeated(of, event.impaired("web"), now=NOW + timedelta(hours=5))
    assert not event.is_repeated(of, event.impaired("web"), now=NOW + timedelta(hours=6))
    of = event.with_events(of, [event.steady("web")], ["2"], now=NOW)
    assert not event.is_repeated(of, event.impaired("web"), now=NOW)


@st.composite
def any_state(draw: st.DrawFn) -> tuple[Service, list[Task], list[Target]]:
    """Any service with any tasks of two deployments in any state, behind a load balancer or not."""
    is_balanced = draw(st.booleans())
    desired = draw(st.integers(0, 8))
    tasks: list[Task] = []
    targets: list[Target] = []
    for number in range(draw(st.integers(0, 16))):
        status = TaskStatus(draw(st.sampled_from([0, 1, 2, 3, 3, 3, 3, 4, 5, 6])))
        has_stop = status > S.RUNNING or draw(st.integers(0, 5)) == 0
        make = balanced if is_balanced else task
        one = make(
            number,
            status,
            of=draw(st.sampled_from([NEW, OLD])),
            zone=draw(st.sampled_from("abc")),
            stop=Stop(code=StopCode.ESSENTIAL_CONTAINER_EXITED, reason="", at=NOW) if has_stop else None,
            **({"started_at": NOW - timedelta(seconds=draw(st.sampled_from([0, 100])))} if status >= S.RUNNING else {}),
        )
        tasks.append(one)
        if is_balanced and one.eni is not None:
            targets.append(target(one, draw(st.sampled_from(["unknown", "healthy", "unhealthy"]))))
    refs = (REF,) if is_balanced else ()
    of = service(
        desired,
        deployment(targets=refs),
        deployment(OLD, targets=refs),
        minimum_healthy_percent=draw(st.sampled_from([0, 33, 50, 100])),
        maximum_percent=draw(st.sampled_from([100, 133, 150, 200])),
        status=draw(st.sampled_from(["ACTIVE", "ACTIVE", "ACTIVE", "DRAINING"])),
        watched=tuple(each.id for each in tasks),
    )
    return of, tasks, targets


def healthy(tasks: list[Task], targets: list[Target]) -> set[str]:
    good = {each.id for each in targets if each.checked == "healthy"}
    return {
        each.id
        for each in tasks
        if each.stop is None
        and each.last_status == S.RUNNING
        and each.started_at is not None
        and (
            each.eni is not None and each.eni.address in good
            if each.targets
            else NOW - each.started_at >= scheduler.COUNTED_AFTER
        )
    }


@settings(max_examples=400, deadline=None)
@given(any_state())
def test_no_plan_breaks_the_limits(state: tuple[Service, list[Task], list[Target]]) -> None:
    """Whatever the state, stops leave the minimum of healthy tasks, starts keep to the maximum, and no task is stopped
    twice or started and stopped in one breath for nothing."""
    of, tasks, targets = state
    result = planned(of, tasks, targets)
    desired = of.desired_count if of.status == "ACTIVE" else 0
    good, gone = healthy(tasks, targets), {each.task.id for each in result.stops}
    if good & gone:
        assert len(good - gone) >= -(-desired * of.minimum_healthy_percent // 100)
    active = sum(each.last_status <= S.RUNNING for each in tasks)
    if started(result):
        assert active + started(result) <= desired * of.maximum_percent // 100
        assert not {each.id for each in tasks if each.deployment_id == NEW} & good & gone
    assert all(each.task.stop is None for each in result.stops)
    assert len(gone) == len(result.stops)


@settings(max_examples=200, deadline=None)
@given(any_state())
def test_a_plan_carried_out_leaves_nothing_to_do(state: tuple[Service, list[Task], list[Target]]) -> None:
    """The state with the plan's stops and starts made asks for no contrary move: the scheduler does not swing."""
    of, tasks, targets = state
    result = planned(of, tasks, targets)
    by_id = {each.task.id: each.stop for each in result.stops}
    after = [replace(each, stop=by_id.get(each.id, each.stop)) for each in tasks]
    after += [task(100 + number, S.PROVISIONING, created_at=NOW) for number in range(started(result))]
    again = planned(result.service, after, targets)
    assert again.start is None
    assert not {each.task.id for each in again.stops} & {f"{100 + number:032x}" for number in range(started(result))}
    assert not {each.task.id for each in again.stops} & healthy(after, targets)


@settings(max_examples=300, deadline=None)
@given(
    homes=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([S.PENDING, S.RUNNING, S.RUNNING]), st.booleans())
    ),
    draining=st.sets(st.sampled_from("abc")),
    desired=st.integers(1, 8),
    minimum=st.sampled_from([0, 33, 50, 100]),
    maximum=st.sampled_from([100, 150, 200]),
)
def test_instances_drain_within_the_limits(
    homes: list[tuple[str, S, bool]], draining: set[str], desired: int, minimum: int, maximum: int
) -> None:
    """Whatever drains: stops leave the minimum of tasks that serve, starts keep to the maximum, what does not run yet
    leaves at once, and with replacements that come up the instances are empty in the end."""
    of = service(desired, minimum_healthy_percent=minimum, maximum_percent=maximum)
    tasks = [
        on_instance(number, home, status=status, of=NEW if is_new else OLD)
        for number, (home, status, is_new) in enumerate(homes)
    ]
    number = 100
    for _ in range(60):
        result = plan(of, tasks, [], DEFINITIONS, now=NOW, draining=draining)
        serving = {each.id for each in tasks if each.last_status is S.RUNNING}
        is_calm = len(serving) == len(tasks)
        gone = {each.task.id for each in result.stops}
        if serving & gone:
            assert len(serving - gone) >= -(-desired * minimum // 100)
        if started(result):
            assert len(tasks) + started(result) <= desired * maximum // 100
        starting = {each.id for each in tasks if each.last_status < S.RUNNING and _home(each) in draining}
        assert starting <= gone
        of = scheduler.settle(result, [], ["0"] * 100, now=NOW) if not started(result) else result.service
        tasks = [each for each in tasks if each.id not in gone]
        tasks = [replace(each, last_status=S.RUNNING, started_at=LONG_AGO) for each in tasks]
        tasks += [on_instance(number + at, "d", status=S.PENDING, of=NEW) for at in range(started(result))]
        number += started(result)
        if not gone and not started(result) and is_calm:
            break
    blocked = desired * maximum // 100 <= desired and -(-desired * minimum // 100) >= desired
    assert blocked or not [each for each in tasks if _home(each) in draining]
    assert blocked or len(tasks) == desired


def _home(of: Task) -> str:
    assert of.placement is not None
    return of.placement.container_instance


def pulled(number: int, digest: str, at: datetime, **changes: object) -> Task:
    history = (ContainerHistory(name="web", runtime_id=f"r{number}", pulled_at=at, image_digest=digest),)
    return task(number, history=history, **changes)  # type: ignore[arg-type]


def test_a_deployment_keeps_the_digest_of_its_first_task() -> None:
    """The digest that was resolved first is the deployment's, whatever its later tasks or other deployments have."""
    tasks = [
        pulled(1, "sha256:late", NOW),
        pulled(2, "sha256:first", NOW - timedelta(seconds=5)),
        pulled(3, "sha256:old", LONG_AGO, of=OLD),
    ]
    result = planned(service(2, deployment(), deployment(OLD)), tasks)
    assert [each.image_digests for each in result.service.deployments] == [
        {"web": "sha256:first"},
        {"web": "sha256:old"},
    ]
    kept = service(1, deployment(image_digests={"web": "sha256:kept"}))
    assert planned(kept, tasks).service.deployments[0].image_digests == {"web": "sha256:kept"}


def test_a_deployments_digests_are_learned_container_by_container() -> None:
    """Nothing is known before an image was pulled."""
    assert planned(service(1), [task(1, S.PENDING)]).service.deployments[0].image_digests == {}
