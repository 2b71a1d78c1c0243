"""CloudWatch's errors, in its words."""

from collections.abc import Iterator
from contextlib import contextmanager

from portside.aws.service import ServiceError
from portside.domain.refusal import RefusalKind, Refused
from portside.telemetry.interface import LogsUnavailable


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValueException", message)


def combination(message: str) -> ServiceError:
    return ServiceError("InvalidParameterCombinationException", message)


@contextmanager
def told() -> Iterator[None]:
    """What rules and the metric store refuse, as the service's errors."""
    try:
        yield
    except Refused as error:
        if error.kind is RefusalKind.UNSUPPORTED:
            raise ServiceError("ValidationError", error.message) from error
        raise invalid(error.message) from error
    except LogsUnavailable as error:
        raise ServiceError("InternalServiceFault", f"{error}. Free space and try again.", 500) from error
