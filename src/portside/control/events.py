"""EventBridge's loops: what ECS tells becomes deliveries, schedules fire, and deliveries reach their targets.

A delivery is durable before it is tried, and is kept until its target has taken it. What ECS tells is found in the
store's changes; the deliveries of a change and the note that it was looked at are one commit. After a crash the records
that were written since the note are looked at once more: a state that was passed in between may be left out, none that
lasts is lost, and none is told twice. Without a rule that is for events nothing is written.
"""

import json
import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from portside.control.loop import Loop
from portside.domain import arn, ecs_event, event_bridge, schedule, topic
from portside.domain.clock import Clock, Ids
from portside.domain.container_instance import ContainerInstance
from portside.domain.event_bridge import Delivery, EventCursor, EventRule
from portside.domain.kind import Kind
from portside.domain.log import LogEvent
from portside.domain.problem import FAILURE_MOST
from portside.domain.record import Record, Scope, replace
from portside.domain.table import (
    CONTAINER_INSTANCE,
    EVENT_CURSOR,
    EVENT_DELIVERY,
    EVENT_RULE,
    NOTIFICATION,
    SERVICE,
    SUBSCRIPTION,
    TASK,
    TOPIC,
)
from portside.domain.task.record import Task
from portside.store.interface import ABSENT, Change, Conflict, Delete, Put, Store, StoreUnavailable, Write
from portside.telemetry.interface import LogSink

log = logging.getLogger(__name__)

CURSOR_EVERY: Final = timedelta(minutes=1)
"""How often the note is written where nothing is to be delivered."""
RETRY_MOST_S: Final = 300
BATCH: Final = 100
_ALL: Final = "ecs"
_TOLD: Final[tuple[Kind[Any], ...]] = (TASK, SERVICE, CONTAINER_INSTANCE)


