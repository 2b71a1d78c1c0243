"""DNS messages, read from and written as bytes. Source: RFC 1035, 2782 (SRV), 3596 (AAAA), 6891 (EDNS)."""

import socket
import struct
from typing import Final, NamedTuple

from portside.domain.dns import Answer, Code, Question, ResourceRecord, Soa, Srv, Type

PLAIN_BYTES: Final = 512
"""Of a message over UDP, unless the asker says that it takes more."""
UDP_MOST_BYTES: Final = 1232
"""Ours at most: a packet that is never taken apart on its way (DNS flag day 2020)."""
TCP_MOST_BYTES: Final = 65535
_IN: Final = 1
_OPT: Final = 41
_QR, _TC, _RD, _RA = 0x8000, 0x0200, 0x0100, 0x0080
_NAME_OF_QUESTION: Final = b"\xc0\x0c"
_HEADER: Final = struct.Struct("!6H")
_HOPS_MOST: Final = 32


class Malformed(Exception):
    """Not a message that can be answered."""


class Query(NamedTuple):
    """A question as it came.

    Args:
        code: NOERROR, or why it can not be answered.
        asked: the question's bytes, as the answer repeats them: in the asker's own upper and lower case.
        edns_bytes: how much the asker takes over UDP; 0 if it does not speak EDNS.
    """

    id: int
    recursion: bool
    code: Code
    question: Question
    asked: bytes
    edns_bytes: int


_UNASKED: Final = Question("", 0)


def read_query(data: bytes) -> Query | None:
    """None for what is no query at all: that gets no answer."""
    if len(data) < 12:
        return None
    id_, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    if flags & _QR:
        return None
    recursion = bool(flags & _RD)

    def failed(code: Code) -> Query:
        return Query(id_, recursion, code, _UNASKED, b"", 0)

    if flags >> 11 & 15:
        return failed(Code.NOTIMP)
    if questions != 1 or answers or authorities:
        return failed(Code.FORMERR)
    try:
        name, at = _read_name(data, 12)
        type_, class_ = struct.unpack_from("!2H", data, at)
        at += 4
        asked = data[12:at]
        edns_bytes = 0
        for _ in range(additional):
            _, at = _read_name(data, at)
            kind, size, _, length = struct.unpack_from("!2HIH", data, at)
            at += 10 + length
            if kind == _OPT:
                edns_bytes = max(size, PLAIN_BYTES)
    except (struct.error, Malformed):
        return failed(Code.FORMERR)
    code = Code.NOERROR if class_ == _IN else Code.REFUSED
    return Query(id_, recursion, code, Question(name, type_), asked, edns_bytes)


def write_answer(query: Query, answer: Answer, most_bytes: int) -> bytes:
    """The answer in at most so many bytes; what does not fit is left out, and the asker told so (TC)."""
    flags = _QR | _RA | (_RD if query.recursion else 0) | answer.code
    opt = struct.pack("!BHHIH", 0, _OPT, UDP_MOST_BYTES, 0, 0) if query.edns_bytes else b""
    room = most_bytes - 12 - len(query.asked) - len(opt)
    parts: list[bytes] = []
    fits = True
    for record in answer.records:
        written = _write_record(record, query.question.name)
        if len(written) > room:
            fits = False
            break
        room -= len(written)
        parts.append(written)
    authority = b""
    if answer.soa is not None and fits:
        authority = _write_record(answer.soa, query.question.name)
        if len(authority) > room:
            authority = b""
    if not fits:
        flags |= _TC
    header = _HEADER.pack(query.id, flags, 1 if query.asked else 0, len(parts), 1 if authority else 0, 1 if opt else 0)
    return b"".join((header, query.asked, *parts, authority, opt))


def most_over_udp(query: Query) -> int:
    return min(query.edns_bytes, UDP_MOST_BYTES) if query.edns_bytes else PLAIN_BYTES


def write_query(id_: int, question: Question) -> bytes:
    """A question of our own, to a resolver."""
    return (
        _HEADER.pack(id_, _RD, 1, 0, 0, 1)
        + _write_name(question.name)
        + struct.pack("!2H", question.type, _IN)
        + struct.pack("!BHHIH", 0, _OPT, UDP_MOST_BYTES, 0, 0)
    )


def id_of(data: bytes) -> int:
    return int.from_bytes(data[:2], "big")


def with_id(data: bytes, id_: int) -> bytes:
    return id_.to_bytes(2, "big") + data[2:]


