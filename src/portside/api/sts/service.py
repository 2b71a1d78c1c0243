"""STS: who am I, and sessions. Federation is not there."""

from portside.api.sts.assume_role import SessionHandlers
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
    handlers = SessionHandlers(sessions)
    return Service(
        "sts",
        {
            "GetCallerIdentity": get_caller_identity,
            "AssumeRole": handlers.assume_role,
            "GetSessionToken": handlers.get_session_token,
        },
        partial={
            "AssumeRole": (
                "the trust policy is evaluated (conditions on strings, ARNs and booleans), the caller's own policies "
                "are not, and an account's root may assume roles; no session policies, tags, source identities, MFA"
            ),
            "GetSessionToken": "no MFA",
        },
    )
