"""The loop of deleted task definitions, in virtual time: who keeps a revision, and when it goes."""

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from portside.control.definitions import LOOK_AGAIN, SEEN, DefinitionLoop
from portside.domain import arn
from portside.domain.record import Scope, replace
from portside.domain.service.record import Deployment, Service
from portside.domain.table import SERVICE, TASK, TASK_DEFINITION
from portside.domain.task.record import NetworkRequest, Task, TaskStatus
from portside.domain.task_definition import ContainerDefinition, TaskDefinition, TaskDefinitionStatus
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.testing.clock import EPOCH, LoopClock, VirtualTimeLoop

SCOPE = Scope(account="000000000000", region="us-east-1")
KEY = f"{SCOPE.prefix}web/{1:09d}"
ARN = arn.task_definition(SCOPE, "web", 1)
CONTAINER = ContainerDefinition(name="web", image="web")
DEFINITION = TaskDefinition(
    scope=SCOPE,
    family="web",
    revision=1,
    containers=(CONTAINER,),
    status=TaskDefinitionStatus.DELETE_IN_PROGRESS,
    registered_at=EPOCH,
    registered_by="test",
    delete_requested_at=EPOCH,
)
TASK_OF_IT = Task(
    scope=SCOPE,
    cluster="default",
    id="a" * 32,
    task_definition_arn=ARN,
    family="web",
    revision=1,
    group="family:web",
    launch_type="FARGATE",
    containers=(CONTAINER,),
    created_at=EPOCH,
    cause_id="test",
    last_status=TaskStatus.RUNNING,
)
DEPLOYMENT = Deployment(
    id="ecs-svc/1",
    status="PRIMARY",
    task_definition_arn=ARN,
    desired_count=0,
    network=NetworkRequest(subnet_ids=("subnet-a",)),
    launch_type="FARGATE",
    platform_version="1.4.0",
    created_at=EPOCH,
    updated_at=EPOCH,
)
SERVICE_OF_IT = Service(
    scope=SCOPE,
    cluster="default",
    name="web",
    desired_count=0,
    deployments=(DEPLOYMENT,),
    created_at=EPOCH,
    created_by="test",
)


def in_virtual_time(story: Coroutine[Any, Any, None], loop: VirtualTimeLoop) -> None:
    try:
        loop.run_until_complete(story)
    finally:
        loop.close()


def test_it_is_seen_for_a_while_and_goes() -> None:
    """Asked for while the loop runs, the deletion comes true when the revision was shown long enough."""
    loop = VirtualTimeLoop()

    async def story() -> None:
        store, clock = MemoryStore(), LoopClock(loop)
        definitions = DefinitionLoop(store, clock)
        await definitions.start()
        store.transact(Put(TASK_DEFINITION, DEFINITION))
        await clock.sleep_until(EPOCH + SEEN - timedelta(seconds=1))
        assert store.get(TASK_DEFINITION, KEY) is not None
        await clock.sleep_until(EPOCH + SEEN + timedelta(seconds=1))
        assert store.get(TASK_DEFINITION, KEY) is None
        await definitions.close()

    in_virtual_time(story(), loop)


def test_tasks_and_services_keep_it() -> None:
    """It stays while a task of it has not STOPPED or a service's deployment is of it; found again after a restart."""
    loop = VirtualTimeLoop()

    async def story() -> None:
        store, clock = MemoryStore(), LoopClock(loop)
        store.transact(Put(TASK_DEFINITION, DEFINITION), Put(TASK, TASK_OF_IT), Put(SERVICE, SERVICE_OF_IT))
        definitions = DefinitionLoop(store, clock)
        await definitions.start()
        await clock.sleep_until(EPOCH + 2 * SEEN)
        assert store.get(TASK_DEFINITION, KEY) is not None
        store.transact(Put(TASK, replace(TASK_OF_IT, last_status=TaskStatus.STOPPED)))
        await clock.sleep_until(clock.now() + 2 * LOOK_AGAIN)
        assert store.get(TASK_DEFINITION, KEY) is not None
        store.transact(Put(SERVICE, replace(SERVICE_OF_IT, deployments=())))
        await clock.sleep_until(clock.now() + 2 * LOOK_AGAIN)
        assert store.get(TASK_DEFINITION, KEY) is None
        await definitions.close()

    in_virtual_time(story(), loop)
