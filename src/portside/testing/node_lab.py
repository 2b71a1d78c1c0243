"""The real node without the rest: a plain network, a log store in memory, and effects in a few words."""

import asyncio
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from portside.domain.flow import Flow, FlowCounts, FlowOwner
from portside.domain.log import LogEvent, LogGroupMissing
from portside.domain.record import Scope
from portside.domain.task.record import (
    AnyFact,
    ContainerExited,
    ContainerHistory,
    CreateNetwork,
    EniAttachment,
    KillContainer,
    Placement,
    PullImage,
    ReleaseNetwork,
    RemoveContainer,
    SignalContainer,
    StartContainer,
    Task,
)
from portside.domain.task_definition import ContainerDefinition, LogConfiguration
from portside.node.interface import EniConfig, VpcConfig
from portside.node.linux import LinuxNode
from portside.node.network import netns
from portside.settings import Settings
from portside.testing.image import BUSYBOX_IMAGE

F = TypeVar("F", bound=AnyFact)

SCOPE = Scope(account="000000000000", region="us-east-1")
GROUP = "/test/lab"


class PlainNetwork:
    """Each task has an empty namespace: no link, no way anywhere. For tests of everything but networks."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.run_dir / "netns"

    async def start(self) -> None:
        netns.prepare_folder(self._folder)

    async def close(self) -> None:
        pass

    async def apply_vpc(self, config: VpcConfig) -> None:
        pass

    async def remove_vpc(self, vpc_id: str) -> None:
        pass

    async def retain_vpcs(self, vpc_ids: Collection[str]) -> None:
        pass

    def netns_path(self, task_key: str) -> Path:
        return self._folder / f"task-{task_key.rpartition('/')[2]}"

    async def attach_task(self, task_key: str, eni: EniAttachment) -> Path:
        pin = self.netns_path(task_key)
        if not netns.is_pinned(pin):
            netns.create(pin, lambda: None)
        return pin

    async def release_task(self, task_key: str, eni: EniAttachment | None) -> None:
        netns.drop(self.netns_path(task_key))

    async def apply_balancer_network(self, name: str, vpc_id: str, enis: Sequence[EniConfig]) -> str:
        raise NotImplementedError("a plain network has no load balancers")

    async def accepts_connections(self, netns_path: str, address: str, port: int) -> bool:
        raise NotImplementedError

    async def remove_balancer_network(self, name: str) -> None:
        raise NotImplementedError("a plain network has no load balancers")

    async def apply_flows(self, vpc_id: str, flows: Sequence[Flow]) -> None:
        pass

    async def flow_counts(self) -> Mapping[FlowOwner, FlowCounts]:
        return {}

    async def standing_flows(self, target_group_arn: str) -> Mapping[tuple[str, int], int]:
        return {}

    async def end_flows(self, target_group_arn: str, address: str, port: int) -> None:
        pass

    async def apply_instance(
        self, instance_id: str, eni: EniAttachment, further: Mapping[int, EniAttachment] = MappingProxyType({})
    ) -> None:
        raise NotImplementedError("a plain network has no instances")

    async def remove_instance(self, instance_id: str, eni: EniAttachment | None) -> None:
        raise NotImplementedError("a plain network has no instances")

    async def attach_placed(self, task_key: str, placement: Placement) -> None:
        raise NotImplementedError("a plain network has no instances")

    async def release_placed(self, task_key: str, placement: Placement) -> None:
        raise NotImplementedError("a plain network has no instances")

    def instance_netns_path(self, instance_id: str) -> Path:
        return self._folder / f"ec2-{instance_id}"

    def container_netns_path(self, task_key: str, container: str) -> Path:
        return self._folder / f"bridged-{task_key.rpartition('/')[2]}-{container}"

    async def recover(
        self,
        enis_by_task: Mapping[str, EniAttachment],
        balancer_names: Collection[str],
        placements_by_task: Mapping[str, Placement],
    ) -> None:
        wanted = {self.netns_path(key) for key in enis_by_task}
        for pin in self._folder.iterdir():
            if pin not in wanted:
                netns.drop(pin)
        for key, eni in enis_by_task.items():
            await self.attach_task(key, eni)


@dataclass
class MemorySink:
    """A log store in memory. While `open` is not set it takes nothing; `news` is set by what it takes."""

    groups: set[str] = field(default_factory=lambda: {GROUP})
    events: dict[str, list[LogEvent]] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open.set()

    async def open_stream(self, scope: Scope, group: str, stream: str, *, create_group: bool) -> None:
        if create_group:
            self.groups.add(group)
        if group not in self.groups:
            raise LogGroupMissing(group)
        self.events.setdefault(stream, [])

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent], mark: str = "") -> None:
        await self.open.wait()
        if group not in self.groups:
            raise LogGroupMissing(group)
        self.events.setdefault(stream, []).extend(events)
        if mark:
            self.marks[stream] = mark
        self.news.set()

    async def mark(self, scope: Scope, group: str, stream: str) -> str:
        return self.marks.get(stream, "")

    def lines(self, stream: str) -> list[str]:
        return [each.message for each in self.events.get(stream, [])]


@dataclass
class LabTask:
    """One task with one container, `main`, as the control plane would see it."""

    task_id: str
    start: StartContainer

    @property
    def key(self) -> str:
        return self.start.task_key

    @property
    def stream(self) -> str:
        return f"test/main/{self.task_id}"

    def _on_container(self) -> dict[str, Any]:
        return {"task_key": self.key, "container": "main", "runtime_id": self.start.runtime_id}

    @property
    def pull(self) -> PullImage:
        return PullImage(image=self.start.definition.image, **self._on_container())

    @property
    def signal(self) -> SignalContainer:
        return SignalContainer(**self._on_container())

    @property
    def kill(self) -> KillContainer:
        return KillContainer(**self._on_container())

    @property
    def remove(self) -> RemoveContainer:
        return RemoveContainer(**self._on_container())

    @property
    def create_network(self) -> CreateNetwork:
        assert self.start.eni is not None
        return CreateNetwork(task_key=self.key, eni=self.start.eni)

    @property
    def release_network(self) -> ReleaseNetwork:
        assert self.start.eni is not None
        return ReleaseNetwork(task_key=self.key, eni=self.start.eni)

    def record(self, *, started: bool = True) -> Task:
        """What the store would hold of it."""
        now = datetime.now(UTC)
        return Task(
            scope=SCOPE,
            cluster="lab",
            id=self.task_id,
            task_definition_arn="arn:aws:ecs:us-east-1:000000000000:task-definition/lab:1",
            family="lab",
            revision=1,
            group="family:lab",
            launch_type="FARGATE",
            containers=(self.start.definition,),
            created_at=now,
            cause_id="test",
            eni=self.start.eni,
            network_issued_at=now if self.start.eni else None,
            history=(
                ContainerHistory(
                    name="main",
                    runtime_id=self.start.runtime_id,
                    start_issued_at=now,
                    started_at=now if started else None,
                ),
            ),
        )


def lab_task(
    script: str,
    *,
    image: str = BUSYBOX_IMAGE,
    cpu_units: int | None = 256,
    memory_mib: int | None = 512,
    network_mode: str = "none",
    logged: bool = True,
    group: str = GROUP,
    **definition: Any,
) -> LabTask:
    """A task that runs a shell script. Further arguments are ContainerDefinition's, and win over the script."""
    task_id = secrets.token_hex(16)
    log = LogConfiguration(driver="awslogs", options={"awslogs-group": group, "awslogs-stream-prefix": "test"})
    fields: dict[str, Any] = {
        "name": "main",
        "image": image,
        "entry_point": ("/bin/sh", "-c"),
        "command": (script,),
        "log": log if logged else None,
    } | definition
    eni = EniAttachment(
        eni_id=f"eni-{task_id[:17]}",
        subnet_id="subnet-1",
        vpc_id="vpc-1",
        zone="us-east-1a",
        address="172.31.0.5",
        prefix_length=20,
        gateway="172.31.0.1",
        mac_address="02:00:00:00:00:05",
        private_dns_name="ip-172-31-0-5.ec2.internal",
        security_group_ids=(),
    )
    return LabTask(
        task_id,
        StartContainer(
            task_key=f"{SCOPE.prefix}lab/{task_id}",
            container="main",
            runtime_id=f"{task_id}-0123456789",
            scope=SCOPE,
            definition=ContainerDefinition(**fields),
            image_digest="",
            task_cpu_units=cpu_units,
            task_memory_mib=memory_mib,
            ephemeral_storage_gib=20,
            network_mode=network_mode,
            eni=eni if network_mode == "awsvpc" else None,
            task_arn=f"arn:aws:ecs:us-east-1:000000000000:task/lab/{task_id}",
            cluster="lab",
            family="lab",
            revision=1,
        ),
    )


