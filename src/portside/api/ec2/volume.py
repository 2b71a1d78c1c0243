"""Volumes of EBS: asked for, changed and asked to go; a loop makes their files so."""

import hashlib
import json
from typing import Any

from portside.api.ec2 import error
from portside.api.ec2.default_network import new_id
from portside.api.ec2.lookup import asked, found, repeated, scope_of
from portside.api.ec2.selection import answer, flag, page, selected, tag_list, tags_for
from portside.api.ec2.unsupported import refuse_others
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import ebs, vpc_rule
from portside.domain.clock import Clock, Ids
from portside.domain.ebs import EbsVolume
from portside.domain.instance import InstanceState
from portside.domain.record import replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.table import EBS_SNAPSHOT, EBS_VOLUME, INSTANCE
from portside.store.interface import ABSENT, Put, Store

_ECS = "ecs.amazonaws.com"
_UP = (InstanceState.PENDING, InstanceState.RUNNING, InstanceState.STOPPING, InstanceState.STOPPED)


class VolumeHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateVolume": self.create,
            "DeleteVolume": self.delete,
            "ModifyVolume": self.modify,
            "AttachVolume": self.attach,
            "DetachVolume": self.detach,
            "DescribeVolumes": self.describe,
            "DescribeVolumesModifications": self.describe_modifications,
            "DescribeVolumeStatus": self.describe_status,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        refuse_others(
            "CreateVolume",
            params,
            *("AvailabilityZone", "AvailabilityZoneId", "Encrypted", "Iops", "KmsKeyId", "Size", "SnapshotId"),
            *("VolumeType", "Throughput", "ClientToken"),
        )
        token, digest = params.get("ClientToken") or "", _digest(params)
        volume: EbsVolume | None = repeated(self._store, context, EBS_VOLUME, token)
        if volume is not None and volume.request_digest != digest:
            raise ServiceError(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            )
        if volume is None:
            volume = self._made(context, params, token, digest)
        wire = _to_wire(volume)
        del wire["Attachments"]
        return wire

    def _made(self, context: RequestContext, params: Params, token: str, digest: str) -> EbsVolume:
        zone = _zone(context, params)
        size_gib, snapshot_id = params.get("Size"), params.get("SnapshotId") or ""
        if size_gib is None and not snapshot_id:
            raise error.missing_parameter("size/snapshot")
        snapshot = found(self._store, context, EBS_SNAPSHOT, snapshot_id) if snapshot_id else None
        if size_gib is None and snapshot is not None:
            size_gib = snapshot.size_gib
        assert size_gib is not None
        is_encrypted = bool(params.get("Encrypted")) or (snapshot is not None and snapshot.is_encrypted)
        if params.get("KmsKeyId") and not is_encrypted:
            raise ServiceError(
                "InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set."
            )
        try:
            shape = ebs.shape(params.get("VolumeType") or "gp2", size_gib, params.get("Iops"), params.get("Throughput"))
            if snapshot is not None:
                ebs.check_snapshot(snapshot, shape.size_gib)
        except Refused as refused:
            raise _worded(refused) from None
        volume = EbsVolume(
            scope=scope_of(context),
            id=new_id(self._ids, "vol"),
            zone=zone,
            size_gib=shape.size_gib,
            type=shape.type,
            iops=shape.iops,
            throughput=shape.throughput,
            is_encrypted=is_encrypted,
            kms_key_id=params.get("KmsKeyId") or (snapshot.kms_key_id if snapshot is not None else ""),
            snapshot_id=snapshot_id,
            tags=tags_for(params, "volume"),
            client_token=token,
            request_digest=digest if token else "",
            created_at=self._clock.now(),
        )
        self._store.transact(Put(EBS_VOLUME, volume, expect=ABSENT))
        return volume

    def delete(self, context: RequestContext, params: Params) -> Result:
        volume = found(self._store, context, EBS_VOLUME, params.get("VolumeId"))
        if volume.owner or volume.instance_id:
            holder = volume.owner_arn or volume.instance_id
            raise ServiceError("VolumeInUse", f"Volume {volume.id} is currently attached to {holder}")
        if volume.status == "creating":
            raise ServiceError("IncorrectState", f"Volume {volume.id} is in state creating.")
        if volume.status != "deleting":
            self._store.transact(Put(EBS_VOLUME, replace(volume, status="deleting")))
        return {}

    def attach(self, context: RequestContext, params: Params) -> Result:
        refuse_others("AttachVolume", params, "VolumeId", "InstanceId", "Device")
        volume = found(self._store, context, EBS_VOLUME, params.get("VolumeId"))
        instance = found(self._store, context, INSTANCE, params.get("InstanceId"))
        taken = {each.device for each in self._store.find(EBS_VOLUME, "instance", instance.id)} | {"/dev/xvda"}
        try:
            volume = ebs.attached(
                volume,
                instance_id=instance.id,
                zone=instance.zone,
                is_up=instance.state in _UP,
                device=params.get("Device") or "",
                taken=taken,
                now=self._clock.now(),
            )
        except Refused as refused:
            raise _worded(refused) from None
        self._store.transact(Put(EBS_VOLUME, volume))
        return _attachments(volume)[0]

    def detach(self, context: RequestContext, params: Params) -> Result:
        refuse_others("DetachVolume", params, "VolumeId", "InstanceId", "Device", "Force")
        volume = found(self._store, context, EBS_VOLUME, params.get("VolumeId"))
        try:
            volume = ebs.detached(volume, instance_id=params.get("InstanceId") or "", device=params.get("Device") or "")
        except Refused as refused:
            raise _worded(refused) from None
        self._store.transact(Put(EBS_VOLUME, volume))
        return _attachments(volume)[0]

    def modify(self, context: RequestContext, params: Params) -> Result:
        refuse_others("ModifyVolume", params, "VolumeId", "Size", "VolumeType", "Iops", "Throughput")
        volume = found(self._store, context, EBS_VOLUME, params.get("VolumeId"))
        if volume.status not in ("available", "in-use"):
            raise ServiceError("IncorrectState", f"Volume {volume.id} is in state {volume.status}.")
        asked_for = [params.get(name) for name in ("Size", "VolumeType", "Iops", "Throughput")]
        if all(each is None for each in asked_for):
            raise error.missing_parameter("size, type, iops or throughput")
        try:
            volume = ebs.modified(
                volume,
                size_gib=params.get("Size"),
                volume_type=params.get("VolumeType"),
                iops=params.get("Iops"),
                throughput=params.get("Throughput"),
                now=self._clock.now(),
            )
        except Refused as refused:
            raise _worded(refused) from None
        self._store.transact(Put(EBS_VOLUME, volume))
        return {"VolumeModification": _modification_to_wire(volume)}

    def describe(self, context: RequestContext, params: Params) -> Result:
        volumes: list[EbsVolume] = asked(self._store, context, EBS_VOLUME, params.get("VolumeIds"))
        _no_page_of_named(params, "VolumeIds")
        rows, token = page(selected(volumes, params, _FIELDS, lambda v: v.tags), params, lambda v: v.id)
        return answer("Volumes", [_to_wire(each) for each in rows], token)

    def describe_modifications(self, context: RequestContext, params: Params) -> Result:
        volumes: list[EbsVolume] = asked(self._store, context, EBS_VOLUME, params.get("VolumeIds"))
        for each in volumes if params.get("VolumeIds") else ():
            if each.modification is None:
                raise ServiceError(
                    "InvalidVolumeModification.NotFound", f"Modification for volume '{each.id}' does not exist."
                )
        changed = [each for each in volumes if each.modification is not None]
        rows, token = page(selected(changed, params, _MODIFICATION_FIELDS), params, lambda v: v.id, least=1)
        return answer("VolumesModifications", [_modification_to_wire(each) for each in rows], token)

    def describe_status(self, context: RequestContext, params: Params) -> Result:
        volumes: list[EbsVolume] = asked(self._store, context, EBS_VOLUME, params.get("VolumeIds"))
        _no_page_of_named(params, "VolumeIds")
        rows, token = page(selected(volumes, params, _STATUS_FIELDS), params, lambda v: v.id)
        return answer("VolumeStatuses", [_status_to_wire(each) for each in rows], token)


