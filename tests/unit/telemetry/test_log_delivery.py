"""Containers' output on its way into log groups, and out of them by retention."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from portside.control.clock import SystemClock
from portside.control.logsink import ControlLogSink
from portside.control.retention import RetentionLoop
from portside.domain.log import LogEvent, LogGroup, LogGroupMissing
from portside.domain.record import Scope, replace
from portside.domain.table import LOG_GROUP
from portside.store.interface import Delete, Put
from portside.store.memory import MemoryStore
from portside.telemetry.sqlite import SqliteLogStore

SCOPE = Scope(account="000000000000", region="us-east-1")
KEY = f"{SCOPE.prefix}g"


def run(path: Path, test: Callable[[MemoryStore, SqliteLogStore], Awaitable[None]]) -> None:
    async def whole() -> None:
        logs = SqliteLogStore(path / "logs.db")
        try:
            async with asyncio.timeout(30):
                await test(MemoryStore(), logs)
        finally:
            await logs.close()

    asyncio.run(whole())


async def messages(logs: SqliteLogStore) -> list[str]:
    found = await logs.filter(SCOPE, "g", streams=None, start_ms=None, end_ms=None, terms=None, after=None, limit=100)
    return [event.message for event in found.events]


def test_a_group_is_made_only_if_allowed(tmp_path: Path) -> None:
    """Without awslogs-create-group a missing group is an error; with it the group appears in the account."""

    async def test(store: MemoryStore, logs: SqliteLogStore) -> None:
        sink = ControlLogSink(store, logs, SystemClock())
        with pytest.raises(LogGroupMissing, match=r"The specified log group does not exist\."):
            await sink.open_stream(SCOPE, "g", "s", create_group=False)
        await sink.open_stream(SCOPE, "g", "s", create_group=True)
        await sink.open_stream(SCOPE, "g", "s", create_group=False)
        assert store.get(LOG_GROUP, KEY) is not None
        await sink.put(SCOPE, "g", "s", [LogEvent(at_ms=1, message="x")])
        assert await messages(logs) == ["x"]

    run(tmp_path, test)


def test_deleted_under_way(tmp_path: Path) -> None:
    """Output to a stream that was deleted makes it anew; to a deleted group it is refused."""

    async def test(store: MemoryStore, logs: SqliteLogStore) -> None:
        sink = ControlLogSink(store, logs, SystemClock())
        await sink.open_stream(SCOPE, "g", "s", create_group=True)
        await logs.delete_stream(SCOPE, "g", "s")
        await sink.put(SCOPE, "g", "s", [LogEvent(at_ms=1, message="x")])
        assert await messages(logs) == ["x"]
        await logs.delete_group(SCOPE, "g")
        store.transact(Delete(LOG_GROUP, KEY))
        with pytest.raises(LogGroupMissing):
            await sink.put(SCOPE, "g", "s", [LogEvent(at_ms=2, message="y")])

    run(tmp_path, test)


def test_retention_follows_the_policy(tmp_path: Path) -> None:
    """A policy that is set, or was there at the start, removes what is older; a group without one keeps all."""

    async def test(store: MemoryStore, logs: SqliteLogStore) -> None:
        now = SystemClock().now()
        old, new = now - timedelta(days=2), now

        async def fill() -> None:
            events = [LogEvent(at_ms=int(at.timestamp() * 1000), message=str(at)) for at in (old, new)]
            await logs.put(SCOPE, "g", "s", events)

        expired: asyncio.Queue[int] = asyncio.Queue()
        expire = logs.expire

        async def expire_and_tell(scope: Scope, group: str, before_ms: int) -> int:
            count = await expire(scope, group, before_ms)
            expired.put_nowait(count)
            return count

        logs.expire = expire_and_tell  # type: ignore[method-assign]

        async def until_one_went() -> None:
            while await expired.get() == 0:
                pass

        group = LogGroup(scope=SCOPE, name="g", created_at=now)
        store.transact(Put(LOG_GROUP, group))
        await logs.create_stream(SCOPE, "g", "s")
        await fill()
        loop = RetentionLoop(store, logs, SystemClock())
        await loop.start()
        store.transact(Put(LOG_GROUP, replace(group, retention_days=3)))
        store.transact(Put(LOG_GROUP, replace(group, retention_days=1)))
        await until_one_went()
        await loop.close()
        assert await messages(logs) == [str(new)]
        await logs.delete_stream(SCOPE, "g", "s")
        await logs.create_stream(SCOPE, "g", "s")
        await fill()
        again = RetentionLoop(store, logs, SystemClock())
        await again.start()
        await until_one_went()
        await again.close()
        assert await messages(logs) == [str(new)]

    run(tmp_path, test)
