"""The loop of containers that Portside did not start: each minute what they use, into CloudWatch."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from portside.control.loop import Loop, next_period
from portside.domain import other_insight
from portside.domain.clock import Clock
from portside.domain.insight import Look
from portside.domain.other_container import OtherContainer
from portside.domain.other_insight import Machine
from portside.domain.record import Scope
from portside.domain.usage import Usage
from portside.telemetry.interface import LogsUnavailable
from portside.telemetry.metric import MetricStore

log = logging.getLogger(__name__)

PERIOD_S: Final = 60
_ALL: Final = "all"


class OtherMetricLoop:
    """
    Args:
        look: the containers that run by now.
        scope: the account and region that have their metrics.
        period_s: between two looks.
    """

    def __init__(
        self,
        metrics: MetricStore,
        clock: Clock,
        look: Callable[[], Awaitable[Sequence[tuple[OtherContainer, Usage]]]],
        machine: Machine,
        scope: Scope,
        *,
        period_s: float = PERIOD_S,
    ) -> None:
        self._metrics, self._clock, self._look, self._period_s = metrics, clock, look, period_s
        self._machine, self._scope = machine, scope
        self._loop = Loop("other containers", clock, self._step, resync_s=2 * period_s)
        self._before: dict[str, Usage] = {}

    async def start(self) -> None:
        self._loop.wake(_ALL)

    async def close(self) -> None:
        await self._loop.close()

    async def _step(self, _key: str) -> datetime:
        now = self._clock.now()
        found = await self._look()
        looks = [(each, Look(usage=usage, before=self._usable(each.id, usage))) for each, usage in found]
        self._before = {each.id: usage for each, usage in found}
        try:
            if looks:
                await self._metrics.put(self._scope, other_insight.samples(looks, self._machine, now))
        except LogsUnavailable as error:
            log.warning("metrics of other containers are lost this minute: %s", error)
        return next_period(now, self._period_s)

    def _usable(self, container: str, usage: Usage) -> Usage | None:
        """The look before, unless counters have begun anew since."""
        before = self._before.get(container)
        return before if before is not None and usage.cpu_ns >= before.cpu_ns else None
