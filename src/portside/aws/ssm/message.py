"""The binary messages of a Session Manager data channel, and their JSON payloads.

Source: the message layout that AWS's session-manager-plugin documents in `src/message`. All numbers are big-endian; the
two halves of the message's UUID are swapped.
"""

import hashlib
import json
import struct
import uuid
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

INPUT: Final = "input_stream_data"
OUTPUT: Final = "output_stream_data"
ACKNOWLEDGE: Final = "acknowledge"
CHANNEL_CLOSED: Final = "channel_closed"

_FIXED: Final = struct.Struct(">I32sIQqQ16s32sI")
_LENGTH: Final = struct.Struct(">I")
_SYN_FIN: Final = 3


class PayloadType(IntEnum):
    NONE = 0
    OUTPUT = 1
    ERROR = 2
    SIZE = 3
    HANDSHAKE_REQUEST = 5
    HANDSHAKE_RESPONSE = 6
    HANDSHAKE_COMPLETE = 7
    FLAG = 10


TERMINATE_FLAG: Final = 2


class Malformed(ValueError):
    """The bytes are no message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One frame. `created_ms` is in milliseconds since 1970."""

    type: str
    id: uuid.UUID
    created_ms: int
    sequence: int = 0
    flags: int = 0
    payload_type: int = PayloadType.NONE
    payload: bytes = b""
    schema_version: int = 1


def encoded(message: Message) -> bytes:
    fixed = _FIXED.pack(
        _FIXED.size,
        message.type.encode().ljust(32),
        message.schema_version,
        message.created_ms,
        message.sequence,
        message.flags,
        message.id.bytes[8:] + message.id.bytes[:8],
        hashlib.sha256(message.payload).digest(),
        message.payload_type,
    )
    return fixed + _LENGTH.pack(len(message.payload)) + message.payload


def decoded(data: bytes) -> Message:
    """Raises Malformed."""
    if len(data) < _FIXED.size + _LENGTH.size:
        raise Malformed(f"{len(data)} bytes are too few for a message")
    header, kind, version, created, sequence, flags, half, digest, payload_type = _FIXED.unpack_from(data)
    # An acknowledgement may lack the payload's type: the header says where the length stands.
    if header not in (_FIXED.size, _FIXED.size - 4):
        raise Malformed(f"a header of {header} bytes")
    if header != _FIXED.size:
        payload_type = PayloadType.NONE
    (length,) = _LENGTH.unpack_from(data, header)
    payload = data[header + _LENGTH.size :]
    if length != len(payload):
        raise Malformed(f"a payload of {len(payload)} bytes that should have {length}")
    if payload and hashlib.sha256(payload).digest() != digest:
        raise Malformed("the payload is not what its digest says")
    try:
        name = kind.decode().strip("\0 ")
    except UnicodeDecodeError as error:
        raise Malformed("a message type that is no text") from error
    return Message(
        type=name,
        id=uuid.UUID(bytes=half[8:] + half[:8]),
        created_ms=created,
        sequence=sequence,
        flags=flags,
        payload_type=payload_type,
        payload=payload,
        schema_version=version,
    )


def acknowledgement(of: Message, *, created_ms: int) -> Message:
    content = {
        "AcknowledgedMessageType": of.type,
        "AcknowledgedMessageId": str(of.id),
        "AcknowledgedMessageSequenceNumber": of.sequence,
        "IsSequentialMessage": True,
    }
    return Message(
        type=ACKNOWLEDGE, id=uuid.uuid4(), created_ms=created_ms, flags=_SYN_FIN, payload=json.dumps(content).encode()
    )


def content_of(message: Message) -> dict[str, Any]:
    """The JSON object that is the payload. Raises Malformed."""
    try:
        content = json.loads(message.payload)
    except ValueError as error:
        raise Malformed("a payload that is no JSON") from error
    if not isinstance(content, dict):
        raise Malformed("a payload that is no JSON object")
    return content


def size_of(message: Message) -> tuple[int, int]:
    """(rows, columns) of the client's terminal. Raises Malformed."""
    content = content_of(message)
    rows, columns = content.get("rows"), content.get("cols")
    if not (isinstance(rows, int) and isinstance(columns, int) and 0 <= rows < 65536 and 0 <= columns < 65536):
        raise Malformed("no size of a terminal")
    return rows, columns


def acknowledged(message: Message) -> int:
    """The sequence number that is acknowledged. Raises Malformed."""
    number = content_of(message).get("AcknowledgedMessageSequenceNumber")
    if not isinstance(number, int):
        raise Malformed("an acknowledgement of nothing")
    return number
