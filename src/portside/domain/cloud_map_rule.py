"""The rules of AWS Cloud Map: what may be asked for, and what an operation amounts to.

Source: AWS Cloud Map API reference (CreateService, RegisterInstance, DnsRecord) and developer guide, "Quotas".
"""

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

from portside.domain.cloud_map import (
    CreateNamespace,
    DeleteNamespace,
    DeregisterInstance,
    DiscoveryInstance,
    DiscoveryService,
    DnsRecord,
    Health,
    Namespace,
    RegisterInstance,
    UpdateNamespace,
    UpdateService,
    Work,
)
from portside.domain.record import replace
from portside.domain.refusal import RefusalKind, Refused

NAMESPACES_MOST: Final = 50
INSTANCES_MOST: Final = 1000
"""Of a service."""
CUSTOM_ATTRIBUTES_MOST: Final = 30
"""Of an instance, and of a service."""
ATTRIBUTES_SIZE_MOST: Final = 5000
_RECORD_SETS: Final = ({"A"}, {"AAAA"}, {"A", "AAAA"}, {"SRV"}, {"CNAME"})
_LABEL: Final = re.compile(r"[!-~]{1,63}")
_HOST: Final = re.compile(r"(?=.{1,253}\.?$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")

IPV4: Final = "AWS_INSTANCE_IPV4"
IPV6: Final = "AWS_INSTANCE_IPV6"
PORT: Final = "AWS_INSTANCE_PORT"
CNAME: Final = "AWS_INSTANCE_CNAME"
INITIAL_HEALTH: Final = "AWS_INIT_HEALTH_STATUS"
ALIAS: Final = "AWS_ALIAS_DNS_NAME"
EC2_INSTANCE: Final = "AWS_EC2_INSTANCE_ID"
_KNOWN: Final = (IPV4, IPV6, PORT, CNAME, INITIAL_HEALTH, ALIAS, EC2_INSTANCE)

OperationType = Literal[
    "CREATE_NAMESPACE",
    "DELETE_NAMESPACE",
    "UPDATE_NAMESPACE",
    "UPDATE_SERVICE",
    "REGISTER_INSTANCE",
    "DEREGISTER_INSTANCE",
]


def check_private_name(name: str) -> None:
    """A domain name that a private namespace may have. Raises Refused."""
    labels = name.rstrip(".").split(".")
    if not all(_LABEL.fullmatch(each) for each in labels):
        raise _invalid(f"{name} is not a valid domain name.")
    if len(labels) == 1 and labels[0].lower() == "amazonaws":
        raise _invalid(f"{name} is reserved by AWS.")
    if name.rstrip(".").lower().endswith((".amazonaws.com", ".compute.internal", ".ec2.internal")):
        raise _invalid(f"{name} is reserved by AWS.")


def check_records(records: Sequence[DnsRecord], policy: str) -> None:
    """Raises Refused."""
    types = [each.type for each in records]
    if not types:
        raise _invalid("DnsConfig must have at least one DnsRecord.")
    if len(set(types)) != len(types) or set(types) not in _RECORD_SETS:
        raise _invalid(f"Invalid combination of DNS record types: {', '.join(types)}.")
    if "CNAME" in types and policy != "WEIGHTED":
        raise _invalid("CNAME records are supported by the WEIGHTED routing policy only.")


def check_changed_records(service: DiscoveryService, records: Sequence[DnsRecord]) -> None:
    """UpdateService changes TTLs; types only by leaving one out. Raises Refused."""
    known = {each.type for each in service.records}
    if not known:
        raise _invalid("The DNS records of a service that is discovered by the API alone can not be updated.")
    new = {each.type for each in records} - known
    if new:
        raise _invalid(f"DNS record types can not be added to a service: {', '.join(sorted(new))}.")
    check_records(records, service.routing_policy)


def check_attributes(service: DiscoveryService, attributes: Mapping[str, str]) -> None:
    """What an instance of the service must and may say of itself. Raises Refused."""
    custom = [each for each in attributes if each not in _KNOWN]
    for each in custom:
        if each.startswith("AWS_"):
            raise _invalid(f"Attribute {each} is not supported: names that begin with AWS_ are reserved.")
    if len(custom) > CUSTOM_ATTRIBUTES_MOST:
        raise _invalid(f"An instance can have at most {CUSTOM_ATTRIBUTES_MOST} custom attributes.")
    if sum(len(key) + len(value) for key, value in attributes.items()) > ATTRIBUTES_SIZE_MOST:
        raise _invalid(f"The total size of attributes exceeds {ATTRIBUTES_SIZE_MOST} characters.")
    for name, version in ((IPV4, ipaddress.IPv4Address), (IPV6, ipaddress.IPv6Address)):
        if name in attributes and not _is_address(attributes[name], version):
            raise _invalid(f"{attributes[name]} is not a valid value of {name}.")
    if PORT in attributes and not (attributes[PORT].isdecimal() and 0 < int(attributes[PORT]) <= 65535):
        raise _invalid(f"{attributes[PORT]} is not a valid value of {PORT}.")
    if CNAME in attributes and not _HOST.fullmatch(attributes[CNAME]):
        raise _invalid(f"{attributes[CNAME]} is not a valid value of {CNAME}.")
    if INITIAL_HEALTH in attributes:
        if not service.custom_health:
            raise _invalid(f"{INITIAL_HEALTH} is for services with a HealthCheckCustomConfig.")
        if attributes[INITIAL_HEALTH] not in ("HEALTHY", "UNHEALTHY"):
            raise _invalid(f"{INITIAL_HEALTH} is HEALTHY or UNHEALTHY, not {attributes[INITIAL_HEALTH]}.")
    if ALIAS in attributes:
        _check_alias(service, attributes)
        return
    needed = {"A": (IPV4,), "AAAA": (IPV6,), "CNAME": (CNAME,), "SRV": (PORT,)}
    for record in service.records:
        for name in needed[record.type]:
            if name not in attributes:
                raise _invalid(f"{name} is required for a service with {record.type} records.")
        if record.type == "SRV" and IPV4 not in attributes and IPV6 not in attributes:
            raise _invalid(f"{IPV4} or {IPV6} is required for a service with SRV records.")


