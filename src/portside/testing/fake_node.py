"""A machine in memory, with delays, failures, lost answers and crashes: `node/interface.py`'s Protocol for tests.

`Machine` is what survives the end of Portside (containers, networks); a `FakeNode` is one run of Portside's code on it.
Physical truths are checked as they are broken and noted in `Machine.wrong`.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from portside.domain.flow import Flow, FlowCounts, FlowOwner
from portside.domain.image import NO_SPACE, Holding, MachineImage, PullProgress, find
from portside.domain.image_reference import parse
from portside.domain.record import replace
from portside.domain.task import record as r
from portside.domain.task.record import AnyFact, EniAttachment, HealthStatus, NodeEffect, Task
from portside.domain.usage import Usage
from portside.node.interface import EniConfig, ExecSession, FactListener, ImageInUse, InstanceConfig, VpcConfig

IMAGE_BYTES = 1_000_000

Now = Callable[[], datetime]


@dataclass(kw_only=True)
class Behaviour:
    """How the machine treats Portside. Chances are per effect, 0 to 1; times in seconds.

    Args:
        delay_s: the longest time that an effect takes, before and after its deed.
        lost: the deed is done, the answer never comes.
        hangs: nothing is done, no answer comes.
        passing: it fails for a passing cause; half of the time the deed was done nevertheless.
        pull_fails, start_fails: it fails for good.
        late_exit: the notice of an exit comes twice, or before the answer to the start.
        exits: a container ends by itself; exits_at_once: within a blink of its start.
        deaf: a container ignores its stop signal.
        unkillable: a kill does nothing (a process stuck in the kernel), until it is tried again.
        run_s: the longest time until a container ends by itself.
    """

    delay_s: float = 0.0
    lost: float = 0.0
    hangs: float = 0.0
    passing: float = 0.0
    pull_fails: float = 0.0
    start_fails: float = 0.0
    late_exit: float = 0.0
    exits: float = 0.0
    exits_at_once: float = 0.0
    deaf: float = 0.0
    unkillable: float = 0.0
    run_s: float = 30.0

    def calm(self) -> None:
        """From here on every effect does what it says."""
        self.lost = self.hangs = self.passing = self.pull_fails = self.start_fails = self.unkillable = 0.0


@dataclass
class FakeContainer:
    pid: int
    deaf: bool
    began: datetime
    restart: int = 0
    image_digest: str = ""
    health: HealthStatus = HealthStatus.UNKNOWN
    exit_code: int | None = None
    oom_killed: bool = False
    exited_at: datetime | None = None
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        return self.exit_code is None


class Machine:
    """The containers, networks and volumes of one machine, by task key; containers then by name.

    Of volumes it knows which containers wrote to them; they are gone when `volumes` has no such key any more."""

    def __init__(self, now: Now, rng: random.Random, behaviour: Behaviour) -> None:
        self.now, self.rng, self.behaviour = now, rng, behaviour
        self.networks: set[str] = set()
        self.volumes: dict[str, set[str]] = {}
        self.ebs: dict[str, str] = {}  # task key -> the volume of EBS that is attached
        self.containers: dict[str, dict[str, FakeContainer]] = {}
        self.images: dict[str, MachineImage] = {}
        self.handed: dict[str, datetime] = {}
        self.disk_bytes = 100 * IMAGE_BYTES
        self.started: list[tuple[str, str]] = []
        self.restarts = 0
        self.ended: set[tuple[str, str, int]] = set()
        self.killed: set[tuple[str, str]] = set()
        self.wrong: list[str] = []
        self.listener: FactListener | None = None
        self._pids = 1000

    def images_named(self, name: str) -> MachineImage:
        found = find(self.images.values(), name)
        assert found is not None, name
        return found

    def lacks_space_for(self, name: str, digest: str) -> bool:
        here = digest.removeprefix("sha256:") in self.images or find(self.images.values(), name) is not None
        return not here and sum(each.size_bytes for each in self.images.values()) + IMAGE_BYTES > self.disk_bytes

    def hand_out(self, name: str, digest: str = "") -> str:
        """The digest of an image that is here, pulled if it was not."""
        found = self.images.get(digest.removeprefix("sha256:")) if digest else find(self.images.values(), name)
        now = self.now()
        if found is None:
            digest = digest or f"sha256:{hash_of(name)}"
            holding = Holding(origin="pulled", acquired_at=now, last_used_at=now)
            found = MachineImage(
                id=digest.removeprefix("sha256:"),
                digest=digest,
                digests=frozenset({digest}),
                names=(parse(name).canonical,),
                size_bytes=IMAGE_BYTES,
                created_at=now,
                holding=holding,
            )
            self.images[found.id] = found
        self.handed[found.id] = now
        return found.digest

    def chance(self, probability: float) -> bool:
        return probability > 0 and self.rng.random() < probability

    def start(
        self, key: str, name: str, *, restart: int = 0, image_digest: str = "", is_checked: bool = False
    ) -> FakeContainer:
        self._pids += 1
        container = FakeContainer(
            pid=self._pids, deaf=self.chance(self.behaviour.deaf), began=self.now(), restart=restart
        )
        container.image_digest = image_digest
        self.containers.setdefault(key, {})[name] = container
        self.started.append((key, name))
        if self.chance(self.behaviour.exits_at_once):
            self._exit_in(key, name, container, 0.0)
        elif self.chance(self.behaviour.exits):
            self._exit_in(key, name, container, self.rng.uniform(0, self.behaviour.run_s))
        if is_checked:
            # Healthy soon, most often; then it may turn, and turn back.
            statuses = self.rng.choice(
                (
                    (HealthStatus.HEALTHY,),
                    (HealthStatus.UNHEALTHY,),
                    (HealthStatus.HEALTHY, HealthStatus.UNHEALTHY, HealthStatus.HEALTHY),
                )
            )
            delay_s = 0.0
            for status in statuses:
                delay_s += self.rng.uniform(0, self.behaviour.run_s / 2)
                self.after(container, delay_s, partial(self.turn, key, name, container, status))
        return container

    def turn(self, key: str, name: str, container: FakeContainer, status: HealthStatus) -> None:
        """A container's health check finds something else."""
        if container.runs:
            container.health = status
            if self.listener is not None:
                self.listener(key, r.ContainerHealthChanged(container=name, status=status))

    def exit(self, key: str, name: str, code: int, *, oom_killed: bool = False) -> None:
        """A container's process ends."""
        container = self.containers.get(key, {}).get(name)
        if container is None or not container.runs:
            return
        container.exit_code, container.oom_killed, container.exited_at = code, oom_killed, self.now()
        self.ended.add((key, name, container.restart))
        for timer in container.timers:
            timer.cancel()
        self._tell_exit(key, name, container)
        if self.chance(self.behaviour.late_exit):
            late_s = self.rng.choice((0.0, self.rng.uniform(0, 2 * self.behaviour.delay_s)))
            asyncio.get_running_loop().call_later(late_s, self._tell_again, key, name, container)

    def _tell_again(self, key: str, name: str, container: FakeContainer) -> None:
        """Of a run, that is: a node tells the end of one attempt to start before it makes the next."""
        there = self.containers.get(key, {}).get(name)
        if there is container or (there is not None and there.restart != container.restart):
            self._tell_exit(key, name, container)

    def _tell_exit(self, key: str, name: str, container: FakeContainer) -> None:
        if self.listener is not None:
            self.listener(key, exit_fact(name, container))

    def _exit_in(self, key: str, name: str, container: FakeContainer, delay_s: float) -> None:
        code = self.rng.choice((0, 0, 1, 137))
        oom_killed = code == 137 and self.rng.random() < 0.5
        self.after(container, delay_s, lambda: self.exit(key, name, code, oom_killed=oom_killed))

    def after(self, container: FakeContainer, delay_s: float, what: Callable[[], None]) -> None:
        container.timers.append(asyncio.get_running_loop().call_later(delay_s, what))

    def remove(self, key: str, name: str) -> None:
        containers = self.containers.get(key, {})
        container = containers.pop(name, None)
        if container is not None:
            for timer in container.timers:
                timer.cancel()
        if not containers:
            self.containers.pop(key, None)

    def power_cut(self) -> None:
        """The machine restarts: nothing runs, no network is there; what containers left on disk still is."""
        for containers in self.containers.values():
            for container in containers.values():
                for timer in container.timers:
                    timer.cancel()
                if container.runs:
                    container.exit_code, container.exited_at = 137, self.now()
        self.networks.clear()
        self.volumes.clear()
        # A volume of EBS is made a device again with the next start.


