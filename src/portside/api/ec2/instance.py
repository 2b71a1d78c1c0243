"""Instances: run, start, stop, terminate, describe. Handlers write what is desired; the instance loop makes it so."""

import base64
import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from typing import Any, Final

from portside.api.ec2 import error
from portside.api.ec2.default_network import new_id
from portside.api.ec2.instance_wire import FIELDS, STATUS_FIELDS, instance_to, state_to, status_to
from portside.api.ec2.network_interface import taken_addresses
from portside.api.ec2.selection import answer, merged, page, parse_tags, selected
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import arn, ecs_image, instance, user_data, vpc_rule
from portside.domain.clock import Clock, Ids
from portside.domain.ec2_instance_type import INSTANCE_TYPES, InstanceType
from portside.domain.instance import Instance, InstanceState
from portside.domain.record import Scope, Tags, replace
from portside.domain.refusal import Refused
from portside.domain.table import ENI, INSTANCE, INSTANCE_PROFILE, SECURITY_GROUP, SUBNET, VPC
from portside.domain.vpc import Eni, Subnet
from portside.store.interface import Put, Store, Write

NATIVE_ARCHITECTURE: Final = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
"""Of this machine, in EC2's words: containers for another do not run here."""
LAUNCHED_MOST: Final = 20
SECURITY_GROUPS_MOST: Final = 5

SUPPORTED: Final = frozenset(
    {
        *("ImageId", "InstanceType", "MinCount", "MaxCount", "SubnetId", "SecurityGroupIds", "SecurityGroups"),
        *("UserData", "TagSpecifications", "ClientToken", "DryRun", "PrivateIpAddress", "NetworkInterfaces"),
        *("IamInstanceProfile", "Placement", "KeyName", "InstanceInitiatedShutdownBehavior", "Monitoring"),
    }
)
"""Members of RunInstances; any other that asks for something is refused by name."""
_INTERFACE_SUPPORTED: Final = frozenset(
    {
        *("AssociatePublicIpAddress", "DeleteOnTermination", "Description", "DeviceIndex", "Groups"),
        *("PrivateIpAddress", "SubnetId", "InterfaceType", "NetworkCardIndex"),
    }
)


class InstanceHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "RunInstances": self.run,
            "DescribeInstances": self.describe,
            "DescribeInstanceStatus": self.describe_status,
            "DescribeInstanceAttribute": self.describe_attribute,
            "DescribeInstanceCreditSpecifications": self.describe_credits,
            "ModifyInstanceAttribute": self.modify_attribute,
            "RebootInstances": self.reboot,
            "StartInstances": self.start,
            "StopInstances": self.stop,
            "TerminateInstances": self.terminate,
        }

    # --- RunInstances

    def run(self, context: RequestContext, params: Params) -> Result:
        _refuse_unsupported(params)
        scope = Scope(account=context.account, region=context.region)
        token = params.get("ClientToken") or None
        digest = _digest(params)
        repeated = self._store.find(INSTANCE, "client_token", f"{context.prefix}{token}") if token else []
        if repeated:
            if any(each.request_digest != digest for each in repeated):
                raise ServiceError(
                    "IdempotentParameterMismatch",
                    f"The client token {token} was used before with other parameters.",
                )
            return self._reservation(repeated)
        least, most = params["MinCount"], params["MaxCount"]
        if least < 1 or most < least:
            raise error.invalid_value(
                f"Invalid value '{least}' for MinCount: it is at least 1 and not more than MaxCount, '{most}'."
            )
        if most > LAUNCHED_MOST:
            raise ServiceError(
                "InstanceLimitExceeded", f"Your quota allows for {LAUNCHED_MOST} more running instance(s)."
            )
        image_id, kind = _image(context.region, params), _kind(params)
        asked = _interface(params)
        subnet = self._subnet(scope, params, asked)
        groups = self._groups(scope, params, asked, subnet.vpc_id)
        address = asked.get("PrivateIpAddress") or params.get("PrivateIpAddress")
        if address and most > 1:
            raise ServiceError(
                "InvalidParameterCombination", "An address can be asked for where one instance is launched."
            )
        given = _user_data(params.get("UserData") or "")
        tags = _tags(params)
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
                owner=f"instance:{instance_id}",
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
        return self._reservation(made)

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

    def _groups(self, scope: Scope, params: Params, asked: Mapping[str, Any], vpc_id: str) -> tuple[str, ...]:
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

    # --- the others

    def describe(self, context: RequestContext, params: Params) -> Result:
        found = self._asked(context, params.get("InstanceIds") or ())
        rows, token = page(selected(found, params, FIELDS, lambda i: i.tags), params, lambda i: i.id)
        reservations: dict[str, list[Instance]] = {}
        for each in rows:
            reservations.setdefault(each.reservation_id, []).append(each)
        return answer("Reservations", [self._reservation(each) for each in reservations.values()], token)

    def describe_status(self, context: RequestContext, params: Params) -> Result:
        found = self._asked(context, params.get("InstanceIds") or ())
        if not params.get("IncludeAllInstances"):
            found = [each for each in found if each.state is InstanceState.RUNNING]
        rows, token = page(selected(found, params, STATUS_FIELDS), params, lambda i: i.id)
        return answer("InstanceStatuses", [status_to(each) for each in rows], token)

    def describe_attribute(self, context: RequestContext, params: Params) -> Result:
        (found,) = self._asked(context, [params["InstanceId"]])
        name = params["Attribute"]
        eni = self._store.get(ENI, f"{found.scope.prefix}{found.eni_id}")
        values: dict[str, tuple[str, Any]] = {
            "instanceType": ("InstanceType", {"Value": found.instance_type}),
            "userData": ("UserData", {"Value": found.user_data} if found.user_data else {}),
            "disableApiTermination": ("DisableApiTermination", {"Value": False}),
            "disableApiStop": ("DisableApiStop", {"Value": False}),
            "instanceInitiatedShutdownBehavior": ("InstanceInitiatedShutdownBehavior", {"Value": "stop"}),
            "sourceDestCheck": ("SourceDestCheck", {"Value": True}),
            "ebsOptimized": ("EbsOptimized", {"Value": False}),
            "groupSet": ("Groups", [{"GroupId": each} for each in (eni.security_group_ids if eni else ())]),
            "blockDeviceMapping": ("BlockDeviceMappings", []),
        }
        if name not in values:
            raise error.invalid_value(f"Value ({name}) for parameter attribute is invalid.")
        member, value = values[name]
        return {"InstanceId": found.id, member: value}

    def describe_credits(self, context: RequestContext, params: Params) -> Result:
        """No credits are counted: what a type has is there all the time."""
        found = self._asked(context, params.get("InstanceIds") or ())
        burstable = [each for each in found if INSTANCE_TYPES[each.instance_type].burstable]
        if params.get("InstanceIds") and len(burstable) != len(found):
            raise ServiceError("InvalidParameterCombination", "Credits are those of burstable instances only.")
        fields = {"instance-id": FIELDS["instance-id"]}
        rows, token = page(selected(burstable, params, fields), params, lambda i: i.id)
        shown = [{"InstanceId": each.id, "CpuCredits": "unlimited"} for each in rows]
        return answer("InstanceCreditSpecifications", shown, token)

    def modify_attribute(self, context: RequestContext, params: Params) -> Result:
        (found,) = self._asked(context, [params["InstanceId"]])
        asked = {name for name, value in params.items() if value is not None} - {"InstanceId", "DryRun"}
        for name in ("DisableApiTermination", "DisableApiStop", "EbsOptimized"):
            if (params.get(name) or {}).get("Value") is False:
                asked.discard(name)  # as it is
        if (params.get("SourceDestCheck") or {}).get("Value") is True:
            asked.discard("SourceDestCheck")
        for name in asked - {"InstanceType", "UserData", "Groups"}:
            raise ServiceError("Unsupported", f"Portside does not support {name} of ModifyInstanceAttribute yet.")
        writes: list[Write] = []
        changed = found
        if asked & {"InstanceType", "UserData"} and found.state is not InstanceState.STOPPED:
            raise ServiceError("IncorrectInstanceState", f"The instance '{found.id}' is not in the 'stopped' state.")
        if "InstanceType" in asked:
            changed = replace(changed, instance_type=_kind({"InstanceType": params["InstanceType"].get("Value")}).name)
        if "UserData" in asked:
            given = params["UserData"].get("Value") or b""
            changed = replace(changed, user_data=_user_data(_text(given)))
        if "Groups" in asked:
            groups = self._groups(found.scope, {"SecurityGroupIds": params["Groups"]}, {}, found.vpc_id)
            eni = self._store.get(ENI, f"{found.scope.prefix}{found.eni_id}")
            if eni is not None:
                writes.append(Put(ENI, replace(eni, security_group_ids=groups)))
        if changed is not found:
            writes.append(Put(INSTANCE, changed))
        self._store.transact(*writes)
        return {}

    def reboot(self, context: RequestContext, params: Params) -> Result:
        self._change(context, params, "", instance.rebooted)
        return {}

    def start(self, context: RequestContext, params: Params) -> Result:
        return self._change(context, params, "StartingInstances", instance.started)

    def stop(self, context: RequestContext, params: Params) -> Result:
        if params.get("Hibernate"):
            raise ServiceError("UnsupportedHibernationConfiguration", "No instance is set up for hibernation.")
        return self._change(context, params, "StoppingInstances", instance.stopped)

    def terminate(self, context: RequestContext, params: Params) -> Result:
        return self._change(context, params, "TerminatingInstances", instance.terminated)

    def _change(self, context: RequestContext, params: Params, member: str, rule: Any) -> Result:
        found = self._asked(context, params["InstanceIds"])
        if not found:
            raise error.missing_parameter("InstanceId")
        now = self._clock.now().replace(microsecond=0)
        try:
            changed = [rule(each, now=now) for each in found]
        except Refused as refused:
            raise ServiceError("IncorrectInstanceState", refused.message) from None
        self._store.transact(*(Put(INSTANCE, new) for old, new in zip(found, changed, strict=True) if new is not old))
        return {
            member: [
                {"InstanceId": new.id, "PreviousState": state_to(old), "CurrentState": state_to(new)}
                for old, new in zip(found, changed, strict=True)
            ]
        }

    def _asked(self, context: RequestContext, ids: Iterable[str]) -> list[Instance]:
        """Those named, or all. Raises: ServiceError for one that is not there."""
        now = self._clock.now()
        there = {
            each.id: each for each in self._store.scan(INSTANCE, context.prefix) if not instance.is_gone(each, now=now)
        }
        asked = list(dict.fromkeys(ids))
        for each in asked:
            if not _is_id(each):
                raise ServiceError("InvalidInstanceID.Malformed", f'Invalid id: "{each}"')
        missing = [each for each in asked if each not in there]
        if missing:
            words = (
                f"instance ID '{missing[0]}' does" if len(missing) == 1 else f"instance IDs '{', '.join(missing)}' do"
            )
            raise ServiceError("InvalidInstanceID.NotFound", f"The {words} not exist")
        return [there[each] for each in asked] if asked else list(there.values())

    def _reservation(self, instances: list[Instance]) -> dict[str, Any]:
        return {
            "ReservationId": instances[0].reservation_id,
            "OwnerId": instances[0].scope.account,
            "Groups": [],
            "Instances": [self._to_wire(each) for each in instances],
        }

    def _to_wire(self, each: Instance) -> dict[str, Any]:
        eni = self._store.get(ENI, f"{each.scope.prefix}{each.eni_id}")
        names = {
            group_id: group.name
            for group_id in (eni.security_group_ids if eni is not None else ())
            if (group := self._store.get(SECURITY_GROUP, each.scope.prefix + group_id)) is not None
        }
        vpc = self._store.get(VPC, each.scope.prefix + each.vpc_id)
        return instance_to(each, eni, names, dns_hostnames=vpc is not None and vpc.dns_hostnames)


