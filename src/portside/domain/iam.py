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


class ServerCertificate(Record, frozen=True, kw_only=True):
    """A certificate with its private key, sealed for `vault_context`, which another name does not change."""

    account: str
    name: str
    id: str
    path: str = "/"
    pem: str
    chain_pem: str = ""
    sealed_key: bytes
    key_algorithm: str
    not_after: datetime
    tags: Tags = ()
    created_at: datetime

    @property
    def arn(self) -> str:
        return server_certificate_arn(self.account, self.path, self.name)

    @property
    def vault_context(self) -> str:
        return f"iam:{self.id}"


def server_certificate_arn(account: str, path: str, name: str) -> str:
    return f"arn:aws:iam::{account}:server-certificate{path}{name}"


def server_certificate_key(arn: str) -> str | None:
    """Where the record of an ARN is; None if it is no server certificate's. What is there may have another path."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[2] != "iam" or not parts[5].startswith("server-certificate/"):
        return None
    return f"{parts[4]}/{parts[5].rpartition('/')[2]}"
