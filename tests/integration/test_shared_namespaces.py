"""Containers of a task that share their PID or IPC namespace, as real containers."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portside.domain.record import replace
from portside.domain.task_definition import LinuxParameters
from portside.node.container.record import ContainerRecord
from portside.settings import Settings
from portside.testing import leak
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.node_lab import LabTask, NodeLab, lab_task
from portside.testing.wait import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]

GROUP = "/shared"
WAIT = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


@dataclass
class Second(LabTask):
    """Another container of the same task."""

    name: str = "second"

    @property
    def stream(self) -> str:
        return f"test/{self.name}/{self.task_id}"

    def _on_container(self) -> dict[str, Any]:
        return {"task_key": self.key, "container": self.name, "runtime_id": self.start.runtime_id}


def two(first: str, second: str, linux: LinuxParameters | None = None, **modes: str) -> tuple[LabTask, LabTask]:
    """A task of two containers that run these scripts."""
    one, other = lab_task(first, linux=linux), lab_task(second)
    one.start = replace(one.start, **modes)
    start = replace(
        one.start,
        container="second",
        runtime_id=f"{one.task_id}-9876543210",
        definition=replace(other.start.definition, name="second"),
    )
    return one, Second(one.task_id, start)


def record_of(settings: Settings, task: LabTask) -> ContainerRecord:
    file = settings.data_dir / "node/containers" / task.start.runtime_id / "record.json"
    return msgspec.json.decode(file.read_bytes(), type=ContainerRecord)


def holder(settings: Settings, task: LabTask) -> int:
    """The process that holds the task's namespaces."""
    return int((settings.run_dir / "pause" / task.task_id / "pid").read_text())


def test_one_pid_namespace_for_a_task(no_leaks: Settings) -> None:
    """Each container sees the other's processes and can signal them; process 1 is the pause, whose files and rights
    are nobody's, and which a signal from inside does not end; a first process ends by SIGTERM like any other."""
    look = (
        "until ps | grep -q '[s]leep 4321'; do sleep 0.05; done; cat /proc/1/comm; readlink /proc/self/ns/pid;"
        "grep -E 'CapEff|Uid' /proc/1/status; kill -9 1; ls /proc/1/root/ 2>&1 | grep -c denied; test $$ != 1;"
        "echo $?; set -- $(ps | grep '[s]leep 4321'); kill $1"
    )

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            one, other = two(look, "readlink /proc/self/ns/pid; exec sleep 4321", pid_mode="task")
            await lab.do(one.start)
            await lab.do(other.start)
            lines = await lab.lines(one, 6)
            assert lines[0] == "pause"
            assert lines[1:2] == await lab.lines(other, 1)
            assert "65534" in lines[2]
            assert lines[3].split()[1] == "0000000000000000"
            assert lines[4:] == ["1", "0"]
            assert lines[1] != os.readlink("/proc/self/ns/pid")
            exits = {}
            async with asyncio.timeout(30):
                while len(exits) < 2:
                    exits = {fact.container: fact for _, fact in lab.told if hasattr(fact, "exit_code")}
                    await asyncio.sleep(0.01)
            assert (exits["main"].exit_code, exits["second"].exit_code) == (0, 143)
            await lab.do(one.remove)
            assert Path(f"/proc/{holder(no_leaks, one)}").exists()
            await lab.do(other.remove)
            assert not (no_leaks.run_dir / "pause" / one.task_id).exists()

    asyncio.run(body())


def test_the_pause_has_nothing_to_take(no_leaks: Settings) -> None:
    """A container that may trace every process of its namespace finds no file of the host and no network by way of
    process 1."""
    look = "ls /proc/1/root; ls /proc/1/root/proc/sys/net/ipv4/conf; cat /proc/1/net/dev ; echo over"

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            linux = LinuxParameters(capabilities_add=("SYS_PTRACE",))
            one, _ = two(look, "true", linux, pid_mode="task")
            assert (await lab.run(one)).exit_code == 0
            await lab.do(one.remove)
            lines = lab.sink.lines(one.stream)
            assert lines[:3] == ["dev", "pause", "proc"]
            assert not any(each.startswith(("eth", "veth", "wl", "en")) for each in lines)

    asyncio.run(body())


def test_what_a_container_leaves_in_a_shared_namespace(no_leaks: Settings) -> None:
    """Children that outlive a container's first process are ended with it, though they hold its output open, and its
    end is told at once; an orphan that has ended is reaped."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            script = "sleep 5432 & (sleep 0.05 &); sleep 0.2; exit 6"
            one, other = two(script, WAIT, pid_mode="task")
            await lab.do(other.start)
            assert (await lab.run(one)).exit_code == 6
            await lab.do(one.remove)
            session = await lab.node.open_exec(one.key, "second", ["ps"])
            seen = b""
            while chunk := await session.read():
                seen += chunk
            await session.close()
            assert b"5432" not in seen
            assert b"sleep 0.05" not in seen
            assert b"[sleep]" not in seen
            await lab.do(other.signal)
            await lab.do(other.remove)

    asyncio.run(body())


def test_an_init_process_in_a_shared_namespace(no_leaks: Settings) -> None:
    """With initProcessEnabled the container's init is there and hands the exit code on, though it is not process 1."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            one, _ = two("exit 7", "true", LinuxParameters(init_process_enabled=True), pid_mode="task")
            assert (await lab.run(one)).exit_code == 7
            await lab.do(one.remove)

    asyncio.run(body())


