"""Mount targets: an address in a subnet, behind security groups. Network and interface are EC2's."""

from collections.abc import Mapping, Sequence
from typing import Any

from portside.api.ec2.default_network import new_id
from portside.api.ec2.network_interface import chosen_address, new_interface
from portside.api.efs import lookup
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import vpc_rule
from portside.domain.clock import Clock, Ids
from portside.domain.file_system import SECURITY_GROUPS_MOST, MountTarget
from portside.domain.record import replace
from portside.domain.table import ENI, FILE_SYSTEM, MOUNT_TARGET, SECURITY_GROUP, SUBNET
from portside.domain.vpc import Eni
from portside.store.interface import ABSENT, Delete, Put, Store

_ADDRESS_ERRORS = {
    "InvalidIPAddress.InUse": "IpAddressInUse",
    "InsufficientFreeAddressesInSubnet": "NoFreeAddressesInSubnet",
}
"""EC2's code -> EFS's."""


class MountTargets:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateMountTarget": self.create,
            "DescribeMountTargets": self.describe,
            "DeleteMountTarget": self.delete,
            "DescribeMountTargetSecurityGroups": self.describe_groups,
            "ModifyMountTargetSecurityGroups": self.modify_groups,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        system = lookup.file_system(self._store, context, params["FileSystemId"])
        if params.get("Ipv6Address") or (params.get("IpAddressType") or "IPV4_ONLY") != "IPV4_ONLY":
            raise lookup.bad_request("Portside does not implement mount targets with IPv6 addresses.")
        subnet = self._store.get(SUBNET, f"{context.prefix}{params['SubnetId']}")
        if subnet is None:
            raise ServiceError("SubnetNotFound", f"The subnet ID '{params['SubnetId']}' does not exist")
        if system.zone and subnet.zone != system.zone:
            raise ServiceError(
                "AvailabilityZonesMismatch",
                f"The mount target's Availability Zone ({subnet.zone}) is not that of the file system ({system.zone}).",
            )
        for other in self._store.find(MOUNT_TARGET, "file_system", FILE_SYSTEM.key(system)):
            if other.vpc_id != subnet.vpc_id:
                raise ServiceError(
                    "MountTargetConflict",
                    "requested subnet for new mount target is not in the same VPC as existing mount targets",
                )
            if other.zone == subnet.zone:
                raise ServiceError("MountTargetConflict", "mount target already exists in this AZ")
        groups = self._groups(context, subnet.vpc_id, params.get("SecurityGroups"))
        if not groups:
            found = [
                each.id for each in self._store.find(SECURITY_GROUP, "vpc", subnet.vpc_id) if each.name == "default"
            ]
            groups = tuple(found[:1])
        try:
            address = chosen_address(self._store, subnet, params.get("IpAddress"))
        except ServiceError as error:
            raise ServiceError(_ADDRESS_ERRORS.get(error.code, "BadRequest"), error.message) from None
        target_id = new_id(self._ids, "fsmt")
        eni = new_interface(
            system.scope,
            self._ids,
            self._clock.now(),
            subnet,
            address,
            description=f"EFS mount target for {system.id} ({target_id})",
            owner=f"mounttarget:{target_id}",
            interface_type="efs",
            security_group_ids=groups,
        )
        made = MountTarget(
            scope=system.scope,
            id=target_id,
            file_system_id=system.id,
            subnet_id=subnet.id,
            vpc_id=subnet.vpc_id,
            zone=subnet.zone,
            eni_id=eni.id,
            address=address,
        )
        self._store.transact(Put(ENI, eni, expect=ABSENT), Put(MOUNT_TARGET, made, expect=ABSENT))
        return _to_wire(made)

    def describe(self, context: RequestContext, params: Params) -> Result:
        asked = [name for name in ("FileSystemId", "MountTargetId", "AccessPointId") if params.get(name)]
        if len(asked) != 1:
            raise lookup.bad_request("must specify exactly one of FileSystemId, MountTargetId and AccessPointId.")
        given = params[asked[0]]
        if asked == ["MountTargetId"]:
            rows = [lookup.mount_target(self._store, context, given)]
        else:
            if asked == ["AccessPointId"]:
                given = lookup.access_point(self._store, context, given).file_system_id
            system = lookup.file_system(self._store, context, given)
            rows = self._store.find(MOUNT_TARGET, "file_system", FILE_SYSTEM.key(system))
        shown, following = lookup.page(params, rows, lambda each: each.id)
        return lookup.marked(params, "MountTargets", [_to_wire(each) for each in shown], following)

    def delete(self, context: RequestContext, params: Params) -> None:
        known = lookup.mount_target(self._store, context, params["MountTargetId"])
        self._store.transact(
            Delete(MOUNT_TARGET, MOUNT_TARGET.key(known)), Delete(ENI, f"{context.prefix}{known.eni_id}")
        )

    def describe_groups(self, context: RequestContext, params: Params) -> Result:
        known = lookup.mount_target(self._store, context, params["MountTargetId"])
        return {"SecurityGroups": list(self._interface(known).security_group_ids)}

    def modify_groups(self, context: RequestContext, params: Params) -> None:
        known = lookup.mount_target(self._store, context, params["MountTargetId"])
        groups = self._groups(context, known.vpc_id, params.get("SecurityGroups"))
        self._store.transact(Put(ENI, replace(self._interface(known), security_group_ids=groups)))

    def _interface(self, target: MountTarget) -> Eni:
        found = self._store.get(ENI, f"{target.scope.prefix}{target.eni_id}")
        assert found is not None, f"{target.id} has no interface"
        return found

    def _groups(self, context: RequestContext, vpc_id: str, given: Sequence[str] | None) -> tuple[str, ...]:
        groups = tuple(dict.fromkeys(given or ()))
        if len(groups) > SECURITY_GROUPS_MOST:
            raise ServiceError(
                "SecurityGroupLimitExceeded", f"A mount target can have at most {SECURITY_GROUPS_MOST} security groups."
            )
        for group_id in groups:
            found = self._store.get(SECURITY_GROUP, f"{context.prefix}{group_id}")
            if found is None or found.vpc_id != vpc_id:
                raise ServiceError(
                    "SecurityGroupNotFound", f"The security group '{group_id}' does not exist in '{vpc_id}'"
                )
        return groups


def _to_wire(each: MountTarget) -> dict[str, Any]:
    return {
        "OwnerId": each.scope.account,
        "MountTargetId": each.id,
        "FileSystemId": each.file_system_id,
        "SubnetId": each.subnet_id,
        "LifeCycleState": "available",
        "IpAddress": each.address,
        "NetworkInterfaceId": each.eni_id,
        "AvailabilityZoneId": vpc_rule.zone_id(each.scope.region, each.zone[-1]),
        "AvailabilityZoneName": each.zone,
        "VpcId": each.vpc_id,
    }
