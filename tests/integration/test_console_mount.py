"""Forms of the console for what mounts: access points, mount targets, volumes of container instances."""

from collections.abc import Iterator

import pytest
from console_lab import Console
from playwright.sync_api import expect

from portside.domain import ecs_image
from portside.testing.instance import REGION, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

AMI = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")
COMMAND = "Command"


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    with instance() as running:
        yield running


def test_access_points_and_mount_targets_come_and_go(portside: Instance, console: Console) -> None:
    """A file system has a page, where access points and mount targets are made and deleted; what deletes asks first."""
    efs = portside.client("efs")
    system = efs.create_file_system(CreationToken="shelf", Tags=[{"Key": "Name", "Value": "shelf"}])["FileSystemId"]
    page = console.open("volumes")
    page.get_by_role("link", name=f"shelf ({system})").click()
    page.get_by_role("heading", name=f"shelf ({system})").wait_for()
    form = page.get_by_role("dialog")
    command = form.get_by_label(COMMAND, exact=True)

    page.get_by_role("button", name="Create mount target").click()
    form.get_by_label("Subnet", exact=True).click()
    page.get_by_role("option").filter(has_text="us-east-1b").click()
    form.get_by_role("button", name="Create", exact=True).click()
    target = console.row("us-east-1b")
    expect(target).to_contain_text("Available")

    vpc = portside.vpc()
    group = portside.client("ec2").create_security_group(GroupName="nfs", Description="nfs", VpcId=vpc)["GroupId"]
    target.get_by_role("button", name="Security groups").click()
    form.get_by_role("button", name="Security groups", exact=False).first.click()
    page.get_by_role("option").filter(has_text="nfs").click()
    page.keyboard.press("Escape")
    expect(command).to_contain_text("aws efs modify-mount-target-security-groups")
    console.accessible()
    form.get_by_role("button", name="Save", exact=True).click()
    expect(target.get_by_role("link", name=group)).to_be_visible()
    made_target = efs.describe_mount_targets(FileSystemId=system)["MountTargets"][0]["MountTargetId"]
    assert group in efs.describe_mount_target_security_groups(MountTargetId=made_target)["SecurityGroups"]

    page.get_by_role("button", name="Create access point").click()
    create = form.get_by_role("button", name="Create", exact=True)
    form.get_by_label("Name", exact=True).fill("web")
    form.get_by_label("Directory", exact=True).fill("/web")
    form.get_by_label("Acts as", exact=True).fill("me")
    expect(create).to_be_disabled()
    expect(form.get_by_text("A user and a group by number").first).to_be_visible()
    console.accessible()
    form.get_by_label("Acts as", exact=True).fill("1000:1001")
    form.get_by_label("Owner of the directory", exact=True).fill("1000:1001")
    form.get_by_label("Permissions of the directory", exact=True).fill("0750")
    expect(command).to_contain_text("aws efs create-access-point")
    expect(command).to_contain_text('"Permissions":"0750"')
    console.accessible()
    create.click()
    point = console.row("web (fsap-")
    expect(point).to_contain_text("1000:1001 0750")
    made = efs.describe_access_points(FileSystemId=system)["AccessPoints"][0]
    assert made["PosixUser"] == {"Uid": 1000, "Gid": 1001}
    assert made["RootDirectory"]["Path"] == "/web"
    console.accessible()

    point.get_by_role("button", name="Delete").click()
    expect(command).to_contain_text("aws efs delete-access-point")
    form.get_by_role("button", name="Delete", exact=True).click()
    expect(point).to_have_count(0)
    target.get_by_role("button", name="Delete").click()
    expect(command).to_contain_text("aws efs delete-mount-target")
    form.get_by_role("button", name="Delete", exact=True).click()
    expect(target).to_have_count(0)
    assert efs.describe_mount_targets(FileSystemId=system)["MountTargets"] == []
    efs.delete_file_system(FileSystemId=system)


@pytest.mark.timeout(300)
def test_a_volume_is_attached_and_detached(portside: Instance, console: Console) -> None:
    """A volume goes to a container instance of its zone by a form, which tells of a bad device, and comes back."""
    ecs, ec2 = portside.client("ecs"), portside.client("ec2")
    ecs.create_cluster()
    subnet = portside.subnets()[0]
    zone = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailabilityZone"]
    launched = ec2.run_instances(ImageId=AMI, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=subnet)
    machine = launched["Instances"][0]["InstanceId"]
    wait_for(lambda: ecs.list_container_instances()["containerInstanceArns"], timeout_s=60, what="the instance")
    volume = ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]

    def attachments() -> list[str]:
        return [each["State"] for each in ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Attachments"]]

    page = console.open("volumes")
    row = console.row(volume)
    row.get_by_role("button", name="Attach").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Instance", exact=True).click()
    page.get_by_role("option").filter(has_text=machine).click()
    form.get_by_label("Device", exact=True).fill("/dev/nothing")
    form.get_by_role("button", name="Attach", exact=True).click()
    expect(form.get_by_text("is not a valid EBS device name")).to_have_count(2)
    console.accessible()
    form.get_by_label("Device", exact=True).fill("/dev/sdf")
    expect(form.get_by_label(COMMAND, exact=True)).to_contain_text("aws ec2 attach-volume")
    form.get_by_role("button", name="Attach", exact=True).click()
    expect(row).to_contain_text(f"Instance {machine}")
    wait_for(lambda: attachments() == ["attached"], timeout_s=60, what="the volume is attached")
    row.get_by_role("button", name="Detach").click()
    expect(form.get_by_label(COMMAND, exact=True)).to_contain_text("aws ec2 detach-volume")
    console.accessible()
    form.get_by_role("button", name="Detach", exact=True).click()
    expect(row.get_by_role("button", name="Attach")).to_be_visible()
    assert attachments() == []
    ec2.delete_volume(VolumeId=volume)
    ec2.terminate_instances(InstanceIds=[machine])
    wait_for(
        lambda: not ecs.list_container_instances()["containerInstanceArns"], timeout_s=60, what="the instance has gone"
    )
