"""Routes, gateways and network ACLs with real packets: what leads out, what does not, and who is seen outside."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from network_lab import (
    ANSWER_S,
    ANYTHING_IN,
    ANYTHING_OUT,
    OPEN,
    SILENCE_S,
    TO_INTERNET,
    Host,
    Lab,
    eni_of,
    group,
    lab_at,
    leg_of,
    subnet_config,
    wait_until,
)

from portside.domain.vpc import NetworkAclEntry
from portside.domain.vpc_route import ResolvedRoute, Target
from portside.node.interface import NatConfig, SubnetConfig
from portside.node.network.network import Network

pytestmark = pytest.mark.integration

ALL = group(OPEN, ANYTHING_IN, ANYTHING_OUT)
NEAR, FAR = "172.31.0.0/20", "172.31.16.0/20"
WORLD = "203.0.113.1"
NAT_PUBLIC = "198.18.0.9"
NAT_ADDRESS = "172.31.0.9"
TO_NAT = ResolvedRoute(destination="0.0.0.0/0", target=Target.NAT, address=NAT_ADDRESS)
LOST = ResolvedRoute(destination="0.0.0.0/0", target=Target.BLACKHOLE)


@pytest.fixture
def lab(tmp_path: Path, outside: Host) -> Iterator[Lab]:
    with lab_at(tmp_path / "lab", egress=str(outside.path)) as made:
        yield made


def nat() -> NatConfig:
    eni = leg_of(eni_of(NAT_ADDRESS))
    return NatConfig(nat_gateway_id="nat-00000000000000001", eni=eni, public_address=NAT_PUBLIC)


def apply(lab: Lab, *subnets: SubnetConfig, nats: tuple[NatConfig, ...] = ()) -> None:
    lab.apply_subnets(*subnets, groups=[ALL], nats=nats)


def seen_as(client: Host, outside: Host) -> str | None:
    """The address with which a client's connection arrives outside; None if it does not."""
    with outside.listening(80) as listener:
        if client.cannot_connect(WORLD, 80):
            return None
        accepted, (peer, _port) = listener.accept()
        accepted.close()
        return str(peer)


def udp_answered(client: Host, outside: Host, within_s: float = ANSWER_S) -> bool:
    """Whether a datagram goes out and its answer comes back."""
    with outside.open_socket(socket.SOCK_DGRAM) as far, client.open_socket(socket.SOCK_DGRAM) as near:
        far.bind((WORLD, 53))
        far.settimeout(within_s)
        near.settimeout(within_s)
        try:
            near.sendto(b"question", (WORLD, 53))
            question, peer = far.recvfrom(100)
            far.sendto(b"answer", peer)
            return (question, near.recv(100)) == (b"question", b"answer")
        except OSError:
            return False


def reached_at(outside: Host, public: str, target: Host) -> bool:
    with target.listening(81):
        return outside.cannot_connect(public, 81) is False


def test_only_a_route_to_the_gateway_leads_out(lab: Lab, outside: Host) -> None:
    """Of two interfaces with public addresses, the one in a subnet with the route gets out and is reached, over TCP,
    UDP and ICMP; the other has no way in or out, but the VPC."""
    apply(lab, subnet_config(NEAR, TO_INTERNET), subnet_config(FAR))
    near = lab.task("172.31.0.4", OPEN, public="198.18.0.4")
    far = lab.task("172.31.16.4", OPEN, public="198.18.0.5")
    assert seen_as(near, outside) == "198.18.0.4"
    assert udp_answered(near, outside)
    assert near.pings(WORLD)
    assert reached_at(outside, "198.18.0.4", near)
    assert outside.pings("198.18.0.4")
    assert seen_as(far, outside) is None
    assert not udp_answered(far, outside, SILENCE_S)
    assert outside.no_ping("198.18.0.5")
    assert not reached_at(outside, "198.18.0.5", far)
    assert near.reaches(far, 82)
    assert far.reaches(near, 82)


def test_routes_change_under_way(lab: Lab, outside: Host) -> None:
    """A route that is added, made a black hole or removed counts at once, also after a restart."""
    apply(lab, subnet_config(NEAR))
    task = lab.task("172.31.0.4", OPEN, public="198.18.0.4")
    assert seen_as(task, outside) is None
    apply(lab, subnet_config(NEAR, TO_INTERNET))
    assert seen_as(task, outside) == "198.18.0.4"
    apply(lab, subnet_config(NEAR, LOST))
    assert seen_as(task, outside) is None
    alone = ResolvedRoute(destination=f"{WORLD}/32", target=Target.BLACKHOLE)
    apply(lab, subnet_config(NEAR, TO_INTERNET, alone))
    assert seen_as(task, outside) is None
    lab.restart()
    apply(lab, subnet_config(NEAR, TO_INTERNET))
    assert seen_as(task, outside) == "198.18.0.4"
    apply(lab)
    assert seen_as(task, outside) is None
    assert kernel_routes(lab) == {"172.31.0.0/16"}


