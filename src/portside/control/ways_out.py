"""Whether an interface's subnet leads to the world, by the records of its routes."""

from portside.domain import vpc_route
from portside.domain.record import Scope
from portside.domain.table import INTERNET_GATEWAY, NAT_GATEWAY, ROUTE_TABLE
from portside.domain.task.record import EniAttachment
from portside.domain.vpc_route import Target
from portside.store.interface import Store


class WaysOut:
    """Reads, and writes nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def missing(self, scope: Scope, eni: EniAttachment) -> str | None:
        """What is missing for the interface to reach the world, in words; None if nothing is."""
        return self._missing(scope, eni.vpc_id, eni.subnet_id, has_public=eni.public_address is not None)

    def _missing(self, scope: Scope, vpc_id: str, subnet_id: str, *, has_public: bool) -> str | None:
        table = vpc_route.table_of(self._store.find(ROUTE_TABLE, "vpc", vpc_id), subnet_id)
        route = vpc_route.default_target(table)
        if table is None or route is None:
            return f"route table {table.id if table else '-'} of {subnet_id} has no route to 0.0.0.0/0"
        gateways = {each.id: each for each in self._store.find(INTERNET_GATEWAY, "vpc", vpc_id)}
        nats = {each.id: each for each in self._store.find(NAT_GATEWAY, "vpc", vpc_id)}
        match vpc_route.resolved(route, vpc_id, gateways, nats).target:
            case Target.INTERNET:
                return None if has_public else f"{table.id} of {subnet_id} leads to {route.gateway_id}, no public IP"
            case Target.NAT:
                nat = nats[route.nat_gateway_id or ""]
                if nat.subnet_id == subnet_id:
                    return f"{nat.id} is in the subnet that it is to lead out of, {subnet_id}"
                return self._missing(scope, vpc_id, nat.subnet_id, has_public=bool(nat.public_address))
            case Target.BLACKHOLE:
                return f"route 0.0.0.0/0 of {table.id} of {subnet_id} is a black hole"
