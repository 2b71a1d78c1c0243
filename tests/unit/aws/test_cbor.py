"""CBOR as bytes: the examples of its standard, what was written is read again, and broken bytes do no harm."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.aws import cbor

EXAMPLES = [
    ("00", 0),
    ("17", 23),
    ("1818", 24),
    ("1903e8", 1000),
    ("1bffffffffffffffff", 18446744073709551615),
    ("20", -1),
    ("3903e7", -1000),
    ("f93c00", 1.0),
    ("fa47c35000", 100000.0),
    ("fb3ff199999999999a", 1.1),
    ("f97c00", math.inf),
    ("f4", False),
    ("f5", True),
    ("f6", None),
    ("f7", None),
    ("c11a514b67b0", datetime(2013, 3, 21, 20, 4, tzinfo=UTC)),
    ("c1fb41d452d9ec200000", datetime(2013, 3, 21, 20, 4, 0, 500000, tzinfo=UTC)),
    ("d74401020304", b"\x01\x02\x03\x04"),
    ("4401020304", b"\x01\x02\x03\x04"),
    ("6449455446", "IETF"),
    ("62c3bc", "ü"),
    ("83010203", [1, 2, 3]),
    ("a26161016162820203", {"a": 1, "b": [2, 3]}),
    ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"),
    ("7f657374726561646d696e67ff", "streaming"),
    ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
    ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
]
"""Source: RFC 8949, appendix A."""


@pytest.mark.parametrize(("text", "value"), EXAMPLES)
def test_examples_of_the_standard(text: str, value: Any) -> None:
    """Each is read as the standard says, and is the same when it is written and read again."""
    assert cbor.decode(bytes.fromhex(text)) == value
    assert cbor.decode(cbor.encode(value)) == value


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_what_was_written_is_read(value: Any) -> None:
    """Any value of these types comes back as it was."""
    assert cbor.decode(cbor.encode(value)) == value


@given(st.binary(max_size=60))
def test_broken_bytes(data: bytes) -> None:
    """Whatever comes is a value or a CborError."""
    try:
        cbor.decode(data)
    except cbor.CborError:
        return


@pytest.mark.parametrize(
    "text", ["", "1c", "61", "9f01", "a101", "ff", "0000", "a1616101ff", "bf6161ff", "c16161", "62c328"]
)
def test_what_is_no_value(text: str) -> None:
    """Bytes that end too early, go on too long or mean nothing are refused."""
    with pytest.raises(cbor.CborError):
        cbor.decode(bytes.fromhex(text))


def test_deep_values_end() -> None:
    """Nesting without an end is refused before it exhausts the stack."""
    with pytest.raises(cbor.CborError):
        cbor.decode(b"\x81" * 100_000)
