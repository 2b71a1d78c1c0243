"""OTLP that Portside receives: from programs beside it and from tasks, open and behind signatures."""

import gzip
import json
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration


def post(portside: Instance, path: str, document: dict[str, Any], **headers: str) -> tuple[int, Any]:
    body = gzip.compress(json.dumps(document).encode())
    given = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(portside.url + path, data=body, headers=given, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def resource(name: str) -> dict[str, Any]:
    return {"attributes": [{"key": "service.name", "value": {"stringValue": name}}]}


def gauge(name: str, value: float, at_ns: int) -> dict[str, Any]:
    point = {"timeUnixNano": str(at_ns), "asDouble": value}
    metric = {"name": name, "unit": "%", "gauge": {"dataPoints": [point]}}
    return {"resourceMetrics": [{"resource": resource("shop"), "scopeMetrics": [{"metrics": [metric]}]}]}


def lines(*messages: str) -> dict[str, Any]:
    records = [{"timeUnixNano": str(time.time_ns()), "body": {"stringValue": each}} for each in messages]
    return {"resourceLogs": [{"resource": resource("shop"), "scopeLogs": [{"logRecords": records}]}]}


def messages(portside: Instance, group: str) -> list[str]:
    found = portside.client("logs").filter_log_events(logGroupName=group)["events"]
    return [str(each["message"]) for each in found]


def test_metrics_and_logs() -> None:
    """Points are metrics of CloudWatch, records are events of a group of the service's, or of one that a header names
    and that has to be there; what can not be kept is told as partial success, what is no OTLP is refused."""
    with instance() as portside:
        now_ns = time.time_ns()
        assert post(portside, "/v1/metrics", gauge("level", 42.0, now_ns)) == (200, {})
        found = portside.client("cloudwatch").get_metric_statistics(
            Namespace="shop",
            MetricName="level",
            Period=60,
            Statistics=["Average"],
            StartTime=datetime.now(UTC) - timedelta(minutes=10),
            EndTime=datetime.now(UTC) + timedelta(minutes=10),
        )["Datapoints"]
        assert [(each["Average"], each["Unit"]) for each in found] == [(42.0, "Percent")]
        status, answer = post(portside, "/v1/metrics", gauge("level", 1.0, 1))
        assert (status, answer["partialSuccess"]["rejectedDataPoints"]) == (200, "1")

        assert post(portside, "/v1/logs", lines("one", "two")) == (200, {})
        assert messages(portside, "/otlp/shop") == ["one", "two"]
        named = {"x_aws_log_group": "mine", "x_aws_log_stream": "s"}
        assert post(portside, "/v1/logs", lines("three"), **named)[0] == 400
        portside.client("logs").create_log_group(logGroupName="mine")
        assert post(portside, "/v1/logs", lines("three"), **named) == (200, {})
        assert messages(portside, "mine") == ["three"]
        assert post(portside, "/v1/logs", lines("x"), x_aws_log_group="mine")[0] == 400
        assert post(portside, "/v1/logs", {"resourceLogs": 1})[0] == 400
        assert post(portside, "/v1/logs", lines("x"), Content_Type="text/plain")[0] == 400
        status, refused = post(portside, "/v1/traces", {"resourceSpans": []})
        assert status == 501
        assert "no traces" in json.loads(refused)["message"]


def test_behind_signatures() -> None:
    """With --auth, and for tasks, it takes the token that is in the data directory, or a signature."""
    ensure_busybox_image(IMAGE)
    with instance(PORTSIDE_AUTH="1") as portside:
        assert post(portside, "/v1/logs", lines("x"))[0] == 403
        token = (portside.settings.data_dir / "otlp-token").read_text()
        bearer = {"Authorization": f"Bearer {token}"}
        assert post(portside, "/v1/logs", lines("by token"), **bearer) == (200, {})
        refused = post(portside, "/v1/logs", lines("x"), Authorization="Bearer wrong")
        assert refused[0] == 403
        assert "otlp-token" in str(refused)
        request = urllib.request.Request(f"{portside.url}/_portside/usage", headers=bearer)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request)
    with instance() as portside:
        ecs = portside.client("ecs")
        ecs.create_cluster()
        token = (portside.settings.data_dir / "otlp-token").read_text()
        body = json.dumps(lines("from a task")).replace('"', '\\"')
        ask = f'wget -q -O - --header "Content-Type: application/json" --post-data "{body}"'
        url = f"http://169.254.170.2:{portside.settings.port}/v1/logs"
        script = f'{ask} {url}; {ask} --header "Authorization: Bearer {token}" {url}; exec sleep 600'
        portside.register("sender", {"name": "main", "command": ["sh", "-c", script]})
        portside.run_task("sender")

        def told() -> list[str]:
            groups = portside.client("logs").describe_log_groups(logGroupNamePrefix="/otlp/")["logGroups"]
            return messages(portside, "/otlp/shop") if groups else []

        assert wait_for(told, timeout_s=60, what="what the task sends") == ["from a task"]
