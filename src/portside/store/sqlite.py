"""The embedded store: SQLite in WAL mode under the in-memory mirror.

A commit is written by the kernel before `transact` returns, so it survives the end of this process at any moment
(`synchronous=NORMAL`); `FULL` also survives the loss of power, at the price of an fsync a commit (ADR 0003).
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec

from portside.domain.kind import Kind
from portside.store.interface import Put, Stored, StoreUnavailable, Write
from portside.store.memory import MemoryStore

Durability = Literal["normal", "full"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


class SqliteStore(MemoryStore):
    """Records of `kinds`, loaded from `path` at once and kept in memory.

    Raises:
        StoreUnavailable: the file can not be opened, read or written.
    """

    def __init__(self, path: Path, kinds: Iterable[Kind[Any]], *, durability: Durability = "normal") -> None:
        super().__init__()
        self._encode = msgspec.json.Encoder().encode
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(f"PRAGMA synchronous={durability.upper()}")
            self._db.executescript(_SCHEMA)
            self._load({kind.name: kind for kind in kinds})
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{path}: {error}") from error

    def _load(self, kinds: dict[str, Kind[Any]]) -> None:
        decoders = {name: msgspec.json.Decoder(kind.type) for name, kind in kinds.items()}
        for name, key, version, value in self._db.execute("SELECT kind, key, version, value FROM record ORDER BY key"):
            if name in kinds:
                self._table(kinds[name]).put(Stored(key, decoders[name].decode(value), version))
        row = self._db.execute("SELECT value FROM meta WHERE name = 'revision'").fetchone()
        self._revision = self._forgotten = row[0] if row else 0

    def _persist(self, revision: int, writes: tuple[Write, ...]) -> None:
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            for write in writes:
                if isinstance(write, Put):
                    row = (write.kind.name, write.kind.key(write.value), revision, self._encode(write.value))
                    db.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)", row)
                else:
                    db.execute("DELETE FROM record WHERE kind = ? AND key = ?", (write.kind.name, write.key))
            db.execute("INSERT OR REPLACE INTO meta VALUES ('revision', ?)", (revision,))
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise StoreUnavailable(f"can not write the state: {error}") from error

    def close(self) -> None:
        super().close()
        self._db.close()
