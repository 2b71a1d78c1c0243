"""Tags of roles and policies: case-insensitive keys, at most fifty."""

from collections.abc import Iterable, Mapping, Sequence

from portside.api.iam.error import invalid, quota
from portside.domain.record import Tag, Tags

MAX_TAGS = 50


def parse_tags(wire: Sequence[Mapping[str, str]]) -> Tags:
    """Tags of a request. Raises ServiceError InvalidInput for a key given twice."""
    tags = tuple(Tag(key=one["Key"], value=one["Value"]) for one in wire)
    if len({tag.key.lower() for tag in tags}) != len(tags):
        raise invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    for tag in tags:
        if tag.key.lower().startswith("aws:"):
            raise invalid(f"Tag keys that start with aws: are reserved: {tag.key}")
    return tags


def merge(old: Tags, new: Tags) -> Tags:
    """The tags after adding `new`. Raises ServiceError LimitExceeded above fifty."""
    added = {tag.key.lower() for tag in new}
    merged = tuple(tag for tag in old if tag.key.lower() not in added) + new
    if len(merged) > MAX_TAGS:
        raise quota("The number of tags has reached the maximum limit.")
    return merged


def without(old: Tags, keys: Iterable[str]) -> Tags:
    gone = {key.lower() for key in keys}
    return tuple(tag for tag in old if tag.key.lower() not in gone)


def wire_tags(tags: Tags) -> list[dict[str, str]]:
    return [{"Key": tag.key, "Value": tag.value} for tag in tags]
