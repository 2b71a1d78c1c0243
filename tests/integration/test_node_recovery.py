"""A new daemon over what an earlier one left: running, ended, half-started and orphaned containers."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest

from portside.domain.record import replace
from portside.domain.task.record import ContainerExited, ContainerStarted
from portside.node.container.record import ContainerRecord
from portside.node.process import start_time
from portside.node.teardown import end_containers, teardown
from portside.settings import Settings
from portside.testing import leak
from portside.testing.node_lab import LabTask, NodeLab, lab_task
from portside.testing.wait import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]


def record_of(settings: Settings, task: LabTask) -> ContainerRecord:
    file = settings.data_dir / "node/containers" / task.start.runtime_id / "record.json"
    return msgspec.json.decode(file.read_bytes(), type=ContainerRecord)


def test_running_containers_are_adopted(no_leaks: Settings) -> None:
    """Containers go on without a daemon; a new one reports them as started, watches them, can signal and remove them,
    and delivers what they wrote meanwhile, each line once."""

    async def body() -> None:
        task = lab_task(
            "trap 'echo bye; exit 9' TERM; echo one; read x < /go; echo two; while :; do sleep 0.1; done",
            entry_point=("/bin/sh", "-c"),
        )
        task = with_fifo(task)
        async with NodeLab(no_leaks) as first:
            started = await first.do(task.start)
            await first.lines(task, 1)
        # No daemon now.
        pid = record_of(no_leaks, task).pid
        Path(f"/proc/{pid}/root/go").write_text("x\n")
        output = no_leaks.data_dir / "node/containers" / task.start.runtime_id / "output.log"
        wait_for(lambda: "two" in output.read_text(), timeout_s=10)
        async with NodeLab(no_leaks, first.sink) as second:
            assert await second.node.recover([task.record()]) == [(task.key, started)]
            assert await second.lines(task, 2) == ["one", "two"]
            await second.do(task.signal)
            assert (await second.exited(task)).exit_code == 9
            await second.do(task.remove)
            assert second.sink.lines(task.stream) == ["one", "two", "bye"]

    asyncio.run(body())


def with_fifo(task: LabTask) -> LabTask:
    """The script waits at a FIFO that it makes first."""
    script = task.start.definition.command
    assert script is not None
    definition = replace(task.start.definition, command=("mkfifo /go; " + script[0],))
    return LabTask(task.task_id, replace(task.start, definition=definition))


def test_exits_without_a_daemon_are_reported(no_leaks: Settings) -> None:
    """A container that ended while no daemon ran is reported with its exit code, its last line delivered; so is one
    that was killed for memory."""

    async def body() -> None:
        plain = with_fifo(lab_task("read x < /go; echo last; exit 5"))
        hog = with_fifo(lab_task("read x < /go; exec tail /dev/zero", memory_mib=32))
        async with NodeLab(no_leaks) as first:
            started = {task.key: await first.do(task.start) for task in (plain, hog)}
            folders = [no_leaks.data_dir / "node/containers" / each.start.runtime_id for each in (plain, hog)]
            for task in (plain, hog):
                fifo = Path(f"/proc/{record_of(no_leaks, task).pid}/root/go")
                await asyncio.to_thread(wait_for, fifo.exists, timeout_s=10)
        for task in (plain, hog):
            Path(f"/proc/{record_of(no_leaks, task).pid}/root/go").write_text("x\n")
        wait_for(lambda: all((each / "exit" / each.name).exists() for each in folders), timeout_s=20)
        async with NodeLab(no_leaks, first.sink) as second:
            facts = await second.node.recover([plain.record(), hog.record()])
            assert [fact for key, fact in facts if isinstance(fact, ContainerStarted)] == list(started.values())
            exits = {key: fact for key, fact in facts if isinstance(fact, ContainerExited)}
            assert (exits[plain.key].exit_code, exits[plain.key].oom_killed) == (5, False)
            assert (exits[hog.key].exit_code, exits[hog.key].oom_killed) == (137, True)
            assert exits[plain.key].exited_at is not None
            await second.do(plain.remove)
            await second.do(hog.remove)
            assert second.sink.lines(plain.stream) == ["last"]

    asyncio.run(body())


def test_what_belongs_to_no_task_is_removed(no_leaks: Settings) -> None:
    """A container whose task is no more is killed and removed at recovery, with its cgroup and namespace."""

    async def body() -> None:
        task = lab_task("echo ready; sleep 1000", network_mode="awsvpc")
        async with NodeLab(no_leaks) as first:
            await first.do(task.create_network)
            await first.do(task.start)
            await first.lines(task, 1)
        async with NodeLab(no_leaks) as second:
            assert await second.node.recover([]) == []
            found = await asyncio.to_thread(leak.wait_for_none, leak.Leaks(), task.task_id, timeout_s=5)
            assert not found, str(found)
            assert list((no_leaks.data_dir / "node/containers").iterdir()) == []

    asyncio.run(body())


def test_a_container_that_nobody_remembers(no_leaks: Settings) -> None:
    """A task that was running according to the store, of which the machine has nothing: gone, exit code unknown."""

    async def body() -> None:
        task = lab_task("true")
        async with NodeLab(no_leaks) as lab:
            facts = await lab.node.recover([task.record()])
            assert facts == [(task.key, ContainerExited(container="main", exit_code=None))]
            assert await lab.node.recover([task.record(started=False)]) == []

    asyncio.run(body())


@pytest.mark.parametrize("daemon_runs", [True, False])
def test_a_killed_monitor(no_leaks: Settings, daemon_runs: bool) -> None:
    """conmon killed: the container is ended, since nobody could tell its exit or keep its output any more, and is
    reported as gone without a code; at once, or at the next start of the daemon."""

    async def body() -> None:
        task = lab_task("echo ready; sleep 1000")
        async with NodeLab(no_leaks) as first:
            await first.do(task.start)
            await first.lines(task, 1)
            record = record_of(no_leaks, task)
            assert record.monitor_pid is not None
            if daemon_runs:
                os.kill(record.monitor_pid, signal.SIGKILL)
                assert await first.exited(task) == ContainerExited(container="main", exit_code=None, restart=0)
                assert not Path(f"/proc/{record.pid}/exe").exists()
                await first.do(task.remove)
                return
        monitor = record.monitor_pid
        os.kill(monitor, signal.SIGKILL)
        await asyncio.to_thread(wait_for, lambda: start_time(monitor) is None, timeout_s=10)
        async with NodeLab(no_leaks, first.sink) as second:
            facts = await second.node.recover([task.record()])
            assert facts[-1] == (task.key, ContainerExited(container="main", exit_code=None, restart=0))
            await second.do(task.remove)

    asyncio.run(body())


_DAEMON = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    import msgspec
    from portside.domain.task.record import StartContainer
    from portside.settings import Settings
    from portside.testing.node_lab import NodeLab

    async def main():
        effects = msgspec.json.decode(sys.stdin.buffer.read(), type=list[StartContainer])
        async with NodeLab(Settings(data_dir=Path(sys.argv[1]), egress="none", hosts_file=None)) as lab:
            print("up", flush=True)
            async def one(effect):
                fact = await lab.do(effect)
                print(effect.runtime_id, fact.pid, flush=True)
            await asyncio.gather(*(one(each) for each in effects))
            await asyncio.sleep(1000)

    asyncio.run(main())
    """
)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_the_daemon_killed_while_starting(no_leaks: Settings, after: int) -> None:
    """kill -9 with starts at every stage: what runs is adopted, what was half made is made anew when asked for again,
    and each container's program has run exactly once more than it was adopted."""
    tasks = [lab_task("echo ready; sleep 1000") for _ in range(8)]
    child = subprocess.Popen(
        [sys.executable, "-c", _DAEMON, str(no_leaks.data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(msgspec.json.encode([task.start for task in tasks]))
    child.stdin.close()
    for _ in range(after + 1):
        assert child.stdout.readline()
    child.kill()
    child.wait()
    child.stdout.close()

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            facts = await lab.node.recover([task.record(started=False) for task in tasks])
            adopted = {key: fact for key, fact in facts if isinstance(fact, ContainerStarted)}
            assert len(adopted) >= after
            assert not any(isinstance(fact, ContainerExited) for _, fact in facts)
            for task in tasks:
                fact = await lab.do(task.start)
                assert isinstance(fact, ContainerStarted)
                assert adopted.get(task.key, fact) == fact
                assert os.path.exists(f"/proc/{fact.pid}/exe")
                output = no_leaks.data_dir / "node/containers" / task.start.runtime_id / "output.log"
                await asyncio.to_thread(wait_for, lambda output=output: "ready" in output.read_text(), timeout_s=10)
                assert output.read_text().count("ready") == 1
            for task in tasks:
                await lab.do(task.remove)

    asyncio.run(body())


def test_teardown_without_a_daemon(no_leaks: Settings) -> None:
    """All that runs is gone after teardown; the next daemon reports how the containers ended."""

    async def body() -> None:
        tasks = [lab_task("echo ready; sleep 1000", network_mode="awsvpc") for _ in range(3)]
        async with NodeLab(no_leaks) as first:
            for task in tasks:
                await first.do(task.create_network)
                await first.do(task.start)
                output = no_leaks.data_dir / "node/containers" / task.start.runtime_id / "output.log"
                await asyncio.to_thread(wait_for, lambda output=output: "ready" in output.read_text(), timeout_s=10)
        teardown(no_leaks)
        left = await asyncio.to_thread(
            leak.wait_for_none, leak.Leaks(), no_leaks.instance_id, str(no_leaks.data_dir), timeout_s=5
        )
        assert not left, str(left)
        async with NodeLab(no_leaks, first.sink) as second:
            facts = await second.node.recover([task.record() for task in tasks])
            exits = [fact for _, fact in facts if isinstance(fact, ContainerExited)]
            assert [each.exit_code for each in exits] == [137, 137, 137]
            for task in tasks:
                await second.do(task.remove)
                await second.do(task.release_network)
                assert second.sink.lines(task.stream) == ["ready"]

    asyncio.run(body())


def test_containers_end_before_the_machine_does(no_leaks: Settings) -> None:
    """Before a halt each container gets its stop signal, a deaf one SIGKILL; the next daemon reports both ends."""

    async def body() -> None:
        polite = lab_task("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
        deaf = lab_task("trap '' TERM; echo ready; sleep 1000")
        async with NodeLab(no_leaks) as first:
            for task in (polite, deaf):
                await first.do(task.start)
                await first.lines(task, 1)
        # Long enough for the polite one on any machine: it is the deaf one that takes all of it.
        end_containers(no_leaks, grace_s=5)
        async with NodeLab(no_leaks, first.sink) as second:
            facts = await second.node.recover([polite.record(), deaf.record()])
            codes = {key: fact.exit_code for key, fact in facts if isinstance(fact, ContainerExited)}
            assert codes == {polite.key: 3, deaf.key: 137}
            for task in (polite, deaf):
                await second.do(task.remove)
            assert second.sink.lines(polite.stream) == ["ready", "bye"]

    asyncio.run(body())
