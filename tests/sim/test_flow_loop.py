"""Flows of Network Load Balancers in virtual time: what routers are given, how targets drain, when flows are ended."""

from collections.abc import Sequence

import pytest
from test_balancer_loop import World, simulate

from portside.domain.flow import Flow
from portside.domain.table import ENI


def make(world: World, protocol: str = "TCP", **attributes: str) -> tuple[str, str]:
    """A load balancer without groups, with one listener at port 53; returns its ARN and its group's."""
    balancer = world.call("CreateLoadBalancer", Name="net", Type="network", Subnets=world.subnet_ids[:1])
    arn = balancer["LoadBalancers"][0]["LoadBalancerArn"]
    vpc_id = balancer["LoadBalancers"][0]["VpcId"]
    made = world.call("CreateTargetGroup", Name="net", Protocol=protocol, Port=53, VpcId=vpc_id, TargetType="ip")
    group = made["TargetGroups"][0]["TargetGroupArn"]
    named = [{"Key": key.replace("__", "."), "Value": value} for key, value in attributes.items()]
    if named:
        world.call("ModifyTargetGroupAttributes", TargetGroupArn=group, Attributes=named)
    actions = [{"Type": "forward", "TargetGroupArn": group}]
    world.call("CreateListener", LoadBalancerArn=arn, Protocol=protocol, Port=53, DefaultActions=actions)
    return arn, group


def led(world: World) -> tuple[Flow, ...]:
    (found,) = world.node.flows.values()
    return found


def test_routers_are_given_the_flows() -> None:
    """A load balancer's flows are the router's from its first target to its end; its legs have no groups if it has
    none."""

    async def body(world: World) -> None:
        arn, group = make(world, "TCP_UDP")
        world.call("RegisterTargets", TargetGroupArn=group, Targets=[{"Id": world.address}])
        world.plane.answer(world.address)
        await world.settle()
        balancer = world.balancer(arn)
        assert balancer is not None
        assert [(each.protocol, each.address, each.port) for each in led(world)] == [
            (protocol, balancer.zones[0].address, 53) for protocol in ("tcp", "udp")
        ]
        assert all(each.backends[0].targets == ((world.address, 53),) for each in led(world))
        (eni,) = world.store.find(ENI, "owner", f"loadbalancer:{arn}")
        assert eni.security_group_ids == ()
        (config,) = world.plane.configs
        assert config.in_kernel == {config.listeners[0].arn}
        world.call("DeleteLoadBalancer", LoadBalancerArn=arn)
        await world.settle(5)
        assert led(world) == ()

    simulate(body)


def test_target_drains_until_its_flows_have_ended() -> None:
    """A deregistered target leaves the router's choice at once and is drained when its last flow has ended."""

    async def body(world: World) -> None:
        _, group = make(world)
        targets = [{"Id": world.address}]
        world.call("RegisterTargets", TargetGroupArn=group, Targets=targets)
        world.plane.answer(world.address)
        await world.settle()
        world.node.open_flows[group, world.address, 53] = 2
        world.call("DeregisterTargets", TargetGroupArn=group, Targets=targets)
        await world.settle(30)
        assert led(world)[0].backends[0].targets == ()
        target = world.target(group)
        assert target is not None
        assert target.drained_at is None
        del world.node.open_flows[group, world.address, 53]
        await world.settle()
        target = world.target(group)
        assert target is not None
        assert target.drained_at is not None

    simulate(body)


@pytest.mark.parametrize("ends", [True, False])
def test_flows_that_end_with_the_delay(ends: bool) -> None:
    """What is open when the delay ends is ended where the target group says so, and goes on where it does not; never
    before."""

    async def body(world: World) -> None:
        _, group = make(
            world,
            deregistration_delay__timeout_seconds="20",
            deregistration_delay__connection_termination__enabled="true" if ends else "false",
        )
        targets = [{"Id": world.address}]
        world.call("RegisterTargets", TargetGroupArn=group, Targets=targets)
        world.plane.answer(world.address)
        await world.settle()
        key = (group, world.address, 53)
        world.node.open_flows[key] = world.plane.requests[key] = 1
        world.call("DeregisterTargets", TargetGroupArn=group, Targets=targets)
        await world.settle(15)
        assert key in world.node.open_flows
        assert key in world.plane.requests
        await world.settle(10)
        assert (key in world.node.open_flows) != ends
        assert (key in world.plane.requests) != ends
        assert world.target(group) is None

    simulate(body)


