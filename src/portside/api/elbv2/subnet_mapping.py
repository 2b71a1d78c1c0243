"""Where a load balancer stands: subnets, and the addresses that a Network Load Balancer is to have in them."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portside.api.elbv2 import error
from portside.aws.service import Params, ServiceError
from portside.domain import vpc_rule
from portside.domain.load_balancer import LoadBalancer, ZoneMapping
from portside.domain.record import Scope
from portside.domain.table import ELASTIC_ADDRESS, ENI
from portside.domain.vpc import ElasticAddress, Subnet
from portside.store.interface import Store


@dataclass(frozen=True)
class Wanted:
    """What is asked for by subnet id: an address inside the VPC, or the allocation of an Elastic one."""

    addresses: dict[str, str] = field(default_factory=dict)
    allocations: dict[str, str] = field(default_factory=dict)


def wanted(params: Params, kind: str, scheme: str) -> Wanted:
    """Raises: ServiceError for what the kind of load balancer or its scheme can not have."""
    found = Wanted()
    for mapping in params.get("SubnetMappings", ()):
        named = set(mapping) - {"SubnetId"}
        if not named:
            continue
        if kind != "network":
            raise error.invalid("Addresses can be specified for Network Load Balancers only")
        if "AllocationId" in named and scheme == "internal":
            raise error.invalid("Elastic IP addresses cannot be specified for internal load balancers")
        if "PrivateIPv4Address" in named and scheme != "internal":
            raise error.invalid("Private IPv4 addresses can be specified for internal load balancers only")
        if others := sorted(named - {"PrivateIPv4Address", "AllocationId"}):
            raise error.unsupported(f"The member {', '.join(others)} of a subnet mapping")
        if "AllocationId" in named:
            found.allocations[_subnet_id(mapping)] = mapping["AllocationId"]
        else:
            found.addresses[_subnet_id(mapping)] = mapping["PrivateIPv4Address"]
    return found


def _subnet_id(mapping: Mapping[str, Any]) -> str:
    if not mapping.get("SubnetId"):
        raise error.invalid("A subnet ID must be specified in a subnet mapping")
    return str(mapping["SubnetId"])


def check_free(store: Store, scope: Scope, subnets: list[Subnet], static: Mapping[str, str]) -> None:
    """Each address is one that an interface in its subnet may have, and nobody's."""
    for subnet in subnets:
        address = static.get(subnet.id)
        if address is None:
            continue
        try:
            number = int(ipaddress.IPv4Address(address))
        except ValueError:
            raise error.invalid(f"'{address}' is not a valid IPv4 address") from None
        if vpc_rule.next_address(subnet.cidr_block, frozenset(), number - 1) != number:
            raise ServiceError(
                "InvalidConfigurationRequestException",
                f"The private IPv4 address '{address}' is not in the range of the subnet '{subnet.id}'",
            )
        if any(
            address in (eni.address, *eni.secondary_addresses) and eni.subnet_id == subnet.id
            for eni in store.scan(ENI, scope.prefix)
        ):
            raise ServiceError("ResourceInUseException", f"The private IPv4 address '{address}' is in use")


def elastic_addresses(
    store: Store, scope: Scope, subnets: list[Subnet], allocations: Mapping[str, str]
) -> dict[str, ElasticAddress]:
    """By subnet id: the Elastic addresses that are asked for.

    Raises: ServiceError for one that is not there, or is somebody's already."""
    found: dict[str, ElasticAddress] = {}
    for subnet in subnets:
        allocation_id = allocations.get(subnet.id)
        if allocation_id is None:
            continue
        address = store.get(ELASTIC_ADDRESS, scope.prefix + allocation_id)
        if address is None:
            raise ServiceError("AllocationIdNotFoundException", f"The allocation ID '{allocation_id}' does not exist")
        if address.is_in_use or address in found.values():
            raise ServiceError("ResourceInUseException", "The allocation IDs are not available for use")
        found[subnet.id] = address
    return found


def zone_mappings(
    subnets: list[Subnet], static: Mapping[str, str], elastic: Mapping[str, ElasticAddress]
) -> tuple[ZoneMapping, ...]:
    return tuple(
        ZoneMapping(
            zone=each.zone,
            subnet_id=each.id,
            static_address=static.get(each.id, ""),
            allocation_id=elastic[each.id].id if each.id in elastic else "",
            public_address=elastic[each.id].public_address if each.id in elastic else "",
        )
        for each in subnets
    )


def kept_zones(balancer: LoadBalancer, subnets: list[Subnet], asked: Wanted) -> dict[str, ZoneMapping]:
    """By subnet id: the zones that stay, whose addresses can not be changed."""
    kept = {zone.subnet_id: zone for zone in balancer.zones if zone.subnet_id in {subnet.id for subnet in subnets}}
    for subnet_id, zone in kept.items():
        same = asked.addresses.get(subnet_id, zone.address) == zone.address
        if not same or asked.allocations.get(subnet_id, zone.allocation_id) != zone.allocation_id:
            raise ServiceError(
                "InvalidConfigurationRequestException",
                f"The address of the load balancer in the subnet '{subnet_id}' cannot be changed",
            )
    return kept
