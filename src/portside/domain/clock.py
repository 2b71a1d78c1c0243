"""What the time of day and fresh identifiers look like to code that must not make them itself."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, aware, in UTC."""
        ...

    async def sleep_until(self, at: datetime) -> None: ...


class Ids(Protocol):
    """Source of identifiers; a seeded one in the simulation."""

    def hex(self, digits: int) -> str: ...

    def uuid(self) -> str: ...

    def number(self, digits: int) -> str:
        """A decimal number of exactly that many digits."""
        ...
