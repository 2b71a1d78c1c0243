"""The console as browsers get it: its page at `/`, and below `/_portside/console/` its files, its calls, its changes.

API clients never see any of it: they sign, and a browser that is shown a page says that it takes HTML.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from portside.api.console.changes import Changes
from portside.api.console.visit import Visits
from portside.aws.request import Answer, Call, Request

BELOW: Final = "/_portside/console/"

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing of any other host, nothing inline, in nobody's frame."""

HEADERS: Final = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".woff": "font/woff",
    ".json": "application/json",
}

_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_REGION = re.compile(r"[a-z0-9-]{1,32}")

MISSING = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Portside</title></head><body>
<h1>Portside answers, its console is not built</h1>
<p>Run <code>./portside install</code> in Portside's folder, then load this page again.</p>
<p>The file <code>.install.log</code> there says what was in the way.</p>
</body></html>
"""

CLOSED = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Portside</title></head><body>
<h1>Portside answers, without its console</h1>
<p>Signatures are checked here (<code>--auth</code>), and the console has no sign-in yet: it is not shown.</p>
</body></html>
"""


class Site:
    """
    Args:
        folder: what the build of the console made.
        changes: what pages are told.
        visits: whom they are told to.
        about: what the page shows of the instance: account, region, version.
        is_closed: nobody is let in, for there is no sign-in yet and one is wanted.
    """

    def __init__(
        self,
        folder: Path,
        changes: Changes,
        visits: Visits,
        about: Mapping[str, str],
        *,
        is_closed: bool = False,
    ) -> None:
        self._folder, self._changes, self._visits = folder, changes, visits
        self._about, self._is_closed = about, is_closed

    def takes(self, request: Request) -> bool:
        """Whether this is for the console: below its path, or a browser's visit."""
        if request.path.startswith(BELOW):
            return True
        headers = request.headers
        is_visit = request.method == "GET" and request.path == "/" and "authorization" not in headers
        return is_visit and "text/html" in headers.get("accept", "")

    async def answer(self, request: Request, call: Call, foreign: str | None) -> Answer:
        """Args:
        call: how the account's root calls an operation.
        foreign: why the request must come from a page of another site, if it must.
        """
        if request.path == "/":
            return self._page()
        if self._is_closed:
            return _refuse(403, "The console is closed: it has no sign-in yet, and signatures are checked here.")
        if request.method == "GET" and request.path.startswith(f"{BELOW}assets/"):
            return self._file(request.path.removeprefix(f"{BELOW}assets/"), request)
        refusal = foreign or self._visits.refusal(request)
        if refusal is not None:
            return _refuse(403, refusal)
        region = re.search(r"(?:^|&)region=([^&]*)", request.query)
        named = region[1] if region else self._about["region"]
        if _REGION.fullmatch(named) is None:
            return _refuse(400, "There is no such region.")
        match request.method, request.path.removeprefix(BELOW).split("/"):
            case "GET", ["about"]:
                return Answer(200, "application/json", json.dumps(dict(self._about)).encode(), _fresh())
            case "GET", ["changes"]:
                prefix = f"{self._about['account']}/{named}/"
                return Answer(200, "text/event-stream", self._changes.stream(prefix), _fresh())
            case "POST", ["call", service, operation]:
                answer = await call(service, operation, named, request)
                answer.headers += _fresh()
                return answer
        return _refuse(404, f"There is nothing at {request.path}.")

    def _page(self) -> Answer:
        headers = [*HEADERS, (b"cache-control", b"no-store")]
        if self._is_closed:
            return Answer(200, TYPES[".html"], CLOSED.encode(), headers)
        try:
            page = (self._folder / "index.html").read_bytes()
        except OSError:
            return Answer(200, TYPES[".html"], MISSING.encode(), headers)
        return Answer(200, TYPES[".html"], page, [*headers, (b"set-cookie", self._visits.given().encode())])

    def _file(self, name: str, request: Request) -> Answer:
        """One of the build's files. Their names change with what is in them, so a browser may keep them for ever."""
        path = self._folder / "assets" / name
        kind = TYPES.get(path.suffix)
        if _FILE.fullmatch(name) is None or kind is None:
            return _refuse(404, "There is no such file.")
        headers = [*HEADERS, (b"cache-control", b"public, max-age=31536000, immutable"), (b"vary", b"accept-encoding")]
        try:
            packed = path.with_name(f"{name}.gz")
            if "gzip" in request.headers.get("accept-encoding", "") and packed.exists():
                return Answer(200, kind, packed.read_bytes(), [*headers, (b"content-encoding", b"gzip")])
            return Answer(200, kind, path.read_bytes(), headers)
        except OSError:
            return _refuse(404, "There is no such file.")


def _fresh() -> list[tuple[bytes, bytes]]:
    return [*HEADERS, (b"cache-control", b"no-store")]


def _refuse(status: int, message: str) -> Answer:
    return Answer(status, "application/json", json.dumps({"message": message}).encode(), _fresh())
