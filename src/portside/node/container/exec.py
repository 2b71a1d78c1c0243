"""A further process in a running container, at a terminal of its own: `crun exec` with a console socket.

The runtime makes the terminal inside the container and hands its master over; it stays as the parent of the process and
ends with its exit code. Should the daemon die, the master is closed and the kernel hangs the terminal up.
"""

import array
import asyncio
import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
import struct
import tempfile
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from portside.node import process
from portside.node.container.record import ContainerFolder
from portside.node.container.runtime import Runtime
from portside.node.for_root import write_for_root

START_TIMEOUT_S: Final = 30.0
READ_BYTES: Final = 16384
_END_TIMEOUT_S: Final = 5.0
_SIGNALLED: Final = 128


class LinuxExecSession:
    """Fulfils `node.interface.ExecSession`."""

    def __init__(self, master: int, runtime_pid: int, pidfd: int, said: int, pid_file: Path) -> None:
        self._said = said
        self._master, self._runtime_pid, self._pidfd, self._pid_file = master, runtime_pid, pidfd, pid_file
        self._ended = asyncio.get_running_loop().create_task(self._watch(), name="exec")
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    async def _watch(self) -> int:
        while not await process.wait_readable(self._pidfd, 3600.0):
            pass
        return _code_of(self._runtime_pid)

    async def read(self) -> bytes:
        while not self._closed:
            try:
                return os.read(self._master, READ_BYTES)
            except BlockingIOError:
                if self._ended.done():
                    return (
                        self._complaint()
                    )  # what it left behind may hold the terminal open; the session is over nevertheless
                await _readable(self._master, self._ended)
            except OSError as error:
                if error.errno != errno.EIO:  # nobody is left at the terminal
                    raise
                await self.wait()
                return self._complaint()
        return b""

    def _complaint(self) -> bytes:
        """Why the runtime could not run the command, once; it says so after it has handed the terminal over."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self._said, 4096).replace(b"\n", b"\r\n")
        return b""

    async def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and not self._closed and not self._ended.done():
            try:
                rest = rest[os.write(self._master, rest) :]
            except BlockingIOError:
                await _writable(self._master, self._ended)

    def resize(self, rows: int, columns: int) -> None:
        if not self._closed:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not self._ended.done():
            with contextlib.suppress(OSError, ValueError):
                process.kill_session(int(self._pid_file.read_text()))
        os.close(self._master)
        done, _ = await asyncio.wait([self._ended], timeout=_END_TIMEOUT_S)
        if not done:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._runtime_pid, signal.SIGKILL)
            await asyncio.wait([self._ended])
        os.close(self._pidfd)
        os.close(self._said)
        self._pid_file.unlink(missing_ok=True)


async def open_session(runtime: Runtime, folder: ContainerFolder, command: Sequence[str]) -> LinuxExecSession:
    """Run the command as root of the container, in its environment. Raises OSError with the runtime's reason.

    Cleanup: the session's `close`."""
    spec = json.loads((folder.path / "config.json").read_bytes())["process"]
    environment = [each for each in spec.get("env", []) if not each.startswith(("TERM=", "HOME="))]
    spec |= {
        "args": list(command),
        "terminal": True,
        "user": {"uid": 0, "gid": 0},
        "env": [*environment, "TERM=xterm-256color", "HOME=/root"],
    }
    with tempfile.TemporaryDirectory(prefix="exec-", dir=runtime.state_root.parent) as made:
        place = Path(made)
        write_for_root(place / "process.json", json.dumps(spec).encode())
        descriptor, name = tempfile.mkstemp(prefix="exec-", suffix=".pid", dir=folder.path)
        os.close(descriptor)
        pid_file = Path(name)
        at = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        console = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # By way of /proc: the folder's own path may be too long for a socket's address.
            path = f"/proc/{os.getpid()}/fd/{at}/console"
            console.bind(path)
            console.listen(1)
            console.setblocking(False)
            argv = runtime.exec_argv(folder.runtime_id, process_file=place / "process.json", pid_file=pid_file)
            argv[-1:-1] = [f"--console-socket={path}"]
            return await _started(argv, console, pid_file)
        except BaseException:
            pid_file.unlink(missing_ok=True)
            raise
        finally:
            console.close()
            os.close(at)


async def _started(argv: Sequence[str], console: socket.socket, pid_file: Path) -> LinuxExecSession:
    said, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        pid = process.spawn(
            argv,
            environment={"PATH": os.environ.get("PATH", os.defpath)},
            descriptors={0: null, 1: null, 2: theirs},
        )
        pidfd = os.pidfd_open(pid)
        os.close(theirs)
        theirs = -1
        try:
            master = await _master(console, pidfd)
            if master is None:
                with contextlib.suppress(BlockingIOError):
                    raise OSError(os.read(said, 4096).decode(errors="replace").strip() or "the runtime gave no reason")
                raise OSError("the runtime did not start the command in time")
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            await asyncio.shield(process.wait_readable(pidfd, _END_TIMEOUT_S))
            process.reap(pid)
            os.close(pidfd)
            raise
        os.set_blocking(master, False)
        return LinuxExecSession(master, pid, pidfd, os.dup(said), pid_file)
    finally:
        os.close(said)
        os.close(null)
        if theirs >= 0:
            os.close(theirs)


async def _master(console: socket.socket, pidfd: int) -> int | None:
    """The terminal's master, which the runtime sends; None if it ends without."""
    loop = asyncio.get_running_loop()
    ended = loop.create_task(process.wait_readable(pidfd, START_TIMEOUT_S))
    accepting = loop.create_task(loop.sock_accept(console))
    try:
        await asyncio.wait([ended, accepting], return_when=asyncio.FIRST_COMPLETED)
        if not accepting.done():
            return None
        connection, _ = accepting.result()
    finally:
        for task in (ended, accepting):
            task.cancel()
        await asyncio.gather(ended, accepting, return_exceptions=True)
    with connection:
        if not await process.wait_readable(connection.fileno(), START_TIMEOUT_S):
            return None
        numbers = array.array("i")
        _, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(numbers.itemsize), socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    return numbers[0] if numbers else None


def _code_of(ended: int) -> int:
    """Collects a child that has ended."""
    _, status = os.waitpid(ended, os.WNOHANG)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else _SIGNALLED - code


def _fire(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


async def _readable(descriptor: int, ended: "asyncio.Task[int]") -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, _fire, ready)
    try:
        await asyncio.wait([ready, ended], return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(descriptor)
        ready.cancel()


async def _writable(descriptor: int, ended: "asyncio.Task[int]") -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(descriptor, _fire, ready)
    try:
        await asyncio.wait([ready, ended], return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_writer(descriptor)
        ready.cancel()
