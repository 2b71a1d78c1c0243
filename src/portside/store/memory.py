"""The in-memory half of every store: records, versions, indexes, listeners. Also a complete store for tests."""

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

from portside.domain.kind import Kind
from portside.domain.record import Record
from portside.store.interface import ANY, Change, Conflict, Put, Stored, WatchLost, Write

T = TypeVar("T", bound=Record)

CHANGES_KEPT = 1_000
"""How many changes a late watcher may catch up on."""


class _Table:
    """One kind's records, its keys in order, and its indexes."""

    __slots__ = ("indexes", "keys", "kind", "rows")

    def __init__(self, kind: Kind[Any]) -> None:
        self.kind = kind
        self.rows: dict[str, Stored[Any]] = {}
        self.keys: list[str] = []
        self.indexes: dict[str, dict[str, set[str]]] = {name: {} for name in kind.indexes}

    def put(self, row: Stored[Any]) -> None:
        old = self.rows.get(row.key)
        if old is None:
            insort(self.keys, row.key)
        self.rows[row.key] = row
        self._reindex(row.key, old.value if old else None, row.value)

    def delete(self, key: str) -> None:
        old = self.rows.pop(key)
        del self.keys[bisect_left(self.keys, key)]
        self._reindex(key, old.value, None)

    def _reindex(self, key: str, old: Record | None, new: Record | None) -> None:
        for name, of in self.kind.indexes.items():
            before = of(old) if old is not None else None
            after = of(new) if new is not None else None
            if before == after:
                continue
            entries = self.indexes[name]
            if before is not None:
                bucket = entries[before]
                bucket.discard(key)
                if not bucket:
                    del entries[before]
            if after is not None:
                entries.setdefault(after, set()).add(key)

    def under(self, prefix: str) -> list[str]:
        first = bisect_left(self.keys, prefix)
        last = bisect_left(self.keys, prefix + "\U0010ffff", lo=first) if prefix else len(self.keys)
        return self.keys[first:last]


class MemoryStore:
    """A store without a disk. Subclasses make commits durable in `_persist`."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}
        self._revision = 0
        self._listeners: list[Callable[[Change], None]] = []
        self._changes: deque[Change] = deque(maxlen=CHANGES_KEPT)
        self._changed = asyncio.Event()
        self._forgotten = 0
        """The latest revision of which a change is no longer kept."""

    @property
    def revision(self) -> int:
        return self._revision

    def get(self, kind: Kind[T], key: str) -> T | None:
        row = self._table(kind).rows.get(key)
        return row.value if row is not None else None

    def read(self, kind: Kind[T], key: str) -> Stored[T] | None:
        return self._table(kind).rows.get(key)

    def scan(self, kind: Kind[T], prefix: str = "") -> Iterator[T]:
        table = self._table(kind)
        return iter([table.rows[key].value for key in table.under(prefix)])

    def find(self, kind: Kind[T], index: str, value: str) -> list[T]:
        table = self._table(kind)
        return [table.rows[key].value for key in sorted(table.indexes[index].get(value, ()))]

    def transact(self, *writes: Write) -> int:
        for write in writes:
            self._check(write)
        if not writes:
            return self._revision
        revision = self._revision + 1
        self._persist(revision, writes)
        changes = [self._apply(write, revision) for write in writes]
        self._revision = revision
        for change in changes:
            if change is not None:
                self._announce(change)
        return revision

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def watch(self, kind: Kind[T], since: int) -> AsyncIterator[Change]:
        while True:
            if since < self._forgotten:
                raise WatchLost(f"changes since revision {since} are no longer kept")
            until = self._revision
            missed = [change for change in self._changes if change.revision > since]
            for change in missed:
                if change.kind == kind:
                    yield change
            since = max(since, until)
            if since >= self._revision:
                changed = self._changed
                await changed.wait()

    def close(self) -> None:
        self._listeners.clear()

    def _persist(self, revision: int, writes: tuple[Write, ...]) -> None:
        """Make the writes durable, or raise StoreUnavailable having changed nothing."""

    def _table(self, kind: Kind[Any]) -> _Table:
        table = self._tables.get(kind.name)
        if table is None:
            table = self._tables[kind.name] = _Table(kind)
        return table

    def _check(self, write: Write) -> None:
        if write.expect == ANY:
            return
        key = write.kind.key(write.value) if isinstance(write, Put) else write.key
        row = self._table(write.kind).rows.get(key)
        found = row.version if row is not None else 0
        if found != write.expect:
            raise Conflict(write.kind.name, key, write.expect, found)

    def _apply(self, write: Write, revision: int) -> Change | None:
        table = self._table(write.kind)
        key = write.kind.key(write.value) if isinstance(write, Put) else write.key
        row = table.rows.get(key)
        old = row.value if row is not None else None
        if isinstance(write, Put):
            table.put(Stored(key, write.value, revision))
            return Change(write.kind, key, write.value, old, revision)
        if old is None:
            return None
        table.delete(key)
        return Change(write.kind, key, None, old, revision)

    def _announce(self, change: Change) -> None:
        if len(self._changes) == CHANGES_KEPT:
            self._forgotten = self._changes[0].revision
        self._changes.append(change)
        for listener in list(self._listeners):
            listener(change)
        if not self._changed.is_set():
            event, self._changed = self._changed, asyncio.Event()
            event.set()