def _check_alias(service: DiscoveryService, attributes: Mapping[str, str]) -> None:
    if not {each.type for each in service.records} & {"A", "AAAA"}:
        raise _invalid(f"{ALIAS} is for services with A or AAAA records.")
    if service.routing_policy != "WEIGHTED":
        raise _invalid(f"{ALIAS} is for services with the WEIGHTED routing policy.")
    others = sorted(each for each in attributes if each.startswith("AWS_INSTANCE_"))
    if others:
        raise _invalid(f"{ALIAS} can not be combined with {', '.join(others)}.")


def initial_health(service: DiscoveryService, attributes: Mapping[str, str]) -> Health:
    if not service.custom_health:
        return Health.UNKNOWN
    return Health(attributes.get(INITIAL_HEALTH, "HEALTHY"))


def http_name(name: str, taken: Collection[str], digits: str) -> str:
    """What DiscoverInstances calls a namespace: a name that is in use already gets something of its own."""
    return f"{name}-{digits}" if name in taken else name


def changed(service: DiscoveryService) -> DiscoveryService:
    """After a change of its instances."""
    return replace(service, revision=service.revision + 1)


def operation_type(work: Work) -> OperationType:
    match work:
        case CreateNamespace():
            return "CREATE_NAMESPACE"
        case UpdateNamespace():
            return "UPDATE_NAMESPACE"
        case DeleteNamespace():
            return "DELETE_NAMESPACE"
        case UpdateService():
            return "UPDATE_SERVICE"
        case RegisterInstance():
            return "REGISTER_INSTANCE"
        case DeregisterInstance():
            return "DEREGISTER_INSTANCE"


def targets(work: Work) -> dict[str, str]:
    """What an operation is about: NAMESPACE, SERVICE, INSTANCE -> id."""
    match work:
        case CreateNamespace():
            return {"NAMESPACE": work.namespace.id}
        case UpdateNamespace() | DeleteNamespace():
            return {"NAMESPACE": work.namespace_id}
        case UpdateService():
            return {"SERVICE": work.service_id}
        case RegisterInstance():
            return {"SERVICE": work.instance.service_id, "INSTANCE": work.instance.id}
        case DeregisterInstance():
            return {"SERVICE": work.service_id, "INSTANCE": work.instance_id}


def subject(work: Work) -> str:
    """Two unfinished operations of one subject are not allowed."""
    match work:
        case CreateNamespace():
            return f"namespace {work.namespace.vpc_id} {work.namespace.name.lower()}"
        case UpdateNamespace() | DeleteNamespace():
            return f"namespace {work.namespace_id}"
        case UpdateService():
            return f"service {work.service_id}"
        case RegisterInstance():
            return f"instance {work.instance.service_id}/{work.instance.id}"
        case DeregisterInstance():
            return f"instance {work.service_id}/{work.instance_id}"


def discovered(
    service: DiscoveryService,
    instances: Sequence[DiscoveryInstance],
    *,
    health: str,
    query: Mapping[str, str],
    optional: Mapping[str, str],
) -> list[DiscoveryInstance]:
    """The instances that DiscoverInstances selects, in the order given.

    Args: health: HEALTHY, UNHEALTHY, ALL or HEALTHY_OR_ELSE_ALL; of no meaning without a health check.
    """
    found = [each for each in instances if query.items() <= each.attributes.items()]
    if service.custom_health and health != "ALL":
        wanted = Health.UNHEALTHY if health == "UNHEALTHY" else Health.HEALTHY
        of_that_health = [each for each in found if each.health is wanted]
        if of_that_health or health != "HEALTHY_OR_ELSE_ALL":
            found = of_that_health
    preferred = [each for each in found if optional.items() <= each.attributes.items()]
    return preferred or found


def same_request(one: Namespace | DiscoveryService, other: Namespace | DiscoveryService) -> bool:
    """Whether both were made by the same request, sent twice."""
    if not one.creator_request_id or one.creator_request_id != other.creator_request_id:
        return False
    return _asked(one) == _asked(other)


def _asked(each: Namespace | DiscoveryService) -> Namespace | DiscoveryService:
    if isinstance(each, Namespace):
        return replace(each, id="", http_name="", hosted_zone_id="", created_at=None)
    return replace(each, id="", revision=0, attributes={}, created_at=None)


def _is_address(text: str, version: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> bool:
    try:
        version(text)
    except ValueError:
        return False
    return True


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message)
