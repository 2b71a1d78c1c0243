"""Reading secrets: by name or ARN, version or stage, with the value opened. For the API and for tasks alike."""

from portside.domain.record import Scope
from portside.domain.secret import Secret, SecretValue, SecretVersion, names_of, secret_arn, vault_context, version
from portside.domain.table import SECRET, SECRET_VALUE
from portside.store.interface import Store
from portside.vault.interface import Vault


class SecretMissing(Exception):
    """There is no such secret, or no such version of it; the message is AWS's."""


class SecretDeleted(Exception):
    """It is about to be deleted; the message is AWS's."""


def find(store: Store, scope: Scope, secret_id: str) -> Secret:
    """The secret of that name, ARN or ARN without its last six characters. Raises SecretMissing."""
    for name in names_of(secret_id):
        found = store.get(SECRET, f"{scope.prefix}{name}")
        if found is not None and (not secret_id.startswith("arn:") or secret_arn(found).startswith(secret_id)):
            return found
    raise SecretMissing("Secrets Manager can't find the specified secret.")


def value(
    store: Store, secret: Secret, *, version_id: str | None = None, stage: str | None = None
) -> tuple[SecretVersion, SecretValue]:
    """A version with what it holds. Raises SecretMissing, SecretDeleted, Refused."""
    if secret.deleted_at is not None:
        raise SecretDeleted("You can't perform this operation on the secret because it was marked for deletion.")
    found = version(secret, version_id=version_id, stage=stage)
    held = store.get(SECRET_VALUE, f"{SECRET.key(secret)}-{secret.suffix}/{found.id}") if found is not None else None
    if found is None or held is None:
        meant = f"VersionId: {version_id}" if version_id is not None else f"staging label: {stage or 'AWSCURRENT'}"
        raise SecretMissing(f"Secrets Manager can't find the specified secret value for {meant}")
    return found, held


def opened(vault: Vault, secret: Secret, held: SecretValue) -> bytes:
    """The content. Raises VaultError."""
    return vault.open(held.sealed, vault_context(secret, held.version_id))
