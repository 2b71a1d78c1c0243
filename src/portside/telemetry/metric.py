"""The contract of the metric store, and its keeping in SQLite (ADR 0042).

Points are kept by the second for three hours, by the minute for fifteen days, by five minutes for 63 days and by the
hour for 455 days, as on AWS: `roll_up` merges what is older. One thread reads and writes.

What is put is appended as it came, a row a call, and folded into chunks, each of one metric and a span of time, when
there is much of it and before anything is rolled up. Chunks are in order of time: all that belongs to now is written
in one place, however many metrics there are.
"""

import sqlite3
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from portside.domain.metric import Dimensions, MetricName, Point, Sample
from portside.domain.record import Scope
from portside.telemetry import metric_chunk
from portside.telemetry.metric_chunk import Slice
from portside.telemetry.worker import SqliteWorker

TIERS: Final = ((1, 3 * 3600), (60, 15 * 86400), (300, 63 * 86400), (3600, 455 * 86400))
"""Seconds of a point, and for how many seconds such points are kept before they are merged into the next tier's."""
SPANS: Final = {1: 300, 60: 3600, 300: 6 * 3600, 3600: 7 * 86400}
"""Seconds of a chunk by its tier. A point is merged with its whole chunk: it is kept longer by that at most."""
HEAD_MOST: Final = 250_000
"""Samples that are not in chunks yet: 16 bytes each in memory, once they are read."""
BATCHES_MOST: Final = 4000
DECODED_MOST: Final = 500_000
"""Samples of chunks that were read lately: 16 bytes each in memory."""
AT_ONCE: Final = 100
"""Metrics that are read before others have their turn."""
IDS_MOST: Final = 20_000
"""Metrics whose numbers are held in memory."""
_LAST_EVERY_S: Final = 60
_ROLL_BATCH: Final = 200
_CHUNK_SIZE: Final = 40
"""Samples that the memory of a chunk beside its samples is worth."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS metric (
    id INTEGER PRIMARY KEY AUTOINCREMENT, scope TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    dimensions TEXT NOT NULL, last_s INTEGER NOT NULL,
    UNIQUE (scope, namespace, name, dimensions)
);
CREATE TABLE IF NOT EXISTS batch (id INTEGER PRIMARY KEY AUTOINCREMENT, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS chunk (
    tier INTEGER NOT NULL, start_s INTEGER NOT NULL, metric_id INTEGER NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (tier, start_s, metric_id)
) WITHOUT ROWID;
"""


class MetricStore(Protocol):
    """Every call may raise LogsUnavailable: the disk refused, and nothing was changed."""

    async def put(self, scope: Scope, samples: Sequence[Sample]) -> None:
        """Add samples to the points of their periods; durable (against the end of this process) when it returns."""
        ...

    async def names(self, scope: Scope, *, namespace: str | None, name: str | None, since_s: int) -> list[MetricName]:
        """The metrics that have had a sample since then, in order."""
        ...

    async def points(
        self, scope: Scope, metric: MetricName, *, start_s: int, end_s: int, period_s: int, unit: str | None
    ) -> Mapping[int, Point]:
        """By the start of its period, what was put from `start_s` on and before `end_s`; periods without samples are
        left out. Only points of that unit, if one is named."""
        ...

    async def statistics(
        self,
        scope: Scope,
        metrics: Sequence[MetricName],
        name: str,
        *,
        start_s: int,
        end_s: int,
        period_s: int,
        unit: str | None,
    ) -> list[Mapping[int, float]]:
        """Of each metric, in their order: a statistic by the start of its period, of what `points` would give."""
        ...

    async def roll_up(self, now_s: int) -> None: ...

    async def close(self) -> None: ...


class SqliteMetricStore:
    """Implements `MetricStore`. The file is opened at first use. Cleanup: `close`."""

    def __init__(self, path: Path) -> None:
        self._work = _Work()
        self._worker = SqliteWorker("metrics", path, _SCHEMA, undone=self._work.undone)

    async def put(self, scope: Scope, samples: Sequence[Sample]) -> None:
        if await self._worker.run(self._work.put, scope, samples):
            self._worker.submit(self._work.fold)

    async def names(self, scope: Scope, *, namespace: str | None, name: str | None, since_s: int) -> list[MetricName]:
        return await self._worker.run(self._work.names, scope, namespace, name, since_s)

    async def points(
        self, scope: Scope, metric: MetricName, *, start_s: int, end_s: int, period_s: int, unit: str | None
    ) -> Mapping[int, Point]:
        return await self._worker.run(self._work.points, scope, metric, start_s, end_s, period_s, unit)

    async def statistics(
        self,
        scope: Scope,
        metrics: Sequence[MetricName],
        name: str,
        *,
        start_s: int,
        end_s: int,
        period_s: int,
        unit: str | None,
    ) -> list[Mapping[int, float]]:
        found: list[Mapping[int, float]] = []
        for first in range(0, len(metrics), AT_ONCE):  # between which others have their turn
            several = metrics[first : first + AT_ONCE]
            found += await self._worker.run(self._work.statistics, scope, several, name, start_s, end_s, period_s, unit)
        return found

    async def roll_up(self, now_s: int) -> None:
        await self._worker.run(self._work.fold)
        while await self._worker.run(self._work.roll_up, now_s):
            pass

    async def close(self) -> None:
        await self._worker.close()


