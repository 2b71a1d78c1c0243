"""What a person changes on the console's pages about clusters, services, tasks, definitions, log groups and alarms."""

import re
from collections.abc import Iterator

import pytest
from console_lab import Console, choose
from playwright.sync_api import expect

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

COMMAND = "Command"
SLEEPS = {"name": "main", "image": IMAGE, "command": ["sleep", "100000"], "stopTimeout": 2}


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        yield running


def test_a_log_group_is_made_kept_and_deleted(portside: Instance, console: Console) -> None:
    """Retention and protection are set on its page; a protected one is not deleted, and the server's words say so."""
    logs = portside.client("logs")
    page = console.open("log-groups")
    page.get_by_role("button", name="Create", exact=True).click()
    form = page.get_by_role("dialog")
    command = form.get_by_label(COMMAND, exact=True)
    create = form.get_by_role("button", name="Create", exact=True)
    form.get_by_label("Name", exact=True).fill("no such name")
    expect(create).to_be_disabled()
    form.get_by_label("Name", exact=True).fill("/shop/web")
    choose(form, "Class", "Infrequent access")
    expect(command).to_contain_text("--log-group-class INFREQUENT_ACCESS")
    console.accessible()
    create.click()
    page.get_by_role("heading", name="/shop/web").wait_for()
    console.see("Never expires")
    page.get_by_role("button", name="Edit retention").click()
    choose(form, "Retention", "14 days")
    expect(command).to_contain_text("aws logs put-retention-policy")
    form.get_by_role("button", name="Save", exact=True).click()
    console.see("14 days")
    assert logs.describe_log_groups()["logGroups"][0]["retentionInDays"] == 14
    page.get_by_role("button", name="Edit retention").click()
    choose(form, "Retention", "Never expires")
    expect(command).to_contain_text("aws logs delete-retention-policy")
    form.get_by_role("button", name="Save", exact=True).click()
    console.see("Never expires")
    page.get_by_role("button", name="Protect", exact=True).click()
    form.get_by_role("button", name="Protect", exact=True).click()
    expect(page.get_by_role("button", name="Take the protection off")).to_be_visible()
    console.accessible()
    page.get_by_role("button", name="Delete", exact=True).click()
    form.get_by_role("button", name="Delete", exact=True).click()
    expect(form.get_by_text("Exception").first).to_be_visible()
    form.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Take the protection off").click()
    form.get_by_role("button", name="Take it off").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    form.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("heading", name="Log groups").wait_for()
    assert logs.describe_log_groups()["logGroups"] == []


def test_metric_filters_of_a_log_group(portside: Instance, console: Console) -> None:
    """One is made by a form of all that the API takes, changed with what it was, and deleted after a question."""
    logs = portside.client("logs")
    logs.create_log_group(logGroupName="/shop/counted")
    page = console.open("log-groups")
    page.get_by_role("link", name="/shop/counted").click()
    page.get_by_role("link", name="Create metric filter").click()
    save = page.get_by_role("button", name="Save", exact=True)
    expect(save).to_be_disabled()
    page.get_by_label("Filter name", exact=True).fill("errors")
    page.get_by_label("Filter pattern", exact=True).fill("ERROR")
    page.get_by_label("Metric namespace", exact=True).fill("Shop")
    page.get_by_label("Metric name", exact=True).fill("Errors")
    expect(page.get_by_label(COMMAND, exact=True)).to_contain_text("aws logs put-metric-filter")
    console.accessible()
    save.click()
    expect(console.row("Shop Errors")).to_contain_text("ERROR")
    console.accessible()
    page.get_by_role("link", name="Change errors").click()
    expect(page.get_by_label("Metric name", exact=True)).to_have_value("Errors")
    page.get_by_label("Filter pattern", exact=True).fill("")
    expect(page.get_by_label(COMMAND, exact=True)).to_contain_text("--filter-pattern ''")
    save.click()
    expect(console.row("Shop Errors")).to_contain_text("Every event")
    (found,) = logs.describe_metric_filters(logGroupName="/shop/counted")["metricFilters"]
    assert (found["filterPattern"], found["metricTransformations"][0]["metricValue"]) == ("", "1")
    page.get_by_role("button", name="Delete errors").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    console.see("No metric filters")
    assert logs.describe_metric_filters(logGroupName="/shop/counted")["metricFilters"] == []


