"""Metrics as boto3 and the aws command see them, in each protocol that clients speak."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session
from served import ACCOUNT, REGION, Served, serving

from portside.api.cloudwatch.service import cloudwatch_service
from portside.api.logs.service import logs_service
from portside.control.clock import RandomIds, SystemClock
from portside.control.insights_queries import QueryRunner
from portside.control.metric_filters import MetricFilters
from portside.domain.metric import MetricName, Sample, point_of
from portside.domain.record import Scope
from portside.store.memory import MemoryStore
from portside.telemetry.embedded import EmbeddedMetrics
from portside.telemetry.live_tail import LiveTails
from portside.telemetry.metric import TIERS, SqliteMetricStore
from portside.telemetry.sqlite import SqliteLogStore

SCOPE = Scope(account=ACCOUNT, region=REGION)
NOW = datetime.now(UTC).replace(second=0, microsecond=0)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(
        [cloudwatch_service(MemoryStore(), SqliteMetricStore(tmp_path / "metrics.db"), SystemClock(), RandomIds())]
    ) as found:
        yield found


@pytest.fixture(params=["json", "smithy-rpc-v2-cbor"])
def cw(served: Served, request: pytest.FixtureRequest) -> Any:
    """A client of each protocol that SDKs speak."""
    return served.client_of_protocol("cloudwatch", request.param)


def put(cw: Any, name: str, values: list[float], *, minutes_ago: int = 0, **dimensions: str) -> None:
    cw.put_metric_data(
        Namespace="App",
        MetricData=[
            {
                "MetricName": name,
                "Timestamp": NOW - timedelta(minutes=minutes_ago),
                "Values": values,
                "Unit": "Milliseconds",
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            }
        ],
    )


def code_of(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def window(minutes: int = 10) -> dict[str, Any]:
    return {"StartTime": NOW - timedelta(minutes=minutes), "EndTime": NOW + timedelta(minutes=1)}


def test_by_the_command(served: Served) -> None:
    """Put, list and get statistics: as typed."""
    for value in ("1", "3"):
        served.aws(
            *("cloudwatch", "put-metric-data", "--namespace", "App", "--metric-name", "Latency", "--value", value),
            *("--unit", "Seconds", "--dimensions", "Service=web"),
        )
    (metric,) = served.aws("cloudwatch", "list-metrics", "--namespace", "App")["Metrics"]
    assert metric["Dimensions"] == [{"Name": "Service", "Value": "web"}]
    start, end = NOW - timedelta(minutes=5), datetime.now(UTC) + timedelta(minutes=5)  # NOW may be long ago
    found = served.aws(
        *("cloudwatch", "get-metric-statistics", "--namespace", "App", "--metric-name", "Latency", "--period", "600"),
        *("--dimensions", "Name=Service,Value=web", "--statistics", "Sum", "Average", "Maximum"),
        *("--start-time", start.isoformat(), "--end-time", end.isoformat()),
    )
    points = found["Datapoints"]
    assert sum(each["Sum"] for each in points) == 4.0
    assert {each["Unit"] for each in points} == {"Seconds"}


def test_statistics_by_period(cw: Any) -> None:
    """Samples of one minute are one datapoint, with extended statistics; other dimensions are another metric."""
    put(cw, "Latency", [1.0, 2.0, 3.0, 4.0], minutes_ago=2)
    put(cw, "Latency", [10.0], minutes_ago=1)
    put(cw, "Latency", [99.0], minutes_ago=1, Service="web")
    found = cw.get_metric_statistics(
        Namespace="App",
        MetricName="Latency",
        Period=60,
        Statistics=["SampleCount", "Average"],
        ExtendedStatistics=["p50", "tm75"],
        **window(),
    )["Datapoints"]
    first, second = sorted(found, key=lambda each: each["Timestamp"])
    assert first["Timestamp"] == NOW - timedelta(minutes=2)
    assert (first["SampleCount"], first["Average"], second["Average"]) == (4.0, 2.5, 10.0)
    assert first["ExtendedStatistics"] == {"p50": 2.0, "tm75": 2.0}


def test_several_queries_and_math(cw: Any) -> None:
    """Series, an expression over them, one that is only needed by another, in the order asked for, in pages."""
    for minutes_ago, errors, requests in ((2, 1.0, 10.0), (1, 3.0, 12.0)):
        put(cw, "Errors", [errors], minutes_ago=minutes_ago)
        put(cw, "Requests", [requests], minutes_ago=minutes_ago)

    def stat(name: str) -> dict[str, Any]:
        return {"Metric": {"Namespace": "App", "MetricName": name}, "Period": 60, "Stat": "Sum"}

    queries = [
        {"Id": "rate", "Expression": "100 * share", "Label": "error rate"},
        {"Id": "share", "Expression": "errors / requests", "ReturnData": False},
        {"Id": "errors", "MetricStat": stat("Errors")},
        {"Id": "requests", "MetricStat": stat("Requests"), "ReturnData": False},
    ]
    found = cw.get_metric_data(MetricDataQueries=queries, ScanBy="TimestampAscending", **window())["MetricDataResults"]
    assert [(each["Id"], each["Label"], each["Values"]) for each in found] == [
        ("rate", "error rate", [10.0, 25.0]),
        ("errors", "Errors", [1.0, 3.0]),
    ]
    pages = cw.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, MaxDatapoints=3, ScanBy="TimestampAscending", **window()
    )
    values: dict[str, list[float]] = {}
    for page in pages:
        for each in page["MetricDataResults"]:
            values.setdefault(each["Id"], []).extend(each["Values"])
    assert values == {"rate": [10.0, 25.0], "errors": [1.0, 3.0]}
    circle = [{"Id": "x", "Expression": "y + 1"}, {"Id": "y", "Expression": "x + 1"}]
    assert code_of(cw.get_metric_data, MetricDataQueries=circle, **window())[0] == "ValidationError"


def test_search(cw: Any) -> None:
    """Series that come and go are found by what they are called, each with a label of its own, and go on into math; a
    search that can not be read is told."""
    for service, value in (("web", 1.0), ("job", 3.0)):
        put(cw, "Latency", [value], minutes_ago=2, Service=service)
    put(cw, "Errors", [9.0], minutes_ago=2, Service="web")

    def get(expression: str, **more: Any) -> list[tuple[str, list[float]]]:
        answer = cw.get_metric_data(
            StartTime=NOW - timedelta(minutes=10),
            EndTime=NOW + timedelta(minutes=1),
            MetricDataQueries=[{"Id": "q", "Expression": expression, **more}],
        )
        return [(each["Label"], each["Values"]) for each in answer["MetricDataResults"]]

    search = "SEARCH('{App,Service} MetricName=\"Latency\"', 'Average', 60)"
    assert sorted(get(search)) == [("job", [3.0]), ("web", [1.0])]
    assert sorted(get(search, Label="ms")) == [("ms job", [3.0]), ("ms web", [1.0])]
    assert get(f"SUM({search})") == [("q", [4.0])]
    assert get("SEARCH('{App,Service} Nothing', 'Sum', 60)") == []
    for broken in ("SEARCH('{App', 'Sum', 60)", "SEARCH('App', 'Sometimes', 60)", "SEARCH('App')"):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            get(broken)
        assert caught.value.response["Error"]["Code"] in ("ValidationError", "InvalidParameterValue")


@pytest.mark.parametrize(
    ("datum", "code"),
    [
        ({"Value": 1.0, "Values": [2.0]}, "InvalidParameterCombination"),
        ({}, "InvalidParameterCombination"),
        ({"Values": [1.0], "Counts": [1.0, 2.0]}, "InvalidParameterCombination"),
        ({"Value": 2.0**361}, "InvalidParameterValue"),
        ({"Value": 1.0, "StorageResolution": 5}, "InvalidParameterValue"),
        ({"Value": 1.0, "Timestamp": datetime(2020, 1, 1, tzinfo=UTC)}, "InvalidParameterValue"),
    ],
)
def test_refused(cw: Any, datum: dict[str, Any], code: str) -> None:
    """Each broken datum ends with AWS's code, and nothing is kept."""
    assert code_of(cw.put_metric_data, Namespace="App", MetricData=[{"MetricName": "m", **datum}])[0] == code
    assert cw.list_metrics()["Metrics"] == []


