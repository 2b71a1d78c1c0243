"""Who has signed in to the console with an access key, where signatures are checked.

A sign-in is kept in memory only: it ends when its person says so, after twelve hours, with the session whose key it was
made by, and when Portside ends. What the browser keeps of it is a random word in a cookie that no script can read.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.cookies import CookieError, SimpleCookie
from typing import Final

from portside.aws.request import Caller, Request
from portside.aws.signature import Secret, SignatureError

LASTS: Final = timedelta(hours=12)
"""As long as a sign-in to AWS's console by default."""

MOST: Final = 1000
"""So many are kept; the one that ends first gives way."""

REFUSED: Final = "There is no such access key, or its secret or session token is another."


class SignInRefused(Exception):
    """The key proves nothing. Which part of it is wrong is not told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SignIn:
    """One that holds, under the digest of its word."""

    caller: Caller
    ends_at: datetime


class SignIns:
    """
    Args:
        secret_of: what belongs to an access key id; None or SignatureError for one that proves nothing (any more).
        now: the time, aware.
        account: whose the instance's own key is.
        instance: in the cookie's name, for browsers keep one jar for all the ports of a machine.
    """

    def __init__(
        self, secret_of: Callable[[str], Secret | None], now: Callable[[], datetime], *, account: str, instance: str
    ) -> None:
        self._secret_of, self._now, self._account = secret_of, now, account
        self.cookie = f"portside-{instance}-sign-in"
        self._held: dict[str, SignIn] = {}

    def begin(self, access_key_id: str, secret_access_key: str, session_token: str) -> str:
        """The value of a Set-Cookie header.

        Raises:
            SignInRefused: the key is none, or not this one.
        """
        secret = self._secret(access_key_id)
        expected = secret.secret_access_key if secret is not None else secrets.token_hex()
        is_right = hmac.compare_digest(expected.encode(), secret_access_key.encode())
        token = (secret.session_token if secret is not None else None) or ""
        if not hmac.compare_digest(token.encode(), session_token.encode()) or not is_right or secret is None:
            raise SignInRefused
        ends_at = self._now() + LASTS
        if secret.expires_at is not None:
            ends_at = min(ends_at, secret.expires_at)
        if ends_at <= self._now():
            raise SignInRefused
        self._make_room()
        principal = secret.principal
        account = principal.account if principal is not None else self._account
        word = secrets.token_urlsafe(32)
        self._held[_digest(word)] = SignIn(caller=Caller(account, access_key_id, principal), ends_at=ends_at)
        lasts_s = int((ends_at - self._now()).total_seconds())
        return f"{self.cookie}={word}; Path=/_portside/console/; Max-Age={lasts_s}; HttpOnly; SameSite=Strict"

    def of(self, request: Request) -> SignIn | None:
        """The sign-in that a request's cookie is of, while it holds."""
        word = self._word(request)
        found = self._held.get(_digest(word)) if word else None
        if found is None:
            return None
        # A session's key is asked for again: its role may be gone.
        if found.ends_at <= self._now() or self._secret(found.caller.access_key_id) is None:
            del self._held[_digest(word)]
            return None
        return found

    def end(self, request: Request) -> str:
        """Forget the sign-in of a request. The value of the Set-Cookie header that has the browser forget it, too."""
        self._held.pop(_digest(self._word(request)), None)
        return f"{self.cookie}=; Path=/_portside/console/; Max-Age=0; HttpOnly; SameSite=Strict"

    def _word(self, request: Request) -> str:
        try:
            found = SimpleCookie(request.headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return ""
        return found.value if found is not None else ""

    def _secret(self, access_key_id: str) -> Secret | None:
        try:
            return self._secret_of(access_key_id)
        except SignatureError:
            return None

    def _make_room(self) -> None:
        now = self._now()
        for word in [word for word, each in self._held.items() if each.ends_at <= now]:
            del self._held[word]
        if len(self._held) >= MOST:
            del self._held[min(self._held, key=lambda word: self._held[word].ends_at)]


def _digest(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()
