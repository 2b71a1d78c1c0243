"""Route tables and their routes, which the VPC's router has in the kernel."""

from typing import Any

from portside.api.ec2 import error
from portside.api.ec2.default_network import new_id
from portside.api.ec2.lookup import asked, dependency, found, not_found, repeated, scope_of
from portside.api.ec2.selection import answer, flag, page, selected, tag_list, tags_for
from portside.api.ec2.unsupported import refuse_others
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import vpc_route, vpc_rule
from portside.domain.clock import Clock, Ids
from portside.domain.record import replace
from portside.domain.table import INTERNET_GATEWAY, NAT_GATEWAY, ROUTE_TABLE, SUBNET, VPC
from portside.domain.vpc import NatGatewayState, Route, RouteTable, RouteTableAssociation, Vpc
from portside.store.interface import ABSENT, Delete, Put, Store

_MOST_ROUTES = 500
"""https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html"""


class RouteTableHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateRouteTable": self.create,
            "DeleteRouteTable": self.delete,
            "DescribeRouteTables": self.describe,
            "CreateRoute": self.create_route,
            "ReplaceRoute": self.replace_route,
            "DeleteRoute": self.delete_route,
            "AssociateRouteTable": self.associate,
            "ReplaceRouteTableAssociation": self.replace_association,
            "DisassociateRouteTable": self.disassociate,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        vpc = found(self._store, context, VPC, params.get("VpcId"))
        token = params.get("ClientToken") or ""
        table = repeated(self._store, context, ROUTE_TABLE, token)
        if table is None:
            table = RouteTable(
                scope=scope_of(context),
                id=new_id(self._ids, "rtb"),
                vpc_id=vpc.id,
                client_token=token,
                tags=tags_for(params, "route-table"),
                created_at=self._clock.now(),
            )
            self._store.transact(Put(ROUTE_TABLE, table, expect=ABSENT))
        return {"RouteTable": self._to_wire(table)} | ({"ClientToken": token} if token else {})

    def delete(self, context: RequestContext, params: Params) -> Result:
        table = found(self._store, context, ROUTE_TABLE, params.get("RouteTableId"))
        if table.associations:
            raise dependency(f"The routeTable '{table.id}' has dependencies and cannot be deleted.")
        self._store.transact(Delete(ROUTE_TABLE, ROUTE_TABLE.key(table)))
        return {}

    def describe(self, context: RequestContext, params: Params) -> Result:
        tables = asked(self._store, context, ROUTE_TABLE, params.get("RouteTableIds"))
        wires = {table.id: self._to_wire(table) for table in tables}
        fields = {name: _field(wires, values) for name, values in _FIELDS.items()}
        rows, token = page(selected(tables, params, fields, lambda t: t.tags), params, lambda t: t.id)
        return answer("RouteTables", [wires[each.id] for each in rows], token)

    # --- routes

    def create_route(self, context: RequestContext, params: Params) -> Result:
        table, vpc = self._table_and_vpc(context, params)
        route = self._route(context, "CreateRoute", params, vpc)
        present = next((each for each in table.routes if each.destination == route.destination), None)
        if present == route:
            return {"Return": True}
        if present is not None:
            raise ServiceError("RouteAlreadyExists", f"The route identified by {route.destination} already exists.")
        if len(table.routes) >= _MOST_ROUTES:
            raise ServiceError("RouteLimitExceeded", f"The route table {table.id} has reached its limit of routes.")
        self._store.transact(Put(ROUTE_TABLE, replace(table, routes=(*table.routes, route))))
        return {"Return": True}

    def replace_route(self, context: RequestContext, params: Params) -> Result:
        table, vpc = self._table_and_vpc(context, params)
        route = self._route(context, "ReplaceRoute", params, vpc)
        if all(each.destination != route.destination for each in table.routes):
            raise _no_route(
                "There is no route defined for '{}' in the route table. Use CreateRoute instead.", route.destination
            )
        routes = tuple(route if each.destination == route.destination else each for each in table.routes)
        self._store.transact(Put(ROUTE_TABLE, replace(table, routes=routes)))
        return {}

    def delete_route(self, context: RequestContext, params: Params) -> Result:
        refuse_others("DeleteRoute", params, "RouteTableId", "DestinationCidrBlock")
        table, vpc = self._table_and_vpc(context, params)
        destination = _destination(params)
        if destination in vpc_route.cidr_blocks(vpc):
            raise error.invalid_value(f"cannot remove local route {destination} in route table {table.id}")
        left = tuple(each for each in table.routes if each.destination != destination)
        if left == table.routes:
            raise _no_route("no route with destination-cidr-block {} in route table " + table.id, destination)
        self._store.transact(Put(ROUTE_TABLE, replace(table, routes=left)))
        return {}

    def _table_and_vpc(self, context: RequestContext, params: Params) -> tuple[RouteTable, Vpc]:
        table = found(self._store, context, ROUTE_TABLE, params.get("RouteTableId"))
        return table, found(self._store, context, VPC, table.vpc_id)

    def _route(self, context: RequestContext, operation: str, params: Params, vpc: Vpc) -> Route:
        """The route asked for. Raises: ServiceError for a target that is not there, or of a kind that is not here."""
        refuse_others(operation, params, "RouteTableId", "DestinationCidrBlock", "GatewayId", "NatGatewayId")
        destination = _destination(params)
        if vpc_route.is_local(vpc, destination):
            raise error.invalid_value(
                f"The destination CIDR block {destination} is equal to or more specific than one of this VPC's CIDR "
                "blocks. This route can target only an interface or an instance."
            )
        gateway_id, nat_id = params.get("GatewayId"), params.get("NatGatewayId")
        if (gateway_id is None) == (nat_id is None):
            raise ServiceError(
                "InvalidParameterCombination" if gateway_id else "MissingParameter",
                "The request must contain exactly one of gatewayId, natGatewayId, networkInterfaceId, "
                "vpcPeeringConnectionId, egressOnlyInternetGatewayId, transitGatewayId, localGatewayId, "
                "carrierGatewayId, vpcEndpointId or instanceId",
            )
        if gateway_id is not None:
            gateway = self._store.get(INTERNET_GATEWAY, context.prefix + gateway_id)
            if gateway is None:
                raise ServiceError("InvalidGatewayID.NotFound", f"The gateway ID '{gateway_id}' does not exist")
            if gateway.vpc_id != vpc.id:
                raise error.invalid_value(
                    f"route table for {vpc.id} and network gateway {gateway.id} belong to different networks"
                )
            return Route(destination=destination, gateway_id=gateway.id)
        nat = self._store.get(NAT_GATEWAY, context.prefix + (nat_id or ""))
        if nat is None or nat.state in (NatGatewayState.DELETING, NatGatewayState.DELETED):
            raise ServiceError("InvalidNatGatewayID.NotFound", f"The natGateway ID '{nat_id}' does not exist")
        if nat.vpc_id != vpc.id:
            raise error.invalid_value(f"route table for {vpc.id} and {nat.id} belong to different networks")
        return Route(destination=destination, nat_gateway_id=nat.id)

    # --- associations

    def associate(self, context: RequestContext, params: Params) -> Result:
        refuse_others("AssociateRouteTable", params, "RouteTableId", "SubnetId")
        table = found(self._store, context, ROUTE_TABLE, params.get("RouteTableId"))
        if not params.get("SubnetId"):
            raise error.missing_parameter("subnetId")
        subnet = found(self._store, context, SUBNET, params["SubnetId"])
        if subnet.vpc_id != table.vpc_id:
            raise error.invalid_value(f"Route table {table.id} and subnet {subnet.id} belong to different networks")
        for other in self._store.find(ROUTE_TABLE, "vpc", table.vpc_id):
            for each in other.associations:
                if each.subnet_id == subnet.id and other.id == table.id:
                    return {"AssociationId": each.id, "AssociationState": {"State": "associated"}}
                if each.subnet_id == subnet.id:
                    raise ServiceError(
                        "Resource.AlreadyAssociated",
                        f"the specified association for route table {table.id} conflicts with an existing association",
                    )
        made = RouteTableAssociation(id=new_id(self._ids, "rtbassoc"), subnet_id=subnet.id)
        self._store.transact(Put(ROUTE_TABLE, replace(table, associations=(*table.associations, made))))
        return {"AssociationId": made.id, "AssociationState": {"State": "associated"}}

    def replace_association(self, context: RequestContext, params: Params) -> Result:
        before, association = self._association(context, params)
        table = found(self._store, context, ROUTE_TABLE, params.get("RouteTableId"))
        if table.vpc_id != before.vpc_id:
            raise error.invalid_value(
                f"Route table {table.id} and network {before.vpc_id} belong to different networks"
            )
        made = replace(association, id=new_id(self._ids, "rtbassoc"))
        left = tuple(each for each in before.associations if each is not association)
        if table.id == before.id:
            self._store.transact(Put(ROUTE_TABLE, replace(table, associations=(*left, made))))
        else:
            self._store.transact(
                Put(ROUTE_TABLE, replace(before, associations=left)),
                Put(ROUTE_TABLE, replace(table, associations=(*table.associations, made))),
            )
        return {"NewAssociationId": made.id, "AssociationState": {"State": "associated"}}

    def disassociate(self, context: RequestContext, params: Params) -> Result:
        table, association = self._association(context, params)
        if association.subnet_id is None:
            raise error.invalid_value(f"cannot disassociate the main route table association {association.id}")
        left = tuple(each for each in table.associations if each is not association)
        self._store.transact(Put(ROUTE_TABLE, replace(table, associations=left)))
        return {}

    def _association(self, context: RequestContext, params: Params) -> tuple[RouteTable, RouteTableAssociation]:
        wanted = params.get("AssociationId") or ""
        for table in self._store.scan(ROUTE_TABLE, context.prefix):
            for each in table.associations:
                if each.id == wanted:
                    return table, each
        raise ServiceError("InvalidAssociationID.NotFound", f"The association ID '{wanted}' does not exist")

    def _to_wire(self, table: RouteTable) -> dict[str, Any]:
        vpc = self._store.get(VPC, table.scope.prefix + table.vpc_id)
        if vpc is None:
            raise not_found(VPC, table.vpc_id)
        gateways = {each.id: each for each in self._store.find(INTERNET_GATEWAY, "vpc", vpc.id)}
        nats = {each.id: each for each in self._store.find(NAT_GATEWAY, "vpc", vpc.id)}
        routes = [
            {
                "DestinationCidrBlock": block,
                "GatewayId": "local",
                "Origin": "CreateRouteTable",
                "State": "active",
            }
            for block in vpc_route.cidr_blocks(vpc)
        ]
        for route in table.routes:
            is_lost = vpc_route.resolved(route, vpc.id, gateways, nats).target is vpc_route.Target.BLACKHOLE
            target = (
                {"GatewayId": route.gateway_id} if route.gateway_id else {"NatGatewayId": route.nat_gateway_id or ""}
            )
            routes.append(
                {
                    "DestinationCidrBlock": route.destination,
                    **target,
                    "Origin": "CreateRoute",
                    "State": "blackhole" if is_lost else "active",
                }
            )
        return {
            "RouteTableId": table.id,
            "VpcId": table.vpc_id,
            "OwnerId": table.scope.account,
            "Routes": routes,
            "Associations": [
                {
                    "Main": each.subnet_id is None,
                    "RouteTableAssociationId": each.id,
                    "RouteTableId": table.id,
                    **({"SubnetId": each.subnet_id} if each.subnet_id is not None else {}),
                    "AssociationState": {"State": "associated"},
                }
                for each in table.associations
            ],
            "PropagatingVgws": [],
            "Tags": tag_list(table.tags),
        }


