"""What tasks use, against workloads of known use."""

import asyncio
import os
import time
from pathlib import Path

import msgspec
import pytest

from portside.control.clock import SystemClock
from portside.control.insights import ContainerInsights
from portside.control.metrics import MetricLoop
from portside.domain.cluster import Cluster, Setting
from portside.domain.metric import MetricName, Point, dimensions_of, statistic
from portside.domain.record import replace
from portside.domain.table import CLUSTER, TASK
from portside.domain.task.record import TaskStatus
from portside.settings import Settings
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.telemetry.metric import SqliteMetricStore
from portside.telemetry.sqlite import SqliteLogStore
from portside.testing.node_lab import LabTask, NodeLab, lab_task
from portside.testing.wait import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]

MIB = 1024**2


def metric(name: str, namespace: str = "AWS/ECS", **more: str) -> MetricName:
    dimensions = {"ClusterName": "lab", "ServiceName": "web"} | more
    return MetricName(namespace=namespace, name=name, dimensions=dimensions_of(dimensions))


async def look(lab: NodeLab, task: LabTask, folder: Path, wanted: MetricName, *, count: int) -> Point:
    """What the loop has put of the task, as one of a service, once there are so many samples."""
    store, metrics, clock = MemoryStore(), SqliteMetricStore(folder / "metrics.db"), SystemClock()
    logs = SqliteLogStore(folder / "logs.db")
    record = replace(
        task.record(),
        service="web",
        last_status=TaskStatus.RUNNING,
        cpu_units=task.start.task_cpu_units,
        memory_mib=task.start.task_memory_mib,
    )
    cluster = Cluster(
        scope=record.scope,
        name="lab",
        settings=(Setting(name="containerInsights", value="enhanced"),),
        created_at=clock.now(),
    )
    store.transact(Put(TASK, record), Put(CLUSTER, cluster))
    insights = ContainerInsights(store, logs, metrics, lab.node.ephemeral_storage)
    loop = MetricLoop(store, metrics, clock, lab.node.usage, insights, period_s=1)
    await loop.start()
    try:
        async with asyncio.timeout(30):
            while True:
                now = int(clock.now().timestamp())
                points = await metrics.points(
                    record.scope, wanted, start_s=0, end_s=now + 60, period_s=3600 * 24 * 365 * 50, unit=None
                )
                found = next(iter(points.values()), None)
                if found is not None and found.count >= count:
                    return found
                await asyncio.sleep(0.2)
    finally:
        await loop.close()
        await metrics.close()
        await logs.close()


def given_s(lab: NodeLab, task: LabTask) -> float:
    """CPU time that a container's first process and those it has waited for were given, as the kernel counts it for
    processes."""
    pid = lab.node.process(task.start.runtime_id)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(each) for each in fields[11:15]) / os.sysconf("SC_CLK_TCK")


class Given:
    """The share of a quarter of a CPU that a container was given meanwhile: less than the whole where the machine has
    more to do than it can."""

    def __init__(self, lab: NodeLab, task: LabTask) -> None:
        self._lab, self._task = lab, task
        self._began = (time.monotonic(), given_s(lab, task))

    @property
    def share(self) -> float:
        seconds = time.monotonic() - self._began[0]
        return min((given_s(self._lab, self._task) - self._began[1]) / seconds / 0.25, 1.0)


def test_counters_against_the_truth(no_leaks: Settings) -> None:
    """CPU time is within a twentieth of what the kernel counts for the process, and so is what it wrote of what it was
    told to write, however busy the machine."""
    script = "dd if=/dev/zero of=/file bs=1M count=64 conv=fsync 2>/dev/null; echo written; while :; do :; done"

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task(script)
            await lab.do(task.start)
            assert await lab.lines(task, 1, timeout_s=60) == ["written"]
            await asyncio.to_thread(wait_for, lambda: given_s(lab, task) >= 2, timeout_s=90, what="CPU time")
            before, used = given_s(lab, task), await lab.node.usage(task.start.runtime_id)
            after = given_s(lab, task)
            assert used is not None
            assert before * 0.95 <= used.cpu_ns / 1e9 <= after * 1.05
            assert 64 * MIB <= used.storage_written_bytes <= 64 * MIB * 1.05
            await lab.do(task.remove)

    asyncio.run(body())


