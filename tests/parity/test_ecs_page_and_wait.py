"""Every paginator and waiter that botocore has for ECS, where Portside answers its operation."""

from collections.abc import Callable
from typing import Any

import botocore.session
import pytest

from portside.api.ecs.service import ecs_service
from portside.control.clock import RandomIds, SystemClock
from portside.domain.record import Scope, replace
from portside.domain.table import SECURITY_GROUP, SERVICE, SUBNET, TASK
from portside.domain.task.record import TaskStatus
from portside.domain.vpc import SecurityGroup, Subnet
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.testing.clock import EPOCH

SCOPE = Scope(account="000000000000", region="us-east-1")
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
SESSION = botocore.session.Session()
OPERATIONS = SESSION.get_service_model("ecs").operation_names
PAGED = SESSION.get_paginator_model("ecs")
WAITED = SESSION.get_waiter_model("ecs")
MADE = 3
"""Of each kind that is listed."""
AT_ONCE = {"Delay": 0, "MaxAttempts": 1}

LISTINGS: dict[str, tuple[dict[str, Any], int]] = {
    "ListAccountSettings": ({"effectiveSettings": True}, 11),
    "ListAttributes": ({"targetType": "container-instance"}, 0),
    "ListClusters": ({}, MADE + 1),
    "ListContainerInstances": ({}, 0),
    "ListServices": ({}, MADE),
    "ListTaskDefinitionFamilies": ({}, MADE),
    "ListTaskDefinitions": ({}, MADE),
    "ListTasks": ({}, MADE),
}
"""Parameters, and how many there are."""
WAITERS = {"ServicesInactive", "ServicesStable", "TasksRunning", "TasksStopped"}


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    place = {"cidr_block": "10.0.0.0/24", "zone": "us-east-1a", "zone_id": "use1-az1"}
    group = SecurityGroup(scope=SCOPE, id="sg-1", vpc_id="vpc-1", name="default", description="", created_at=EPOCH)
    store.transact(
        Put(SUBNET, Subnet(scope=SCOPE, id="subnet-1", vpc_id="vpc-1", created_at=EPOCH, **place)),
        Put(SECURITY_GROUP, group),
    )
    return store


@pytest.fixture
def ecs(serve: Callable[..., Any], store: MemoryStore) -> Any:
    """With three families, tasks and services of `default`, and three more clusters."""
    ecs = serve([ecs_service(store, SystemClock(), RandomIds())]).client("ecs")
    ecs.create_cluster()
    for number in range(MADE):
        ecs.create_cluster(clusterName=f"cluster-{number}")
        ecs.register_task_definition(
            family=f"family-{number}",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[{"name": "app", "image": "localhost/app:1"}],
        )
        started = {"taskDefinition": "family-0", "launchType": "FARGATE", "networkConfiguration": NETWORK}
        ecs.run_task(**started)
        ecs.create_service(serviceName=f"service-{number}", desiredCount=0, **started)
    return ecs


def test_none_is_forgotten(ecs: Any) -> None:
    """Each paginator and waiter is driven below, or its operation is not implemented."""
    answered = set(ecs_service(MemoryStore(), SystemClock(), RandomIds()).handlers)
    paged = {name for name in OPERATIONS if name in answered and ecs.can_paginate(_method(name))}
    assert paged == set(LISTINGS)
    waited = {name for name in WAITED.waiter_names if WAITED.get_waiter(name).operation in answered}
    assert waited == WAITERS


@pytest.mark.parametrize("operation", sorted(LISTINGS))
def test_paginators(ecs: Any, operation: str) -> None:
    """With two on a page, each is shown once; `starting token` goes on where a page ended."""
    params, count = LISTINGS[operation]
    key = PAGED.get_paginator(operation)["result_key"]
    paginator = ecs.get_paginator(_method(operation))
    pages = list(paginator.paginate(**params, PaginationConfig={"PageSize": 2}))
    shown = [str(each) for page in pages for each in page[key]]
    assert all(len(page[key]) <= 2 for page in pages)
    assert (len(shown), len(set(shown))) == (count, count)
    first = paginator.paginate(**params, PaginationConfig={"PageSize": 2, "MaxItems": 2}).build_full_result()
    if count > 2:
        rest = paginator.paginate(**params, PaginationConfig={"StartingToken": first["NextToken"]}).build_full_result()
        assert [str(each) for each in (*first[key], *rest[key])] == shown


def test_waiters(ecs: Any, store: MemoryStore) -> None:
    """Each returns once its state is there."""
    task_arn = ecs.list_tasks()["taskArns"][0]
    task = next(each for each in store.scan(TASK) if task_arn.endswith(each.id))
    store.transact(Put(TASK, replace(task, last_status=TaskStatus.RUNNING)))
    ecs.get_waiter("tasks_running").wait(tasks=[task_arn], WaiterConfig=AT_ONCE)
    store.transact(Put(TASK, replace(task, last_status=TaskStatus.STOPPED)))
    ecs.get_waiter("tasks_stopped").wait(tasks=[task_arn], WaiterConfig=AT_ONCE)
    ecs.get_waiter("services_stable").wait(services=["service-0"], WaiterConfig=AT_ONCE)
    service = next(each for each in store.scan(SERVICE) if each.name == "service-0")
    store.transact(Put(SERVICE, replace(service, status="INACTIVE", deployments=())))
    ecs.get_waiter("services_inactive").wait(services=["service-0"], WaiterConfig=AT_ONCE)


def _method(operation: str) -> str:
    return str(botocore.xform_name(operation))
