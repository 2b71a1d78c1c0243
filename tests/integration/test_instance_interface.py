"""Interfaces attached to a running instance and secondary addresses, with real packets, over restarts and the end."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from test_container_instance import WEB, Fleet, get, inside

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        yield running


def addresses(netns: Any, interface: str) -> list[str]:
    """In the order of `ip addr`."""
    listed = inside(netns, "ip", "-4", "-o", "addr", "show", "dev", interface)
    return [line.split()[3].partition("/")[0] for line in listed.splitlines()]


def refusal(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def test_attached_and_detached(portside: Instance) -> None:
    """An interface with a second address is eth1 of a running instance at once: what listens there answers at each of
    its addresses and from it, under the interface's own groups; detached, it is available and answers no more."""
    fleet = Fleet(portside, 2)
    one, two = fleet.ids
    ec2 = fleet.ec2
    fleet.register("web", "host", WEB, {"containerPort": 8080})
    home = fleet.home_of(fleet.task("web"))
    other = two if home == one else one
    closed = ec2.create_security_group(GroupName="closed", Description="nobody", VpcId=portside.vpc())["GroupId"]
    # Of another subnet than the first one's: AWS asks for the zone only.
    zone = ec2.describe_subnets(SubnetIds=[fleet.subnet])["Subnets"][0]["AvailabilityZone"]
    further = ec2.create_subnet(VpcId=portside.vpc(), CidrBlock="172.31.250.0/24", AvailabilityZone=zone)["Subnet"]
    eni = ec2.create_network_interface(
        SubnetId=further["SubnetId"], Groups=[fleet.group], SecondaryPrivateIpAddressCount=1
    )["NetworkInterface"]
    own = [each["PrivateIpAddress"] for each in eni["PrivateIpAddresses"]]
    attachment = ec2.attach_network_interface(
        NetworkInterfaceId=eni["NetworkInterfaceId"], InstanceId=home, DeviceIndex=1
    )["AttachmentId"]

    def answers() -> list[bool]:
        return [get(fleet.netns(other), each, 8080) == "web" for each in own]

    wait_for(lambda: answers() == [True, True], timeout_s=10, what="answers at the interface attached")
    assert addresses(fleet.netns(home), "eth1") == own
    # A connection from its address leaves by it.
    route = inside(fleet.netns(home), "ip", "route", "get", fleet.address(other), "from", own[1])
    assert " dev eth1 " in route
    shown = ec2.describe_instances(InstanceIds=[home])["Reservations"][0]["Instances"][0]["NetworkInterfaces"]
    assert [(each["Attachment"]["DeviceIndex"], each["Attachment"]["DeleteOnTermination"]) for each in shown] == [
        (0, True),
        (1, False),
    ]
    # Its groups are its own.
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni["NetworkInterfaceId"], Groups=[closed])
    wait_for(lambda: answers() == [False, False], timeout_s=10, what="nobody is let in")
    assert get(fleet.netns(other), fleet.address(home), 8080) == "web"
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni["NetworkInterfaceId"], Groups=[fleet.group])
    wait_for(lambda: answers() == [True, True], timeout_s=10, what="let in again")
    # Portside dies and comes back: nothing was lost, and nothing is interrupted.
    portside.kill()
    assert answers() == [True, True]
    portside.start()
    wait_for(lambda: answers() == [True, True], timeout_s=10, what="answers after the restart")
    ec2.detach_network_interface(AttachmentId=attachment)
    wait_for(lambda: addresses(fleet.netns(home), "eth1") == [], timeout_s=10, what="the end of eth1")
    assert answers() == [False, False]
    assert inside(fleet.netns(home), "ip", "rule", "show", "priority", "1000") == ""
    (left,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[eni["NetworkInterfaceId"]])["NetworkInterfaces"]
    assert left["Status"] == "available"
    ec2.delete_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"])


