"""What every operation needs: records by id or ARN, tags both ways, pages."""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain import tag_rule
from portside.domain.file_system import AccessPoint, FileSystem, MountTarget
from portside.domain.record import Scope, Tag, Tags
from portside.domain.refusal import Refused
from portside.domain.table import ACCESS_POINT, FILE_SYSTEM, MOUNT_TARGET
from portside.store.interface import Store

T = TypeVar("T")

PAGE = 100


def scope_of(context: RequestContext) -> Scope:
    return Scope(account=context.account, region=context.region)


def bad_request(message: str) -> ServiceError:
    return ServiceError("BadRequest", message)


def _id(given: str) -> str:
    """Of an id or an ARN."""
    return given.rpartition("/")[2]


def file_system(store: Store, context: RequestContext, given: str) -> FileSystem:
    found = store.get(FILE_SYSTEM, f"{context.prefix}{_id(given)}")
    if found is None or (given.startswith("arn:") and given != found.arn):
        raise ServiceError("FileSystemNotFound", f"File system '{_id(given)}' does not exist.")
    return found


def access_point(store: Store, context: RequestContext, given: str) -> AccessPoint:
    found = store.get(ACCESS_POINT, f"{context.prefix}{_id(given)}")
    if found is None or (given.startswith("arn:") and given != found.arn):
        raise ServiceError("AccessPointNotFound", f"Access point '{_id(given)}' does not exist.")
    return found


def mount_target(store: Store, context: RequestContext, given: str) -> MountTarget:
    found = store.get(MOUNT_TARGET, f"{context.prefix}{given}")
    if found is None:
        raise ServiceError("MountTargetNotFound", f"Mount target '{given}' does not exist.")
    return found


def tags_from(given: Sequence[Mapping[str, str]] | None, old: Tags = ()) -> Tags:
    try:
        tags = tuple(Tag(key=each["Key"], value=each["Value"]) for each in given or ())
        tag_rule.check(tags)
        return tag_rule.merged(old, tags)
    except Refused as error:
        raise bad_request(error.message) from error


def tags_to(tags: Tags) -> list[dict[str, str]]:
    return [{"Key": each.key, "Value": each.value} for each in tags]


def name_of(tags: Tags) -> dict[str, str]:
    """The member Name, which the tag of that name sets."""
    name = next((each.value for each in tags if each.key == "Name"), None)
    return {} if name is None else {"Name": name}


def page(
    params: Params,
    rows: Iterable[T],
    key: Callable[[T], str],
    *,
    size: str = "MaxItems",
    marker: str = "Marker",
) -> tuple[list[T], str]:
    """The rows of the page asked for, in the order of their keys, and the marker of the next one ("" if none is)."""
    ordered = sorted(rows, key=key)
    if given := params.get(marker):
        try:
            after = base64.b64decode(given.encode(), b"-_", validate=True).decode()
        except (binascii.Error, ValueError):
            raise bad_request(f"The {marker} is not one that was given out.") from None
        ordered = [each for each in ordered if key(each) > after]
    most = min(params.get(size) or PAGE, PAGE)
    shown = ordered[:most]
    following = base64.urlsafe_b64encode(key(shown[-1]).encode()).decode() if len(ordered) > most else ""
    return shown, following


def marked(params: Params, member: str, rows: list[Result], following: str) -> Result:
    answer: dict[str, Any] = {member: rows}
    if params.get("Marker"):
        answer["Marker"] = params["Marker"]
    if following:
        answer["NextMarker"] = following
    return answer