def test_the_most_specific_route_counts(lab: Lab, outside: Host) -> None:
    """A black hole for a part of the world leaves the rest reachable."""
    part = ResolvedRoute(destination="203.0.113.0/24", target=Target.BLACKHOLE)
    apply(lab, subnet_config(NEAR, TO_INTERNET, part))
    subprocess.run(["nsenter", f"--net={outside.path}", "ip", "addr", "add", "192.0.2.1/32", "dev", "lo"], check=True)
    task = lab.task("172.31.0.4", OPEN, public="198.18.0.4")
    assert task.pings("192.0.2.1")
    assert task.no_ping(WORLD)


def test_nat_gateway(lab: Lab, outside: Host) -> None:
    """Behind a NAT gateway a task without a public address gets out as the gateway's, and is not reached from outside;
    tasks with the gateway's subnet's route go their own way."""
    public, private = subnet_config(NEAR, TO_INTERNET), subnet_config(FAR, TO_NAT)
    apply(lab, public, private, nats=(nat(),))
    inside, own = lab.task("172.31.16.4", OPEN), lab.task("172.31.0.4", OPEN, public="198.18.0.4")
    assert seen_as(inside, outside) == NAT_PUBLIC
    assert udp_answered(inside, outside)
    assert inside.pings(WORLD)
    assert seen_as(own, outside) == "198.18.0.4"
    assert outside.no_ping(NAT_PUBLIC)
    with inside.listening(81):
        assert outside.cannot_connect(NAT_PUBLIC, 81)
    assert inside.no_ping(NAT_ADDRESS)
    assert own.reaches(inside, 82)


def test_nat_gateway_needs_a_way_out_itself(lab: Lab, outside: Host) -> None:
    """A NAT gateway in a subnet without a route to the internet gateway leads nowhere."""
    apply(lab, subnet_config(NEAR), subnet_config(FAR, TO_NAT), nats=(nat(),))
    task = lab.task("172.31.16.4", OPEN)
    assert seen_as(task, outside) is None
    apply(lab, subnet_config(NEAR, TO_INTERNET), subnet_config(FAR, TO_NAT), nats=(nat(),))


def test_nat_gateway_comes_and_goes(lab: Lab, outside: Host) -> None:
    """It outlives a restart with its flows; once it goes, its namespace, address and rules go."""
    gateway = nat()
    public, private = subnet_config(NEAR, TO_INTERNET), subnet_config(FAR, TO_NAT)
    apply(lab, public, private, nats=(gateway,))
    task = lab.task("172.31.16.4", OPEN)
    with (
        outside.listening(80) as listener,
        task.connect(WORLD, 80) as standing,
        outside.accept(listener) as accepted,
    ):
        lab.restart()
        standing.sendall(b"before")
        assert accepted.recv(100) == b"before"
        apply(lab, public, private, nats=(gateway,))
        accepted.sendall(b"after")
        assert standing.recv(100) == b"after"
    lab.restart()  # the gateway is deleted while nobody looks
    apply(lab, public, subnet_config(FAR, LOST))
    assert seen_as(task, outside) is None
    assert list((lab.settings.run_dir / "netns").glob("nat-*")) == []
    routes = subprocess.run(["nsenter", f"--net={outside.path}", "ip", "route"], capture_output=True, text=True)
    assert NAT_PUBLIC not in routes.stdout


def test_half_made_gateway_is_made_anew(lab: Lab, outside: Host) -> None:
    """A NAT gateway whose making was interrupted is completed."""
    gateway = nat()
    public, private = subnet_config(NEAR, TO_INTERNET), subnet_config(FAR, TO_NAT)
    apply(lab, public, private, nats=(gateway,))
    task = lab.task("172.31.16.4", OPEN)
    (pin,) = (lab.settings.run_dir / "netns").glob("nat-*")
    lab.run(lab.network.close())
    subprocess.run(["nsenter", f"--net={pin}", "ip", "addr", "flush", "dev", "eth0"], check=True)
    lab.network = Network(lab.settings)
    lab.run(lab.network.start())
    apply(lab, public, private, nats=(gateway,))
    assert seen_as(task, outside) == NAT_PUBLIC


def entry(number: int, *, allow: bool, egress: bool = False, **fields: object) -> NetworkAclEntry:
    words = {"protocol": "-1", "cidr": "0.0.0.0/0", **fields}
    return NetworkAclEntry(rule_number=number, egress=egress, allow=allow, **words)  # type: ignore[arg-type]


OUT = entry(100, allow=True, egress=True)


def test_acl_is_stateless(lab: Lab) -> None:
    """A list that lets a port in but no answers out keeps connections from being made; with answers let out, they
    are. Another port stays shut although the security groups admit it."""
    web = entry(100, allow=True, protocol="6", from_port=80, to_port=80)
    apply(lab, subnet_config(NEAR), subnet_config(FAR, acl=(web,)))
    client, server = lab.task("172.31.0.4", OPEN), lab.task("172.31.16.4", OPEN)
    assert client.kept_from(server, 80)
    answers = entry(100, allow=True, egress=True, protocol="6", from_port=1024, to_port=65535)
    apply(lab, subnet_config(NEAR), subnet_config(FAR, acl=(web, answers)))
    assert client.reaches(server, 80)
    assert client.kept_from(server, 81)
    assert client.udp_kept_from(server, 80)
    assert client.no_ping(server.address)
    assert server.kept_from(client, 80), "the answer's port is not let in"


