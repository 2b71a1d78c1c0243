"""The base of every record and the small types they share.

A record is a frozen, keyword-only struct; change is `replace(record, field=value)`. Records hold domain words only:
AWS's wire shapes stop at `api/`, OCI's and the kernel's at `node/`.
"""

from datetime import datetime
from typing import TypeVar

import msgspec

R = TypeVar("R", bound="Record")

replace = msgspec.structs.replace


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A frozen value with named fields.

    Subclasses repeat `frozen=True, kw_only=True`: neither msgspec nor the type checker inherits both."""


class Scope(Record, frozen=True, kw_only=True):
    """The account (12 digits) and region that own a resource; every store key starts with both."""

    account: str
    region: str

    @property
    def prefix(self) -> str:
        return f"{self.account}/{self.region}/"


class Tag(Record, frozen=True, kw_only=True):
    key: str
    value: str = ""


Tags = tuple[Tag, ...]


def epoch_s(at: datetime) -> float:
    """Seconds since 1970 of an aware datetime."""
    return at.timestamp()
