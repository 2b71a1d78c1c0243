"""What an alarm's actions do when its state has changed, and what its history says of them. Pure.

Source: CloudWatch user guide, "Amazon SNS notifications" and the documents that alarms send; their members were taken
from messages of AWS.
"""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from portside.domain import alarm as rule
from portside.domain import arn, topic
from portside.domain.alarm import Alarm, AlarmHistory, AlarmQuery, State
from portside.domain.metric import MetricName
from portside.domain.topic import Notification, Subscription, Topic

FindTopic = Callable[[str], tuple[Topic, Iterable[Subscription]] | None]
"""A topic with its subscriptions, by its ARN."""

_REGIONS: Final = {
    "af-south-1": "Africa (Cape Town)",
    "ap-east-1": "Asia Pacific (Hong Kong)",
    "ap-northeast-1": "Asia Pacific (Tokyo)",
    "ap-northeast-2": "Asia Pacific (Seoul)",
    "ap-northeast-3": "Asia Pacific (Osaka)",
    "ap-south-1": "Asia Pacific (Mumbai)",
    "ap-south-2": "Asia Pacific (Hyderabad)",
    "ap-southeast-1": "Asia Pacific (Singapore)",
    "ap-southeast-2": "Asia Pacific (Sydney)",
    "ap-southeast-3": "Asia Pacific (Jakarta)",
    "ap-southeast-4": "Asia Pacific (Melbourne)",
    "ca-central-1": "Canada (Central)",
    "ca-west-1": "Canada West (Calgary)",
    "eu-central-1": "EU (Frankfurt)",
    "eu-central-2": "Europe (Zurich)",
    "eu-north-1": "EU (Stockholm)",
    "eu-south-1": "EU (Milan)",
    "eu-south-2": "Europe (Spain)",
    "eu-west-1": "EU (Ireland)",
    "eu-west-2": "EU (London)",
    "eu-west-3": "EU (Paris)",
    "il-central-1": "Israel (Tel Aviv)",
    "me-central-1": "Middle East (UAE)",
    "me-south-1": "Middle East (Bahrain)",
    "sa-east-1": "South America (Sao Paulo)",
    "us-east-1": "US East (N. Virginia)",
    "us-east-2": "US East (Ohio)",
    "us-west-1": "US West (N. California)",
    "us-west-2": "US West (Oregon)",
}
_PLAIN: Final = {"Average": "AVERAGE", "Sum": "SUM", "Minimum": "MINIMUM", "Maximum": "MAXIMUM"} | {
    "SampleCount": "SAMPLE_COUNT"
}
_SUBJECT_MOST: Final = topic.SUBJECT_MOST


def acted(
    alarm: Alarm,
    before: State,
    *,
    now: datetime,
    uuid: Callable[[], str],
    find_topic: FindTopic,
    is_policy: Callable[[str], bool],
) -> tuple[list[AlarmHistory], list[Notification]]:
    """What the actions of an alarm in its new state come to: items of its history, and what is to be sent.

    Scaling policies look at the alarm themselves.

    Args:
        before: the state that it was in.
        is_policy: whether there is a scaling policy with this ARN.
    """
    if not alarm.actions_enabled:
        return [], []
    items: list[AlarmHistory] = []
    sent: list[Notification] = []
    for action in alarm.actions:
        error: str | None = None
        published: str | None = None
        if (parsed := arn.parse(action)) is not None and parsed.service == "sns":
            found = find_topic(action)
            if found is None:
                error = "Topic does not exist"
            else:
                message = json.dumps(document(alarm, before), separators=(",", ":"), ensure_ascii=False)
                published = json.dumps({"default": message}, separators=(",", ":"), ensure_ascii=False)
                sent += topic.notifications(*found, message=message, subject=subject(alarm), message_id=uuid(), now=now)
        elif ":scalingPolicy:" not in action:
            error = "Portside does not implement this action"
        elif not is_policy(action):
            error = "No such scaling policy"
        items.append(_item(alarm, action, error, published, now, rule.history_id(now, uuid())))
    return items, sent


