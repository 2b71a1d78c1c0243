"""What every node promises, checked on the real one and on the fake that other tests stand on."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from portside.domain.image import find
from portside.domain.record import replace
from portside.domain.task.record import (
    AnyFact,
    ContainerExited,
    ContainerKilled,
    ContainerRemoved,
    ContainerSignalled,
    ContainerStarted,
    ImagePulled,
    NetworkReady,
    NetworkReleased,
)
from portside.domain.task_definition import RestartPolicy
from portside.node.interface import FactListener, ImageInUse, Node
from portside.node.linux import LinuxNode
from portside.node.teardown import teardown
from portside.settings import Settings
from portside.testing.fake_node import Behaviour, FakeNode, Machine
from portside.testing.image import ensure_busybox_image, remove_image
from portside.testing.node_lab import MemorySink, PlainNetwork, lab_task

Facts = list[tuple[str, AnyFact]]


class Bench:
    """Makes nodes over one machine, as daemons follow each other on it."""

    def __init__(self, make: Callable[[], Node]) -> None:
        self._make = make
        self.told: Facts = []

    @asynccontextmanager
    async def node(self) -> AsyncIterator[Node]:
        node = self._make()
        listener: FactListener = lambda key, fact: self.told.append((key, fact))  # noqa: E731
        await node.start(listener)
        try:
            yield node
        finally:
            await node.close()

    async def exit_of(self, key: str) -> ContainerExited:
        async with asyncio.timeout(30):
            while True:
                for told, fact in self.told:
                    if told == key and isinstance(fact, ContainerExited):
                        return fact
                await asyncio.sleep(0.01)


@pytest.fixture(params=["fake", pytest.param("linux", marks=pytest.mark.integration)])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[[Bench], Awaitable[None]]], None]:
    """Runs a test's body with a bench, and removes what it left."""
    if request.param == "fake":
        machine = Machine(lambda: datetime.now(UTC), random.Random(1), Behaviour())

        def with_fake(body: Callable[[Bench], Awaitable[None]]) -> None:
            asyncio.run(body(Bench(lambda: FakeNode(machine))))
            assert machine.wrong == []

        return with_fake
    ensure_busybox_image()
    settings = Settings(data_dir=tmp_path / "data", egress="none", hosts_file=None)
    sink = MemorySink()

    def with_linux(body: Callable[[Bench], Awaitable[None]]) -> None:
        try:
            asyncio.run(body(Bench(lambda: LinuxNode(settings, PlainNetwork(settings), sink))))
        finally:
            teardown(settings)

    return with_linux


Run = Callable[[Callable[[Bench], Awaitable[None]]], None]
LONG = "trap 'exit 143' TERM; while :; do sleep 0.05; done"


def test_the_life_of_a_task(run: Run) -> None:
    """Network, image, start, signal, exit, removal, release: each effect is answered by its fact."""

    async def body(bench: Bench) -> None:
        task = lab_task(LONG, network_mode="awsvpc")
        async with bench.node() as node:
            assert await node.recover([]) == []
            assert await node.execute(task.create_network) == NetworkReady()
            pulled = await node.execute(task.pull)
            assert isinstance(pulled, ImagePulled)
            assert pulled.digest.startswith("sha256:")
            started = await node.execute(task.start)
            assert isinstance(started, ContainerStarted)
            assert started.pid > 0
            # A shell that has not set its trap yet ignores the signal, being process 1.
            exited = None
            while exited is None:
                assert await node.execute(task.signal) in (
                    ContainerSignalled(container="main"),
                    *(fact for _, fact in bench.told),
                )
                await asyncio.sleep(0.05)
                exited = next((fact for _, fact in bench.told if isinstance(fact, ContainerExited)), None)
            assert (exited.exit_code, exited.oom_killed) == (143, False)
            assert await node.execute(task.remove) == ContainerRemoved(container="main")
            assert await node.execute(task.release_network) == NetworkReleased()

    run(body)


def test_a_kill(run: Run) -> None:
    """A kill is answered at once; the exit is told as 137; asking again answers with the exit."""

    async def body(bench: Bench) -> None:
        task = lab_task("trap '' TERM; sleep 1000")
        async with bench.node() as node:
            await node.execute(task.start)
            assert await node.execute(task.kill) == ContainerKilled(container="main")
            exited = await bench.exit_of(task.key)
            assert exited.exit_code == 137
            assert await node.execute(task.kill) == exited
            assert await node.execute(task.signal) == exited
            assert await node.execute(task.remove) == ContainerRemoved(container="main")
            assert await node.execute(task.kill) == ContainerExited(container="main", exit_code=None)

    run(body)


