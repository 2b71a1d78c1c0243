"""Log streams: create, delete, describe."""

from typing import Any, Final

from portside.api.logs import token
from portside.api.logs.error import exists, invalid, no_stream, protected, told
from portside.api.logs.lookup import group_arn, meant, named, scope_of
from portside.aws.service import Params, RequestContext, Result
from portside.domain.record import Scope
from portside.store.interface import Store
from portside.telemetry.interface import LogStore, StreamInfo

PAGE: Final = 50
_SEPARATOR: Final = "\n"


class Streams:
    def __init__(self, store: Store, logs: LogStore) -> None:
        self._store, self._logs = store, logs

    async def create(self, context: RequestContext, params: Params) -> None:
        group = named(self._store, scope_of(context), params["logGroupName"])
        with told():
            if not await self._logs.create_stream(group.scope, group.name, params["logStreamName"]):
                raise exists("log stream")

    async def delete(self, context: RequestContext, params: Params) -> None:
        group = named(self._store, scope_of(context), params["logGroupName"])
        if group.is_protected:
            raise protected("log stream")
        with told():
            if not await self._logs.delete_stream(group.scope, group.name, params["logStreamName"]):
                raise no_stream()

    async def describe(self, context: RequestContext, params: Params) -> Result:
        group = meant(self._store, scope_of(context), params)
        prefix, by_time = params.get("logStreamNamePrefix", ""), params.get("orderBy") == "LastEventTime"
        if prefix and by_time:
            raise invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
        with told():
            streams = await self._logs.streams(group.scope, group.name, prefix)

        def place(stream: StreamInfo) -> tuple[int, str]:
            return (stream.last_event_ms or 0) if by_time else 0, stream.name

        descending = params.get("descending", False)
        streams.sort(key=place, reverse=descending)
        if "nextToken" in params:
            time, _, name = token.read_list_token(params["nextToken"]).partition(_SEPARATOR)
            if not time.isdigit():
                raise invalid("The specified nextToken is invalid.")
            after = (int(time), name)
            streams = [each for each in streams if (place(each) < after if descending else place(each) > after)]
        limit = params.get("limit", PAGE)
        result: Result = {"logStreams": [_wire(group.scope, group.name, each) for each in streams[:limit]]}
        if len(streams) > limit:
            time_ms, name = place(streams[limit - 1])
            result["nextToken"] = token.list_token(f"{time_ms}{_SEPARATOR}{name}")
        return result


def _wire(scope: Scope, group: str, stream: StreamInfo) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "logStreamName": stream.name,
        "creationTime": stream.created_ms,
        "arn": f"{group_arn(scope, group)}:log-stream:{stream.name}",
        "storedBytes": 0,  # AWS, too, answers 0 for streams since 2019
    }
    times = {
        "firstEventTimestamp": stream.first_event_ms,
        "lastEventTimestamp": stream.last_event_ms,
        "lastIngestionTime": stream.last_ingestion_ms,
    }
    return wire | {name: ms for name, ms in times.items() if ms is not None}
