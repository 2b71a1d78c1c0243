"""Network interfaces: those of tasks, load balancers, instances and NAT gateways, and those that people make."""

import ipaddress
from datetime import datetime
from typing import Any, Literal

from portside.api.ec2 import error
from portside.api.ec2.default_network import new_id
from portside.api.ec2.lookup import asked, found, repeated, scope_of
from portside.api.ec2.selection import answer, flag, page, selected, tag_list, tags_for
from portside.api.ec2.unsupported import refuse_others, unsupported
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import elastic_address, vpc_rule
from portside.domain.clock import Clock, Ids
from portside.domain.ec2_instance_type import INSTANCE_TYPES
from portside.domain.instance import Instance, InstanceState
from portside.domain.record import Scope, Tags, replace
from portside.domain.table import CONTAINER_INSTANCE, ELASTIC_ADDRESS, ENI, INSTANCE, SECURITY_GROUP, SUBNET, TASK
from portside.domain.vpc import Eni, Subnet, instance_owner
from portside.store.interface import ABSENT, Delete, Put, Store, Write

_MOST_GROUPS = 5


class NetworkInterfaceHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateNetworkInterface": self.create,
            "DeleteNetworkInterface": self.delete,
            "DescribeNetworkInterfaces": self.describe,
            "DescribeNetworkInterfaceAttribute": self.describe_attribute,
            "ModifyNetworkInterfaceAttribute": self.modify,
            "AttachNetworkInterface": self.attach,
            "DetachNetworkInterface": self.detach,
            "AssignPrivateIpAddresses": self.assign,
            "UnassignPrivateIpAddresses": self.unassign,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        supported = ("SubnetId", "Description", "Groups", "ClientToken", "InterfaceType")
        addresses = ("PrivateIpAddress", "PrivateIpAddresses", "SecondaryPrivateIpAddressCount")
        refuse_others("CreateNetworkInterface", params, *supported, *addresses)
        if (params.get("InterfaceType") or "interface") != "interface":
            raise unsupported("CreateNetworkInterface", f"InterfaceType {params['InterfaceType']}")
        token = params.get("ClientToken") or ""
        eni = repeated(self._store, context, ENI, token)
        if eni is None:
            eni = self._made(context, params, token)
            self._store.transact(Put(ENI, eni, expect=ABSENT))
        return {"NetworkInterface": self._to_wire(eni)} | ({"ClientToken": token} if token else {})

    def _made(self, context: RequestContext, params: Params, token: str) -> Eni:
        subnet = found(self._store, context, SUBNET, params.get("SubnetId"))
        listed = params.get("PrivateIpAddresses") or ()
        if any(not each.get("PrivateIpAddress") for each in listed):
            raise error.missing_parameter("PrivateIpAddress")
        primary = [each["PrivateIpAddress"] for each in listed if each.get("Primary")]
        if params.get("PrivateIpAddress"):
            primary.append(params["PrivateIpAddress"])
        if len(primary) > 1:
            raise error.invalid_value("Only one address can be the primary one.")
        address = chosen_address(self._store, subnet, primary[0] if primary else None)
        eni = new_interface(
            scope_of(context),
            self._ids,
            self._clock.now(),
            subnet,
            address,
            description=params.get("Description") or "",
            requester_managed=False,
            security_group_ids=self._checked_groups(context, subnet.vpc_id, params.get("Groups")),
            client_token=token,
            tags=tags_for(params, "network-interface"),
        )
        secondary = [each["PrivateIpAddress"] for each in listed if not each.get("Primary")]
        count = params.get("SecondaryPrivateIpAddressCount") or 0
        return replace(eni, secondary_addresses=self._more(subnet, {address}, secondary, count))

    def delete(self, context: RequestContext, params: Params) -> Result:
        eni = found(self._store, context, ENI, params.get("NetworkInterfaceId"))
        if eni.owner:
            raise ServiceError("InvalidParameterValue", f"Network interface '{eni.id}' is currently in use.")
        held = self._store.find(ELASTIC_ADDRESS, "eni", eni.id)
        self._store.transact(
            Delete(ENI, ENI.key(eni)),
            *(Put(ELASTIC_ADDRESS, elastic_address.disassociated(each)) for each in held),
        )
        return {}

    def describe(self, context: RequestContext, params: Params) -> Result:
        enis = asked(self._store, context, ENI, params.get("NetworkInterfaceIds"))
        fields = {
            **_FIELDS,
            "group-name": lambda e: [group["GroupName"] for group in self._groups(e)],
            "association.association-id": lambda e: [a] if (a := self._association_id(e)) else [],
        }
        rows, token = page(selected(enis, params, fields, lambda e: e.tags), params, lambda e: e.id)
        return answer("NetworkInterfaces", [self._to_wire(each) for each in rows], token)

    def describe_attribute(self, context: RequestContext, params: Params) -> Result:
        eni = found(self._store, context, ENI, params.get("NetworkInterfaceId"))
        wire = self._to_wire(eni)
        values: dict[str, tuple[str, Any]] = {
            "description": ("Description", {"Value": eni.description}),
            "groupSet": ("Groups", wire["Groups"]),
            "sourceDestCheck": ("SourceDestCheck", {"Value": True}),
            "attachment": ("Attachment", wire.get("Attachment", {})),
        }
        if params.get("Attribute") not in values:
            raise error.invalid_value(f"Value ({params.get('Attribute')}) for parameter attribute is invalid.")
        member, value = values[params["Attribute"]]
        return {"NetworkInterfaceId": eni.id, member: value}

    def modify(self, context: RequestContext, params: Params) -> Result:
        operation = "ModifyNetworkInterfaceAttribute"
        refuse_others(operation, params, "NetworkInterfaceId", "Description", "SourceDestCheck", "Groups", "Attachment")
        eni = self._own(context, params)
        if params.get("SourceDestCheck") is not None and not params["SourceDestCheck"].get("Value"):
            raise unsupported(operation, "SourceDestCheck false")
        attachment = params.get("Attachment") or {}
        if attachment:
            if not eni.attachment_id or attachment.get("AttachmentId") != eni.attachment_id:
                raise _no_attachment(attachment.get("AttachmentId") or "")
            if attachment.get("DeleteOnTermination") is not None:
                eni = replace(eni, delete_on_termination=attachment["DeleteOnTermination"])
        if params.get("Description") is not None:
            eni = replace(eni, description=params["Description"].get("Value") or "")
        if params.get("Groups"):
            eni = replace(eni, security_group_ids=self._checked_groups(context, eni.vpc_id, params["Groups"]))
        self._store.transact(Put(ENI, eni))
        return {}

    def attach(self, context: RequestContext, params: Params) -> Result:
        operation = "AttachNetworkInterface"
        refuse_others(operation, params, "NetworkInterfaceId", "InstanceId", "DeviceIndex", "NetworkCardIndex")
        if params.get("NetworkCardIndex"):
            raise error.invalid_value("The instance type has one network card, whose index is 0.")
        eni = found(self._store, context, ENI, params.get("NetworkInterfaceId"))
        instance = self._instance(context, params.get("InstanceId") or "")
        if eni.requester_managed:
            raise ServiceError("AuthFailure", "You do not have permission to access the specified resource.")
        if eni.owner:
            raise ServiceError("InvalidNetworkInterface.InUse", f"Interface: [{eni.id}] in use.")
        if instance.state not in (InstanceState.RUNNING, InstanceState.STOPPED):
            raise ServiceError(
                "IncorrectState", f"The instance '{instance.id}' is not in the 'running' or 'stopped' state."
            )
        if eni.zone != instance.zone:
            raise ServiceError(
                "InvalidParameterCombination",
                "You may not attach a network interface to an instance if they are not in the same availability zone",
            )
        if eni.vpc_id != instance.vpc_id:
            raise unsupported(operation, "an interface of another VPC than the instance's")
        held = self._store.find(ENI, "owner", instance_owner(instance.id))
        index = params.get("DeviceIndex") or 0
        if any(each.device_index == index for each in held):
            raise error.invalid_value(
                f"Instance '{instance.id}' already has an interface attached at device index '{index}'."
            )
        kind = INSTANCE_TYPES[instance.instance_type]
        of_tasks = [task for task in self._store.find(TASK, "on_instance", instance.key) if task.eni is not None]
        if len(held) + len(of_tasks) >= kind.interfaces:
            raise ServiceError(
                "AttachmentLimitExceeded",
                f"Interface count {len(held) + len(of_tasks) + 1} exceeds the limit for {kind.name}",
            )
        if len(eni.secondary_addresses) >= kind.addresses_each:
            raise ServiceError("PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit.")
        attached = replace(
            eni,
            owner=instance_owner(instance.id),
            attachment_id=new_id(self._ids, "eni-attach"),
            device_index=index,
            delete_on_termination=False,
            attached_at=self._clock.now().replace(microsecond=0),
        )
        self._store.transact(Put(ENI, attached), *self._room_for_tasks(instance, -1))
        return {"AttachmentId": attached.attachment_id, "NetworkCardIndex": 0}

    def detach(self, context: RequestContext, params: Params) -> Result:
        refuse_others("DetachNetworkInterface", params, "AttachmentId", "Force")
        wanted = params.get("AttachmentId") or ""
        eni = next((each for each in self._store.scan(ENI, context.prefix) if _attachment_id(each) == wanted), None)
        if eni is None:
            raise _no_attachment(wanted)
        if not eni.instance_id:
            raise ServiceError("OperationNotPermitted", "You are not allowed to manage 'ela-attach' attachments.")
        instance = self._instance(context, eni.instance_id)
        if eni.id == instance.eni_id:
            raise ServiceError("OperationNotPermitted", "The network interface at device index 0 cannot be detached.")
        self._store.transact(Put(ENI, vpc_rule.detached(eni)), *self._room_for_tasks(instance, 1))
        return {}

    def _instance(self, context: RequestContext, instance_id: str) -> Instance:
        instance = self._store.get(INSTANCE, f"{context.prefix}{instance_id}")
        if instance is None or instance.state is InstanceState.TERMINATED:
            raise ServiceError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
        return instance

    def _room_for_tasks(self, instance: Instance, more: int) -> list[Write]:
        """What ECS knows of the instance: tasks may have so many interfaces more on it."""
        return [
            Put(CONTAINER_INSTANCE, replace(each, interfaces=each.interfaces + more))
            for each in self._store.find(CONTAINER_INSTANCE, "instance", instance.key)
        ]

    def assign(self, context: RequestContext, params: Params) -> Result:
        refuse_others(
            "AssignPrivateIpAddresses",
            params,
            *("NetworkInterfaceId", "PrivateIpAddresses", "SecondaryPrivateIpAddressCount"),
        )
        eni = self._own(context, params)
        subnet = found(self._store, context, SUBNET, eni.subnet_id)
        named, count = params.get("PrivateIpAddresses") or [], params.get("SecondaryPrivateIpAddressCount") or 0
        if bool(named) == bool(count):
            raise error.missing_parameter("secondaryPrivateIpAddressCount")
        if eni.instance_id:
            instance = self._instance(context, eni.instance_id)
            room = INSTANCE_TYPES[instance.instance_type].addresses_each - 1 - len(eni.secondary_addresses)
            if len(named) + count > room:
                raise ServiceError("PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit.")
        given = self._more(subnet, set(), named, count)
        self._store.transact(Put(ENI, replace(eni, secondary_addresses=(*eni.secondary_addresses, *given))))
        return {
            "NetworkInterfaceId": eni.id,
            "AssignedPrivateIpAddresses": [{"PrivateIpAddress": each} for each in given],
        }

    def unassign(self, context: RequestContext, params: Params) -> Result:
        refuse_others("UnassignPrivateIpAddresses", params, "NetworkInterfaceId", "PrivateIpAddresses")
        eni = self._own(context, params)
        for each in params.get("PrivateIpAddresses") or ():
            if each not in eni.secondary_addresses:
                raise error.invalid_value("Some of the specified addresses are not assigned to interface " + eni.id)
        left = tuple(each for each in eni.secondary_addresses if each not in params.get("PrivateIpAddresses", ()))
        self._store.transact(Put(ENI, replace(eni, secondary_addresses=left)))
        return {}

    def _own(self, context: RequestContext, params: Params) -> Eni:
        """One that its account may change: those of tasks, load balancers and NAT gateways are AWS's."""
        eni = found(self._store, context, ENI, params.get("NetworkInterfaceId"))
        if eni.requester_managed:
            raise ServiceError("AuthFailure", "You do not have permission to access the specified resource.")
        return eni

    def _more(self, subnet: Subnet, besides: set[str], named: list[str], count: int) -> tuple[str, ...]:
        given: list[str] = []
        for each in (*named, *[None] * count):
            given.append(chosen_address(self._store, subnet, each, besides | set(given)))
        return tuple(given)

    def _checked_groups(self, context: RequestContext, vpc_id: str, ids: list[str] | None) -> tuple[str, ...]:
        if not ids:
            groups = self._store.find(SECURITY_GROUP, "vpc", vpc_id)
            return tuple(each.id for each in groups if each.name == "default")
        if len(ids) > _MOST_GROUPS:
            raise ServiceError(
                "SecurityGroupsPerInterfaceLimitExceeded",
                "You have exceeded the maximum number of security groups allowed per network interface (5).",
            )
        for group_id in ids:
            group = self._store.get(SECURITY_GROUP, context.prefix + group_id)
            if group is None:
                raise error.group_not_found(group_id)
            if group.vpc_id != vpc_id:
                raise ServiceError(
                    "InvalidParameter", f"Security group {group_id} and subnet belong to different networks."
                )
        return tuple(dict.fromkeys(ids))

    def _groups(self, eni: Eni) -> list[dict[str, str]]:
        groups = []
        for group_id in eni.security_group_ids:
            group = self._store.get(SECURITY_GROUP, eni.scope.prefix + group_id)
            groups.append({"GroupId": group_id, "GroupName": group.name if group is not None else ""})
        return groups

    def _association_id(self, eni: Eni) -> str:
        address = self._store.get(ELASTIC_ADDRESS, eni.scope.prefix + eni.allocation_id)
        return address.association_id if address is not None else ""

    def _to_wire(self, eni: Eni) -> dict[str, Any]:
        primary: dict[str, Any] = {
            "Primary": True,
            "PrivateIpAddress": eni.address,
            "PrivateDnsName": eni.private_dns_name,
        }
        wire: dict[str, Any] = {
            "NetworkInterfaceId": eni.id,
            "SubnetId": eni.subnet_id,
            "VpcId": eni.vpc_id,
            "AvailabilityZone": eni.zone,
            "Description": eni.description,
            "OwnerId": eni.scope.account,
            "RequesterManaged": eni.requester_managed,
            "Status": _status(eni),
            "InterfaceType": _interface_type(eni),
            "MacAddress": eni.mac_address,
            "PrivateIpAddress": eni.address,
            "PrivateDnsName": eni.private_dns_name,
            "SourceDestCheck": eni.interface_type != "nat_gateway",
            "Groups": self._groups(eni),
            "Ipv6Addresses": [],
            "PrivateIpAddresses": [
                primary,
                *(
                    {
                        "Primary": False,
                        "PrivateIpAddress": each,
                        "PrivateDnsName": vpc_rule.private_dns_name(each, eni.scope.region),
                    }
                    for each in eni.secondary_addresses
                ),
            ],
            "TagSet": tag_list(eni.tags),
        }
        if eni.owner:
            wire["Attachment"] = _attachment_to(eni)
        if eni.requester_managed:
            wire["RequesterId"] = _requester(eni)
        if eni.public_address is not None:
            association = {"IpOwnerId": "amazon", "PublicIp": eni.public_address}
            if eni.allocation_id:
                association = {
                    "IpOwnerId": eni.scope.account,
                    "PublicIp": eni.public_address,
                    "AllocationId": eni.allocation_id,
                    "AssociationId": self._association_id(eni),
                }
            wire["Association"] = primary["Association"] = association
        return wire


