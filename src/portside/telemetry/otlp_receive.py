"""What OTLP's metrics and log records are in CloudWatch: samples of metrics, events of streams.

Metrics are called as AWS's collector calls them (its EMF exporter): the namespace is `service.namespace/service.name`,
dimensions are the attributes of a point. Sums and histograms that count from a beginning are told by what they grew.

Sources: OpenTelemetry, data models of metrics and logs; CloudWatch user guide, "OpenTelemetry"; AWS Distro for
OpenTelemetry, "CloudWatch EMF exporter".
"""

import json
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from portside.domain.log import LogEvent
from portside.domain.metric import Dimensions, MetricName, Point, Sample
from portside.domain.record import Scope
from portside.telemetry.otlp_message import Document

SERIES_MOST: Final = 100_000
"""Series whose last count is remembered."""
DIMENSIONS_MOST: Final = 30
VALUE_MOST_CHARS: Final = 1024
OLDEST_S: Final = 14 * 86400
NEWEST_S: Final = 2 * 3600
NOT_KEPT: Final = "its time is not within the last two weeks and the next two hours"
_DELTA: Final = 1
_CUMULATIVE: Final = 2
_NO_VALUE: Final = 1
_UNITS: Final = {
    "s": "Seconds",
    "ms": "Milliseconds",
    "us": "Microseconds",
    "By": "Bytes",
    "KBy": "Kilobytes",
    "MBy": "Megabytes",
    "GBy": "Gigabytes",
    "bit": "Bits",
    "%": "Percent",
    "By/s": "Bytes/Second",
    "1": "None",
}


class Wrong(NamedTuple):
    """Points that were not taken, and why the last of them was not."""

    points: int
    reason: str


class _Count(NamedTuple):
    start_ns: int
    values: tuple[float, ...]


class Metrics:
    """Remembers counts, to tell by how much they grew.

    Args:
        since_ns: what began to be counted later is told as a whole at its first point.
    """

    def __init__(self, since_ns: int) -> None:
        self._since_ns = since_ns
        self._counts: OrderedDict[tuple[Scope, MetricName], _Count] = OrderedDict()

    def samples(self, scope: Scope, document: Document, now_s: float) -> tuple[list[Sample], Wrong]:
        """Of an ExportMetricsServiceRequest."""
        found: list[Sample] = []
        wrong, reason = 0, ""
        for resource in document.get("resourceMetrics", ()):
            namespace = namespace_of(attributes_of(resource.get("resource", {})))
            for metric in (each for of in resource.get("scopeMetrics", ()) for each in of.get("metrics", ())):
                kind, points = _points(metric)
                for point in points:
                    try:
                        sample = self._sample(scope, namespace, metric, kind, point, now_s)
                    except ValueError as error:
                        wrong, reason = wrong + 1, f"{metric.get('name', '')}: {error}"
                        continue
                    if sample is not None:
                        found.append(sample)
        return found, Wrong(wrong, reason)

    def _sample(
        self, scope: Scope, namespace: str, metric: Document, kind: str, point: Document, now_s: float
    ) -> Sample | None:
        """None: there is nothing to tell of it. Raises ValueError: it can not be kept."""
        name = str(metric.get("name") or "")
        if not name or len(name) > 255:
            raise ValueError("a metric's name has 1 to 255 characters")
        if point.get("flags", 0) & _NO_VALUE:
            return None
        at_s = point.get("timeUnixNano", 0) / 1e9 or now_s
        if not now_s - OLDEST_S <= at_s <= now_s + NEWEST_S:
            raise ValueError(NOT_KEPT)
        called = MetricName(namespace=namespace, name=name, dimensions=_dimensions(attributes_of(point)))
        unit = _UNITS.get(metric.get("unit") or "", "None")
        told = self._told(scope, called, metric.get(kind, {}), kind, point)
        if told is None:
            return None
        if not all(map(math.isfinite, (told.total, told.least, told.most))):
            raise ValueError("it is not finite")
        value = Point(
            unit=unit, count=told.count, total=told.total, least=told.least, most=told.most, values=told.values
        )
        return Sample(metric=called, at_s=at_s, point=value, resolution_s=60)

    def _told(self, scope: Scope, called: MetricName, metric: Document, kind: str, point: Document) -> Point | None:
        is_cumulative = metric.get("aggregationTemporality") == _CUMULATIVE
        if kind in ("gauge", "sum"):
            if "asDouble" not in point and "asInt" not in point:
                return None
            value = float(point["asDouble"] if "asDouble" in point else point["asInt"])
            if kind == "sum" and is_cumulative and metric.get("isMonotonic"):
                grown = self._grown(scope, called, point, (value,))
                if grown is None:
                    return None
                (value,) = grown
            return Point(count=1, total=value, least=value, most=value, values={value: 1})
        if kind == "summary":
            grown = self._grown(scope, called, point, (float(point.get("count", 0)), float(point.get("sum", 0))))
            if grown is None or grown[0] <= 0:
                return None
            told = [each.get("value", 0.0) for each in point.get("quantileValues", ())]
            mean = grown[1] / grown[0]
            return _set(grown[0], grown[1], min(told, default=mean), max(told, default=mean))
        return self._told_histogram(scope, called, kind, point, is_cumulative=is_cumulative)

    def _told_histogram(
        self, scope: Scope, called: MetricName, kind: str, point: Document, *, is_cumulative: bool
    ) -> Point | None:
        buckets = [float(each) for each in point.get("bucketCounts", ())] if kind == "histogram" else []
        counts: tuple[float, ...] = (float(point.get("count", 0)), float(point.get("sum", 0)), *buckets)
        is_grown = False
        if is_cumulative:
            grown = self._grown(scope, called, point, counts)
            if grown is None:
                return None
            is_grown, counts = grown != counts, grown
        if counts[0] <= 0:
            return None
        mean = counts[1] / counts[0]
        least, most = _reach(counts[2:], [float(each) for each in point.get("explicitBounds", ())])
        # The extremes that a cumulative point tells are those since its beginning.
        if not is_grown:
            least, most = point.get("min", least), point.get("max", most)
        return _set(counts[0], counts[1], mean if least is None else least, mean if most is None else most)

    def _grown(
        self, scope: Scope, called: MetricName, point: Document, values: tuple[float, ...]
    ) -> tuple[float, ...] | None:
        """By how much since the point before. None at the first of a count that began earlier."""
        key, start_ns = (scope, called), int(point.get("startTimeUnixNano", 0))
        before = self._counts.pop(key, None)
        self._counts[key] = _Count(start_ns, values)
        if len(self._counts) > SERIES_MOST:
            self._counts.popitem(last=False)
        if before is None:
            return values if start_ns > self._since_ns else None
        if before.start_ns != start_ns or len(before.values) != len(values) or values[0] < before.values[0]:
            return values  # it was begun anew
        return tuple(now - then for now, then in zip(values, before.values, strict=True))


