"""PutMetricData, ListMetrics and GetMetricStatistics."""

import base64
import binascii
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from portside.api.cloudwatch.error import combination, invalid, told
from portside.aws.service import Params, RequestContext, Result
from portside.domain import metric as rule
from portside.domain.clock import Clock
from portside.domain.metric import Dimensions, MetricName, Point, Sample, check_statistic, dimensions_of, statistic
from portside.domain.record import Scope
from portside.telemetry.metric import MetricStore

DATA_MOST: Final = 1000
"""Of one call (API_PutMetricData)."""
VALUES_MOST: Final = 150
DIMENSIONS_MOST: Final = 30
LISTED_FOR: Final = timedelta(days=14)
"""ListMetrics shows a metric for two weeks after its last sample."""
PAGE: Final = 500
DATAPOINTS_MOST: Final = 1440
OLDEST: Final = timedelta(days=14)
PERIOD_MOST_S: Final = 365 * 86400
NEWEST: Final = timedelta(hours=2)


class Metrics:
    def __init__(self, metrics: MetricStore, clock: Clock) -> None:
        self._metrics, self._clock = metrics, clock

    async def put(self, context: RequestContext, params: Params) -> None:
        if params.get("EntityMetricData"):
            raise invalid("Portside does not implement EntityMetricData.")
        data = params.get("MetricData") or ()
        if len(data) > DATA_MOST:
            raise invalid(f"The collection MetricData must not have a size greater than {DATA_MOST}.")
        if params["Namespace"].startswith("AWS/"):
            raise invalid(f"The value AWS/ for parameter Namespace is invalid: {params['Namespace']} is reserved.")
        samples = [self._sample(params["Namespace"], each, number) for number, each in enumerate(data, 1)]
        with told():
            await self._metrics.put(scope_of(context), samples)

    def _sample(self, namespace: str, datum: Mapping[str, Any], number: int) -> Sample:
        where, now = f"MetricData.member.{number}", self._clock.now()
        at = datum.get("Timestamp") or now
        if not now - OLDEST <= at <= now + NEWEST:
            raise invalid(f"The parameter {where}.Timestamp must be within the last two weeks and the next two hours.")
        resolution_s = datum.get("StorageResolution", 60)
        if resolution_s not in (1, 60):
            raise invalid(f"The value {resolution_s} for parameter {where}.StorageResolution is invalid: 1 or 60.")
        return Sample(
            metric=MetricName(
                namespace=namespace, name=datum["MetricName"], dimensions=dimensions_from(datum.get("Dimensions"))
            ),
            at_s=at.timestamp(),
            point=_point_from(datum, where),
            resolution_s=resolution_s,
        )

    async def list(self, context: RequestContext, params: Params) -> Result:
        if params.get("IncludeLinkedAccounts") or params.get("OwningAccount"):
            raise invalid("Portside does not implement metrics of linked accounts.")
        window = timedelta(hours=3) if params.get("RecentlyActive") else LISTED_FOR
        since = self._clock.now() - window
        with told():
            found = await self._metrics.names(
                scope_of(context),
                namespace=params.get("Namespace"),
                name=params.get("MetricName"),
                since_s=int(since.timestamp()),
            )
        wanted = [(each["Name"], each.get("Value")) for each in params.get("Dimensions") or ()]
        found = [each for each in found if all(_has(each, name, value) for name, value in wanted)]
        start = _start_of(params.get("NextToken"))
        result: Result = {"Metrics": [metric_to(each) for each in found[start : start + PAGE]]}
        if start + PAGE < len(found):
            result["NextToken"] = base64.b64encode(str(start + PAGE).encode()).decode()
        return result

    async def statistics(self, context: RequestContext, params: Params) -> Result:
        start, end, period_s = params["StartTime"], params["EndTime"], params["Period"]
        names, extended = params.get("Statistics") or (), params.get("ExtendedStatistics") or ()
        if not names and not extended:
            raise combination("At least one of the parameters Statistics and ExtendedStatistics must be specified.")
        if start >= end:
            raise combination("The parameter StartTime must be less than the parameter EndTime.")
        check_period(period_s)
        with told():
            for each in extended:
                check_statistic(each)
        if (end - start).total_seconds() / period_s > DATAPOINTS_MOST:
            raise combination(
                f"You have requested up to {math.ceil((end - start).total_seconds() / period_s)} datapoints, which "
                f"exceeds the limit of {DATAPOINTS_MOST}. You may reduce the datapoints requested by increasing "
                "Period, or decreasing the time range."
            )
        metric = MetricName(
            namespace=params["Namespace"],
            name=params["MetricName"],
            dimensions=dimensions_from(params.get("Dimensions")),
        )
        with told():
            points = await self._metrics.points(
                scope_of(context),
                metric,
                start_s=int(start.timestamp()) // period_s * period_s,
                end_s=math.ceil(end.timestamp()),
                period_s=period_s,
                unit=params.get("Unit"),
            )
        return {
            "Label": metric.name,
            "Datapoints": [_datapoint(at_s, point, names, extended) for at_s, point in points.items()],
        }


