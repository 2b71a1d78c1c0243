"""The balancer loop in virtual time: a real store and handlers, a node and a data plane in memory."""

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from portside.api.ec2.default_network import ensure_default_network
from portside.api.elb.service import elb_service
from portside.api.elbv2.service import elbv2_service
from portside.aws.service import RequestContext
from portside.control.balancers import BalancerLoop
from portside.control.enis import Enis
from portside.control.targets import Targets
from portside.control.vpcs import VpcLoop
from portside.domain.classic_load_balancer_rule import group_arn
from portside.domain.instance import Instance, InstanceState
from portside.domain.load_balancer import LoadBalancer, Target
from portside.domain.record import replace
from portside.domain.table import (
    CLASSIC_LOAD_BALANCER,
    ENI,
    INSTANCE,
    LOAD_BALANCER,
    SECURITY_GROUP,
    SUBNET,
    TARGET,
    TASK,
)
from portside.domain.task.record import Placement, Stop, StopCode, TargetRef, Task
from portside.node.interface import EniConfig
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.testing.balancer_lab import SCOPE
from portside.testing.clock import LoopClock, SeededIds, VirtualTimeLoop
from portside.testing.fake_balancer import FakeBalancer
from portside.testing.fake_node import Behaviour, FakeNode, Machine
from portside.vault.aes import AesVault

CONTEXT = RequestContext(
    account=SCOPE.account, region=SCOPE.region, service="elbv2", operation="", request_id="r", access_key_id="k"
)


class Node(FakeNode):
    """Remembers the balancers' namespaces, and in which order things went."""

    def __init__(self, machine: Machine, said: list[str]) -> None:
        super().__init__(machine)
        self.networks: dict[str, tuple[EniConfig, ...]] = {}
        self.said = said

    async def apply_balancer_network(self, name: str, vpc_id: str, enis: Sequence[EniConfig]) -> str:
        assert vpc_id in self.vpcs, "the VPC comes first"
        self.networks[name] = tuple(enis)
        return f"/run/netns/{name}"

    async def accepts_connections(self, netns_path: str, address: str, port: int) -> bool:
        return True

    async def remove_balancer_network(self, name: str) -> None:
        self.networks.pop(name, None)
        self.said.append("network removed")


class Plane(FakeBalancer):
    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self.said = said

    async def apply(self, configs: Any) -> None:
        await asyncio.sleep(0.3)
        await super().apply(configs)
        self.said.append(f"applied {len(self.configs)}")


class World:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.clock, self.ids, self.store = LoopClock(loop), SeededIds(), MemoryStore()
        ensure_default_network(self.store, self.clock, self.ids, SCOPE)
        self.said: list[str] = []
        self.node = Node(Machine(self.clock.now, random.Random(0), Behaviour()), self.said)
        self.plane = Plane(self.said)
        self.targets = Targets(self.store, self.clock)
        self.handlers = elbv2_service(self.store, self.clock, self.ids).handlers
        self.boot()

    def boot(self) -> None:
        """As at a start of Portside."""
        self.enis = Enis(self.store, self.ids)
        self.vpcs = VpcLoop(self.store, self.clock, self.node)
        plane, vault = self.plane, AesVault(bytes(32))
        self.loop = BalancerLoop(self.store, self.clock, self.ids, self.node, plane, self.enis, self.vpcs, vault)

    def call(self, operation: str, **params: Any) -> Any:
        return self.handlers[operation](CONTEXT, params)

    @property
    def subnet_ids(self) -> list[str]:
        return [subnet.id for subnet in self.store.scan(SUBNET, SCOPE.prefix)]

    @property
    def address(self) -> str:
        """An address in the first subnet, for a target."""
        first = next(iter(self.store.scan(SUBNET, SCOPE.prefix)))
        return first.cidr_block.split("/")[0].rsplit(".", 1)[0] + ".200"

    def make(self, name: str = "web", delay_s: int = 300) -> tuple[str, str]:
        """A load balancer with one listener to one group; returns their ARNs."""
        balancer = self.call("CreateLoadBalancer", Name=name, Subnets=self.subnet_ids[:2])["LoadBalancers"][0]
        group = self.call(
            "CreateTargetGroup", Name=name, Protocol="HTTP", Port=80, VpcId=balancer["VpcId"], TargetType="ip"
        )["TargetGroups"][0]["TargetGroupArn"]
        delay = {"Key": "deregistration_delay.timeout_seconds", "Value": str(delay_s)}
        self.call("ModifyTargetGroupAttributes", TargetGroupArn=group, Attributes=[delay])
        arn: str = balancer["LoadBalancerArn"]
        actions = [{"Type": "forward", "TargetGroupArn": group}]
        self.call("CreateListener", LoadBalancerArn=arn, Protocol="HTTP", Port=80, DefaultActions=actions)
        return arn, group

    def balancer(self, arn: str) -> LoadBalancer | None:
        return self.store.get(LOAD_BALANCER, SCOPE.prefix + arn)

    def target(self, group: str) -> Target | None:
        return next(iter(self.store.find(TARGET, "target_group", group)), None)

    def health(self, group: str) -> tuple[str, str]:
        (shown,) = self.call("DescribeTargetHealth", TargetGroupArn=group)["TargetHealthDescriptions"]
        return shown["TargetHealth"]["State"], shown["TargetHealth"].get("Reason", "")

    async def settle(self, seconds: float = 1) -> None:
        await asyncio.sleep(seconds)