def test_everything_may_be_asked_for_twice(run: Run) -> None:
    """Networks made and released twice, containers removed twice or never made: the same answers."""

    async def body(bench: Bench) -> None:
        task = lab_task(LONG, network_mode="awsvpc")
        async with bench.node() as node:
            for _ in range(2):
                assert await node.execute(task.create_network) == NetworkReady()
            assert await node.execute(task.remove) == ContainerRemoved(container="main")
            await node.execute(task.start)
            await node.execute(task.kill)
            await bench.exit_of(task.key)
            for _ in range(2):
                assert await node.execute(task.remove) == ContainerRemoved(container="main")
            for _ in range(2):
                assert await node.execute(task.release_network) == NetworkReleased()

    run(body)


def test_the_next_daemon(run: Run) -> None:
    """Containers of live tasks are found again, running or ended; those of no task go; what never was is gone."""

    async def body(bench: Bench) -> None:
        runs, ended, forgotten, never = (lab_task(LONG) for _ in range(4))
        async with bench.node() as node:
            started = await node.execute(runs.start)
            await node.execute(ended.start)
            await node.execute(forgotten.start)
            await node.execute(ended.kill)
            exited = await bench.exit_of(ended.key)
        bench.told.clear()
        async with bench.node() as node:
            facts = await node.recover([runs.record(), ended.record(), never.record()])
            assert (runs.key, started) in facts
            assert (ended.key, exited) in facts
            assert (never.key, ContainerExited(container="main", exit_code=None)) in facts
            assert not any(key == forgotten.key for key, _ in facts)
            assert await node.execute(forgotten.kill) == ContainerExited(container="main", exit_code=None)
            await node.execute(runs.kill)
            assert (await bench.exit_of(runs.key)).exit_code == 137
            for task in (runs, ended, never):
                assert await node.execute(task.remove) == ContainerRemoved(container="main")

    run(body)


def test_a_restart(run: Run) -> None:
    """A container that ended is started again; its facts say which run they are of."""

    async def body(bench: Bench) -> None:
        task = lab_task("trap '' TERM; sleep 1000")
        policy = RestartPolicy(enabled=True, attempt_period_s=0)
        again = replace(task.start, restart=1, definition=replace(task.start.definition, restart_policy=policy))
        async with bench.node() as node:
            await node.execute(task.start)
            await node.execute(task.kill)
            assert (await bench.exit_of(task.key)).restart == 0
            bench.told.clear()
            started = await node.execute(again)
            assert isinstance(started, ContainerStarted)
            assert started.restart == 1
            await node.execute(task.kill)
            assert (await bench.exit_of(task.key)).restart == 1
            assert await node.execute(task.remove) == ContainerRemoved(container="main")

    run(body)


def test_a_session_in_a_running_container(run: Run) -> None:
    """A terminal gives back what is typed, ends with its program and is closed twice without harm; a container that
    does not run has none."""

    async def body(bench: Bench) -> None:
        task = lab_task(LONG)
        async with bench.node() as node:
            await node.recover([])
            with pytest.raises(OSError, match="not running"):
                await node.open_exec(task.key, "main", ["cat"])
            await node.execute(task.start)
            session = await node.open_exec(task.key, "main", ["cat"])
            session.resize(24, 80)
            await session.write(b"hello\n")
            output = b""
            async with asyncio.timeout(30):
                while b"hello" not in output:
                    output += await session.read()
                await session.write(b"\x04")
                while await session.read():
                    pass
                assert await session.wait() == 0
            await session.close()
            await session.close()
            await node.execute(task.kill)
            await bench.exit_of(task.key)
            await node.execute(task.remove)

    run(body)


def test_images(run: Run) -> None:
    """What a pull has given is among the images; it stays if it was given after the decision, else it goes, and is
    not missed a second time."""
    name = "localhost/portside-test-conformance:1"

    async def body(bench: Bench) -> None:
        task = lab_task("", image=name)
        async with bench.node() as node:
            before = datetime.now(UTC)
            pulled = await node.execute(task.pull)
            assert isinstance(pulled, ImagePulled)
            image = find(await node.images(), name)
            assert image is not None
            assert pulled.digest in image.digests
            assert image.size_bytes > 0
            assert node.pulls() == ()
            assert 0 < await node.image_disk_percent() <= 100
            with pytest.raises(ImageInUse):
                await node.remove_image(image.id, (name,), as_of=before)
            await node.note_image_use({pulled.digest: datetime.now(UTC)}, [image.id], datetime.now(UTC))
            await node.remove_image(image.id, (name,), as_of=datetime.now(UTC))
            assert find(await node.images(), name) is None
            assert await node.remove_image(image.id, (name,), as_of=datetime.now(UTC)) == 0

    ensure_busybox_image(name, changes=["ENV CONFORMANCE=yes"])
    run(body)
    remove_image(name)