def _user_data(given: str) -> str:
    """Raises: ServiceError for what can not be read."""
    try:
        user_data.configuration(given)
    except user_data.Unreadable as unreadable:
        raise error.invalid_value(str(unreadable)) from None
    return given


def _text(value: str | bytes) -> str:
    """A blob, which came as base64, as base64 again."""
    return value if isinstance(value, str) else base64.b64encode(value).decode()


def _is_id(text: str) -> bool:
    digits = text.removeprefix("i-")
    return digits != text and len(digits) in (8, 17) and all(each in "0123456789abcdef" for each in digits)


def _image(region: str, params: Params) -> str:
    named = params.get("ImageId") or ""
    if not named:
        raise error.missing_parameter("ImageId")
    image_id = named
    if named.startswith("resolve:ssm:"):
        value = ecs_image.parameter(region, named.removeprefix("resolve:ssm:"))
        if value is None:
            raise error.invalid_value(f"Unable to resolve the SSM parameter {named.removeprefix('resolve:ssm:')}")
        image_id = json.loads(value)["image_id"] if value.startswith("{") else value
    image = ecs_image.find(region, image_id)
    if image is None:
        raise ServiceError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    if image.architecture != NATIVE_ARCHITECTURE:
        raise ServiceError(
            "Unsupported",
            f"This machine runs {NATIVE_ARCHITECTURE} containers, and {image_id} is for {image.architecture}.",
        )
    return image_id


