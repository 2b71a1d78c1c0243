"""CloudWatch Logs' errors, in its words."""

from collections.abc import Iterator
from contextlib import contextmanager

from portside.aws.service import ServiceError
from portside.domain.refusal import RefusalKind, Refused
from portside.telemetry.interface import LogStreamMissing, LogsUnavailable


def no_group() -> ServiceError:
    return ServiceError("ResourceNotFoundException", "The specified log group does not exist.")


def no_stream() -> ServiceError:
    return ServiceError("ResourceNotFoundException", "The specified log stream does not exist.")


def no_filter() -> ServiceError:
    return ServiceError("ResourceNotFoundException", "The specified metric filter does not exist.")


def exists(what: str) -> ServiceError:
    return ServiceError("ResourceAlreadyExistsException", f"The specified {what} already exists")


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)


def unsupported(what: str) -> ServiceError:
    """AWS has it, Portside not yet: said rather than ignored."""
    return ServiceError("InvalidParameterException", f"{what} is not implemented by Portside.")


def class_lacks(what: str, code: str = "InvalidParameterException") -> ServiceError:
    return ServiceError(code, f"{what} is not supported for log groups of the class INFREQUENT_ACCESS.")


def protected(what: str) -> ServiceError:
    return ServiceError(
        "ValidationException", f"The specified {what} can not be deleted: deletion protection is enabled."
    )


@contextmanager
def told() -> Iterator[None]:
    """What the log store and the domain refuse, as the service's errors."""
    try:
        yield
    except LogStreamMissing:
        raise no_stream() from None
    except Refused as error:
        if error.kind is RefusalKind.LIMIT:
            raise ServiceError("LimitExceededException", error.message) from error
        raise invalid(error.message) from error
    except LogsUnavailable as error:
        raise ServiceError("ServiceUnavailableException", f"{error}. Free space and try again.", 500) from error
