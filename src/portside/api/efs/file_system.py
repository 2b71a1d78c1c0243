"""File systems, what is kept with them, and tags."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from portside.api.ec2.default_network import new_id
from portside.api.efs import lookup
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import file_system_policy, vpc_rule
from portside.domain.clock import Clock, Ids
from portside.domain.file_system import AccessPoint, FileSystem, LifecycleRule
from portside.domain.record import Tags, replace
from portside.domain.refusal import Refused
from portside.domain.table import ACCESS_POINT, FILE_SYSTEM, MOUNT_TARGET
from portside.store.interface import ABSENT, Delete, Put, Store

Meter = Callable[[str], int]
"""How many bytes a file system holds, by its id."""


class FileSystems:
    def __init__(self, store: Store, clock: Clock, ids: Ids, meter: Meter) -> None:
        self._store, self._clock, self._ids, self._meter = store, clock, ids, meter

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateFileSystem": self.create,
            "DescribeFileSystems": self.describe,
            "UpdateFileSystem": self.update,
            "DeleteFileSystem": self.delete,
            "PutLifecycleConfiguration": self.put_lifecycle,
            "DescribeLifecycleConfiguration": self.describe_lifecycle,
            "PutBackupPolicy": self.put_backup,
            "DescribeBackupPolicy": self.describe_backup,
            "PutFileSystemPolicy": self.put_policy,
            "DescribeFileSystemPolicy": self.describe_policy,
            "DeleteFileSystemPolicy": self.delete_policy,
            "UpdateFileSystemProtection": self.protect,
            "CreateTags": self.create_tags,
            "DeleteTags": self.delete_tags,
            "DescribeTags": self.describe_tags,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.list_tags,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        token = params["CreationToken"]
        known = self._store.find(FILE_SYSTEM, "token", f"{context.prefix}{token}")
        if known:
            raise ServiceError(
                "FileSystemAlreadyExists",
                f"File system '{known[0].id}' already exists with creation token '{token}'",
                409,
                FileSystemId=known[0].id,
            )
        mode, zone = params.get("ThroughputMode") or "bursting", params.get("AvailabilityZoneName") or ""
        provisioned = params.get("ProvisionedThroughputInMibps")
        _check_throughput(mode, provisioned)
        performance = params.get("PerformanceMode") or "generalPurpose"
        if performance == "maxIO" and (zone or mode == "elastic"):
            raise lookup.bad_request("maxIO is not supported for One Zone file systems or with elastic throughput.")
        if params.get("KmsKeyId") and not params.get("Encrypted"):
            raise lookup.bad_request("KmsKeyId is given, so Encrypted must be true.")
        if zone and zone not in [f"{context.region}{letter}" for letter in vpc_rule.ZONE_LETTERS]:
            raise ServiceError(
                "UnsupportedAvailabilityZone", f"The Availability Zone '{zone}' is not one of the region."
            )
        made = FileSystem(
            scope=lookup.scope_of(context),
            id=new_id(self._ids, "fs"),
            creation_token=token,
            performance_mode=performance,
            throughput_mode=mode,
            provisioned_mibps=provisioned,
            encrypted=bool(params.get("Encrypted")),
            kms_key_id=params.get("KmsKeyId") or "",
            zone=zone,
            # One Zone file systems have automatic backups unless the request says otherwise.
            is_backed_up=bool(params.get("Backup", bool(zone))),
            tags=lookup.tags_from(params.get("Tags")),
            created_at=self._clock.now(),
        )
        self._store.transact(Put(FILE_SYSTEM, made, expect=ABSENT))
        return self._to_wire(made, 0)

    async def describe(self, context: RequestContext, params: Params) -> Result:
        given, token = params.get("FileSystemId"), params.get("CreationToken")
        if given:
            rows = [lookup.file_system(self._store, context, given)]
        else:
            rows = list(self._store.scan(FILE_SYSTEM, context.prefix))
        rows = [each for each in rows if not token or each.creation_token == token]
        shown, following = lookup.page(params, rows, lambda each: each.id)
        sizes = await asyncio.to_thread(lambda: [self._meter(each.id) for each in shown])
        wire = [self._to_wire(each, size) for each, size in zip(shown, sizes, strict=True)]
        return lookup.marked(params, "FileSystems", wire, following)

    async def update(self, context: RequestContext, params: Params) -> Result:
        known = lookup.file_system(self._store, context, params["FileSystemId"])
        mode = params.get("ThroughputMode") or known.throughput_mode
        provisioned = params.get("ProvisionedThroughputInMibps")
        if provisioned is None and mode == "provisioned":
            provisioned = known.provisioned_mibps
        _check_throughput(mode, provisioned)
        changed = replace(known, throughput_mode=mode, provisioned_mibps=provisioned)
        self._store.transact(Put(FILE_SYSTEM, changed))
        return self._to_wire(changed, await asyncio.to_thread(self._meter, changed.id))

    def delete(self, context: RequestContext, params: Params) -> None:
        known = lookup.file_system(self._store, context, params["FileSystemId"])
        key = FILE_SYSTEM.key(known)
        if self._store.find(MOUNT_TARGET, "file_system", key):
            raise ServiceError("FileSystemInUse", f"File system '{known.id}' has mount targets created in it.")
        points = self._store.find(ACCESS_POINT, "file_system", key)
        self._store.transact(
            Delete(FILE_SYSTEM, key), *(Delete(ACCESS_POINT, ACCESS_POINT.key(each)) for each in points)
        )

    def put_lifecycle(self, context: RequestContext, params: Params) -> Result:
        known = lookup.file_system(self._store, context, params["FileSystemId"])
        rules: list[LifecycleRule] = []
        for policy in params["LifecyclePolicies"]:
            if len(policy) != 1:
                raise lookup.bad_request("Each LifecyclePolicy object can have only a single transition.")
            rules += [LifecycleRule(name=name, after=after) for name, after in policy.items()]
        if len({each.name for each in rules}) < len(rules):
            raise lookup.bad_request("Each transition can be given once.")
        changed = replace(known, lifecycle=tuple(rules))
        self._store.transact(Put(FILE_SYSTEM, changed))
        return _lifecycle_to(changed)

    def describe_lifecycle(self, context: RequestContext, params: Params) -> Result:
        return _lifecycle_to(lookup.file_system(self._store, context, params["FileSystemId"]))

    def put_backup(self, context: RequestContext, params: Params) -> Result:
        known = lookup.file_system(self._store, context, params["FileSystemId"])
        status = params["BackupPolicy"]["Status"]
        if status not in ("ENABLED", "DISABLED"):
            raise lookup.bad_request(f"The status of a backup policy can be set to ENABLED or DISABLED, not {status}.")
        changed = replace(known, is_backed_up=status == "ENABLED")
        self._store.transact(Put(FILE_SYSTEM, changed))
        return _backup_to(changed)

    def describe_backup(self, context: RequestContext, params: Params) -> Result:
        return _backup_to(lookup.file_system(self._store, context, params["FileSystemId"]))

    def put_policy(self, context: RequestContext, params: Params) -> Result:
        known = lookup.file_system(self._store, context, params["FileSystemId"])
        try:
            policy = file_system_policy.check(params["Policy"])
        except Refused as refused:
            raise ServiceError("InvalidPolicyException", refused.message) from None
        self._store.transact(Put(FILE_SYSTEM, replace(known, policy=policy)))
        return {"FileSystemId": known.id, "Policy": policy}

    def describe_policy(self, context: RequestContext, params: Params) -> Result:
        known = lookup.file_system(self._store, context, params["FileSystemId"])
        if not known.policy:
            raise ServiceError("PolicyNotFound", f"File system '{known.id}' has no policy.", 404)
        return {"FileSystemId": known.id, "Policy": known.policy}

    def delete_policy(self, context: RequestContext, params: Params) -> None:
        known = lookup.file_system(self._store, context, params["FileSystemId"])
        self._store.transact(Put(FILE_SYSTEM, replace(known, policy="")))

    def protect(self, context: RequestContext, params: Params) -> Result:
        known = lookup.file_system(self._store, context, params["FileSystemId"])
        asked = params.get("ReplicationOverwriteProtection") or "ENABLED"
        if asked not in ("ENABLED", "DISABLED"):
            raise lookup.bad_request(f"ReplicationOverwriteProtection can be ENABLED or DISABLED, not {asked}.")
        changed = replace(known, is_protected=asked == "ENABLED")
        self._store.transact(Put(FILE_SYSTEM, changed))
        return {"ReplicationOverwriteProtection": asked}

    # --- tags

    def create_tags(self, context: RequestContext, params: Params) -> None:
        known = lookup.file_system(self._store, context, params["FileSystemId"])
        self._retag(known, lookup.tags_from(params["Tags"], known.tags))

    def delete_tags(self, context: RequestContext, params: Params) -> None:
        known = lookup.file_system(self._store, context, params["FileSystemId"])
        self._retag(known, tuple(each for each in known.tags if each.key not in params["TagKeys"]))

    def describe_tags(self, context: RequestContext, params: Params) -> Result:
        tags = lookup.file_system(self._store, context, params["FileSystemId"]).tags
        shown, following = lookup.page(params, tags, lambda each: each.key)
        return lookup.marked(params, "Tags", [*lookup.tags_to(tuple(shown))], following)

    def tag(self, context: RequestContext, params: Params) -> None:
        known = self._resource(context, params["ResourceId"])
        self._retag(known, lookup.tags_from(params["Tags"], known.tags))

    def untag(self, context: RequestContext, params: Params) -> None:
        known = self._resource(context, params["ResourceId"])
        self._retag(known, tuple(each for each in known.tags if each.key not in params["TagKeys"]))

    def list_tags(self, context: RequestContext, params: Params) -> Result:
        tags = self._resource(context, params["ResourceId"]).tags
        shown, following = lookup.page(params, tags, lambda each: each.key, size="MaxResults", marker="NextToken")
        return {"Tags": lookup.tags_to(tuple(shown))} | ({"NextToken": following} if following else {})

    def _resource(self, context: RequestContext, given: str) -> FileSystem | AccessPoint:
        if given.rpartition("/")[2].startswith("fsap-"):
            return lookup.access_point(self._store, context, given)
        return lookup.file_system(self._store, context, given)

    def _retag(self, known: FileSystem | AccessPoint, tags: Tags) -> None:
        if isinstance(known, FileSystem):
            self._store.transact(Put(FILE_SYSTEM, replace(known, tags=tags)))
        else:
            self._store.transact(Put(ACCESS_POINT, replace(known, tags=tags)))

    def _to_wire(self, each: FileSystem, size: int) -> Result:
        wire: dict[str, Any] = {
            "OwnerId": each.scope.account,
            "CreationToken": each.creation_token,
            "FileSystemId": each.id,
            "FileSystemArn": each.arn,
            "CreationTime": each.created_at,
            "LifeCycleState": "available",
            "NumberOfMountTargets": len(self._store.find(MOUNT_TARGET, "file_system", FILE_SYSTEM.key(each))),
            "SizeInBytes": {
                "Value": size,
                "Timestamp": self._clock.now(),
                "ValueInIA": 0,
                "ValueInStandard": size,
                "ValueInArchive": 0,
            },
            "PerformanceMode": each.performance_mode,
            "ThroughputMode": each.throughput_mode,
            "Encrypted": each.encrypted,
            "Tags": lookup.tags_to(each.tags),
            "FileSystemProtection": {"ReplicationOverwriteProtection": "ENABLED" if each.is_protected else "DISABLED"},
            **lookup.name_of(each.tags),
        }
        if each.kms_key_id:
            wire["KmsKeyId"] = each.kms_key_id
        if each.provisioned_mibps is not None:
            wire["ProvisionedThroughputInMibps"] = each.provisioned_mibps
        if each.zone:
            wire["AvailabilityZoneName"] = each.zone
            wire["AvailabilityZoneId"] = vpc_rule.zone_id(each.scope.region, each.zone[-1])
        return wire


def _check_throughput(mode: str, provisioned: float | None) -> None:
    if mode == "provisioned" and provisioned is None:
        raise lookup.bad_request("ThroughputMode provisioned needs ProvisionedThroughputInMibps.")
    if mode != "provisioned" and provisioned is not None:
        raise lookup.bad_request(f"ProvisionedThroughputInMibps is for ThroughputMode provisioned, not {mode}.")


def _lifecycle_to(each: FileSystem) -> Result:
    return {"LifecyclePolicies": [{rule.name: rule.after} for rule in each.lifecycle]}


def _backup_to(each: FileSystem) -> Result:
    return {"BackupPolicy": {"Status": "ENABLED" if each.is_backed_up else "DISABLED"}}
