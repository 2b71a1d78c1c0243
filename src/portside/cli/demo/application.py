"""The demonstration's API: a small HTTP/1.1 server that says which task answers. Runs inside a container, on Debian's
own Python, so it uses nothing but the standard library."""

import json
import os
import signal
import socket
import threading
import urllib.request
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8000

_lock = threading.Lock()
_answered = 0
_task_id: str | None = None


def learn_task_id() -> None:
    """Ask the task metadata endpoint, where there is one, for the task's name."""
    global _task_id
    uri = os.environ.get("ECS_CONTAINER_METADATA_URI_V4")
    if not uri:
        return
    try:
        with urllib.request.urlopen(uri + "/task", timeout=5) as answer:
            _task_id = json.load(answer)["TaskARN"].rsplit("/", 1)[-1]
    except (OSError, ValueError, KeyError) as error:
        print(f"no task metadata: {error}", flush=True)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        global _answered
        path = self.path.partition("?")[0]
        if path == "/health":
            self.answer(200, {"status": "ok"})
        elif path == "/api/info":
            with _lock:
                _answered += 1
                count = _answered
            self.answer(
                200,
                {
                    "service": "api",
                    "task": _task_id,
                    "hostname": socket.gethostname(),
                    "address": self.connection.getsockname()[0],
                    "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),  # noqa: UP017
                    "answered": count,
                },
            )
        else:
            self.answer(404, {"error": f"nothing at {path}; try /api/info"})

    def answer(self, status: int, document: dict[str, object]) -> None:
        body = json.dumps(document).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if not self.requestline.startswith("GET /health "):
            print(f"{self.client_address[0]} {self.requestline} {code}", flush=True)


def main() -> None:
    server = ThreadingHTTPServer(("", PORT), Handler)
    server.daemon_threads = True
    # As process 1 a signal without a handler would be ignored.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    threading.Thread(target=learn_task_id, daemon=True).start()
    print(f"listening on port {PORT} of {socket.gethostname()}", flush=True)
    server.serve_forever()
    print("told to stop; goodbye", flush=True)


if __name__ == "__main__":
    main()
