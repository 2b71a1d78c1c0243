"""Certificates: import, request, list, describe, get, delete, tags."""

import base64
import binascii
from collections.abc import Mapping

from portside.api.acm import error, wire
from portside.api.acm.lookup import Certificates
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain.arn import Arn
from portside.domain.certificate import Certificate, vault_context
from portside.domain.clock import Clock, Ids
from portside.domain.record import Scope, Tags, replace
from portside.domain.table import CERTIFICATE
from portside.store.interface import Put, Store
from portside.vault import x509
from portside.vault.authority import Signer
from portside.vault.interface import Vault

PER_REGION = 2500
NAMES_PER_CERTIFICATE = 100
TAGS_PER_CERTIFICATE = 50
PAGE = 1000
REQUESTED = ("RSA_2048", "EC_prime256v1", "EC_secp384r1")
"""The key algorithms that AWS issues public certificates for."""


class CertificateHandlers:
    def __init__(self, store: Store, vault: Vault, clock: Clock, ids: Ids) -> None:
        self._store, self._vault, self._clock, self._ids = store, vault, clock, ids
        self._found = Certificates(store)
        self._signer = Signer(store, vault)

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "ImportCertificate": self.import_,
            "RequestCertificate": self.request,
            "ListCertificates": self.list,
            "DescribeCertificate": self.describe,
            "GetCertificate": self.get,
            "DeleteCertificate": self.delete,
            "AddTagsToCertificate": self.add_tags,
            "RemoveTagsFromCertificate": self.remove_tags,
            "ListTagsForCertificate": self.list_tags,
        }

    def import_(self, context: RequestContext, params: Params) -> Result:
        """With CertificateArn: the imported certificate of that ARN is replaced, wherever it is used."""
        arn = params.get("CertificateArn")
        known = self._found.get(context, arn) if arn else None
        if known is not None and known.type != "IMPORTED":
            raise error.invalid("Only an imported certificate can be imported again")
        if known is not None and "Tags" in params:
            raise error.invalid_parameter("Tags cannot be given when a certificate is imported again")
        tags = known.tags if known is not None else wire.tags_from(params.get("Tags"))
        pem, key_pem = _text(params["Certificate"]), _text(params["PrivateKey"])
        chain_pem = _text(params.get("CertificateChain", b""))
        try:
            facts = x509.facts(pem)
            key_pem = x509.check_pair(pem, key_pem)
            if chain_pem.strip():
                x509.check_chain(pem, chain_pem)
        except x509.CertificateInvalid as invalid:
            raise error.invalid(str(invalid)) from invalid
        now = self._clock.now()
        if now >= facts.not_after:
            raise error.invalid("The certificate has expired")
        if now < facts.not_before:
            raise error.invalid("The certificate is not valid yet")
        if known is not None and known.key_algorithm != facts.key_algorithm and self._found.users(known.arn):
            raise error.invalid("The key algorithm of a certificate that is in use cannot be changed")
        made = self._record(context, known, "IMPORTED", facts, pem, chain_pem, key_pem, tags)
        self._put(context, replace(made, imported_at=now))
        return {"CertificateArn": made.arn}

    def request(self, context: RequestContext, params: Params) -> Result:
        """Issued at once by the instance's own authority, for any name."""
        for member in ("CertificateAuthorityArn", "ManagedBy"):
            if params.get(member):
                raise error.invalid_parameter(f"{member} is not supported yet by Portside")
        if params.get("Options", {}).get("Export", "DISABLED") != "DISABLED":
            raise error.invalid_parameter("Exportable certificates are not supported yet by Portside")
        algorithm = params.get("KeyAlgorithm", "RSA_2048")
        if algorithm not in REQUESTED:
            raise error.invalid_parameter(f"The key algorithm {algorithm} is not supported for a public certificate")
        names = tuple(
            dict.fromkeys(name.lower() for name in (params["DomainName"], *params.get("SubjectAlternativeNames", ())))
        )
        if len(names) > NAMES_PER_CERTIFICATE:
            raise ServiceError(
                "LimitExceededException", f"A certificate can have at most {NAMES_PER_CERTIFICATE} domain names"
            )
        tags = wire.tags_from(params.get("Tags"))
        token = params.get("IdempotencyToken", "")
        for known in self._store.find(CERTIFICATE, "token", f"{context.prefix}{token}") if token else ():
            if known.names == names and (self._clock.now() - known.created_at).total_seconds() < 3600:
                return {"CertificateArn": known.arn}
        pem, chain_pem, key_pem = self._signer.issue(names, algorithm, self._clock.now())
        made = self._record(context, None, "AMAZON_ISSUED", x509.facts(pem), pem, chain_pem, key_pem, tags)
        made = replace(
            made,
            issued_at=made.created_at,
            names=names,
            domain_name=names[0],
            idempotency_token=token,
            validation_method=params.get("ValidationMethod", ""),
        )
        self._put(context, made)
        return {"CertificateArn": made.arn}

    def _record(
        self,
        context: RequestContext,
        known: Certificate | None,
        kind: str,
        facts: x509.Facts,
        pem: str,
        chain_pem: str,
        key_pem: str,
        tags: Tags,
    ) -> Certificate:
        uuid = self._ids.uuid()
        arn = known.arn if known else str(Arn("acm", context.region, context.account, f"certificate/{uuid}"))
        return Certificate(
            scope=Scope(account=context.account, region=context.region),
            arn=arn,
            type="IMPORTED" if kind == "IMPORTED" else "AMAZON_ISSUED",
            domain_name=facts.domain_name,
            names=facts.names,
            pem=pem.strip() + "\n",
            chain_pem=f"{chain_pem.strip()}\n" if chain_pem.strip() else "",
            sealed_key=self._vault.seal(key_pem.encode(), vault_context(arn)),
            serial=facts.serial,
            subject=facts.subject,
            issuer=facts.issuer,
            not_before=facts.not_before,
            not_after=facts.not_after,
            key_algorithm=facts.key_algorithm,
            signature_algorithm=facts.signature_algorithm,
            created_at=known.created_at if known else self._clock.now(),
            tags=tags,
        )

    def _put(self, context: RequestContext, certificate: Certificate) -> None:
        key = CERTIFICATE.key(certificate)
        is_new = self._store.get(CERTIFICATE, key) is None
        if is_new and sum(1 for _ in self._store.scan(CERTIFICATE, context.prefix)) >= PER_REGION:
            raise ServiceError("LimitExceededException", f"There are already {PER_REGION} certificates")
        self._store.transact(Put(CERTIFICATE, certificate))

    def list(self, context: RequestContext, params: Params) -> Result:
        """As on AWS, without filters only RSA keys of up to 2048 bits are listed."""
        now = self._clock.now()
        if params.get("CertificateKeyPairOrigins"):
            raise error.invalid("CertificateKeyPairOrigins is not supported yet by Portside")
        included = params.get("Includes", {})
        algorithms = included.get("keyTypes") or ("RSA_1024", "RSA_2048")
        for member in ("extendedKeyUsage", "keyUsage", "exportOption", "managedBy"):
            if included.get(member):
                raise error.invalid(f"Includes.{member} is not supported yet by Portside")
        statuses = params.get("CertificateStatuses")
        found = [
            each
            for each in self._store.scan(CERTIFICATE, context.prefix)
            if each.key_algorithm in algorithms and (not statuses or wire.status(each, now) in statuses)
        ]
        if ("SortBy" in params) != ("SortOrder" in params):
            raise ServiceError("InvalidArgsException", "SortBy and SortOrder must be given together")
        found.sort(key=lambda each: (each.created_at, each.arn), reverse=params.get("SortOrder") == "DESCENDING")
        start = 0
        if token := params.get("NextToken"):
            try:
                start = int(base64.urlsafe_b64decode(token.encode()).decode())
            except (binascii.Error, ValueError):
                raise error.invalid("The token is not valid") from None
        end = start + int(params.get("MaxItems", PAGE))
        shown: Result = {
            "CertificateSummaryList": [
                wire.summary_to(each, self._found.users(each.arn), now) for each in found[start:end]
            ]
        }
        if end < len(found):
            shown["NextToken"] = base64.urlsafe_b64encode(str(end).encode()).decode()
        return shown

    def describe(self, context: RequestContext, params: Params) -> Result:
        certificate = self._found.get(context, params["CertificateArn"])
        users = self._found.users(certificate.arn)
        return {"Certificate": wire.detail_to(certificate, users, self._clock.now())}

    def get(self, context: RequestContext, params: Params) -> Result:
        certificate = self._found.get(context, params["CertificateArn"])
        shown = {"Certificate": certificate.pem}
        if certificate.chain_pem:
            shown["CertificateChain"] = certificate.chain_pem
        return shown

    def delete(self, context: RequestContext, params: Params) -> None:
        certificate = self._found.get(context, params["CertificateArn"])
        if self._found.users(certificate.arn):
            raise error.in_use(certificate.arn, context.account)
        self._found.remove(certificate)

    def add_tags(self, context: RequestContext, params: Params) -> None:
        certificate = self._found.get(context, params["CertificateArn"])
        by_key = {tag.key: tag for tag in certificate.tags} | {tag.key: tag for tag in wire.tags_from(params["Tags"])}
        if len(by_key) > TAGS_PER_CERTIFICATE:
            raise ServiceError("TooManyTagsException", f"A certificate can have at most {TAGS_PER_CERTIFICATE} tags")
        self._store.transact(Put(CERTIFICATE, replace(certificate, tags=tuple(by_key.values()))))

    def remove_tags(self, context: RequestContext, params: Params) -> None:
        """A tag that is given with its value goes only if it has that value."""
        certificate = self._found.get(context, params["CertificateArn"])
        gone = {tag["Key"]: tag.get("Value") for tag in params["Tags"]}
        kept = tuple(tag for tag in certificate.tags if tag.key not in gone or gone[tag.key] not in (None, tag.value))
        self._store.transact(Put(CERTIFICATE, replace(certificate, tags=kept)))

    def list_tags(self, context: RequestContext, params: Params) -> Result:
        certificate = self._found.get(context, params["CertificateArn"])
        return {"Tags": [{"Key": tag.key, "Value": tag.value} for tag in certificate.tags]}


def _text(blob: bytes) -> str:
    try:
        return blob.decode("ascii")
    except UnicodeDecodeError:
        raise error.invalid("Could not parse certificate") from None
