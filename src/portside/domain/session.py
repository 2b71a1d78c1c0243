"""Sessions of STS: what is kept of temporary credentials, and the rules of their life. Their secrets are not kept.

Source: STS API reference, AssumeRole; IAM user guide, "IAM identifiers" and "Roles terms and concepts" (role chaining).
"""

import base64
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from portside.domain import arn
from portside.domain.iam import Role
from portside.domain.record import Record

TASK_LIFETIME: Final = timedelta(hours=6)
"""How long the credentials of a task's role last, as on AWS."""
TASK_ROTATION: Final = timedelta(hours=1)
"""With less left than this a task gets fresh ones. SDKs ask again from 15 minutes before the end."""

LIFETIME_S: Final = 3600
"""Of a role's session, if its caller asks for none; and the most if the caller is a role's session itself."""
ROOT_LIFETIME_MAX_S: Final = 3600


class Session(Record, frozen=True, kw_only=True):
    """Temporary credentials by their access key id: whose they are and how long they last.

    `role_arn` is empty for a session of the account itself. `role_id` is the id of the role at that time;
    `role_known` says whether IAM knew the role (tasks may have roles that it does not). `owner`: the task it is for.
    """

    access_key_id: str
    account: str
    role_arn: str = ""
    role_id: str = ""
    role_known: bool = False
    name: str = ""
    owner: str = ""
    issued_at: datetime
    expires_at: datetime


class RoleCredentials(Record, frozen=True, kw_only=True):
    """Temporary credentials as a caller or a task gets them. Never stored, and nothing secret is shown by repr()."""

    access_key_id: str
    secret_access_key: str
    token: str
    expiration: datetime
    role_arn: str

    def __repr__(self) -> str:
        return f"RoleCredentials({self.access_key_id} of {self.role_arn} until {self.expiration})"


TaskCredentials = Callable[[str, str], RoleCredentials]
"""(task ARN, role ARN) -> credentials of the role for the task, the same ones until they need rotation."""


def role_arn(role: Role) -> str:
    return f"arn:aws:iam::{role.account}:role{role.path}{role.name}"


def role_parts(text: str) -> tuple[str, str] | None:
    """The account and the name of the role that an ARN means (its path is not part of the name), or None."""
    parsed = arn.parse(text)
    if parsed is None or parsed.service != "iam" or not parsed.resource.startswith("role/") or not parsed.account:
        return None
    name = parsed.resource.rpartition("/")[2]
    return (parsed.account, name) if name else None


def assumed_role_arn(role: str, name: str) -> str:
    """The ARN of a session of a role, as GetCallerIdentity shows it."""
    parts = role_parts(role)
    assert parts is not None
    return f"arn:aws:sts::{parts[0]}:assumed-role/{parts[1]}/{name}"


def role_key(principal: str) -> str:
    """Of the record of the role whose session it is; of nothing for anybody else."""
    parsed = arn.parse(principal)
    if parsed is None or parsed.service != "sts" or not parsed.resource.startswith("assumed-role/"):
        return ""
    return f"{parsed.account}/{parsed.resource.split('/')[1]}"


def principal_arn(session: Session) -> str:
    if not session.role_arn:
        return arn.root(session.account)
    return assumed_role_arn(session.role_arn, session.name)


def user_id(session: Session) -> str:
    return f"{session.role_id}:{session.name}" if session.role_arn else session.account


def id_of_unknown_role(role: str) -> str:
    """An id in the form of a role's for one that IAM does not know: always the same for the same ARN."""
    return "AROA" + base64.b32encode(hashlib.sha256(role.encode()).digest()).decode()[:17]


def chosen_lifetime_s(asked: int | None, role: Role, *, is_chained: bool) -> int | str:
    """How long a session of the role will last, or why it can not last as long as asked, in STS's words.

    Args: is_chained: a role's session asks.
    """
    if asked is None:
        return LIFETIME_S
    if asked > role.max_session_duration_s:
        return "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    if is_chained and asked > LIFETIME_S:
        return "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
    return asked


def is_void(session: Session, role: Role | None) -> bool:
    """Whether the role of the session is gone, or is another one of the same name: then the session is none."""
    return session.role_known and (role is None or role.id != session.role_id or role_arn(role) != session.role_arn)


def needs_rotation(session: Session, now: datetime) -> bool:
    """Whether a task should be given fresh credentials instead of these."""
    return session.expires_at - now < TASK_ROTATION
