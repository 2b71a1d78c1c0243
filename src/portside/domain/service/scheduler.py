"""The service scheduler's decisions: given a service, its tasks and their targets, what to start, stop and report.

`plan` is level-triggered: it looks at what is there and answers with what is missing, so that the same plan comes out
again after a crash. What may happen once only (an event, a failed start counted) hangs on `Service.watched` and
`Service.registered`, which are stored in the same commit.

Rules, with D the desired count and percentages of the deployment configuration:
- at most floor(D x maximumPercent) tasks are starting or running; a start waits for room;
- the scheduler's own stops leave at least ceil(D x minimumHealthyPercent) healthy tasks;
- an unhealthy task is replaced: its replacement starts first where there is room;
- a task on a container instance that drains goes at once if it does not run yet, else when the minimum allows or its
  replacement is healthy;
- tasks of superseded deployments go as soon as the minimum allows;
- a service in its steady state is evened out over its Availability Zones, if it wants that: a task starts where the
  fewest are, and once it is healthy one goes where the most are;
- a deployment that alarms watch is COMPLETED when all has been well for as long as they take to notice.

Source: API_DeploymentConfiguration, API_Service; ECS guide, "Amazon ECS services" and "Service throttle logic".
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from portside.domain.alarm import Alarm
from portside.domain.load_balancer import Target
from portside.domain.pace import REAL, shortened
from portside.domain.record import Record, replace
from portside.domain.service import balance, breaker, event
from portside.domain.service.record import Deployment, RolloutState, Service
from portside.domain.task import health, target
from portside.domain.task.record import HealthStatus, Stop, StopCode, TargetRef, Task, TaskStatus
from portside.domain.task_definition import TaskDefinition

START_BATCH: Final = 20
"""Tasks started in one pass: a commit of some 2 ms, so that API calls are answered in between."""
COUNTED_AFTER: Final = timedelta(seconds=1)
"""A task without targets counts as healthy this long after RUNNING. AWS waits 40 s; see ADR 0006."""
THROTTLE_FIRST_S: Final = 1.0
THROTTLE_MAX_S: Final = 900.0
"""AWS: the delay between restarts grows up to 15 minutes (guide, "Service throttle logic")."""
IMPAIRED_AFTER: Final = 3
"""Bouts of failed starts before the service is said to be impaired."""
SHORT_LIFE: Final = timedelta(seconds=5)
SHORT_LIVES_FREE: Final = 10
SHORT_LIFE_MAX_S: Final = 10.0
SHORT_LIVES_FORGOTTEN: Final = timedelta(seconds=60)
"""A task that ends within SHORT_LIFE of RUNNING is replaced at once, ten times; then up to ten seconds later, which is
about AWS's own pace. AWS does not throttle these; here a restart takes milliseconds and would eat a core (ADR 0006)."""

TargetKey = tuple[str, str, int]
"""Target group ARN, target id, port."""


class Health(IntEnum):
    """What a task counts for, in the order in which tasks are given up."""

    UNHEALTHY = 0
    STARTING = 1
    WAITING = 2  # RUNNING, and its health is not known yet
    HEALTHY = 3


class Start(Record, frozen=True, kw_only=True):
    """So many tasks to be made of a deployment. Where each goes is decided when it is made, on container instances (and
    there may be room for fewer), or when its network interface is allocated. `zone`: only there, to even zones out."""

    deployment: Deployment
    count: int
    zone: str = ""


class TaskStop(Record, frozen=True, kw_only=True):
    task: Task
    stop: Stop


class ServicePlan(Record, frozen=True, kw_only=True):
    """What to commit at once: the service's record, new tasks, stops, and the messages (oldest first).

    `service` lacks the ids and events of what is started: `settle` adds them. `wake_at`: look again then at the latest.
    """

    service: Service
    start: Start | None = None
    stops: tuple[TaskStop, ...] = ()
    messages: tuple[str, ...] = ()
    wake_at: datetime | None = None


def target_group_arns(service: Service) -> set[str]:
    """The groups whose targets `plan` needs."""
    return {ref.target_group_arn for deployment in service.deployments for ref in deployment.targets}


