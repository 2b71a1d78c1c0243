"""Log groups: create, delete, describe, retention."""

from collections.abc import Iterable
from typing import Final

from portside.api.logs import token
from portside.api.logs.error import exists, invalid, told, unsupported
from portside.api.logs.lookup import group_arn, name_of, named, scope_of
from portside.api.logs.tag import from_wire
from portside.aws.service import Params, RequestContext, Result
from portside.domain.clock import Clock
from portside.domain.log import LogGroup
from portside.domain.record import Scope, replace
from portside.domain.table import LOG_GROUP, METRIC_FILTER
from portside.store.interface import ABSENT, Delete, Put, Store
from portside.telemetry.interface import LogStore

PAGE: Final = 50
RETENTION_DAYS: Final = frozenset(
    (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
)
"""API_PutRetentionPolicy, `retentionInDays`: possible values."""


class Groups:
    def __init__(self, store: Store, logs: LogStore, clock: Clock) -> None:
        self._store, self._logs, self._clock = store, logs, clock

    def create(self, context: RequestContext, params: Params) -> None:
        scope, name = scope_of(context), params["logGroupName"]
        if params.get("kmsKeyId"):
            raise unsupported("Encryption of log groups with a KMS key")
        if params.get("logGroupClass", "STANDARD") != "STANDARD":
            raise unsupported(f"The log group class {params['logGroupClass']}")
        if params.get("deletionProtectionEnabled"):
            raise unsupported("Deletion protection of log groups")
        if self._store.get(LOG_GROUP, f"{scope.prefix}{name}") is not None:
            raise exists("log group")
        with told():
            tags = from_wire(params.get("tags", {}))
        group = LogGroup(scope=scope, name=name, tags=tags, created_at=self._clock.now())
        self._store.transact(Put(LOG_GROUP, group, ABSENT))

    async def delete(self, context: RequestContext, params: Params) -> None:
        scope, name = scope_of(context), params["logGroupName"]
        named(self._store, scope, name)
        # The events go first: were the record first, a crash in between would show them in the next group of that name.
        with told():
            await self._logs.delete_group(scope, name)
            filters = self._store.scan(METRIC_FILTER, f"{scope.prefix}{name}:")
            gone = [Delete(METRIC_FILTER, each.key) for each in filters]
            self._store.transact(Delete(LOG_GROUP, f"{scope.prefix}{name}"), *gone)
            await self._logs.delete_group(scope, name)  # what a container wrote in between

    async def describe(self, context: RequestContext, params: Params) -> Result:
        scope = scope_of(context)
        prefix, pattern = params.get("logGroupNamePrefix"), params.get("logGroupNamePattern")
        if prefix is not None and pattern is not None:
            raise invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
        others = set(params.get("accountIdentifiers", ())) - {scope.account}
        if others:
            raise unsupported(f"Log groups of other accounts ({', '.join(sorted(others))})")
        groups: Iterable[LogGroup] = self._store.scan(LOG_GROUP, f"{scope.prefix}{prefix or ''}")
        if params.get("logGroupIdentifiers"):
            names = {name_of(each, scope) for each in params["logGroupIdentifiers"]}
            groups = (group for group in groups if group.name in names)
        if pattern:
            groups = (group for group in groups if pattern in group.name)
        if params.get("logGroupClass", "STANDARD") != "STANDARD":
            groups = ()
        after = token.read_list_token(params["nextToken"]) if "nextToken" in params else ""
        chosen = [group for group in groups if group.name > after]
        limit = params.get("limit", PAGE)
        with told():
            sizes = await self._logs.stored_bytes(scope) if chosen else {}
        result: Result = {"logGroups": []}
        for group in chosen[:limit]:
            filters = sum(1 for _ in self._store.scan(METRIC_FILTER, f"{scope.prefix}{group.name}:"))
            result["logGroups"].append(_wire(group, sizes.get(group.name, 0), filters))
        if len(chosen) > limit:
            result["nextToken"] = token.list_token(chosen[limit - 1].name)
        return result

    def put_retention(self, context: RequestContext, params: Params) -> None:
        days = params["retentionInDays"]
        if days not in RETENTION_DAYS:
            possible = ", ".join(map(str, sorted(RETENTION_DAYS)))
            raise invalid(f"Invalid retentionInDays value {days}. Possible values are: {possible}.")
        self._retain(scope_of(context), params["logGroupName"], days)

    def delete_retention(self, context: RequestContext, params: Params) -> None:
        self._retain(scope_of(context), params["logGroupName"], None)

    def _retain(self, scope: Scope, name: str, days: int | None) -> None:
        group = named(self._store, scope, name)
        self._store.transact(Put(LOG_GROUP, replace(group, retention_days=days)))


def _wire(group: LogGroup, stored_bytes: int, metric_filters: int) -> Result:
    arn = group_arn(group.scope, group.name)
    wire: Result = {
        "logGroupName": group.name,
        "creationTime": int(group.created_at.timestamp() * 1000),
        "metricFilterCount": metric_filters,
        "arn": f"{arn}:*",
        "storedBytes": stored_bytes,
        "logGroupClass": "STANDARD",
        "logGroupArn": arn,
        "deletionProtectionEnabled": False,
    }
    if group.retention_days is not None:
        wire["retentionInDays"] = group.retention_days
    return wire
