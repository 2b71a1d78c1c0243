"""The rules of tags on ECS resources.

Source: ECS developer guide, "Tag restrictions": 50 tags a resource, keys of 1 to 128 and values of up to 256
characters; letters, numbers, spaces and + - = . _ : / @; the prefix `aws:` is reserved.
"""

import re
from collections.abc import Iterable
from typing import Final

from portside.domain.record import Tag, Tags
from portside.domain.refusal import RefusalKind, Refused

MOST: Final = 50
KEY_MAX: Final = 128
VALUE_MAX: Final = 256
_ALLOWED: Final = re.compile(r"[\w\s.:/=+@-]*")  # \w and \s are Unicode's, as AWS's \p{L}\p{Z}\p{N}_ are


def check(tags: Iterable[Tag]) -> None:
    """
    Raises:
        Refused: INVALID, naming the tag that breaks a rule.
    """
    seen: set[str] = set()
    for tag in tags:
        check_key(tag.key)
        if len(tag.value) > VALUE_MAX:
            raise _invalid(f"The value of tag '{tag.key}' exceeds the maximum length of {VALUE_MAX} characters.")
        if not _ALLOWED.fullmatch(tag.value):
            raise _invalid(f"The value of tag '{tag.key}' contains invalid characters: '{tag.value}'.")
        if tag.key in seen:
            raise _invalid(f"Duplicate tag keys are not allowed: '{tag.key}'.")
        seen.add(tag.key)
    check_count(len(seen))


def check_count(count: int) -> None:
    if count > MOST:
        raise _invalid(f"Too many tags: {count}. A resource can have at most {MOST}.")


def check_key(key: str) -> None:
    if not key:
        raise _invalid("Tag keys can not be blank.")
    if len(key) > KEY_MAX:
        raise _invalid(f"Tag key '{key[:32]}…' exceeds the maximum length of {KEY_MAX} characters.")
    if key[:4].lower() == "aws:":
        raise _invalid(f"Tag keys starting with 'aws:' are reserved for system use: '{key}'.")
    if not _ALLOWED.fullmatch(key):
        raise _invalid(f"Tag key '{key}' contains invalid characters.")


def merged(old: Tags, new: Tags) -> Tags:
    """`old` with `new` added: a key in both has the new value, in the old one's place.

    Raises:
        Refused: together they are too many.
    """
    by_key = {tag.key: tag for tag in old} | {tag.key: tag for tag in new}
    check_count(sum(not key.lower().startswith("aws:") for key in by_key))
    return tuple(by_key.values())


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message, "tags")
