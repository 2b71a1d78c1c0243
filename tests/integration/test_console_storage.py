"""The console's storage and images in a browser: who uses them, how full they are, and the forms that change them."""

import re
from collections.abc import Iterator

import pytest
from console_lab import Console
from playwright.sync_api import expect

from portside.domain import ecs_image
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, REGION, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

AMI = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")
DOOMED = "localhost/portside-console-doomed:1"


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="shop")
        yield running


def test_a_volume_a_snapshot_and_a_volume_of_it(portside: Instance, console: Console) -> None:
    """A volume of EBS is made by a form, its snapshot by another, of that a second volume; all go by forms, too."""
    ec2 = portside.client("ec2")
    page = console.open("volumes")
    console.see("No EBS volumes")
    console.accessible()
    page.get_by_role("button", name="Create volume").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name", exact=True).fill("books")
    form.get_by_label("Size in GiB", exact=True).fill("1")
    expect(form.get_by_label("Command", exact=True)).to_contain_text("aws ec2 create-volume")
    expect(form.get_by_label("Command", exact=True)).to_contain_text("--size 1")
    console.accessible()
    form.get_by_role("button", name="Create", exact=True).click()
    row = console.row("books (vol-")
    expect(row).to_contain_text("Available")
    expect(row).to_contain_text("of 1.1 GB")
    volume = ec2.describe_volumes()["Volumes"][0]["VolumeId"]
    page.get_by_role("button", name=f"Snapshot of {volume}").click()
    form.get_by_label("Description", exact=True).fill("before the fair")
    form.get_by_role("button", name="Create", exact=True).click()
    copy = console.row("before the fair")
    expect(copy).to_contain_text("Completed")
    snapshot = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"][0]["SnapshotId"]
    page.get_by_role("button", name=f"Volume of {snapshot}").click()
    form.get_by_label("Size in GiB", exact=True).fill("0")
    expect(form.get_by_role("button", name="Create", exact=True)).to_be_disabled()
    form.get_by_label("Size in GiB", exact=True).fill("2")
    form.get_by_label("Name", exact=True).fill("of-it")
    form.get_by_role("button", name="Create", exact=True).click()
    second = console.row("of-it (vol-")
    expect(second).to_contain_text("Available")
    console.accessible()
    console.picture("volumes")
    for each in (row, second):
        each.get_by_role("button", name="Delete").click()
        form.get_by_role("button", name="Delete", exact=True).click()
        expect(each).to_have_count(0)
    copy.get_by_role("button", name="Delete").click()
    form.get_by_role("button", name="Delete", exact=True).click()
    expect(copy).to_have_count(0)


def test_a_file_system_is_made_and_used(portside: Instance, console: Console) -> None:
    """A file system gets a mount target by a form, a task that has it is named, and what can not go is told."""
    efs = portside.client("efs")
    page = console.open("volumes")
    page.get_by_role("button", name="Create file system").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name", exact=True).fill("shelf")
    expect(form.get_by_label("Command", exact=True)).to_contain_text("aws efs create-file-system")
    form.get_by_role("button", name="Create", exact=True).click()
    row = console.row("shelf (fs-")
    row.wait_for()
    system = efs.describe_file_systems()["FileSystems"][0]["FileSystemId"]
    page.get_by_role("button", name=f"Mount target of {system}").click()
    form.get_by_label("Subnet", exact=True).click()
    page.get_by_role("option").filter(has_text="us-east-1a").click()
    form.get_by_role("button", name="Create", exact=True).click()
    expect(row).to_contain_text("us-east-1a")
    target = efs.describe_mount_targets(FileSystemId=system)["MountTargets"][0]
    wait_for(
        lambda: efs.describe_mount_targets(FileSystemId=system)["MountTargets"][0]["LifeCycleState"] == "available",
        timeout_s=30,
        what="the mount target",
    )
    portside.register(
        "reads",
        {
            "image": IMAGE,
            "command": ["sleep", "100000"],
            "mountPoints": [{"sourceVolume": "shelf", "containerPath": "/shelf"}],
        },
        volumes=[{"name": "shelf", "efsVolumeConfiguration": {"fileSystemId": system}}],
    )
    network = {"awsvpcConfiguration": {"subnets": [target["SubnetId"]]}}
    task = portside.run_task("reads", cluster="shop", networkConfiguration=network)
    portside.wait_task(task, "RUNNING")
    task_id = task.rpartition("/")[2]
    expect(row.get_by_role("link", name=task_id[:12])).to_be_visible()
    own = console.row("All that the task can write")
    expect(own).to_contain_text("of ", timeout=60_000)
    console.accessible()
    page.get_by_role("button", name=f"Delete {system}").click()
    form.get_by_role("button", name="Delete", exact=True).click()
    form.get_by_text("FileSystemInUse").first.wait_for()
    form.get_by_role("button", name="Cancel").click()
    portside.client("ecs").stop_task(cluster="shop", task=task)
    expect(row).to_contain_text("Nobody")
    expect(own).to_have_count(0)
    efs.delete_mount_target(MountTargetId=target["MountTargetId"])
    expect(row).to_contain_text("None")
    page.get_by_role("button", name=f"Delete {system}").click()
    form.get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)


