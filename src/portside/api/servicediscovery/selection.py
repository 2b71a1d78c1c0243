"""Filters of ListNamespaces, ListServices and ListOperations: each lets through what any of its values matches, and all
must."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from portside.api.servicediscovery.error import invalid
from portside.domain import arn
from portside.domain.cloud_map import DiscoveryService, Namespace, Operation
from portside.domain.cloud_map_rule import operation_type, targets

T = TypeVar("T")
Selects = Callable[[T], bool]

_OWN: Final = "SELF"
_OPERATION_STATUS: Final = {"SUCCEED": "SUCCESS"}  # the documentation's word, and the API's


def namespaces(filters: Sequence[Mapping[str, Any]]) -> Selects[Namespace]:
    """Raises ServiceError: InvalidInput."""
    for each in filters:
        _check(each, ("EQ",) if each["Name"] == "RESOURCE_OWNER" else ("EQ", "BEGINS_WITH"))

    def text(name: str, namespace: Namespace) -> str:
        match name:
            case "TYPE":
                return type_of(namespace)
            case "NAME":
                return namespace.name
            case "HTTP_NAME":
                return namespace.http_name
            case _:
                return _OWN

    return lambda namespace: all(_matches(each, text(each["Name"], namespace)) for each in filters)


def services(filters: Sequence[Mapping[str, Any]]) -> Selects[DiscoveryService]:
    """Raises ServiceError: InvalidInput."""
    for each in filters:
        _check(each, ("EQ",))

    def matches(each: Mapping[str, Any], service: DiscoveryService) -> bool:
        if each["Name"] == "RESOURCE_OWNER":
            return _matches(each, _OWN)
        asked = each["Values"][0]
        return asked in (service.namespace_id, arn.discovery(service.scope, f"namespace/{service.namespace_id}"))

    return lambda service: all(matches(each, service) for each in filters)


def operations(filters: Sequence[Mapping[str, Any]]) -> Selects[Operation]:
    """Raises ServiceError: InvalidInput."""
    for each in filters:
        allowed = {"UPDATE_DATE": ("BETWEEN",), "STATUS": ("EQ", "IN"), "TYPE": ("EQ", "IN")}.get(each["Name"], ("EQ",))
        _check(each, allowed)

    def matches(each: Mapping[str, Any], operation: Operation) -> bool:
        values = [_OPERATION_STATUS.get(value, value) for value in each["Values"]]
        match each["Name"]:
            case "STATUS":
                return operation.status.value in values
            case "TYPE":
                return operation_type(operation.work) in values
            case "UPDATE_DATE":
                first, last = (_seconds(value) for value in values)
                return first <= operation.updated_at.timestamp() <= last
            case name:
                return targets(operation.work).get(name.removesuffix("_ID")) in values

    return lambda operation: all(matches(each, operation) for each in filters)


def type_of(namespace: Namespace) -> str:
    return "DNS_PRIVATE" if namespace.vpc_id else "HTTP"


def _check(each: Mapping[str, Any], allowed: Sequence[str]) -> None:
    condition = each.get("Condition") or allowed[0]
    if condition not in allowed:
        raise invalid(f"Condition {condition} is not supported for filter {each['Name']}.")
    wanted = {"BETWEEN": 2, "IN": None}.get(condition, 1)
    if not each["Values"] or (wanted is not None and len(each["Values"]) != wanted):
        raise invalid(f"Filter {each['Name']} takes {wanted or 'one or more'} value(s) with condition {condition}.")
    if condition == "BETWEEN":
        for value in each["Values"]:
            _seconds(value)


def _matches(each: Mapping[str, Any], text: str) -> bool:
    if each.get("Condition") == "BEGINS_WITH":
        return text.startswith(str(each["Values"][0]))
    return text in each["Values"]


def _seconds(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise invalid(f"{value} is not a time in seconds since 1970.") from None
