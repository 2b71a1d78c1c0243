"""Metric filters of log groups."""

import math
from typing import Any, Final

from portside.api.logs import token
from portside.api.logs.error import class_lacks, invalid, no_filter, told, unsupported
from portside.api.logs.lookup import named, scope_of
from portside.aws.service import Params, RequestContext, Result
from portside.domain import metric_filter
from portside.domain.clock import Clock
from portside.domain.log import INFREQUENT_ACCESS
from portside.domain.metric import dimensions_of
from portside.domain.metric_filter import MetricFilter
from portside.domain.record import replace
from portside.domain.table import METRIC_FILTER
from portside.store.interface import Delete, Put, Store

PAGE: Final = 50


class MetricFilterRequests:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def put(self, context: RequestContext, params: Params) -> None:
        group = named(self._store, scope_of(context), params["logGroupName"])
        if group.log_class == INFREQUENT_ACCESS:
            raise class_lacks("A metric filter", "InvalidOperationException")
        if params.get("applyOnTransformedLogs"):
            raise unsupported("Transforming logs")
        if params.get("fieldSelectionCriteria") or params.get("emitSystemFieldDimensions"):
            raise unsupported("Selection by, and dimensions of, system fields")
        wanted = params["metricTransformations"][0]
        default = wanted.get("defaultValue")
        if default is not None and not math.isfinite(default):
            raise invalid("Invalid metric transformation: the default value is not a number.")
        given = MetricFilter(
            scope=group.scope,
            group=group.name,
            name=params["filterName"],
            pattern=params["filterPattern"],
            namespace=wanted["metricNamespace"],
            metric=wanted["metricName"],
            value=wanted["metricValue"],
            default=default,
            dimensions=dimensions_of(wanted.get("dimensions", {})),
            unit=wanted.get("unit", "None"),
            created_at=self._clock.now(),
        )
        known = self._store.get(METRIC_FILTER, given.key)
        if known is not None:
            given = replace(given, created_at=known.created_at)
        siblings = self._store.scan(METRIC_FILTER, f"{group.scope.prefix}{group.name}:")
        with told():
            metric_filter.check(given, (each for each in siblings if each.name != given.name))
        self._store.transact(Put(METRIC_FILTER, given))

    def delete(self, context: RequestContext, params: Params) -> None:
        group = named(self._store, scope_of(context), params["logGroupName"])
        key = f"{group.scope.prefix}{group.name}:{params['filterName']}"
        if self._store.get(METRIC_FILTER, key) is None:
            raise no_filter()
        self._store.transact(Delete(METRIC_FILTER, key))

    def describe(self, context: RequestContext, params: Params) -> Result:
        scope = scope_of(context)
        metric, namespace = params.get("metricName"), params.get("metricNamespace")
        if (metric is None) != (namespace is None):
            raise invalid("metricName and metricNamespace must be specified together.")
        prefix = scope.prefix
        if "logGroupName" in params:
            group = named(self._store, scope, params["logGroupName"])
            prefix = f"{scope.prefix}{group.name}:{params.get('filterNamePrefix', '')}"
        after = token.read_list_token(params["nextToken"]) if "nextToken" in params else ""
        chosen = [
            each
            for each in self._store.scan(METRIC_FILTER, prefix)
            if each.key > after and (metric is None or (each.metric, each.namespace) == (metric, namespace))
        ]
        limit = params.get("limit", PAGE)
        result: Result = {"metricFilters": [_wire(each) for each in chosen[:limit]]}
        if len(chosen) > limit:
            result["nextToken"] = token.list_token(chosen[limit - 1].key)
        return result


def _wire(told: MetricFilter) -> dict[str, Any]:
    transformation: dict[str, Any] = {
        "metricName": told.metric,
        "metricNamespace": told.namespace,
        "metricValue": told.value,
    }
    if told.default is not None:
        transformation["defaultValue"] = told.default
    if told.dimensions:
        transformation["dimensions"] = dict(told.dimensions)
    if told.unit != "None":
        transformation["unit"] = told.unit
    return {
        "filterName": told.name,
        "filterPattern": told.pattern,
        "metricTransformations": [transformation],
        "creationTime": int(told.created_at.timestamp() * 1000),
        "logGroupName": told.group,
        "applyOnTransformedLogs": False,
    }
