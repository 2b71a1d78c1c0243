"""Certificate Manager's errors, in its words."""

from portside.aws.service import ServiceError


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def invalid_parameter(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)


def not_found(arn: str, account: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", f"Could not find certificate {arn} in account {account}.")


def in_use(arn: str, account: str) -> ServiceError:
    return ServiceError("ResourceInUseException", f"Certificate {arn} in account {account} is in use.")
