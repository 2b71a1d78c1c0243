"""Exports of log groups: what one is, where its files go, and how events are written. Pure.

Source: API_CreateExportTask; CloudWatch Logs user guide, "Exporting log data to Amazon S3".
"""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from portside.domain.record import Record, Scope
from portside.domain.refusal import RefusalKind, Refused

PREFIX: Final = "exportedlogs"
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9-]*(?:\.[a-z0-9][a-z0-9-]*)*")
_PART_BYTES: Final = 255
"""The longest name of a file (NAME_MAX)."""
_NAME_BYTES: Final = 200
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ExportStatus(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PENDING_CANCEL = "PENDING_CANCEL"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


ENDED: Final = frozenset((ExportStatus.CANCELLED, ExportStatus.COMPLETED, ExportStatus.FAILED))


class ExportTask(Record, frozen=True, kw_only=True):
    """Times in milliseconds, both inclusive. `bucket` and `prefix`: a folder below that of all exports."""

    scope: Scope
    id: str
    name: str = ""
    group: str
    stream_prefix: str = ""
    from_ms: int
    to_ms: int
    bucket: str
    prefix: str = PREFIX
    status: ExportStatus = ExportStatus.PENDING
    message: str = ""
    created_at: datetime
    ended_at: datetime | None = None

    @property
    def key(self) -> str:
        return f"{self.scope.prefix}{self.id}"


def check(task: ExportTask) -> None:
    """Raises Refused: INVALID, the times or the place are not such."""
    if task.from_ms >= task.to_ms:
        raise _invalid("The specified time range is not valid: from must be earlier than to.", "from")
    if not 3 <= len(task.bucket) <= 63 or not _BUCKET.fullmatch(task.bucket):
        raise _invalid("The given bucket does not exist. Please make sure the bucket is valid.", "destination")
    for part in task.prefix.split("/"):
        if part in ("", ".", "..") or "\0" in part or len(part.encode(errors="replace")) > _PART_BYTES:
            raise _invalid("The specified destinationPrefix is not valid.", "destinationPrefix")


def folder_of(stream: str) -> str:
    """The name of a stream's folder. Slashes become dashes, as on AWS."""
    name = re.sub(r"[/\0]", "-", stream)
    if name in (".", ".."):
        return name.replace(".", "-")
    content = name.encode(errors="replace")
    if len(content) <= _NAME_BYTES:
        return name
    return content[:_NAME_BYTES].decode(errors="ignore") + "-" + hashlib.sha256(content).hexdigest()[:16]


def line(at_ms: int, message: str) -> bytes:
    """An event as it is written."""
    try:
        at = _EPOCH + timedelta(milliseconds=at_ms)
        told = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
    except OverflowError:
        told = str(at_ms)
    return f"{told} {message}\n".encode(errors="replace")


def _invalid(said: str, what: str) -> Refused:
    return Refused(RefusalKind.INVALID, said, what)
