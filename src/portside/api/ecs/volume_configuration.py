"""`volumeConfigurations` of RunTask, StartTask and services: the EBS volume that each task gets.

Source: API_TaskVolumeConfiguration, API_ServiceVolumeConfiguration. The messages are AWS's where those are known.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from portside.api.ecs import wire
from portside.api.ecs.error import invalid
from portside.domain import ebs, tag_rule
from portside.domain.managed_volume import RESERVED_TAGS, FileSystemType, ManagedVolume
from portside.domain.refusal import Refused
from portside.domain.task_definition import TaskDefinition

MOST: Final = 1
RATES: Final = ebs.Range(100, 300)
"""MiB/s. A volume here is whole before its task starts, whatever is asked for."""


def checked(
    items: Sequence[Mapping[str, Any]] | None, definition: TaskDefinition, *, on_fargate: bool, of_service: bool
) -> ManagedVolume | None:
    """
    Raises:
        ServiceError: InvalidParameterException, it does not fit the task definition or EBS.
    """
    deferred = next((each.name for each in definition.volumes if each.is_configured_at_launch), None)
    if not items:
        if deferred is not None:
            raise invalid(
                f"The task definition has volume '{deferred}' configured at launch, but no volumeConfigurations."
            )
        return None
    if len(items) > MOST:
        raise invalid(f"volumeConfigurations can have at most {MOST} items.")
    name, given = items[0].get("name") or "", items[0].get("managedEBSVolume")
    if name != deferred:
        raise invalid(
            f"The volume '{name}' in volumeConfigurations is not configured at launch in the task definition."
        )
    if given is None:
        raise invalid(f"managedEBSVolume must be specified for volume '{name}'.")
    volume = _from(name, given, of_service=of_service)
    _check(volume, on_fargate=on_fargate)
    return volume


def check_again(volume: ManagedVolume | None, definition: TaskDefinition) -> None:
    """Of a service that goes on with its volume and another task definition. Raises ServiceError."""
    deferred = next((each.name for each in definition.volumes if each.is_configured_at_launch), None)
    if deferred != (volume.volume if volume is not None else None):
        raise invalid("The volumes that the task definition configures at launch do not match volumeConfigurations.")


def _from(name: str, given: Mapping[str, Any], *, of_service: bool) -> ManagedVolume:
    if not given.get("roleArn"):
        raise invalid("roleArn can not be blank in managedEBSVolume.")
    rate = given.get("volumeInitializationRate")
    if rate is not None and not given.get("snapshotId"):
        raise invalid("volumeInitializationRate is only supported for volumes created from snapshots.")
    if rate is not None and not RATES.least <= rate <= RATES.most:
        raise invalid(f"volumeInitializationRate must be between {RATES.least} and {RATES.most} MiB/s.")
    tags: list[Mapping[str, Any]] = []
    propagate: Any = "NONE"
    specifications = given.get("tagSpecifications") or ()
    if len(specifications) > 1:
        raise invalid("tagSpecifications can have at most 1 item.")
    for each in specifications:
        if each.get("resourceType") != "volume":
            raise invalid("tagSpecifications.resourceType must be volume.")
        tags = list(each.get("tags") or ())
        propagate = each.get("propagateTags") or "NONE"
    if propagate == "SERVICE" and not of_service:
        raise invalid("propagateTags SERVICE is only supported for tasks of a service.")
    policy = given.get("terminationPolicy") or {}
    kind: Any = given.get("filesystemType") or "xfs"
    if kind not in get_args(FileSystemType):
        raise invalid(f"filesystemType {kind} is not supported on Linux.")
    kind_of_volume: Any = given.get("volumeType") or "gp3"
    if kind_of_volume not in ebs.SIZES_GIB:
        raise invalid(f"Invalid volumeType: {kind_of_volume}.")
    return ManagedVolume(
        volume=name,
        role_arn=given["roleArn"],
        size_gib=given.get("sizeInGiB"),
        type=kind_of_volume,
        iops=given.get("iops"),
        throughput=given.get("throughput"),
        snapshot_id=given.get("snapshotId") or "",
        file_system=kind,
        is_encrypted=given.get("encrypted"),
        kms_key_id=given.get("kmsKeyId") or "",
        initialization_rate=rate,
        tags=wire.tags_from(tags),
        propagate_tags=propagate,
        delete_on_termination=policy.get("deleteOnTermination") is not False,
    )


def _check(volume: ManagedVolume, *, on_fargate: bool) -> None:
    tag_rule.check(volume.tags)
    for each in volume.tags:
        if each.key in RESERVED_TAGS:
            raise invalid(f"The tag {each.key} is reserved and can not be used.")
    if volume.size_gib is None and not volume.snapshot_id:
        raise invalid("You must specify either sizeInGiB or snapshotId in managedEBSVolume.")
    if on_fargate and volume.type == "standard":
        raise invalid("The volume type standard is not supported on Fargate.")
    if volume.size_gib is None:
        return  # the snapshot's size, which is looked at when the volume is made
    try:
        ebs.shape(volume.type, volume.size_gib, volume.iops, volume.throughput)
    except Refused as refused:
        raise invalid(refused.message) from None