class EventLoop:
    """Makes deliveries of what happens in ECS.

    Args:
        describe: a record as ECS shows it in events, in JSON's types.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        describe: Callable[[Task | ContainerInstance, datetime], Mapping[str, Any]],
    ) -> None:
        self._store, self._clock, self._ids, self._describe = store, clock, ids, describe
        self._loop = Loop("events", clock, self._step, resync_s=2 * CURSOR_EVERY.total_seconds())
        self._changes: deque[Change] = deque()
        self._is_wanted = False
        self._noted_at: datetime | None = None
        self._last: datetime | None = None
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        self._look_for_rules()
        cursor = self._store.get(EVENT_CURSOR, _ALL)
        if self._is_wanted and cursor is not None:
            for kind in _TOLD:
                for value in self._store.scan(kind):
                    stored = self._store.read(kind, kind.key(value))
                    if stored is not None and stored.version > cursor.revision:
                        self._changes.append(Change(kind, stored.key, stored.value, None, stored.version))
        self._loop.wake(_ALL)

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()

    def _look_for_rules(self) -> None:
        self._is_wanted = any(
            each.state == "ENABLED" and each.pattern is not None for each in self._store.scan(EVENT_RULE)
        )

    def _changed(self, change: Change) -> None:
        if change.kind == EVENT_RULE:
            self._look_for_rules()
        elif self._is_wanted and change.kind in _TOLD:
            self._changes.append(change)
            self._loop.wake(_ALL)

    async def _step(self, _key: str) -> datetime | None:
        now = self._clock.now()
        cursor = self._store.get(EVENT_CURSOR, _ALL)
        since = cursor.at if cursor is not None else now
        taken = [self._changes.popleft() for _ in range(min(len(self._changes), BATCH))]
        writes: list[Write] = []
        revision = cursor.revision if cursor is not None else 0
        for change in taken:
            revision = max(revision, change.revision)
            for each in ecs_event.happenings(change.old, change.value, since=since, now=now):
                at = self._next(now)
                writes += [Put(EVENT_DELIVERY, delivery) for delivery in self._deliveries(change.value, each, at)]
        is_due = self._noted_at is None or now - self._noted_at >= CURSOR_EVERY
        if writes or (taken and is_due):
            note = EventCursor(revision=revision, at=now)
            try:
                self._store.transact(*writes, Put(EVENT_CURSOR, note))
            except StoreUnavailable:
                self._changes.extendleft(reversed(taken))
                raise
            self._noted_at = now
        if self._changes:
            self._loop.wake(_ALL)
        return now + CURSOR_EVERY if self._is_wanted else None

    def _next(self, now: datetime) -> datetime:
        """A time after that of the event before: deliveries sort by it."""
        if self._last is not None:
            now = max(now, self._last + timedelta(microseconds=1))
        self._last = now
        return now

    def _deliveries(self, record: Record | None, each: ecs_event.Happening, now: datetime) -> list[Delivery]:
        assert record is not None
        scope: Scope = record.scope  # type: ignore[attr-defined]
        detail = self._describe(each.described, now) if each.described is not None else each.detail
        happened = event_bridge.event(
            scope,
            event_id=self._ids.uuid(),
            source=ecs_event.SOURCE,
            detail_type=each.detail_type,
            at=each.at,
            resources=[each.resource],
            detail=detail,
        )
        return event_bridge.deliveries(self._store.scan(EVENT_RULE, scope.prefix), happened, now=now)


class ScheduleLoop:
    """One worker per rule with a schedule. What came due while Portside was down is not made up for, as on AWS."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._loop = Loop("schedules", clock, self._step)
        self._after: dict[str, datetime] = {}
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        for rule in self._store.scan(EVENT_RULE):
            self._loop.wake(EVENT_RULE.key(rule))

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()

    def _changed(self, change: Change) -> None:
        if change.kind == EVENT_RULE:
            self._loop.wake(change.key)

    async def _step(self, key: str) -> datetime | None:
        rule, now = self._store.get(EVENT_RULE, key), self._clock.now()
        if rule is None or rule.schedule is None or rule.state != "ENABLED":
            self._after.pop(key, None)
            self._loop.finish(key)
            return None
        after = max(self._after.setdefault(key, now), rule.enabled_at)
        at = schedule.next_after(rule.schedule, after, zone=ZoneInfo("UTC"), since=rule.enabled_at)
        if at is None or at > now:
            return at
        self._fire(rule, at)
        self._after[key] = at
        return now

    def _fire(self, rule: EventRule, at: datetime) -> None:
        own = arn.event_rule(rule.scope, rule.name)
        happened = event_bridge.event(
            rule.scope,
            # The same time is the same event, also for a daemon that was killed right after it.
            event_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{own} {at.isoformat()}")),
            source="aws.events",
            detail_type=event_bridge.SCHEDULED,
            at=at,
            resources=[own],
            detail={},
        )
        for each in event_bridge.of_rule(rule, happened, now=at):
            try:
                self._store.transact(Put(EVENT_DELIVERY, each, ABSENT))
            except Conflict:
                continue  # it is on its way


