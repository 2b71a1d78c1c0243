"""What RunInstances asks for, checked: image, type, primary interface, tags; what is not there is refused by name."""

import difflib
import hashlib
import json
import platform
from collections.abc import Mapping
from typing import Any, Final

from portside.api.ec2 import error, unsupported
from portside.api.ec2.selection import merged, parse_tags
from portside.api.ec2.unsupported import is_asked_for
from portside.aws.service import Params, ServiceError
from portside.domain import ecs_image, user_data
from portside.domain.ec2_instance_type import INSTANCE_TYPES, InstanceType
from portside.domain.record import Tags

NATIVE_ARCHITECTURE: Final = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
"""Of this machine, in EC2's words: containers for another do not run here."""

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


def refuse_unsupported(params: Params) -> None:
    for name in params.keys() - SUPPORTED:
        if is_asked_for(params[name]):
            raise _not_supported(name)
    placement = params.get("Placement") or {}
    for name in placement.keys() - {"AvailabilityZone"}:
        if is_asked_for(placement[name]) and (name, placement[name]) != ("Tenancy", "default"):
            raise _not_supported(f"Placement.{name}")
    if params.get("KeyName"):
        raise ServiceError(
            "InvalidKeyPair.NotFound", f"The key pair '{params['KeyName']}' does not exist"
        )  # nobody can log in to an instance: there are no key pairs
    if (params.get("InstanceInitiatedShutdownBehavior") or "stop") != "stop":
        raise _not_supported("InstanceInitiatedShutdownBehavior terminate")
    if (params.get("Monitoring") or {}).get("Enabled"):
        raise _not_supported("Monitoring")


def _not_supported(what: str) -> ServiceError:
    return unsupported.unsupported("RunInstances", what)


def image(region: str, params: Params) -> str:
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


def kind(params: Params) -> InstanceType:
    named = params.get("InstanceType") or "m1.small"
    kind = INSTANCE_TYPES.get(named)
    if kind is None:
        close = difflib.get_close_matches(named, INSTANCE_TYPES, n=5)
        like = f" The likes of it are {', '.join(close)};" if close else ""
        raise ServiceError(
            "Unsupported", f"Portside has no instances of type {named}.{like} DescribeInstanceTypes has them all."
        )
    if kind.architecture != NATIVE_ARCHITECTURE:
        raise error.invalid_value(
            f"The architecture '{kind.architecture}' of the specified instance type does not match the architecture "
            f"'{NATIVE_ARCHITECTURE}' of the specified AMI."
        )
    return kind


def interface(params: Params) -> Mapping[str, Any]:
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
        raise _not_supported("more than one of NetworkInterfaces")
    first: Mapping[str, Any] = asked[0]
    for name in first.keys() - _INTERFACE_SUPPORTED:
        if is_asked_for(first[name]):
            raise _not_supported(f"NetworkInterfaces.{name}")
    if first.get("DeviceIndex") != 0:
        raise error.invalid_value("A primary network interface (device index 0) is required.")
    if first.get("DeleteOnTermination") is False:
        raise _not_supported("NetworkInterfaces.DeleteOnTermination false")
    if (first.get("InterfaceType") or "interface") != "interface" or first.get("NetworkCardIndex"):
        raise _not_supported("NetworkInterfaces.InterfaceType and NetworkCardIndex")
    return first


def checked_user_data(given: str) -> str:
    """Raises: ServiceError for what can not be read."""
    try:
        user_data.configuration(given)
    except user_data.Unreadable as unreadable:
        raise error.invalid_value(str(unreadable)) from None
    return given


def tags(params: Params) -> dict[str, Tags]:
    """By resource type. Raises: ServiceError for what is not made by the request."""
    found: dict[str, Tags] = {}
    for each in params.get("TagSpecifications") or ():
        kind = each.get("ResourceType") or ""
        if kind not in ("instance", "network-interface"):
            raise _not_supported(f"TagSpecifications of {kind}")
        found[kind] = merged(found.get(kind, ()), parse_tags(each.get("Tags") or ()))
    return found


def digest(params: Params) -> str:
    rest = {name: value for name, value in params.items() if name not in ("ClientToken", "DryRun")}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, default=str).encode()).hexdigest()[:16]
