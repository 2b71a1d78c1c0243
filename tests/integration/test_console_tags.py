"""The console's form of tags, on the page of each thing that has some."""

from collections.abc import Iterator
from typing import Any

import pytest
from console_lab import Console
from playwright.sync_api import expect

from portside.testing.instance import IMAGE, Instance, instance

pytestmark = pytest.mark.integration

TRUST = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}'  # noqa: E501


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    with instance() as running:
        yield running


def made(portside: Instance) -> dict[str, tuple[str, str]]:
    """Pages of one thing of each kind: by its address, the command that tags it, and what of it the command names."""
    ecs, elb, logs = portside.client("ecs"), portside.client("elbv2"), portside.client("logs")
    cluster = ecs.create_cluster(clusterName="shop")["cluster"]["clusterArn"]
    definition = portside.register("web", {"name": "main", "image": IMAGE})
    service = ecs.create_service(
        cluster="shop",
        serviceName="idle",
        taskDefinition="web:1",
        desiredCount=0,
        launchType="FARGATE",
        networkConfiguration=portside.network(),
    )["service"]["serviceArn"]
    balancer = elb.create_load_balancer(Name="edge", Subnets=portside.subnets()[:2])["LoadBalancers"][0]
    vpc = portside.vpc()
    group = elb.create_target_group(Name="fronts", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")
    logs.create_log_group(logGroupName="orders")
    portside.client("cloudwatch").put_metric_alarm(
        AlarmName="slow",
        Namespace="Shop",
        MetricName="Latency",
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    portside.client("iam").create_role(RoleName="reader", AssumeRolePolicyDocument=TRUST)
    portside.client("secretsmanager").create_secret(Name="key", SecretString="x")
    portside.client("ssm").put_parameter(Name="colour", Type="String", Value="green")
    system = portside.client("efs").create_file_system(CreationToken="shelf")["FileSystemId"]
    door = portside.client("ec2").create_security_group(GroupName="door", Description="door", VpcId=vpc)["GroupId"]
    return {
        "clusters/shop": ("aws ecs tag-resource", cluster),
        "clusters/shop/services/idle": ("aws ecs tag-resource", service),
        "task-definitions/web/1": ("aws ecs tag-resource", definition),
        "load-balancers/edge": ("aws elbv2 add-tags", balancer["LoadBalancerArn"]),
        "target-groups/fronts": ("aws elbv2 add-tags", group["TargetGroups"][0]["TargetGroupArn"]),
        "log-groups/orders": ("aws logs tag-resource", "log-group:orders"),
        "alarms/slow": ("aws cloudwatch tag-resource", "alarm:slow"),
        "roles/reader": ("aws iam tag-role", "--role-name reader"),
        "secrets/key": ("aws secretsmanager tag-resource", "--secret-id key"),
        "parameters/colour": ("aws ssm add-tags-to-resource", "--resource-type Parameter"),
        f"volumes/{system}": ("aws efs tag-resource", system),
        f"networks/{vpc}": ("aws ec2 create-tags", vpc),
        f"security-groups/{door}": ("aws ec2 create-tags", door),
    }


@pytest.mark.timeout(300)
def test_everything_that_has_tags_gets_some(portside: Instance, console: Console) -> None:
    """On each page a tag is set by the words of its service, and is there for the next who looks."""
    for place, (words, thing) in made(portside).items():
        page = console.open(place)
        page.get_by_role("button", name="Edit tags").click()
        form = page.get_by_role("dialog")
        form.get_by_label("Key of tag 1").fill("team")
        form.get_by_label("Value of tag 1").fill("blue")
        command = form.get_by_label("Command", exact=True)
        expect(command).to_contain_text(words)
        expect(command).to_contain_text(thing)
        form.get_by_role("button", name="Save", exact=True).click()
        expect(form).to_have_count(0)
        page.get_by_role("button", name="Edit tags").click()
        expect(form.get_by_label("Value of tag 1")).to_have_value("blue")
        form.get_by_role("button", name="Cancel").click()
    ecs = portside.client("ecs")
    ecs.delete_service(cluster="shop", service="idle", force=True)


def test_tags_are_changed_and_taken_away(portside: Instance, console: Console) -> None:
    """What goes is removed, then what is different is set, as both commands say; a key stands once."""
    logs = portside.client("logs")
    logs.create_log_group(logGroupName="counted", tags={"team": "blue", "old": "1"})

    def tags() -> dict[str, Any]:
        arn = logs.describe_log_groups(logGroupNamePrefix="counted")["logGroups"][0]["logGroupArn"]
        return dict(logs.list_tags_for_resource(resourceArn=arn)["tags"])

    page = console.open("log-groups/counted")
    page.get_by_role("button", name="Edit tags").click()
    form = page.get_by_role("dialog")
    save = form.get_by_role("button", name="Save", exact=True)
    expect(save).to_be_disabled()
    form.get_by_role("button", name="Remove tag 1").click()
    form.get_by_label("Value of tag 1").fill("green")
    form.get_by_role("button", name="Add a tag").click()
    form.get_by_label("Key of tag 2").fill("team")
    expect(form.get_by_text("Each key once").first).to_be_visible()
    expect(save).to_be_disabled()
    form.get_by_label("Key of tag 2").fill("stage")
    command = form.get_by_label("Command", exact=True)
    expect(command).to_contain_text("aws logs untag-resource")
    expect(command).to_contain_text("aws logs tag-resource")
    console.accessible()
    save.click()
    expect(form).to_have_count(0)
    assert tags() == {"team": "green", "stage": ""}
    console.accessible()
