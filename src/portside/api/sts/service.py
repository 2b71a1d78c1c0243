"""STS: who am I. Federation is not there."""

from portside.aws.service import Params, RequestContext, Result, Service
from portside.session.issue import StsSessions


def get_caller_identity(context: RequestContext, params: Params) -> Result:
    principal = context.principal
    return {
        "UserId": principal.user_id if principal is not None else context.account,
        "Account": context.account,
        "Arn": context.principal_arn,
    }


def sts_service(sessions: StsSessions) -> Service:
    """The service and its operations."""
    return Service("sts", {"GetCallerIdentity": get_caller_identity})
