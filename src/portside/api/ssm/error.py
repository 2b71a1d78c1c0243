"""Systems Manager's errors, in its words."""

from collections.abc import Iterator
from contextlib import contextmanager

from portside.aws.service import ServiceError
from portside.domain.refusal import RefusalKind, Refused
from portside.vault.interface import VaultError
from portside.vault.parameter import ParameterMissing, ParameterVersionMissing


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


@contextmanager
def told() -> Iterator[None]:
    """What rules and the vault refuse, as the service's errors."""
    try:
        yield
    except Refused as error:
        if error.what == "reserved":
            raise ServiceError("AccessDeniedException", error.message) from error
        if error.kind is RefusalKind.LIMIT and error.what == "levels":
            raise ServiceError("HierarchyLevelLimitExceededException", error.message) from error
        raise invalid(error.message) from error
    except ParameterVersionMissing as error:
        raise ServiceError("ParameterVersionNotFound", str(error)) from error
    except ParameterMissing as error:
        raise ServiceError("ParameterNotFound", str(error)) from error
    except VaultError as error:
        raise ServiceError("InternalServerError", f"The value can not be decrypted: {error}.", 500) from error
