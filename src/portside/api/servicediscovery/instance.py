"""Instances of Cloud Map's services, their health, and their discovery."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from portside.api.servicediscovery import lookup
from portside.api.servicediscovery.error import (
    instance_not_found,
    invalid,
    limit,
    namespace_not_found,
    service_not_found,
    told,
)
from portside.api.servicediscovery.operation import Operations
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import cloud_map_rule
from portside.domain.clock import Clock, Ids
from portside.domain.cloud_map import (
    DeregisterInstance,
    DiscoveryInstance,
    DiscoveryService,
    Health,
    Namespace,
    RegisterInstance,
)
from portside.domain.record import replace
from portside.domain.table import DISCOVERY_INSTANCE, DISCOVERY_SERVICE, INSTANCE, LOAD_BALANCER, NAMESPACE
from portside.store.interface import Put, Store

DISCOVERED: Final = 100
"""Instances in an answer of DiscoverInstances, unless asked otherwise."""


class Instances:
    def __init__(self, store: Store, clock: Clock, ids: Ids, operations: Operations) -> None:
        self._store, self._clock, self._ids, self._operations = store, clock, ids, operations

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "RegisterInstance": self.register,
            "DeregisterInstance": self.deregister,
            "GetInstance": self.get,
            "ListInstances": self.list,
            "UpdateInstanceCustomHealthStatus": self.update_health,
            "GetInstancesHealthStatus": self.health,
            "DiscoverInstances": self.discover,
            "DiscoverInstancesRevision": self.revision,
        }

    def register(self, context: RequestContext, params: Params) -> Result:
        service = lookup.service(self._store, context, params["ServiceId"])
        attributes = self._attributes(context, service, params["Attributes"])
        with told():
            cloud_map_rule.check_attributes(service, attributes)
        instance = DiscoveryInstance(
            scope=service.scope,
            service_id=service.id,
            id=params["InstanceId"],
            attributes=attributes,
            health=cloud_map_rule.initial_health(service, attributes),
            creator_request_id=params.get("CreatorRequestId") or "",
            created_at=self._clock.now(),
        )
        work = RegisterInstance(instance=instance)
        self._operations.check_free(context, work)
        known = self._store.find(DISCOVERY_INSTANCE, "service", service.id)
        is_new = all(each.id != instance.id for each in known)
        if is_new and len(known) >= cloud_map_rule.INSTANCES_MOST:
            raise limit(f"The limit of {cloud_map_rule.INSTANCES_MOST} instances of a service is reached.")
        return self._operations.submit(context, work, instance.creator_request_id)

    def _attributes(
        self, context: RequestContext, service: DiscoveryService, given: Mapping[str, str]
    ) -> dict[str, str]:
        """As they are kept: of an EC2 instance with its address."""
        attributes = dict(given)
        alias = attributes.get(cloud_map_rule.ALIAS, "").rstrip(".").lower()
        if alias and all(each.scope != service.scope for each in self._store.find(LOAD_BALANCER, "dns_name", alias)):
            raise invalid(f"{alias} is the name of no load balancer.")
        named = attributes.get(cloud_map_rule.EC2_INSTANCE)
        if named is None:
            return attributes
        if service.records:
            raise invalid(f"{cloud_map_rule.EC2_INSTANCE} is for services of HTTP namespaces only.")
        others = attributes.keys() - {cloud_map_rule.EC2_INSTANCE, cloud_map_rule.INITIAL_HEALTH}
        if any(each.startswith("AWS_") for each in others):
            raise invalid(f"{cloud_map_rule.EC2_INSTANCE} can not be combined with other attributes of AWS.")
        instance = self._store.get(INSTANCE, f"{context.prefix}{named}")
        if instance is None:
            raise invalid(f"The instance {named} does not exist.")
        return attributes | {cloud_map_rule.IPV4: instance.address}

    def deregister(self, context: RequestContext, params: Params) -> Result:
        service = lookup.service(self._store, context, params["ServiceId"])
        instance = self._found(service, params["InstanceId"])
        work = DeregisterInstance(service_id=service.id, instance_id=instance.id)
        self._operations.check_free(context, work)
        return self._operations.submit(context, work)

    def get(self, context: RequestContext, params: Params) -> Result:
        service = lookup.service(self._store, context, params["ServiceId"])
        instance = self._found(service, params["InstanceId"])
        shape = _to(instance)
        if instance.creator_request_id:
            shape["CreatorRequestId"] = instance.creator_request_id
        return {"ResourceOwner": service.scope.account, "Instance": shape}

    def list(self, context: RequestContext, params: Params) -> Result:
        service = lookup.service(self._store, context, params["ServiceId"])
        found = self._store.find(DISCOVERY_INSTANCE, "service", service.id)
        shown, more = lookup.cut(params, found, lambda each: each.id)
        return {"ResourceOwner": service.scope.account, "Instances": [_to(each) for each in shown], **more}

    def update_health(self, context: RequestContext, params: Params) -> None:
        service = lookup.service(self._store, context, params["ServiceId"])
        instance = self._found(service, params["InstanceId"])
        if not service.custom_health:
            raise ServiceError(
                "CustomHealthNotFound", f"Service {service.id} doesn't have a custom health check configuration."
            )
        health = Health(params["Status"])
        if health is not instance.health:
            self._store.transact(
                Put(DISCOVERY_INSTANCE, replace(instance, health=health)),
                Put(DISCOVERY_SERVICE, cloud_map_rule.changed(service)),
            )

    def health(self, context: RequestContext, params: Params) -> Result:
        service = lookup.service(self._store, context, params["ServiceId"])
        if params.get("Instances"):
            found = [self._found(service, each) for each in dict.fromkeys(params["Instances"])]
        else:
            found = self._store.find(DISCOVERY_INSTANCE, "service", service.id)
        shown, more = lookup.cut(params, found, lambda each: each.id)
        return {"Status": {each.id: each.health.value for each in shown}, **more}

    def discover(self, context: RequestContext, params: Params) -> Result:
        namespace, service = self._named(context, params)
        found = cloud_map_rule.discovered(
            service,
            self._store.find(DISCOVERY_INSTANCE, "service", service.id),
            health=params.get("HealthStatus") or "HEALTHY_OR_ELSE_ALL",
            query=params.get("QueryParameters") or {},
            optional=params.get("OptionalParameters") or {},
        )
        shown = self._shuffled(found)[: params.get("MaxResults") or DISCOVERED]
        return {
            "Instances": [
                {
                    "InstanceId": each.id,
                    "NamespaceName": namespace.http_name,
                    "ServiceName": service.name,
                    "HealthStatus": each.health.value,
                    "Attributes": each.attributes,
                }
                for each in shown
            ],
            "InstancesRevision": service.revision,
        }

    def revision(self, context: RequestContext, params: Params) -> Result:
        _, service = self._named(context, params)
        return {"InstancesRevision": service.revision}

    def _shuffled(self, found: Sequence[DiscoveryInstance]) -> Sequence[DiscoveryInstance]:
        digits = self._ids.hex(8 * len(found)) if found else ""
        luck = {each.id: digits[8 * at : 8 * at + 8] for at, each in enumerate(found)}
        return sorted(found, key=lambda each: luck[each.id])

    def _named(self, context: RequestContext, params: Params) -> tuple[Namespace, DiscoveryService]:
        named = params["NamespaceName"]
        namespaces = self._store.find(NAMESPACE, "http_name", f"{context.prefix}{named}")
        if not namespaces or params.get("OwnerAccount", context.account) != context.account:
            raise namespace_not_found(named)
        for service in self._store.find(DISCOVERY_SERVICE, "namespace", namespaces[0].id):
            if service.name == params["ServiceName"]:
                return namespaces[0], service
        raise service_not_found(params["ServiceName"])

    def _found(self, service: DiscoveryService, named: str) -> DiscoveryInstance:
        instance = self._store.get(DISCOVERY_INSTANCE, f"{service.key}/{named}")
        if instance is None:
            raise instance_not_found(named)
        return instance


def _to(instance: DiscoveryInstance) -> dict[str, Any]:
    return {"Id": instance.id, "Attributes": instance.attributes, "CreatedByAccount": instance.scope.account}
