"""The framing that rtnetlink and nfnetlink share: messages, attributes, a socket that sends a batch and reads answers.

A netlink socket belongs for good to the network namespace in which it was opened, whichever thread uses it later
(netlink(7)); that is why nothing here ever enters a namespace.
"""

import errno
import os
import socket
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_DUMP = 0x300
NLMSG_ERROR = 2
NLMSG_DONE = 3

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ANSWER_TIMEOUT_S = 10
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10


class NetlinkError(OSError):
    """The kernel refused a message; `what` says which."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(code, f"{what}: {os.strerror(code)} ({errno.errorcode.get(code, code)})")
        self.what = what


class Message:
    """One request: type, flags, body (family header and attributes) and, for errors, what it does in words."""

    __slots__ = ("body", "flags", "type", "what")

    def __init__(self, type_: int, flags: int, body: bytes, what: str) -> None:
        self.type, self.flags, self.body, self.what = type_, flags, body, what


def attribute(type_: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(len(payload) + 4, type_) + payload + b"\0" * (-len(payload) % 4)


def text(type_: int, value: str) -> bytes:
    return attribute(type_, value.encode() + b"\0")


def u32(type_: int, value: int) -> bytes:
    return attribute(type_, struct.pack("=I", value))


def attributes(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The (type, payload) pairs of a run of attributes; flag bits of the type are cut off."""
    at = 0
    while at + 4 <= len(body):
        length, type_ = _ATTRIBUTE.unpack_from(body, at)
        if length < 4:
            return
        yield type_ & 0x3FFF, body[at + 4 : at + length]
        at += (length + 3) & ~3


class NetlinkSocket:
    """A netlink socket of the network namespace that the calling thread is in when it is made. Safe to share."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.settimeout(_ANSWER_TIMEOUT_S)
        self._sequence = 0
        self._lock = threading.Lock()

    def request(self, messages: Sequence[Message]) -> None:
        """Send all messages in one datagram and read one acknowledgement each.

        Raises:
            NetlinkError: of the first message that was refused. The kernel carries out the others all the same:
                rtnetlink has no transactions.
        """
        with self._lock:
            first = self._sequence + 1
            self._send(messages, NLM_F_REQUEST | NLM_F_ACK)
            failed: NetlinkError | None = None
            waiting = len(messages)
            while waiting:
                for type_, sequence, body in self._receive():
                    if type_ != NLMSG_ERROR or not first <= sequence <= self._sequence:
                        continue
                    waiting -= 1
                    code = -struct.unpack_from("=i", body)[0]
                    if code and failed is None:
                        failed = NetlinkError(code, messages[sequence - first].what)
        if failed is not None:
            raise failed

    def batch(self, begin: Message, messages: Sequence[Message], end: Message) -> None:
        """nfnetlink's transaction: all of `messages` or none.

        Raises:
            NetlinkError: of the first message that was refused; nothing was changed.
        """
        with self._lock:
            first = self._sequence + 1
            self._send((begin, *messages, end), NLM_F_REQUEST, last_but_one_ack=True)
            failed: NetlinkError | None = None
            last = self._sequence - 1
            while True:
                for type_, sequence, body in self._receive():
                    if type_ != NLMSG_ERROR or not first <= sequence <= self._sequence:
                        continue
                    code = -struct.unpack_from("=i", body)[0]
                    if code and failed is None:
                        index = sequence - first - 1
                        what = messages[index].what if 0 <= index < len(messages) else begin.what
                        failed = NetlinkError(code, what)
                    if sequence == last or (code and not first < sequence <= last):
                        if failed is not None:
                            raise failed
                        return

    def get(self, message: Message) -> bytes:
        """One object: the body of the answer. Raises NetlinkError."""
        with self._lock:
            self._send((message,), NLM_F_REQUEST)
            while True:
                for type_, sequence, body in self._receive():
                    if sequence != self._sequence:
                        continue
                    if type_ == NLMSG_ERROR:
                        raise NetlinkError(-struct.unpack_from("=i", body)[0], message.what)
                    return body

    def dump(self, message: Message) -> list[bytes]:
        """All objects of a kind: the bodies of the answers."""
        with self._lock:
            self._send((message,), NLM_F_REQUEST | NLM_F_DUMP)
            found: list[bytes] = []
            while True:
                for type_, sequence, body in self._receive():
                    if sequence != self._sequence:
                        continue
                    if type_ == NLMSG_DONE:
                        return found
                    if type_ == NLMSG_ERROR:
                        raise NetlinkError(-struct.unpack_from("=i", body)[0], message.what)
                    found.append(body)

    def close(self) -> None:
        self._socket.close()

    def _send(self, messages: Iterable[Message], flags: int, *, last_but_one_ack: bool = False) -> None:
        parts: list[bytes] = []
        messages = tuple(messages)
        for index, message in enumerate(messages):
            self._sequence += 1
            ack = NLM_F_ACK if last_but_one_ack and index == len(messages) - 2 else 0
            parts.append(
                _HEADER.pack(16 + len(message.body), message.type, message.flags | flags | ack, self._sequence, 0)
            )
            parts.append(message.body)
            parts.append(b"\0" * (-len(message.body) % 4))
        self._socket.send(b"".join(parts))

    def _receive(self) -> Iterator[tuple[int, int, bytes]]:
        data = self._socket.recv(1 << 17)
        at = 0
        while at + 16 <= len(data):
            length, type_, _flags, sequence, _port = _HEADER.unpack_from(data, at)
            if length < 16:
                return
            yield type_, sequence, data[at + 16 : at + length]
            at += (length + 3) & ~3
