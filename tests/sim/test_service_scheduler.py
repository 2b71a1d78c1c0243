"""The service loop against a simple model of tasks and targets, with failures and crashes, from seeds.

The loop's passes are the real ones, over the in-memory store; only its timers are the simulation's. There is no resync:
a wake-up that the loop fails to ask for shows as a service that never gets where it should.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portside.control import services
from portside.control.services import ServiceLoop
from portside.domain import arn
from portside.domain.load_balancer import Target
from portside.domain.record import Scope, replace
from portside.domain.service import breaker as breaker_rule
from portside.domain.service import scheduler
from portside.domain.service.record import CircuitBreaker, Deployment, RolloutState, Service
from portside.domain.table import SERVICE, SUBNET, TARGET, TASK, TASK_DEFINITION
from portside.domain.task.record import EniAttachment, NetworkRequest, Stop, StopCode, TargetRef, Task, TaskStatus
from portside.domain.task_definition import ContainerDefinition, TaskDefinition
from portside.domain.vpc import Subnet
from portside.store.interface import Change, Delete, Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")
GROUP = arn.target_group(SCOPE, "web", "0123456789abcdef")
KEY = "000000000000/us-east-1/default/web"
START = datetime(2026, 1, 1, tzinfo=UTC)
S = TaskStatus
NO_BREAKER = CircuitBreaker()


class Violation(AssertionError):
    """A rule of the scheduler was broken."""


class Ids:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def hex(self, digits: int) -> str:
        return f"{self._rng.getrandbits(4 * digits):0{digits}x}"

    def uuid(self) -> str:
        return self.hex(32)

    def number(self, digits: int) -> str:
        return str(self._rng.randrange(10 ** (digits - 1), 10**digits))


class Clock:
    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    async def sleep_until(self, at: datetime) -> None:
        raise AssertionError("the simulation steps by itself")


class Wakes:
    """Stands in for the generic loop: remembers who is to be woken."""

    def __init__(self) -> None:
        self.woken: set[str] = set()

    def wake(self, key: str) -> None:
        self.woken.add(key)

    def finish(self, key: str) -> None:
        pass

    async def close(self) -> None:
        pass


class World:
    """One service, its tasks as the task loop would move them, its targets as the health checks would."""

    def __init__(self, seed: int, *, balanced: bool, start_failure: float = 0.1, sick: float = 0.1) -> None:
        self.rng = random.Random(seed)
        self.clock, self.store = Clock(), MemoryStore()
        self.balanced, self.start_failure, self.sick = balanced, start_failure, sick
        self.address = 0
        self.starts = self.stops = 0
        self.wake_at: datetime | None = None
        self.store.subscribe(self._check_change)
        for revision in range(1, 4):
            definition = TaskDefinition(
                scope=SCOPE,
                family="web",
                revision=revision,
                containers=(ContainerDefinition(name="web", image="web"),),
                network_mode="awsvpc",
                registered_at=START,
                registered_by="test",
            )
            self.store.transact(Put(TASK_DEFINITION, definition))
        for zone in "ab":
            subnet = Subnet(
                scope=SCOPE,
                id=f"subnet-{zone}",
                vpc_id="vpc-1",
                cidr_block="10.0.0.0/16",
                zone=zone,
                zone_id=zone,
                created_at=START,
            )
            self.store.transact(Put(SUBNET, subnet))
        self.boot()

    def boot(self) -> None:
        """A process starts: what was in memory only is gone."""
        self.wakes = Wakes()
        self.loop = ServiceLoop(self.store, self.clock, Ids(self.rng))
        self.loop._loop = self.wakes  # type: ignore[assignment]
        self.loop._wake_soon = self.wakes.wake  # type: ignore[method-assign]
        asyncio.run(self.loop.start())

    def crash(self) -> None:
        assert self.loop._unsubscribe is not None
        self.loop._unsubscribe()
        self.wake_at = None
        self.boot()

    # --- what users do ---

    def create(
        self,
        desired: int,
        *,
        minimum: int = 100,
        maximum: int = 200,
        grace_s: int | None = None,
        breaker: CircuitBreaker = NO_BREAKER,
        is_rebalanced: bool = False,
    ) -> None:
        service = Service(
            scope=SCOPE,
            cluster="default",
            name="web",
            desired_count=desired,
            minimum_healthy_percent=minimum,
            maximum_percent=maximum,
            health_check_grace_period_s=grace_s,
            breaker=breaker,
            az_rebalancing="ENABLED" if is_rebalanced else "DISABLED",
            created_at=self.clock.at,
            created_by="test",
            deployments=(self._deployment(1, desired),),
        )
        self.store.transact(Put(SERVICE, service))

    def deploy(self, revision: int) -> None:
        service = self.service
        superseded = tuple(replace(each, status="ACTIVE") for each in service.deployments)
        fresh = self._deployment(revision, service.desired_count)
        self.store.transact(Put(SERVICE, replace(service, deployments=(fresh, *superseded))))

    def scale(self, desired: int) -> None:
        self.store.transact(Put(SERVICE, replace(self.service, desired_count=desired)))

    def delete(self) -> None:
        self.store.transact(Put(SERVICE, replace(self.service, desired_count=0, status="DRAINING")))

    def _deployment(self, revision: int, desired: int) -> Deployment:
        return Deployment(
            id=f"ecs-svc/{self.rng.randrange(10**18, 10**19)}",
            status="PRIMARY",
            task_definition_arn=arn.task_definition(SCOPE, "web", revision),
            desired_count=desired,
            network=NetworkRequest(subnet_ids=("subnet-a", "subnet-b")),
            launch_type="FARGATE",
            platform_version="1.4.0",
            targets=(TargetRef(target_group_arn=GROUP, container_name="web", container_port=80),)
            if self.balanced
            else (),
            created_at=self.clock.at,
            updated_at=self.clock.at,
        )

    # --- what is there ---

    @property
    def service(self) -> Service:
        service = self.store.get(SERVICE, KEY)
        assert service is not None
        return service

    @property
    def tasks(self) -> list[Task]:
        return [task for task in self.store.scan(TASK) if task.last_status < S.STOPPED]

    def target(self, task: Task) -> Target | None:
        if task.eni is None:
            return None
        return self.store.get(TARGET, f"{SCOPE.prefix}{GROUP}/{task.eni.address}:80")

    def is_healthy(self, task: Task) -> bool:
        if task.stop is not None or task.last_status != S.RUNNING:
            return False
        if not task.targets:
            assert task.started_at is not None
            return self.clock.at >= task.started_at + timedelta(seconds=1)
        target = self.target(task)
        return target is not None and target.checked == "healthy"

    # --- time ---

    def step(self) -> None:
        """One pass of the loop, with the rules checked around it."""
        service, before = self.service, self.tasks
        healthy = sum(map(self.is_healthy, before))
        running = sum(task.stop is None and task.last_status == S.RUNNING for task in before)
        active = sum(task.last_status <= S.RUNNING for task in before)
        desired = service.desired_count if service.status == "ACTIVE" else 0
        self.wake_at = asyncio.run(self.loop._step(KEY))  # type: ignore[arg-type]
        after = {task.id: task for task in self.tasks}
        started = len(after.keys() - {task.id for task in before})
        stopped = [task for task in before if task.stop is None and after[task.id].stop is not None]
        self.starts += started
        self.stops += len(stopped)
        least = -(-desired * service.minimum_healthy_percent // 100)
        most = desired * service.maximum_percent // 100
        if any(map(self.is_healthy, stopped)) and sum(map(self.is_healthy, after.values())) < min(least, healthy):
            raise Violation(f"stopped below the minimum of {least}")
        if started and active + started > most:
            raise Violation(f"{active} + {started} tasks are above the maximum of {most}")
        if started and service.start_not_before is not None and service.deployments == self.service.deployments:
            throttled = self.service.throttled_deployment == service.throttled_deployment
            if throttled and self.clock.at < (self.service.start_not_before or START):
                raise Violation("started a task before the throttle allows it")
        if started > scheduler.START_BATCH:
            raise Violation("too many starts in one pass")
        if running and desired and least:
            left = [task for task in after.values() if task.stop is None and task.last_status == S.RUNNING]
            if not left and active < most:
                raise Violation("nothing is left running, though there was room to start a replacement first")
        if len(self.service.events) > 100:
            raise Violation("more than 100 events")

    def _check_change(self, change: Change) -> None:
        if isinstance(change.value, Task) and isinstance(change.old, Task) and change.old.stop is not None:
            assert change.value.stop == change.old.stop

    def run_loop(self) -> None:
        for _ in range(200):
            due = self.wake_at is not None and self.wake_at <= self.clock.at
            if not self.wakes.woken and not due:
                return
            self.wakes.woken.clear()
            self.step()
        raise Violation("the loop does not come to rest")

    def moves(self) -> list[Callable[[], None]]:
        """What tasks and targets may do next."""
        moves: list[Callable[[], None]] = []
        for task in self.tasks:
            moves.append(lambda task=task: self.move(task))
            target = self.target(task)
            if target is not None and target.checked == "unknown":
                moves.append(lambda target=target: self.check(target))
        return moves

    def move(self, task: Task) -> None:
        now, status = self.clock.at, task.last_status
        if task.stop is not None:
            status = max(S.DEACTIVATING, TaskStatus(status + 1))
            target = self.target(task)
            if status == S.STOPPING and target is not None:
                self.store.transact(Delete(TARGET, TARGET.key(target)))
            self.store.transact(Put(TASK, replace(task, last_status=status, stopping_at=task.stopping_at or now)))
            return
        if status == S.RUNNING:
            return
        if self.rng.random() < self.start_failure:
            stop = Stop(code=StopCode.TASK_FAILED_TO_START, reason="CannotPullContainerError: no such image", at=now)
            self.store.transact(Put(TASK, replace(task, stop=stop)))
            return
        changes: dict[str, Any] = {"last_status": TaskStatus(status + 1)}
        if status == S.PROVISIONING:
            self.address += 1
            assert task.network is not None
            subnet = self.rng.choice(task.network.subnet_ids)
            changes["eni"] = EniAttachment(
                eni_id="eni-1",
                subnet_id=subnet,
                vpc_id="vpc-1",
                zone=subnet[-1],
                address=f"10.0.{self.address // 250}.{self.address % 250}",
                prefix_length=16,
                gateway="10.0.0.1",
                mac_address="",
                private_dns_name="",
                security_group_ids=(),
            )
        if status == S.PENDING and task.targets:
            assert task.eni is not None
            changes["targets_registered_at"] = now
            target = Target(scope=SCOPE, target_group_arn=GROUP, id=task.eni.address, port=80, registered_at=now)
            self.store.transact(Put(TARGET, target))
        if changes["last_status"] == S.RUNNING:
            changes["started_at"] = now
        self.store.transact(Put(TASK, replace(task, **changes)))

    def check(self, target: Target) -> None:
        checked = "unhealthy" if self.rng.random() < self.sick else "healthy"
        self.store.transact(Put(TARGET, replace(target, checked=checked, checked_at=self.clock.at)))

    def mishap(self) -> None:
        """A container ends by itself, or a target's health changes."""
        running = [task for task in self.tasks if task.last_status == S.RUNNING and task.stop is None]
        if not running:
            return
        task = self.rng.choice(running)
        target = self.target(task)
        if target is not None and self.rng.random() < 0.5:
            self.store.transact(
                Put(TARGET, replace(target, checked="unhealthy" if target.checked == "healthy" else "healthy"))
            )
            return
        code = StopCode.ESSENTIAL_CONTAINER_EXITED if self.rng.random() < 0.8 else StopCode.USER_INITIATED
        stop = Stop(code=code, reason="Essential container in task exited", at=self.clock.at)
        self.store.transact(Put(TASK, replace(task, stop=stop)))

    def request(self) -> None:
        match self.rng.randrange(3):
            case 0:
                self.deploy(self.rng.randint(1, 3))
            case 1:
                self.scale(self.rng.randint(0, 8))
            case _:
                self.crash()

    def chaos(self, events: int) -> None:
        for _ in range(events):
            self.clock.at += timedelta(seconds=self.rng.choice((0, 0.1, 0.5, 3)))
            moves = self.moves()
            roll = self.rng.random()
            if roll < 0.03:
                self.request()
            elif roll < 0.10:
                self.mishap()
            elif moves:
                self.rng.choice(moves)()
            if self.rng.random() < 0.7:
                self.run_loop()

    def calm(self, *, limit: int = 3000) -> None:
        """No more failures: everything moves on until nothing does."""
        self.start_failure = self.sick = 0.0
        for target in self.store.scan(TARGET):
            if target.checked == "unhealthy":
                self.check(target)
        for _ in range(limit):
            self.run_loop()
            moves = [each for task in self.tasks for each in self._calm_moves(task)]
            if moves:
                self.clock.at += timedelta(seconds=0.1)
                self.rng.choice(moves)()
            elif self.wake_at is not None:
                self.clock.at = max(self.clock.at, self.wake_at)
            else:
                return
        raise Violation("the service does not come to rest")

    def _calm_moves(self, task: Task) -> list[Callable[[], None]]:
        moves: list[Callable[[], None]] = []
        if task.stop is not None or task.last_status != S.RUNNING:
            moves.append(lambda: self.move(task))
        target = self.target(task)
        if target is not None and target.checked == "unknown":
            moves.append(lambda: self.check(target))
        return moves

    def check_rest(self) -> None:
        """The service is where it should be: all tasks of the newest deployment, all healthy, and it says so."""
        service, tasks = self.service, self.tasks
        primary = service.deployments[0]
        if [task.deployment_id for task in tasks] != [primary.id] * service.desired_count:
            raise Violation(f"{len(tasks)} tasks, desired {service.desired_count}")
        if not all(map(self.is_healthy, tasks)):
            raise Violation("a task is not healthy")
        if len(service.deployments) != 1 or primary.rollout_state != RolloutState.COMPLETED:
            raise Violation("the deployment is not completed")
        if not service.steady or service.events[0].message != "(service web) has reached a steady state.":
            raise Violation("the service does not say that it is steady")
        zones = Counter(task.eni.zone for task in tasks if task.eni is not None)
        has_room = service.desired_count * service.maximum_percent // 100 > service.desired_count
        if service.az_rebalancing == "ENABLED" and has_room and abs(zones["a"] - zones["b"]) > 1:
            raise Violation(f"the zones are uneven: {zones}")
        if set(service.watched) != {task.id for task in tasks}:
            raise Violation("the service watches other tasks than it has")


