"""Which images may go: never one in use, the one unused for longest first; and the loop that removes them."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.control.images import ImageLoop
from portside.control.secret_resolver import VaultResolver
from portside.control.tasks import TaskLoop
from portside.domain import image, table
from portside.domain.image import ORDER, CleanupPolicy, Holding, ImageUse, MachineImage
from portside.domain.record import Scope, replace
from portside.domain.refusal import Refused
from portside.domain.service.record import Deployment, Service
from portside.domain.task.record import ContainerHistory, StopCode, Task, TaskStatus
from portside.domain.task_definition import ContainerDefinition
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.testing.clock import EPOCH, LoopClock, SeededIds, VirtualTimeLoop
from portside.testing.fake_node import IMAGE_BYTES, Behaviour, FakeNode, Machine
from portside.testing.task_history import FakeEnis, FakeTargets, FakeVpcs
from portside.vault.aes import AesVault

SCOPE = Scope(account="000000000000", region="us-east-1")
POLICY = CleanupPolicy()
NOW = EPOCH + timedelta(days=1)


def held(name: str, *, used_h: float = 10, came_h: float = 20, origin: Any = "pulled") -> MachineImage:
    """One that was last used so many hours ago."""
    return MachineImage(
        id=name,
        digest=f"sha256:{name}",
        digests=frozenset({f"sha256:{name}"}),
        names=(f"docker.io/library/{name}:latest",),
        size_bytes=1000,
        created_at=EPOCH,
        holding=Holding(
            origin=origin,
            acquired_at=NOW - timedelta(hours=came_h),
            last_used_at=NOW - timedelta(hours=used_h),
        ),
    )


def task(task_id: str, name: str, *, digest: str | None = None, **changes: Any) -> Task:
    return Task(
        scope=SCOPE,
        cluster="default",
        id=task_id,
        task_definition_arn="arn",
        family="f",
        revision=1,
        group="family:f",
        launch_type="FARGATE",
        containers=(ContainerDefinition(name="app", image=name),),
        history=(ContainerHistory(name="app", runtime_id="r", image_digest=digest),),
        created_at=EPOCH,
        cause_id="test",
        **changes,
    )


def service(digest: str, status: Any = "ACTIVE") -> Service:
    deployment = Deployment(
        id="ecs-svc/1",
        status="PRIMARY",
        task_definition_arn="arn",
        desired_count=0,
        network=None,
        launch_type="FARGATE",
        platform_version="1.4.0",
        image_digests={"app": digest},
        created_at=EPOCH,
        updated_at=EPOCH,
    )
    return Service(
        scope=SCOPE,
        cluster="default",
        name="web",
        status=status,
        desired_count=0,
        created_at=EPOCH,
        created_by="",
        deployments=(deployment,),
    )


def rolled_forward(digest: str) -> Service:
    """A service whose deployment is a newer one; with that digest it would be rolled back to."""
    before = service(digest)
    return replace(service("sha256:newer"), last_completed=before.deployments[0])


def chosen(images: list[MachineImage], use: ImageUse = ImageUse(names={}, digests={}), **more: Any) -> list[str]:  # noqa: B008
    values: dict[str, Any] = {"now": NOW, "is_pressed": False, **more}
    return [each.id for each in image.choose(images, use, values.pop("policy", POLICY), **values)]


def test_all_that_use_an_image_are_told() -> None:
    """Each task that has it, by digest or, before it is known, by name; services; nobody who has stopped."""
    found = held("a")
    tasks = [
        task("one", "a", digest="sha256:a"),
        task("named", "docker.io/library/a:latest"),
        task("other", "b", digest="sha256:b"),
        task("gone", "a", digest="sha256:a", last_status=TaskStatus.STOPPED),
    ]
    services = [service("sha256:a"), service("sha256:a", status="INACTIVE")]
    using = [each.words for each in image.uses(tasks, services) if each.is_of(found)]
    assert using == [
        "service web in cluster default",
        "task one in cluster default",
        "task named in cluster default",
    ]


def test_by_age() -> None:
    """Those unused for an hour go, at most so many at once, the longest unused first; the rest stays."""
    images = [held("new", used_h=0.5), held("b", used_h=3), held("a", used_h=9), held("came", used_h=3, came_h=0.5)]
    assert chosen(images) == ["a", "b"]
    assert chosen(images, policy=CleanupPolicy(most=1)) == ["a"]


def test_under_pressure() -> None:
    """On a full disk age does not count; what a person brought goes after the rest, what was loaded last, since no
    registry has it."""
    images = [
        held("loaded", used_h=99, origin="loaded"),
        held("asked", used_h=98, origin="asked"),
        held("new", used_h=0.1),
        held("old"),
    ]
    assert chosen(images) == ["old"]
    assert chosen(images, is_pressed=True) == ["old", "new", "asked", "loaded"]


def test_what_somebody_else_brought_stays() -> None:
    """An image that was built or pulled by hand is never chosen."""
    foreign = replace(held("foreign"), holding=None)
    assert chosen([foreign]) == chosen([foreign], is_pressed=True) == []


@pytest.mark.parametrize(
    ("tasks", "services", "user"),
    [
        ([task("1", "app")], [], "task 1 in cluster default"),
        ([task("1", "docker.io/app:latest")], [], "task 1 in cluster default"),
        ([task("1", "moved:2", digest="sha256:app")], [], "task 1 in cluster default"),
        ([task("1", "moved:2", image_digests={"app": "sha256:app"})], [], "task 1 in cluster default"),
        ([task("1", "elsewhere.example/moved@sha256:app")], [], "task 1 in cluster default"),
        ([task("1", "app", last_status=TaskStatus.STOPPED)], [], None),
        ([task("1", "app", digest="sha256:another")], [], None),
        ([], [service("sha256:app")], "service web in cluster default"),
        ([], [rolled_forward("sha256:app")], "service web in cluster default"),
        ([], [service("sha256:app", "INACTIVE")], None),
    ],
)
def test_use(tasks: list[Task], services: list[Service], user: str | None) -> None:
    """In use: by name before it is pulled, by digest afterwards; what a service's deployment is held to, even without a
    task. A stopped task uses nothing."""
    use = image.in_use(tasks, services)
    app = held("app")
    assert use.user_of(app.names, app.digests) == user
    assert chosen([app], use, is_pressed=True) == ([] if user else ["app"])


def test_last_uses() -> None:
    """A task that is not stopped uses its image now; a stopped one did until it stopped."""
    stopped_at = NOW - timedelta(hours=2)
    ended = task("1", "a", digest="sha256:a", last_status=TaskStatus.STOPPED, stopped_at=stopped_at)
    assert image.last_uses([ended, task("2", "b", digest="sha256:b")], NOW) == {"sha256:a": stopped_at, "sha256:b": NOW}


def test_find() -> None:
    """By name, short or full, by digest, and by the beginning of an id that only one has."""
    images = [held("app"), held("api"), held("beef")]
    found = [image.find(images, each) for each in ("app", "docker.io/library/app:latest", "x@sha256:app", "be")]
    assert [each.id if each else None for each in found] == ["app", "app", "app", "beef"]
    assert image.find(images, "a") is None
    assert image.find(images, "") is None


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50), st.sampled_from([*ORDER, None])), max_size=8),
    st.sets(st.integers(0, 7)),
    st.booleans(),
    st.integers(0, 4),
)
def test_never_one_in_use(kinds: list[tuple[float, float, Any]], used: set[int], is_pressed: bool, most: int) -> None:
    """Whatever is there: an image that is used or not Portside's own is not chosen, and age and number hold."""
    images = []
    for number, (used_h, came_h, origin) in enumerate(kinds):
        made = held(f"i{number}", used_h=used_h, came_h=came_h, origin=origin or "pulled")
        images.append(made if origin else replace(made, holding=None))
    use = ImageUse(names={}, digests={f"sha256:i{number}": "somebody" for number in used})
    names = chosen(images, use, is_pressed=is_pressed, policy=CleanupPolicy(most=most))
    assert not set(names) & {f"i{number}" for number in used}
    assert len(set(names)) == len(names)
    for each in images:
        if each.id in names:
            assert each.holding is not None
            if not is_pressed:
                assert NOW - each.holding.last_used_at >= POLICY.minimum_age
    if not is_pressed:
        assert len(names) <= most


