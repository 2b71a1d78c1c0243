"""What the real Envoy speaks with targets: HTTP/2, gRPC and TLS; and what stays open for long while things change."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portside.balancer.admin import Admin
from portside.balancer.process import admin_socket
from portside.control.loop import spawn
from portside.domain.load_balancer import HealthCheck, TargetGroup
from portside.domain.load_balancer_rule import GRPC_HEALTH, check_health_check
from portside.domain.record import replace
from portside.testing.balancer_lab import AT, LEG, LabAuthority, eventually, fixed, forward, group, paths, target
from portside.testing.envoy_lab import ONE, TWO, Lab, in_lab
from portside.testing.http2_lab import GrpcServer, Stream
from portside.testing.netns_lab import envoys, inside

pytestmark = pytest.mark.integration

HEALTH = HealthCheck(path=GRPC_HEALTH, matcher="0", interval_s=1, timeout_s=1)
ANY = HealthCheck(path="/any", matcher="0-99", interval_s=1, timeout_s=1)


@contextlib.asynccontextmanager
async def serving(lab: Lab, address: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[GrpcServer]:
    server = await GrpcServer(lab.netns.path, address, 8080, tls=tls).start()
    try:
        yield server
    finally:
        await server.close()


def grpc(name: str = "g", check: HealthCheck = HEALTH, protocol: str = "HTTP") -> TargetGroup:
    check_health_check(replace(check, interval_s=5, timeout_s=2), protocol, "GRPC")
    return group(name, protocol=protocol, protocol_version="GRPC", health_check=check)


async def secured(lab: Lab, tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext, LabAuthority]:
    """An HTTPS listener's certificate is added to the load balancer by the caller. Returns: what a client and what a
    server takes."""
    authority = LabAuthority()
    client = ssl.create_default_context(cadata=authority.root_pem)
    client.set_alpn_protocols(["h2"])
    own = authority.issue("target.test")
    (tmp_path / "target.pem").write_text(own.chain_pem + own.key_pem)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "target.pem")
    server.set_alpn_protocols(["h2", "http/1.1"])
    return client, server, authority


def test_grpc(tmp_path: Path) -> None:
    """A stream of gRPC goes both ways over an HTTPS listener, lives on while rules, targets and checks change, and
    ends with the target's own trailers; a target that serves nothing is unhealthy."""

    async def body(lab: Lab) -> None:
        client, _, authority = await secured(lab, tmp_path)
        g = grpc()
        lab.web.groups, lab.web.targets = [g], [target(g, ONE), target(g, TWO)]
        listener = lab.web.listen_tls(443, forward(g), authority.issue("web.test"))
        async with serving(lab, ONE), serving(lab, TWO) as two:
            two.message = b"\0\0\0\0\x02\x08\x02"  # NOT_SERVING
            await lab.apply()
            await lab.reports.wait(ONE, "healthy")
            failed = await lab.reports.wait(TWO, "unhealthy")
            assert failed.reason_code == "Target.FailedHealthChecks"
            stream = await Stream.open(lab.netns.path, LEG, 443, "/echo.Echo/Talk", host="web.test", tls=client)
            assert await stream.receive() != b""
            stream.send(b"one")
            assert await stream.receive() == b"one"

            lab.web.rule(listener, 1, fixed(404), paths("/none"))
            await lab.apply()
            two.message = b"\0\0\0\0\x02\x08\x01"
            await lab.reports.wait(TWO, "healthy")
            lab.web.groups = [replace(g, health_check=replace(HEALTH, healthy_threshold=4))]
            await lab.apply()
            lab.web.targets = [target(g, TWO, checked="healthy"), target(g, ONE, deregistered_at=AT)]
            await lab.apply()
            stream.send(b"two")
            assert await stream.receive() == b"two"
            stream.send(b"three", last=True)
            assert await stream.receive() == b"three"
            assert await stream.receive() == b""
            stream.close()

    in_lab(tmp_path, body)


