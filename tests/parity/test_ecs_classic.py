"""Services behind Classic Load Balancers: what is taken, what is refused, and how it is described."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from portside.api.ec2.default_network import ensure_default_network
from portside.api.ec2.service import ec2_service
from portside.api.ecs.service import ecs_service
from portside.api.elb.service import elb_service
from portside.control.clock import RandomIds, SystemClock
from portside.domain.record import Scope
from portside.domain.table import SERVICE, SUBNET, TARGET_GROUP
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")
BEHIND = {"loadBalancerName": "web", "containerName": "main", "containerPort": 80}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def ecs(serve: Callable[..., Any], store: MemoryStore) -> Any:
    clock, ids = SystemClock(), RandomIds()
    ensure_default_network(store, clock, ids, SCOPE)
    served = serve(
        [ec2_service(store, clock, ids), elb_service(store, clock, ids), ecs_service(store, clock, ids, None, None)]
    )
    subnets = [each["SubnetId"] for each in served.client("ec2").describe_subnets()["Subnets"]]
    served.client("elb").create_load_balancer(
        LoadBalancerName="web",
        Subnets=subnets[:1],
        Listeners=[
            {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 8080},
            {"Protocol": "TCP", "LoadBalancerPort": 81, "InstancePort": 8081},
        ],
    )
    client = served.client("ecs")
    client.create_cluster()
    return client


def register(ecs: Any, mode: str, *mappings: dict[str, int]) -> None:
    container = {"name": "main", "image": "x", "memory": 64, "portMappings": list(mappings)}
    ecs.register_task_definition(family="web", networkMode=mode, containerDefinitions=[container])


def create(ecs: Any, *balancers: dict[str, Any], **more: Any) -> dict[str, Any]:
    made = ecs.create_service(
        serviceName="web",
        taskDefinition="web",
        desiredCount=0,
        launchType="EC2",
        loadBalancers=list(balancers) or [BEHIND],
        **more,
    )
    return dict(made["service"])


def test_static_port(ecs: Any, store: MemoryStore) -> None:
    """A service names the load balancer; its tasks are looked for at what leads to their port of the instance, also
    when a new revision has another one."""
    register(ecs, "bridge", {"containerPort": 80, "hostPort": 8080})
    assert create(ecs)["loadBalancers"] == [BEHIND]
    groups = {group.port: group.arn for group in store.scan(TARGET_GROUP)}
    (service,) = store.scan(SERVICE)
    assert service.deployments[0].targets[0].target_group_arn == groups[8080]
    register(ecs, "bridge", {"containerPort": 80, "hostPort": 8081})
    updated = ecs.update_service(service="web", taskDefinition="web")["service"]
    assert updated["loadBalancers"] == [BEHIND]
    (service,) = store.scan(SERVICE)
    assert {each.targets[0].target_group_arn for each in service.deployments if each.status == "PRIMARY"} == {
        groups[8081]
    }


def test_host_mode(ecs: Any) -> None:
    """In host mode the container's port is the instance's."""
    register(ecs, "host", {"containerPort": 8080})
    assert create(ecs, {**BEHIND, "containerPort": 8080})["status"] == "ACTIVE"


@pytest.mark.parametrize(
    ("mode", "mapping", "balancers", "said"),
    [
        ("bridge", {}, [BEHIND], "A host port mapping for the container port 80 is required."),
        ("bridge", {"hostPort": 0}, [BEHIND], "A host port mapping for the container port 80 is required."),
        (
            "bridge",
            {"hostPort": 9000},
            [BEHIND],
            "The load balancer web does not have a listener for the instance port 9000.",
        ),
        (
            "bridge",
            {"hostPort": 8080},
            [{**BEHIND, "loadBalancerName": "none"}],
            "There is no ACTIVE Load Balancer named 'none'",
        ),
        ("bridge", {"hostPort": 8080}, [BEHIND, BEHIND], "load balancers can have at most 1 items."),
        (
            "bridge",
            {"hostPort": 8080},
            [{**BEHIND, "targetGroupArn": "arn:x"}],
            "loadBalancerName and targetGroupArn cannot both be specified.",
        ),
        (
            "bridge",
            {"hostPort": 8080},
            [{**BEHIND, "containerName": "other"}],
            "The container other does not exist in the task definition.",
        ),
        (
            "awsvpc",
            {},
            [BEHIND],
            "Classic Load Balancers are not supported for tasks that use the awsvpc network mode.",
        ),
    ],
)
def test_refused(
    ecs: Any, store: MemoryStore, mode: str, mapping: dict[str, int], balancers: list[dict[str, Any]], said: str
) -> None:
    """What a Classic Load Balancer can not be for a service is refused."""
    register(ecs, mode, {"containerPort": 80, **mapping})
    more: dict[str, Any] = {}
    if mode == "awsvpc":
        subnet = next(iter(store.scan(SUBNET)))
        more["networkConfiguration"] = {"awsvpcConfiguration": {"subnets": [subnet.id]}}
    with pytest.raises(ClientError) as caught:
        create(ecs, *balancers, **more)
    error = caught.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("InvalidParameterException", said)