def test_a_router_that_fails_holds_up_nobody_else() -> None:
    """While a VPC's router takes no flows, its Network Load Balancers say so and others are served; it
    is tried again until it works."""

    async def body(world: World) -> None:
        works, broken = world.node.apply_flows, True

        async def apply_flows(vpc_id: str, flows: Sequence[Flow]) -> None:
            if broken and flows:
                raise OSError("no room")
            await works(vpc_id, flows)

        world.node.apply_flows = apply_flows  # type: ignore[method-assign]
        arn, group = make(world)
        web, _ = world.make()
        world.call("RegisterTargets", TargetGroupArn=group, Targets=[{"Id": world.address}])
        await world.settle(5)
        states = {each: world.balancer(each) for each in (arn, web)}
        assert [(each.state, each.state_reason) for each in states.values() if each is not None] == [
            ("failed", "no room"),
            ("active", ""),
        ]
        broken = False
        await world.settle(5)
        mended = world.balancer(arn)
        assert mended is not None
        assert mended.state == "active"
        assert led(world) != ()

    simulate(body)


def test_flows_of_a_load_balancer_that_went_while_portside_was_down() -> None:
    """The first configuration takes away what a router still leads and nobody has any more."""

    async def body(world: World) -> None:
        arn, group = make(world)
        world.call("RegisterTargets", TargetGroupArn=group, Targets=[{"Id": world.address}])
        await world.settle()
        assert led(world) != ()
        await world.loop.close()
        world.call("DeleteLoadBalancer", LoadBalancerArn=arn)
        world.boot()
        await world.loop.start()
        await world.settle(5)
        assert led(world) == ()

    simulate(body)


async def two_healthy(world: World, group: str) -> tuple[str, str]:
    """The addresses of two registered targets, both healthy."""
    first = world.address
    other = f"{first.rpartition('.')[0]}.{int(first.rpartition('.')[2]) + 1}"
    world.call("RegisterTargets", TargetGroupArn=group, Targets=[{"Id": first}, {"Id": other}])
    world.plane.answer(first)
    world.plane.answer(other)
    await world.settle()
    return first, other


@pytest.mark.parametrize("ends", [True, False])
def test_flows_to_a_target_that_becomes_unhealthy(ends: bool) -> None:
    """They end where the target group says so and another target is healthy; never those of the last one left, to which
    new flows go all the same; and again when it becomes unhealthy again."""

    async def body(world: World) -> None:
        _, group = make(
            world, target_health_state__unhealthy__connection_termination__enabled="true" if ends else "false"
        )
        first, other = await two_healthy(world, group)
        keys = [(group, each, 53) for each in (first, other)]
        for _ in range(2):
            for key in keys:
                world.node.open_flows[key] = world.plane.requests[key] = 1
            world.plane.answer(first, ok=False)
            await world.settle()
            assert (keys[0] in world.node.open_flows) != ends
            assert (keys[0] in world.plane.requests) != ends
            world.plane.answer(other, ok=False)
            await world.settle()
            assert keys[1] in world.node.open_flows
            assert keys[1] in world.plane.requests
            world.plane.answer(other)
            world.plane.answer(first)
            await world.settle()

    simulate(body)


def test_an_unhealthy_target_that_drains() -> None:
    """For as long as the target group says, an unhealthy target is said to drain; it gets no new flows, and open ones
    go on."""

    async def body(world: World) -> None:
        _, group = make(
            world,
            target_health_state__unhealthy__connection_termination__enabled="false",
            target_health_state__unhealthy__draining_interval_seconds="20",
        )
        first, other = await two_healthy(world, group)
        key = (group, first, 53)
        world.node.open_flows[key] = 1
        world.plane.answer(first, ok=False)
        named = {"TargetGroupArn": group, "Targets": [{"Id": first}]}
        states = []
        for _ in range(2):
            await world.settle(15)
            health = world.call("DescribeTargetHealth", **named)["TargetHealthDescriptions"][0]["TargetHealth"]
            states.append(health["State"])
            assert health["Reason"]
            assert led(world)[0].backends[0].targets == ((other, 53),)
        assert states == ["unhealthy.draining", "unhealthy"]
        assert key in world.node.open_flows

    simulate(body)
