"""Issuing sessions and finding them again: for STS's operations, for tasks, and for whoever verifies signatures."""

from datetime import timedelta

from portside.domain import arn
from portside.domain.clock import Clock
from portside.domain.iam import Role
from portside.domain.session import (
    TASK_LIFETIME,
    RoleCredentials,
    Session,
    id_of_unknown_role,
    is_void,
    needs_rotation,
    role_arn,
    role_parts,
)
from portside.domain.table import ROLE, SESSION
from portside.session.key import SessionKeys
from portside.store.interface import ABSENT, Put, Store


def document(credentials: RoleCredentials) -> dict[str, str]:
    """As the credentials endpoint of a task gives them.

    Source: Amazon ECS developer guide, "Task IAM role", the answer of 169.254.170.2."""
    return {
        "RoleArn": credentials.role_arn,
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "Token": credentials.token,
        "Expiration": f"{credentials.expiration:%Y-%m-%dT%H:%M:%SZ}",
    }


class StsSessions:
    """The sessions of all accounts."""

    def __init__(self, store: Store, clock: Clock, keys: SessionKeys) -> None:
        self._store, self._clock, self._keys = store, clock, keys

    def task_credentials(self, task_arn: str, role: str) -> RoleCredentials:
        """Credentials of a role for a task: the same ones until they need rotation, across restarts, too.

        Args: role: its ARN, or its name in the task's account.
        What was given before stays valid until it expires.
        Raises ValueError: `role` or `task_arn` is none. StoreUnavailable: a fresh session can not be kept.
        Effects: a session in the store, when fresh ones are due."""
        now, role = self._clock.now(), self._full_arn(task_arn, role)
        found = [
            each
            for each in self._store.find(SESSION, "owner", f"{task_arn} {role}")
            if not needs_rotation(each, now) and not is_void(each, self.role(each.role_arn))
        ]
        if found:
            return self.credentials(max(found, key=lambda each: each.expires_at))
        return self.credentials(self.begin(role, task_arn.rpartition("/")[2], TASK_LIFETIME, owner=task_arn))

    def begin(self, role: str, name: str, lifetime: timedelta, *, owner: str = "") -> Session:
        """A new session of a role. Raises ValueError, StoreUnavailable. Effects: it is in the store."""
        parts = role_parts(role)
        if parts is None:
            raise ValueError(f"{role!r} is not the ARN of a role")
        known = self.role(role)
        return self._keep(
            lifetime,
            account=parts[0],
            role_arn=role,
            role_id=known.id if known is not None else id_of_unknown_role(role),
            role_known=known is not None,
            name=name,
            owner=owner,
        )

    def begin_for_account(self, account: str, lifetime: timedelta) -> Session:
        """A new session of an account itself. Raises StoreUnavailable. Effects: it is in the store."""
        return self._keep(lifetime, account=account)

    def credentials(self, session: Session) -> RoleCredentials:
        secret, token = self.secrets(session.access_key_id)
        return RoleCredentials(
            access_key_id=session.access_key_id,
            secret_access_key=secret,
            token=token,
            expiration=session.expires_at,
            role_arn=session.role_arn,
        )

    def secrets(self, access_key_id: str) -> tuple[str, str]:
        """The secret access key and the token that belong to a key of ours."""
        return self._keys.secret_access_key(access_key_id), self._keys.session_token(access_key_id)

    def find(self, access_key_id: str) -> Session | None:
        """The session of a key, expired or not, or None if there is none or it was removed."""
        return self._store.get(SESSION, access_key_id)

    def is_void(self, session: Session) -> bool:
        """Whether the session's role has been deleted since."""
        return is_void(session, self.role(session.role_arn))

    def was_ours(self, access_key_id: str) -> bool:
        """Whether the key was issued here, though its session may have expired and been removed."""
        return self._keys.is_ours(access_key_id)

    def role(self, text: str) -> Role | None:
        """The role of exactly that ARN, path and all, if IAM knows it."""
        parts = role_parts(text)
        role = self._store.get(ROLE, f"{parts[0]}/{parts[1]}") if parts is not None else None
        return role if role is not None and role_arn(role) == text else None

    def _full_arn(self, task_arn: str, role: str) -> str:
        if role.startswith("arn:"):
            return role
        task = arn.parse(task_arn)
        if task is None:
            raise ValueError(f"{task_arn!r} is not the ARN of a task")
        known = self._store.get(ROLE, f"{task.account}/{role}")
        return role_arn(known) if known is not None else f"arn:aws:iam::{task.account}:role/{role}"

    def _keep(self, lifetime: timedelta, **fields: str | bool) -> Session:
        # STS's times have no fraction.
        now = self._clock.now().replace(microsecond=0)
        session = Session(
            access_key_id=self._keys.fresh_id(),
            issued_at=now,
            expires_at=now + lifetime,
            **fields,  # type: ignore[arg-type]
        )
        self._store.transact(Put(SESSION, session, expect=ABSENT))
        return session
