"""Metric filters at work: values from log events as they are put, default values when a minute is over."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from portside.control.loop import Loop
from portside.domain.clock import Clock
from portside.domain.log import LogEvent
from portside.domain.metric import Sample
from portside.domain.metric_filter import MINUTE_MS, Extraction, MetricFilter
from portside.domain.record import Scope
from portside.domain.table import METRIC_FILTER
from portside.store.interface import Store
from portside.telemetry.interface import LogsUnavailable
from portside.telemetry.metric import MetricStore

log = logging.getLogger(__name__)

_ALL: Final = "defaults"
MARGIN: Final = timedelta(seconds=5)
"""After a minute's end events of that minute may still be on their way."""
PIECE_EVENTS: Final = 1000
"""After so many, which take some milliseconds, others have their turn."""
KNOWN_MOST: Final = 1000
"""Filters that are kept ready for use."""
MINUTES_MOST: Final = 10_000
"""Minutes that are kept in mind: of which a default may be to tell, and in which something matched."""

_Minute = tuple[str, int]
"""A filter's key and the minute's first millisecond."""


class MetricFilters:
    """`take` is for `on_put` of the log store. A minute's default is lost if Portside ends before the minute does."""

    def __init__(self, store: Store, metrics: MetricStore, clock: Clock) -> None:
        self._store, self._metrics, self._clock = store, metrics, clock
        self._loop = Loop("metric filters", clock, self._step, resync_s=120.0)
        self._known: dict[MetricFilter, Extraction] = {}
        self._without: dict[_Minute, Scope] = {}
        self._matched: dict[_Minute, None] = {}

    async def start(self) -> None:
        self._loop.wake(_ALL)

    async def close(self) -> None:
        await self._loop.close()

    async def take(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent]) -> None:
        """Never fails: the events are there, whatever becomes of the metrics."""
        found: list[Sample] = []
        for told in self._store.scan(METRIC_FILTER, f"{scope.prefix}{group}:"):
            extraction = self._extraction(told)
            for start in range(0, len(events), PIECE_EVENTS):
                await asyncio.sleep(0)
                piece = events[start : start + PIECE_EVENTS]
                samples, matched = extraction.samples(piece)
                found += samples
                if told.default is not None:
                    self._note(told, matched, {each.at_ms // MINUTE_MS * MINUTE_MS for each in piece})
        if found:
            await self._put(scope, found)

    def _extraction(self, told: MetricFilter) -> Extraction:
        known = self._known.get(told)
        if known is None:
            if len(self._known) >= KNOWN_MOST:
                self._known.clear()
            known = self._known[told] = Extraction(told)
        return known

    def _note(self, told: MetricFilter, matched: set[int], minutes: set[int]) -> None:
        for minute in minutes:
            place = (told.key, minute)
            if minute in matched:
                self._matched[place] = None
                self._without.pop(place, None)
            elif place not in self._matched:
                self._without[place] = told.scope
        for kept in (self._matched, self._without):
            while len(kept) > MINUTES_MOST:
                del kept[next(iter(kept))]

    async def _step(self, _: str) -> datetime:
        """The defaults of the minutes that are over."""
        now = self._clock.now()
        over = int((now - MARGIN).timestamp() * 1000) // MINUTE_MS * MINUTE_MS
        found: dict[Scope, list[Sample]] = {}
        for place in [each for each in self._without if each[1] < over]:
            scope = self._without.pop(place)
            told = self._store.get(METRIC_FILTER, place[0])
            if told is not None and told.default is not None:
                found.setdefault(scope, []).append(self._extraction(told).default(place[1]))
        for scope, samples in found.items():
            await self._put(scope, samples)
        return datetime.fromtimestamp((over + MINUTE_MS) / 1000, now.tzinfo) + MARGIN

    async def _put(self, scope: Scope, samples: Sequence[Sample]) -> None:
        try:
            await self._metrics.put(scope, samples)
        except LogsUnavailable as error:
            log.warning("%d values of metric filters are lost: %s", len(samples), error)
