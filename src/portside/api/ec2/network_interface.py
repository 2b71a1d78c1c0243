"""Network interfaces: described. They belong to tasks and load balancers, which make and delete them."""

from typing import Any

from portside.api.ec2 import error
from portside.api.ec2.selection import answer, flag, page, selected, tag_list
from portside.aws.service import Params, RequestContext, Result
from portside.domain.table import ENI, SECURITY_GROUP
from portside.domain.vpc import Eni
from portside.store.interface import Store

_INSTANCE = "instance:"
"""What an instance's interface says of its owner, before the instance's id."""


class NetworkInterfaceHandlers:
    def __init__(self, store: Store) -> None:
        self._store = store

    def describe_network_interfaces(self, context: RequestContext, params: Params) -> Result:
        for eni_id in params.get("NetworkInterfaceIds") or ():
            if self._store.get(ENI, context.prefix + eni_id) is None:
                raise error.interface_not_found(eni_id)
        asked = set(params.get("NetworkInterfaceIds") or ())
        enis = [each for each in self._store.scan(ENI, context.prefix) if not asked or each.id in asked]
        fields = {
            **_FIELDS,
            "group-name": lambda e: [group["GroupName"] for group in self._groups(e)],
        }
        rows, token = page(selected(enis, params, fields, lambda e: e.tags), params, lambda e: e.id)
        return answer("NetworkInterfaces", [self._to_wire(each) for each in rows], token)

    def _groups(self, eni: Eni) -> list[dict[str, str]]:
        groups = []
        for group_id in eni.security_group_ids:
            group = self._store.get(SECURITY_GROUP, eni.scope.prefix + group_id)
            groups.append({"GroupId": group_id, "GroupName": group.name if group is not None else ""})
        return groups

    def _to_wire(self, eni: Eni) -> dict[str, Any]:
        wire: dict[str, Any] = {
            "NetworkInterfaceId": eni.id,
            "SubnetId": eni.subnet_id,
            "VpcId": eni.vpc_id,
            "AvailabilityZone": eni.zone,
            "Description": eni.description,
            "OwnerId": eni.scope.account,
            "RequesterManaged": eni.requester_managed,
            "Status": "in-use",
            "InterfaceType": "interface",
            "MacAddress": eni.mac_address,
            "PrivateIpAddress": eni.address,
            "PrivateDnsName": eni.private_dns_name,
            "SourceDestCheck": True,
            "Groups": self._groups(eni),
            "Ipv6Addresses": [],
            "PrivateIpAddresses": [
                {"Primary": True, "PrivateIpAddress": eni.address, "PrivateDnsName": eni.private_dns_name}
            ],
            "Attachment": _attachment_to(eni),
            "TagSet": tag_list(eni.tags),
        }
        if not eni.owner.startswith(_INSTANCE):
            wire["RequesterId"] = _requester(eni)
        if eni.public_address is not None:
            wire["Association"] = {"IpOwnerId": "amazon", "PublicIp": eni.public_address}
        return wire


def _attachment_to(eni: Eni) -> dict[str, Any]:
    if eni.owner.startswith(_INSTANCE):
        return {
            "AttachmentId": eni.attachment_id,
            "AttachTime": eni.created_at,
            "DeleteOnTermination": True,
            "DeviceIndex": 0,
            "InstanceId": eni.owner.removeprefix(_INSTANCE),
            "InstanceOwnerId": eni.scope.account,
            "Status": "attached",
        }
    return {
        "AttachmentId": eni.id.replace("eni-", "ela-attach-"),
        "AttachTime": eni.created_at,
        "DeleteOnTermination": False,
        "DeviceIndex": 1,
        "InstanceOwnerId": _requester(eni),
        "Status": "attached",
    }


def _requester(eni: Eni) -> str:
    return "amazon-elb" if eni.interface_type == "load_balancer" else "amazon-ecs"


_FIELDS = {
    "network-interface-id": lambda e: [e.id],
    "subnet-id": lambda e: [e.subnet_id],
    "vpc-id": lambda e: [e.vpc_id],
    "availability-zone": lambda e: [e.zone],
    "description": lambda e: [e.description],
    "group-id": lambda e: e.security_group_ids,
    "mac-address": lambda e: [e.mac_address],
    "owner-id": lambda e: [e.scope.account],
    "interface-type": lambda e: ["interface"],
    "private-ip-address": lambda e: [e.address],
    "addresses.private-ip-address": lambda e: [e.address],
    "addresses.primary": lambda e: ["true"],
    "private-dns-name": lambda e: [e.private_dns_name],
    "requester-id": lambda e: [] if e.owner.startswith(_INSTANCE) else [_requester(e)],
    "requester-managed": lambda e: flag(e.requester_managed),
    "association.public-ip": lambda e: [e.public_address] if e.public_address else [],
    "attachment.status": lambda e: ["attached"],
    "attachment.instance-id": lambda e: [e.owner.removeprefix(_INSTANCE)] if e.owner.startswith(_INSTANCE) else [],
    "status": lambda e: ["in-use"],
}
