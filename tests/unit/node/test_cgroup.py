"""The cgroup tree on files that look like the kernel's: which files get which values."""

from pathlib import Path

import pytest

from portside.node import cgroup
from portside.node.cgroup import CgroupTreeV1, CgroupTreeV2, TaskLimits
from portside.node.interface import NodeUnusable


class FakeV2(CgroupTreeV2):
    """Directories made by mkdir get the files that the kernel would make."""

    def __init__(self, root: Path, controllers: str = "cpuset cpu io memory hugetlb pids rdma misc") -> None:
        super().__init__("0badcafe", root)
        self.controllers = controllers
        self.populate(root)

    def populate(self, group: Path) -> None:
        group.mkdir(parents=True, exist_ok=True)
        for name, content in (
            ("cgroup.controllers", self.controllers),
            ("cgroup.subtree_control", ""),
            ("memory.swap.max", "max"),
            ("cgroup.procs", ""),
        ):
            (group / name).write_text(content)


def test_v2_limits(tmp_path: Path) -> None:
    """Half a CPU and 512 MiB become a quota, a weight, a memory limit and no swap."""
    tree = FakeV2(tmp_path)
    for group in ("portside-0badcafe", "portside-0badcafe/t1"):
        tree.populate(tmp_path / group)
    tree.acquire("t1", "web", TaskLimits(cpu_units=512, memory_mib=512))
    group = tmp_path / "portside-0badcafe/t1"
    assert (group / "cpu.max").read_text() == "50000 100000"
    assert (group / "cpu.weight").read_text() == "20"
    assert (group / "memory.max").read_text() == str(512 * 1024 * 1024)
    assert (group / "memory.swap.max").read_text() == "0"


def test_v2_tasks_of_an_instance(tmp_path: Path) -> None:
    """An instance's group has what its type has, and hands its controllers on; its tasks are told from others."""
    tree = FakeV2(tmp_path)
    for group in ("portside-0badcafe", "portside-0badcafe/i-1", "portside-0badcafe/i-1/t1", "portside-0badcafe/t2"):
        tree.populate(tmp_path / group)
    tree.ensure_instance("i-1", TaskLimits(cpu_units=2048, memory_mib=2048))
    tree.acquire("i-1/t1", "web", TaskLimits(cpu_units=None, memory_mib=None))
    group = tmp_path / "portside-0badcafe/i-1"
    assert (group / "cpu.max").read_text() == "200000 100000"
    assert (group / "memory.max").read_text() == str(2048 * 1024 * 1024)
    assert (group / "cgroup.subtree_control").read_text() != ""
    assert tree.path("i-1/t1", "web") == "/portside-0badcafe/i-1/t1/web"
    assert tree.tasks() == {"i-1/t1", "t2"}


def test_v2_without_limits(tmp_path: Path) -> None:
    """A task without limits of its own is not held back."""
    tree = FakeV2(tmp_path)
    tree.populate(tmp_path / "portside-0badcafe/t1")
    tree.acquire("t1", "web", TaskLimits(cpu_units=None, memory_mib=None))
    group = tmp_path / "portside-0badcafe/t1"
    assert (group / "cpu.max").read_text() == "max 100000"
    assert (group / "memory.max").read_text() == "max"


def test_v2_enables_controllers_one_by_one_from_the_top(tmp_path: Path) -> None:
    """The root's and the instance's subtree get the controllers that the machine has, and no others."""
    tree = FakeV2(tmp_path, "cpu memory pids")
    tree.populate(tmp_path / "portside-0badcafe")
    tree.prepare()
    # Each write names one controller; a plain file keeps the last of them.
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+pids"
    assert (tmp_path / "portside-0badcafe/cgroup.subtree_control").read_text() == "+pids"


def test_v2_says_what_is_missing(tmp_path: Path) -> None:
    """A machine without the memory controller can not run tasks, and the message says why."""
    with pytest.raises(NodeUnusable, match=r"no controller memory.*cgroup_disable"):
        FakeV2(tmp_path, "cpu pids").prepare()


