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
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from portside.domain.insights_query import Batch, Event, Query, TooMany
from portside.domain.log_need import Needs
from portside.telemetry import log_search
from portside.telemetry.insights import LENGTH_BYTES, QueryNews, QueryOrder
from portside.telemetry.log_search import has_zeros

FIRST_PIECE_EVENTS: Final = 500
"""A query for the latest few reads no more than that."""
PIECE_EVENTS: Final = 20_000
COUNTED_PIECE_EVENTS: Final = 200_000
"""Where SQLite counts them itself."""
MEMORY_BYTES: Final = 1024**3
CPU_S: Final = 3600
"""AWS ends a query after an hour."""
NICE: Final = 10
_PR_SET_PDEATHSIG: Final = 1
_BYTES: Final = "sum(length(CAST(message AS BLOB)))"
_OF_STREAMS: Final = "stream_id IN (SELECT stream.id FROM stream WHERE stream.group_id = ?)"
"""Of a deleted stream events stay for a moment."""
_Place = tuple[int, int]
"""Time and number of an event."""


class _Group:
    """A log group's events in the query's range and order, a piece at a time, each in a transaction of its own."""

    def __init__(self, db: sqlite3.Connection, order: QueryOrder, group: str, query: Query, needs: Needs) -> None:
        self._db, self._needs, self._log = db, needs, f"{order.account}:{group}"
        self._is_oldest_first, self._needs_rows = query.wants_oldest_first, query.needs_rows
        row = db.execute("SELECT id FROM log_group WHERE scope = ? AND name = ?", (order.scope, group)).fetchone()
        self._id: int | None = row[0] if row is not None else None
        self._streams = dict(db.execute("SELECT id, name FROM stream WHERE group_id = ?", (self._id,)))
        self._low_ms, self._high_ms = order.start_ms, order.end_ms
        self._after: _Place | None = None
        self.is_at_end = row is None

    def batch(self, piece: int) -> tuple[Batch, _Place | None]:
        """Of the next piece, what may come through; and where the piece ends, None if that is all."""
        self._db.execute("BEGIN")
        end = self._end(piece)
        where, values = self._range(end)
        needed, texts = log_search.condition(self._needs, with_zeros=bool(self._needs) and has_zeros(self._db))
        more = ", ingested_ms, id" if self._needs_rows else ""
        rows = self._db.execute(
            f"SELECT at_ms, message, stream_id{more} FROM event WHERE {where} AND {needed} {self._order}",
            (*values, *texts),
        ).fetchall()
        self._db.execute("COMMIT")
        streams = self._streams
        columns = list(zip(*rows, strict=True))
        if columns and not set(columns[2]) <= streams.keys():
            columns = list(zip(*(row for row in rows if row[2] in streams), strict=True))
        if not columns:
            return Batch(self._log, (), (), (), (), ()), end
        ats, messages, numbers, *rest = columns
        return Batch(self._log, ats, messages, [streams[each] for each in numbers], *(rest or [(), ()])), end

    def counts(self, piece: int, period_ms: int) -> tuple[list[tuple[int, int, int]], _Place | None]:
        """Of the next piece: start, events and bytes of each period, in order; and where the piece ends."""
        self._db.execute("BEGIN")
        end = self._end(piece)
        where, values = self._range(end)
        rows = self._db.execute(
            f"SELECT at_ms / ?1 * ?1, count(*), {_BYTES} FROM event WHERE {where} AND {_OF_STREAMS}"
            f" GROUP BY 1 ORDER BY 1 {self._way}",
            (period_ms or 2**62, *values, self._id),
        ).fetchall()
        self._db.execute("COMMIT")
        return rows, end

    def scanned(self, end: _Place | None) -> tuple[int, int]:
        """Events and bytes up to that place."""
        where, values = self._range(end)
        sql = f"SELECT count(*), coalesce({_BYTES}, 0) FROM event WHERE {where} AND {_OF_STREAMS}"
        events, size = self._db.execute(sql, (*values, self._id)).fetchone()
        return events, size

    def go_on(self, end: _Place | None) -> None:
        self._after, self.is_at_end = end, end is None

    @property
    def _way(self) -> str:
        return "ASC" if self._is_oldest_first else "DESC"

    @property
    def _order(self) -> str:
        return f"ORDER BY at_ms {self._way}, id {self._way}"

    def _end(self, piece: int) -> _Place | None:
        """The last event of the next piece: an index alone is read."""
        where, values = self._range(None)
        sql = f"SELECT at_ms, id FROM event WHERE {where} {self._order} LIMIT 1 OFFSET {piece - 1}"
        row = self._db.execute(sql, values).fetchone()
        return (row[0], row[1]) if row is not None else None

    def _range(self, end: _Place | None) -> tuple[str, list[int | None]]:
        """What lies behind what was read, up to that place."""
        low, high = self._low_ms, self._high_ms
        where, values = "", list[int | None]()
        for place, behind in (
            (self._after, ">" if self._is_oldest_first else "<"),
            (end, "<=" if self._is_oldest_first else ">="),
        ):
            if place is not None:
                where += f" AND (at_ms, id) {behind} (?, ?)"
                values += place
                # The plain bound lets the index skip; the row comparison alone does not.
                low, high = (max(low, place[0]), high) if ">" in behind else (low, min(high, place[0]))
        return f"group_id = ? AND at_ms >= ? AND at_ms <= ?{where}", [self._id, low, high, *values]


