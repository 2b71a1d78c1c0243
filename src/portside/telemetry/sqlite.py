"""Log events in SQLite (ADR 0004: why not DuckDB).

One thread writes, one reads, each with a connection of its own, so a search through a large group does not hold up what
containers write. The file is opened at first use. A commit in WAL mode survives the end of this process at any moment.

Deleting a group or stream removes its row at once; its events follow in small commits between the writes of others,
also after a crash (table `doomed`).
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from portside.domain import log_pattern
from portside.domain.log import LogEvent
from portside.domain.log_pattern import LogPattern, Pattern
from portside.domain.record import Scope
from portside.telemetry import log_search
from portside.telemetry.interface import FoundEvents, LogStreamMissing, Receiver, StoredEvent, StreamInfo
from portside.telemetry.log_search import ZERO_INDEX, has_zeros
from portside.telemetry.worker import SqliteWorker

T = TypeVar("T")
_EventRow = tuple[int, str, int, int, str]

EVENT_OVERHEAD_BYTES: Final = 26
"""What AWS counts for an event beyond its message (API_PutLogEvents)."""
DELETE_BATCH: Final = 1000
"""Events removed in one commit: some 5 ms, for which writers wait."""
PIECE_EVENTS: Final = 10_000
"""Events that are looked at before other readers have their turn: some 30 ms."""
TERM_PIECE_EVENTS: Final = 20_000
"""Likewise, where SQLite itself looks for words."""
SEARCH_S: Final = 2.0
"""How long one search may take; what is not searched then is left for the next call, as AWS does."""
INTEGER_MOST: Final = 2**63 - 1
ID_DIGITS: Final = 56
"""AWS's event ids are decimal numbers of 56 digits."""

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS log_group (
    id INTEGER PRIMARY KEY AUTOINCREMENT, scope TEXT NOT NULL, name TEXT NOT NULL, bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (scope, name)
);
CREATE TABLE IF NOT EXISTS stream (
    id INTEGER PRIMARY KEY AUTOINCREMENT, group_id INTEGER NOT NULL, name TEXT NOT NULL, created_ms INTEGER NOT NULL,
    first_ms INTEGER, last_ms INTEGER, ingested_ms INTEGER,
    UNIQUE (group_id, name)
);
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, group_id INTEGER NOT NULL, stream_id INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    ingested_ms INTEGER NOT NULL, message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS event_by_stream ON event (stream_id, at_ms);
CREATE INDEX IF NOT EXISTS event_by_group ON event (group_id, at_ms);
{ZERO_INDEX};
CREATE TABLE IF NOT EXISTS mark (stream_id INTEGER PRIMARY KEY, mark TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS doomed (kind TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
"""


class SqliteLogStore:
    """Implements `LogStore`.

    Args:
        path: the database; its folder exists.
        now_ms: the time of day, for ingestion times.
        on_put: each is awaited with what was put, once that is durable.
        search_s: how long one search may take.

    Cleanup: `close()` ends both threads.
    """

    def __init__(
        self,
        path: Path,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        on_put: Sequence[Receiver] = (),
        search_s: float = SEARCH_S,
    ) -> None:
        self._path, self._now_ms, self._on_put, self._search_s = path, now_ms, on_put, search_s
        self._writer = SqliteWorker("log-write", path, _SCHEMA)
        self._reader = SqliteWorker("log-read", path, "PRAGMA query_only=1")

    # --- writing ---

    async def create_stream(self, scope: Scope, group: str, stream: str) -> bool:
        return await self._writer.run(self._create_stream, scope, group, stream)

    async def delete_stream(self, scope: Scope, group: str, stream: str) -> bool:
        deleted = await self._writer.run(self._delete_stream, scope, group, stream)
        self._writer.submit(self._bury)
        return deleted

    async def delete_group(self, scope: Scope, group: str) -> None:
        await self._writer.run(self._delete_group, scope, group)
        self._writer.submit(self._bury)

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent], mark: str = "") -> None:
        await self._writer.run(self._put, scope, group, stream, events, mark)
        for receive in self._on_put:
            await receive(scope, group, stream, events)

    async def expire(self, scope: Scope, group: str, before_ms: int) -> int:
        removed = 0
        while count := await self._writer.run(self._expire, scope, group, before_ms):
            removed += count
        if removed:
            await self._writer.run(self._renew_first, scope, group)
        return removed

    # --- reading ---

    async def mark(self, scope: Scope, group: str, stream: str) -> str:
        return await self._read(self._mark, scope, group, stream)

    async def streams(self, scope: Scope, group: str, prefix: str = "") -> list[StreamInfo]:
        return await self._read(self._streams, scope, group, prefix)

    async def get(
        self,
        scope: Scope,
        group: str,
        stream: str,
        *,
        start_ms: int | None,
        end_ms: int | None,
        after: tuple[int, str] | None,
        before: tuple[int, str] | None,
        from_head: bool,
        limit: int,
    ) -> list[StoredEvent]:
        query = _Query(start_ms, end_ms, after, before)
        return await self._read(self._get, scope, group, stream, query, from_head, limit)

    async def filter(
        self,
        scope: Scope,
        group: str,
        *,
        streams: Sequence[str] | None,
        start_ms: int | None,
        end_ms: int | None,
        terms: str | None,
        after: tuple[int, str] | None,
        limit: int,
        before: tuple[int, str] | None = None,
        from_head: bool = True,
    ) -> FoundEvents:
        pattern = log_pattern.parse(terms)
        sift = self._sift
        if isinstance(pattern, LogPattern):
            if pattern.is_anything:  # the first that come
                query = _Query(start_ms, end_ms, after, before)
                query.match(pattern)
                return FoundEvents(await self._read(self._filter, scope, group, streams, query, from_head, limit))
            sift = self._sift_terms
        found: list[StoredEvent] = []
        ends_at = time.monotonic() + self._search_s
        while True:
            query = _Query(start_ms, end_ms, after, before)
            kept, last = await self._read(sift, scope, group, streams, query, from_head, pattern, limit)
            found += kept[: limit - len(found)]
            if last is None or len(found) == limit:
                break
            if time.monotonic() >= ends_at:
                return FoundEvents(found if from_head else found[::-1], last)
            after, before = (last, before) if from_head else (after, last)
        return FoundEvents(found if from_head else found[::-1])

    async def event(self, scope: Scope, group: str, event_id: str) -> StoredEvent | None:
        return await self._read(self._event, scope, group, event_id)

    async def stored_bytes(self, scope: Scope) -> dict[str, int]:
        return await self._read(self._stored_bytes, scope)

    async def close(self) -> None:
        """Wait for what is being written, then close the file."""
        await self._reader.close()
        await self._writer.close()

    async def _read(self, work: Callable[..., T], *args: object) -> T:
        if not self._writer.is_open:
            await self._writer.run(_nothing)  # makes the tables
            self._writer.submit(self._bury)
        return await self._reader.run(work, *args)

    # --- in the writing thread ---

    def _create_stream(self, db: sqlite3.Connection, scope: Scope, group: str, stream: str) -> bool:
        db.execute("INSERT OR IGNORE INTO log_group (scope, name) VALUES (?, ?)", (scope.prefix, group))
        group_id = _group_id(db, scope, group)
        done = db.execute(
            "INSERT OR IGNORE INTO stream (group_id, name, created_ms) VALUES (?, ?, ?)",
            (group_id, stream, self._now_ms()),
        )
        return done.rowcount > 0

    def _delete_stream(self, db: sqlite3.Connection, scope: Scope, group: str, stream: str) -> bool:
        stream_id = _stream_id(db, scope, group, stream)
        if stream_id is None:
            return False
        db.execute("DELETE FROM stream WHERE id = ?", (stream_id,))
        db.execute("DELETE FROM mark WHERE stream_id = ?", (stream_id,))
        db.execute("INSERT INTO doomed VALUES ('stream', ?)", (stream_id,))
        return True

    def _delete_group(self, db: sqlite3.Connection, scope: Scope, group: str) -> None:
        group_id = _group_id(db, scope, group)
        if group_id is not None:
            db.execute("DELETE FROM log_group WHERE id = ?", (group_id,))
            marked = "SELECT id FROM stream WHERE group_id = ?"
            db.execute(f"DELETE FROM mark WHERE stream_id IN ({marked})", (group_id,))
            db.execute("DELETE FROM stream WHERE group_id = ?", (group_id,))
            db.execute("INSERT INTO doomed VALUES ('group', ?)", (group_id,))

    def _put(
        self,
        db: sqlite3.Connection,
        scope: Scope,
        group: str,
        stream: str,
        events: Sequence[LogEvent],
        mark: str,
    ) -> None:
        stream_id = _stream_id(db, scope, group, stream)
        if stream_id is None:
            raise LogStreamMissing(f"log stream {stream} of group {group} does not exist")
        if not events:
            return
        group_id, now_ms = _group_id(db, scope, group), self._now_ms()
        db.executemany(
            "INSERT INTO event (group_id, stream_id, at_ms, ingested_ms, message) VALUES (?, ?, ?, ?, ?)",
            ((group_id, stream_id, each.at_ms, now_ms, each.message) for each in events),
        )
        first_ms, last_ms = min(each.at_ms for each in events), max(each.at_ms for each in events)
        db.execute(
            "UPDATE stream SET first_ms = min(coalesce(first_ms, ?1), ?1), last_ms = max(coalesce(last_ms, ?2), ?2),"
            " ingested_ms = ?3 WHERE id = ?4",
            (first_ms, last_ms, now_ms, stream_id),
        )
        if mark:
            db.execute("INSERT OR REPLACE INTO mark (stream_id, mark) VALUES (?, ?)", (stream_id, mark))
        size = sum(len(each.message.encode()) + EVENT_OVERHEAD_BYTES for each in events)
        db.execute("UPDATE log_group SET bytes = bytes + ? WHERE id = ?", (size, group_id))

    def _expire(self, db: sqlite3.Connection, scope: Scope, group: str, before_ms: int) -> int:
        return _remove(db, "group_id = ? AND at_ms < ?", (_group_id(db, scope, group), before_ms))

    def _renew_first(self, db: sqlite3.Connection, scope: Scope, group: str) -> None:
        db.execute(
            "UPDATE stream SET first_ms = (SELECT min(at_ms) FROM event WHERE stream_id = stream.id)"
            " WHERE group_id = ?",
            (_group_id(db, scope, group),),
        )

    def _bury(self, db: sqlite3.Connection) -> None:
        """Remove some events of what was deleted, and come again behind the writes that wait."""
        row = db.execute("SELECT kind, id FROM doomed LIMIT 1").fetchone()
        if row is None:
            return
        column = "group_id" if row[0] == "group" else "stream_id"
        if _remove(db, f"{column} = ?", (row[1],)) < DELETE_BATCH:
            db.execute("DELETE FROM doomed WHERE kind = ? AND id = ?", row)
        self._writer.submit(self._bury)

    # --- in the reading thread ---

    def _mark(self, db: sqlite3.Connection, scope: Scope, group: str, stream: str) -> str:
        stream_id = _stream_id(db, scope, group, stream)
        row = db.execute("SELECT mark FROM mark WHERE stream_id = ?", (stream_id,)).fetchone()
        return row[0] if row is not None else ""

    def _streams(self, db: sqlite3.Connection, scope: Scope, group: str, prefix: str) -> list[StreamInfo]:
        rows = db.execute(
            "SELECT name, created_ms, first_ms, last_ms, ingested_ms FROM stream"
            " WHERE group_id = ? AND name >= ? AND name < ? ORDER BY name",
            (_group_id(db, scope, group), prefix, prefix + "\U0010ffff"),
        )
        return [StreamInfo(*row) for row in rows]

    def _get(
        self,
        db: sqlite3.Connection,
        scope: Scope,
        group: str,
        stream: str,
        query: "_Query",
        from_head: bool,
        limit: int,
    ) -> list[StoredEvent]:
        stream_id = _stream_id(db, scope, group, stream)
        if stream_id is None:
            raise LogStreamMissing(f"log stream {stream} of group {group} does not exist")
        return query.run(db, "stream_id = ?", (stream_id,), from_head, limit)

    def _filter(
        self,
        db: sqlite3.Connection,
        scope: Scope,
        group: str,
        streams: Sequence[str] | None,
        query: "_Query",
        from_head: bool,
        limit: int,
    ) -> list[StoredEvent]:
        group_id = _group_id(db, scope, group)
        if streams is None:
            # A deleted stream's events stay for a moment: the join in `run` leaves them out.
            return query.run(db, "event.group_id = ?", (group_id,), from_head, limit)
        return query.run(db, _among(_stream_ids(db, group_id, streams)), (), from_head, limit)

    def _sift(
        self,
        db: sqlite3.Connection,
        scope: Scope,
        group: str,
        streams: Sequence[str] | None,
        query: "_Query",
        from_head: bool,
        pattern: Pattern,
        limit: int,
    ) -> tuple[list[StoredEvent], tuple[int, str] | None]:
        """The first `limit` that match of a piece of the range, in the direction of the search, and where the piece
        ends if there is more behind it. SQLite leaves out what can not match."""
        place, values, last = self._piece(db, scope, group, streams, query, from_head, PIECE_EVENTS)
        query.need(pattern, with_zeros=has_zeros(db))
        found: list[StoredEvent] = []
        for row in query.rows(db, place, values, from_head):
            if pattern.matches(row[4]):
                found.append(_stored(row))
                if len(found) == limit:
                    break
        return found, last

    def _sift_terms(
        self,
        db: sqlite3.Connection,
        scope: Scope,
        group: str,
        streams: Sequence[str] | None,
        query: "_Query",
        from_head: bool,
        pattern: Pattern,
        limit: int,
    ) -> tuple[list[StoredEvent], tuple[int, str] | None]:
        """Likewise, the first `limit` of it: the search is SQLite's."""
        assert isinstance(pattern, LogPattern)
        place, values, last = self._piece(db, scope, group, streams, query, from_head, TERM_PIECE_EVENTS)
        query.need(pattern, with_zeros=has_zeros(db))
        query.match(pattern)
        return [_stored(row) for row in query.rows(db, place, values, from_head, limit)], last

    def _piece(
        self,
        db: sqlite3.Connection,
        scope: Scope,
        group: str,
        streams: Sequence[str] | None,
        query: "_Query",
        from_head: bool,
        events: int,
    ) -> tuple[str, tuple[object, ...], tuple[int, str] | None]:
        """The next so many events of a search: where they are, with its values, and the end as of `_sift`."""
        group_id = _group_id(db, scope, group)
        place, values, chosen = "event.group_id = ?", (group_id,), ""
        if streams is not None:
            ids = _stream_ids(db, group_id, streams)
            if len(ids) > 1:  # by the group's index: it has the events of all in one order
                chosen = f" AND +{_among(ids)}"
            else:
                place, values = "stream_id = ?", (ids[0] if ids else None,)
        # Of all streams, so that a piece takes no longer where those that are asked for have few.
        last = query.end_of_piece(db, place, values, from_head, events)
        if last is not None:
            query.end_at(last, from_head)
        return place + chosen, values, last

    def _event(self, db: sqlite3.Connection, scope: Scope, group: str, event_id: str) -> StoredEvent | None:
        query = _Query(None, None, None, None)
        place, values = "event.id = ? AND event.group_id = ?", (int(event_id), _group_id(db, scope, group))
        return next(iter(query.run(db, place, values, True, 1)), None)

    def _stored_bytes(self, db: sqlite3.Connection, scope: Scope) -> dict[str, int]:
        return dict(db.execute("SELECT name, bytes FROM log_group WHERE scope = ?", (scope.prefix,)))


class _Query:
    """The conditions of a read, as SQL."""

    def __init__(
        self,
        start_ms: int | None,
        end_ms: int | None,
        after: tuple[int, str] | None,
        before: tuple[int, str] | None,
    ) -> None:
        self._where: list[str] = []
        self._values: list[object] = []
        if start_ms is not None:
            self._add("at_ms >= ?", start_ms)
        if end_ms is not None:
            self._add("at_ms < ?", end_ms)
        if after is not None:
            # The plain bound lets the index skip; the row comparison alone does not.
            self._add("at_ms >= ? AND (at_ms, event.id) > (?, ?)", after[0], after[0], int(after[1]))
        if before is not None:
            self._add("at_ms <= ? AND (at_ms, event.id) < (?, ?)", before[0], before[0], int(before[1]))

    def end_of_piece(
        self, db: sqlite3.Connection, place: str, values: Sequence[object], from_head: bool, events: int
    ) -> tuple[int, str] | None:
        """The last of so many events of the range; None if it has fewer. An index alone is read."""
        order = "ASC" if from_head else "DESC"
        row = db.execute(
            f"SELECT at_ms, event.id FROM event WHERE {' AND '.join([place, *self._where])}"
            f" ORDER BY at_ms {order}, event.id {order} LIMIT 1 OFFSET ?",
            (*values, *self._values, events - 1),
        ).fetchone()
        return (row[0], f"{row[1]:0{ID_DIGITS}d}") if row is not None else None

    def end_at(self, place: tuple[int, str], from_head: bool) -> None:
        """Nothing that lies behind that event, in the direction of the search."""
        than = "<=" if from_head else ">="
        self._add(f"at_ms {than} ? AND (at_ms, event.id) {than} (?, ?)", place[0], place[0], int(place[1]))

    def need(self, pattern: Pattern, *, with_zeros: bool) -> None:
        """Nothing that surely does not match."""
        condition, values = log_search.condition(pattern.needs, with_zeros=with_zeros)
        self._add(condition, *values)

    def match(self, pattern: LogPattern) -> None:
        for term in pattern.required:
            self._add("instr(message, ?) > 0", term)
        for term in pattern.excluded:
            self._add("instr(message, ?) = 0", term)
        if pattern.optional:
            self._add(f"({' OR '.join('instr(message, ?) > 0' for _ in pattern.optional)})", *pattern.optional)

    def _add(self, condition: str, *values: object) -> None:
        self._where.append(condition)
        # Times and ids come from callers: beyond what SQLite can hold, the nearest that it can says the same.
        self._values += [
            max(-INTEGER_MOST, min(each, INTEGER_MOST)) if isinstance(each, int) else each for each in values
        ]

    def run(
        self, db: sqlite3.Connection, place: str, values: Sequence[object], from_head: bool, limit: int
    ) -> list[StoredEvent]:
        """The events in time order, the first or the last `limit` of them."""
        found = [_stored(row) for row in self.rows(db, place, values, from_head, limit)]
        return found if from_head else found[::-1]

    def rows(
        self, db: sqlite3.Connection, place: str, values: Sequence[object], from_head: bool, limit: int = -1
    ) -> Iterator[_EventRow]:
        """In the direction of the search."""
        order = "ASC" if from_head else "DESC"
        return db.execute(
            "SELECT event.id, stream.name, at_ms, event.ingested_ms, message"
            " FROM event CROSS JOIN stream ON stream.id = event.stream_id"
            f" WHERE {' AND '.join([place, *self._where])} ORDER BY at_ms {order}, event.id {order} LIMIT ?",
            (*values, *self._values, limit),
        )


def _stored(row: _EventRow) -> StoredEvent:
    return StoredEvent(f"{row[0]:0{ID_DIGITS}d}", *row[1:])


_STREAM_ID: Final = "SELECT id FROM stream WHERE group_id = ? AND name = ?"


def _nothing(db: sqlite3.Connection) -> None:
    """Opening is what matters."""


def _group_id(db: sqlite3.Connection, scope: Scope, group: str) -> int | None:
    row = db.execute("SELECT id FROM log_group WHERE scope = ? AND name = ?", (scope.prefix, group)).fetchone()
    return row[0] if row is not None else None


def _stream_id(db: sqlite3.Connection, scope: Scope, group: str, stream: str) -> int | None:
    row = db.execute(_STREAM_ID, (_group_id(db, scope, group), stream)).fetchone()
    return row[0] if row is not None else None


def _stream_ids(db: sqlite3.Connection, group_id: int | None, streams: Sequence[str]) -> list[int]:
    """Of those that there are."""
    return [row[0] for name in streams for row in db.execute(_STREAM_ID, (group_id, name))]


def _among(ids: Sequence[int]) -> str:
    """A condition. Numbers of our own; as values they would end at 32,766 streams."""
    return f"stream_id IN ({','.join(map(str, ids))})"


def _remove(db: sqlite3.Connection, where: str, values: Sequence[object]) -> int:
    """Remove a batch of events and what they count for; returns how many."""
    rows = db.execute(
        f"DELETE FROM event WHERE id IN (SELECT id FROM event WHERE {where} LIMIT {DELETE_BATCH})"
        " RETURNING group_id, length(CAST(message AS BLOB))",
        values,
    ).fetchall()
    sizes: dict[int, int] = {}
    for group_id, size in rows:
        sizes[group_id] = sizes.get(group_id, 0) + size + EVENT_OVERHEAD_BYTES
    for group_id, size in sizes.items():
        db.execute("UPDATE log_group SET bytes = max(0, bytes - ?) WHERE id = ?", (size, group_id))
    return len(rows)