def _zone(context: RequestContext, params: Params) -> str:
    """Raises: ServiceError."""
    name, zone_id = params.get("AvailabilityZone"), params.get("AvailabilityZoneId")
    if name and zone_id:
        raise ServiceError(
            "InvalidParameterCombination", "AvailabilityZone and AvailabilityZoneId can not both be specified."
        )
    if not name and not zone_id:
        raise error.missing_parameter("zone")
    for letter in vpc_rule.ZONE_LETTERS:
        zone = f"{context.region}{letter}"
        if name == zone or (zone_id and zone_id == _zone_id(zone)):
            return zone
    raise ServiceError("InvalidZone.NotFound", f"The zone '{name or zone_id}' does not exist.")


def _zone_id(zone: str) -> str:
    return vpc_rule.zone_id(zone[:-1], zone[-1])


def _worded(refused: Refused) -> ServiceError:
    match refused.kind, refused.what:
        case RefusalKind.IN_USE, _:
            return ServiceError("VolumeInUse", refused.message)
        case RefusalKind.NOT_FOUND, "attachment":
            return ServiceError("InvalidAttachment.NotFound", refused.message)
        case RefusalKind.CONFLICT, "zone":
            return ServiceError("InvalidVolume.ZoneMismatch", refused.message)
        case RefusalKind.CONFLICT, "managed":
            return ServiceError("OperationNotPermitted", refused.message)
        case RefusalKind.CONFLICT, "modifying":
            return ServiceError("IncorrectModificationState", refused.message)
        case RefusalKind.CONFLICT, _:
            return ServiceError("IncorrectState", refused.message)
        case _, "missing":
            return ServiceError("MissingParameter", refused.message)
        case _, "combination":
            return ServiceError("InvalidParameterCombination", refused.message)
        case _:
            return error.invalid_value(refused.message)


