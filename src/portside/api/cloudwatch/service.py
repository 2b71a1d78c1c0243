"""CloudWatch: what is implemented, in one list."""

from portside.api.cloudwatch.alarm import Alarms
from portside.api.cloudwatch.data import MetricData
from portside.api.cloudwatch.metric import Metrics
from portside.aws.service import Service
from portside.domain.clock import Clock, Ids
from portside.store.interface import Store
from portside.telemetry.metric import MetricStore


def cloudwatch_service(store: Store, metric_store: MetricStore, clock: Clock, ids: Ids) -> Service:
    """The service and its operations."""
    metrics, data, alarms = Metrics(metric_store, clock), MetricData(metric_store), Alarms(store, clock, ids)
    return Service(
        "cloudwatch",
        {
            "PutMetricData": metrics.put,
            "ListMetrics": metrics.list,
            "GetMetricStatistics": metrics.statistics,
            "GetMetricData": data.get,
            "PutMetricAlarm": alarms.put_metric,
            "PutCompositeAlarm": alarms.put_composite,
            "DescribeAlarms": alarms.describe,
            "DescribeAlarmsForMetric": alarms.of_metric,
            "DescribeAlarmHistory": alarms.history,
            "SetAlarmState": alarms.set_state,
            "EnableAlarmActions": alarms.enable_actions,
            "DisableAlarmActions": alarms.disable_actions,
            "DeleteAlarms": alarms.delete,
            "TagResource": alarms.tag,
            "UntagResource": alarms.untag,
            "ListTagsForResource": alarms.list_tags,
        },
        partial={
            "PutMetricData": "no entities",
            "PutMetricAlarm": "no anomaly detection; actions are topics and scaling policies, others fail",
            "PutCompositeAlarm": "no suppressor; actions are topics, others fail",
            "DescribeAlarmHistory": "14 days, 500 items of an alarm",
            "ListMetrics": "own account only",
            "GetMetricData": "own account only; of metric math no anomaly detection, insight rules, quotas, "
            "LAMBDA; labels without dynamic parts",
        },
    )
