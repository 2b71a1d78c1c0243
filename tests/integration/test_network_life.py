"""The life of networks: idempotence, restarts, leftovers, two instances, teardown, the way out."""

import asyncio
import errno
import itertools
import os
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from network_lab import (
    ANYTHING_IN,
    ANYTHING_OUT,
    OPEN,
    WEB,
    Host,
    Lab,
    allow,
    eni_of,
    group,
    lab_at,
    nft,
    vpc_config,
    wait_until,
)

from portside.node.network import link_local, netns
from portside.node.network.network import Network, VpcNotReady, teardown
from portside.task_endpoint import TaskEndpoints

pytestmark = pytest.mark.integration

ALL = group(OPEN, ANYTHING_IN, ANYTHING_OUT)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with lab_at(tmp_path) as made:
        yield made


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_attach_twice(lab: Lab) -> None:
    """Attaching a task again, also after a restart, returns the namespace it has."""
    lab.apply(ALL)
    task, other = lab.task("172.31.0.4", OPEN), lab.task("172.31.0.5", OPEN)
    before = inode(task.path)
    assert lab.run(lab.network.attach_task(lab.key(task.eni), task.eni)) == task.path
    assert lab.network.netns_path(lab.key(task.eni)) == task.path
    lab.restart()
    lab.apply(ALL)
    assert lab.run(lab.network.attach_task(lab.key(task.eni), task.eni)) == task.path
    assert inode(task.path) == before
    assert other.reaches(task, 80)


def test_attach_needs_the_vpc(lab: Lab) -> None:
    """Without the VPC an attach is refused as not ready yet, and leaves nothing."""
    with pytest.raises(VpcNotReady):
        lab.task("172.31.0.4", OPEN)
    assert list((lab.settings.run_dir / "netns").iterdir()) == []


def test_release(lab: Lab) -> None:
    """A released task's namespace is gone, its address may be used at once, and releasing again does no harm."""
    lab.apply(ALL)
    task, client = lab.task("172.31.0.4", OPEN), lab.task("172.31.0.5", OPEN)
    lab.release(task)
    assert not task.path.exists()
    lab.release(task)
    successor = lab.task("172.31.0.4", OPEN)
    lab.release(task)  # late: the address is another's by now
    assert client.reaches(successor, 80)


def test_attach_again_after_release(lab: Lab) -> None:
    """An interface that was just released can be attached again, while the kernel still takes the old one down."""
    lab.apply(ALL)
    task, client = lab.task("172.31.0.4", OPEN), lab.task("172.31.0.5", OPEN)
    for _round in range(5):
        lab.release(task)
        lab.run(lab.network.attach_task(lab.key(task.eni), task.eni))
        assert client.reaches(task, 80)


def test_half_made_namespace_is_made_anew(lab: Lab) -> None:
    """A namespace that was pinned but not configured when the process ended is replaced."""
    lab.apply(ALL)
    eni = eni_of("172.31.0.4", OPEN)
    path = lab.network.netns_path(lab.key(eni))
    lab.pool.submit(netns.create, path, lambda: None).result(timeout=10)
    lab.run(lab.network.attach_task(lab.key(eni), eni))
    assert lab.task("172.31.0.5", OPEN).reaches(Host(path, eni, lab.pool), 80)


def test_recover(lab: Lab) -> None:
    """After a restart live tasks and load balancers go on as before, and what belongs to no one is removed."""
    web = group(WEB, allow(protocol="tcp", from_port=80, to_port=80, group_id=OPEN), ANYTHING_OUT)
    lab.apply(ALL, web)
    server, client, gone = lab.task("172.31.0.4", WEB), lab.task("172.31.0.5", OPEN), lab.task("172.31.0.6", OPEN)
    (leg,) = lab.balancer("kept", [eni_of("172.31.0.10", OPEN)])
    (lost,) = lab.balancer("lost", [eni_of("172.31.0.11", OPEN)])
    with (
        server.listening(80) as listener,
        client.connect(server.address, 80) as standing,
        server.accept(listener) as accepted,
    ):
        lab.restart()
        standing.sendall(b"through the restart")
        assert accepted.recv(100) == b"through the restart"
        lab.run(lab.network.recover({lab.key(host.eni): host.eni for host in (server, client)}, ["kept"], {}))
        assert client.can_connect(server.address, 80), "the old rules hold until the VPC is applied"
        lab.apply(ALL, web)
        standing.sendall(b"and after it")
        assert accepted.recv(100) == b"and after it"
    assert not gone.path.exists()
    assert not lost.path.exists()
    assert leg.reaches(server, 80)
    assert client.reaches(server, 80)
    assert client.kept_from(server, 81)
    assert set(lab.network._routers[server.eni.vpc_id].addresses) == {each.address for each in (server, client, leg)}