class NodeLab:
    """One run of the real node, and what it told without being asked."""

    def __init__(self, settings: Settings, sink: MemorySink | None = None) -> None:
        self.settings = settings
        self.sink = sink or MemorySink()
        self.node = LinuxNode(settings, PlainNetwork(settings), self.sink)
        self.told: list[tuple[str, AnyFact]] = []
        self._news = asyncio.Event()

    async def __aenter__(self) -> "NodeLab":
        await self.node.start(self._listen)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.node.close()

    def _listen(self, key: str, fact: AnyFact) -> None:
        self.told.append((key, fact))
        self._news.set()

    async def exited(self, task: LabTask, *, timeout_s: float = 30) -> ContainerExited:
        """The task's exit, once it is told. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while True:
                for key, fact in self.told:
                    if key == task.key and isinstance(fact, ContainerExited):
                        return fact
                self._news.clear()
                await self._news.wait()

    async def run(self, task: LabTask) -> ContainerExited:
        """Start it and see its end; it is not removed."""
        await self.do(task.start)
        return await self.exited(task)

    async def do(self, effect: Any) -> AnyFact:
        """Raises AssertionError if it failed."""
        fact = await self.node.execute(effect)
        assert type(fact).__name__ not in ("StartFailed", "EffectFailed"), fact
        return fact

    async def lines(self, task: LabTask, count: int, *, timeout_s: float = 30) -> list[str]:
        """The task's output, once there are so many lines. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while len(found := self.sink.lines(task.stream)) < count:
                self.sink.news.clear()
                await self.sink.news.wait()
        return found
