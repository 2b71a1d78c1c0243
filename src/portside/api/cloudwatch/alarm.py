"""Alarms: put, described, set, deleted, and their history."""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from portside import alarm_action
from portside.api.cloudwatch.error import combination, invalid, told
from portside.api.cloudwatch.metric import dimensions_from, metric_to, scope_of
from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain import alarm as rule
from portside.domain import arn, metric_math, tag_rule
from portside.domain.alarm import Alarm, AlarmHistory, AlarmQuery
from portside.domain.clock import Clock, Ids
from portside.domain.metric import PLAIN, MetricName
from portside.domain.record import Tag, replace
from portside.domain.table import ALARM, ALARM_HISTORY
from portside.store.interface import Delete, Put, Store, Write

T = TypeVar("T")

PAGE: Final = 50
PAGE_MOST: Final = 100
DELETED_MOST: Final = 100
NAMES_MOST: Final = 100
_NOT_BUILT: Final = (
    *("EvaluationWindow", "WarmUpConfiguration", "EvaluationCriteria", "EvaluationInterval", "ActionConfiguration"),
    *("ActionsSuppressor", "ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod", "ThresholdMetricId"),
)
_ACTIONS: Final = {
    "OKActions": "ok_actions",
    "AlarmActions": "alarm_actions",
    "InsufficientDataActions": "insufficient_data_actions",
}


