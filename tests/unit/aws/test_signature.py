"""Signature Version 4 against botocore's signer."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from portside.aws.request import Request
from portside.aws.signature import Secret, SignatureError, SignatureVerifier, is_account_id, read_credential

KEYS = {"KEY": Secret("secret"), "SESSION": Secret("secret", "token")}


def signed(
    *,
    method: str = "POST",
    url: str = "http://127.0.0.1:4566/",
    body: bytes = b"{}",
    key: str = "KEY",
    secret: str = "secret",
    token: str | None = None,
    presigned_s: int | None = None,
) -> Request:
    """A request as botocore signs it."""
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "A.B", "Host": urlsplit(url).netloc}
    made = AWSRequest(method, url, headers=headers, data=body)
    credentials = Credentials(key, secret, token)
    if presigned_s is None:
        SigV4Auth(credentials, "ecs", "us-east-1").add_auth(made)
    else:
        SigV4QueryAuth(credentials, "ecs", "us-east-1", expires=presigned_s).add_auth(made)
    parts = urlsplit(made.url)
    found = {name.lower(): value for name, value in made.headers.items()}
    # A presigned request carries its parameters in the query; its body is empty.
    sent = body if presigned_s is None else b""
    return Request(method, parts.path, parts.query, found, sent, sent)


def verifier(ahead: timedelta = timedelta()) -> SignatureVerifier:
    return SignatureVerifier(KEYS.get, lambda: datetime.now(UTC) + ahead)


def reason_of(request: Request, ahead: timedelta = timedelta()) -> str:
    with pytest.raises(SignatureError) as caught:
        verifier(ahead).verify(request, read_credential(request))
    return caught.value.reason


@pytest.mark.parametrize(
    "request_",
    [
        signed(),
        signed(body=b""),
        signed(url="http://127.0.0.1:4566/a%20b/../c//d/?z=1&a=%C3%BC&a=%2F&empty="),
        signed(key="SESSION", token="token"),
        signed(method="GET", body=b"", presigned_s=3600, url="http://localhost:4566/?Action=X&V=a%20b"),
        signed(presigned_s=3600, key="SESSION", token="token"),
    ],
)
def test_true_signature(request_: Request) -> None:
    """What botocore signs, in header or query, is accepted."""
    credential = read_credential(request_)
    assert (credential.region, credential.service) == ("us-east-1", "ecs")
    verifier().verify(request_, credential)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: setattr(one, "body", b"[]"),
        lambda one: setattr(one, "path", "/other"),
        lambda one: setattr(one, "query", one.query + "&more=1"),
        lambda one: setattr(one, "method", "PUT"),
        lambda one: setattr(one, "headers", {**one.headers, "x-amz-target": "A.C"}),
        lambda one: setattr(one, "headers", {**one.headers, "host": "other"}),
    ],
)
def test_changed_request(change: Callable[[Request], None]) -> None:
    """A request changed after it was signed is refused."""
    request = signed(url="http://127.0.0.1:4566/?a=1")
    change(request)
    assert reason_of(request) == "mismatch"


def test_wrong_key() -> None:
    """A wrong secret, an unknown key, and a missing or wrong session token are told apart."""
    assert reason_of(signed(secret="other")) == "mismatch"
    assert reason_of(signed(key="NONE")) == "unknown_key"
    assert reason_of(signed(key="SESSION")) == "token"
    assert reason_of(signed(key="SESSION", token="other")) == "token"


def test_time() -> None:
    """Fifteen minutes either way are allowed; a presigned request lasts as long as it says."""
    request = signed()
    verifier(timedelta(minutes=14)).verify(request, read_credential(request))
    verifier(timedelta(minutes=-14)).verify(request, read_credential(request))
    assert reason_of(request, timedelta(minutes=16)) == "expired"
    assert reason_of(request, timedelta(minutes=-16)) == "expired"
    presigned = signed(presigned_s=3600)
    verifier(timedelta(minutes=59)).verify(presigned, read_credential(presigned))
    assert reason_of(presigned, timedelta(minutes=61)) == "expired"


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (None, "missing"),
        ("Basic abc", "incomplete"),
        ("AWS4-HMAC-SHA256", "incomplete"),
        ("AWS4-HMAC-SHA256 Credential=KEY/20260101/us-east-1/ecs/aws4_request", "incomplete"),
        ("AWS4-HMAC-SHA256 Credential=KEY, SignedHeaders=host, Signature=0", "incomplete"),
        ("AWS4-HMAC-SHA256 Credential=KEY/1/r/s/aws4_request, SignedHeaders=host, Signature=0", "incomplete"),
    ],
)
def test_form(authorization: str | None, reason: str) -> None:
    """A header that is not there or not in the form is told from a false one."""
    headers = {"host": "h"} if authorization is None else {"host": "h", "authorization": authorization}
    assert reason_of(Request("POST", "/", "", headers, b"")) == reason


def test_host_unsigned() -> None:
    """A signature that leaves the host out could be replayed elsewhere, so it is refused."""
    request = signed()
    header = request.headers["authorization"].replace("content-type;host;", "content-type;")
    request.headers = {**request.headers, "authorization": header}
    assert reason_of(request) == "incomplete"


def test_account_id() -> None:
    """Only twelve ASCII digits are an account."""
    assert is_account_id("012345678901")
    for key in ("12345678901", "AKIAIOSFODNN", "1234567890123", "١٢٣٤٥٦٧٨٩٠١٢"):
        assert not is_account_id(key)


@pytest.mark.parametrize("region", ["..", "us-east-1\n", "*", "us_east", "é", "x" * 33])
def test_region_has_a_regions_form(region: str) -> None:
    """A credential scoped to what can not be a region is refused: records are kept by region."""
    credential = f"KEY/20260101/{region}/ecs/aws4_request"
    header = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"
    request = Request("POST", "/", "", {"authorization": header}, b"", b"")
    assert reason_of(request) == "incomplete"
    request.headers = {"authorization": header.replace(f"/{region}/", "/mars-north-1/")}
    assert read_credential(request).region == "mars-north-1"