def history(seed: int) -> World:
    """A service through chaos to rest; its shape follows from the seed."""
    shape = random.Random(seed)
    world = World(seed, balanced=shape.random() < 0.5, start_failure=shape.choice((0, 0.05, 0.3)))
    minimum, maximum = shape.choice(((100, 200), (50, 100), (0, 100), (50, 150), (66, 133), (75, 150)))
    grace_s = shape.choice((None, 5))
    is_rebalanced = maximum > 100 and shape.random() < 0.5
    world.create(shape.randint(1, 6), minimum=minimum, maximum=maximum, grace_s=grace_s, is_rebalanced=is_rebalanced)
    world.chaos(250)
    if world.service.desired_count * maximum // 100 == world.service.desired_count:
        # No room to start and none to stop: AWS, too, waits for somebody to change the numbers.
        world.store.transact(Put(SERVICE, replace(world.service, maximum_percent=200)))
    world.calm()
    world.check_rest()
    return world


def rolling_back(seed: int) -> World:
    """A service on a good revision, through chaos, gets a revision of which no task ever starts."""
    shape = random.Random(seed)
    breaker = CircuitBreaker(
        enable=True,
        rollback=True,
        reset_on_healthy_task=shape.random() < 0.5,
        threshold_type=shape.choice(("COUNT", "BOUNDED_PERCENT", "UNBOUNDED_PERCENT")),
        threshold=shape.choice((1, 4, 50)),
    )
    world = World(seed, balanced=shape.random() < 0.5, start_failure=0.0, sick=0.0)
    world.create(shape.randint(1, 8), minimum=100, maximum=shape.choice((150, 200)) + 100, breaker=breaker)
    world.calm()
    good = world.service.deployments[0]
    world.deploy(2)
    bad = world.service.deployments[0]
    most = breaker_rule.threshold(breaker, world.service.desired_count)
    tried = 0
    for _ in range(3000):
        world.run_loop()
        started = {task.id for task in world.store.scan(TASK) if task.deployment_id == bad.id}
        tried = max(tried, len(started))
        if world.service.deployments[0].id == good.id:
            break
        if world.rng.random() < 0.05:
            world.crash()
        moves = [
            lambda task=task: world.move(task) for task in world.tasks if task.last_status < S.RUNNING or task.stop
        ]
        world.start_failure = 1.0
        if moves:
            world.clock.at += timedelta(milliseconds=100)
            world.rng.choice(moves)()
        elif world.wake_at is not None:
            world.clock.at = max(world.clock.at, world.wake_at)
        if not [task for task in world.tasks if world.is_healthy(task)]:
            raise Violation("nothing is left of the good revision")
    else:
        raise Violation("the breaker never trips")
    if tried < most:
        raise Violation(f"given up after {tried} tasks, before the threshold of {most}")
    world.calm()
    world.check_rest()
    if world.service.deployments[0].id != good.id:
        raise Violation("not back on the good revision")
    return world