def exit_fact(name: str, container: FakeContainer) -> r.ContainerExited:
    return r.ContainerExited(
        container=name,
        exit_code=container.exit_code,
        oom_killed=container.oom_killed,
        exited_at=container.exited_at,
        restart=container.restart,
    )


class FakeNode:
    """One run of the node's code.

    Args:
        check: called with each effect as it begins; returns what is wrong about it, in words.
    """

    def __init__(self, machine: Machine, check: Callable[[NodeEffect], list[str]] = lambda effect: []) -> None:
        self.machine, self._check = machine, check
        self.under_way: set[tuple[str, str]] = set()
        self.most_starts = 0
        self._starts = 0
        self._pulling: dict[tuple[str, str], str] = {}  # (task key, container) -> image
        self.vpcs: dict[str, VpcConfig] = {}
        self.flows: dict[str, tuple[Flow, ...]] = {}
        """By VPC: those that its router leads."""
        self.counted_flows: dict[FlowOwner, FlowCounts] = {}
        self.open_flows: dict[tuple[str, str, int], int] = {}
        """By target group, address and port."""
        self.instances: dict[str, InstanceConfig] = {}

    async def start(self, listener: FactListener) -> None:
        self.machine.listener = listener

    async def recover(self, tasks: Sequence[Task]) -> list[tuple[str, AnyFact]]:
        await self._delay()
        live = {task.key: task for task in tasks}
        machine = self.machine
        for key in [each for each in machine.containers if each not in live]:
            for name in list(machine.containers[key]):
                machine.remove(key, name)
        machine.networks &= set(live)
        machine.volumes = {key: names for key, names in machine.volumes.items() if key in live}
        facts: list[tuple[str, AnyFact]] = []
        for key, task in live.items():
            there = machine.containers.get(key, {})
            for h in task.history:
                container = there.get(h.name)
                if container is not None and container.runs:
                    facts.append(
                        (key, r.ContainerStarted(container=h.name, pid=container.pid, restart=container.restart))
                    )
                    if container.health is not HealthStatus.UNKNOWN:
                        facts.append((key, r.ContainerHealthChanged(container=h.name, status=container.health)))
                elif container is not None:
                    facts.append((key, exit_fact(h.name, container)))
                elif h.started_at is not None and h.exit is None and h.down is None:
                    facts.append((key, r.ContainerExited(container=h.name, exit_code=None)))
            if task.network_ready_at is not None and key not in machine.networks:
                facts.append((key, r.StartFailed(reason="ResourceInitializationError: the task's network is gone")))
        return facts

    async def execute(self, effect: NodeEffect) -> AnyFact:
        machine, behaviour = self.machine, self.machine.behaviour
        resource = (effect.task_key, effect.key)
        machine.wrong += self._check(effect)
        if resource in self.under_way:
            machine.wrong.append(f"two effects at once on {effect.key} of {effect.task_key}")
        self.under_way.add(resource)
        if isinstance(effect, r.PullImage):
            self._pulling[resource] = effect.image
        self._starts += isinstance(effect, r.StartContainer)
        self.most_starts = max(self.most_starts, self._starts)
        try:
            await self._delay()
            if machine.chance(behaviour.hangs):
                await asyncio.sleep(10_000)
            if machine.chance(behaviour.passing):
                if machine.rng.random() < 0.5:
                    self._do(effect)
                retry_at = machine.now() + timedelta(seconds=machine.rng.random())
                return r.EffectFailed(effect_key=effect.key, reason="a passing cause", retry_at=retry_at)
            fact = self._do(effect)
            if machine.chance(behaviour.lost):
                await asyncio.sleep(10_000)
            await self._delay()
            return fact
        finally:
            self._starts -= isinstance(effect, r.StartContainer)
            self.under_way.discard(resource)
            self._pulling.pop(resource, None)

    async def apply_vpc(self, config: VpcConfig) -> None:
        await self._delay()
        self.vpcs[config.vpc.id] = config

    async def remove_vpc(self, vpc_id: str) -> None:
        self.vpcs.pop(vpc_id, None)

    async def retain_vpcs(self, vpc_ids: Collection[str]) -> None:
        self.vpcs = {vpc_id: config for vpc_id, config in self.vpcs.items() if vpc_id in vpc_ids}

    async def apply_balancer_network(self, name: str, vpc_id: str, enis: Sequence[EniConfig]) -> str:
        return f"/run/netns/{name}"

    async def apply_flows(self, vpc_id: str, flows: Sequence[Flow]) -> None:
        await self._delay()
        self.flows[vpc_id] = tuple(flows)

    async def flow_counts(self) -> Mapping[FlowOwner, FlowCounts]:
        return dict(self.counted_flows)

    async def standing_flows(self, target_group_arn: str) -> Mapping[tuple[str, int], int]:
        return {key[1:]: count for key, count in self.open_flows.items() if key[0] == target_group_arn}

    async def end_flows(self, target_group_arn: str, address: str, port: int) -> None:
        self.open_flows.pop((target_group_arn, address, port), None)

    async def apply_instance(self, config: InstanceConfig) -> None:
        await self._delay()
        self.instances[config.instance_id] = config

    async def remove_instance(self, instance_id: str, eni: EniAttachment | None) -> None:
        await self._delay()
        self.instances.pop(instance_id, None)

    async def accepts_connections(self, netns_path: str, address: str, port: int) -> bool:
        return True

    async def remove_balancer_network(self, name: str) -> None:
        pass

    def ephemeral_storage(self, task_id: str) -> tuple[int, int] | None:
        here = any(key.endswith(f"/{task_id}") for key in self.machine.containers)
        return (0, 20 * 1024**3) if here else None

    async def usage(self, runtime_id: str) -> Usage | None:
        return Usage(at=self.machine.now()) if self.machine.containers else None

    def process(self, runtime_id: str) -> int | None:
        return None  # there are no processes

    def pulls(self) -> Sequence[PullProgress]:
        return tuple(
            PullProgress(reference=image, source=image, names=(image,), started_at=self.machine.now())
            for image in sorted(set(self._pulling.values()))
        )

    async def images(self) -> Sequence[MachineImage]:
        return list(self.machine.images.values())

    async def image_disk_percent(self) -> float:
        used = sum(each.size_bytes for each in self.machine.images.values())
        return 100.0 * used / self.machine.disk_bytes

    async def note_image_use(self, last_uses: Mapping[str, datetime], in_use: Collection[str], as_of: datetime) -> None:
        for image in list(self.machine.images.values()):
            if image.holding is not None:
                at = max(last_uses.get(image.digest, image.holding.last_used_at), image.holding.last_used_at)
                self.machine.images[image.id] = replace(image, holding=replace(image.holding, last_used_at=at))

    async def remove_image(self, image_id: str, names: Collection[str] | None = None, *, as_of: datetime) -> int:
        await self._delay()
        if self.machine.handed.get(image_id, as_of) > as_of:
            raise ImageInUse("it was given to a task meanwhile")
        image = self.machine.images.get(image_id)
        if image is None:
            return 0
        left = tuple(each for each in image.names if names is not None and each not in names)
        if left:
            self.machine.images[image_id] = replace(image, names=left)
            return 0
        del self.machine.images[image_id]
        for key, containers in self.machine.containers.items():
            users = [each for each, container in containers.items() if container.image_digest in image.digests]
            self.machine.wrong += [f"the image of {each} of {key} was removed under it" for each in users]
        return image.size_bytes

    async def open_exec(self, task_key: str, container: str, command: Sequence[str]) -> ExecSession:
        found = self.machine.containers.get(task_key, {}).get(container)
        if found is None or not found.runs:
            raise OSError(f"the container {container} is not running")
        return FakeExecSession()

    async def close(self) -> None:
        self.machine.listener = None

    async def _delay(self) -> None:
        longest_s = self.machine.behaviour.delay_s
        await asyncio.sleep(self.machine.rng.uniform(0, longest_s) if longest_s else 0)

    def _do(self, effect: NodeEffect) -> AnyFact:
        machine, key = self.machine, effect.task_key
        match effect:
            case r.CreateNetwork():
                machine.networks.add(key)
                return r.NetworkReady()
            case r.ReleaseNetwork():
                if machine.containers.get(key):
                    machine.wrong.append(f"the network of {key} was released under {sorted(machine.containers[key])}")
                machine.networks.discard(key)
                return r.NetworkReleased()
            case r.PullImage(container=name, image=image):
                if machine.chance(machine.behaviour.pull_fails):
                    return r.StartFailed(container=name, reason=f"CannotPullContainerError: {image}: not found")
                if machine.lacks_space_for(image, effect.digest):
                    return r.StartFailed(container=name, reason=f"CannotPullContainerError: {image}: {NO_SPACE}")
                return r.ImagePulled(container=name, digest=machine.hand_out(image, effect.digest))
            case r.StartContainer():
                return self._start(effect)
            case r.SignalContainer(container=name):
                return self._signal(key, name)
            case r.KillContainer(container=name):
                return self._kill(key, name)
            case r.RemoveContainer(container=name):
                machine.remove(key, name)
                return r.ContainerRemoved(container=name)
            case r.AttachEbsVolume(volume_id=volume_id):
                if volume_id in (there := [each for user, each in machine.ebs.items() if user != key]):
                    machine.wrong.append(f"{volume_id} of {there} was attached twice")
                machine.ebs[key] = volume_id
                return r.EbsVolumeAttached()
            case r.DetachEbsVolume():
                if machine.containers.get(key):
                    machine.wrong.append(
                        f"the EBS volume of {key} was detached under {sorted(machine.containers[key])}"
                    )
                machine.ebs.pop(key, None)
                return r.EbsVolumeDetached()
            case r.ReleaseVolumes():
                if machine.containers.get(key):
                    machine.wrong.append(f"the volumes of {key} were released under {sorted(machine.containers[key])}")
                machine.volumes.pop(key, None)
                return r.VolumesReleased()

    def _start(self, effect: r.StartContainer) -> AnyFact:
        machine, key, name = self.machine, effect.task_key, effect.container
        if effect.eni is not None and key not in machine.networks:
            machine.wrong.append(f"{name} of {key} was started without a network")
        before = machine.containers.get(key, {}).get(name)
        policy = effect.definition.restart_policy
        if effect.restart and before is not None and before.restart < effect.restart and before.exited_at is not None:
            ran_s = (before.exited_at - before.began).total_seconds()
            if policy is None or before.exit_code in policy.ignored_exit_codes:
                machine.wrong.append(f"{name} of {key} was restarted after exit code {before.exit_code}")
            elif ran_s < (300 if policy.attempt_period_s is None else policy.attempt_period_s):
                machine.wrong.append(f"{name} of {key} was restarted after {ran_s} s")
            machine.restarts += 1
        elif effect.restart and before is None:
            machine.wrong.append(f"{name} of {key} was restarted, and what it wrote was gone")
        if effect.ebs_mount is not None and machine.ebs.get(key) != effect.ebs_mount.volume_id:
            machine.wrong.append(f"{name} of {key} was started without its EBS volume")
        if effect.definition.mount_points:
            machine.volumes.setdefault(key, set()).add(name)
        fails = machine.chance(machine.behaviour.start_fails)
        # What a container wrote outlasts a restart that fails: there may be another attempt.
        is_kept = fails and effect.restart and before is not None and not before.runs
        if name in machine.containers.get(key, {}) and not is_kept:
            machine.remove(key, name)  # an earlier start whose answer was lost
        if fails:
            return r.StartFailed(container=name, reason="CannotStartContainerError: exec: not found", exit_code=127)
        machine.handed[effect.image_digest.removeprefix("sha256:")] = machine.now()
        container = machine.start(
            key,
            name,
            restart=effect.restart,
            image_digest=effect.image_digest,
            is_checked=effect.definition.health_check is not None,
        )
        return r.ContainerStarted(container=name, pid=container.pid, restart=container.restart)

    def _signal(self, key: str, name: str) -> AnyFact:
        machine = self.machine
        container = machine.containers.get(key, {}).get(name)
        if container is None:
            return r.ContainerExited(container=name, exit_code=None)
        if not container.runs:
            return exit_fact(name, container)
        if not container.deaf:
            delay_s = machine.rng.uniform(0, 2 * machine.behaviour.delay_s)
            machine.after(container, delay_s, lambda: machine.exit(key, name, 143))
        return r.ContainerSignalled(container=name)

    def _kill(self, key: str, name: str) -> AnyFact:
        machine = self.machine
        machine.killed.add((key, name))
        container = machine.containers.get(key, {}).get(name)
        if container is None:
            return r.ContainerExited(container=name, exit_code=None)
        if not container.runs:
            return exit_fact(name, container)
        if not machine.chance(machine.behaviour.unkillable):
            machine.after(container, 0.0, lambda: machine.exit(key, name, 137))
        return r.ContainerKilled(container=name)


class FakeExecSession:
    """A terminal that echoes, whatever the command; ^D ends it."""

    def __init__(self) -> None:
        self._echoed: asyncio.Queue[bytes] = asyncio.Queue()
        self._ended = asyncio.Event()

    async def read(self) -> bytes:
        return b"" if self._ended.is_set() and self._echoed.empty() else await self._echoed.get()

    async def write(self, data: bytes) -> None:
        if data == b"\x04":
            await self.close()
        else:
            self._echoed.put_nowait(data)

    def resize(self, rows: int, columns: int) -> None:
        pass

    async def wait(self) -> int:
        await self._ended.wait()
        return 0

    async def close(self) -> None:
        self._ended.set()
        self._echoed.put_nowait(b"")


def hash_of(image: str) -> str:
    """64 hex digits that stand for an image."""
    return f"{random.Random(image).getrandbits(256):064x}"
