"""AssumeRole and GetSessionToken: temporary credentials for callers."""

from datetime import timedelta
from typing import Final

from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain import trust
from portside.domain.session import ROOT_LIFETIME_MAX_S, Session, chosen_lifetime_s, principal_arn, role_parts, user_id
from portside.session.issue import StsSessions

NOT_THERE: Final = (
    "Policy",
    "PolicyArns",
    "Tags",
    "TransitiveTagKeys",
    "SourceIdentity",
    "ProvidedContexts",
    "SerialNumber",
    "TokenCode",
    "MinimumSessionTokenSize",
)
"""Members that would change what a session may do, or prove: refused, not ignored."""


class SessionHandlers:
    """The operations that begin a session."""

    def __init__(self, sessions: StsSessions) -> None:
        self._sessions = sessions

    def assume_role(self, context: RequestContext, params: Params) -> Result:
        _refuse_what_is_not_there(params)
        role_arn, name = params["RoleArn"], params["RoleSessionName"]
        if role_parts(role_arn) is None:
            raise invalid("Request ARN is invalid")
        role = self._sessions.role(role_arn)
        if role is None or not trust.admits_caller(
            role.assume_role_policy, _caller(context), _known(context, params, role_arn)
        ):
            # A role that is not there is not told from one that does not admit the caller.
            raise denied(
                f"User: {context.principal_arn} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
            )
        chained = context.principal is not None and bool(context.principal.role_arn)
        chosen = chosen_lifetime_s(params.get("DurationSeconds"), role, is_chained=chained)
        if isinstance(chosen, str):
            raise invalid(chosen)
        session = self._sessions.begin(role_arn, name, timedelta(seconds=chosen))
        return {
            "Credentials": self._credentials(session),
            "AssumedRoleUser": {"AssumedRoleId": user_id(session), "Arn": principal_arn(session)},
        }

    def get_session_token(self, context: RequestContext, params: Params) -> Result:
        _refuse_what_is_not_there(params)
        if context.principal is not None:
            raise denied("Cannot call GetSessionToken with session credentials")
        # For an account's root AWS shortens what is longer, and says nothing.
        lifetime_s = min(params.get("DurationSeconds", ROOT_LIFETIME_MAX_S), ROOT_LIFETIME_MAX_S)
        session = self._sessions.begin_for_account(context.account, timedelta(seconds=lifetime_s))
        return {"Credentials": self._credentials(session)}

    def _credentials(self, session: Session) -> Result:
        given = self._sessions.credentials(session)
        return {
            "AccessKeyId": given.access_key_id,
            "SecretAccessKey": given.secret_access_key,
            "SessionToken": given.token,
            "Expiration": given.expiration,
        }


def denied(message: str) -> ServiceError:
    return ServiceError("AccessDenied", message, 403)


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)


def _refuse_what_is_not_there(params: Params) -> None:
    for name in NOT_THERE:
        if name in params:
            raise ServiceError("NotImplemented", f"Portside does not implement {name} of sessions.", 501)


def _caller(context: RequestContext) -> trust.Caller:
    role_arn = context.principal.role_arn if context.principal is not None else ""
    return trust.Caller(account=context.account, arn=context.principal_arn, role_arn=role_arn)


def _known(context: RequestContext, params: Params, role_arn: str) -> dict[str, str]:
    """What the conditions of a trust policy are decided by. Source: IAM user guide, "AWS global condition context keys"
    and "Available keys for AWS STS"."""
    principal = context.principal
    assumed = principal is not None and principal.role_arn
    parts = role_parts(role_arn)
    assert parts is not None
    known = {
        "aws:principalaccount": context.account,
        "aws:principalarn": context.identity_arn,
        "aws:principaltype": "AssumedRole" if assumed else "Account",
        "aws:userid": principal.user_id if principal is not None else context.account,
        "aws:requestedregion": context.region,
        "aws:resourceaccount": parts[0],
        "sts:rolesessionname": params["RoleSessionName"],
    }
    if "ExternalId" in params:
        known["sts:externalid"] = params["ExternalId"]
    return known
