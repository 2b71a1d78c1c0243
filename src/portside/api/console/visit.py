"""Who may speak for the person in front of the browser: the console's cookie, and what a forged request lacks.

A page of another site can make a browser send requests here, with cookies, but it can neither set a header of its own
nor give another origin than its own, nor read what comes back. Of a request that acts, all of these are asked for.
"""

import hmac
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final

from portside.aws.request import Request

HEADER: Final = "x-portside-console"
"""Of every request that acts. A page of another site would have to ask first (CORS) and is never told yes."""


class Visits:
    """Cookies that Portside gave out itself. Nothing is kept of them: each proves itself, after a restart, too.

    Args:
        key: of this instance alone.
        instance: in the cookie's name, for browsers keep one jar for all the ports of a machine.
    """

    def __init__(self, key: bytes, instance: str) -> None:
        self._key, self.cookie = key, f"portside-{instance}"

    def given(self) -> str:
        """The value of a Set-Cookie header."""
        token = secrets.token_hex(16)
        return f"{self.cookie}={token}.{self._proof(token)}; Path=/_portside/console/; HttpOnly; SameSite=Strict"

    def refusal(self, request: Request) -> str | None:
        """Why a request of the console's must not be answered, or None."""
        headers = request.headers
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "Requests from pages of another site are refused."
        if not self._is_ours(headers):
            return "This page was not opened here, or long ago. Load it again."
        if request.method == "GET":
            return None
        if headers.get("origin", "").partition("://")[2] != headers.get("host", ""):
            return "Requests that act must say that they come from the console's own page."
        if HEADER not in headers or headers.get("content-type", "").partition(";")[0] != "application/json":
            return f"Requests that act must bear the header {HEADER} and be JSON."
        return None

    def _is_ours(self, headers: Mapping[str, str]) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        token, _, proof = found.value.partition(".") if found is not None else ("", "", "")
        return bool(token) and hmac.compare_digest(proof.encode(), self._proof(token).encode())

    def _proof(self, token: str) -> str:
        return hmac.new(self._key, token.encode(), "sha256").hexdigest()
