"""Container health checks: the command run inside the container, again and again, and its changes of mind reported.

It runs through the runtime's `exec`: in the container's namespaces and cgroup, as its user, with its environment. What
the results amount to is `domain/task/health.py`'s. A new daemon begins anew with every container that it adopts.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portside.domain.task import health
from portside.domain.task.record import ContainerHealthChanged
from portside.domain.task_definition import HealthCheck
from portside.node import process
from portside.node.container.record import ContainerFolder, ContainerRecord
from portside.node.container.runtime import Runtime
from portside.node.for_root import write_for_root

log = logging.getLogger(__name__)

OUTPUT_MAX_BYTES: Final = 1024
PARALLEL: Final = 8
_END_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Result:
    passed: bool
    output: str


def command_of(check: HealthCheck) -> list[str]:
    """The arguments to run: CMD-SHELL goes through the image's shell."""
    kind, *rest = check.command
    return ["/bin/sh", "-c", " ".join(rest)] if kind == "CMD-SHELL" else rest


def _spec_file(folder: ContainerFolder) -> Path:
    return folder.path / "health.json"


def write_spec(folder: ContainerFolder, check: HealthCheck) -> None:
    """What `probe` runs: the container's own process with the check's command. Raises OSError."""
    process_spec = json.loads((folder.path / "config.json").read_bytes())["process"]
    process_spec |= {"args": command_of(check), "terminal": False}
    write_for_root(_spec_file(folder), json.dumps(process_spec).encode())


class HealthChecks:
    """Runs the checks of all containers that have one.

    Args:
        report: called with the task's key and the fact when a container's health changes.
    """

    def __init__(self, runtime: Runtime, report: Callable[[str, ContainerHealthChanged], None]) -> None:
        self._runtime, self._report = runtime, report
        self._running: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(PARALLEL)

    def watch(self, folder: ContainerFolder, record: ContainerRecord, check: HealthCheck) -> None:
        """Check from now on, until `forget`. The start period counts from the start of the container's process."""
        self.forget(folder.runtime_id)
        loop = asyncio.get_running_loop()
        work = loop.create_task(self._watch(folder, record, check), name=f"health {folder.runtime_id}")
        self._running[folder.runtime_id] = work

    def forget(self, runtime_id: str) -> None:
        """No more checks of that container; no harm if there were none."""
        work = self._running.pop(runtime_id, None)
        if work is not None:
            work.cancel()

    async def close(self) -> None:
        works = list(self._running.values())
        for work in works:
            work.cancel()
        self._running.clear()
        await asyncio.gather(*works, return_exceptions=True)

    async def _watch(self, folder: ContainerFolder, record: ContainerRecord, check: HealthCheck) -> None:
        task_key, container = record.task_key, record.container
        started = (record.pid_started or 0) / os.sysconf("SC_CLK_TCK")
        probes, checks = health.Probes(), 0
        is_written = False

        def running_s() -> float:
            return time.clock_gettime(time.CLOCK_BOOTTIME) - started

        while True:
            await asyncio.sleep(health.next_check_s(probes, check, checks=checks, running_s=running_s()))
            begun_s, checks = running_s(), checks + 1
            try:
                if not is_written:
                    write_spec(folder, check)
                    is_written = True
                async with self._slots:
                    result = await self.probe(folder, check)
            except OSError as error:
                log.warning("the health check of %s of task %s can not be run: %s", container, task_key, error)
                result = Result(False, str(error))
            before = probes.status
            probes = health.with_result(probes, check, passed=result.passed, running_s=begun_s)
            if probes.status is not before:
                fact = ContainerHealthChanged(container=container, status=probes.status, output=result.output)
                self._report(task_key, fact)

    async def probe(self, folder: ContainerFolder, check: HealthCheck) -> Result:
        """Run the command of `write_spec` once. It fails by its exit code, or by taking longer than the timeout: then
        what it started is killed. Raises OSError."""
        pid_file = folder.path / "health.pid"
        pid_file.unlink(missing_ok=True)
        argv = self._runtime.exec_argv(folder.runtime_id, process_file=_spec_file(folder), pid_file=pid_file)
        kept = bytearray()
        loop = asyncio.get_running_loop()
        pid, output = process.spawn_heard(argv, environment={"PATH": os.environ.get("PATH", os.defpath)}, heard=(1, 2))
        pidfd = os.pidfd_open(pid)

        def drain() -> None:
            """Keep the beginning and let the rest go: a full pipe would hold the command up."""
            with contextlib.suppress(BlockingIOError):
                chunk = os.read(output, 65536)
                kept.extend(chunk[: OUTPUT_MAX_BYTES - len(kept)])
                if not chunk:
                    loop.remove_reader(output)

        loop.add_reader(output, drain)
        ended = False
        try:
            ended = await process.wait_readable(pidfd, check.timeout_s)
        finally:
            if not ended:
                process.kill_session(_pid_in(pid_file))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                await asyncio.shield(process.wait_readable(pidfd, _END_TIMEOUT_S))
            with contextlib.suppress(OSError):
                kept.extend(os.read(output, OUTPUT_MAX_BYTES)[: OUTPUT_MAX_BYTES - len(kept)])
            loop.remove_reader(output)
            os.close(output)
            os.close(pidfd)
            code = _reaped(pid)
        text = kept.decode(errors="replace").strip()
        if not ended:
            return Result(False, f"Health check exceeded timeout ({check.timeout_s}s)")
        return Result(code == 0, text)


def end_leftover(folder: ContainerFolder, members: Callable[[], Collection[int]]) -> None:
    """End the check that a daemon left running when it was killed: nobody would see its end, and it may hang.

    Blocking. Args: members: the container's processes; a number in a file may by now be another's."""
    for pid, argv in process.runtimes_of(folder.path).items():
        if "exec" in argv and any(each.endswith(str(_spec_file(folder))) for each in argv):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    pid_file = folder.path / "health.pid"
    pid_of_check = _pid_in(pid_file)
    if pid_of_check in members():
        process.kill_session(pid_of_check)
    pid_file.unlink(missing_ok=True)


def _reaped(pid: int) -> int | None:
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if found else None


def _pid_in(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
