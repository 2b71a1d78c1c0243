"""A load balancer's proxy that sends as its clients: whom targets see, where answers go, and what groups say."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from network_lab import (
    ANYTHING_IN,
    ANYTHING_OUT,
    BALANCER,
    OPEN,
    SILENCE_S,
    TO_INTERNET,
    Host,
    Lab,
    allow,
    eni_of,
    group,
    lab_at,
    subnet_config,
)

pytestmark = pytest.mark.integration

LEG, PUBLIC, WORLD = "172.31.0.10", "198.18.0.20", "203.0.113.1"
BY_GROUP, BY_CLIENT, BY_LEG = (f"sg-0000000000000001{n}" for n in range(3))
TO_8080 = {"protocol": "tcp", "from_port": 8080, "to_port": 8080}
GROUPS = (
    group(OPEN, ANYTHING_IN, ANYTHING_OUT),
    group(BALANCER, ANYTHING_IN, ANYTHING_OUT),
    group(BY_GROUP, allow(**TO_8080, group_id=BALANCER), ANYTHING_OUT),
    group(BY_CLIENT, allow(**TO_8080, cidr="172.31.16.0/20"), ANYTHING_OUT),
    group(BY_LEG, allow(**TO_8080, cidr=f"{LEG}/32"), ANYTHING_OUT),
)
SUBNETS = (subnet_config("172.31.0.0/20", TO_INTERNET), subnet_config("172.31.16.0/20"))
IP_TRANSPARENT = 19


@pytest.fixture
def lab(tmp_path: Path, outside: Host) -> Iterator[Lab]:
    with lab_at(tmp_path / "lab", egress=str(outside.path)) as made:
        made.apply_subnets(*SUBNETS, groups=GROUPS)
        yield made


def balancer(lab: Lab, *groups: str, keeps_clients: bool = True) -> Host:
    (leg,) = lab.balancer("lb", [eni_of(LEG, *(groups or (BALANCER,)), public=PUBLIC)], keeps_clients=keeps_clients)
    return leg


def sent_as(proxy: Host, client: str, target: Host, *, wait_s: float = 3) -> str | None:
    """Whom the target sees when the proxy connects as the client, there and back; None if nothing comes."""
    with target.listening(8080) as listener, proxy.open_socket() as made:
        made.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
        made.settimeout(wait_s)
        made.bind((client, 0))
        try:
            made.connect((target.address, 8080))
        except OSError:
            return None
        with closing(Host.accept(listener)) as accepted:
            made.sendall(b"to target" * 1000)
            assert accepted.recv(9) == b"to target"
            accepted.sendall(b"to client")
            assert made.recv(100) == b"to client"
            return str(accepted.getpeername()[0])


def test_targets_see_the_client(lab: Lab) -> None:
    """Of the same VPC and from outside, whatever routes the target's subnet has; the client itself gets nothing of it,
    and may connect by itself at the same time."""
    client, target = lab.task("172.31.0.20", OPEN), lab.task("172.31.16.20", OPEN)
    proxy = balancer(lab)
    assert sent_as(proxy, client.address, target) == client.address
    assert sent_as(proxy, WORLD, target) == WORLD
    assert sent_as(proxy, LEG, target) == LEG, "checks go on as themselves"
    assert client.reaches(target, 8080)
    assert proxy.reaches(target, 8080)


def test_groups_see_the_load_balancer_and_the_client(lab: Lab) -> None:
    """A target's rule of addresses means the client's, one that names a group the load balancer's; the load balancer's
    own groups let out or do not, and follow when they change."""
    near, far = lab.task("172.31.16.30", OPEN), lab.task("172.31.0.20", BALANCER)
    proxy = balancer(lab)
    by_group, by_client, by_leg = (
        lab.task(f"172.31.16.{n}", each) for n, each in enumerate((BY_GROUP, BY_CLIENT, BY_LEG), 20)
    )
    assert sent_as(proxy, near.address, by_group) == near.address
    assert sent_as(proxy, near.address, by_client) == near.address
    assert sent_as(proxy, far.address, by_client, wait_s=SILENCE_S) is None
    assert sent_as(proxy, near.address, by_leg, wait_s=SILENCE_S) is None
    lab.balancer("lb", [eni_of(LEG, OPEN, public=PUBLIC)], keeps_clients=True)
    proxy = balancer(lab, OPEN)
    assert sent_as(proxy, far.address, by_group, wait_s=SILENCE_S) is None, "the client's group counts for nothing"
    lab.apply_subnets(*SUBNETS, groups=(group(OPEN, ANYTHING_IN), *GROUPS[1:]))
    assert sent_as(proxy, near.address, by_client, wait_s=SILENCE_S) is None, "nothing may leave the load balancer"


def test_nobody_else_sends_as_others(lab: Lab) -> None:
    """A task can not, nor can a load balancer that is not to; nor can it when it is not to any more."""
    client, target = lab.task("172.31.0.20", OPEN), lab.task("172.31.16.20", OPEN)
    task = lab.task("172.31.0.21", OPEN)
    proxy = balancer(lab, keeps_clients=False)
    assert sent_as(proxy, client.address, target, wait_s=SILENCE_S) is None
    proxy = balancer(lab)
    assert sent_as(proxy, client.address, target) == client.address
    assert sent_as(task, client.address, target, wait_s=SILENCE_S) is None
    assert sent_as(task, WORLD, target, wait_s=SILENCE_S) is None


def test_it_outlives_the_daemon(lab: Lab) -> None:
    """While no process is there and after the next one began; and it goes with the load balancer."""
    client, target = lab.task("172.31.0.20", OPEN), lab.task("172.31.16.20", BY_GROUP)
    leg = eni_of(LEG, BALANCER)
    (proxy,) = lab.balancer("lb", [leg], keeps_clients=True)
    lab.restart()
    assert sent_as(proxy, client.address, target) == client.address
    lab.apply_subnets(*SUBNETS, groups=GROUPS)
    assert sent_as(proxy, client.address, target) == client.address
    lab.balancer("lb", [leg], keeps_clients=True)
    assert sent_as(proxy, client.address, target) == client.address
    lab.run(lab.network.remove_balancer_network("lb"))
    assert client.kept_from(target, 8080)
