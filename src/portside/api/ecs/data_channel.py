"""The data channel of an ExecuteCommand session: its client shows the token, then it has the container's terminal."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from portside.api.ecs.execute_command import DATA_CHANNEL, ExecSessions
from portside.aws.request import WebSocket
from portside.aws.ssm.channel import Channel, Terminal

TOKEN_TIMEOUT_S: Final = 10.0

OpenExec = Callable[[str, str, Sequence[str]], Awaitable[Terminal]]
"""(task key, container, command) -> a terminal. Raises OSError."""


async def serve_session(socket: WebSocket, sessions: ExecSessions, open_exec: OpenExec) -> None:
    """Returns when the session is over; a client without a good token is left without an answer."""
    session_id = socket.path.removeprefix(DATA_CHANNEL)
    try:
        async with asyncio.timeout(TOKEN_TIMEOUT_S):
            first = await socket.receive()
        token = json.loads(first or b"")["TokenValue"]
    except (TimeoutError, ValueError, KeyError, TypeError):
        return
    asked = sessions.take(session_id, token) if isinstance(token, str) else None
    if asked is None:
        return

    async def receive() -> bytes | None:
        while isinstance(message := await socket.receive(), str):
            pass  # text is for the opening only
        return message

    channel = Channel(
        session_id, socket.send, receive, lambda: open_exec(asked.task_key, asked.container, asked.command)
    )
    await channel.run()
