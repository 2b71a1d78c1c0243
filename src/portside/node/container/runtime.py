"""crun under conmon: creating, starting and clearing away one container's process.

conmon holds the container's standard streams, writes its log and its exit file, and lives on when Portside does not.
It is started as a direct child, so its end is seen by pidfd; after a restart it belongs to process 1, and the pidfd
works all the same.
"""

import asyncio
import contextlib
import errno
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from portside.node import process
from portside.node.container.record import ContainerFolder, Ended, read_exit_file
from portside.node.interface import NodeUnusable

CREATE_TIMEOUT_S = 60.0
_LOCAL_LOG_BYTES = 16 * 1024 * 1024
"""Of output that goes nowhere else, this much is kept."""
_FIFO_TRIES = 50
_FIFO_PAUSE_S = 0.002
_STARTED_BYTE = b"\0"


class CreateFailed(Exception):
    """The runtime refused. `exit_code` is what Docker reports for it: 127 not found, 126 not executable, else 128."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        if re.search(r"not found in \$PATH|No such file or directory", message):
            self.exit_code = 127
        elif re.search(r"[Pp]ermission denied|is not executable|Exec format error|Is a directory", message):
            self.exit_code = 126
        else:
            self.exit_code = 128


@dataclass(frozen=True, slots=True)
class Created:
    """A container that waits for `start`. Both pidfds are the caller's to close."""

    pid: int
    pid_started: int
    pidfd: int
    monitor_pid: int
    monitor_started: int
    monitor_pidfd: int


