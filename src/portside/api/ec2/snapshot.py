"""Snapshots of EBS volumes: asked for and asked to go; a loop takes them."""

from dataclasses import replace
from typing import Any

from portside.api.ec2.default_network import new_id
from portside.api.ec2.lookup import asked, found, scope_of
from portside.api.ec2.selection import answer, flag, page, selected, tag_list, tags_for
from portside.api.ec2.unsupported import refuse_others
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain.clock import Clock, Ids
from portside.domain.ebs import COPIED, EbsSnapshot
from portside.domain.table import EBS_SNAPSHOT, EBS_VOLUME
from portside.store.interface import ABSENT, Delete, Put, Store


class SnapshotHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> dict[str, Handler]:
        return {
            "CopySnapshot": self.copy,
            "CreateSnapshot": self.create,
            "DeleteSnapshot": self.delete,
            "DescribeSnapshots": self.describe,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        refuse_others("CreateSnapshot", params, "VolumeId", "Description", "Location")
        volume = found(self._store, context, EBS_VOLUME, params.get("VolumeId"))
        if volume.status not in ("available", "in-use"):
            raise ServiceError("IncorrectState", f"Volume {volume.id} is in state {volume.status}.")
        snapshot = EbsSnapshot(
            scope=scope_of(context),
            id=new_id(self._ids, "snap"),
            volume_id=volume.id,
            size_gib=volume.size_gib,
            description=params.get("Description") or "",
            is_encrypted=volume.is_encrypted,
            kms_key_id=volume.kms_key_id,
            tags=tags_for(params, "snapshot"),
            started_at=self._clock.now(),
        )
        self._store.transact(Put(EBS_SNAPSHOT, snapshot, expect=ABSENT))
        return _to_wire(snapshot)

    def copy(self, context: RequestContext, params: Params) -> Result:
        """From any region: all of them are on this machine."""
        refuse_others(
            "CopySnapshot",
            params,
            *("Description", "Encrypted", "KmsKeyId", "SourceRegion", "SourceSnapshotId"),
            *("DestinationRegion", "PresignedUrl"),  # which the region asked needs on AWS, to ask the other one
        )
        there = replace(context, region=params["SourceRegion"])
        source = found(self._store, there, EBS_SNAPSHOT, params["SourceSnapshotId"])
        if source.status != "completed":
            raise ServiceError("IncorrectState", f"Snapshot {source.id} is in invalid state - {source.status}")
        is_encrypted = source.is_encrypted or bool(params.get("Encrypted"))
        if params.get("KmsKeyId") and not is_encrypted:
            raise ServiceError(
                "InvalidParameterDependency",
                "The parameter KmsKeyId requires the parameter Encrypted to be set.",
            )
        snapshot = EbsSnapshot(
            scope=scope_of(context),
            id=new_id(self._ids, "snap"),
            volume_id=COPIED,
            size_gib=source.size_gib,
            source_id=source.id,
            description=params.get("Description") or "",
            is_encrypted=is_encrypted,
            kms_key_id=params.get("KmsKeyId") or source.kms_key_id,
            tags=tags_for(params, "snapshot"),
            started_at=self._clock.now(),
        )
        self._store.transact(Put(EBS_SNAPSHOT, snapshot, expect=ABSENT))
        return {"SnapshotId": snapshot.id, "Tags": tag_list(snapshot.tags)}

    def delete(self, context: RequestContext, params: Params) -> Result:
        snapshot = found(self._store, context, EBS_SNAPSHOT, params.get("SnapshotId"))
        self._store.transact(Delete(EBS_SNAPSHOT, snapshot.key))
        return {}

    def describe(self, context: RequestContext, params: Params) -> Result:
        """Those of the account: there are no others that it could use."""
        if params.get("SnapshotIds") and params.get("MaxResults") is not None:
            raise ServiceError(
                "InvalidParameterCombination", "The parameter snapshotSet cannot be used with the parameter maxResults"
            )
        snapshots: list[EbsSnapshot] = asked(self._store, context, EBS_SNAPSHOT, params.get("SnapshotIds"))
        for name in ("OwnerIds", "RestorableByUserIds"):
            wanted = params.get(name)
            if wanted and not {"self", context.account} & set(wanted):
                snapshots = []
        rows, token = page(selected(snapshots, params, _FIELDS, lambda s: s.tags), params, lambda s: s.id)
        return answer("Snapshots", [_to_wire(each) for each in rows], token)


def _progress(snapshot: EbsSnapshot) -> str:
    return "100%" if snapshot.status == "completed" else "0%"


def _to_wire(snapshot: EbsSnapshot) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "SnapshotId": snapshot.id,
        "VolumeId": snapshot.volume_id,
        "VolumeSize": snapshot.size_gib,
        "Description": snapshot.description,
        "State": snapshot.status,
        "Progress": _progress(snapshot),
        "StartTime": snapshot.started_at,
        "OwnerId": snapshot.scope.account,
        "Encrypted": snapshot.is_encrypted,
        "StorageTier": "standard",
        "Tags": tag_list(snapshot.tags),
    }
    if snapshot.kms_key_id:
        wire["KmsKeyId"] = snapshot.kms_key_id
    if snapshot.reason:
        wire["StateMessage"] = snapshot.reason
    if snapshot.completed_at is not None:
        wire["CompletionTime"] = snapshot.completed_at
        wire["FullSnapshotSizeInBytes"] = snapshot.full_bytes
    return wire


_FIELDS = {
    "description": lambda s: [s.description],
    "encrypted": lambda s: flag(s.is_encrypted),
    "owner-id": lambda s: [s.scope.account],
    "progress": lambda s: [_progress(s)],
    "snapshot-id": lambda s: [s.id],
    "start-time": lambda s: [s.started_at.isoformat()],
    "status": lambda s: [s.status],
    "storage-tier": lambda s: ["standard"],
    "volume-id": lambda s: [s.volume_id],
    "volume-size": lambda s: [str(s.size_gib)],
}
