"""CBOR: values from bytes and back, as far as AWS's protocol uses it.

Source: RFC 8949; Smithy RPC v2 CBOR, "Serialization".

Times are tag 1 with seconds since 1970 and come as aware datetimes. Other tags are left out, their values stay.
"""

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

DEPTH_MOST: Final = 200
_EPOCH_TAG: Final = 1
_BREAK: Final = object()


class CborError(ValueError):
    """The bytes are no CBOR, or more than one value."""


def decode(data: bytes) -> Any:
    """The one value that the bytes are. Raises CborError."""
    reader = _Reader(data)
    try:
        value = reader.value(0)
    except (struct.error, IndexError, UnicodeDecodeError, OverflowError, OSError) as error:
        raise CborError(f"not valid CBOR: {error}") from None
    if value is _BREAK:
        raise CborError("a break without a beginning")
    if reader.at != len(data):
        raise CborError("there is more behind the value")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def value(self, depth: int) -> Any:
        if depth > DEPTH_MOST:
            raise CborError("values are nested too deeply")
        first = self._take(1)[0]
        major, minor = first >> 5, first & 31
        match major:
            case 0:
                return self._number(minor)
            case 1:
                return -1 - self._number(minor)
            case 2:
                return self._text(minor, major)
            case 3:
                return self._text(minor, major).decode()
            case 4:
                return self._list(minor, depth)
            case 5:
                return self._map(minor, depth)
            case 6:
                tag, value = self._number(minor), self.value(depth + 1)
                if tag != _EPOCH_TAG:
                    return value
                if type(value) not in (int, float):
                    raise CborError("a time that is no number")
                return datetime.fromtimestamp(value, UTC)
            case _:
                return self._simple(minor)

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._data):
            raise CborError("the value goes on behind the end")
        found = self._data[self.at : end]
        self.at = end
        return found

    def _number(self, minor: int) -> int:
        if minor < 24:
            return minor
        if minor > 27:
            raise CborError("a length of an unknown kind")
        return int.from_bytes(self._take(1 << (minor - 24)), "big")

    def _text(self, minor: int, major: int) -> bytes:
        if minor != 31:
            return self._take(self._number(minor))
        parts = []
        while (first := self._take(1)[0]) != 0xFF:
            if first >> 5 != major or first & 31 == 31:
                raise CborError("a part of another kind")
            parts.append(self._take(self._number(first & 31)))
        return b"".join(parts)

    def _items(self, minor: int, depth: int, each: Callable[[Any], None]) -> None:
        if minor != 31:
            for _ in range(self._number(minor)):
                item = self.value(depth + 1)
                if item is _BREAK:
                    raise CborError("a break within a value of known length")
                each(item)
        else:
            while (item := self.value(depth + 1)) is not _BREAK:
                each(item)

    def _list(self, minor: int, depth: int) -> list[Any]:
        found: list[Any] = []
        self._items(minor, depth, found.append)
        return found

    def _map(self, minor: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def put(key: Any) -> None:
            if type(key) is not str:
                raise CborError("a key that is no text")
            value = self.value(depth + 1)
            if value is _BREAK:
                raise CborError("a key without a value")
            found[key] = value

        self._items(minor, depth, put)
        return found

    def _simple(self, minor: int) -> Any:
        match minor:
            case 20:
                return False
            case 21:
                return True
            case 22 | 23:
                return None
            case 25:
                return struct.unpack("!e", self._take(2))[0]
            case 26:
                return struct.unpack("!f", self._take(4))[0]
            case 27:
                return struct.unpack("!d", self._take(8))[0]
            case 31:
                return _BREAK
            case _:
                raise CborError(f"a simple value {minor}, which has no meaning")


def encode(value: Any) -> bytes:
    """Raises TypeError: a value of a type that has no form here."""
    out = bytearray()
    _write(out, value)
    return bytes(out)


def _write(out: bytearray, value: Any) -> None:
    match value:
        case None:
            out.append(0xF6)
        case bool():
            out.append(0xF5 if value else 0xF4)
        case int() if value >= 0:
            _head(out, 0, value)
        case int():
            _head(out, 1, -1 - value)
        case float():
            out += b"\xfb" + struct.pack("!d", value)
        case str():
            raw = value.encode()
            _head(out, 3, len(raw))
            out += raw
        case bytes():
            _head(out, 2, len(value))
            out += value
        case datetime():
            _head(out, 6, _EPOCH_TAG)
            _write(out, value.timestamp())
        case list() | tuple():
            _head(out, 4, len(value))
            for each in value:
                _write(out, each)
        case dict():
            _head(out, 5, len(value))
            for name, each in value.items():
                _write(out, name)
                _write(out, each)
        case _:
            raise TypeError(f"{type(value).__name__} has no form in CBOR")


def _head(out: bytearray, major: int, number: int) -> None:
    if number < 24:
        out.append(major << 5 | number)
        return
    for minor, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            out.append(major << 5 | minor)
            out += number.to_bytes(size, "big")
            return
    raise TypeError(f"{number} does not fit into 64 bits")