def simulate(body: Callable[[World], Awaitable[None]]) -> None:
    loop = VirtualTimeLoop()

    async def run() -> None:
        world = World(loop)
        await world.loop.start()
        try:
            await body(world)
        finally:
            await world.loop.close()
            await world.vpcs.close()

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()


def test_load_balancer_becomes_active() -> None:
    """It gets an interface and a host address per zone, a namespace with both, and is active once it is configured."""

    async def body(world: World) -> None:
        arn, _ = world.make()
        await world.settle()
        made = world.balancer(arn)
        assert made is not None
        assert made.state == "active"
        enis = {eni.subnet_id: eni for eni in world.store.find(ENI, "owner", f"loadbalancer:{arn}")}
        assert [zone.address for zone in made.zones] == [enis[zone.subnet_id].address for zone in made.zones]
        assert len({zone.host_address for zone in made.zones}) == 2
        assert {eni.interface_type for eni in enis.values()} == {"load_balancer"}
        assert all(eni.description.startswith("ELB app/web/") for eni in enis.values())
        (legs,) = world.node.networks.values()
        assert [leg.address for leg in legs] == [zone.address for zone in made.zones]
        (config,) = world.plane.configs
        assert len(config.listeners) == 1

    simulate(body)


def test_many_changes_are_applied_together() -> None:
    """Twenty targets registered at once cost few configurations, not twenty."""

    async def body(world: World) -> None:
        _, group = world.make()
        await world.settle()
        before = world.plane.applied
        base = world.address.rsplit(".", 1)[0]
        for number in range(20):
            world.call("RegisterTargets", TargetGroupArn=group, Targets=[{"Id": f"{base}.{100 + number}"}])
        await world.settle()
        assert len(world.plane.checked()) == 20
        assert world.plane.applied - before <= 2

    simulate(body)


def test_health_reaches_the_record() -> None:
    """What the data plane reports is what DescribeTargetHealth says."""

    async def body(world: World) -> None:
        _, group = world.make()
        world.call("RegisterTargets", TargetGroupArn=group, Targets=[{"Id": world.address}])
        assert world.health(group) == ("initial", "Elb.RegistrationInProgress")
        await world.settle(3)
        assert world.health(group) == ("initial", "Elb.InitialHealthChecking")
        world.plane.answer(world.address)
        await world.settle()
        assert world.health(group) == ("healthy", "")
        world.plane.answer(world.address, ok=False)
        await world.settle()
        assert world.health(group) == ("unhealthy", "Target.FailedHealthChecks")

    simulate(body)


