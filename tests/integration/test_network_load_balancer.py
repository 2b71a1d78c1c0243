"""Network Load Balancers whose flows the kernel carries: services, clients in the VPC and on the host."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_container_instance import EVERYONE

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import free_port, http_get, wait_for

pytestmark = pytest.mark.integration

WHO = (
    "mkdir -p /tmp/www/cgi-bin; cd /tmp/www; "
    'printf "#!/bin/sh\\necho; echo one \\$REMOTE_ADDR" > cgi-bin/who; chmod +x cgi-bin/who; '
    "exec httpd -f -p 8080 -h /tmp/www"
)
CHECK = {
    "HealthCheckIntervalSeconds": 5,
    "HealthCheckTimeoutSeconds": 2,
    "HealthyThresholdCount": 2,
    "UnhealthyThresholdCount": 2,
}


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        yield running


class Site:
    """A Network Load Balancer with one listener, a client task, and what reaches what."""

    def __init__(self, portside: Instance, protocol: str = "TCP", **group: Any) -> None:
        self.portside, self.elb, self.ecs = portside, portside.client("elbv2"), portside.client("ecs")
        self.port = free_port()
        self.ecs.create_cluster()
        ec2 = portside.client("ec2")
        self.group_id = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
        ec2.authorize_security_group_ingress(GroupId=self.group_id, IpPermissions=EVERYONE)
        self.balancer = self.elb.create_load_balancer(
            Name="net", Type="network", Subnets=portside.subnets()[:2], SecurityGroups=[self.group_id]
        )["LoadBalancers"][0]
        self.group = self.elb.create_target_group(
            Name="net",
            Protocol=protocol,
            Port=8080,
            VpcId=portside.vpc(),
            **{"TargetType": "ip", **CHECK, **group},
        )["TargetGroups"][0]["TargetGroupArn"]
        self.listener = self.elb.create_listener(
            LoadBalancerArn=self.balancer["LoadBalancerArn"],
            Protocol=protocol,
            Port=self.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}],
        )["Listeners"][0]["ListenerArn"]
        wait_for(self.is_active, timeout_s=60, what="the load balancer is active")

    def is_active(self) -> bool:
        arn = self.balancer["LoadBalancerArn"]
        return bool(
            self.elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]["State"]["Code"] == "active"
        )

    def set(self, **attributes: str) -> None:
        self.elb.modify_target_group_attributes(
            TargetGroupArn=self.group,
            Attributes=[{"Key": key.replace("__", "."), "Value": value} for key, value in attributes.items()],
        )

    def states(self) -> list[str]:
        found = self.elb.describe_target_health(TargetGroupArn=self.group)["TargetHealthDescriptions"]
        return sorted(str(each["TargetHealth"]["State"]) for each in found)

    def healthy(self, count: int) -> None:
        wait_for(lambda: self.states() == ["healthy"] * count, timeout_s=90, what=f"{count} healthy targets")

    def addresses(self) -> list[str]:
        """Of the load balancer inside the VPC, one in each zone."""
        enis = self.portside.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
        return sorted(str(each["PrivateIpAddress"]) for each in enis if each["Description"].startswith("ELB net/"))

    def host_address(self) -> str:
        (shown,) = [each for each in self.portside.status()["loadBalancers"] if each["name"] == "net"]
        return str(shown["hostAddresses"][0])


def address_of(portside: Instance, task_arn: str) -> str:
    details = portside.task(task_arn)["attachments"][0]["details"]
    return next(str(each["value"]) for each in details if each["name"] == "privateIPv4Address")


def netns_of(portside: Instance, task_arn: str) -> Path:
    folder = portside.settings.run_dir / "netns"
    (found,) = [each for each in folder.glob("task-*") if task_arn.rpartition("/")[2] in each.name]
    return found


def inside(netns: Path, code: str, *words: str) -> str:
    command = ["nsenter", f"--net={netns}", sys.executable, "-c", code, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout.strip()


def seen(answer: str) -> str:
    """The address that a web server names as its client's: it listens for IPv6, too."""
    return answer.split()[-1].strip("[]").removeprefix("::ffff:") if answer else ""


GET = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=3).read().decode())"


def test_service_sees_its_clients(portside: Instance) -> None:
    """Tasks of a service behind a Network Load Balancer see its address, or, once that is asked for, the client's;
    clients on the host come as the load balancer; a deployment ends when the old tasks' flows have."""
    site = Site(portside)
    site.set(deregistration_delay__timeout_seconds="300")
    portside.register("who", {"command": ["sh", "-c", WHO], "portMappings": [{"containerPort": 8080}]})
    portside.register("client", {"command": ["sleep", "1000"]})
    site.ecs.create_service(
        serviceName="who",
        taskDefinition="who",
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration=portside.network(site.group_id),
        loadBalancers=[{"targetGroupArn": site.group, "containerName": "main", "containerPort": 8080}],
    )
    client = portside.run_task("client")
    portside.wait_task(client, "RUNNING")
    site.healthy(2)
    here, netns = address_of(portside, client), netns_of(portside, client)
    leg = site.addresses()[0]
    url = f"http://{leg}:{site.port}/cgi-bin/who"
    assert seen(inside(netns, GET, url)) == leg
    site.set(preserve_client_ip__enabled="true")
    wait_for(lambda: seen(inside(netns, GET, url)) == here, timeout_s=30, what="targets see the client")
    on_host = http_get(f"http://{site.host_address()}:{site.port}/cgi-bin/who").decode()
    assert seen(on_host) in site.addresses()
    site.ecs.update_service(service="who", desiredCount=1)
    wait_for(lambda: len(site.states()) == 2 and "draining" in site.states(), timeout_s=60, what="one drains")
    wait_for(lambda: len(portside.client("ecs").list_tasks(serviceName="who")["taskArns"]) == 1, timeout_s=60, what="")
    assert seen(inside(netns, GET, url)) == here
