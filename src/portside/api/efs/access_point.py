"""Access points: a directory of a file system, and the user that its files are reached as."""

from collections.abc import Mapping
from typing import Any

from portside.api.ec2.default_network import new_id
from portside.api.efs import lookup
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain.clock import Ids
from portside.domain.file_system import AccessPoint, CreationInfo, PosixUser
from portside.domain.table import ACCESS_POINT, FILE_SYSTEM
from portside.store.interface import ABSENT, Delete, Put, Store


class AccessPoints:
    def __init__(self, store: Store, ids: Ids) -> None:
        self._store, self._ids = store, ids

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateAccessPoint": self.create,
            "DescribeAccessPoints": self.describe,
            "DeleteAccessPoint": self.delete,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        system = lookup.file_system(self._store, context, params["FileSystemId"])
        user, root = params.get("PosixUser"), params.get("RootDirectory") or {}
        path, info = root.get("Path") or "/", root.get("CreationInfo")
        made = AccessPoint(
            scope=system.scope,
            id=new_id(self._ids, "fsap"),
            client_token=params["ClientToken"],
            file_system_id=system.id,
            posix_user=None
            if user is None
            else PosixUser(uid=user["Uid"], gid=user["Gid"], secondary_gids=tuple(user.get("SecondaryGids") or ())),
            path=path,
            creation=None
            if info is None
            else CreationInfo(owner_uid=info["OwnerUid"], owner_gid=info["OwnerGid"], permissions=info["Permissions"]),
            tags=lookup.tags_from(params.get("Tags")),
        )
        known = self._store.find(ACCESS_POINT, "token", f"{context.prefix}{made.client_token}")
        if known:
            raise ServiceError(
                "AccessPointAlreadyExists",
                f"Access point already exists with the client token '{made.client_token}'",
                409,
                AccessPointId=known[0].id,
            )
        self._store.transact(Put(ACCESS_POINT, made, expect=ABSENT))
        return _to_wire(made)

    def describe(self, context: RequestContext, params: Params) -> Result:
        given, system_id = params.get("AccessPointId"), params.get("FileSystemId")
        if given and system_id:
            raise lookup.bad_request("AccessPointId and FileSystemId are mutually exclusive.")
        if given:
            rows = [lookup.access_point(self._store, context, given)]
        elif system_id:
            system = lookup.file_system(self._store, context, system_id)
            rows = self._store.find(ACCESS_POINT, "file_system", FILE_SYSTEM.key(system))
        else:
            rows = list(self._store.scan(ACCESS_POINT, context.prefix))
        shown, following = lookup.page(params, rows, lambda each: each.id, size="MaxResults", marker="NextToken")
        answer: dict[str, Any] = {"AccessPoints": [_to_wire(each) for each in shown]}
        return answer | ({"NextToken": following} if following else {})

    def delete(self, context: RequestContext, params: Params) -> None:
        known = lookup.access_point(self._store, context, params["AccessPointId"])
        self._store.transact(Delete(ACCESS_POINT, ACCESS_POINT.key(known)))


def _to_wire(each: AccessPoint) -> Result:
    root: dict[str, Any] = {"Path": each.path}
    if each.creation is not None:
        root["CreationInfo"] = {
            "OwnerUid": each.creation.owner_uid,
            "OwnerGid": each.creation.owner_gid,
            "Permissions": each.creation.permissions,
        }
    wire: dict[str, Any] = {
        "ClientToken": each.client_token,
        "Tags": lookup.tags_to(each.tags),
        "AccessPointId": each.id,
        "AccessPointArn": each.arn,
        "FileSystemId": each.file_system_id,
        "RootDirectory": root,
        "OwnerId": each.scope.account,
        "LifeCycleState": "available",
        **lookup.name_of(each.tags),
    }
    if each.posix_user is not None:
        user = each.posix_user
        wire["PosixUser"] = {"Uid": user.uid, "Gid": user.gid}
        if user.secondary_gids:
            wire["PosixUser"]["SecondaryGids"] = list(user.secondary_gids)
    return wire
