"""The process of one Logs Insights query: `python -m portside.telemetry.insights_process DATABASE PARENT`.

Reads a QueryOrder from its standard input and writes QueryNews to its standard output, each behind its length. Events
are read in pieces: no reading transaction lasts, which would keep the database's log from being taken in.
"""

import ctypes
import heapq
import os
import resource
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from portside.domain.insights_query import Event, Query, TooMany
from portside.telemetry.insights import LENGTH_BYTES, QueryNews, QueryOrder

FIRST_PIECE_EVENTS: Final = 500
"""A query for the latest few reads no more than that."""
PIECE_EVENTS: Final = 20_000
MEMORY_BYTES: Final = 1024**3
CPU_S: Final = 3600
"""AWS ends a query after an hour."""
NICE: Final = 10
_PR_SET_PDEATHSIG: Final = 1


def _events(db: sqlite3.Connection, order: QueryOrder, group: str, *, oldest_first: bool) -> Iterator[Event]:
    row = db.execute("SELECT id FROM log_group WHERE scope = ? AND name = ?", (order.scope, group)).fetchone()
    if row is None:
        return
    streams = dict(db.execute("SELECT id, name FROM stream WHERE group_id = ?", row))
    way, further = ("ASC", ">") if oldest_first else ("DESC", "<")
    place: tuple[int, int] | None = None
    piece = FIRST_PIECE_EVENTS
    start_ms, end_ms = order.start_ms, order.end_ms
    log = f"{order.account}:{group}"
    while True:
        beyond, values = "", list[Any]([row[0], start_ms, end_ms])
        if place is not None:
            beyond = f" AND (at_ms, id) {further} (?, ?)"
            values += place
        rows = db.execute(
            "SELECT id, stream_id, at_ms, ingested_ms, message FROM event"
            f" WHERE group_id = ? AND at_ms >= ? AND at_ms <= ?{beyond} ORDER BY at_ms {way}, id {way}"
            f" LIMIT {piece}",
            values,
        ).fetchall()
        for number, stream_id, at_ms, ingested_ms, message in rows:
            stream = streams.get(stream_id)
            if stream is not None:
                yield Event(at_ms, message, stream, log, ingested_ms, number)
        if len(rows) < piece:
            return
        piece = min(2 * piece, PIECE_EVENTS)
        place = (rows[-1][2], rows[-1][0])
        if oldest_first:
            start_ms = place[0]
        else:
            end_ms = place[0]


def _all(db: sqlite3.Connection, order: QueryOrder, query: Query) -> Iterator[Event]:
    oldest_first = query.wants_oldest_first
    several = [_events(db, order, group, oldest_first=oldest_first) for group in order.groups]
    if len(several) == 1 or not query.needs_order:
        for each in several:
            yield from each
    else:
        yield from heapq.merge(*several, key=lambda event: event.at_ms, reverse=not oldest_first)


def _tell(news: QueryNews) -> None:
    content = msgspec.msgpack.encode(news)
    sys.stdout.buffer.write(len(content).to_bytes(LENGTH_BYTES, "big") + content)
    sys.stdout.buffer.flush()


def run(path: Path, order: QueryOrder) -> QueryNews:
    query = Query(order.query, order.limit)
    scanned = scanned_bytes = 0
    if not path.exists():
        return QueryNews(rows=query.rows())  # nothing was ever logged
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        for event in _all(db, order, query):
            message = event.message
            scanned += 1
            scanned_bytes += len(message) if message.isascii() else len(message.encode())
            query.take(event)
            if query.is_satisfied:
                break
            if not scanned % PIECE_EVENTS:
                _tell(QueryNews(scanned, query.matched, scanned_bytes))
    finally:
        db.close()
    return QueryNews(scanned, query.matched, scanned_bytes, query.rows())


def main() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[2]):
        return  # the daemon ended before it could be said that this process ends with it
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(NICE)
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=QueryOrder)
    try:
        news = run(Path(sys.argv[1]), order)
    except MemoryError:
        news = QueryNews(failure=f"it takes more than {MEMORY_BYTES // 1024**2} MiB of memory")
    except (TooMany, sqlite3.Error, RecursionError) as error:
        news = QueryNews(failure=str(error))
    _tell(news)


if __name__ == "__main__":
    main()