def test_the_older_protocol(served: Served, cw: Any) -> None:
    """A client that speaks the query protocol, as version 2 of the aws command does, is answered in it."""
    datum = "MetricData.member.1.MetricName=m&MetricData.member.1.Value=7"
    body = f"Action=PutMetricData&Version=2010-08-01&Namespace=App&{datum}"
    request = AWSRequest(
        "POST", served.url + "/", data=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    SigV4Auth(Credentials(ACCOUNT, "test"), "monitoring", REGION).add_auth(request)
    answer = URLLib3Session().send(request.prepare())
    assert (answer.status_code, b"PutMetricDataResponse" in answer.content) == (200, True)
    assert [each["MetricName"] for each in cw.list_metrics()["Metrics"]] == ["m"]


def test_older_points_are_merged(tmp_path: Path) -> None:
    """Points older than their tier are merged into the next one, and nothing is lost on the way to the last."""
    metric, at_s = MetricName(namespace="App", name="m"), 1_700_000_000 // 3600 * 3600

    async def body() -> None:
        store = SqliteMetricStore(tmp_path / "metrics.db")
        samples = [
            Sample(metric=metric, at_s=at_s + second, point=point_of([(float(second), 1.0)]), resolution_s=1)
            for second in range(0, 3600, 7)
        ]
        await store.put(SCOPE, samples)
        for tier, kept_s in TIERS[:-1]:
            await store.roll_up(at_s + 3600 + kept_s + tier)
            points = await store.points(SCOPE, metric, start_s=at_s, end_s=at_s + 3600, period_s=3600, unit=None)
            (point,) = points.values()
            assert (point.count, point.least, point.most) == (len(samples), 0.0, 3598.0)
        await store.roll_up(at_s + 3600 + TIERS[-1][1])
        assert not await store.points(SCOPE, metric, start_s=0, end_s=at_s + 9999, period_s=3600, unit=None)
        await store.close()

    asyncio.run(body())


def test_metrics_that_log_events_embed(tmp_path: Path) -> None:
    """A line in the embedded metric format is a log event and a metric; other lines, broken ones among them, are log
    events only."""
    metrics, store = SqliteMetricStore(tmp_path / "metrics.db"), MemoryStore()
    logs = SqliteLogStore(tmp_path / "logs.db", on_put=[EmbeddedMetrics(metrics).take])
    services = [
        cloudwatch_service(store, metrics, SystemClock(), RandomIds()),
        logs_service(
            store,
            logs,
            SystemClock(),
            RandomIds(),
            QueryRunner(tmp_path, SystemClock(), RandomIds()),
            LiveTails(lambda: 0),
        ),
    ]
    with serving(services) as served:
        client = served.client("logs")
        client.create_log_group(logGroupName="g")
        client.create_log_stream(logGroupName="g", logStreamName="s")
        now_ms = int(NOW.timestamp() * 1000)
        directive = {"Namespace": "shop", "Dimensions": [["Service"]], "Metrics": [{"Name": "Sold", "Unit": "Count"}]}
        line = json.dumps(
            {"_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]}, "Service": "cart", "Sold": 3}
        )
        messages = [line, line, '{"_aws": broken', '["_aws"]', line.replace("Sold", "Lost", 1)]
        client.put_log_events(
            logGroupName="g",
            logStreamName="s",
            logEvents=[{"timestamp": now_ms, "message": each} for each in messages],
        )
        cw = served.client("cloudwatch")
        listed = cw.list_metrics(Namespace="shop")["Metrics"]
        assert [each["MetricName"] for each in listed] == ["Sold"]
        found = cw.get_metric_statistics(
            Namespace="shop",
            MetricName="Sold",
            Dimensions=[{"Name": "Service", "Value": "cart"}],
            StartTime=NOW - timedelta(minutes=1),
            EndTime=NOW + timedelta(minutes=1),
            Period=60,
            Statistics=["Sum", "SampleCount"],
        )["Datapoints"]
        assert [(each["Sum"], each["SampleCount"], each["Unit"]) for each in found] == [(6.0, 2.0, "Count")]
        assert len(client.get_log_events(logGroupName="g", logStreamName="s")["events"]) == 5
    asyncio.run(logs.close())


def test_metrics_that_filters_take_from_log_events(tmp_path: Path) -> None:
    """A metric filter is put, described, counted, at work on what is put from then on, and gone with its group."""
    metrics, store, clock = SqliteMetricStore(tmp_path / "metrics.db"), MemoryStore(), SystemClock()
    receivers = [MetricFilters(store, metrics, clock).take]
    logs = SqliteLogStore(tmp_path / "logs.db", on_put=receivers)
    queries = QueryRunner(tmp_path, clock, RandomIds())
    services = [
        cloudwatch_service(store, metrics, clock, RandomIds()),
        logs_service(store, logs, clock, RandomIds(), queries, LiveTails(lambda: 0)),
    ]
    with serving(services) as served:
        client = served.client("logs")
        client.create_log_group(logGroupName="g")
        client.create_log_stream(logGroupName="g", logStreamName="s")
        transformation = {
            "metricName": "Took",
            "metricNamespace": "shop",
            "metricValue": "$.took",
            "unit": "Milliseconds",
            "dimensions": {"Path": "$.path"},
        }
        for name in ("b", "a", "c"):
            client.put_metric_filter(
                logGroupName="g",
                filterName=name,
                filterPattern="{ $.took > 0 }",
                metricTransformations=[transformation if name == "a" else transformation | {"metricName": name}],
            )
        (group,) = client.describe_log_groups()["logGroups"]
        assert group["metricFilterCount"] == 3
        page = client.describe_metric_filters(logGroupName="g", limit=2)
        assert [each["filterName"] for each in page["metricFilters"]] == ["a", "b"]
        found = page["metricFilters"][0]
        assert found["metricTransformations"] == [transformation]
        assert (found["filterPattern"], found["logGroupName"]) == ("{ $.took > 0 }", "g")
        page = client.describe_metric_filters(logGroupName="g", nextToken=page["nextToken"])
        assert [each["filterName"] for each in page["metricFilters"]] == ["c"]
        found = client.describe_metric_filters(metricName="Took", metricNamespace="shop")["metricFilters"]
        assert [each["filterName"] for each in found] == ["a"]
        messages = [json.dumps({"took": took, "path": "/a" if took < 3 else "/b"}) for took in range(5)]
        client.put_log_events(
            logGroupName="g",
            logStreamName="s",
            logEvents=[{"timestamp": int(NOW.timestamp() * 1000), "message": each} for each in [*messages, "text"]],
        )
        points = served.client("cloudwatch").get_metric_statistics(
            Namespace="shop",
            MetricName="Took",
            Dimensions=[{"Name": "Path", "Value": "/b"}],
            StartTime=NOW - timedelta(minutes=1),
            EndTime=NOW + timedelta(minutes=1),
            Period=60,
            Statistics=["Sum", "SampleCount"],
        )["Datapoints"]
        assert [(each["Sum"], each["SampleCount"], each["Unit"]) for each in points] == [(7.0, 2.0, "Milliseconds")]
        client.delete_metric_filter(logGroupName="g", filterName="c")
        code, message = code_of(client.delete_metric_filter, logGroupName="g", filterName="c")
        assert (code, message) == ("ResourceNotFoundException", "The specified metric filter does not exist.")
        code, _ = code_of(client.describe_metric_filters, metricName="Took")
        assert code == "InvalidParameterException"
        code, message = code_of(
            client.put_metric_filter,
            logGroupName="g",
            filterName="d",
            filterPattern="ERROR",
            metricTransformations=[transformation],
        )
        assert message == "The specified filter pattern does not support dimensions"
        client.delete_log_group(logGroupName="g")
        assert client.describe_metric_filters()["metricFilters"] == []
    asyncio.run(logs.close())
    asyncio.run(metrics.close())
