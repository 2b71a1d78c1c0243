"""Control groups of tasks and containers: `/portside-INSTANCE/TASK/CONTAINER`, on cgroup v2 and on v1; those of tasks
on a container instance lie below the instance's: `/portside-INSTANCE/i-…/TASK/CONTAINER`.

The task's group carries the task's limits and is made here; the container's group is made by the OCI runtime, with the
container's own limits, from the specification. Everything else (killing, counting, removing) goes through this file.

Sources: https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/
"""

import contextlib
import errno
import os
import re
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from portside.domain.ebs import Rates
from portside.domain.other_container import OWN_PREFIX
from portside.domain.usage import BlockUsage, Usage
from portside.node import syscall
from portside.node.interface import NodeUnusable
from portside.node.kernel_file import text_of

CPU_PERIOD_US = 100_000  # the kernel's default period of the CPU bandwidth controller
_MIB = 1024 * 1024
_V1_NO_LIMIT = 2**60
"""v1 gives a number of pages near 2^63 where there is no limit."""
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
INSTANCE_PREFIX = "i-"
"""Of ids of EC2 instances; a task's id is hexadecimal digits."""
_V2_CONTROLLERS = ("cpu", "memory", "pids", "cpuset", "io")
_V2_NEEDED = frozenset({"cpu", "memory", "pids"})
_V1_THROTTLE = tuple(f"blkio.throttle.{way}_{unit}_device" for unit in ("bps", "iops") for way in ("read", "write"))


