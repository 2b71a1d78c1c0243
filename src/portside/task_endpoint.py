"""What tasks reach at the link-local address of their VPC or instance: their metadata, and the API."""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

from portside.aws.server import AddedSocket, serve_on

log = logging.getLogger(__name__)


class TaskEndpoints:
    """Serves the sockets that the network opens in each VPC and on each container instance.

    Args:
        metadata: the application of the metadata endpoint of a VPC or instance, by its id.
        instance_metadata: the application of an instance's own metadata, by its id.
        api: the gateway.
    """

    def __init__(self, metadata: Callable[[str], Any], instance_metadata: Callable[[str], Any], api: Any) -> None:
        self._metadata, self._instance_metadata, self._api = metadata, instance_metadata, api
        self._loop = asyncio.get_running_loop()
        self._wanted: dict[str, Sequence[socket.socket]] = {}
        self._served: dict[str, list[AddedSocket]] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._closed = False

    def sockets(self, vpc_id: str, opened: Sequence[socket.socket]) -> None:
        """Callable in any thread: that of the metadata endpoint, on an instance that of its own metadata, then that of
        the API; none when the VPC or instance goes."""
        self._loop.call_soon_threadsafe(self._changed, vpc_id, opened)

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*self._opening, return_exceptions=True)
        for vpc_id in list(self._served):
            self._close(vpc_id)

    def _changed(self, vpc_id: str, opened: Sequence[socket.socket]) -> None:
        self._close(vpc_id)
        self._wanted[vpc_id] = opened
        if self._closed or not opened:
            del self._wanted[vpc_id]
            for sock in opened:
                sock.close()
        else:
            task = self._loop.create_task(self._serve(vpc_id, opened), name=f"endpoint of {vpc_id}")
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _serve(self, vpc_id: str, opened: Sequence[socket.socket]) -> None:
        own = [self._instance_metadata(vpc_id)] if vpc_id.startswith("i-") else []
        for app, sock in zip((self._metadata(vpc_id), *own, self._api), opened, strict=False):
            try:
                served = await serve_on(app, sock)
            except OSError as error:
                log.error("the endpoint of %s can not be served: %s", vpc_id, error)
                sock.close()
                continue
            if self._wanted.get(vpc_id) is opened:
                self._served.setdefault(vpc_id, []).append(served)
            else:
                served.close()  # the VPC has gone meanwhile, and must not be kept by its endpoint

    def _close(self, vpc_id: str) -> None:
        for served in self._served.pop(vpc_id, ()):
            served.close()
