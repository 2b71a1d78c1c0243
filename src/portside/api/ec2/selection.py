"""Filters, tags and pages, as all of EC2's Describe operations have them."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from portside.api.ec2 import error
from portside.aws.service import Params, ServiceError
from portside.domain.record import Tag, Tags

T = TypeVar("T")

Fields = Mapping[str, Callable[[T], Iterable[str]]]
"""Filter name -> the values of a row that it compares."""

_MAX_PAGE = 1000


def flag(value: bool) -> list[str]:
    return ["true" if value else "false"]


def selected(rows: Iterable[T], params: Params, fields: Fields[T], tags: Callable[[T], Tags] | None = None) -> list[T]:
    """The rows that pass every filter of the request; of a filter's values, one must match. `*` and `?` are wildcards.

    Raises: ServiceError InvalidParameterValue for a filter that the operation does not know.
    """
    tests: list[Callable[[T], bool]] = []
    for each in params.get("Filters") or ():
        tests.append(_test(each, fields, tags))
    return [row for row in rows if all(test(row) for test in tests)]


def _test(each: Mapping[str, Any], fields: Fields[T], tags: Callable[[T], Tags] | None) -> Callable[[T], bool]:
    name = each.get("Name") or ""
    wanted = [_pattern(value) for value in each.get("Values") or ()]

    def matches(values: Iterable[str]) -> bool:
        return any(pattern.fullmatch(value) for value in values for pattern in wanted)

    if tags is not None and name == "tag-key":
        return lambda row: matches(tag.key for tag in tags(row))
    if tags is not None and name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return lambda row: matches(tag.value for tag in tags(row) if tag.key == key)
    field = fields.get(name)
    if field is None:
        raise error.invalid_value(f"The filter '{name}' is invalid")
    return lambda row: matches(field(row))


def _pattern(value: str) -> re.Pattern[str]:
    """`*` any characters, `?` one; a backslash makes either literal."""
    parts = re.findall(r"\\[*?\\]|[*?]|[^*?\\]+|\\", value)
    words = {"*": ".*", "?": "."}
    return re.compile(
        "".join(
            words[part] if part in words else re.escape(part[1:] if len(part) == 2 and part[0] == "\\" else part)
            for part in parts
        ),
        re.DOTALL,
    )


def page(rows: Sequence[T], params: Params, key: Callable[[T], str], least: int = 5) -> tuple[list[T], str | None]:
    """One page of rows in the order of their keys, and the token for the next.

    Raises: ServiceError for a MaxResults out of range or a token that is none of ours.
    """
    size = params.get("MaxResults")
    if size is not None and not least <= size <= _MAX_PAGE:
        bound = f"greater than {least - 1}" if size < least else f"less than {_MAX_PAGE + 1}"
        raise error.invalid_value(f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value {bound}.")
    ordered = sorted(rows, key=key)
    token = params.get("NextToken")
    if token:
        try:
            after = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise error.invalid_value(f"Invalid value '{token}' for nextToken.") from None
        ordered = [row for row in ordered if key(row) > after]
    if size is None or len(ordered) <= size:
        return ordered, None
    return ordered[:size], base64.urlsafe_b64encode(key(ordered[size - 1]).encode()).decode()


def answer(name: str, rows: list[dict[str, Any]], token: str | None) -> dict[str, Any]:
    return {name: rows, "NextToken": token} if token else {name: rows}


# --- tags ---

_MAX_TAGS = 50


def tag_list(tags: Tags) -> list[dict[str, str]]:
    return [{"Key": tag.key, "Value": tag.value} for tag in tags]


def parse_tags(wire: Iterable[Mapping[str, Any]]) -> Tags:
    """Raises: ServiceError for a key or value that EC2 would not take."""
    tags: dict[str, Tag] = {}
    for each in wire:
        key, value = each.get("Key") or "", each.get("Value") or ""
        if not key:
            raise (
                error.missing_parameter("Tag.Key")
                if "Key" not in each
                else error.invalid_value("Tag key cannot be empty.")
            )
        if len(key) > 127:
            raise error.invalid_value("Tag key exceeds the maximum length of 127 characters")
        if len(value) > 255:
            raise error.invalid_value("Tag value exceeds the maximum length of 255 characters")
        if key.lower().startswith("aws:"):
            raise error.invalid_value("Tag keys starting with 'aws:' are reserved for internal use")
        tags[key] = Tag(key=key, value=value)
    return tuple(tags.values())


def merged(old: Tags, new: Tags) -> Tags:
    """Raises: ServiceError TagLimitExceeded."""
    both = {tag.key: tag for tag in (*old, *new)}
    if len(both) > _MAX_TAGS:
        raise ServiceError(
            "TagLimitExceeded", f"The maximum number of Tags for a resource has been reached ({_MAX_TAGS})."
        )
    return tuple(both.values())


def tags_for(params: Params, resource_type: str) -> Tags:
    """The tags that `TagSpecifications` gives to a resource made by the request."""
    tags: Tags = ()
    for each in params.get("TagSpecifications") or ():
        if each.get("ResourceType") != resource_type:
            raise error.invalid_value(
                f"'{each.get('ResourceType')}' is not a valid taggable resource type for this operation."
            )
        tags = merged(tags, parse_tags(each.get("Tags") or ()))
    return tags
