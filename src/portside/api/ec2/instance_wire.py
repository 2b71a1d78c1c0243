"""Instances between their records and EC2's shapes, and the fields that filters compare."""

from collections.abc import Mapping, Sequence
from typing import Any

from portside.api.ec2.selection import tag_list
from portside.domain import vpc_rule
from portside.domain.ebs import EbsVolume
from portside.domain.ec2_instance_type import INSTANCE_TYPES
from portside.domain.instance import INTERNAL_ERROR, STATE_CODES, USER_SHUTDOWN, Instance, InstanceState
from portside.domain.vpc import Eni

_REASONS = {
    USER_SHUTDOWN: "User initiated shutdown",
    INTERNAL_ERROR: "Internal error on launch",
}


def state_to(each: Instance) -> dict[str, Any]:
    return {"Code": STATE_CODES[each.state], "Name": each.state.value}


def instance_to(
    each: Instance,
    enis: Sequence[Eni],
    group_names: Mapping[str, str],
    *,
    dns_hostnames: bool,
    volumes: Sequence[EbsVolume] = (),
) -> dict[str, Any]:
    """
    Args:
        volumes: those that are attached to it.
        enis: by device index; none once the instance is terminated. group_names: security group id -> name.
    """
    kind = INSTANCE_TYPES[each.instance_type]
    wire: dict[str, Any] = {
        "InstanceId": each.id,
        "ImageId": each.image_id,
        "InstanceType": each.instance_type,
        "State": state_to(each),
        "AmiLaunchIndex": each.launch_index,
        "LaunchTime": each.launched_at,
        "Architecture": kind.architecture,
        "Placement": {"AvailabilityZone": each.zone, "GroupName": "", "Tenancy": "default"},
        "Monitoring": {"State": "disabled"},
        "ProductCodes": [],
        "BlockDeviceMappings": [_block_device_to(volume) for volume in volumes],
        "EbsOptimized": False,
        "EnaSupport": True,
        "Hypervisor": "xen",
        "VirtualizationType": "hvm",
        "RootDeviceName": "/dev/xvda",
        "RootDeviceType": "ebs",
        "PrivateDnsName": "",
        "PublicDnsName": "",
        "StateTransitionReason": "",
        "CpuOptions": {"CoreCount": max(1, kind.vcpus // 2), "ThreadsPerCore": min(2, kind.vcpus)},
        "MetadataOptions": {
            "State": "applied",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 2,
            "HttpEndpoint": "enabled",
            "HttpProtocolIpv6": "disabled",
            "InstanceMetadataTags": "disabled",
        },
        "SecurityGroups": [],
        "NetworkInterfaces": [],
        "Tags": tag_list(each.tags),
    }
    if each.client_token is not None:
        wire["ClientToken"] = each.client_token
    if each.instance_profile_arn is not None:
        wire["IamInstanceProfile"] = {"Arn": each.instance_profile_arn}
    if each.reason_code:
        at = f" ({each.reason_at:%Y-%m-%d %H:%M:%S} GMT)" if each.reason_at is not None else ""
        words = _REASONS.get(each.reason_code, "")
        wire["StateTransitionReason"] = f"{words}{at}"
        wire["StateReason"] = {"Code": each.reason_code, "Message": f"{each.reason_code}: {words}"}
    if not enis or each.state is InstanceState.TERMINATED:
        return wire
    eni = enis[0]
    wire |= {
        "SubnetId": each.subnet_id,
        "VpcId": each.vpc_id,
        "PrivateIpAddress": eni.address,
        "PrivateDnsName": eni.private_dns_name,
        "SourceDestCheck": True,
        "SecurityGroups": _groups_to(eni, group_names),
        "NetworkInterfaces": [_interface_to(each, one, group_names, dns_hostnames=dns_hostnames) for one in enis],
    }
    if eni.public_address is not None:
        wire["PublicIpAddress"] = eni.public_address
        if dns_hostnames:
            wire["PublicDnsName"] = public_dns_name(eni)
    return wire


def _block_device_to(volume: EbsVolume) -> dict[str, Any]:
    return {
        "DeviceName": volume.device,
        "Ebs": {
            "AttachTime": volume.attached_at,
            "DeleteOnTermination": False,
            "Status": volume.attachment,
            "VolumeId": volume.id,
        },
    }


def public_dns_name(eni: Eni) -> str:
    domain = "compute-1" if eni.scope.region == "us-east-1" else f"{eni.scope.region}.compute"
    return f"ec2-{(eni.public_address or '').replace('.', '-')}.{domain}.amazonaws.com"


def _groups_to(eni: Eni, names: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"GroupId": group, "GroupName": names.get(group, "")} for group in eni.security_group_ids]


def _interface_to(each: Instance, eni: Eni, names: Mapping[str, str], *, dns_hostnames: bool) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "NetworkInterfaceId": eni.id,
        "SubnetId": eni.subnet_id,
        "VpcId": eni.vpc_id,
        "Description": eni.description,
        "OwnerId": eni.scope.account,
        "Status": "in-use",
        "InterfaceType": "interface",
        "MacAddress": eni.mac_address,
        "PrivateIpAddress": eni.address,
        "PrivateDnsName": eni.private_dns_name,
        "SourceDestCheck": True,
        "Groups": _groups_to(eni, names),
        "Ipv6Addresses": [],
        "Attachment": {
            "AttachmentId": eni.attachment_id,
            "AttachTime": eni.attached_at or each.launched_at,
            "DeleteOnTermination": eni.delete_on_termination,
            "DeviceIndex": eni.device_index,
            "NetworkCardIndex": 0,
            "Status": "attached",
        },
    }
    address: dict[str, Any] = {
        "Primary": True,
        "PrivateIpAddress": eni.address,
        "PrivateDnsName": eni.private_dns_name,
    }
    if eni.public_address is not None:
        association = {
            "IpOwnerId": eni.scope.account if eni.allocation_id else "amazon",
            "PublicIp": eni.public_address,
        }
        if dns_hostnames:
            association["PublicDnsName"] = public_dns_name(eni)
        wire["Association"] = association
        address["Association"] = association
    secondary = [
        {
            "Primary": False,
            "PrivateIpAddress": other,
            "PrivateDnsName": vpc_rule.private_dns_name(other, eni.scope.region),
        }
        for other in eni.secondary_addresses
    ]
    wire["PrivateIpAddresses"] = [address, *secondary]
    return wire


