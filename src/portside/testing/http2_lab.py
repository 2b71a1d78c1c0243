"""As much of HTTP/2 (RFC 9113) and of gRPC over it as tests of a proxy take: a server that answers every stream alike,
and a client with one stream. Headers are written without compression, and those of others are not read but for what
stands in them plainly."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Sequence
from typing import Final

from portside.testing.netns_lab import inside, listen

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
SERVING: Final = b"\0\0\0\0\x02\x08\x01"
"""A gRPC message: grpc.health.v1.HealthCheckResponse with status SERVING."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack("!I", len(payload))[1:] + bytes((kind, flags)) + struct.pack("!I", stream) + payload


def headers(*pairs: tuple[str, str]) -> bytes:
    """Literal fields, never indexed (RFC 7541, 6.2.3); names and values below 127 characters."""
    return b"".join(
        b"\x10" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode() for name, value in pairs
    )


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    """Kind, flags, stream and payload."""
    head = await reader.readexactly(9)
    payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
    return head[3], head[4], int.from_bytes(head[5:], "big"), payload


class GrpcServer:
    """Answers each stream with a message as soon as its headers are there, sends back what data come, and ends when
    the client does, with `code` as its grpc-status. In clear, or with TLS.

    An empty `message` is none; `silent` ones answer nothing. `heads`: what stood plainly in the headers that came."""

    def __init__(self, netns: str, address: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.netns, self.address, self.port, self.tls = netns, address, port, tls
        self.code = 0
        self.message = SERVING
        self.silent = False
        self.heads = ""
        self.streams = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> "GrpcServer":
        listening = await listen(self.netns, self.address, self.port)
        self._server = await asyncio.start_server(self._serve, sock=listening, ssl=self.tls)
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if await reader.readexactly(len(PREFACE)) != PREFACE:
                return
            writer.write(frame(SETTINGS, 0, 0))
            while True:
                kind, flags, stream, payload = await read_frame(reader)
                if kind == SETTINGS and not flags & ACK:
                    writer.write(frame(SETTINGS, ACK, 0))
                elif kind == PING and not flags & ACK:
                    writer.write(frame(PING, ACK, 0, payload))
                elif kind in (HEADERS, DATA) and self.silent:
                    continue
                elif kind == HEADERS:
                    self.heads += payload.decode("latin-1")
                    self.streams += 1
                    head = headers((":status", "200"), ("content-type", "application/grpc"))
                    writer.write(frame(HEADERS, END_HEADERS, stream, head))
                    if self.message:
                        writer.write(frame(DATA, 0, stream, self.message))
                elif kind == DATA and payload:
                    writer.write(frame(DATA, 0, stream, payload))
                if kind in (HEADERS, DATA) and flags & END_STREAM:
                    trailers = headers(("grpc-status", str(self.code)))
                    writer.write(frame(HEADERS, END_HEADERS | END_STREAM, stream, trailers))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.close()


class Stream:
    """One stream of a client on a connection of its own: HTTP/2 in clear, or with TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.ended = False

    @classmethod
    async def open(
        cls, netns: str, address: str, port: int, path: str, *, host: str, tls: ssl.SSLContext | None = None
    ) -> "Stream":
        def connect() -> socket.socket:
            made = socket.create_connection((address, port), timeout=10)
            made.setblocking(False)
            return made

        connection = await asyncio.to_thread(inside, netns, connect)
        named = host if tls is not None else None
        stream = cls(*await asyncio.open_connection(sock=connection, ssl=tls, server_hostname=named))
        pairs: Sequence[tuple[str, str]] = (
            (":method", "POST"),
            (":scheme", "https" if tls is not None else "http"),
            (":path", path),
            (":authority", host),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        )
        stream._writer.write(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, headers(*pairs)))
        return stream

    def send(self, data: bytes, *, last: bool = False) -> None:
        self._writer.write(frame(DATA, END_STREAM if last else 0, 1, data))

    async def receive(self) -> bytes:
        """The data of the next frame that has any; nothing once the stream has ended.

        Raises: ConnectionError if it was broken off."""
        while not self.ended:
            kind, flags, stream, payload = await read_frame(self._reader)
            if kind == SETTINGS and not flags & ACK:
                self._writer.write(frame(SETTINGS, ACK, 0))
            elif kind == RST_STREAM:
                raise ConnectionError(f"the stream was reset: {int.from_bytes(payload, 'big')}")
            self.ended = stream == 1 and bool(flags & END_STREAM) and kind in (HEADERS, DATA)
            if kind == DATA and payload:
                return payload
        return b""

    def close(self) -> None:
        self._writer.close()