def scope_of(context: RequestContext) -> Scope:
    return Scope(account=context.account, region=context.region)


def check_period(period_s: int) -> None:
    if not 1 <= period_s <= PERIOD_MOST_S or (period_s not in (1, 5, 10, 20, 30) and period_s % 60):
        raise invalid("Period must be 1, 5, 10, 20, 30 or a multiple of 60.")


def dimensions_from(items: Iterable[Mapping[str, str]] | None) -> Dimensions:
    pairs = {each["Name"]: each["Value"] for each in items or ()}
    if len(pairs) > DIMENSIONS_MOST:
        raise invalid(f"A metric can have at most {DIMENSIONS_MOST} dimensions.")
    return dimensions_of(pairs)


def metric_to(metric: MetricName) -> Result:
    return {
        "Namespace": metric.namespace,
        "MetricName": metric.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions],
    }


def _point_from(datum: Mapping[str, Any], where: str) -> Point:
    value, several = datum.get("Value"), datum.get("StatisticValues")
    unit = datum.get("Unit") or "None"
    if sum(each is not None for each in (value, datum.get("Values"), several)) != 1:
        raise combination(f"Exactly one of {where}.Value, .Values and .StatisticValues must be given.")
    if several is not None:
        count, least, most = several["SampleCount"], several["Minimum"], several["Maximum"]
        _check_number(where, count, several["Sum"], least, most)
        if count <= 0 or least > most:
            raise invalid(f"The statistic set of {where} does not describe any samples.")
        known = {least: count} if least == most else {}
        return Point(count=count, total=several["Sum"], least=least, most=most, values=known, unit=unit)
    values: list[float] = [value] if value is not None else list(datum["Values"])
    counts: list[float] = list(datum.get("Counts") or [1.0] * len(values))
    if len(counts) != len(values):
        raise combination(f"{where}.Values and .Counts must have the same number of members.")
    if not 1 <= len(values) <= VALUES_MOST:
        raise invalid(f"{where}.Values must have between 1 and {VALUES_MOST} members.")
    _check_number(where, *values, *counts)
    if any(each <= 0 for each in counts):
        raise invalid(f"{where}.Counts must be greater than 0.")
    return rule.point_of(zip(values, counts, strict=True), unit)


def _check_number(where: str, *values: float) -> None:
    if any(not math.isfinite(each) or abs(each) > rule.VALUE_MOST for each in values):
        raise invalid(f"The value of {where} must be a number between -2^360 and 2^360.")


def _has(metric: MetricName, name: str, value: str | None) -> bool:
    return any(each == name and (value is None or held == value) for each, held in metric.dimensions)


def _start_of(token: str | None) -> int:
    if not token:
        return 0
    try:
        return max(0, int(base64.b64decode(token, validate=True)))
    except (binascii.Error, ValueError):
        raise invalid("The NextToken is not valid.") from None


def _datapoint(at_s: int, point: Point, names: Iterable[str], extended: Iterable[str]) -> Result:
    shape: Result = {"Timestamp": datetime.fromtimestamp(at_s, UTC), "Unit": point.unit}
    for name in names:
        shape[name] = statistic(point, name)
    found = {name: value for name in extended if (value := statistic(point, name)) is not None}
    if found:
        shape["ExtendedStatistics"] = found
    return shape
