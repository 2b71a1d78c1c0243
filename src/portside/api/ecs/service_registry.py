"""`serviceRegistries` of a service: checked as ECS checks them.

Source: API_ServiceRegistry; ECS developer guide, "Service discovery considerations". The messages are AWS's where those
are known.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from portside.api.ecs.error import invalid
from portside.aws.service import RequestContext
from portside.domain import arn
from portside.domain.cloud_map import DiscoveryService
from portside.domain.table import DISCOVERY_SERVICE
from portside.domain.task.record import RegistryRef
from portside.domain.task_definition import TaskDefinition
from portside.store.interface import Store

MOST: Final = 1


def checked(
    store: Store, context: RequestContext, items: Sequence[Mapping[str, Any]], definition: TaskDefinition
) -> tuple[RegistryRef, ...]:
    """
    Raises:
        ServiceError: InvalidParameterException, a registry that is not there or does not fit the task definition.
    """
    if len(items) > MOST:
        raise invalid(f"service registries can have at most {MOST} items.")
    found = tuple(_from(item) for item in items)
    for ref in found:
        check(_service(store, context, ref), ref, definition)
    return found


def check_again(store: Store, context: RequestContext, refs: Sequence[RegistryRef], definition: TaskDefinition) -> None:
    """Of a service that goes on with its registries and another task definition. Raises ServiceError."""
    for ref in refs:
        check(_service(store, context, ref), ref, definition)


def check(service: DiscoveryService, ref: RegistryRef, definition: TaskDefinition) -> None:
    """Raises ServiceError."""
    types = {each.type for each in service.records}
    where = f"Registry: {ref.registry_arn}"
    if types - {"A", "SRV"}:
        raise invalid(f"Only A and SRV records are supported for service discovery of a service. {where}")
    if ref.port is not None and (ref.container_name is not None or ref.container_port is not None):
        raise invalid(
            "Specify a value for either 'port' or the 'containerName' and 'containerPort' combination, but not both. "
            + where
        )
    if definition.network_mode == "none":
        raise invalid(f"Service discovery is not supported for networkMode 'none'. {where}")
    if definition.network_mode != "awsvpc":
        if types and "SRV" not in types:
            raise invalid(
                f"When specifying 'host' or 'bridge' for networkMode, only SRV records are supported. {where}"
            )
        if ref.container_name is None or ref.container_port is None:
            raise invalid(
                "When specifying 'host' or 'bridge' for networkMode, values for 'containerName' and 'containerPort' "
                f"must be specified from the task definition. {where}"
            )
    elif types == {"A"}:
        for member, value in (("containerPort", ref.container_port), ("port", ref.port)):
            if value is not None:
                raise invalid(
                    f"The values specified for serviceRegistries do not require a value for '{member}'. Remove the "
                    f"value and retry. {where}"
                )
    elif "SRV" in types and ref.port is None and (ref.container_name is None or ref.container_port is None):
        raise invalid(
            "When specifying 'awsvpc' for networkMode and SRV records, a value for 'port' or values for "
            f"'containerName' and 'containerPort' must be specified. {where}"
        )
    if ref.container_name is not None:
        _check_container(ref, definition)


def _check_container(ref: RegistryRef, definition: TaskDefinition) -> None:
    container = next((each for each in definition.containers if each.name == ref.container_name), None)
    if container is None:
        raise invalid(f"The container {ref.container_name} does not exist in the task definition.")
    ports = [each.container_port for each in container.port_mappings]
    if ref.container_port is not None and ref.container_port not in ports:
        raise invalid(f"The container {ref.container_name} did not have a container port {ref.container_port} defined.")


def _service(store: Store, context: RequestContext, ref: RegistryRef) -> DiscoveryService:
    parsed = arn.parse(ref.registry_arn)
    if parsed is None or parsed.service != "servicediscovery" or not parsed.resource.startswith("service/"):
        raise invalid(f"Invalid registry ARN: {ref.registry_arn}")
    found = None
    if (parsed.account, parsed.region) == (context.account, context.region):
        found = store.get(DISCOVERY_SERVICE, f"{context.prefix}{ref.service_id}")
    if found is None:
        raise invalid(f"The service registry does not exist. Registry: {ref.registry_arn}")
    return found


def _from(item: Mapping[str, Any]) -> RegistryRef:
    if not item.get("registryArn"):
        raise invalid("registryArn can not be blank.")
    return RegistryRef(
        registry_arn=item["registryArn"],
        port=item.get("port"),
        container_name=item.get("containerName"),
        container_port=item.get("containerPort"),
    )
