"""NAT gateways: asked for and asked to go; a loop makes them so."""

from typing import Any

from portside.api.ec2 import error
from portside.api.ec2.default_network import new_id
from portside.api.ec2.lookup import asked, found, not_found, repeated, scope_of
from portside.api.ec2.network_interface import chosen_address, new_interface
from portside.api.ec2.selection import answer, page, selected, tag_list, tags_for
from portside.api.ec2.unsupported import refuse_others, unsupported
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import elastic_address, nat_gateway_rule
from portside.domain.clock import Clock, Ids
from portside.domain.record import replace
from portside.domain.table import ELASTIC_ADDRESS, ENI, INTERNET_GATEWAY, NAT_GATEWAY, SUBNET
from portside.domain.vpc import NatGateway, NatGatewayState
from portside.store.interface import ABSENT, Put, Store, Write


class NatGatewayHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateNatGateway": self.create,
            "DeleteNatGateway": self.delete,
            "DescribeNatGateways": self.describe,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        supported = ("SubnetId", "AllocationId", "ClientToken", "ConnectivityType", "PrivateIpAddress")
        others = {name: value for name, value in params.items() if name != "AvailabilityMode" or value != "zonal"}
        refuse_others("CreateNatGateway", others, *supported)
        token = params.get("ClientToken") or ""
        nat = repeated(self._store, context, NAT_GATEWAY, token)
        if nat is None:
            nat = self._made(context, params, token)
        return {"NatGateway": _to_wire(nat)} | ({"ClientToken": token} if token else {})

    def _made(self, context: RequestContext, params: Params, token: str) -> NatGateway:
        kind = params.get("ConnectivityType") or "public"
        if kind not in ("public", "private"):
            raise unsupported("CreateNatGateway", f"ConnectivityType {kind}")
        subnet = found(self._store, context, SUBNET, params.get("SubnetId"))
        allocation_id = params.get("AllocationId")
        if kind == "public" and not allocation_id:
            raise error.missing_parameter("AllocationId")
        if kind == "private" and allocation_id:
            raise ServiceError(
                "InvalidParameterCombination", "An AllocationId can not be given for a private NAT gateway."
            )
        nat_id = new_id(self._ids, "nat")
        eni = new_interface(
            scope_of(context),
            self._ids,
            self._clock.now(),
            subnet,
            chosen_address(self._store, subnet, params.get("PrivateIpAddress")),
            description=f"Interface for NAT Gateway {nat_id}",
            owner=f"natgateway:{nat_id}",
            interface_type="nat_gateway",
        )
        nat = NatGateway(
            scope=eni.scope,
            id=nat_id,
            vpc_id=subnet.vpc_id,
            subnet_id=subnet.id,
            eni_id=eni.id,
            address=eni.address,
            client_token=token,
            tags=tags_for(params, "natgateway"),
            created_at=eni.created_at,
        )
        writes: list[Write] = []
        if allocation_id:
            address = found(self._store, context, ELASTIC_ADDRESS, allocation_id)
            if address.is_in_use:
                raise ServiceError(
                    "Resource.AlreadyAssociated",
                    f"Elastic IP address [{address.id}] is already associated",
                )
            if not self._store.find(INTERNET_GATEWAY, "vpc", subnet.vpc_id):
                raise ServiceError("Gateway.NotAttached", f"Network {subnet.vpc_id} has no Internet gateway attached")
            address, eni = elastic_address.associated(address, eni, new_id(self._ids, "eipassoc"))
            writes.append(Put(ELASTIC_ADDRESS, address))
            nat = replace(
                nat,
                public_address=address.public_address,
                allocation_id=address.id,
                association_id=address.association_id,
            )
        self._store.transact(*writes, Put(ENI, eni, expect=ABSENT), Put(NAT_GATEWAY, nat, expect=ABSENT))
        return nat

    def delete(self, context: RequestContext, params: Params) -> Result:
        nat = found(self._store, context, NAT_GATEWAY, params.get("NatGatewayId"))
        if nat.state is NatGatewayState.DELETED:
            raise not_found(NAT_GATEWAY, nat.id)
        gone = nat_gateway_rule.deleting(nat)
        if gone is not nat:
            self._store.transact(Put(NAT_GATEWAY, gone))
        return {"NatGatewayId": nat.id}

    def describe(self, context: RequestContext, params: Params) -> Result:
        nats = asked(self._store, context, NAT_GATEWAY, params.get("NatGatewayIds"))
        filters = {"Filters": params.get("Filter") or ()}
        rows, token = page(selected(nats, filters, _FIELDS, lambda n: n.tags), params, lambda n: n.id)
        return answer("NatGateways", [_to_wire(each) for each in rows], token)


def _to_wire(nat: NatGateway) -> dict[str, Any]:
    address: dict[str, Any] = {
        "NetworkInterfaceId": nat.eni_id,
        "PrivateIp": nat.address,
        "IsPrimary": True,
        "Status": "associating" if nat.state is NatGatewayState.PENDING else "succeeded",
    }
    if nat.public_address:
        address |= {
            "PublicIp": nat.public_address,
            "AllocationId": nat.allocation_id,
            "AssociationId": nat.association_id,
        }
    return {
        "NatGatewayId": nat.id,
        "VpcId": nat.vpc_id,
        "SubnetId": nat.subnet_id,
        "State": nat.state.value,
        "ConnectivityType": "public" if nat.public_address else "private",
        "CreateTime": nat.created_at,
        **({"DeleteTime": nat.deleted_at} if nat.deleted_at is not None else {}),
        "NatGatewayAddresses": [address],
        "Tags": tag_list(nat.tags),
    }


_FIELDS = {
    "nat-gateway-id": lambda n: [n.id],
    "state": lambda n: [n.state.value],
    "subnet-id": lambda n: [n.subnet_id],
    "vpc-id": lambda n: [n.vpc_id],
}
