"""Changes of groups and flows that stand: tracked ones go on, untracked ones obey the rules of now, as on AWS."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from network_lab import (
    ANYTHING_IN,
    ANYTHING_OUT,
    CLOSED,
    OPEN,
    SILENCE_S,
    TO_INTERNET,
    WEB,
    Host,
    Lab,
    allow,
    eni_of,
    group,
    lab_at,
    leg_of,
    subnet_config,
    world,
)

from portside.domain.vpc import SecurityGroup, SecurityGroupRule
from portside.domain.vpc_route import ResolvedRoute, Target
from portside.node.interface import NatConfig

pytestmark = pytest.mark.integration

LONG_S = 30.0
"""For what comes with one of TCP's later repetitions."""
ALL = group(OPEN, ANYTHING_IN, ANYTHING_OUT)
OUT_ONLY = group(CLOSED, ANYTHING_OUT)
WORLD, PUBLIC = "203.0.113.1", "198.18.0.4"


def web(cidr: str, protocol: str = "tcp") -> SecurityGroupRule:
    return allow(protocol=protocol, from_port=80, to_port=80, cidr=cidr)


FROM_ANYWHERE, FROM_NEAR = web("0.0.0.0/0"), web("172.31.0.0/16")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with lab_at(tmp_path) as made:
        yield made


@contextlib.contextmanager
def connected(client: Host, server: Host, to: str = "") -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection's two ends, both of which have been heard."""
    with (
        server.listening(80) as listener,
        client.connect(to or server.address, 80) as near,
        Host.accept(listener) as far,
    ):
        assert passes(near, far)
        assert passes(far, near)
        yield near, far


def passes(sender: socket.socket, receiver: socket.socket) -> bool:
    sender.sendall(b"hello")
    return receiver.recv(5) == b"hello"


def kept(sender: socket.socket, receiver: socket.socket) -> bool:
    """Whether what is said does not come; the kernel goes on repeating it."""
    sender.sendall(b"hello")
    receiver.settimeout(SILENCE_S)
    try:
        return receiver.recv(5) == b""
    except TimeoutError:
        return True
    finally:
        receiver.settimeout(LONG_S)


@pytest.mark.parametrize(
    ("before", "after", "goes_on"),
    [
        pytest.param((FROM_ANYWHERE, ANYTHING_OUT), (ANYTHING_OUT,), False, id="open both ways: untracked"),
        pytest.param((FROM_ANYWHERE, ANYTHING_OUT), (FROM_NEAR, ANYTHING_OUT), True, id="narrowed, still admitted"),
        pytest.param((FROM_NEAR, ANYTHING_OUT), (ANYTHING_OUT,), True, id="from a range: tracked"),
        pytest.param((FROM_ANYWHERE,), (), True, id="no rule for answers: tracked"),
        pytest.param(
            (FROM_ANYWHERE, allow(egress=True, protocol="tcp", from_port=1024, to_port=65535, cidr="0.0.0.0/0")),
            (),
            True,
            id="answers on some ports only: tracked",
        ),
        pytest.param(
            (FROM_ANYWHERE, allow(egress=True, protocol="udp", from_port=0, to_port=65535, cidr="0.0.0.0/0")),
            (),
            True,
            id="answers by another protocol: tracked",
        ),
    ],
)
def test_a_revoked_rule_and_a_connection_that_stands(
    lab: Lab, before: tuple[SecurityGroupRule, ...], after: tuple[SecurityGroupRule, ...], goes_on: bool
) -> None:
    """A connection is cut at the server if its group had admitted it from anywhere and every answer to anywhere, and
    goes on otherwise."""
    lab.apply(OUT_ONLY, group(WEB, *before))
    client, server = lab.task("172.31.0.4", CLOSED), lab.task("172.31.16.4", WEB)
    with connected(client, server) as (near, far):
        lab.apply(OUT_ONLY, group(WEB, *after))
        if goes_on:
            assert passes(near, far)
            assert passes(far, near)
        else:
            assert kept(near, far)


def test_a_rule_that_is_given_again(lab: Lab) -> None:
    """An untracked connection goes on where it was once its rule is back, also by a daemon that was killed."""
    admits, refuses = group(WEB, FROM_ANYWHERE, ANYTHING_OUT), group(WEB, ANYTHING_OUT)
    lab.apply(OUT_ONLY, admits)
    client, server = lab.task("172.31.0.4", CLOSED), lab.task("172.31.16.4", WEB)
    with connected(client, server) as (near, far):
        lab.restart()
        lab.apply(OUT_ONLY, refuses)
        assert kept(near, far)
        lab.apply(OUT_ONLY, admits)
        assert far.recv(5) == b"hello"
        assert passes(far, near)


