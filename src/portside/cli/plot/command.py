"""`portside plot SERVICE METRIC`: a service's metric over time, at the terminal or in a file."""

import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from portside.cli import service
from portside.cli.environment import variables
from portside.cli.failure import Failure
from portside.cli.output import since_ms
from portside.cli.plot import braille, png, svg
from portside.cli.plot.chart import Chart, Unit
from portside.settings import Settings

LINES: Final = 15
_INSIGHTS: Final = "ECS/ContainerInsights"
METRICS: Final[dict[str, tuple[str, str, str, Unit]]] = {
    "cpu": ("AWS/ECS", "CPUUtilization", "Average", "percent"),
    "memory": ("AWS/ECS", "MemoryUtilization", "Average", "percent"),
    "tasks": (_INSIGHTS, "RunningTaskCount", "Average", "count"),
    "network-in": (_INSIGHTS, "NetworkRxBytes", "Sum", "bytes/s"),
    "network-out": (_INSIGHTS, "NetworkTxBytes", "Sum", "bytes/s"),
}
"""Namespace, name, statistic and unit. Sums are those of all tasks: each has a sample a minute."""


def show(settings: Settings, name: str, metric: str, *, cluster: str, since: str, file: Path | None) -> None:
    """Effects: the file, if one is named; its ending says whether as SVG or PNG.

    Raises: Failure for a service, a metric or a time that is not there, and where nothing was measured."""
    if metric not in METRICS:
        raise Failure(f"there is no metric {metric}", f"There are: {', '.join(METRICS)}")
    if file is not None and file.suffix not in (".svg", ".png"):
        raise Failure(f"{file} is to be which kind of picture?", "Name it .svg or .png.")
    end = datetime.now(UTC)
    begin = datetime.fromtimestamp(since_ms(since, end) / 1000, UTC)
    if not timedelta(minutes=1) <= end - begin <= timedelta(days=455):
        raise Failure(f"{since} is not between a minute and 455 days ago", "For example: --since 1h")
    chart = _measured(settings, service.ask(settings, name, cluster=cluster), metric, begin, end)
    if file is None:
        console = shutil.get_terminal_size()
        print("\n".join(braille.draw(chart, width=console.columns, height=max(min(LINES, console.lines - 6), 4))))
        return
    try:
        file.write_bytes(png.draw(chart) if file.suffix == ".png" else svg.draw(chart).encode())
    except OSError as error:
        raise Failure(f"{file} can not be written: {error.strerror}") from error
    print(file, file=sys.stderr)


def period_of(begin: datetime, end: datetime) -> timedelta:
    """The shortest that is kept for so long, and of which there are not more than a picture has columns."""
    span = end - begin
    kept_s = 60 if span <= timedelta(days=15) else 300 if span <= timedelta(days=63) else 3600
    periods_s = (60, 300, 900, 3600, 21600, 86400)
    return timedelta(
        seconds=next((each for each in periods_s if each >= kept_s and span.total_seconds() / each <= 1500), 86400)
    )


def _measured(settings: Settings, found: dict[str, Any], metric: str, begin: datetime, end: datetime) -> Chart:
    namespace, name, statistic, unit = METRICS[metric]
    period = period_of(begin, end)
    query = {
        "Id": "m",
        "MetricStat": {
            "Metric": {
                "Namespace": namespace,
                "MetricName": name,
                "Dimensions": [
                    {"Name": "ClusterName", "Value": found["cluster"]},
                    {"Name": "ServiceName", "Value": found["name"]},
                ],
            },
            "Period": int(period.total_seconds()),
            "Stat": statistic,
        },
    }
    times, values = _asked(settings, found["arn"].split(":")[3], query, begin, end)
    if not times:
        more = "A service's metrics are there a minute or two after its first task runs."
        if namespace == _INSIGHTS:
            more = (
                f"It takes Container Insights: aws ecs update-cluster-settings --cluster {found['cluster']} "
                "--settings name=containerInsights,value=enabled"
            )
        raise Failure(f"nothing is known of {metric} of {found['name']} in that time", more)
    if statistic == "Sum":
        minutes = period / timedelta(minutes=1)
        values = [each / minutes for each in values]
    words = {"percent": "% of what it reserves", "count": "running", "bytes/s": "bytes a second"}[unit]
    return Chart(
        title=f"{found['cluster']}/{found['name']} {metric}, {words}",
        unit=unit,
        begin=begin,
        end=end,
        period=period,
        points=sorted(zip(times, values, strict=True)),
    )


def _asked(
    settings: Settings, region: str, query: dict[str, Any], begin: datetime, end: datetime
) -> tuple[list[datetime], list[float]]:
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import get_session

    given = variables(settings)
    cloudwatch = get_session().create_client(
        "cloudwatch",
        endpoint_url=given["AWS_ENDPOINT_URL"],
        region_name=region,
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
    )
    times: list[datetime] = []
    values: list[float] = []
    try:
        pages = cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[query], StartTime=begin, EndTime=end, ScanBy="TimestampAscending"
        )
        for page in pages:
            for each in page["MetricDataResults"]:
                times += each["Timestamps"]
                values += each["Values"]
    except (BotoCoreError, ClientError) as error:
        raise Failure(str(error)) from error
    return times, values
