"""Cloud Map's errors, in its words."""

from collections.abc import Iterator
from contextlib import contextmanager

from portside.aws.service import ServiceError
from portside.domain.refusal import Refused


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidInput", message)


def namespace_not_found(named: str) -> ServiceError:
    return ServiceError("NamespaceNotFound", f"Namespace {named} not found")


def service_not_found(named: str) -> ServiceError:
    return ServiceError("ServiceNotFound", f"Service {named} not found")


def instance_not_found(named: str) -> ServiceError:
    return ServiceError("InstanceNotFound", f"Instance {named} not found")


def in_use(message: str) -> ServiceError:
    return ServiceError("ResourceInUse", message)


def limit(message: str) -> ServiceError:
    return ServiceError("ResourceLimitExceeded", message)


@contextmanager
def told() -> Iterator[None]:
    """What a rule refuses, as the service's error."""
    try:
        yield
    except Refused as error:
        raise invalid(error.message) from error