def taken_addresses(store: Store, subnet_id: str) -> set[str]:
    """The addresses of a subnet that interfaces have."""
    return {each for eni in store.find(ENI, "subnet", subnet_id) for each in (eni.address, *eni.secondary_addresses)}


def chosen_address(store: Store, subnet: Subnet, asked_for: str | None, besides: set[str] | None = None) -> str:
    """The address asked for, or a free one. Raises: ServiceError, in EC2's words."""
    used = taken_addresses(store, subnet.id) | (besides or set())
    if asked_for:
        if not vpc_rule.is_usable(asked_for, subnet.cidr_block):
            raise error.invalid_value("Address does not fall within the subnet's address range")
        if asked_for in used:
            raise ServiceError("InvalidIPAddress.InUse", f"Address {asked_for} is in use.")
        return str(ipaddress.IPv4Address(asked_for))
    address = vpc_rule.free_address(subnet.cidr_block, used)
    if address is None:
        raise ServiceError(
            "InsufficientFreeAddressesInSubnet",
            f"The specified subnet '{subnet.id}' does not have enough free addresses to satisfy the request.",
        )
    return address


def new_interface(
    scope: Scope,
    ids: Ids,
    now: datetime,
    subnet: Subnet,
    address: str,
    *,
    description: str,
    owner: str = "",
    interface_type: Literal["interface", "load_balancer", "nat_gateway", "efs"] = "interface",
    requester_managed: bool = True,
    security_group_ids: tuple[str, ...] = (),
    client_token: str = "",
    tags: Tags = (),
) -> Eni:
    eni_id = new_id(ids, "eni")
    digits = eni_id.removeprefix("eni-0")
    return Eni(
        scope=scope,
        id=eni_id,
        subnet_id=subnet.id,
        vpc_id=subnet.vpc_id,
        zone=subnet.zone,
        address=address,
        mac_address="02:" + ":".join(digits[at : at + 2] for at in range(0, 10, 2)),
        private_dns_name=vpc_rule.private_dns_name(address, scope.region),
        security_group_ids=security_group_ids,
        description=description,
        interface_type=interface_type,
        requester_managed=requester_managed,
        owner=owner,
        client_token=client_token,
        tags=tags,
        created_at=now,
    )