def test_acl_cuts_what_is_under_way(lab: Lab) -> None:
    """Unlike a security group's, a list's change also counts for connections that stand."""
    apply(lab, subnet_config(NEAR), subnet_config(FAR))
    client, server = lab.task("172.31.0.4", OPEN), lab.task("172.31.16.4", OPEN)
    with (
        server.listening(80) as listener,
        client.connect(server.address, 80) as standing,
        server.accept(listener) as accepted,
    ):
        apply(lab, subnet_config(NEAR), subnet_config(FAR, acl=()))
        accepted.settimeout(SILENCE_S)
        standing.sendall(b"lost")
        with pytest.raises(TimeoutError):
            accepted.recv(100)


def test_acl_numbers_decide(lab: Lab) -> None:
    """The lowest number that matches decides; what nothing matches is denied."""
    block = entry(90, allow=False, cidr="172.31.0.4/32")
    rest = entry(100, allow=True)
    apply(lab, subnet_config(NEAR), subnet_config(FAR, acl=(block, rest, OUT)))
    blocked, free = lab.task("172.31.0.4", OPEN), lab.task("172.31.0.5", OPEN)
    server = lab.task("172.31.16.4", OPEN)
    assert blocked.kept_from(server, 80)
    assert free.reaches(server, 80)
    assert free.udp_reaches(server, 53)
    assert free.pings(server.address)
    echo = entry(80, allow=True, protocol="1", from_port=8, to_port=-1, cidr="172.31.0.4/32")
    apply(lab, subnet_config(NEAR), subnet_config(FAR, acl=(echo, block, rest, OUT)))
    assert blocked.pings(server.address)


def test_acl_leaves_neighbours_alone(lab: Lab) -> None:
    """Within a subnet its list counts for nothing."""
    apply(lab, subnet_config(NEAR, acl=()), subnet_config(FAR))
    one, two, far = lab.task("172.31.0.4", OPEN), lab.task("172.31.0.5", OPEN), lab.task("172.31.16.4", OPEN)
    assert one.reaches(two, 80)
    assert one.kept_from(far, 80)


def test_acl_of_the_gateways_subnet(lab: Lab, outside: Host) -> None:
    """What goes out by a NAT gateway meets the list of the gateway's subnet, too."""
    closed = (entry(100, allow=True, cidr="172.31.0.0/16"), OUT)
    gateway = nat()
    apply(lab, subnet_config(NEAR, TO_INTERNET, acl=closed), subnet_config(FAR, TO_NAT), nats=(gateway,))
    task = lab.task("172.31.16.4", OPEN)
    assert seen_as(task, outside) is None, "answers from the world are not let into the gateway's subnet"
    opened = (*closed, entry(200, allow=True, protocol="6", from_port=1024, to_port=65535))
    apply(lab, subnet_config(NEAR, TO_INTERNET, acl=opened), subnet_config(FAR, TO_NAT), nats=(gateway,))
    assert seen_as(task, outside) == NAT_PUBLIC


def test_public_address_comes_and_goes(lab: Lab, outside: Host) -> None:
    """An interface gets a public address while it is up, changes it, and loses it again."""
    apply(lab, subnet_config(NEAR, TO_INTERNET))
    task = lab.task("172.31.0.4", OPEN)
    for public in ("198.18.0.4", "198.18.0.5", None):
        router = lab.network._routers[task.eni.vpc_id]
        router.admit(task.eni.eni_id, task.address, task.eni.security_group_ids, public)
        assert seen_as(task, outside) == public
        for each in ("198.18.0.4", "198.18.0.5"):
            assert (each == public) is reached_at(outside, each, task)


def kernel_routes(lab: Lab) -> set[str]:
    """The destinations of all tables of the router, single addresses aside."""
    (pin,) = (lab.settings.run_dir / "netns").glob("vpc-*")
    listed = subprocess.run(
        ["nsenter", f"--net={pin}", "ip", "-4", "route", "show", "table", "all"],
        capture_output=True,
        text=True,
        check=True,
    )
    words = [line.split() for line in listed.stdout.splitlines() if "proto static" in line]
    found = {each[1] if each[0] in ("unreachable", "blackhole") else each[0] for each in words}
    return {each for each in found if "/" in each or each == "default"}


def test_what_is_left_after_retaining(lab: Lab) -> None:
    """VPCs that are no more are dropped at a start."""
    apply(lab, subnet_config(NEAR))
    lab.restart()
    lab.run(lab.network.retain_vpcs(set()))
    wait_until(lambda: list((lab.settings.run_dir / "netns").glob("vpc-*")) == [], "no VPC")
