"""Objects of S3 at the endpoint that the settings name: signed if there is a key, plain if not.

Requests are path-style (`/BUCKET/KEY`), which every implementation takes. What can not be read is told in the words of
AWS's SDK, which ECS hands on.
"""

import asyncio
import contextlib
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httptools

from portside.settings import Settings

TIMEOUT_S: Final = 30.0
"""For an object, with all tries."""
UPLOAD_TIMEOUT_S: Final = 300.0
TRIES: Final = 3
PAUSE_S: Final = 0.2
_READ_BYTES: Final = 65536
_HIDDEN_MAX_BYTES: Final = 16384  # of an error's document


class DownloadFailed(Exception):
    """An object can not be had; the message says why in AWS's words."""


class UploadFailed(Exception):
    """An object can not be written; the message says why."""


@dataclass(frozen=True, kw_only=True)
class S3Endpoint:
    """Args: url: scheme, host and port alone; access_key_id: empty for requests that are not signed."""

    url: str
    region: str
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)

    async def get(self, bucket: str, key: str, *, max_bytes: int) -> bytes:
        """The object. What may pass (a connection refused, a 5xx) is tried again. Raises DownloadFailed."""
        url = self._url(bucket, key)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                for tried in range(TRIES):
                    try:
                        answer = await _exchange("GET", url, self._headers("GET", url), max_bytes)
                        failure = _failure(answer, max_bytes)
                        if failure is None:
                            return bytes(answer.body)
                        passing = answer.status >= 500 or answer.status == 429
                    except (OSError, httptools.HttpParserError) as error:
                        failure = f'StatusCode: 0, RequestID: , HostID: , request send failed, Get "{url}": {error}'
                        passing = True
                    if not passing or tried == TRIES - 1:
                        break
                    await asyncio.sleep(PAUSE_S * 2**tried)
        except TimeoutError:
            raise DownloadFailed(
                "file download command: non empty error stream: RequestCanceled: request context canceled caused by: "
                "context deadline exceeded"
            ) from None
        raise DownloadFailed(
            f"service call has been retried {tried} time(s): operation error S3: GetObject, https response error "
            f"{failure}"
        )

    async def put(self, bucket: str, key: str, file: Path) -> None:
        """A file's bytes as the object. What may pass is tried again. Raises UploadFailed."""
        url = self._url(bucket, key)
        try:
            async with asyncio.timeout(UPLOAD_TIMEOUT_S):
                for tried in range(TRIES):
                    try:
                        headers = await asyncio.to_thread(self._headers, "PUT", url, file)
                        answer = await _exchange("PUT", url, headers, 0, file)
                        failure = None if answer.status in (200, 201, 204) else _failure(answer, 0)
                        if failure is None:
                            return
                        passing = answer.status >= 500 or answer.status == 429
                    except (OSError, httptools.HttpParserError) as error:
                        failure, passing = f"request send failed: {error}", True
                    if not passing or tried == TRIES - 1:
                        break
                    await asyncio.sleep(PAUSE_S * 2**tried)
        except TimeoutError:
            failure = f"no answer within {UPLOAD_TIMEOUT_S:.0f} s"
        raise UploadFailed(f"PutObject {bucket}/{key}: {failure}")

    def _url(self, bucket: str, key: str) -> str:
        return f"{self.url.rstrip('/')}/{quote(bucket)}/{quote(key, safe='/-_.~')}"

    def _headers(self, method: str, url: str, file: Path | None = None) -> dict[str, str]:
        if not self.access_key_id:
            return {}
        # Late: most installations never need it.
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        with contextlib.ExitStack() as stack:
            body = stack.enter_context(file.open("rb")) if file is not None else None
            request = AWSRequest(method, url, data=body)
            S3SigV4Auth(Credentials(self.access_key_id, self.secret_access_key), "s3", self.region).add_auth(request)
            return {str(name): str(value) for name, value in request.headers.items()}


def endpoint_of(settings: Settings) -> S3Endpoint | None:
    """None if the settings name none."""
    if not settings.s3_endpoint:
        return None
    return S3Endpoint(
        url=settings.s3_endpoint,
        region=settings.region,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=settings.s3_secret_access_key,
    )


class _Answer:
    """Filled by the parser."""

    def __init__(self, max_bytes: int) -> None:
        self.status, self.headers, self.body, self.complete = 0, dict[str, str](), bytearray(), False
        self.max_bytes = max_bytes

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self.body += data[: self.max_bytes + 1 - len(self.body)]

    def on_message_complete(self) -> None:
        self.complete = True


async def _exchange(
    method: str, url: str, headers: dict[str, str], max_bytes: int, file: Path | None = None
) -> _Answer:
    """One request on a connection of its own. Raises OSError, httptools.HttpParserError."""
    parts = urlsplit(url)
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure)
    try:
        lines = [
            f"{method} {parts.path} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Connection: close",
            "Accept-Encoding: identity",
        ]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if file is not None:
            lines.append(f"Content-Length: {file.stat().st_size}")
        writer.write("\r\n".join((*lines, "", "")).encode())
        await writer.drain()
        if file is not None:
            await _send(file, writer)
        answer = _Answer(max(max_bytes, _HIDDEN_MAX_BYTES))
        parser: Any = httptools.HttpResponseParser(answer)
        while not answer.complete and len(answer.body) <= answer.max_bytes:
            data = await reader.read(_READ_BYTES)
            if not data:
                break
            parser.feed_data(data)
        answer.status = parser.get_status_code()
        length = answer.headers.get("content-length")
        if not answer.complete and len(answer.body) <= answer.max_bytes and (length or not answer.status):
            raise ConnectionError("unexpected EOF")
        return answer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _send(file: Path, writer: asyncio.StreamWriter) -> None:
    """A server may answer, and close, before it has everything: what it said counts, so the end of it is no error."""
    with file.open("rb") as opened, contextlib.suppress(ConnectionError):
        while data := await asyncio.to_thread(opened.read, _READ_BYTES):
            writer.write(data)
            await writer.drain()


def _failure(answer: _Answer, max_bytes: int) -> str | None:
    """What is wrong with an answer; None if it is the object."""
    if answer.status == 200:
        if len(answer.body) > max_bytes:
            raise DownloadFailed(f"the object is larger than {max_bytes} bytes")
        return None
    text = answer.body.decode(errors="replace")
    code, message = _element(text, "Code"), _element(text, "Message")
    if not code:
        code, message = {403: ("Forbidden", "Forbidden"), 404: ("NotFound", "Not Found")}.get(
            answer.status, ("UnknownError", "UnknownError")
        )
    request_id, host_id = (answer.headers.get(name, "") for name in ("x-amz-request-id", "x-amz-id-2"))
    return f"StatusCode: {answer.status}, RequestID: {request_id}, HostID: {host_id}, api error {code}: {message}"


def _element(text: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]{{1,300}})</{name}>", text)
    return found[1] if found else ""
