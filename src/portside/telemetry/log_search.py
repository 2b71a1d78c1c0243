"""Texts looked for by SQLite itself, in messages that need not come into Python for it."""

import re
import sqlite3
from typing import Final

from portside.domain.log_need import Needs

ZERO_INDEX: Final = (
    "CREATE INDEX IF NOT EXISTS event_with_zero ON event (group_id, at_ms) WHERE instr(message, char(0)) > 0"
)
"""Events with a character zero, which GLOB takes for the end. There are hardly any."""
_GLOB_MOST: Final = 10_000
_SPECIAL: Final = re.compile(r"[*?\[]")


def has_zeros(db: sqlite3.Connection) -> bool:
    """Whether any event has a character zero."""
    return db.execute("SELECT 1 FROM event WHERE instr(message, char(0)) > 0 LIMIT 1").fetchone() is not None


def condition(needs: Needs, *, with_zeros: bool) -> tuple[str, list[str]]:
    """A condition, with its values, that holds for all messages with these needs; also for some others.

    GLOB is three times as fast as `instr`, but takes a few characters (U+FFFE) for the same."""
    rows: list[str] = []
    values: list[str] = []
    for row in needs:
        each: list[str] = []
        for text in row:
            if with_zeros or "\0" in text or len(text) > _GLOB_MOST:
                each.append("instr(message, ?) > 0")
                values.append(text)
            else:
                each.append("message GLOB ?")
                values.append(f"*{_globbed(text)}*")
        rows.append(f"({' OR '.join(each)})")
    return " AND ".join(rows) or "1", values


def _globbed(text: str) -> str:
    return _SPECIAL.sub(r"[\g<0>]", text)