def test_capacity_providers_of_a_cluster_and_its_end(portside: Instance, console: Console) -> None:
    """Providers and the default strategy are set by a form, with nothing in it taken away again; a cluster is deleted
    after a question."""
    ecs = portside.client("ecs")
    ecs.create_cluster(clusterName="spare")

    def cluster() -> tuple[list[str], list[dict[str, object]]]:
        (found,) = ecs.describe_clusters(clusters=["spare"])["clusters"]
        return found["capacityProviders"], found["defaultCapacityProviderStrategy"]

    page = console.open("clusters/spare")
    page.get_by_role("link", name="Capacity providers").click()
    page.get_by_role("button", name="Capacity providers", exact=False).first.click()
    page.get_by_role("option", name="FARGATE_SPOT").click()
    page.get_by_role("option", name="FARGATE", exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Add default capacity provider strategy").click()
    page.get_by_label("Capacity provider", exact=True).fill("FARGATE_SPOT")
    page.keyboard.press("Escape")
    page.get_by_label("Weight", exact=True).fill("1")
    expect(page.get_by_label(COMMAND, exact=True)).to_contain_text("aws ecs put-cluster-capacity-providers")
    console.accessible()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("heading", name="spare").wait_for()
    console.see("FARGATE_SPOT")
    providers, strategy = cluster()
    assert sorted(providers) == ["FARGATE", "FARGATE_SPOT"]
    assert [(each["capacityProvider"], each["weight"]) for each in strategy] == [("FARGATE_SPOT", 1)]
    console.accessible()
    page.get_by_role("link", name="Capacity providers").click()
    page.get_by_role("button", name="Remove default capacity provider strategy 1").click()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("heading", name="spare").wait_for()
    assert cluster()[1] == []
    page.get_by_role("button", name="Delete", exact=True).click()
    form = page.get_by_role("dialog")
    expect(form.get_by_label(COMMAND, exact=True)).to_contain_text("aws ecs delete-cluster")
    form.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("heading", name="Clusters").wait_for()
    assert ecs.describe_clusters(clusters=["spare"])["clusters"][0]["status"] == "INACTIVE"


def test_a_definition_that_is_deregistered_is_deleted(portside: Instance, console: Console) -> None:
    """Only then it is offered, and what was deleted is no revision any more."""
    portside.register("old", SLEEPS)
    page = console.open("task-definitions/old/1")
    form = page.get_by_role("dialog")
    page.get_by_role("button", name="Deregister", exact=True).click()
    form.get_by_role("button", name="Deregister", exact=True).click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(form.get_by_label(COMMAND, exact=True)).to_contain_text("aws ecs delete-task-definitions")
    console.accessible()
    form.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("heading", name=re.compile("^old(?!:)")).wait_for()
    console.see("No revisions")


@pytest.mark.timeout(300)
def test_a_task_is_protected_and_a_deployment_rolled_back(portside: Instance, console: Console) -> None:
    """A service's task is protected for so long as is asked, and no more; a deployment that goes nowhere is stopped,
    and the service has the revision before it again."""
    ecs = portside.client("ecs")
    ecs.create_cluster()
    portside.register("steady", SLEEPS)
    ecs.create_service(
        serviceName="steady",
        taskDefinition="steady:1",
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=portside.network(),
    )
    (task,) = wait_for(
        lambda: ecs.list_tasks(serviceName="steady")["taskArns"], timeout_s=60, what="the service's task"
    )
    portside.wait_task(task, "RUNNING", timeout_s=120)
    page = console.open(f"clusters/default/tasks/{task.rpartition('/')[2]}")
    page.get_by_role("button", name="Protect", exact=True).click()
    form = page.get_by_role("dialog")
    protect = form.get_by_role("button", name="Protect", exact=True)
    form.get_by_label("For how many minutes").fill("9999")
    expect(protect).to_be_disabled()
    form.get_by_label("For how many minutes").fill("60")
    expect(form.get_by_label(COMMAND, exact=True)).to_contain_text("--expires-in-minutes 60")
    console.accessible()
    protect.click()
    console.see("Protected until")
    (held,) = ecs.get_task_protection(cluster="default", tasks=[task])["protectedTasks"]
    assert held["protectionEnabled"]
    page.get_by_role("button", name="Take the protection off").click()
    form.get_by_role("button", name="Take it off").click()
    page.get_by_role("button", name="Protect", exact=True).wait_for()
    (held,) = ecs.get_task_protection(cluster="default", tasks=[task])["protectedTasks"]
    assert not held["protectionEnabled"]

    def service() -> dict[str, object]:
        return dict(ecs.describe_services(services=["steady"])["services"][0])

    wait_for(
        lambda: service()["deployments"][0]["rolloutState"] == "COMPLETED",  # type: ignore[index]
        timeout_s=120,
        what="the first deployment",
    )
    portside.register("steady", {**SLEEPS, "command": ["false"]})
    ecs.update_service(service="steady", taskDefinition="steady:2")
    page = console.open("clusters/default/services/steady")
    page.get_by_role("button", name="Roll back").click()
    expect(form.get_by_label(COMMAND, exact=True)).to_contain_text("aws ecs stop-service-deployment")
    console.accessible()
    form.get_by_role("button", name="Roll back", exact=True).click()
    expect(form).to_have_count(0)
    wait_for(
        lambda: str(service()["taskDefinition"]).endswith("steady:1"), timeout_s=120, what="the revision of before"
    )
    ecs.delete_service(service="steady", force=True)


@pytest.mark.timeout(300)
def test_container_instances_are_launched_and_terminated(portside: Instance, console: Console) -> None:
    """The form launches them into the cluster whose page is open, with the image for ECS and what lets them join it."""
    ecs = portside.client("ecs")
    ecs.create_cluster(clusterName="machines")
    page = console.open("clusters/machines")
    page.get_by_role("button", name="Launch instances").click()
    form = page.get_by_role("dialog")
    launch = form.get_by_role("button", name="Launch", exact=True)
    form.get_by_label("How many", exact=True).fill("0")
    expect(launch).to_be_disabled()
    form.get_by_label("How many", exact=True).fill("1")
    command = form.get_by_label(COMMAND, exact=True)
    expect(command).to_contain_text("aws ec2 run-instances")
    expect(command).to_contain_text("ECS_CLUSTER=machines")
    expect(command).to_contain_text("--count 1")
    choose(form, "Type", "t3.medium")
    console.accessible()
    launch.click()
    row = console.row("i-")
    expect(row).to_contain_text("Active", timeout=60_000)
    (arn,) = ecs.list_container_instances(cluster="machines")["containerInstanceArns"]
    (found,) = ecs.describe_container_instances(cluster="machines", containerInstances=[arn])["containerInstances"]
    attributes = {each["name"]: each.get("value") for each in found["attributes"]}
    assert attributes["ecs.instance-type"] == "t3.medium"
    console.accessible()
    row.get_by_role("button", name="Terminate").click()
    expect(command).to_contain_text("aws ec2 terminate-instances")
    form.get_by_role("button", name="Terminate", exact=True).click()
    expect(row).to_have_count(0)
    wait_for(
        lambda: not ecs.list_container_instances(cluster="machines")["containerInstanceArns"],
        timeout_s=60,
        what="the instance has gone",
    )


def test_a_composite_alarm_follows_one_that_is_tried_by_hand(portside: Instance, console: Console) -> None:
    """An alarm is set into its state by hand, and what is made of it goes into its own."""
    cloudwatch = portside.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="slow",
        Namespace="Shop",
        MetricName="Latency",
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
    )
    cloudwatch.put_composite_alarm(AlarmName="all", AlarmRule='ALARM("slow")')
    page = console.open("alarms/slow")
    page.get_by_role("button", name="Set state").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Reason", exact=True).fill("A drill")
    expect(form.get_by_label(COMMAND, exact=True)).to_contain_text("aws cloudwatch set-alarm-state")
    console.accessible()
    form.get_by_role("button", name="Set", exact=True).click()
    console.see("In alarm")
    console.see("A drill")
    page = console.open("alarms/all")
    console.see("In alarm")
