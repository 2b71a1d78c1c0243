"""Internet gateways. What leads out of a VPC is a route to one that is attached to it."""

from typing import Any

from portside.api.ec2.default_network import new_id
from portside.api.ec2.lookup import asked, dependency, found, scope_of
from portside.api.ec2.selection import answer, page, selected, tag_list, tags_for
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain.clock import Clock, Ids
from portside.domain.record import replace
from portside.domain.table import ENI, INTERNET_GATEWAY, VPC
from portside.domain.vpc import InternetGateway
from portside.store.interface import ABSENT, Delete, Put, Store


class InternetGatewayHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateInternetGateway": self.create,
            "DeleteInternetGateway": self.delete,
            "AttachInternetGateway": self.attach,
            "DetachInternetGateway": self.detach,
            "DescribeInternetGateways": self.describe,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        gateway = InternetGateway(
            scope=scope_of(context),
            id=new_id(self._ids, "igw"),
            tags=tags_for(params, "internet-gateway"),
            created_at=self._clock.now(),
        )
        self._store.transact(Put(INTERNET_GATEWAY, gateway, expect=ABSENT))
        return {"InternetGateway": _to_wire(gateway)}

    def delete(self, context: RequestContext, params: Params) -> Result:
        gateway = found(self._store, context, INTERNET_GATEWAY, params.get("InternetGatewayId"))
        if gateway.vpc_id is not None:
            raise dependency(f"The internetGateway '{gateway.id}' has dependencies and cannot be deleted.")
        self._store.transact(Delete(INTERNET_GATEWAY, INTERNET_GATEWAY.key(gateway)))
        return {}

    def attach(self, context: RequestContext, params: Params) -> Result:
        gateway = found(self._store, context, INTERNET_GATEWAY, params.get("InternetGatewayId"))
        vpc = found(self._store, context, VPC, params.get("VpcId"))
        if gateway.vpc_id is not None:
            raise ServiceError(
                "Resource.AlreadyAssociated", f"resource {gateway.id} is already attached to network {gateway.vpc_id}"
            )
        if self._store.find(INTERNET_GATEWAY, "vpc", vpc.id):
            raise ServiceError("InvalidParameterValue", f"Network {vpc.id} already has an internet gateway attached")
        self._store.transact(Put(INTERNET_GATEWAY, replace(gateway, vpc_id=vpc.id)))
        return {}

    def detach(self, context: RequestContext, params: Params) -> Result:
        gateway = found(self._store, context, INTERNET_GATEWAY, params.get("InternetGatewayId"))
        vpc = found(self._store, context, VPC, params.get("VpcId"))
        if gateway.vpc_id != vpc.id:
            raise ServiceError("Gateway.NotAttached", f"resource {gateway.id} is not attached to network {vpc.id}")
        if any(eni.public_address for eni in self._store.find(ENI, "vpc", vpc.id)):
            raise dependency(
                f"Network {vpc.id} has some mapped public address(es). Please unmap those public address(es) before "
                "detaching the gateway."
            )
        self._store.transact(Put(INTERNET_GATEWAY, replace(gateway, vpc_id=None)))
        return {}

    def describe(self, context: RequestContext, params: Params) -> Result:
        gateways = asked(self._store, context, INTERNET_GATEWAY, params.get("InternetGatewayIds"))
        rows, token = page(selected(gateways, params, _FIELDS, lambda g: g.tags), params, lambda g: g.id)
        return answer("InternetGateways", [_to_wire(each) for each in rows], token)


def _to_wire(gateway: InternetGateway) -> dict[str, Any]:
    attached = [{"State": "available", "VpcId": gateway.vpc_id}] if gateway.vpc_id is not None else []
    return {
        "InternetGatewayId": gateway.id,
        "OwnerId": gateway.scope.account,
        "Attachments": attached,
        "Tags": tag_list(gateway.tags),
    }


_FIELDS: dict[str, Any] = {
    "internet-gateway-id": lambda g: [g.id],
    "attachment.vpc-id": lambda g: [g.vpc_id] if g.vpc_id else [],
    "attachment.state": lambda g: ["available"] if g.vpc_id else [],
    "owner-id": lambda g: [g.scope.account],
}
