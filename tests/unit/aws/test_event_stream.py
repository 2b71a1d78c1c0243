"""Event streams, read by botocore's decoder."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from portside.aws.event_stream import encoded, message
from portside.aws.service import EventStream, ServiceError


@given(
    st.dictionaries(st.text("abc:-", min_size=1, max_size=20), st.text(max_size=200), max_size=4),
    st.binary(max_size=500),
)
def test_messages_are_what_botocore_reads(headers: dict[str, str], payload: bytes) -> None:
    """Headers, payload and both checksums, also in pieces."""
    content = message(headers, payload)
    buffer = EventStreamBuffer()
    for start in range(0, len(content), 7):
        buffer.add_data(content[start : start + 7])
    (found,) = list(buffer)
    assert (found.headers, found.payload) == (headers, payload)


def test_a_stream_begins_with_a_response_and_may_end_with_an_error() -> None:
    """Events by their names; an error of the source is the last message, and the source is closed."""
    closed: list[bool] = []

    async def source() -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        try:
            yield "one", {"a": 1}
            raise ServiceError("SessionTimeoutException", "over")
        finally:
            closed.append(True)

    async def read() -> bytes:
        stream = encoded(EventStream(source()), lambda name, value: repr(value).encode(), "json")
        return b"".join([each async for each in stream])

    buffer = EventStreamBuffer()
    buffer.add_data(asyncio.run(read()))
    found = [(each.headers, each.payload) for each in buffer]
    assert [headers.get(":event-type", headers.get(":exception-type")) for headers, _ in found] == [
        "initial-response",
        "one",
        "SessionTimeoutException",
    ]
    assert [payload for _, payload in found] == [b"{}", b"{'a': 1}", b"{'message': 'over'}"]
    assert found[2][0][":message-type"] == "exception"
    assert closed == [True]
