"""Whatever of a session's signed request is changed on its way, it proves nothing any more."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import assume, given
from hypothesis import strategies as st

from portside.aws.request import Request
from portside.aws.service import Principal
from portside.aws.signature import Secret, SignatureError, SignatureVerifier, read_credential

WHO = Principal(
    account="111111111111",
    arn="arn:aws:sts::111111111111:assumed-role/r/s",
    user_id="AROAR:s",
    role_arn="arn:aws:iam::111111111111:role/r",
)
NOW = datetime.now(UTC)
KEY, OTHER_KEY, TOKEN = "ASIASESSION", "ASIAOTHER", "tokentokentoken"
SECRETS = {
    KEY: Secret("secret", TOKEN, NOW + timedelta(hours=1), WHO),
    OTHER_KEY: Secret("other secret", "other token", NOW + timedelta(hours=1), WHO),
}


def verifier(*, accepts_unknown: bool, at: datetime = NOW) -> SignatureVerifier:
    return SignatureVerifier(SECRETS.get, lambda: at, accepts_unknown=accepts_unknown)


def signed(*, presigned: bool, body: bytes = b'{"cluster":"c"}') -> Request:
    """A request as botocore signs it with the session's keys."""
    url = "http://127.0.0.1:4566/a/path?Action=X&Value=a%20b"
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "A.B", "Host": "127.0.0.1:4566"}
    made = AWSRequest("POST", url, headers=headers, data=b"" if presigned else body)
    credentials = Credentials(KEY, "secret", TOKEN)
    if presigned:
        SigV4QueryAuth(credentials, "ecs", "us-east-1", expires=900).add_auth(made)
    else:
        SigV4Auth(credentials, "ecs", "us-east-1").add_auth(made)
    parts = urlsplit(made.url)
    sent = b"" if presigned else body
    found = {name.lower(): value for name, value in made.headers.items()}
    return Request("POST", parts.path, parts.query, found, sent, sent)


def refused(request: Request, *, accepts_unknown: bool) -> bool:
    """Whether the request is not taken for the session's."""
    try:
        return verifier(accepts_unknown=accepts_unknown).verify(request, read_credential(request)) is None
    except SignatureError:
        return True


def signed_parts(request: Request) -> list[str]:
    """The headers that the signature covers, and those that carry it."""
    if "authorization" not in request.headers:
        return ["host"]
    listed = request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    return [*listed.split(";"), "authorization"]


LETTER = st.sampled_from("aZ0/=&%;:. \x00é")


def changed(text: str, at: int, letter: str) -> str:
    at %= max(len(text), 1)
    return text[:at] + letter + text[at + 1 :]


@pytest.mark.parametrize("accepts_unknown", [False, True])
@pytest.mark.parametrize("presigned", [False, True])
def test_what_is_not_changed_proves_the_session(presigned: bool, accepts_unknown: bool) -> None:
    """The request as it was signed is the session's, whether other keys are accepted or not."""
    request = signed(presigned=presigned)
    assert verifier(accepts_unknown=accepts_unknown).verify(request, read_credential(request)) == WHO


@given(st.booleans(), st.booleans(), st.data())
def test_a_changed_header_proves_nothing(presigned: bool, accepts_unknown: bool, data: st.DataObject) -> None:
    """One letter of any header that is signed, or of the signature itself."""
    request = signed(presigned=presigned)
    name = data.draw(st.sampled_from(signed_parts(request)))
    value = changed(request.headers[name], data.draw(st.integers(0, 400)), data.draw(LETTER))
    # Runs of spaces count as one, and so do those after a comma of the header that carries the signature.
    assume("".join(value.split()) != "".join(request.headers[name].split()))
    request.headers = {**request.headers, name: value}
    assert refused(request, accepts_unknown=accepts_unknown)


@given(st.booleans(), st.booleans(), st.integers(0, 600), LETTER)
def test_a_changed_query_proves_nothing(presigned: bool, accepts_unknown: bool, at: int, letter: str) -> None:
    """One letter of the query, the presigned token and signature among it."""
    request = signed(presigned=presigned)
    before = request.query
    request.query = changed(before, at, letter)
    assume(parse_qsl(request.query, keep_blank_values=True) != parse_qsl(before, keep_blank_values=True))
    assert refused(request, accepts_unknown=accepts_unknown)


@given(st.booleans(), st.binary(max_size=40))
def test_another_body_proves_nothing(accepts_unknown: bool, body: bytes) -> None:
    """Any other body."""
    request = signed(presigned=False)
    assume(body != request.body)
    request.body = request.content = body
    assert refused(request, accepts_unknown=accepts_unknown)


@pytest.mark.parametrize("accepts_unknown", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda one: setattr(one, "path", "/a/other"),
        lambda one: setattr(one, "method", "GET"),
        lambda one: setattr(one, "headers", {**one.headers, "x-amz-security-token": "other token"}),
        lambda one: setattr(one, "headers", {k: v for k, v in one.headers.items() if k != "x-amz-security-token"}),
        lambda one: setattr(
            one, "headers", {**one.headers, "authorization": one.headers["authorization"].replace(KEY, OTHER_KEY)}
        ),
        lambda one: setattr(
            one,
            "headers",
            {
                **one.headers,
                "authorization": one.headers["authorization"].replace(KEY, OTHER_KEY),
                "x-amz-security-token": "other token",
            },
        ),
        lambda one: setattr(
            one, "headers", {**one.headers, "authorization": one.headers["authorization"].replace("/ecs/", "/iam/")}
        ),
    ],
)
def test_parts_of_another_proof_prove_nothing(change: Callable[[Request], None], accepts_unknown: bool) -> None:
    """Another path, method or service, another session's key or token, or none."""
    request = signed(presigned=False)
    change(request)
    with pytest.raises(SignatureError):
        verifier(accepts_unknown=accepts_unknown).verify(request, read_credential(request))


@pytest.mark.parametrize("presigned", [False, True])
def test_a_session_that_has_ended_proves_nothing(presigned: bool) -> None:
    """At the very second of its end, whether the request is presigned for longer or not."""
    request = signed(presigned=presigned)
    secrets = {KEY: Secret("secret", TOKEN, NOW, WHO)}
    ended = SignatureVerifier(secrets.get, lambda: NOW, accepts_unknown=True)
    with pytest.raises(SignatureError) as caught:
        ended.verify(request, read_credential(request))
    assert caught.value.reason == "expired_token"


def test_nothing_secret_is_shown() -> None:
    """What is logged of a secret holds neither key nor token."""
    assert "secret'" not in repr(SECRETS[KEY])
    assert TOKEN not in repr(SECRETS[KEY])