def test_apply_before_recover(lab: Lab) -> None:
    """After a restart the VPC may be applied first: members are read back from the kernel."""
    lab.apply(ALL)
    one, two = lab.task("172.31.0.4", OPEN), lab.task("172.31.0.5", OPEN)
    lab.restart()
    lab.apply(ALL)
    assert one.reaches(two, 80)


def test_recover_makes_what_is_missing(lab: Lab) -> None:
    """A live task whose namespace is gone gets it again, with its address and groups."""
    lab.apply(ALL)
    task, client = lab.task("172.31.0.4", OPEN), lab.task("172.31.0.5", OPEN)
    lab.run(lab.network.close())
    lab.pool.submit(netns.drop, task.path).result(timeout=10)
    lab.network = type(lab.network)(lab.settings)
    lab.run(lab.network.start())
    lab.run(lab.network.recover({lab.key(host.eni): host.eni for host in (task, client)}, [], {}))
    lab.apply(ALL)
    assert client.reaches(task, 80)


def test_unchanged_vpc_is_not_written(lab: Lab) -> None:
    """Applying the same configuration again changes no rule; a changed group changes its chains only."""
    lab.apply(ALL, group(WEB, ANYTHING_IN))
    task = lab.task("172.31.0.4", OPEN)
    router = str(task.path.parent / task.eni.vpc_id)
    nsenter = ["nsenter", f"--net={router}", "nft", "-a", "list", "chain", "inet", "portside", "forward"]
    before = subprocess.run(nsenter, capture_output=True, text=True, check=True, timeout=30).stdout
    lab.apply(ALL, group(WEB, ANYTHING_IN))
    lab.apply(ALL, group(WEB))
    lab.apply(group(OPEN, ANYTHING_IN), group(WEB))
    assert subprocess.run(nsenter, capture_output=True, text=True, check=True, timeout=30).stdout == before


def test_remove_vpc(lab: Lab) -> None:
    """A removed VPC's namespace is gone; it can be made again."""
    lab.apply(ALL)
    pin = lab.settings.run_dir / "netns" / "vpc-00000000000000001"
    assert netns.is_pinned(pin)
    lab.run(lab.network.remove_vpc(pin.name))
    assert not pin.exists()
    lab.run(lab.network.remove_vpc(pin.name))
    lab.apply(ALL)
    assert lab.task("172.31.0.4", OPEN).reaches(lab.task("172.31.0.5", OPEN), 80)


async def hello(_scope: object, _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


def no_link_in(host: Host) -> Callable[[], bool]:
    return lambda: host.inside(lambda: "eth0" not in [name for _, name in socket.if_nameindex()])


def test_no_socket_keeps_a_removed_vpc(lab: Lab) -> None:
    """The endpoint goes with its VPC, also under a connection that a task keeps open: the kernel drops the namespace,
    and with it the task's link into it."""

    async def body() -> None:
        endpoints = TaskEndpoints(metadata=lambda _vpc_id: hello, instance_metadata=lambda _id: hello, api=None)
        await lab.network.close()
        lab.network = Network(lab.settings, endpoints.sockets)
        await lab.network.start()
        await lab.network.apply_vpc(vpc_config(ALL))
        eni = eni_of("172.31.0.4", OPEN)
        host = Host(await lab.network.attach_task(lab.key(eni), eni), eni, lab.pool)

        def ask(over: socket.socket | None = None) -> socket.socket:
            over = over or host.connect(link_local.ADDRESS, 80)
            over.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b"hello"):
                received = over.recv(1000)
                assert received
                answer += received
            return over

        with await asyncio.to_thread(ask) as kept:
            await asyncio.to_thread(ask, kept)
            await lab.network.remove_vpc(eni.vpc_id)
            await asyncio.to_thread(wait_until, no_link_in(host), "the namespace of the VPC gone")
        await lab.network.release_task(lab.key(eni), eni)
        await endpoints.close()

    lab.run(body())


def test_two_instances(lab: Lab, tmp_path: Path) -> None:
    """Two instances use the same VPC ids and addresses side by side; one's end leaves the other as it was."""
    second = Lab(tmp_path / "second")
    try:
        for each in (lab, second):
            each.apply(ALL)
        mine = [lab.task(f"172.31.0.{n}", OPEN) for n in (4, 5)]
        theirs = [second.task(f"172.31.0.{n}", OPEN) for n in (4, 5)]
        assert theirs[0].reaches(theirs[1], 80)
        with mine[1].listening(80):
            assert theirs[0].cannot_connect(mine[1].address, 80)
    finally:
        second.close()
    assert second.traces() == []
    assert mine[0].reaches(mine[1], 80)


