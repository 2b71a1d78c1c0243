"""Services of Cloud Map: which records their instances have, and whether somebody tells of their health."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from portside.api.servicediscovery import lookup, selection
from portside.api.servicediscovery.error import in_use, invalid, told
from portside.api.servicediscovery.operation import Operations
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import arn, cloud_map_rule
from portside.domain.clock import Clock, Ids
from portside.domain.cloud_map import DiscoveryService, DnsRecord, UpdateService
from portside.domain.record import replace
from portside.domain.table import DISCOVERY_INSTANCE, DISCOVERY_SERVICE
from portside.store.interface import ABSENT, Delete, Put, Store


class Registries:
    def __init__(self, store: Store, clock: Clock, ids: Ids, operations: Operations) -> None:
        self._store, self._clock, self._ids, self._operations = store, clock, ids, operations

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateService": self.create,
            "GetService": self.get,
            "ListServices": self.list,
            "UpdateService": self.update,
            "DeleteService": self.delete,
            "GetServiceAttributes": self.attributes,
            "UpdateServiceAttributes": self.update_attributes,
            "DeleteServiceAttributes": self.delete_attributes,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        config = params.get("DnsConfig")
        inner = (config or {}).get("NamespaceId")
        named = params.get("NamespaceId") or inner
        if not named:
            raise invalid("Service namespace id cannot be null")
        if inner and named != inner:
            raise invalid("The two namespace ids of the request are not the same.")
        namespace = lookup.namespace(self._store, context, named)
        if params.get("HealthCheckConfig") and params.get("HealthCheckCustomConfig"):
            raise invalid("You can specify either HealthCheckConfig or HealthCheckCustomConfig, but not both.")
        _refuse_route53_checks(params)
        if config is not None and not namespace.vpc_id:
            raise invalid("When you specify an HTTP service, you can't include a DnsConfig element.")
        if config is not None and params.get("Type") == "HTTP":
            raise invalid("When you specify an HTTP service, you can't include a DnsConfig element.")
        records = _records_from(config["DnsRecords"]) if config is not None else ()
        policy: Literal["MULTIVALUE", "WEIGHTED"] = (config or {}).get("RoutingPolicy") or "MULTIVALUE"
        if config is not None:
            with told():
                cloud_map_rule.check_records(records, policy)
        custom = params.get("HealthCheckCustomConfig")
        service = DiscoveryService(
            scope=lookup.scope(context),
            id=f"srv-{self._ids.hex(16)}",
            namespace_id=namespace.id,
            name=params["Name"],
            routing_policy=policy,
            records=records,
            custom_health=custom is not None,
            custom_health_threshold=(custom or {}).get("FailureThreshold"),
            description=params.get("Description") or "",
            creator_request_id=params.get("CreatorRequestId") or "",
            tags=lookup.tags_from(params, params["Name"]),
            created_at=self._clock.now(),
        )
        for each in self._store.find(DISCOVERY_SERVICE, "namespace", namespace.id):
            same_dns_name = bool(each.records and records) and each.name.lower() == service.name.lower()
            if each.name != service.name and not same_dns_name:
                continue
            if cloud_map_rule.same_request(each, service):
                return {"Service": self._to(each, whole=True)}
            raise ServiceError(
                "ServiceAlreadyExists",
                "Service already exists.",
                ServiceId=each.id,
                ServiceArn=arn.discovery(each.scope, f"service/{each.id}"),
                CreatorRequestId=each.creator_request_id,
            )
        self._store.transact(Put(DISCOVERY_SERVICE, service, ABSENT))
        return {"Service": self._to(service, whole=True)}

    def get(self, context: RequestContext, params: Params) -> Result:
        return {"Service": self._to(lookup.service(self._store, context, params["Id"]), whole=True)}

    def list(self, context: RequestContext, params: Params) -> Result:
        selects = selection.services(params.get("Filters") or ())
        found = [each for each in self._store.scan(DISCOVERY_SERVICE, context.prefix) if selects(each)]
        shown, more = lookup.cut(params, found, lambda each: each.id)
        return {"Services": [self._to(each, whole=False) for each in shown], **more}

    def update(self, context: RequestContext, params: Params) -> Result:
        service = lookup.service(self._store, context, params["Id"])
        changes = params["Service"]
        _refuse_route53_checks(changes)
        if not service.records and changes.get("DnsConfig") is None:
            raise invalid("A service that is discovered by the API alone has no settings to update.")
        if changes.get("DnsConfig") is None:
            raise invalid("DnsConfig is required: records that are left out are deleted from the service.")
        records = _records_from(changes["DnsConfig"]["DnsRecords"])
        with told():
            cloud_map_rule.check_changed_records(service, records)
        work = UpdateService(service_id=service.id, description=changes.get("Description"), records=records)
        self._operations.check_free(context, work)
        return self._operations.submit(context, work)

    def delete(self, context: RequestContext, params: Params) -> Result:
        service = lookup.service(self._store, context, params["Id"])
        if self._store.find(DISCOVERY_INSTANCE, "service", service.id):
            raise in_use("Service contains registered instances; delete the instances before deleting the service")
        self._store.transact(Delete(DISCOVERY_SERVICE, service.key))
        return {}

    def attributes(self, context: RequestContext, params: Params) -> Result:
        service = lookup.service(self._store, context, params["ServiceId"])
        return {
            "ServiceAttributes": {
                "ServiceArn": arn.discovery(service.scope, f"service/{service.id}"),
                "ResourceOwner": service.scope.account,
                "Attributes": service.attributes,
            }
        }

    def update_attributes(self, context: RequestContext, params: Params) -> Result:
        service = lookup.service(self._store, context, params["ServiceId"])
        attributes = service.attributes | params["Attributes"]
        if len(attributes) > cloud_map_rule.CUSTOM_ATTRIBUTES_MOST:
            raise ServiceError(
                "ServiceAttributesLimitExceededException",
                f"A service can have at most {cloud_map_rule.CUSTOM_ATTRIBUTES_MOST} attributes.",
            )
        self._store.transact(Put(DISCOVERY_SERVICE, replace(service, attributes=attributes)))
        return {}

    def delete_attributes(self, context: RequestContext, params: Params) -> Result:
        service = lookup.service(self._store, context, params["ServiceId"])
        gone = set(params["Attributes"])
        kept = {name: value for name, value in service.attributes.items() if name not in gone}
        self._store.transact(Put(DISCOVERY_SERVICE, replace(service, attributes=kept)))
        return {}

    def _to(self, service: DiscoveryService, *, whole: bool) -> dict[str, Any]:
        shape: dict[str, Any] = {
            "Id": service.id,
            "Arn": arn.discovery(service.scope, f"service/{service.id}"),
            "ResourceOwner": service.scope.account,
            "Name": service.name,
            "Type": "DNS_HTTP" if service.records else "HTTP",
            "InstanceCount": len(self._store.find(DISCOVERY_INSTANCE, "service", service.id)),
            "CreateDate": service.created_at,
            "CreatedByAccount": service.scope.account,
        }
        if service.description:
            shape["Description"] = service.description
        if service.records:
            shape["DnsConfig"] = {
                "RoutingPolicy": service.routing_policy,
                "DnsRecords": [{"Type": each.type, "TTL": each.ttl_s} for each in service.records],
            }
        if service.custom_health:
            threshold = service.custom_health_threshold
            shape["HealthCheckCustomConfig"] = {} if threshold is None else {"FailureThreshold": threshold}
        if whole:
            shape["NamespaceId"] = service.namespace_id
            if service.records:
                shape["DnsConfig"]["NamespaceId"] = service.namespace_id
            if service.creator_request_id:
                shape["CreatorRequestId"] = service.creator_request_id
        return shape


def _records_from(items: Sequence[Mapping[str, Any]]) -> tuple[DnsRecord, ...]:
    return tuple(DnsRecord(type=each["Type"], ttl_s=each["TTL"]) for each in items)


def _refuse_route53_checks(params: Mapping[str, Any]) -> None:
    if params.get("HealthCheckConfig"):
        raise invalid("HealthCheckConfig (health checks of Route 53) is not supported by Portside.")