def test_a_docker_volume_is_seen_and_removed(portside: Instance, console: Console) -> None:
    """A volume that a task left on a container instance says who has it, and goes by a form that shows the command."""
    ecs, ec2 = portside.client("ecs"), portside.client("ec2")
    ecs.create_cluster()
    launched = ec2.run_instances(
        ImageId=AMI, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=portside.subnets()[0]
    )["Instances"][0]["InstanceId"]
    wait_for(lambda: ecs.list_container_instances()["containerInstanceArns"], timeout_s=60, what="the instance")
    ecs.register_task_definition(
        family="keeps",
        networkMode="bridge",
        requiresCompatibilities=["EC2"],
        volumes=[{"name": "jar", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": True}}],
        containerDefinitions=[
            {
                "name": "main",
                "image": IMAGE,
                "memory": 64,
                "stopTimeout": 2,
                "command": ["sleep", "100000"],
                "mountPoints": [{"sourceVolume": "jar", "containerPath": "/jar"}],
            }
        ],
    )
    task = ecs.run_task(taskDefinition="keeps", launchType="EC2")["tasks"][0]["taskArn"]
    portside.wait_task(task, "RUNNING")
    page = console.open("volumes")
    row = console.row("jar (").filter(has_text="local")
    expect(row).to_contain_text(task.rpartition("/")[2][:12])
    expect(row).to_contain_text(launched)
    form = page.get_by_role("dialog")
    row.get_by_role("button", name="Delete jar").click()
    expect(form.get_by_label("Command", exact=True)).to_contain_text("portside volume rm ")
    form.get_by_role("button", name="Delete", exact=True).click()
    form.get_by_text("is in use by default/").first.wait_for()
    form.get_by_role("button", name="Cancel").click()
    ecs.stop_task(task=task)
    expect(row).to_contain_text("Nobody")
    row.get_by_role("button", name="Delete jar").click()
    form.get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)
    ec2.terminate_instances(InstanceIds=[launched])
    wait_for(
        lambda: not ecs.list_container_instances()["containerInstanceArns"], timeout_s=60, what="the instance has gone"
    )


def test_images_have_layers_and_users_and_can_go(portside: Instance, console: Console) -> None:
    """Images of the machine, by repository, with their layers and the tasks that have them; one that is in use stays,
    another goes by a form that shows the command."""
    ensure_busybox_image(DOOMED, files={"doomed": "soon"})
    portside.register("held", {"image": IMAGE, "command": ["sleep", "100000"]})
    task = portside.run_task("held", cluster="shop")
    portside.wait_task(task, "RUNNING")
    page = console.open("images")
    expect(console.row("localhost/portside-console-doomed").first).to_be_visible()
    held = console.row(IMAGE)
    expect(held).to_contain_text(task.rpartition("/")[2][:12])
    console.accessible()
    console.picture("images")
    held.get_by_role("link", name=re.compile("^[0-9a-f]{12}$")).first.click()
    page.get_by_role("heading", name=IMAGE).wait_for()
    expect(console.row("sha256:")).to_have_count(1)
    console.accessible()
    form = page.get_by_role("dialog")
    page.get_by_role("button", name="Delete", exact=True).click()
    form.get_by_role("button", name="Delete", exact=True).click()
    form.get_by_text("is used by task").first.wait_for()
    form.get_by_role("button", name="Cancel").click()
    page = console.open("images")
    page.get_by_role("button", name=f"Delete {DOOMED}").click()
    expect(form.get_by_label("Command", exact=True)).to_contain_text("portside image rm ")
    form.get_by_role("button", name="Delete", exact=True).click()
    expect(form).to_have_count(0)
    page.reload()
    held.first.wait_for()
    expect(console.row("portside-console-doomed")).to_have_count(0)
    portside.client("ecs").stop_task(cluster="shop", task=task)
