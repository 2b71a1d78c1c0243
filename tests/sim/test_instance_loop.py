"""The instance loop on a store and a machine in memory: what is asked for comes true, whatever is interrupted."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import pytest

from portside.api.ec2.default_network import ensure_default_network
from portside.api.ec2.instance import InstanceHandlers
from portside.api.ec2.instance_request import NATIVE_ARCHITECTURE
from portside.aws.service import RequestContext
from portside.control import instances
from portside.control.clock import RandomIds, SystemClock
from portside.control.enis import Enis
from portside.control.instances import InstanceLoop
from portside.control.vpcs import VpcLoop
from portside.domain import ecs_image, instance
from portside.domain.cluster import Cluster
from portside.domain.instance import Instance, InstanceState
from portside.domain.record import Scope, replace
from portside.domain.table import CLUSTER, CONTAINER_INSTANCE, ENI, INSTANCE, TASK
from portside.domain.task.record import EniAttachment, Placement, StopCode, Task, TaskStatus
from portside.node.interface import InstanceConfig, VpcConfig
from portside.store.interface import Delete, Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")
PATH = "amazon-linux-2023" if NATIVE_ARCHITECTURE == "x86_64" else "amazon-linux-2023/arm64"
IMAGE = ecs_image.parameter(SCOPE.region, f"{ecs_image.PREFIX}{PATH}/recommended/image_id")
TYPE = "t3.small" if NATIVE_ARCHITECTURE == "x86_64" else "t4g.small"


class Node:
    """A machine that fails as often as it is told to."""

    def __init__(self) -> None:
        self.instances: dict[str, InstanceConfig] = {}
        self.failures = 0
        self.launch_error: OSError | None = None

    async def apply_vpc(self, config: VpcConfig) -> None:
        pass

    async def retain_vpcs(self, vpc_ids: Collection[str]) -> None:
        pass

    async def apply_instance(self, config: InstanceConfig) -> None:
        if self.launch_error is not None:
            raise self.launch_error
        await self._work()
        self.instances[config.instance_id] = config

    async def remove_instance(self, instance_id: str, eni: EniAttachment | None) -> None:
        await self._work()
        self.instances.pop(instance_id, None)

    async def _work(self) -> None:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise OSError("the machine is busy")


class World:
    """A store with the default network, a machine, and loops that come and go."""

    def __init__(self) -> None:
        self.store, self.clock, self.ids = MemoryStore(), SystemClock(), RandomIds()
        ensure_default_network(self.store, self.clock, self.ids, SCOPE)
        self.store.transact(Put(CLUSTER, Cluster(scope=SCOPE, name="default", created_at=self.clock.now())))
        self.node: Any = Node()
        self.api = InstanceHandlers(self.store, self.clock, self.ids).handlers()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """One run of Portside."""
        enis = Enis(self.store, self.ids, "198.18.0.0/21")
        vpcs = VpcLoop(self.store, self.clock, self.node)
        loop = InstanceLoop(self.store, self.clock, self.ids, self.node, enis, vpcs, architecture=NATIVE_ARCHITECTURE)
        await vpcs.start()
        await loop.start()
        try:
            yield
        finally:
            await loop.close()
            await vpcs.close()
            enis.close()

    def call(self, operation: str, **params: Any) -> Any:
        context = RequestContext(SCOPE.account, SCOPE.region, "ec2", operation, "request", SCOPE.account)
        return self.api[operation](context, params)

    def launch(self, **params: Any) -> str:
        asked = {"ImageId": IMAGE, "InstanceType": TYPE, "MinCount": 1, "MaxCount": 1, **params}
        return str(self.call("RunInstances", **asked)["Instances"][0]["InstanceId"])

    def instance(self, instance_id: str) -> Instance:
        found = self.store.get(INSTANCE, f"{SCOPE.prefix}{instance_id}")
        assert found is not None
        return found

    async def reaches(self, instance_id: str, state: InstanceState, *, timeout_s: float = 10) -> Instance:
        await self.until(lambda: self.instance(instance_id).state is state, timeout_s=timeout_s)
        return self.instance(instance_id)

    async def until(self, holds: Callable[[], bool], *, timeout_s: float = 10) -> None:
        """Return once the store says so."""
        changed = asyncio.Event()
        end = self.store.subscribe(lambda _: changed.set())
        try:
            async with asyncio.timeout(timeout_s):
                while not holds():
                    await changed.wait()
                    changed.clear()
        finally:
            end()

    def place(self, instance_id: str) -> str:
        """A running task on the instance; its key."""
        (joined,) = self.store.find(CONTAINER_INSTANCE, "instance", f"{SCOPE.prefix}{instance_id}")
        now = self.clock.now()
        task = Task(
            scope=SCOPE,
            cluster=joined.cluster,
            id=self.ids.hex(32),
            task_definition_arn="arn",
            family="web",
            revision=1,
            group="family:web",
            launch_type="EC2",
            network_mode="bridge",
            containers=(),
            created_at=now,
            cause_id="test",
            last_status=TaskStatus.RUNNING,
            placement=Placement(
                container_instance=joined.id,
                instance_id=instance_id,
                zone=joined.zone,
                address=joined.address,
                private_dns_name="",
            ),
        )
        self.store.transact(Put(TASK, task))
        return task.key

    def end(self, key: str) -> None:
        task = self.store.get(TASK, key)
        assert task is not None
        self.store.transact(Put(TASK, replace(task, last_status=TaskStatus.STOPPED, stopped_at=self.clock.now())))


def test_up_and_down() -> None:
    """A launched instance is made, joins its cluster with its public address, and leaves nothing when it is
    terminated; failures of the machine only delay it."""

    async def life() -> None:
        world = World()
        world.node.failures = 2
        async with world.running():
            name = world.launch()
            await world.reaches(name, InstanceState.RUNNING)
            config = world.node.instances[name]
            assert (config.cpu_units, config.memory_mib) == (2048, 2048)
            assert config.eni.public_address is not None
            (joined,) = world.store.scan(CONTAINER_INSTANCE)
            assert (joined.instance_id, joined.agent_connected) == (name, True)
            world.node.failures = 2
            world.call("TerminateInstances", InstanceIds=[name])
            await world.reaches(name, InstanceState.TERMINATED)
        assert world.node.instances == {}
        assert list(world.store.scan(ENI)) == []
        assert list(world.store.scan(CONTAINER_INSTANCE)) == []

    asyncio.run(life())


def test_tasks_go_before_their_instance() -> None:
    """The tasks on an instance that stops are asked to stop; it is there until the last of them has."""

    async def life() -> None:
        world = World()
        async with world.running():
            name = world.launch()
            await world.reaches(name, InstanceState.RUNNING)
            keys = [world.place(name) for _ in range(2)]
            world.call("StopInstances", InstanceIds=[name])
            await world.until(lambda: all(world.store.get(TASK, key).stop is not None for key in keys))
            stop = world.store.get(TASK, keys[0]).stop
            assert (stop.code, stop.reason) == (StopCode.TERMINATION_NOTICE, f"Host EC2 (instance {name}) stopped.")
            world.end(keys[0])
            await asyncio.sleep(0)
            assert name in world.node.instances
        async with world.running():  # Portside died meanwhile
            world.end(keys[1])
            await world.reaches(name, InstanceState.STOPPED)
            assert world.node.instances == {}
            (joined,) = world.store.scan(CONTAINER_INSTANCE)
            assert not joined.agent_connected
            (eni,) = world.store.scan(ENI)
            assert eni.public_address is None
            world.call("StartInstances", InstanceIds=[name])
            await world.reaches(name, InstanceState.RUNNING)
            (again,) = world.store.scan(CONTAINER_INSTANCE)
            assert (again.id, again.agent_connected) == (joined.id, True)

    asyncio.run(life())


def test_what_stays_registered() -> None:
    """An instance that is terminated while it is stopped stays registered, as on AWS; one that waits for its cluster
    joins it as soon as it is there."""

    async def life() -> None:
        world = World()
        async with world.running():
            script = base64.b64encode(b"echo ECS_CLUSTER=blue >> /etc/ecs/ecs.config").decode()
            name = world.launch(UserData=script)
            await world.reaches(name, InstanceState.RUNNING)
            assert not world.instance(name).registered
            world.store.transact(Put(CLUSTER, Cluster(scope=SCOPE, name="blue", created_at=world.clock.now())))
            await world.until(lambda: world.instance(name).registered)
            world.call("StopInstances", InstanceIds=[name])
            await world.reaches(name, InstanceState.STOPPED)
            world.call("TerminateInstances", InstanceIds=[name])
            await world.reaches(name, InstanceState.TERMINATED)
            (left,) = world.store.scan(CONTAINER_INSTANCE)
            assert (left.cluster, left.agent_connected) == ("blue", False)

    asyncio.run(life())


def test_interrupted_anywhere() -> None:
    """However often Portside dies on the way, what was asked for comes true once it runs long enough."""

    async def life() -> None:
        world = World()
        names = [world.launch() for _ in range(3)]
        for _ in range(5):
            async with world.running():
                await asyncio.sleep(0)
        async with world.running():
            for name in names:
                await world.reaches(name, InstanceState.RUNNING)
        assert len(list(world.store.scan(CONTAINER_INSTANCE))) == 3
        world.call("TerminateInstances", InstanceIds=names)
        for _ in range(5):
            async with world.running():
                await asyncio.sleep(0)
        async with world.running():
            for name in names:
                await world.reaches(name, InstanceState.TERMINATED)
        assert world.node.instances == {}
        assert list(world.store.scan(ENI)) == []
        gone = world.clock.now() + instance.TERMINATED_SEEN
        assert all(instance.is_gone(world.instance(name), now=gone) for name in names)

    asyncio.run(life())


def test_reboot_and_another_type() -> None:
    """A reboot ends the tasks and keeps the instance; one whose type has changed meanwhile does not join as what it was
    registered as, until that is deregistered."""

    async def life() -> None:
        world = World()
        async with world.running():
            name = world.launch()
            await world.reaches(name, InstanceState.RUNNING)
            key = world.place(name)
            world.call("RebootInstances", InstanceIds=[name])
            await world.until(lambda: world.store.get(TASK, key).stop is not None)
            assert world.store.get(TASK, key).stop.reason == f"Host EC2 (instance {name}) rebooted."
            assert world.instance(name).state is InstanceState.RUNNING
            world.end(key)
            await world.until(lambda: not world.instance(name).reboot_asked)
            await world.until(lambda: all(each.agent_connected for each in world.store.scan(CONTAINER_INSTANCE)))
            world.call("StopInstances", InstanceIds=[name])
            await world.reaches(name, InstanceState.STOPPED)
            other = TYPE.replace("small", "large")
            world.call("ModifyInstanceAttribute", InstanceId=name, InstanceType={"Value": other})
            world.call("StartInstances", InstanceIds=[name])
            await world.reaches(name, InstanceState.RUNNING)
            assert world.node.instances[name].memory_mib == 8192
            (joined,) = world.store.scan(CONTAINER_INSTANCE)
            assert not joined.agent_connected
            world.store.transact(Delete(CONTAINER_INSTANCE, joined.key))
            world.call("RebootInstances", InstanceIds=[name])
            await world.until(lambda: world.instance(name).registered)
            (joined,) = world.store.scan(CONTAINER_INSTANCE)
            assert (joined.instance_type, joined.memory_mib) == (other, 8192)

    asyncio.run(life())


def test_a_launch_that_keeps_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance that the machine can not have ends with EC2's reason, and leaves nothing."""

    async def life() -> None:
        world = World()
        monkeypatch.setattr(instances, "LAUNCH_ATTEMPTS", 3)
        world.node.launch_error = OSError("no bridge in this kernel")
        async with world.running():
            name = world.launch()
            gone = await world.reaches(name, InstanceState.TERMINATED, timeout_s=60)
            assert gone.reason_code == "Server.InternalError"
            shown = world.call("DescribeInstances", InstanceIds=[name])["Reservations"][0]["Instances"][0]
            assert shown["StateReason"]["Message"] == "Server.InternalError: Internal error on launch"
        assert list(world.store.scan(ENI)) == []
        assert list(world.store.scan(CONTAINER_INSTANCE)) == []

    asyncio.run(life())
