"""Logs Insights queries."""

import base64
import binascii
import json
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from portside.api.logs import token
from portside.api.logs.error import class_lacks, invalid, told, unsupported
from portside.api.logs.lookup import meant, name_of, named, scope_of
from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain.clock import Clock
from portside.domain.insights_query import LIMIT, LIMIT_MOST, Malformed, Query, event_of, flattened
from portside.domain.insights_query_value import text
from portside.domain.log import INFREQUENT_ACCESS, LogGroup
from portside.domain.record import Scope
from portside.store.interface import Store
from portside.telemetry.insights import InsightsQueries, InsightsQuery, QueryLimit
from portside.telemetry.interface import LogStore

GROUPS_MOST: Final = 50
FIELD_EVENTS: Final = 1000
"""Events of which GetLogGroupFields tells the fields."""
PAGE: Final = 1000
MILLISECONDS_FROM: Final = 10**11
"""A time from here on is in milliseconds, though seconds are documented: AWS takes both."""
_SYSTEM_FIELDS: Final = ("@timestamp", "@message", "@logStream", "@log", "@ingestionTime")
_GROUP_PARAMETERS: Final = ("logGroupName", "logGroupNames", "logGroupIdentifiers")


class QueryRequests:
    def __init__(self, store: Store, logs: LogStore, queries: InsightsQueries, clock: Clock) -> None:
        self._store, self._logs, self._queries, self._clock = store, logs, queries, clock

    def start(self, context: RequestContext, params: Params) -> Result:
        scope = scope_of(context)
        if params.get("queryLanguage", "CWLI") != "CWLI":
            raise unsupported(f"The query language {params['queryLanguage']}")
        groups = self._groups(scope, params)
        start_ms, end_ms = _ms(params["startTime"], 0), _ms(params["endTime"], 999)
        if start_ms > end_ms:
            raise invalid("The start time of a query must not be later than its end time.")
        limit = min(params.get("limit", LIMIT), LIMIT_MOST)
        query = params["queryString"]
        try:
            finds_patterns = Query(query).finds_patterns
        except Malformed as error:
            raise _malformed(error) from error
        if finds_patterns and any(group.log_class == INFREQUENT_ACCESS for group in groups):
            raise class_lacks("The command pattern")
        names = [group.name for group in groups]
        try:
            return {"queryId": self._queries.start(scope, names, query, start_ms, end_ms, limit)}
        except QueryLimit as error:
            raise ServiceError("LimitExceededException", str(error)) from error

    def results(self, context: RequestContext, params: Params) -> Result:
        query = self._named(context, params["queryId"])
        news, rows = query.news, query.news.rows or []
        begin = _read_place(params["nextToken"], query) if "nextToken" in params else 0
        end = begin + params["maxItems"] if "maxItems" in params else len(rows)
        result: Result = {
            "queryLanguage": "CWLI",
            "status": query.status,
            "statistics": {
                "recordsMatched": float(news.matched),
                "recordsScanned": float(news.scanned),
                "bytesScanned": float(news.scanned_bytes),
                "logGroupsScanned": float(len(query.groups)),
                "estimatedRecordsSkipped": 0.0,
                "estimatedBytesSkipped": 0.0,
                "resultCount": float(len(rows)),
            },
            "results": [[{"field": name, "value": value} for name, value in row] for row in rows[begin:end]],
        }
        if end < len(rows):
            result["nextToken"] = _place(query, end)
        return result

    def stop(self, context: RequestContext, params: Params) -> Result:
        query = self._named(context, params["queryId"])
        if not self._queries.stop(query.scope, query.id):
            raise invalid(f"The specified query {query.id} is not running; its status is {query.status}.")
        return {"success": True}

    def describe(self, context: RequestContext, params: Params) -> Result:
        if params.get("queryLanguage", "CWLI") != "CWLI":
            return {"queries": []}
        group, status = params.get("logGroupName"), params.get("status")
        known = self._queries.list(scope_of(context))
        if "nextToken" in params:
            last = token.read_list_token(params["nextToken"])
            ids = [each.id for each in known]
            if last not in ids:
                raise invalid("The specified nextToken is invalid.")
            known = known[ids.index(last) + 1 :]
        chosen = [
            each
            for each in known
            if (group is None or group in each.groups) and (status is None or each.status == status)
        ]
        limit = params.get("maxResults", PAGE)
        result: Result = {"queries": [_wire(each) for each in chosen[:limit]]}
        if len(chosen) > limit:
            result["nextToken"] = token.list_token(chosen[limit - 1].id)
        return result

    async def record(self, context: RequestContext, params: Params) -> Result:
        """GetLogRecord: all fields of one event."""
        scope = scope_of(context)
        if params.get("unmask"):
            raise unsupported("Unmasking")
        place = event_of(params["logRecordPointer"])
        if place is None or place[0] != scope.account:
            raise invalid("The specified log record pointer is invalid.")
        group = named(self._store, scope, place[1])
        with told():
            event = await self._logs.event(scope, group.name, place[2])
        if event is None:
            raise ServiceError("ResourceNotFoundException", "The specified log record does not exist.")
        fields = {name: text(value) for name, value in flattened(event.message).items()}
        return {
            "logRecord": fields
            | {
                "@ptr": params["logRecordPointer"],
                "@message": event.message,
                "@logStream": event.stream,
                "@log": f"{scope.account}:{group.name}",
                "@timestamp": str(event.at_ms),
                "@ingestionTime": str(event.ingested_ms),
            }
        }

    async def fields(self, context: RequestContext, params: Params) -> Result:
        """GetLogGroupFields: the fields of the latest events of a span."""
        group = meant(self._store, scope_of(context), params)
        now_ms = int(self._clock.now().timestamp() * 1000)
        start_ms, end_ms = now_ms - 15 * 60_000, now_ms
        if "time" in params:
            at_ms = _ms(params["time"], 0)
            start_ms, end_ms = at_ms - 8 * 60_000, at_ms + 8 * 60_000
        with told():
            found = await self._logs.filter(
                *(group.scope, group.name),
                streams=None,
                start_ms=start_ms,
                end_ms=end_ms + 1,
                terms=None,
                after=None,
                limit=FIELD_EVENTS,
                from_head=False,
            )
        counts: Counter[str] = Counter()
        for event in found.events:
            counts.update((*_SYSTEM_FIELDS, *flattened(event.message)))
        return {
            "logGroupFields": [
                {"name": name, "percent": 100 * count // len(found.events)} for name, count in counts.most_common()
            ]
        }

    def _named(self, context: RequestContext, query_id: str) -> InsightsQuery:
        query = self._queries.get(scope_of(context), query_id)
        if query is None:
            raise ServiceError("ResourceNotFoundException", f"The specified query {query_id} does not exist.")
        return query

    def _groups(self, scope: Scope, params: Params) -> list[LogGroup]:
        given = [each for each in _GROUP_PARAMETERS if params.get(each)]
        if len(given) != 1:
            raise invalid(f"Exactly one of {', '.join(_GROUP_PARAMETERS)} must be specified.")
        names = [params["logGroupName"]] if given[0] == "logGroupName" else list(params[given[0]])
        if given[0] == "logGroupIdentifiers":
            names = [name_of(each, scope) for each in names]
        names = list(dict.fromkeys(names))
        if len(names) > GROUPS_MOST:
            raise invalid(f"A query can be of at most {GROUPS_MOST} log groups.")
        return [named(self._store, scope, each) for each in names]


def _ms(given: int, rest: int) -> int:
    """Milliseconds of a time in seconds, to the end of that second if `rest` is 999."""
    return given if given >= MILLISECONDS_FROM else given * 1000 + rest


def _malformed(error: Malformed) -> ServiceError:
    location = {"startCharOffset": error.start, "endCharOffset": error.end}
    return ServiceError(
        "MalformedQueryException",
        error.message,
        queryCompileError={"location": location, "message": error.message},
    )


def _place(query: InsightsQuery, at: int) -> str:
    return base64.b64encode(json.dumps([query.id, at]).encode()).decode()


def _read_place(given: str, query: InsightsQuery) -> int:
    try:
        found = json.loads(base64.b64decode(given, validate=True))
    except (binascii.Error, ValueError):
        found = None
    if not isinstance(found, list) or len(found) != 2 or found[0] != query.id or not isinstance(found[1], int):
        raise invalid("The specified nextToken is invalid.")
    return max(0, found[1])


def _wire(query: InsightsQuery) -> Mapping[str, Any]:
    wire: dict[str, Any] = {
        "queryLanguage": "CWLI",
        "queryId": query.id,
        "queryString": query.query,
        "status": query.status,
        "createTime": int(query.created_at.timestamp() * 1000),
        "logGroupName": query.groups[0],
        "bytesScanned": float(query.news.scanned_bytes),
    }
    if query.ended_at is not None:
        wire["queryDuration"] = (query.ended_at - query.created_at) // timedelta(milliseconds=1)
    return wire
