"""What stands between a test and its registry: it notes every request, and lets blobs through only when told to."""

import contextlib
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_CHUNK = 64 * 1024
_TIMEOUT_S = 120


class _Unfollowed(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Unfollowed)


@dataclass
class RegistryProxy:
    """Args: `requests`: `GET /v2/app/blobs/sha256:…`, in the order they came. `open`: blobs are let through."""

    host: str = ""
    requests: list[str] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)

    def fetched(self) -> Counter[str]:
        """How often each layer and each configuration was asked for."""
        return Counter(each for each in self.requests if each.startswith("GET ") and "/blobs/" in each)


@contextlib.contextmanager
def registry_proxy(registry: str, *, is_open: bool = True) -> Iterator[RegistryProxy]:
    """A proxy of the registry at that `host:port`, for reading."""
    proxy = RegistryProxy()
    if is_open:
        proxy.open.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._forward()

        def do_HEAD(self) -> None:
            self._forward()

        def log_message(self, *_: object) -> None:
            pass

        def _forward(self) -> None:
            proxy.requests.append(f"{self.command} {self.path}")
            if "/blobs/" in self.path:
                proxy.open.wait(_TIMEOUT_S)
            names = ("Accept", "Range", "Authorization")
            headers = {name: value for name in names if (value := ", ".join(self.headers.get_all(name, [])))}
            request = urllib.request.Request(f"http://{registry}{self.path}", headers=headers, method=self.command)
            try:
                answer = _opener.open(request, timeout=_TIMEOUT_S)
            except urllib.error.HTTPError as error:
                answer = error
            with answer, contextlib.suppress(OSError):
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                self.end_headers()
                while self.command == "GET" and (chunk := answer.read(_CHUNK)):
                    self.wfile.write(chunk)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, name="registry-proxy")
    thread.start()
    try:
        yield proxy
    finally:
        proxy.open.set()
        server.shutdown()
        thread.join()
        server.server_close()
