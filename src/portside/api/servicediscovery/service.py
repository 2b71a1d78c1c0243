"""AWS Cloud Map: what is implemented, in one list."""

from portside.api.servicediscovery.instance import Instances
from portside.api.servicediscovery.namespace import Namespaces
from portside.api.servicediscovery.operation import Operations
from portside.api.servicediscovery.registry import Registries
from portside.api.servicediscovery.tag import ResourceTags
from portside.aws.service import Service
from portside.domain.clock import Clock, Ids
from portside.store.interface import Store


def servicediscovery_service(store: Store, clock: Clock, ids: Ids) -> Service:
    """The service and its operations."""
    operations = Operations(store, clock, ids)
    return Service(
        "servicediscovery",
        {
            **Namespaces(store, clock, ids, operations).handlers(),
            **operations.handlers(),
            **Registries(store, clock, ids, operations).handlers(),
            **Instances(store, clock, ids, operations).handlers(),
            **ResourceTags(store).handlers(),
        },
        partial={
            "CreateService": "no HealthCheckConfig (health checks of Route 53)",
            "UpdateInstanceCustomHealthStatus": "takes effect at once, not after 30 seconds",
        },
    )
