"""The contract of the metric store, and its keeping in SQLite.

Points are kept by the second for three hours, by the minute for fifteen days, by five minutes for 63 days and by the
hour for 455 days, as on AWS: `roll_up` merges what is older. One thread reads and writes: a minute's metrics of a
thousand tasks are one commit.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from portside.domain.metric import Dimensions, MetricName, Point, Sample, merged
from portside.domain.record import Scope
from portside.telemetry.worker import SqliteWorker

TIERS: Final = ((1, 3 * 3600), (60, 15 * 86400), (300, 63 * 86400), (3600, 455 * 86400))
"""Seconds of a point, and for how many seconds such points are kept before they are merged into the next tier's."""
_ROLL_BATCH: Final = 2000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS metric (
    id INTEGER PRIMARY KEY AUTOINCREMENT, scope TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    dimensions TEXT NOT NULL, last_s INTEGER NOT NULL,
    UNIQUE (scope, namespace, name, dimensions)
);
CREATE TABLE IF NOT EXISTS point (
    metric_id INTEGER NOT NULL, tier INTEGER NOT NULL, at_s INTEGER NOT NULL, unit TEXT NOT NULL,
    count REAL NOT NULL, total REAL NOT NULL, least REAL NOT NULL, most REAL NOT NULL, sample_values TEXT NOT NULL,
    PRIMARY KEY (metric_id, at_s, tier, unit)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS point_by_age ON point (tier, at_s);
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

    async def roll_up(self, now_s: int) -> None: ...

    async def close(self) -> None: ...


class SqliteMetricStore:
    """Implements `MetricStore`. The file is opened at first use. Cleanup: `close`."""

    def __init__(self, path: Path) -> None:
        self._worker = SqliteWorker("metrics", path, _SCHEMA)

    async def put(self, scope: Scope, samples: Sequence[Sample]) -> None:
        await self._worker.run(_put, scope, samples)

    async def names(self, scope: Scope, *, namespace: str | None, name: str | None, since_s: int) -> list[MetricName]:
        return await self._worker.run(_names, scope, namespace, name, since_s)

    async def points(
        self, scope: Scope, metric: MetricName, *, start_s: int, end_s: int, period_s: int, unit: str | None
    ) -> Mapping[int, Point]:
        return await self._worker.run(_points, scope, metric, start_s, end_s, period_s, unit)

    async def roll_up(self, now_s: int) -> None:
        while await self._worker.run(_roll_up, now_s):
            pass

    async def close(self) -> None:
        await self._worker.close()


def _put(db: sqlite3.Connection, scope: Scope, samples: Sequence[Sample]) -> None:
    ids: dict[MetricName, int] = {}
    for sample in samples:
        metric = sample.metric
        if metric not in ids:
            (ids[metric],) = db.execute(
                "INSERT INTO metric (scope, namespace, name, dimensions, last_s) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET last_s = max(last_s, excluded.last_s) RETURNING id",
                (scope.prefix, metric.namespace, metric.name, _encoded(metric.dimensions), int(sample.at_s)),
            ).fetchone()
        at_s = int(sample.at_s // sample.resolution_s * sample.resolution_s)
        _add(db, ids[metric], sample.resolution_s, at_s, sample.point)


def _add(db: sqlite3.Connection, metric_id: int, tier: int, at_s: int, point: Point) -> None:
    key = (metric_id, tier, at_s, point.unit)
    row = db.execute(
        "SELECT count, total, least, most, sample_values FROM point "
        "WHERE metric_id = ? AND tier = ? AND at_s = ? AND unit = ?",
        key,
    ).fetchone()
    whole = merged((_point(point.unit, *row), point)) if row is not None else point
    db.execute(
        "INSERT OR REPLACE INTO point (metric_id, tier, at_s, unit, count, total, least, most, sample_values) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*key, whole.count, whole.total, whole.least, whole.most, json.dumps(list(whole.values.items()))),
    )


def _point(unit: str, count: float, total: float, least: float, most: float, values: str) -> Point:
    return Point(
        count=count,
        total=total,
        least=least,
        most=most,
        values=dict(json.loads(values)),
        unit=unit,
    )


def _names(
    db: sqlite3.Connection, scope: Scope, namespace: str | None, name: str | None, since_s: int
) -> list[MetricName]:
    rows = db.execute(
        "SELECT namespace, name, dimensions FROM metric WHERE scope = ? AND last_s >= ? "
        "AND (?3 IS NULL OR namespace = ?3) AND (?4 IS NULL OR name = ?4) ORDER BY namespace, name, dimensions",
        (scope.prefix, since_s, namespace, name),
    )
    return [MetricName(namespace=each[0], name=each[1], dimensions=_decoded(each[2])) for each in rows]


def _points(
    db: sqlite3.Connection,
    scope: Scope,
    metric: MetricName,
    start_s: int,
    end_s: int,
    period_s: int,
    unit: str | None,
) -> dict[int, Point]:
    rows = db.execute(
        "SELECT at_s, unit, count, total, least, most, sample_values FROM point WHERE metric_id = "
        "(SELECT id FROM metric WHERE scope = ? AND namespace = ? AND name = ? AND dimensions = ?) "
        "AND at_s >= ? AND at_s < ? AND (?7 IS NULL OR unit = ?7)",
        (scope.prefix, metric.namespace, metric.name, _encoded(metric.dimensions), start_s, end_s, unit),
    )
    by_period: dict[int, list[Point]] = {}
    for at_s, *rest in rows:
        by_period.setdefault(at_s // period_s * period_s, []).append(_point(*rest))
    return {at_s: merged(points) for at_s, points in sorted(by_period.items())}


def _roll_up(db: sqlite3.Connection, now_s: int) -> bool:
    """One batch of old points; True if there may be more."""
    moved = 0
    for (tier, kept_s), following in zip(TIERS, (*TIERS[1:], None), strict=True):
        rows = db.execute(
            "SELECT metric_id, at_s, unit, count, total, least, most, sample_values FROM point "
            "WHERE tier = ? AND at_s < ? ORDER BY at_s LIMIT ?",
            (tier, now_s - kept_s, _ROLL_BATCH),
        ).fetchall()
        for metric_id, at_s, unit, *rest in rows:
            if following is not None:
                _add(db, metric_id, following[0], at_s // following[0] * following[0], _point(unit, *rest))
            db.execute(
                "DELETE FROM point WHERE metric_id = ? AND tier = ? AND at_s = ? AND unit = ?",
                (metric_id, tier, at_s, unit),
            )
        moved += len(rows)
    if moved == 0:
        db.execute("DELETE FROM metric WHERE last_s < ?", (now_s - TIERS[-1][1],))
    return moved > 0


def _encoded(dimensions: Dimensions) -> str:
    return msgspec.json.encode(dimensions).decode()


def _decoded(text: str) -> Dimensions:
    return msgspec.json.decode(text, type=Dimensions)
