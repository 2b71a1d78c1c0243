"""Operations: what is asked for is recorded and answered with an id; `control/cloud_map.py` carries it out."""

from collections.abc import Mapping

from portside.api.servicediscovery import lookup, selection
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import cloud_map_rule
from portside.domain.clock import Clock, Ids
from portside.domain.cloud_map import Operation, Work
from portside.domain.table import CLOUD_MAP_OPERATION
from portside.store.interface import ABSENT, Put, Store


class Operations:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> Mapping[str, Handler]:
        return {"GetOperation": self.get, "ListOperations": self.list}

    def check_free(self, context: RequestContext, work: Work) -> None:
        """Raises ServiceError: DuplicateRequest, its subject has an operation under way."""
        subject = f"{context.prefix}{cloud_map_rule.subject(work)}"
        for each in self._store.find(CLOUD_MAP_OPERATION, "under_way", subject):
            raise ServiceError(
                "DuplicateRequest",
                f"Another operation of type {cloud_map_rule.operation_type(each.work)} and id {each.id} is in progress",
                DuplicateOperationId=each.id,
            )

    def submit(self, context: RequestContext, work: Work, creator_request_id: str = "") -> Result:
        """The answer of every call that begins an operation."""
        now = self._clock.now()
        operation = Operation(
            scope=lookup.scope(context),
            id=f"{self._ids.hex(32)}-{self._ids.hex(8)}",
            work=work,
            creator_request_id=creator_request_id,
            created_at=now,
            updated_at=now,
        )
        self._store.transact(Put(CLOUD_MAP_OPERATION, operation, ABSENT))
        return {"OperationId": operation.id}

    def get(self, context: RequestContext, params: Params) -> Result:
        operation = self._store.get(CLOUD_MAP_OPERATION, f"{context.prefix}{params['OperationId']}")
        if operation is None or params.get("OwnerAccount", context.account) != context.account:
            raise ServiceError("OperationNotFound", f"Operation {params['OperationId']} not found")
        shape: Result = {
            "Id": operation.id,
            "OwnerAccount": operation.scope.account,
            "Type": cloud_map_rule.operation_type(operation.work),
            "Status": operation.status.value,
            "CreateDate": operation.created_at,
            "UpdateDate": operation.updated_at,
            "Targets": cloud_map_rule.targets(operation.work),
        }
        if operation.error_code:
            shape |= {"ErrorCode": operation.error_code, "ErrorMessage": operation.error_message}
        return {"Operation": shape}

    def list(self, context: RequestContext, params: Params) -> Result:
        selects = selection.operations(params.get("Filters") or ())
        found = [each for each in self._store.scan(CLOUD_MAP_OPERATION, context.prefix) if selects(each)]
        shown, more = lookup.cut(params, found, lambda each: f"{each.created_at.isoformat()}/{each.id}")
        return {"Operations": [{"Id": each.id, "Status": each.status.value} for each in shown], **more}
