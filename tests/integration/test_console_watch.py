"""The console in a browser: problems, metrics, alarms, Container Insights, Logs Insights, before a real Portside."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from console_lab import Console
from playwright.sync_api import expect

from portside.domain import ecs_image
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, REGION, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

AMI = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="shop")
        running.register("web", {"command": ["sleep", "100000"]})
        works = "while true; do n=0; while [ $n -lt 20000 ]; do n=$((n+1)); done; sleep 0.5; done"
        running.register("busy", {"command": ["sh", "-c", works]})
        running.register("fails", {"command": ["sh", "-c", "exit 3"]})
        yield running


def metric_alarm(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "AlarmName": name,
        "Namespace": "Shop",
        "MetricName": "Orders",
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 10.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "ignore",
        **changes,
    }


def test_what_is_wrong_is_told_and_goes(portside: Instance, visit: Callable[..., Console]) -> None:
    """Nothing is wrong; a task fails, an alarm goes off, a service can not start, and each appears with its reason, its
    remedy and a way there; what is mended goes by itself."""
    console = visit()
    page = console.open("problems")
    console.see("Nothing is wrong")
    console.accessible()
    arn = portside.run_task("fails", cluster="shop")
    row = console.row("A task of fails failed")
    expect(row).to_contain_text("main exited with 3")
    expect(row).to_contain_text("Warning")
    cloudwatch = portside.client("cloudwatch")
    cloudwatch.put_metric_alarm(**metric_alarm("too-many", AlarmDescription="Ask the kitchen."))
    cloudwatch.set_alarm_state(AlarmName="too-many", StateValue="ALARM", StateReason="so many orders")
    alarm = console.row("too-many is in alarm")
    expect(alarm).to_contain_text("so many orders")
    expect(alarm).to_contain_text("Ask the kitchen.")
    ecs = portside.client("ecs")
    ecs.create_service(
        cluster="shop",
        serviceName="broken",
        taskDefinition="fails",
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=portside.network(),
    )
    service = console.row("broken is not as it should be")
    expect(service).to_contain_text("end too soon")
    expect(service).to_contain_text("Error")
    console.accessible()
    console.picture("problems")
    cloudwatch.delete_alarms(AlarmNames=["too-many"])
    expect(alarm).to_have_count(0)
    ecs.delete_service(cluster="shop", service="broken", force=True)
    expect(service).to_have_count(0)
    page.get_by_role("link", name="A task of fails failed").click()
    page.get_by_role("heading", name=arn.rpartition("/")[2]).wait_for()


def put_orders(portside: Instance, **by_shop: list[float]) -> None:
    """A value for each of the last minutes, the latest last."""
    now = datetime.now(UTC)
    data = [
        {
            "MetricName": "Orders",
            "Dimensions": [{"Name": "Shop", "Value": shop}],
            "Timestamp": now - timedelta(minutes=len(values) - number),
            "Value": value,
        }
        for shop, values in by_shop.items()
        for number, value in enumerate(values)
    ]
    portside.client("cloudwatch").put_metric_data(Namespace="Shop", MetricData=data)


def test_metrics_are_explored(portside: Instance, visit: Callable[..., Console]) -> None:
    """From the namespaces to lines of one chart, with metric math, as a table and as a command; its address alone shows
    the same to somebody else."""
    north, south = [20.0 + 7 * number % 11 for number in range(50)], [40.0 + number for number in range(50)]
    put_orders(portside, north=north, south=south)
    console = visit()
    page = console.open("metrics?span=1h")
    console.see("Choose metrics below")
    page.get_by_role("button", name="Shop", exact=True).click()
    page.get_by_role("button", name="Shop", exact=True).click()
    page.get_by_role("checkbox", name="Show Orders north").check()
    page.get_by_role("checkbox", name="Show Orders south").check()
    expect(page.get_by_role("button", name="Orders · north")).to_be_visible()
    expect(page.get_by_role("button", name="Orders · south")).to_be_visible()
    console.accessible()
    page.get_by_role("tab", name="Lines (2)").click()
    page.get_by_label("Metric math", exact=True).fill("m1 + m2")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("button", name="Statistic of m1").click()
    page.get_by_role("option", name="Sum", exact=True).click()
    page.get_by_label("Label of e1").fill("Both shops")
    page.get_by_label("Label of e1").press("Enter")
    expect(page.get_by_role("button", name="Both shops")).to_be_visible()
    console.accessible()
    console.picture("metrics")
    page.get_by_role("tab", name="Source").click()
    command = page.get_by_label("Command", exact=True)
    expect(command).to_contain_text("aws cloudwatch get-metric-data")
    expect(command).to_contain_text('"Expression":"m1 + m2"')
    said = command.inner_text().replace("\\\n", " ")
    done = portside.aws(*shlex.split(said)[1:])
    values = {each["Label"]: each["Values"] for each in json.loads(done.stdout)["MetricDataResults"]}
    assert values["Both shops"] == [one + other for one, other in zip(north, south, strict=True)][::-1]
    page.get_by_text("Table", exact=True).click()
    expect(page.get_by_role("row").nth(1)).to_contain_text("89")
    expect(page.get_by_role("row").nth(2)).to_contain_text("88")
    console.accessible()
    other = visit(dark=True)
    other.page.goto(page.url)
    expect(other.page.get_by_role("row").nth(1)).to_contain_text("89")
    expect(other.page.get_by_role("columnheader", name="Both shops")).to_be_visible()
    page = console.open("metrics?span=nonsense&graph=%7B&namespace=Nothing")
    console.see("No metric in the last two weeks")
    page = console.open('metrics?graph=[{"i":"e1","e":"NO_SUCH(m1"}]')
    expect(page.get_by_text("Error in expression").first).to_be_visible()


def test_a_span_is_chosen(portside: Instance, visit: Callable[..., Console]) -> None:
    """A span of time, from the list, is in the address and in what is asked for."""
    console = visit()
    page = console.open("metrics?tab=command")
    page.get_by_label("Span of time").click()
    page.get_by_role("radio", name="Last 3 days").check()
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile("span=3d"))
    span = "2026-01-01T00%3A00%3A00Z..2026-01-01T06%3A00%3A00Z"
    page = console.open(f"metrics?tab=command&span={span}")
    expect(page.get_by_label("Command", exact=True)).to_contain_text("--start-time 2026-01-01T00:00:00Z")
    expect(page.get_by_label("Command", exact=True)).to_contain_text("--end-time 2026-01-01T06:00:00Z")


@pytest.mark.timeout(300)
def test_an_alarm_from_form_to_form(portside: Instance, visit: Callable[..., Console]) -> None:
    """An alarm is made of a line of the chart, goes off when the metric passes its threshold, says so with its history,
    is changed without losing what the form does not ask for, has its actions taken away, and is deleted."""
    put_orders(portside, east=[4, 7, 9, 8, 12, 15, 14, 19, 30, 42, 50])
    cooks = portside.client("sns").create_topic(Name="cooks")["TopicArn"]
    console = visit()
    graph = '[{"i":"m1","n":"Shop","m":"Orders","d":{"Shop":"east"},"s":"Sum"}]'
    page = console.open(f"metrics?tab=lines&graph={graph}")
    page.get_by_role("link", name="Make an alarm of m1").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name", exact=True).fill("east-is-busy")
    expect(form.get_by_label("Metric", exact=True)).to_have_value("Orders · east")
    expect(form.get_by_role("button", name="Create")).to_be_disabled()
    form.get_by_label("Threshold").fill("20")
    command = form.get_by_label("Command", exact=True)
    expect(command).to_contain_text("aws cloudwatch put-metric-alarm")
    expect(command).to_contain_text("--statistic Sum")
    form.get_by_label("When in alarm, tell").click()
    page.get_by_role("option", name="cooks").click()
    page.keyboard.press("Escape")
    expect(command).to_contain_text(f"--alarm-actions {cooks}")
    console.accessible()
    form.get_by_role("button", name="Create").click()
    row = console.row("east-is-busy")
    expect(row).to_contain_text("Orders > 20 for 1 of 1 × 1 minute")
    console.accessible()
    cloudwatch = portside.client("cloudwatch")
    (made,) = cloudwatch.describe_alarms(AlarmNames=["east-is-busy"])["MetricAlarms"]
    assert made["AlarmActions"] == [cooks]
    assert made["Dimensions"] == [{"Name": "Shop", "Value": "east"}]
    put_orders(portside, east=[50, 50, 50])
    expect(row).to_contain_text("In alarm", timeout=200_000)
    page.get_by_role("link", name="east-is-busy").click()
    console.see("Threshold Crossed")
    expect(console.row("Alarm updated from")).to_have_count(1)
    expect(page.get_by_role("button", name="Threshold")).to_be_visible()
    console.accessible()
    console.picture("alarm")
    page.get_by_role("button", name="Edit", exact=True).click()
    form.get_by_label("Threshold").fill("100")
    form.get_by_label("Of so many periods").fill("3")
    form.get_by_label("Datapoints that must be so").fill("2")
    form.get_by_role("button", name="Save").click()
    console.see("Orders > 100 for 2 of 3 × 1 minute")
    page.get_by_role("button", name="Disable actions").click()
    form.get_by_role("button", name="Disable", exact=True).click()
    page.get_by_role("button", name="Enable actions").wait_for()
    (kept,) = cloudwatch.describe_alarms(AlarmNames=["east-is-busy"])["MetricAlarms"]
    assert kept["AlarmActions"] == [cooks]
    assert (kept["ActionsEnabled"], kept["Threshold"], kept["DatapointsToAlarm"]) == (False, 100.0, 2)
    page = console.open("alarms")
    page.get_by_role("button", name="Create").click()
    form.get_by_text("Other alarms", exact=True).click()
    form.get_by_label("Name", exact=True).fill("any")
    form.get_by_label("Rule").fill("ALARM(no-such)")
    form.get_by_role("button", name="Create").click()
    form.get_by_text("do not exist").wait_for()
    form.get_by_label("Rule").fill("ALARM(east-is-busy)")
    form.get_by_role("button", name="Create").click()
    expect(console.row("ALARM(east-is-busy)")).to_be_visible()
    cloudwatch.delete_alarms(AlarmNames=["any"])
    page = console.open("alarms/east-is-busy")
    page.get_by_role("button", name="Delete").click()
    form.get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Alarms").wait_for()
    expect(console.row("east-is-busy")).to_have_count(0)


@pytest.mark.timeout(600)
def test_the_account_setting_is_followed_by_metrics(portside: Instance, visit: Callable[..., Console]) -> None:
    """Container Insights, switched on for everybody, is what a new cluster begins with, and its dashboard, those of its
    service, task and container fill by themselves; the explorer has the metrics."""
    console = visit()
    page = console.open("insights/shop")
    console.see("Container Insights is off in shop")
    console.accessible()
    page.get_by_role("link", name="Account settings").last.click()
    page.get_by_role("button", name="Change", exact=True).first.click()
    form = page.get_by_role("dialog")
    form.get_by_label("Enhanced").check()
    form.get_by_role("button", name="Save").click()
    expect(console.row("containerInsights")).to_contain_text("enhanced")
    ecs = portside.client("ecs")
    page = console.open("insights")
    ecs.create_cluster(clusterName="watched")
    expect(console.row("watched")).to_contain_text("Enhanced")
    ecs.create_service(
        cluster="watched",
        serviceName="front",
        taskDefinition="busy",
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=portside.network(),
    )
    page = console.open("insights/watched?span=15m")
    expect(console.row("front")).to_be_visible()
    console.accessible()
    expect(page.get_by_text("No point yet")).to_have_count(0, timeout=300_000)
    expect(console.row("front")).to_contain_text("%", timeout=120_000)
    console.picture("insights")
    page.get_by_role("link", name="front").click()
    page.get_by_role("button", name="Wanted").wait_for()
    console.accessible()
    (arn,) = ecs.list_tasks(cluster="watched", serviceName="front")["taskArns"]
    task_id = arn.rpartition("/")[2]
    page.get_by_role("link", name=task_id).click()
    page.get_by_role("button", name="Used of what is reserved").first.wait_for()
    console.see("Restarts of its containers")
    page.get_by_role("link", name="main").click()
    page.get_by_role("heading", name="main").wait_for()
    page = console.open("clusters/watched/services/front")
    page.get_by_role("tab", name="Metrics").click()
    page.get_by_role("button", name="Wanted").wait_for()
    console.accessible()
    page = console.open("clusters/watched")
    page.get_by_role("link", name="Dashboard").click()
    page.get_by_role("heading", name="Services and container instances").wait_for()
    page = console.open(f"insights/watched/tasks/{task_id}/containers/main")
    page.get_by_role("button", name="Received").first.wait_for()
    console.accessible()
    page = console.open(f"clusters/watched/tasks/{task_id}")
    page.get_by_role("button", name="Received").first.wait_for()
    page.get_by_role("link", name="Dashboard").click()
    page.get_by_role("heading", name=task_id).wait_for()
    page.get_by_role("link", name="Explore Network").click()
    expect(page.get_by_role("tab", name="Lines (2)")).to_be_visible()
    page = console.open("metrics?namespace=ECS/ContainerInsights")
    page.get_by_role("button", name="ClusterName, TaskDefinitionFamily, TaskId", exact=True).wait_for()
    ecs.delete_service(cluster="watched", service="front", force=True)
    ecs.put_account_setting_default(name="containerInsights", value="disabled")


def test_container_insights_of_one_cluster(portside: Instance, visit: Callable[..., Console]) -> None:
    """A service's page says that nothing is measured in its cluster, and switches it on there."""
    ecs = portside.client("ecs")
    ecs.create_cluster(clusterName="dark", settings=[{"name": "containerInsights", "value": "enabled"}])
    task = portside.run_task("web", cluster="dark")
    console = visit()
    page = console.open(f"clusters/dark/tasks/{task.rpartition('/')[2]}")
    console.see("Tasks and containers are not measured")
    page.get_by_role("button", name="Switch on").click()
    form = page.get_by_role("dialog")
    expect(form.get_by_label("Command", exact=True)).to_contain_text("aws ecs update-cluster-settings")
    form.get_by_role("button", name="Switch on").click()
    expect(page.get_by_text("Tasks and containers are not measured")).to_have_count(0)
    found = ecs.describe_clusters(clusters=["dark"], include=["SETTINGS"])["clusters"][0]
    assert found["settings"] == [{"name": "containerInsights", "value": "enhanced"}]
    console.accessible()
    page = console.open("insights/no-such")
    console.see("There is no cluster no-such")
    ecs.stop_task(cluster="dark", task=task)


