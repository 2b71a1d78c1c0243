"""Flows of Network Load Balancers through a VPC's router: where they go, whom targets see, what groups say."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from network_lab import (
    ANYTHING_IN,
    ANYTHING_OUT,
    BALANCER,
    CLOSED,
    OPEN,
    VPC_ID,
    WEB,
    Host,
    Lab,
    allow,
    eni_of,
    group,
    lab_at,
    wait_until,
)

from portside.domain.flow import Flow, FlowBackend

LB, TG = "arn:lb", "arn:tg"
LEG = "172.31.0.10"
GROUPS = (
    group(OPEN, ANYTHING_IN, ANYTHING_OUT),
    group(CLOSED),
    group(BALANCER, allow(protocol="tcp", from_port=80, to_port=80, cidr="172.31.0.0/16"), ANYTHING_OUT),
    group(WEB, allow(protocol="tcp", from_port=8080, to_port=8080, group_id=BALANCER), ANYTHING_OUT),
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with lab_at(tmp_path) as made:
        made.apply(*GROUPS)
        yield made


def flow(*targets: Host, port: int = 80, protocol: str = "tcp", leg: str = LEG, **fields: Any) -> Flow:
    places = tuple(sorted((each.address, 8080) for each in targets))
    backend = FlowBackend(target_group_arn=TG, targets=places, **fields)
    return Flow(load_balancer_arn=LB, address=leg, protocol=protocol, port=port, backends=(backend,), idle_s=350)


def lead(lab: Lab, *flows: Flow) -> None:
    lab.run(lab.network.apply_flows(VPC_ID, flows))


def peer_seen(client: Host, target: Host, port: int = 80) -> tuple[str, int]:
    """Whom the target sees when the client connects to the load balancer."""
    with target.listening(8080) as listener, client.connect(LEG, port) as made:
        accepted = Host.accept(listener)
        with closing(accepted):
            assert made.getpeername() == (LEG, port)
            made.sendall(b"to target")
            assert accepted.recv(100) == b"to target"
            accepted.sendall(b"to client")
            assert made.recv(100) == b"to client"
            seen: tuple[str, int] = accepted.getpeername()
            if seen[0] == client.address:
                assert seen == made.getsockname()
            return seen


def test_targets_see_the_client_or_the_load_balancer(lab: Lab) -> None:
    """With the client's address preserved a target sees its address and port, without it the load balancer's."""
    client, target = lab.task("172.31.0.20", OPEN), lab.task("172.31.16.20", OPEN)
    lab.balancer("lb", [eni_of(LEG, OPEN)])
    lead(lab, flow(target, keeps_client=True))
    assert peer_seen(client, target)[0] == client.address
    lead(lab, flow(target))
    assert peer_seen(client, target)[0] == LEG
    assert peer_seen(target, target)[0] == LEG, "a target may be its own client then"


def test_groups_of_the_target_see_who_it_is_from(lab: Lab) -> None:
    """A target's rule of addresses means the client's address if that is preserved, else the load balancer's; a rule
    that names a group means the load balancer's groups in both cases, and never the client's."""
    client = lab.task("172.31.0.20", OPEN, "sg-00000000000000007")
    by_client, by_leg, by_group, by_client_group = (f"sg-0000000000000001{n}" for n in range(4))
    lab.apply(
        *GROUPS,
        group("sg-00000000000000007", ANYTHING_OUT),
        group(by_client, allow(protocol="tcp", from_port=8080, to_port=8080, cidr="172.31.0.20/32")),
        group(by_leg, allow(protocol="tcp", from_port=8080, to_port=8080, cidr="172.31.0.10/32")),
        group(by_group, allow(protocol="tcp", from_port=8080, to_port=8080, group_id=BALANCER)),
        group(by_client_group, allow(protocol="tcp", from_port=8080, to_port=8080, group_id="sg-00000000000000007")),
    )
    lab.balancer("lb", [eni_of(LEG, BALANCER)])
    targets = {
        name: lab.task(f"172.31.16.{20 + n}", name)
        for n, name in enumerate((by_client, by_leg, by_group, by_client_group))
    }
    for keeps, reached in ((True, {by_client, by_group}), (False, {by_leg, by_group})):
        for name, target in targets.items():
            lead(lab, flow(target, keeps_client=keeps))
            with target.listening(8080):
                if name in reached:
                    assert client.can_connect(LEG, 80), (keeps, name)
                else:
                    assert client.cannot_connect(LEG, 80), (keeps, name)


def test_groups_of_the_load_balancer_hold(lab: Lab) -> None:
    """What the load balancer's groups do not admit, or do not let out, reaches no target; nor does what the client's
    do not let out. Without groups a load balancer lets everything pass."""
    target, client = lab.task("172.31.16.20", OPEN), lab.task("172.31.0.20", OPEN)
    silent = lab.task("172.31.0.21", CLOSED)
    leg = eni_of(LEG, BALANCER)
    lab.balancer("lb", [leg])
    lead(lab, flow(target, keeps_client=True), flow(target, port=81, keeps_client=True))
    with target.listening(8080):
        assert client.can_connect(LEG, 80)
        assert client.cannot_connect(LEG, 81), "the group admits port 80 alone"
        assert silent.cannot_connect(LEG, 80)
        lab.apply(*GROUPS[:2], group(BALANCER, ANYTHING_IN), GROUPS[3])
        assert client.cannot_connect(LEG, 80), "nothing may leave the load balancer"
        lab.balancer("lb", [_with(leg)])
        assert client.can_connect(LEG, 81)
        assert silent.cannot_connect(LEG, 81)


def _with(eni: Any, *groups: str) -> Any:
    return msgspec.structs.replace(eni, security_group_ids=groups)


def test_new_flows_go_to_the_targets_that_are_left(lab: Lab) -> None:
    """Connections spread over targets; a changed list moves no open one; after an end they are reset, and counts say
    what was."""
    client = lab.task("172.31.0.20", OPEN)
    one, two = lab.task("172.31.16.20", OPEN), lab.task("172.31.16.21", OPEN)
    lab.balancer("lb", [eni_of(LEG, OPEN)])
    lead(lab, flow(one, two, keeps_client=True))
    with ExitStack() as stack:
        listeners = {each.address: stack.enter_context(each.listening(8080)) for each in (one, two)}
        made = [stack.enter_context(client.connect(LEG, 80)) for _ in range(20)]
        standing = lab.run(lab.network.standing_flows(TG))
        assert set(standing) == {(one.address, 8080), (two.address, 8080)}
        assert sum(standing.values()) == 20
        lead(lab, flow(two, keeps_client=True))
        before = standing[two.address, 8080]
        made += [stack.enter_context(client.connect(LEG, 80)) for _ in range(5)]
        standing = lab.run(lab.network.standing_flows(TG))
        assert standing[two.address, 8080] == before + 5
        accepted = stack.enter_context(closing(Host.accept(listeners[one.address])))
        (with_one,) = [each for each in made if each.getsockname() == accepted.getpeername()]
        with_one.sendall(b"still")
        assert accepted.recv(10) == b"still"
        lab.run(lab.network.end_flows(TG, one.address, 8080))
        with_one.sendall(b"again")
        with pytest.raises(ConnectionResetError):
            with_one.recv(10)
        counts = lab.run(lab.network.flow_counts())[LB, TG, LEG, "tcp"]
        assert counts.new >= 25
        assert counts.bytes > 25 * 3 * 40
        assert counts.active == lab.run(lab.network.standing_flows(TG))[two.address, 8080]


def test_each_address_counts_for_itself(lab: Lab) -> None:
    """Flows to one target group by two of a load balancer's addresses are counted apart, and end together."""
    other = "172.31.16.10"
    client, target = lab.task("172.31.0.20", OPEN), lab.task("172.31.16.20", OPEN)
    lab.balancer("lb", [eni_of(LEG, OPEN), eni_of(other, OPEN)])
    lead(lab, flow(target), flow(target, leg=other))
    with ExitStack() as stack:
        stack.enter_context(target.listening(8080))
        for leg, times in ((LEG, 2), (other, 3)):
            for _ in range(times):
                stack.enter_context(client.connect(leg, 80))
        counts = lab.run(lab.network.flow_counts())
        assert {key: (each.new, each.active) for key, each in counts.items()} == {
            (LB, TG, LEG, "tcp"): (2, 2),
            (LB, TG, other, "tcp"): (3, 3),
        }
        assert all(each.bytes > 0 for each in counts.values())
        assert sum(lab.run(lab.network.standing_flows(TG)).values()) == 5
        lab.run(lab.network.end_flows(TG, target.address, 8080))
        assert sum(lab.run(lab.network.standing_flows(TG)).values()) == 0


