"""From refusals by a rule to ECS's error codes, in one place; and the errors that handlers give themselves.

Source: the errors of botocore's `ecs` model and their documentation; HTTP status 400 for all of them.
"""

from typing import Final

from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain.refusal import RefusalKind, Refused

_CODES: Final[dict[tuple[RefusalKind, str], str]] = {
    (RefusalKind.IN_USE, "cluster.services"): "ClusterContainsServicesException",
    (RefusalKind.IN_USE, "cluster.instances"): "ClusterContainsContainerInstancesException",
    (RefusalKind.IN_USE, "cluster.tasks"): "ClusterContainsTasksException",
    (RefusalKind.IN_USE, "cluster.capacityProviders"): "ResourceInUseException",
    (RefusalKind.NOT_FOUND, "platform"): "PlatformUnknownException",
    (RefusalKind.NOT_FOUND, "taskDefinition"): "ClientException",
    (RefusalKind.CONFLICT, "service"): "ServiceNotActiveException",
}
"""Codes by kind and by what was refused."""

_CLIENT_EXCEPTION: Final = frozenset({"RegisterTaskDefinition"})
"""Operations that answer a broken rule with ClientException; the others say InvalidParameterException."""


def service_error(refused: Refused, operation: str) -> ServiceError:
    """The answer AWS gives in that operation."""
    if refused.kind is RefusalKind.UNSUPPORTED:
        return client_error(refused.message)
    code = _CODES.get((refused.kind, refused.what))
    if code is None:
        code = "ClientException" if operation in _CLIENT_EXCEPTION else "InvalidParameterException"
    return ServiceError(code, refused.message)


def mapped(operation: str, handler: Handler) -> Handler:
    """The handler, with refusals turned into service errors."""

    def answer(context: RequestContext, params: Params) -> Result | None:
        try:
            result = handler(context, params)
        except Refused as refused:
            raise service_error(refused, operation) from refused
        assert result is None or isinstance(result, dict)  # ECS handlers never await
        return result

    return answer


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)


def client_error(message: str) -> ServiceError:
    return ServiceError("ClientException", message)


def cluster_not_found(message: str = "Cluster not found.") -> ServiceError:
    return ServiceError("ClusterNotFoundException", message)


def service_not_found() -> ServiceError:
    return ServiceError("ServiceNotFoundException", "Service not found.")


def resource_not_found(kind: str) -> ServiceError:
    return ServiceError(
        "ResourceNotFoundException",
        f"The specified {kind} wasn't found. Specify the ARN of an existing {kind} and try again.",
    )
