"""The real clock and the real source of identifiers."""

import asyncio
import secrets
import uuid
from datetime import UTC, datetime


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep_until(self, at: datetime) -> None:
        """Returns at that time, never before: an event loop's timer may be early (uvloop counts milliseconds), and the
        clock of the day may be set back meanwhile."""
        while (delay_s := (at - self.now()).total_seconds()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(max(delay_s, 0.001))


class RandomIds:
    def hex(self, digits: int) -> str:
        return secrets.token_hex((digits + 1) // 2)[:digits]

    def uuid(self) -> str:
        return str(uuid.uuid4())

    def number(self, digits: int) -> str:
        return str(secrets.randbelow(9 * 10 ** (digits - 1)) + 10 ** (digits - 1))
