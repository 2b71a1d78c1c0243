"""Real packets between namespaces: what security groups, routing and separation let through, and what not."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from network_lab import (
    ANYTHING_IN,
    ANYTHING_OUT,
    BALANCER,
    CLOSED,
    OPEN,
    WEB,
    Host,
    Lab,
    allow,
    eni_of,
    group,
    lab_at,
)

from portside.domain.vpc import SecurityGroupRule

pytestmark = pytest.mark.integration

ALL = group(OPEN, ANYTHING_IN, ANYTHING_OUT)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with lab_at(tmp_path) as made:
        yield made


def client_and_server(lab: Lab, *rules: SecurityGroupRule) -> tuple[Host, Host]:
    """A client that may do anything, and a server that admits what the rules say."""
    lab.apply(ALL, group(WEB, *rules, ANYTHING_OUT))
    return lab.task("172.31.0.4", OPEN), lab.task("172.31.16.4", WEB)


def test_same_port_different_addresses(lab: Lab) -> None:
    """Two tasks listen on one port, each at its own address, and each is reached there."""
    lab.apply(ALL)
    one, two, client = (lab.task(f"172.31.0.{n}", OPEN) for n in (4, 5, 6))
    with one.listening(80) as first, two.listening(80) as second:
        for listener, host in ((first, one), (second, two)):
            with client.connect(host.address, 80) as connection:
                accepted, (peer, _port) = listener.accept()
                accepted.close()
                assert peer == client.address
                assert connection.getpeername()[0] == host.address


def test_nothing_is_admitted_without_a_rule(lab: Lab) -> None:
    """A group without ingress rules admits nothing: not TCP, not UDP, not ICMP."""
    client, server = client_and_server(lab)
    assert client.kept_from(server, 80)
    assert client.udp_kept_from(server, 53)
    assert client.no_ping(server.address)


def test_port_ranges(lab: Lab) -> None:
    """A range admits its ports, ends included, and no other protocol."""
    client, server = client_and_server(lab, allow(protocol="tcp", from_port=80, to_port=82, cidr="0.0.0.0/0"))
    assert all(client.reaches(server, port) for port in (80, 82))
    assert all(client.kept_from(server, port) for port in (79, 83))
    assert client.udp_kept_from(server, 80)
    assert client.no_ping(server.address)


def test_udp(lab: Lab) -> None:
    """A rule for UDP admits that port of UDP."""
    client, server = client_and_server(lab, allow(protocol="udp", from_port=53, to_port=53, cidr="0.0.0.0/0"))
    assert client.udp_reaches(server, 53)
    assert client.udp_kept_from(server, 54)
    assert client.kept_from(server, 53)


def test_icmp(lab: Lab) -> None:
    """A rule for ICMP echo requests admits a ping, and nothing else; the answer needs no rule."""
    client, server = client_and_server(lab, allow(protocol="icmp", from_port=8, to_port=-1, cidr="0.0.0.0/0"))
    assert client.pings(server.address)
    assert client.kept_from(server, 80)
    lab.apply(ALL, group(WEB, allow(protocol="icmp", from_port=13, to_port=-1, cidr="0.0.0.0/0"), ANYTHING_OUT))
    assert lab.task("172.31.0.9", OPEN).no_ping(server.address)


def test_cidr(lab: Lab) -> None:
    """A rule for a range of addresses admits sources in it only."""
    client, server = client_and_server(lab, allow(protocol="tcp", from_port=80, to_port=80, cidr="172.31.0.0/29"))
    stranger = lab.task("172.31.0.8", OPEN)
    assert client.reaches(server, 80)
    assert stranger.kept_from(server, 80)


def test_group_reference(lab: Lab) -> None:
    """A rule that names a group admits its members, also those that come later, and nobody else."""
    lab.apply(
        ALL,
        group(BALANCER, ANYTHING_OUT),
        group(WEB, allow(protocol="tcp", from_port=80, to_port=80, group_id=BALANCER), ANYTHING_OUT),
    )
    server, stranger = lab.task("172.31.16.4", WEB), lab.task("172.31.0.4", OPEN)
    member = lab.task("172.31.0.5", BALANCER)
    assert member.reaches(server, 80)
    assert stranger.kept_from(server, 80)
    lab.release(member)
    successor = lab.task("172.31.0.5", OPEN)
    assert successor.kept_from(server, 80)


def test_several_groups_add_up(lab: Lab) -> None:
    """An interface with several groups admits what any of them admits."""
    lab.apply(
        ALL,
        group(WEB, allow(protocol="tcp", from_port=80, to_port=80, cidr="0.0.0.0/0")),
        group(CLOSED, allow(protocol="tcp", from_port=81, to_port=81, cidr="0.0.0.0/0")),
    )
    client, server = lab.task("172.31.0.4", OPEN), lab.task("172.31.0.5", WEB, CLOSED)
    assert all(client.reaches(server, port) for port in (80, 81))
    assert client.kept_from(server, 82)


def test_egress_rules(lab: Lab) -> None:
    """Without an egress rule nothing leaves; with one, what it names; answers to admitted requests always."""
    lab.apply(ALL, group(CLOSED, ANYTHING_IN))
    closed, other = lab.task("172.31.0.4", CLOSED), lab.task("172.31.0.5", OPEN)
    assert closed.kept_from(other, 80)
    assert other.reaches(closed, 80)
    narrow = allow(egress=True, protocol="tcp", from_port=81, to_port=81, cidr="172.31.0.5/32")
    lab.apply(ALL, group(CLOSED, ANYTHING_IN, narrow))
    assert closed.reaches(other, 81)
    assert closed.kept_from(other, 80)
    assert closed.kept_from(lab.task("172.31.0.6", OPEN), 81)


def test_rules_change_live(lab: Lab) -> None:
    """A revoked rule stops new connections; a tracked one that stands goes on; a rule given again admits again."""
    web = allow(protocol="tcp", from_port=80, to_port=80, cidr="172.31.0.0/16")
    client, server = client_and_server(lab, web)
    with server.listening(80) as listener, client.connect(server.address, 80) as standing:
        with server.accept(listener) as accepted:
            lab.apply(ALL, group(WEB, ANYTHING_OUT))
            assert client.cannot_connect(server.address, 80)
            standing.sendall(b"still here")
            assert accepted.recv(100) == b"still here"
            accepted.sendall(b"so am I")
            assert standing.recv(100) == b"so am I"
        lab.apply(ALL, group(WEB, web, ANYTHING_OUT))
        assert client.can_connect(server.address, 80)


def test_groups_come_and_go(lab: Lab) -> None:
    """Groups that are added and removed leave the others' rules as they are."""
    client, server = client_and_server(lab, allow(protocol="tcp", from_port=80, to_port=80, cidr="0.0.0.0/0"))
    (web,) = (group(WEB, allow(protocol="tcp", from_port=80, to_port=80, cidr="0.0.0.0/0"), ANYTHING_OUT),)
    lab.apply(ALL, web, group(CLOSED), group(BALANCER, allow(protocol="-1", group_id=CLOSED)))
    short = lab.task("172.31.0.7", BALANCER)
    assert client.kept_from(short, 80)
    lab.release(short)
    lab.apply(ALL, web)
    assert client.reaches(server, 80)


