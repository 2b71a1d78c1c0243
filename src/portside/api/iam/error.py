"""IAM's errors, in its words."""

from portside.aws.service import ServiceError


def no_such(what: str, name: str) -> ServiceError:
    return ServiceError("NoSuchEntityException", f"The {what} with name {name} cannot be found.", 404)


def no_such_policy(arn: str) -> ServiceError:
    return ServiceError("NoSuchEntityException", f"Policy {arn} does not exist or is not attachable.", 404)


def exists(message: str) -> ServiceError:
    return ServiceError("EntityAlreadyExistsException", message, 409)


def in_use(message: str) -> ServiceError:
    return ServiceError("DeleteConflictException", message, 409)


def quota(message: str) -> ServiceError:
    return ServiceError("LimitExceededException", message, 409)


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidInputException", message, 400)


def malformed_policy(message: str) -> ServiceError:
    return ServiceError("MalformedPolicyDocumentException", message, 400)
