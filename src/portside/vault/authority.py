"""The instance's own certificate authority: made when the first certificate is requested, its key sealed."""

from collections.abc import Sequence
from datetime import datetime

from portside.domain.certificate import AUTHORITY_CONTEXT, Authority, Certificate, vault_context
from portside.domain.iam import ServerCertificate, server_certificate_key
from portside.domain.table import AUTHORITY, CERTIFICATE, SERVER_CERTIFICATE
from portside.store.interface import ABSENT, Put, Store
from portside.vault import x509
from portside.vault.interface import Vault


class Signer:
    def __init__(self, store: Store, vault: Vault) -> None:
        self._store, self._vault = store, vault

    def root(self, now: datetime) -> Authority:
        """The authority, made if there is none. Raises StoreUnavailable."""
        known = self._store.get(AUTHORITY, "authority")
        if known is not None:
            return known
        pem, key_pem = x509.make_authority(now)
        made = Authority(pem=pem, sealed_key=self._vault.seal(key_pem.encode(), AUTHORITY_CONTEXT), created_at=now)
        self._store.transact(Put(AUTHORITY, made, ABSENT))
        return made

    def issue(self, names: Sequence[str], algorithm: str, now: datetime) -> tuple[str, str, str]:
        """A certificate, its chain and its private key, in PEM. Raises VaultError."""
        root = self.root(now)
        key_pem = self._vault.open(root.sealed_key, AUTHORITY_CONTEXT).decode()
        pem, made_key = x509.issue(root.pem, key_pem, names, algorithm, now)
        return pem, root.pem, made_key


def private_key(vault: Vault, certificate: Certificate | ServerCertificate) -> str:
    """In PEM. Raises VaultError."""
    if isinstance(certificate, ServerCertificate):
        return vault.open(certificate.sealed_key, certificate.vault_context).decode()
    return vault.open(certificate.sealed_key, vault_context(certificate.arn)).decode()


def served_certificate(store: Store, prefix: str, arn: str) -> Certificate | ServerCertificate | None:
    """What a listener names: a certificate of Certificate Manager's, or a server certificate of IAM's.

    Args: prefix: the scope's."""
    key = server_certificate_key(arn)
    if key is None:
        return store.get(CERTIFICATE, prefix + arn)
    found = store.get(SERVER_CERTIFICATE, key) if prefix.startswith(f"{key.partition('/')[0]}/") else None
    return found if found is not None and found.arn == arn else None