def test_a_zone_that_is_not_enabled() -> None:
    """A target in such a zone is unused and the data plane is not told of it; it is checked once the zone is enabled,
    and forgotten, its draining too, when the zone is left. A load balancer's own address is no target."""

    async def body(world: World) -> None:
        arn, group = world.make()
        subnets = list(world.store.scan(SUBNET, SCOPE.prefix))
        far = subnets[2].cidr_block.split("/")[0].rsplit(".", 1)[0] + ".200"
        world.call("RegisterTargets", TargetGroupArn=group, Targets=[{"Id": far}])
        await world.settle(3)
        assert world.health(group) == ("unused", "Target.NotInUse")
        assert world.plane.checked() == set()
        world.call("SetSubnets", LoadBalancerArn=arn, Subnets=[each.id for each in subnets[:3]])
        await world.settle(3)
        assert world.health(group) == ("initial", "Elb.InitialHealthChecking")
        fresh = world.target(group)
        assert fresh is not None
        assert fresh.failure_code == ""
        world.plane.answer(far)
        await world.settle()
        assert world.health(group) == ("healthy", "")
        world.call("SetSubnets", LoadBalancerArn=arn, Subnets=[each.id for each in subnets[:2]])
        await world.settle(3)
        assert world.health(group) == ("unused", "Target.NotInUse")
        known = world.target(group)
        assert known is not None
        assert (known.checked, known.failure_code) == ("unknown", "Target.NotInUse"), "so that others can tell"
        assert world.plane.checked() == set()
        world.call("DeregisterTargets", TargetGroupArn=group, Targets=[{"Id": far}])
        await world.settle()
        assert world.target(group) is None
        balancer = world.balancer(arn)
        assert balancer is not None
        world.call("RegisterTargets", TargetGroupArn=group, Targets=[{"Id": balancer.zones[0].address}])
        await world.settle(3)
        assert world.health(group) == ("unused", "Target.IpUnusable")
        assert world.plane.checked() == set()

    simulate(body)


def test_drain_ends_when_idle_and_shows_draining_until_the_delay_ends() -> None:
    """Draining waits for the open request, not for the delay; the target shows as draining until that has passed."""

    async def body(world: World) -> None:
        _, group = world.make(delay_s=60)
        ref = TargetRef(target_group_arn=group, container_name="web", container_port=80)
        world.targets.register(SCOPE, (ref,), world.address, "us-east-1a", world.clock.now())
        await world.settle()
        world.plane.requests[(group, world.address, 80)] = 1
        draining = asyncio.get_running_loop().create_task(world.targets.drain(SCOPE, (ref,), world.address))
        await world.settle(20)
        assert not draining.done()
        assert world.health(group)[0] == "draining"
        world.plane.requests.clear()
        await world.settle(1)
        assert draining.done()
        assert world.health(group) == ("draining", "Target.DeregistrationInProgress")
        await world.settle(40)
        assert world.target(group) is None

    simulate(body)


def test_drain_never_takes_longer_than_the_delay() -> None:
    """A request that never ends holds a target for the deregistration delay and no longer."""

    async def body(world: World) -> None:
        _, group = world.make(delay_s=60)
        ref = TargetRef(target_group_arn=group, container_name="web", container_port=80)
        world.targets.register(SCOPE, (ref,), world.address, "us-east-1a", world.clock.now())
        await world.settle()
        world.plane.requests[(group, world.address, 80)] = 1
        began = world.clock.now()
        await world.targets.drain(SCOPE, (ref,), world.address)
        assert timedelta(seconds=55) < world.clock.now() - began <= timedelta(seconds=61)

    simulate(body)


def test_drain_ends_without_the_loop() -> None:
    """Should the loop that ends draining be stuck, a task that stops still waits no longer than the delay."""

    async def body(world: World) -> None:
        _, group = world.make(delay_s=60)
        ref = TargetRef(target_group_arn=group, container_name="web", container_port=80)
        world.targets.register(SCOPE, (ref,), world.address, "us-east-1a", world.clock.now())
        await world.loop.close()
        began = world.clock.now()
        await world.targets.drain(SCOPE, (ref,), world.address)
        assert world.clock.now() - began == timedelta(seconds=60)

    simulate(body)


def test_target_of_an_unused_group_drains_at_once() -> None:
    """Nothing sends requests to it, so there is nothing to wait for, and no record stays."""

    async def body(world: World) -> None:
        arn, group = world.make()
        world.call("DeleteLoadBalancer", LoadBalancerArn=arn)
        ref = TargetRef(target_group_arn=group, container_name="web", container_port=80)
        world.targets.register(SCOPE, (ref,), world.address, "us-east-1a", world.clock.now())
        began = world.clock.now()
        await world.targets.drain(SCOPE, (ref,), world.address)
        assert world.clock.now() - began < timedelta(seconds=5)
        assert world.target(group) is None

    simulate(body)


def test_target_registered_again_while_draining() -> None:
    """It is a new target at once: not draining, and the delay of before does not end it."""

    async def body(world: World) -> None:
        _, group = world.make(delay_s=30)
        world.plane.answer(world.address)
        target = [{"Id": world.address}]
        world.call("RegisterTargets", TargetGroupArn=group, Targets=target)
        await world.settle()
        world.call("DeregisterTargets", TargetGroupArn=group, Targets=target)
        await world.settle(10)
        world.call("RegisterTargets", TargetGroupArn=group, Targets=target)
        await world.settle(60)
        assert world.health(group) == ("healthy", "")

    simulate(body)