def test_one_ipc_namespace_for_a_task(no_leaks: Settings) -> None:
    """POSIX and System V objects of one container are the other's; /dev/shm is as large as the largest wish."""
    make = f"echo hello > /dev/shm/word; readlink /proc/self/ns/ipc; df -m /dev/shm | tail -1; {WAIT}"
    look = "until test -s /dev/shm/word; do sleep 0.05; done; readlink /proc/self/ns/ipc; cat /dev/shm/word"

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            one, other = two(make, look, LinuxParameters(shared_memory_mib=96), ipc_mode="task")
            await lab.do(one.start)
            await lab.do(other.start)
            mine, found = await lab.lines(one, 2), await lab.lines(other, 2)
            assert found == [mine[0], "hello"]
            assert mine[0] != os.readlink("/proc/self/ns/ipc")
            assert mine[1].split()[1] == "96"
            await lab.do(one.remove)
            await lab.do(other.remove)

    asyncio.run(body())


def test_a_new_daemon_and_shared_namespaces(no_leaks: Settings) -> None:
    """Another daemon adopts the containers with their namespace: one that it starts is in it too, and all is gone with
    the last one. Of a task that is no more, nothing is left either."""

    async def body() -> None:
        one, other = two("exec sleep 3210", "ps | grep -c '[s]leep 3210'", pid_mode="task", ipc_mode="task")
        orphan, _ = two(WAIT, "true", pid_mode="task")
        async with NodeLab(no_leaks) as first:
            await first.do(one.start)
            await first.do(orphan.start)
            pid = holder(no_leaks, one)
        async with NodeLab(no_leaks, first.sink) as second:
            await second.node.recover([one.record()])
            assert not (no_leaks.run_dir / "pause" / orphan.task_id).exists()
            await second.do(other.start)
            assert await second.lines(other, 1) == ["1"]
            assert holder(no_leaks, one) == pid
            await second.do(other.remove)
            await second.do(one.remove)

    asyncio.run(body())


def test_the_process_that_holds_the_namespaces_is_killed(no_leaks: Settings) -> None:
    """All containers of the task end with it, which is told; the next one to start has a new namespace."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            one, other = two(WAIT, "cat /proc/1/comm", pid_mode="task")
            await lab.do(one.start)
            os.kill(holder(no_leaks, one), signal.SIGKILL)
            assert (await lab.exited(one)).exit_code == 137
            await lab.do(other.start)
            assert await lab.lines(other, 1) == ["pause"]
            await lab.do(one.remove)
            await lab.do(other.remove)

    asyncio.run(body())


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="default")
        running.client("logs").create_log_group(logGroupName=GROUP)
        yield running


def test_a_fargate_task_with_one_pid_namespace(portside: Instance) -> None:
    """Through the API: order of start and stop, a health check that sees the other container, ECS Exec, kill -9 of the
    daemon, and nothing is left."""
    options = {"awslogs-group": GROUP, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}
    log = {"logConfiguration": {"logDriver": "awslogs", "options": options}}
    stop_first = "trap 'echo stopping; exit 0' TERM; while :; do sleep 0.1; done"
    portside.register(
        "shared",
        {
            "name": "watcher",
            "command": ["sh", "-c", stop_first],
            "dependsOn": [{"containerName": "app", "condition": "START"}],
            "healthCheck": {"command": ["CMD-SHELL", "ps | grep -q '[s]leep 7654'"], "interval": 5},
            **log,
        },
        {"name": "app", "command": ["sleep", "7654"], **log},
        pidMode="task",
    )
    arn = portside.run_task("shared", enableExecuteCommand=True)
    portside.wait_task(arn, "RUNNING")
    wait_for(lambda: portside.task(arn)["healthStatus"] == "HEALTHY", timeout_s=20, what="health")
    portside.kill()
    portside.start()
    portside.ready()
    assert portside.wait_task(arn, "RUNNING")["desiredStatus"] == "RUNNING"
    wait_for(lambda: portside.task(arn)["healthStatus"] == "HEALTHY", timeout_s=20, what="health again")
    shown = subprocess.run(
        [
            *(sys.executable, "-m", "portside.cli", "exec", "--data-dir", str(portside.settings.data_dir)),
            *(arn, "-c", "watcher", "--", "ps"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    assert b"sleep 7654" in shown.stdout, shown.stderr
    portside.client("ecs").stop_task(cluster="default", task=arn)
    task = portside.wait_task(arn, "STOPPED")
    codes = {each["name"]: each["exitCode"] for each in task["containers"]}
    assert codes == {"watcher": 0, "app": 143}
    left = leak.wait_for_none(leak.Leaks(), arn.rpartition("/")[2])
    assert not left, f"left behind: {left}"
