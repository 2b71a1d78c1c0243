"""CloudWatch alarms: records, rules, and which state a series of datapoints gives. Pure.

Sources: CloudWatch user guide, "Using Amazon CloudWatch alarms", "Configuring how CloudWatch alarms treat missing data"
(its tables are the tests); API_PutMetricAlarm, API_PutCompositeAlarm.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from portside.domain import arn, metric_math
from portside.domain.metric import MetricName, check_statistic
from portside.domain.record import Record, Scope, Tags, replace
from portside.domain.refusal import RefusalKind, Refused

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
Comparison = Literal[
    "GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold"
]
Missing = Literal["missing", "ignore", "breaching", "notBreaching"]
HistoryType = Literal["ConfigurationUpdate", "StateUpdate", "Action"]

COMPARISONS: Final[dict[str, tuple[Callable[[float, float], bool], str]]] = {
    "GreaterThanOrEqualToThreshold": (lambda value, limit: value >= limit, "greater than or equal to"),
    "GreaterThanThreshold": (lambda value, limit: value > limit, "greater than"),
    "LessThanThreshold": (lambda value, limit: value < limit, "less than"),
    "LessThanOrEqualToThreshold": (lambda value, limit: value <= limit, "less than or equal to"),
}
MISSING: Final = ("missing", "ignore", "breaching", "notBreaching")
EXTRA: Final = 2
"""Datapoints beyond the evaluation periods that are looked at when some of these are missing."""
QUERIES_MOST: Final = 10
WINDOW_MOST_S: Final = 86400
WINDOW_MOST_LONG_S: Final = 7 * 86400
"""Of periods of an hour and more."""
HISTORY_KEPT: Final = timedelta(days=14)
HISTORY_MOST: Final = 500
"""Items kept of an alarm."""


class AlarmQuery(Record, frozen=True, kw_only=True):
    """One of the metrics that an alarm evaluates, or an expression over them."""

    id: str
    metric: MetricName | None = None
    statistic: str = ""
    period_s: int | None = None
    unit: str | None = None
    expression: str = ""
    label: str | None = None
    return_data: bool = True


class Alarm(Record, frozen=True, kw_only=True):
    """A metric alarm, or with `rule` a composite one.

    `queries`: one without an expression, and `is_plain`, where a metric was named itself; the one whose data is
    returned decides."""

    scope: Scope
    name: str
    description: str | None = None
    actions_enabled: bool = True
    ok_actions: tuple[str, ...] = ()
    alarm_actions: tuple[str, ...] = ()
    insufficient_data_actions: tuple[str, ...] = ()
    queries: tuple[AlarmQuery, ...] = ()
    is_plain: bool = True
    period_s: int = 60
    evaluation_periods: int = 1
    datapoints_to_alarm: int | None = None
    threshold: float = 0.0
    comparison: Comparison = "GreaterThanThreshold"
    missing: Missing | None = None
    evaluate_low_samples: str | None = None
    rule: str = ""
    tags: Tags = ()
    state: State = "INSUFFICIENT_DATA"
    reason: str = "Unchecked: Initial alarm creation"
    reason_data: str | None = None
    updated_at: datetime  # its configuration
    state_at: datetime  # when its state was given last
    transitioned_at: datetime  # when its state changed last

    @property
    def actions(self) -> tuple[str, ...]:
        """Those of its present state."""
        return {"OK": self.ok_actions, "ALARM": self.alarm_actions}.get(self.state, self.insufficient_data_actions)

    @property
    def needed(self) -> int:
        """Breaching datapoints that make an alarm."""
        return self.datapoints_to_alarm or self.evaluation_periods


class AlarmHistory(Record, frozen=True, kw_only=True):
    """`data`: JSON, as AWS shows it."""

    scope: Scope
    alarm: str
    is_composite: bool
    id: str
    at: datetime
    type: HistoryType
    summary: str
    data: str


class Verdict(Record, frozen=True, kw_only=True):
    state: State
    reason: str
    reason_data: str


def check(alarm: Alarm) -> None:
    """Raises Refused: it can not be evaluated."""
    if alarm.rule:
        names_in(alarm.rule)
        return
    if alarm.datapoints_to_alarm is not None and not 1 <= alarm.datapoints_to_alarm <= alarm.evaluation_periods:
        raise _invalid("DatapointsToAlarm must be between 1 and EvaluationPeriods.")
    if not math.isfinite(alarm.threshold):
        raise _invalid("Threshold must be a finite number.")
    if alarm.period_s not in (10, 20, 30) and (alarm.period_s < 60 or alarm.period_s % 60):
        raise _invalid("Period must be 10, 20, 30 or a multiple of 60")
    most = WINDOW_MOST_LONG_S if alarm.period_s >= 3600 else WINDOW_MOST_S
    if alarm.period_s * alarm.evaluation_periods > most:
        raise _invalid(f"Metrics cannot be checked across more than {'a week' if most > 86400 else 'a day'}")
    for query in alarm.queries:
        if query.metric is not None:
            check_statistic(query.statistic)
    if not alarm.is_plain:
        _check_queries(alarm.queries)


def _check_queries(queries: Sequence[AlarmQuery]) -> None:
    ids = [each.id for each in queries]
    if len(ids) != len(set(ids)):
        raise _invalid("The values for parameter id in Metrics are not unique.")
    if len(queries) > QUERIES_MOST:
        raise _invalid(f"Metrics can have at most {QUERIES_MOST} members.")
    if sum(each.return_data for each in queries) != 1:
        raise _invalid("Exactly one element of the metrics list should return data.")
    if len({each.period_s for each in queries if each.metric is not None}) > 1:
        raise _invalid("All metrics of an alarm must have the same period.")
    for query in queries:
        if query.metric is None and (unknown := metric_math.names_in(query.expression) - set(ids)):
            raise _invalid(f"Error in expression '{query.id}': Unknown identifier '{sorted(unknown)[0]}'")


def evaluate(alarm: Alarm, values: Sequence[tuple[int, float | None]], *, now: datetime) -> Verdict | None:
    """What the datapoints make of a metric alarm; None to stay as it is.

    Args:
        values: the evaluation range, oldest first: the start of each period in seconds since 1970, and its value,
            None where there was no sample.
    """
    breaches, words = COMPARISONS[alarm.comparison]
    counted = counted_of(alarm, values)
    filled = alarm.evaluation_periods - len(counted)
    bad = sum(breaches(value, alarm.threshold) for _, value in counted)
    treatment = alarm.missing or "missing"
    if not counted and treatment in ("missing", "ignore"):
        if treatment == "ignore":
            return None
        count = alarm.evaluation_periods
        reason = f"Insufficient Data: {count} datapoint{_were(count)} unknown."
        return _verdict(alarm, "INSUFFICIENT_DATA", reason, [], now)
    if filled and treatment == "breaching":
        is_alarm = bad + filled >= alarm.needed
    elif filled and treatment != "notBreaching" and bad == len(counted) and bad < alarm.needed:
        # All that is known breaches, but it is not enough: unless the oldest of it is as old as what would be.
        if treatment == "ignore":
            return None
        oldest = next(index for index, (_, value) in enumerate(values) if value is not None)
        if len(values) - oldest < alarm.needed:
            return None
        is_alarm = True
    else:
        is_alarm = bad >= alarm.needed
    state: State = "ALARM" if is_alarm else "OK"
    reason = _reason(alarm, counted, filled, bad, is_alarm=is_alarm, words=words)
    return _verdict(alarm, state, reason, [value for _, value in counted], now)


def counted_of(alarm: Alarm, values: Sequence[tuple[int, float | None]]) -> list[tuple[int, float]]:
    """The newest datapoints that there are, as many as are evaluated."""
    return [(at_s, value) for at_s, value in values if value is not None][-alarm.evaluation_periods :]


def _reason(
    alarm: Alarm, counted: Sequence[tuple[int, float]], filled: int, bad: int, *, is_alarm: bool, words: str
) -> str:
    if not counted:
        treated = "Breaching" if is_alarm else "NonBreaching"
        periods = f"{filled} period{'s' if filled > 1 else ''}"
        return (
            f"Threshold Crossed: no datapoints were received for {periods} and {filled} missing "
            f"datapoint{_were(filled)} treated as [{treated}]."
        )
    breaching = [each for each in counted if COMPARISONS[alarm.comparison][0](each[1], alarm.threshold)]
    shown = (breaching if is_alarm else None) or counted
    points = ", ".join(f"{value!r} ({_moment(at_s)})" for at_s, value in reversed(shown))
    count = bad if is_alarm else len(counted) - bad
    needed = alarm.needed if is_alarm else max(1, alarm.evaluation_periods - alarm.needed + 1)
    verb = "was" if count == 1 else "were"
    return (
        f"Threshold Crossed: {count} out of the last {len(counted)} datapoints [{points}] {verb} "
        f"{'' if is_alarm else 'not '}{words} the threshold ({alarm.threshold!r}) (minimum {needed} "
        f"datapoint{'s' if needed > 1 else ''} for {'OK -> ALARM' if is_alarm else 'ALARM -> OK'} transition)."
    )


def _were(count: int) -> str:
    return "s were" if count != 1 else " was"


def _moment(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%d/%m/%y %H:%M:%S}"


def _verdict(alarm: Alarm, state: State, reason: str, values: Sequence[float], now: datetime) -> Verdict:
    data: dict[str, object] = {
        "version": "1.0",
        "queryDate": _iso(now),
        "startDate": _iso(now - timedelta(seconds=alarm.period_s * alarm.evaluation_periods)),
    }
    if alarm.is_plain and alarm.queries:
        data["statistic"] = alarm.queries[0].statistic
    data |= {"period": alarm.period_s, "recentDatapoints": list(values), "threshold": alarm.threshold}
    return Verdict(state=state, reason=reason, reason_data=json.dumps(data, separators=(",", ":")))


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}+0000"


def moved(
    alarm: Alarm, state: State, reason: str, reason_data: str | None, *, now: datetime, history_id: str
) -> tuple[Alarm, AlarmHistory]:
    """The alarm in another state, with what its history says of that."""
    data = {
        "version": "1.0",
        "oldState": _state_to(alarm.state, alarm.reason, alarm.reason_data),
        "newState": _state_to(state, reason, reason_data),
    }
    after = replace(
        alarm,
        state=state,
        reason=reason,
        reason_data=reason_data,
        state_at=now,
        transitioned_at=alarm.transitioned_at if state == alarm.state else now,
    )
    summary = f"Alarm updated from {alarm.state} to {state}"
    return after, history(alarm, "StateUpdate", summary, data, now=now, history_id=history_id)


def history(
    alarm: Alarm, kind: HistoryType, summary: str, data: Mapping[str, object], *, now: datetime, history_id: str
) -> AlarmHistory:
    return AlarmHistory(
        scope=alarm.scope,
        alarm=alarm.name,
        is_composite=bool(alarm.rule),
        id=history_id,
        at=now,
        type=kind,
        summary=summary,
        data=json.dumps(data, separators=(",", ":")),
    )


def history_id(now: datetime, uuid: str) -> str:
    """Ids of a history sort by time."""
    return f"{now.timestamp():017.6f}-{uuid}"


def forgotten(items: Iterable[AlarmHistory], now: datetime) -> list[AlarmHistory]:
    """Of an alarm's history, what is too old, and of too much the oldest."""
    by_time = sorted(items, key=lambda each: each.id)
    kept = {each.id for each in [each for each in by_time if now - each.at < HISTORY_KEPT][-HISTORY_MOST:]}
    return [each for each in by_time if each.id not in kept]


