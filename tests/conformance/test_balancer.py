"""What every data plane of load balancers must do: the same suite for Envoy and for the fake."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from portside.balancer.envoy import EnvoyBalancer
from portside.balancer.interface import Balancer as DataPlane
from portside.balancer.interface import BalancerRefused
from portside.domain.record import replace
from portside.settings import Settings
from portside.testing.balancer_lab import AT, LEG, Balancer, Reports, fixed, forward, group, target
from portside.testing.fake_balancer import FakeBalancer
from portside.testing.netns_lab import Netns, WebServer

ONE = "10.0.1.10"


class World:
    """A data plane, one address whose health checks can be made to succeed, and what was reported."""

    def __init__(self, plane: DataPlane, netns_path: str, answer: Callable[[bool], Awaitable[None]]) -> None:
        self.plane, self.netns_path, self.answer = plane, netns_path, answer
        self.reports = Reports()
        self.web = Balancer("web", netns_path)

    async def apply(self) -> None:
        await self.plane.apply([self.web.config()])


@asynccontextmanager
async def fake(_: Path) -> AsyncIterator[World]:
    plane = FakeBalancer()

    async def answer(ok: bool) -> None:
        plane.answer(ONE, ok)

    world = World(plane, "/run/netns/none", answer)
    await plane.start(world.reports)
    yield world
    await plane.stop()


@asynccontextmanager
async def real(path: Path) -> AsyncIterator[World]:
    netns = Netns()
    netns.add_address(LEG, ONE)
    server = WebServer(netns.path, ONE, 8080, "one")
    settings = Settings(data_dir=path / "data", hosts_file=None, egress="none")
    plane = EnvoyBalancer(settings)

    async def answer(ok: bool) -> None:
        server.health = 200 if ok else 500

    world = World(plane, netns.path, answer)
    try:
        await server.start()
        await plane.start(world.reports)
        yield world
    finally:
        await plane.stop()
        await server.close()
        netns.close()
        assert not settings.run_dir.exists()


Make = Callable[[Callable[[World], Awaitable[None]]], None]


@pytest.fixture(params=["fake", pytest.param("envoy", marks=pytest.mark.integration)])
def within(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    def run(body: Callable[[World], Awaitable[None]]) -> None:
        async def scene() -> None:
            async with (fake if request.param == "fake" else real)(tmp_path) as world:
                await body(world)

        asyncio.run(scene())

    return run


def test_health_is_reported_when_it_changes(within: Make) -> None:
    """A target of a used group is checked: healthy, then unhealthy with AWS's reason, then healthy again."""

    async def body(world: World) -> None:
        g = group("g")
        world.web.groups, world.web.targets = [g], [target(g, ONE)]
        world.web.listen(80, forward(g))
        await world.answer(True)
        await world.apply()
        report = await world.reports.wait(ONE, "healthy")
        assert (report.target_group_arn, report.port, report.reason_code) == (g.arn, 8080, "")
        await world.answer(False)
        assert (await world.reports.wait(ONE, "unhealthy")).reason_code.startswith("Target.")
        await world.answer(True)
        await world.reports.wait(ONE, "healthy")

    within(body)


def test_reregistered_target_is_reported_again(within: Make) -> None:
    """A target whose record lost its health (it was registered anew) is reported although nothing changed."""

    async def body(world: World) -> None:
        g = group("g")
        world.web.groups, world.web.targets = [g], [target(g, ONE)]
        world.web.listen(80, forward(g))
        await world.answer(True)
        await world.apply()
        await world.reports.wait(ONE, "healthy")
        world.web.targets = [target(g, ONE, checked="healthy")]
        await world.apply()
        world.reports.all.clear()
        world.web.targets = [target(g, ONE)]
        await world.apply()
        await world.reports.wait(ONE, "healthy")

    within(body)


def test_applying_the_same_again_is_quiet(within: Make) -> None:
    """The same state again changes nothing and reports nothing; none at all is a state too."""

    async def body(world: World) -> None:
        g = group("g")
        world.web.groups, world.web.targets = [g], [target(g, ONE)]
        world.web.listen(80, forward(g))
        await world.answer(True)
        await world.apply()
        await world.reports.wait(ONE, "healthy")
        world.web.targets = [target(g, ONE, checked="healthy")]
        seen = len(world.reports.all)
        await world.apply()
        await world.apply()
        assert len(world.reports.all) == seen
        await world.plane.apply([])
        await world.plane.apply([])

    within(body)


def test_open_requests(within: Make) -> None:
    """A known target without requests has none open; of an unknown group nothing is known."""

    async def body(world: World) -> None:
        g = group("g")
        world.web.groups = [g]
        world.web.targets = [target(g, ONE)]
        world.web.listen(80, forward(g))
        await world.apply()
        assert (await world.plane.open_requests(g.arn))[(ONE, 8080)] == 0
        assert await world.plane.open_requests(group("other").arn) == {}
        world.web.targets = [target(g, ONE, deregistered_at=AT)]
        await world.apply()
        assert (await world.plane.open_requests(g.arn))[(ONE, 8080)] == 0

    within(body)


def test_refused_change_leaves_the_last_one(within: Make) -> None:
    """What can not be is refused with words; a good change afterwards is taken."""

    async def body(world: World) -> None:
        world.web.listen(80, fixed(200, "good"))
        await world.apply()
        good = world.web.listeners
        world.web.listeners = [replace(good[0], default_action=fixed(9999))]
        with pytest.raises(BalancerRefused, match=r"(?i)status"):
            await world.apply()
        world.web.listeners = good
        await world.apply()

    within(body)


def test_host_addresses(within: Make) -> None:
    """An address is the leg's until released, no two legs share one, and a preferred one is given if it is free."""

    async def body(world: World) -> None:
        claim = world.plane.claim_host_address
        first = claim("one", "a")
        assert first.startswith("127.66.")
        assert claim("one", "a") == first
        others = {claim("one", "b"), claim("two", "a")}
        assert len({first, *others}) == 3
        world.plane.release_host_addresses("one")
        assert claim("three", "a", first) == first
        assert claim("four", "a", first) != first
        for name in ("two", "three", "four"):
            world.plane.release_host_addresses(name)

    within(body)