def test_codes_of_grpc(tmp_path: Path) -> None:
    """AWS's default asks a method that is not there and takes code 12; lists and ranges take others. A wrong code is
    told, a target that is not there, or silent, is no code, though Envoy answers for it by one."""

    async def body(lab: Lab) -> None:
        client, _, authority = await secured(lab, tmp_path)
        default = HealthCheck(path="/AWS.ALB/healthcheck", matcher="12", interval_s=1, timeout_s=1)
        g = grpc(check=default)
        lab.web.groups, lab.web.targets = [g], [target(g, ONE), target(g, TWO)]
        lab.web.listen_tls(443, forward(g), authority.issue("web.test"))
        async with serving(lab, ONE) as one:
            one.code, one.message = 12, b""
            await lab.apply()
            await lab.reports.wait(ONE, "healthy")
            gone = await lab.reports.wait(TWO, "unhealthy")
            assert (gone.reason_code, gone.detail) == ("Target.FailedHealthChecks", "Health checks failed")
            one.code = 14
            wrong = await lab.reports.wait(ONE, "unhealthy")
            assert wrong.reason_code == "Target.ResponseCodeMismatch"
            assert wrong.detail == "Health checks failed with these codes: [14]"
            for matcher in ("0-11,14", "14-99", "0-99"):
                lab.reports.all.clear()
                g = grpc(check=replace(default, matcher=matcher, path=f"/a.B/{len(matcher)}"))
                lab.web.groups = [g]
                await lab.apply()
                await lab.reports.wait(ONE, "healthy")
                await lab.reports.wait(TWO, "unhealthy")
            one.silent = True
            late = await lab.reports.wait(ONE, "unhealthy")
            assert late.reason_code == "Target.Timeout"
            one.silent = False
            await lab.reports.wait(ONE, "healthy")
            stream = await Stream.open(lab.netns.path, LEG, 443, "/a.B/C", host="web.test", tls=client)
            stream.send(b"hello", last=True)
            assert await stream.receive() == b"hello"
            stream.close()
            assert "x-portside-check" not in one.heads

    in_lab(tmp_path, body)


def test_odd_requests_to_http2_targets(tmp_path: Path) -> None:
    """A GET with a body, by HTTP/1.1, reaches targets of HTTP/2, and its client's connection ends."""

    async def body(lab: Lab) -> None:
        _, _, authority = await secured(lab, tmp_path)
        g = grpc()
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen_tls(443, forward(g), authority.issue("web.test"))
        context = ssl.create_default_context(cadata=authority.root_pem)
        async with serving(lab, ONE):
            await lab.apply()
            await lab.reports.wait(ONE, "healthy")

            def ask() -> bytes:
                with (
                    socket.create_connection((LEG, 443), timeout=10) as plain,
                    context.wrap_socket(plain, server_hostname="web.test") as client,
                ):
                    client.sendall(b"GET /a.B/C HTTP/1.1\r\nHost: web.test\r\nContent-Length: 5\r\n\r\nhello")
                    got = b""
                    while more := client.recv(4096):
                        got += more
                    return got

            answer = await asyncio.to_thread(inside, lab.netns.path, ask)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"\r\nconnection: close" in answer.lower()

    in_lab(tmp_path, body)


@pytest.mark.parametrize("checked_by", ["HTTP", "HTTPS"])
@pytest.mark.parametrize("protocol", ["HTTP", "HTTPS"])
def test_tls_to_targets(tmp_path: Path, protocol: str, checked_by: str) -> None:
    """Requests go to targets with TLS or without, and checks the one or the other way, whatever the target's
    certificate is. Any gRPC code will do where all are admitted."""

    async def body(lab: Lab) -> None:
        client, server, authority = await secured(lab, tmp_path)
        g = replace(grpc(check=replace(ANY, protocol=checked_by, port="8080"), protocol=protocol))
        secure = server if protocol == "HTTPS" else None
        checks = server if checked_by == "HTTPS" else None
        g = replace(g, health_check=replace(g.health_check, port="8081"))
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen_tls(443, forward(g), authority.issue("web.test"))
        other = await GrpcServer(lab.netns.path, ONE, 8081, tls=checks).start()
        other.code = 12
        async with serving(lab, ONE, secure):
            await lab.apply()
            await lab.reports.wait(ONE, "healthy")
            stream = await Stream.open(lab.netns.path, LEG, 443, "/a.B/C", host="web.test", tls=client)
            await stream.receive()
            stream.send(b"hello", last=True)
            assert await stream.receive() == b"hello"
            stream.close()
        await other.close()

    in_lab(tmp_path, body)


