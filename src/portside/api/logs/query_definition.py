"""Query definitions: Logs Insights queries that are kept by a name."""

from typing import Any, Final

from portside.api.logs import token
from portside.api.logs.error import invalid, unsupported
from portside.api.logs.lookup import scope_of
from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain.clock import Clock, Ids
from portside.domain.insights_query import Malformed, Query
from portside.domain.log import QueryDefinition
from portside.domain.record import Scope, replace
from portside.domain.table import QUERY_DEFINITION
from portside.store.interface import Delete, Put, Store

PAGE: Final = 1000
DEFINITIONS_MOST: Final = 1000
"""Of an account in a region: CloudWatch Logs' quota."""


class QueryDefinitions:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def put(self, context: RequestContext, params: Params) -> Result:
        scope = scope_of(context)
        if params.get("queryLanguage", "CWLI") != "CWLI":
            raise unsupported(f"The query language {params['queryLanguage']}")
        if params.get("parameters"):
            raise unsupported("Parameters of query definitions")
        try:
            Query(params["queryString"])
        except Malformed as error:
            raise invalid(error.message) from error
        given = QueryDefinition(
            scope=scope,
            id=params.get("queryDefinitionId", ""),
            name=params["name"],
            query=params["queryString"],
            groups=tuple(params.get("logGroupNames", ())),
            client_token=params.get("clientToken", ""),
            modified_at=self._clock.now(),
        )
        if given.id:
            self._named(scope, given.id)
        else:
            known = list(self._store.scan(QUERY_DEFINITION, scope.prefix))
            for each in known:
                if given.client_token and each.client_token == given.client_token:
                    return {"queryDefinitionId": each.id}
            if len(known) >= DEFINITIONS_MOST:
                raise ServiceError("LimitExceededException", "Resource limit exceeded.")
            given = replace(given, id=self._ids.uuid())
        self._store.transact(Put(QUERY_DEFINITION, given))
        return {"queryDefinitionId": given.id}

    def describe(self, context: RequestContext, params: Params) -> Result:
        if params.get("queryLanguage", "CWLI") != "CWLI":
            return {"queryDefinitions": []}
        prefix = params.get("queryDefinitionNamePrefix", "")
        after = token.read_list_token(params["nextToken"]) if "nextToken" in params else ""
        known = sorted(self._store.scan(QUERY_DEFINITION, scope_of(context).prefix), key=_place)
        chosen = [each for each in known if each.name.startswith(prefix) and _place(each) > after]
        limit = params.get("maxResults", PAGE)
        result: Result = {"queryDefinitions": [_wire(each) for each in chosen[:limit]]}
        if len(chosen) > limit:
            result["nextToken"] = token.list_token(_place(chosen[limit - 1]))
        return result

    def delete(self, context: RequestContext, params: Params) -> Result:
        found = self._named(scope_of(context), params["queryDefinitionId"])
        self._store.transact(Delete(QUERY_DEFINITION, QUERY_DEFINITION.key(found)))
        return {"success": True}

    def _named(self, scope: Scope, definition_id: str) -> QueryDefinition:
        found = self._store.get(QUERY_DEFINITION, f"{scope.prefix}{definition_id}")
        if found is None:
            raise ServiceError("ResourceNotFoundException", f"The query definition {definition_id} does not exist.")
        return found


def _place(definition: QueryDefinition) -> str:
    return f"{definition.name}\0{definition.id}"


def _wire(definition: QueryDefinition) -> dict[str, Any]:
    return {
        "queryLanguage": "CWLI",
        "queryDefinitionId": definition.id,
        "name": definition.name,
        "queryString": definition.query,
        "lastModified": int(definition.modified_at.timestamp() * 1000),
        "logGroupNames": list(definition.groups),
    }