class DeliveryLoop:
    """One worker per target of a rule: what is for it reaches it in order.

    Args:
        logs: where log groups are.
        run_task: RunTask in an account and region, by its parameters; raises with the reason.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        logs: LogSink,
        run_task: Callable[[Scope, Mapping[str, Any]], Awaitable[Mapping[str, Any]]],
    ) -> None:
        self._store, self._clock, self._logs, self._run_task = store, clock, logs, run_task
        self._loop = Loop("deliveries", clock, self._step)
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        for each in self._store.scan(EVENT_DELIVERY):
            self._loop.wake(_line(each))

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()

    def _changed(self, change: Change) -> None:
        if isinstance(change.value, Delivery) and change.old is None:
            self._loop.wake(_line(change.value))

    async def _step(self, line: str) -> datetime | None:
        waiting = [each for each, _ in zip(self._store.scan(EVENT_DELIVERY, line), range(BATCH), strict=False)]
        if not waiting:
            self._loop.finish(line)
            return None
        now = self._clock.now()
        first = waiting[0]
        if first.not_before is not None and first.not_before > now:
            return first.not_before
        try:
            if first.target.arn.split(":")[2] == "sns":
                taken = [first]
                self._to_topic(first)
            elif first.target.ecs is None:
                taken = [each for each in waiting if each.target == first.target]
                await self._to_log(taken)
            else:
                taken = [first]
                await self._to_ecs(first)
        except Exception as error:  # whatever a target says: it is tried again, and given up in the end
            self._store.transact(self._failed(first, error, now))
            return now
        self._store.transact(*(Delete(EVENT_DELIVERY, EVENT_DELIVERY.key(each)) for each in taken))
        return now

    def _failed(self, delivery: Delivery, error: Exception, now: datetime) -> Write:
        attempts, target = delivery.attempts + 1, delivery.target
        old = now - delivery.event_at >= timedelta(seconds=target.age_most_s)
        said = f"an event of rule {delivery.rule} can not be delivered to {target.arn}: {error}"
        if old or attempts > target.attempts_most:
            log.error("%s; it is given up after %d attempts", said, attempts)
            return Delete(EVENT_DELIVERY, EVENT_DELIVERY.key(delivery))
        if attempts == 1:
            log.warning("%s; it is tried again", said)
        pause = timedelta(seconds=min(RETRY_MOST_S, 2 ** min(attempts, 9)))
        why = str(error)[:FAILURE_MOST]
        return Put(EVENT_DELIVERY, replace(delivery, attempts=attempts, failure=why, not_before=now + pause))

    async def _to_log(self, deliveries: list[Delivery]) -> None:
        first = deliveries[0]
        parsed = arn.parse(first.target.arn)
        assert parsed is not None
        scope = Scope(account=parsed.account, region=parsed.region)
        group = parsed.resource.removeprefix("log-group:").removesuffix(":*")
        await self._logs.open_stream(scope, group, first.rule, create_group=False)
        events = [LogEvent(at_ms=round(each.event_at.timestamp() * 1000), message=each.payload) for each in deliveries]
        await self._logs.put(scope, group, first.rule, events)

    def _to_topic(self, delivery: Delivery) -> None:
        """The same event is the same message, also for a daemon that was killed right after it."""
        key = topic.key_of(delivery.target.arn)
        found = self._store.get(TOPIC, key)
        if found is None:
            raise RuntimeError("Topic does not exist")
        sent = topic.notifications(
            *(found, self._store.scan(SUBSCRIPTION, f"{key}/")),
            message=delivery.payload,
            subject=None,
            message_id=str(uuid.uuid5(uuid.NAMESPACE_URL, delivery.id)),
            now=delivery.event_at,
        )
        if sent:
            self._store.transact(*(Put(NOTIFICATION, each) for each in sent))

    async def _to_ecs(self, delivery: Delivery) -> None:
        target = delivery.target
        assert target.ecs is not None
        parsed = arn.parse(target.arn)
        assert parsed is not None
        parameters = _run_task_parameters(json.loads(target.ecs.parameters_json))
        parameters |= {
            "cluster": target.arn,
            "startedBy": f"events-rule/{delivery.rule}"[:128],
            "clientToken": str(uuid.uuid5(uuid.NAMESPACE_URL, delivery.id)),
        }
        if target.input is not None or target.transformer is not None:
            parameters["overrides"] = json.loads(delivery.payload)
        answer = await self._run_task(Scope(account=parsed.account, region=parsed.region), parameters)
        if answer.get("failures"):
            raise RuntimeError(answer["failures"][0].get("reason", "RunTask failed"))


def _line(delivery: Delivery) -> str:
    """Before the keys of all deliveries to one target of a rule."""
    return f"{delivery.scope.prefix}{delivery.rule}/{delivery.target.id}/"


def _run_task_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """EcsParameters in RunTask's names."""
    found = {name[:1].lower() + name[1:]: value for name, value in given.items()}
    found["taskDefinition"] = found.pop("taskDefinitionArn")
    found["count"] = found.pop("taskCount", 1)
    if "networkConfiguration" in found:
        inner = found["networkConfiguration"].get("awsvpcConfiguration") or {}
        inner = {name[:1].lower() + name[1:]: value for name, value in inner.items()}
        found["networkConfiguration"] = {"awsvpcConfiguration": inner}
    if "tags" in found:
        found["tags"] = [{"key": each["Key"], "value": each.get("Value", "")} for each in found["tags"]]
    return found
