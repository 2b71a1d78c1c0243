"""The console's forms, made of AWS's model, and what follows from them, in a browser before a real Portside."""

import json
import re
from collections.abc import Callable, Iterator

import pytest
from console_lab import Console
from playwright.sync_api import Page, expect

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance

pytestmark = pytest.mark.integration

SLEEPS = {"name": "main", "image": IMAGE, "command": ["sleep", "100000"], "portMappings": [{"containerPort": 80}]}


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="shop")
        running.register("web", SLEEPS)
        yield running


def choose(page: Page, field: str, option: str) -> None:
    """Type into a field that offers what is there."""
    page.get_by_label(field, exact=True).fill(option)
    page.keyboard.press("Escape")


def test_a_definition_is_made_by_form(portside: Instance, visit: Callable[..., Console]) -> None:
    """Fields come from AWS's model, say what is wrong while it is typed, and register what stands in them; a revision
    begins with what was there."""
    console = visit()
    page = console.open("task-definitions")
    page.get_by_role("link", name="Create").click()
    page.get_by_label("Family").fill("by-form")
    page.get_by_label("Image").fill(IMAGE)
    page.get_by_label("Command", exact=True).first.fill("sleep\n100000\n")
    page.get_by_label("Container port").fill("eighty")
    console.see("This is a whole number.")
    expect(page.get_by_role("button", name="Register")).to_be_disabled()
    page.get_by_label("Container port").fill("8080")
    choose(page, "CPU", "512")
    choose(page, "Memory", "1024")
    page.get_by_role("button", name="Add environment").click()
    page.get_by_label("Name", exact=True).last.fill("WORD")
    page.get_by_label("Value", exact=True).fill("yes")
    page.get_by_role("button", name="More settings of containerDefinitions[0]", exact=True).click()
    page.get_by_label("Stop timeout").fill("3")
    console.accessible()
    console.picture("definition-form")
    expect(page.get_by_label("Command", exact=True).last).to_contain_text("aws ecs register-task-definition")
    page.get_by_role("button", name="Register").click()
    page.get_by_role("heading", name="by-form:1").wait_for()
    found = portside.client("ecs").describe_task_definition(taskDefinition="by-form:1")["taskDefinition"]
    (container,) = found["containerDefinitions"]
    assert (found["cpu"], found["memory"]) == ("512", "1024")
    assert container["command"] == ["sleep", "100000"]
    assert container["portMappings"][0]["containerPort"] == 8080
    assert container["environment"] == [{"name": "WORD", "value": "yes"}]
    assert container["stopTimeout"] == 3
    page.get_by_role("link", name="Create revision").click()
    expect(page.get_by_label("Family")).to_have_value("by-form")
    page.get_by_label("Stop timeout").wait_for(state="hidden")
    page.get_by_label("Image").fill("localhost/another:1")
    page.get_by_role("button", name="Register").click()
    page.get_by_role("heading", name="by-form:2").wait_for()


def test_json_is_checked_as_it_is_typed(visit: Callable[..., Console]) -> None:
    """What the model does not know is told with its line and what was meant; form and JSON are the same draft; what
    Portside refuses stands at its field."""
    console = visit()
    page = console.open("create-task-definition")
    page.get_by_role("button", name="JSON").click()
    definition = {
        "familly": "x",
        "family": "typed",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "9999",
        "containerDefinitions": [{"name": "main", "image": IMAGE, "cpu": "1"}],
    }
    page.get_by_role("textbox", name="JSON").fill(json.dumps(definition, indent=1))
    mend = page.get_by_label("What is to be mended")
    expect(mend).to_contain_text("Line 2, familly: There is no member familly here. Did you mean family?")
    expect(mend).to_contain_text("containerDefinitions[0].cpu: This is a whole number.")
    del definition["familly"]
    definition["containerDefinitions"] = [
        {"name": "main", "image": IMAGE, "firelensConfiguration": {"type": "fluentd"}}
    ]
    page.get_by_role("textbox", name="JSON").fill(json.dumps(definition, indent=1))
    expect(mend).to_contain_text("firelensConfiguration: Portside does not support this yet.")
    del definition["containerDefinitions"][0]["firelensConfiguration"]  # type: ignore[attr-defined]
    page.get_by_role("textbox", name="JSON").fill(json.dumps(definition, indent=1))
    page.get_by_role("button", name="Form", exact=True).click()
    expect(page.get_by_label("Family")).to_have_value("typed")
    page.get_by_role("button", name="Register").click()
    field = page.get_by_label("Memory", exact=True)
    expect(field).to_have_accessible_description(
        re.compile("No Fargate configuration exists for given values: 256 CPU, 9999 memory")
    )
    console.accessible()


