"""Classic Load Balancers before container instances: services whose tasks have static ports, with real requests."""

from collections.abc import Iterator
from typing import Any

import pytest
from test_container_instance import WEB, Fleet

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import free_port, http_get, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        yield running


class Classic:
    """A load balancer from a free port to port 8080 of instances, that any request may reach."""

    def __init__(self, portside: Instance, fleet: Fleet) -> None:
        self.portside, self.elb, self.port = portside, portside.client("elb"), free_port()
        self.elb.create_load_balancer(
            LoadBalancerName="web",
            Subnets=portside.subnets()[:2],
            SecurityGroups=[fleet.group],
            Listeners=[{"Protocol": "HTTP", "LoadBalancerPort": self.port, "InstancePort": 8080}],
        )
        self.elb.configure_health_check(
            LoadBalancerName="web",
            HealthCheck={
                "Target": "HTTP:8080/",
                "Interval": 5,
                "Timeout": 2,
                "UnhealthyThreshold": 2,
                "HealthyThreshold": 2,
            },
        )
        self.elb.modify_load_balancer_attributes(
            LoadBalancerName="web",
            LoadBalancerAttributes={"ConnectionDraining": {"Enabled": True, "Timeout": 10}},
        )

    def states(self) -> dict[str, str]:
        found = self.elb.describe_instance_health(LoadBalancerName="web")["InstanceStates"]
        return {str(each["InstanceId"]): str(each["State"]) for each in found}

    def serves(self, *ids: str) -> None:
        wanted = dict.fromkeys(ids, "InService")
        wait_for(lambda: self.states() == wanted, timeout_s=90, what=f"{ids} are in service")

    def url(self) -> str:
        (shown,) = [each for each in self.portside.status()["loadBalancers"] if each["name"] == "web"]
        return f"http://{shown['hostAddresses'][0]}:{self.port}/"


def service(fleet: Fleet) -> dict[str, Any]:
    (found,) = fleet.ecs.describe_services(services=["web"])["services"]
    return dict(found)


def test_service_with_static_ports(portside: Instance) -> None:
    """Instances come in service with the service's tasks, a new revision takes over without a failed request, and an
    instance that its task has left, or that is terminated, is none of the load balancer's any more."""
    fleet = Fleet(portside, 2)
    classic = Classic(portside, fleet)
    mapping = {"containerPort": 80, "hostPort": 8080}
    fleet.register("one", "bridge", WEB, mapping, name="main")
    fleet.ecs.create_service(
        serviceName="web",
        taskDefinition="one",
        desiredCount=2,
        launchType="EC2",
        loadBalancers=[{"loadBalancerName": "web", "containerName": "main", "containerPort": 80}],
        # a static port has room for one task on an instance, so one goes before the next comes
        deploymentConfiguration={"minimumHealthyPercent": 50, "maximumPercent": 100},
    )
    classic.serves(*fleet.ids)
    url = classic.url()
    assert http_get(url) == b"one\n"
    assert service(fleet)["loadBalancers"] == [
        {"loadBalancerName": "web", "containerName": "main", "containerPort": 80}
    ]
    fleet.register("two", "bridge", WEB, mapping, name="main")
    fleet.ecs.update_service(service="web", taskDefinition="two")

    def rolled_out() -> bool:
        said = http_get(url)  # raises if a request fails
        assert said in (b"one\n", b"two\n")
        deployments = service(fleet)["deployments"]
        return len(deployments) == 1 and deployments[0]["rolloutState"] == "COMPLETED"

    wait_for(rolled_out, timeout_s=120, what="the new revision")
    assert http_get(url) == b"two\n"
    messages = [each["message"] for each in service(fleet)["events"]]
    assert any("registered 1 instances in (elb web)" in message for message in messages)
    assert any("deregistered 1 instances in (elb web)" in message for message in messages)
    fleet.ecs.update_service(service="web", desiredCount=1)
    wait_for(lambda: len(classic.states()) == 1, timeout_s=60, what="one instance is left")
    (left,) = classic.states()
    assert http_get(url) == b"two\n"
    fleet.ec2.terminate_instances(InstanceIds=[left])
    fleet.wait([left], "terminated")
    other = next(each for each in fleet.ids if each != left)
    classic.serves(other)
    assert http_get(url) == b"two\n"
    fleet.ecs.delete_service(service="web", force=True)
    wait_for(lambda: classic.states() == {}, timeout_s=60, what="no instance is left")


def test_registered_by_hand(portside: Instance) -> None:
    """Instances that somebody registers take requests by turns, and a deregistered one takes none; the waiters of the
    API see it come and go. All of it outlasts Portside's death, during which requests go on."""
    fleet = Fleet(portside, 2)
    classic = Classic(portside, fleet)
    script = "mkdir -p /tmp/www; hostname > /tmp/www/index.html; exec httpd -f -p 80 -h /tmp/www"
    fleet.register("web", "bridge", script, {"containerPort": 80, "hostPort": 8080})
    homes = {fleet.home_of(fleet.task("web")) for _ in range(2)}
    assert homes == set(fleet.ids)
    one, two = fleet.ids
    named = {"LoadBalancerName": "web", "Instances": [{"InstanceId": one}]}
    both = [{"InstanceId": each} for each in fleet.ids]
    classic.elb.register_instances_with_load_balancer(LoadBalancerName="web", Instances=both)
    classic.serves(one, two)
    classic.elb.get_waiter("instance_in_service").wait(**named)
    url = classic.url()
    assert len({http_get(url) for _ in range(30)}) == 2
    classic.elb.deregister_instances_from_load_balancer(**named)
    classic.elb.get_waiter("instance_deregistered").wait(**named)
    assert len({http_get(url) for _ in range(10)}) == 1
    assert list(classic.states()) == [two]
    (kept,) = classic.elb.describe_load_balancers()["LoadBalancerDescriptions"]
    portside.kill()
    assert len({http_get(url) for _ in range(10)}) == 1
    portside.start()
    portside.ready()
    assert classic.elb.describe_load_balancers()["LoadBalancerDescriptions"] == [kept]
    classic.elb.register_instances_with_load_balancer(LoadBalancerName="web", Instances=both)
    classic.serves(two, one)
    wait_for(lambda: len({http_get(url) for _ in range(30)}) == 2, timeout_s=30, what="both take requests")
