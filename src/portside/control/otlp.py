"""Tells a receiver of OpenTelemetry's protocol about metrics and log events: OTLP over HTTP.

Source: OpenTelemetry, "OTLP Specification", OTLP/HTTP (paths, encodings, retryable answers).
"""

import asyncio
import gzip
import json
import logging
import re
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from portside.control.loop import spawn
from portside.domain.clock import Clock
from portside.domain.log import LogEvent
from portside.domain.record import Scope
from portside.telemetry.otlp import Line, Metric, logs_document, metrics_document

log = logging.getLogger(__name__)

METRICS_EVERY_S: Final = 15.0
EVENTS_KEPT: Final = 20_000
"""Log events that wait for a receiver; beyond them the oldest are dropped, and that is said."""
EVENTS_AT_ONCE: Final = 1000
_TIMEOUT_S: Final = 10.0
_RETRY_S: Final = 1.0
_RETRY_MOST_S: Final = 30.0
_PASSING: Final = frozenset({429, 502, 503, 504})
"""Answers after which the same is sent again; after others it never will be taken."""


_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def otlp_headers(text: str) -> dict[str, str]:
    """`api-key=x,tenant=y`, values percent-encoded as in OTEL_EXPORTER_OTLP_HEADERS. Raises ValueError.

    Source: OpenTelemetry, "OpenTelemetry Protocol Exporter", specifying headers."""
    found: dict[str, str] = {}
    for each in filter(None, (part.strip() for part in text.split(","))):
        name, sign, value = each.partition("=")
        name, value = name.strip(), unquote(value.strip())
        if not sign or not _NAME.fullmatch(name) or not value.isprintable() or not value.isascii():
            raise ValueError(f"a header is written NAME=VALUE, and {name or each[:20]!r} is not")
        found[name] = value
    return found


class NotTaken(Exception):
    """The receiver is away or refuses for now."""


class OtlpExporter:
    """
    Args:
        endpoint: scheme, host and port of the receiver.
        metrics: what there is to tell by now.
        headers: of all requests, for receivers that ask for a key.
    """

    def __init__(
        self,
        endpoint: str,
        version: str,
        clock: Clock,
        metrics: Callable[[], Awaitable[Sequence[Metric]]],
        *,
        every_s: float = METRICS_EVERY_S,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._endpoint, self._clock, self._metrics, self._every_s = endpoint.rstrip("/"), clock, metrics, every_s
        self._headers = dict(headers or {})
        self._scope = {"name": "portside", "version": version}
        self._lines: deque[Line] = deque()
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.dropped = 0
        """Log events that no receiver has taken."""

    async def start(self) -> None:
        self._tasks = [
            spawn("otlp metrics", self._tell_metrics()),
            spawn("otlp logs", self._tell_logs()),
        ]

    async def close(self) -> None:
        """What has not been taken by then is lost to the receiver; Portside has it."""
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def take(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent]) -> None:
        """For `on_put` of the log store. Never waits."""
        self._lines.extend(Line(scope, group, stream, each) for each in events)
        excess = len(self._lines) - EVENTS_KEPT
        for _ in range(excess):
            self._lines.popleft()
        if excess > 0:
            self._drop(excess)
        self._news.set()

    def _drop(self, count: int) -> None:
        if not self.dropped:
            log.warning("log events are dropped: %s takes them too slowly or not at all", self._endpoint)
        self.dropped += count

    async def _tell_metrics(self) -> None:
        is_away = False
        while True:
            try:
                document = metrics_document(await self._metrics(), self._now_ns(), self._scope)
                await self._post("/v1/metrics", document)
                is_away = False
            except NotTaken as error:
                if not is_away:
                    log.warning("metrics are not taken: %s", error)
                is_away = True
            except Exception:
                log.exception("metrics could not be gathered")
            await asyncio.sleep(self._every_s)

    async def _tell_logs(self) -> None:
        pause_s = _RETRY_S
        while True:
            await self._news.wait()
            while self._lines:
                count = min(len(self._lines), EVENTS_AT_ONCE)
                lines = [self._lines[index] for index in range(count)]
                before = self.dropped
                try:
                    await self._post("/v1/logs", logs_document(lines, self._now_ns(), self._scope))
                except NotTaken as error:
                    if pause_s == _RETRY_S:
                        log.warning("log events wait: %s", error)
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _RETRY_MOST_S)
                    continue
                pause_s = _RETRY_S
                # Some of them may have been dropped meanwhile, at the same end.
                for _ in range(max(count - (self.dropped - before), 0)):
                    self._lines.popleft()
            self._news.clear()

    async def _post(self, path: str, document: dict[str, Any]) -> None:
        """Raises: NotTaken. What is refused for good is told and forgotten."""
        body = gzip.compress(json.dumps(document, separators=(",", ":")).encode(), 1)
        headers = self._headers | {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        request = urllib.request.Request(self._endpoint + path, data=body, headers=headers, method="POST")
        try:
            await asyncio.to_thread(self._send, request)
        except urllib.error.HTTPError as error:
            if error.code in _PASSING:
                raise NotTaken(f"{request.full_url} answers {error.code}") from error
            log.warning("%s refuses what it is told: %d %s", request.full_url, error.code, error.reason)
        except (OSError, ValueError) as error:
            raise NotTaken(f"{request.full_url}: {error}") from error

    def _send(self, request: urllib.request.Request) -> None:
        with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
            answer.read()

    def _now_ns(self) -> int:
        return int(self._clock.now().timestamp() * 1e9)
