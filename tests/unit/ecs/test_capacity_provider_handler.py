"""FARGATE and FARGATE_SPOT in clusters, tasks and services: what is kept, shown and refused."""

from collections import Counter
from typing import Any

import pytest
from ecs_sample import NETWORK

from portside.domain.record import replace
from portside.domain.table import SERVICE, TASK
from portside.domain.task.record import TaskStatus
from portside.store.interface import Put

BOTH = ["FARGATE", "FARGATE_SPOT"]
MIXED = [
    {"capacityProvider": "FARGATE", "weight": 1, "base": 1},
    {"capacityProvider": "FARGATE_SPOT", "weight": 2, "base": 0},
]
ARN = "arn:aws:ecs:us-east-1:000000000000:capacity-provider/"


def associated(ready: Any, *providers: str, strategy: Any = ()) -> None:
    ready(
        "PutClusterCapacityProviders",
        cluster="default",
        capacityProviders=list(providers),
        defaultCapacityProviderStrategy=list(strategy),
    )


def run(ready: Any, **params: Any) -> Any:
    return ready("RunTask", **{"taskDefinition": "web", "networkConfiguration": NETWORK, **params})


def test_tasks_follow_the_strategy(ready: Any) -> None:
    """Base first, then by weight, whether the request or the cluster says so; each task tells its provider."""
    associated(ready, *BOTH, strategy=MIXED)
    for asked in ({}, {"capacityProviderStrategy": MIXED}):
        tasks = run(ready, count=7, **asked)["tasks"]
        assert Counter(each["capacityProviderName"] for each in tasks) == {"FARGATE": 3, "FARGATE_SPOT": 4}
        assert {each["launchType"] for each in tasks} == {"FARGATE"}
        assert tasks[0]["capacityProviderName"] == "FARGATE"
    assert "capacityProviderName" not in run(ready, launchType="FARGATE")["tasks"][0]


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (
            [{"capacityProvider": "FARGATE"}, {"capacityProvider": "FARGATE_SPOT"}],
            "in the specified capacity provider strategy",
        ),
        ([{"capacityProvider": "FARGATE", "weight": 1}] * 2, "the same capacity provider twice."),
        ([{"capacityProvider": "FARGATE", "weight": 1001}], "weights from 0 to 1000"),
        ([{"capacityProvider": each, "weight": 1, "base": 1} for each in BOTH], "can have a base defined."),
    ],
)
def test_strategies_refused(ready: Any, strategy: Any, message: str) -> None:
    """What no task could be started by, or ECS does not take, starts none."""
    associated(ready, *BOTH)
    code, said = ready.error(
        "RunTask", taskDefinition="web", networkConfiguration=NETWORK, capacityProviderStrategy=strategy
    )
    assert code == "InvalidParameterException"
    assert message in said
    assert not list(ready.store.scan(TASK))


def test_a_default_strategy_without_weight(ready: Any) -> None:
    """A cluster may have one, and what would use it is told."""
    associated(ready, "FARGATE", strategy=[{"capacityProvider": "FARGATE"}])
    code, message = ready.error("RunTask", taskDefinition="web", networkConfiguration=NETWORK)
    assert (code, "in the default capacity provider strategy." in message) == ("InvalidParameterException", True)


def test_ec2_stays_ec2(ready: Any) -> None:
    """A service on container instances is not changed to Fargate, and keeps its deployment."""
    associated(ready, *BOTH)
    ready.register(family="both", requiresCompatibilities=["EC2", "FARGATE"])
    ready.create_service(taskDefinition="both", launchType="EC2")
    spot = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    code, message = ready.error("UpdateService", service="web", forceNewDeployment=True, capacityProviderStrategy=spot)
    assert (code, "from EC2 to FARGATE" in message) == ("ClientException", True)
    (service,) = ready.store.scan(SERVICE)
    assert service.deployments[0].capacity_provider_strategy == ()


