"""Desync mitigation modes of load balancers on the real Envoy."""

import asyncio
import gzip
import shlex
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from portside.testing.balancer_lab import LEG, eventually, forward, group, target
from portside.testing.envoy_lab import ONE, Lab, in_lab
from portside.testing.netns_lab import inside

pytestmark = pytest.mark.integration

MODE = "routing.http.desync_mitigation_mode"


def request(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((line, b"Host: a", *headers, b"", body))


ACCEPTABLE = {
    "NonCompliantHeader": request(b"GET / HTTP/1.1", b"X-A: caf\xe9"),
    "GetHeadZeroContentLength": request(b"GET / HTTP/1.1", b"Content-Length: 0"),
}
AMBIGUOUS = {
    "UndefinedContentLengthSemantics": request(b"GET / HTTP/1.1", b"Content-Length: 5", body=b"hello"),
    "UndefinedTransferEncodingSemantics": request(
        b"GET / HTTP/1.1", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"
    ),
    "SuspiciousHeader": request(b"POST / HTTP/1.1", b"Transfer_Encoding: chunked", b"Content-Length: 0"),
}
COMPLIANT = (
    request(b"GET / HTTP/1.1", b"X_A: 1"),
    request(b"POST / HTTP/1.1", b"Content-Length: 0", b"X-Portside-Chunked: 1"),
    request(b"POST / HTTP/1.1", b"Content-Length: 5", body=b"hello"),
    request(b"DELETE / HTTP/1.1", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
)
BOTH = request(
    b"POST / HTTP/1.1", b"Content-Length: 99", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"
)
SEVERE = (
    request(b"POST / HTTP/1.1", b"Content-Length: 5", b"Content-Length: 6", body=b"hello"),
    request(b"POST / HTTP/1.1", b"Content-Length: +5", body=b"hello"),
    request(b"POST / HTTP/1.1", b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    request(b"GET / HTTP/1.1", b"X-A: 1\0"),
    request(b"GET / HTTP/1.1", b"Host: b"),  # a second one
)
SECOND = request(b"GET /second HTTP/1.1", b"Connection: close")


class Target:
    """Reads whole requests, with their bodies, and tells what it saw; it closes when it is asked to."""

    def __init__(self) -> None:
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                if "\r\ntransfer-encoding: chunked" in head:
                    await reader.readuntil(b"0\r\n\r\n")
                elif "\r\ncontent-length: " in head:
                    await reader.readexactly(int(head.split("\r\ncontent-length: ")[1].split("\r\n")[0]))
                if "/health" not in head:
                    self.heads.append(head)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
                if "\r\nconnection: close" in head:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def answers(lab: Lab, *sent: bytes) -> list[str]:
    """The statuses of the answers on one connection, until the load balancer closes it."""

    def connect() -> socket.socket:
        made = socket.create_connection((LEG, 80), timeout=10)
        made.setblocking(False)
        return made

    reader, writer = await asyncio.open_connection(sock=await asyncio.to_thread(inside, lab.netns.path, connect))
    found: list[str] = []
    try:
        for each in sent:
            writer.write(each)
            async with asyncio.timeout(20):
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = head.split("\r\ncontent-length: ")[1].split("\r\n")[0]
                await reader.readexactly(int(length))
            found.append(head.split(" ")[1])
            if "\r\nconnection: close" in head:
                return [*found, "closed"]
    except (asyncio.IncompleteReadError, ConnectionError):
        found.append("closed")
    finally:
        writer.close()
    return found


@pytest.mark.parametrize("mode", ["monitor", "defensive", "strictest"])
def test_modes(tmp_path: Path, mode: str) -> None:
    """What AWS calls acceptable is refused by the strictest mode alone. So is what is ambiguous, which ends the
    connections of client and target in the defensive one. What can not be read in one way is refused in each. The
    access log has AWS's names for it."""

    async def body(lab: Lab) -> None:
        seen = Target()
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen(80, forward(g))
        lab.web.attributes = {
            MODE: mode,
            "access_logs.s3.enabled": "true",
            "access_logs.s3.bucket": "logs",
        }

        def bind() -> socket.socket:
            made = socket.create_server((ONE, 8080))
            made.setblocking(False)
            return made

        server = await asyncio.start_server(
            seen.serve, sock=await asyncio.to_thread(inside, lab.netns.path, bind), limit=1 << 20
        )
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        now = datetime.now(UTC)
        await lab.envoy.deliver_access_logs(now)
        for sent in COMPLIANT:
            assert await answers(lab, sent, SECOND) == ["200", "200", "closed"], sent
        assert not any("x-portside" in each for each in seen.heads)
        for name, sent in ACCEPTABLE.items():
            expected = ["400", "closed"] if mode == "strictest" else ["200", "200", "closed"]
            assert await answers(lab, sent, SECOND) == expected, name
        for name, sent in AMBIGUOUS.items():
            expected = {
                "monitor": ["200", "200", "closed"],
                "defensive": ["200", "closed"],
                "strictest": ["400", "closed"],
            }[mode]
            seen.heads.clear()
            assert await answers(lab, sent, SECOND) == expected, name
            if mode == "defensive":
                assert "\r\nconnection: close" in seen.heads[0], name
        seen.heads.clear()
        assert (await answers(lab, BOTH))[0] == ("200" if mode == "monitor" else "400")
        assert not any("content-length" in each for each in seen.heads)
        seen.heads.clear()
        for sent in SEVERE:
            (status, end) = await answers(lab, sent, SECOND)
            assert status in ("400", "501"), sent
            assert end == "closed"
        assert seen.heads == []
        spool = tmp_path / "data" / "envoy" / "access-lbweb.log"

        async def written() -> bool:
            return "SuspiciousHeader" in spool.read_text() and spool.read_text().count("\n") >= 16

        await eventually(written)
        (file,) = await lab.envoy.deliver_access_logs(now + timedelta(minutes=6))
        lines = [shlex.split(each) for each in gzip.decompress(file.read_bytes()).decode().splitlines()]
        told = {(each[27], each[28]) for each in lines} - {("-", "-")}
        wanted = {("Severe", "BadHeader")} | {("Ambiguous", name) for name in AMBIGUOUS}
        wanted |= {("Acceptable", name) for name in ACCEPTABLE}
        if mode == "strictest":
            assert told == wanted
        else:  # a value alone makes nobody look at a request
            assert told == wanted - {("Acceptable", "NonCompliantHeader")}
        server.close()

    in_lab(tmp_path, body)
