"""AWS Certificate Manager: what is implemented, in one list."""

from portside.api.acm.certificate import CertificateHandlers
from portside.aws.service import Service
from portside.domain.clock import Clock, Ids
from portside.store.interface import Store
from portside.vault.interface import Vault


def acm_service(store: Store, vault: Vault, clock: Clock, ids: Ids) -> Service:
    """The service and its operations."""
    return Service(
        "acm",
        CertificateHandlers(store, vault, clock, ids).handlers(),
        partial={
            "RequestCertificate": "issued at once by the instance's own authority; none is validated or renewed",
            "ListCertificates": "filters by status and key type",
            "DescribeCertificate": "without key usages; no records for validation, which is not needed",
        },
    )
