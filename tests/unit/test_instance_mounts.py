"""Which volumes of its instance a task gets, and when those of an instance end."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from portside.control.instance_folders import InstanceFolderLoop
from portside.control.instance_mounts import resolve
from portside.domain.docker_volume import KeptVolume
from portside.domain.instance import Instance, InstanceState
from portside.domain.record import Scope
from portside.domain.secret_reference import Unresolvable
from portside.domain.table import DOCKER_VOLUME, INSTANCE
from portside.domain.task.record import InstanceMount, Placement, Task
from portside.domain.task_definition import DockerVolume, Volume
from portside.store.interface import Delete, Put
from portside.store.memory import MemoryStore
from portside.testing.clock import FakeClock, SeededIds

SCOPE = Scope(account="000000000000", region="us-east-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,noexec"}


def task(*volumes: Volume, instance_id: str = "i-1", task_id: str = "t") -> Task:
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
    )


def shared(**more: Any) -> Volume:
    return Volume(name="v", docker=DockerVolume(scope="shared", autoprovision=True, **more))


def test_paths_and_volumes_of_the_task_alone() -> None:
    """A path of its instance; a Docker volume of scope task by an id of its own, in memory if it says so; nothing is
    recorded, and what has another source is not of the instance."""
    store = MemoryStore()
    found = resolve(
        store,
        task(
            Volume(name="a", host_path="/a"),
            Volume(name="b", docker=DockerVolume()),
            Volume(name="c", docker=DockerVolume(driver_opts=TMPFS)),
            Volume(name="d", docker=DockerVolume(driver_opts={"device": "/srv", "o": "bind,ro"})),
            Volume(name="e"),
        ),
        SeededIds(1),
        NOW,
    )
    assert found == (
        InstanceMount(volume="a", instance_id="i-1", path="/a"),
        InstanceMount(volume="b", instance_id="i-1", kind="task", id="t.b"),
        InstanceMount(volume="c", instance_id="i-1", kind="tmpfs", id="t.c", data="size=1m", flags=("noexec",)),
        InstanceMount(volume="d", instance_id="i-1", path="/srv", must_exist=True, flags=("ro",)),
    )
    assert list(store.scan(DOCKER_VOLUME)) == []


def test_a_shared_volume_is_recorded_once_and_keeps_its_options() -> None:
    """Whatever the next task says of it; on another instance it is another one."""
    store, ids = MemoryStore(), SeededIds(1)
    (first,) = resolve(store, task(shared(labels={"a": "b"})), ids, NOW)
    (again,) = resolve(store, task(shared(driver_opts=TMPFS), task_id="u"), ids, NOW)
    assert again == first
    assert (first.kind, first.id[:3]) == ("folder", "dv-")
    (other,) = resolve(store, task(shared(), instance_id="i-2"), ids, NOW)
    assert other.id != first.id
    (kept,) = store.find(DOCKER_VOLUME, "instance", "i-1")
    assert (kept.id, kept.labels, kept.created_by) == (first.id, {"a": "b"}, "c/t")


def test_without_autoprovision_it_must_be_there() -> None:
    """The reason names the volume and the instance."""
    store = MemoryStore()
    wanted = task(Volume(name="v", docker=DockerVolume(scope="shared")))
    with pytest.raises(Unresolvable, match=r"get v: no such volume .* on i-1"):
        resolve(store, wanted, SeededIds(1), NOW)
    resolve(store, task(shared()), SeededIds(1), NOW)
    assert resolve(store, wanted, SeededIds(1), NOW)


class Folders:
    """Of instances and volumes; the first removal fails."""

    def __init__(self, instances: list[str], volumes: list[tuple[str, str]]) -> None:
        self.instances, self.volumes, self.failures = instances, volumes, 1
        self.containers = [("i-1", "c" * 64)]

    def names(self) -> list[str]:
        return list(self.instances)

    def remove(self, instance_id: str) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("busy")
        self.instances.remove(instance_id)
        self.volumes = [each for each in self.volumes if each[0] != instance_id]

    def volume_ids(self) -> list[tuple[str, str]]:
        return list(self.volumes)

    def remove_volume(self, instance_id: str, volume_id: str) -> None:
        self.volumes.remove((instance_id, volume_id))

    def container_ids(self) -> list[tuple[str, str]]:
        return list(self.containers)

    def remove_container(self, instance_id: str, container: str) -> None:
        self.containers.remove((instance_id, container))


def instance(instance_id: str, state: InstanceState) -> Instance:
    return Instance(
        scope=SCOPE,
        id=instance_id,
        reservation_id="r-1",
        image_id="ami-1",
        instance_type="t3.small",
        eni_id="eni-1",
        subnet_id="subnet-1",
        vpc_id="vpc-1",
        zone="us-east-1a",
        address="10.0.0.4",
        launched_at=NOW,
        state=state,
    )


def kept(instance_id: str, name: str) -> KeptVolume:
    return KeptVolume(scope=SCOPE, instance_id=instance_id, name=name, id=f"dv-{name}", created_at=NOW)


def test_what_ends_with_an_instance_or_a_volume() -> None:
    """A terminated instance's folder and volumes go, with their records, also after a failure; a stopped one's stay; a
    volume without a record goes alone, and so do the files of a container that no task remembers."""
    store = MemoryStore()
    store.transact(
        Put(INSTANCE, instance("i-1", InstanceState.STOPPED)),
        Put(INSTANCE, instance("i-2", InstanceState.TERMINATED)),
        Put(DOCKER_VOLUME, kept("i-1", "a")),
        Put(DOCKER_VOLUME, kept("i-1", "b")),
        Put(DOCKER_VOLUME, kept("i-2", "c")),
    )
    folders = Folders(
        ["i-1", "i-2", "i-3"], [("i-1", "dv-a"), ("i-1", "dv-b"), ("i-1", "dv-lost"), ("i-2", "dv-c"), ("i-3", "dv-d")]
    )

    async def until(condition: Any) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 - it works in threads
                await asyncio.sleep(0)

    async def body() -> None:
        loop = InstanceFolderLoop(store, FakeClock(), folders)
        await loop.start()
        await until(lambda: folders.volumes == [("i-1", "dv-a"), ("i-1", "dv-b")])
        assert folders.instances == ["i-1"]
        await until(lambda: not folders.containers)
        assert [each.id for each in store.scan(DOCKER_VOLUME)] == ["dv-a", "dv-b"]
        store.transact(Delete(DOCKER_VOLUME, kept("i-1", "b").key))
        await until(lambda: folders.volumes == [("i-1", "dv-a")])
        store.transact(Put(INSTANCE, instance("i-1", InstanceState.TERMINATED)))
        await until(lambda: not folders.instances)
        assert list(store.scan(DOCKER_VOLUME)) == []
        await loop.close()

    asyncio.run(body())
