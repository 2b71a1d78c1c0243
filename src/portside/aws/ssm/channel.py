"""The agent's end of a Session Manager data channel: a terminal's bytes, in order, acknowledged, sent again if lost.

The order of a session: the client's token (checked by whoever made the channel), the handshake, then input, output and
terminal sizes both ways; at the end `channel_closed`, after every output was acknowledged.
"""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from portside.aws.ssm import message as m
from portside.aws.ssm.message import Malformed, Message, PayloadType

WINDOW: Final = 64
"""Messages that may be under way unacknowledged; then the terminal waits."""
RESEND_S: Final = 1.0
GIVE_UP_S: Final = 60.0
"""A client that has acknowledged nothing for so long is gone."""
HANDSHAKE_TIMEOUT_S: Final = 30.0
AGENT_VERSION: Final = "3.1.1260.0"


class Terminal(Protocol):
    """What runs at the far end."""

    async def read(self) -> bytes:
        """The next output; empty once it has ended."""
        ...

    async def write(self, data: bytes) -> None: ...
    def resize(self, rows: int, columns: int) -> None: ...
    async def wait(self) -> int: ...
    async def close(self) -> None: ...


Send = Callable[[bytes], Awaitable[None]]
Receive = Callable[[], Awaitable[bytes | None]]
"""One binary message; None once the client is gone."""


@dataclass(slots=True)
class _Sent:
    data: bytes
    at: float
    first_at: float


class Channel:
    """One session.

    Args:
        session_id: told to the client at the end.
        open_terminal: called after the handshake.
    """

    def __init__(
        self, session_id: str, send: Send, receive: Receive, open_terminal: Callable[[], Awaitable[Terminal]]
    ) -> None:
        self._session_id, self._send, self._receive, self._open = session_id, send, receive, open_terminal
        self._sequence = 0
        self._expected = 0
        self._unacknowledged: dict[int, _Sent] = {}
        self._news = asyncio.Event()
        self._shaken = asyncio.Event()
        self._terminal: Terminal | None = None
        self._typing: asyncio.Task[None] | None = None
        self._early_size: tuple[int, int] | None = None
        self._input: asyncio.Queue[bytes] = asyncio.Queue(WINDOW)

    async def run(self) -> None:
        """Returns when the session has ended, for whichever reason; the terminal is closed then."""
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(work) for work in (self._listen(), self._resend(), self._speak())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._typing is not None:
                tasks.append(self._typing)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            if self._terminal is not None:
                await self._terminal.close()
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, Malformed | TimeoutError | OSError):
                raise result

    async def _speak(self) -> None:
        request = {
            "AgentVersion": AGENT_VERSION,
            "RequestedClientActions": [
                {
                    "ActionType": "SessionType",
                    "ActionParameters": {"SessionType": "InteractiveCommands", "Properties": None},
                }
            ],
        }
        began = time.monotonic_ns()
        await self._put(PayloadType.HANDSHAKE_REQUEST, json.dumps(request).encode())
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            await self._shaken.wait()
        complete = {"HandshakeTimeToComplete": time.monotonic_ns() - began, "CustomerMessage": ""}
        await self._put(PayloadType.HANDSHAKE_COMPLETE, json.dumps(complete).encode())
        try:
            terminal = self._terminal = await self._open()
        except OSError as error:
            await self._close(f"Unable to start the command: {error}", None)
            return
        if self._early_size is not None:
            terminal.resize(*self._early_size)
        self._typing = asyncio.get_running_loop().create_task(self._type(terminal))
        while data := await terminal.read():
            await self._put(PayloadType.OUTPUT, data)
        await self._close("", await terminal.wait())

    async def _type(self, terminal: Terminal) -> None:
        """Apart from listening: a terminal that takes no input must not hold up the acknowledgements of its output."""
        while True:
            data = await self._input.get()
            with contextlib.suppress(OSError):  # it has ended; the end is told in its turn
                await terminal.write(data)

    async def _close(self, output: str, exit_code: int | None) -> None:
        while self._unacknowledged:
            await self._wait_for_news()
        content: dict[str, object] = {
            "MessageType": m.CHANNEL_CLOSED,
            "MessageId": str(uuid.uuid4()),
            "CreatedDate": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "SessionId": self._session_id,
            "DestinationId": self._session_id,
            "SchemaVersion": 1,
            "Output": output,
        }
        if exit_code is not None:
            content["ExitCode"] = exit_code  # ours: AWS's clients pass over it, `portside exec` ends with it
        await self._send(
            m.encoded(
                Message(
                    type=m.CHANNEL_CLOSED, id=uuid.uuid4(), created_ms=_now_ms(), payload=json.dumps(content).encode()
                )
            )
        )

    async def _put(self, payload_type: PayloadType, payload: bytes) -> None:
        while len(self._unacknowledged) >= WINDOW:
            await self._wait_for_news()
        number, self._sequence = self._sequence, self._sequence + 1
        data = m.encoded(
            Message(
                type=m.OUTPUT,
                id=uuid.uuid4(),
                created_ms=_now_ms(),
                sequence=number,
                flags=1 if number == 0 else 0,
                payload_type=payload_type,
                payload=payload,
            )
        )
        now = time.monotonic()
        self._unacknowledged[number] = _Sent(data, now, now)
        await self._send(data)

    async def _wait_for_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _resend(self) -> None:
        """The oldest message goes again while it is unacknowledged. Returns when the client must be gone."""
        while True:
            await asyncio.sleep(RESEND_S / 4)
            oldest = next(iter(self._unacknowledged.values()), None)
            if oldest is None:
                continue
            now = time.monotonic()
            if now - oldest.first_at > GIVE_UP_S:
                return
            if now - oldest.at > RESEND_S:
                oldest.at = now
                await self._send(oldest.data)

    async def _listen(self) -> None:
        while (data := await self._receive()) is not None:
            message = m.decoded(data)
            if message.type == m.ACKNOWLEDGE:
                self._unacknowledged.pop(m.acknowledged(message), None)
                self._news.set()
            elif message.type == m.INPUT:
                full = message.payload_type == PayloadType.OUTPUT and self._input.full()
                if message.sequence > self._expected or full:
                    continue  # one before it is missing, or it finds no room: it will come again
                fresh = message.sequence == self._expected
                if fresh and not await self._take(message):
                    return
                self._expected += fresh
                await self._send(m.encoded(m.acknowledgement(message, created_ms=_now_ms())))

    async def _take(self, message: Message) -> bool:
        """Act upon one input. Returns: False if the client ends the session."""
        match message.payload_type:
            case PayloadType.HANDSHAKE_RESPONSE:
                self._shaken.set()
            case PayloadType.SIZE:
                self._early_size = m.size_of(message)
                if self._terminal is not None:
                    with contextlib.suppress(OSError):
                        self._terminal.resize(*self._early_size)
            case PayloadType.FLAG:
                return int.from_bytes(message.payload, "big") != m.TERMINATE_FLAG
            case PayloadType.OUTPUT:
                self._input.put_nowait(message.payload)
            case _:
                pass
        return True


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
