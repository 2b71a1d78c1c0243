"""Where containers' output goes: log groups are records in the store, streams and events live in the log store."""

from collections.abc import Sequence

from portside.domain.clock import Clock
from portside.domain.log import LogEvent, LogGroup, LogGroupMissing
from portside.domain.record import Scope
from portside.domain.table import LOG_GROUP
from portside.store.interface import ABSENT, Put, Store
from portside.telemetry.interface import LogStore, LogStreamMissing


class ControlLogSink:
    """Implements `LogSink` for the node."""

    def __init__(self, store: Store, logs: LogStore, clock: Clock) -> None:
        self._store, self._logs, self._clock = store, logs, clock

    async def open_stream(self, scope: Scope, group: str, stream: str, *, create_group: bool) -> None:
        """Make sure that the stream is there; the group too, if it may be made.

        Raises:
            LogGroupMissing: there is no such group and it may not be made.
            StoreUnavailable, LogsUnavailable: the disk refused.
        """
        if not self._has_group(scope, group):
            if not create_group:
                raise LogGroupMissing("The specified log group does not exist.")
            made = LogGroup(scope=scope, name=group, created_at=self._clock.now())
            self._store.transact(Put(LOG_GROUP, made, ABSENT))
        await self._logs.create_stream(scope, group, stream)

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent], mark: str = "") -> None:
        """Append; durable when it returns. A stream that was deleted meanwhile is made again, a group is not.

        Raises:
            LogGroupMissing: the group was deleted.
            LogsUnavailable: the disk refused.
        """
        try:
            await self._logs.put(scope, group, stream, events, mark)
        except LogStreamMissing:
            await self.open_stream(scope, group, stream, create_group=False)
            await self._logs.put(scope, group, stream, events, mark)

    async def mark(self, scope: Scope, group: str, stream: str) -> str:
        """That of the stream's last batch. Raises LogsUnavailable."""
        return await self._logs.mark(scope, group, stream)

    def _has_group(self, scope: Scope, group: str) -> bool:
        return self._store.get(LOG_GROUP, f"{scope.prefix}{group}") is not None
