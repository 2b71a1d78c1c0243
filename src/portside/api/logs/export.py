"""Exports of log groups into folders."""

from typing import Any, Final

from portside.api.logs import token
from portside.api.logs.error import class_lacks, told
from portside.api.logs.lookup import named, scope_of
from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain import log_export
from portside.domain.clock import Clock, Ids
from portside.domain.log import INFREQUENT_ACCESS
from portside.domain.log_export import ENDED, ExportStatus, ExportTask
from portside.domain.record import Scope, replace
from portside.domain.table import EXPORT_TASK
from portside.store.interface import Delete, Put, Store

PAGE: Final = 50
KEPT_MOST: Final = 200
"""Tasks that have ended, of an account and region."""


class Exports:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def create(self, context: RequestContext, params: Params) -> Result:
        group = named(self._store, scope_of(context), params["logGroupName"])
        if group.log_class == INFREQUENT_ACCESS:
            raise class_lacks("CreateExportTask")
        task = ExportTask(
            scope=group.scope,
            id=self._ids.uuid(),
            name=params.get("taskName", ""),
            group=group.name,
            stream_prefix=params.get("logStreamNamePrefix", ""),
            from_ms=params["from"],
            to_ms=params["to"],
            bucket=params["destination"],
            prefix=params.get("destinationPrefix") or log_export.PREFIX,
            created_at=self._clock.now(),
        )
        with told():
            log_export.check(task)
        known = self._newest_first(group.scope)
        if any(each.status not in ENDED for each in known):
            raise ServiceError("LimitExceededException", "Resource limit exceeded.")
        self._store.transact(
            Put(EXPORT_TASK, task), *(Delete(EXPORT_TASK, each.key) for each in known[KEPT_MOST - 1 :])
        )
        return {"taskId": task.id}

    def describe(self, context: RequestContext, params: Params) -> Result:
        task_id, status = params.get("taskId"), params.get("statusCode")
        chosen = [
            each
            for each in self._newest_first(scope_of(context))
            if (task_id is None or each.id == task_id) and (status is None or each.status == status)
        ]
        if "nextToken" in params:
            last = token.read_list_token(params["nextToken"])
            chosen = [each for each in chosen if _place(each) < last]
        limit = params.get("limit", PAGE)
        result: Result = {"exportTasks": [_wire(each) for each in chosen[:limit]]}
        if len(chosen) > limit:
            result["nextToken"] = token.list_token(_place(chosen[limit - 1]))
        return result

    def cancel(self, context: RequestContext, params: Params) -> None:
        task = self._store.get(EXPORT_TASK, f"{scope_of(context).prefix}{params['taskId']}")
        if task is None:
            raise ServiceError("ResourceNotFoundException", "The specified export task does not exist.")
        if task.status not in (ExportStatus.PENDING, ExportStatus.RUNNING):
            raise ServiceError("InvalidOperationException", "The specified export task has already finished")
        self._store.transact(Put(EXPORT_TASK, replace(task, status=ExportStatus.PENDING_CANCEL)))

    def _newest_first(self, scope: Scope) -> list[ExportTask]:
        return sorted(self._store.scan(EXPORT_TASK, scope.prefix), key=_place, reverse=True)


def _place(task: ExportTask) -> str:
    return f"{task.created_at.isoformat()} {task.id}"


def _wire(task: ExportTask) -> dict[str, Any]:
    told: dict[str, Any] = {"creationTime": int(task.created_at.timestamp() * 1000)}
    if task.ended_at is not None:
        told["completionTime"] = int(task.ended_at.timestamp() * 1000)
    wire: dict[str, Any] = {
        "taskId": task.id,
        "logGroupName": task.group,
        "from": task.from_ms,
        "to": task.to_ms,
        "destination": task.bucket,
        "destinationPrefix": task.prefix,
        "status": {"code": task.status.value, **({"message": task.message} if task.message else {})},
        "executionInfo": told,
    }
    if task.name:
        wire["taskName"] = task.name
    return wire