def test_answers_need_their_rule(lab: Lab) -> None:
    """Answers of an untracked flow pass by the rule for them: without it they stop, while requests go on."""
    lab.apply(OUT_ONLY, group(WEB, FROM_ANYWHERE, ANYTHING_OUT))
    client, server = lab.task("172.31.0.4", CLOSED), lab.task("172.31.16.4", WEB)
    with connected(client, server) as (near, far):
        lab.apply(OUT_ONLY, group(WEB, FROM_ANYWHERE))
        assert passes(near, far)
        assert kept(far, near)


@pytest.mark.parametrize("tracked", [False, True])
def test_at_the_end_that_began(lab: Lab, tracked: bool) -> None:
    """A client whose group admits everything in and out loses its connection with its egress rule; one whose group
    admits nothing in keeps it."""
    others: list[SecurityGroup] = [group(WEB, FROM_NEAR)]
    coming_in = () if tracked else (ANYTHING_IN,)
    lab.apply(*others, group(OPEN, *coming_in, ANYTHING_OUT))
    client, server = lab.task("172.31.0.4", OPEN), lab.task("172.31.16.4", WEB)
    with connected(client, server) as (near, far):
        lab.apply(*others, group(OPEN, *coming_in))
        if tracked:
            assert passes(near, far)
        else:
            assert kept(near, far)
        assert client.cannot_connect(server.address, 80)


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "172.31.0.0/16"])
def test_datagrams(lab: Lab, cidr: str) -> None:
    """UDP is as TCP: untracked if open both ways, else tracked."""
    rule = web(cidr, "udp")
    lab.apply(OUT_ONLY, group(WEB, rule, ANYTHING_OUT))
    client, server = lab.task("172.31.0.4", CLOSED), lab.task("172.31.16.4", WEB)
    with client.open_socket(socket.SOCK_DGRAM) as near, server.open_socket(socket.SOCK_DGRAM) as far:
        far.bind((server.address, 80))
        near.connect((server.address, 80))
        assert passes(near, far)
        far.connect(near.getsockname())
        assert passes(far, near)
        lab.apply(OUT_ONLY, group(WEB, ANYTHING_OUT))
        if cidr == "0.0.0.0/0":
            assert kept(near, far)
        else:
            assert passes(near, far)


def test_pings_are_tracked(lab: Lab) -> None:
    """ICMP is always tracked: a ping that goes on is answered without its rule."""
    lab.apply(OUT_ONLY, group(WEB, ANYTHING_IN, ANYTHING_OUT))
    client, server = lab.task("172.31.0.4", CLOSED), lab.task("172.31.16.4", WEB)
    assert client.pings(server.address)
    lab.apply(OUT_ONLY, group(WEB, ANYTHING_OUT))
    assert client.pings(server.address)
    assert client.cannot_connect(server.address, 80)


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", f"{WORLD}/32"])
def test_from_outside(tmp_path: Path, cidr: str) -> None:
    """A connection to a public address ends with the rule that let it in from anywhere, and not with one that named
    its client; one that the task began outside obeys its group likewise."""
    with world(tmp_path) as outside:
        lab = Lab(tmp_path / "lab", egress=str(outside.path))
        try:
            lab.apply(group(WEB, web(cidr), ANYTHING_OUT))
            task = lab.task("172.31.0.4", WEB, public=PUBLIC)
            with connected(outside, task, PUBLIC) as (near, far), connected(task, outside, WORLD) as (mine, theirs):
                lab.apply(group(WEB, ANYTHING_OUT))
                if cidr == "0.0.0.0/0":
                    assert kept(near, far)
                else:
                    assert passes(near, far)
                lab.apply(group(WEB))
                assert passes(mine, theirs), "nothing came in from anywhere on every port: tracked"
                lab.apply(group(WEB, ANYTHING_IN, ANYTHING_OUT))
                assert task.can_connect(WORLD, 80)
            with connected(task, outside, WORLD) as (mine, theirs):
                lab.apply(group(WEB, ANYTHING_IN))
                assert kept(mine, theirs)
        finally:
            lab.close()
        assert lab.traces() == []


def test_through_a_nat_gateway(tmp_path: Path) -> None:
    """What goes through a NAT gateway is always tracked, however open the group was."""
    with world(tmp_path) as outside:
        lab = Lab(tmp_path / "lab", egress=str(outside.path))
        by_nat = ResolvedRoute(destination="0.0.0.0/0", target=Target.NAT, address="172.31.0.9")
        nat = NatConfig(nat_gateway_id="nat-1", eni=leg_of(eni_of("172.31.0.9")), public_address=PUBLIC)
        subnets = (subnet_config("172.31.0.0/20", TO_INTERNET), subnet_config("172.31.16.0/20", by_nat))
        try:
            lab.apply_subnets(*subnets, groups=[ALL], nats=[nat])
            task = lab.task("172.31.16.4", OPEN)
            with connected(task, outside, WORLD) as (near, far):
                lab.apply_subnets(*subnets, groups=[group(OPEN)], nats=[nat])
                assert passes(near, far)
                assert passes(far, near)
                assert task.cannot_connect(WORLD, 80)
        finally:
            lab.close()
        assert lab.traces() == []
