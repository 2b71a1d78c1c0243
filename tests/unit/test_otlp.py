"""Metrics and log events for a receiver of OpenTelemetry's protocol."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from portside.api.portside.prometheus import Family
from portside.control import otlp
from portside.control.clock import SystemClock
from portside.control.otlp import OtlpExporter
from portside.domain.log import LogEvent
from portside.domain.record import Scope
from portside.telemetry.otlp import Metric, metrics_document
from portside.testing.otlp_receiver import Receiver, attribute, receiver
from portside.testing.wait import wait_for

SCOPE = Scope(account="000000000000", region="us-east-1")


async def no_metrics() -> Sequence[Metric]:
    return []


def events(begin: int, end: int) -> list[LogEvent]:
    return [LogEvent(at_ms=number, message=f"line {number}") for number in range(begin, end)]


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_for, condition, timeout_s=60, what="what the receiver is told")


def run(to: Receiver, body: Callable[[OtlpExporter], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "_RETRY_S", 0.01)

    async def whole() -> None:
        exporter = OtlpExporter(to.url, "1", SystemClock(), no_metrics, headers={"api-key": "k"})
        await exporter.start()
        try:
            await body(exporter)  # type: ignore[misc]
        finally:
            await exporter.close()

    asyncio.run(whole())


def test_events_in_order_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the receiver is busy at first; each stream is a resource of its own, named as its group; the header
    that was asked for is on each request."""
    with receiver() as to:
        to.answers = [503, 429, 502]

        async def body(exporter: OtlpExporter) -> None:
            for begin in range(0, 5000, 500):
                await exporter.take(SCOPE, "/a", "s1", events(begin, begin + 500))
                await exporter.take(SCOPE, "/b", "s2", events(begin, begin + 1))
            await until(lambda: len(to.messages("/a")) >= 5000 and len(to.messages("/b")) >= 10)
            assert to.messages("/a") == [f"line {number}" for number in range(5000)]
            assert to.messages("/b") == [f"line {number}" for number in range(0, 5000, 500)]

        run(to, body, monkeypatch)
        assert set(to.keys) == {"k"}
        resource = to.logs[0]["resourceLogs"][0]
        assert attribute(resource["resource"], "cloud.account.id") == "000000000000"
        record = resource["scopeLogs"][0]["logRecords"][7]
        assert record["timeUnixNano"] == "7000000"


def test_what_is_refused_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not sent again, and what comes after it is."""
    with receiver() as to:

        async def body(exporter: OtlpExporter) -> None:
            await until(lambda: to.asked["/v1/metrics"] > 0)
            to.answers = [400]
            await exporter.take(SCOPE, "/a", "s", events(0, 1))
            await until(lambda: to.asked["/v1/logs"] == 1)
            await exporter.take(SCOPE, "/a", "s", events(1, 2))
            await until(lambda: to.messages("/a") == ["line 1"])

        run(to, body, monkeypatch)


def test_a_receiver_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many events wait for it; of more the oldest are dropped, which is counted, and the rest comes in order."""
    monkeypatch.setattr(otlp, "EVENTS_KEPT", 100)
    monkeypatch.setattr(otlp, "EVENTS_AT_ONCE", 30)
    with receiver() as to:

        async def body(exporter: OtlpExporter) -> None:
            await until(lambda: to.asked["/v1/metrics"] > 0)
            to.answers = [503] * 1000
            for begin in range(0, 250, 50):
                await exporter.take(SCOPE, "/a", "s", events(begin, begin + 50))
                asked = to.asked["/v1/logs"]
                await until(lambda asked=asked: to.asked["/v1/logs"] > asked)  # type: ignore[misc]
            to.answers = []
            await until(lambda: "line 249" in to.messages("/a"))
            assert exporter.dropped == 150
            assert to.messages("/a") == [f"line {number}" for number in range(150, 250)]

        run(to, body, monkeypatch)


def test_metrics() -> None:
    """Counters are monotonic cumulative sums, gauges gauges; labels are attributes; what has no samples is left out."""
    counter = Family("m_seconds_total", "counter", "Time.")
    counter.add({"task": "t"}, 1.5)
    gauge = Family("g", "gauge", "Size.")
    gauge.add({}, True)
    document = metrics_document([counter, gauge, Family("n", "gauge", "")], 5, {"name": "portside", "version": "1"})
    (resource,) = document["resourceMetrics"]
    first, second = resource["scopeMetrics"][0]["metrics"]
    assert first == {
        "name": "m_seconds",
        "description": "Time.",
        "sum": {
            "dataPoints": [
                {
                    "attributes": [{"key": "task", "value": {"stringValue": "t"}}],
                    "timeUnixNano": "5",
                    "asDouble": 1.5,
                }
            ],
            "aggregationTemporality": 2,
            "isMonotonic": True,
        },
    }
    assert second["gauge"]["dataPoints"] == [{"attributes": [], "timeUnixNano": "5", "asDouble": 1.0}]
    assert type(second["gauge"]["dataPoints"][0]["asDouble"]) is float
