"""The balancer loop in virtual time: a real store and handlers, a node and a data plane in memory."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from portside.api.ec2.default_network import ensure_default_network
from portside.api.elbv2.service import elbv2_service
from portside.aws.service import RequestContext
from portside.control.balancers import BalancerLoop
from portside.control.enis import Enis
from portside.control.targets import Targets
from portside.control.vpcs import VpcLoop
from portside.domain.load_balancer import LoadBalancer, Target
from portside.domain.record import replace
from portside.domain.table import ENI, LOAD_BALANCER, SECURITY_GROUP, SUBNET, TARGET
from portside.domain.task.record import TargetRef
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
        await world.settle()
        assert world.health(group) == ("initial", "Elb.InitialHealthChecking")
        world.plane.answer(world.address)
        await world.settle()
        assert world.health(group) == ("healthy", "")
        world.plane.answer(world.address, ok=False)
        await world.settle()
        assert world.health(group) == ("unhealthy", "Target.FailedHealthChecks")

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