def test_logs_are_queried(portside: Instance, visit: Callable[..., Console]) -> None:
    """A query's rows and its statistics as a chart; its address is its results; what is no query is refused with the
    place; a query is kept by a name; a row opens with all its fields."""
    logs = portside.client("logs")
    logs.create_log_group(logGroupName="/shop/orders")
    logs.create_log_stream(logGroupName="/shop/orders", logStreamName="till")
    at_ms = int(datetime.now(UTC).timestamp() * 1000)
    logs.put_log_events(
        logGroupName="/shop/orders",
        logStreamName="till",
        logEvents=[
            {
                "timestamp": at_ms - (60 - number) * 30_000,
                "message": json.dumps(
                    {"level": "ERROR" if number % 5 == 0 else "INFO", "took": number, "path": "/pay"}
                ),
            }
            for number in range(60)
        ],
    )
    console = visit()
    page = console.open("log-groups/%2Fshop%2Forders?pattern=%7B%20%24.took%20%3D%2059%20%7D&span=1h")
    expect(page.get_by_role("log")).to_contain_text('"took": 59')
    expect(page.get_by_role("log")).not_to_contain_text('"took": 58')
    page.get_by_role("link", name="Logs Insights").last.click()
    page.get_by_role("heading", name="Logs Insights").wait_for()
    page.get_by_role("button", name="Examples").click()
    page.get_by_role("menuitem", name="The latest events").click()
    page.get_by_role("button", name="Run query").click()
    console.see("Complete: 60 of 60 events matched")
    expect(page.get_by_role("row").nth(1)).to_contain_text('"took": 59')
    console.accessible()
    page.get_by_role("button", name="Open").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("/pay")
    page.get_by_role("button", name="Close", exact=True).click()
    editor = page.get_by_label("Query", exact=True)
    editor.fill("stats count(*) as orders by level, bin(5m)")
    editor.press("Control+Enter")
    console.see("Complete: 60 of 60 events matched")
    page.get_by_role("tab", name="Chart").click()
    page.get_by_role("button", name="ERROR").wait_for()
    page.get_by_role("button", name="INFO").scroll_into_view_if_needed()
    console.accessible()
    page.set_viewport_size({"width": 1280, "height": 1000})
    page.evaluate("scrollTo(0, 0)")
    console.picture("logs-insights")
    command = page.get_by_label("Command", exact=True).inner_text().replace("\\\n", " ")
    started = json.loads(portside.aws(*shlex.split(command)[1:]).stdout)["queryId"]
    assert logs.get_query_results(queryId=started)["status"] in ("Scheduled", "Running", "Complete")
    other = visit(dark=True)
    other.page.goto(page.url)
    other.page.get_by_role("button", name="ERROR").wait_for()
    editor.fill("stats count(*) as orders by level")
    page.get_by_role("button", name="Run query").click()
    page.get_by_label("Results by group").first.wait_for()
    page.get_by_role("button", name="Saved queries").click()
    page.get_by_role("menuitem", name="Save this query").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name", exact=True).fill("by level")
    form.get_by_role("button", name="Save", exact=True).click()
    expect(form).to_have_count(0)
    (kept,) = logs.describe_query_definitions()["queryDefinitions"]
    assert (kept["name"], kept["logGroupNames"]) == ("by level", ["/shop/orders"])
    editor.fill("stats nonsense(")
    page.get_by_role("button", name="Run query").click()
    page.get_by_text("MalformedQueryException").first.wait_for()
    page.get_by_role("button", name="Saved queries").click()
    page.get_by_role("menuitem", name="by level", exact=True).click()
    expect(editor).to_have_value("stats count(*) as orders by level")


