"""All storage, as the command line asks for it: who uses it, how full; and removal of Docker volumes.

`/_portside/volumes`, and `/_portside/volumes/NAME` for one by its id or name.
"""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from portside.api.portside import task_volume
from portside.api.portside.meter import Meters, filled
from portside.domain import docker_volume, ebs
from portside.domain.docker_volume import KeptVolume
from portside.domain.ebs import EbsVolume
from portside.domain.file_system import AccessPoint
from portside.domain.record import Tags
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.table import ACCESS_POINT, DOCKER_VOLUME, EBS_SNAPSHOT, EBS_VOLUME, FILE_SYSTEM, MOUNT_TARGET, TASK
from portside.domain.task.record import TaskStatus
from portside.domain.volume import shown_id
from portside.store.interface import Delete, Store

_STATUS: Final = {RefusalKind.NOT_FOUND: 404, RefusalKind.IN_USE: 409, RefusalKind.CONFLICT: 409}


KINDS: Final = ("efs", "docker", "ebs", "ephemeral", "task", "host")
"""File systems of EFS; Docker volumes that outlive tasks; volumes of EBS; what each running task can write; volumes of
one task on that; paths of instances."""
_OUTLIVING: Final = ("efs", "docker", "ebs")
"""Those that are found by their names, too: many tasks have a volume of the same name."""
MOST_FILES: Final = 10_000
"""So many are counted in a list of all; for one alone, all of them."""
_Row = tuple[dict[str, Any], Callable[[], dict[str, Any]]]
"""What is known of one, and what else there is to know by looking at disks."""


async def answer(
    store: Store,
    meters: Meters,
    extend: Callable[[str], None],
    method: str,
    named: str,
    kinds: str = "",
    *,
    looks: bool = True,
) -> tuple[int, dict[str, Any]]:
    """HTTP status and document.

    Args:
        extend: lets the file system of a volume of EBS take all of it; blocks, raises OSError.
        kinds: those wanted, with commas between; all by default.
        looks: at disks, too: without that a list tells nothing of how full anything is, and costs next to nothing.
    """
    wanted = kinds.split(",") if kinds else KINDS
    if unknown := [each for each in wanted if each not in KINDS]:
        return 400, {"error": f"there is no kind {', '.join(unknown)}: {', '.join(KINDS)}"}
    try:
        match method, named:
            case "GET", "":
                rows = [each for each in _rows(store, meters, MOST_FILES) if each[0]["kind"] in wanted]
                if not looks:
                    return 200, {"volumes": [row for row, _ in rows]}
                return 200, {"volumes": await asyncio.to_thread(_measured, rows)}
            case "GET", _:
                every = list(_rows(store, meters, None))
                found = _one([row for row, _ in every], named)
                (one,) = await asyncio.to_thread(_measured, [each for each in every if each[0] is found])
                return 200, one
            case "DELETE", _ if named:
                _check_kind(store, meters, named, "docker")
                return 200, remove(store, named)
            case "POST", _ if named:
                _check_kind(store, meters, named, "ebs")
                return 200, await _extended(store, extend, named)
            case _:
                return 405, {"error": f"{method} is not answered here"}
    except Refused as refused:
        return _STATUS.get(refused.kind, 400), {"error": refused.message}


def _measured(rows: list[_Row]) -> list[dict[str, Any]]:
    return [{**row, **measure()} for row, measure in rows]


def _rows(store: Store, meters: Meters, most: int | None) -> Iterator[_Row]:
    """Args: most: files that are counted of one volume of a task or path of an instance."""
    using = users(store)
    for system in store.scan(FILE_SYSTEM):
        key = FILE_SYSTEM.key(system)
        row = {
            "id": system.id,
            "name": _name(system.tags),
            "kind": "efs",
            "account": system.scope.account,
            "region": system.scope.region,
            "zones": sorted(each.zone for each in store.find(MOUNT_TARGET, "file_system", key)),
            "accessPoints": [_point_row(each) for each in store.find(ACCESS_POINT, "file_system", key)],
            "usedBy": sorted(using.get(key, [])),
        }
        yield row, partial(_size_of, meters, system.id)
    for kept in store.scan(DOCKER_VOLUME):
        row = {**_docker_row(kept, sorted(using.get(kept.key, []))), "path": meters.place(kept)}
        yield row, partial(filled, partial(meters.docker_volume, kept))
    for volume in store.scan(EBS_VOLUME):
        yield _ebs_row(store, volume), partial(_ebs_fields, meters, volume)
    yield from task_volume.rows(store, meters, most)


def _size_of(meters: Meters, file_system_id: str) -> dict[str, Any]:
    return {"sizeBytes": meters.file_system(file_system_id)}


def users(store: Store) -> dict[str, list[str]]:
    """By file system and Docker volume (their keys): the live tasks that have it, as `cluster/id`."""
    found: dict[str, list[str]] = {}
    for task in store.scan(TASK):
        if task.last_status is TaskStatus.STOPPED:
            continue
        keys = {f"{task.scope.prefix}{each.efs.file_system_id}" for each in task.volumes if each.efs is not None}
        if task.placement is not None:
            keys |= {
                f"{task.scope.prefix}{task.placement.instance_id}/{each.name}"
                for each in task.volumes
                if each.docker is not None and each.docker.scope == "shared"
            }
        for key in keys:
            found.setdefault(key, []).append(f"{task.cluster}/{task.id}")
    return found


