"""GetMetricData: several series at once, and expressions over them."""

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from portside.api.cloudwatch.error import invalid, told
from portside.api.cloudwatch.metric import check_period, dimensions_from, scope_of
from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain import metric_math
from portside.domain.metric import MetricName, check_statistic
from portside.domain.metric_math import NamedSeries, Search, Series, Value
from portside.domain.metric_search import SERIES_MOST, MetricSearch, labels
from portside.domain.record import Scope
from portside.domain.refusal import Refused
from portside.telemetry.metric import MetricStore

QUERIES_MOST: Final = 500
DATAPOINTS_MOST: Final = 100_800
SEARCH_BACK: Final = timedelta(days=14)


class MetricData:
    def __init__(self, metrics: MetricStore) -> None:
        self._metrics = metrics

    async def get(self, context: RequestContext, params: Params) -> Result:
        queries = params["MetricDataQueries"]
        start, end = params["StartTime"], params["EndTime"]
        _check(queries, start, end)
        periods = {each["Id"]: _period_of(each, queries) for each in queries}
        values: dict[str, Value] = {}
        for query in queries:
            if "MetricStat" in query:
                values[query["Id"]] = await self._series(scope_of(context), query["MetricStat"], start, end)
        expressions = {each["Id"]: each["Expression"] for each in queries if "Expression" in each}
        for name in _in_order(expressions):
            times = _times(start, end, periods[name])
            searched = {
                each: await self._search(scope_of(context), each, start, end, periods[name])
                for each in metric_math.searches_in(expressions[name])
            }
            with told():
                values[name] = metric_math.evaluate(
                    expressions[name], values, period_s=periods[name], times=times, searched=searched
                )
        descending = params.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        results = [
            each
            for query in queries
            if query.get("ReturnData", True)
            for each in _results(query, values[query["Id"]], start, periods[query["Id"]], descending=descending)
        ]
        return _paged(results, params)

    async def _series(self, scope: Scope, asked: Mapping[str, Any], start: datetime, end: datetime) -> Series:
        metric = asked["Metric"]
        with told():
            name = MetricName(
                namespace=metric["Namespace"],
                name=metric["MetricName"],
                dimensions=dimensions_from(metric.get("Dimensions")),
            )
            return await self._measured(scope, name, asked["Stat"], asked["Period"], start, end, asked.get("Unit"))

    async def _measured(
        self,
        scope: Scope,
        metric: MetricName,
        stat: str,
        period_s: int,
        start: datetime,
        end: datetime,
        unit: str | None,
    ) -> Series:
        (found,) = await self._statistics(scope, [metric], stat, period_s, start, end, unit)
        return dict(found)

    async def _statistics(
        self,
        scope: Scope,
        metrics: Sequence[MetricName],
        stat: str,
        period_s: int,
        start: datetime,
        end: datetime,
        unit: str | None,
    ) -> list[Mapping[int, float]]:
        return await self._metrics.statistics(
            *(scope, metrics, stat),
            start_s=int(start.timestamp()) // period_s * period_s,
            end_s=math.ceil(end.timestamp()),
            period_s=period_s,
            unit=unit,
        )

    async def _search(self, scope: Scope, asked: Search, start: datetime, end: datetime, period_s: int) -> list[Series]:
        """Of metrics that had values not longer ago than `SEARCH_BACK`, those that have values in the time."""
        with told():
            search = MetricSearch(asked.text)
            check_statistic(asked.statistic)
        if asked.period_s is not None:
            check_period(asked.period_s)
            period_s = asked.period_s
        since_s = int((min(start, end - SEARCH_BACK)).timestamp())
        names = await self._metrics.names(scope, namespace=search.namespace, name=None, since_s=since_s)
        fitting = [name for name in names if search.finds(name)]
        found: list[tuple[MetricName, Series]] = []
        for first in range(0, len(fitting), SERIES_MOST):
            several_names = fitting[first : first + SERIES_MOST]
            several_series = await self._statistics(
                *(scope, several_names, asked.statistic, period_s, start, end), unit=None
            )
            found += [(name, dict(each)) for name, each in zip(several_names, several_series, strict=True) if each]
            if len(found) >= SERIES_MOST:
                del found[SERIES_MOST:]
                break
        several: list[Series] = []
        for label, (_, series) in zip(labels([name for name, _ in found]), found, strict=True):
            named = NamedSeries(series)
            named.label = label
            several.append(named)
        return several


