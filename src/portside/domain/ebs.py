"""Volumes and snapshots of EBS: what is desired and known of each, and what EC2 takes of sizes and rates.

Sources: API_CreateVolume, API_ModifyVolume, API_CreateSnapshot of EC2; EBS user guide, "Amazon EBS volume types".
"""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from portside.domain.record import Record, Scope, Tags, replace
from portside.domain.refusal import RefusalKind, Refused

GIB: Final = 1024**3
MIB: Final = 1024**2
NEARLY_FULL_PERCENT: Final = 90
"""From here on a person should know."""
VolumeType = Literal["gp2", "gp3", "io1", "io2", "st1", "sc1", "standard"]


class Range(NamedTuple):
    least: int
    most: int


SIZES_GIB: Final[Mapping[str, Range]] = {
    "gp2": Range(1, 16_384),
    "gp3": Range(1, 65_536),
    "io1": Range(4, 16_384),
    "io2": Range(4, 65_536),
    "st1": Range(125, 16_384),
    "sc1": Range(125, 16_384),
    "standard": Range(1, 1_024),
}
IOPS: Final[Mapping[str, Range]] = {
    "gp3": Range(3_000, 80_000),
    "io1": Range(100, 64_000),
    "io2": Range(100, 256_000),
}
IOPS_PER_GIB: Final[Mapping[str, int]] = {"gp3": 500, "io1": 50, "io2": 1_000}
GP3_FREE_IOPS: Final = 3_000
"""Whatever the size; the ratio to the size limits what is beyond it."""
THROUGHPUT: Final = Range(125, 2_000)
MIB_PER_S_PER_IOPS: Final = 0.25


class Modification(Record, frozen=True, kw_only=True):
    """The last ModifyVolume of a volume."""

    status: Literal["modifying", "completed", "failed"] = "modifying"
    message: str = ""
    original_size_gib: int
    original_type: VolumeType
    original_iops: int | None
    original_throughput: int | None
    size_gib: int
    type: VolumeType
    iops: int | None
    throughput: int | None
    started_at: datetime
    ended_at: datetime | None = None


class EbsVolume(Record, frozen=True, kw_only=True):
    """`status` error has its cause in `reason`. `owner`: the key of the task that the volume is for, or empty; from
    `attached_at` on it may write there. `instance_id`: of the instance that has it as the block device `device`, from
    AttachVolume until it is detached; `attachment` is how far that is."""

    scope: Scope
    id: str
    zone: str
    size_gib: int
    type: VolumeType
    iops: int | None = None
    throughput: int | None = None
    is_encrypted: bool = False
    kms_key_id: str = ""
    snapshot_id: str = ""
    status: Literal["creating", "available", "in-use", "deleting", "error"] = "creating"
    reason: str = ""
    owner: str = ""
    owner_arn: str = ""
    delete_on_termination: bool = False
    attached_at: datetime | None = None
    instance_id: str = ""
    device: str = ""
    attachment: Literal["", "attaching", "attached", "detaching"] = ""
    modification: Modification | None = None
    tags: Tags = ()
    client_token: str = ""
    request_digest: str = ""
    created_at: datetime

    @property
    def key(self) -> str:
        return f"{self.scope.prefix}{self.id}"


_DEVICE: Final = re.compile(r"/dev/(sd[a-z]|xvd[a-z]|xvd[b-d][a-z])([1-9]|1[0-5])?")
"""Source: EC2 user guide, "Device names for volumes on Amazon EC2 instances"."""


