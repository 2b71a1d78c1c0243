"""Server certificates: what was uploaded with its private key, for listeners of load balancers."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from portside.api.iam.error import exists, in_use, quota
from portside.api.iam.page import page
from portside.api.iam.tag import merge, parse_tags, wire_tags, without
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain.clock import Clock, Ids
from portside.domain.iam import ServerCertificate, server_certificate_arn
from portside.domain.record import replace
from portside.domain.table import CLASSIC_LOAD_BALANCER, LISTENER, SERVER_CERTIFICATE
from portside.store.interface import ABSENT, Delete, Put, Store, Write
from portside.vault import x509
from portside.vault.interface import Vault

PER_ACCOUNT: Final = 20
"""AWS's quota."""
_PATH: Final = re.compile(r"/|/[!-~]{1,510}/")


class ServerCertificateHandlers:
    """The operations on server certificates."""

    def __init__(self, store: Store, vault: Vault, clock: Clock, ids: Ids) -> None:
        self._store, self._vault, self._clock, self._ids = store, vault, clock, ids

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "UploadServerCertificate": self.upload,
            "GetServerCertificate": self.get,
            "ListServerCertificates": self.list,
            "UpdateServerCertificate": self.update,
            "DeleteServerCertificate": self.delete,
            "TagServerCertificate": self.tag,
            "UntagServerCertificate": self.untag,
            "ListServerCertificateTags": self.list_tags,
        }

    def upload(self, context: RequestContext, params: Params) -> Result:
        name, path = params["ServerCertificateName"], _path(params.get("Path", "/"))
        tags = merge((), parse_tags(params.get("Tags", ())))
        self._check_free(context.account, name)
        if len(self._all(context.account)) >= PER_ACCOUNT:
            raise quota(f"Cannot exceed quota for ServerCertificatesPerAccount: {PER_ACCOUNT}")
        pem, chain_pem = params["CertificateBody"].strip() + "\n", params.get("CertificateChain", "").strip()
        now = self._clock.now().replace(microsecond=0)
        facts = _checked(pem, chain_pem, now)
        try:
            key_pem = x509.check_pair(pem, params["PrivateKey"])
        except x509.KeyMismatch as mismatch:
            raise ServiceError("KeyPairMismatchException", f"{mismatch}.", 400) from mismatch
        except x509.CertificateInvalid as invalid:
            raise _malformed(str(invalid)) from invalid
        made = ServerCertificate(
            account=context.account,
            name=name,
            id="ASCA" + self._ids.hex(17).upper(),
            path=path,
            pem=pem,
            chain_pem=f"{chain_pem}\n" if chain_pem else "",
            sealed_key=b"",
            key_algorithm=facts.key_algorithm,
            not_after=facts.not_after,
            tags=tags,
            created_at=now,
        )
        made = replace(made, sealed_key=self._vault.seal(key_pem.encode(), made.vault_context))
        self._store.transact(Put(SERVER_CERTIFICATE, made, expect=ABSENT))
        shown: Result = {"ServerCertificateMetadata": _metadata(made)}
        if tags:
            shown["Tags"] = wire_tags(tags)
        return shown

    def get(self, context: RequestContext, params: Params) -> Result:
        """The private key is never given back."""
        found = self._certificate(context, params)
        shown: Result = {"ServerCertificateMetadata": _metadata(found), "CertificateBody": found.pem}
        if found.chain_pem:
            shown["CertificateChain"] = found.chain_pem
        if found.tags:
            shown["Tags"] = wire_tags(found.tags)
        return {"ServerCertificate": shown}

    def list(self, context: RequestContext, params: Params) -> Result:
        prefix = params.get("PathPrefix", "/")
        found = [each for each in self._all(context.account) if each.path.startswith(prefix)]
        return page(params, "ServerCertificateMetadataList", found, lambda each: each.name, _metadata)

    def update(self, context: RequestContext, params: Params) -> None:
        """Another name or path is another ARN. Listeners that have the certificate go on with it, under that one."""
        old = self._certificate(context, params)
        name, path = params.get("NewServerCertificateName", old.name), _path(params.get("NewPath", old.path))
        if name.lower() != old.name.lower():
            self._check_free(context.account, name)
        new = replace(old, name=name, path=path)
        writes: list[Write] = [Put(SERVER_CERTIFICATE, new)]
        if name != old.name:
            writes.insert(0, Delete(SERVER_CERTIFICATE, SERVER_CERTIFICATE.key(old)))
        self._store.transact(*writes, *_renamed(self._store, old.arn, new.arn))

    def delete(self, context: RequestContext, params: Params) -> None:
        found = self._certificate(context, params)
        for listener in self._store.scan(LISTENER):
            if found.arn in (listener.certificate_arn, *listener.certificate_list):
                raise in_use(f"Certificate: {found.id} is currently in use by {listener.load_balancer_arn}")
        self._store.transact(Delete(SERVER_CERTIFICATE, SERVER_CERTIFICATE.key(found)))

    def tag(self, context: RequestContext, params: Params) -> None:
        found = self._certificate(context, params)
        tags = merge(found.tags, parse_tags(params["Tags"]))
        self._store.transact(Put(SERVER_CERTIFICATE, replace(found, tags=tags)))

    def untag(self, context: RequestContext, params: Params) -> None:
        found = self._certificate(context, params)
        self._store.transact(Put(SERVER_CERTIFICATE, replace(found, tags=without(found.tags, params["TagKeys"]))))

    def list_tags(self, context: RequestContext, params: Params) -> Result:
        tags = sorted(wire_tags(self._certificate(context, params).tags), key=lambda tag: tag["Key"])
        return page(params, "Tags", tags, lambda tag: tag["Key"], lambda tag: tag)

    def _all(self, account: str) -> tuple[ServerCertificate, ...]:
        return tuple(self._store.scan(SERVER_CERTIFICATE, f"{account}/"))

    def _check_free(self, account: str, name: str) -> None:
        """Names differ by more than case."""
        if any(each.name.lower() == name.lower() for each in self._all(account)):
            raise exists(f"The Server Certificate with name {name} already exists.")

    def _certificate(self, context: RequestContext, params: Params) -> ServerCertificate:
        name = params["ServerCertificateName"]
        found = next((each for each in self._all(context.account) if each.name.lower() == name.lower()), None)
        if found is None:
            raise ServiceError(
                "NoSuchEntityException", f"The Server Certificate with name {name} cannot be found.", 404
            )
        return found


