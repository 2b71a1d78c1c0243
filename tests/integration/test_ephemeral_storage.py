"""A task's containers can write as much as the task's `ephemeralStorage`, together, and no more."""

import asyncio
import os
import signal
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from portside.domain.task.record import RemoveContainer, StartContainer
from portside.node import loop
from portside.node.rootfs import overlay
from portside.node.rootfs.ephemeral import EphemeralStorage
from portside.settings import Settings
from portside.testing.node_lab import LabTask, MemorySink, NodeLab, lab_task

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]

MIB = 1024**2
WAIT = "exec sleep 600"


def first(script: str) -> LabTask:
    """A task with the smallest disk that there can be on a node."""
    task = lab_task(script)
    return LabTask(task.task_id, msgspec.structs.replace(task.start, ephemeral_storage_gib=1))


def second(task: LabTask, script: str) -> StartContainer:
    """Another container of the same task."""
    definition = msgspec.structs.replace(task.start.definition, name="other", command=(script,))
    return msgspec.structs.replace(
        task.start, container="other", runtime_id=f"{task.task_id}-other", definition=definition
    )


def removal(start: StartContainer) -> RemoveContainer:
    return RemoveContainer(task_key=start.task_key, container=start.container, runtime_id=start.runtime_id)


async def told(sink: MemorySink, stream: str, word: str) -> list[str]:
    """The output of a container once a line holds the word."""
    async with asyncio.timeout(60):
        while not any(word in line for line in sink.lines(stream)):
            sink.news.clear()
            await sink.news.wait()
    return sink.lines(stream)


def disks(settings: Settings) -> list[Path]:
    return list((settings.data_dir / "node" / "storage").glob("*/disk"))


def test_containers_share_the_limit(no_leaks: Settings) -> None:
    """What one container wrote is missing to the other; whoever wants more is told that no space is left. What a
    removed container wrote is free again, and with the last one the disk is gone."""
    task = first(f"dd if=/dev/zero of=/a bs=1M count=600 && echo written; {WAIT}")
    other = second(task, f"dd if=/dev/zero of=/b bs=1M; du -m /b; {WAIT}")

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            await lab.do(task.start)
            await told(lab.sink, task.stream, "written")
            await lab.do(other)
            lines = await told(lab.sink, f"test/other/{task.task_id}", "\t/b")
            assert any("No space left on device" in line for line in lines), lines
            size_mib = int(lines[-1].split()[0])
            assert 350 < size_mib < 424
            used, reserved = lab.node.ephemeral_storage(task.task_id) or (0, 0)
            assert reserved == 1024 * MIB
            assert 950 * MIB < used <= reserved
            await lab.do(removal(task.start))
            used, _ = lab.node.ephemeral_storage(task.task_id) or (0, 0)
            assert used < 424 * MIB
            await lab.do(removal(other))
            assert lab.node.ephemeral_storage(task.task_id) is None

    asyncio.run(body())
    assert disks(no_leaks) == []


def test_containers_that_start_at_once(no_leaks: Settings) -> None:
    """Containers of one task that start at the same moment get one disk."""
    task = first(WAIT)
    others = [
        msgspec.structs.replace(second(task, WAIT), container=f"c{number}", runtime_id=f"{task.task_id}-{number}")
        for number in range(4)
    ]

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            await asyncio.gather(*(lab.do(each) for each in others))
            assert len(loop.attached(no_leaks.data_dir)) == 1
            await asyncio.gather(*(lab.do(removal(each)) for each in others))

    asyncio.run(body())
    assert disks(no_leaks) == []


def test_adopted_by_the_next_daemon(no_leaks: Settings) -> None:
    """A new daemon finds the disk of a running task, counts it, starts another container on it, and removes it with
    the task; a disk of no task is removed."""
    task = first(f"dd if=/dev/zero of=/a bs=1M count=5 && echo written; {WAIT}")
    other = second(task, f"echo hello > /b && cat /b; {WAIT}")
    stray = no_leaks.data_dir / "node" / "storage" / "0123456789"

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            await lab.do(task.start)
            await told(lab.sink, task.stream, "written")
            before = lab.node.ephemeral_storage(task.task_id)
        stray.mkdir()
        async with NodeLab(no_leaks, lab.sink) as lab:
            await lab.node.recover([task.record()])
            assert lab.node.ephemeral_storage(task.task_id) == before
            await lab.do(other)
            await told(lab.sink, f"test/other/{task.task_id}", "hello")
            assert len(loop.attached(no_leaks.data_dir)) == 1
            for start in (other, task.start):
                await lab.do(removal(start))

    asyncio.run(body())
    assert not stray.exists()
    assert disks(no_leaks) == []


@pytest.mark.parametrize("step", ["copied", "attached", "mounted"])
def test_killed_while_the_disk_is_made(no_leaks: Settings, step: str) -> None:
    """A daemon killed after any step by which a disk is made: the next one starts the container, and removes it all."""
    task = first(f"echo hello > /a && cat /a; {WAIT}")

    def die(*_: object, **__: object) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    async def die_half_way() -> None:
        with pytest.MonkeyPatch.context() as patch:
            async with NodeLab(no_leaks) as lab:
                match step:
                    case "copied":
                        patch.setattr(loop, "attach", die)
                    case "attached":
                        patch.setattr(EphemeralStorage, "_mount_and_hold", die)
                    case _:
                        patch.setattr(overlay, "mount", die)
                await lab.do(task.start)

    child = os.fork()
    if child == 0:
        try:
            asyncio.run(die_half_way())
        finally:  # whatever happens, the copy of this process does not run the tests that follow
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            await lab.node.recover([task.record(started=False)])
            await lab.do(task.start)
            await told(lab.sink, task.stream, "hello")
            assert len(loop.attached(no_leaks.data_dir)) == 1
            await lab.do(task.remove)

    asyncio.run(body())
    assert disks(no_leaks) == []


def test_without_loop_devices(
    no_leaks: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a machine without loop devices tasks run all the same, without a limit, and the log says so."""
    monkeypatch.setattr(loop, "CONTROL", Path("/dev/no-such-device"))
    task = lab_task("echo x > /x")

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            assert (await lab.run(task)).exit_code == 0
            assert lab.node.ephemeral_storage(task.task_id) is None
            await lab.do(task.remove)

    asyncio.run(body())
    assert "ephemeralStorage is not enforced" in caplog.text
    assert "modprobe loop" in caplog.text
