"""`portside capture TASK`: the packets of a task, as lines or as a pcap file that Wireshark and tcpdump read.

Source: packet(7); the pcap format, draft-ietf-opsawg-pcap.
"""

import contextlib
import ipaddress
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Final

from portside.cli import inside
from portside.cli.failure import Failure
from portside.settings import Settings

SNAPLEN: Final = 262_144
BUFFER_BYTES: Final = 16 * 1024 * 1024
MAGIC_NANOSECONDS: Final = 0xA1B23C4D
LINKTYPE_ETHERNET: Final = 1
_ETH_P_ALL: Final = 3
_SO_TIMESTAMPNS: Final = 35
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_PROTOCOLS: Final = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}
_FLAGS: Final = ((0x02, "S"), (0x10, "."), (0x08, "P"), (0x01, "F"), (0x04, "R"))


@dataclass(frozen=True)
class Wanted:
    """Which packets: None for any. `address` and `port` of either side."""

    protocol: str | None = None
    address: str | None = None
    port: int | None = None

    def takes(self, packet: "Packet") -> bool:
        return (
            (self.protocol is None or packet.protocol == self.protocol)
            and (self.address is None or self.address in (packet.source, packet.target))
            and (self.port is None or self.port in (packet.source_port, packet.target_port))
        )


@dataclass(frozen=True)
class Packet:
    """What is read of a frame; ports None where its protocol has none, or it is a later fragment."""

    protocol: str
    source: str = ""
    target: str = ""
    source_port: int | None = None
    target_port: int | None = None
    flags: str = ""

    def line(self, at: datetime, length: int) -> str:
        ends = [
            f"{address}:{port}" if port is not None else address
            for address, port in ((self.source, self.source_port), (self.target, self.target_port))
        ]
        flags = f" [{self.flags}]" if self.flags else ""
        where = f" {ends[0]} > {ends[1]}" if self.source else ""
        return f"{at:%H:%M:%S.%f} {self.protocol}{where}{flags} {length} bytes"


def read(frame: bytes) -> Packet:
    """An Ethernet frame. Whatever is cut off or unknown is told as far as it is understood."""
    try:
        kind = struct.unpack_from("!H", frame, 12)[0]
        if kind == 0x0806:
            return Packet("arp")
        if kind == 0x0800:
            start = 14 + (frame[14] & 15) * 4
            source, target = (str(ipaddress.IPv4Address(frame[at : at + 4])) for at in (26, 30))
            is_later = bool(struct.unpack_from("!H", frame, 20)[0] & 0x1FFF)
            return _transport(frame, start, frame[23], source, target, is_later=is_later)
        if kind == 0x86DD:
            source, target = (str(ipaddress.IPv6Address(frame[at : at + 16])) for at in (22, 38))
            return _transport(frame, 54, frame[20], source, target, is_later=False)
        return Packet(f"ethertype 0x{kind:04x}")
    except (struct.error, IndexError, ValueError):
        return Packet("truncated")


def _transport(frame: bytes, start: int, number: int, source: str, target: str, *, is_later: bool) -> Packet:
    protocol = _PROTOCOLS.get(number, f"protocol {number}")
    if protocol not in ("tcp", "udp") or is_later:
        return Packet(protocol, source, target)
    source_port, target_port = struct.unpack_from("!HH", frame, start)
    flags = ""
    if protocol == "tcp":
        flags = "".join(name for bit, name in _FLAGS if frame[start + 13] & bit)
    return Packet(protocol, source, target, source_port, target_port, flags)


def file_header() -> bytes:
    return struct.pack("<IHHiIII", MAGIC_NANOSECONDS, 2, 4, 0, 0, SNAPLEN, LINKTYPE_ETHERNET)


def record(at_ns: int, frame: bytes) -> bytes:
    return struct.pack("<IIII", at_ns // 10**9, at_ns % 10**9, len(frame), len(frame)) + frame


def run(
    settings: Settings,
    task: str,
    *,
    cluster: str,
    container: str,
    file: Path | None,
    wanted: Wanted,
    interface: str | None,
    count: int | None,
    seconds: float | None,
) -> None:
    """Until so many packets or seconds, or until interrupted.

    Raises: Failure for a task that does not run, an interface that is not there, or a file that can not be written."""
    there = inside.chosen(inside.containers(settings, task, cluster=cluster), container)
    names = interfaces(there["pid"])
    if interface is not None and interface != "any" and interface not in names:
        raise Failure(f"there is no interface {interface} in task {task}", f"There are: {', '.join(names)}, any")
    own = [each for each in names if each != "lo"]
    chosen = interface or (own[0] if len(own) == 1 else "any")
    sock = inside.within(there, lambda: _opened(chosen))
    with contextlib.closing(sock), _destination(file) as out:
        if out is not None:
            out.write(file_header())
            out.flush()
        print(f"portside: packets of {chosen} in task {task}; Ctrl-C ends it", file=sys.stderr, flush=True)
        seen = 0
        for at_ns, frame in _frames(sock, seconds):
            packet = read(frame)
            if not wanted.takes(packet):
                continue
            seen += 1
            if out is not None:
                out.write(record(at_ns, frame))
                out.flush()
            else:
                print(packet.line(datetime.fromtimestamp(at_ns / 1e9).astimezone(), len(frame)), flush=True)
            if count is not None and seen >= count:
                break
        dropped = struct.unpack("=II", sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
    lost = f", {dropped} lost as they came too fast" if dropped else ""
    print(f"portside: {seen} packets{lost}", file=sys.stderr)


def interfaces(pid: int) -> list[str]:
    lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    return sorted(line.partition(":")[0].strip() for line in lines)


def _opened(interface: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, 33, BUFFER_BYTES)  # SO_RCVBUFFORCE
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    if interface != "any":
        sock.bind((interface, _ETH_P_ALL))
    return sock


@contextlib.contextmanager
def _destination(file: Path | None) -> Iterator[BinaryIO | None]:
    if file is None:
        yield None
    elif str(file) == "-":
        if sys.stdout.isatty():
            raise Failure("a capture is not for a terminal", "Into a file: -w FILE, or onwards: -w - | tcpdump -r -")
        yield sys.stdout.buffer
    else:
        try:
            with file.open("wb") as out:
                yield out
        except OSError as error:
            raise Failure(f"{file} can not be written: {error.strerror}") from error


def _frames(sock: socket.socket, seconds: float | None) -> Iterator[tuple[int, bytes]]:
    """When (ns since 1970), and what."""
    until = time.monotonic() + seconds if seconds is not None else None
    woken, wake = os.pipe()

    def stop(_number: int, _frame: FrameType | None) -> None:
        os.write(wake, b"x")

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    poll = select.poll()
    poll.register(woken, select.POLLIN)
    poll.register(sock, select.POLLIN)
    try:
        while until is None or time.monotonic() < until:
            left_ms = None if until is None else max(1, int((until - time.monotonic()) * 1000))
            ready = {descriptor for descriptor, _ in poll.poll(left_ms)}
            if woken in ready:
                return
            if not ready:
                continue
            data, ancillary, _, _ = sock.recvmsg(SNAPLEN, 128)
            stamp = next((each for _, kind, each in ancillary if kind == _SO_TIMESTAMPNS), None)
            at_ns = time.time_ns()
            if stamp is not None:
                whole, rest = struct.unpack("qq", stamp[:16])
                at_ns = whole * 10**9 + rest
            yield at_ns, data
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        os.close(woken)
        os.close(wake)
