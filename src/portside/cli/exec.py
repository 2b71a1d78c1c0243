"""`portside exec`: a command in a task's container, at this terminal. The data channel is the one AWS's plugin uses."""

import contextlib
import json
import os
import select
import shlex
import signal
import socket
import sys
import termios
import time
import tty
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)

from portside.aws.ssm import message as m
from portside.aws.ssm.message import Message, PayloadType
from portside.cli.environment import variables
from portside.cli.failure import Failure
from portside.cli.why import story
from portside.settings import Settings

WINDOW: Final = 16
"""Inputs under way unacknowledged; then standard input waits."""
RESEND_S: Final = 0.5
_READ_BYTES: Final = 4096
_END_OF_INPUT: Final = b"\x04"


class DataChannel:
    """The client's end of a data channel, over a blocking socket.

    Args: url, token: as ExecuteCommand gave them. Raises OSError.
    Cleanup: `close`.
    """

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self.exit_code: int | None = None
        self.closing_words = ""
        self.closed = self.ready = False
        self._expected = self._sequence = 0
        self._unacknowledged: dict[int, bytes] = {}
        self._sent_at = 0.0
        self._part = b""
        self.socket = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), timeout=30)
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._ws = WSConnection(ConnectionType.CLIENT)
            self.socket.sendall(self._ws.send(Request(host=parts.netloc, target=f"{parts.path}?{parts.query}")))
            accepted = False
            while not accepted:
                for event in self._events():
                    if isinstance(event, RejectConnection):
                        raise OSError(f"the data channel was refused with status {event.status_code}")
                    accepted = accepted or isinstance(event, AcceptConnection)
            opening = {
                "MessageSchemaVersion": "1.0",
                "RequestId": str(uuid.uuid4()),
                "TokenValue": token,
                "ClientId": str(uuid.uuid4()),
            }
            self.socket.sendall(self._ws.send(TextMessage(data=json.dumps(opening))))
        except BaseException:
            self.socket.close()
            raise

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.socket.sendall(self._ws.send(CloseConnection(code=1000)))
        self.socket.close()

    @property
    def takes_input(self) -> bool:
        return self.ready and len(self._unacknowledged) < WINDOW

    @property
    def idle(self) -> bool:
        """Whether all that was sent has been acknowledged."""
        return not self._unacknowledged

    def send(self, payload_type: PayloadType, payload: bytes) -> None:
        number, self._sequence = self._sequence, self._sequence + 1
        frame = m.encoded(
            Message(
                type=m.INPUT,
                id=uuid.uuid4(),
                created_ms=_now_ms(),
                sequence=number,
                payload_type=payload_type,
                payload=payload,
            )
        )
        self._unacknowledged[number] = frame
        self._sent_at = time.monotonic()
        self._put(frame)

    def resize(self, rows: int, columns: int) -> None:
        self.send(PayloadType.SIZE, json.dumps({"cols": columns, "rows": rows}).encode())

    def resend(self) -> None:
        """Send again what has not been acknowledged for a while."""
        if self._unacknowledged and time.monotonic() - self._sent_at > RESEND_S:
            self._sent_at = time.monotonic()
            for frame in self._unacknowledged.values():
                self._put(frame)

    def receive(self) -> bytes:
        """Wait for something from the far end. Returns: output, often empty; look at `ready` and `closed`, too."""
        output = b""
        for event in self._events():
            if isinstance(event, BytesMessage):
                self._part += event.data
                if event.message_finished:
                    frame, self._part = self._part, b""
                    output += self._handle(m.decoded(bytes(frame)))
            elif isinstance(event, CloseConnection):
                self.closed = True
        return output

    def _handle(self, message: Message) -> bytes:
        if message.type == m.ACKNOWLEDGE:
            self._unacknowledged.pop(m.acknowledged(message), None)
        elif message.type == m.CHANNEL_CLOSED:
            content = m.content_of(message)
            self.exit_code, self.closing_words, self.closed = content.get("ExitCode"), content.get("Output", ""), True
        elif message.type == m.OUTPUT and message.sequence <= self._expected:
            self._put(m.encoded(m.acknowledgement(message, created_ms=_now_ms())))
            if message.sequence == self._expected:
                self._expected += 1
                return self._take(message)
        return b""

    def _take(self, message: Message) -> bytes:
        if message.payload_type == PayloadType.HANDSHAKE_REQUEST:
            actions = m.content_of(message).get("RequestedClientActions", [])
            answer = {
                "ClientVersion": "1.2.0.0",
                "ProcessedClientActions": [
                    {"ActionType": each["ActionType"], "ActionStatus": 1, "ActionResult": None, "Error": ""}
                    for each in actions
                ],
                "Errors": None,
            }
            self.send(PayloadType.HANDSHAKE_RESPONSE, json.dumps(answer).encode())
        elif message.payload_type == PayloadType.HANDSHAKE_COMPLETE:
            self.ready = True
        elif message.payload_type == PayloadType.OUTPUT:
            return message.payload
        return b""

    def _put(self, frame: bytes) -> None:
        self.socket.sendall(self._ws.send(BytesMessage(data=frame)))

    def _events(self) -> list[Any]:
        """Waits for bytes, and gives the WebSocket's events that they make."""
        data = self.socket.recv(65536)
        self._ws.receive_data(data or None)
        events = list(self._ws.events())
        for event in events:
            if isinstance(event, Ping):
                self.socket.sendall(self._ws.send(event.response()))
        return events if data else [*events, CloseConnection(code=1006)]


