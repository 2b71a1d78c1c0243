"""Moments at which a test lets the daemon die as by kill -9: before, within and after what the node does.

A moment is a word and the name of what it is about: `after-prepare-rootfs` of a container's hook, `before-pull-image`
of an effect, `after-put-log` of a batch of output, which the store has and the position file has not. With `:stop`
behind it (`before-put-log:stop`) the daemon is stopped there instead, as by SIGSTOP, and goes on when the test lets it.
"""

import logging
import os
import re
import signal
from collections.abc import Sequence
from typing import Final

from portside.domain.log import LogEvent
from portside.domain.record import Scope
from portside.domain.task.record import (
    CreateNetwork,
    KillContainer,
    NodeEffect,
    PullImage,
    ReleaseNetwork,
    ReleaseVolumes,
    SignalContainer,
)
from portside.node.hook import Container, Hook, Launch
from portside.node.interface import NodeUnusable
from portside.node.log.sink import LogSink

log = logging.getLogger(__name__)

MOMENTS: Final = ("before-prepare", "after-prepare", "before-release", "after-release")
"""Of each hook, in a container's first run and at its end."""
RESTART_MOMENTS: Final = ("before-keep", "after-keep", "before-restart", "after-restart")
"""Of each hook, when a container's next run follows: the release that keeps what it wrote, and the new start."""
EFFECTS: Final = (PullImage, CreateNetwork, ReleaseNetwork, ReleaseVolumes, SignalContainer, KillContainer)
"""Those that are not made of hooks."""
_SIGNALS: Final = {"": signal.SIGKILL, "stop": signal.SIGSTOP}
WITHIN: Final = ("within-create-network", "within-release-network", "within-prepare-namespace")
EBS_MOMENTS: Final = (
    *("within-make-volume", "within-take-snapshot", "within-attach-ebs-volume"),
    *("before-attach-ebs-volume", "after-attach-ebs-volume", "before-detach-ebs-volume", "after-detach-ebs-volume"),
)
"""Of volumes of EBS, which not every task has."""
LOG_MOMENTS: Final = ("before-put-log", "after-put-log")


def armed(hooks: Sequence[Hook], failpoint: str) -> tuple[Hook, ...]:
    """The hooks, one of which kills the daemon at the moment named; all as they are if none of theirs is.

    Raises NodeUnusable: there is no such moment."""
    if not failpoint:
        return tuple(hooks)
    of_hooks = [f"{moment}-{hook.name}" for hook in hooks for moment in (*MOMENTS, *RESTART_MOMENTS)]
    moment, _, how = failpoint.partition(":")
    if moment not in (known := [*of_hooks, *of_effects(), *WITHIN, *EBS_MOMENTS, *LOG_MOMENTS]) or how not in _SIGNALS:
        raise NodeUnusable(f"PORTSIDE_FAILPOINT is one of {', '.join(known)}, not {failpoint!r}")
    log.warning("for a test: Portside %ss itself %s", how or "kill", moment)
    return tuple(
        _Deadly(hook, failpoint) if moment in of_hooks and moment.endswith(f"-{hook.name}") else hook for hook in hooks
    )


def of_effects() -> list[str]:
    return [f"{moment}-{_words(each)}" for each in EFFECTS for moment in ("before", "after")]


def reach(failpoint: str, moment: str) -> None:
    """The daemon dies, or stops, if this is its moment."""
    wanted, _, how = failpoint.partition(":")
    if wanted == moment:
        os.kill(os.getpid(), _SIGNALS[how])


def reach_effect(failpoint: str, moment: str, effect: NodeEffect) -> None:
    if failpoint:
        reach(failpoint, f"{moment}-{_words(type(effect))}")


def deadly_sink(sink: LogSink, failpoint: str) -> LogSink:
    """The sink, which kills the daemon when output comes if that is the moment named."""
    return _DeadlySink(sink, failpoint) if failpoint.partition(":")[0] in LOG_MOMENTS else sink


def _words(effect: type) -> str:
    """`PullImage` -> `pull-image`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", effect.__name__).lower()


class _Deadly:
    def __init__(self, hook: Hook, failpoint: str) -> None:
        self.name, self._hook, self._failpoint = hook.name, hook, failpoint

    async def prepare(self, launch: Launch) -> None:
        what = "restart" if launch.effect.restart else "prepare"
        reach(self._failpoint, f"before-{what}-{self.name}")
        await self._hook.prepare(launch)
        reach(self._failpoint, f"after-{what}-{self.name}")

    async def release(self, container: Container) -> None:
        what = "keep" if container.is_kept else "release"
        reach(self._failpoint, f"before-{what}-{self.name}")
        await self._hook.release(container)
        reach(self._failpoint, f"after-{what}-{self.name}")


class _DeadlySink:
    def __init__(self, sink: LogSink, failpoint: str) -> None:
        self._sink, self._failpoint = sink, failpoint

    async def open_stream(self, scope: Scope, group: str, stream: str, *, create_group: bool) -> None:
        await self._sink.open_stream(scope, group, stream, create_group=create_group)

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent], mark: str = "") -> None:
        reach(self._failpoint, "before-put-log")
        await self._sink.put(scope, group, stream, events, mark)
        reach(self._failpoint, "after-put-log")

    async def mark(self, scope: Scope, group: str, stream: str) -> str:
        return await self._sink.mark(scope, group, stream)
