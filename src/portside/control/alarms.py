"""The alarm loop: which state each alarm is in, by its metric or by other alarms.

A metric alarm is looked at each minute, one of a shorter period every ten seconds; a composite one when an alarm has
changed. A change is one commit: the alarm's state and its history. What acts upon alarms reads their state.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from portside import alarm_action
from portside.control.loop import Loop
from portside.domain import alarm as rule
from portside.domain import arn, metric_math
from portside.domain.alarm import Alarm, AlarmQuery, State
from portside.domain.clock import Clock, Ids
from portside.domain.metric import merged, statistic
from portside.domain.metric_math import Series, Value
from portside.domain.record import replace
from portside.domain.refusal import Refused
from portside.domain.table import ALARM, ALARM_HISTORY
from portside.store.interface import Change, Delete, Put, Store, Stored, Write
from portside.telemetry.interface import LogsUnavailable
from portside.telemetry.metric import MetricStore

log = logging.getLogger(__name__)

SETTLES_S: Final = 10
"""After the end of a period, so that its samples are there."""
SHORT_S: Final = 10


class AlarmLoop:
    """One worker per alarm."""

    def __init__(self, store: Store, metrics: MetricStore, clock: Clock, ids: Ids) -> None:
        self._store, self._metrics, self._clock, self._ids = store, metrics, clock, ids
        self._loop = Loop("alarms", clock, self._step, resync_s=120)
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        for alarm in self._store.scan(ALARM):
            self._loop.wake(ALARM.key(alarm))

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()

    def _changed(self, change: Change) -> None:
        if change.kind != ALARM:
            return
        self._loop.wake(change.key)
        for alarm in self._store.scan(ALARM):
            if alarm.rule:
                self._loop.wake(ALARM.key(alarm))

    async def _step(self, key: str) -> datetime | None:
        stored = self._store.read(ALARM, key)
        if stored is None:
            self._loop.finish(key)
            return None
        alarm, now = stored.value, self._clock.now()
        if alarm.rule:
            self._decide_composite(stored, now)
            return None
        try:
            values = await evaluation_range(self._metrics, alarm, now)
        except LogsUnavailable as error:
            log.warning("alarm %s is not evaluated this minute: %s", alarm.name, error)
            return _next(alarm, now)
        except Refused as error:
            log.warning("alarm %s can not be evaluated: %s", alarm.name, error.message)
            return _next(alarm, now)
        verdict = rule.evaluate(alarm, values, now=now)
        if verdict is not None and (verdict.state != alarm.state or alarm.reason_data is None):
            self._commit(stored, verdict.state, verdict.reason, verdict.reason_data, now)
        return _next(alarm, now)

    def _decide_composite(self, stored: Stored[Alarm], now: datetime) -> None:
        alarm = stored.value
        others = {each.name: each for each in self._store.scan(ALARM, alarm.scope.prefix)}

        def state_of(name: str) -> State:
            found = others.get(rule.name_of(name))
            return found.state if found is not None else "INSUFFICIENT_DATA"

        state: State = "ALARM" if rule.holds(alarm.rule, state_of) else "OK"
        if state == alarm.state:
            return
        moved = max(
            (others[rule.name_of(each)] for each in rule.names_in(alarm.rule) if rule.name_of(each) in others),
            key=lambda each: each.transitioned_at,
            default=None,
        )
        reason = f"Rule {alarm.rule} is {'true' if state == 'ALARM' else 'false'}"
        if moved is not None:
            where = arn.alarm(moved.scope, moved.name)
            reason = f"{where} transitioned to {moved.state} at {moved.transitioned_at:%A %d %B, %Y %H:%M:%S %Z}"
        self._commit(stored, state, reason, None, now)

    def _commit(self, stored: Stored[Alarm], state: State, reason: str, data: str | None, now: datetime) -> None:
        alarm = stored.value
        if state == alarm.state:
            # As it was, and now for a reason.
            self._store.transact(Put(ALARM, replace(alarm, reason=reason, reason_data=data), stored.version))
            return
        after, item = rule.moved(alarm, state, reason, data, now=now, history_id=self._history_id(now))
        log.info("alarm %s: %s (%s)", alarm.name, item.summary, reason)
        writes: list[Write] = [Put(ALARM, after, stored.version), Put(ALARM_HISTORY, item)]
        told, acted = alarm_action.acted(self._store, after, alarm.state, now=now, uuid=self._ids.uuid)
        writes += acted
        for each in told:
            if "Failed" in each.summary:
                log.warning("alarm %s: %s", alarm.name, each.summary)
        items = self._store.find(ALARM_HISTORY, "alarm", f"{alarm.scope.prefix}{alarm.name}")
        writes += [Delete(ALARM_HISTORY, ALARM_HISTORY.key(each)) for each in rule.forgotten(items, now)]
        self._store.transact(*writes)

    def _history_id(self, now: datetime) -> str:
        return rule.history_id(now, self._ids.uuid())


async def evaluation_range(metrics: MetricStore, alarm: Alarm, now: datetime) -> Sequence[tuple[int, float | None]]:
    """The datapoints of a metric alarm, the newest last, for `rule.evaluate`.

    Raises:
        Refused: an expression can not be evaluated.
        LogsUnavailable: the disk refused.
    """
    step_s = min(60, alarm.period_s)
    end_s = int(now.timestamp() - SETTLES_S) // step_s * step_s
    count = alarm.evaluation_periods + rule.EXTRA
    times = range(end_s - count * alarm.period_s, end_s, alarm.period_s)
    values: dict[str, Value] = {}
    for query in alarm.queries:
        if query.metric is not None:
            values[query.id] = await _series(metrics, alarm, query, times)
    expressions = {each.id: each.expression for each in alarm.queries if each.metric is None}
    for name in metric_math.in_order(expressions):
        values[name] = metric_math.evaluate(expressions[name], values, period_s=alarm.period_s, times=times)
    decides = next(each for each in alarm.queries if each.return_data)
    found = values[decides.id]
    if isinstance(found, float):
        return [(at_s, found) for at_s in times]
    if isinstance(found, list):
        found = found[0] if found else {}
    return [(at_s, found.get(at_s)) for at_s in times]


async def _series(metrics: MetricStore, alarm: Alarm, query: AlarmQuery, times: range) -> Series:
    """By the start of its period; periods need not be aligned to the clock."""
    assert query.metric is not None
    points = await metrics.points(
        alarm.scope,
        query.metric,
        start_s=times.start,
        end_s=times.stop,
        period_s=min(60, alarm.period_s),
        unit=query.unit,
    )
    by_period: dict[int, list[int]] = {}
    for at_s in points:
        by_period.setdefault(times.start + (at_s - times.start) // times.step * times.step, []).append(at_s)
    found = {
        start: statistic(merged(points[each] for each in several), query.statistic)
        for start, several in by_period.items()
    }
    return {at_s: value for at_s, value in found.items() if value is not None}


def _next(alarm: Alarm, now: datetime) -> datetime:
    every_s = 60 if alarm.period_s >= 60 else SHORT_S
    seconds = now.timestamp() - SETTLES_S
    return now + timedelta(seconds=every_s - seconds % every_s + 0.5)
