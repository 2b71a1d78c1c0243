"""From an access key id to the session that it is of: what the verifier of signatures has to know."""

from datetime import UTC, datetime
from typing import Final

from portside.aws.service import Principal
from portside.aws.signature import Secret, SignatureError
from portside.domain.session import principal_arn, user_id
from portside.session.issue import StsSessions

LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def secret_of_session(sessions: StsSessions, access_key_id: str) -> Secret | None:
    """What belongs to a session's key, or None if the key is none of ours.

    A key whose session has expired and was removed is an expired one still.

    Raises:
        SignatureError: the session's role is gone, and the session with it.
    """
    session = sessions.find(access_key_id)
    if session is None and not sessions.was_ours(access_key_id):
        return None
    secret, token = sessions.secrets(access_key_id)
    if session is None:
        return Secret(secret, token, LONG_AGO)
    if sessions.is_void(session):
        raise SignatureError("unknown_key", "The security token included in the request is invalid.")
    principal = Principal(session.account, principal_arn(session), user_id(session), session.role_arn)
    return Secret(secret, token, session.expires_at, principal)
