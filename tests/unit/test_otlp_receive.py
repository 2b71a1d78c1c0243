"""OTLP as it is received: protobuf and JSON of OpenTelemetry's own library, and what it is in CloudWatch."""

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portside.control.otlp import otlp_headers
from portside.domain.metric import Point, Sample
from portside.domain.record import Scope
from portside.telemetry.otlp_message import MESSAGES, Malformed, from_json, from_protobuf
from portside.telemetry.otlp_receive import DIMENSIONS_MOST, Metrics, events

SCOPE = Scope(account="000000000000", region="us-east-1")
AT_NS = 1772366400_000000000
NOW_S = AT_NS / 1e9 + 10

# Made by opentelemetry-proto 1.45 from DOCUMENT, and from log records of the same service.
METRICS = base64.b64decode(
    "CoUFClIKFgoMc2VydmljZS5uYW1lEgYKBHNob3AKGwoRc2VydmljZS5uYW1lc3BhY2USBgoEZGVtbwobChNzZXJ2aWNlLmluc3Rh"
    "bmNlLmlkEgQKAmkxEq4ECggKA2xpYhIBMRJQCgVsZXZlbBIBZBoCQnkqQAo+EQAoj7vLtZgYGQCA1rPZtZgYMfv/////////OgwK"
    "BHBhdGgSBAoCL2E6EwoEY29kZRILGLj+/////////wESUAoFY2FsbHMaATE6RAo+EQAoj7vLtZgYGQCA1rPZtZgYIQAAAAAAAB5A"
    "OgwKBHBhdGgSBAoCL2E6EwoEY29kZRILGLj+/////////wEQAhgBEpcBCgR0b29rGgJtc0qKAQqFAREAKI+7y7WYGBkAgNaz2bWY"
    "GCEGAAAAAAAAACkAAAAAAIBWQDIYAQAAAAAAAAACAAAAAAAAAAMAAAAAAAAAOhAAAAAAAAAkQAAAAAAAADRASgwKBHBhdGgSBAoC"
    "L2FKEwoEY29kZRILGLj+/////////wFZAAAAAAAAEEBhAAAAAACAQEAQARJvCgRzaXplUmcKYwoMCgRwYXRoEgQKAi9hChMKBGNv"
    "ZGUSCxi4/v////////8BEQAoj7vLtZgYGQCA1rPZtZgYIQIAAAAAAAAAKQAAAAAAABhAMAJCBggCEgIBAWEAAAAAAAAAQGkAAAAA"
    "AAAQQBABEnMKBHdhaXQaAXNaaApmEQAoj7vLtZgYGQCA1rPZtZgYIQQAAAAAAAAAKQAAAAAAACBAMgkRAAAAAAAA8D8yEgkAAAAA"
    "AADwPxEAAAAAAAAIQDoMCgRwYXRoEgQKAi9hOhMKBGNvZGUSCxi4/v////////8B"
)
LOGS = base64.b64decode(
    "CqMBChgKFgoMc2VydmljZS5uYW1lEgYKBHNob3AShgEKBQoDbGliEhsJAIDWs9m1mBgqBwoFcGxhaW5ZAIDWs9m1mBgSYAkAgNaz"
    "2bWYGBARGgVFUlJPUioeMhwKGgoBYRIVKhMKAhgBCgIQAQoJIQAAAAAAAOA/MgsKBHVzZXISAwoBdUUBAAAAShAAAQIDBAUGBwgJ"
    "CgsMDQ4PUggAAQIDBAUGBw=="
)
DOCUMENT: dict[str, Any] = {
    "resourceMetrics": [
        {
            "resource": {
                "attributes": [
                    {"key": "service.name", "value": {"stringValue": "shop"}},
                    {"key": "service.namespace", "value": {"stringValue": "demo"}},
                    {"key": "service.instance.id", "value": {"stringValue": "i1"}},
                ]
            },
            "scopeMetrics": [
                {
                    "scope": {"name": "lib", "version": "1"},
                    "metrics": [
                        {
                            "name": "level",
                            "description": "d",
                            "unit": "By",
                            "gauge": {
                                "dataPoints": [
                                    {
                                        "startTimeUnixNano": "1772366340000000000",
                                        "timeUnixNano": "1772366400000000000",
                                        "asInt": "-5",
                                        "attributes": [
                                            {"key": "path", "value": {"stringValue": "/a"}},
                                            {"key": "code", "value": {"intValue": "-200"}},
                                        ],
                                    }
                                ]
                            },
                        },
                        {
                            "name": "calls",
                            "unit": "1",
                            "sum": {
                                "dataPoints": [
                                    {
                                        "startTimeUnixNano": "1772366340000000000",
                                        "timeUnixNano": "1772366400000000000",
                                        "asDouble": 7.5,
                                        "attributes": [
                                            {"key": "path", "value": {"stringValue": "/a"}},
                                            {"key": "code", "value": {"intValue": "-200"}},
                                        ],
                                    }
                                ],
                                "aggregationTemporality": 2,
                                "isMonotonic": True,
                            },
                        },
                        {
                            "name": "took",
                            "unit": "ms",
                            "histogram": {
                                "dataPoints": [
                                    {
                                        "startTimeUnixNano": "1772366340000000000",
                                        "timeUnixNano": "1772366400000000000",
                                        "count": "6",
                                        "sum": 90.0,
                                        "bucketCounts": ["1", "2", "3"],
                                        "explicitBounds": [10.0, 20.0],
                                        "attributes": [
                                            {"key": "path", "value": {"stringValue": "/a"}},
                                            {"key": "code", "value": {"intValue": "-200"}},
                                        ],
                                        "min": 4.0,
                                        "max": 33.0,
                                    }
                                ],
                                "aggregationTemporality": 1,
                            },
                        },
                        {
                            "name": "size",
                            "exponentialHistogram": {
                                "dataPoints": [
                                    {
                                        "attributes": [
                                            {"key": "path", "value": {"stringValue": "/a"}},
                                            {"key": "code", "value": {"intValue": "-200"}},
                                        ],
                                        "startTimeUnixNano": "1772366340000000000",
                                        "timeUnixNano": "1772366400000000000",
                                        "count": "2",
                                        "sum": 6.0,
                                        "scale": 1,
                                        "positive": {"offset": 1, "bucketCounts": ["1", "1"]},
                                        "min": 2.0,
                                        "max": 4.0,
                                    }
                                ],
                                "aggregationTemporality": 1,
                            },
                        },
                        {
                            "name": "wait",
                            "unit": "s",
                            "summary": {
                                "dataPoints": [
                                    {
                                        "startTimeUnixNano": "1772366340000000000",
                                        "timeUnixNano": "1772366400000000000",
                                        "count": "4",
                                        "sum": 8.0,
                                        "quantileValues": [{"value": 1.0}, {"quantile": 1.0, "value": 3.0}],
                                        "attributes": [
                                            {"key": "path", "value": {"stringValue": "/a"}},
                                            {"key": "code", "value": {"intValue": "-200"}},
                                        ],
                                    }
                                ]
                            },
                        },
                    ],
                }
            ],
        }
    ]
}


