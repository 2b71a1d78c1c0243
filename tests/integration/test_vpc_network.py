"""Whole networks made through the API, as infrastructure tools make them: tasks in them, their end, and kill -9."""

import contextlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from portside.domain import ecs_image
from portside.settings import Settings
from portside.testing import leak
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, REGION, Instance
from portside.testing.wait import free_port, wait_for

pytestmark = pytest.mark.integration

WORLD = "203.0.113.1"
ANYWHERE = "0.0.0.0/0"


def inside(pin: Path, *words: str, timeout_s: float = 30) -> str:
    done = subprocess.run(
        ["nsenter", f"--net={pin}", *words], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    return done.stdout


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A namespace that plays the world outside: whoever connects to 203.0.113.1 is told its own address."""
    pin = tmp_path / "outside"
    pin.touch()
    subprocess.run(["unshare", f"--net={pin}", "ip", "link", "set", "lo", "up"], check=True, timeout=30)
    inside(pin, "ip", "addr", "add", f"{WORLD}/32", "dev", "lo")
    program = (
        "import socket\n"
        "listener = socket.create_server(('0.0.0.0', 80))\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    connection, peer = listener.accept()\n"
        "    connection.sendall(peer[0].encode())\n"
        "    connection.close()\n"
    )
    with subprocess.Popen(
        ["nsenter", f"--net={pin}", "python3", "-c", program], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield pin
        server.kill()
    subprocess.run(["umount", str(pin)], check=True, timeout=30)


@pytest.fixture
def portside(tmp_path: Path, outside: Path, request: pytest.FixtureRequest) -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    settings = Settings(data_dir=tmp_path / "data", port=free_port(), egress=str(outside), hosts_file=None)
    running = Instance(settings, getattr(request, "param", None))
    words = (settings.instance_id, str(settings.data_dir))
    before = leak.snapshot(*words)
    try:
        running.start()
        running.ready()
        running.client("ecs").create_cluster(clusterName="default")
        yield running
    finally:
        running.destroy()
    left = leak.wait_for_none(before, *words)
    assert not left, f"left behind: {left}"
    assert inside(outside, "ip", "-o", "link").count("\n") == 1


class Stack:
    """A VPC with a public and a private subnet, as everybody builds it."""

    def __init__(self, portside: Instance) -> None:
        self.portside, self.ec2 = portside, portside.client("ec2")
        ec2 = self.ec2
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.public, self.private = (
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.0.{n}.0/24")["Subnet"]["SubnetId"] for n in (1, 2)
        )
        self.gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        self.tables = []
        for subnet in (self.public, self.private):
            table = ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
            ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
            self.tables.append(table)
        ec2.create_route(RouteTableId=self.tables[0], DestinationCidrBlock=ANYWHERE, GatewayId=self.gateway)

    def add_nat(self) -> tuple[str, str]:
        """A NAT gateway that is available, and the private subnet's route to it. Returns: its id and public address."""
        made = self.ec2.allocate_address(Domain="vpc")
        nat = self.ec2.create_nat_gateway(SubnetId=self.public, AllocationId=made["AllocationId"])
        nat_id = nat["NatGateway"]["NatGatewayId"]
        self.ec2.get_waiter("nat_gateway_available").wait(
            NatGatewayIds=[nat_id], WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
        )
        self.ec2.create_route(RouteTableId=self.tables[1], DestinationCidrBlock=ANYWHERE, NatGatewayId=nat_id)
        return nat_id, made["PublicIp"]

    def remove_nat(self, nat_id: str) -> None:
        self.ec2.delete_nat_gateway(NatGatewayId=nat_id)
        self.ec2.get_waiter("nat_gateway_deleted").wait(
            NatGatewayIds=[nat_id], WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
        )

    def task(self, subnet: str, *, public: bool = False) -> Path:
        """A task that runs in a subnet. Returns: its network namespace."""
        answer = self.portside.client("ecs").run_task(
            taskDefinition="loop",
            launchType="FARGATE",
            networkConfiguration={
                "awsvpcConfiguration": {
                    "subnets": [subnet],
                    "assignPublicIp": "ENABLED" if public else "DISABLED",
                }
            },
        )
        arn = answer["tasks"][0]["taskArn"]
        self.portside.wait_task(arn, "RUNNING")
        (pin,) = (self.portside.settings.run_dir / "netns").glob(f"task-{arn.rpartition('/')[2]}-*")
        return pin


def told(task: Path) -> str:
    """What the world says a task's address is; nothing where there is no way out."""
    program = f"import socket; print(socket.create_connection(('{WORLD}', 80), 0.5).recv(100).decode(), end='')"
    return inside(task, "python3", "-c", program)


def pins(portside: Instance, kind: str) -> set[str]:
    return {each.name for each in (portside.settings.run_dir / "netns").glob(f"{kind}-*")}


def test_public_and_private_subnets(portside: Instance, outside: Path) -> None:
    """A Fargate task in a private subnet gets out as the NAT gateway does and loses its way with it; one in the public
    subnet with a public address gets out as that, and one without does not. All of it ends in the order in which tools
    delete it, and then nothing is left of the VPC."""
    portside.register("loop", {"command": ["sleep", "600"]})
    stack = Stack(portside)
    private = stack.task(stack.private)
    assert told(private) == ""
    nat_id, address = stack.add_nat()
    wait_for(lambda: told(private) == address, timeout_s=10, what="the way out by the NAT gateway")
    public = stack.task(stack.public, public=True)
    assert told(public).startswith("198.1")
    assert told(public) != address
    assert told(stack.task(stack.public)) == ""
    portside.kill()
    assert told(private) == address, "networks go on without the daemon"
    portside.start()
    portside.ready()
    assert told(private) == address
    (table,) = stack.ec2.describe_route_tables(RouteTableIds=[stack.tables[1]])["RouteTables"]
    stack.remove_nat(nat_id)
    assert told(private) == ""
    (table,) = stack.ec2.describe_route_tables(RouteTableIds=[stack.tables[1]])["RouteTables"]
    assert [each["State"] for each in table["Routes"]] == ["active", "blackhole"]
    ecs = portside.client("ecs")
    for arn in ecs.list_tasks()["taskArns"]:
        ecs.stop_task(task=arn)
        portside.wait_task(arn, "STOPPED")
    take_down(stack)
    wait_for(lambda: pins(portside, "vpc") == set(), timeout_s=10, what="the VPC's end")
    assert pins(portside, "nat") == set()


def test_no_way_out_by_the_list(portside: Instance) -> None:
    """A subnet's network ACL without entries cuts off a task that runs; back under the default list it is well."""
    portside.register("loop", {"command": ["sleep", "600"]})
    stack = Stack(portside)
    task = stack.task(stack.public, public=True)
    assert told(task)
    closed = stack.ec2.create_network_acl(VpcId=stack.vpc)["NetworkAcl"]["NetworkAclId"]
    (default,) = stack.ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [stack.public]}])[
        "NetworkAcls"
    ]
    association = next(
        each["NetworkAclAssociationId"] for each in default["Associations"] if each["SubnetId"] == stack.public
    )
    replaced = stack.ec2.replace_network_acl_association(AssociationId=association, NetworkAclId=closed)
    wait_for(lambda: told(task) == "", timeout_s=10, what="the list to count")
    stack.ec2.replace_network_acl_association(
        AssociationId=replaced["NewAssociationId"], NetworkAclId=default["NetworkAclId"]
    )
    wait_for(lambda: told(task) != "", timeout_s=10, what="the default list to count")