def test_services_show_their_strategy(ready: Any) -> None:
    """A service, its deployment and its revision have the strategy in place of a launch type; a new one is deployed."""
    associated(ready, *BOTH)
    made = ready.create_service(launchType=None, capacityProviderStrategy=MIXED)["service"]
    assert made["capacityProviderStrategy"] == made["deployments"][0]["capacityProviderStrategy"] == MIXED
    assert "launchType" not in made
    assert made["platformVersion"] == "LATEST"
    spot = [{"capacityProvider": "FARGATE_SPOT", "weight": 1, "base": 0}]
    code, message = ready.error("UpdateService", service="web", capacityProviderStrategy=spot)
    assert (code, message.rpartition(", ")[2]) == ("InvalidParameterException", "you must force a new deployment.")
    same = ready("UpdateService", service="web", capacityProviderStrategy=MIXED)["service"]
    assert len(same["deployments"]) == 1
    forced = {"service": "web", "forceNewDeployment": True}
    changed = ready("UpdateService", **forced, capacityProviderStrategy=spot)["service"]
    assert [each["capacityProviderStrategy"] for each in changed["deployments"]] == [spot, MIXED]
    asked = [each["arn"] for each in changed["currentServiceRevisions"]]
    revisions = ready("DescribeServiceRevisions", serviceRevisionArns=asked)["serviceRevisions"]
    assert [each["capacityProviderStrategy"] for each in revisions] == [spot, MIXED]
    back = ready("UpdateService", **forced, capacityProviderStrategy=[])["service"]
    assert (back["launchType"], "capacityProviderStrategy" in back) == ("FARGATE", False)


def test_providers_in_use_stay(ready: Any) -> None:
    """A cluster does not lose a provider that a live task or a service has, and does once they are gone."""
    in_use = ("ResourceInUseException", "The specified capacity provider is in use and cannot be removed.")
    asked = {"cluster": "default", "capacityProviders": ["FARGATE"], "defaultCapacityProviderStrategy": []}
    associated(ready, *BOTH)
    spot = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    run(ready, capacityProviderStrategy=spot)
    assert ready.error("PutClusterCapacityProviders", **asked) == in_use
    (task,) = ready.store.scan(TASK)
    ready.store.transact(Put(TASK, replace(task, last_status=TaskStatus.STOPPED)))
    ready.create_service(launchType=None, capacityProviderStrategy=spot)
    assert ready.error("PutClusterCapacityProviders", **asked) == in_use
    (service,) = ready.store.scan(SERVICE)
    ready.store.transact(Put(SERVICE, replace(service, status="INACTIVE", deployments=())))
    assert ready("PutClusterCapacityProviders", **asked)["cluster"]["capacityProviders"] == ["FARGATE"]


def test_describe(ready: Any) -> None:
    """All, some by name or ARN, of a cluster, by the page; what there is not is MISSING."""
    found = ready("DescribeCapacityProviders")
    assert [(each["name"], each["status"], each["type"]) for each in found["capacityProviders"]] == [
        ("FARGATE", "ACTIVE", "FARGATE"),
        ("FARGATE_SPOT", "ACTIVE", "FARGATE_SPOT"),
    ]
    assert found["failures"] == []
    found = ready("DescribeCapacityProviders", capacityProviders=[f"{ARN}FARGATE_SPOT", "mine"])
    assert [each["capacityProviderArn"] for each in found["capacityProviders"]] == [f"{ARN}FARGATE_SPOT"]
    assert found["failures"] == [{"arn": f"{ARN}mine", "reason": "MISSING"}]
    first = ready("DescribeCapacityProviders", maxResults=1)
    second = ready("DescribeCapacityProviders", maxResults=1, nextToken=first["nextToken"])
    assert [each["capacityProviders"][0]["name"] for each in (first, second)] == BOTH
    assert "nextToken" not in second
    associated(ready, "FARGATE_SPOT")
    found = ready("DescribeCapacityProviders", cluster="default")
    assert [each["name"] for each in found["capacityProviders"]] == ["FARGATE_SPOT"]
    assert ready.error("DescribeCapacityProviders", maxResults=11)[0] == "InvalidParameterException"
    assert ready.error("DescribeCapacityProviders", cluster="other")[0] == "ClusterNotFoundException"