def test_a_burner_uses_what_it_may(no_leaks: Settings, tmp_path: Path) -> None:
    """A task of a quarter of a CPU that never pauses uses all of its reservation, or what the machine gives it of that,
    within a twentieth; one that sleeps uses none of it."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            for script, least in (("while :; do :; done", 1.0), ("sleep 600", 0.0)):
                task = lab_task(script)
                await lab.do(task.start)
                given = Given(lab, task)
                found = await look(lab, task, tmp_path, metric("CPUUtilization"), count=8)
                used = statistic(found, "Average")
                assert used is not None
                assert 95 * least * given.share <= used <= 105 * least * given.share + 1
                assert found.unit == "Percent"
                await lab.do(task.remove)
                (tmp_path / "metrics.db").unlink()

    asyncio.run(body())


def test_memory_that_is_held(no_leaks: Settings, tmp_path: Path) -> None:
    """A program that holds 200 MiB of its task's 512 uses 39 percent; pages of a file that was written once, which
    the kernel drops first, count for nothing."""
    script = "dd if=/dev/zero of=/file bs=1M count=100 2>/dev/null; "
    script += "dd if=/dev/zero of=/dev/shm/held bs=1M count=200 2>/dev/null && echo held; exec sleep 600"
    task = lab_task(script)
    linux = {"shared_memory_mib": 300}

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            from portside.domain.task_definition import LinuxParameters

            definition = msgspec.structs.replace(task.start.definition, linux=LinuxParameters(**linux))
            task.start = msgspec.structs.replace(task.start, definition=definition)
            await lab.do(task.start)
            assert await lab.lines(task, 1) == ["held"]
            found = await look(lab, task, tmp_path, metric("MemoryUtilization"), count=1)
            used = statistic(found, "Maximum")
            assert used is not None
            assert 100 * 200 / 512 <= used <= 100 * 210 / 512
            await lab.do(task.remove)

    asyncio.run(body())


def test_container_insights_tell_what_is_used(no_leaks: Settings, tmp_path: Path) -> None:
    """Of a container that burns a quarter of a CPU and has written 64 MiB through to the disk: its CPU units, as far as
    the machine gives them, and what it wrote to the byte's order; the task's own disk holds as much."""
    script = "dd if=/dev/zero of=/file bs=1M count=64 conv=fsync 2>/dev/null; echo written; while :; do :; done"

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task(script)
            await lab.do(task.start)
            assert await lab.lines(task, 1, timeout_s=60) == ["written"]
            of_task = {"TaskId": task.record().id}
            of_container = of_task | {"ContainerName": task.start.container}
            given = Given(lab, task)
            wanted = metric("ContainerCpuUtilized", "ECS/ContainerInsights", **of_container)
            units = statistic(await look(lab, task, tmp_path, wanted, count=8), "Average")
            assert units is not None
            assert 0.95 * 256 * given.share <= units <= 1.05 * 256 * given.share
            for name, dimensions, which, low, high in (
                ("StorageWriteBytes", of_task, "Maximum", 64 * MIB, 1.05 * 64 * MIB),
                ("EphemeralStorageUtilized", of_task, "Maximum", 0.06, 0.09),
                ("TaskEphemeralStorageUtilization", of_task, "Maximum", 0.3, 0.45),
            ):
                wanted = metric(name, "ECS/ContainerInsights", **dimensions)
                used = statistic(await look(lab, task, tmp_path, wanted, count=4), which)
                assert used is not None
                assert low <= used <= high, name
            await lab.do(task.remove)

    asyncio.run(body())
