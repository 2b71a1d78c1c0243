"""What a kind of stored record is: its name, type, key, and the indexes kept of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from portside.domain.record import Record

T = TypeVar("T", bound=Record)


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[T]):
    """A kind of record.

    Args:
        name: the stable name in the database.
        type: the record's class.
        key: computes the key of a record; keys start with `account/region/`, so that a prefix scan gives one region.
        indexes: name -> function from record to the indexed value (None: not indexed). `Store.find` answers by index
            in time that grows with the answer, not with the number of records.
    """

    name: str
    type: type[T]
    key: Callable[[T], str]
    indexes: Mapping[str, Callable[[T], str | None]] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kind) and other.name == self.name
