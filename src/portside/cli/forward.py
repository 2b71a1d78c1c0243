"""`portside forward TASK:PORT [LOCALPORT]`: connections to this machine's loopback go on inside of the task."""

import asyncio
import contextlib
import socket
import sys
from functools import partial
from typing import Any, Final

from portside.cli import inside
from portside.cli.failure import Failure
from portside.settings import Settings

CONNECT_S: Final = 5.0
CHUNK_BYTES: Final = 64 * 1024
CONNECTIONS_MOST: Final = 512


def run(settings: Settings, target: str, local_port: int | None, *, cluster: str, container: str) -> None:
    """Until interrupted.

    Raises: Failure for a target that is none, a task that does not run, or a local port that is taken."""
    task, _, text = target.rpartition(":")
    if not task or not text.isdigit() or not 0 < int(text) < 65536:
        raise Failure(f"{target} is not TASK:PORT", "For example: portside forward 1a2b3c4d:80 8080")
    port = int(text)
    forward = Forward(settings, task, port, cluster=cluster, container=container)
    forward.look()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(forward.serve(port if local_port is None else local_port))


class Forward:
    """Asks anew for each connection where the container is, so that a restarted one is reached, too."""

    def __init__(self, settings: Settings, task: str, port: int, *, cluster: str, container: str) -> None:
        self._settings, self._task, self._port = settings, task, port
        self._cluster, self._container = cluster, container
        self._room = asyncio.Semaphore(CONNECTIONS_MOST)

    def look(self) -> Any:
        answer = inside.containers(self._settings, self._task, cluster=self._cluster)
        return inside.chosen(answer, self._container, self._port)

    async def serve(self, local_port: int) -> None:
        try:
            server = await asyncio.start_server(self._accepted, "127.0.0.1", local_port)
        except OSError as error:
            raise Failure(
                f"127.0.0.1:{local_port} is not to be had: {error.strerror}",
                "Name another: portside forward TASK:PORT 0",
            ) from error
        async with server:
            own = server.sockets[0].getsockname()[1]
            print(f"127.0.0.1:{own} leads to port {self._port} of {self._task}; Ctrl-C ends it", flush=True)
            await server.serve_forever()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._room:
            try:
                sock = await asyncio.to_thread(self._connect)
                there = await asyncio.open_connection(sock=sock)
            except (OSError, Failure) as error:
                print(f"portside: {getattr(error, 'message', error)}", file=sys.stderr)
                writer.transport.abort()
                return
            try:
                await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))
            except OSError:
                pass  # one side has broken off: so does the other
            finally:
                for each in (writer, there[1]):
                    each.transport.abort()

    def _connect(self) -> socket.socket:
        """Connected inside: to the loopback, where a program that is for itself alone listens, else to the address."""
        container = self.look()
        try:
            return inside.within(container, partial(_connected, "127.0.0.1", self._port))
        except OSError as error:
            if not container["address"]:
                raise OSError(f"nothing accepts connections at port {self._port}: {error}") from error
        try:
            return inside.within(container, partial(_connected, container["address"], self._port))
        except OSError as error:
            raise OSError(f"nothing accepts connections at port {self._port}: {error}") from error


def _connected(address: str, port: int) -> socket.socket:
    sock = socket.create_connection((address, port), timeout=CONNECT_S)
    sock.setblocking(False)
    return sock


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All that comes, then its end: the other direction goes on."""
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