class Runtime:
    def __init__(self, run_dir: Path) -> None:
        self.state_root = run_dir / "crun"
        self._sockets = run_dir / "conmon"
        self._exits = run_dir / "exit"
        self._crun = self._conmon = ""

    def prepare(self) -> None:
        """Raises NodeUnusable, OSError."""
        for name, package in (("crun", "crun"), ("conmon", "conmon")):
            found = shutil.which(name)
            if found is None:
                raise NodeUnusable(f"{name} is not installed: apt-get install {package}")
            setattr(self, f"_{name}", found)
        self.state_root.mkdir(parents=True, exist_ok=True)
        self._sockets.mkdir(parents=True, exist_ok=True)
        self._exits.mkdir(parents=True, exist_ok=True)

    async def create(
        self, folder: ContainerFolder, *, log_forwarded: bool, terminal: bool = False, stdin: bool = False
    ) -> Created:
        """Make the container of the folder's bundle, up to the moment before its program runs.

        Args: terminal: its streams are a pseudo-terminal; stdin: its standard input stays open, with nobody writing.
        Raises CreateFailed, OSError. Cleanup: `clear`, after every process of its cgroup is gone.
        """
        name = folder.runtime_id
        folder.exit_folder.mkdir(exist_ok=True)
        (self._exits / name).mkdir(exist_ok=True)
        argv = [
            self._conmon,
            "--sync",  # no second fork: the monitor stays our child
            "--api-version=1",
            f"--cid={name}",
            f"--cuuid={name}",
            f"--name={name}",
            f"--runtime={self._crun}",
            f"--bundle={folder.path}",
            f"--container-pidfile={folder.path / 'pid'}",
            f"--exit-dir={folder.exit_folder}",
            f"--persist-dir={self._exits / name}",
            f"--log-path=k8s-file:{folder.log_file}",
            "--log-level=error",
            f"--socket-dir-path={self._sockets}",
            "--no-new-keyring",
            "--no-sync-log",  # the log must survive processes, not the machine: no fsync at the end
            "--runtime-arg=--cgroup-manager=cgroupfs",
            f"--runtime-arg=--root={self.state_root}",
        ]
        if terminal:
            argv.append("--terminal")
        if stdin:
            argv.append("--stdin")
        if not log_forwarded:
            argv.append(f"--log-size-max={_LOCAL_LOG_BYTES}")
        monitor_pid, answer = process.spawn_heard(
            argv, environment={"PATH": os.environ.get("PATH", os.defpath), "_OCI_SYNCPIPE": "3"}, heard=(3,)
        )
        monitor_pidfd = os.pidfd_open(monitor_pid)
        try:
            try:
                pid = _created_pid(await _read_line(answer, CREATE_TIMEOUT_S))
            finally:
                os.close(answer)
            started, monitor_started = process.start_time(pid), process.start_time(monitor_pid)
            pidfd = None if started is None or monitor_started is None else process.open_pidfd(pid, started)
            if started is None or monitor_started is None or pidfd is None:
                raise CreateFailed("the container's process ended before it was started")
        except BaseException as error:
            # It ends by itself after a refusal; after a timeout or a cancellation it is made to.
            if not isinstance(error, CreateFailed):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(monitor_pid, 9)
            if not await process.wait_readable(monitor_pidfd, 5.0):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(monitor_pid, 9)
            process.reap(monitor_pid)
            os.close(monitor_pidfd)
            raise
        return Created(pid, started, pidfd, monitor_pid, monitor_started, monitor_pidfd)

    async def start(self, runtime_id: str) -> None:
        """Let the created container run its program. Raises CreateFailed.

        What `crun start` does is to write one byte to a FIFO and to remove it; doing so here saves its 3 ms of loading
        and linking (measured). Should a later crun have no such FIFO, `crun start` is run.
        """
        fifo = self._fifo(runtime_id)
        for _ in range(_FIFO_TRIES):
            try:
                # Not blocking: opening fails with ENXIO while the container is not listening yet.
                descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                break
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                await asyncio.sleep(_FIFO_PAUSE_S)
                continue
            try:
                os.unlink(fifo)
                os.write(descriptor, _STARTED_BYTE)
            finally:
                os.close(descriptor)
            return
        output = await process.run(
            (self._crun, "--cgroup-manager=cgroupfs", f"--root={self.state_root}", "start", runtime_id), timeout_s=30.0
        )
        if output.code != 0:
            raise CreateFailed(output.err.strip() or f"crun start ended with code {output.code}")

    def exec_argv(self, runtime_id: str, *, process_file: Path, pid_file: Path) -> list[str]:
        """The command that runs a further process in the container and ends with its exit code.

        Args: process_file: the OCI specification's `process`; pid_file: where its process id goes."""
        return [
            *(self._crun, "--cgroup-manager=cgroupfs", f"--root={self.state_root}", "exec"),
            *(f"--process={process_file}", f"--pid-file={pid_file}", runtime_id),
        ]

    def was_started(self, runtime_id: str) -> bool:
        """False for a container that was created and still waits for `start`."""
        return not self._fifo(runtime_id).exists()

    def ended(self, folder: ContainerFolder) -> Ended | None:
        """How the container ended; None while it runs, or if nobody saw it end.

        conmon writes that down twice: in the folder, and in memory, where it fits also when the disk is full."""
        return folder.ended() or read_exit_file(self._exits / folder.runtime_id / "exit")

    def clear(self, runtime_id: str) -> None:
        """Remove what the runtime and the monitor keep of a container that has no process any more. Doing what `crun
        delete` does by hand takes 0.15 instead of 4.4 ms (measured)."""
        shutil.rmtree(self.state_root / runtime_id, ignore_errors=True)
        shutil.rmtree(self._exits / runtime_id, ignore_errors=True)
        # conmon's "folder" of sockets is a link to the bundle, whose path is too long for a socket's address.
        sockets = self._sockets / runtime_id
        if sockets.is_symlink():
            sockets.unlink(missing_ok=True)
        else:
            shutil.rmtree(sockets, ignore_errors=True)

    def known(self) -> set[str]:
        """Containers of which there is state."""
        found: set[str] = set()
        for folder in (self.state_root, self._sockets, self._exits):
            with contextlib.suppress(FileNotFoundError):
                found |= set(os.listdir(folder))
        return found

    def _fifo(self, runtime_id: str) -> Path:
        return self.state_root / runtime_id / "exec.fifo"


async def _read_line(descriptor: int, timeout_s: float) -> bytes:
    """Up to the end of line or of file. Raises CreateFailed on timeout."""
    data = b""
    try:
        async with asyncio.timeout(timeout_s):
            while b"\n" not in data:
                if not await process.wait_readable(descriptor, timeout_s):
                    break
                with contextlib.suppress(BlockingIOError):
                    chunk = os.read(descriptor, 65536)
                    if not chunk:
                        break
                    data += chunk
    except TimeoutError:
        raise TimeoutError(f"the container was not created within {timeout_s:.0f} s") from None
    return data


def _created_pid(answer: bytes) -> int:
    try:
        decoded = json.loads(answer)
        pid, message = int(decoded["data"]), str(decoded.get("message", ""))
    except (ValueError, KeyError, TypeError):
        # conmon ends without a word if it dies early itself (its socket folder is gone, memory is short).
        raise CreateFailed("the monitor ended without an answer") from None
    if pid <= 0:
        raise CreateFailed(message.strip().replace("\\n", "") or "the runtime gave no reason")
    return pid
