"""CloudWatch's embedded metric format: a log event that says which of its members are metrics, by which dimensions.

Source: CloudWatch user guide, "Specification: Embedded metric format". The older form, without the `_aws` member, is
the one that Container Insights writes.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from portside.domain.metric import VALUE_MOST, MetricName, Point, Sample, dimensions_of, point_of

METRICS_MOST: Final = 100
VALUES_MOST: Final = 100
DIMENSIONS_MOST: Final = 30


def samples(document: Mapping[str, Any], *, at_s: float) -> Iterator[Sample]:
    """The metrics that a log event embeds; those that do not follow the specification are passed over, as on AWS.

    Args:
        at_s: when, unless the document says so itself; seconds since 1970.
    """
    told = document.get("_aws", document)
    if not isinstance(told, Mapping):
        return
    stamp = told.get("Timestamp")
    if isinstance(stamp, int | float) and not isinstance(stamp, bool):
        at_s = stamp / 1000
    for directive in _list(told.get("CloudWatchMetrics")):
        if not isinstance(directive, Mapping) or not isinstance(directive.get("Namespace"), str):
            continue
        sets = [each for each in map(_names, _list(directive.get("Dimensions"))) if each is not None]
        for metric in _list(directive.get("Metrics"))[:METRICS_MOST]:
            if isinstance(metric, Mapping):
                yield from _of_metric(document, directive["Namespace"], metric, sets, at_s)


def _of_metric(
    document: Mapping[str, Any],
    namespace: str,
    metric: Mapping[str, Any],
    sets: list[list[str]],
    at_s: float,
) -> Iterator[Sample]:
    name, unit = metric.get("Name"), metric.get("Unit", "None")
    if not isinstance(name, str) or not isinstance(unit, str):
        return
    point = _point(document.get(name), unit)
    if point is None:
        return
    for names in sets:
        values = {each: document.get(each) for each in names}
        if all(isinstance(value, str | int | float) for value in values.values()):
            dimensions = dimensions_of({key: str(value) for key, value in values.items()})
            yield Sample(
                metric=MetricName(namespace=namespace, name=name, dimensions=dimensions),
                at_s=at_s,
                point=point,
                resolution_s=1 if metric.get("StorageResolution") == 1 else 60,
            )


def _point(value: object, unit: str) -> Point | None:
    values = value if isinstance(value, list) else [value]
    if not values or len(values) > VALUES_MOST:
        return None
    found: list[tuple[float, float]] = []
    for each in values:
        if isinstance(each, bool) or not isinstance(each, int | float):
            return None
        if not math.isfinite(each) or abs(each) > VALUE_MOST:
            return None
        found.append((float(each), 1.0))
    return point_of(found, unit)


def _names(value: object) -> list[str] | None:
    names = _list(value)
    if not isinstance(value, list) or len(names) > DIMENSIONS_MOST or not all(isinstance(each, str) for each in names):
        return None
    return names


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
