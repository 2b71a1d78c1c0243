"""A receiver of OTLP over HTTP that keeps what it is told, and refuses as it is told to."""

import contextlib
import gzip
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """`answers`: statuses of the next requests; after them it is 200. What was refused is not kept."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.asked: Counter[str] = Counter()
        self.keys: list[str | None] = []
        self.metrics: list[dict[str, Any]] = []
        self.logs: list[dict[str, Any]] = []
        self.url = ""

    def messages(self, group: str) -> list[str]:
        """Of a log group, in the order in which they came."""
        return [
            record["body"]["stringValue"]
            for document in list(self.logs)
            for resource in document["resourceLogs"]
            if attribute(resource["resource"], "service.name") == group
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]

    def values(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Of a metric, by attributes, as they were told last."""
        if not self.metrics:
            return {}
        (resource,) = self.metrics[-1]["resourceMetrics"]
        return {
            tuple((each["key"], each["value"]["stringValue"]) for each in point["attributes"]): point["asDouble"]
            for scope in resource["scopeMetrics"]
            for metric in scope["metrics"]
            if metric["name"] == name
            for point in (metric.get("sum") or metric["gauge"])["dataPoints"]
        }


def attribute(resource: dict[str, Any], key: str) -> str | None:
    found = (each["value"].get("stringValue") for each in resource["attributes"] if each["key"] == key)
    return next(found, None)


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    """One that listens on loopback while this lasts."""
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            document = json.loads(gzip.decompress(body))
            assert self.headers["Content-Type"] == "application/json"
            kept.asked[self.path] += 1
            kept.keys.append(self.headers["api-key"])
            status = kept.answers.pop(0) if kept.answers else 200
            if status == 200:
                {"/v1/metrics": kept.metrics, "/v1/logs": kept.logs}[self.path].append(document)
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    kept.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
