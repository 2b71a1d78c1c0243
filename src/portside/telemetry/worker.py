"""A thread with a SQLite database: what the stores of events and of metrics run their work in."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from portside.telemetry.interface import LogsUnavailable

T = TypeVar("T")


class SqliteWorker:
    """A thread with a connection: runs functions one after the other, each in a transaction.

    Args:
        undone: called in the thread when a transaction was undone.
    """

    def __init__(self, name: str, path: Path, opening: str, *, undone: Callable[[], None] = lambda: None) -> None:
        self._path, self._opening, self._undone = path, opening, undone
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._db: sqlite3.Connection | None = None
        self._closed = False

    @property
    def is_open(self) -> bool:
        return self._db is not None

    async def run(self, work: Callable[..., T], *args: object) -> T:
        """
        Raises:
            LogsUnavailable: the database could not be opened, read or written; nothing was changed.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, self._transact, work, *args)
        except sqlite3.Error as error:
            raise LogsUnavailable(f"{self._path}: {error}") from error

    def submit(self, work: Callable[..., Any], *args: object) -> None:
        """Run it later; nobody waits for it, and it is left out if the store is closed or the disk refuses."""

        def quietly() -> None:
            with suppress(sqlite3.Error):
                self._transact(work, *args)

        with suppress(RuntimeError):  # closed
            self._pool.submit(quietly)

    async def close(self) -> None:
        def end() -> None:
            self._closed = True
            if self._db is not None:
                self._db.close()
                self._db = None

        with suppress(RuntimeError):  # closed before
            await asyncio.get_running_loop().run_in_executor(self._pool, end)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _transact(self, work: Callable[..., T], *args: object) -> T:
        db = self._db or self._open()
        db.execute("BEGIN")
        try:
            result = work(db, *args)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._undone()
            raise
        return result

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise sqlite3.ProgrammingError("closed")
        db = sqlite3.connect(self._path, isolation_level=None, timeout=10)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.executescript(self._opening)
        except sqlite3.Error:
            db.close()
            raise
        self._db = db
        return db