def _kind(params: Params) -> InstanceType:
    named = params.get("InstanceType") or "m1.small"
    kind = INSTANCE_TYPES.get(named)
    if kind is None:
        raise ServiceError("Unsupported", f"Portside has no instances of type {named}; see DescribeInstanceTypes.")
    if kind.architecture != NATIVE_ARCHITECTURE:
        raise error.invalid_value(
            f"The architecture '{kind.architecture}' of the specified instance type does not match the architecture "
            f"'{NATIVE_ARCHITECTURE}' of the specified AMI."
        )
    return kind


def _interface(params: Params) -> Mapping[str, Any]:
    """The primary interface as `NetworkInterfaces` describes it; empty if it does not."""
    asked = params.get("NetworkInterfaces") or ()
    if not asked:
        return {}
    if params.get("SubnetId") or params.get("SecurityGroupIds") or params.get("SecurityGroups"):
        raise ServiceError(
            "InvalidParameterCombination",
            "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same"
            " request",
        )
    if len(asked) > 1:
        raise _unsupported("more than one of NetworkInterfaces")
    first: Mapping[str, Any] = asked[0]
    for name in first.keys() - _INTERFACE_SUPPORTED:
        if _is_asked_for(first[name]):
            raise _unsupported(f"NetworkInterfaces.{name}")
    if first.get("DeviceIndex") != 0:
        raise error.invalid_value("A primary network interface (device index 0) is required.")
    if first.get("DeleteOnTermination") is False:
        raise _unsupported("NetworkInterfaces.DeleteOnTermination false")
    if (first.get("InterfaceType") or "interface") != "interface" or first.get("NetworkCardIndex"):
        raise _unsupported("NetworkInterfaces.InterfaceType and NetworkCardIndex")
    return first


def _refuse_unsupported(params: Params) -> None:
    for name in params.keys() - SUPPORTED:
        if _is_asked_for(params[name]):
            raise _unsupported(name)
    placement = params.get("Placement") or {}
    for name in placement.keys() - {"AvailabilityZone"}:
        if _is_asked_for(placement[name]) and (name, placement[name]) != ("Tenancy", "default"):
            raise _unsupported(f"Placement.{name}")
    if params.get("KeyName"):
        raise ServiceError(
            "InvalidKeyPair.NotFound", f"The key pair '{params['KeyName']}' does not exist"
        )  # nobody can log in to an instance: there are no key pairs
    if (params.get("InstanceInitiatedShutdownBehavior") or "stop") != "stop":
        raise _unsupported("InstanceInitiatedShutdownBehavior terminate")
    if (params.get("Monitoring") or {}).get("Enabled"):
        raise _unsupported("Monitoring")


def _unsupported(what: str) -> ServiceError:
    return ServiceError("Unsupported", f"Portside does not support {what} of RunInstances yet; see docs/coverage.md")


def _is_asked_for(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_is_asked_for(each) for each in value.values())
    if isinstance(value, list | tuple):
        return bool(value)
    return value is not None and value is not False and value != "" and value != 0


def _tags(params: Params) -> dict[str, Tags]:
    """By resource type. Raises: ServiceError for what is not made by the request."""
    found: dict[str, Tags] = {}
    for each in params.get("TagSpecifications") or ():
        kind = each.get("ResourceType") or ""
        if kind not in ("instance", "network-interface"):
            raise _unsupported(f"TagSpecifications of {kind}")
        found[kind] = merged(found.get(kind, ()), parse_tags(each.get("Tags") or ()))
    return found


def _digest(params: Params) -> str:
    rest = {name: value for name, value in params.items() if name not in ("ClientToken", "DryRun")}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, default=str).encode()).hexdigest()[:16]