def _status(eni: Eni) -> str:
    return "in-use" if eni.owner else "available"


def _interface_type(eni: Eni) -> str:
    if eni.interface_type == "load_balancer":
        return "network_load_balancer" if ":loadbalancer/net/" in eni.owner else "interface"
    return eni.interface_type


def _attachment_to(eni: Eni) -> dict[str, Any]:
    if eni.instance_id:
        return {
            "AttachmentId": eni.attachment_id,
            "AttachTime": eni.attached_at or eni.created_at,
            "DeleteOnTermination": eni.delete_on_termination,
            "DeviceIndex": eni.device_index,
            "NetworkCardIndex": 0,
            "InstanceId": eni.instance_id,
            "InstanceOwnerId": eni.scope.account,
            "Status": "attached",
        }
    return {
        "AttachmentId": _attachment_id(eni),
        "AttachTime": eni.created_at,
        "DeleteOnTermination": False,
        "DeviceIndex": 1,
        "InstanceOwnerId": _requester(eni),
        "Status": "attached",
    }


def _attachment_id(eni: Eni) -> str:
    if not eni.owner or eni.instance_id:
        return eni.attachment_id
    return eni.id.replace("eni-", "ela-attach-")


def _no_attachment(attachment_id: str) -> ServiceError:
    return ServiceError("InvalidAttachmentID.NotFound", f"The attachment ID '{attachment_id}' does not exist")


