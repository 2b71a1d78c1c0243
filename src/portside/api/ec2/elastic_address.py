"""Elastic addresses: public addresses that an account keeps, and the interfaces that have them."""

import ipaddress
from typing import Any

from portside.api.ec2 import error
from portside.api.ec2.default_network import new_id
from portside.api.ec2.lookup import asked, found, not_found, scope_of
from portside.api.ec2.selection import answer, page, selected, tag_list, tags_for
from portside.api.ec2.unsupported import refuse_others
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import elastic_address, vpc_rule
from portside.domain.clock import Clock, Ids
from portside.domain.table import ELASTIC_ADDRESS, ENI, INSTANCE, INTERNET_GATEWAY
from portside.domain.vpc import ElasticAddress, Eni
from portside.store.interface import ABSENT, Delete, Put, Store, Write

LIMIT = 100
"""Addresses of an account in a region; AWS begins at 5, and raises that on request."""


class ElasticAddressHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids, public_block: str) -> None:
        """Args: public_block: the public addresses that there are."""
        self._store, self._clock, self._ids, self._block = store, clock, ids, public_block

    def handlers(self) -> dict[str, Handler]:
        return {
            "AllocateAddress": self.allocate,
            "ReleaseAddress": self.release,
            "AssociateAddress": self.associate,
            "DisassociateAddress": self.disassociate,
            "DescribeAddresses": self.describe,
            "DescribeAddressesAttribute": self.describe_attribute,
        }

    def allocate(self, context: RequestContext, params: Params) -> Result:
        refuse_others("AllocateAddress", params, "Domain", "PublicIpv4Pool", "NetworkBorderGroup")
        if (params.get("Domain") or "vpc") != "vpc":
            raise error.invalid_value(f"Value ({params['Domain']}) for parameter domain is invalid.")
        if (params.get("PublicIpv4Pool") or "amazon") != "amazon":
            raise ServiceError("InvalidIpv4PoolId.NotFound", f"The pool ID '{params['PublicIpv4Pool']}' does not exist")
        if (params.get("NetworkBorderGroup") or context.region) != context.region:
            raise error.invalid_value(
                f"Value ({params['NetworkBorderGroup']}) for parameter networkBorderGroup is invalid."
            )
        if sum(1 for _each in self._store.scan(ELASTIC_ADDRESS, context.prefix)) >= LIMIT:
            raise _limit()
        address = ElasticAddress(
            scope=scope_of(context),
            id=new_id(self._ids, "eipalloc"),
            public_address=self._free(),
            tags=tags_for(params, "elastic-ip"),
            created_at=self._clock.now(),
        )
        self._store.transact(Put(ELASTIC_ADDRESS, address, expect=ABSENT))
        return {
            "PublicIp": address.public_address,
            "AllocationId": address.id,
            "PublicIpv4Pool": "amazon",
            "NetworkBorderGroup": context.region,
            "Domain": "vpc",
        }

    def release(self, context: RequestContext, params: Params) -> Result:
        refuse_others("ReleaseAddress", params, "AllocationId", "PublicIp", "NetworkBorderGroup")
        address = self._named(context, params)
        if address.is_in_use:
            raise ServiceError("InvalidIPAddress.InUse", f"Address {address.public_address} is in use.")
        self._store.transact(Delete(ELASTIC_ADDRESS, ELASTIC_ADDRESS.key(address)))
        return {}

    def associate(self, context: RequestContext, params: Params) -> Result:
        address = self._named(context, params)
        eni = self._target(context, params)
        if eni.requester_managed or address.load_balancer_arn:
            raise ServiceError("AuthFailure", "You do not have permission to access the specified resource.")
        if (params.get("PrivateIpAddress") or eni.address) != eni.address:
            raise ServiceError(
                "UnsupportedOperation", "Portside gives public addresses to the primary address of an interface only."
            )
        if not self._store.find(INTERNET_GATEWAY, "vpc", eni.vpc_id):
            raise ServiceError("Gateway.NotAttached", f"Network {eni.vpc_id} is not attached to any internet gateway")
        if address.eni_id == eni.id:
            return {"AssociationId": address.association_id}
        if params.get("AllowReassociation") is False and (address.eni_id or eni.allocation_id):
            what = f"resource {address.id} is already associated with associate-id {address.association_id}"
            raise ServiceError("Resource.AlreadyAssociated", what)
        writes: list[Write] = self._freed(address)
        for other in self._store.find(ELASTIC_ADDRESS, "eni", eni.id):
            writes.append(Put(ELASTIC_ADDRESS, elastic_address.disassociated(other)))
        given, has = elastic_address.associated(address, eni, new_id(self._ids, "eipassoc"))
        self._store.transact(*writes, Put(ELASTIC_ADDRESS, given), Put(ENI, has))
        return {"AssociationId": given.association_id}

    def disassociate(self, context: RequestContext, params: Params) -> Result:
        wanted, public = params.get("AssociationId"), params.get("PublicIp")
        if not wanted and not public:
            raise error.missing_parameter("associationId")
        address = next(
            (
                each
                for each in self._store.scan(ELASTIC_ADDRESS, context.prefix)
                if each.eni_id and (each.association_id == wanted if wanted else each.public_address == public)
            ),
            None,
        )
        if address is None:
            raise ServiceError(
                "InvalidAssociationID.NotFound", f"The association ID '{wanted or public}' does not exist"
            )
        eni = self._store.get(ENI, context.prefix + address.eni_id)
        if eni is not None and eni.requester_managed:
            raise ServiceError("AuthFailure", "You do not have permission to access the specified resource.")
        self._store.transact(*self._freed(address))
        return {}

    def describe(self, context: RequestContext, params: Params) -> Result:
        addresses: list[ElasticAddress] = asked(self._store, context, ELASTIC_ADDRESS, params.get("AllocationIds"))
        named = set(params.get("PublicIps") or ())
        missing = named - {each.public_address for each in addresses}
        if missing:
            raise _address_not_found(min(missing))
        addresses = [each for each in addresses if not named or each.public_address in named]
        wires = {each.id: self._to_wire(each) for each in addresses}
        fields = {name: _field(wires, member) for name, member in _FIELDS.items()}
        rows, token = page(selected(addresses, params, fields, lambda a: a.tags), params, lambda a: a.id)
        return answer("Addresses", [wires[each.id] for each in rows], token)

    def describe_attribute(self, context: RequestContext, params: Params) -> Result:
        """No address has a name of its own: they can not be given one."""
        asked(self._store, context, ELASTIC_ADDRESS, params.get("AllocationIds"))
        if (params.get("Attribute") or "domain-name") != "domain-name":
            raise error.invalid_value(f"Value ({params['Attribute']}) for parameter attribute is invalid.")
        return {"Addresses": []}

    def _free(self) -> str:
        """A public address that nobody on this machine has. Raises: ServiceError."""
        used = {each.public_address for each in self._store.scan(ELASTIC_ADDRESS)}
        used |= {each.public_address for each in self._store.scan(ENI) if each.public_address is not None}
        numbers = {int(ipaddress.IPv4Address(each)) for each in used}
        # From the end of the block: interfaces get theirs from its beginning, and rest them.
        network = ipaddress.IPv4Network(self._block)
        last, first = int(network.broadcast_address) - 1, int(network.network_address) + vpc_rule.RESERVED_FIRST
        for number in range(last, first - 1, -1):
            if number not in numbers:
                return str(ipaddress.IPv4Address(number))
        raise _limit()

    def _freed(self, address: ElasticAddress) -> list[Write]:
        """The address without an interface, and the interface without it."""
        writes: list[Write] = []
        if address.eni_id:
            writes.append(Put(ELASTIC_ADDRESS, elastic_address.disassociated(address)))
            eni = self._store.get(ENI, address.scope.prefix + address.eni_id)
            if eni is not None:
                writes.append(Put(ENI, elastic_address.without(eni)))
        return writes

    def _named(self, context: RequestContext, params: Params) -> ElasticAddress:
        if params.get("AllocationId"):
            return found(self._store, context, ELASTIC_ADDRESS, params["AllocationId"])
        public = params.get("PublicIp")
        if not public:
            raise error.missing_parameter("allocationId")
        for each in self._store.scan(ELASTIC_ADDRESS, context.prefix):
            if each.public_address == public:
                return each
        raise _address_not_found(public)

    def _target(self, context: RequestContext, params: Params) -> Eni:
        if params.get("NetworkInterfaceId"):
            return found(self._store, context, ENI, params["NetworkInterfaceId"])
        instance_id = params.get("InstanceId")
        if not instance_id:
            raise error.missing_parameter("instanceId")
        instance = self._store.get(INSTANCE, context.prefix + instance_id)
        if instance is None:
            raise ServiceError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
        eni = self._store.get(ENI, context.prefix + instance.eni_id)
        if eni is None:
            raise not_found(ENI, instance.eni_id)
        return eni

    def _to_wire(self, address: ElasticAddress) -> dict[str, Any]:
        wire: dict[str, Any] = {
            "PublicIp": address.public_address,
            "AllocationId": address.id,
            "Domain": "vpc",
            "PublicIpv4Pool": "amazon",
            "NetworkBorderGroup": address.scope.region,
            "Tags": tag_list(address.tags),
        }
        if address.eni_id:
            wire |= {
                "AssociationId": address.association_id,
                "NetworkInterfaceId": address.eni_id,
                "NetworkInterfaceOwnerId": address.scope.account,
                "PrivateIpAddress": address.private_address,
            }
            eni = self._store.get(ENI, address.scope.prefix + address.eni_id)
            if eni is not None and eni.instance_id:
                wire["InstanceId"] = eni.instance_id
        return wire


def _limit() -> ServiceError:
    return ServiceError("AddressLimitExceeded", "The maximum number of addresses has been reached.")


def _address_not_found(public: str) -> ServiceError:
    return ServiceError("InvalidAddress.NotFound", f"Address '{public}' not found.")


def _field(wires: dict[str, dict[str, Any]], member: str) -> Any:
    return lambda address: [wires[address.id][member]] if wires[address.id].get(member) else []


_FIELDS = {
    "allocation-id": "AllocationId",
    "association-id": "AssociationId",
    "domain": "Domain",
    "instance-id": "InstanceId",
    "network-border-group": "NetworkBorderGroup",
    "network-interface-id": "NetworkInterfaceId",
    "network-interface-owner-id": "NetworkInterfaceOwnerId",
    "private-ip-address": "PrivateIpAddress",
    "public-ip": "PublicIp",
}