def _bytes(messages: Iterable[str]) -> int:
    return sum([len(each) if each.isascii() else len(each.encode()) for each in messages])


class _Scan:
    """A query on its way."""

    def __init__(self, query: Query, order: QueryOrder) -> None:
        self._query, self._order = query, order
        self._events = self._bytes = 0

    @property
    def news(self) -> QueryNews:
        return QueryNews(self._events, self._query.matched, self._bytes)

    def run(self, db: sqlite3.Connection) -> None:
        query, order = self._query, self._order
        if len(order.groups) > 1 and query.needs_order:
            self._merge([_Group(db, order, each, query, ()) for each in order.groups])
            return
        groups = [_Group(db, order, each, query, query.needs) for each in order.groups]
        period_ms = query.counted_by_ms if order.start_ms >= 0 else None
        for group in groups:
            piece = FIRST_PIECE_EVENTS
            while not group.is_at_end and not query.is_satisfied:
                if period_ms is not None:
                    self._count(group, period_ms)
                else:
                    self._look(group, piece)
                    piece = min(2 * piece, PIECE_EVENTS)
                _tell(self.news)

    def _count(self, group: _Group, period_ms: int) -> None:
        rows, end = group.counts(COUNTED_PIECE_EVENTS, period_ms)
        for at_ms, events, size in rows:
            self._query.take_count(at_ms, events)
            self._events += events
            self._bytes += size
        group.go_on(end)

    def _look(self, group: _Group, piece: int) -> None:
        batch, end = group.batch(piece)
        taken = self._query.take_batch(batch)
        if self._query.needs:
            is_done = self._query.is_satisfied
            events, size = group.scanned((batch.ats[taken - 1], batch.numbers[taken - 1]) if is_done else end)
        else:
            events, size = taken, _bytes(batch.messages[:taken])
        self._events += events
        self._bytes += size
        group.go_on(end)

    def _merge(self, groups: Sequence[_Group]) -> None:
        """Of several groups in one order: event by event."""
        query = self._query
        several = [_rows(each) for each in groups]
        for row in heapq.merge(*several, key=lambda event: event.at_ms, reverse=not query.wants_oldest_first):
            self._events += 1
            self._bytes += _bytes([row.message])
            query.take(row)
            if query.is_satisfied:
                return
            if not self._events % PIECE_EVENTS:
                _tell(self.news)


def _rows(group: _Group) -> Iterator[Event]:
    piece = FIRST_PIECE_EVENTS
    while not group.is_at_end:
        batch, end = group.batch(piece)
        for row in batch.rows:
            assert row.event is not None
            yield row.event
        piece = min(2 * piece, PIECE_EVENTS)
        group.go_on(end)


def _tell(news: QueryNews) -> None:
    content = msgspec.msgpack.encode(news)
    sys.stdout.buffer.write(len(content).to_bytes(LENGTH_BYTES, "big") + content)
    sys.stdout.buffer.flush()


def run(path: Path, order: QueryOrder) -> QueryNews:
    query = Query(order.query, order.limit)
    if not path.exists():
        return QueryNews(rows=query.rows())  # nothing was ever logged
    scan = _Scan(query, order)
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10, isolation_level=None)
    try:
        scan.run(db)
    finally:
        db.close()
    return msgspec.structs.replace(scan.news, rows=query.rows())


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