def _no_page_of_named(params: Params, ids: str) -> None:
    """Raises: ServiceError: EC2 gives no pages of what is named."""
    if params.get(ids) and params.get("MaxResults") is not None:
        raise ServiceError(
            "InvalidParameterCombination", "The parameter volumeIds cannot be used with the parameter maxResults"
        )


def _digest(params: Params) -> str:
    rest = {name: value for name, value in params.items() if name not in ("ClientToken", "DryRun")}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _to_wire(volume: EbsVolume) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "VolumeId": volume.id,
        "VolumeArn": f"arn:aws:ec2:{volume.scope.region}:{volume.scope.account}:volume/{volume.id}",
        "OwnerId": volume.scope.account,
        "AvailabilityZone": volume.zone,
        "AvailabilityZoneId": _zone_id(volume.zone),
        "Size": volume.size_gib,
        "VolumeType": volume.type,
        "State": volume.status,
        "SnapshotId": volume.snapshot_id,
        "Encrypted": volume.is_encrypted,
        "MultiAttachEnabled": False,
        "CreateTime": volume.created_at,
        "Attachments": _attachments(volume),
        "Tags": tag_list(volume.tags),
    }
    if volume.iops is not None:
        wire["Iops"] = volume.iops
    if volume.throughput is not None:
        wire["Throughput"] = volume.throughput
    if volume.kms_key_id:
        wire["KmsKeyId"] = volume.kms_key_id
    if volume.owner:
        wire["Operator"] = {"Managed": True, "Principal": _ECS}
    return wire


def _attachments(volume: EbsVolume) -> list[dict[str, Any]]:
    if volume.instance_id:
        return [
            {
                "VolumeId": volume.id,
                "InstanceId": volume.instance_id,
                "Device": volume.device,
                "State": volume.attachment,
                "AttachTime": volume.attached_at,
                "DeleteOnTermination": False,
            }
        ]
    if volume.attached_at is None:
        return []
    return [
        {
            "VolumeId": volume.id,
            "State": "attached",
            "AttachTime": volume.attached_at,
            "DeleteOnTermination": volume.delete_on_termination,
            "AssociatedResource": volume.owner_arn,
            "InstanceOwningService": _ECS,
        }
    ]


