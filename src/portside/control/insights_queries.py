"""Runs Logs Insights queries, a few at a time, and keeps what they found for a while."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from portside.control.loop import spawn
from portside.domain.clock import Clock, Ids
from portside.domain.record import Scope
from portside.telemetry.insights import InsightsQuery, QueryFailed, QueryLimit, QueryNews, QueryOrder, run_query

log = logging.getLogger(__name__)

AT_ONCE: Final = 2
"""Processes; further queries wait."""
UNDER_WAY_MOST: Final = 30
"""Of an account: Logs Insights' quota."""
KEPT_MOST: Final = 100
KEPT_BYTES: Final = 64 * 1024**2
"""Results that are kept, over all queries, by the length of their values."""
TIME_LIMIT_S: Final = 3600.0
"""As on AWS."""


class QueryRunner:
    """Implements `InsightsQueries`.

    Args:
        path: the log store's file.

    Cleanup: `close` ends the processes.
    """

    def __init__(self, path: Path, clock: Clock, ids: Ids) -> None:
        self._path, self._clock, self._ids = path, clock, ids
        self._queries: dict[str, InsightsQuery] = {}
        self._sizes: dict[str, int] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def start(self, scope: Scope, groups: Sequence[str], query: str, start_ms: int, end_ms: int, limit: int) -> str:
        if sum(self._queries[each].scope == scope for each in self._tasks) >= UNDER_WAY_MOST:
            raise QueryLimit(f"Account maximum query concurrency limit of [{UNDER_WAY_MOST}] reached.")
        made = InsightsQuery(self._ids.uuid(), scope, tuple(groups), query, self._clock.now())
        order = QueryOrder(scope.prefix, scope.account, list(groups), query, start_ms, end_ms, limit)
        self._queries[made.id] = made
        task = spawn(f"query {made.id}", self._run(made, order))
        self._tasks[made.id] = task
        task.add_done_callback(lambda _: self._end(made))
        return made.id

    def get(self, scope: Scope, query_id: str) -> InsightsQuery | None:
        found = self._queries.get(query_id)
        return found if found is not None and found.scope == scope else None

    def list(self, scope: Scope) -> Sequence[InsightsQuery]:
        return [each for each in reversed(self._queries.values()) if each.scope == scope]

    def stop(self, scope: Scope, query_id: str) -> bool:
        found, task = self.get(scope, query_id), self._tasks.get(query_id)
        if found is None or task is None or found.ended_at is not None:
            return False
        found.status, found.ended_at = "Cancelled", self._clock.now()
        task.cancel()
        return True

    async def _run(self, query: InsightsQuery, order: QueryOrder) -> None:
        async with self._room:
            query.status = "Running"

            def told(news: QueryNews) -> None:
                query.news = news

            try:
                async with asyncio.timeout(TIME_LIMIT_S):
                    await run_query(self._path, order, told)
                query.status = "Complete"
            except TimeoutError:
                query.status = "Timeout"
            except (QueryFailed, OSError) as error:
                query.status = "Failed"
                log.warning("the query %s failed: %s", query.id, error)

    def _end(self, query: InsightsQuery) -> None:
        self._tasks.pop(query.id, None)
        query.ended_at = query.ended_at or self._clock.now()
        if query.status in ("Scheduled", "Running"):
            query.status = "Cancelled"
        rows = query.news.rows or []
        self._sizes[query.id] = sum(len(name) + len(value) for row in rows for name, value in row)
        while len(self._sizes) > 1 and (len(self._sizes) > KEPT_MOST or sum(self._sizes.values()) > KEPT_BYTES):
            oldest = next(iter(self._sizes))
            del self._sizes[oldest], self._queries[oldest]