def test_deletion_goes_in_order_and_leaves_nothing() -> None:
    """First the data plane lets go, then the namespace goes, then interfaces and host addresses are free."""

    async def body(world: World) -> None:
        arn, _ = world.make()
        await world.settle()
        world.said.clear()
        world.call("DeleteLoadBalancer", LoadBalancerArn=arn)
        await world.settle(10)
        assert world.said.index("applied 0") < world.said.index("network removed")
        assert list(world.store.scan(ENI)) == []
        assert world.node.networks == {}
        assert world.plane.claim_host_address("other", "a", "127.66.9.1") == "127.66.9.1"

    simulate(body)


def test_deletion_while_portside_was_down() -> None:
    """What was deleted but not yet taken down when Portside ended is taken down by the next start."""

    async def body(world: World) -> None:
        arn, _ = world.make()
        kept, _ = world.make("kept")
        await world.settle()
        await world.loop.close()
        world.call("DeleteLoadBalancer", LoadBalancerArn=arn)
        await world.settle(5)
        assert len(world.node.networks) == 2
        world.boot()
        await world.loop.start()
        await world.settle(10)
        assert len(world.node.networks) == 1
        assert {eni.owner for eni in world.store.scan(ENI)} == {f"loadbalancer:{kept}"}
        assert [config.load_balancer.arn for config in world.plane.configs] == [kept]

    simulate(body)


def test_start_takes_no_load_balancer_away() -> None:
    """At a start, nothing is taken from the data plane while a load balancer's namespace is still being looked at; one
    whose namespace can not be made keeps out no other."""

    async def body(world: World) -> None:
        world.make()
        broken, _ = world.make("broken")
        await world.settle()
        assert world.said[-1] == "applied 2"
        await world.loop.close()
        world.said.clear()
        world.boot()
        apply = world.node.apply_balancer_network

        async def slow(name: str, vpc_id: str, enis: Sequence[EniConfig]) -> str:
            await asyncio.sleep(2)
            if broken.endswith(name):
                raise OSError("no namespace")
            return await apply(name, vpc_id, enis)

        world.node.apply_balancer_network = slow  # type: ignore[method-assign]
        await world.loop.start()
        await world.settle(1)
        assert world.said == []
        await world.settle(4)
        assert set(world.said) == {"applied 1"}

    simulate(body)


def test_security_groups_and_subnets_follow() -> None:
    """Other security groups and subnets reach the interfaces and the namespace."""

    async def body(world: World) -> None:
        arn, _ = world.make()
        await world.settle()
        (default,) = world.store.scan(SECURITY_GROUP, SCOPE.prefix)
        world.store.transact(Put(SECURITY_GROUP, replace(default, id="sg-other", name="other")))
        world.call("SetSecurityGroups", LoadBalancerArn=arn, SecurityGroups=["sg-other"])
        world.call("SetSubnets", LoadBalancerArn=arn, Subnets=world.subnet_ids[1:3])
        await world.settle(5)
        enis = list(world.store.scan(ENI))
        assert {eni.security_group_ids for eni in enis} == {("sg-other",)}
        assert {eni.subnet_id for eni in enis} == set(world.subnet_ids[1:3])
        (legs,) = world.node.networks.values()
        assert {leg.eni_id for leg in legs} == {eni.id for eni in enis}
        assert {leg.security_group_ids for leg in legs} == {("sg-other",)}

    simulate(body)


def test_broken_data_plane_is_said_and_mended() -> None:
    """While the data plane refuses, the load balancer says why; once it works again, it is active."""

    async def body(world: World) -> None:
        world.plane.broken = "no envoy"
        arn, _ = world.make()
        await world.settle(5)
        made = world.balancer(arn)
        assert made is not None
        assert (made.state, made.state_reason) == ("failed", "no envoy")
        world.plane.broken = ""
        await world.settle(5)
        made = world.balancer(arn)
        assert made is not None
        assert (made.state, made.state_reason) == ("active", "")

    simulate(body)


