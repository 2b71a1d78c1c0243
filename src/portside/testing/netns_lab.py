"""Network namespaces for tests of the data plane: addresses on `lo`, servers and clients inside, no way out.

Everything lives in namespaces that the test made; nothing is routed anywhere.
"""

import asyncio
import ctypes
import os
import secrets
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def inside(netns: str, work: Callable[[], T]) -> T:
    """Run `work` in a thread that has entered a namespace. Sockets made there stay there."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            descriptor = os.open(netns, os.O_RDONLY)
            try:
                if _libc.setns(descriptor, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns {netns}")
            finally:
                os.close(descriptor)
            outcome.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


async def listen(netns: str, address: str, port: int) -> socket.socket:
    """A TCP socket there that takes connections, for asyncio's servers."""

    def make() -> socket.socket:
        made = socket.create_server((address, port), backlog=512)
        made.setblocking(False)
        return made

    return await asyncio.to_thread(inside, netns, make)


class Netns:
    """A namespace with its loopback up. Cleanup: `close`."""

    def __init__(self) -> None:
        self.name = f"pstest-{secrets.token_hex(4)}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.path = f"/run/netns/{self.name}"
        self.ip("link", "set", "lo", "up")

    def ip(self, *arguments: str) -> None:
        subprocess.run(["ip", "-n", self.name, *arguments], check=True)

    def add_address(self, *addresses: str) -> None:
        for address in addresses:
            self.ip("addr", "add", f"{address}/32", "dev", "lo")

    def close(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=False, stderr=subprocess.DEVNULL)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str
    raw_headers: list[str] = field(default_factory=list)


async def request(
    address: str,
    port: int,
    path: str = "/",
    *,
    host: str = "test.example",
    netns: str = "",
    headers: dict[str, str] | None = None,
    method: str = "GET",
    lines: Sequence[str] = (),
    timeout_s: float = 10,
) -> Answer:
    """One request on a connection of its own. `lines`: headers as they are, where a name is there more than once."""

    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        return made

    connection = await asyncio.to_thread(inside, netns, make) if netns else make()
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().sock_connect(connection, (address, port))
            reader, writer = await asyncio.open_connection(sock=connection)
            sent = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *lines]
            sent += [f"{name}: {value}" for name, value in (headers or {}).items()]
            writer.write(("\r\n".join(sent) + "\r\n\r\n").encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").removesuffix("\r\n\r\n")
            first, *rest = head.split("\r\n")
            named = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in rest}
            body = bytearray()
            if named.get("transfer-encoding") == "chunked":
                while size := int(await reader.readline(), 16):
                    body += await reader.readexactly(size)
                    await reader.readexactly(2)
            else:
                body += await reader.readexactly(int(named.get("content-length", 0)))
            writer.close()
    except BaseException:
        connection.close()
        raise
    return Answer(int(first.split(" ")[1]), named, body.decode(), rest)


class WebServer:
    """An HTTP/1.1 server with keep-alive inside a namespace. It answers with its name and the request's head.

    `health` is the status it answers to `/health`; `cookie` what it sets with each answer; `hold` (an event) delays
    answers to `/slow` until set."""

    def __init__(self, netns: str, address: str, port: int, name: str) -> None:
        self.netns, self.address, self.port, self.name = netns, address, port, name
        self.health = 200
        self.cookie = ""
        self.hold = asyncio.Event()
        self.holding = asyncio.Event()
        self.requests = 0
        self.checks = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> "WebServer":
        listening = await listen(self.netns, self.address, self.port)
        self._server = await asyncio.start_server(self._serve, sock=listening)
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                path = head.split(" ", 2)[1]
                status = 200
                if path.startswith("/health"):
                    self.checks += 1
                    status = self.health
                else:
                    self.requests += 1
                if path.startswith("/slow"):
                    self.holding.set()
                    await self.hold.wait()
                body = f"{self.name}\n{head}".encode()
                cookie = f"Set-Cookie: {self.cookie}\r\n" if self.cookie else ""
                own = f"Content-Length: {len(body)}\r\nServer: own\r\n{cookie}X-Own-Case: 1\r\n\r\n"
                writer.write(f"HTTP/1.1 {status} X\r\n{own}".encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.close()


def envoys(data_dir: Path) -> list[int]:
    """The process ids of Envoys that run from a data directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(data_dir).encode() in line and b"--config-path" in line:
                found.append(int(entry.name))
    return found