def attached(
    volume: EbsVolume, *, instance_id: str, zone: str, is_up: bool, device: str, taken: Collection[str], now: datetime
) -> EbsVolume:
    """The volume on its way to an instance. Args: zone: the instance's; is_up: it runs or is stopped; taken: the
    devices that the instance has. Raises Refused, in EC2's words."""
    if volume.owner or volume.instance_id:
        holder = volume.instance_id or volume.owner_arn
        words = (
            f"{volume.id} is already attached to an instance" if volume.instance_id else f"{volume.id} is of {holder}"
        )
        raise Refused(RefusalKind.IN_USE, words, "attachment")
    if volume.status != "available":
        raise Refused(RefusalKind.CONFLICT, f"{volume.id} is not 'available'.", "state")
    if not is_up:
        raise Refused(RefusalKind.CONFLICT, f"Instance '{instance_id}' is not 'running'.", "state")
    if volume.zone != zone:
        raise Refused(
            RefusalKind.CONFLICT,
            f"The volume '{volume.id}' is not in the same availability zone as instance '{instance_id}'",
            "zone",
        )
    if _DEVICE.fullmatch(device) is None:
        raise _invalid(f"Value ({device}) for parameter device is invalid. {device} is not a valid EBS device name.")
    if device in taken:
        raise _invalid(f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use")
    return replace(
        volume, status="in-use", instance_id=instance_id, device=device, attachment="attaching", attached_at=now
    )


def detached(volume: EbsVolume, *, instance_id: str = "", device: str = "") -> EbsVolume:
    """The volume on its way from its instance. Args: instance_id, device: as the request names them, if it does.
    Raises Refused."""
    if volume.owner:
        raise Refused(RefusalKind.CONFLICT, f"{volume.id} is managed by ECS for {volume.owner_arn}", "managed")
    if not volume.instance_id:
        raise Refused(RefusalKind.CONFLICT, f"Volume '{volume.id}' is in the '{volume.status}' state.", "state")
    if instance_id not in ("", volume.instance_id) or device not in ("", volume.device):
        named = " as ".join(each for each in (instance_id, device) if each)
        raise Refused(RefusalKind.NOT_FOUND, f"Volume '{volume.id}' is not attached to {named}.", "attachment")
    return replace(volume, attachment="detaching")


def plugged(volume: EbsVolume) -> EbsVolume:
    return replace(volume, attachment="attached") if volume.attachment == "attaching" else volume


def unplugged(volume: EbsVolume, failure: str = "") -> EbsVolume:
    """The volume is no instance's any more. Args: failure: why it can not be used at all."""
    status: Any = "error" if failure else "available" if volume.status == "in-use" else volume.status
    return replace(
        volume,
        status=status,
        reason=failure or volume.reason,
        instance_id="",
        device="",
        attachment="",
        attached_at=None,
    )


class FastRestore(Record, frozen=True, kw_only=True):
    """Asked for by EnableFastSnapshotRestores."""

    zone: str
    enabled_at: datetime


COPIED: Final = "vol-ffffffff"
"""The volume that a copy of a snapshot is of: none. Source: API_CopySnapshot, "an arbitrary source volume ID"."""


class EbsSnapshot(Record, frozen=True, kw_only=True):
    """`source_id`: the snapshot that it is a copy of, perhaps another region's."""

    scope: Scope
    id: str
    volume_id: str
    size_gib: int
    source_id: str = ""
    description: str = ""
    status: Literal["pending", "completed", "error"] = "pending"
    reason: str = ""
    full_bytes: int = 0  # all that was written to the volume, whatever earlier snapshots have of it
    is_encrypted: bool = False
    kms_key_id: str = ""
    tags: Tags = ()
    fast_restores: tuple[FastRestore, ...] = ()
    started_at: datetime
    completed_at: datetime | None = None

    @property
    def key(self) -> str:
        return f"{self.scope.prefix}{self.id}"


class VolumeUsage(Record, frozen=True, kw_only=True):
    """`used_bytes` and `capacity_bytes` as the file system says; None while nobody uses it. `stored_bytes`: what the
    file takes on the disk of the host. `is_read_only`: the kernel lets nobody write there, as after an error."""

    size_bytes: int
    stored_bytes: int
    used_bytes: int | None = None
    capacity_bytes: int | None = None
    is_read_only: bool = False

    @property
    def fill(self) -> tuple[int, int] | None:
        """Bytes used, and how many there can be; None while nobody uses it."""
        if self.used_bytes is None or not self.capacity_bytes:
            return None
        return self.used_bytes, self.capacity_bytes

    @property
    def is_nearly_full(self) -> bool:
        fill = self.fill
        return fill is not None and 100 * fill[0] >= NEARLY_FULL_PERCENT * fill[1]


class Shape(NamedTuple):
    """What a volume is to be: complete, and within EC2's bounds."""

    type: VolumeType
    size_gib: int
    iops: int | None
    throughput: int | None


def shape(volume_type: VolumeType, size_gib: int, iops: int | None = None, throughput: int | None = None) -> Shape:
    """With what EC2 sets where nothing is asked for. Raises Refused, in EC2's words."""
    size = SIZES_GIB[volume_type]
    if size_gib < size.least:
        raise _invalid(
            f"Volume of {size_gib}GiB is too small for volume type {volume_type}; minimum is {size.least}GiB."
        )
    if size_gib > size.most:
        raise _invalid(
            f"Volume of {size_gib}GiB is too large for volume type {volume_type}; maximum is {size.most}GiB."
        )
    if volume_type not in IOPS and iops is not None:
        raise _combined(f"The parameter iops is not supported for {volume_type} volumes.")
    if volume_type != "gp3" and throughput is not None:
        raise _combined(f"The parameter throughput is not supported for {volume_type} volumes.")
    if volume_type in ("io1", "io2") and iops is None:
        raise Refused(
            RefusalKind.INVALID, f"The request must contain the parameter iops for {volume_type} volumes", "missing"
        )
    if volume_type == "gp2":
        return Shape(volume_type, size_gib, min(16_000, max(100, 3 * size_gib)), None)
    if volume_type not in IOPS:
        return Shape(volume_type, size_gib, None, None)
    return _provisioned(volume_type, size_gib, GP3_FREE_IOPS if iops is None else iops, throughput)


def _provisioned(volume_type: VolumeType, size_gib: int, iops: int, throughput: int | None) -> Shape:
    bounds, ratio = IOPS[volume_type], IOPS_PER_GIB[volume_type]
    if iops < bounds.least:
        raise _invalid(f"Volume iops of {iops} is too low; minimum is {bounds.least}.")
    if iops > bounds.most:
        raise _invalid(f"Volume iops of {iops} is too high; maximum is {bounds.most}.")
    most = max(ratio * size_gib, GP3_FREE_IOPS if volume_type == "gp3" else 100)
    if iops > most:
        raise _invalid(f"Iops to volume size ratio of {iops / size_gib:f} is too high; maximum is {ratio:f}")
    if volume_type != "gp3":
        return Shape(volume_type, size_gib, iops, None)
    throughput = THROUGHPUT.least if throughput is None else throughput
    if throughput < THROUGHPUT.least:
        raise _invalid(f"Throughput (MiBps) of {throughput} is too low; minimum is {THROUGHPUT.least}.")
    if throughput > THROUGHPUT.most:
        raise _invalid(f"Throughput (MiBps) of {throughput} is too high; maximum is {THROUGHPUT.most}.")
    if throughput / iops > MIB_PER_S_PER_IOPS:
        raise _invalid(
            f"Throughput (MiBps) to iops ratio of {throughput / iops:f} is too high; maximum is "
            f"{MIB_PER_S_PER_IOPS:f} MiBps per iops"
        )
    return Shape(volume_type, size_gib, iops, throughput)


class Rates(NamedTuple):
    """What a volume may be read in a second, and as much written. None: no limit."""

    operations: int | None
    bytes: int | None


def rates(volume: EbsVolume) -> Rates:
    """What EC2 promises of the volume, one that bursts at its burst.

    Source: EBS user guide, "General Purpose SSD volumes", "Provisioned IOPS SSD volumes", "Throughput Optimized HDD and
    Cold HDD volumes"."""
    match volume.type:
        case "gp3":
            mib = volume.throughput
        case "gp2":
            mib = 128 if volume.size_gib <= 170 else 250
            return Rates(max(GP3_FREE_IOPS, volume.iops or 0), mib * MIB)
        case "io1" | "io2":
            most = {"io1": 1_000, "io2": 4_000}[volume.type]
            mib = max(1, min(most, (volume.iops or 0) // 4))
        case "st1" | "sc1":
            per_tib, most = {"st1": (250, 500), "sc1": (80, 250)}[volume.type]
            mib = min(most, per_tib * volume.size_gib // 1024)
        case "standard":
            mib = None
    return Rates(volume.iops, None if mib is None else mib * MIB)


def check_snapshot(snapshot: EbsSnapshot, size_gib: int) -> None:
    """Raises Refused: a volume of this size can not be made from it."""
    if snapshot.status != "completed":
        raise Refused(RefusalKind.CONFLICT, f"Snapshot {snapshot.id} is in invalid state - {snapshot.status}", "state")
    if size_gib < snapshot.size_gib:
        raise _invalid(
            f"Volume of {size_gib}GiB is smaller than snapshot '{snapshot.id}', expect size >= {snapshot.size_gib}GiB"
        )


def modified(
    volume: EbsVolume,
    *,
    size_gib: int | None,
    volume_type: VolumeType | None,
    iops: int | None,
    throughput: int | None,
    now: datetime,
) -> EbsVolume:
    """The volume with a modification under way. Raises Refused."""
    if volume.modification is not None and volume.modification.status == "modifying":
        raise Refused(
            RefusalKind.CONFLICT, f"Volume {volume.id} is currently being modified; try again later.", "modifying"
        )
    if size_gib is not None and size_gib < volume.size_gib:
        raise _invalid("New size cannot be smaller than existing size")
    kind = volume_type or volume.type
    if kind == volume.type:
        iops = iops if iops is not None or kind not in IOPS else volume.iops
        throughput = throughput if throughput is not None or kind != "gp3" else volume.throughput
    elif kind in IOPS and iops is None:
        iops = GP3_FREE_IOPS
    wanted = shape(kind, size_gib or volume.size_gib, iops, throughput)
    return replace(
        volume,
        modification=Modification(
            original_size_gib=volume.size_gib,
            original_type=volume.type,
            original_iops=volume.iops,
            original_throughput=volume.throughput,
            size_gib=wanted.size_gib,
            type=wanted.type,
            iops=wanted.iops,
            throughput=wanted.throughput,
            started_at=now,
        ),
    )


def modification_done(volume: EbsVolume, *, failure: str = "", now: datetime) -> EbsVolume:
    """The volume after its modification. `failure`: why it stays as it was."""
    change = volume.modification
    assert change is not None
    if failure:
        return replace(volume, modification=replace(change, status="failed", message=failure, ended_at=now))
    return replace(
        volume,
        size_gib=change.size_gib,
        type=change.type,
        iops=change.iops,
        throughput=change.throughput,
        modification=replace(change, status="completed", ended_at=now),
    )


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message, "value")


def _combined(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message, "combination")