def lower_limit(desired: int, percent: int) -> int:
    """Tasks that must stay healthy: rounded up."""
    return -(-desired * percent // 100)


def upper_limit(desired: int, percent: int) -> int:
    """Tasks that may be starting or running: rounded down."""
    return desired * percent // 100


def settle(plan: ServicePlan, task_ids: Sequence[str], event_ids: Sequence[str], *, now: datetime) -> Service:
    """The service's record to commit with the plan.

    Args:
        task_ids: of the started tasks, `plan.start.count` many.
        event_ids: UUIDs, at least `messages_of(plan, task_ids)` many.
    """
    messages = messages_of(plan, task_ids)
    service = event.with_events(plan.service, messages, event_ids[: len(messages)], now=now)
    if task_ids:
        service = replace(service, watched=(*service.watched, *task_ids))
    if task_ids and plan.start is not None and plan.start.zone:
        service = replace(service, rebalanced=(*service.rebalanced, *task_ids))
    return service


def messages_of(plan: ServicePlan, task_ids: Sequence[str]) -> tuple[str, ...]:
    name, zone = plan.service.name, plan.start.zone if plan.start is not None else ""
    told = event.moved_to(name, zone, task_ids) if zone else event.started(name, task_ids)
    # That tasks are moved is said before the first of them.
    first = tuple(each for each in plan.messages if zone and "AZ Rebalancing in progress" in each)
    return (*first, *told, *(each for each in plan.messages if each not in first))


def plan(
    service: Service,
    tasks: Sequence[Task],
    targets: Iterable[Target],
    definitions: Mapping[str, TaskDefinition],
    *,
    now: datetime,
    draining: Collection[str] = (),
    alarms: Collection[Alarm] = (),
    zones: Collection[str] = (),
    pace: float = REAL,
) -> ServicePlan:
    """Decide what the service needs next.

    Args:
        tasks: all tasks of the service that are not STOPPED, and those of `service.watched` that are.
        targets: the targets of `target_group_arns(service)` and of the tasks' groups.
        definitions: the task definitions of its deployments, by ARN; one that is missing can not be started.
        draining: ids of container instances that tasks are to leave.
        alarms: those that watch its deployments.
        zones: Availability Zones that its tasks may be in.
        pace: how many times as fast as real time grace periods, bake times and the backoff of failing starts run.
    """
    return _Pass(service, tasks, targets, definitions, now, draining, alarms, zones, pace).run()


@dataclass(frozen=True, slots=True)
class _Judged:
    """A task that is to stay, with what it counts for.

    `failing`: the target group whose checks an unhealthy one fails; None if it is its containers' own.
    `leaving`: it is to be replaced because its container instance drains; `health` is then UNHEALTHY, and `serves`
    tells whether it does its work still."""

    task: Task
    health: Health
    failing: TargetRef | None = None
    leaving: bool = False
    serves: bool = False

    @property
    def is_running(self) -> bool:
        return self.task.last_status == TaskStatus.RUNNING


class _Pass:
    """One planning pass: what was found, and what is decided so far."""

    def __init__(
        self,
        service: Service,
        tasks: Sequence[Task],
        targets: Iterable[Target],
        definitions: Mapping[str, TaskDefinition],
        now: datetime,
        draining: Collection[str] = (),
        alarms: Collection[Alarm] = (),
        zones: Collection[str] = (),
        pace: float = REAL,
    ) -> None:
        self.service, self.definitions, self.now, self.draining = service, definitions, now, draining
        self.alarms, self.zones, self.pace = alarms, zones, pace
        self.by_id = {task.id: task for task in tasks}
        self.targets: dict[TargetKey, Target] = {(t.target_group_arn, t.id, t.port): t for t in targets}
        self.primary = next((d for d in service.deployments if d.status == "PRIMARY"), None)
        self.desired = service.desired_count if service.status == "ACTIVE" and self.primary is not None else 0
        self.wake_at: datetime | None = None
        self.messages: list[str] = []
        self.start: Start | None = None
        self.is_blocked = False  # tasks are missing, and there is no room for one and none about to come
        self.stops: dict[str, TaskStop] = {}
        self.live = [task for task in tasks if task.last_status < TaskStatus.STOPPED]
        kept = [self._judge(task) for task in self.live if _is_kept(task)]
        primary_id = self.primary.id if self.primary else ""
        self.mine = [each for each in kept if each.task.deployment_id == primary_id]
        self.old = [each for each in kept if each.task.deployment_id != primary_id]

    def run(self) -> ServicePlan:
        self._note()
        if self._trips():
            # What follows from it is for the next pass, so that each state of the deployment is seen once.
            return ServicePlan(service=self.service, messages=tuple(self.messages), wake_at=self.now)
        self._decide_starts()
        self._decide_stops()
        self._report_stops()
        self._report_stuck()
        self._update_deployments()
        self._update_status()
        return ServicePlan(
            service=self.service,
            start=self.start,
            stops=tuple(self.stops.values()),
            messages=tuple(self.messages),
            wake_at=self.wake_at,
        )

    # --- looking ---

    def _registrations(self, tasks: Sequence[Task]) -> list[str]:
        """What came of the registration of these tasks, by group. Without a target there is no such group any more."""
        name = self.service.name
        done = Counter(
            ref.target_group_arn for task in tasks for ref in task.targets if self._target(task, ref) is not None
        )
        groups = {ref.target_group_arn: ref for task in tasks for ref in task.targets}
        return [
            event.registered(name, done[group], ref) if done[group] else event.not_registered(name, ref)
            for group, ref in groups.items()
        ]

    def _judge(self, task: Task) -> _Judged:
        judged = self._judge_itself(task)
        if task.placement is None or task.placement.container_instance not in self.draining:
            return judged
        return _Judged(task, Health.UNHEALTHY, leaving=True, serves=judged.health is Health.HEALTHY)

    def _judge_itself(self, task: Task) -> _Judged:
        if task.last_status < TaskStatus.RUNNING:
            return _Judged(task, Health.STARTING)
        started_at = task.started_at or self.now
        grace_ends = started_at + shortened(self.service.health_check_grace_period_s or 0, self.pace)
        inside = health.of_task(task)
        if inside is HealthStatus.UNHEALTHY:
            if self.now >= grace_ends:
                return _Judged(task, Health.UNHEALTHY)
            self._wake(grace_ends)
        if inside is not HealthStatus.HEALTHY and _has_check(task):
            return _Judged(task, Health.WAITING)
        if not task.targets:
            if self.now < started_at + COUNTED_AFTER:
                return _Judged(task, Health.WAITING)
            return _Judged(task, Health.HEALTHY)
        found = Health.HEALTHY
        for ref in task.targets:
            known = self._target(task, ref)
            if known is not None and known.checked == "unhealthy" and known.deregistered_at is None:
                if self.now >= grace_ends:
                    return _Judged(task, Health.UNHEALTHY, ref)
                self._wake(grace_ends)
            if known is None or known.checked != "healthy" or known.deregistered_at is not None:
                found = Health.WAITING
        return _Judged(task, found)

    def _target(self, task: Task, ref: TargetRef) -> Target | None:
        name = target.target_id(task)
        return None if name is None else self.targets.get((ref.target_group_arn, name, target.port(task, ref)))

    def _wake(self, at: datetime) -> None:
        if self.wake_at is None or at < self.wake_at:
            self.wake_at = at

    @property
    def _good(self) -> list[_Judged]:
        """The newest deployment's tasks that need no replacement."""
        return [each for each in self.mine if each.health != Health.UNHEALTHY]

    # --- taking note of what happened ---

    def _note(self) -> None:
        """Fold in, once each: targets registered, tasks that ended by themselves, starts that failed."""
        service = self.service
        if self.primary is not None and service.throttled_deployment != self.primary.id:
            service = replace(
                service,
                throttled_deployment=self.primary.id,
                consecutive_start_failures=0,
                consecutive_short_lives=0,
                start_not_before=None,
                throttled_at=None,
            )
        watched: list[str] = []
        registered = set(service.registered)
        newly: list[Task] = []
        ended: list[Task] = []
        for task_id in service.watched:
            task = self.by_id.get(task_id)
            if task is None:
                registered.discard(task_id)
            elif _is_kept(task):
                watched.append(task_id)
                if task.targets and task.targets_registered_at is not None and task_id not in registered:
                    newly.append(task)
            else:
                ended.append(task)
        drained = [task for task in ended if task.id in registered]
        registered -= {task.id for task in ended}
        self.messages += self._registrations(newly)
        self.messages += self._draining(drained)
        self.service = replace(
            service,
            watched=_unless_same(service.watched, watched),
            registered=_unless_same(
                service.registered,
                [
                    *(task_id for task_id in service.registered if task_id in registered),
                    *(task.id for task in newly),
                ],
            ),
        )
        if self.primary is not None:
            self._throttle([task for task in ended if task.deployment_id == self.primary.id])

    def _trips(self) -> bool:
        """A deployment that has failed too often, or during which an alarm went off, is given up."""
        service = self.service
        self.primary = next((each for each in service.deployments if each.status == "PRIMARY"), None)
        if self.primary is None:
            return False
        alarms = breaker.triggered(service, self.primary, self.alarms)
        if breaker.is_tripped(service, self.primary):
            by, why, roll_back = event.BREAKER, breaker.TASKS_FAILED, service.breaker.rollback
        elif alarms:
            by, why, roll_back = event.ALARMS, breaker.ALARM_DETECTED, service.alarms.rollback
        else:
            return False
        given_up = breaker.given_up(
            service, self.primary, by=by, why=why, roll_back=roll_back, now=self.now, alarms=alarms
        )
        self.messages += given_up.messages
        self.service = given_up.service
        return True

    def _throttle(self, ended: Sequence[Task]) -> None:
        service, now = self.service, self.now
        own_code = (
            StopCode.USER_INITIATED,
            StopCode.SERVICE_SCHEDULER_INITIATED,
            StopCode.SPOT_INTERRUPTION,  # which says nothing of the task
        )
        ended = [task for task in ended if task.stop is None or task.stop.code not in own_code]
        failed = [task for task in ended if task.started_at is None]
        short = [
            task
            for task in ended
            if task.started_at is not None
            and (task.stop.at if task.stop else task.stopping_at or now) - task.started_at < SHORT_LIFE
        ]
        since = service.throttled_at
        started = [each.task for each in self.mine if each.is_running] + short
        if service.consecutive_start_failures and any(
            since is None or (task.started_at is not None and task.started_at > since) for task in started
        ):
            service = replace(service, consecutive_start_failures=0, start_not_before=None)
        service = self._counted(service, failed, ended)
        if since is not None and service.consecutive_short_lives and now - since > SHORT_LIVES_FORGOTTEN:
            service = replace(service, consecutive_short_lives=0)
        if failed:
            for reason in dict.fromkeys(
                task.stop.reason for task in failed if task.stop and task.network is not None and task.eni is None
            ):
                self._report_cause(event.unplaced(service.name, reason))
        # Tasks started together and failing together are one bout: the delay grows with the tries, not with their size.
        if any(since is None or task.created_at >= since for task in failed):
            count = service.consecutive_start_failures + 1
            delay_s = min(THROTTLE_MAX_S, THROTTLE_FIRST_S * 2 ** min(count - 1, 20))
            service = replace(
                service,
                consecutive_start_failures=count,
                throttled_at=now,
                start_not_before=now + shortened(delay_s, self.pace),
            )
            if count >= IMPAIRED_AFTER:
                self._report_cause(event.impaired(service.name))
        elif any(since is None or task.created_at >= since for task in short):
            count = service.consecutive_short_lives + 1
            beyond = count - SHORT_LIVES_FREE
            delay_s = min(SHORT_LIFE_MAX_S, 0.5 * 2 ** min(beyond - 1, 20)) if beyond > 0 else 0.0
            service = replace(
                service,
                consecutive_short_lives=count,
                throttled_at=now,
                start_not_before=now + timedelta(seconds=delay_s) if delay_s else service.start_not_before,
            )
        self.service = service

    def _counted(self, service: Service, failed: Sequence[Task], ended: Sequence[Task]) -> Service:
        """Consecutive failures: tasks that never ran and, while the deployment is under way, all that ended by
        themselves; a task that has become healthy ends the count, unless the breaker is told otherwise."""
        assert self.primary is not None
        if self._is_given_up:
            return service
        under_way = self.primary.rollout_state is RolloutState.IN_PROGRESS
        healthy = [each.task.id for each in self.mine if each.health == Health.HEALTHY]
        resets = service.breaker.reset_on_healthy_task and not set(healthy) <= set(service.healthy)
        count = 0 if resets else self.primary.failed_tasks
        count += len(ended if under_way else failed)
        # Who is healthy is remembered as long as the count may matter.
        noted = healthy if under_way or count else []
        service = replace(service, healthy=_unless_same(service.healthy, noted))
        return self._with_failed_tasks(service, count)

    def _with_failed_tasks(self, service: Service, count: int) -> Service:
        def counted(deployment: Deployment) -> Deployment:
            if self.primary is None or deployment.id != self.primary.id or deployment.failed_tasks == count:
                return deployment
            return replace(deployment, failed_tasks=count, updated_at=self.now)

        deployments = tuple(counted(each) for each in service.deployments)
        return service if deployments == service.deployments else replace(service, deployments=deployments)

    # --- deciding ---

    def _decide_starts(self) -> None:
        if self.primary is None or self.primary.rollout_state is RolloutState.FAILED:
            return
        missing = self.desired - len(self._good)
        if missing <= 0:
            self._rebalance()
            return
        not_before = self.service.start_not_before
        if not_before is not None and self.now < not_before:
            self._wake(not_before)
            return
        if self.primary.task_definition_arn not in self.definitions:
            self._report_cause(
                event.unlaunched(self.service.name, "ClientException: Unable to describe task definition.")
            )
            return
        room = self._room()
        if room <= 0:
            self.is_blocked = all(_is_kept(task) for task in self.live if task.last_status <= TaskStatus.RUNNING)
            return
        wanted = min(missing, room)
        self.start = Start(deployment=self.primary, count=min(wanted, START_BATCH))
        if wanted > START_BATCH:
            self._wake(self.now)

    def _rebalance(self) -> None:
        """Even the zones out, one after another, while all else is in order."""
        service, good = self.service, self._good
        is_wanted = service.az_rebalancing == "ENABLED" and service.status == "ACTIVE" and not self.old
        if not is_wanted or self.primary is None or self.primary.rollout_state is not RolloutState.COMPLETED:
            if service.rebalancing:
                self.service = replace(service, rebalancing=False, rebalanced=())
            return
        if not (service.rebalancing or service.steady):
            return
        if len(good) != self.desired or len(good) != len(self.mine) or any(x.health != Health.HEALTHY for x in good):
            return
        counts = balance.counted(self.zones, (_zone(each.task) for each in good))
        move = balance.move(counts)
        if move is None:
            if service.rebalancing:
                self.messages.append(event.balanced(service.name, counts))
                self.service = replace(service, rebalancing=False, rebalanced=())
            return
        if not service.rebalancing:
            self.messages.append(event.unbalanced(service.name, counts))
            self.service = replace(service, rebalancing=True, rebalanced=())
        not_before = service.start_not_before
        if not_before is not None and self.now < not_before:
            self._wake(not_before)
            return
        count = min(move.count, self._room(), START_BATCH)
        if count > 0 and self.primary.task_definition_arn in self.definitions:
            self.start = Start(deployment=self.primary, count=count, zone=move.zone)

    def _room(self) -> int:
        """How many more tasks may be starting or running."""
        active = sum(task.last_status <= TaskStatus.RUNNING for task in self.live)
        return upper_limit(self.desired, self.service.maximum_percent) - active

    def _decide_stops(self) -> None:
        if self.desired == 0:
            is_deleted = self.service.status != "ACTIVE"
            for each in (*self.mine, *self.old):
                if is_deleted or not self._is_protected(each):
                    self._stop(each)
            return
        self._replace_unhealthy()
        # One that was started to even zones out is not counted before something can go in its place.
        moved = self.service.rebalanced
        good = [each for each in self._good if each.health == Health.HEALTHY or each.task.id not in moved]
        if len(good) > self.desired:
            base = self._base(good)
            # Among equally healthy ones those of the base go last.
            in_order = sorted(_given_up_first(good), key=lambda each: (each.health, each.task.id in base))
            eligible = [each for each in in_order if not self._is_protected(each)]
            surplus = len(good) - self.desired
            for each in eligible[:surplus]:
                self._stop(each)
            if len(good) - len(eligible) > self.desired and self.primary is not None:
                self._report_cause(event.protected(self.service.name, self.primary.id))
        self._retire_old()

    def _base(self, tasks: Iterable[_Judged]) -> set[str]:
        """Ids of the tasks that the base of the capacity provider strategy asks for: the oldest."""
        strategy = self.primary.capacity_provider_strategy if self.primary is not None else ()
        found: set[str] = set()
        for share in strategy:
            of_share = sorted(
                (each.task for each in tasks if each.task.capacity_provider == share.capacity_provider),
                key=lambda task: (task.created_at, task.id),
            )
            found |= {task.id for task in of_share[: share.base]}
        return found

    def _is_protected(self, each: _Judged) -> bool:
        """Whether scale-in and deployments must leave it alone for now; an unhealthy task is protected from neither."""
        until = each.task.protected_until
        if until is None or self.now >= until or each.health == Health.UNHEALTHY:
            return False
        self._wake(until)
        return True

    def _replace_unhealthy(self) -> None:
        """Unhealthy tasks go when their replacements are healthy; where there is no room for these, one by one."""
        sick = [each for each in self.mine if each.health == Health.UNHEALTHY]
        if not sick:
            return
        sick = self._leave(sick)
        ready = sum(each.health == Health.HEALTHY for each in self._good)
        for each in sick:
            if not each.leaving:
                self._report_unhealthy(each)
        spare = max(ready + len(sick) - self.desired, int(self.is_blocked))
        if self._is_given_up:
            spare = len(sick)  # nothing will replace them
        if self.is_blocked:
            # Nobody is made to leave by a lack of room: that would go below the minimum.
            sick = [each for each in sick if not each.serves or ready + len(sick) > self.desired]
        for each in sick[:spare]:
            self._stop(each, unhealthy=not each.leaving)
            self.is_blocked = False
        failures = sum(not each.leaving for each in sick[:spare])
        if failures and self.primary is not None and self.primary.rollout_state is RolloutState.IN_PROGRESS:
            self.primary = replace(self.primary, failed_tasks=self.primary.failed_tasks + failures)
            self.service = self._with_failed_tasks(self.service, self.primary.failed_tasks)
            if breaker.is_tripped(self.service, self.primary):
                self._wake(self.now)

    def _leave(self, sick: list[_Judged]) -> list[_Judged]:
        """Stop the tasks on draining container instances that may go already; the others are returned."""
        serving = sum(each.health is Health.HEALTHY or each.serves for each in (*self.mine, *self.old))
        least = lower_limit(self.desired, self.service.minimum_healthy_percent)
        staying: list[_Judged] = []
        for each in sick:
            if not each.leaving or (each.is_running and (not each.serves or serving <= least)):
                staying.append(each)
                continue
            serving -= each.serves
            self._stop(each)
        return staying

    @property
    def _is_given_up(self) -> bool:
        return self.primary is not None and self.primary.rollout_state is RolloutState.FAILED

    def _retire_old(self) -> None:
        staying = [each for each in (*self.mine, *self.old) if each.task.id not in self.stops]
        healthy = sum(each.health == Health.HEALTHY or each.serves for each in staying)
        running = sum(each.is_running for each in staying)
        least = lower_limit(self.desired, self.service.minimum_healthy_percent)
        for each in _given_up_first(self.old):
            if self._is_protected(each):
                continue
            if each.health == Health.STARTING or (each.leaving and not each.is_running):
                allowed = True
            elif each.health == Health.HEALTHY or each.serves:
                allowed = healthy > least
                healthy -= allowed
            else:
                # Nobody counts on it, yet it may be all that answers (a load balancer with no healthy target sends to
                # all): it stays until others run, unless its place is needed.
                spare = running > least
                is_sick = each.health == Health.UNHEALTHY
                allowed = healthy >= least or (is_sick and (spare or self.is_blocked)) or (spare and self.is_blocked)
            if allowed:
                self._stop(each)
                running -= each.is_running
                self.is_blocked = False

    def _stop(self, each: _Judged, *, unhealthy: bool = False) -> None:
        task = each.task
        if unhealthy and each.failing is not None:
            reason = f"Task failed ELB health checks in {each.failing.place}"
        elif unhealthy:
            reason = "Task failed container health checks"
        else:
            cause = self.primary.id if self.primary is not None else task.deployment_id
            reason = f"Scaling activity initiated by (deployment {cause})"
        stop = Stop(code=StopCode.SERVICE_SCHEDULER_INITIATED, reason=reason, at=self.now)
        self.stops[task.id] = TaskStop(task=task, stop=stop)

    # --- reporting ---

    def _report_stops(self) -> None:
        if not self.stops:
            return
        stopped = [each.task for each in self.stops.values()]
        registered = set(self.service.registered)
        if self.service.rebalancing:
            by_zone: dict[str, list[str]] = {}
            for task in stopped:
                by_zone.setdefault(_zone(task), []).append(task.id)
            for zone, task_ids in by_zone.items():
                self.messages += event.moved_from(self.service.name, zone, task_ids)
        else:
            self.messages += event.stopped(self.service.name, [task.id for task in stopped])
        self.messages += self._draining([task for task in stopped if task.id in registered])
        self.service = replace(
            self.service,
            watched=tuple(task_id for task_id in self.service.watched if task_id not in self.stops),
            registered=tuple(task_id for task_id in self.service.registered if task_id not in self.stops),
        )

    def _draining(self, tasks: Sequence[Task]) -> list[str]:
        name = self.service.name
        messages = [event.deregistered(name, count, ref) for ref, count in _count_by_group(tasks)]
        by_deployment: dict[str, int] = {}
        for task in tasks:
            by_deployment[task.deployment_id or ""] = by_deployment.get(task.deployment_id or "", 0) + 1
        return messages + [event.draining(name, deployment, count) for deployment, count in by_deployment.items()]

    def _report_unhealthy(self, each: _Judged) -> None:
        task, ref = each.task, each.failing
        if ref is None:
            self._report_cause(event.failed_container_checks(self.service.name, task.id))
            return
        known = self._target(task, ref)
        detail = (known.failure_detail if known is not None else "") or "Health checks failed"
        self._report_cause(event.unhealthy(self.service.name, task.id, ref, detail))

    def _report_stuck(self) -> None:
        """A rollout that can neither start nor stop: its limits leave no room, and nothing under way will make any."""
        if not self.old or self.start is not None or self.stops or not self.is_blocked:
            return
        under_way = any(task.last_status <= TaskStatus.RUNNING and not _is_kept(task) for task in self.live) or any(
            each.health in (Health.STARTING, Health.WAITING) for each in (*self.mine, *self.old)
        )
        if not under_way:
            self._report_cause(event.stuck(self.service.name))

    def _report_cause(self, message: str) -> None:
        if message not in self.messages and not event.is_repeated(self.service, message, now=self.now):
            self.messages.append(message)

    # --- the record ---

    def _update_deployments(self) -> None:
        """Desired counts follow; a superseded deployment goes when none of its tasks takes traffic any more."""
        remaining: dict[str, int] = {}
        for each in (*self.mine, *self.old):
            if each.task.id not in self.stops:
                remaining[each.task.deployment_id or ""] = remaining.get(each.task.deployment_id or "", 0) + 1
        busy = {task.deployment_id for task in self.live if task.last_status <= TaskStatus.DEACTIVATING}
        deployments: list[Deployment] = []
        for deployment in self.service.deployments:
            is_primary = self.primary is not None and deployment.id == self.primary.id
            if not is_primary and deployment.id not in busy:
                continue
            desired = self.desired if is_primary else remaining.get(deployment.id, 0)
            reason = deployment.rollout_reason
            if not reason and deployment.rollout_state == RolloutState.IN_PROGRESS:
                reason = f"ECS deployment {deployment.id} in progress."
            deployment = self._with_digests(deployment)
            if desired != deployment.desired_count or reason != deployment.rollout_reason:
                deployment = replace(deployment, desired_count=desired, rollout_reason=reason, updated_at=self.now)
            deployments.append(deployment)
        if tuple(deployments) != self.service.deployments:
            self.service = replace(self.service, deployments=tuple(deployments))

    def _with_digests(self, deployment: Deployment) -> Deployment:
        """With the image digests that its first tasks resolved; later ones are held to them (versionConsistency)."""
        definition = self.definitions.get(deployment.task_definition_arn)
        if definition is None or len(deployment.image_digests) == len(definition.containers):
            return deployment
        pulled = [
            (h.pulled_at, h.name, h.image_digest)
            for task in self.by_id.values()
            if task.deployment_id == deployment.id
            for h in task.history
            if h.pulled_at is not None and h.image_digest is not None
        ]
        first = {name: digest for _, name, digest in sorted(pulled, reverse=True)}
        digests = {**first, **deployment.image_digests}
        return deployment if digests == deployment.image_digests else replace(deployment, image_digests=digests)

    def _update_status(self) -> None:
        service = self.service
        if service.status == "DRAINING" and not self.live:
            self.service = replace(
                service, status="INACTIVE", deployments=(), steady=False, start_not_before=None, ended_at=self.now
            )
            return
        if service.status != "ACTIVE" or self.primary is None:
            return
        is_starting = self.start is not None and not self.start.zone
        settled = not is_starting and not self.stops and not self.old and len(self.mine) == self.desired
        self._await_counting(first=not settled)
        active = sum(task.last_status <= TaskStatus.RUNNING for task in self.live)
        is_done = (
            settled
            and active == self.desired
            and len(service.deployments) == 1
            and all(each.health == Health.HEALTHY for each in self.mine)
        )
        if is_done and service.deployments[0].rollout_state == RolloutState.IN_PROGRESS:
            service = self._bake(service)
        busy = sum(task.last_status <= TaskStatus.DEACTIVATING for task in self.live)
        is_steady = is_done and busy == self.desired
        if is_steady and (not service.steady or self._is_silent_for_long()):
            self.messages.append(event.steady(service.name))
            if service.az_rebalancing == "ENABLED":
                self._wake(self.now)  # now its zones are looked at
        self.service = service if is_steady == service.steady else replace(service, steady=is_steady)

    def _bake(self, service: Service) -> Service:
        """All is done: COMPLETED, at once or when the alarms that watch have had their time to go off."""
        deployment = service.deployments[0]
        bake_s = breaker.bake_s(service, self.alarms)
        if not bake_s:
            return self._complete(service)
        until = deployment.baking_until or self.now + shortened(bake_s, self.pace)
        if self.now >= until:
            return replace(self._complete(service), steady=service.steady)
        self._wake(until)
        if deployment.baking_until is None:
            baking = replace(deployment, baking_until=until)
            service = replace(service, deployments=(baking,))
        return service

    def _complete(self, service: Service) -> Service:
        assert self.primary is not None
        done = replace(
            service.deployments[0],
            rollout_state=RolloutState.COMPLETED,
            rollout_reason=f"ECS deployment {self.primary.id} completed.",
            failed_tasks=0,
            baking_until=None,
            updated_at=self.now,
        )
        self.messages.append(event.completed(service.name, done.id))
        return replace(
            service,
            deployments=(done,),
            last_completed=done,
            healthy=(),
            steady=False,
            start_not_before=None,
            consecutive_start_failures=0,
        )

    def _await_counting(self, *, first: bool) -> None:
        """Completion waits for the last of the tasks that only time makes healthy, a rollout for the first, and so do
        tasks that are to be replaced, or moved to another zone."""
        waits = self.old or self.service.rebalancing or any(each.health == Health.UNHEALTHY for each in self.mine)
        if first and not waits:
            return
        times = [
            each.task.started_at + COUNTED_AFTER
            for each in self.mine
            if each.health == Health.WAITING
            and not each.task.targets
            and not _has_check(each.task)  # that one's news will come, and time alone brings none
            and each.task.started_at is not None
        ]
        if times:
            self._wake(min(times) if first else max(times))

    def _is_silent_for_long(self) -> bool:
        """AWS says "steady" again every six hours."""
        calm = event.steady(self.service.name)
        last = next((each.at for each in self.service.events if each.message == calm), None)
        return last is not None and self.now - last >= event.SILENCE


def _has_check(task: Task) -> bool:
    return any(each.essential and each.health_check is not None for each in task.containers)


def _is_kept(task: Task) -> bool:
    """Starting or running, and meant to go on."""
    return task.stop is None and task.last_status <= TaskStatus.RUNNING


def _given_up_first(tasks: Iterable[_Judged]) -> list[_Judged]:
    """In the order in which they are given up: the least useful, then from the fullest zone, in it from the container
    instance with the most of them, then the newest."""
    ordered = sorted(tasks, key=lambda each: (each.task.created_at, each.task.id))
    by_zone: dict[str, int] = {}
    by_instance: dict[str, int] = {}
    heights: list[tuple[int, int, int, int, _Judged]] = []
    # The most useful are counted first, so that within one class the fullest come first.
    for age, each in sorted(enumerate(ordered), key=lambda pair: (-pair[1].health, pair[0])):
        home = each.task.placement.container_instance if each.task.placement is not None else ""
        by_instance[home] = by_instance.get(home, 0) + 1 if home else 0
        heights.append((each.health, each.task.last_status, by_instance[home], age, each))
    ranked: list[tuple[int, int, int, int, int, _Judged]] = []
    # In a zone, those on the fullest instances stand highest.
    for health_, status, height, age, each in sorted(heights, key=lambda entry: (-entry[0], entry[2], entry[3])):
        zone = _zone(each.task)
        by_zone[zone] = by_zone.get(zone, 0) + 1
        ranked.append((health_, status, -by_zone[zone], -height, -age, each))
    return [entry[-1] for entry in sorted(ranked, key=lambda entry: entry[:5])]


def _zone(task: Task) -> str:
    if task.placement is not None:
        return task.placement.zone
    return task.eni.zone if task.eni is not None else ""


def _count_by_group(tasks: Collection[Task]) -> list[tuple[TargetRef, int]]:
    refs = [ref for task in tasks for ref in task.targets]
    groups = {ref.target_group_arn: ref for ref in refs}
    counts = Counter(ref.target_group_arn for ref in refs)
    return [(ref, counts[group]) for group, ref in groups.items()]


def _unless_same(old: tuple[str, ...], new: Sequence[str]) -> tuple[str, ...]:
    """The old tuple where nothing changed, so that unchanged records compare by identity."""
    return old if len(old) == len(new) and all(a == b for a, b in zip(old, new, strict=True)) else tuple(new)
