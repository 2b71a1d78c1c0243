"""The console as browsers get it: its page at `/`, and below `/_portside/console/` its files, its calls, its changes.

Where signatures are checked, all but the page and its files is for who has signed in with an access key. API clients
never see any of it: they sign, and a browser that is shown a page says that it takes HTML.
"""

import json
import logging
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from portside.api.console.changes import Changes
from portside.api.console.shape import shapes_of
from portside.api.console.sign_in import REFUSED, SignIn, SignInRefused, SignIns
from portside.api.console.visit import Visits
from portside.aws.request import Answer, Caller, Inside, Request
from portside.aws.signature import is_account_id
from portside.domain import arn

log = logging.getLogger(__name__)

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

SERVED: Final = frozenset(
    {"application-autoscaling", "ecs", "elbv2", "iam", "secretsmanager", "ssm", "cloudwatch", "logs", "events", "ec2"}
)
"""Whose models pages may ask for."""


class Site:
    """
    Args:
        folder: what the build of the console made.
        changes: what pages are told.
        visits: whom they are told to.
        about: what the page shows of the instance: account, region, version.
        sign_ins: who has signed in, where one has to; None where any credentials will do, and so does none.
        places: where something is, regions by account.
        role_use: who uses a role: of an account and region, by its ARN.
    """

    def __init__(
        self,
        folder: Path,
        changes: Changes,
        visits: Visits,
        about: Mapping[str, str],
        *,
        sign_ins: SignIns | None = None,
        places: Callable[[], Mapping[str, Sequence[str]]] = dict,
        role_use: Callable[[str, str, str], Mapping[str, Any]] = lambda *_: {},
    ) -> None:
        self._folder, self._changes, self._visits = folder, changes, visits
        self._about, self._sign_ins, self._places = about, sign_ins, places
        self._role_use = role_use

    def takes(self, request: Request) -> bool:
        """Whether this is for the console: below its path, or a browser's visit."""
        if request.path.startswith(BELOW):
            return True
        headers = request.headers
        is_visit = request.method == "GET" and request.path == "/" and "authorization" not in headers
        return is_visit and "text/html" in headers.get("accept", "")

    async def answer(self, request: Request, inside: Inside, foreign: str | None) -> Answer:
        """Args:
        inside: the gateway, for who is found to ask.
        foreign: why the request must come from a page of another site, if it must.
        """
        if request.path == "/":
            return self._page()
        if request.method == "GET" and request.path.startswith(f"{BELOW}assets/"):
            return self._file(request.path.removeprefix(f"{BELOW}assets/"), request)
        refusal = foreign or self._visits.refusal(request)
        if refusal is not None:
            return _refuse(403, refusal)
        asked = dict(parse_qsl(request.query, keep_blank_values=True))
        region = asked.get("region", self._about["region"])
        if _REGION.fullmatch(region) is None:
            return _refuse(400, "There is no such region.")
        account = asked.get("account", "")
        if account and not is_account_id(account):
            return _refuse(400, "An account is twelve digits.")
        signed_in = self._sign_ins.of(request) if self._sign_ins is not None else None
        path = request.path.removeprefix(BELOW)
        if self._sign_ins is not None and (answer := self._sign(self._sign_ins, signed_in, path, request)) is not None:
            return answer
        own = account or self._about["account"]
        caller = signed_in.caller if signed_in is not None else Caller(own, own)
        if account not in ("", caller.account):
            return _refuse(403, f"You have signed in to the account {caller.account}.")
        match request.method, path.split("/"):
            case "GET", ["about"]:
                return self._told(signed_in)
            case "GET", ["changes"]:
                return Answer(200, "text/event-stream", self._changed(caller, region, request), _fresh())
            case "GET", ["shapes", service, operation] if service in SERVED:
                return _document(shapes_of(service, operation) or {})
            case "GET", ["role-use"]:
                return _document(self._role_use(caller.account, region, asked.get("arn", "")))
            case "POST", ["call", service, operation]:
                answer = await inside.call(service, operation, region, caller, request)
            case _, ["own", *rest] if rest != ["console"]:
                if caller.principal is not None:
                    return _refuse(403, f"{caller.principal.arn} is a session; this takes the instance's own key.")
                answer = await inside.own(f"/_portside/{'/'.join(rest)}", request)
            case _:
                return _refuse(404, f"There is nothing at {request.path}.")
        answer.headers += _fresh()
        return answer

    def _sign(self, sign_ins: SignIns, signed_in: SignIn | None, path: str, request: Request) -> Answer | None:
        """Signing in and out, and what is said to who has not; None for all else."""
        match request.method, path:
            case "POST", "sign-in":
                try:
                    given = _KEY.decode(request.body)
                    cookie = sign_ins.begin(given.accessKeyId, given.secretAccessKey, given.sessionToken)
                except msgspec.MsgspecError:
                    return _refuse(400, "An access key's id and secret are wanted.")
                except SignInRefused:
                    log.warning("somebody could not sign in to the console")
                    return _refuse(403, REFUSED)
                log.info("%s has signed in to the console", given.accessKeyId)
                return Answer(200, "application/json", b"{}", [*_fresh(), (b"set-cookie", cookie.encode())])
            case "POST", "sign-out":
                cookie = sign_ins.end(request)
                return Answer(200, "application/json", b"{}", [*_fresh(), (b"set-cookie", cookie.encode())])
        if signed_in is not None:
            return None
        if request.method == "GET" and path == "about":
            return _document({"version": self._about["version"], "wants": "sign-in"})
        return _refuse(401, "You have not signed in, or your time is over.")

    def _told(self, signed_in: SignIn | None) -> Answer:
        """Where the page is, and where else it could be."""
        about: dict[str, Any] = dict(self._about)
        found = self._places()
        if signed_in is not None:
            caller = signed_in.caller
            identity = caller.principal.arn if caller.principal is not None else arn.root(caller.account)
            about |= {"account": caller.account, "identity": identity, "endsAt": signed_in.ends_at.timestamp()}
            found = {caller.account: found.get(caller.account, ())}
        return _document(about | {"places": found})

    def _changed(self, caller: Caller, region: str, request: Request) -> AsyncGenerator[bytes, None]:
        sign_ins = self._sign_ins
        if sign_ins is None:
            return self._changes.stream(caller.account, region)
        return self._changes.stream(caller.account, region, lambda: sign_ins.of(request) is not None)

    def _page(self) -> Answer:
        headers = [*HEADERS, (b"cache-control", b"no-store")]
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


class _Key(msgspec.Struct):
    """What the page sends to sign in, in AWS's names."""

    accessKeyId: str
    secretAccessKey: str
    sessionToken: str = ""


_KEY: Final = msgspec.json.Decoder(_Key)


def _document(value: Any) -> Answer:
    return Answer(200, "application/json", json.dumps(value).encode(), _fresh())


def _fresh() -> list[tuple[bytes, bytes]]:
    return [*HEADERS, (b"cache-control", b"no-store")]


def _refuse(status: int, message: str) -> Answer:
    return Answer(status, "application/json", json.dumps({"message": message}).encode(), _fresh())
