"""Docker volumes as the command line asks for them: who uses which, and which may go."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from portside.api.portside.volume import Meters, answer
from portside.domain.docker_volume import KeptVolume
from portside.domain.record import Scope, replace
from portside.domain.table import DOCKER_VOLUME, TASK
from portside.domain.task.record import Placement, Task, TaskStatus
from portside.domain.task_definition import DockerVolume, Volume
from portside.store.interface import Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
extended: list[str] = []
METERS = Meters(
    file_system=lambda _: 0, docker_volume=lambda _: 7, block_storage=lambda _: None, place=lambda kept: f"/v/{kept.id}"
)


def kept(instance_id: str, name: str, own_id: str) -> KeptVolume:
    return KeptVolume(scope=SCOPE, instance_id=instance_id, name=name, id=own_id, created_at=NOW)


def task(task_id: str, instance_id: str, volume: Volume, status: TaskStatus = TaskStatus.PENDING) -> Task:
    return Task(
        scope=SCOPE,
        cluster="c",
        id=task_id,
        task_definition_arn="arn",
        family="f",
        revision=1,
        group="g",
        launch_type="EC2",
        containers=(),
        volumes=(volume,),
        placement=Placement(
            container_instance="ci", instance_id=instance_id, zone="z", address="10.0.0.1", private_dns_name="n"
        ),
        created_at=NOW,
        cause_id="test",
        last_status=status,
    )


@pytest.fixture
def store() -> MemoryStore:
    """`db` on two instances, used on the first alone; `idle` is nobody's."""
    made = MemoryStore()
    db = Volume(name="db", docker=DockerVolume(scope="shared"))
    own = Volume(name="idle", docker=DockerVolume(scope="task"))
    made.transact(
        Put(DOCKER_VOLUME, kept("i-1", "db", "dv-1")),
        Put(DOCKER_VOLUME, kept("i-2", "db", "dv-2")),
        Put(DOCKER_VOLUME, kept("i-1", "idle", "dv-3")),
        Put(TASK, task("live", "i-1", db)),
        Put(TASK, task("over", "i-2", db, TaskStatus.STOPPED)),
        Put(TASK, task("other", "i-1", own)),
    )
    return made


def ask(store: MemoryStore, method: str, named: str = "") -> tuple[int, dict[str, Any]]:
    return asyncio.run(answer(store, METERS, extended.append, method, named))


def test_who_uses_which(store: MemoryStore) -> None:
    """A task that is not stopped uses the volume of that name on its own instance, if it is of scope shared."""
    _, found = ask(store, "GET")
    assert {each["id"]: each["usedBy"] for each in found["volumes"]} == {"dv-1": ["c/live"], "dv-2": [], "dv-3": []}
    code, one = ask(store, "GET", "dv-2")
    assert (code, one["instance"], one["sizeBytes"], one["path"]) == (200, "i-2", 7, "/v/dv-2")


def test_what_may_go(store: MemoryStore) -> None:
    """One that is used stays, also when its task is only about to start; a name that two have names none of them."""
    code, words = ask(store, "DELETE", "dv-1")
    assert (code, words["error"]) == (409, "volume dv-1 is in use by c/live")
    code, words = ask(store, "DELETE", "db")
    assert code == 409
    assert "more than one volume is called db: dv-1 (i-1), dv-2 (i-2)" in words["error"]
    assert ask(store, "DELETE", "none")[0] == 404
    assert ask(store, "DELETE", "idle") == (200, {"id": "dv-3", "name": "idle"})
    live = next(each for each in store.scan(TASK) if each.id == "live")
    store.transact(Put(TASK, replace(live, last_status=TaskStatus.STOPPED)))
    assert ask(store, "DELETE", "dv-1")[0] == 200
    assert [each.id for each in store.scan(DOCKER_VOLUME)] == ["dv-2"]
