"""Secrets Manager: what is implemented, in one list."""

from portside.api.secretsmanager.secret import Secrets
from portside.aws.service import Service
from portside.domain.clock import Clock, Ids
from portside.store.interface import Store
from portside.vault.interface import Vault


def secretsmanager_service(store: Store, vault: Vault, clock: Clock, ids: Ids) -> Service:
    """The service and its operations."""
    kept = "kept, not enforced"
    return Service(
        "secretsmanager",
        Secrets(store, vault, clock, ids).handlers(),
        partial={
            "CreateSecret": "no replicas, no KMS keys, no managed external secrets",
            "UpdateSecret": "no KMS keys",
            "RotateSecret": "refused: nothing rotates secrets",
            "PutResourcePolicy": kept,
            "GetResourcePolicy": kept,
        },
    )