def is_truncated(data: bytes) -> bool:
    return len(data) >= 4 and bool(data[2] & 0x02)


def answers(data: bytes, query: bytes) -> bool:
    """Whether a message is an answer to that one: the id, and the question but for upper and lower case."""
    if len(data) < 12 or data[:2] != query[:2] or not data[2] & 0x80:
        return False
    if data[4:6] == b"\0\0":  # some errors repeat no question
        return bool(data[3] & 15)
    try:
        return _read_question(data) == _read_question(query)
    except (struct.error, Malformed):
        return False


def read_answer(data: bytes) -> Answer:
    """What a resolver answered; records of types that have no name here are left out. Raises Malformed."""
    try:
        _, flags, questions, answers_, authorities, _ = _HEADER.unpack_from(data)
        at = 12
        for _ in range(questions):
            _, at = _read_name(data, at)
            at += 4
        found: list[ResourceRecord] = []
        soa = None
        for number in range(answers_ + authorities):
            name, at = _read_name(data, at)
            kind, _, ttl_s, length = struct.unpack_from("!2HIH", data, at)
            at += 10
            value = _read_data(data, kind, at, length)
            if value is not None and number < answers_:
                found.append(ResourceRecord(name, Type(kind), ttl_s, value))
            elif isinstance(value, Soa):
                soa = ResourceRecord(name, Type.SOA, ttl_s, value)
            at += length
        return Answer(Code(flags & 15), tuple(found), soa)
    except (struct.error, ValueError, OSError) as error:
        raise Malformed(str(error)) from error


def _read_data(data: bytes, kind: int, at: int, length: int) -> str | Soa | Srv | None:
    match kind:
        case Type.A:
            return socket.inet_ntoa(data[at : at + length])
        case Type.AAAA:
            return socket.inet_ntop(socket.AF_INET6, data[at : at + length])
        case Type.CNAME | Type.NS | Type.PTR:
            return _read_name(data, at)[0]
        case Type.SRV:
            (port,) = struct.unpack_from("!H", data, at + 4)
            return Srv(port, _read_name(data, at + 6)[0])
        case Type.SOA:
            server, at = _read_name(data, at)
            mailbox, at = _read_name(data, at)
            return Soa(server, mailbox, struct.unpack_from("!5I", data, at)[4])
        case _:
            return None


def _read_question(data: bytes) -> tuple[str, bytes]:
    name, at = _read_name(data, 12)
    return name, data[at : at + 4]


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    """The name, in lower case and without its last dot, and where it ends. Raises Malformed."""
    labels: list[bytes] = []
    end = 0
    size = len(data)
    for _ in range(128 + _HOPS_MOST):
        if at >= size:
            raise Malformed("a name goes on behind the message's end")
        length = data[at]
        if length == 0:
            return b".".join(labels).decode("latin-1").lower(), end or at + 1
        if length >= 0xC0:
            if at + 1 >= size:
                raise Malformed("a name goes on behind the message's end")
            end = end or at + 2
            at = (length & 0x3F) << 8 | data[at + 1]
            continue
        if length > 63:
            raise Malformed("a label of an unknown kind")
        label = data[at + 1 : at + 1 + length]
        # A dot within a label is no end of one.
        labels.append(label.replace(b".", b"\\."))
        at += 1 + length
    raise Malformed("a name without an end")


def _write_name(name: str) -> bytes:
    if not name:
        return b"\0"
    parts = []
    for label in name.split("."):
        raw = label.encode("latin-1", "replace")[:63]
        parts.append(bytes((len(raw),)) + raw)
    return b"".join(parts) + b"\0"


def _write_record(record: ResourceRecord, asked: str) -> bytes:
    name = _NAME_OF_QUESTION if record.name == asked else _write_name(record.name)
    data = record.data
    if isinstance(data, Soa):
        raw = (
            _write_name(data.server)
            + _write_name(data.mailbox)
            + struct.pack("!5I", 1, 7200, 900, 1209600, data.minimum_s)
        )
    elif isinstance(data, Srv):
        raw = struct.pack("!3H", 1, 1, data.port) + _write_name(data.host)
    elif record.type is Type.A:
        raw = socket.inet_aton(data)
    elif record.type is Type.AAAA:
        raw = socket.inet_pton(socket.AF_INET6, data)
    else:
        raw = _write_name(data)
    return name + struct.pack("!2HIH", record.type, _IN, record.ttl_s, len(raw)) + raw
