"""Metrics and log events as OTLP has them, in JSON.

Sources: OpenTelemetry, "OTLP Specification" (JSON Protobuf encoding), the data models of metrics and logs, and the
semantic conventions of resources (`service`, `cloud`, `aws.log`).
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple, Protocol

from portside.domain.log import LogEvent
from portside.domain.record import Scope

_CUMULATIVE: Final = 2


class Metric(Protocol):
    """What has a name as in Prometheus, and values by labels."""

    name: str
    help: str
    samples: list[tuple[Mapping[str, str], float]]

    @property
    def type(self) -> str: ...


class Line(NamedTuple):
    """Of a log, on its way."""

    scope: Scope
    group: str
    stream: str
    event: LogEvent


def metrics_document(metrics: Sequence[Metric], at_ns: int, scope: Mapping[str, str]) -> dict[str, Any]:
    """An ExportMetricsServiceRequest. Counters are sums since their container began; their names go without `_total`,
    which receivers that speak Prometheus add again."""
    told = []
    for metric in metrics:
        points = [
            {"attributes": _attributes(labels), "timeUnixNano": str(at_ns), "asDouble": float(value)}
            for labels, value in metric.samples
        ]
        if not points:
            continue
        each: dict[str, Any] = {"name": metric.name.removesuffix("_total"), "description": metric.help}
        if metric.type == "counter":
            each["sum"] = {"dataPoints": points, "aggregationTemporality": _CUMULATIVE, "isMonotonic": True}
        else:
            each["gauge"] = {"dataPoints": points}
        told.append(each)
    resource = {"attributes": _attributes({"service.name": "portside", "service.version": scope["version"]})}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"scope": dict(scope), "metrics": told}]}]}


def logs_document(lines: Sequence[Line], at_ns: int, scope: Mapping[str, str]) -> dict[str, Any]:
    """An ExportLogsServiceRequest: a resource for each stream, named as its group."""
    resources = []
    for (owner, group, stream), own in groupby(sorted(lines, key=_stream_of), key=_stream_of):
        account, region = owner
        attributes = _attributes({"service.name": group, "cloud.account.id": account, "cloud.region": region})
        attributes += [
            {"key": key, "value": {"arrayValue": {"values": [{"stringValue": value}]}}}
            for key, value in (("aws.log.group.names", group), ("aws.log.stream.names", stream))
        ]
        records = [
            {
                "timeUnixNano": str(each.event.at_ms * 1_000_000),
                "observedTimeUnixNano": str(at_ns),
                "body": {"stringValue": each.event.message},
            }
            for each in own
        ]
        scopes = [{"scope": dict(scope), "logRecords": records}]
        resources.append({"resource": {"attributes": attributes}, "scopeLogs": scopes})
    return {"resourceLogs": resources}


def _stream_of(line: Line) -> tuple[tuple[str, str], str, str]:
    return (line.scope.account, line.scope.region), line.group, line.stream


def _attributes(pairs: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in pairs.items()]