def _requester(eni: Eni) -> str:
    return {"load_balancer": "amazon-elb", "nat_gateway": "amazon-aws", "efs": "amazon-elasticfilesystem"}.get(
        eni.interface_type, "amazon-ecs"
    )


_FIELDS = {
    "network-interface-id": lambda e: [e.id],
    "subnet-id": lambda e: [e.subnet_id],
    "vpc-id": lambda e: [e.vpc_id],
    "availability-zone": lambda e: [e.zone],
    "description": lambda e: [e.description],
    "group-id": lambda e: e.security_group_ids,
    "mac-address": lambda e: [e.mac_address],
    "owner-id": lambda e: [e.scope.account],
    "interface-type": lambda e: [_interface_type(e)],
    "private-ip-address": lambda e: [e.address],
    "addresses.private-ip-address": lambda e: [e.address, *e.secondary_addresses],
    "addresses.primary": lambda e: ["true", *(["false"] if e.secondary_addresses else [])],
    "addresses.association.public-ip": lambda e: [e.public_address] if e.public_address else [],
    "private-dns-name": lambda e: [e.private_dns_name],
    "requester-id": lambda e: [_requester(e)] if e.requester_managed else [],
    "requester-managed": lambda e: flag(e.requester_managed),
    "source-dest-check": lambda e: flag(e.interface_type != "nat_gateway"),
    "association.public-ip": lambda e: [e.public_address] if e.public_address else [],
    "association.allocation-id": lambda e: [e.allocation_id] if e.allocation_id else [],
    "association.ip-owner-id": lambda e: [e.scope.account if e.allocation_id else "amazon"] if e.public_address else [],
    "attachment.device-index": lambda e: [str(_attachment_to(e)["DeviceIndex"])] if e.owner else [],
    "attachment.delete-on-termination": lambda e: flag(_attachment_to(e)["DeleteOnTermination"]) if e.owner else [],
    "attachment.status": lambda e: ["attached"] if e.owner else [],
    "attachment.attachment-id": lambda e: [_attachment_to(e)["AttachmentId"]] if e.owner else [],
    "attachment.instance-id": lambda e: [e.instance_id] if e.instance_id else [],
    "attachment.instance-owner-id": lambda e: [_attachment_to(e)["InstanceOwnerId"]] if e.owner else [],
    "status": lambda e: [_status(e)],
}