@pytest.mark.timeout(300)
def test_a_service_behind_a_load_balancer_is_made_scaled_and_copied(
    portside: Instance, visit: Callable[..., Console]
) -> None:
    """The form offers target groups, containers and ports that are there; circuit breaker and scaling are set from the
    start; the page tells of both; bounds and policies are changed there; another service begins as this one is."""
    elb = portside.client("elbv2")
    balancer = elb.create_load_balancer(Name="edge", Subnets=portside.subnets())["LoadBalancers"][0]
    group = elb.create_target_group(Name="fronts", Protocol="HTTP", Port=80, VpcId=portside.vpc(), TargetType="ip")
    group_arn = group["TargetGroups"][0]["TargetGroupArn"]
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group_arn}],
    )
    console = visit()
    page = console.open("services")
    page.get_by_role("link", name="Create").first.click()
    page.get_by_label("Service name").fill("front")
    choose(page, "Task definition", "web:1")
    page.get_by_role("button", name="Add load balancer").click()
    page.get_by_label("Target group ARN", exact=True).click()
    page.get_by_role("option", name="fronts: HTTP 80, of edge").click()
    page.get_by_label("Container name", exact=True).click()
    page.get_by_role("option", name="main").click()
    page.get_by_label("Container port", exact=True).click()
    page.get_by_role("option", name="80").click()
    page.get_by_role("button", name="Deployment configuration").click()
    page.get_by_role("button", name="Deployment circuit breaker").click()
    page.get_by_role("button", name="Enable –").click()
    page.get_by_role("option", name="Yes").click()
    page.get_by_role("button", name="Rollback –").click()
    page.get_by_role("option", name="Yes").click()
    page.get_by_label("Scale it by CPU").check()
    page.get_by_label("Tasks at most").fill("3")
    command = page.get_by_label("Command", exact=True)
    expect(command).to_contain_text("aws application-autoscaling put-scaling-policy")
    console.accessible()
    console.picture("service-form")
    page.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("heading", name="front").wait_for()
    (service,) = portside.client("ecs").describe_services(cluster="shop", services=["front"])["services"]
    assert service["loadBalancers"] == [{"targetGroupArn": group_arn, "containerName": "main", "containerPort": 80}]
    breaker = service["deploymentConfiguration"]["deploymentCircuitBreaker"]
    assert (breaker["enable"], breaker["rollback"]) == (True, True)
    page.get_by_role("tab", name="Configuration").click()
    console.see("deployment circuit breaker: rollback")
    page.get_by_role("tab", name="Scaling").click()
    console.see("keeps ECSServiceAverageCPUUtilization at 70")
    console.see("3 tasks")
    console.accessible()
    console.picture("scaling")
    page.get_by_role("button", name="Change the bounds").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Tasks at least").fill("2")
    form.get_by_role("button", name="Save").click()
    console.see("2 tasks")
    page.get_by_role("button", name="Change cpu").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Target", exact=True).fill("55")
    form.get_by_role("button", name="Save").click()
    console.see("at 55")
    page.get_by_role("link", name="Add one by steps").click()
    page.get_by_label("Policy name").fill("steps")
    expect(page.get_by_label("Command", exact=True)).to_contain_text("--step-scaling-policy-configuration")
    console.accessible()
    page.get_by_role("button", name="Save").click()
    console.see("above +0: +1")
    page.get_by_role("link", name="Add a time").click()
    page.get_by_label("Scheduled action name").fill("morning")
    page.get_by_label("Schedule", exact=True).fill("every morning")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("ValidationException").wait_for()
    page.get_by_label("Schedule", exact=True).fill("cron(0 7 * * ? *)")
    page.get_by_role("button", name="Save").click()
    expect(console.row("morning")).to_contain_text("cron(0 7 * * ? *)")
    page.get_by_role("button", name="Delete morning").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    console.see("Nothing is done at set times")
    page.get_by_role("button", name="Delete steps").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete cpu").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    console.see("No policy: it stays between its bounds")
    page.get_by_role("button", name="Stop scaling").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop scaling").click()
    console.see("nothing changes it by itself")
    page = console.open("clusters/shop/services/front?tab=scaling")
    console.see("nothing changes it by itself")
    page.get_by_role("link", name="Create one like it").click()
    expect(page.get_by_label("Service name")).to_have_value("front-2")
    expect(page.get_by_label("Target group ARN", exact=True)).to_have_value(group_arn)
    page.get_by_label("Desired count").fill("0")
    page.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("heading", name="front-2").wait_for()
    for name in ("front", "front-2"):
        portside.client("ecs").delete_service(cluster="shop", service=name, force=True)
    elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])