def document_of(kind: str, point: dict[str, Any], **metric: Any) -> dict[str, Any]:
    """One point of a metric `m` of the service `shop`."""
    point = {"startTimeUnixNano": AT_NS - 60, "timeUnixNano": AT_NS} | point
    told = {"name": "m", kind: {"dataPoints": [point], "aggregationTemporality": 2, **metric}}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [told]}]}]}


def points(metrics: Metrics, document: dict[str, Any]) -> list[Point]:
    found, wrong = metrics.samples(SCOPE, document, NOW_S)
    assert not wrong.points, wrong
    return [each.point for each in found]


def test_both_encodings_are_one() -> None:
    """Protobuf and JSON of a request come to the same document, and to the same samples."""
    request = "ExportMetricsServiceRequest"
    binary = from_protobuf(METRICS, request)
    assert from_json(json.dumps(DOCUMENT).encode(), request) == binary
    found, wrong = Metrics(0).samples(SCOPE, binary, NOW_S)
    assert not wrong.points
    by_name: dict[str, Sample] = {each.metric.name: each for each in found}
    assert set(by_name) == {"level", "calls", "took", "size", "wait"}
    assert {each.metric.namespace for each in found} == {"demo/shop"}
    assert {each.metric.dimensions for each in found} == {(("code", "-200"), ("path", "/a"))}
    assert {each.at_s for each in found} == {AT_NS / 1e9}

    def told(name: str) -> tuple[float, float, float, float, str]:
        point = by_name[name].point
        return point.count, point.total, point.least, point.most, point.unit

    assert told("level") == (1, -5, -5, -5, "Bytes")
    assert told("calls") == (1, 7.5, 7.5, 7.5, "None")
    assert told("took") == (6, 90, 4, 33, "Milliseconds")
    assert told("size") == (2, 6, 2, 4, "None")
    assert told("wait") == (4, 8, 1, 3, "Seconds")


def test_counts_are_told_by_what_they_grew() -> None:
    """The first of a count that began before Portside is not told; then differences; a count that is begun anew is
    told as a whole; one that goes up and down is a value."""
    metrics = Metrics(AT_NS)

    def at(value: float, start_ns: int = AT_NS - 60, **more: Any) -> list[float]:
        point = {"asDouble": value, "startTimeUnixNano": start_ns}
        return [each.total for each in points(metrics, document_of("sum", point, **more))]

    assert at(100, isMonotonic=True) == []
    assert at(107, isMonotonic=True) == [7]
    assert at(107, isMonotonic=True) == [0]
    assert at(3, AT_NS + 5, isMonotonic=True) == [3]
    assert at(2, AT_NS + 5, isMonotonic=True) == [2]
    assert at(5) == [5]
    assert at(4, aggregationTemporality=1, isMonotonic=True) == [4]