class _Work:
    """What the store's thread does, each in a transaction, and what it remembers: all of it is in the database, too."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, MetricName], int] = {}
        self._noted_s: dict[int, int] = {}
        """By metric: the time of its last sample, as its row has it."""
        self._last_s: dict[int, int] = {}
        """Likewise, where it is newer than in the row."""
        self._samples = self._batches = 0
        self._head = _Head()
        self._decoded = _Decoded()
        self._is_new = True

    def undone(self) -> None:
        """A transaction was: numbers that it gave to metrics are nobody's."""
        self._is_new = True
        self._decoded.clear()
        self._ids.clear()
        self._noted_s.clear()

    def put(self, db: sqlite3.Connection, scope: Scope, samples: Sequence[Sample]) -> bool:
        """Whether there is much that is not in chunks."""
        columns: dict[tuple[int, str], tuple[array[Any], ...]] = {}
        others: list[Any] = []
        for sample in samples:
            number = self._number(db, scope, sample.metric, int(sample.at_s))
            tier, point = sample.resolution_s, sample.point
            at_s = int(sample.at_s // tier * tier)
            if point.count == 1.0 and len(point.values) == 1:
                column = columns.get((tier, point.unit))
                if column is None:
                    column = columns[tier, point.unit] = (array("q"), array("q"), array("d"))
                column[0].append(number)
                column[1].append(at_s)
                column[2].append(point.least)
            else:
                part = Slice()
                part.points.append((at_s, point))
                others.append((number, tier, metric_chunk.encoded(part)))
        kept = [(*key, *(metric_chunk.transposed(each) for each in column)) for key, column in columns.items()]
        if kept or others:
            db.execute("INSERT INTO batch (content) VALUES (?)", (metric_chunk.packed((kept, others)),))
            self._samples, self._batches = self._samples + len(samples), self._batches + 1
        return self._samples > HEAD_MOST or self._batches > BATCHES_MOST

    def _number(self, db: sqlite3.Connection, scope: Scope, metric: MetricName, at_s: int) -> int:
        key = (scope.prefix, metric)
        number = self._ids.get(key)
        if number is None:
            if len(self._ids) >= IDS_MOST:
                self._note_last(db)
                self._ids.clear()
                self._noted_s.clear()
            number, noted_s = db.execute(
                "INSERT INTO metric (scope, namespace, name, dimensions, last_s) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET last_s = max(last_s, excluded.last_s) RETURNING id, last_s",
                (scope.prefix, metric.namespace, metric.name, _encoded(metric.dimensions), at_s),
            ).fetchone()
            self._ids[key], self._noted_s[number] = number, noted_s
        elif at_s > self._noted_s[number]:
            self._last_s[number] = max(self._last_s.get(number, at_s), at_s)
            if at_s >= self._noted_s[number] + _LAST_EVERY_S:
                db.execute("UPDATE metric SET last_s = max(last_s, ?) WHERE id = ?", (self._last_s.pop(number), number))
                self._noted_s[number] = at_s
        return number

    def _note_last(self, db: sqlite3.Connection) -> None:
        if self._last_s:
            rows = [(at_s, number) for number, at_s in self._last_s.items()]
            db.executemany("UPDATE metric SET last_s = max(last_s, ?) WHERE id = ?", rows)
            self._noted_s.update({number: at_s for at_s, number in rows if number in self._noted_s})
            self._last_s.clear()

    def names(
        self, db: sqlite3.Connection, scope: Scope, namespace: str | None, name: str | None, since_s: int
    ) -> list[MetricName]:
        self._note_last(db)
        rows = db.execute(
            "SELECT namespace, name, dimensions FROM metric WHERE scope = ? AND last_s >= ? "
            "AND (?3 IS NULL OR namespace = ?3) AND (?4 IS NULL OR name = ?4) ORDER BY namespace, name, dimensions",
            (scope.prefix, since_s, namespace, name),
        )
        return [MetricName(namespace=each[0], name=each[1], dimensions=_decoded(each[2])) for each in rows]

    def points(
        self,
        db: sqlite3.Connection,
        scope: Scope,
        metric: MetricName,
        start_s: int,
        end_s: int,
        period_s: int,
        unit: str | None,
    ) -> dict[int, Point]:
        key = (scope.prefix, metric.namespace, metric.name, _encoded(metric.dimensions))
        row = db.execute(_NUMBER, key).fetchone()
        if row is None:
            return {}
        self._look(db)
        return self._slices(db, row, start_s, end_s)[row[0]].by_period(
            period_s, start_s=start_s, end_s=end_s, unit=unit
        )

    def statistics(
        self,
        db: sqlite3.Connection,
        scope: Scope,
        metrics: Sequence[MetricName],
        name: str,
        start_s: int,
        end_s: int,
        period_s: int,
        unit: str | None,
    ) -> list[dict[int, float]]:
        self._look(db)
        numbers: list[int] = []
        for metric in metrics:
            number = self._ids.get((scope.prefix, metric))
            if number is None:
                key = (scope.prefix, metric.namespace, metric.name, _encoded(metric.dimensions))
                row = db.execute(_NUMBER, key).fetchone()
                number = row[0] if row is not None else -1
            numbers.append(number)
        slices = self._slices(db, numbers, start_s, end_s)
        return [
            slices[number].statistics(name, period_s, start_s=start_s, end_s=end_s, unit=unit) for number in numbers
        ]

    def _slices(self, db: sqlite3.Connection, numbers: Sequence[int], start_s: int, end_s: int) -> dict[int, Slice]:
        """What there is of these metrics in all chunks that the range touches. They are not to be changed."""
        parts: dict[int, list[Slice]] = {number: [] for number in numbers}
        for tier, span_s in SPANS.items():
            for at_s in _starts(db, tier, span_s, start_s, end_s):
                unread: list[int] = []
                for number in parts:
                    known = self._decoded.get((tier, at_s, number))
                    if known is None:
                        unread.append(number)
                    else:
                        parts[number].append(known)
                if not unread:
                    continue
                # Each is looked up: in order of time, a metric's chunks lie far from one another.
                sql = "SELECT metric_id, content FROM chunk WHERE tier = ? AND start_s = ?"
                sql += f" AND metric_id IN ({','.join(map(str, unread))})"
                for number, content in db.execute(sql, (tier, at_s)):
                    part = metric_chunk.decoded(content)
                    self._decoded.keep((tier, at_s, number), part)
                    parts[number].append(part)
            for number, several in parts.items():
                head = self._head.parts.get((number, tier))
                if head is not None:
                    several.append(head)
        return {number: _joined(several) for number, several in parts.items()}

    def fold(self, db: sqlite3.Connection) -> None:
        """All that was put goes into chunks."""
        self._look(db)
        self._decoded.clear()
        for (number, tier), part in self._head.parts.items():
            for start_s, piece in part.by_span(SPANS[tier]).items():
                _add(db, tier, start_s, number, piece)
        db.execute("DELETE FROM batch")
        self._samples = self._batches = 0

    def roll_up(self, db: sqlite3.Connection, now_s: int) -> bool:
        """Chunks of some metrics that are older than their tier's time; True if there may be more."""
        moved = 0
        self._decoded.clear()
        for (tier, kept_s), following in zip(TIERS, (*TIERS[1:], None), strict=True):
            before_s = now_s - kept_s - SPANS[tier]
            due = list(_due(db, tier, before_s))
            numbers = db.execute(
                "SELECT DISTINCT metric_id FROM chunk WHERE tier = ? AND start_s <= ? LIMIT ?",
                (tier, before_s, _ROLL_BATCH),
            ).fetchall()
            for (number,) in numbers:
                old = Slice()
                for start_s in due:
                    for (content,) in db.execute(_TAKE, (tier, start_s, number)).fetchall():
                        old.add(metric_chunk.decoded(content))
                if following is not None:
                    for start_s, piece in old.rolled_up(following[0]).by_span(SPANS[following[0]]).items():
                        _add(db, following[0], start_s, number, piece)
            moved += len(numbers)
        if moved == 0:
            self._note_last(db)
            db.execute("DELETE FROM metric WHERE last_s < ?", (now_s - TIERS[-1][1],))
            self.undone()
        return moved > 0

    def _look(self, db: sqlite3.Connection) -> None:
        if self._is_new:
            _take_over(db)
            self._is_new = False
        self._head.follow(db)


class _Head:
    """What is in batches, by metric and tier."""

    def __init__(self) -> None:
        self.parts: dict[tuple[int, int], Slice] = {}
        self._first: int | None = None
        self._last = 0

    def follow(self, db: sqlite3.Connection) -> None:
        """Read what it has not; forget it all where it has gone into chunks since."""
        (first,) = db.execute("SELECT min(id) FROM batch").fetchone()
        if first is None or first != self._first:
            self.parts, self._first, self._last = {}, first, 0
        for number, content in db.execute("SELECT id, content FROM batch WHERE id > ? ORDER BY id", (self._last,)):
            self._add(content)
            self._last = number

    def _add(self, content: bytes) -> None:
        columns, others = metric_chunk.unpacked(content)
        for tier, unit, numbers, ats, values in columns:
            rows = zip(
                *(metric_chunk.restored(*each) for each in (("q", numbers), ("q", ats), ("d", values))), strict=True
            )
            for number, at_s, value in rows:
                part = self.parts.get((number, tier))
                if part is None:
                    part = self.parts[number, tier] = Slice()
                column = part.column(unit)
                column.ats.append(at_s)
                column.values.append(value)
        for number, tier, kept in others:
            self.parts.setdefault((number, tier), Slice()).add(metric_chunk.decoded(kept))


_NUMBER: Final = "SELECT id FROM metric WHERE scope = ? AND namespace = ? AND name = ? AND dimensions = ?"
_TAKE: Final = "DELETE FROM chunk WHERE tier = ? AND start_s = ? AND metric_id = ? RETURNING content"


def _due(db: sqlite3.Connection, tier: int, before_s: int) -> Iterable[int]:
    """Starts of the tier's chunks, up to that one; by the index from one to the next, whatever is at each."""
    at_s: int | None = -1
    while at_s is not None:
        (at_s,) = db.execute(
            "SELECT min(start_s) FROM chunk WHERE tier = ? AND start_s > ? AND start_s <= ?", (tier, at_s, before_s)
        ).fetchone()
        if at_s is not None:
            yield at_s


def _starts(db: sqlite3.Connection, tier: int, span_s: int, start_s: int, end_s: int) -> Iterable[int]:
    """Of the tier's chunks that the range touches."""
    low, high = db.execute(
        "SELECT (SELECT min(start_s) FROM chunk WHERE tier = ?1), (SELECT max(start_s) FROM chunk WHERE tier = ?1)",
        (tier,),
    ).fetchone()
    return range(max(start_s // span_s * span_s, low), min(end_s - 1, high) + 1, span_s) if low is not None else ()


def _joined(several: Sequence[Slice]) -> Slice:
    if len(several) == 1:
        return several[0]
    found = Slice()
    for each in several:
        found.add(each)
    return found


class _Decoded:
    """Chunks that were read lately, as they are in the file."""

    def __init__(self) -> None:
        self._parts: dict[tuple[int, int, int], Slice] = {}
        self._size = 0

    def get(self, key: tuple[int, int, int]) -> Slice | None:
        return self._parts.get(key)

    def keep(self, key: tuple[int, int, int], part: Slice) -> None:
        self._parts[key] = part
        self._size += part.size + _CHUNK_SIZE
        while self._size > DECODED_MOST:
            self._size -= self._parts.pop(next(iter(self._parts))).size + _CHUNK_SIZE

    def clear(self) -> None:
        self._parts.clear()
        self._size = 0


def _add(db: sqlite3.Connection, tier: int, start_s: int, number: int, piece: Slice) -> None:
    """A piece into its chunk, which has one point of a time and unit."""
    key = (tier, start_s, number)
    row = db.execute("SELECT content FROM chunk WHERE tier = ? AND start_s = ? AND metric_id = ?", key).fetchone()
    if row is not None:
        whole = metric_chunk.decoded(row[0])
        whole.add(piece)
        piece = whole
    if not piece.is_tidy:
        piece = piece.rolled_up(tier)
    db.execute(
        "INSERT OR REPLACE INTO chunk (tier, start_s, metric_id, content) VALUES (?, ?, ?, ?)",
        (*key, metric_chunk.encoded(piece)),
    )


def _take_over(db: sqlite3.Connection) -> None:
    """Points of an earlier Portside, which had a row for each."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'point'").fetchone():
        return
    rows = db.execute("SELECT metric_id, tier, at_s, unit, count, total, least, most, sample_values FROM point")
    parts: dict[tuple[int, int, int], Slice] = {}
    for number, tier, at_s, unit, count, total, least, most, values in rows:
        part = parts.setdefault((tier, at_s // SPANS[tier] * SPANS[tier], number), Slice())
        known = dict(msgspec.json.decode(values, type=list[tuple[float, float]]))
        part.put(at_s, Point(count=count, total=total, least=least, most=most, values=known, unit=unit))
    for key, part in parts.items():
        _add(db, *key, part)
    db.execute("DROP TABLE point")


def _encoded(dimensions: Dimensions) -> str:
    return msgspec.json.encode(dimensions).decode()


def _decoded(text: str) -> Dimensions:
    return msgspec.json.decode(text, type=Dimensions)
