"""From refusals by a rule to Elastic Load Balancing's error codes, in one place; and the errors handlers give
themselves.

Source: the errors of botocore's `elbv2` model; messages as the service words them.
"""

from typing import Final

from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain.refusal import RefusalKind, Refused

_CODES: Final[dict[RefusalKind, str]] = {
    RefusalKind.LIMIT: "TooManyTargetGroupsException",
    RefusalKind.CONFLICT: "InvalidConfigurationRequestException",
}


def mapped(handler: Handler) -> Handler:
    """The handler, with refusals turned into service errors."""

    def answer(context: RequestContext, params: Params) -> Result | None:
        try:
            result = handler(context, params)
        except Refused as refused:
            raise ServiceError(_CODES.get(refused.kind, "ValidationError"), refused.message) from refused
        assert result is None or isinstance(result, dict)  # these handlers never await
        return result

    return answer


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)


def invalid_action(message: str) -> ServiceError:
    return ServiceError("InvalidLoadBalancerActionException", message)


def unsupported(what: str) -> ServiceError:
    return ServiceError("ValidationError", f"{what} is not supported yet by Portside")


def load_balancer_not_found(arn: str) -> ServiceError:
    return ServiceError("LoadBalancerNotFoundException", f"Load balancer '{arn}' not found")


def target_group_not_found(arn: str) -> ServiceError:
    return ServiceError("TargetGroupNotFoundException", f"Target groups '{arn}' not found")


def listener_not_found(arn: str) -> ServiceError:
    return ServiceError("ListenerNotFoundException", f"Listener '{arn}' not found")


def rule_not_found(arn: str) -> ServiceError:
    return ServiceError("RuleNotFoundException", f"Rule '{arn}' not found")


def ssl_policy_not_found(name: str) -> ServiceError:
    return ServiceError("SSLPolicyNotFoundException", f"SSL policy '{name}' not found")


def certificate_not_found(arn: str) -> ServiceError:
    return ServiceError("CertificateNotFoundException", f"Certificate '{arn}' not found")