class Bench:
    def __init__(self, loop: asyncio.AbstractEventLoop, **policy: Any) -> None:
        self.clock, self.store = LoopClock(loop), MemoryStore()
        self.world = Machine(self.clock.now, random.Random(0), Behaviour())
        self.node = FakeNode(self.world)
        self.images = ImageLoop(self.store, self.clock, self.node, policy=CleanupPolicy(**policy))

    def put(self, made: Task) -> str:
        self.store.transact(Put(table.TASK, made))
        return made.key

    def pulled(self, *names: str) -> None:
        for name in names:
            self.world.hand_out(name)

    @property
    def here(self) -> list[str]:
        return sorted(each.names[0].rpartition("/")[2].partition(":")[0] for each in self.world.images.values())


def play(script: Callable[[Bench], Awaitable[None]], **policy: Any) -> None:
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(script(Bench(loop, **policy)))
    finally:
        loop.close()


def test_the_loop() -> None:
    """Every half hour: what nobody has used for an hour goes; what a task or service uses stays, and so does what a
    task has stopped using within the hour."""

    async def script(bench: Bench) -> None:
        bench.pulled("unused", "runs", "stopped", "held")
        runs, stopped, kept = (bench.world.images_named(each) for each in ("runs", "stopped", "held"))
        bench.put(task("1", "runs", digest=runs.digest))
        bench.put(task("2", "stopped", digest=stopped.digest))
        bench.store.transact(Put(table.SERVICE, service(kept.digest)))
        await bench.images.start()
        await asyncio.sleep(50 * 60)
        assert bench.here == ["held", "runs", "stopped", "unused"]
        ended = replace(
            task("2", "stopped", digest=stopped.digest, last_status=TaskStatus.STOPPED), stopped_at=bench.clock.now()
        )
        bench.put(ended)
        await asyncio.sleep(40 * 60)
        assert bench.here == ["held", "runs", "stopped"]
        await asyncio.sleep(60 * 60)
        assert bench.here == ["held", "runs"]
        await bench.images.close()

    play(script)


