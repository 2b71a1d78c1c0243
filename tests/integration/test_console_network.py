"""The console's networks in a browser: the drawing of a VPC, who may talk to whom in it, and forms for rules."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from console_lab import Console
from playwright.sync_api import Locator, Page, expect

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
        running.register("sleeps", {"name": "main", "image": IMAGE, "command": ["sleep", "100000"]})
        yield running


@pytest.fixture(scope="module")
def groups(portside: Instance) -> dict[str, str]:
    """Two services in one subnet, `front` twice and `back`, which only front's group may reach, at TCP 8080."""
    ec2 = portside.client("ec2")
    made = {
        name: ec2.create_security_group(GroupName=name, Description=f"of {name}", VpcId=portside.vpc())["GroupId"]
        for name in ("front", "back")
    }
    ec2.authorize_security_group_ingress(
        GroupId=made["back"],
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 8080,
                "ToPort": 8080,
                "UserIdGroupPairs": [{"GroupId": made["front"]}],
            }
        ],
    )
    ecs = portside.client("ecs")
    for name, count in (("front", 2), ("back", 1)):
        ecs.create_service(
            cluster="shop",
            serviceName=name,
            taskDefinition="sleeps",
            desiredCount=count,
            launchType="FARGATE",
            networkConfiguration={
                "awsvpcConfiguration": {"subnets": portside.subnets()[:1], "securityGroups": [made[name]]}
            },
        )
    wait_for(
        lambda: all(
            each["runningCount"] == each["desiredCount"]
            for each in ecs.describe_services(cluster="shop", services=["front", "back"])["services"]
        ),
        timeout_s=60,
        what="the services' tasks",
    )
    return made


def thing(page: Page, words: str) -> Locator:
    """What is drawn under this name; of one that is alone the address follows."""
    return page.get_by_role("button", name=re.compile(rf"^{words}( [0-9.]+)?$"))


def test_a_vpc_is_drawn_and_two_things_are_chosen(
    portside: Instance, groups: dict[str, str], visit: Callable[..., Console]
) -> None:
    """Tasks of a service stand as one in their subnet. One that is chosen says with whom it may talk, as groups have
    it; with a second, whether a packet passes, step by step, and it follows when a rule goes."""
    console = visit()
    page = console.open("networks")
    expect(console.row(portside.vpc())).to_contain_text("Yes")
    console.accessible()
    page.get_by_role("link", name=portside.vpc()).click()
    thing(page, "Task front, 2 of them").click()
    expect(console.row("Task back")).to_contain_text("tcp 8080")
    expect(page.get_by_text("To it: everything with 0.0.0.0/0")).to_be_visible()
    console.accessible()
    # By keyboard alone.
    thing(page, "Task back").focus()
    page.keyboard.press("Enter")
    verdict = page.get_by_role("status", name="Verdict")
    expect(verdict).to_contain_text("It passes")
    expect(page.get_by_label("Port", exact=True)).to_have_value("8080")
    steps = page.get_by_role("list", name="Step by step").get_by_role("listitem")
    expect(steps.first).to_contain_text("egress rule")
    expect(page.get_by_label("Command", exact=True)).to_contain_text("portside reach eni-")
    page.get_by_label("Port", exact=True).fill("9090")
    expect(verdict).to_contain_text("It does not pass")
    expect(steps.last).to_contain_text("lets TCP 9090 from")
    page.get_by_label("Port", exact=True).fill("8080")
    expect(verdict).to_contain_text("It passes")
    console.accessible()
    console.picture("reach")
    ec2 = portside.client("ec2")
    permissions = ec2.describe_security_groups(GroupIds=[groups["back"]])["SecurityGroups"][0]["IpPermissions"]
    ec2.revoke_security_group_ingress(GroupId=groups["back"], IpPermissions=permissions)
    expect(verdict).to_contain_text("It does not pass")
    ec2.authorize_security_group_ingress(GroupId=groups["back"], IpPermissions=permissions)
    expect(verdict).to_contain_text("It passes")
    # The address of this page leads here again, turned around by a button.
    page.reload()
    expect(verdict).to_contain_text("It passes")
    page.get_by_role("button", name="Turn around").click()
    expect(verdict).to_contain_text("It does not pass")
    page.get_by_role("button", name="Choose anew").click()
    expect(verdict).to_have_count(0)