def test_two_vpcs_with_one_block(portside: Instance) -> None:
    """Two VPCs have the same addresses: each task gets out as itself, and neither reaches the other."""
    portside.register("loop", {"command": ["sleep", "600"]})
    stacks = [Stack(portside), Stack(portside)]
    tasks = [stack.task(stack.public, public=True) for stack in stacks]
    addresses = [inside(task, "ip", "-o", "-4", "addr", "show", "eth0").split()[3] for task in tasks]
    assert addresses[0] == addresses[1]
    told_to = [told(task) for task in tasks]
    assert all(told_to)
    assert told_to[0] != told_to[1]
    assert told(stacks[0].task(stacks[0].public)) == "", "one without a public address"


def test_reach_of_tasks(portside: Instance) -> None:
    """`portside reach` names the route or rule that stops a packet between real tasks and the world, and says so by its
    exit code; what it lets pass, passes."""

    def reach(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "portside.cli", "reach", *words, "--data-dir", str(portside.settings.data_dir)],
            env={**os.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    portside.register("loop", {"command": ["sleep", "600"]})
    stack = Stack(portside)
    private, public = stack.task(stack.private), stack.task(stack.public, public=True)
    first, second = (pin.name.split("-")[1] for pin in (private, public))
    code, words = reach(first, WORLD, "80")
    assert (code, told(private)) == (3, "")
    assert f"has no route to {WORLD}" in words
    assert stack.tables[1] in words
    nat_id, address = stack.add_nat()
    wait_for(lambda: told(private) == address, timeout_s=10, what="the way out")
    code, words = reach(first, WORLD, "80")
    assert (code, f"it is seen as {address}, of {nat_id}" in words) == (0, True)
    code, words = reach(second, WORLD, "80")
    assert (code, told(public)) == (0, words.rpartition("seen as ")[2].strip())
    code, words = reach(WORLD, second, "80")
    assert (code, "no ingress rule of sg-" in words) == (3, True)
    code, words = reach(second, first, "--protocol", "icmp")
    assert (code, "ingress rule sgr-" in words) == (0, True)
    code, words = reach(second, "10.0.2.99", "80")
    assert (code, "nobody in" in words) == (1, True)
    assert reach("nothing", second, "80")[0] == 1
    assert reach(second, WORLD)[0] == 1


def test_network_as_a_tree(portside: Instance) -> None:
    """`portside network` shows subnets with their routes and what is in them, and the rules of groups."""

    def shown(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "portside.cli", "network", *words, "--data-dir", str(portside.settings.data_dir)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    portside.register("loop", {"command": ["sleep", "600"]})
    assert shown().startswith("No VPC")
    assert "172.31.0.0/16" in shown("--all")
    stack = Stack(portside)
    task = stack.task(stack.private)
    words = shown()
    assert f"10.0.2.4 task {task.name.split('-')[1]}, in default" in words
    assert "no way out" in words
    assert "172.31.0.0/16" not in words
    nat_id, address = stack.add_nat()
    words = shown()
    assert f"0.0.0.0/0 → {nat_id}" in words
    assert f"NAT gateway {nat_id}, public {address}" in words
    assert "out: everything with 0.0.0.0/0" in words
    stack.remove_nat(nat_id)
    assert f"0.0.0.0/0 → nowhere: {nat_id} is gone" in shown()


@pytest.mark.parametrize("portside", [{"PORTSIDE_STRICT_PULLS": "1"}], indirect=True)
def test_strict_pulls(portside: Instance) -> None:
    """Where pulls go by the subnet's routes, a task in one without a way out does not start, in AWS's words with the
    missing route; images of no registry need none."""
    registry = f"127.0.0.1:{free_port()}/nowhere:1"  # nobody listens there
    portside.register("far", {"image": registry})
    portside.register("loop", {"command": ["sleep", "600"]})
    stack = Stack(portside)
    stack.task(stack.private)  # an image under localhost/

    def reason(subnet: str, public: str = "DISABLED") -> str:
        arn = portside.run_task(
            "far",
            networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet], "assignPublicIp": public}},
        )
        return str(portside.wait_task(arn, "STOPPED")["stoppedReason"])

    said = reason(stack.private)
    assert said.startswith(
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve"
    )
    assert f"route table {stack.tables[1]} of {stack.private} has no route to 0.0.0.0/0" in said
    assert "no public IP" in reason(stack.public)
    assert "route" not in reason(stack.public, "ENABLED"), "asked by way of the internet gateway, nobody answered"
    stack.add_nat()
    assert "route" not in reason(stack.private)


