"""Processes as the node sees them: started without fork, held by pidfd, told apart by their start time.

A fork copies the page tables of the whole daemon, which costs milliseconds that grow with its heap (measured: 2 ms at
20 MB, 12 ms at 320 MB); posix_spawn does not.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PF_EXITING = 4  # linux/sched.h
# The daemon's Python ignores these; a program it starts must have the default again.
_RESTORED_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def spawn(argv: Sequence[str], *, environment: Mapping[str, str], descriptors: Mapping[int, int]) -> int:
    """Start a program in a session of its own.

    Args: descriptors: number in the program -> descriptor here; 0, 1 and 2 must be among them, for a program that
        inherits the daemon's would keep its pipes open for ever. All others are closed in it.
    Returns: the process id; the caller reaps it. Raises OSError.
    """
    actions = [(os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in descriptors.items()]
    return os.posix_spawn(
        argv[0],
        list(argv),
        dict(environment),
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=_RESTORED_SIGNALS,
    )


def spawn_heard(argv: Sequence[str], *, environment: Mapping[str, str], heard: Sequence[int]) -> tuple[int, int]:
    """As `spawn`, with what it writes to these descriptors to be read here; those of 0, 1 and 2 that are not among them
    are /dev/null.

    Returns: the process id, and the descriptor to read, which does not block and is the caller's to close."""
    ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        os.set_blocking(theirs, True)
        descriptors = {0: null, 1: null, 2: null} | dict.fromkeys(heard, theirs)
        return spawn(argv, environment=environment, descriptors=descriptors), ours
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
        os.close(null)


def start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of the process: with the pid it names a process for good. None if it is gone
    or a zombie. Source: proc(5), /proc/pid/stat, fields 3 and 22."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_exiting(pid: int) -> bool:
    """Whether it is on its way out, or gone: process 1 of a namespace still waits for the others' end then, and nothing
    can be started in it any more. Source: proc(5), /proc/pid/stat, field 9."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return bool(int(text[text.rindex(")") + 2 :].split()[6]) & _PF_EXITING)


def open_pidfd(pid: int, started: int) -> int | None:
    """A pidfd of exactly that process, or None if it is gone. The caller closes it."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None
    # Checked after opening: the descriptor now pins the pid, so what /proc says is about this very process.
    if start_time(pid) == started:
        return descriptor
    os.close(descriptor)
    return None


def reap(pid: int) -> None:
    """Collect a child that has ended; no harm if it is not our child."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def kill_session(pid: int | None) -> None:
    """SIGKILL to all that a command has started: the runtime makes a session for each one, which children whose parent
    has ended are still in."""
    session = _session(pid) if pid is not None else None
    if session is None or session == os.getsid(0):
        return
    for entry in os.listdir("/proc"):
        if entry.isdigit() and _session(int(entry)) == session:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry), signal.SIGKILL)


def _session(pid: int) -> int | None:
    """Source: proc(5), /proc/pid/stat, field 6."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(text[text.rindex(")") + 2 :].split()[3])


async def wait_readable(descriptor: int, timeout_s: float) -> bool:
    """Wait until a descriptor (a pidfd: the process ended) is readable. False on timeout."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def fire() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, fire)
    try:
        async with asyncio.timeout(timeout_s):
            await ready
        return True
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)


@dataclass(frozen=True, slots=True)
class Output:
    """How a program ended; both streams as text."""

    code: int
    out: str
    err: str


async def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    heard: Callable[[str], None] | None = None,
) -> Output:
    """Run a program to its end. Raises TimeoutError after killing it; OSError if it can not be started.

    Args:
        environment: in place of the daemon's own.
        heard: called with each line of its standard error as it comes.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await asyncio.gather(process.stdout.read(), _read_lines(process.stderr, heard))
            await process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    return Output(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))


async def _read_lines(stream: asyncio.StreamReader, heard: Callable[[str], None] | None) -> bytes:
    read, line = bytearray(), b""
    while chunk := await stream.read(65536):
        read += chunk
        if heard is not None:
            *lines, line = (line + chunk).split(b"\n")
            for each in lines:
                heard(each.decode(errors="replace"))
    return bytes(read)


def runtimes_of(folder: Path) -> dict[int, list[str]]:
    """conmon and crun processes that work on a bundle at or below the folder, with their arguments, by pid: what a
    daemon that was killed has left. A container that is still being created shows crun's arguments, too."""
    found = {}
    exact, below = str(folder), f"{str(folder).rstrip('/')}/"
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            raw = Path(f"/proc/{entry}/cmdline").read_bytes()
        except OSError:
            continue
        argv = raw.decode(errors="replace").rstrip("\0").split("\0")
        if not os.path.basename(argv[0]).startswith(("conmon", "crun")):
            continue
        paths = [argument.partition("=")[2] or argument for argument in argv]
        if any(path == exact or path.startswith(below) for path in paths):
            found[int(entry)] = argv
    return found