def test_broken_data_plane_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """While it does not start for ten minutes that is said a few times, and another reason for it at once."""

    def said(why: str) -> int:
        return sum(each.getMessage().endswith(why) for each in caplog.records)

    async def body(world: World) -> None:
        world.plane.broken = "no envoy"
        world.make()
        await world.settle(600)
        assert 1 < said("no envoy") < 6
        world.plane.broken = "no memory"
        await world.settle(5)
        assert said("no memory") == 1

    simulate(body)


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_calls_ends_right(seed: int) -> None:
    """After any sequence of calls, what remains in the store is what the data plane has, and nothing is left over."""

    async def body(world: World) -> None:
        rng = random.Random(seed)
        made: list[tuple[str, str]] = []
        base = world.address.rsplit(".", 1)[0]
        for step in range(40):
            match rng.randrange(6):
                case 0 if len(made) < 4:
                    made.append(world.make(f"lb-{step}", delay_s=rng.choice((0, 5, 60))))
                case 1 if made:
                    arn, _ = made.pop(rng.randrange(len(made)))
                    world.call("DeleteLoadBalancer", LoadBalancerArn=arn)
                case 2 | 3 if made:
                    _, group = rng.choice(made)
                    target = [{"Id": f"{base}.{rng.randrange(100, 104)}"}]
                    world.call(
                        rng.choice(("RegisterTargets", "DeregisterTargets")), TargetGroupArn=group, Targets=target
                    )
                case 4:
                    world.plane.answer(f"{base}.{rng.randrange(100, 104)}", rng.random() < 0.7)
                case 5 if rng.random() < 0.3:
                    await world.loop.close()
                    world.boot()
                    await world.loop.start()
                case _:
                    await world.settle(rng.choice((0, 0.05, 3)))
        await world.settle(200)
        arns = {arn for arn, _ in made}
        assert {config.load_balancer.arn for config in world.plane.configs} == arns
        assert set(world.node.networks) == {arn.rpartition("/")[2] for arn in arns}
        assert len(list(world.store.scan(ENI))) == 2 * len(arns)
        for target in world.store.scan(TARGET):
            assert target.deregistered_at is None, "every delay has passed"
            expected = world.plane.answers.get(target.id)
            if target.target_group_arn in {group for _, group in made} and expected is not None:
                assert target.checked == ("healthy" if expected else "unhealthy")

    simulate(body)


class Classic:
    """A Classic Load Balancer from ports 80 and 81 to ports 8080 and 8081 of one instance."""

    def __init__(self, world: World) -> None:
        self.world, self.handlers = world, elb_service(world.store, world.clock, world.ids).handlers
        subnet = next(iter(world.store.scan(SUBNET, SCOPE.prefix)))
        self.instance = Instance(
            scope=SCOPE,
            id="i-1",
            reservation_id="r-1",
            image_id="ami-1",
            instance_type="t3.small",
            eni_id="eni-1",
            subnet_id=subnet.id,
            vpc_id=subnet.vpc_id,
            zone=subnet.zone,
            address=world.address,
            launched_at=world.clock.now(),
            state=InstanceState.RUNNING,
        )
        world.store.transact(Put(INSTANCE, self.instance))
        listeners = [
            {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 8080},
            {"Protocol": "TCP", "LoadBalancerPort": 81, "InstancePort": 8081},
        ]
        self.call("CreateLoadBalancer", LoadBalancerName="old", Subnets=[subnet.id], Listeners=listeners)

    def call(self, operation: str, **params: Any) -> Any:
        return self.handlers[operation](dataclasses.replace(CONTEXT, service="elb"), params)

    def state(self) -> str:
        named = [{"InstanceId": "i-1"}]
        (found,) = self.call("DescribeInstanceHealth", LoadBalancerName="old", Instances=named)["InstanceStates"]
        return f"{found['State']}: {found['Description']}"

    def registered(self) -> list[str]:
        found = self.world.store.get(CLASSIC_LOAD_BALANCER, f"{SCOPE.prefix}old")
        assert found is not None
        return [each.id for each in found.instances]

    def ref(self, port: int) -> TargetRef:
        return TargetRef(
            target_group_arn=group_arn(SCOPE, "old", port),
            container_name="main",
            container_port=80,
            host_port=port,
            load_balancer_name="old",
        )

    def task(self, number: int, port: int) -> Task:
        """One that runs on the instance, behind the load balancer."""
        placement = Placement(
            container_instance="c",
            instance_id="i-1",
            zone=self.instance.zone,
            address=self.instance.address,
            private_dns_name="",
        )
        made = Task(
            scope=SCOPE,
            cluster="default",
            id=f"task-{number}",
            task_definition_arn="d",
            family="web",
            revision=1,
            group="family:web",
            launch_type="EC2",
            containers=(),
            placement=placement,
            network_mode="bridge",
            targets=(self.ref(port),),
            created_at=self.world.clock.now(),
            cause_id="test",
        )
        self.world.store.transact(Put(TASK, made))
        return made


