"""A resource by its id, of the account and region that ask, or EC2's error for one that is not there."""

from typing import Any, TypeVar

from portside.aws.service import RequestContext, ServiceError
from portside.domain.kind import Kind
from portside.domain.record import Record, Scope
from portside.domain.table import (
    EBS_SNAPSHOT,
    EBS_VOLUME,
    ELASTIC_ADDRESS,
    ENI,
    INSTANCE,
    INTERNET_GATEWAY,
    NAT_GATEWAY,
    NETWORK_ACL,
    ROUTE_TABLE,
    SUBNET,
    VPC,
)
from portside.store.interface import Store

T = TypeVar("T", bound=Record)

_WORDS: dict[str, tuple[str, str]] = {
    VPC.name: ("InvalidVpcID.NotFound", "The vpc ID '{}' does not exist"),
    SUBNET.name: ("InvalidSubnetID.NotFound", "The subnet ID '{}' does not exist"),
    ROUTE_TABLE.name: ("InvalidRouteTableID.NotFound", "The routeTable ID '{}' does not exist"),
    INTERNET_GATEWAY.name: ("InvalidInternetGatewayID.NotFound", "The internetGateway ID '{}' does not exist"),
    NAT_GATEWAY.name: ("NatGatewayNotFound", "The Nat Gateway {} was not found"),
    NETWORK_ACL.name: ("InvalidNetworkAclID.NotFound", "The networkAcl ID '{}' does not exist"),
    ELASTIC_ADDRESS.name: ("InvalidAllocationID.NotFound", "The allocation ID '{}' does not exist"),
    INSTANCE.name: ("InvalidInstanceID.NotFound", "The instance ID '{}' does not exist"),
    EBS_VOLUME.name: ("InvalidVolume.NotFound", "The volume '{}' does not exist."),
    EBS_SNAPSHOT.name: ("InvalidSnapshot.NotFound", "The snapshot '{}' does not exist."),
    ENI.name: ("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '{}' does not exist"),
}


def scope_of(context: RequestContext) -> Scope:
    return Scope(account=context.account, region=context.region)


def found(store: Store, context: RequestContext, kind: Kind[T], resource_id: str | None) -> T:
    """The record. Raises: ServiceError, in EC2's words."""
    record = store.get(kind, context.prefix + (resource_id or ""))
    if record is None:
        raise not_found(kind, resource_id or "")
    return record


def not_found(kind: Kind[Any], resource_id: str) -> ServiceError:
    code, words = _WORDS[kind.name]
    return ServiceError(code, words.format(resource_id))


def asked(store: Store, context: RequestContext, kind: Kind[Any], ids: list[str] | None) -> list[Any]:
    """Those named, or all. Raises: ServiceError for one that is not there."""
    if not ids:
        return list(store.scan(kind, context.prefix))
    return [found(store, context, kind, each) for each in dict.fromkeys(ids)]


def repeated(store: Store, context: RequestContext, kind: Kind[Any], token: str | None) -> Any:
    """What an earlier request with this client token made, or None."""
    if not token:
        return None
    return next((each for each in store.scan(kind, context.prefix) if each.client_token == token), None)


def dependency(message: str) -> ServiceError:
    return ServiceError("DependencyViolation", message)