def test_elastic_address_of_an_instance(portside: Instance, outside: Path) -> None:
    """An instance gets an Elastic address while it runs, keeps it over a stop, and gives it back when it ends; its
    interface's groups are changed as it runs."""
    stack = Stack(portside)
    ec2 = stack.ec2
    image = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")
    (launched,) = ec2.run_instances(
        ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=stack.public
    )["Instances"]
    instance_id = launched["InstanceId"]

    def reaches(state: str) -> None:
        wait_for(
            lambda: (
                ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]["State"]["Name"]
                == state
            ),
            timeout_s=30,
            what=state,
        )

    reaches("running")
    home = portside.settings.run_dir / "netns" / f"ec2-{instance_id}"
    assert told(home) == ""
    made = ec2.allocate_address()
    association = ec2.associate_address(AllocationId=made["AllocationId"], InstanceId=instance_id)["AssociationId"]
    wait_for(lambda: told(home) == made["PublicIp"], timeout_s=10, what="the Elastic address")
    ec2.stop_instances(InstanceIds=[instance_id])
    reaches("stopped")
    ec2.start_instances(InstanceIds=[instance_id])
    reaches("running")
    wait_for(lambda: told(home) == made["PublicIp"], timeout_s=10, what="the address after a stop")
    ec2.disassociate_address(AssociationId=association)
    wait_for(lambda: told(home) == "", timeout_s=10, what="no address")
    ec2.associate_address(AllocationId=made["AllocationId"], InstanceId=instance_id)
    wait_for(lambda: told(home) == made["PublicIp"], timeout_s=10, what="the Elastic address again")
    closed = ec2.create_security_group(GroupName="closed", Description="closed", VpcId=stack.vpc)["GroupId"]
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": ANYWHERE}]}
    ec2.revoke_security_group_egress(GroupId=closed, IpPermissions=[everything])
    (eni,) = ec2.describe_network_interfaces(Filters=[{"Name": "attachment.instance-id", "Values": [instance_id]}])[
        "NetworkInterfaces"
    ]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni["NetworkInterfaceId"], Groups=[closed])
    wait_for(lambda: told(home) == "", timeout_s=10, what="the group without a way out")
    ec2.terminate_instances(InstanceIds=[instance_id])
    reaches("terminated")
    (kept,) = ec2.describe_addresses()["Addresses"]
    assert "AssociationId" not in kept
    ec2.release_address(AllocationId=kept["AllocationId"])
    assert routed(outside) == set()


