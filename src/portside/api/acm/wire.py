"""Certificate Manager's wire shapes from records."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from portside.aws.service import Result, ServiceError
from portside.domain import tag_rule
from portside.domain.certificate import Certificate, is_expired
from portside.domain.record import Tag, Tags
from portside.domain.refusal import Refused


def tags_from(items: Sequence[Mapping[str, str]] | None) -> Tags:
    tags = tuple(Tag(key=item["Key"], value=item.get("Value", "")) for item in items or ())
    try:
        tag_rule.check(tags)
    except Refused as refused:
        raise ServiceError("InvalidTagException", refused.message) from refused
    return tags


def status(certificate: Certificate, now: datetime) -> str:
    return "EXPIRED" if is_expired(certificate, now) else "ISSUED"


def _common(certificate: Certificate, now: datetime) -> Result:
    shown: Result = {
        "CertificateArn": certificate.arn,
        "DomainName": certificate.domain_name,
        "Status": status(certificate, now),
        "Type": certificate.type,
        "KeyAlgorithm": certificate.key_algorithm,
        "NotBefore": certificate.not_before,
        "NotAfter": certificate.not_after,
        "CreatedAt": certificate.created_at,
        "RenewalEligibility": "INELIGIBLE",
    }
    if certificate.imported_at is not None:
        shown["ImportedAt"] = certificate.imported_at
    if certificate.issued_at is not None:
        shown["IssuedAt"] = certificate.issued_at
    return shown


def summary_to(certificate: Certificate, users: Sequence[str], now: datetime) -> Result:
    return {
        **_common(certificate, now),
        "SubjectAlternativeNameSummaries": list(certificate.names[:100]),
        "HasAdditionalSubjectAlternativeNames": len(certificate.names) > 100,
        "InUse": bool(users),
    }


def detail_to(certificate: Certificate, users: Sequence[str], now: datetime) -> Result:
    shown: Result = {
        **_common(certificate, now),
        "SubjectAlternativeNames": list(certificate.names),
        "Serial": certificate.serial,
        "Subject": certificate.subject,
        "Issuer": certificate.issuer,
        "SignatureAlgorithm": certificate.signature_algorithm,
        "InUseBy": list(users),
    }
    if certificate.type == "AMAZON_ISSUED":
        shown["DomainValidationOptions"] = [_validation(certificate, name) for name in certificate.names]
    return shown


def _validation(certificate: Certificate, name: str) -> dict[str, Any]:
    shown = {"DomainName": name, "ValidationDomain": name, "ValidationStatus": "SUCCESS"}
    if certificate.validation_method:
        shown["ValidationMethod"] = certificate.validation_method
    return shown