def run(settings: Settings, task: str, *, cluster: str, container: str | None, command: Sequence[str]) -> int:
    """Returns the command's exit code. Raises Failure."""
    session = _asked(settings, task, cluster, container, command)
    try:
        channel = DataChannel(session["streamUrl"], session["tokenValue"])
    except OSError as error:
        raise Failure(f"the session can not be opened: {error}") from error
    try:
        with _raw_terminal():
            _converse(channel)
    finally:
        channel.close()
    if channel.closing_words:
        raise Failure(channel.closing_words)
    if channel.exit_code is None:
        raise Failure("the session was cut off", "Look at `portside logs`, and whether the task still runs.")
    return channel.exit_code


def _asked(settings: Settings, task: str, cluster: str, container: str | None, command: Sequence[str]) -> Any:
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import get_session

    found = story(settings, task, cluster=cluster)
    given = variables(settings)
    ecs = get_session().create_client(
        "ecs",
        endpoint_url=given["AWS_ENDPOINT_URL"],
        region_name=found["arn"].split(":")[3],
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
    )
    asked = {"cluster": found["cluster"], "task": found["id"], "command": shlex.join(command), "interactive": True}
    if container is not None:
        asked["container"] = container
    try:
        return ecs.execute_command(**asked)["session"]
    except ClientError as error:
        message = error.response["Error"]["Message"]
        if "execute command was not enabled" in message:
            raise Failure(
                message,
                "Run the task with it: aws ecs run-task --enable-execute-command …",
                "For a service: aws ecs update-service --enable-execute-command --force-new-deployment …",
            ) from error
        raise Failure(message) from error
    except BotoCoreError as error:
        raise Failure(str(error), "Is Portside running? Start it with `portside up -d`.") from error


def _converse(channel: DataChannel) -> None:
    """Both ways until the session is closed."""
    source: int | None = sys.stdin.fileno()
    terminal = os.isatty(sys.stdin.fileno())
    size: tuple[int, int] | None = None
    changed, change = os.pipe()
    before = signal.signal(signal.SIGWINCH, lambda *_: os.write(change, b"x"))
    line_open = False
    try:
        while not channel.closed:
            if channel.ready and terminal and size != (now := _size()):
                size = now
                channel.resize(*size)
            watched = [channel.socket.fileno(), changed]
            if source is not None and channel.takes_input:
                watched.append(source)
            ready, _, _ = select.select(watched, [], [], RESEND_S / 2)
            if changed in ready:
                os.read(changed, 64)
            if source in ready and source is not None:
                data = os.read(source, _READ_BYTES // 4)
                if data:
                    line_open = not data.endswith(b"\n")
                    channel.send(PayloadType.OUTPUT, data)
                else:
                    # In the middle of a line the first only ends the line's wait.
                    channel.send(PayloadType.OUTPUT, _END_OF_INPUT * (2 if line_open else 1))
                    source = None
            if channel.socket.fileno() in ready and (output := channel.receive()):
                sys.stdout.buffer.write(output)
                sys.stdout.buffer.flush()
            channel.resend()
    finally:
        signal.signal(signal.SIGWINCH, before)
        os.close(changed)
        os.close(change)


def _size() -> tuple[int, int]:
    # Not shutil's, which goes by COLUMNS and LINES: they do not change with the window.
    columns, rows = os.get_terminal_size(sys.stdin.fileno())
    return rows, columns


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Every key goes to the container while this lasts, ^C among them."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin, termios.TCSADRAIN)  # what was typed ahead is for the container
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
