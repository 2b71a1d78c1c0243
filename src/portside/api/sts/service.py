"""STS: who am I. Sessions and federation are not there."""

from portside.aws.service import Params, RequestContext, Result, Service


def get_caller_identity(context: RequestContext, params: Params) -> Result:
    return {"UserId": context.account, "Account": context.account, "Arn": context.principal_arn}


def sts_service() -> Service:
    """The service and its operations."""
    return Service("sts", {"GetCallerIdentity": get_caller_identity})
