"""Things deleted, changed and made anew while others use them: refused as AWS does, or carried out in the end."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import free_port, http_get, wait_for

pytestmark = pytest.mark.integration

EVERYONE = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
SERVE = ["sh", "-c", "mkdir /www; echo web > /www/index.html; exec httpd -f -p 80 -h /www"]


class Web:
    """A service of one task behind a load balancer."""

    def __init__(self, portside: Instance) -> None:
        self.portside, self.port = portside, free_port()
        self.ecs, self.elb, self.ec2 = portside.client("ecs"), portside.client("elbv2"), portside.client("ec2")
        vpc, self.subnets = portside.vpc(), portside.subnets()[:2]
        self.security_group = self.ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
        self.ec2.authorize_security_group_ingress(GroupId=self.security_group, IpPermissions=EVERYONE)
        self.balancer = self.elb.create_load_balancer(
            Name="web", Subnets=self.subnets, SecurityGroups=[self.security_group]
        )["LoadBalancers"][0]["LoadBalancerArn"]
        self.group = self.elb.create_target_group(
            Name="web",
            Protocol="HTTP",
            Port=80,
            VpcId=vpc,
            TargetType="ip",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
        )["TargetGroups"][0]["TargetGroupArn"]
        self.elb.modify_target_group_attributes(
            TargetGroupArn=self.group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "1"}]
        )
        self.elb.create_listener(
            LoadBalancerArn=self.balancer,
            Protocol="HTTP",
            Port=self.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}],
        )
        portside.register("web", {"command": SERVE, "portMappings": [{"containerPort": 80}]})
        self.create()
        wait_for(self.answers, timeout_s=60, what="the service answers")

    def create(self) -> None:
        self.ecs.create_service(
            cluster="default",
            serviceName="web",
            taskDefinition="web",
            desiredCount=1,
            launchType="FARGATE",
            loadBalancers=[{"targetGroupArn": self.group, "containerName": "main", "containerPort": 80}],
            networkConfiguration={
                "awsvpcConfiguration": {"subnets": self.subnets, "securityGroups": [self.security_group]}
            },
        )

    def answers(self) -> bool:
        addresses = [each["hostAddresses"] for each in self.portside.status()["loadBalancers"]]
        try:
            return bool(addresses and addresses[0]) and http_get(f"http://{addresses[0][0]}:{self.port}/") == b"web\n"
        except OSError:
            return False

    def service(self) -> dict[str, Any]:
        return dict(self.ecs.describe_services(cluster="default", services=["web"])["services"][0])


@pytest.fixture
def web() -> Iterator[Web]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="default")
        running.register("loop", {"command": ["sleep", "600"]})
        yield Web(running)


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_what_is_in_use_is_not_deleted(web: Web) -> None:
    """Target group, security group, service with a count, and cluster: each refused, nothing changed."""
    for code, call in (
        ("ResourceInUse", lambda: web.elb.delete_target_group(TargetGroupArn=web.group)),
        ("DependencyViolation", lambda: web.ec2.delete_security_group(GroupId=web.security_group)),
        ("InvalidParameterException", lambda: web.ecs.delete_service(cluster="default", service="web")),
        ("ClusterContainsServicesException", lambda: web.ecs.delete_cluster(cluster="default")),
    ):
        with pytest.raises(ClientError) as refused:
            call()
        assert code_of(refused) == code
    assert web.answers()
    web.ecs.delete_service(cluster="default", service="web", force=True)
    wait_for(lambda: web.service()["status"] == "INACTIVE", timeout_s=30, what="INACTIVE")
    task = web.portside.run_task("loop")
    with pytest.raises(ClientError) as refused:
        web.ecs.delete_cluster(cluster="default")
    assert code_of(refused) == "ClusterContainsTasksException"
    web.ecs.stop_task(cluster="default", task=task)
    web.portside.wait_task(task, "STOPPED")
    assert web.ecs.delete_cluster(cluster="default")["cluster"]["status"] == "INACTIVE"
    with pytest.raises(ClientError) as refused:
        web.portside.run_task("loop")
    assert code_of(refused) == "ClusterNotFoundException"


def test_made_anew_under_the_same_name(web: Web) -> None:
    """A service deleted and made anew at once: refused while it drains, then it serves again."""
    web.ecs.delete_service(cluster="default", service="web", force=True)
    with pytest.raises(ClientError) as refused:
        web.create()
    assert "still Draining" in str(refused.value)
    wait_for(lambda: web.service()["status"] == "INACTIVE", timeout_s=30, what="INACTIVE")
    web.create()
    wait_for(web.answers, timeout_s=60, what="the service answers")
    assert web.service()["status"] == "ACTIVE"


def test_load_balancer_and_target_group_taken_away(web: Web) -> None:
    """A service goes on without its load balancer, then without its target group, says so, and can be deleted."""
    web.elb.delete_load_balancer(LoadBalancerArn=web.balancer)

    def states() -> list[str]:
        found = web.elb.describe_target_health(TargetGroupArn=web.group)["TargetHealthDescriptions"]
        return [each["TargetHealth"]["State"] for each in found]

    wait_for(lambda: states() == ["unused"], timeout_s=30, what="unused targets")
    web.ecs.update_service(cluster="default", service="web", desiredCount=2)
    wait_for(lambda: web.service()["runningCount"] == 2, timeout_s=30, what="two running tasks")
    web.elb.delete_target_group(TargetGroupArn=web.group)
    web.ecs.update_service(cluster="default", service="web", desiredCount=3)
    wait_for(
        lambda: any("failed to register targets" in each["message"] for each in web.service()["events"]),
        timeout_s=30,
        what="an event that says so",
    )
    web.ecs.delete_service(cluster="default", service="web", force=True)
    wait_for(lambda: web.service()["status"] == "INACTIVE", timeout_s=30, what="INACTIVE")


def test_security_group_changed_under_traffic(web: Web) -> None:
    """Revoking the rule shuts new connections out at once; authorising it again lets them in."""
    web.ec2.revoke_security_group_ingress(GroupId=web.security_group, IpPermissions=EVERYONE)
    wait_for(lambda: not web.answers(), timeout_s=30, what="no answer")
    web.ec2.authorize_security_group_ingress(GroupId=web.security_group, IpPermissions=EVERYONE)
    wait_for(web.answers, timeout_s=60, what="the service answers again")
