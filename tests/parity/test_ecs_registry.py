"""`serviceRegistries` of ECS services through boto3: what is accepted, shown and refused."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import ACCOUNT, REGION

from portside.api.ec2.service import ec2_service
from portside.api.ecs.service import ecs_service
from portside.control.clock import RandomIds, SystemClock
from portside.domain.cloud_map import DiscoveryService, DnsRecord
from portside.domain.record import Scope
from portside.domain.table import DISCOVERY_SERVICE
from portside.store.interface import Put
from portside.store.memory import MemoryStore

CONTAINER = {"name": "app", "image": "i", "memory": 64, "portMappings": [{"containerPort": 80}]}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def served(serve: Callable[..., Any], store: MemoryStore) -> Any:
    clock, ids = SystemClock(), RandomIds()
    return serve([ecs_service(store, clock, ids), ec2_service(store, clock, ids, "198.18.0.0/28")])


@pytest.fixture
def ecs(served: Any) -> Any:
    ecs = served.client("ecs")
    ecs.create_cluster(clusterName="default")
    fargate = {"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"}
    ecs.register_task_definition(family="awsvpc", containerDefinitions=[CONTAINER], **fargate)
    ecs.register_task_definition(family="bridge", networkMode="bridge", containerDefinitions=[CONTAINER])
    ecs.register_task_definition(
        family="none", networkMode="none", containerDefinitions=[{"name": "app", "image": "i", "memory": 64}]
    )
    return ecs


@pytest.fixture
def network(served: Any) -> dict[str, Any]:
    ec2 = served.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return {
        "awsvpcConfiguration": {
            "subnets": [ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]]
        }
    }


@pytest.fixture
def registry(store: MemoryStore) -> Callable[..., str]:
    """The ARN of a service of Cloud Map with records of these types."""

    def make(*kinds: Any) -> str:
        service = DiscoveryService(
            scope=Scope(account=ACCOUNT, region=REGION),
            id=f"srv-{'-'.join(kinds).lower() or 'api'}",
            namespace_id="ns-1",
            name="web",
            records=tuple(DnsRecord(type=kind, ttl_s=10) for kind in kinds),
            created_at=SystemClock().now(),
        )
        store.transact(Put(DISCOVERY_SERVICE, service))
        return f"arn:aws:servicediscovery:{REGION}:{ACCOUNT}:service/{service.id}"

    return make


def error_of(call: Callable[..., Any], **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    found = caught.value.response["Error"]
    return str(found["Code"]), str(found["Message"])


def test_registries_are_kept_and_shown(ecs: Any, network: dict[str, Any], registry: Callable[..., str]) -> None:
    """A service shows its registry, as does its revision; an update changes it by a new deployment, or removes it."""
    common = {"serviceName": "web", "desiredCount": 0, "launchType": "FARGATE", "networkConfiguration": network}
    first = [{"registryArn": registry("A")}]
    made = ecs.create_service(taskDefinition="awsvpc", serviceRegistries=first, **common)["service"]
    assert made["serviceRegistries"] == first
    second = [{"registryArn": registry("SRV"), "containerName": "app", "containerPort": 80}]
    changed = ecs.update_service(service="web", serviceRegistries=second)["service"]
    assert changed["serviceRegistries"] == second
    assert changed["deployments"][0]["id"] != made["deployments"][0]["id"]
    (deployment,) = ecs.list_service_deployments(service="web", status=["PENDING", "IN_PROGRESS"])["serviceDeployments"]
    revisions = ecs.describe_service_revisions(serviceRevisionArns=[deployment["targetServiceRevisionArn"]])
    assert revisions["serviceRevisions"][0]["serviceRegistries"] == second
    same = ecs.update_service(service="web", desiredCount=0)["service"]
    assert same["deployments"][0]["id"] == changed["deployments"][0]["id"]
    gone = ecs.update_service(service="web", serviceRegistries=[])["service"]
    assert gone["serviceRegistries"] == []


@pytest.mark.parametrize(
    ("family", "kinds", "members", "said"),
    [
        ("awsvpc", ("A",), {"containerName": "app", "containerPort": 80}, "do not require a value for 'containerPort'"),
        ("awsvpc", ("A",), {"port": 80}, "do not require a value for 'port'"),
        ("awsvpc", ("SRV",), {}, "a value for 'port' or values for 'containerName' and 'containerPort'"),
        ("awsvpc", ("SRV",), {"containerName": "app"}, "must be specified"),
        (
            "awsvpc",
            ("SRV",),
            {"port": 80, "containerName": "app", "containerPort": 80},
            "Specify a value for either 'port' or the 'containerName' and 'containerPort' combination, but not both",
        ),
        ("awsvpc", ("SRV",), {"containerName": "no", "containerPort": 80}, "The container no does not exist"),
        ("awsvpc", ("SRV",), {"containerName": "app", "containerPort": 81}, "did not have a container port 81"),
        ("awsvpc", ("CNAME",), {}, "Only A and SRV records"),
        ("bridge", ("A",), {"containerName": "app", "containerPort": 80}, "only SRV records"),
        ("bridge", ("SRV",), {"port": 80}, "values for 'containerName' and 'containerPort' must be specified from"),
        ("none", ("SRV",), {"containerName": "app", "containerPort": 80}, "networkMode 'none'"),
    ],
)
def test_what_does_not_fit_is_refused(
    ecs: Any,
    network: dict[str, Any],
    registry: Callable[..., str],
    family: str,
    kinds: tuple[str, ...],
    members: dict[str, Any],
    said: str,
) -> None:
    """Records, ports and network mode have to go together, in AWS's words where they are known."""
    params: dict[str, Any] = {"serviceName": "web", "desiredCount": 1, "taskDefinition": family, "launchType": "EC2"}
    if family == "awsvpc":
        params |= {"launchType": "FARGATE", "networkConfiguration": network}
    found = error_of(ecs.create_service, serviceRegistries=[{"registryArn": registry(*kinds), **members}], **params)
    assert found[0] == "InvalidParameterException"
    assert said in found[1]


def test_registries_that_are_not_there(ecs: Any, network: dict[str, Any], registry: Callable[..., str]) -> None:
    """A registry has to exist, in the account and region; there is one at most."""
    params: dict[str, Any] = {
        "serviceName": "web",
        "desiredCount": 1,
        "taskDefinition": "awsvpc",
        "launchType": "FARGATE",
        "networkConfiguration": network,
    }
    known = registry("A")
    for wrong in ("nonsense", f"{known}x", known.replace(REGION, "eu-west-1"), known.replace("service/", "namespace/")):
        assert error_of(ecs.create_service, serviceRegistries=[{"registryArn": wrong}], **params)[0] == (
            "InvalidParameterException"
        )
    two = [{"registryArn": known}, {"registryArn": registry("SRV"), "port": 80}]
    assert "at most 1" in error_of(ecs.create_service, serviceRegistries=two, **params)[1]
