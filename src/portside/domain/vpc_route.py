"""Routes: which table a subnet has, what its routes lead to, and what of them is a black hole. Pure."""

import ipaddress
from collections.abc import Iterable, Mapping
from enum import StrEnum

from portside.domain.record import Record
from portside.domain.vpc import InternetGateway, NatGateway, NatGatewayState, Route, RouteTable, Vpc

Block = ipaddress.IPv4Network


class Target(StrEnum):
    """Where a packet goes that a route matches."""

    INTERNET = "internet"
    """Out, as the interface's public address; lost for an interface that has none."""
    NAT = "nat"
    """To a NAT gateway."""
    BLACKHOLE = "blackhole"
    """Nowhere: the target is gone."""


class ResolvedRoute(Record, frozen=True, kw_only=True):
    """A route with what its target means now. `address`: the private one of the NAT gateway."""

    destination: str
    target: Target
    address: str = ""


def cidr_blocks(vpc: Vpc) -> tuple[str, ...]:
    """Every block of the VPC, the first one first."""
    return (vpc.cidr_block, *(each.cidr_block for each in vpc.further_cidr_blocks))


def default_target(table: RouteTable | None) -> Route | None:
    """The table's route to everywhere."""
    return next((each for each in table.routes if each.destination == "0.0.0.0/0"), None) if table else None


def is_local(vpc: Vpc, destination: str) -> bool:
    """Whether the destination lies within the VPC, where no route of a table leads elsewhere."""
    asked = Block(destination)
    return any(asked.subnet_of(Block(each)) for each in cidr_blocks(vpc))


def table_of(tables: Iterable[RouteTable], subnet_id: str) -> RouteTable | None:
    """The subnet's own table, or the VPC's main one."""
    main = None
    for table in tables:
        for association in table.associations:
            if association.subnet_id == subnet_id:
                return table
            if association.subnet_id is None:
                main = table
    return main


def resolved(
    route: Route, vpc_id: str, gateways: Mapping[str, InternetGateway], nats: Mapping[str, NatGateway]
) -> ResolvedRoute:
    """Args: gateways, nats: by id, those that are there."""
    if route.gateway_id is not None:
        gateway = gateways.get(route.gateway_id)
        if gateway is not None and gateway.vpc_id == vpc_id:
            return ResolvedRoute(destination=route.destination, target=Target.INTERNET)
    if route.nat_gateway_id is not None:
        nat = nats.get(route.nat_gateway_id)
        if nat is not None and nat.state in (NatGatewayState.PENDING, NatGatewayState.AVAILABLE):
            return ResolvedRoute(destination=route.destination, target=Target.NAT, address=nat.address)
    return ResolvedRoute(destination=route.destination, target=Target.BLACKHOLE)