def test_a_histogram_that_grows() -> None:
    """The extremes of what was added are known by its buckets."""
    metrics = Metrics(AT_NS)

    def at(count: int, total: float, *buckets: int) -> list[Point]:
        more = {"count": count, "sum": total, "bucketCounts": list(buckets), "explicitBounds": [10.0, 20.0]}
        return points(metrics, document_of("histogram", more | {"min": 1.0, "max": 99.0}))

    assert at(5, 100, 1, 2, 2) == []
    (point,) = at(8, 145, 1, 5, 2)
    assert (point.count, point.total, point.least, point.most) == (3, 45, 10, 20)
    assert at(8, 145, 1, 5, 2) == []


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        ({"asDouble": float("nan")}, "finite"),
        ({"asInt": 1, "timeUnixNano": 1}, "two weeks"),
        (
            {
                "asInt": 1,
                "attributes": [{"key": f"k{n}", "value": {"intValue": n}} for n in range(DIMENSIONS_MOST + 1)],
            },
            "more than 30 attributes",
        ),
    ],
)
def test_points_that_can_not_be_kept(point: dict[str, Any], reason: str) -> None:
    """They are counted, with the reason, and the others are taken."""
    document = document_of("gauge", point)
    document["resourceMetrics"] += document_of("gauge", {"asInt": 1})["resourceMetrics"]
    found, wrong = Metrics(0).samples(SCOPE, document, NOW_S)
    assert [each.point.total for each in found] == [1]
    assert wrong.points == 1
    assert reason in wrong.reason


def test_log_records() -> None:
    """A text is an event as it is; what says more is an object; groups are those of a header, else the service's."""
    document = from_protobuf(LOGS, "ExportLogsServiceRequest")
    plain, full = events(document, 0, group="", stream="")
    assert (plain.group, plain.stream, plain.event.message) == ("/otlp/shop", "default", "plain")
    assert plain.event.at_ms == AT_NS // 1_000_000
    told = json.loads(full.event.message)
    assert told["body"] == {"a": [1, True, 0.5]}
    assert told["attributes"] == {"user": "u"}
    assert (told["severityText"], told["severityNumber"], told["flags"]) == ("ERROR", 17, 1)
    assert (told["traceId"], told["spanId"]) == (bytes(range(16)).hex(), bytes(range(8)).hex())
    assert [(each.group, each.stream) for each in events(document, 0, group="g", stream="s")] == [("g", "s")] * 2


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x05ab", b"\x0b", METRICS[:-3], b"\x08\x01"])
def test_what_is_no_protobuf(body: bytes) -> None:
    """It is refused, or skipped where only what it says is unknown; never taken for something else."""
    try:
        found = from_protobuf(body, "ExportMetricsServiceRequest")
    except Malformed:
        return
    assert found == {}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"resourceMetrics": {}}', b"[" * 100_000])
def test_what_is_no_json(body: bytes) -> None:
    """It is refused."""
    with pytest.raises(Malformed):
        from_json(body, "ExportMetricsServiceRequest")


NAMES = sorted({field.name for fields in MESSAGES.values() for field in fields.values()} | {"key"})
NUMBERS = st.integers() | st.floats() | st.sampled_from(["12", "-1", "1e400", str(AT_NS), 10**400, AT_NS])
THINGS = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)


def mutated(draw: st.DrawFn, value: Any) -> Any:
    """The value with some of what is in it replaced by anything."""
    if draw(st.integers(0, 15)) == 0:
        return draw(THINGS)
    if isinstance(value, dict):
        return {name: mutated(draw, each) for name, each in value.items()}
    return [mutated(draw, each) for each in value] if isinstance(value, list) else value


@given(st.composite(mutated)(DOCUMENT))
def test_whatever_comes_is_taken_or_refused(document: Any) -> None:
    """A request that is wrong anywhere is refused, or its points are: nothing else is raised."""
    try:
        read = from_json(json.dumps(document).encode(), "ExportMetricsServiceRequest")
    except Malformed:
        return
    Metrics(0).samples(SCOPE, read, NOW_S)


@example(b"\0\0\0", 132, 0)
@given(st.binary(max_size=60), st.integers(0, len(LOGS)), st.integers(0, 5))
def test_whatever_bytes_come(given_bytes: bytes, at: int, dropped: int) -> None:
    """Torn and overwritten messages are taken or refused: nothing else is raised."""
    for body, request in (
        (LOGS[:at] + given_bytes + LOGS[at + dropped :], "ExportLogsServiceRequest"),
        (METRICS[:at] + given_bytes + METRICS[at + dropped :], "ExportMetricsServiceRequest"),
    ):
        try:
            read = from_protobuf(body, request)
        except Malformed:
            continue
        list(events(read, 0, group="", stream=""))
        Metrics(0).samples(SCOPE, read, NOW_S)


def test_headers_of_the_export() -> None:
    """As OpenTelemetry writes them, percent-encoded; what is none is named without its value."""
    assert otlp_headers("api-key=a%20b, tenant=x,") == {"api-key": "a b", "tenant": "x"}
    with pytest.raises(ValueError, match="NAME=VALUE"):
        otlp_headers("secret")
    with pytest.raises(ValueError, match="NAME=VALUE"):
        otlp_headers("a=x%0d%0ab")
