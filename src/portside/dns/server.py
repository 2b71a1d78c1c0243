"""The resolver's sockets: over UDP and TCP, in the namespace of each VPC, all in the one event loop."""

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

from portside.dns import message
from portside.dns.forward import Forwarder, Unanswered
from portside.dns.message import Malformed, Query
from portside.domain.dns import Answer, Code, Question, ResourceRecord

log = logging.getLogger(__name__)

BATCH: Final = 64
"""Questions answered in one turn of the event loop: others get theirs, too."""
IDLE_S: Final = 10.0
"""How long a connection may stay without a question."""
CONNECTIONS_MOST: Final = 200
"""Of a VPC."""
ALIASES_MOST: Final = 8


class Directory(Protocol):
    """What the VPCs know by themselves."""

    def serves(self, vpc_id: str) -> bool: ...

    def answer(self, vpc_id: str, question: Question) -> Answer | None:
        """None: others have to be asked."""
        ...


AliasOf = Callable[[Answer, Question], ResourceRecord | None]


class DnsServer:
    """Serves the sockets that the network opens in each VPC."""

    def __init__(self, directory: Directory, alias_of: AliasOf, forwarder: Forwarder) -> None:
        self._directory, self._alias_of, self._forwarder = directory, alias_of, forwarder
        self._loop = asyncio.get_running_loop()
        self._served: dict[str, list[socket.socket]] = {}
        self._connections: dict[str, set[asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def sockets(self, vpc_id: str, opened: Sequence[socket.socket]) -> None:
        """Callable in any thread: further sockets of a VPC, UDP ones and listening ones; none when the VPC goes."""
        self._loop.call_soon_threadsafe(self._changed, vpc_id, opened)

    async def close(self) -> None:
        self._closed = True
        for vpc_id in list(self._served):
            self._close(vpc_id)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _changed(self, vpc_id: str, opened: Sequence[socket.socket]) -> None:
        if not opened or self._closed:
            self._close(vpc_id)
            for sock in opened:
                sock.close()
            return
        for sock in opened:
            self._served.setdefault(vpc_id, []).append(sock)
            ready = self._datagrams if sock.type == socket.SOCK_DGRAM else self._accept
            self._loop.add_reader(sock, ready, vpc_id, sock)

    def _close(self, vpc_id: str) -> None:
        for sock in self._served.pop(vpc_id, ()):
            self._loop.remove_reader(sock)
            sock.close()
        for task in self._connections.pop(vpc_id, set()):
            task.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- UDP ---

    def _datagrams(self, vpc_id: str, sock: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                data, asker = sock.recvfrom(4096)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                log.debug("resolver of %s: %s", vpc_id, error)
                return
            query = message.read_query(data)
            if query is None or not self._directory.serves(vpc_id):
                continue
            answer = self._at_once(vpc_id, query)
            if answer is not None:
                self._send(sock, message.write_answer(query, answer, message.most_over_udp(query)), asker)
            else:
                self._spawn(self._answer_later(vpc_id, sock, query, data, asker))

    async def _answer_later(
        self, vpc_id: str, sock: socket.socket, query: Query, data: bytes, asker: tuple[str, int]
    ) -> None:
        written = await self._resolve(vpc_id, query, data, most_bytes=message.most_over_udp(query), over_tcp=False)
        if sock.fileno() >= 0:  # the VPC may have gone meanwhile
            self._send(sock, written, asker)

    @staticmethod
    def _send(sock: socket.socket, written: bytes, asker: tuple[str, int]) -> None:
        try:
            sock.sendto(written, asker)
        except OSError as error:  # full, or the asker is gone: it asks again
            log.debug("an answer to %s was not sent: %s", asker, error)

    # --- TCP ---

    def _accept(self, vpc_id: str, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        connections = self._connections.setdefault(vpc_id, set())
        if len(connections) >= CONNECTIONS_MOST or not self._directory.serves(vpc_id):
            sock.close()
            return
        task = self._spawn(self._converse(vpc_id, sock))
        connections.add(task)
        task.add_done_callback(connections.discard)

    async def _converse(self, vpc_id: str, sock: socket.socket) -> None:
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock)
        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    data = await reader.readexactly(length)
                query = message.read_query(data)
                if query is None or not self._directory.serves(vpc_id):
                    return
                answer = self._at_once(vpc_id, query)
                most = message.TCP_MOST_BYTES
                written = (
                    message.write_answer(query, answer, most)
                    if answer is not None
                    else await self._resolve(vpc_id, query, data, most_bytes=most, over_tcp=True)
                )
                writer.write(len(written).to_bytes(2, "big") + written)
                async with asyncio.timeout(IDLE_S):
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    # --- answers ---

    def _at_once(self, vpc_id: str, query: Query) -> Answer | None:
        """The answer, if nobody else has to be asked."""
        if query.code is not Code.NOERROR:
            return Answer(query.code)
        try:
            answer = self._directory.answer(vpc_id, query.question)
        except Exception:
            log.exception("the resolver of %s failed at %s", vpc_id, query.question)
            return Answer(Code.SERVFAIL)
        if answer is None:
            return None if self._forwarder.is_allowed else Answer(Code.REFUSED)
        return answer if self._alias_of(answer, query.question) is None else None

    async def _resolve(self, vpc_id: str, query: Query, data: bytes, *, most_bytes: int, over_tcp: bool) -> bytes:
        """What needs others, or is an alias, which is followed to its end."""
        try:
            found: list[ResourceRecord] = []
            question = query.question
            for _ in range(ALIASES_MOST):
                answer = self._directory.answer(vpc_id, question)
                if answer is None:
                    if not found:
                        return await self._forwarder.ask(vpc_id, data, over_tcp=over_tcp)
                    asked = message.write_query(0, question)
                    answer = message.read_answer(await self._forwarder.ask(vpc_id, asked, over_tcp=over_tcp))
                    return message.write_answer(query, Answer(answer.code, (*found, *answer.records)), most_bytes)
                found += answer.records
                alias = self._alias_of(answer, question)
                if alias is None:
                    return message.write_answer(query, Answer(answer.code, tuple(found), answer.soa), most_bytes)
                question = Question(str(alias.data), question.type)
        except (Unanswered, Malformed) as error:
            log.debug("%s of %s: %s", query.question, vpc_id, error)
        return message.write_answer(query, Answer(Code.SERVFAIL), most_bytes)
