"""IAM roles, policies and instance profiles: kept and given back; not yet enforced."""

from datetime import datetime

from portside.domain.record import Record, Tags


class Role(Record, frozen=True, kw_only=True):
    account: str
    name: str
    id: str
    path: str = "/"
    assume_role_policy: str  # JSON text
    description: str | None = None
    max_session_duration_s: int = 3600
    attached_policy_arns: tuple[str, ...] = ()
    inline_policies: dict[str, str] = {}
    tags: Tags = ()
    created_at: datetime


class Policy(Record, frozen=True, kw_only=True):
    account: str
    name: str
    id: str
    path: str = "/"
    document: str
    description: str | None = None
    tags: Tags = ()
    created_at: datetime


class InstanceProfile(Record, frozen=True, kw_only=True):
    """`role`: the name of the one role that it may hold."""

    account: str
    name: str
    id: str
    path: str = "/"
    role: str | None = None
    tags: Tags = ()
    created_at: datetime
