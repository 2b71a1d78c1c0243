"""Log groups: create, delete, describe, retention."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from portside.api.logs import token
from portside.api.logs.error import exists, invalid, protected, told, unsupported
from portside.api.logs.lookup import group_arn, name_of, named, scope_of
from portside.api.logs.tag import from_wire
from portside.aws.service import Params, RequestContext, Result
from portside.domain.clock import Clock
from portside.domain.log import CLASSES, LogGroup
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
        log_class = params.get("logGroupClass", "STANDARD")
        if log_class not in CLASSES:
            raise unsupported(f"The log group class {log_class}")
        if name.startswith("aws/"):
            raise invalid("Log group names can't start with the string aws/")
        if self._store.get(LOG_GROUP, f"{scope.prefix}{name}") is not None:
            raise exists("log group")
        with told():
            tags = from_wire(params.get("tags", {}))
        group = LogGroup(
            scope=scope,
            name=name,
            tags=tags,
            log_class=log_class,
            is_protected=params.get("deletionProtectionEnabled", False),
            created_at=self._clock.now(),
        )
        self._store.transact(Put(LOG_GROUP, group, ABSENT))

    async def delete(self, context: RequestContext, params: Params) -> None:
        scope, name = scope_of(context), params["logGroupName"]
        if named(self._store, scope, name).is_protected:
            raise protected("log group")
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
        if "logGroupClass" in params:
            groups = (group for group in groups if group.log_class == params["logGroupClass"])
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

    def list(self, context: RequestContext, params: Params) -> Result:
        scope = scope_of(context)
        if set(params.get("accountIdentifiers", ())) - {scope.account}:
            raise unsupported("Log groups of other accounts")
        for each in ("dataSources", "fieldIndexNames"):
            if params.get(each):
                raise unsupported(each)
        after = token.read_list_token(params["nextToken"]) if "nextToken" in params else ""
        alternatives = params.get("logGroupNamePattern", "").split("|")
        tags = {each["key"]: each.get("values", ()) for each in params.get("logGroupTags", ())}
        chosen = [
            group
            for group in self._store.scan(LOG_GROUP, scope.prefix)
            if group.name > after
            and any(_is_named(group.name, each) for each in alternatives)
            and group.log_class == params.get("logGroupClass", group.log_class)
            and _has_tags(group, tags)
        ]
        limit = params.get("limit", PAGE)
        result: Result = {
            "logGroups": [
                {
                    "logGroupName": each.name,
                    "logGroupArn": group_arn(scope, each.name),
                    "logGroupClass": each.log_class,
                }
                for each in chosen[:limit]
            ]
        }
        if len(chosen) > limit:
            result["nextToken"] = token.list_token(chosen[limit - 1].name)
        return result

    def protect(self, context: RequestContext, params: Params) -> None:
        scope = scope_of(context)
        group = named(self._store, scope, name_of(params["logGroupIdentifier"], scope))
        self._store.transact(Put(LOG_GROUP, replace(group, is_protected=params["deletionProtectionEnabled"])))

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


def _is_named(name: str, pattern: str) -> bool:
    """A part of the name, or behind `^` its beginning."""
    return name.startswith(pattern[1:]) if pattern.startswith("^") else pattern in name


def _has_tags(group: LogGroup, wanted: Mapping[str, Sequence[str]]) -> bool:
    """Each key, with one of the values, or with any if there are none."""
    have = {each.key: each.value for each in group.tags}
    return all(key in have and (not values or have[key] in values) for key, values in wanted.items())


def _wire(group: LogGroup, stored_bytes: int, metric_filters: int) -> Result:
    arn = group_arn(group.scope, group.name)
    wire: Result = {
        "logGroupName": group.name,
        "creationTime": int(group.created_at.timestamp() * 1000),
        "metricFilterCount": metric_filters,
        "arn": f"{arn}:*",
        "storedBytes": stored_bytes,
        "logGroupClass": group.log_class,
        "logGroupArn": arn,
        "deletionProtectionEnabled": group.is_protected,
    }
    if group.retention_days is not None:
        wire["retentionInDays"] = group.retention_days
    return wire
