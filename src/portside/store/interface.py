"""The store's contract: versioned records, atomic conditional commits, an ordered watch.

It is etcd's model, so that a cluster store can stand behind the same interface. Every implementation passes
`tests/conformance/test_store.py`.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from portside.domain.kind import Kind
from portside.domain.record import Record

T = TypeVar("T", bound=Record)

ANY: Final = -1
"""`expect=ANY`: whatever the version is, or none."""
ABSENT: Final = 0
"""`expect=ABSENT`: the key must not exist."""


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A record as read: `version` is the store revision of the commit that last wrote it (> 0)."""

    key: str
    value: T
    version: int


@dataclass(frozen=True, slots=True)
class Put:
    """Write `value` under `kind.key(value)`, if the key's present version is `expect`."""

    kind: Kind[Any]
    value: Record
    expect: int = ANY


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove `key`, if its present version is `expect`. Removing what is not there changes nothing."""

    kind: Kind[Any]
    key: str
    expect: int = ANY


Write = Put | Delete


@dataclass(frozen=True, slots=True)
class Change:
    """One committed write. `value` is None for a delete; `old` is what was there before."""

    kind: Kind[Any]
    key: str
    value: Record | None
    old: Record | None
    revision: int


class Conflict(Exception):
    """A write expected another version: read again and decide again."""

    def __init__(self, kind: str, key: str, expected: int, found: int) -> None:
        super().__init__(f"{kind} {key}: expected version {expected}, found {found}")
        self.kind, self.key, self.expected, self.found = kind, key, expected, found


class StoreUnavailable(Exception):
    """The commit could not be made durable (disk full, folder read-only). Nothing of it is visible. Retryable."""


class Store(Protocol):
    """Records in memory, committed to disk before `transact` returns.

    All calls are synchronous and belong to the event loop's thread: between a read and the commit that follows from it
    there is no await, so decisions are made on what is there.
    """

    @property
    def revision(self) -> int:
        """The revision of the last commit; 0 for an empty store."""
        ...

    def get(self, kind: Kind[T], key: str) -> T | None:
        """The record, or None."""
        ...

    def read(self, kind: Kind[T], key: str) -> Stored[T] | None:
        """The record with its version, or None."""
        ...

    def scan(self, kind: Kind[T], prefix: str = "") -> Iterator[T]:
        """The records whose keys start with `prefix`, in key order, as of the call."""
        ...

    def find(self, kind: Kind[T], index: str, value: str) -> list[T]:
        """The records whose index has `value`, in key order."""
        ...

    def transact(self, *writes: Write) -> int:
        """Commit all writes or none, durably, and return the new revision.

        Raises:
            Conflict: an `expect` did not hold; nothing was written.
            StoreUnavailable: the disk refused; nothing was written.
        """
        ...

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener` after each commit, once per write, in order. Returns the function that ends it.

        A listener must be quick and may not write: it wakes a loop."""
        ...

    def watch(self, kind: Kind[T], since: int) -> AsyncIterator[Change]:
        """Changes of a kind with a revision above `since`, in order, for ever.

        Raises:
            WatchLost: `since` is older than the changes kept in memory; scan and watch from `revision`.
        """
        ...

    def close(self) -> None:
        """Release the files. What was committed stays."""
        ...


class WatchLost(Exception):
    """The changes since that revision are no longer kept."""
