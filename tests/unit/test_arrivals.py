"""A new target is given to the data plane once it listens."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from portside.control.arrivals import Arrivals
from portside.domain.load_balancer import HealthCheck, Target, TargetGroup
from portside.domain.record import Scope, replace
from portside.testing.clock import LoopClock, VirtualTimeLoop

SCOPE = Scope(account="000000000000", region="us-east-1")
GROUP = TargetGroup(
    scope=SCOPE, arn="g", name="g", health_check=HealthCheck(interval_s=5), created_at=datetime(2026, 1, 1, tzinfo=UTC)
)


def run(scenario: Callable[[LoopClock], Awaitable[None]]) -> None:
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(scenario(LoopClock(loop)))  # type: ignore[arg-type]
    finally:
        loop.close()


def target(clock: LoopClock) -> Target:
    return Target(scope=SCOPE, target_group_arn="g", id="10.0.0.1", port=80, registered_at=clock.now())


def test_a_target_is_here_once_it_accepts() -> None:
    """Refused twice, then accepted: the target is announced then, and is here from then on."""

    async def scenario(clock: LoopClock) -> None:
        answers = [False, False, True]
        asked: list[tuple[str, str, int]] = []
        arrived = asyncio.Event()

        async def accepts(netns: str, address: str, port: int) -> bool:
            asked.append((netns, address, port))
            return answers.pop(0)

        arrivals = Arrivals(clock, accepts, arrived.set)
        new = target(clock)
        assert not arrivals.is_here("k", new, GROUP, "/ns")
        await arrived.wait()
        assert asked == [("/ns", "10.0.0.1", 80)] * 3
        assert arrivals.is_here("k", new, GROUP, "/ns")
        again = replace(new, registered_at=new.registered_at + timedelta(seconds=9))
        answers.append(True)
        assert not arrivals.is_here("k", again, GROUP, "/ns")
        await arrivals.close()

    run(scenario)


def test_asking_again_does_not_disturb_the_wait() -> None:
    """However often the configuration is made meanwhile, one attempt is under way and its success counts."""

    async def scenario(clock: LoopClock) -> None:
        tries = 0
        trying, accepted, arrived = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def accepts(netns: str, address: str, port: int) -> bool:
            nonlocal tries
            tries += 1
            trying.set()
            await accepted.wait()
            return True

        arrivals = Arrivals(clock, accepts, arrived.set)
        new = target(clock)
        assert not arrivals.is_here("k", new, GROUP, "/ns")
        await trying.wait()
        assert not arrivals.is_here("k", new, GROUP, "/ns")
        accepted.set()
        await arrived.wait()
        assert tries == 1
        assert arrivals.is_here("k", new, GROUP, "/ns")
        await arrivals.close()

    run(scenario)


def test_a_target_that_never_listens_is_given_after_one_interval() -> None:
    """The health checks then say what is wrong with it."""

    async def scenario(clock: LoopClock) -> None:
        arrived = asyncio.Event()

        async def accepts(netns: str, address: str, port: int) -> bool:
            return False

        arrivals = Arrivals(clock, accepts, arrived.set)
        new = target(clock)
        assert not arrivals.is_here("k", new, GROUP, "/ns")
        await arrived.wait()
        assert timedelta(seconds=5) <= clock.now() - new.registered_at < timedelta(seconds=6)
        assert arrivals.is_here("k", new, GROUP, "/ns")
        await arrivals.close()

    run(scenario)


def test_a_target_with_a_known_state_is_not_waited_for() -> None:
    """After a restart, checked targets go to the data plane at once."""

    async def scenario(clock: LoopClock) -> None:
        async def accepts(netns: str, address: str, port: int) -> bool:
            raise AssertionError("nobody asked")

        arrivals = Arrivals(clock, accepts, lambda: None)
        assert arrivals.is_here("k", replace(target(clock), checked="healthy"), GROUP, "/ns")
        assert arrivals.is_here("k", replace(target(clock), is_being_checked=True), GROUP, "/ns")
        await arrivals.close()

    run(scenario)
