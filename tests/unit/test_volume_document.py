"""All storage as the command line asks for it: who uses which, how full it is, and which may go."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from portside.api.portside.meter import Meters
from portside.api.portside.volume import answer
from portside.domain.docker_volume import KeptVolume
from portside.domain.record import Scope, replace
from portside.domain.table import DOCKER_VOLUME, TASK
from portside.domain.task.record import Placement, Task, TaskStatus
from portside.domain.task_definition import DockerVolume, Volume
from portside.store.interface import Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MEMORY = {"type": "tmpfs", "device": "tmpfs", "o": "size=4"}
BIND = {"type": "none", "device": "/srv", "o": "bind"}
extended: list[str] = []
counted: list[tuple[str, int | None]] = []


def task_volume(task_id: str, name: str, most: int | None) -> int:
    counted.append((f"{task_id}/{name}", most))
    return 5


METERS = Meters(
    file_system=lambda _: 0,
    docker_volume=lambda _: 7,
    block_storage=lambda _: None,
    place=lambda kept: f"/v/{kept.id}",
    ephemeral=lambda task_id: (19, 20) if task_id == "live" else (1, 20),
    task_volume=task_volume,
    mounted=lambda own_id, local: (3, 4) if (own_id, local.kind) == ("other.memory", "tmpfs") else None,
    instance_path=lambda instance_id, path, most: 11 if (instance_id, path) == ("i-1", "/srv") else None,
)


def kept(instance_id: str, name: str, own_id: str) -> KeptVolume:
    return KeptVolume(scope=SCOPE, instance_id=instance_id, name=name, id=own_id, created_at=NOW)


def task(task_id: str, instance_id: str, *volumes: Volume, status: TaskStatus = TaskStatus.PENDING) -> Task:
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
        volumes=volumes,
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
        Put(TASK, task("over", "i-2", db, status=TaskStatus.STOPPED)),
        Put(TASK, task("other", "i-1", own)),
    )
    return made


def ask(store: MemoryStore, method: str, named: str = "", kinds: str = "") -> tuple[int, dict[str, Any]]:
    return asyncio.run(answer(store, METERS, extended.append, method, named, kinds))


def test_who_uses_which(store: MemoryStore) -> None:
    """A task that is not stopped uses the volume of that name on its own instance, if it is of scope shared."""
    _, found = ask(store, "GET", kinds="docker")
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
    code, words = ask(store, "DELETE", "live")
    assert (code, words["error"]) == (409, "live is the disk of a task, and goes with it")
    assert ask(store, "POST", "idle")[1]["error"].startswith("idle is a Docker volume")
    assert ask(store, "DELETE", "idle") == (200, {"id": "dv-3", "name": "idle"})
    live = next(each for each in store.scan(TASK) if each.id == "live")
    store.transact(Put(TASK, replace(live, last_status=TaskStatus.STOPPED)))
    assert ask(store, "DELETE", "dv-1")[0] == 200
    assert [each.id for each in store.scan(DOCKER_VOLUME)] == ["dv-2"]


def test_storage_that_goes_with_its_task(store: MemoryStore) -> None:
    """What each task that has come to its containers can write, its volumes, and paths of instances, once for all that
    have one; each as full as the node says."""
    store.transact(
        *(
            Put(
                TASK,
                task(
                    own_id,
                    "i-1",
                    Volume(name="scratch"),
                    Volume(name="memory", docker=DockerVolume(scope="task", driver_opts=MEMORY)),
                    Volume(name="site", host_path="/srv"),
                    Volume(name="bound", docker=DockerVolume(scope="task", driver_opts=BIND)),
                ),
            )
            for own_id in ("one", "other")
        )
    )
    _, found = ask(store, "GET", kinds="ephemeral,task,host")
    rows = {each["id"]: each for each in found["volumes"]}
    assert (rows["live"]["sizeBytes"], rows["live"]["capacityBytes"], rows["live"]["isNearlyFull"]) == (19, 20, True)
    assert (rows["one"]["usedBy"], rows["one"]["isNearlyFull"], rows["one"]["name"]) == (["c/one"], False, "g")
    assert "over" not in rows
    assert (rows["one/scratch"]["sizeBytes"], rows["one/scratch"]["usedBy"]) == (5, ["c/one"])
    assert (rows["other/memory"]["sizeBytes"], rows["other/memory"]["capacityBytes"]) == (3, 4)
    assert (rows["i-1:/srv"]["sizeBytes"], rows["i-1:/srv"]["usedBy"]) == (11, ["c/one", "c/other"])
    assert "one/bound" not in rows


def test_many_files_are_counted_for_one_alone(store: MemoryStore) -> None:
    """A list of all counts so many of each; asked for one, all of its, and no other's."""
    store.transact(Put(TASK, task("one", "i-1", Volume(name="scratch"))))
    counted.clear()
    ask(store, "GET")
    assert {most for _, most in counted} == {10_000}
    counted.clear()
    code, one = ask(store, "GET", "one/scratch")
    assert (code, one["sizeBytes"], counted) == (200, 5, [("one/scratch", None)])


def test_a_name_is_of_what_outlives_tasks(store: MemoryStore) -> None:
    """A volume of one task, of which there may be many, is found by its id alone."""
    store.transact(Put(TASK, task("one", "i-1", Volume(name="idle"))))
    assert ask(store, "GET", "idle")[1]["id"] == "dv-3"
    assert ask(store, "GET", "scratch")[0] == 404
    long = "0123456789abcdef0123456789abcdef"
    store.transact(Put(TASK, task(long, "i-1", Volume(name="idle"))))
    assert ask(store, "GET", "01234567/idle")[1]["id"] == f"{long}/idle"
    assert ask(store, "GET", "01234567")[1]["id"] == long
    assert ask(store, "GET", "", "efs,tape")[0] == 400
