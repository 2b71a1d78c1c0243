"""Whether a task may have an image that is here already: its registry is asked, as a pull would ask it (ADR 0025)."""

import asyncio
import hashlib
from collections.abc import Callable

from portside.domain.image_reference import Reference
from portside.domain.task.record import Login
from portside.node.image.authfile import authfile
from portside.node.image.failure import PullFailed, pull_failed
from portside.node.image.pull import MANIFEST_TIMEOUT_S, MIRROR_TIMEOUT_S, ask


def entered(login: Login | None) -> str:
    """Tells one login from another without holding it."""
    return hashlib.sha256(f"{login.username}:{login.password}".encode()).hexdigest() if login else ""


class Admission:
    """One request at a time for one name and one login, however many tasks wait for it.

    Args: mirror_of: where a pull of that name would look first."""

    def __init__(self, mirror_of: Callable[[Reference], Reference | None]) -> None:
        self._mirror_of = mirror_of
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def check(self, reference: Reference, login: Login | None) -> None:
        """Raises PullFailed: a pull would fail.

        Args: login: None for the host's own."""
        key = f"{reference.canonical} {entered(login)}"
        asking = self._asking.get(key)
        if asking is None:
            work = self._check(reference, login)
            asking = asyncio.get_running_loop().create_task(work, name=f"may have {reference.canonical}")
            self._asking[key] = asking
            asking.add_done_callback(lambda done: self._forget(key, done))
        await asyncio.shield(asking)

    async def close(self) -> None:
        pending = list(self._asking.values())
        for each in pending:
            each.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    def _forget(self, key: str, done: asyncio.Task[None]) -> None:
        self._asking.pop(key, None)
        if not done.cancelled():
            done.exception()  # seen, even if every waiter was cancelled

    async def _check(self, reference: Reference, login: Login | None) -> None:
        mirror = self._mirror_of(reference)
        if mirror is not None and await _refusal(mirror, None, MIRROR_TIMEOUT_S) is None:
            return
        failure = await _refusal(reference, login, MANIFEST_TIMEOUT_S)
        if failure is not None:
            raise failure


async def _refusal(source: Reference, login: Login | None, timeout_s: float) -> PullFailed | None:
    with authfile(source, login) as entry:
        output = await ask(source, entry, timeout_s=timeout_s)
    return pull_failed(source.canonical, output.err) if output.code else None
