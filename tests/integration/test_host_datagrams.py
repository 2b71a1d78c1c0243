"""Datagrams of the machine's own programs to Network Load Balancers: there and back, and what is left afterwards."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from network_lab import ANYTHING_IN, ANYTHING_OUT, BALANCER, OPEN, VPC_ID, WEB, Host, Lab, allow, eni_of, group, lab_at

from portside.domain.flow import Flow, FlowBackend

pytestmark = pytest.mark.integration

LEG, OTHER_LEG, ON_HOST, OTHER_ON_HOST = "172.31.0.10", "172.31.16.10", "127.66.253.7", "127.66.253.8"
GROUPS = (
    group(OPEN, ANYTHING_IN, ANYTHING_OUT),
    group(BALANCER, ANYTHING_OUT),
    group(WEB, allow(protocol="udp", from_port=8080, to_port=8080, group_id=BALANCER), ANYTHING_OUT),
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with lab_at(tmp_path) as made:
        made.apply(*GROUPS)
        yield made


def flow(*targets: Host, leg: str = LEG, on_host: str = ON_HOST, port: int = 5353, protocol: str = "udp") -> Flow:
    places = tuple(sorted((each.address, 8080) for each in targets))
    backend = FlowBackend(target_group_arn="arn:tg", targets=places, keeps_client=True)
    return Flow(
        load_balancer_arn="arn:lb",
        address=leg,
        protocol=protocol,
        port=port,
        backends=(backend,),
        idle_s=120,
        host_address=on_host,
    )


def lead(lab: Lab, *flows: Flow) -> None:
    lab.run(lab.network.apply_flows(VPC_ID, flows))


def seen(target: Host, to: str = ON_HOST, port: int = 5353, *, wait_s: float = 3) -> str | None:
    """Whom the target sees when a program of this machine sends it a datagram; None if nothing comes."""
    with (
        target.open_socket(socket.SOCK_DGRAM) as server,
        closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client,
    ):
        server.bind((target.address, 8080))
        server.settimeout(wait_s)
        client.settimeout(3)
        client.connect((to, port))
        client.send(b"question")
        try:
            data, peer = server.recvfrom(100)
        except TimeoutError:
            return None
        assert data == b"question"
        server.sendto(b"answer" * 200, peer)
        assert client.recv(2000) == b"answer" * 200
        return str(peer[0])


def test_programs_of_the_machine_reach_targets(lab: Lab) -> None:
    """A datagram to the load balancer's address on the host comes to a target as the load balancer's, whose groups let
    it out and the target's let it in, and is answered from there; other ports lead nowhere."""
    target = lab.task("172.31.16.20", WEB)
    lab.balancer("lb", [eni_of(LEG, BALANCER)])
    lead(lab, flow(target))
    assert seen(target) == LEG
    assert seen(target, port=5354, wait_s=0.3) is None
    counts = lab.run(lab.network.flow_counts())["arn:lb", "arn:tg", LEG, "udp"]
    assert counts.new == 1
    lab.apply(*GROUPS[:2], group(WEB, ANYTHING_OUT))
    assert seen(target, wait_s=0.3) is None, "the target's groups do not admit the load balancer"


def test_addresses_lead_to_their_own_targets(lab: Lab) -> None:
    """Each zone's address on the host leads to the targets of its own flows; answers find the one who asked."""
    one, two = lab.task("172.31.0.20", OPEN), lab.task("172.31.16.20", OPEN)
    lab.balancer("lb", [eni_of(LEG, BALANCER), eni_of(OTHER_LEG, BALANCER)])
    lead(lab, flow(one), flow(two, leg=OTHER_LEG, on_host=OTHER_ON_HOST))
    assert seen(one) == LEG
    assert seen(two, OTHER_ON_HOST) == OTHER_LEG
    with ExitStack() as stack:
        server = stack.enter_context(one.open_socket(socket.SOCK_DGRAM))
        server.bind((one.address, 8080))
        clients = [stack.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))) for _ in range(5)]
        for number, client in enumerate(clients):
            client.settimeout(3)
            client.sendto(str(number).encode(), (ON_HOST, 5353))
            data, peer = server.recvfrom(100)
            server.sendto(b"for " + data, peer)
        for number, client in enumerate(clients):
            assert client.recvfrom(100) == (f"for {number}".encode(), (ON_HOST, 5353))


def test_door_outlives_the_daemon_and_closes(lab: Lab) -> None:
    """While no process is there and after the next one began, programs reach their targets; without such a listener
    nothing of the way is left on the host."""
    target = lab.task("172.31.16.20", WEB)
    lab.balancer("lb", [eni_of(LEG, BALANCER)])
    lead(lab, flow(target))
    lab.restart()
    assert seen(target) == LEG
    lab.apply(*GROUPS)
    assert seen(target) == LEG
    lead(lab, flow(target, port=5355), flow(target, leg=LEG, protocol="tcp", port=80, on_host=""))
    assert seen(target, port=5355) == LEG
    lead(lab, flow(target, protocol="tcp", port=80, on_host=""))
    assert lab.traces() == [each for each in lab.traces() if "netns" in each], "no link and no table"
