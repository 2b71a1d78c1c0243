"""Moments at which a test lets the daemon die as by kill -9: before and after each step of a container's hooks."""

import logging
import os
import signal
from collections.abc import Sequence

from portside.node.hook import Container, Hook, Launch
from portside.node.interface import NodeUnusable

log = logging.getLogger(__name__)

MOMENTS = ("before-prepare", "after-prepare", "before-release", "after-release")


def armed(hooks: Sequence[Hook], failpoint: str) -> tuple[Hook, ...]:
    """The hooks, one of which kills the daemon at the moment named; all as they are if none is named.

    Args: failpoint: a moment, a hyphen, and the name of a hook: `after-prepare-rootfs`.
    Raises NodeUnusable: there is no such moment or hook.
    """
    if not failpoint:
        return tuple(hooks)
    known = [f"{moment}-{hook.name}" for hook in hooks for moment in MOMENTS]
    if failpoint not in known:
        raise NodeUnusable(f"PORTSIDE_FAILPOINT is one of {', '.join(known)}, not {failpoint!r}")
    log.warning("for a test: Portside kills itself %s", failpoint)
    return tuple(_Deadly(hook, failpoint) if failpoint.endswith(f"-{hook.name}") else hook for hook in hooks)


class _Deadly:
    def __init__(self, hook: Hook, failpoint: str) -> None:
        self.name, self._hook, self._failpoint = hook.name, hook, failpoint

    async def prepare(self, launch: Launch) -> None:
        self._reach("before-prepare")
        await self._hook.prepare(launch)
        self._reach("after-prepare")

    async def release(self, container: Container) -> None:
        self._reach("before-release")
        await self._hook.release(container)
        self._reach("after-release")

    def _reach(self, moment: str) -> None:
        if self._failpoint == f"{moment}-{self.name}":
            os.kill(os.getpid(), signal.SIGKILL)
