"""Target health from Envoy's health check events: a pure fold of its log, and the tail that feeds it.

Envoy writes one JSON line per change and, as configured here, per failed check.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from portside.balancer.checker import NO_ANSWER
from portside.balancer.interface import HealthReport

LOG_LIMIT_BYTES: Final = 4 << 20
LAST_BYTES: Final = 512
"""How much of what was read last is compared to tell whether the file is still the same: at least a whole event, which
has its time in it."""

HostKey = tuple[str, str, int]
"""Cluster name, address, port."""


@dataclass(frozen=True, kw_only=True)
class CheckedGroup:
    """`codes_from`: the status that stands for code nought, where a code stands for each; else nought."""

    target_group_arn: str
    unhealthy_threshold: int
    codes_from: int = 0


@dataclass(frozen=True, kw_only=True)
class HealthEvent:
    cluster: str
    address: str
    port: int
    kind: Literal["healthy", "ejected", "failed"]
    failure_type: str = ""
    status_code: int = 0

    @property
    def key(self) -> HostKey:
        return (self.cluster, self.address, self.port)


def parse(line: str) -> HealthEvent | None:
    """One line of the event log; None for what says nothing about health.

    Source: Envoy's data.core.v3.HealthCheckEvent."""
    try:
        data: dict[str, Any] = json.loads(line)
        place = data["host"]["socket_address"]
        cluster, address, port = data["cluster_name"], place["address"], int(place["port_value"])
    except (ValueError, KeyError, TypeError):
        return None
    if "add_healthy_event" in data:
        return HealthEvent(cluster=cluster, address=address, port=port, kind="healthy")
    for name, kind in (("eject_unhealthy_event", "ejected"), ("health_check_failure_event", "failed")):
        if name in data:
            return HealthEvent(
                cluster=cluster,
                address=address,
                port=port,
                kind="ejected" if kind == "ejected" else "failed",
                failure_type=str(data[name].get("failure_type", "ACTIVE")),
                status_code=_status_code(data, data[name]),
            )
    return None


def _status_code(event: Mapping[str, Any], detail: Mapping[str, Any]) -> int:
    for place in (detail, event):
        for name in ("http_status_code", "status_code"):
            if name in place:
                return int(place[name])
    return 0


def reason(failure_type: str, status_code: int, codes_from: int = 0) -> tuple[str, str]:
    """AWS's reason code and description of a failed check."""
    if failure_type == "NETWORK_TIMEOUT":
        return "Target.Timeout", "Request timed out"
    if codes_from and codes_from <= status_code < codes_from + 100:
        return "Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{status_code - codes_from}]"
    if status_code and not codes_from and status_code != NO_ANSWER:
        return "Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{status_code}]"
    return "Target.FailedHealthChecks", "Health checks failed"


class HealthTracker:
    """What is known of each target's health. `fold` returns a report where it changes.

    A new target that fails its checks is `initial` in AWS's words until it has failed `unhealthy_threshold` times;
    Envoy holds it for unhealthy from the start, so the failures are counted here."""

    def __init__(self) -> None:
        self._groups: dict[str, CheckedGroup] = {}
        self._failures: dict[HostKey, int] = {}
        self._known: dict[HostKey, HealthReport] = {}

    def configure(self, groups: Mapping[str, CheckedGroup], hosts: set[HostKey]) -> None:
        """The clusters and hosts that are checked from now on; what was known of others is forgotten."""
        self._groups = dict(groups)
        for known in (self._failures, self._known):
            for key in [key for key in known if key not in hosts]:
                del known[key]

    def forget(self, cluster: str | None = None) -> None:
        """Envoy checks a cluster's targets (None: all) anew, having lost what it knew."""
        for known in (self._failures, self._known):
            for key in [key for key in known if cluster is None or key[0] == cluster]:
                del known[key]

    def known(self, key: HostKey) -> HealthReport | None:
        return self._known.get(key)

    def reports(self) -> list[HealthReport]:
        """The present state of every target whose health is known."""
        return [report for key, report in self._known.items() if key[0] in self._groups]

    def fold(self, event: HealthEvent) -> HealthReport | None:
        group = self._groups.get(event.cluster)
        if group is None:
            return None
        if event.kind == "healthy":
            self._failures.pop(event.key, None)
            return self._learn(event.key, self._report(event.key, group, "healthy"))
        failures = self._failures[event.key] = self._failures.get(event.key, 0) + 1
        known = self._known.get(event.key)
        unhealthy = (
            event.kind == "ejected"
            or (known is not None and known.state == "unhealthy")
            or (known is None and failures >= group.unhealthy_threshold)
        )
        if not unhealthy:
            return None
        code, detail = reason(event.failure_type, event.status_code, group.codes_from)
        return self._learn(event.key, self._report(event.key, group, "unhealthy", code, detail))

    def found(self, key: HostKey, *, healthy: bool, pending: bool) -> HealthReport | None:
        """What Envoy's own list says: for changes that happened while nobody read its events."""
        group = self._groups.get(key[0])
        known = self._known.get(key)
        if pending:
            self._known.pop(key, None)
            return None
        if group is None or (known is not None and (known.state == "healthy") == healthy):
            return None
        if healthy:
            self._failures.pop(key, None)
            return self._learn(key, self._report(key, group, "healthy"))
        if known is None:
            return None  # not yet checked, or failing its first checks: the events will tell
        code, detail = reason("", 0)
        return self._learn(key, self._report(key, group, "unhealthy", code, detail))

    def _report(
        self,
        key: HostKey,
        group: CheckedGroup,
        state: Literal["healthy", "unhealthy"],
        code: str = "",
        detail: str = "",
    ) -> HealthReport:
        return HealthReport(
            target_group_arn=group.target_group_arn,
            target_id=key[1],
            port=key[2],
            state=state,
            reason_code=code,
            detail=detail,
        )

    def _learn(self, key: HostKey, report: HealthReport) -> HealthReport | None:
        if self._known.get(key) == report:
            return None
        self._known[key] = report
        return report


class LogTail:
    """Reads the lines that are appended to a file.

    Args:
        listener: called with each complete line.
    """

    def __init__(self, path: Path, listener: Callable[[str], None]) -> None:
        self._path, self._listener = path, listener
        self._inode: int | None = None
        self._begin()

    def _begin(self) -> None:
        self._offset = 0
        self._rest = self._last = b""
        self._seen = (0, 0)

    @property
    def lost(self) -> bool:
        """Whether somebody removed or replaced the file that was read: its writer still writes to the old one."""
        try:
            return self._inode is not None and self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return self._inode is not None

    def find(self) -> None:
        """Read whatever file has the path now, from its start."""
        self._inode = None
        self._begin()

    def read(self) -> None:
        """Hand over what was added since the last call. A file that was emptied is read from its start, also if it has
        grown again since."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return
        self._inode = self._inode or found.st_ino
        if (found.st_size, found.st_mtime_ns) == self._seen:
            return
        with self._path.open("rb") as file:
            file.seek(max(0, self._offset - len(self._last)))
            if file.read(len(self._last)) != self._last:
                self._begin()
                file.seek(0)
            data = file.read()
        self._seen = (found.st_size, found.st_mtime_ns)
        self._offset += len(data)
        self._last = (self._last + data)[-LAST_BYTES:]
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._listener(line.decode(errors="replace"))

    def shorten(self, limit_bytes: int = LOG_LIMIT_BYTES) -> None:
        """Empty the file once everything in it was read and it is too long: its writer appends, so it goes on at 0."""
        if self._offset > limit_bytes:
            self.read()
            os.truncate(self._path, 0)
            self._begin()