def _item(
    alarm: Alarm, action: str, error: str | None, published: str | None, now: datetime, history_id: str
) -> AlarmHistory:
    summary = f"Successfully executed action {action}"
    if error is not None:
        summary = f'Failed to execute action {action}. Received error: "{error}"'
    data: dict[str, object] = {
        "actionState": "Succeeded" if error is None else "Failed",
        "stateUpdateTimestamp": round(now.timestamp() * 1000),
        "notificationResource": action,
    }
    if published is not None:
        data["publishedMessage"] = published
    data["error"] = error
    return rule.history(alarm, "Action", summary, data, now=now, history_id=history_id)


def subject(alarm: Alarm) -> str:
    region = _REGIONS.get(alarm.scope.region, alarm.scope.region)
    text = f'{alarm.state}: "{alarm.name}" in {region}'
    return text if len(text) <= _SUBJECT_MOST else f"{text[: _SUBJECT_MOST - 3]}..."


def document(alarm: Alarm, before: State) -> dict[str, Any]:
    """What an alarm tells of its change."""
    found: dict[str, Any] = {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": alarm.scope.account,
        "AlarmConfigurationUpdatedTimestamp": _moment(alarm.updated_at),
        "NewStateValue": alarm.state,
        "NewStateReason": alarm.reason,
        "StateChangeTime": _moment(alarm.state_at),
        "Region": _REGIONS.get(alarm.scope.region, alarm.scope.region),
        "AlarmArn": arn.alarm(alarm.scope, alarm.name),
        "OldStateValue": before,
        "OKActions": list(alarm.ok_actions),
        "AlarmActions": list(alarm.alarm_actions),
        "InsufficientDataActions": list(alarm.insufficient_data_actions),
    }
    if alarm.rule:
        return found | {"AlarmRule": alarm.rule}
    trigger: dict[str, Any] = {}
    if alarm.is_plain:
        query = alarm.queries[0]
        assert query.metric is not None
        is_extended = query.statistic not in _PLAIN
        trigger = {
            "MetricName": query.metric.name,
            "Namespace": query.metric.namespace,
            "StatisticType": "ExtendedStatistic" if is_extended else "Statistic",
            "ExtendedStatistic" if is_extended else "Statistic": _PLAIN.get(query.statistic, query.statistic),
            "Unit": query.unit,
            "Dimensions": _dimensions(query.metric),
        }
    trigger |= {
        "Period": alarm.period_s,
        "EvaluationPeriods": alarm.evaluation_periods,
        **({"DatapointsToAlarm": alarm.datapoints_to_alarm} if alarm.datapoints_to_alarm is not None else {}),
        "ComparisonOperator": alarm.comparison,
        "Threshold": alarm.threshold,
        "TreatMissingData": alarm.missing or "missing",
        "EvaluateLowSampleCountPercentile": alarm.evaluate_low_samples or "",
    }
    if not alarm.is_plain:
        trigger["Metrics"] = [_query(each) for each in alarm.queries]
    return found | {"Trigger": trigger}


def _query(query: AlarmQuery) -> dict[str, Any]:
    found: dict[str, Any] = {"Id": query.id}
    if query.label is not None:
        found["Label"] = query.label
    if query.metric is None:
        found["Expression"] = query.expression
    else:
        metric = {
            "Dimensions": _dimensions(query.metric),
            "MetricName": query.metric.name,
            "Namespace": query.metric.namespace,
        }
        found["MetricStat"] = {"Metric": metric, "Period": query.period_s, "Stat": query.statistic}
        if query.unit is not None:
            found["MetricStat"]["Unit"] = query.unit
    return found | {"ReturnData": query.return_data}


def _dimensions(metric: MetricName) -> list[dict[str, str]]:
    return [{"value": value, "name": name} for name, value in metric.dimensions]


def _moment(at: datetime) -> str:
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}+0000"
