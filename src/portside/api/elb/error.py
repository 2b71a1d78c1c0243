"""From refusals by a rule to Elastic Load Balancing's first error codes, in one place; and the errors handlers give
themselves.

Source: the errors of botocore's `elb` model; messages as the service words them.
"""

from typing import Final

from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain.refusal import RefusalKind, Refused

_CODES: Final[dict[tuple[RefusalKind, str], str]] = {
    (RefusalKind.CONFLICT, ""): "InvalidConfigurationRequestException",
    (RefusalKind.IN_USE, ""): "DuplicateListenerException",
    (RefusalKind.IN_USE, "policy"): "DuplicatePolicyNameException",
    (RefusalKind.LIMIT, "policy"): "TooManyPoliciesException",
    (RefusalKind.NOT_FOUND, "policy"): "PolicyNotFoundException",
    (RefusalKind.NOT_FOUND, "policy type"): "PolicyTypeNotFoundException",
}
"""By the kind of a refusal and what it is about."""


def mapped(handler: Handler) -> Handler:
    """The handler, with refusals turned into service errors."""

    def answer(context: RequestContext, params: Params) -> Result | None:
        try:
            result = handler(context, params)
        except Refused as refused:
            code = _CODES.get((refused.kind, refused.what), "ValidationError")
            raise ServiceError(code, refused.message) from refused
        assert result is None or isinstance(result, dict)  # these handlers never await
        return result

    return answer


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)


def conflict(message: str) -> ServiceError:
    return ServiceError("InvalidConfigurationRequestException", message)


def unsupported(what: str) -> ServiceError:
    return ServiceError("ValidationError", f"{what} is not supported yet by Portside")


def load_balancer_not_found(name: str) -> ServiceError:
    return ServiceError("AccessPointNotFoundException", f"There is no ACTIVE Load Balancer named '{name}'")
