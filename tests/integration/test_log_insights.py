"""What a container prints, on its way through metric filters, live tails and Logs Insights of a real daemon."""

import contextlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import ACCOUNT, IMAGE, REGION, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

GROUP = "/app"


def begun(portside: Instance) -> str:
    """A task that prints ten lines of JSON a second."""
    portside.aws("ecs", "create-cluster", "--cluster-name", "default")
    options = {"awslogs-group": GROUP, "awslogs-region": REGION, "awslogs-stream-prefix": "p"}
    script = 'n=0; while :; do echo \'{"level": "ERROR", "n": \'$n\'}\'; n=$((n+1)); usleep 100000; done'
    portside.register(
        "talker", {"command": ["sh", "-c", script], "logConfiguration": {"logDriver": "awslogs", "options": options}}
    )
    return portside.run_task("talker")


def queried(logs: Any, query: str) -> list[dict[str, str]]:
    span = {"startTime": int(time.time()) - 3600, "endTime": int(time.time()) + 3600}
    query_id = logs.start_query(logGroupName=GROUP, queryString=query, **span)["queryId"]

    def done() -> Any:
        answer = logs.get_query_results(queryId=query_id)
        return answer if answer["status"] not in ("Scheduled", "Running") else None

    answer = wait_for(done, timeout_s=60, what=f"the end of {query}")
    assert answer["status"] == "Complete", answer
    return [{each["field"]: each["value"] for each in row} for row in answer["results"]]


def query_processes(pid: int) -> list[int]:
    """The processes of queries that a daemon has."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(each)
        for each in children
        if b"portside.telemetry.insights_process" in Path(f"/proc/{each}/cmdline").read_bytes()
    ]


def test_from_a_container_to_metrics_tails_and_queries() -> None:
    """Each line is counted by a metric filter, shown live, and found by a query; a query that would go on for ever ends
    with its daemon, also if that is killed."""
    ensure_busybox_image(IMAGE)
    with instance() as portside:
        logs, metrics = portside.client("logs"), portside.client("cloudwatch")
        logs.create_log_group(logGroupName=GROUP)
        logs.put_metric_filter(
            logGroupName=GROUP,
            filterName="errors",
            filterPattern='{ $.level = "ERR*" && $.n >= 0 }',
            metricTransformations=[{"metricName": "Errors", "metricNamespace": "app", "metricValue": "1"}],
        )
        arn = begun(portside)
        portside.wait_task(arn, "RUNNING")
        tailing = boto3.client(
            "logs",
            endpoint_url=portside.url,
            region_name=REGION,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="test",
            config=Config(inject_host_prefix=False),
        )
        group_arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}"
        with contextlib.closing(tailing.start_live_tail(logGroupIdentifiers=[group_arn])["responseStream"]) as stream:
            updates = (each["sessionUpdate"]["sessionResults"] for each in stream if "sessionUpdate" in each)
            seen = next(results for results in updates if results)
        assert seen[0]["message"].startswith('{"level": "ERROR", "n": ')
        assert seen[0]["logStreamName"].startswith("p/main/")

        (row,) = queried(logs, 'filter level = "ERROR" | stats count(*) as c, max(n) - min(n) + 1 as d')
        assert int(row["c"]) >= len(seen)
        assert row["c"] == row["d"]  # no number is left out, none comes twice

        def counted() -> bool:
            now = datetime.now(UTC)
            points = metrics.get_metric_statistics(
                Namespace="app",
                MetricName="Errors",
                StartTime=now - timedelta(hours=1),
                EndTime=now + timedelta(hours=1),
                Period=60,
                Statistics=["Sum"],
            )["Datapoints"]
            return sum(each["Sum"] for each in points) >= int(row["c"])

        wait_for(counted, timeout_s=30, what="as many errors in the metric as the query found")

        logs.create_log_stream(logGroupName=GROUP, logStreamName="x")
        event = {"timestamp": int(time.time() * 1000), "message": "a" * 5000 + "!"}
        logs.put_log_events(logGroupName=GROUP, logStreamName="x", logEvents=[event])
        span = {"startTime": 0, "endTime": int(time.time()) + 3600}
        logs.start_query(logGroupName=GROUP, queryString="filter @message like /(a+)+$/", **span)
        (process,) = wait_for(lambda: query_processes(portside.pid), timeout_s=30, what="the query's process") or [0]
        portside.kill()
        wait_for(lambda: not Path(f"/proc/{process}").exists(), timeout_s=30, what="the end of the query's process")
        portside.start()
        portside.ready()
        assert int(queried(logs, "stats count(*) as c")[0]["c"]) > int(row["c"])