def test_spoofed_source_is_dropped(lab: Lab) -> None:
    """A task that sends from another's address, or from outside the VPC, is not heard."""
    lab.apply(ALL)
    rogue, victim, server = (lab.task(f"172.31.0.{n}", OPEN) for n in (4, 5, 6))
    for source in (victim.address, "8.8.8.8"):
        with (
            server.open_socket(socket.SOCK_DGRAM) as receiver,
            rogue.open_socket(socket.SOCK_RAW, socket.IPPROTO_RAW) as raw,
        ):
            receiver.bind((server.address, 53))
            receiver.settimeout(0.3)
            raw.sendto(udp_packet(source, server.address, 53), (server.address, 0))
            with pytest.raises(TimeoutError):
                receiver.recv(100)
            raw.sendto(udp_packet(rogue.address, server.address, 53), (server.address, 0))
            assert receiver.recv(100) == b"spoof"


def udp_packet(source: str, destination: str, port: int) -> bytes:
    """An IPv4 packet with a UDP datagram; checksum 0 is none for UDP, and the kernel fills in the header's."""
    datagram = port.to_bytes(2, "big") * 2 + (8 + 5).to_bytes(2, "big") + b"\0\0" + b"spoof"
    header = bytes([0x45, 0, 0, 20 + len(datagram), 0, 1, 0, 0, 64, socket.IPPROTO_UDP, 0, 0])
    return header + socket.inet_aton(source) + socket.inet_aton(destination) + datagram