def status_to(each: Instance) -> dict[str, Any]:
    """What runs is well: its namespace is made before it counts as running."""
    status = "ok" if each.state is InstanceState.RUNNING else "not-applicable"
    if each.state is InstanceState.PENDING:
        status = "initializing"
    summary: dict[str, Any] = {"Status": status, "Details": []}
    if status == "ok":
        summary["Details"] = [{"Name": "reachability", "Status": "passed"}]
    return {
        "AvailabilityZone": each.zone,
        "InstanceId": each.id,
        "InstanceState": state_to(each),
        "InstanceStatus": summary,
        "SystemStatus": summary,
        "Events": [],
    }


FIELDS = {
    "instance-id": lambda i: [i.id],
    "instance-type": lambda i: [i.instance_type],
    "instance-state-name": lambda i: [i.state.value],
    "instance-state-code": lambda i: [str(STATE_CODES[i.state])],
    "image-id": lambda i: [i.image_id],
    "subnet-id": lambda i: [i.subnet_id],
    "vpc-id": lambda i: [i.vpc_id],
    "availability-zone": lambda i: [i.zone],
    "private-ip-address": lambda i: [i.address],
    "reservation-id": lambda i: [i.reservation_id],
    "client-token": lambda i: [i.client_token] if i.client_token else [],
    "owner-id": lambda i: [i.scope.account],
    "architecture": lambda i: [INSTANCE_TYPES[i.instance_type].architecture],
    "launch-index": lambda i: [str(i.launch_index)],
    "network-interface.network-interface-id": lambda i: [i.eni_id],
    "network-interface.subnet-id": lambda i: [i.subnet_id],
    "network-interface.addresses.private-ip-address": lambda i: [i.address],
    "iam-instance-profile.arn": lambda i: [i.instance_profile_arn] if i.instance_profile_arn else [],
}
STATUS_FIELDS = {
    "availability-zone": lambda i: [i.zone],
    "instance-state-name": lambda i: [i.state.value],
    "instance-state-code": lambda i: [str(STATE_CODES[i.state])],
    "instance-status.status": lambda i: [status_to(i)["InstanceStatus"]["Status"]],
    "system-status.status": lambda i: [status_to(i)["SystemStatus"]["Status"]],
}
