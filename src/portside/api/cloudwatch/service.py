"""CloudWatch: what is implemented, in one list."""

from portside.api.cloudwatch.data import MetricData
from portside.api.cloudwatch.metric import Metrics
from portside.aws.service import Service
from portside.domain.clock import Clock
from portside.telemetry.metric import MetricStore


def cloudwatch_service(store: MetricStore, clock: Clock) -> Service:
    """The service and its operations."""
    metrics, data = Metrics(store, clock), MetricData(store)
    return Service(
        "cloudwatch",
        {
            "PutMetricData": metrics.put,
            "ListMetrics": metrics.list,
            "GetMetricStatistics": metrics.statistics,
            "GetMetricData": data.get,
        },
        partial={
            "PutMetricData": "no entities",
            "ListMetrics": "own account only",
            "GetMetricData": "own account only; of metric math no SEARCH, anomaly detection, insight rules, quotas, "
            "LAMBDA; labels without dynamic parts",
        },
    )
