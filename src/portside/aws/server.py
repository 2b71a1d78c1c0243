"""The HTTP server in front of the gateway: uvicorn with httptools, inside an event loop that is somebody else's."""

import asyncio
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from portside.aws.gateway import Gateway

KEEP_ALIVE_S = 75
"""SDKs keep idle connections for about a minute; closing sooner makes them fail on reuse."""

SHUTDOWN_S = 5

CONNECTIONS_MOST = 32
"""From one address at an added socket: a task can not use up the descriptors of everybody."""


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: whoever runs the loop decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Let `serve` finish the requests under way and return. Callable from another thread."""
        self.should_exit = True


def make_server(gateway: Gateway) -> Server:
    """A server for `await server.serve(sockets=[listen(host, port)])`."""
    return Server(
        uvicorn.Config(
            gateway,
            http="httptools",
            ws="wsproto",
            ws_max_size=1024 * 1024,
            loop="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
    )


class _ClientConnection(HttpToolsProtocol):
    """One of a client that is not trusted."""

    def __init__(self, config: uvicorn.Config, state: ServerState, by_address: Counter[str]) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self._by_address, self._address = by_address, ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self._by_address[self._address] += 1
        if self._by_address[self._address] > CONNECTIONS_MOST:
            transport.abort()

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that sends no more may still wait for its answer, as `nc` does."""
        if self.cycle is None or self.cycle.response_complete:
            return False
        self.cycle.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._by_address[self._address] -= 1
        if self._by_address[self._address] <= 0:
            del self._by_address[self._address]


class AddedSocket:
    """An application on a socket that is there later than the server. Made by `serve_on`, in the event loop."""

    def __init__(self, server: asyncio.Server, state: ServerState) -> None:
        self._server, self._state = server, state

    def close(self) -> None:
        """The socket and its connections are closed; requests under way are finished."""
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()


async def serve_on(app: Any, sock: socket.socket) -> AddedSocket:
    """Answer what comes in on a listening socket, until it is closed."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="wsproto",
        ws_max_size=1024 * 1024,
        loop="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    config.load()
    state = ServerState()
    state.default_headers = config.encoded_headers

    by_address: Counter[str] = Counter()

    def protocol() -> HttpToolsProtocol:
        return _ClientConnection(config, state, by_address)

    return AddedSocket(await asyncio.get_running_loop().create_server(protocol, sock=sock), state)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, so that a port in use fails before anything is started. Port 0 picks a free one.

    Raises:
        OSError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's delay off only for sockets that say that they are TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