def _destination(params: Params) -> str:
    text = params.get("DestinationCidrBlock")
    if not text:
        raise error.missing_parameter("destinationCidrBlock")
    try:
        return vpc_rule.normal_cidr(text)
    except vpc_rule.Malformed:
        raise error.invalid_value(
            f"Value ({text}) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block."
        ) from None


def _no_route(words: str, destination: str) -> ServiceError:
    return ServiceError("InvalidRoute.NotFound", words.format(destination))


def _field(wires: dict[str, dict[str, Any]], values: Any) -> Any:
    return lambda table: values(wires[table.id])


def _of_routes(member: str) -> Any:
    return lambda wire: [each[member] for each in wire["Routes"] if each.get(member)]


def _of_associations(member: str) -> Any:
    return lambda wire: [each[member] for each in wire["Associations"] if each.get(member)]


_FIELDS: dict[str, Any] = {
    "route-table-id": lambda w: [w["RouteTableId"]],
    "vpc-id": lambda w: [w["VpcId"]],
    "owner-id": lambda w: [w["OwnerId"]],
    "association.main": lambda w: (
        [text for each in w["Associations"] for text in flag(each["Main"])] if w["Associations"] else ["false"]
    ),
    "association.route-table-association-id": _of_associations("RouteTableAssociationId"),
    "association.route-table-id": _of_associations("RouteTableId"),
    "association.subnet-id": _of_associations("SubnetId"),
    "association.gateway-id": lambda w: [],
    "route.destination-cidr-block": _of_routes("DestinationCidrBlock"),
    "route.gateway-id": _of_routes("GatewayId"),
    "route.nat-gateway-id": _of_routes("NatGatewayId"),
    "route.origin": _of_routes("Origin"),
    "route.state": _of_routes("State"),
    "route.destination-ipv6-cidr-block": lambda w: [],
    "route.destination-prefix-list-id": lambda w: [],
    "route.egress-only-internet-gateway-id": lambda w: [],
    "route.instance-id": lambda w: [],
    "route.transit-gateway-id": lambda w: [],
    "route.vpc-peering-connection-id": lambda w: [],
}
