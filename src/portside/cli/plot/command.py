"""`portside plot SERVICE METRIC`: a service's metric over time, at the terminal or in a file."""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from portside.cli import service
from portside.cli.environment import variables
from portside.cli.failure import Failure
from portside.cli.output import since_ms
from portside.cli.plot import braille, png, svg
from portside.cli.plot.chart import Chart, Unit
from portside.settings import Settings

_Clients = Callable[[str], Any]
"""A client of a service of AWS's, by its name."""

LINES: Final = 15
_INSIGHTS: Final = "ECS/ContainerInsights"
_BALANCERS: Final = {"app": "AWS/ApplicationELB", "net": "AWS/NetworkELB"}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What can be drawn of a service.

    Args:
        namespace: "" for that of its load balancers.
        statistic: sums are those of all tasks, or target groups: each has a sample a minute.
        words: what its values are, in the title.
        grows: it is a count since the beginning; what is drawn is how fast it grows.
        per_minute: it is a count of each minute; minutes without one are none.
        balancers: kinds of load balancers that have it.
    """

    namespace: str
    name: str
    statistic: str
    unit: Unit
    words: str
    grows: bool = False
    per_minute: bool = False
    scale: float = 1.0
    balancers: tuple[str, ...] = ()


_RESERVED: Final = "% of what it reserves"
_BYTES: Final = "bytes a second"
METRICS: Final[dict[str, Metric]] = {
    "cpu": Metric(namespace="AWS/ECS", name="CPUUtilization", statistic="Average", unit="percent", words=_RESERVED),
    "memory": Metric(
        namespace="AWS/ECS", name="MemoryUtilization", statistic="Average", unit="percent", words=_RESERVED
    ),
    "tasks": Metric(namespace=_INSIGHTS, name="RunningTaskCount", statistic="Average", unit="count", words="running"),
    "network-in": Metric(namespace=_INSIGHTS, name="NetworkRxBytes", statistic="Sum", unit="bytes/s", words=_BYTES),
    "network-out": Metric(namespace=_INSIGHTS, name="NetworkTxBytes", statistic="Sum", unit="bytes/s", words=_BYTES),
    "disk-read": Metric(
        namespace=_INSIGHTS, name="StorageReadBytes", statistic="Sum", unit="bytes/s", words=_BYTES, grows=True
    ),
    "disk-write": Metric(
        namespace=_INSIGHTS, name="StorageWriteBytes", statistic="Sum", unit="bytes/s", words=_BYTES, grows=True
    ),
    "disk": Metric(
        namespace=_INSIGHTS,
        name="EphemeralStorageUtilized",
        statistic="Sum",
        unit="bytes",
        words="bytes of ephemeral storage",
        scale=1024**3,
    ),
    "requests": Metric(
        namespace="",
        name="RequestCount",
        statistic="Sum",
        unit="count",
        words="a minute",
        per_minute=True,
        balancers=("app",),
    ),
    "errors": Metric(
        namespace="",
        name="HTTPCode_Target_5XX_Count",
        statistic="Sum",
        unit="count",
        words="answers of 500 and more a minute",
        per_minute=True,
        balancers=("app",),
    ),
    "response-time": Metric(
        namespace="",
        name="TargetResponseTime",
        statistic="Average",
        unit="seconds",
        words="seconds on average",
        balancers=("app",),
    ),
    "healthy": Metric(
        namespace="",
        name="HealthyHostCount",
        statistic="Average",
        unit="count",
        words="targets",
        balancers=("app", "net"),
    ),
    "flows": Metric(
        namespace="",
        name="NewFlowCount",
        statistic="Sum",
        unit="count",
        words="new a minute",
        per_minute=True,
        balancers=("net",),
    ),
    "flow-bytes": Metric(
        namespace="",
        name="ProcessedBytes",
        statistic="Sum",
        unit="bytes/s",
        words=_BYTES,
        scale=1 / 60,
        balancers=("net",),
    ),
}


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


def _measured(settings: Settings, found: dict[str, Any], named: str, begin: datetime, end: datetime) -> Chart:
    metric, period = METRICS[named], period_of(begin, end)
    clients = _clients(settings, found["arn"].split(":")[3])
    several = [_of_service(found, metric)] if metric.namespace else _of_balancers(clients, found, named, metric)
    points = sorted(_asked(clients, several, metric, period, begin, end).items())
    if metric.per_minute and points:
        made_at = found.get("createdAt")  # a daemon of before has none
        points = filled(points, max(begin, datetime.fromisoformat(made_at)) if made_at else begin, end, period)
    minutes = period / timedelta(minutes=1)
    if metric.statistic == "Sum":
        points = [(at, value / minutes) for at, value in points]
    if metric.grows:
        # Where a task ends, what it has counted goes with it: that is no growth.
        points = [
            (at, max(0.0, value - before) / (at - then).total_seconds())
            for (then, before), (at, value) in pairwise(points)
        ]
    if not points:
        more = "A service's metrics are there a minute or two after its first task runs."
        if metric.namespace == _INSIGHTS:
            more = (
                f"It takes Container Insights: aws ecs update-cluster-settings --cluster {found['cluster']} "
                "--settings name=containerInsights,value=enabled"
            )
        elif not metric.namespace:
            more = "A load balancer's metrics are there a minute or two after it was made, and after requests."
        raise Failure(f"nothing is known of {named} of {found['name']} in that time", more)
    return Chart(
        title=f"{found['cluster']}/{found['name']} {named}, {metric.words}",
        unit=metric.unit,
        begin=begin,
        end=end,
        period=period,
        points=[(at, value * metric.scale) for at, value in points],
    )


def filled(
    points: Sequence[tuple[datetime, float]], begin: datetime, end: datetime, period: timedelta
) -> list[tuple[datetime, float]]:
    """With nothing where there is no point, from `begin` on: nought is left out of what is counted."""
    known, at = dict(points), points[0][0]
    while at - period >= begin:
        at -= period
    found = []
    while at + period <= end:
        found.append((at, known.get(at, 0.0)))
        at += period
    return found


def _of_service(found: dict[str, Any], metric: Metric) -> dict[str, Any]:
    dimensions = {"ClusterName": found["cluster"], "ServiceName": found["name"]}
    return _named(metric.namespace, metric.name, dimensions)


def _named(namespace: str, name: str, dimensions: dict[str, str]) -> dict[str, Any]:
    pairs = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    return {"Namespace": namespace, "MetricName": name, "Dimensions": pairs}


def _of_balancers(clients: _Clients, found: dict[str, Any], named: str, metric: Metric) -> list[dict[str, Any]]:
    """Of each target group of the service, and each load balancer that leads to it. Raises Failure."""
    from botocore.exceptions import BotoCoreError, ClientError

    several = []
    try:
        (described,) = clients("ecs").describe_services(cluster=found["cluster"], services=[found["name"]])["services"]
        arns = [each["targetGroupArn"] for each in described["loadBalancers"] if "targetGroupArn" in each]
        groups = clients("elbv2").describe_target_groups(TargetGroupArns=arns)["TargetGroups"] if arns else []
    except (BotoCoreError, ClientError) as error:
        raise Failure(str(error)) from error
    for group in groups:
        for balancer in group["LoadBalancerArns"]:
            name = balancer.rpartition(":")[2].removeprefix("loadbalancer/")
            if (kind := name.partition("/")[0]) in metric.balancers:
                of_group = {"LoadBalancer": name, "TargetGroup": group["TargetGroupArn"].rpartition(":")[2]}
                several.append(_named(_BALANCERS[kind], metric.name, of_group))
    if not several:
        kinds = " or ".join({"app": "an Application", "net": "a Network"}[each] for each in metric.balancers)
        raise Failure(
            f"there is no {named} of {found['name']}", f"It is known of services behind {kinds} Load Balancer."
        )
    return several


def _clients(settings: Settings, region: str) -> _Clients:
    from botocore.session import get_session

    given = variables(settings)

    def client(service: str) -> Any:
        return get_session().create_client(
            service,
            endpoint_url=given["AWS_ENDPOINT_URL"],
            region_name=region,
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        )

    return client


def _asked(
    clients: _Clients,
    several: Sequence[dict[str, Any]],
    metric: Metric,
    period: timedelta,
    begin: datetime,
    end: datetime,
) -> dict[datetime, float]:
    """By time, what the metrics are together; means of means where they are no sums. Raises Failure."""
    from botocore.exceptions import BotoCoreError, ClientError

    queries = [
        {
            "Id": f"m{number}",
            "MetricStat": {"Metric": each, "Period": int(period.total_seconds()), "Stat": metric.statistic},
        }
        for number, each in enumerate(several)
    ]
    values: dict[datetime, list[float]] = {}
    try:
        pages = (
            clients("cloudwatch")
            .get_paginator("get_metric_data")
            .paginate(MetricDataQueries=queries, StartTime=begin, EndTime=end, ScanBy="TimestampAscending")
        )
        for page in pages:
            for each in page["MetricDataResults"]:
                for at, value in zip(each["Timestamps"], each["Values"], strict=True):
                    values.setdefault(at, []).append(value)
    except (BotoCoreError, ClientError) as error:
        raise Failure(str(error)) from error
    is_mean = metric.statistic == "Average" and metric.unit == "seconds"
    return {at: sum(each) / (len(each) if is_mean else 1) for at, each in values.items()}