def test_udp_keeps_to_its_target(lab: Lab) -> None:
    """Datagrams of one client port go to one target and are answered from the load balancer's address; other ports
    spread; a changed list moves none of those that stand, until they are ended."""
    client = lab.task("172.31.0.20", OPEN)
    targets = [lab.task("172.31.16.20", OPEN), lab.task("172.31.16.21", OPEN)]
    lab.balancer("lb", [eni_of(LEG, OPEN)])
    lead(lab, flow(*targets, protocol="udp", port=53, keeps_client=True))
    with ExitStack() as stack:
        servers = []
        for each in targets:
            server = stack.enter_context(each.open_socket(socket.SOCK_DGRAM))
            server.bind((each.address, 8080))
            server.settimeout(0.05)
            servers.append(server)

        def ask(asking: socket.socket) -> str:
            asking.sendto(b"who", (LEG, 53))
            answered: list[str] = []

            def served() -> bool:
                for each, server in zip(targets, servers, strict=True):
                    try:
                        _, peer = server.recvfrom(100)
                    except TimeoutError:
                        continue
                    assert peer == (client.address, asking.getsockname()[1])
                    server.sendto(each.address.encode(), peer)
                    answered.append(each.address)
                return bool(answered)

            wait_until(served, "a target has the datagram")
            data, peer = asking.recvfrom(100)
            assert (data.decode(), peer) == (answered[0], (LEG, 53))
            return answered[0]

        sockets = [stack.enter_context(client.open_socket(socket.SOCK_DGRAM)) for _ in range(12)]
        first = [ask(each) for each in sockets]
        assert set(first) == {each.address for each in targets}
        assert [ask(each) for each in sockets] == first
        lead(lab, flow(targets[0], protocol="udp", port=53, keeps_client=True))
        assert [ask(each) for each in sockets] == first, "standing flows stay where they are"
        lab.run(lab.network.end_flows(TG, targets[1].address, 8080))
        assert {ask(each) for each in sockets} == {targets[0].address}