def test_teardown_without_a_daemon(lab: Lab) -> None:
    """Teardown removes everything although no object knows of it, and may be repeated."""
    lab.apply(ALL)
    lab.task("172.31.0.4", OPEN)
    lab.balancer("web", [eni_of("172.31.0.10", OPEN)])
    lab.run(lab.network.close())
    teardown(lab.settings)
    assert lab.traces() == []
    teardown(lab.settings)


def test_many_at_once(lab: Lab) -> None:
    """Fifty tasks attached at once all work, and all go."""
    lab.apply(ALL)
    enis = [eni_of(f"172.31.0.{n}", OPEN) for n in range(10, 60)]

    async def attach_all() -> list[Path]:
        return list(await asyncio.gather(*(lab.network.attach_task(lab.key(eni), eni) for eni in enis)))

    hosts = [Host(path, eni, lab.pool) for path, eni in zip(lab.run(attach_all()), enis, strict=True)]
    assert all(one.reaches(two, 80) for one, two in itertools.pairwise(hosts))
    for host in hosts:
        lab.release(host)
    assert lab.network._routers[enis[0].vpc_id].addresses == []


def test_way_out(tmp_path: Path, outside: Host) -> None:
    """A task with a public address reaches the outside from it and is reached at it; one without is not let out."""
    lab = Lab(tmp_path / "lab", egress=str(outside.path))
    try:
        lab.apply(ALL, group(WEB, ANYTHING_OUT))
        assert links_in(outside) == ["lo"], "nothing is made outside before someone has a public address"
        public = lab.task("172.31.0.4", OPEN, public="198.18.0.4")
        private = lab.task("172.31.0.5", OPEN)
        closed = lab.task("172.31.0.6", WEB, public="198.18.0.6")
        with outside.listening(80) as listener:
            public.connect("203.0.113.1", 80).close()
            assert listener.accept()[1][0] == "198.18.0.4"
            assert private.cannot_connect("203.0.113.1", 80)
        with public.listening(81) as listener:
            outside.connect("198.18.0.4", 81).close()
            assert listener.accept()[1][0] == "203.0.113.1"
        with closed.listening(81):
            assert outside.cannot_connect("198.18.0.6", 81)
        lab.restart()
        lab.apply(ALL, group(WEB, ANYTHING_OUT))
        with outside.listening(80):
            public.connect("203.0.113.1", 80).close()
        lab.release(public)
        with pytest.raises(OSError) as caught:  # noqa: PT011
            outside.connect("198.18.0.4", 81, timeout_s=0.3)
        assert caught.value.errno in (errno.ENETUNREACH, None) or isinstance(caught.value, TimeoutError)
    finally:
        lab.close()
    assert lab.traces() == []
    assert links_in(outside) == ["lo"]


def links_in(host: Host) -> list[str]:
    return host.inside(lambda: sorted(name for _index, name in socket.if_nameindex()))


def test_host_is_untouched(lab: Lab) -> None:
    """Networks without a way out add no link, table or sysctl to the machine's own network."""
    links = sorted(name for _index, name in socket.if_nameindex())
    tables, forwarding = nft("list", "tables"), Path("/proc/sys/net/ipv4/ip_forward").read_text()
    lab.apply(ALL)
    task = lab.task("172.31.0.4", OPEN)
    assert not any(name.startswith(f"ps{lab.settings.instance_id[:6]}") for _index, name in socket.if_nameindex())
    lab.release(task)
    wait_until(lambda: sorted(name for _index, name in socket.if_nameindex()) == links, "links as before")
    assert nft("list", "tables") == tables
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == forwarding


def test_no_descriptor_is_inherited(lab: Lab) -> None:
    """A program that is started inherits no socket of a VPC's namespace."""
    lab.apply(ALL)
    lab.task("172.31.0.4", OPEN)
    sockets = [
        name
        for name in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{name}") and os.get_inheritable(int(name)) and is_netlink(int(name))
    ]
    assert sockets == []


def is_netlink(fd: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(fd)) as duplicate:
            return duplicate.family == socket.AF_NETLINK
    except OSError:
        return False


def test_group_changes_of_an_interface(lab: Lab) -> None:
    """A load balancer's interface takes over other groups while it is up."""
    web = group(WEB, allow(protocol="tcp", from_port=80, to_port=80, cidr="0.0.0.0/0"), ANYTHING_OUT)
    lab.apply(ALL, web)
    eni, client = eni_of("172.31.0.10", WEB), lab.task("172.31.0.4", OPEN)
    (leg,) = lab.balancer("app", [eni])
    assert client.reaches(leg, 80)
    assert client.kept_from(leg, 81)
    (leg,) = lab.balancer("app", [msgspec.structs.replace(eni, security_group_ids=(OPEN,))])
    assert client.reaches(leg, 81)
