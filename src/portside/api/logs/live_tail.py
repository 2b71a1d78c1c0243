"""StartLiveTail: a session that shows events as they are put, once a second."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any, Final

from portside.api.logs.error import class_lacks, invalid, told
from portside.api.logs.lookup import name_of, named, scope_of
from portside.aws.service import EventStream, Params, RequestContext, ServiceError
from portside.domain import log_pattern
from portside.domain.clock import Clock, Ids
from portside.domain.log import INFREQUENT_ACCESS
from portside.store.interface import Store
from portside.telemetry.live_tail import LiveTails, TailSession

PERIOD: Final = timedelta(seconds=1)
LASTS: Final = timedelta(hours=3)
SESSIONS_MOST: Final = 15
"""Of an account in a region: CloudWatch Logs' quota."""


class LiveTail:
    def __init__(self, store: Store, tails: LiveTails, clock: Clock, ids: Ids) -> None:
        self._store, self._tails, self._clock, self._ids = store, tails, clock, ids

    def start(self, context: RequestContext, params: Params) -> EventStream:
        scope = scope_of(context)
        identifiers = params["logGroupIdentifiers"]
        for each in identifiers:
            if not each.startswith("arn:") or each.endswith("*"):
                raise invalid(f"Log groups must be specified by their ARN, which does not end with an asterisk: {each}")
        groups = [named(self._store, scope, name_of(each, scope)) for each in identifiers]
        if any(each.log_class == INFREQUENT_ACCESS for each in groups):
            raise class_lacks("StartLiveTail", "InvalidOperationException")
        streams, prefixes = params.get("logStreamNames", []), params.get("logStreamNamePrefixes", [])
        if streams and prefixes:
            raise invalid("logStreamNames and logStreamNamePrefixes are mutually exclusive parameters.")
        if (streams or prefixes) and len(groups) > 1:
            raise invalid("logStreamNames and logStreamNamePrefixes are allowed for a single log group only.")
        with told():
            pattern = log_pattern.parse(params.get("logEventFilterPattern"))
        session = TailSession(
            scope=scope,
            groups=frozenset(each.name for each in groups),
            streams=frozenset(streams),
            prefixes=tuple(prefixes),
            pattern=pattern,
        )
        if self._tails.count(scope) >= SESSIONS_MOST:
            raise ServiceError(
                "LimitExceededException", f"An account can have at most {SESSIONS_MOST} Live Tail sessions at once."
            )
        start = {
            "requestId": context.request_id,
            "sessionId": self._ids.uuid(),
            "logGroupIdentifiers": list(identifiers),
            "logStreamNames": list(streams),
            "logStreamNamePrefixes": list(prefixes),
            "logEventFilterPattern": params.get("logEventFilterPattern", ""),
        }
        return EventStream(self._events(session, start))

    async def _events(
        self, session: TailSession, start: dict[str, Any]
    ) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        self._tails.open(session)
        try:
            yield "sessionStart", start
            at = self._clock.now()
            ends_at = at + LASTS
            while at < ends_at and not self._tails.is_closed:
                at = max(at + PERIOD, self._clock.now())
                await self._clock.sleep_until(at)
                update = session.take()
                yield (
                    "sessionUpdate",
                    {
                        "sessionMetadata": {"sampled": update.is_sampled},
                        "sessionResults": [
                            {
                                "logStreamName": each.stream,
                                "logGroupIdentifier": f"{session.scope.account}:{each.group}",
                                "message": each.event.message,
                                "timestamp": each.event.at_ms,
                                "ingestionTime": each.ingested_ms,
                            }
                            for each in update.events
                        ],
                    },
                )
            if not self._tails.is_closed:
                raise ServiceError("SessionTimeoutException", "The Live Tail session has lasted three hours.")
        finally:
            self._tails.close(session)
