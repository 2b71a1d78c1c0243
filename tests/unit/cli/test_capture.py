"""What is read of a frame."""

import socket
import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.cli.capture import Packet, Wanted, file_header, read, record

ETHERNET = b"\x02" * 6 + b"\x04" * 6


def ipv4(protocol: int, payload: bytes, *, options: bytes = b"", offset: int = 0) -> bytes:
    length = 20 + len(options) + len(payload)
    head = struct.pack("!BBHHHBBH", 0x40 | (5 + len(options) // 4), 0, length, 1, offset, 64, protocol, 0)
    return ETHERNET + b"\x08\x00" + head + bytes([10, 0, 0, 1, 10, 0, 0, 2]) + options + payload


TCP = struct.pack("!HHIIBBHHH", 40000, 80, 1, 0, 0x50, 0x12, 1000, 0, 0)
UDP = struct.pack("!HHHH", 5353, 53, 8, 0)
IPV6 = ETHERNET + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, 8, 17, 64)
IPV6 += socket.inet_pton(socket.AF_INET6, "fd00::1") + socket.inet_pton(socket.AF_INET6, "fd00::2") + UDP


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (ipv4(6, TCP), Packet("tcp", "10.0.0.1", "10.0.0.2", 40000, 80, "S.")),
        (ipv4(6, TCP, options=b"\x01" * 8), Packet("tcp", "10.0.0.1", "10.0.0.2", 40000, 80, "S.")),
        (ipv4(17, UDP), Packet("udp", "10.0.0.1", "10.0.0.2", 5353, 53)),
        (ipv4(17, UDP, offset=100), Packet("udp", "10.0.0.1", "10.0.0.2")),
        (ipv4(1, b"\x08\x00"), Packet("icmp", "10.0.0.1", "10.0.0.2")),
        (ipv4(47, b""), Packet("protocol 47", "10.0.0.1", "10.0.0.2")),
        (IPV6, Packet("udp", "fd00::1", "fd00::2", 5353, 53)),
        (ETHERNET + b"\x08\x06" + b"\0" * 28, Packet("arp")),
        (ETHERNET + b"\x88\xcc", Packet("ethertype 0x88cc")),
        (ipv4(6, TCP)[:40], Packet("truncated")),
        (b"", Packet("truncated")),
    ],
)
def test_frames(frame: bytes, expected: Packet) -> None:
    """Protocol, addresses, ports and flags, behind options, too; of later fragments no ports."""
    assert read(frame) == expected


@given(st.binary(max_size=200))
def test_any_bytes(frame: bytes) -> None:
    """Whatever is on the wire, it is told, and never an error."""
    assert read(frame).line(datetime(2026, 1, 1, tzinfo=UTC), len(frame))
    assert read(ETHERNET + b"\x08\x00" + frame).protocol


def test_filters() -> None:
    """By protocol, by the address and by the port of either side."""
    packet = read(ipv4(6, TCP))
    assert Wanted().takes(packet)
    for wanted in (Wanted(protocol="tcp"), Wanted(address="10.0.0.2"), Wanted(port=40000), Wanted(port=80)):
        assert wanted.takes(packet)
    for wanted in (Wanted(protocol="udp"), Wanted(address="10.0.0.3"), Wanted(protocol="tcp", port=81)):
        assert not wanted.takes(packet)


def test_the_file() -> None:
    """A header and records as the pcap format has them, with nanoseconds."""
    assert len(file_header()) == 24
    assert struct.unpack("<IHHiIII", file_header()) == (0xA1B23C4D, 2, 4, 0, 0, 262144, 1)
    assert struct.unpack("<IIII", record(1_700_000_000_123_456_789, b"abc")[:16]) == (1_700_000_000, 123456789, 3, 3)


def test_a_line() -> None:
    """As people know it from tcpdump."""
    line = read(ipv4(6, TCP)).line(datetime(2026, 1, 1, 12, 0, 1, 500, tzinfo=UTC), 54)
    assert line == "12:00:01.000500 tcp 10.0.0.1:40000 > 10.0.0.2:80 [S.] 54 bytes"