def _modification_to_wire(volume: EbsVolume) -> dict[str, Any]:
    change = volume.modification
    assert change is not None
    wire: dict[str, Any] = {
        "VolumeId": volume.id,
        "ModificationState": change.status,
        "Progress": 100 if change.status == "completed" else 0,
        "StartTime": change.started_at,
        "OriginalSize": change.original_size_gib,
        "OriginalVolumeType": change.original_type,
        "OriginalIops": change.original_iops,
        "OriginalThroughput": change.original_throughput,
        "OriginalMultiAttachEnabled": False,
        "TargetSize": change.size_gib,
        "TargetVolumeType": change.type,
        "TargetIops": change.iops,
        "TargetThroughput": change.throughput,
        "TargetMultiAttachEnabled": False,
        "StatusMessage": change.message or None,
        "EndTime": change.ended_at,
    }
    return {name: value for name, value in wire.items() if value is not None}


def _status_to_wire(volume: EbsVolume) -> dict[str, Any]:
    is_well = volume.status in ("available", "in-use")
    return {
        "VolumeId": volume.id,
        "AvailabilityZone": volume.zone,
        "AvailabilityZoneId": _zone_id(volume.zone),
        "VolumeStatus": {
            "Status": _status(volume),
            "Details": [
                {"Name": "io-enabled", "Status": "passed" if is_well else "failed"},
                {"Name": "io-performance", "Status": "not-applicable"},
            ],
        },
        "Events": [],
        "Actions": [],
    }


def _status(volume: EbsVolume) -> str:
    if volume.status == "error":
        return "impaired"
    return "ok" if volume.status in ("available", "in-use") else "insufficient-data"


def _change(volume: EbsVolume, name: str) -> list[str]:
    value = getattr(volume.modification, name)
    return [] if value is None else [str(value)]


_FIELDS = {
    "attachment.attach-time": lambda v: [v.attached_at.isoformat()] if v.attached_at is not None else [],
    "attachment.delete-on-termination": lambda v: flag(v.delete_on_termination) if v.attached_at is not None else [],
    "attachment.status": lambda v: [v.attachment or "attached"] if v.attached_at is not None else [],
    "attachment.instance-id": lambda v: [v.instance_id] if v.instance_id else [],
    "attachment.device": lambda v: [v.device] if v.device else [],
    "availability-zone": lambda v: [v.zone],
    "availability-zone-id": lambda v: [_zone_id(v.zone)],
    "create-time": lambda v: [v.created_at.isoformat()],
    "encrypted": lambda v: flag(v.is_encrypted),
    "fast-restored": lambda v: flag(False),
    "multi-attach-enabled": lambda v: flag(False),
    "operator.managed": lambda v: flag(bool(v.owner)),
    "operator.principal": lambda v: [_ECS] if v.owner else [],
    "size": lambda v: [str(v.size_gib)],
    "snapshot-id": lambda v: [v.snapshot_id] if v.snapshot_id else [],
    "status": lambda v: [v.status],
    "volume-id": lambda v: [v.id],
    "volume-type": lambda v: [v.type],
}
_MODIFICATION_FIELDS = {
    "volume-id": lambda v: [v.id],
    "modification-state": lambda v: [v.modification.status],
    "start-time": lambda v: [v.modification.started_at.isoformat()],
    "original-size": lambda v: _change(v, "original_size_gib"),
    "original-volume-type": lambda v: _change(v, "original_type"),
    "original-iops": lambda v: _change(v, "original_iops"),
    "target-size": lambda v: _change(v, "size_gib"),
    "target-volume-type": lambda v: _change(v, "type"),
    "target-iops": lambda v: _change(v, "iops"),
    "originalMultiAttachEnabled": lambda v: flag(False),
    "targetMultiAttachEnabled": lambda v: flag(False),
}
_STATUS_FIELDS = {
    "availability-zone": lambda v: [v.zone],
    "volume-status.status": lambda v: [_status(v)],
    "volume-status.details-name": lambda v: ["io-enabled", "io-performance"],
    "volume-status.details-status": lambda v: ["passed" if _status(v) == "ok" else "failed", "not-applicable"],
}
