"""The console's forms for what a VPC is made of, in a browser against a real Portside."""

from collections.abc import Callable, Iterator

import pytest
from console_lab import Console, choose
from playwright.sync_api import expect

from portside.testing.instance import REGION, Instance, instance

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    with instance() as running:
        yield running


def test_a_network_is_made_and_taken_down(portside: Instance, visit: Callable[..., Console]) -> None:
    """A VPC, its subnet, its way to the internet and a NAT gateway come by forms that show their commands, what is
    refused is told, and all of it goes by forms again."""
    ec2 = portside.client("ec2")
    console = visit()
    page = console.open("networks")
    form = page.get_by_role("dialog")
    command = form.get_by_label("Command", exact=True)

    def send(word: str) -> None:
        form.get_by_role("button", name=word, exact=True).click()
        expect(form).to_have_count(0)

    page.get_by_role("button", name="Create VPC").click()
    form.get_by_label("Name", exact=True).fill("shop")
    form.get_by_label("Block", exact=True).fill("10.7.0.0")
    expect(form.get_by_role("button", name="Create", exact=True)).to_be_disabled()
    form.get_by_label("Block", exact=True).fill("10.7.0.0/8")
    form.get_by_role("button", name="Create", exact=True).click()
    form.get_by_text("InvalidVpc.Range").first.wait_for()
    form.get_by_label("Block", exact=True).fill("10.7.0.0/16")
    expect(command).to_contain_text("aws ec2 create-vpc")
    console.accessible()
    send("Create")
    page.get_by_role("heading", name="shop (vpc-").wait_for()
    vpc = page.url.partition("/networks/")[2].partition("?")[0]
    (made,) = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    assert made["CidrBlock"] == "10.7.0.0/16"
    assert made["Tags"] == [{"Key": "Name", "Value": "shop"}]
    # Nothing is in it yet, which is said.
    for words in ("No subnets", "No internet gateways", "No NAT gateways"):
        console.see(words)
    console.accessible()

    page.get_by_role("button", name="Create subnet").click()
    choose(form, "Zone", f"{REGION}b")
    form.get_by_label("Block", exact=True).fill("10.8.0.0/24")
    form.get_by_role("button", name="Create", exact=True).click()
    form.get_by_text("InvalidSubnet.Range").first.wait_for()
    form.get_by_label("Block", exact=True).fill("10.7.1.0/24")
    expect(command).to_contain_text(f"--availability-zone {REGION}b")
    console.accessible()
    send("Create")
    expect(console.row("10.7.1.0/24")).to_contain_text(f"{REGION}b")
    (subnet,) = (each["SubnetId"] for each in ec2.describe_subnets(Filters=in_vpc(vpc))["Subnets"])
    page.get_by_role("button", name=f"Change {subnet}").click()
    form.get_by_label("Instances that are launched in it get a public address").check()
    expect(command).to_contain_text("--map-public-ip-on-launch")
    send("Change")
    expect(console.row("10.7.1.0/24").get_by_text("Given", exact=True)).to_be_visible()
    assert ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["MapPublicIpOnLaunch"]

    page.get_by_role("button", name="Create internet gateway").click()
    form.get_by_label("Name", exact=True).fill("way-out")
    expect(command).to_contain_text("aws ec2 create-internet-gateway")
    send("Create")
    expect(console.row("way-out")).to_contain_text("Free")
    page.get_by_role("button", name="Attach igw-").click()
    expect(command).to_contain_text("aws ec2 attach-internet-gateway")
    console.accessible()
    send("Attach")
    expect(console.row("way-out")).to_contain_text("Attached")
    (gateway,) = (
        each["InternetGatewayId"]
        for each in ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [vpc]}])[
            "InternetGateways"
        ]
    )

    page.get_by_role("button", name="Create route table").click()
    form.get_by_label("Name", exact=True).fill("outward")
    expect(command).to_contain_text("aws ec2 create-route-table")
    send("Create")
    tables = ec2.describe_route_tables(Filters=in_vpc(vpc))["RouteTables"]
    (table,) = (each["RouteTableId"] for each in tables if not any(one["Main"] for one in each["Associations"]))
    expect(console.row(f"outward ({table})")).to_be_visible()
    page.get_by_role("button", name=f"Add a route to {table}").click()
    form.get_by_label("Destination", exact=True).fill("10.7.1.0/24")
    choose(form, "By", gateway)
    form.get_by_role("button", name="Add", exact=True).click()
    form.get_by_text("InvalidParameterValue").first.wait_for()
    form.get_by_label("Destination", exact=True).fill("0.0.0.0/0")
    expect(command).to_contain_text(f"--gateway-id {gateway}")
    console.accessible()
    send("Add")
    page.get_by_role("button", name=f"Associate {table}", exact=True).click()
    choose(form, "Subnet", subnet)
    expect(command).to_contain_text("aws ec2 associate-route-table")
    send("Associate")
    # The subnet's own row says where it leads now.
    expect(console.row("10.7.1.0/24").filter(has_text=f"0.0.0.0/0 by {gateway}")).to_be_visible()

    address = ec2.allocate_address(Domain="vpc")
    page.get_by_role("button", name="Create NAT gateway").click()
    choose(form, "Subnet", subnet)
    choose(form, "Elastic address", address["PublicIp"])
    expect(command).to_contain_text(f"--allocation-id {address['AllocationId']}")
    console.accessible()
    send("Create")
    nat = console.row("nat-").filter(has_text=address["PublicIp"])
    expect(nat).to_contain_text("Available")
    console.accessible()

    # And all of it goes again; what is still needed is refused.
    nat.get_by_role("button", name="Delete").click()
    send("Delete")
    expect(nat).to_have_count(0)
    page.get_by_role("button", name=f"Remove the route to 0.0.0.0/0 of {table}").click()
    expect(command).to_contain_text("aws ec2 delete-route")
    send("Remove")
    page.get_by_role("button", name=f"Delete {table}").click()
    form.get_by_role("button", name="Delete", exact=True).click()
    form.get_by_text("DependencyViolation").first.wait_for()
    form.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name=f"Disassociate {subnet}").click()
    expect(command).to_contain_text("aws ec2 disassociate-route-table")
    send("Disassociate")
    page.get_by_role("button", name=f"Delete {table}").click()
    send("Delete")
    page.get_by_role("button", name=f"Detach {gateway}").click()
    send("Detach")
    page.get_by_role("button", name=f"Delete {gateway}").click()
    send("Delete")
    page.get_by_role("button", name=f"Delete {subnet}").click()
    send("Delete")
    console.see("No subnets")
    page = console.open("networks")
    expect(console.row(f"shop ({vpc})")).to_contain_text("10.7.0.0/16")
    page.get_by_role("button", name=f"Delete {vpc}").click()
    expect(command).to_contain_text("aws ec2 delete-vpc")
    console.accessible()
    send("Delete")
    expect(console.row(vpc)).to_have_count(0)
    assert vpc not in [each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"]]
    page = console.open(f"networks/{vpc}")
    console.see(f"There is no VPC {vpc}")


def in_vpc(vpc: str) -> list[dict[str, object]]:
    return [{"Name": "vpc-id", "Values": [vpc]}]