def take_down(stack: Stack) -> None:
    """All that tools made, deleted in their order. Twice named where a kill may have kept one from being made."""
    ec2 = stack.ec2
    here = [{"Name": "vpc-id", "Values": [stack.vpc]}]
    for address in ec2.describe_addresses()["Addresses"]:
        ec2.release_address(AllocationId=address["AllocationId"])
    for table in ec2.describe_route_tables(Filters=here)["RouteTables"]:
        for each in table["Associations"]:
            if not each["Main"]:
                ec2.disassociate_route_table(AssociationId=each["RouteTableAssociationId"])
        if not any(each["Main"] for each in table["Associations"]):
            ec2.delete_route_table(RouteTableId=table["RouteTableId"])
    for subnet in ec2.describe_subnets(Filters=here)["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for acl in ec2.describe_network_acls(Filters=here)["NetworkAcls"]:
        if not acl["IsDefault"]:
            ec2.delete_network_acl(NetworkAclId=acl["NetworkAclId"])
    ec2.detach_internet_gateway(InternetGatewayId=stack.gateway, VpcId=stack.vpc)
    ec2.delete_internet_gateway(InternetGatewayId=stack.gateway)
    ec2.delete_vpc(VpcId=stack.vpc)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_any_moment(portside: Instance, outside: Path, seed: int) -> None:
    """Killed again and again while NAT gateways, routes, lists and VPCs come and go, Portside leaves on the machine
    what it remembers: namespaces, routes inside, and addresses outside; and nothing once all is deleted."""
    rng = random.Random(seed)
    stack = Stack(portside)
    ec2 = stack.ec2
    stack.add_nat()
    for _ in range(6):
        doomed = threading.Timer(rng.uniform(0, 0.3), portside.kill)
        doomed.start()
        with contextlib.suppress(BotoCoreError, ClientError, ResponseParserError):
            while True:
                change(stack, rng)
        doomed.join()
        portside.start()
    portside.ready()

    def nats() -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for each in ec2.describe_nat_gateways()["NatGateways"]:
            found.setdefault(each["State"], []).append(each)
        return found

    wait_for(lambda: set(nats()) <= {"available", "deleted"}, timeout_s=30, what="everything has come true")
    live = nats().get("available", [])
    wait_for(
        lambda: pins(portside, "nat") == {f"nat-{stack.vpc}-{each['NatGatewayId'][4:]}" for each in live},
        timeout_s=10,
        what="the namespaces of the gateways",
    )
    vpcs = {each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"]}
    assert pins(portside, "vpc") <= vpcs
    public = {each["NatGatewayAddresses"][0]["PublicIp"] for each in live}
    wait_for(lambda: routed(outside) == public, timeout_s=10, what="the addresses outside")
    wait_for(lambda: kernel_routes(portside, stack) == wanted_routes(ec2, stack), timeout_s=10, what="the routes")
    interfaces = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert {each["NetworkInterfaceId"] for each in interfaces} == {
        each["NatGatewayAddresses"][0]["NetworkInterfaceId"] for each in live
    }
    for each in live:
        stack.remove_nat(each["NatGatewayId"])
    assert routed(outside) == set()
    for vpc in vpcs - {stack.vpc}:
        if not next(iter(ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]))["IsDefault"]:
            ec2.delete_vpc(VpcId=vpc)
    take_down(stack)
    wait_for(lambda: pins(portside, "vpc") | pins(portside, "nat") == set(), timeout_s=10, what="the end of all")


def change(stack: Stack, rng: random.Random) -> None:
    """One change at random. Raises: whatever the API says to one that can not be."""
    ec2 = stack.ec2
    match rng.randrange(6):
        case 0:
            allocation = ec2.allocate_address()["AllocationId"]
            made = ec2.create_nat_gateway(SubnetId=stack.public, AllocationId=allocation)["NatGateway"]
            route = {"RouteTableId": stack.tables[1], "NatGatewayId": made["NatGatewayId"]}
            ec2.create_route(**route, DestinationCidrBlock=f"203.0.{rng.randrange(100)}.0/24")
        case 1:
            known = ec2.describe_nat_gateways(Filter=[{"Name": "state", "Values": ["available", "pending"]}])
            for each in known["NatGateways"][:1]:
                ec2.delete_nat_gateway(NatGatewayId=each["NatGatewayId"])
        case 2:
            ec2.delete_vpc(VpcId=ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])
        case 3:
            block = f"192.0.{rng.randrange(200)}.0/24"
            ec2.create_route(RouteTableId=stack.tables[0], DestinationCidrBlock=block, GatewayId=stack.gateway)
        case 4:
            (table,) = ec2.describe_route_tables(RouteTableIds=[stack.tables[0]])["RouteTables"]
            for each in table["Routes"][2:3]:
                ec2.delete_route(RouteTableId=stack.tables[0], DestinationCidrBlock=each["DestinationCidrBlock"])
        case _:
            block = f"10.0.{rng.randrange(10, 250)}.0/24"
            ec2.create_subnet(VpcId=stack.vpc, CidrBlock=block)