def test_the_internet_is_one_of_two(portside: Instance, groups: dict[str, str], visit: Callable[..., Console]) -> None:
    """What is beyond the VPC can be chosen, too; without a way out of the machine nothing reaches it, which is said."""
    console = visit(dark=True)
    page = console.open(f"networks/{portside.vpc()}")
    thing(page, "Task back").click()
    thing(page, "The internet, beyond the VPC").click()
    verdict = page.get_by_role("status", name="Verdict")
    expect(verdict).to_contain_text("It does not pass")
    expect(page.get_by_role("textbox", name="To")).to_have_value("203.0.113.1")
    console.accessible()


def test_the_drawing_follows(portside: Instance, groups: dict[str, str], visit: Callable[..., Console]) -> None:
    """A task that starts appears in the drawing, and goes from it when it has stopped."""
    console = visit()
    page = console.open(f"networks/{portside.vpc()}")
    thing(page, "Task back").wait_for()
    task = portside.run_task("sleeps", cluster="shop", group="passing-by")
    thing(page, "Task passing-by").wait_for()
    portside.client("ecs").stop_task(cluster="shop", task=task)
    expect(thing(page, "Task passing-by")).to_have_count(0)


def test_a_groups_rules_are_added_and_removed(
    portside: Instance, groups: dict[str, str], visit: Callable[..., Console]
) -> None:
    """A group is made, given a rule and robbed of it by forms that show the command; what is refused is told."""
    ec2 = portside.client("ec2")
    console = visit()
    page = console.open(f"networks/{portside.vpc()}")
    page.get_by_role("button", name="Create security group").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name", exact=True).fill("made-here")
    form.get_by_label("Description", exact=True).fill("by a form")
    expect(form.get_by_label("Command", exact=True)).to_contain_text("aws ec2 create-security-group")
    console.accessible()
    form.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("heading", name="made-here").wait_for()
    group = page.url.partition("/security-groups/")[2].partition("?")[0]
    page.get_by_role("button", name="Add a rule").first.click()
    form.get_by_label("Ports", exact=True).fill("8000-8010")
    form.get_by_label("Block", exact=True).fill("10.0.0.0/33")
    form.get_by_role("button", name="Add", exact=True).click()
    form.get_by_text("InvalidParameterValue").first.wait_for()
    form.get_by_label("Block", exact=True).fill("10.0.0.0/8")
    expect(form.get_by_label("Command", exact=True)).to_contain_text("authorize-security-group-ingress")
    console.accessible()
    form.get_by_role("button", name="Add", exact=True).click()
    row = console.row("tcp 8000-8010")
    expect(row).to_contain_text("10.0.0.0/8")
    (permission,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    assert (permission["FromPort"], permission["ToPort"]) == (8000, 8010)
    console.accessible()
    row.get_by_role("button", name="Remove").click()
    form.get_by_role("button", name="Remove", exact=True).click()
    expect(row).to_have_count(0)
    page.go_back()
    page.get_by_role("button", name="Delete made-here").click()
    form.get_by_role("button", name="Delete", exact=True).click()
    expect(console.row("made-here")).to_have_count(0)
    page = console.open(f"security-groups/{groups['back']}")
    expect(console.row("Task back")).to_be_visible()


def test_an_address_is_allocated_and_released(portside: Instance, visit: Callable[..., Console]) -> None:
    """An Elastic address comes by a form and goes by one."""
    console = visit()
    page = console.open("networks")
    page.get_by_role("button", name="Allocate an address").click()
    form = page.get_by_role("dialog")
    expect(form.get_by_label("Command", exact=True)).to_contain_text("aws ec2 allocate-address")
    form.get_by_role("button", name="Allocate", exact=True).click()
    row = console.row("eipalloc-")
    expect(row).to_contain_text("Free")
    row.get_by_role("button", name="Release").click()
    form.get_by_role("button", name="Release", exact=True).click()
    expect(row).to_have_count(0)


def test_three_hundred_tasks_are_a_drawing_that_can_be_read(
    portside: Instance, groups: dict[str, str], visit: Callable[..., Console]
) -> None:
    """Three hundred tasks of twenty services in a subnet: each service once, twelve at first, all when asked for."""
    console = visit()

    def crowded(route: Any) -> None:
        answer = route.fetch()
        document = answer.json()
        (subnet,) = (each for each in document["vpcs"][0]["subnets"] if each["interfaces"])
        subnet["interfaces"] = [
            {
                **subnet["interfaces"][0],
                "id": f"eni-{at}",
                "holder": {"kind": "task", "name": f"service:s{at % 20:02}", "id": f"{at:032}", "cluster": "shop"},
            }
            for at in range(300)
        ]
        route.fulfill(response=answer, body=json.dumps(document))

    console.page.route("**/own/network", crowded)
    page = console.open(f"networks/{portside.vpc()}")
    thing(page, "Task s00, 15 of them").wait_for()
    things = page.get_by_role("button", name="of them")
    expect(things).to_have_count(12)
    console.accessible()
    page.get_by_role("button", name="Show 8 more").click()
    expect(things).to_have_count(20)


def test_instances_balancers_and_gateways_are_drawn(
    portside: Instance, groups: dict[str, str], visit: Callable[..., Console]
) -> None:
    """A container instance with its tasks, a load balancer and a NAT gateway stand in their subnets, which tell where
    they lead; a network ACL between two is named, and its entry that stops a packet. All of it on a phone, too."""
    ec2, ecs, elb = portside.client("ec2"), portside.client("ecs"), portside.client("elbv2")
    home, second, third = portside.subnets()[:3]
    ecs.create_cluster()
    launched = ec2.run_instances(
        ImageId=AMI,
        InstanceType="t3.small",
        MinCount=1,
        MaxCount=1,
        SubnetId=second,
        SecurityGroupIds=[groups["front"]],
    )["Instances"][0]["InstanceId"]
    wait_for(lambda: ecs.list_container_instances()["containerInstanceArns"], timeout_s=60, what="the instance")
    ecs.register_task_definition(
        family="bridged",
        requiresCompatibilities=["EC2"],
        containerDefinitions=[
            {"name": "main", "image": IMAGE, "memory": 64, "stopTimeout": 2, "command": ["sleep", "100000"]}
        ],
    )
    task = ecs.run_task(taskDefinition="bridged", launchType="EC2", count=2)["tasks"][0]["taskArn"]
    portside.wait_task(task, "RUNNING")
    balancer = elb.create_load_balancer(Name="edge", Subnets=[home, second])["LoadBalancers"][0]["LoadBalancerArn"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    gateway = ec2.create_nat_gateway(SubnetId=home, AllocationId=address)["NatGateway"]["NatGatewayId"]
    ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[gateway], WaiterConfig={"Delay": 1})
    table = ec2.create_route_table(VpcId=portside.vpc())["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gateway)
    ec2.associate_route_table(RouteTableId=table, SubnetId=third)
    acl = ec2.create_network_acl(VpcId=portside.vpc())["NetworkAcl"]["NetworkAclId"]
    default = ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [second]}])
    association = next(
        each["NetworkAclAssociationId"]
        for each in default["NetworkAcls"][0]["Associations"]
        if each["SubnetId"] == second
    )
    ec2.replace_network_acl_association(AssociationId=association, NetworkAclId=acl)

    console = visit(width=400)
    page = console.open(f"networks/{portside.vpc()}")
    thing(page, f"NAT gateway {gateway}").wait_for()
    expect(page.get_by_role("group", name="What is in")).to_contain_text(f"out by {gateway}")
    expect(thing(page, "Balancer edge")).to_have_count(2)
    thing(page, f"Instance {launched}, 2 tasks").click()
    back = console.row("Task back")
    expect(back).to_contain_text("tcp 8080")
    expect(back).to_contain_text("Stand between")
    console.accessible()
    thing(page, "Task back").click()
    verdict = page.get_by_role("status", name="Verdict")
    expect(verdict).to_contain_text("It does not pass")
    expect(verdict).to_contain_text(f"no outbound entry of {acl}")
    console.accessible()
    page.get_by_role("button", name="Choose anew").click()
    thing(page, "Balancer edge").first.click()
    page.get_by_role("link", name="edge", exact=True).click()
    page.get_by_role("heading", name="edge", exact=True).wait_for()

    # From a task's page to where it stands, and on a wider screen.
    console = visit()
    ours = ecs.list_tasks(cluster="shop", serviceName="front")["taskArns"][0]
    page = console.open(f"clusters/shop/tasks/{ours.rpartition('/')[2]}")
    page.get_by_role("link", name=re.compile("^172[.]31[.]")).click()
    front = thing(page, "Task front, 2 of them")
    expect(front).to_have_attribute("aria-pressed", "true")
    expect(console.row("Task back")).to_contain_text("tcp 8080")
    console.picture("network")
    page = console.open("networks/eni-0")
    console.see("There is no interface eni-0")

    elb.delete_load_balancer(LoadBalancerArn=balancer)
    ec2.terminate_instances(InstanceIds=[launched])
    ec2.delete_nat_gateway(NatGatewayId=gateway)