def test_pressure() -> None:
    """Where the disk is nearly full, unused images go however young they are, until it is not."""

    async def script(bench: Bench) -> None:
        bench.world.disk_bytes = 10 * IMAGE_BYTES
        for number in range(10):
            bench.pulled(f"image-{number}")
            await asyncio.sleep(1)
        await bench.images.start()
        await asyncio.sleep(31 * 60)
        assert bench.here == [f"image-{number}" for number in range(4, 10)]
        await bench.images.close()

    play(script, disk_percent=70, minimum_age=timedelta(days=1))


def test_a_pull_that_finds_no_space() -> None:
    """Unused images make room for it, it is tried once more, and the task runs; where nothing may go it fails."""

    async def script(bench: Bench) -> None:
        bench.world.disk_bytes = 3 * IMAGE_BYTES
        ids = SeededIds(0)
        enis = FakeEnis(bench.store, ids, bench.world, addresses=10)
        secrets = VaultResolver(bench.store, AesVault(bytes(32)))
        tasks = TaskLoop(
            *(bench.store, bench.clock, ids, bench.node, enis, FakeVpcs(), FakeTargets(bench.store), secrets),
            room=bench.images,
        )
        await tasks.start()
        bench.pulled("old-1", "old-2", "old-3")
        bench.put(task("1", "old-3", digest=bench.world.images_named("old-3").digest, network_mode="none"))
        first = bench.put(task("2", "new-1", network_mode="none"))
        second = bench.put(task("3", "new-2", network_mode="none"))
        await until(bench, first, TaskStatus.RUNNING)
        await until(bench, second, TaskStatus.RUNNING)
        assert bench.here == ["new-1", "new-2", "old-3"]
        third = bench.put(task("4", "new-3", network_mode="none"))
        ended = await until(bench, third, TaskStatus.STOPPED)
        assert ended.stop is not None
        assert ended.stop.code is StopCode.TASK_FAILED_TO_START
        assert "no space left on device" in ended.stop.reason
        await tasks.close()

    play(script)


async def until(bench: Bench, key: str, status: TaskStatus) -> Task:
    async with asyncio.timeout(600):
        while True:
            found = bench.store.get(table.TASK, key)
            assert found is not None
            if found.last_status is status:
                return found
            await asyncio.sleep(0.01)


def test_removal_that_was_asked_for() -> None:
    """Refused while a task or service uses the image, by name; else it goes, whoever brought it."""

    async def script(bench: Bench) -> None:
        bench.pulled("app", "free")
        bench.put(task("abc", "app"))
        with pytest.raises(Refused, match="the image app is used by task abc in cluster default"):
            await bench.images.remove("app")
        with pytest.raises(Refused, match="there is no image other"):
            await bench.images.remove("other")
        assert (await bench.images.users()).keys() == {bench.world.images_named("app").id}
        assert (await bench.images.remove("free"))["freedBytes"] == IMAGE_BYTES
        assert bench.here == ["app"]

    play(script)


def test_given_to_a_task_at_that_moment() -> None:
    """An image that a task was given after the decision stays."""

    async def script(bench: Bench) -> None:
        bench.pulled("app")
        await asyncio.sleep(2 * 3600)
        before = bench.clock.now()
        await asyncio.sleep(1)
        bench.pulled("app")
        bench.node.remove_image = late(bench.node.remove_image, before)  # type: ignore[method-assign]
        with pytest.raises(Refused, match="can not be removed: it was given to a task meanwhile"):
            await bench.images.remove("app")
        assert bench.here == ["app"]

    play(script)


def late(remove: Callable[..., Awaitable[int]], at: datetime) -> Callable[..., Awaitable[int]]:
    async def call(image_id: str, names: Any = None, *, as_of: datetime) -> int:
        return await remove(image_id, names, as_of=at)

    return call
