"""A small server on loopback that speaks as much of S3 as reading and writing objects takes, and checks signatures."""

import contextlib
import hashlib
import hmac
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

ACCESS_KEY_ID, SECRET_ACCESS_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@dataclass
class S3Server:
    """Args: objects: by bucket and key; buckets: besides those of the objects; signed: requests must be signed by the
    key above; failures: statuses that the next requests are answered before any; silent: requests are never answered;
    chunked: answers have no length."""

    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    buckets: set[str] = field(default_factory=set)
    signed: bool = False
    failures: list[int] = field(default_factory=list)
    silent: bool = False
    chunked: bool = False
    asked: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    """Serving until the end of the block."""
    state = S3Server()

    class Handler(_Handler):
        served = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        serving.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: S3Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_PUT(self) -> None:
        state = self.served
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._is_admitted(body):
            return
        bucket, _, key = unquote(self.path[1:]).partition("/")
        if bucket not in state.buckets | {each for each, _ in state.objects}:
            self._refuse(404, "NoSuchBucket", "The specified bucket does not exist")
            return
        state.objects[bucket, key] = body
        self._answer(200, b"")

    def _is_admitted(self, body: bytes) -> bool:
        """Else it is answered."""
        state = self.served
        state.asked.append(self.path)
        if state.silent:
            state.closing.wait()
            return False
        if state.failures:
            self._refuse(state.failures.pop(0), "InternalError", "We encountered an internal error. Please try again.")
            return False
        if state.signed and self.headers.get("Authorization") is None:
            self._refuse(403, "AccessDenied", "Access Denied")
            return False
        if state.signed and self.headers["Authorization"] != self._authorization(body):
            self._refuse(403, "SignatureDoesNotMatch", "The request signature we calculated does not match.")
            return False
        return True

    def do_GET(self) -> None:
        state = self.served
        if not self._is_admitted(b""):
            return
        bucket, _, key = unquote(self.path[1:]).partition("/")
        if bucket not in {each for each, _ in state.objects}:
            self._refuse(404, "NoSuchBucket", "The specified bucket does not exist")
        elif (bucket, key) not in state.objects:
            self._refuse(404, "NoSuchKey", "The specified key does not exist.")
        else:
            self._answer(200, state.objects[bucket, key])

    def _refuse(self, status: int, code: str, message: str) -> None:
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
        self._answer(status, text.encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("x-amz-request-id", "4442587FB7D0A2F9")
        self.send_header("x-amz-id-2", "host/1")
        if self.served.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            with contextlib.suppress(OSError):
                for start in range(0, len(body), 1000):
                    part = body[start : start + 1000]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def _authorization(self, body: bytes) -> str:
        """What the header must be. Source: "Authenticating Requests: Using the Authorization Header", S3 API."""
        stamp, names = self.headers["X-Amz-Date"], ("host", "x-amz-content-sha256", "x-amz-date")
        payload = hashlib.sha256(body).hexdigest()
        headers = "".join(f"{name}:{self.headers[name]}\n" for name in names)
        canonical = f"{self.command}\n{self.path}\n\n{headers}\n{';'.join(names)}\n{payload}"
        scope = f"{stamp[:8]}/us-east-1/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{SECRET_ACCESS_KEY}".encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        return (
            f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/{scope}, SignedHeaders={';'.join(names)}, "
            f"Signature={signature}"
        )