class Event(NamedTuple):
    group: str
    stream: str
    event: LogEvent


def events(document: Document, now_ms: int, *, group: str, stream: str) -> Iterator[Event]:
    """Of an ExportLogsServiceRequest. Args: group, stream: of all; "" for those that the resources name."""
    for resource in document.get("resourceLogs", ()):
        attributes = attributes_of(resource.get("resource", {}))
        to_group = group or _first(attributes.get("aws.log.group.names")) or f"/otlp/{_service(attributes)}"
        to_stream = stream or _first(attributes.get("aws.log.stream.names"))
        to_stream = to_stream or str(attributes.get("service.instance.id") or "default")
        for of in resource.get("scopeLogs", ()):
            for record in of.get("logRecords", ()):
                at_ns = record.get("timeUnixNano") or record.get("observedTimeUnixNano") or now_ms * 1_000_000
                message = _message(attributes, of.get("scope", {}), record)
                yield Event(to_group, to_stream, LogEvent(at_ms=at_ns // 1_000_000, message=message))


def namespace_of(attributes: Mapping[str, Any]) -> str:
    space = attributes.get("service.namespace")
    name = f"{space}/{_service(attributes)}" if space else _service(attributes)
    # What AWS's own services tell is not for others.
    return (f"otlp/{name}" if name.startswith("AWS/") else name)[:255]


def attributes_of(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {each["key"]: value_of(each.get("value", {})) for each in holder.get("attributes", ()) if each.get("key")}


def value_of(value: Mapping[str, Any]) -> Any:
    for name, each in value.items():
        if name == "arrayValue":
            return [value_of(item) for item in each.get("values", ())]
        if name == "kvlistValue":
            return {item.get("key", ""): value_of(item.get("value", {})) for item in each.get("values", ())}
        return each
    return None


def _service(attributes: Mapping[str, Any]) -> str:
    return str(attributes.get("service.name") or "unknown_service")


def _first(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if value else ""
    return str(value or "")


def _points(metric: Document) -> tuple[str, Sequence[Document]]:
    for kind in ("gauge", "sum", "histogram", "exponentialHistogram", "summary"):
        if kind in metric:
            return kind, metric[kind].get("dataPoints", ())
    return "", ()


def _dimensions(attributes: Mapping[str, Any]) -> Dimensions:
    """Raises ValueError."""
    found = {name: _text(value) for name, value in attributes.items()}
    found = {name: value for name, value in found.items() if value}
    if len(found) > DIMENSIONS_MOST:
        raise ValueError(f"it has more than {DIMENSIONS_MOST} attributes")
    if any(len(name) > 255 or len(value) > VALUE_MOST_CHARS for name, value in found.items()):
        raise ValueError("an attribute is longer than a dimension may be")
    return tuple(sorted(found.items()))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, separators=(",", ":"))


def _set(count: float, total: float, least: float, most: float) -> Point:
    return Point(count=count, total=total, least=least, most=max(least, most))


def _reach(buckets: Sequence[float], bounds: Sequence[float]) -> tuple[float | None, float | None]:
    """Between which bounds there is something; None where there is no bound."""
    filled = [number for number, each in enumerate(buckets) if each > 0]
    if not filled or not bounds:
        return None, None
    first, last = filled[0], filled[-1]
    least = bounds[first - 1] if 0 < first <= len(bounds) else None
    most = bounds[last] if last < len(bounds) else None
    if least is None and most is not None:
        least = min(0.0, most)
    return least, most if most is not None else bounds[-1]


def _message(resource: Mapping[str, Any], scope: Document, record: Document) -> str:
    """A text as it is where nothing else is said; else an object, as CloudWatch's own endpoint writes it."""
    body, attributes = value_of(record.get("body", {})), attributes_of(record)
    severity = record.get("severityText") or ""
    if isinstance(body, str) and not attributes and not severity and not record.get("traceId"):
        return body or " "
    told: dict[str, Any] = {"resource": {"attributes": dict(resource)}, "scope": scope}
    told |= {name: record[name] for name in ("timeUnixNano", "observedTimeUnixNano") if record.get(name)}
    if record.get("severityNumber"):
        told["severityNumber"] = record["severityNumber"]
    told |= {"severityText": severity, "body": body, "attributes": attributes}
    told |= {name: record[name] for name in ("flags", "traceId", "spanId") if record.get(name)}
    return json.dumps({name: each for name, each in told.items() if each not in ("", {}, None)}, separators=(",", ":"))