def test_classic_load_balancer() -> None:
    """An instance is in service when its checks succeed at every port, drains when it is deregistered, and nothing is
    left of a deleted load balancer."""

    async def body(world: World) -> None:
        classic = Classic(world)
        classic.call(
            "ModifyLoadBalancerAttributes",
            LoadBalancerName="old",
            LoadBalancerAttributes={"ConnectionDraining": {"Enabled": True, "Timeout": 60}},
        )
        named = [{"InstanceId": "i-1"}]
        classic.call("RegisterInstancesWithLoadBalancer", LoadBalancerName="old", Instances=named)
        await world.settle()
        assert classic.state() == "OutOfService: Instance registration is still in progress."
        assert {key[1:] for key in world.plane.checked()} == {(world.address, 8080), (world.address, 8081)}
        world.plane.answer(world.address)
        await world.settle()
        assert classic.state() == "InService: N/A"
        world.plane.answer(world.address, ok=False)
        await world.settle()
        assert classic.state().startswith("OutOfService: Instance has failed at least the UnhealthyThreshold")
        world.plane.answer(world.address)
        await world.settle()
        group = group_arn(SCOPE, "old", 8080)
        world.plane.requests[(group, world.address, 8080)] = 1
        classic.call("DeregisterInstancesFromLoadBalancer", LoadBalancerName="old", Instances=named)
        await world.settle(50)
        assert classic.state() == "InService: Instance deregistration currently in progress."
        await world.settle(15)
        assert classic.state() == "OutOfService: Instance is not currently registered with the LoadBalancer."
        assert list(world.store.scan(TARGET)) == []
        classic.call("DeleteLoadBalancer", LoadBalancerName="old")
        await world.settle(10)
        assert world.plane.configs == ()
        assert world.node.networks == {}
        assert [eni for eni in world.store.scan(ENI) if eni.owner.startswith("loadbalancer:")] == []

    simulate(body)


def test_tasks_share_a_classic_load_balancer() -> None:
    """An instance is registered with its first task and stays until the last one that needs it goes."""

    async def body(world: World) -> None:
        classic = Classic(world)
        first, second = classic.task(1, 8080), classic.task(2, 8081)
        for task in (first, second, first):
            world.targets.register(SCOPE, task.targets, "i-1", "a", world.clock.now())
        assert classic.registered() == ["i-1"]
        await world.settle()
        world.plane.answer(world.address)
        await world.settle()
        assert classic.state() == "InService: N/A"
        stop = Stop(code=StopCode.USER_INITIATED, reason="test", at=world.clock.now())
        world.store.transact(Put(TASK, replace(first, stop=stop)))
        await world.targets.drain(SCOPE, first.targets, "i-1", first.key)
        assert classic.registered() == ["i-1"]
        assert classic.state() == "InService: N/A"
        # the second one's program ended: nobody has asked for its stop
        await world.targets.drain(SCOPE, second.targets, "i-1", second.key)
        assert classic.registered() == []
        await world.settle(10)
        assert list(world.store.scan(TARGET)) == []

    simulate(body)


def test_classic_load_balancer_goes_under_its_tasks() -> None:
    """A load balancer that is gone, or has no listener any more, holds up nobody."""

    async def body(world: World) -> None:
        classic = Classic(world)
        task = classic.task(1, 8080)
        classic.call("DeleteLoadBalancerListeners", LoadBalancerName="old", LoadBalancerPorts=[80, 81])
        world.targets.register(SCOPE, task.targets, "i-1", "a", world.clock.now())
        assert classic.registered() == ["i-1"]
        assert list(world.store.scan(TARGET)) == []
        await world.targets.drain(SCOPE, task.targets, "i-1", task.key)
        classic.call("DeleteLoadBalancer", LoadBalancerName="old")
        world.targets.register(SCOPE, task.targets, "i-1", "a", world.clock.now())
        await world.targets.drain(SCOPE, task.targets, "i-1", task.key)

    simulate(body)