def failing(seed: int) -> World:
    """A service whose tasks never start, for an hour."""
    world = World(seed, balanced=False, start_failure=1.0)
    world.create(3)
    while world.clock.at < START + timedelta(hours=1):
        world.run_loop()
        if world.starts > 60:
            raise Violation(f"{world.starts} starts of a service that can not start")
        moves = world.moves()
        if moves:
            world.clock.at += timedelta(milliseconds=10)
            world.rng.choice(moves)()
        else:
            assert world.wake_at is not None
            world.clock.at = max(world.clock.at, world.wake_at)
    return world


SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
def test_history(seed: int) -> None:
    """Through failures, deployments, scaling and crashes no limit is broken, and the service gets where it should."""
    world = history(seed)
    starts, stops = world.starts, world.stops
    for hours in range(1, 14):
        world.clock.at += timedelta(hours=hours)
        world.step()
    assert (world.starts, world.stops) == (starts, stops)
    assert world.service.events[0].message == "(service web) has reached a steady state."


@pytest.mark.parametrize("seed", range(40))
def test_a_bad_revision_is_rolled_back(seed: int) -> None:
    """A revision of which no task starts is given up at the threshold, and the service is back on the good one, which
    never stopped; also through crashes."""
    world = rolling_back(seed)
    messages = [event.message for event in world.service.events]
    assert sum("deployment failed: tasks failed to start." in each for each in messages) == 1
    assert sum("rolling back to (deployment" in each for each in messages) == 1