@dataclass(frozen=True, kw_only=True)
class TaskLimits:
    """What all containers of a task share. None: no limit. 1024 CPU units are one CPU's whole time."""

    cpu_units: int | None
    memory_mib: int | None

    @property
    def cpu_quota_us(self) -> int | None:
        """CPU time per period of CPU_PERIOD_US; the kernel takes no less than 1,000."""
        if not self.cpu_units:
            return None
        return max(1_000, self.cpu_units * CPU_PERIOD_US // 1024)

    @property
    def memory_bytes(self) -> int | None:
        return self.memory_mib * _MIB if self.memory_mib else None


def cpu_weight(shares: int) -> int:
    """v2's cpu.weight (1 to 10,000) for v1's cpu.shares (2 to 262,144), as OCI runtimes convert it."""
    shares = min(max(shares, 2), 262_144)
    return 1 + ((shares - 2) * 9_999) // 262_142


class CgroupTree(ABC):
    """All groups of one instance. Thread-safe. Paths are given as (task id, container name)."""

    def __init__(self, instance_id: str) -> None:
        self.name = f"{OWN_PREFIX}{instance_id}"
        self._lock = threading.Lock()
        self._users: dict[str, set[str]] = {}

    def path(self, *parts: str) -> str:
        """For the specification's `cgroupsPath`."""
        return "/" + "/".join((self.name, *parts))

    def acquire(self, task: str, container: str, limits: TaskLimits) -> None:
        """The task's group is there, with its limits, until its last container has released it. Raises OSError."""
        with self._lock:
            self._users.setdefault(task, set()).add(container)
            self._ensure(task, limits)

    def ensure_instance(self, instance: str, limits: TaskLimits) -> None:
        """A container instance's group is there, with what its tasks may use together. Raises OSError."""
        with self._lock:
            self._ensure(instance, limits)

    def adopt(self, task: str, container: str) -> None:
        """Count a container that an earlier daemon started."""
        with self._lock:
            self._users.setdefault(task, set()).add(container)

    def release(self, task: str, container: str) -> bool:
        """Remove the container's group, and the task's after its last one. False if a process is still in it."""
        with self._lock:
            users = self._users.get(task, set())
            if not self._remove(f"{task}/{container}"):
                return False
            users.discard(container)
            if users:
                return True
            self._users.pop(task, None)
            return self._remove(task)

    def drop(self, task: str) -> bool:
        """Remove the task's group with all below it. False if a process is still in it."""
        with self._lock:
            self._users.pop(task, None)
            return self._remove(task)

    def remove_all(self) -> bool:
        """Remove the whole tree. False if a process is still in it."""
        with self._lock:
            self._users.clear()
            return self._remove("")

    def tasks(self) -> set[str]:
        """Tasks that have a group, those on an instance as `i-…/TASK`."""
        found: set[str] = set()
        for root in self._roots():
            for name in _children(root / self.name):
                if name.startswith(INSTANCE_PREFIX):
                    found |= {f"{name}/{each}" for each in _children(root / self.name / name)}
                else:
                    found.add(name)
        return found

    def kill(self, *parts: str) -> None:
        """SIGKILL to every process in the group and below it, also to those being forked meanwhile."""
        for root in self._kill_roots():
            group = root.joinpath(self.name, *parts)
            try:
                (group / "cgroup.kill").write_text("1")
                return
            except OSError:
                continue
        # No cgroup.kill (before Linux 5.14, or pure v1): again and again, until a fork can not outrun it.
        for _ in range(100):
            pids = self.processes(*parts)
            if not pids:
                return
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def processes(self, *parts: str) -> set[int]:
        """Processes in the group and below it."""
        found: set[int] = set()
        for root in self._roots():
            for folder, _, _ in os.walk(root.joinpath(self.name, *parts)):
                found |= _pids(Path(folder))
        return found

    @abstractmethod
    def prepare(self) -> None:
        """Make the machine's hierarchy usable. Raises NodeUnusable."""

    @abstractmethod
    def oom_kills(self, task: str, container: str) -> int:
        """How many processes of the container the kernel has killed for memory. 0 if the group is gone."""

    def usage(self, task: str, container: str) -> Usage:
        """What the container has used, without its network. Raises OSError: its group is gone."""
        return self.usage_at(f"{self.name}/{task}/{container}")

    @abstractmethod
    def usage_at(self, path: str) -> Usage:
        """Likewise, of any group of the machine, by its path below the hierarchies' roots."""

    @abstractmethod
    def can_throttle(self) -> bool:
        """Whether `throttle` has an effect on this machine."""

    @abstractmethod
    def throttle(self, device: str, rates: Rates | None, group: str) -> None:
        """Hold a group to what a block device may be read and written, each; None: to nothing.

        Args: device: its number, as `7:3`; group: of a task, a container in it, or an instance, below the tree; "" for
            all. On v2 all below it together, also what the kernel writes for them later. On v1 each container on its
            own, and what the kernel writes later, for whomever, once more.
        Raises OSError."""

    def processes_at(self, path: str) -> set[int]:
        """Processes in any group and below it, as one hierarchy has them: enough to measure, and much cheaper."""
        found: set[int] = set()
        waiting = [str(self._main_root() / path)]
        while waiting:
            folder = waiting.pop()
            found |= _pids(Path(folder))
            waiting += [f"{folder}/{each}" for each in _children(Path(folder))]
        return found

    def other_groups(self, is_wanted: Callable[[str], bool]) -> list[str]:
        """Groups of others, by their paths; it is not looked below wanted ones and Portside's."""
        root, found = self._main_root(), list[str]()
        for folder, names, _ in os.walk(root):
            path = os.path.relpath(folder, root)
            if is_wanted(path):
                found.append(path)
                names.clear()
            names[:] = [each for each in names if not (path == "." and each.startswith(OWN_PREFIX))]
        return sorted(found)

    @abstractmethod
    def _main_root(self) -> Path:
        """Mount point of a hierarchy in which every container has a group."""

    @abstractmethod
    def counts_swap(self) -> bool:
        """Whether a limit of memory and swap together can be set."""

    @abstractmethod
    def _ensure(self, task: str, limits: TaskLimits) -> None: ...

    @abstractmethod
    def _roots(self) -> list[Path]:
        """Mount points of all hierarchies in which groups of ours may be."""

    @abstractmethod
    def _kill_roots(self) -> list[Path]:
        """Mount points where `cgroup.kill` may be."""

    def _remove(self, path: str) -> bool:
        # No short cut: every hierarchy is tried, so one that is busy does not keep the others.
        removed = [_remove_tree(root / self.name / path) for root in self._roots()]
        return all(removed)


class CgroupTreeV2(CgroupTree):
    """The unified hierarchy. Inner groups hold no process, and controllers are enabled from the top down."""

    def __init__(self, instance_id: str, root: Path = Path("/sys/fs/cgroup")) -> None:
        super().__init__(instance_id)
        self._root = root

    def prepare(self) -> None:
        available = set((self._root / "cgroup.controllers").read_text().split())
        missing = _V2_NEEDED - available
        if missing:
            raise NodeUnusable(
                f"cgroup v2 at {self._root} has no controller {', '.join(sorted(missing))}: "
                "remove cgroup_disable= from the kernel's command line"
            )
        try:
            self._enable(self._root, available)
            top = self._root / self.name
            top.mkdir(exist_ok=True)
            self._enable(top, available)
        except OSError as error:
            raise NodeUnusable(
                f"can not enable cgroup controllers under {self._root} ({error}): Portside must run in the machine's "
                "own cgroup namespace, or in one whose root group holds no process"
            ) from error

    def oom_kills(self, task: str, container: str) -> int:
        return _keyed(self._root / self.name / task / container / "memory.events", "oom_kill")

    def usage_at(self, path: str) -> Usage:
        group = self._root / path
        cpu = _flat(group / "cpu.stat")
        limit = text_of(group / "memory.max").strip()
        current = int(text_of(group / "memory.current"))
        return Usage(
            at=datetime.now(UTC),
            cpu_ns=cpu.get("usage_usec", 0) * 1000,
            cpu_user_ns=cpu.get("user_usec", 0) * 1000,
            cpu_system_ns=cpu.get("system_usec", 0) * 1000,
            cpu_periods=cpu.get("nr_periods", 0),
            cpu_throttled_periods=cpu.get("nr_throttled", 0),
            cpu_throttled_ns=cpu.get("throttled_usec", 0) * 1000,
            memory_bytes=current,
            memory_most_bytes=_number(group / "memory.peak", current),  # since Linux 5.19
            memory_limit_bytes=0 if limit == "max" else int(limit),
            memory=_flat(group / "memory.stat"),
            processes=_number(group / "pids.current", 0),
            block=_block_v2(group / "io.stat"),
        )

    def counts_swap(self) -> bool:
        return True

    def can_throttle(self) -> bool:
        return "io" in (self._root / "cgroup.subtree_control").read_text().split()

    def throttle(self, device: str, rates: Rates | None, group: str) -> None:
        operations, size = rates or (None, None)
        limits = (("rbps", size), ("wbps", size), ("riops", operations), ("wiops", operations))
        line = " ".join([device, *(f"{name}={'max' if most is None else most}" for name, most in limits)])
        top = self._root / self.name
        # One rule for the whole of a task or an instance. A container's start finds it there, or its task's made.
        parts = [each for each in group.split("/") if each]
        if rates is not None:
            depth = 2 if parts[0].startswith(INSTANCE_PREFIX) else 1
            groups = [top.joinpath(*parts[:depth])]
        else:
            groups = [Path(each) for each, _, _ in os.walk(top.joinpath(*parts))]
        for each in groups:
            _write_rates(each / "io.max", line)

    def _ensure(self, task: str, limits: TaskLimits) -> None:
        top = self._root / self.name
        group = top / task
        group.mkdir(parents=True, exist_ok=True)
        quota, memory = limits.cpu_quota_us, limits.memory_bytes
        (group / "cpu.max").write_text(f"{'max' if quota is None else quota} {CPU_PERIOD_US}")
        if limits.cpu_units:
            (group / "cpu.weight").write_text(str(cpu_weight(limits.cpu_units)))
        (group / "memory.max").write_text("max" if memory is None else str(memory))
        if memory is not None and (group / "memory.swap.max").exists():
            (group / "memory.swap.max").write_text("0")
        self._enable(group, set((group / "cgroup.controllers").read_text().split()))

    @staticmethod
    def _enable(group: Path, available: set[str]) -> None:
        control = group / "cgroup.subtree_control"
        wanted = [each for each in _V2_CONTROLLERS if each in available]
        missing = [each for each in wanted if each not in control.read_text().split()]
        for each in missing:
            try:
                control.write_text(f"+{each}")
            except OSError:
                if each in _V2_NEEDED:
                    raise

    def _roots(self) -> list[Path]:
        return [self._root]

    def _main_root(self) -> Path:
        return self._root

    def _kill_roots(self) -> list[Path]:
        return [self._root]


class CgroupTreeV1(CgroupTree):
    """One hierarchy per controller, perhaps beside an empty unified one (systemd's "hybrid" layout)."""

    def __init__(self, instance_id: str, hierarchies: dict[str, Path], unified: Path | None) -> None:
        """`hierarchies`: controller (or `name=…`) -> mount point; several controllers may share one."""
        super().__init__(instance_id)
        self._hierarchies, self._unified = dict(hierarchies), unified

    def prepare(self) -> None:
        missing = {"cpu", "memory", "pids", "devices", "freezer"} - set(self._hierarchies)
        if missing:
            raise NodeUnusable(
                f"cgroup v1 controllers are not mounted: {', '.join(sorted(missing))}; "
                "mount them below /sys/fs/cgroup, or boot with systemd.unified_cgroup_hierarchy=1"
            )
        if self._unified is None:
            return
        # crun refuses a hybrid layout in which any controller is still on the unified side; it has no use for those
        # there, so they are given hierarchies of their own. This only adds mounts and survives until the next boot.
        for controller in (self._unified / "cgroup.controllers").read_text().split():
            point = self._unified.parent / controller
            try:
                point.mkdir(exist_ok=True)
                syscall.mount("cgroup", str(point), "cgroup", 0, controller)
            except OSError as error:
                if error.errno == errno.EBUSY:
                    continue  # another instance was faster
                raise NodeUnusable(
                    f"the cgroup controller {controller} is on the unified hierarchy while others are on v1, which "
                    f"crun does not support, and mounting it as v1 at {point} failed: {error}"
                ) from error
            self._hierarchies[controller] = point

    def oom_kills(self, task: str, container: str) -> int:
        return _keyed(self._hierarchies["memory"] / self.name / task / container / "memory.oom_control", "oom_kill")

    def usage_at(self, path: str) -> Usage:
        def group(controller: str) -> Path:
            return self._hierarchies.get(controller, Path("/nonexistent")) / path

        memory, cpu, limit = group("memory"), _flat(group("cpu") / "cpu.stat"), 0
        ticks = _flat(group("cpuacct") / "cpuacct.stat")
        asked = int(text_of(memory / "memory.limit_in_bytes"))
        if asked < _V1_NO_LIMIT:
            limit = asked
        return Usage(
            at=datetime.now(UTC),
            cpu_ns=_number(group("cpuacct") / "cpuacct.usage", 0),
            cpu_user_ns=ticks.get("user", 0) * _TICK_NS,
            cpu_system_ns=ticks.get("system", 0) * _TICK_NS,
            cpu_periods=cpu.get("nr_periods", 0),
            cpu_throttled_periods=cpu.get("nr_throttled", 0),
            cpu_throttled_ns=cpu.get("throttled_time", 0),
            memory_bytes=int(text_of(memory / "memory.usage_in_bytes")),
            memory_most_bytes=_number(memory / "memory.max_usage_in_bytes", 0),
            memory_limit_bytes=limit,
            memory=_flat(memory / "memory.stat"),
            processes=_number(group("pids") / "pids.current", 0),
            block=_block_v1(group("blkio")),
        )

    def counts_swap(self) -> bool:
        return (self._hierarchies["memory"] / "memory.memsw.limit_in_bytes").exists()

    def can_throttle(self) -> bool:
        root = self._hierarchies.get("blkio")
        return root is not None and all((root / each).exists() for each in _V1_THROTTLE)

    def throttle(self, device: str, rates: Rates | None, group: str) -> None:
        root = self._hierarchies["blkio"]
        operations, size = rates or (None, None)
        # What a program leaves to the kernel to write is written by the root group's threads.
        groups = [root, *(Path(each) for each, _, _ in os.walk(root / self.name / group))]
        for name, most in zip(_V1_THROTTLE, (size, size, operations, operations), strict=True):
            for each in groups:
                _write_rates(each / name, f"{device} {most or 0}")

    def _ensure(self, task: str, limits: TaskLimits) -> None:
        cpu = self._hierarchies["cpu"] / self.name / task
        cpu.mkdir(parents=True, exist_ok=True)
        quota, memory_bytes = limits.cpu_quota_us, limits.memory_bytes
        if limits.cpu_units:
            (cpu / "cpu.shares").write_text(str(max(2, limits.cpu_units)))
        (cpu / "cpu.cfs_quota_us").write_text(str(-1 if quota is None else quota))
        memory = self._hierarchies["memory"] / self.name / task
        memory.mkdir(parents=True, exist_ok=True)
        if memory_bytes is not None:
            # The sum of memory and swap may never be below memory: written second when both shrink from "no limit".
            (memory / "memory.limit_in_bytes").write_text(str(memory_bytes))
            with contextlib.suppress(FileNotFoundError, PermissionError):
                (memory / "memory.memsw.limit_in_bytes").write_text(str(memory_bytes))

    def _main_root(self) -> Path:
        return self._hierarchies["memory"]

    def _roots(self) -> list[Path]:
        roots = list(dict.fromkeys(self._hierarchies.values()))
        return roots if self._unified is None else [*roots, self._unified]

    def _kill_roots(self) -> list[Path]:
        return [] if self._unified is None else [self._unified]


def detect(instance_id: str, mountinfo: Path = Path("/proc/self/mountinfo")) -> CgroupTree:
    """The tree for how this machine mounts cgroups. Raises NodeUnusable if it does not."""
    hierarchies: dict[str, Path] = {}
    unified: Path | None = None
    for line in mountinfo.read_text().splitlines():
        # Source: proc(5), mountinfo: optional fields end with " - ", then type, source, super options.
        head, _, tail = line.partition(" - ")
        kind, _, super_options = tail.split(" ", 2)
        # Field 4 is the root within the file system: a bind mount of one group is not the hierarchy.
        root, point = head.split(" ")[3], Path(unescape(head.split(" ")[4]))
        if kind == "cgroup2" and root == "/" and unified is None:
            unified = point
        elif kind == "cgroup":
            for option in super_options.split(","):
                if option not in ("rw", "ro", "xattr", "clone_children", "favordynmods") and not option.startswith(
                    "release_agent="
                ):
                    hierarchies.setdefault(option, point)
    if "memory" in hierarchies or "cpu" in hierarchies:
        return CgroupTreeV1(instance_id, hierarchies, unified)
    if unified is None:
        raise NodeUnusable("no cgroup file system is mounted at /sys/fs/cgroup: mount -t cgroup2 none /sys/fs/cgroup")
    return CgroupTreeV2(instance_id, unified)


def unescape(text: str) -> str:
    """A path of mountinfo, where blanks and their like are octal."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _write_rates(file: Path, line: str) -> None:
    """Nothing, where the group is not there, yet or any more, or the device is gone. Raises OSError."""
    try:
        file.write_text(line)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise


def _children(group: Path) -> list[str]:
    try:
        with os.scandir(group) as entries:
            return [each.name for each in entries if each.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _pids(group: Path) -> set[int]:
    try:
        return {int(line) for line in text_of(group / "cgroup.procs").split()}
    except (FileNotFoundError, OSError):
        return set()


def machine_cpu_ns(stat: Path = Path("/proc/stat")) -> int:
    """CPU time that all processors have spent. Source: proc(5), the first line of /proc/stat."""
    return sum(int(each) for each in text_of(stat).split("\n", 1)[0].split()[1:9]) * _TICK_NS


def _number(file: Path, otherwise: int) -> int:
    try:
        return int(text_of(file))
    except (OSError, ValueError):
        return otherwise


def _flat(file: Path) -> dict[str, int]:
    """A flat keyed file; empty if there is none."""
    try:
        pairs = [line.split() for line in text_of(file).splitlines()]
    except OSError:
        return {}
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _block_v2(file: Path) -> tuple[BlockUsage, ...]:
    """`8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0` for each device."""
    try:
        lines = text_of(file).splitlines()
    except OSError:
        return ()
    found = []
    for line in lines:
        device, *pairs = line.split()
        counts = {name: int(value) for name, _, value in (each.partition("=") for each in pairs) if value.isdigit()}
        major, _, minor = device.partition(":")
        found.append(
            BlockUsage(
                major=int(major),
                minor=int(minor),
                read_bytes=counts.get("rbytes", 0),
                written_bytes=counts.get("wbytes", 0),
                reads=counts.get("rios", 0),
                writes=counts.get("wios", 0),
            )
        )
    return tuple(found)


def _block_v1(group: Path) -> tuple[BlockUsage, ...]:
    """`8:0 Read 1` and the like, bytes and operations in a file each."""
    counts: dict[str, dict[str, int]] = {}
    for name, unit in (("io_service_bytes", "bytes"), ("io_serviced", "operations")):
        with contextlib.suppress(OSError):
            for line in text_of(group / f"blkio.throttle.{name}").splitlines():
                parts = line.split()
                if len(parts) == 3 and parts[1] in ("Read", "Write"):
                    counts.setdefault(parts[0], {})[f"{parts[1]} {unit}"] = int(parts[2])
    return tuple(
        BlockUsage(
            major=int(device.partition(":")[0]),
            minor=int(device.partition(":")[2]),
            read_bytes=each.get("Read bytes", 0),
            written_bytes=each.get("Write bytes", 0),
            reads=each.get("Read operations", 0),
            writes=each.get("Write operations", 0),
        )
        for device, each in counts.items()
    )


def _keyed(file: Path, key: str) -> int:
    """One number of a flat keyed file."""
    try:
        for line in text_of(file).splitlines():
            name, _, value = line.partition(" ")
            if name == key:
                return int(value)
    except OSError:
        pass
    return 0


def _remove_tree(group: Path) -> bool:
    for attempt in range(2):
        try:
            os.rmdir(group)
            return True
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY) or attempt:
                return False
        below = [_remove_tree(group / each) for each in _children(group)]
        if not all(below):
            return False
    return False
