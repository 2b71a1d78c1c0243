"""A store that fails on demand: the sibling of the real ones that tests put in their place."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from portside.domain.kind import Kind
from portside.domain.record import Record
from portside.store.interface import Change, Store, Stored, StoreUnavailable, Write

T = TypeVar("T", bound=Record)


class FaultyStore:
    """Another store, with commits refused whenever `refuses()` says so; reads go on, as they do with a full disk.

    Args:
        inner: where records are kept; it is closed with this one.
        refuses: asked once for each commit.
    """

    def __init__(self, inner: Store, refuses: Callable[[], bool] = lambda: False) -> None:
        self.inner = inner
        self.refuses = refuses

    @property
    def revision(self) -> int:
        return self.inner.revision

    def get(self, kind: Kind[T], key: str) -> T | None:
        return self.inner.get(kind, key)

    def read(self, kind: Kind[T], key: str) -> Stored[T] | None:
        return self.inner.read(kind, key)

    def scan(self, kind: Kind[T], prefix: str = "") -> Iterator[T]:
        return self.inner.scan(kind, prefix)

    def find(self, kind: Kind[T], index: str, value: str) -> list[T]:
        return self.inner.find(kind, index, value)

    def transact(self, *writes: Write) -> int:
        if writes and self.refuses():
            raise StoreUnavailable("can not write the state: refused by the test")
        return self.inner.transact(*writes)

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        return self.inner.subscribe(listener)

    def watch(self, kind: Kind[T], since: int) -> AsyncIterator[Change]:
        return self.inner.watch(kind, since)

    def close(self) -> None:
        self.inner.close()