def _renamed(store: Store, old: str, new: str) -> list[Write]:
    """Of everything that names the certificate."""

    def renamed(arn: str) -> str:
        return new if arn == old else arn

    writes: list[Write] = []
    for listener in store.scan(LISTENER):
        if old in (listener.certificate_arn, *listener.certificate_list):
            others = tuple(renamed(each) for each in listener.certificate_list)
            arn = renamed(listener.certificate_arn)
            writes.append(Put(LISTENER, replace(listener, certificate_arn=arn, certificate_list=others)))
    for balancer in store.scan(CLASSIC_LOAD_BALANCER):
        if any(each.certificate_arn == old for each in balancer.listeners):
            listeners = tuple(
                replace(each, certificate_arn=renamed(each.certificate_arn)) for each in balancer.listeners
            )
            writes.append(Put(CLASSIC_LOAD_BALANCER, replace(balancer, listeners=listeners)))
    return writes


def _checked(pem: str, chain_pem: str, now: datetime) -> x509.Facts:
    """Raises ServiceError for what is no certificate that is valid now, with its chain."""
    try:
        facts = x509.facts(pem)
        if chain_pem:
            x509.check_chain(pem, chain_pem)
    except x509.CertificateInvalid as invalid:
        raise _malformed(str(invalid)) from invalid
    if not facts.not_before <= now < facts.not_after:
        raise _malformed("The certificate is not valid now: it has expired, or its time has not begun")
    return facts


def _malformed(message: str) -> ServiceError:
    return ServiceError("MalformedCertificateException", f"{message}.", 400)


def _path(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise ServiceError(
            "ValidationError",
            "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric "
            "characters and/or / characters.",
        )
    return path


def _metadata(certificate: ServerCertificate) -> Result:
    return {
        "Path": certificate.path,
        "ServerCertificateName": certificate.name,
        "ServerCertificateId": certificate.id,
        "Arn": server_certificate_arn(certificate.account, certificate.path, certificate.name),
        "UploadDate": certificate.created_at,
        "Expiration": certificate.not_after,
    }
