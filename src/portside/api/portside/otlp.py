"""OTLP over HTTP, received: `/v1/metrics` and `/v1/logs`, in protobuf or JSON, into CloudWatch.

Sources: OpenTelemetry, "OTLP Specification", OTLP/HTTP; CloudWatch user guide, "OpenTelemetry" (the headers
`x-aws-log-group` and `x-aws-log-stream` of its endpoint for logs).
"""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from portside.aws.request import ExtensionAnswer, Request
from portside.domain.clock import Clock
from portside.domain.log import LogEvent, LogGroupMissing
from portside.domain.record import Scope
from portside.telemetry import otlp_receive
from portside.telemetry.interface import LogSink, LogsUnavailable
from portside.telemetry.metric import MetricStore
from portside.telemetry.otlp_message import Document, Malformed, from_json, from_protobuf
from portside.telemetry.otlp_receive import Wrong

log = logging.getLogger(__name__)

METRICS: Final = "/v1/metrics"
LOGS: Final = "/v1/logs"
TRACES: Final = "/v1/traces"
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_PER_PUT: Final = 1000
_EVENT_MOST_BYTES: Final = 256 * 1024 - 26
_GROUP_MOST: Final = 512
_BAD: Final = 3  # google.rpc.Code
_UNIMPLEMENTED: Final = 12
_UNAVAILABLE: Final = 14
NO_TRACES: Final = "Portside takes metrics and logs by OTLP, and no traces: turn their exporter off"


class OtlpReceiver:
    """
    Args:
        sink: where log groups are.
    """

    def __init__(self, metrics: MetricStore, sink: LogSink, clock: Clock) -> None:
        self._store, self._sink, self._clock = metrics, sink, clock
        self._metrics = otlp_receive.Metrics(int(clock.now().timestamp() * 1e9))

    @property
    def paths(self) -> dict[str, Callable[[Request, str, str], Awaitable[ExtensionAnswer]]]:
        return {METRICS: self.take_metrics, LOGS: self.take_logs, TRACES: self.refuse_traces}

    async def take_metrics(self, request: Request, account: str, region: str) -> ExtensionAnswer:
        try:
            document = _document(request, "ExportMetricsServiceRequest")
            found, wrong = self._metrics.samples(
                Scope(account=account, region=region), document, self._clock.now().timestamp()
            )
            if found:
                await self._store.put(Scope(account=account, region=region), found)
        except Malformed as error:
            return _refused(request, 400, _BAD, str(error))
        except LogsUnavailable as error:
            return _refused(request, 503, _UNAVAILABLE, str(error))
        return _taken(request, "rejectedDataPoints", wrong)

    async def refuse_traces(self, request: Request, account: str, region: str) -> ExtensionAnswer:
        """With a status that exporters do not try again upon."""
        return _refused(request, 501, _UNIMPLEMENTED, NO_TRACES)

    async def take_logs(self, request: Request, account: str, region: str) -> ExtensionAnswer:
        scope, now_ms = Scope(account=account, region=region), int(self._clock.now().timestamp() * 1000)
        group, stream = request.headers.get("x-aws-log-group", ""), request.headers.get("x-aws-log-stream", "")
        if bool(group) != bool(stream):
            said = "x-aws-log-group and x-aws-log-stream go together: name both, or neither"
            return _refused(request, 400, _BAD, said)
        wrong = Wrong(0, "")
        by_stream: dict[tuple[str, str], list[LogEvent]] = {}
        try:
            document = _document(request, "ExportLogsServiceRequest")
            for each in otlp_receive.events(document, now_ms, group=group, stream=stream):
                reason = _unfit(each, now_ms)
                if reason:
                    wrong = Wrong(wrong.points + 1, reason)
                else:
                    by_stream.setdefault((each.group, each.stream), []).append(each.event)
            for (to_group, to_stream), events in by_stream.items():
                # A group that is named in a header has to be there, as on AWS.
                await self._sink.open_stream(scope, to_group, to_stream, create_group=not group)
                events.sort(key=lambda each: each.at_ms)
                for start in range(0, len(events), _PER_PUT):
                    await self._sink.put(scope, to_group, to_stream, events[start : start + _PER_PUT])
        except Malformed as error:
            return _refused(request, 400, _BAD, str(error))
        except LogGroupMissing as error:
            return _refused(request, 400, _BAD, str(error))
        except LogsUnavailable as error:
            return _refused(request, 503, _UNAVAILABLE, str(error))
        return _taken(request, "rejectedLogRecords", wrong)


def _unfit(each: otlp_receive.Event, now_ms: int) -> str:
    """Why an event can not be kept; "" if it can."""
    if not now_ms - otlp_receive.OLDEST_S * 1000 <= each.event.at_ms <= now_ms + otlp_receive.NEWEST_S * 1000:
        return otlp_receive.NOT_KEPT
    if len(each.event.message.encode()) > _EVENT_MOST_BYTES:
        return "it is longer than 256 KiB"
    if len(each.group) > _GROUP_MOST or len(each.stream) > _GROUP_MOST or ":" in each.stream or "*" in each.stream:
        return f"no log group and stream are called {each.group} and {each.stream}"
    return ""


def _document(request: Request, message: str) -> Document:
    """Raises Malformed."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _JSON:
        return from_json(request.content, message)
    if kind == _PROTOBUF:
        return from_protobuf(request.content, message)
    raise Malformed(f"the content type is {_PROTOBUF} or {_JSON}, not {kind or 'nothing'}")


def _is_json(request: Request) -> bool:
    return not request.headers.get("content-type", "").startswith(_PROTOBUF)


def _taken(request: Request, member: str, wrong: Wrong) -> ExtensionAnswer:
    if wrong.points:
        log.warning("%s: %d were not taken: %s", request.path, wrong.points, wrong.reason)
    if _is_json(request):
        partial = {"partialSuccess": {member: str(wrong.points), "errorMessage": wrong.reason}} if wrong.points else {}
        return 200, _JSON, json.dumps(partial).encode()
    if not wrong.points:
        return 200, _PROTOBUF, b""
    inner = b"\x08" + _varint(wrong.points) + _text(2, wrong.reason)
    return 200, _PROTOBUF, b"\x0a" + _varint(len(inner)) + inner


def _refused(request: Request, status: int, code: int, message: str) -> ExtensionAnswer:
    """A google.rpc.Status."""
    if _is_json(request):
        return status, _JSON, json.dumps({"code": code, "message": message}).encode()
    return status, _PROTOBUF, b"\x08" + _varint(code) + _text(2, message)


def _text(field: int, text: str) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(text.encode())) + text.encode()


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes(found) + bytes([number])