class Alarms:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    # --- putting

    def put_metric(self, context: RequestContext, params: Params) -> None:
        _refuse_what_is_not_built(params)
        if params["ComparisonOperator"] not in rule.COMPARISONS:
            raise ServiceError("ValidationError", "Portside does not implement anomaly detection.")
        if params.get("Threshold") is None:
            raise combination("The parameter Threshold must be specified.")
        treatment = params.get("TreatMissingData")
        if treatment is not None and treatment not in rule.MISSING:
            raise invalid(
                f"The value {treatment} for parameter TreatMissingData must be one of {', '.join(rule.MISSING)}."
            )
        queries = tuple(map(_query_from, params["Metrics"])) if params.get("Metrics") else (_plain_query(params),)
        periods = [each.period_s for each in queries if each.period_s is not None]
        self._put(
            context,
            params,
            queries=queries,
            is_plain=not params.get("Metrics"),
            period_s=max(periods, default=60),
            evaluation_periods=params["EvaluationPeriods"] if params.get("EvaluationPeriods") else _required(),
            datapoints_to_alarm=params.get("DatapointsToAlarm"),
            threshold=params["Threshold"],
            comparison=params["ComparisonOperator"],
            missing=treatment,
            evaluate_low_samples=params.get("EvaluateLowSampleCountPercentile"),
            rule="",
        )

    def put_composite(self, context: RequestContext, params: Params) -> None:
        _refuse_what_is_not_built(params)
        with told():
            named = {rule.name_of(each) for each in rule.names_in(params["AlarmRule"])}
        missing = sorted(each for each in named if self._found(context, each) is None)
        if missing:
            raise ServiceError(
                "ValidationError",
                f"Could not save the composite alarm as alarms [{', '.join(missing)}] in the alarm rule do not exist",
            )
        if params["AlarmName"] in self._below(context, named):
            raise ServiceError(
                "ValidationError", "Could not save the composite alarm, as its rule would depend on itself"
            )
        self._put(context, params, rule=params["AlarmRule"], queries=())

    def _below(self, context: RequestContext, names: Iterable[str]) -> set[str]:
        """These alarms, and all that their rules name."""
        found, left = set[str](), list(names)
        while left:
            name = left.pop()
            if name in found:
                continue
            found.add(name)
            alarm = self._found(context, name)
            if alarm is not None and alarm.rule:
                left += map(rule.name_of, rule.names_in(alarm.rule))
        return found

    def _put(self, context: RequestContext, params: Params, **settings: Any) -> None:
        now, name = self._clock.now(), params["AlarmName"]
        before = self._found(context, name)
        if before is not None and bool(before.rule) != bool(settings["rule"]):
            kind = "a composite" if before.rule else "a metric"
            raise ServiceError("ValidationError", f"{name} is {kind} alarm: it can not become one of the other type.")
        tags = before.tags if before is not None else _tags_from(params.get("Tags") or ())
        alarm = Alarm(
            scope=scope_of(context),
            name=name,
            description=params.get("AlarmDescription"),
            actions_enabled=params.get("ActionsEnabled", True),
            ok_actions=_actions_from(params.get("OKActions") or ()),
            alarm_actions=_actions_from(params.get("AlarmActions") or ()),
            insufficient_data_actions=_actions_from(params.get("InsufficientDataActions") or ()),
            **settings,
            tags=tags,
            updated_at=now,
            state_at=now if before is None else before.state_at,
            transitioned_at=now if before is None else before.transitioned_at,
        )
        if before is not None:
            alarm = replace(alarm, state=before.state, reason=before.reason, reason_data=before.reason_data)
        with told():
            rule.check(alarm)
        verb = "created" if before is None else "updated"
        data: dict[str, Any] = {"version": "1.0", "type": "Create" if before is None else "Update"}
        data["createdAlarm" if before is None else "updatedAlarm"] = _plain(alarm_to(alarm))
        item = self._item(alarm, f'Alarm "{name}" {verb}', data, now)
        self._store.transact(Put(ALARM, alarm), Put(ALARM_HISTORY, item), *self._forgotten(alarm, now))

    def _item(self, alarm: Alarm, summary: str, data: Mapping[str, Any], now: datetime) -> AlarmHistory:
        return rule.history(alarm, "ConfigurationUpdate", summary, data, now=now, history_id=self._history_id(now))

    def _history_id(self, now: datetime) -> str:
        return rule.history_id(now, self._ids.uuid())

    def _forgotten(self, alarm: Alarm, now: datetime) -> list[Write]:
        items = self._store.find(ALARM_HISTORY, "alarm", f"{alarm.scope.prefix}{alarm.name}")
        return [Delete(ALARM_HISTORY, ALARM_HISTORY.key(each)) for each in rule.forgotten(items, now)]

    # --- what is there

    def describe(self, context: RequestContext, params: Params) -> Result:
        names, prefix = params.get("AlarmNames"), params.get("AlarmNamePrefix")
        if names and prefix:
            raise combination("AlarmNames and AlarmNamePrefix can not both be specified.")
        if names and len(names) > NAMES_MOST:
            raise invalid(f"AlarmNames can have at most {NAMES_MOST} members.")
        types = params.get("AlarmTypes") or ["MetricAlarm"]
        family = self._family(context, params)
        found = [
            each
            for each in self._all(context)
            if (family is not None and each.name in family)
            or (family is None and ("CompositeAlarm" if each.rule else "MetricAlarm") in types)
            if (not names or each.name in names) and (not prefix or each.name.startswith(prefix))
            if params.get("StateValue") in (None, each.state)
            if not params.get("ActionPrefix") or _has_action(each, params["ActionPrefix"])
        ]
        shown, token = _page(params, found)
        result: Result = {
            "MetricAlarms": [alarm_to(each) for each in shown if not each.rule],
            "CompositeAlarms": [alarm_to(each) for each in shown if each.rule],
        }
        if token is not None:
            result["NextToken"] = token
        return result

    def _family(self, context: RequestContext, params: Params) -> set[str] | None:
        """Children or parents of an alarm, if these are asked for."""
        child_of, parent_of = params.get("ChildrenOfAlarmName"), params.get("ParentsOfAlarmName")
        if not child_of and not parent_of:
            return None
        others = ("AlarmNames", "AlarmNamePrefix", "AlarmTypes", "StateValue", "ActionPrefix")
        if (child_of and parent_of) or any(params.get(each) for each in others):
            raise combination("ChildrenOfAlarmName and ParentsOfAlarmName go with no other filter.")
        if child_of:
            alarm = self._found(context, child_of)
            return (
                {rule.name_of(each) for each in rule.names_in(alarm.rule)}
                if alarm is not None and alarm.rule
                else set()
            )
        return {
            each.name
            for each in self._all(context)
            if each.rule and parent_of in {rule.name_of(name) for name in rule.names_in(each.rule)}
        }

    def of_metric(self, context: RequestContext, params: Params) -> Result:
        metric = MetricName(
            namespace=params["Namespace"],
            name=params["MetricName"],
            dimensions=dimensions_from(params.get("Dimensions")),
        )
        wanted = params.get("Statistic") or params.get("ExtendedStatistic")
        found = [
            alarm
            for alarm in self._all(context)
            for query in alarm.queries
            if query.metric == metric
            if wanted in (None, query.statistic)
            if params.get("Period") in (None, alarm.period_s)
            if params.get("Unit") in (None, query.unit)
        ]
        return {"MetricAlarms": [alarm_to(each) for each in {each.name: each for each in found}.values()]}

    def history(self, context: RequestContext, params: Params) -> Result:
        types = params.get("AlarmTypes") or ["MetricAlarm"]
        start, end = params.get("StartDate"), params.get("EndDate")
        if params.get("AlarmContributorId"):
            raise ServiceError("ValidationError", "Portside does not implement alarm contributors.")
        prefix = context.prefix
        items: Iterable[AlarmHistory] = self._store.scan(ALARM_HISTORY, prefix)
        if params.get("AlarmName"):
            items = self._store.find(ALARM_HISTORY, "alarm", f"{prefix}{params['AlarmName']}")
        found = [
            each
            for each in items
            if params.get("AlarmName") or ("CompositeAlarm" if each.is_composite else "MetricAlarm") in types
            if params.get("HistoryItemType") in (None, each.type)
            if (start is None or each.at >= start) and (end is None or each.at <= end)
        ]
        found.sort(key=lambda each: each.id, reverse=params.get("ScanBy") != "TimestampAscending")
        shown, token = _page(params, found)
        result: Result = {
            "AlarmHistoryItems": [
                {
                    "AlarmName": each.alarm,
                    "AlarmType": "CompositeAlarm" if each.is_composite else "MetricAlarm",
                    "Timestamp": each.at,
                    "HistoryItemType": each.type,
                    "HistorySummary": each.summary,
                    "HistoryData": each.data,
                }
                for each in shown
            ]
        }
        if token is not None:
            result["NextToken"] = token
        return result

    # --- changes

    def set_state(self, context: RequestContext, params: Params) -> None:
        alarm = self._found(context, params["AlarmName"])
        if alarm is None:
            raise ServiceError("ResourceNotFound", f"Unknown alarm: {params['AlarmName']}", 404)
        data = params.get("StateReasonData")
        if data is not None:
            try:
                json.loads(data)
            except ValueError:
                raise ServiceError("InvalidFormat", "StateReasonData is not valid JSON.") from None
        now = self._clock.now()
        after, item = rule.moved(
            *(alarm, params["StateValue"], params["StateReason"], data),
            now=now,
            history_id=self._history_id(now),
        )
        writes: list[Write] = [Put(ALARM, after), Put(ALARM_HISTORY, item), *self._forgotten(alarm, now)]
        if after.state != alarm.state:
            writes += alarm_action.acted(self._store, after, alarm.state, now=now, uuid=self._ids.uuid)[1]
        self._store.transact(*writes)

    def enable_actions(self, context: RequestContext, params: Params) -> None:
        self._set_enabled(context, params, enabled=True)

    def disable_actions(self, context: RequestContext, params: Params) -> None:
        self._set_enabled(context, params, enabled=False)

    def _set_enabled(self, context: RequestContext, params: Params, *, enabled: bool) -> None:
        found = [alarm for name in params["AlarmNames"] if (alarm := self._found(context, name)) is not None]
        writes = [Put(ALARM, replace(each, actions_enabled=enabled)) for each in found]
        if writes:
            self._store.transact(*writes)

    def delete(self, context: RequestContext, params: Params) -> None:
        names = list(dict.fromkeys(params["AlarmNames"]))
        if len(names) > DELETED_MOST:
            raise invalid(f"At most {DELETED_MOST} alarms can be deleted at once.")
        found = [alarm for name in names if (alarm := self._found(context, name)) is not None]
        if len(found) < len(names):
            unknown = set(names) - {each.name for each in found}
            raise ServiceError("ResourceNotFound", f"Unknown alarms: {', '.join(sorted(unknown))}", 404)
        if sum(bool(each.rule) for each in found) > 1:
            raise ServiceError("ValidationError", "Only one composite alarm can be deleted at once.")
        now = self._clock.now()
        writes: list[Write] = []
        for each in found:
            data = {"version": "1.0", "type": "Delete", "deletedAlarm": _plain(alarm_to(each))}
            writes += [
                Delete(ALARM, ALARM.key(each)),
                Put(ALARM_HISTORY, self._item(each, f'Alarm "{each.name}" deleted', data, now)),
                *self._forgotten(each, now),
            ]
        self._store.transact(*writes)

    # --- tags

    def tag(self, context: RequestContext, params: Params) -> Result:
        alarm = self._by_arn(context, params)
        with told():
            tags = tag_rule.merged(alarm.tags, _tags_from(params["Tags"]))
        self._store.transact(Put(ALARM, replace(alarm, tags=tags)))
        return {}

    def untag(self, context: RequestContext, params: Params) -> Result:
        alarm = self._by_arn(context, params)
        kept = tuple(each for each in alarm.tags if each.key not in params["TagKeys"])
        self._store.transact(Put(ALARM, replace(alarm, tags=kept)))
        return {}

    def list_tags(self, context: RequestContext, params: Params) -> Result:
        return {"Tags": [{"Key": each.key, "Value": each.value} for each in self._by_arn(context, params).tags]}

    # --- records

    def _all(self, context: RequestContext) -> list[Alarm]:
        return sorted(self._store.scan(ALARM, context.prefix), key=lambda each: each.name)

    def _found(self, context: RequestContext, name: str) -> Alarm | None:
        return self._store.get(ALARM, f"{context.prefix}{name}")

    def _by_arn(self, context: RequestContext, params: Params) -> Alarm:
        alarm = self._found(context, rule.name_of(params["ResourceARN"]))
        if alarm is None:
            raise ServiceError("ResourceNotFoundException", f"Unknown alarm: {params['ResourceARN']}", 404)
        return alarm


