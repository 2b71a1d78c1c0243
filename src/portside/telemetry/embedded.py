"""Metrics that log events embed go into the metric store, as the events are put."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from portside.domain import emf
from portside.domain.log import LogEvent
from portside.domain.metric import Sample
from portside.domain.record import Scope
from portside.telemetry.interface import LogsUnavailable
from portside.telemetry.metric import MetricStore

log = logging.getLogger(__name__)

_MARK: Final = '"_aws"'


class EmbeddedMetrics:
    """For `on_put` of the log store.

    Args:
        is_watched: whether a group's events may become metrics.
    """

    def __init__(
        self, metrics: MetricStore, is_watched: Callable[[Scope, str], bool] = lambda scope, group: True
    ) -> None:
        self._metrics, self._is_watched = metrics, is_watched

    async def take(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent]) -> None:
        """Never fails: the events are there, whatever becomes of the metrics."""
        found = [sample for event in events if _MARK in event.message for sample in _samples(event)]
        if not found or not self._is_watched(scope, group):
            return
        try:
            await self._metrics.put(scope, found)
        except LogsUnavailable as error:
            log.warning("%d values embedded in log events are lost: %s", len(found), error)


def _samples(event: LogEvent) -> Iterator[Sample]:
    try:
        document = json.loads(event.message)
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict) and "_aws" in document:
        yield from emf.samples(document, at_s=event.at_ms / 1000)
