"""Requests that are malformed, or meant to be taken for two, on the real Envoy."""

import asyncio
import contextlib
import socket
import struct
from pathlib import Path

import pytest

from portside.balancer import envoy
from portside.testing.balancer_lab import LEG, LabAuthority, by_cookie, eventually, fixed, forward, group, target
from portside.testing.envoy_lab import ONE, Lab, in_lab
from portside.testing.http2_lab import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    headers,
    read_frame,
)
from portside.testing.netns_lab import envoys, inside, listen

pytestmark = pytest.mark.integration

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


def post(*headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((b"POST / HTTP/1.1", b"Host: a", *headers, b"", body))


MALFORMED = {
    "length and chunks": post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED),
    "two lengths": post(b"Content-Length: 0", b"Content-Length: 36", body=SMUGGLED),
    "a list of lengths": post(b"Content-Length: 0, 36", body=SMUGGLED),
    "a length with a sign": post(b"Content-Length: +0", body=SMUGGLED),
    "chunks in disguise": post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + SMUGGLED),
    "chunks, and not last": post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n" + SMUGGLED),
    "a space before the colon": post(b"Content-Length : 36", body=SMUGGLED),
    "a nought in a value": post(b"X-A: 1\0", b"Content-Length: 0"),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64,
}


async def exchange(lab: Lab, sent: bytes, port: int = 80) -> bytes:
    """What is answered until the load balancer closes the connection."""

    def connect() -> socket.socket:
        made = socket.create_connection((LEG, port), timeout=10)
        made.setblocking(False)
        return made

    reader, writer = await asyncio.open_connection(sock=await asyncio.to_thread(inside, lab.netns.path, connect))
    writer.write(sent)
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def test_malformed_requests(tmp_path: Path) -> None:
    """Each is refused and its connection closed; no target sees a part of one as a request; the next good request is
    answered by the same process."""

    async def body(lab: Lab) -> None:
        authority = LabAuthority()
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen(80, forward(g))
        lab.web.listen_tls(443, forward(g), authority.issue("web.test"))
        lab.web.attributes = {"idle_timeout.timeout_seconds": "1"}
        await lab.serve(ONE)
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        pids = envoys(tmp_path / "data")
        for name, sent in MALFORMED.items():
            answer = await exchange(lab, sent)
            assert answer.count(b"HTTP/1.1 ") <= 1, (name, answer)
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ")), (name, answer)
        large = post(*(b"X-%d: %s" % (number, b"a" * 1000) for number in range(80)), b"Content-Length: 0")
        refused = await exchange(lab, large)
        # nothing is left of an answer where the client was still sending when the connection ended
        assert refused == b"" or refused.startswith(b"HTTP/1.1 431 ")
        # a client that never ends its headers, or its body
        assert (await exchange(lab, b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ")).startswith(b"HTTP/1.1 408 ")
        await exchange(lab, b"GET / HTTP/1.1\r\n\r\n", 443)
        await exchange(lab, b"\x16\x03\x01\x00\x05hello", 443)
        assert lab.servers[0].requests == 0
        # what came before the first wrong chunk is on its way already, what comes after it goes nowhere
        await exchange(lab, post(b"Transfer-Encoding: chunked", body=b"0x24\r\n" + SMUGGLED))
        assert lab.servers[0].requests <= 1
        # a folded header is one line to the target: what it hides is a part of a value
        folded = await exchange(lab, post(b"X-A: 1", b" Content-Length: 36", b"Connection: close"))
        assert b"X-A: 1 Content-Length: 36\r\n" in folded
        before = lab.servers[0].requests
        answer = await lab.ask("/good")
        assert answer.status == 200
        assert lab.servers[0].requests == before + 1
        assert envoys(tmp_path / "data") == pids

    in_lab(tmp_path, body)


def test_as_many_connections_as_there_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are refused, which is a problem while it lasts, and changes arrive all the same."""
    monkeypatch.setattr(envoy, "max_connections", lambda: 20)

    async def body(lab: Lab) -> None:
        lab.web.listen(80, fixed(200, "hello"))
        await lab.apply()
        held = [
            await asyncio.to_thread(inside, lab.netns.path, lambda: socket.create_connection((LEG, 80)))
            for _ in range(20)
        ]

        async def is_told() -> bool:
            return "hold 20 connections" in lab.envoy.problem

        await eventually(is_told, timeout_s=30)
        assert await exchange(lab, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == b""
        lab.web.listen(81, fixed(200, "more"))
        await lab.apply()
        for each in held:
            each.close()

        async def is_well() -> bool:
            return lab.envoy.problem == ""

        await eventually(is_well, timeout_s=30)
        assert (await lab.ask()).body == "hello"

    in_lab(tmp_path, body)


def test_cookies_of_nothing_but_spaces(tmp_path: Path) -> None:
    """However a client writes its cookies, a script that looks for one in them is done at once: each request is
    answered."""

    async def body(lab: Lab) -> None:
        g = group("g", attributes=by_cookie("SESSION"))
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen(80, forward(g))
        await lab.serve(ONE)
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        spaces = " " * 50_000
        for cookie in (f"a=b{spaces}x", f"a=b;{spaces}x", f"a=b{spaces};x", f"SESSION=1;{spaces};x", "=" * 50_000):
            # more of them than Envoy has threads
            answered = await asyncio.gather(*(lab.ask(cookie=cookie) for _ in range(4)))
            assert {each.status for each in answered} == {200}

    in_lab(tmp_path, body)


def test_clients_of_http2_that_read_and_write_no_more(tmp_path: Path) -> None:
    """Neither answers that they do not read nor bodies that no target takes are kept beyond a limit, and what is kept
    is given back after them."""

    async def body(lab: Lab) -> None:
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen(80, forward(g))
        lab.web.listen(81, fixed(200, "hello"))
        await lab.serve(ONE)
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        (pid,) = envoys(tmp_path / "data")
        for port in (80, 81):
            limits = await told_limits(lab, port)
            assert limits[MAX_CONCURRENT_STREAMS] == 128
            assert limits[INITIAL_WINDOW_SIZE] <= 65536
        get = headers((":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"))
        no_window = struct.pack("!HI", INITIAL_WINDOW_SIZE, 0)
        opened: list[socket.socket] = []
        for _ in range(100):
            client = await asyncio.to_thread(inside, lab.netns.path, lambda: socket.create_connection((LEG, 81)))
            streams = (frame(HEADERS, END_HEADERS | END_STREAM, number, get) for number in range(1, 201, 2))
            client.sendall(PREFACE + frame(SETTINGS, 0, 0, no_window) + frame(SETTINGS, ACK, 0) + b"".join(streams))
            opened.append(client)

        async def is_full() -> bool:
            return resident_mib(pid) > 150

        await eventually(is_full, timeout_s=30)
        for client in opened:
            client.close()

        async def is_back() -> bool:
            return resident_mib(pid) < 140

        await eventually(is_back, timeout_s=300)

    in_lab(tmp_path, body)


def test_clients_that_do_not_read_from_targets_of_http2(tmp_path: Path) -> None:
    """They share connections to the target with all others, and hold up none of them."""

    async def body(lab: Lab) -> None:
        g = group("g", protocol_version="HTTP2")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen(80, forward(g))
        flood = Flood()
        server = await asyncio.start_server(flood.serve, sock=await listen(lab.netns.path, ONE, 8080))
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")

        def connect() -> socket.socket:
            made = socket.socket()
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            made.connect((LEG, 80))
            made.sendall(post(b"Transfer-Encoding: chunked"))
            return made

        # more than two connections, one of each of Envoy's threads, have room for by its defaults
        silent = [await asyncio.to_thread(inside, lab.netns.path, connect) for _ in range(24)]

        async def stalled() -> bool:
            before = flood.sent
            await asyncio.sleep(1)
            return before == flood.sent > 0

        await eventually(stalled, timeout_s=60)
        for _ in range(8):
            assert (await lab.ask()).body == "ok"
        for client in silent:
            client.close()
        server.close()

    in_lab(tmp_path, body)


class Flood:
    """A target of HTTP/2. A request whose body does not end is answered with far more than anybody reads, as far as
    the windows go; any other with a word."""

    def __init__(self) -> None:
        self.sent = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        windows, first, flooded = {0: 65535}, 65535, set[int]()
        writer.write(frame(SETTINGS, 0, 0))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readexactly(len(PREFACE))
            while True:
                kind, flags, stream, payload = await read_frame(reader)
                if kind == SETTINGS and not flags & ACK:
                    first = dict(struct.iter_unpack("!HI", payload)).get(INITIAL_WINDOW_SIZE, first)
                    writer.write(frame(SETTINGS, ACK, 0))
                elif kind == WINDOW_UPDATE:
                    windows[stream] = windows.get(stream, first) + int.from_bytes(payload, "big")
                elif kind == RST_STREAM:
                    flooded.discard(stream)
                elif kind == HEADERS:
                    writer.write(frame(HEADERS, END_HEADERS, stream, headers((":status", "200"))))
                    if not flags & END_STREAM:
                        windows[stream] = first
                        flooded.add(stream)
                    elif windows[0] >= 2:
                        windows[0] -= 2
                        writer.write(frame(DATA, END_STREAM, stream, b"ok"))
                for each in flooded:
                    while (size := min(16384, windows[0], windows[each])) > 0:
                        windows[0] -= size
                        windows[each] -= size
                        self.sent += size
                        writer.write(frame(DATA, 0, each, bytes(size)))
                await writer.drain()
        writer.close()


MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4


async def told_limits(lab: Lab, port: int) -> dict[int, int]:
    """The settings that a client of HTTP/2 is given."""

    def ask() -> bytes:
        with socket.create_connection((LEG, port), timeout=10) as client:
            client.sendall(PREFACE + frame(SETTINGS, 0, 0))
            told = b""
            while len(told) < 9 or len(told) < 9 + int.from_bytes(told[:3], "big"):
                told += client.recv(4096)
            return told[9 : 9 + int.from_bytes(told[:3], "big")]

    return dict(struct.iter_unpack("!HI", await asyncio.to_thread(inside, lab.netns.path, ask)))


def resident_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) >> 10