def routed(outside: Path) -> set[str]:
    """The public addresses that lead into a VPC."""
    return {line.split()[0] for line in inside(outside, "ip", "route").splitlines() if line.startswith("198.1")}


def kernel_routes(portside: Instance, stack: Stack) -> set[tuple[str, str]]:
    """(number of the table, destination) of a VPC's namespace."""
    pin = portside.settings.run_dir / "netns" / stack.vpc
    found = set()
    for line in inside(pin, "ip", "-4", "route", "show", "table", "all").splitlines():
        words = line.split()
        kinds = ("unreachable", "blackhole")
        destination = words[1] if words[0] in kinds else words[0]
        if "table" in words and words[words.index("table") + 1] not in ("local", "main", "default"):
            found.add((words[words.index("table") + 1], destination.replace("default", ANYWHERE)))
    return found


def wanted_routes(ec2: Any, stack: Stack) -> set[tuple[str, str]]:
    here = [{"Name": "vpc-id", "Values": [stack.vpc]}]
    tables = ec2.describe_route_tables(Filters=here)["RouteTables"]
    own = {each.get("SubnetId"): table for table in tables for each in table["Associations"]}
    found = set()
    for subnet in ec2.describe_subnets(Filters=here)["Subnets"]:
        octets = [int(each) for each in subnet["CidrBlock"].partition("/")[0].split(".")]
        number = str(int.from_bytes(bytes(octets), "big"))
        for route in own.get(subnet["SubnetId"], own[None])["Routes"]:
            if route.get("GatewayId") != "local":
                found.add((number, route["DestinationCidrBlock"]))
    return found