def alarm_to(alarm: Alarm) -> Result:
    shape: Result = {
        "AlarmName": alarm.name,
        "AlarmArn": arn.alarm(alarm.scope, alarm.name),
        "AlarmConfigurationUpdatedTimestamp": alarm.updated_at,
        "ActionsEnabled": alarm.actions_enabled,
        **{member: list(getattr(alarm, field)) for member, field in _ACTIONS.items()},
        "StateValue": alarm.state,
        "StateReason": alarm.reason,
        "StateUpdatedTimestamp": alarm.state_at,
        "StateTransitionedTimestamp": alarm.transitioned_at,
    }
    if alarm.description is not None:
        shape["AlarmDescription"] = alarm.description
    if alarm.reason_data is not None:
        shape["StateReasonData"] = alarm.reason_data
    if alarm.rule:
        return {**shape, "AlarmRule": alarm.rule}
    shape |= {
        "EvaluationPeriods": alarm.evaluation_periods,
        "Threshold": alarm.threshold,
        "ComparisonOperator": alarm.comparison,
    }
    if alarm.datapoints_to_alarm is not None:
        shape["DatapointsToAlarm"] = alarm.datapoints_to_alarm
    if alarm.missing is not None:
        shape["TreatMissingData"] = alarm.missing
    if alarm.evaluate_low_samples is not None:
        shape["EvaluateLowSampleCountPercentile"] = alarm.evaluate_low_samples
    if not alarm.is_plain:
        return {**shape, "Metrics": [_query_to(each) for each in alarm.queries]}
    query = alarm.queries[0]
    assert query.metric is not None
    shape |= {**metric_to(query.metric), "Period": alarm.period_s}
    shape["Statistic" if query.statistic in PLAIN else "ExtendedStatistic"] = query.statistic
    if query.unit is not None:
        shape["Unit"] = query.unit
    return shape


