"""The auto scaling loop: each minute, how many tasks a service should have by its metrics and its schedule.

A change is one commit: the service's count, the target's memory of it, and the activity.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import fmean
from typing import Final
from zoneinfo import ZoneInfo

from portside.control.alarms import evaluation_range
from portside.control.loop import Loop
from portside.domain import alarm as alarm_rule
from portside.domain import arn, schedule, step_scaling
from portside.domain import autoscaling as rule
from portside.domain.autoscaling import Activity, Decision, Policy, ScalableTarget, ScheduledAction
from portside.domain.clock import Clock, Ids
from portside.domain.metric import MetricName, dimensions_of, statistic
from portside.domain.record import replace
from portside.domain.refusal import Refused
from portside.domain.service import change
from portside.domain.service.record import Service
from portside.domain.step_scaling import Breach
from portside.domain.table import ALARM, SCALABLE_TARGET, SCALING_ACTIVITY, SERVICE
from portside.store.interface import Change, Delete, Put, Store, Stored, Write
from portside.telemetry.interface import LogsUnavailable
from portside.telemetry.metric import MetricStore

log = logging.getLogger(__name__)

_AGGREGATED: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "Average": fmean,
    "Minimum": min,
    "Maximum": max,
}
PERIOD: Final = timedelta(minutes=1)
SETTLES: Final = timedelta(seconds=10)
"""After the full minute, so that its samples are there."""


class AutoScalingLoop:
    """One worker per scalable target."""

    def __init__(self, store: Store, metrics: MetricStore, clock: Clock, ids: Ids) -> None:
        self._store, self._metrics, self._clock, self._ids = store, metrics, clock, ids
        self._loop = Loop("autoscaling", clock, self._step, resync_s=2 * PERIOD.total_seconds())
        self._unsubscribe: Callable[[], None] | None = None
        self._own_write = False

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        for target in self._store.scan(SCALABLE_TARGET):
            self._loop.wake(SCALABLE_TARGET.key(target))

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()

    def _changed(self, change: Change) -> None:
        if change.kind == SCALABLE_TARGET and not self._own_write:
            self._loop.wake(change.key)

    async def _step(self, key: str) -> datetime | None:
        stored = self._store.read(SCALABLE_TARGET, key)
        if stored is None:
            self._loop.finish(key)
            return None
        now, target = self._clock.now(), stored.value
        try:
            series = {each.id: await self._series(target, each, now) for each in target.policies}
            breaches = await self._breaches(target, now)
        except LogsUnavailable as error:
            log.warning("%s is not scaled this minute: %s", target.resource_id, error)
            series, breaches = {}, []
        # Nothing was awaited since: the service is as it is read here until the commit.
        found = self._store.read(SCALABLE_TARGET, key)
        service = self._store.read(SERVICE, key)
        if found is None or found.version != stored.version or service is None or service.value.status != "ACTIVE":
            return now + PERIOD if service is not None else None
        self._decide(found, service, series, breaches, now)
        return _next(self._store.get(SCALABLE_TARGET, key) or target, now)

    def _decide(
        self,
        stored: Stored[ScalableTarget],
        service: Stored[Service],
        series: dict[str, list[float | None]],
        breaches: list[Breach],
        now: datetime,
    ) -> None:
        target, desired = stored.value, service.value.desired_count
        target, decision = _scheduled(target, desired, now)
        if decision is None:
            found = (
                rule.decide(target, desired, series, now=now),
                step_scaling.decide(target, desired, breaches, now=now),
            )
            decision = max((each for each in found if each is not None), key=lambda each: each.desired, default=None)
        writes: list[Write] = []
        if decision is not None:
            writes += self._carried_out(target, service, decision, now)
            if decision.direction == "out":
                target = replace(target, out_at=now, out_from=decision.base)
            else:
                target = replace(target, in_at=now)
        if target is not stored.value:
            writes.append(Put(SCALABLE_TARGET, target, stored.version))
        if writes:
            self._own_write = True
            try:
                self._store.transact(*writes)
            finally:
                self._own_write = False

    def _carried_out(
        self, target: ScalableTarget, service: Stored[Service], decision: Decision, now: datetime
    ) -> list[Write]:
        activity = Activity(
            scope=target.scope,
            id=self._ids.uuid(),
            resource_id=target.resource_id,
            description=f"Setting desired count to {decision.desired}.",
            cause=decision.cause,
            at=now,
            message=f"Successfully set desired count to {decision.desired}. Change successfully fulfilled by ecs.",
        )
        log.info("%s: %s (%s)", target.resource_id, activity.description, decision.cause)
        older = sorted(
            (
                each
                for each in self._store.scan(SCALING_ACTIVITY, target.scope.prefix)
                if each.resource_id == target.resource_id
            ),
            key=lambda each: each.at,
        )
        gone = older[: max(0, len(older) + 1 - rule.ACTIVITIES_KEPT)]
        return [
            Put(SERVICE, change.scaled(service.value, decision.desired, now=now), service.version),
            Put(SCALING_ACTIVITY, activity),
            *(Delete(SCALING_ACTIVITY, SCALING_ACTIVITY.key(each)) for each in gone),
        ]

    async def _breaches(self, target: ScalableTarget, now: datetime) -> list[Breach]:
        """The alarms that ask for step policies now, as they do each minute while they are in that state."""
        found: list[Breach] = []
        by_arn = {
            arn.scaling_policy(target.scope, target.resource_id, each.id, each.name): each
            for each in target.step_policies
        }
        if not by_arn:
            return found
        for alarm in list(self._store.scan(ALARM, target.scope.prefix)):
            asked = [by_arn[each] for each in alarm.actions if each in by_arn]
            if not asked or not alarm.actions_enabled or alarm.rule:
                continue
            try:
                values = alarm_rule.counted_of(alarm, await evaluation_range(self._metrics, alarm, now))
            except Refused:
                continue  # the alarm's own loop says so
            for policy in asked if values else ():
                value = _AGGREGATED[policy.aggregation]([each for _, each in values])
                found.append(
                    Breach(policy_id=policy.id, alarm=alarm.name, state=alarm.state, delta=value - alarm.threshold)
                )
        return found

    async def _series(self, target: ScalableTarget, policy: Policy, now: datetime) -> list[float | None]:
        """The metric of the last full minutes, the newest last."""
        tracked = policy.metric
        metric = MetricName(namespace=tracked.namespace, name=tracked.name, dimensions=tracked.dimensions)
        statistic_name = tracked.statistic
        if tracked.predefined == rule.REQUESTS:
            metric, statistic_name = rule.requests_of(tracked.resource_label), "Sum"
        elif tracked.predefined:
            of = dimensions_of({"ClusterName": target.cluster, "ServiceName": target.service})
            metric = MetricName(namespace="AWS/ECS", name=rule.PREDEFINED[tracked.predefined], dimensions=of)
        end_s = int((now - SETTLES).timestamp()) // 60 * 60
        start_s = end_s - 60 * rule.IN_AFTER_MINUTES
        points = await self._metrics.points(
            target.scope, metric, start_s=start_s, end_s=end_s, period_s=60, unit=tracked.unit
        )
        return [
            statistic(points[at_s], statistic_name) if at_s in points else None for at_s in range(start_s, end_s, 60)
        ]


def _scheduled(target: ScalableTarget, desired: int, now: datetime) -> tuple[ScalableTarget, Decision | None]:
    """The target after the actions that are due, and what follows for the count."""
    if "scheduled" in target.suspended:
        return target, None
    decision: Decision | None = None
    for action in target.actions:
        if not _is_due(action, now):
            continue
        done = replace(action, done_at=now)
        minimum = target.minimum if action.minimum is None else action.minimum
        maximum = target.maximum if action.maximum is None else action.maximum
        if action.maximum is None:
            maximum = max(maximum, minimum)
        elif action.minimum is None:
            minimum = min(minimum, maximum)
        actions = tuple(done if each.id == action.id else each for each in target.actions)
        target = replace(target, actions=actions, minimum=minimum, maximum=maximum)
        decision = rule.bounded(target, desired, action.name)
        desired = decision.desired if decision is not None else desired
    return target, decision


def _is_due(action: ScheduledAction, now: datetime) -> bool:
    if (action.start_at is not None and now < action.start_at) or (action.end_at is not None and now > action.end_at):
        return False
    at = _due_at(action)
    return at is not None and at <= now


def _due_at(action: ScheduledAction) -> datetime | None:
    """The first time of its schedule after it was last carried out, or made."""
    since = action.start_at or action.created_at
    after = action.done_at or max(action.created_at, since - timedelta(seconds=1))
    return schedule.next_after(action.schedule, after, zone=ZoneInfo(action.zone), since=since)


def _next(target: ScalableTarget, now: datetime) -> datetime | None:
    """When to look again: each minute with policies, at the next action in any case."""
    times = [at for each in target.actions if (at := _due_at(each)) is not None and at > now]
    if target.policies or target.step_policies:
        minute = now.replace(second=0, microsecond=0)
        times.append(minute + PERIOD + SETTLES if now >= minute + SETTLES else minute + SETTLES)
    return min(times, default=None)
