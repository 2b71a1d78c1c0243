"""Logs Insights queries: what one is, and running one in a process of its own.

A query may go through millions of events, and an expression may never come to an end on a text: in a process it takes
nothing from the daemon but a core, its memory and time have an end, and it can be stopped at any moment.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import msgspec

from portside.domain.record import Scope

Rows = list[list[tuple[str, str]]]
LENGTH_BYTES: Final = 4


class QueryOrder(msgspec.Struct, frozen=True):
    """`groups`: names. Times in milliseconds, both inclusive."""

    scope: str
    account: str
    groups: list[str]
    query: str
    start_ms: int
    end_ms: int
    limit: int


class QueryNews(msgspec.Struct, frozen=True):
    """How far a query is; with `rows` it is complete, with `failure` it failed."""

    scanned: int = 0
    matched: int = 0
    scanned_bytes: int = 0
    rows: Rows | None = None
    failure: str = ""


class QueryFailed(Exception):
    """The query's process ended without a result: out of memory, out of time, or the disk refused."""


@dataclass
class InsightsQuery:
    """A query and what has become of it. `status`: as AWS says."""

    id: str
    scope: Scope
    groups: Sequence[str]
    query: str
    created_at: datetime
    status: str = "Scheduled"
    ended_at: datetime | None = None
    news: QueryNews = field(default_factory=QueryNews)


class QueryLimit(Exception):
    """As many queries run or wait as may."""


class InsightsQueries(Protocol):
    """Queries of all accounts. Not kept beyond the end of this process; of the ended ones, the latest."""

    def start(self, scope: Scope, groups: Sequence[str], query: str, start_ms: int, end_ms: int, limit: int) -> str:
        """The new query's id. Raises QueryLimit."""
        ...

    def get(self, scope: Scope, query_id: str) -> InsightsQuery | None: ...

    def list(self, scope: Scope) -> Sequence[InsightsQuery]:
        """The newest first."""
        ...

    def stop(self, scope: Scope, query_id: str) -> bool:
        """False if it does not run."""
        ...


async def run_query(path: Path, order: QueryOrder, told: Callable[[QueryNews], None]) -> None:
    """Run a query over the log store's file. `told` gets the news, at last with `rows`.

    Raises:
        QueryFailed.

    Cleanup: the process is ended when this is cancelled.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "portside.telemetry.insights_process", str(path), str(os.getpid())),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        process.stdin.write(msgspec.msgpack.encode(order))
        process.stdin.close()
        while True:
            try:
                size = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
                news = msgspec.msgpack.decode(await process.stdout.readexactly(size), type=QueryNews)
            except asyncio.IncompleteReadError:
                said = (await process.stderr.read(4000)).decode(errors="replace").strip()
                raise QueryFailed(said.rpartition("\n")[2] or "its process ended") from None
            if news.failure:
                raise QueryFailed(news.failure)
            told(news)
            if news.rows is not None:
                return
    finally:
        if process.returncode is None:
            try:
                process.kill()
            except ProcessLookupError:
                pass
        await process.wait()
