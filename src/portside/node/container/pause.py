"""Namespaces that the containers of a task share (`pidMode` and `ipcMode` task), held by a process that only waits.

It is process 1 of the shared PID namespace, where it reaps what nobody else does. That it has no root file system, no
network and no rights of its own matters, for the task's containers see it and may be able to trace it. All that is kept
of it lies in the run directory, gone after a reboot as the process is: a folder for each task, and in it a file for
each container that uses the namespaces. The last one to be released takes them with it.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from portside.node import process, syscall
from portside.node.cgroup import CgroupTree
from portside.node.container import spec
from portside.node.container.record import ContainerRecord

CGROUP: Final = "~internal~ecs~pause"
"""Beside the containers' own, in the task's; what the container of AWS's agent is called, which no other one can be."""
_RUNTIME_ID: Final = "pause"
_NOBODY: Final = 65534
_SHM_BYTES: Final = 64 * 1024 * 1024
_START_TIMEOUT_S: Final = 30.0


class _Holder(msgspec.Struct, frozen=True):
    """The process, by what names it for good."""

    pid: int
    started: int


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What a container joins: namespaces as /proc has them, and where /dev/shm of them all is."""

    namespaces: dict[str, str]
    shm: Path


class PauseNamespaces:
    """Blocking and thread-safe."""

    def __init__(
        self, run_dir: Path, tree: CgroupTree, machine: spec.Machine, reach: Callable[[str], None] = lambda moment: None
    ) -> None:
        """Args: reach: told the moment at which the process runs and nobody remembers it yet."""
        self._folder, self._tree, self._machine, self._reach = run_dir / "pause", tree, machine, reach
        self._lock = threading.Lock()

    def acquire(self, record: ContainerRecord, modes: Collection[str], shm_bytes: int | None) -> Shared:
        """The task's namespaces are there for this container, until its `release`.

        Args: modes: which of `pid` and `ipc` are shared; the same for all containers of a task. shm_bytes: how large
            the container wants the /dev/shm that it shares; the largest wish counts.
        Raises CannotBuild, OSError."""
        with self._lock:
            folder = self._folder / record.task_id
            users = folder / "users"
            users.mkdir(parents=True, exist_ok=True, mode=0o700)
            (users / record.runtime_id).touch()
            holder = self._running(folder) or self._start(folder, record, modes)
            if shm_bytes is not None:
                self._enlarge(folder / "shm", shm_bytes)
            return Shared(namespaces={name: f"/proc/{holder.pid}/ns/{name}" for name in modes}, shm=folder / "shm")

    def release(self, record: ContainerRecord, *, is_kept: bool) -> bool:
        """The container uses them no more, unless it is to run again; after the last one nothing of them is left.
        Idempotent. False while the process has not gone yet. Raises OSError."""
        with self._lock:
            folder = self._folder / record.task_id
            if not folder.exists():
                return True
            if not is_kept:
                (folder / "users" / record.runtime_id).unlink(missing_ok=True)
            if any((folder / "users").iterdir()):
                # Of an earlier daemon's it is not counted yet; the task's group must stay with it.
                self._tree.adopt(record.cgroup, CGROUP)
                return True
            return self._end(folder, record.cgroup)

    def remove_leftovers(self, task_ids: Collection[str]) -> None:
        """Those of no live task. Their processes are gone with their cgroups."""
        with self._lock:
            for folder in self._folder.iterdir() if self._folder.exists() else ():
                if folder.name not in task_ids:
                    _remove(folder)

    def _running(self, folder: Path) -> _Holder | None:
        try:
            holder = msgspec.json.decode((folder / "holder.json").read_bytes(), type=_Holder)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        is_there = process.start_time(holder.pid) == holder.started and not process.is_exiting(holder.pid)
        return holder if is_there else None

    def _start(self, folder: Path, record: ContainerRecord, modes: Collection[str]) -> _Holder:
        # What a daemon that was killed meanwhile has left half made.
        self._end_processes(folder, record.cgroup)
        shutil.rmtree(folder / "crun", ignore_errors=True)
        program, crun = shutil.which("catatonit"), shutil.which("crun")
        if program is None or crun is None:
            raise spec.CannotBuild(
                "namespaces that a task's containers share take catatonit, which is not installed: "
                "apt-get install catatonit"
            )
        root, shm = folder / "root", folder / "shm"
        root.mkdir(exist_ok=True)
        shm.mkdir(exist_ok=True)
        if "ipc" in modes and not os.path.ismount(shm):
            flags = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC
            syscall.mount("shm", str(shm), "tmpfs", flags, f"mode=1777,size={_SHM_BYTES}")
        config = _config(root, program, self._tree.path(record.cgroup, CGROUP), modes, self._machine)
        (folder / "config.json").write_bytes(json.dumps(config).encode())
        self._tree.adopt(record.cgroup, CGROUP)
        _run(
            [
                *(crun, "--cgroup-manager=cgroupfs", f"--root={folder / 'crun'}", "run", "--detach"),
                *(f"--bundle={folder}", f"--pid-file={folder / 'pid'}", _RUNTIME_ID),
            ],
            folder / "said",
        )
        self._reach("within-prepare-namespace")
        pid = int((folder / "pid").read_text())
        started = process.start_time(pid)
        if started is None:
            raise OSError("the process that holds the task's namespaces ended at once")
        fresh = folder / "holder.fresh"
        fresh.write_bytes(msgspec.json.encode(_Holder(pid, started)))
        os.replace(fresh, folder / "holder.json")
        return _Holder(pid, started)

    @staticmethod
    def _enlarge(shm: Path, size: int) -> None:
        found = os.statvfs(shm)
        if size > found.f_blocks * found.f_frsize:
            flags = syscall.MS_REMOUNT | syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC
            syscall.mount("shm", str(shm), "tmpfs", flags, f"mode=1777,size={size}")

    def _end(self, folder: Path, cgroup: str) -> bool:
        self._end_processes(folder, cgroup)
        if self._tree.processes(cgroup, CGROUP) or not self._tree.release(cgroup, CGROUP):
            return False
        _remove(folder)
        return True

    def _end_processes(self, folder: Path, cgroup: str) -> None:
        for pid in process.runtimes_of(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._tree.kill(cgroup, CGROUP)


def _run(argv: list[str], said: Path) -> None:
    """Raises OSError with what the program said. It says it to a file: the process it leaves would hold a pipe open."""
    with said.open("wb") as file:
        try:
            code = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                timeout=_START_TIMEOUT_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise OSError("the process that holds the task's namespaces did not start in time") from error
    if code != 0:
        raise OSError(f"the process that holds the task's namespaces: {said.read_text(errors='replace').strip()}")


def _remove(folder: Path) -> None:
    syscall.umount(str(folder / "shm"))
    shutil.rmtree(folder)


def _config(
    root: Path, program: str, cgroup_path: str, modes: Collection[str], machine: spec.Machine
) -> dict[str, Any]:
    own = sorted({"mount", "network", "uts", "ipc", *modes})
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": _NOBODY, "gid": _NOBODY},
            "args": ["/pause", "-P"],
            "env": [],
            "cwd": "/",
            "capabilities": {},
            "noNewPrivileges": True,
            "oomScoreAdj": machine.oom_score_adj,
        },
        "root": {"path": str(root), "readonly": True},
        "hostname": "pause",
        "mounts": [
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/pause", "type": "bind", "source": program, "options": ["bind", "ro"]},
        ],
        "linux": {
            "cgroupsPath": cgroup_path,
            "namespaces": [{"type": each} for each in own],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "maskedPaths": list(spec.MASKED),
            "readonlyPaths": list(spec.READ_ONLY),
        },
        "annotations": dict(machine.seccomp),
    }