def test_v2_counts_kills_for_memory(tmp_path: Path) -> None:
    """The oom_kill line of memory.events counts; a group that is gone counts nothing."""
    tree = FakeV2(tmp_path)
    group = tmp_path / "portside-0badcafe/t1/web"
    group.mkdir(parents=True)
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert tree.oom_kills("t1", "web") == 2
    assert tree.oom_kills("t1", "gone") == 0


def test_v2_kills_by_the_kernel(tmp_path: Path) -> None:
    """One write to cgroup.kill of the container's group."""
    tree = FakeV2(tmp_path)
    group = tmp_path / "portside-0badcafe/t1/web"
    group.mkdir(parents=True)
    tree.kill("t1", "web")
    assert (group / "cgroup.kill").read_text() == "1"


def test_the_tasks_group_stays_for_its_last_container(tmp_path: Path) -> None:
    """Releasing one of two containers keeps the task's group; releasing the other removes it."""
    hierarchies = {each: tmp_path / each for each in ("cpu", "memory", "pids")}
    for root in hierarchies.values():
        root.mkdir()
    tree = CgroupTreeV1("0badcafe", hierarchies, None)
    limits = TaskLimits(cpu_units=None, memory_mib=None)

    class Bare(CgroupTreeV1):
        def _ensure(self, task: str, limits: TaskLimits) -> None:
            for root in hierarchies.values():
                (root / self.name / task).mkdir(parents=True, exist_ok=True)

    tree = Bare("0badcafe", hierarchies, None)
    for name in ("web", "side"):
        tree.acquire("t1", name, limits)
        for root in hierarchies.values():
            (root / tree.name / "t1" / name).mkdir()
    assert tree.tasks() == {"t1"}
    assert tree.release("t1", "web")
    assert tree.tasks() == {"t1"}
    assert not (tmp_path / "cpu" / tree.name / "t1" / "web").exists()
    assert tree.release("t1", "side")
    assert tree.tasks() == set()
    assert tree.release("t1", "side")


@pytest.mark.parametrize(("shares", "weight"), [(0, 1), (2, 1), (256, 10), (1024, 39), (262_144, 10_000)])
def test_shares_become_weights(shares: int, weight: int) -> None:
    """The conversion of OCI runtimes, at its ends and at common values."""
    assert cgroup.cpu_weight(shares) == weight


def test_the_smallest_quota() -> None:
    """The kernel takes no quota below 1 ms, so a task of 2 CPU units gets that."""
    assert TaskLimits(cpu_units=2, memory_mib=None).cpu_quota_us == 1000


_HYBRID = """\
24 1 0:21 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw
25 24 0:22 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw
26 24 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:11 - cgroup cgroup rw,cpu,cpuacct
27 24 0:24 / /sys/fs/cgroup/memory rw shared:12 - cgroup cgroup rw,memory
28 24 0:25 / /sys/fs/cgroup/systemd rw shared:13 - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd
29 24 0:24 /some/group /elsewhere rw - cgroup cgroup rw,memory
"""
_UNIFIED = "30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"


def test_detection(tmp_path: Path) -> None:
    """Hybrid machines get the v1 tree with the unified side, unified ones v2, machines without cgroups a clear word."""
    info = tmp_path / "mountinfo"
    info.write_text(_HYBRID)
    tree = cgroup.detect("0badcafe", info)
    assert isinstance(tree, CgroupTreeV1)
    assert tree._roots() == [
        Path("/sys/fs/cgroup/cpu,cpuacct"),
        Path("/sys/fs/cgroup/memory"),
        Path("/sys/fs/cgroup/systemd"),
        Path("/sys/fs/cgroup/unified"),
    ]
    info.write_text(_UNIFIED)
    assert isinstance(cgroup.detect("0badcafe", info), CgroupTreeV2)
    info.write_text("")
    with pytest.raises(NodeUnusable, match="mount -t cgroup2"):
        cgroup.detect("0badcafe", info)