def test_secondary_addresses_of_an_instance(portside: Instance) -> None:
    """They come and go while it runs, up to what its type takes; another interface may have one that was given back."""
    fleet = Fleet(portside, 2)
    one, two = fleet.ids
    ec2 = fleet.ec2
    fleet.register("web", "host", WEB, {"containerPort": 8080})
    home = fleet.home_of(fleet.task("web"))
    other = two if home == one else one
    first = ec2.describe_instances(InstanceIds=[home])["Reservations"][0]["Instances"][0]["NetworkInterfaces"][0]
    own, eni_id = fleet.address(home), first["NetworkInterfaceId"]
    given = [
        each["PrivateIpAddress"]
        for each in ec2.assign_private_ip_addresses(NetworkInterfaceId=eni_id, SecondaryPrivateIpAddressCount=2)[
            "AssignedPrivateIpAddresses"
        ]
    ]
    wait_for(
        lambda: [get(fleet.netns(other), each, 8080) for each in given] == ["web", "web"],
        timeout_s=10,
        what="answers at the new addresses",
    )
    assert addresses(fleet.netns(home), "eth0") == [own, *given]
    # A t3.small takes four addresses on an interface.
    more = {"NetworkInterfaceId": eni_id, "SecondaryPrivateIpAddressCount": 2}
    assert refusal(ec2.assign_private_ip_addresses, **more) == "PrivateIpAddressLimitExceeded"
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni_id, PrivateIpAddresses=[given[0]])
    wait_for(lambda: addresses(fleet.netns(home), "eth0") == [own, given[1]], timeout_s=10, what="its end")
    assert get(fleet.netns(other), given[0], 8080) == ""
    assert get(fleet.netns(other), given[1], 8080) == "web"
    # The same address on the other instance.
    elsewhere = ec2.describe_instances(InstanceIds=[other])["Reservations"][0]["Instances"][0]["NetworkInterfaces"][0]
    ec2.assign_private_ip_addresses(NetworkInterfaceId=elsewhere["NetworkInterfaceId"], PrivateIpAddresses=[given[0]])
    wait_for(lambda: given[0] in addresses(fleet.netns(other), "eth0"), timeout_s=10, what="the address there")
    fleet.register("other", "host", WEB, {"containerPort": 8080})
    assert fleet.home_of(fleet.task("other")) == other
    wait_for(lambda: get(fleet.netns(home), given[0], 8080) == "other", timeout_s=10, what="an answer from there")


def test_limits_and_the_end(portside: Instance) -> None:
    """An instance takes as many interfaces as its type has, tasks' own included; terminated, it leaves those that are
    not to be deleted with it, and nothing else."""
    fleet = Fleet(portside)
    (home,) = fleet.ids
    ec2, ecs = fleet.ec2, fleet.ecs
    enis = [
        ec2.create_network_interface(SubnetId=fleet.subnet, Groups=[fleet.group])["NetworkInterface"][
            "NetworkInterfaceId"
        ]
        for _ in range(3)
    ]
    attached = [
        ec2.attach_network_interface(NetworkInterfaceId=each, InstanceId=home, DeviceIndex=index)["AttachmentId"]
        for index, each in enumerate(enis[:2], start=1)
    ]
    at_three = {"NetworkInterfaceId": enis[2], "InstanceId": home, "DeviceIndex": 3}
    assert refusal(ec2.attach_network_interface, **at_three) == "AttachmentLimitExceeded"  # a t3.small has three
    fleet.register("own", "awsvpc", "exec sleep 600")
    network = {"awsvpcConfiguration": {"subnets": [fleet.subnet], "securityGroups": [fleet.group]}}
    ask = {"taskDefinition": "own", "launchType": "EC2", "networkConfiguration": network}
    assert [each["reason"] for each in ecs.run_task(**ask)["failures"]] == ["RESOURCE:ENI"]
    ec2.detach_network_interface(AttachmentId=attached[0])
    task = ecs.run_task(**ask)
    assert not task["failures"]
    portside.wait_task(task["tasks"][0]["taskArn"], "RUNNING")
    assert refusal(ec2.attach_network_interface, **at_three) == "AttachmentLimitExceeded"
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=enis[1], Attachment={"AttachmentId": attached[1], "DeleteOnTermination": True}
    )
    ecs.stop_task(task=task["tasks"][0]["taskArn"])
    portside.wait_task(task["tasks"][0]["taskArn"], "STOPPED")
    ec2.attach_network_interface(NetworkInterfaceId=enis[0], InstanceId=home, DeviceIndex=1)
    wait_for(lambda: addresses(fleet.netns(home), "eth1"), timeout_s=10, what="eth1")
    ec2.terminate_instances(InstanceIds=[home])
    fleet.wait([home], "terminated")
    left = {
        each["NetworkInterfaceId"]: each["Status"] for each in ec2.describe_network_interfaces()["NetworkInterfaces"]
    }
    assert left == {enis[0]: "available", enis[2]: "available"}
    assert not fleet.netns(home).exists()
