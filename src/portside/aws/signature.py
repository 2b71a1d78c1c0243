"""Signature Version 4: who a request says it is from, and whether the signature proves it.

Source: AWS's "Signature Version 4 signing process"; botocore's signer is the oracle of the tests.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal
from urllib.parse import parse_qsl, quote

from portside.aws.request import Request
from portside.aws.service import Principal

MAX_SKEW = timedelta(minutes=15)
"""How far a request's time may be from ours; AWS's figure."""
MAX_PRESIGNED = timedelta(days=7)

ALGORITHM = "AWS4-HMAC-SHA256"

Reason = Literal["missing", "incomplete", "unknown_key", "mismatch", "expired", "token", "expired_token"]


class SignatureError(Exception):
    """A request that cannot be authenticated; each protocol has its own code for the reason."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request claims: the access key and the scope (service by signing name), and the signature's parts."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: str
    signature: str
    presigned: bool


@dataclass(frozen=True, slots=True)
class Secret:
    """What belongs to an access key id. Keys of sessions come with a token, which the request must repeat, a time after
    which they prove nothing, and an identity of their own. Nothing secret is shown by repr()."""

    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    principal: Principal | None = None


_REGION = re.compile(r"[A-Za-z0-9-]{1,32}")
"""Any region will do that has a region's form: one that AWS adds tomorrow, or one that a test makes up."""


def read_credential(request: Request) -> Credential:
    """The credential of a signed request, from its header or (presigned) its query. Proves nothing yet.

    Raises:
        SignatureError: `missing` for an unsigned request, `incomplete` for one that is not in the form.
    """
    header = request.headers.get("authorization")
    if header is not None:
        return _parse_authorization(header)
    if "X-Amz-Credential" in request.query or "X-Amz-Signature" in request.query:
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        return _credential(
            query.get("X-Amz-Credential", ""),
            query.get("X-Amz-SignedHeaders", ""),
            query.get("X-Amz-Signature", ""),
            presigned=True,
        )
    raise SignatureError("missing", "Request is missing Authentication Token")


def _parse_authorization(header: str) -> Credential:
    algorithm, _, rest = header.partition(" ")
    if not algorithm.startswith("AWS4-"):
        raise SignatureError("incomplete", f"Authorization header must use {ALGORITHM}; it uses {algorithm!r}")
    parts: dict[str, str] = {}
    for part in rest.split(","):
        name, _, value = part.strip().partition("=")
        parts[name] = value
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not parts.get(name):
            raise SignatureError("incomplete", f"Authorization header requires '{name}' parameter.")
    return _credential(parts["Credential"], parts["SignedHeaders"], parts["Signature"], presigned=False)


def _credential(text: str, signed_headers: str, signature: str, *, presigned: bool) -> Credential:
    parts = text.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or not all(parts):
        raise SignatureError(
            "incomplete", "Credential must have the form ACCESS_KEY_ID/YYYYMMDD/REGION/SERVICE/aws4_request"
        )
    key, date, region, service, _ = parts
    if _REGION.fullmatch(region) is None:
        raise SignatureError("incomplete", "Credential should be scoped to a valid region.")
    return Credential(key, date, region, service, signed_headers, signature, presigned)


