"""Events: put, tried against a pattern; and the one event bus that there is."""

import json
from collections.abc import Mapping
from typing import Any

from portside.api.events.error import check_bus, invalid, paged, told
from portside.aws.service import Params, RequestContext, Result
from portside.domain import arn, event_bridge, event_pattern
from portside.domain.clock import Clock, Ids
from portside.domain.record import Scope
from portside.domain.table import EVENT_DELIVERY, EVENT_RULE
from portside.store.interface import Put, Store, Write


class Events:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def put(self, context: RequestContext, params: Params) -> Result:
        entries = params["Entries"]
        if not 1 <= len(entries) <= event_bridge.ENTRIES_MOST:
            raise invalid(f"Entries must have between 1 and {event_bridge.ENTRIES_MOST} members.")
        if params.get("EndpointId"):
            raise invalid("Portside does not implement global endpoints.")
        results: list[Result] = []
        writes: list[Write] = []
        scope = Scope(account=context.account, region=context.region)
        for entry in entries:
            check_bus(context, entry.get("EventBusName"))
            found = self._event(scope, entry)
            if isinstance(found, tuple):
                results.append({"ErrorCode": found[0], "ErrorMessage": found[1]})
                continue
            results.append({"EventId": found["id"]})
            deliveries = event_bridge.deliveries(
                self._store.scan(EVENT_RULE, context.prefix), found, now=self._clock.now()
            )
            writes += [Put(EVENT_DELIVERY, each) for each in deliveries]
        if writes:
            self._store.transact(*writes)
        return {"FailedEntryCount": sum("ErrorCode" in each for each in results), "Entries": results}

    def _event(self, scope: Scope, entry: Mapping[str, Any]) -> dict[str, Any] | tuple[str, str]:
        """The event, or an error's code and message."""
        for member in ("Source", "DetailType", "Detail"):
            if not entry.get(member):
                return "InvalidArgument", f"Parameter {member} is not valid. Reason: {member} is a required argument."
        if entry["Source"].startswith("aws."):
            return "NotAuthorizedForSourceException", "Not authorized for the source."
        try:
            detail = json.loads(entry["Detail"])
        except ValueError:
            return "MalformedDetail", "Detail is malformed."
        if not isinstance(detail, dict):
            return "MalformedDetail", "Detail is malformed."
        if len(entry["Detail"].encode()) > event_bridge.ENTRY_BYTES_MOST:
            return "InvalidArgument", "Total size of the entries in the request is over the limit."
        return event_bridge.event(
            scope,
            event_id=self._ids.uuid(),
            source=entry["Source"],
            detail_type=entry["DetailType"],
            at=entry.get("Time") or self._clock.now(),
            resources=list(entry.get("Resources") or ()),
            detail=detail,
        )

    def test(self, _context: RequestContext, params: Params) -> Result:
        with told("InvalidEventPatternException"):
            pattern = event_pattern.parsed(params["EventPattern"])
        try:
            happened = json.loads(params["Event"])
        except ValueError:
            raise invalid("Parameter Event is not valid. Reason: it is not valid JSON.") from None
        needed = ("id", "account", "source", "time", "region", "resources", "detail-type")
        lacking = [each for each in needed if not isinstance(happened, dict) or each not in happened]
        if lacking:
            raise invalid(f"Parameter Event is not valid. Reason: it lacks {', '.join(lacking)}.")
        return {"Result": pattern.matches(params["Event"])}

    def describe_bus(self, context: RequestContext, params: Params) -> Result:
        check_bus(context, params.get("Name"))
        return _bus(context)

    def list_buses(self, context: RequestContext, params: Params) -> Result:
        found = [_bus(context)] if event_bridge.BUS.startswith(params.get("NamePrefix") or "") else []
        return paged(params, "EventBuses", found, lambda each: each)


def _bus(context: RequestContext) -> Result:
    own = arn.Arn("events", context.region, context.account, f"event-bus/{event_bridge.BUS}")
    return {"Name": event_bridge.BUS, "Arn": str(own)}