def _check(queries: Sequence[Mapping[str, Any]], start: datetime, end: datetime) -> None:
    """Raises ServiceError: ValidationError, what is asked for can not be answered."""
    if start >= end:
        raise _error("The parameter StartTime must be less than the parameter EndTime.")
    if len(queries) > QUERIES_MOST:
        raise _error(f"MetricDataQueries can have at most {QUERIES_MOST} members.")
    seen: set[str] = set()
    for query in queries:
        name = query["Id"]
        if not (name[0].islower() and name.replace("_", "").isalnum() and name.isascii()):
            raise _error(
                f"The value {name} for parameter MetricDataQueries.member.Id is not matching the expected pattern."
            )
        if name in seen:
            raise _error(f"The values for parameter id in MetricDataQueries are not unique: {name}")
        seen.add(name)
        if query.get("AccountId"):
            raise _error("Portside does not implement metrics of other accounts.")
        if ("MetricStat" in query) == ("Expression" in query):
            raise _error(f"Exactly one of MetricStat and Expression must be given for {name}.")
        if "MetricStat" in query:
            if not query["MetricStat"]["Metric"].get("Namespace") or not query["MetricStat"]["Metric"].get(
                "MetricName"
            ):
                raise _error(f"The metric of {name} needs a Namespace and a MetricName.")
            with told():
                check_statistic(query["MetricStat"]["Stat"])
            check_period(query["MetricStat"]["Period"])
        elif query.get("Period") is not None:
            check_period(query["Period"])
    for query in queries:
        unknown = metric_math.names_in(query.get("Expression", "")) - seen
        if unknown:
            raise _error(f"Error in expression '{query['Id']}': Unknown identifier '{sorted(unknown)[0]}'")


def _error(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)


def _in_order(expressions: Mapping[str, str]) -> list[str]:
    try:
        return metric_math.in_order(expressions)
    except Refused as error:
        raise _error(error.message) from error


def _period_of(query: Mapping[str, Any], queries: Sequence[Mapping[str, Any]]) -> int:
    """An expression has the period that it says, or the longest of the metrics."""
    if "MetricStat" in query:
        return int(query["MetricStat"]["Period"])
    if query.get("Period"):
        return int(query["Period"])
    return max((int(each["MetricStat"]["Period"]) for each in queries if "MetricStat" in each), default=60)


def _times(start: datetime, end: datetime, period_s: int) -> range:
    first = int(start.timestamp()) // period_s * period_s
    count = math.ceil((end.timestamp() - first) / period_s)
    if count > DATAPOINTS_MOST:
        raise invalid(f"At most {DATAPOINTS_MOST} datapoints can be asked for: increase the period.")
    return range(first, first + count * period_s, period_s)


def _results(
    query: Mapping[str, Any], value: Value, start: datetime, period_s: int, *, descending: bool
) -> list[Result]:
    if isinstance(value, float):
        at_s = int(start.timestamp()) // period_s * period_s
        value = {at_s: value} if math.isfinite(value) else {}
    several = value if isinstance(value, list) else [value]
    found = []
    for series in several:
        own = series.label if isinstance(series, NamedSeries) else ""
        label = query.get("Label")
        if label is None:
            label = own or (query["MetricStat"]["Metric"]["MetricName"] if "MetricStat" in query else query["Id"])
        elif own:
            label = f"{label} {own}".strip()
        times = sorted(series, reverse=descending)
        found.append(
            {
                "Id": query["Id"],
                "Label": label,
                "Timestamps": [datetime.fromtimestamp(each, UTC) for each in times],
                "Values": [series[each] for each in times],
                "StatusCode": "Complete",
            }
        )
    return found


def _paged(results: list[Result], params: Params) -> Result:
    """So many datapoints as are asked for; the token says how many were given before."""
    most = params.get("MaxDatapoints") or DATAPOINTS_MOST
    skipped = 0
    if params.get("NextToken"):
        try:
            skipped = int(base64.b64decode(params["NextToken"], validate=True))
        except (binascii.Error, ValueError):
            raise ServiceError("InvalidNextToken", "The NextToken is not valid.") from None
    at, shown = 0, []
    for each in results:
        count = len(each["Values"])
        low, high = max(0, skipped - at), min(count, skipped + most - at)
        if low < high or (count == 0 and skipped <= at <= skipped + most):
            part = slice(low, max(low, high))
            status = "Complete" if high >= count else "PartialData"
            shown.append(
                {**each, "Timestamps": each["Timestamps"][part], "Values": each["Values"][part], "StatusCode": status}
            )
        at += count
    result: Result = {"MetricDataResults": shown, "Messages": []}
    if skipped + most < at:
        result["NextToken"] = base64.b64encode(str(skipped + most).encode()).decode()
    return result
