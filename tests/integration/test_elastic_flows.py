"""Public addresses of load balancers' interfaces: who reaches them, from where, and which way answers take."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from network_lab import (
    ANYTHING_IN,
    ANYTHING_OUT,
    BALANCER,
    OPEN,
    TO_INTERNET,
    VPC_ID,
    Host,
    Lab,
    allow,
    eni_of,
    group,
    lab_at,
    subnet_config,
    wait_until,
)

from portside.domain.flow import Flow, FlowBackend

pytestmark = pytest.mark.integration

GROUPS = (
    group(OPEN, ANYTHING_IN, ANYTHING_OUT),
    group(BALANCER, allow(protocol="tcp", from_port=80, to_port=80, cidr="0.0.0.0/0"), ANYTHING_OUT),
)
NEAR, FAR = subnet_config("172.31.0.0/20", TO_INTERNET), subnet_config("172.31.16.0/20")
LEG, PUBLIC, OTHER_PUBLIC, WORLD = "172.31.0.10", "198.18.0.20", "198.18.0.21", "203.0.113.1"
OTHER_VPC = "vpc-00000000000000002"


@pytest.fixture
def lab(tmp_path: Path, outside: Host) -> Iterator[Lab]:
    with lab_at(tmp_path / "lab", egress=str(outside.path)) as made:
        made.apply_subnets(NEAR, FAR, groups=GROUPS)
        yield made


def lead(lab: Lab, *targets: Host, port: int = 80, protocol: str = "tcp", **fields: Any) -> None:
    places = tuple(sorted((each.address, 8080) for each in targets))
    backend = FlowBackend(target_group_arn="arn:tg", targets=places, **fields)
    made = Flow(load_balancer_arn="arn:lb", address=LEG, protocol=protocol, port=port, backends=(backend,), idle_s=350)
    lab.run(lab.network.apply_flows(VPC_ID, [made]))


def seen(client: Host, target: Host, *, source: str = "", to: str = PUBLIC) -> str | None:
    """Whom the target sees when the client connects to the public address; None if nothing comes."""
    with target.listening(8080) as listener:
        try:
            made = client.connect(to, 80, source=source)
        except OSError:
            return None
        with closing(made), closing(Host.accept(listener)) as accepted:
            made.sendall(b"to target" * 1000)
            assert accepted.recv(9) == b"to target"
            accepted.sendall(b"to client")
            assert made.recv(100) == b"to client"
            return str(accepted.getpeername()[0])


def test_world_reaches_targets_without_a_way_out(lab: Lab, outside: Host) -> None:
    """Who connects to the public address from outside comes to a target in a subnet without any route, which sees the
    client or the load balancer as it should; a proxy's socket at the leg is reached, too; what the load balancer's
    groups do not admit is not."""
    target = lab.task("172.31.16.20", OPEN)
    (leg,) = lab.balancer("lb", [eni_of(LEG, BALANCER, public=PUBLIC)])
    lead(lab, target, keeps_client=True)
    assert seen(outside, target, source=WORLD) == WORLD
    lead(lab, target)
    assert seen(outside, target, source=WORLD) == LEG
    lead(lab)
    with (
        leg.listening(80) as listener,
        outside.connect(PUBLIC, 80, source=WORLD) as made,
        closing(Host.accept(listener)) as accepted,
    ):
        assert accepted.getpeername()[0] == WORLD
        accepted.sendall(b"hello")
        assert made.recv(10) == b"hello"
    lead(lab, target, port=81, keeps_client=True)
    with target.listening(8080):
        assert outside.cannot_connect(PUBLIC, 81)


def test_datagrams_from_the_world(lab: Lab, outside: Host) -> None:
    """Datagrams to the public address are answered from it."""
    target = lab.task("172.31.16.20", OPEN)
    lab.balancer("lb", [eni_of(LEG, OPEN, public=PUBLIC)])
    lead(lab, target, protocol="udp", port=53, keeps_client=True)
    with target.open_socket(socket.SOCK_DGRAM) as server, outside.open_socket(socket.SOCK_DGRAM) as client:
        server.bind((target.address, 8080))
        client.bind((WORLD, 0))
        client.sendto(b"who", (PUBLIC, 53))
        data, peer = server.recvfrom(100)
        assert (data, peer) == (b"who", client.getsockname())
        server.sendto(b"me", peer)
        assert client.recvfrom(100) == (b"me", (PUBLIC, 53))


def test_tasks_reach_it_by_the_way_out(lab: Lab) -> None:
    """A task with a public address of its own comes by it, from the same VPC and from another."""
    lab.apply(group(OPEN, ANYTHING_IN, ANYTHING_OUT), vpc_id=OTHER_VPC)
    target = lab.task("172.31.16.20", OPEN)
    lab.balancer("lb", [eni_of(LEG, BALANCER, public=PUBLIC)])
    lead(lab, target, keeps_client=True)
    near = lab.task("172.31.0.4", OPEN, public="198.18.0.4")
    away = lab.task("172.31.0.4", OPEN, public="198.18.0.5", vpc_id=OTHER_VPC)
    assert seen(near, target) == "198.18.0.4"
    assert seen(away, target) == "198.18.0.5"
    assert seen(near, target, to=LEG) == near.address, "inside the VPC it is a way of its own"
    assert seen(target, near) is None, "its subnet has no way out"


def test_only_a_public_subnet_is_reached(lab: Lab, outside: Host) -> None:
    """A leg in a subnet without a route to the internet gateway is not reached by its public address."""
    target = lab.task("172.31.0.20", OPEN)
    lab.balancer("lb", [eni_of(LEG, BALANCER, public=PUBLIC)])
    lead(lab, target, keeps_client=True)
    assert seen(outside, target, source=WORLD) == WORLD
    lab.apply_subnets(subnet_config("172.31.0.0/20"), FAR, groups=GROUPS)
    with target.listening(8080):
        assert outside.cannot_connect(PUBLIC, 80)


def test_public_address_comes_and_goes(lab: Lab, outside: Host) -> None:
    """It leads there while no process is and after the next one began; another one takes its place, and none."""
    target = lab.task("172.31.16.20", OPEN)
    leg = eni_of(LEG, BALANCER, public=PUBLIC)
    lab.balancer("lb", [leg])
    lead(lab, target, keeps_client=True)
    lab.restart()
    assert seen(outside, target, source=WORLD) == WORLD
    lab.apply_subnets(NEAR, FAR, groups=GROUPS)
    assert seen(outside, target, source=WORLD) == WORLD
    lab.balancer("lb", [msgspec.structs.replace(leg, public_address=OTHER_PUBLIC)])
    assert seen(outside, target, source=WORLD, to=OTHER_PUBLIC) == WORLD
    with target.listening(8080):
        assert outside.cannot_connect(PUBLIC, 80)
        lab.run(lab.network.remove_balancer_network("lb"))
        wait_until(lambda: outside.cannot_connect(OTHER_PUBLIC, 80), "nothing leads there")
