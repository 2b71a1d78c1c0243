"""Tries a TCP connection from inside a network namespace."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from portside.node.network import netns

TIMEOUT_S = 1.0

InThread = Callable[[Callable[[], socket.socket]], Awaitable[socket.socket]]


async def accepts(namespace: Path, address: str, port: int, in_thread: InThread) -> bool:
    """Whether a connection is accepted within a second; it is closed at once. No byte is sent.

    Args:
        in_thread: runs a function in a worker thread; the socket is made there, and stays in the namespace.
    """
    try:
        sock = await in_thread(lambda: netns.within(namespace, _socket))
    except OSError:
        return False  # the namespace is not there (yet, or any more)
    with contextlib.closing(sock):
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except (OSError, TimeoutError):
            return False
    return True


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setblocking(False)
    return sock
