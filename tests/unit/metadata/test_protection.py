"""A task that asks for its own protection."""

import json
from datetime import timedelta
from typing import Any

import pytest

from portside.api.metadata import protection
from portside.domain.record import Scope, replace
from portside.domain.table import TASK
from portside.domain.task.record import NetworkRequest, Task, TaskStatus
from portside.domain.task_definition import ContainerDefinition
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.testing.clock import EPOCH, FakeClock

ROLE = "arn:aws:iam::000000000000:role/task"
WORKER = Task(
    scope=Scope(account="000000000000", region="us-east-1"),
    cluster="prod",
    id="0123456789abcdef0123456789abcdef",
    task_definition_arn="arn:aws:ecs:us-east-1:000000000000:task-definition/worker:7",
    family="worker",
    revision=7,
    group="service:worker",
    service="worker",
    launch_type="FARGATE",
    cpu_units=256,
    memory_mib=512,
    network=NetworkRequest(subnet_ids=("subnet-1",)),
    containers=(ContainerDefinition(name="app", image="app:1"),),
    created_at=EPOCH,
    cause_id="test",
    attachment_id="a",
    last_status=TaskStatus.RUNNING,
    task_role_arn=ROLE,
)
ARN = f"arn:aws:ecs:us-east-1:000000000000:task/prod/{WORKER.id}"


class Asking:
    def __init__(self, **fields: Any) -> None:
        self.store, self.clock = MemoryStore(), FakeClock()
        self.store.transact(Put(TASK, replace(WORKER, **fields)))

    @property
    def task(self) -> Task:
        task = self.store.get(TASK, WORKER.key)
        assert task is not None
        return task

    def __call__(self, asked: Any = None) -> tuple[int, dict[str, Any]]:
        body = b"" if asked is None else json.dumps(asked).encode()
        return protection.answer(self.store, self.clock, self.task, "GET" if asked is None else "PUT", body)


def test_on_and_off() -> None:
    """A PUT protects for two hours or as long as it says, a GET tells until when, another PUT ends it."""
    ask = Asking()
    off = (200, {"protection": {"ExpirationDate": None, "ProtectionEnabled": False, "TaskArn": ARN}})
    assert ask() == off
    status, answer = ask({"ProtectionEnabled": True, "ExpiresInMinutes": 60})
    assert (status, answer["protection"]["ProtectionEnabled"]) == (200, True)
    assert ask() == (status, answer)
    assert ask.task.protected_until == ask.clock.now() + timedelta(hours=1)
    ask({"ProtectionEnabled": True})
    assert ask.task.protected_until == ask.clock.now() + timedelta(hours=2)
    assert answer["protection"]["ExpirationDate"].endswith(".000Z")
    assert ask({"ProtectionEnabled": False}) == off
    assert ask.task.protected_until is None


@pytest.mark.parametrize(
    "asked", ["x", [], {}, {"ProtectionEnabled": "yes"}, {"ProtectionEnabled": True, "ExpiresInMinutes": 3000}]
)
def test_what_is_no_request(asked: Any) -> None:
    """Is refused in the agent's way, and changes nothing."""
    ask = Asking()
    status, answer = ask(asked)
    assert (status, answer["error"]["Code"], answer["error"]["Arn"]) == (400, "InvalidParameterException", ARN)
    assert ask.task.protected_until is None


def test_who_can_not_be_protected() -> None:
    """A task without a role is not heard; one of no service, or that ends, is told why not."""
    status, answer = Asking(task_role_arn=None)({"ProtectionEnabled": True})
    assert (status, answer["error"]["Code"]) == (403, "AccessDeniedException")
    for fields in ({"service": None}, {"last_status": TaskStatus.DEACTIVATING}):
        ask = Asking(**fields)
        status, answer = ask({"ProtectionEnabled": True})
        assert (status, answer["failure"]["Reason"]) == (200, "TASK_NOT_VALID")
        assert ask.task.protected_until is None