def test_roles_with_their_policies_and_users(portside: Instance, visit: Callable[..., Console]) -> None:
    """A role is made with whom it trusts; policies are written into it and attached; who uses it is told."""
    console = visit()
    page = console.open("roles")
    page.get_by_role("button", name="Create", exact=True).click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name").fill("reader")
    form.get_by_label("Whom it trusts").fill("{")
    expect(form.get_by_role("button", name="Create", exact=True)).to_be_disabled()
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    form.get_by_label("Whom it trusts").fill(json.dumps(trust))
    expect(form.get_by_label("Command", exact=True)).to_contain_text("aws iam create-role")
    form.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("heading", name="reader").wait_for()
    expect(page.get_by_label("Trust policy")).to_contain_text("ecs-tasks.amazonaws.com")
    page.get_by_role("button", name="Write one").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name").fill("logs")
    form.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="logs").first.click()
    expect(page.get_by_label("Policy logs")).to_contain_text('"logs:*"')
    page.get_by_role("button", name="Attach a policy").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Policy", exact=True).fill("arn:aws:iam::aws:policy/ReadOnlyAccess")
    form.get_by_role("button", name="Attach", exact=True).click()
    console.see("arn:aws:iam::aws:policy/ReadOnlyAccess")
    console.see("Nobody")
    arn = portside.register("reads", SLEEPS, taskRoleArn="arn:aws:iam::000000000000:role/reader")
    expect(console.row("reads:1")).to_contain_text("task role")
    console.accessible()
    console.picture("role")
    portside.client("ecs").deregister_task_definition(taskDefinition=arn)
    console.see("Nobody")
    page.get_by_role("button", name="Delete", exact=True).first.click()
    form = page.get_by_role("dialog")
    form.get_by_role("button", name="Delete", exact=True).click()
    console.see("must delete policies first")
    form.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Delete logs").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="ReadOnlyAccess").first.click()
    page.get_by_role("button", name="Detach ReadOnlyAccess").click()
    page.get_by_role("dialog").get_by_role("button", name="Detach", exact=True).click()
    console.see("It has none.")
    page.get_by_role("button", name="Delete", exact=True).first.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("heading", name="Roles").wait_for()
    expect(console.row("reader")).to_have_count(0)