@pytest.mark.parametrize("seed", range(5))
def test_starts_that_fail_are_throttled(seed: int) -> None:
    """Tasks that never start are tried ever more slowly, and the service says that it is impaired."""
    world = failing(seed)
    assert world.starts >= 9
    assert "(service web) is unable to consistently start tasks successfully." in [
        event.message for event in world.service.events
    ]
    world.deploy(2)
    world.start_failure = 0.0
    world.calm()
    world.check_rest()


@pytest.mark.parametrize("seed", range(5))
def test_delete(seed: int) -> None:
    """A service that is deleted in the middle of anything stops all its tasks and becomes INACTIVE."""
    world = World(seed, balanced=seed % 2 == 0)
    world.create(5)
    world.chaos(100)
    world.delete()
    world.calm()
    assert world.service.status == "INACTIVE"
    assert not world.tasks


def _ignores_stops(task: Task) -> bool:
    return task.last_status <= S.RUNNING


def _counts_waiting(self: Any, task: Task) -> Any:
    judged = _judge(self, task)
    if judged.health == scheduler.Health.WAITING:
        return scheduler._Judged(task, scheduler.Health.HEALTHY)
    return judged


_judge = scheduler._Pass._judge
_settle = scheduler.settle
_retire_old = scheduler._Pass._retire_old