async def _echo(lab: Lab, address: str) -> asyncio.Server:
    """Takes an upgrade to a WebSocket and sends back what comes; answers checks."""

    def listen() -> socket.socket:
        made = socket.create_server((address, 8080))
        made.setblocking(False)
        return made

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"upgrade: websocket" not in head.lower():
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            else:
                writer.write(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
                while data := await reader.read(1024):
                    writer.write(data)
        writer.close()

    return await asyncio.start_server(serve, sock=await asyncio.to_thread(inside, lab.netns.path, listen))


def test_websockets_outlast_changes(tmp_path: Path) -> None:
    """A WebSocket goes on while rules, attributes, targets and checks change, and its own target is drained and taken
    out."""

    async def body(lab: Lab) -> None:
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        listener = lab.web.listen(80, forward(g))
        servers = [await _echo(lab, address) for address in (ONE, TWO)]
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")

        def connect() -> socket.socket:
            made = socket.create_connection((LEG, 80), timeout=10)
            made.setblocking(False)
            return made

        reader, writer = await asyncio.open_connection(sock=await asyncio.to_thread(inside, lab.netns.path, connect))
        writer.write(b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")

        async def still(text: bytes) -> None:
            writer.write(text)
            async with asyncio.timeout(10):
                assert await reader.readexactly(len(text)) == text

        await still(b"first")
        lab.web.rule(listener, 1, fixed(404), paths("/ws"))
        await lab.apply()
        await still(b"after a rule")
        lab.web.attributes = {"idle_timeout.timeout_seconds": "61"}
        await lab.apply()
        await still(b"after an attribute")
        lab.web.targets = [target(g, ONE, checked="healthy"), target(g, TWO)]
        await lab.apply()
        await lab.reports.wait(TWO, "healthy")
        lab.web.targets = [target(g, TWO, checked="healthy"), target(g, ONE, deregistered_at=AT)]
        await lab.apply()
        assert (await lab.envoy.open_requests(g.arn))[ONE, 8080] == 1
        await still(b"while draining")
        lab.web.targets = [target(g, TWO, checked="healthy")]
        await lab.apply()
        await still(b"taken out")
        lab.web.groups = [replace(g, health_check=replace(g.health_check, path="/health2"))]
        await lab.apply()
        await still(b"after a check")
        writer.close()
        for server in servers:
            server.close()

    in_lab(tmp_path, body)


def test_all_unhealthy_is_none(tmp_path: Path) -> None:
    """Where no target is healthy requests go to all of them; once one is, to that one alone."""

    async def body(lab: Lab) -> None:
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE), target(g, TWO)]
        lab.web.listen(80, forward(g))
        await lab.serve(ONE, TWO)
        for server in lab.servers:
            server.health = 500
        await lab.apply()
        for address in (ONE, TWO):
            report = await lab.reports.wait(address, "unhealthy")
            assert (report.reason_code, report.detail) == (
                "Target.ResponseCodeMismatch",
                "Health checks failed with these codes: [500]",
            )
        names = {(await lab.ask()).body.splitlines()[0] for _ in range(8)}
        assert names == {"server-1", "server-2"}
        lab.servers[1].health = 200
        await lab.reports.wait(TWO, "healthy")
        assert {(await lab.ask()).body.splitlines()[0] for _ in range(8)} == {"server-2"}

    in_lab(tmp_path, body)


@pytest.mark.parametrize("algorithm", ["round_robin", "least_outstanding_requests", "weighted_random"])
def test_algorithms(tmp_path: Path, algorithm: str) -> None:
    """In turn: to each as many. By what is outstanding: none to one that is busy. At random: to all of them."""

    async def body(lab: Lab) -> None:
        g = group("g", attributes={"load_balancing.algorithm.type": algorithm})
        lab.web.groups, lab.web.targets = [g], [target(g, ONE), target(g, TWO)]
        lab.web.listen(80, forward(g))
        await lab.serve(ONE, TWO)
        await lab.apply()
        for address in (ONE, TWO):
            await lab.reports.wait(address, "healthy")
        slow = spawn("slow", lab.ask("/slow"))

        async def is_held() -> bool:
            return any(server.holding.is_set() for server in lab.servers)

        await eventually(is_held)
        busy = next(server for server in lab.servers if server.holding.is_set())
        names = [(await lab.ask()).body.splitlines()[0] for _ in range(40)]
        counted = names.count(busy.name)
        if algorithm == "round_robin":
            # two workers, each in turn
            assert abs(counted - 20) <= 2
        elif algorithm == "least_outstanding_requests":
            assert counted == 0
        else:
            assert 0 < counted < 40
        busy.hold.set()
        assert (await slow).status == 200

    in_lab(tmp_path, body)


def test_killed_envoy_is_back_soon(tmp_path: Path) -> None:
    """After a kill the first request is answered again, from the files of before. How long it took is printed."""

    async def body(lab: Lab) -> None:
        lab.web.listen(80, fixed(200, "here"))
        await lab.apply()
        assert (await lab.ask()).body == "here"
        (pid,) = envoys(tmp_path / "data")
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError):
                    if (await lab.ask()).body == "here":
                        break
        print(f"back after {time.monotonic() - began:.2f} s")

    in_lab(tmp_path, body)


def test_connections_are_spread_over_the_threads(tmp_path: Path) -> None:
    """Few connections that last, as those of HTTP/2 do, are half with the one thread, half with the other."""

    async def body(lab: Lab) -> None:
        lab.web.listen(80, fixed(200, "ok"))
        await lab.apply()
        statistics = Admin(admin_socket(lab.settings))

        def connect() -> socket.socket:
            return socket.create_connection((LEG, 80), timeout=10)

        connections = [await asyncio.to_thread(inside, lab.netns.path, connect) for _ in range(8)]
        try:

            async def spread() -> bool:
                told = await statistics.get("/stats?filter=_legs.worker_[0-9].downstream_cx_active")
                return sorted(int(line.split(": ")[1]) for line in told.splitlines()) == [4, 4]

            await eventually(spread)
        finally:
            for connection in connections:
                connection.close()

    in_lab(tmp_path, body)