def _query_to(query: AlarmQuery) -> Result:
    shape: Result = {"Id": query.id, "ReturnData": query.return_data}
    if query.label is not None:
        shape["Label"] = query.label
    if query.metric is None:
        shape["Expression"] = query.expression
        if query.period_s is not None:
            shape["Period"] = query.period_s
        return shape
    stat: Result = {"Metric": metric_to(query.metric), "Period": query.period_s, "Stat": query.statistic}
    if query.unit is not None:
        stat["Unit"] = query.unit
    return {**shape, "MetricStat": stat}


def _query_from(given: Mapping[str, Any]) -> AlarmQuery:
    if given.get("AccountId"):
        raise ServiceError("ValidationError", "Portside does not implement metrics of other accounts.")
    stat = given.get("MetricStat")
    if (stat is None) == (given.get("Expression") is None):
        raise combination(f"Exactly one of MetricStat and Expression must be given for {given['Id']}.")
    common = {"id": given["Id"], "label": given.get("Label"), "return_data": given.get("ReturnData", True)}
    if stat is None:
        if metric_math.searches_in(given["Expression"]):
            raise combination("SEARCH is not supported on Metric Alarms.")
        return AlarmQuery(expression=given["Expression"], period_s=given.get("Period"), **common)
    metric = stat["Metric"]
    if not metric.get("Namespace") or not metric.get("MetricName"):
        raise combination(f"The metric of {given['Id']} needs a Namespace and a MetricName.")
    return AlarmQuery(
        metric=MetricName(
            namespace=metric["Namespace"],
            name=metric["MetricName"],
            dimensions=dimensions_from(metric.get("Dimensions")),
        ),
        statistic=stat["Stat"],
        period_s=stat["Period"],
        unit=stat.get("Unit"),
        **common,
    )


