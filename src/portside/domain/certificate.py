"""Certificates as Certificate Manager has them."""

from datetime import datetime
from typing import Literal

from portside.domain.record import Record, Scope, Tags


class Certificate(Record, frozen=True, kw_only=True):
    """What a certificate says stands beside its PEM text, so that nobody has to parse it again."""

    scope: Scope
    arn: str
    type: Literal["IMPORTED", "AMAZON_ISSUED"]
    domain_name: str
    names: tuple[str, ...]  # subject alternative names
    pem: str
    chain_pem: str = ""
    sealed_key: bytes
    serial: str
    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    key_algorithm: str
    signature_algorithm: str
    created_at: datetime
    imported_at: datetime | None = None
    issued_at: datetime | None = None
    idempotency_token: str = ""
    validation_method: str = ""
    tags: Tags = ()


class Authority(Record, frozen=True, kw_only=True):
    """The instance's own authority, which issues what is requested. There is one, for all accounts and regions."""

    pem: str
    sealed_key: bytes
    created_at: datetime


AUTHORITY_CONTEXT = "certificate authority"


def vault_context(arn: str) -> str:
    """What a certificate's private key is sealed for."""
    return f"acm:{arn}"


def is_expired(certificate: Certificate, now: datetime) -> bool:
    return now >= certificate.not_after
