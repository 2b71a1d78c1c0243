"""Namespaces: private DNS ones, whose names resolve in their VPC, and those for the API alone."""

from collections.abc import Mapping
from typing import Any, Final

from portside.api.servicediscovery import lookup, selection
from portside.api.servicediscovery.error import in_use, invalid, limit, told
from portside.api.servicediscovery.operation import Operations
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import arn, cloud_map_rule
from portside.domain.clock import Clock, Ids
from portside.domain.cloud_map import CreateNamespace, DeleteNamespace, Namespace, UpdateNamespace
from portside.domain.table import CLOUD_MAP_OPERATION, DISCOVERY_SERVICE, NAMESPACE
from portside.store.interface import Store

SOA_TTL_S: Final = 15
"""Of a namespace that does not say."""


class Namespaces:
    def __init__(self, store: Store, clock: Clock, ids: Ids, operations: Operations) -> None:
        self._store, self._clock, self._ids, self._operations = store, clock, ids, operations

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreatePrivateDnsNamespace": self.create_private,
            "CreateHttpNamespace": self.create_http,
            "GetNamespace": self.get,
            "ListNamespaces": self.list,
            "UpdatePrivateDnsNamespace": self.update_private,
            "UpdateHttpNamespace": self.update_http,
            "DeleteNamespace": self.delete,
        }

    def create_private(self, context: RequestContext, params: Params) -> Result:
        with told():
            cloud_map_rule.check_private_name(params["Name"])
        return self._create(
            context,
            params,
            name=params["Name"].rstrip("."),
            vpc_id=params["Vpc"],
            hosted_zone_id=f"Z{self._ids.hex(20).upper()}",
            soa_ttl_s=_soa_ttl_s(params, SOA_TTL_S),
        )

    def create_http(self, context: RequestContext, params: Params) -> Result:
        return self._create(context, params, name=params["Name"], vpc_id="", hosted_zone_id="", soa_ttl_s=SOA_TTL_S)

    def _create(
        self, context: RequestContext, params: Params, *, name: str, vpc_id: str, hosted_zone_id: str, soa_ttl_s: int
    ) -> Result:
        every = list(self._store.scan(NAMESPACE, context.prefix))
        namespace = Namespace(
            scope=lookup.scope(context),
            id=f"ns-{self._ids.hex(16)}",
            name=name,
            http_name=cloud_map_rule.http_name(name, {each.http_name for each in every}, self._ids.hex(8)),
            vpc_id=vpc_id,
            hosted_zone_id=hosted_zone_id,
            soa_ttl_s=soa_ttl_s,
            description=params.get("Description") or "",
            creator_request_id=params.get("CreatorRequestId") or "",
            tags=lookup.tags_from(params, name),
            created_at=self._clock.now(),
        )
        if namespace.creator_request_id:
            request = f"{context.prefix}{namespace.creator_request_id}"
            for operation in self._store.find(CLOUD_MAP_OPERATION, "request", request):
                work = operation.work
                if isinstance(work, CreateNamespace) and cloud_map_rule.same_request(work.namespace, namespace):
                    return {"OperationId": operation.id}
        work = CreateNamespace(namespace=namespace)
        self._operations.check_free(context, work)
        for each in every:
            if (each.vpc_id, each.name.lower()) == (vpc_id, name.lower()):
                raise ServiceError(
                    "NamespaceAlreadyExists",
                    "Namespace already exists with the same name.",
                    NamespaceId=each.id,
                    CreatorRequestId=each.creator_request_id,
                )
        if len(every) >= cloud_map_rule.NAMESPACES_MOST:
            raise limit(f"The limit of {cloud_map_rule.NAMESPACES_MOST} namespaces in a Region is reached.")
        return self._operations.submit(context, work, namespace.creator_request_id)

    def get(self, context: RequestContext, params: Params) -> Result:
        namespace = lookup.namespace(self._store, context, params["Id"])
        shape = self._to(namespace)
        if namespace.creator_request_id:
            shape["CreatorRequestId"] = namespace.creator_request_id
        return {"Namespace": shape}

    def list(self, context: RequestContext, params: Params) -> Result:
        selects = selection.namespaces(params.get("Filters") or ())
        found = [each for each in self._store.scan(NAMESPACE, context.prefix) if selects(each)]
        shown, more = lookup.cut(params, found, lambda each: each.id)
        return {"Namespaces": [self._to(each) for each in shown], **more}

    def update_private(self, context: RequestContext, params: Params) -> Result:
        namespace = self._of_type(context, params["Id"], "DNS_PRIVATE")
        changes = params["Namespace"]
        return self._update(context, params, namespace, changes, _soa_ttl_s(changes, None))

    def update_http(self, context: RequestContext, params: Params) -> Result:
        return self._update(context, params, self._of_type(context, params["Id"], "HTTP"), params["Namespace"], None)

    def _update(
        self,
        context: RequestContext,
        params: Params,
        namespace: Namespace,
        changes: Mapping[str, Any],
        soa_ttl_s: int | None,
    ) -> Result:
        work = UpdateNamespace(namespace_id=namespace.id, description=changes.get("Description"), soa_ttl_s=soa_ttl_s)
        self._operations.check_free(context, work)
        return self._operations.submit(context, work, params.get("UpdaterRequestId") or "")

    def delete(self, context: RequestContext, params: Params) -> Result:
        namespace = lookup.namespace(self._store, context, params["Id"])
        if self._store.find(DISCOVERY_SERVICE, "namespace", namespace.id):
            raise in_use("Namespace has associated services; delete the services before deleting the namespace")
        work = DeleteNamespace(namespace_id=namespace.id)
        self._operations.check_free(context, work)
        return self._operations.submit(context, work)

    def _of_type(self, context: RequestContext, named: str, wanted: str) -> Namespace:
        namespace = lookup.namespace(self._store, context, named)
        if selection.type_of(namespace) != wanted:
            raise invalid(f"Namespace {namespace.id} is of type {selection.type_of(namespace)}, not {wanted}.")
        return namespace

    def _to(self, namespace: Namespace) -> dict[str, Any]:
        shape: dict[str, Any] = {
            "Id": namespace.id,
            "Arn": arn.discovery(namespace.scope, f"namespace/{namespace.id}"),
            "ResourceOwner": namespace.scope.account,
            "Name": namespace.name,
            "Type": selection.type_of(namespace),
            "ServiceCount": len(self._store.find(DISCOVERY_SERVICE, "namespace", namespace.id)),
            "Properties": {"HttpProperties": {"HttpName": namespace.http_name}},
            "CreateDate": namespace.created_at,
        }
        if namespace.description:
            shape["Description"] = namespace.description
        if namespace.vpc_id:
            shape["Properties"]["DnsProperties"] = {
                "HostedZoneId": namespace.hosted_zone_id,
                "SOA": {"TTL": namespace.soa_ttl_s},
            }
        return shape


def _soa_ttl_s(params: Mapping[str, Any], default: Any) -> Any:
    """The TTL in `Properties.DnsProperties.SOA`, if it is given."""
    return ((params.get("Properties") or {}).get("DnsProperties") or {}).get("SOA", {}).get("TTL", default)