def _plain_query(params: Params) -> AlarmQuery:
    for member in ("MetricName", "Namespace", "Period"):
        if not params.get(member):
            raise combination(f"The parameter {member} must be specified, or Metrics.")
    wanted = params.get("Statistic"), params.get("ExtendedStatistic")
    if (wanted[0] is None) == (wanted[1] is None):
        raise combination("Exactly one of Statistic and ExtendedStatistic must be specified.")
    return AlarmQuery(
        id="m1",
        metric=MetricName(
            namespace=params["Namespace"],
            name=params["MetricName"],
            dimensions=dimensions_from(params.get("Dimensions")),
        ),
        statistic=wanted[0] or wanted[1] or "",
        period_s=params["Period"],
        unit=params.get("Unit"),
    )


def _required() -> int:
    raise combination("The parameter EvaluationPeriods must be specified.")


def _refuse_what_is_not_built(params: Params) -> None:
    for member in _NOT_BUILT:
        if params.get(member) is not None:
            raise ServiceError("ValidationError", f"Portside does not implement {member}.")


def _actions_from(given: Iterable[str]) -> tuple[str, ...]:
    actions = tuple(given)
    for each in actions:
        if arn.parse(each) is None:
            raise ServiceError("ValidationError", f"Invalid arn syntax: {each}")
    return actions


def _has_action(alarm: Alarm, prefix: str) -> bool:
    return any(each.startswith(prefix) for field in _ACTIONS.values() for each in getattr(alarm, field))


def _tags_from(given: Iterable[Mapping[str, str]]) -> tuple[Tag, ...]:
    tags = tuple(Tag(key=each["Key"], value=each["Value"]) for each in given)
    with told():
        tag_rule.check(tags)
    return tags


def _plain(shape: Mapping[str, Any]) -> dict[str, Any]:
    """A shape in JSON's types."""
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in shape.items()}


def _page(params: Params, items: Sequence[T]) -> tuple[Sequence[T], str | None]:
    start, size = 0, params.get("MaxRecords") or PAGE
    if not 1 <= size <= PAGE_MOST:
        raise invalid(f"MaxRecords must be between 1 and {PAGE_MOST}.")
    if params.get("NextToken"):
        try:
            start = int(base64.b64decode(params["NextToken"], validate=True))
        except (binascii.Error, ValueError):
            raise ServiceError("InvalidNextToken", "The NextToken is not valid.") from None
    token = base64.b64encode(str(start + size).encode()).decode() if start + size < len(items) else None
    return items[start : start + size], token