def test_vpcs_are_separate(lab: Lab) -> None:
    """Two VPCs with one address range hold tasks at the same address that never see each other's packets."""
    other = "vpc-00000000000000002"
    lab.apply(ALL)
    lab.apply(ALL, vpc_id=other)
    here, there = lab.task("172.31.0.4", OPEN), lab.task("172.31.0.4", OPEN, vpc_id=other)
    client, stranger = lab.task("172.31.0.5", OPEN), lab.task("172.31.0.6", OPEN, vpc_id=other)
    with here.listening(80) as mine, there.listening(80) as theirs:
        client.connect("172.31.0.4", 80).close()
        stranger.connect("172.31.0.4", 80).close()
        assert mine.accept()[1][0] == client.address
        assert theirs.accept()[1][0] == stranger.address
    with stranger.listening(80):
        assert client.cannot_connect(stranger.address, 80)


def test_balancer_reaches_its_targets(lab: Lab) -> None:
    """A task that admits the load balancer's group only is reached through each leg, and by no one else."""
    lab.apply(
        ALL,
        group(BALANCER, ANYTHING_IN, ANYTHING_OUT),
        group(WEB, allow(protocol="tcp", from_port=80, to_port=80, group_id=BALANCER), ANYTHING_OUT),
    )
    legs = lab.balancer("app/web/1", [eni_of("172.31.0.10", BALANCER), eni_of("172.31.16.10", BALANCER)])
    near, far = lab.task("172.31.0.4", WEB), lab.task("172.31.16.4", WEB)
    stranger = lab.task("172.31.0.5", OPEN)
    for target in (near, far):
        with target.listening(80) as listener:
            for leg in legs:
                leg.connect(target.address, 80, source=leg.address).close()
                assert listener.accept()[1][0] == leg.address
            legs[0].connect(target.address, 80).close()
            assert listener.accept()[1][0] == legs[0].address
            assert stranger.cannot_connect(target.address, 80)


def test_balancer_answers_from_the_leg_that_was_asked(lab: Lab) -> None:
    """A client reaches every leg, wherever it is, and the answer comes from there."""
    lab.apply(ALL, group(BALANCER, ANYTHING_IN, ANYTHING_OUT))
    enis = [eni_of(f"172.31.{subnet}.10", BALANCER) for subnet in (0, 16, 32)]
    legs = lab.balancer("app/web/2", enis[:2])
    legs = lab.balancer("app/web/2", enis)
    client = lab.task("172.31.16.4", OPEN)
    assert all(client.reaches(leg, 80) for leg in legs)
    assert all(client.udp_reaches(leg, 80) for leg in legs)
    left = lab.balancer("app/web/2", enis[1:])
    assert all(client.reaches(leg, 80) for leg in left)
    assert client.cannot_connect(legs[0].address, 80)


def test_link_local_is_never_forwarded(lab: Lab) -> None:
    """Packets to or from 169.254.0.0/16 do not pass the VPC's namespace, even if a task holds such an address."""
    lab.apply(ALL)
    one, two = lab.task("172.31.0.4", OPEN), lab.task("169.254.9.9", OPEN)
    assert one.kept_from(two, 80)
    assert two.kept_from(one, 80)
    assert lab.task("172.31.0.5", OPEN).reaches(one, 80)


def test_nothing_leaves_without_egress(lab: Lab) -> None:
    """With egress `none` there is no way out: an address outside the VPC is unreachable."""
    lab.apply(ALL)
    with pytest.raises(OSError, match=r"unreachable|No route|timed out"):
        lab.task("172.31.0.4", OPEN).connect("203.0.113.1", 80, timeout_s=0.3)


def test_no_ipv6_on_interfaces(lab: Lab) -> None:
    """A task's eth0 has no IPv6 address; its loopback keeps ::1."""
    lab.apply(ALL)
    task = lab.task("172.31.0.4", OPEN)
    table = task.inside(lambda: Path("/proc/thread-self/net/if_inet6").read_text())
    assert {line.split()[-1] for line in table.splitlines()} <= {"lo"}
