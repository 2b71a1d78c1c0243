"""What the node remembers of one container, in its folder, so that a new daemon can take over.

Everything is derived from the folder's content: `record.json` (written before anything is started, and again once it
runs), the monitor's pid files, its exit file and its log. Nothing of it is needed once the container is removed.
"""

import contextlib
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from portside.domain.record import Record
from portside.domain.task_definition import HealthCheck
from portside.node.log.sink import LogDestination


class ContainerRecord(Record, frozen=True, kw_only=True):
    """`pid` and `monitor_pid` with their start times (clock ticks since boot) name processes for good; None before the
    container was started."""

    runtime_id: str
    task_key: str
    container: str
    stop_signal: int
    log: LogDestination | None = None
    health_check: HealthCheck | None = None
    restart: int = 0  # which of the container's runs this is
    instance_id: str = ""  # of the container instance it is on
    pid: int | None = None
    pid_started: int | None = None
    monitor_pid: int | None = None
    monitor_started: int | None = None
    boot_id: str = ""

    @property
    def task_id(self) -> str:
        return self.task_key.rpartition("/")[2]

    @property
    def cgroup(self) -> str:
        """The task's group: below its instance's, if it is on one."""
        return f"{self.instance_id}/{self.task_id}" if self.instance_id else self.task_id


@dataclass(frozen=True, slots=True)
class Ended:
    """What the monitor wrote when the container ended. Signals are 128 + n."""

    exit_code: int
    at: datetime


@dataclass(frozen=True, slots=True)
class ContainerFolder:
    """Paths of one container below `<data dir>/node/containers/`."""

    path: Path

    @property
    def runtime_id(self) -> str:
        return self.path.name

    @property
    def record_file(self) -> Path:
        return self.path / "record.json"

    @property
    def log_file(self) -> Path:
        return self.path / "output.log"

    @property
    def exit_folder(self) -> Path:
        return self.path / "exit"

    def read(self) -> ContainerRecord | None:
        """None if there is none, or a crash of the machine left it unreadable."""
        try:
            return msgspec.json.decode(self.record_file.read_bytes(), type=ContainerRecord)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            return None

    def write(self, record: ContainerRecord) -> None:
        fresh = self.path / "record.fresh"
        fresh.write_bytes(msgspec.json.encode(record))
        os.replace(fresh, self.record_file)

    def forget_run(self) -> None:
        """Remove what the monitor wrote and made for the container's last run, but its log: the next one's goes on."""
        shutil.rmtree(self.exit_folder, ignore_errors=True)
        for name in ("pid", "ctl", "winsz", "attach", "health.pid"):
            (self.path / name).unlink(missing_ok=True)

    def ended(self) -> Ended | None:
        """None while the container runs, or if nobody saw it end."""
        return read_exit_file(self.exit_folder / self.runtime_id)


def read_exit_file(file: Path) -> Ended | None:
    """None if there is none, or the disk was full when it was written."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError):
        text = file.read_text()
        return Ended(int(text), datetime.fromtimestamp(file.stat().st_mtime, UTC))
    return None


def boot_id() -> str:
    """Differs after every boot of the machine: process ids of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
