"""Log events: put, searched and queried, over ever more of them; and how slow another read becomes meanwhile."""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from bench.measure import summary
from portside.domain.log import LogEvent
from portside.domain.record import Scope
from portside.telemetry.insights import QueryNews, QueryOrder, run_query
from portside.telemetry.sqlite import SqliteLogStore

SCOPE = Scope(account="000000000000", region="us-east-1")
GROUP = "/bench"
START_MS = 1_700_000_000_000
BATCH = 10_000
"""PutLogEvents takes as many."""
LEVELS = ("DEBUG", "INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "WARN", "INFO", "ERROR")

PATTERNS = {
    "term": "unheard",
    "json": '{ $.level = "ERROR" && $.took > 1999 }',
    "fields": "[..., last = unheard]",
    "regex": r"%took.:\s20[0-9][0-9][^0-9]%",
}
"""None finds anything: the whole group is gone through."""
QUERIES = {
    "count": "stats count(*)",
    "like": "filter @message like /unheard/",
    "json filter": 'filter level = "ERROR" and took > 1999 | fields @timestamp, took',
    "json stats by time": "stats count(*), avg(took), pct(took, 95) by bin(5m), level",
    "parse": 'parse @message "path: *," as path | stats count(*) by path',
    "sort": "fields @timestamp, took | sort took desc | limit 100",
    "latest 100": "fields @timestamp, @message | limit 100",
}


def bench(quick: bool) -> dict[str, Any]:
    sizes = (20_000, 100_000) if quick else (100_000, 300_000, 1_000_000, 3_000_000)
    with tempfile.TemporaryDirectory(prefix="portside-bench-logs-") as folder:
        return asyncio.run(_measure(Path(folder), sizes))


async def _measure(folder: Path, sizes: tuple[int, ...]) -> dict[str, Any]:
    path = folder / "logs.db"
    store = SqliteLogStore(path, search_s=3600)
    await store.create_stream(SCOPE, GROUP, "s")
    result: dict[str, Any] = {}
    there = message_bytes = 0
    try:
        for size in sizes:
            started = time.monotonic()
            for first in range(there, size, BATCH):
                events = [_event(number) for number in range(first, first + BATCH)]
                message_bytes += sum(len(each.message) for each in events)
                await store.put(SCOPE, GROUP, "s", events)
            figures: dict[str, Any] = {
                "put_events_s": (size - there) / (time.monotonic() - started),
                "message_bytes": message_bytes / size,
                "disk_bytes_per_event": sum(each.stat().st_size for each in folder.iterdir()) / size,
            }
            there = size
            figures["filter_s"] = {name: await _filtered(store, pattern) for name, pattern in PATTERNS.items()}
            figures["query_s"] = {name: await _queried(path, query) for name, query in QUERIES.items()}
            result[f"{size:,} events"] = figures
        result["get_s_idle"] = summary([await _read(store) for _ in range(200)])
        result["get_s_during_a_query"] = summary([each async for each in _reads_beside(store, path)])
    finally:
        await store.close()
    return result


def _event(number: int) -> LogEvent:
    document = {
        "level": LEVELS[number % len(LEVELS)],
        "requestId": f"{number:032x}",
        "took": number * 7919 % 2000,
        "said": f"GET path: /api/v1/items/{number % 50}, client: 192.0.2.{number % 250}",
    }
    return LogEvent(at_ms=START_MS + number * 10, message=json.dumps(document))


async def _filtered(store: SqliteLogStore, pattern: str) -> float:
    started = time.monotonic()
    found = await store.filter(
        *(SCOPE, GROUP), streams=None, start_ms=None, end_ms=None, terms=pattern, after=None, limit=100
    )
    assert not found.events
    return time.monotonic() - started


async def _queried(path: Path, query: str) -> float:
    started = time.monotonic()
    order = QueryOrder(SCOPE.prefix, SCOPE.account, [GROUP], query, 0, 2**50, 10_000)
    told: list[QueryNews] = []
    await run_query(path, order, told.append)
    assert told[-1].rows is not None
    return time.monotonic() - started


async def _read(store: SqliteLogStore) -> float:
    started = time.monotonic()
    await store.get(
        *(SCOPE, GROUP, "s"), start_ms=None, end_ms=None, after=None, before=None, from_head=False, limit=100
    )
    return time.monotonic() - started


async def _reads_beside(store: SqliteLogStore, path: Path) -> AsyncIterator[float]:
    """How long a small read takes while as many queries run as there are cores."""
    async with asyncio.TaskGroup() as group:
        query = QUERIES["json stats by time"]
        queries = [group.create_task(_queried(path, query), name="query") for _ in range(os.cpu_count() or 1)]
        while not any(each.done() for each in queries):
            yield await _read(store)
            await asyncio.sleep(0.01)
