"""Secrets Manager's errors, in its words."""

from collections.abc import Iterator
from contextlib import contextmanager

from portside.aws.service import ServiceError
from portside.domain.refusal import Refused
from portside.vault.interface import VaultError
from portside.vault.secret import SecretDeleted, SecretMissing


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)


def forbidden(message: str) -> ServiceError:
    """What the secret's state, or Portside, does not allow."""
    return ServiceError("InvalidRequestException", message)


@contextmanager
def told() -> Iterator[None]:
    """What rules and the vault refuse, as the service's errors."""
    try:
        yield
    except Refused as error:
        raise invalid(error.message) from error
    except SecretMissing as error:
        raise ServiceError("ResourceNotFoundException", str(error)) from error
    except SecretDeleted as error:
        raise forbidden(str(error)) from error
    except VaultError as error:
        raise ServiceError("DecryptionFailure", f"The value can not be decrypted: {error}.") from error