_OTHERWISE: Final = {
    "efs": "a file system or access point of EFS: aws efs delete-file-system, delete-access-point",
    "ebs": "a volume of EBS: aws ec2 delete-volume",
    "docker": "a Docker volume: its file system is the instance's",
    "ephemeral": "the disk of a task, and goes with it",
    "task": "a volume of a task, and goes with it",
    "host": "a folder of a container instance",
}


def _check_kind(store: Store, meters: Meters, named: str, kind: str) -> None:
    """Raises: Refused where the name is that of something else, which can not be treated so."""
    rows = [row for row, _ in _rows(store, meters, None)]
    if not any(named in (row["id"], row["name"]) and row["kind"] == kind for row in rows):
        found = _one(rows, named)
        raise Refused(RefusalKind.CONFLICT, f"{named} is {_OTHERWISE[found['kind']]}", "volume")


def remove(store: Store, named: str) -> dict[str, Any]:
    """A Docker volume that no task has; its files go with it. Raises Refused."""
    using = users(store)
    row = _one([_docker_row(each, sorted(using.get(each.key, []))) for each in store.scan(DOCKER_VOLUME)], named)
    if row["usedBy"]:
        raise Refused(
            RefusalKind.IN_USE,
            f"volume {named} is in use by {', '.join(row['usedBy'])}",
            "volume",
        )
    (kept,) = store.find(DOCKER_VOLUME, "id", row["id"])
    store.transact(Delete(DOCKER_VOLUME, kept.key))
    return {"id": kept.id, "name": kept.name}


async def _extended(store: Store, extend: Callable[[str], None], named: str) -> dict[str, Any]:
    """Raises Refused."""
    rows = [{"id": each.id, "name": _name(each.tags), "kind": "ebs"} for each in store.scan(EBS_VOLUME)]
    row = _one(rows, named)
    try:
        await asyncio.to_thread(extend, row["id"])
    except PermissionError:
        words = "growing ext4 in use takes CAP_SYS_RESOURCE, which Portside lacks: it grows with the next use"
        raise Refused(RefusalKind.CONFLICT, words, "volume") from None
    except OSError as error:
        raise Refused(RefusalKind.CONFLICT, error.strerror or str(error), "volume") from None
    return {"id": row["id"], "name": row["name"]}


def _point_row(point: AccessPoint) -> dict[str, Any]:
    user = point.posix_user
    return {
        "id": point.id,
        "path": point.path,
        "posixUser": None
        if user is None
        else {"uid": user.uid, "gid": user.gid, "secondaryGids": list(user.secondary_gids)},
    }


def _docker_row(kept: KeptVolume, used_by: list[str]) -> dict[str, Any]:
    return {
        "id": kept.id,
        "name": kept.name,
        "kind": "docker",
        "account": kept.scope.account,
        "region": kept.scope.region,
        "instance": kept.instance_id,
        "driver": kept.driver,
        "driverOpts": dict(kept.driver_opts),
        "labels": dict(kept.labels),
        "createdAt": kept.created_at.isoformat(),
        "createdBy": kept.created_by,
        "type": docker_volume.local_mount(kept.name, kept.driver_opts).kind,
        "usedBy": used_by,
    }


def _ebs_row(store: Store, volume: EbsVolume) -> dict[str, Any]:
    return {
        "id": volume.id,
        "name": _name(volume.tags),
        "kind": "ebs",
        "account": volume.scope.account,
        "region": volume.scope.region,
        "zones": [volume.zone],
        **({"instance": volume.instance_id, "device": volume.device} if volume.instance_id else {}),
        "status": volume.status,
        "reason": volume.reason,
        "type": volume.type,
        "snapshotId": volume.snapshot_id,
        "snapshots": sorted(each.id for each in store.find(EBS_SNAPSHOT, "volume", volume.key)),
        "usedBy": [user_of(volume)] if volume.owner else [],
    }


def _ebs_fields(meters: Meters, volume: EbsVolume) -> dict[str, Any]:
    usage, used = meters.block_storage(volume.id), None
    if usage is not None:
        used = usage.used_bytes if usage.used_bytes is not None else usage.stored_bytes
    return {
        "capacityBytes": volume.size_gib * ebs.GIB,
        "storedBytes": None if usage is None else usage.stored_bytes,
        "isNearlyFull": usage is not None and usage.is_nearly_full,
        "isReadOnly": usage is not None and usage.is_read_only,
        "isMissing": usage is None and volume.status not in ("creating", "error", "deleting"),
        "sizeBytes": used,
    }


def user_of(volume: EbsVolume) -> str:
    """`cluster/id` of its task. A key is `account/region/cluster/id`."""
    return "/".join(volume.owner.split("/")[2:])


def _one(rows: list[dict[str, Any]], named: str) -> dict[str, Any]:
    """By id, else by name. Raises Refused."""
    found = [each for each in rows if each["id"] == named] or [
        each
        for each in rows
        if (each["name"] == named and each["kind"] in _OUTLIVING) or shown_id(each["kind"], each["id"]) == named
    ]
    if not found:
        raise Refused(RefusalKind.NOT_FOUND, f"there is no volume {named}", "volume")
    if len(found) > 1:
        places = ", ".join(f"{each['id']} ({each.get('instance', each['kind'])})" for each in found)
        raise Refused(RefusalKind.CONFLICT, f"more than one volume is called {named}: {places}. Give an id.", "volume")
    return found[0]


def _name(tags: Tags) -> str:
    return next((each.value for each in tags if each.key == "Name"), "")