def test_secrets_are_shown_on_demand_only(portside: Instance, visit: Callable[..., Console]) -> None:
    """A secret's value is read when somebody asks, is in no command, is replaced, and goes after a question."""
    console = visit()
    page = console.open("secrets")
    page.get_by_role("button", name="Create").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name").fill("shop/key")
    form.get_by_label("Value").fill("hidden-one")
    expect(form.get_by_label("Command", exact=True)).to_contain_text("--secret-string file://VALUE")
    form.get_by_role("button", name="Create", exact=True).click()
    expect(console.row("shop/key")).to_contain_text("In use")
    console.accessible()
    page.get_by_role("link", name="shop/key").click()
    console.see("AWSCURRENT")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    expect(page.get_by_text("hidden-one")).to_have_count(0)
    page.get_by_role("button", name="Show the value").click()
    expect(page.get_by_label("Value", exact=True)).to_have_text("hidden-one")
    assert [each for each in asked if "GetSecretValue" in each]
    assert not [each for each in asked if "hidden" in each]
    console.accessible()
    page.get_by_role("button", name="Hide").click()
    expect(page.get_by_text("hidden-one")).to_have_count(0)
    page.get_by_role("button", name="Replace the value").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Value", exact=True).fill("hidden-two")
    form.get_by_role("button", name="Replace", exact=True).click()
    console.see("AWSPREVIOUS")
    assert portside.client("secretsmanager").get_secret_value(SecretId="shop/key")["SecretString"] == "hidden-two"
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    console.see("Until then it can be restored")
    page.get_by_role("button", name="Restore").click()
    page.get_by_role("dialog").get_by_role("button", name="Restore").click()
    page.get_by_role("button", name="Show the value").wait_for()
    page.get_by_role("button", name="Delete").click()
    form = page.get_by_role("dialog")
    form.get_by_label("At once").check()
    form.get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Secrets").wait_for()
    expect(console.row("shop/key")).to_have_count(0)


def test_parameters_are_kept_by_type(portside: Instance, visit: Callable[..., Console]) -> None:
    """Text is shown as it is, a SecureString when asked for; versions are told; both go after a question."""
    console = visit()
    page = console.open("parameters")
    for name, kind, value in (("/shop/colour", "String", "green"), ("/shop/pin", "SecureString", "secret-pin")):
        page.get_by_role("button", name="Create", exact=True).first.click()
        form = page.get_by_role("dialog")
        form.get_by_label("Name").fill(name)
        if kind != "String":
            form.get_by_role("button", name="Type String").click()
            page.get_by_role("option", name=kind).click()
        form.get_by_label("Value").fill(value)
        form.get_by_role("button", name="Create", exact=True).click()
        expect(console.row(name)).to_contain_text(kind)
    console.accessible()
    page.get_by_role("link", name="/shop/colour").click()
    console.see("green")
    page.get_by_role("button", name="Change the value").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Value").fill("blue")
    form.get_by_role("button", name="Change", exact=True).click()
    expect(console.row("blue")).to_contain_text("2")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Parameters").wait_for()
    page.get_by_role("link", name="/shop/pin").click()
    page.get_by_role("button", name="Show the value").wait_for()
    expect(page.get_by_text("secret-pin")).to_have_count(0)
    page.get_by_role("button", name="Show the value").click()
    expect(page.get_by_label("Value", exact=True)).to_have_text("secret-pin")
    console.accessible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Parameters").wait_for()
    assert not portside.client("ssm").describe_parameters()["Parameters"]


def test_of_a_long_list_only_what_is_seen_is_made(portside: Instance, visit: Callable[..., Console]) -> None:
    """Two hundred rows are scrolled through from end to end; the table holds few of them at a time, has room for all,
    finds by words what is not made, and follows what changes."""
    ssm = portside.client("ssm")
    names = [f"/long/{number:03d}" for number in range(200)]
    for name in names:
        ssm.put_parameter(Name=name, Type="String", Value="x")
    console = visit()
    page = console.open("parameters")
    console.see("(200)")
    rows = page.locator("tbody tr")
    expect(page.get_by_role("link", name="/long/000")).to_be_visible()
    expect(page.get_by_role("link", name="/long/199")).to_have_count(0)
    assert rows.count() < 70
    height = page.evaluate("document.documentElement.scrollHeight")
    for _ in range(200):
        page.mouse.move(600, 500)
        page.mouse.wheel(0, 400)
        if page.get_by_role("link", name="/long/199").count():
            break
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.get_by_role("link", name="/long/199")).to_be_in_viewport()
    assert rows.count() < 70
    assert abs(page.evaluate("document.documentElement.scrollHeight") - height) < height / 10
    console.accessible()
    page.evaluate("scrollTo(0, 0)")
    page.get_by_label("Find parameters").first.fill("/long/150")
    expect(page.get_by_role("link", name="/long/150")).to_be_visible()
    page.get_by_label("Find parameters").first.fill("")
    ssm.delete_parameters(Names=names[:5])
    console.see("(195)")
    for start in range(5, 200, 10):
        ssm.delete_parameters(Names=names[start : start + 10])
    console.see("No parameter")