def name_of(alarm: str) -> str:
    """Of an alarm's name or ARN."""
    parsed = arn.parse(alarm)
    if parsed is not None and parsed.service == "cloudwatch" and parsed.resource.startswith("alarm:"):
        return parsed.resource.removeprefix("alarm:")
    return alarm


def _state_to(state: State, reason: str, reason_data: str | None) -> dict[str, object]:
    found: dict[str, object] = {"stateValue": state, "stateReason": reason}
    if reason_data is not None:
        found["stateReasonData"] = json.loads(reason_data)
    return found


# --- rules of composite alarms --------------------------------------------------------------------------------------


def names_in(rule: str) -> set[str]:
    """Names or ARNs of the alarms that a rule names. Raises Refused: it is none."""
    found: set[str] = set()
    _Rule(rule, lambda name: found.add(name) or "OK").value()  # type: ignore[func-returns-value]
    return found


def holds(rule: str, state_of: Callable[[str], State]) -> bool:
    """Whether a composite alarm with this rule is in ALARM.

    Args:
        state_of: the state of an alarm, by its name or ARN.
    """
    return _Rule(rule, state_of).value()


_TOKEN: Final = re.compile(r"\s*(?:(AND|OR|NOT|TRUE|FALSE)\b|(ALARM|OK|INSUFFICIENT_DATA)\s*\(|([()]))", re.IGNORECASE)
_QUOTED: Final = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|([^()\s"\']+))\s*\)')
DEPTH_MOST: Final = 100


class _Rule:
    """A parser that evaluates: OR binds least, then AND, then NOT. All parts are looked at, whatever decides."""

    def __init__(self, text: str, state_of: Callable[[str], State]) -> None:
        self._text, self._state_of, self._at, self._depth = text, state_of, 0, 0

    def value(self) -> bool:
        found = self._either()
        if self._text[self._at :].strip():
            raise self._error()
        return found

    def _either(self) -> bool:
        found = self._both()
        while self._take("OR"):
            found = self._both() or found
        return found

    def _both(self) -> bool:
        found = self._one()
        while self._take("AND"):
            found = self._one() and found
        return found

    def _one(self) -> bool:
        self._depth += 1
        if self._depth > DEPTH_MOST:
            raise self._error()
        try:
            return self._operand()
        finally:
            self._depth -= 1

    def _operand(self) -> bool:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            raise self._error()
        word, state, bracket = match.groups()
        self._at = match.end()
        if state is not None:
            name = _QUOTED.match(self._text, self._at)
            if name is None:
                raise self._error()
            self._at = name.end()
            quoted = next(each for each in name.groups() if each is not None)
            return self._state_of(re.sub(r"\\(.)", r"\1", quoted)) == state.upper()
        if bracket == "(":
            found = self._either()
            if not self._take(")"):
                raise self._error()
            return found
        match word and word.upper():
            case "NOT":
                return not self._one()
            case "TRUE":
                return True
            case "FALSE":
                return False
        raise self._error()

    def _take(self, token: str) -> bool:
        match = _TOKEN.match(self._text, self._at)
        if match is None or (match[1] or match[3] or "").upper() != token:
            return False
        self._at = match.end()
        return True

    def _error(self) -> Refused:
        return _invalid(f"AlarmRule must not contain syntax errors: near position {self._at} of '{self._text}'.")


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message)
