"""kill -9 of the daemon under traffic, with tasks starting and stopping: not one request fails and nothing leaks."""

import contextlib
import random
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portside.cli.demo_image import ensure_web_image
from portside.testing import leak
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import free_port, wait_for

pytestmark = pytest.mark.integration

REQUESTS = re.compile(r"(\d+) requests in")


@pytest.fixture
def portside(tmp_path: Path) -> Iterator[Instance]:
    """An instance of the test's own; nothing of it may be on the machine after its teardown."""
    ensure_busybox_image(IMAGE)
    with instance(tmp_path) as running:
        running.client("ecs").create_cluster(clusterName="default")
        yield running


class Web:
    """A load balancer with one service per path prefix, nginx in every task."""

    def __init__(self, portside: Instance, services: int) -> None:
        self.portside, self.ecs, self.elb = portside, portside.client("ecs"), portside.client("elbv2")
        self.subnets, self.vpc, self.port = portside.subnets()[:2], portside.vpc(), free_port()
        ec2 = portside.client("ec2")
        self.security_group = ec2.create_security_group(GroupName="web", Description="web", VpcId=self.vpc)["GroupId"]
        everyone = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        ec2.authorize_security_group_ingress(GroupId=self.security_group, IpPermissions=everyone)
        self.lb = self.elb.create_load_balancer(Name="web", Subnets=self.subnets, SecurityGroups=[self.security_group])[
            "LoadBalancers"
        ][0]
        self.names = [f"web{number}" for number in range(services)]
        self.groups = {name: self._group(name) for name in self.names}
        listener = self.elb.create_listener(
            LoadBalancerArn=self.lb["LoadBalancerArn"],
            Protocol="HTTP",
            Port=self.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.groups[self.names[0]]}],
        )["Listeners"][0]["ListenerArn"]
        for priority, name in enumerate(self.names[1:], 1):
            self.elb.create_rule(
                ListenerArn=listener,
                Priority=priority,
                Conditions=[{"Field": "host-header", "Values": [f"{name}.example"]}],
                Actions=[{"Type": "forward", "TargetGroupArn": self.groups[name]}],
            )
        image = ensure_web_image()
        for name in self.names:
            portside.register(name, {"image": image, "portMappings": [{"containerPort": 80}]})
            self.create_service(name)

    def _group(self, name: str) -> str:
        arn = self.elb.create_target_group(
            Name=name,
            Protocol="HTTP",
            Port=80,
            VpcId=self.vpc,
            TargetType="ip",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
        )["TargetGroups"][0]["TargetGroupArn"]
        self.elb.modify_target_group_attributes(
            TargetGroupArn=arn, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}]
        )
        return str(arn)

    def create_service(self, name: str, desired: int = 2) -> None:
        self.ecs.create_service(
            cluster="default",
            serviceName=name,
            taskDefinition=name,
            desiredCount=desired,
            launchType="FARGATE",
            loadBalancers=[{"targetGroupArn": self.groups[name], "containerName": "main", "containerPort": 80}],
            networkConfiguration={
                "awsvpcConfiguration": {"subnets": self.subnets, "securityGroups": [self.security_group]}
            },
        )

    @property
    def url(self) -> str:
        (balancer,) = self.portside.status()["loadBalancers"]
        return f"http://{balancer['hostAddresses'][0]}:{self.port}/"

    def health(self, name: str) -> list[str]:
        found = self.elb.describe_target_health(TargetGroupArn=self.groups[name])["TargetHealthDescriptions"]
        return sorted(each["TargetHealth"]["State"] for each in found)

    def steady(self, name: str) -> bool:
        """One complete deployment, as many tasks as desired, each of them healthy."""
        (service,) = self.ecs.describe_services(cluster="default", services=[name])["services"]
        states = [state for state in self.health(name) if state != "draining"]
        return (
            len(service["deployments"]) == 1
            and service["deployments"][0]["rolloutState"] == "COMPLETED"
            and service["runningCount"] == service["desiredCount"]
            and service["pendingCount"] == 0
            and states == ["healthy"] * service["desiredCount"]
        )

    def wait_steady(self) -> None:
        for name in self.names:
            wait_for(lambda name=name: self.steady(name), timeout_s=60, what=f"{name} steady")  # type: ignore[misc]

    def running(self) -> set[str]:
        arns = self.ecs.list_tasks(cluster="default", maxResults=100)["taskArns"]
        return set(arns)


