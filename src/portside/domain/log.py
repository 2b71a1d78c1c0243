"""CloudWatch Logs: groups, streams, events."""

from datetime import datetime

from portside.domain.record import Record, Scope, Tags


class LogGroup(Record, frozen=True, kw_only=True):
    scope: Scope
    name: str
    retention_days: int | None = None
    tags: Tags = ()
    created_at: datetime


class LogEvent(Record, frozen=True, kw_only=True):
    """`at_ms`: milliseconds since 1970, as given by the writer."""

    at_ms: int
    message: str


class LogGroupMissing(Exception):
    """The log group does not exist and may not be created."""
