"""Questions that are not the VPC's own, asked of the host's resolvers.

Which these are stands in /etc/resolv.conf, which is read again when it changes. Each question leaves from a port of its
own, with an id of its own, so that an answer can not be guessed by whoever does not see the question.
"""

import asyncio
import ipaddress
import logging
import secrets
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from portside.dns import message

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 2.0
ATTEMPTS: Final = 2
UNDER_WAY_MOST: Final = 1000
"""Questions that may wait for an answer at once."""
OF_A_VPC_MOST: Final = 250
"""Of these, from one VPC: what waits for a resolver that is gone does not keep others from asking."""
RESOLV_CONF: Final = Path("/etc/resolv.conf")

OpenSocket = Callable[[int, int], socket.socket]
"""A socket of a family and kind that reaches the host's resolvers. May block; raises OSError."""


class Unanswered(Exception):
    """No resolver answered, or there is none."""


class Forwarder:
    """Asks the host's resolvers, one after another.

    Args:
        open_socket: None: nobody may be asked, and nothing leaves the machine.
        blocks: whether opening a socket takes a thread of its own.
    """

    def __init__(
        self, open_socket: OpenSocket | None, *, blocks: bool = False, resolv_conf: Path = RESOLV_CONF, port: int = 53
    ) -> None:
        self._open, self._blocks, self._path, self._port = open_socket, blocks, resolv_conf, port
        self._read_at = 0
        self._servers: Sequence[str] = ()
        self._under_way: Counter[str] = Counter()

    @property
    def is_allowed(self) -> bool:
        return self._open is not None

    async def ask(self, vpc_id: str, query: bytes, *, over_tcp: bool) -> bytes:
        """The answer to a message, with that message's id. Raises Unanswered."""
        if self._open is None:
            raise Unanswered("nobody may be asked")
        if self._under_way.total() >= UNDER_WAY_MOST or self._under_way[vpc_id] >= OF_A_VPC_MOST:
            raise Unanswered("too many questions are under way")
        self._under_way[vpc_id] += 1
        try:
            own = message.with_id(query, secrets.randbelow(1 << 16))
            for _ in range(ATTEMPTS):
                for server in self._known():
                    try:
                        async with asyncio.timeout(TIMEOUT_S):
                            found = await (self._stream if over_tcp else self._datagram)(server, own)
                    except (OSError, TimeoutError, asyncio.IncompleteReadError):
                        continue
                    if found[3] & 15 not in (2, 5):  # SERVFAIL, REFUSED: the next one may know
                        return message.with_id(found, message.id_of(query))
            raise Unanswered("no resolver of the host answered")
        finally:
            self._under_way[vpc_id] -= 1
            self._under_way += Counter()  # without those of which there are none

    def _known(self) -> Sequence[str]:
        try:
            changed_at = self._path.stat().st_mtime_ns
            if changed_at != self._read_at:
                self._servers, self._read_at = nameservers(self._path.read_text()), changed_at
        except OSError as error:
            log.warning("the host's resolvers are not known: %s", error)
        return self._servers

    async def _socket(self, server: str, kind: int) -> socket.socket:
        assert self._open is not None
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        if self._blocks:
            sock = await asyncio.get_running_loop().run_in_executor(None, self._open, family, kind)
        else:
            sock = self._open(family, kind)
        sock.setblocking(False)
        return sock

    async def _datagram(self, server: str, query: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        with await self._socket(server, socket.SOCK_DGRAM) as sock:
            await loop.sock_connect(sock, (server, self._port))
            await loop.sock_sendall(sock, query)
            while True:
                found = await loop.sock_recv(sock, 65535)
                if message.answers(found, query):
                    return found

    async def _stream(self, server: str, query: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        sock = await self._socket(server, socket.SOCK_STREAM)
        try:
            await loop.sock_connect(sock, (server, self._port))
            reader, writer = await asyncio.open_connection(sock=sock)
        except BaseException:
            sock.close()
            raise
        try:
            writer.write(len(query).to_bytes(2, "big") + query)
            length = int.from_bytes(await reader.readexactly(2), "big")
            found = await reader.readexactly(length)
            if not message.answers(found, query):
                raise OSError("another answer than the one that was asked for")
            return found
        finally:
            writer.close()


def host_socket(family: int, kind: int) -> socket.socket:
    return socket.socket(family, kind)


def nameservers(text: str) -> list[str]:
    """Of a resolv.conf. Source: resolv.conf(5): three at most, and the host itself if there is none."""
    found: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                ipaddress.ip_address(words[1].partition("%")[0])
            except ValueError:
                continue
            found.append(words[1])
    return found[:3] or ["127.0.0.1"]