def test_a_query_is_stopped(portside: Instance, visit: Callable[..., Console]) -> None:
    """A query that takes long shows that it runs, and ends when it is cancelled."""
    logs = portside.client("logs")
    logs.create_log_group(logGroupName="/shop/long")
    logs.create_log_stream(logGroupName="/shop/long", logStreamName="till")
    at_ms = int(datetime.now(UTC).timestamp() * 1000)
    logs.put_log_events(
        logGroupName="/shop/long",
        logStreamName="till",
        logEvents=[{"timestamp": at_ms, "message": "a" * 60}],
    )
    console = visit()
    # A regular expression that does not come to an end.
    query = quote("filter @message like /^(a+)+$x/ | stats count(*)")
    page = console.open(f"logs-insights?groups=/shop/long&query={query}")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_disabled()
    wait_for(
        lambda: (
            {each["status"] for each in logs.describe_queries(logGroupName="/shop/long")["queries"]} == {"Cancelled"}
        ),
        timeout_s=60,
        what="the end of the query",
    )


@pytest.mark.timeout(300)
def test_a_container_instance_is_measured(portside: Instance, visit: Callable[..., Console]) -> None:
    """An instance that joins a cluster with Container Insights has a dashboard, to which the cluster's leads."""
    ecs, ec2 = portside.client("ecs"), portside.client("ec2")
    ecs.create_cluster(settings=[{"name": "containerInsights", "value": "enabled"}])
    task = portside.run_task("web")  # clusters in which nothing runs are not measured
    console = visit()
    page = console.open("insights/default")
    launched = ec2.run_instances(
        ImageId=AMI, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=portside.subnets()[0]
    )["Instances"][0]["InstanceId"]
    page.get_by_role("link", name=launched).click()
    page.get_by_role("button", name="Reserved by tasks").first.wait_for(timeout=200_000)
    console.accessible()
    page = console.open("insights/default/instances/i-0123")
    console.see("There is no container instance i-0123")
    ecs.stop_task(task=task)
    ec2.terminate_instances(InstanceIds=[launched])
    wait_for(
        lambda: not ecs.list_container_instances()["containerInstanceArns"], timeout_s=60, what="the instance has gone"
    )


@pytest.mark.parametrize(
    "place",
    [
        "problems",
        'metrics?tab=lines&graph=[{"i":"m1","n":"Shop","m":"Orders","d":{"Shop":"narrow"}}]',
        "alarms",
        "alarms/narrow",
        "insights",
        "insights/shop",
        "logs-insights",
    ],
)
def test_on_a_phone_in_the_dark(portside: Instance, visit: Callable[..., Console], place: str) -> None:
    """Each page is as wide as the screen and can be read."""
    put_orders(portside, narrow=[1, 2, 3])
    portside.client("cloudwatch").put_metric_alarm(
        **metric_alarm("narrow", Dimensions=[{"Name": "Shop", "Value": "narrow"}])
    )
    console = visit(dark=True, width=400)
    page = console.open(place)
    page.locator("h1:visible, h2:visible").first.wait_for()
    expect(page.get_by_text("The chart is being loaded")).to_have_count(0)
    console.accessible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
