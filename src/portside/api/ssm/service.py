"""Systems Manager: what is implemented, in one list."""

from portside.api.ssm.parameter import Parameters
from portside.aws.service import Service
from portside.domain.clock import Clock
from portside.store.interface import Store
from portside.vault.interface import Vault


def ssm_service(store: Store, vault: Vault, clock: Clock) -> Service:
    """The service and its operations."""
    return Service(
        "ssm",
        Parameters(store, vault, clock).handlers(),
        partial={
            "PutParameter": "no policies, data type text only; SecureString is encrypted by a key of Portside's own "
            "(alias/aws/ssm)",
            "GetParameter": "of public parameters those of the ECS images (/aws/service/ecs/optimized-ami)",
            "DescribeParameters": "own account only",
            "AddTagsToResource": "parameters only",
            "RemoveTagsFromResource": "parameters only",
            "ListTagsForResource": "parameters only",
        },
    )
