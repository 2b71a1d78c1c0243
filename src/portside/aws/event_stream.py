"""Event streams: answers that go on, as messages of headers and a payload, each with its checksums.

Source: "Event stream encoding" of Amazon Transcribe's developer guide, which describes the format for all services;
Smithy's specification for RPC protocols, by which the first message carries the members that are no stream.
"""

import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from portside.aws.service import EventStream, Result, ServiceError

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
_STRING: Final = 7
_PRELUDE_BYTES: Final = 12
_CHECKSUM_BYTES: Final = 4

SerializeEvent = Callable[[str, Mapping[str, Any]], bytes]
"""From a member's name and its value to a payload."""


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    told = b"".join(_header(name, value) for name, value in headers.items())
    size = _PRELUDE_BYTES + len(told) + len(payload) + _CHECKSUM_BYTES
    prelude = size.to_bytes(4, "big") + len(told).to_bytes(4, "big")
    content = prelude + zlib.crc32(prelude).to_bytes(4, "big") + told + payload
    return content + zlib.crc32(content).to_bytes(4, "big")


def _header(name: str, value: str) -> bytes:
    key, content = name.encode(), value.encode()
    return bytes((len(key),)) + key + bytes((_STRING,)) + len(content).to_bytes(2, "big") + content


async def encoded(stream: EventStream, serialize: SerializeEvent, content_type: str) -> AsyncIterator[bytes]:
    """The body of an answer. An error of the events' source is the last message."""
    yield message({":message-type": "event", ":event-type": "initial-response", ":content-type": content_type}, b"{}")
    events = stream.events
    try:
        async for name, value in events:
            headers = {":message-type": "event", ":event-type": name, ":content-type": content_type}
            yield message(headers, serialize(name, value))
    except ServiceError as error:
        headers = {":message-type": "exception", ":exception-type": error.code, ":content-type": content_type}
        fields: Result = {"message": error.message}
        yield message(headers, serialize(error.code, fields))
    finally:
        await events.aclose()
