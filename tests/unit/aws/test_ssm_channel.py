"""The data channel over a line that loses messages."""

import asyncio
import json
import random
import uuid

import pytest

from portside.aws.ssm import channel
from portside.aws.ssm import message as m
from portside.aws.ssm.channel import Channel
from portside.aws.ssm.message import Message, PayloadType


class Echo:
    """A terminal that says so many lines, then what it is given until END comes, and ends with 7."""

    def __init__(self, lines: int) -> None:
        self.given: list[bytes] = []
        self.sizes: list[tuple[int, int]] = []
        self.closed = 0
        self._output: asyncio.Queue[bytes] = asyncio.Queue()
        for number in range(lines):
            self._output.put_nowait(f"line {number}\n".encode())

    async def read(self) -> bytes:
        return await self._output.get()

    async def write(self, data: bytes) -> None:
        self.given.append(data)
        self._output.put_nowait(b"" if data == b"END" else data)

    def resize(self, rows: int, columns: int) -> None:
        self.sizes.append((rows, columns))

    async def wait(self) -> int:
        return 7

    async def close(self) -> None:
        self.closed += 1


class Client:
    """The far end, which loses messages both ways: it sends again what was not acknowledged."""

    def __init__(self, chance: random.Random, loss: float) -> None:
        self._chance, self._loss = chance, loss
        self.to_agent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.output: list[bytes] = []
        self.closing: dict[str, object] = {}
        self.lost = self._expected = self._sequence = 0
        self._unacknowledged: dict[int, bytes] = {}

    def _is_lost(self) -> bool:
        lost = self._chance.random() < self._loss
        self.lost += lost
        return lost

    def say(self, payload_type: PayloadType, payload: bytes) -> None:
        number, self._sequence = self._sequence, self._sequence + 1
        frame = m.encoded(
            Message(
                type=m.INPUT,
                id=uuid.uuid4(),
                created_ms=1,
                sequence=number,
                payload_type=payload_type,
                payload=payload,
            )
        )
        self._unacknowledged[number] = frame
        self._put(frame)

    def _put(self, frame: bytes) -> None:
        if not self._is_lost():
            self.to_agent.put_nowait(frame)

    async def take(self, data: bytes) -> None:
        """What the agent sends."""
        message = m.decoded(data)
        if message.type == m.CHANNEL_CLOSED:
            self.closing = m.content_of(message)
        elif self._is_lost():
            return
        elif message.type == m.ACKNOWLEDGE:
            self._unacknowledged.pop(m.acknowledged(message), None)
        elif message.sequence <= self._expected:
            self._put(m.encoded(m.acknowledgement(message, created_ms=1)))
            if message.sequence == self._expected:
                self._expected += 1
                if message.payload_type == PayloadType.HANDSHAKE_REQUEST:
                    self.say(PayloadType.HANDSHAKE_RESPONSE, json.dumps({"Errors": None}).encode())
                elif message.payload_type == PayloadType.OUTPUT:
                    self.output.append(message.payload)

    async def insist(self) -> None:
        while True:
            await asyncio.sleep(0.005)
            for frame in list(self._unacknowledged.values()):
                self._put(frame)


@pytest.mark.parametrize("seed", range(5))
def test_lost_messages_come_again(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a quarter of all messages and acknowledgements lost, both ways, input and output come whole, once and in
    order; the end is told after all of it, and the terminal is closed once."""
    monkeypatch.setattr(channel, "RESEND_S", 0.005)

    async def body() -> None:
        client, terminal = Client(random.Random(seed), 0.25), Echo(lines=80)

        async def opened() -> Echo:
            client.say(PayloadType.SIZE, json.dumps({"cols": 90, "rows": 40}).encode())
            for number in range(20):
                client.say(PayloadType.OUTPUT, f"key {number};".encode())
            client.say(PayloadType.OUTPUT, b"END")
            return terminal

        insisting = asyncio.get_running_loop().create_task(client.insist())
        try:
            async with asyncio.timeout(30):
                await Channel("session", client.take, client.to_agent.get, opened).run()
        finally:
            insisting.cancel()
        keys = [f"key {number};".encode() for number in range(20)]
        assert client.lost > 20
        assert terminal.given == [*keys, b"END"]
        assert terminal.sizes == [(40, 90)]
        assert b"".join(client.output) == b"".join([*(f"line {each}\n".encode() for each in range(80)), *keys])
        assert (client.closing["ExitCode"], client.closing["SessionId"], terminal.closed) == (7, "session", 1)

    asyncio.run(body())


def test_a_client_that_acknowledges_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session ends and the terminal is closed, though the connection is there."""
    monkeypatch.setattr(channel, "RESEND_S", 0.005)
    monkeypatch.setattr(channel, "GIVE_UP_S", 0.05)

    async def body() -> None:
        client, terminal = Client(random.Random(0), 0.0), Echo(lines=3)

        async def take(data: bytes) -> None:
            if terminal.sizes or m.decoded(data).payload_type != PayloadType.OUTPUT:
                await client.take(data)

        async def opened() -> Echo:
            return terminal

        async with asyncio.timeout(30):
            await Channel("session", take, client.to_agent.get, opened).run()
        assert (client.closing, client.output, terminal.closed) == ({}, [], 1)

    asyncio.run(body())
