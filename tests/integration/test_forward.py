"""`portside forward` and `portside capture` with real tasks."""

import contextlib
import socket
import struct
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from portside.cli import capture, inside
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

WEB = "mkdir /www; echo hello > /www/index.html; exec httpd -f -h /www -p {where}"


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster()
        yield running


def words(portside: Instance, *given: str) -> list[str]:
    return [sys.executable, "-m", "portside.cli", *given, "--data-dir", str(portside.settings.data_dir)]


@contextlib.contextmanager
def forwarded(portside: Instance, target: str, *more: str) -> Iterator[int]:
    """The local port that leads there."""
    command = words(portside, "forward", target, "0", *more)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield int(running.stdout.readline().split()[0].rpartition(":")[2])
        finally:
            running.terminate()


def page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
        return str(answer.read().decode().strip())


def tried(port: int) -> str | None:
    try:
        return page(port)
    except OSError:
        return None


def run(portside: Instance, family: str, script: str) -> str:
    portside.register(family, {"command": ["sh", "-c", script]})
    arn = portside.run_task(family)
    portside.wait_task(arn, "RUNNING")
    return arn.rpartition("/")[2]


@pytest.mark.parametrize("where", ["80", "127.0.0.1:80", "$(hostname -i | cut -d' ' -f1):80"])
def test_a_port_of_a_task(portside: Instance, where: str) -> None:
    """Whether the program listens on all addresses, on its loopback or on the task's address alone, and though the
    task's group lets nobody in: many connections at once, and more after the daemon was killed."""
    task = run(portside, "web", WEB.format(where=where))
    with forwarded(portside, f"{task[:10]}:80") as port:
        assert wait_for(lambda: tried(port), timeout_s=20, what="the page") == "hello"
        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(lambda _: page(port), range(64))) == {"hello"}
        portside.kill()
        portside.start()
        portside.ready()
        assert page(port) == "hello"


def test_each_direction_ends_by_itself(portside: Instance) -> None:
    """A client that has said all is still answered."""
    task = run(portside, "sums", "exec sleep 600")
    (container,) = inside.containers(portside.settings, task, cluster="")["containers"]
    with inside.within(container, lambda: socket.create_server(("127.0.0.1", 9000))) as listener:

        def count() -> None:
            with listener.accept()[0] as sock:
                size = sum(len(each) for each in iter(lambda: sock.recv(65536), b""))
                sock.sendall(str(size).encode())

        with ThreadPoolExecutor(1) as pool, forwarded(portside, f"{task}:9000") as port:
            counting = pool.submit(count)
            with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
                sock.sendall(b"x" * 1_000_000)
                sock.shutdown(socket.SHUT_WR)
                assert sock.makefile().read() == "1000000"
            counting.result(timeout=20)


def test_what_can_not_be_forwarded(portside: Instance) -> None:
    """No such task, no port, a local port that is taken: the reason; a port where nobody listens breaks off."""
    task = run(portside, "idle", "exec sleep 600")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        own = str(taken.getsockname()[1])
        for given, reason in (
            (["nobody:80"], "there is no task nobody"),
            ([task], "is not TASK:PORT"),
            ([f"{task}:80", own], "is not to be had"),
        ):
            done = subprocess.run(words(portside, "forward", *given), capture_output=True, text=True, check=False)
            assert (done.returncode, reason in done.stderr) == (1, True), done.stderr
    with (
        forwarded(portside, f"{task}:80") as port,
        socket.create_connection(("127.0.0.1", port), timeout=20) as sock,
        contextlib.suppress(ConnectionResetError),
    ):
        assert sock.recv(1) == b""


def test_packets(portside: Instance, tmp_path: Path) -> None:
    """The packets between two tasks, as a file and as lines: the handshake, then the request."""
    web = run(portside, "web", WEB.format(where="80"))
    (arn,) = portside.client("ecs").list_tasks(family="web")["taskArns"]
    address = portside.task(arn)["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    client = run(portside, "client", f"while :; do wget -q -O /dev/null http://{address}/; sleep 0.2; done")
    file = tmp_path / "packets.pcap"
    chosen = ("--protocol", "tcp", "--packet-port", "80", "--count", "40", "--seconds", "30")
    command = words(portside, "capture", client, "-w", str(file), *chosen)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "40 packets" in done.stderr
    packets = [capture.read(frame) for frame in frames(file)]
    assert len(packets) == 40
    assert {each.protocol for each in packets} == {"tcp"}
    opened = next(index for index, each in enumerate(packets) if each.flags == "S")
    assert [each.flags for each in packets[opened : opened + 3]] == ["S", "S.", "."]
    assert packets[opened].target == address
    lines = subprocess.run(
        words(portside, "capture", web[:8], *chosen), capture_output=True, text=True, timeout=60, check=False
    )
    assert len(lines.stdout.splitlines()) == 40
    assert f"{address}:80" in lines.stdout
    unknown = subprocess.run(
        words(portside, "capture", web, "--interface", "eth7"), capture_output=True, text=True, check=False
    )
    assert (unknown.returncode, "there is no interface eth7" in unknown.stderr) == (1, True)


def frames(file: Path) -> Iterator[bytes]:
    data = file.read_bytes()
    at = 24
    while at < len(data):
        _, _, size, _ = struct.unpack_from("<IIII", data, at)
        yield data[at + 16 : at + 16 + size]
        at += 16 + size
