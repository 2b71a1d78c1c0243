"""The data channel's frames."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.aws.ssm import message as m
from portside.aws.ssm.message import Malformed, Message, PayloadType


@given(
    payload=st.binary(max_size=2000),
    sequence=st.integers(0, 2**40),
    kind=st.sampled_from([m.INPUT, m.OUTPUT, m.CHANNEL_CLOSED]),
    name=st.uuids(),
)
def test_a_frame_is_read_as_it_was_written(payload: bytes, sequence: int, kind: str, name: uuid.UUID) -> None:
    """Encoding and decoding give the same message."""
    message = Message(
        type=kind, id=name, created_ms=1_700_000_000_000, sequence=sequence, payload_type=1, payload=payload
    )
    assert m.decoded(m.encoded(message)) == message


def test_the_fields_stand_where_the_plugin_reads_them() -> None:
    """Header length 116, type at 4, sequence at 48, swapped UUID at 64, digest at 80, payload type, length, payload."""
    name = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    frame = m.encoded(
        Message(type=m.OUTPUT, id=name, created_ms=1, sequence=7, payload_type=PayloadType.SIZE, payload=b"abc")
    )
    assert frame[:4] == (116).to_bytes(4, "big")
    assert frame[4:36].strip() == b"output_stream_data"
    assert frame[48:56] == (7).to_bytes(8, "big")
    assert frame[64:80].hex() == "8899aabbccddeeff0011223344556677"
    assert frame[112:116] == (3).to_bytes(4, "big")
    assert frame[116:120] == (3).to_bytes(4, "big")
    assert frame[120:] == b"abc"


@given(st.binary(max_size=300))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    """Bytes from anywhere are malformed, never another exception."""
    with pytest.raises(Malformed):
        m.decoded(data)


def test_a_changed_payload_is_refused() -> None:
    """The digest guards the payload."""
    frame = bytearray(m.encoded(Message(type=m.INPUT, id=uuid.uuid4(), created_ms=1, payload=b"abc")))
    frame[-1] ^= 1
    with pytest.raises(Malformed, match="digest"):
        m.decoded(bytes(frame))


def test_an_acknowledgement_names_the_message() -> None:
    """Its payload has the sequence number."""
    message = Message(type=m.INPUT, id=uuid.uuid4(), created_ms=1, sequence=41, payload=b"x")
    assert m.acknowledged(m.decoded(m.encoded(m.acknowledgement(message, created_ms=2)))) == 41