def _retires_all(self: Any) -> None:
    for each in self.old:
        self._stop(each)


def _forgets_starts(plan: Any, task_ids: Any, event_ids: Any, *, now: datetime) -> Service:
    return replace(_settle(plan, task_ids, event_ids, now=now), watched=plan.service.watched)


def _forgets_moves(plan: Any, task_ids: Any, event_ids: Any, *, now: datetime) -> Service:
    return replace(_settle(plan, task_ids, event_ids, now=now), rebalanced=())


def _room_by_running(self: Any) -> int:
    active = sum(task.last_status == S.RUNNING for task in self.live)
    return scheduler.upper_limit(self.desired, self.service.maximum_percent) - active


def _stops_first(self: Any) -> None:
    for each in self.mine:
        if each.health == scheduler.Health.UNHEALTHY:
            self._stop(each, unhealthy=True)


def _keeps_surplus(tasks: Any) -> list[Any]:
    return []


def _deaf_to_running(old: Task, new: Task) -> bool:
    return (old.stop is None) != (new.stop is None)


def _never_throttles(self: Any, ended: Any) -> None:
    return None


MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "minimum rounded down": (scheduler, "lower_limit", lambda desired, percent: desired * percent // 100),
    "maximum rounded up": (scheduler, "upper_limit", lambda desired, percent: -(-desired * percent // 100)),
    "tasks told to stop still count": (scheduler, "_is_kept", _ignores_stops),
    "tasks count before their health is known": (scheduler._Pass, "_judge", _counts_waiting),
    "old tasks go at once": (scheduler._Pass, "_retire_old", _retires_all),
    "starting tasks take no room": (scheduler._Pass, "_room", _room_by_running),
    "started tasks are not watched": (scheduler, "settle", _forgets_starts),
    "unhealthy tasks go before their replacements come": (scheduler._Pass, "_replace_unhealthy", _stops_first),
    "surplus tasks stay": (scheduler, "_given_up_first", _keeps_surplus),
    "only stops wake the loop": (services, "_matters", _deaf_to_running),
    "zones are left as they are": (scheduler._Pass, "_rebalance", lambda self: None),
    "tasks that are moved are not known as such": (scheduler, "settle", _forgets_moves),
    "failed starts are not throttled": (scheduler._Pass, "_throttle", _never_throttles),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these breakages of one rule is noticed by the simulation."""
    where, attribute, mutant = MUTANTS[name]
    monkeypatch.setattr(where, attribute, mutant)
    caught = 0
    for seed in SEEDS:
        for run in (history, failing):
            try:
                run(seed)
            except (Violation, KeyError):
                caught += 1
        if caught:
            return
    pytest.fail(f"no seed noticed: {name}")
