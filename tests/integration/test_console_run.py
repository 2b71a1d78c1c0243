"""The console's form that runs tasks: all that RunTask takes, what fits the definition, and what came of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from console_lab import Console
from playwright.sync_api import Page, expect

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance

pytestmark = pytest.mark.integration

COMMAND = "Command"
SLEEPS = {"name": "main", "image": IMAGE, "command": ["sleep", "100000"], "stopTimeout": 2}
STORAGE_ROLE = "arn:aws:iam::000000000000:role/ecsInfrastructureRole"


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="shop")
        yield running


def fill(page: Page, field: str, words: str) -> None:
    """Type into a field that offers what is there."""
    page.get_by_label(field, exact=True).fill(words)
    page.keyboard.press("Escape")


def pick(page: Page, field: str, option: str) -> None:
    """Args: field: what the field's button is called: its label and what is chosen."""
    page.get_by_role("button", name=field, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def described(portside: Instance, page: Page) -> dict[str, Any]:
    """The task whose page is open, with its tags."""
    task = page.url.partition("/tasks/")[2].partition("?")[0]
    (found,) = portside.client("ecs").describe_tasks(cluster="shop", tasks=[task], include=["TAGS"])["tasks"]
    return dict(found)


def test_a_task_is_run_with_everything_that_it_can_have(portside: Instance, console: Console) -> None:
    """Overrides of the task and of a container, group, tags and exec are in the command and in the task; what is wrong
    is told while it is typed; another task begins as this one was."""
    portside.register("web", SLEEPS)
    page = console.open("task-definitions/web/1")
    page.get_by_role("link", name="Run task").click()
    page.get_by_role("heading", name="Run web:1").wait_for()
    run = page.get_by_role("button", name="Run", exact=True)
    page.get_by_label("Count", exact=True).fill("11")
    console.see("1 to 10.")
    expect(run).to_be_disabled()
    page.get_by_label("Count", exact=True).fill("1")
    expect(page.get_by_text("Placement strategy", exact=True)).to_have_count(0)
    expect(page.get_by_text("Volume configurations", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Overrides", exact=True).click()
    fill(page, "CPU", "512")
    console.see("With 512 units of CPU Fargate has 1024 to 4096 MiB of memory, not 512.")
    fill(page, "Memory", "1024")
    page.get_by_role("button", name="Add container override").click()
    console.see("Which container?")
    page.get_by_label("Name", exact=True).click()
    page.get_by_role("option", name="main").click()
    page.get_by_label(COMMAND, exact=True).first.fill("sleep\n99999")
    page.get_by_label("Memory reservation", exact=True).fill("64")
    page.get_by_role("button", name="Add environment", exact=True).click()
    page.get_by_label("Name", exact=True).last.fill("COLOUR")
    page.get_by_label("Value", exact=True).last.fill("green")
    page.get_by_label("Group", exact=True).fill("nightly")
    page.get_by_label("Started by", exact=True).fill("a person")
    console.see("At most 128 letters, digits, -, / and _.")
    page.get_by_label("Started by", exact=True).fill("a-person")
    pick(page, "Enable execute command –", "Yes")
    pick(page, "Propagate tags –", "TASK_DEFINITION")
    page.get_by_role("button", name="Add tag", exact=True).click()
    page.get_by_label("Key", exact=True).fill("team")
    page.get_by_label("Value", exact=True).last.fill("blue")
    console.accessible()
    console.picture("run-task")
    command = page.get_by_label(COMMAND, exact=True).last
    expect(command).to_contain_text("aws ecs run-task")
    expect(command).to_contain_text("--propagate-tags TASK_DEFINITION")
    expect(command).not_to_contain_text("placement")
    run.click()
    page.get_by_role("heading", name="Task ").wait_for()
    task = described(portside, page)
    assert (task["cpu"], task["memory"], task["group"], task["startedBy"]) == ("512", "1024", "nightly", "a-person")
    assert task["overrides"]["containerOverrides"] == [
        {
            "name": "main",
            "command": ["sleep", "99999"],
            "environment": [{"name": "COLOUR", "value": "green"}],
            "memoryReservation": 64,
        }
    ]
    assert task["enableExecuteCommand"]
    assert {"key": "team", "value": "blue"} in task["tags"]
    page.get_by_role("link", name="Run one like it").click()
    expect(page.get_by_label("Group", exact=True)).to_have_value("nightly")
    expect(page.get_by_label(COMMAND, exact=True).last).to_contain_text('"sleep","99999"')
    page.get_by_label("Count", exact=True).fill("2")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("heading", name="shop").wait_for()
    expect(console.row("nightly")).to_have_count(3)


def test_of_a_definition_in_bridge_mode_no_network_is_asked_for(portside: Instance, console: Console) -> None:
    """It goes to container instances: places are chosen, no subnets and no platform version; what is written by hand
    all the same is told to be wrong, and so is what the server says."""
    portside.client("ecs").register_task_definition(
        family="bridged", requiresCompatibilities=["EC2"], containerDefinitions=[{**SLEEPS, "memory": 64}]
    )
    page = console.open("run-task?definition=bridged:1&cluster=shop")
    page.get_by_role("button", name="Launch type EC2").wait_for()
    expect(page.get_by_text("Network configuration", exact=True)).to_have_count(0)
    expect(page.get_by_text("Platform version", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Add placement constraint").click()
    pick(page, "Type –", "distinctInstance")
    command = page.get_by_label(COMMAND, exact=True)
    expect(command).to_contain_text("distinctInstance")
    expect(command).not_to_contain_text("subnet")
    page.get_by_role("button", name="Run", exact=True).click()
    console.see("No Container Instances were found in your cluster.")
    console.accessible()
    page.get_by_role("button", name="JSON").click()
    text = page.get_by_role("textbox", name="JSON")
    asked = json.loads(text.input_value())
    assert "networkConfiguration" not in asked
    asked["networkConfiguration"] = {"awsvpcConfiguration": {"subnets": portside.subnets()[:1]}}
    text.fill(json.dumps(asked, indent=1))
    expect(page.get_by_label("What is to be mended")).to_contain_text(
        "bridged has the network mode bridge, not awsvpc."
    )
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()


def test_a_strategy_takes_the_place_of_the_launch_type(portside: Instance, console: Console) -> None:
    """With a capacity provider there is no launch type to choose, and the task runs on that provider."""
    portside.register("spot", SLEEPS)
    portside.client("ecs").put_cluster_capacity_providers(
        cluster="shop", capacityProviders=["FARGATE", "FARGATE_SPOT"], defaultCapacityProviderStrategy=[]
    )
    page = console.open("run-task?definition=spot:1&cluster=shop")
    page.get_by_role("button", name="Launch type FARGATE").wait_for()
    page.get_by_role("button", name="Add capacity provider strategy").click()
    fill(page, "Capacity provider", "FARGATE_SPOT")
    console.see("At least one provider takes a weight above 0.")
    page.get_by_label("Weight", exact=True).fill("1")
    expect(page.get_by_role("button", name="Launch type FARGATE")).to_have_count(0)
    expect(page.get_by_label(COMMAND, exact=True)).not_to_contain_text("--launch-type")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("heading", name="Task ").wait_for()
    assert described(portside, page)["capacityProviderName"] == "FARGATE_SPOT"


@pytest.mark.timeout(300)
def test_a_volume_that_is_configured_at_launch_is_asked_for(portside: Instance, console: Console) -> None:
    """Only of a definition that has one: the form offers its name, and the task gets a volume as it was configured."""
    portside.register("stores", SLEEPS, volumes=[{"name": "data", "configuredAtLaunch": True}])
    page = console.open("run-task?definition=stores:1&cluster=shop")
    console.see("The volume data is configured at launch: say how.")
    run = page.get_by_role("button", name="Run", exact=True)
    expect(run).to_be_disabled()
    page.get_by_role("button", name="Add volume configuration").click()
    page.get_by_label("Name", exact=True).click()
    page.get_by_role("option", name="data", exact=True).click()
    page.get_by_role("button", name="Managed EBS volume", exact=True).click()
    fill(page, "Role ARN", STORAGE_ROLE)
    page.get_by_label("Size in GiB", exact=True).fill("1")
    pick(page, "Filesystem type –", "ext4")
    console.accessible()
    run.click()
    page.get_by_role("heading", name="Task ").wait_for()
    task = described(portside, page)
    assert [each["type"] for each in task["attachments"]].count("AmazonElasticBlockStorage") == 1
    portside.client("ecs").stop_task(cluster="shop", task=task["taskArn"])