def test_weights_and_stickiness(lab: Lab) -> None:
    """Flows are shared by the weights of target groups; with stickiness by source a client keeps to one target."""
    client = lab.task("172.31.0.20", OPEN)
    one, two = lab.task("172.31.16.20", OPEN), lab.task("172.31.16.21", OPEN)
    lab.balancer("lb", [eni_of(LEG, OPEN)])
    heavy, light = (
        FlowBackend(target_group_arn=f"arn:{n}", weight=weight, targets=((each.address, 8080),), keeps_client=True)
        for n, (each, weight) in enumerate(((one, 9), (two, 1)))
    )
    shared = Flow(load_balancer_arn=LB, address=LEG, protocol="tcp", port=80, backends=(heavy, light), idle_s=350)
    lead(lab, shared)
    with one.listening(8080) as first, two.listening(8080) as second, ExitStack() as stack:
        first.listen(200), second.listen(200)
        for _ in range(100):
            stack.enter_context(client.connect(LEG, 80))
        to_light = sum(lab.run(lab.network.standing_flows("arn:1")).values())
        assert 0 < to_light < 35
    lead(lab, flow(one, two, keeps_client=True, by_source=True))
    with one.listening(8080), two.listening(8080), ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(client.connect(LEG, 80))
        assert len(lab.run(lab.network.standing_flows(TG))) == 1


def test_flows_outlive_the_daemon(lab: Lab) -> None:
    """While no process is there and after the next one began, flows are led as before, open ones go on, and targets may
    come and go."""
    client, target = lab.task("172.31.0.20", OPEN), lab.task("172.31.16.20", OPEN)
    lab.balancer("lb", [eni_of(LEG, OPEN)])
    lead(lab, flow(target, keeps_client=True))
    with target.listening(8080) as listener, client.connect(LEG, 80) as made, closing(Host.accept(listener)) as there:
        lab.restart()
        assert client.can_connect(LEG, 80)
        lab.apply(*GROUPS)
        assert client.can_connect(LEG, 80)
        made.sendall(b"on")
        assert there.recv(10) == b"on"
        other = lab.task("172.31.16.22", OPEN)
        lead(lab, flow(other, keeps_client=True))
        assert peer_seen(client, other)[0] == client.address
        lab.release(other)
        lead(lab)
        assert client.cannot_connect(LEG, 80)
        made.sendall(b"and on")
        assert there.recv(10) == b"and on"
