"""Log events: put, get one stream's, filter a group's."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

from portside.api.logs import token
from portside.api.logs.error import class_lacks, invalid, no_stream, told, unsupported
from portside.api.logs.lookup import meant, named, scope_of
from portside.api.logs.token import Place
from portside.aws.service import Params, RequestContext, Result
from portside.domain import log_pattern
from portside.domain.clock import Clock, Ids
from portside.domain.log import INFREQUENT_ACCESS, LogEvent, LogGroup
from portside.store.interface import Store
from portside.telemetry.interface import LogStore, StoredEvent

# API_PutLogEvents
BATCH_BYTES: Final = 1_048_576
EVENT_OVERHEAD_BYTES: Final = 26
SPAN_MS: Final = 24 * 3600 * 1000
TOO_OLD: Final = timedelta(days=14)
TOO_NEW: Final = timedelta(hours=2)

PAGE_EVENTS: Final = 10_000
PAGE_BYTES: Final = 1_048_576
"""API_GetLogEvents and API_FilterLogEvents: up to 1 MB or 10,000 events."""


class Events:
    def __init__(self, store: Store, logs: LogStore, clock: Clock, ids: Ids) -> None:
        self._store, self._logs, self._clock, self._ids = store, logs, clock, ids

    async def put(self, context: RequestContext, params: Params) -> Result:
        group = named(self._store, scope_of(context), params["logGroupName"])
        if "entity" in params:
            raise unsupported("The entity of log events")
        events = [LogEvent(at_ms=each["timestamp"], message=each["message"]) for each in params["logEvents"]]
        _check_batch(events)
        rejected, first, end = self._rejected(group, events)
        with told():
            # An empty batch, too: it finds out whether the stream is there.
            await self._logs.put(group.scope, group.name, params["logStreamName"], events[first:end])
        result: Result = {"nextSequenceToken": self._ids.number(56)}
        if rejected:
            result["rejectedLogEventsInfo"] = rejected
        return result

    def _rejected(self, group: LogGroup, events: Sequence[LogEvent]) -> tuple[dict[str, int], int, int]:
        """What is refused, as AWS says it, and the range of what is kept."""
        now = self._clock.now()

        def count_before(ms: int) -> int:
            return sum(event.at_ms < ms for event in events)

        rejected: dict[str, int] = {}
        too_old = count_before(int((now - TOO_OLD).timestamp() * 1000))
        expired = 0
        if group.retention_days is not None:
            expired = count_before(int((now - timedelta(days=group.retention_days)).timestamp() * 1000))
        end = count_before(int((now + TOO_NEW).timestamp() * 1000) + 1)
        if too_old:
            rejected["tooOldLogEventEndIndex"] = too_old
        if expired:
            rejected["expiredLogEventEndIndex"] = expired
        if end < len(events):
            rejected["tooNewLogEventStartIndex"] = end
        return rejected, max(too_old, expired), end

    async def get(self, context: RequestContext, params: Params) -> Result:
        group = meant(self._store, scope_of(context), params)
        if group.log_class == INFREQUENT_ACCESS:
            raise class_lacks("GetLogEvents")
        given = params.get("nextToken")
        if given:
            direction, place = token.read_event_token(given)
        else:
            direction = "f" if params.get("startFromHead", False) else "b"
            place = Place(params.get("startTime", 0), 0)
        with told():
            events = await self._logs.get(
                group.scope,
                group.name,
                params["logStreamName"],
                start_ms=params.get("startTime"),
                end_ms=params.get("endTime"),
                after=place.cursor if given and direction == "f" else None,
                before=place.cursor if given and direction == "b" else None,
                from_head=direction == "f",
                limit=params.get("limit", PAGE_EVENTS),
            )
        events = _fitting(events, from_head=direction == "f")
        if events:
            forward, backward = _place(events[-1]), _place(events[0])
        elif direction == "f":
            # The token's event is the last one: back from here it comes again.
            forward, backward = place, Place(place.at_ms, place.number + 1)
        else:
            forward, backward = Place(place.at_ms, max(0, place.number - 1)), place
        return {
            "events": [
                {"timestamp": each.at_ms, "message": each.message, "ingestionTime": each.ingested_ms} for each in events
            ],
            "nextForwardToken": token.event_token("f", forward),
            "nextBackwardToken": token.event_token("b", backward),
        }

    async def filter(self, context: RequestContext, params: Params) -> Result:
        group = meant(self._store, scope_of(context), params)
        if group.log_class == INFREQUENT_ACCESS:
            raise class_lacks("FilterLogEvents")
        given = params.get("nextToken")
        from_head = params.get("startFromHead", True)
        place: Place | None = None
        if given:
            direction, place = token.read_event_token(given)
            from_head = direction == "f"
        end_ms = params.get("endTime")
        limit = params.get("limit", PAGE_EVENTS)
        streams = await self._chosen(group, params)
        with told():
            searched = await self._logs.filter(
                group.scope,
                group.name,
                streams=streams,
                start_ms=params.get("startTime"),
                end_ms=end_ms + 1 if end_ms is not None else None,  # inclusive here, unlike GetLogEvents
                terms=params.get("filterPattern"),
                after=place.cursor if place is not None and from_head else None,
                before=place.cursor if place is not None and not from_head else None,
                from_head=from_head,
                limit=limit + 1,
            )
        found = searched.events
        events = found[:limit] if from_head else found[-limit:]
        events = _fitting(events, from_head=from_head)
        result: Result = {"searchedLogStreams": []}
        reached: Place | None = None
        if len(events) < len(found):
            reached = _place(events[-1] if from_head else events[0])
        elif searched.reached is not None:
            reached = Place(searched.reached[0], int(searched.reached[1]))
        if reached is not None:
            result["nextToken"] = token.event_token("f" if from_head else "b", reached)
        if not from_head:
            events.reverse()  # the latest first
        result["events"] = [_wire(each) for each in events]
        return result

    def test(self, context: RequestContext, params: Params) -> Result:
        """TestMetricFilter."""
        with told():
            pattern = log_pattern.parse(params["filterPattern"])
        return {
            "matches": [
                {"eventNumber": number, "eventMessage": message, "extractedValues": pattern.extract(message)}
                for number, message in enumerate(params["logEventMessages"], 1)
                if pattern.matches(message)
            ]
        }

    async def _chosen(self, group: LogGroup, params: Mapping[str, Any]) -> list[str] | None:
        """The streams asked for; None for all."""
        names, prefix = params.get("logStreamNames"), params.get("logStreamNamePrefix")
        if names is None and prefix is None:
            return None
        if names is not None and prefix is not None:
            raise invalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.")
        with told():
            there = {each.name for each in await self._logs.streams(group.scope, group.name, prefix or "")}
        if names is None:
            return sorted(there)
        if not there.issuperset(names):
            raise no_stream()
        return sorted(set(names))


def _check_batch(events: Sequence[LogEvent]) -> None:
    size = sum(len(event.message.encode()) + EVENT_OVERHEAD_BYTES for event in events)
    if size > BATCH_BYTES:
        raise invalid(f"Upload too large: {size} bytes exceeds limit of {BATCH_BYTES}")
    times = [event.at_ms for event in events]
    if any(later < earlier for earlier, later in pairwise(times)):
        raise invalid("Log events in a single PutLogEvents request must be in chronological order.")
    if times[-1] - times[0] > SPAN_MS:
        raise invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")


def _fitting(events: list[StoredEvent], *, from_head: bool) -> list[StoredEvent]:
    """As many as fit into a page by size, at least one; from the head or the tail."""
    total = 0
    ordered = events if from_head else events[::-1]
    for count, event in enumerate(ordered):
        total += len(event.message.encode()) + EVENT_OVERHEAD_BYTES
        if total > PAGE_BYTES and count:
            kept = ordered[:count]
            return kept if from_head else kept[::-1]
    return events


def _place(event: StoredEvent) -> Place:
    return Place(event.at_ms, int(event.id))


def _wire(event: StoredEvent) -> dict[str, Any]:
    return {
        "logStreamName": event.stream,
        "timestamp": event.at_ms,
        "message": event.message,
        "ingestionTime": event.ingested_ms,
        "eventId": event.id,
    }
