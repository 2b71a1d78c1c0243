"""Launching instances: where each goes, its interface and its record, in one commit."""

from collections.abc import Mapping
from typing import Any, Final

from portside.api.ec2 import error, instance_request
from portside.api.ec2.default_network import new_id
from portside.api.ec2.network_interface import taken_addresses
from portside.aws.service import Params, RequestContext, ServiceError
from portside.domain import arn, vpc_rule
from portside.domain.clock import Clock, Ids
from portside.domain.instance import Instance
from portside.domain.record import Scope
from portside.domain.table import ENI, INSTANCE, INSTANCE_PROFILE, SECURITY_GROUP, SUBNET
from portside.domain.vpc import Eni, Subnet, instance_owner
from portside.store.interface import Put, Store, Write

LAUNCHED_MOST: Final = 20
SECURITY_GROUPS_MOST: Final = 5


class InstanceLaunch:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def launch(self, context: RequestContext, params: Params) -> list[Instance]:
        """The instances of one reservation; those of an earlier request, where this one repeats it.

        Raises: ServiceError, in EC2's words; then nothing is made.
        """
        instance_request.refuse_unsupported(params)
        scope = Scope(account=context.account, region=context.region)
        token = params.get("ClientToken") or None
        digest = instance_request.digest(params)
        repeated = self._store.find(INSTANCE, "client_token", f"{context.prefix}{token}") if token else []
        if repeated:
            if any(each.request_digest != digest for each in repeated):
                raise ServiceError(
                    "IdempotentParameterMismatch",
                    f"The client token {token} was used before with other parameters.",
                )
            return repeated
        least, most = params["MinCount"], params["MaxCount"]
        if least < 1 or most < least:
            raise error.invalid_value(
                f"Invalid value '{least}' for MinCount: it is at least 1 and not more than MaxCount, '{most}'."
            )
        if most > LAUNCHED_MOST:
            raise ServiceError(
                "InstanceLimitExceeded", f"Your quota allows for {LAUNCHED_MOST} more running instance(s)."
            )
        image_id, kind = instance_request.image(context.region, params), instance_request.kind(params)
        asked = instance_request.interface(params)
        subnet = self._subnet(scope, params, asked)
        groups = self.groups(scope, params, asked, subnet.vpc_id)
        address = asked.get("PrivateIpAddress") or params.get("PrivateIpAddress")
        if address and most > 1:
            raise ServiceError(
                "InvalidParameterCombination", "An address can be asked for where one instance is launched."
            )
        given = instance_request.checked_user_data(params.get("UserData") or "")
        tags = instance_request.tags(params)
        profile = self._instance_profile(context, params)
        public = asked.get("AssociatePublicIpAddress")
        now = self._clock.now().replace(microsecond=0)
        reservation_id = new_id(self._ids, "r")
        writes: list[Write] = []
        made: list[Instance] = []
        for index, number in enumerate(self._addresses(subnet, most, least, address)):
            instance_id = new_id(self._ids, "i")
            digits = self._ids.hex(16)
            eni = Eni(
                scope=scope,
                id=f"eni-0{digits}",
                subnet_id=subnet.id,
                vpc_id=subnet.vpc_id,
                zone=subnet.zone,
                address=number,
                mac_address="02:" + ":".join(digits[at : at + 2] for at in range(0, 10, 2)),
                private_dns_name=vpc_rule.private_dns_name(number, scope.region),
                security_group_ids=groups,
                description=asked.get("Description") or "",
                requester_managed=False,
                owner=instance_owner(instance_id),
                attachment_id=f"eni-attach-0{digits}",
                tags=tags.get("network-interface", ()),
                created_at=now,
            )
            launched = Instance(
                scope=scope,
                id=instance_id,
                reservation_id=reservation_id,
                image_id=image_id,
                instance_type=kind.name,
                eni_id=eni.id,
                subnet_id=subnet.id,
                vpc_id=subnet.vpc_id,
                zone=subnet.zone,
                address=number,
                launch_index=index,
                public_address_asked=subnet.map_public_ip if public is None else bool(public),
                user_data=given,
                instance_profile_arn=profile,
                client_token=token,
                request_digest=digest,
                tags=tags.get("instance", ()),
                launched_at=now,
            )
            writes += [Put(ENI, eni), Put(INSTANCE, launched)]
            made.append(launched)
        self._store.transact(*writes)
        return made

    def _addresses(self, subnet: Subnet, most: int, least: int, asked: str | None) -> list[str]:
        """Free addresses of the subnet: as many as there are, `most` at most. Raises: ServiceError, in EC2's words."""
        used = taken_addresses(self._store, subnet.id)
        if asked:
            if not vpc_rule.is_usable(asked, subnet.cidr_block):
                raise error.invalid_value("Address does not fall within the subnet's address range")
            if asked in used:
                raise ServiceError("InvalidIPAddress.InUse", f"Address {asked} is in use.")
            return [asked]
        found: list[str] = []
        for _ in range(most):
            address = vpc_rule.free_address(subnet.cidr_block, used)
            if address is None:
                break
            used.add(address)
            found.append(address)
        if len(found) < least:
            raise ServiceError(
                "InsufficientFreeAddressesInSubnet",
                f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested number of "
                "instances.",
            )
        return found

    def _subnet(self, scope: Scope, params: Params, asked: Mapping[str, Any]) -> Subnet:
        named = asked.get("SubnetId") or params.get("SubnetId")
        zone = (params.get("Placement") or {}).get("AvailabilityZone")
        if named:
            subnet = self._store.get(SUBNET, scope.prefix + named)
            if subnet is None:
                raise error.subnet_not_found(named)
            if zone and zone != subnet.zone:
                raise ServiceError(
                    "InvalidParameterCombination",
                    f"The subnet '{named}' is in {subnet.zone}, and not in the Availability Zone {zone}.",
                )
            return subnet
        default = [each for each in self._store.scan(SUBNET, scope.prefix) if each.default_for_zone]
        found = sorted((each for each in default if not zone or each.zone == zone), key=lambda each: each.zone)
        if zone and not found:
            raise error.invalid_value(f"Invalid availability zone: [{zone}]")
        if not found:
            raise ServiceError(
                "VPCIdNotSpecified", "No default VPC for this user. Specify a subnet to launch the instance in."
            )
        return found[0]

    def groups(self, scope: Scope, params: Params, asked: Mapping[str, Any], vpc_id: str) -> tuple[str, ...]:
        """The security groups asked for, by id or name; the VPC's default group where none is. Raises: ServiceError."""
        groups = self._store.find(SECURITY_GROUP, "vpc", vpc_id)
        ids = [*(asked.get("Groups") or params.get("SecurityGroupIds") or ())]
        for name in params.get("SecurityGroups") or ():
            named = next((each.id for each in groups if each.name == name), None)
            if named is None:
                raise error.group_not_found(name)
            ids.append(named)
        if not ids:
            return tuple(each.id for each in groups if each.name == "default")
        if len(ids) > SECURITY_GROUPS_MOST:
            raise ServiceError(
                "SecurityGroupsPerInterfaceLimitExceeded",
                f"You have exceeded the maximum number of security groups allowed per network interface"
                f" ({SECURITY_GROUPS_MOST}).",
            )
        for group_id in ids:
            group = self._store.get(SECURITY_GROUP, scope.prefix + group_id)
            if group is None:
                raise error.group_not_found(group_id)
            if group.vpc_id != vpc_id:
                raise ServiceError(
                    "InvalidParameter",
                    f"Security group {group_id} and subnet belong to different networks.",
                )
        return tuple(dict.fromkeys(ids))

    def _instance_profile(self, context: RequestContext, params: Params) -> str | None:
        named = params.get("IamInstanceProfile") or {}
        name = named.get("Name") or (named.get("Arn") or "").rpartition("/")[2]
        if not name:
            return None
        profile = self._store.get(INSTANCE_PROFILE, f"{context.account}/{name}")
        if profile is None:
            member = "name" if named.get("Name") else "arn"
            value = named.get("Name") or named.get("Arn")
            raise error.invalid_value(
                f"Value ({value}) for parameter iamInstanceProfile.{member} is invalid. "
                f"Invalid IAM Instance Profile {'name' if member == 'name' else 'ARN'}"
            )
        return str(arn.Arn("iam", "", context.account, f"instance-profile{profile.path}{profile.name}"))