class SignatureVerifier:
    """Proves that a request was signed by a key that Portside knows, and recently.

    Args:
        secret_of: the secret of an access key id, or None if there is no such key. It raises SignatureError for a key
            that was one and is none any more.
        now: the time, aware.
        accepts_unknown: a key that is not known proves nothing and is let through; a known one must sign rightly.
    """

    def __init__(
        self,
        secret_of: Callable[[str], Secret | None],
        now: Callable[[], datetime],
        *,
        accepts_unknown: bool = False,
    ) -> None:
        self._secret_of, self._now = secret_of, now
        self.accepts_unknown = accepts_unknown

    def verify(self, request: Request, credential: Credential) -> Principal | None:
        """Who signed, if it was a session's key and the signature holds; None for any other key that is accepted.

        Raises:
            SignatureError: it does not hold; the reason says how.
        """
        secret = self._secret_of(credential.access_key_id)
        if secret is None:
            if self.accepts_unknown:
                return None
            raise SignatureError("unknown_key", "The security token included in the request is invalid.")
        query = parse_qsl(request.query, keep_blank_values=True)
        asked = dict(query) if credential.presigned else {}
        if credential.presigned and asked.get("X-Amz-Algorithm") != ALGORITHM:
            raise SignatureError("incomplete", f"X-Amz-Algorithm must be {ALGORITHM}")
        if not credential.presigned and not request.headers["authorization"].startswith(ALGORITHM + " "):
            raise SignatureError("incomplete", f"Authorization header must use {ALGORITHM}")
        stamp = asked.get("X-Amz-Date", "") if credential.presigned else request.headers.get("x-amz-date", "")
        self._check_time(stamp, credential, asked.get("X-Amz-Expires"))
        token = asked.get("X-Amz-Security-Token") or request.headers.get("x-amz-security-token")
        if secret.session_token is not None and not (
            token and hmac.compare_digest(token.encode(), secret.session_token.encode())
        ):
            raise SignatureError("token", "The security token included in the request is invalid.")
        if secret.expires_at is not None and self._now() >= secret.expires_at:
            raise SignatureError("expired_token", "The security token included in the request is expired")
        signed = credential.signed_headers.split(";")
        if "host" not in signed:
            raise SignatureError("incomplete", "The host header must be signed")
        expected = _sign(request, credential, stamp, secret.secret_access_key, query, signed)
        if not hmac.compare_digest(expected.encode(), credential.signature.encode()):
            raise SignatureError(
                "mismatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
            )
        return secret.principal

    def _check_time(self, stamp: str, credential: Credential, expires: str | None) -> None:
        try:
            at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise SignatureError("incomplete", "The request must carry X-Amz-Date as YYYYMMDDTHHMMSSZ") from None
        if stamp[:8] != credential.date:
            raise SignatureError("mismatch", "Date in Credential scope does not match the date of the request")
        now = self._now()
        allowed = MAX_SKEW
        if credential.presigned:
            if expires is None or not (expires.isascii() and expires.isdecimal() and len(expires) < 10):
                raise SignatureError("incomplete", "X-Amz-Expires must be a number of seconds")
            allowed = min(timedelta(seconds=int(expires)), MAX_PRESIGNED)
        if now - at > allowed:
            raise SignatureError(
                "expired", f"Signature expired: {stamp} is now earlier than {now - allowed:%Y%m%dT%H%M%SZ}"
            )
        if at - now > MAX_SKEW:
            raise SignatureError(
                "expired", f"Signature not yet current: {stamp} is still later than {now + MAX_SKEW:%Y%m%dT%H%M%SZ}"
            )


def _sign(
    request: Request,
    credential: Credential,
    stamp: str,
    secret: str,
    query: list[tuple[str, str]],
    signed: list[str],
) -> str:
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query if name != "X-Amz-Signature"
    )
    canonical = "\n".join(
        (
            request.method,
            # Every service but S3 signs the path encoded once more than it is sent.
            quote(_normal_path(request.path), safe="/-_.~"),
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in signed),
            "",
            credential.signed_headers,
            hashlib.sha256(request.body).hexdigest(),
        )
    )
    scope = f"{credential.date}/{credential.region}/{credential.service}/aws4_request"
    text = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = _signing_key(secret, credential.date, credential.region, credential.service)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=256)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _normal_path(path: str) -> str:
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if kept:
                kept.pop()
        elif part not in ("", "."):
            kept.append(part)
    normal = "/" + "/".join(kept)
    return normal + "/" if kept and path.endswith("/") else normal


def is_account_id(access_key_id: str) -> bool:
    """Whether the access key id is an account's twelve digits: then the request is that account's."""
    return len(access_key_id) == 12 and access_key_id.isascii() and access_key_id.isdecimal()