class Load:
    """wrk with 8 keep-alive connections for ten seconds, in a thread."""

    def __init__(self, url: str, host: str = "") -> None:
        header = ["-H", f"Host: {host}"] if host else []
        # A slow answer is no failure, on a slow machine: wrk's own patience is 2 s.
        self._command = ["wrk", "-t1", "-c8", "-d10s", "--timeout", "30s", *header, url]
        self._output = ""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        done = subprocess.run(self._command, capture_output=True, text=True, timeout=60, check=False)
        self._output = done.stdout + done.stderr

    @property
    def under_way(self) -> bool:
        return self._thread.is_alive()

    def check(self) -> None:
        """Every request was answered with 2xx."""
        self._thread.join()
        assert "Non-2xx" not in self._output, self._output
        assert "Socket errors" not in self._output, self._output
        served = REQUESTS.search(self._output)
        assert served is not None, self._output
        assert int(served.group(1)) > 10, self._output


@pytest.mark.parametrize("seed", range(2))
def test_killed_twice_under_traffic(portside: Instance, seed: int) -> None:
    """Killed and started twice while tasks come and go: no request to either service fails, and all converges."""
    chance = random.Random(seed)
    web = Web(portside, services=2)
    web.wait_steady()
    portside.register("work", {"command": ["sleep", "600"]})
    loads = [Load(web.url), Load(web.url, "web1.example")]
    ecs, answered, stopped = web.ecs, [portside.run_task("work")], set[str]()
    desired = dict.fromkeys(web.names, 2)
    kills = 0
    while any(load.under_way for load in loads):
        name = chance.choice(web.names)
        match chance.randrange(6):
            case 0:
                desired[name] = chance.randint(2, 4)
                ecs.update_service(cluster="default", service=name, desiredCount=desired[name])
            case 1:
                ecs.update_service(cluster="default", service=name, forceNewDeployment=True)
            case 2:
                answered.append(portside.run_task("work"))
            case 3:
                victim = chance.choice(answered)
                stopped.add(victim)
                ecs.stop_task(cluster="default", task=victim)
            case _:
                ecs.list_tasks(cluster="default")
        if kills < 2 and chance.random() < 0.1:
            portside.kill()
            portside.start()
            kills += 1
    for load in loads:
        load.check()
    while kills < 2:  # this seed's draws were slow
        portside.kill()
        portside.start()
        kills += 1
    web.wait_steady()
    for name in web.names:
        (service,) = ecs.describe_services(cluster="default", services=[name])["services"]
        assert service["runningCount"] == desired[name]
    for arn in answered:
        if arn in stopped:
            portside.wait_task(arn, "STOPPED")
        else:
            portside.wait_task(arn, "RUNNING")
            ecs.stop_task(cluster="default", task=arn)
            portside.wait_task(arn, "STOPPED")
    _remove(web)
    _nothing_left(portside)


def _remove(web: Web) -> None:
    """Everything deleted, as a user would: services, load balancer, groups."""
    for name in web.names:
        web.ecs.delete_service(cluster="default", service=name, force=True)
    wait_for(lambda: not web.running(), timeout_s=60, what="no task left")

    def inactive() -> bool:
        found = web.ecs.describe_services(cluster="default", services=web.names)["services"]
        return all(service["status"] == "INACTIVE" for service in found)

    wait_for(inactive, timeout_s=60, what="services inactive")
    web.elb.delete_load_balancer(LoadBalancerArn=web.lb["LoadBalancerArn"])
    for group in web.groups.values():
        web.elb.delete_target_group(TargetGroupArn=group)


def _nothing_left(portside: Instance) -> None:
    """No network, container, mount or cgroup of any task or load balancer, while the daemon runs on."""
    settings = portside.settings
    ec2: Any = portside.client("ec2")
    wait_for(lambda: not ec2.describe_network_interfaces()["NetworkInterfaces"], timeout_s=30, what="no interface left")

    def left() -> list[str]:
        found = leak.snapshot(settings.instance_id, str(settings.data_dir))
        own = {f"portside-{settings.instance_id}", str(settings.run_dir / "netns")}
        kept = [each for each in found.cgroups | found.mounts if not any(each.endswith(name) for name in own)]
        pins = [each for each in found.namespaces if not Path(each).name.startswith("vpc-")]
        kept = [each for each in kept if "/netns/vpc-" not in each]
        return [*kept, *pins, *found.processes, *found.monitors, *found.runtime_state, *found.interfaces]

    with contextlib.suppress(TimeoutError):
        wait_for(lambda: not left(), timeout_s=20, what="nothing left")
    assert left() == []
