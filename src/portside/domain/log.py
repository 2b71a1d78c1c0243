"""CloudWatch Logs: groups, streams, events."""

from datetime import datetime
from typing import Final

from portside.domain.record import Record, Scope, Tags
from portside.domain.task_definition import LogConfiguration

INFREQUENT_ACCESS: Final = "INFREQUENT_ACCESS"
CLASSES: Final = ("STANDARD", INFREQUENT_ACCESS)


class LogGroup(Record, frozen=True, kw_only=True):
    """`log_class`: of infrequent access, a group is for Logs Insights alone: nothing reads or watches its events."""

    scope: Scope
    name: str
    retention_days: int | None = None
    tags: Tags = ()
    log_class: str = "STANDARD"
    is_protected: bool = False
    created_at: datetime


class QueryDefinition(Record, frozen=True, kw_only=True):
    """A Logs Insights query that is kept by a name."""

    scope: Scope
    id: str
    name: str
    query: str
    groups: tuple[str, ...] = ()
    client_token: str = ""
    modified_at: datetime


class LogEvent(Record, frozen=True, kw_only=True):
    """`at_ms`: milliseconds since 1970, as given by the writer."""

    at_ms: int
    message: str


def stream_of(
    container: str, configuration: LogConfiguration | None, task_id: str, runtime_id: str
) -> tuple[str | None, str, str] | None:
    """Where a container's output goes: region (None for the task's own), group and stream. None without the awslogs
    driver.

    Source: ECS guide, "Using the awslogs log driver", `prefix/container/task-id`; without a prefix the stream is named
    as the container's id."""
    if configuration is None or configuration.driver != "awslogs" or "awslogs-group" not in configuration.options:
        return None
    options = configuration.options
    prefix = options.get("awslogs-stream-prefix")
    stream = f"{prefix}/{container}/{task_id}" if prefix else runtime_id
    return options.get("awslogs-region"), options["awslogs-group"], stream


BUFFER_WORDS: Final = "10m"
BUFFER_BYTES: Final = 10 * 1024**2
"""Of the mode `non-blocking` where `max-buffer-size` is not given. Source: API_LogConfiguration."""
_UNITS: Final = {"b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def buffer_bytes_of(configuration: LogConfiguration) -> int | None:
    """How much of its output may wait for a log store that takes nothing; None for all of it."""
    if configuration.options.get("mode") != "non-blocking":
        return None
    size = configuration.options.get("max-buffer-size", "").lower()
    if not size:
        return BUFFER_BYTES
    return int(size[:-1]) * _UNITS[size[-1]] if size[-1] in _UNITS else int(size)


class LogGroupMissing(Exception):
    """The log group does not exist and may not be created."""
