"""Two instances on one machine, with the same names and ports: neither sees or harms the other."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portside.testing import leak
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import free_port, http_get, wait_for

pytestmark = pytest.mark.integration

SERVE = [
    "sh",
    "-c",
    'mkdir /www; echo "$NAME" > /www/index.html; exec httpd -f -p 80 -h /www',
]


class Site:
    """The same in every instance but for what it answers."""

    def __init__(self, portside: Instance, name: str, port: int) -> None:
        self.portside, self.name, self.port = portside, name, port
        ecs, elb, ec2 = portside.client("ecs"), portside.client("elbv2"), portside.client("ec2")
        ecs.create_cluster(clusterName="same")
        vpc, subnets = portside.vpc(), portside.subnets()[:2]
        group = ec2.create_security_group(GroupName="same", Description="same", VpcId=vpc)["GroupId"]
        everyone = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=everyone)
        balancer = elb.create_load_balancer(Name="same", Subnets=subnets, SecurityGroups=[group])["LoadBalancers"][0]
        target_group = elb.create_target_group(Name="same", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")[
            "TargetGroups"
        ][0]["TargetGroupArn"]
        elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": target_group}],
        )
        container: dict[str, Any] = {
            "command": SERVE,
            "portMappings": [{"containerPort": 80}],
            "environment": [{"name": "NAME", "value": name}],
        }
        portside.register("same", container)
        ecs.create_service(
            cluster="same",
            serviceName="same",
            taskDefinition="same",
            desiredCount=1,
            launchType="FARGATE",
            loadBalancers=[{"targetGroupArn": target_group, "containerName": "main", "containerPort": 80}],
            networkConfiguration={"awsvpcConfiguration": {"subnets": subnets, "securityGroups": [group]}},
        )

    @property
    def url(self) -> str:
        (balancer,) = self.portside.status()["loadBalancers"]
        return f"http://{balancer['hostAddresses'][0]}:{self.port}/"

    def wait(self) -> str:
        """Until the service answers; returns its URL."""
        wait_for(lambda: self.portside.status()["loadBalancers"][0]["hostAddresses"], timeout_s=30, what="an address")
        url = self.url
        wait_for(lambda: self.answer(url) == self.name, timeout_s=60, what=f"{self.name} answers")
        return url

    def answer(self, url: str) -> str:
        try:
            return http_get(url).decode().strip()
        except OSError:
            return ""

    def tasks(self) -> list[str]:
        return sorted(self.portside.client("ecs").list_tasks(cluster="same")["taskArns"])


def test_same_names_and_ports_side_by_side(tmp_path: Path) -> None:
    """The same cluster, service, addresses and listener port in two instances: each answers for itself; `down --purge`
    of one leaves nothing of it and lets the other one serve on and start tasks."""
    ensure_busybox_image(IMAGE)
    port = free_port()
    with instance(tmp_path / "one") as one, instance(tmp_path / "two") as two:
        sites = [Site(one, "one", port), Site(two, "two", port)]
        urls = [site.wait() for site in sites]
        assert urls[0] != urls[1]
        kept, settings = sites[1].tasks(), one.settings
        command = [sys.executable, "-m", "portside.cli", "down", "--purge", "--data-dir", str(settings.data_dir)]
        done = subprocess.run(
            [*command, "--hosts-file", str(tmp_path / "hosts")], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not settings.data_dir.exists()
        left = leak.wait_for_none(leak.Leaks(), settings.instance_id, str(settings.data_dir))
        assert not left, f"left behind: {left}"
        assert sites[1].answer(urls[1]) == "two"
        assert sites[1].tasks() == kept
        two.client("ecs").update_service(cluster="same", service="same", desiredCount=2)
        wait_for(lambda: two.status()["services"][0]["running"] == 2, timeout_s=30, what="a second task")
        two.kill()
        two.start()
        two.ready()
        assert sites[1].answer(urls[1]) == "two"
