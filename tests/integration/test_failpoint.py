"""The daemon killed before, within and after each step of a task's life: the next one finishes the work."""

import asyncio
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portside.domain.record import replace
from portside.domain.task.record import ContainerExited, Exit
from portside.node.failpoint import EBS_MOMENTS, LOG_MOMENTS, MOMENTS, RESTART_MOMENTS, WITHIN, of_effects
from portside.node.hook import (
    CgroupHook,
    ContainerHook,
    EnvironmentHook,
    ImageHook,
    LogHook,
    NamespaceHook,
    RootfsHook,
)
from portside.settings import Settings
from portside.testing import leak
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.node_lab import NodeLab, lab_task
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

HOOKS = [
    each.name for each in (ImageHook, EnvironmentHook, RootfsHook, CgroupHook, NamespaceHook, LogHook, ContainerHook)
]
PREPARES = [f"{moment}-{name}" for name in HOOKS for moment in MOMENTS if "prepare" in moment]
RELEASES = [f"{moment}-{name}" for name in HOOKS for moment in MOMENTS if "release" in moment]
RESTARTS = [f"{moment}-{name}" for name in HOOKS for moment in RESTART_MOMENTS]
EFFECTS = [*of_effects(), *WITHIN]
STARTING = [each for each in EFFECTS if each.endswith(("pull-image", "create-network", "prepare-namespace"))]
STOPPING = [each for each in EFFECTS if each not in STARTING]
FAMILY, DEAF, GROUP, WORD = "once", "deaf", "/failpoint", "open-sesame"


@pytest.fixture(scope="module")
def shared() -> Iterator[Instance]:
    """One instance for all: with the network of its VPC made, so that later tests find it as it is."""
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="default")
        running.client("logs").create_log_group(logGroupName=GROUP)
        options = {"awslogs-group": GROUP, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}
        log = {"logDriver": "awslogs", "options": options}
        running.client("ssm").put_parameter(Name="/word", Type="SecureString", Value=WORD)
        command = ["sh", "-c", "echo $WORD; exec sleep 600"]
        container = {"command": command, "logConfiguration": log, "stopTimeout": 2}
        container["secrets"] = [{"name": "WORD", "valueFrom": "/word"}]
        mount = {"mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}]}
        running.register(FAMILY, {**container, **mount}, pidMode="task", volumes=[{"name": "data"}])
        deaf = ["sh", "-c", "trap '' TERM; echo $WORD; while :; do sleep 0.1; done"]
        running.register(DEAF, {**container, **mount, "command": deaf}, volumes=[{"name": "data"}])
        stop(running, started(running))
        yield running


@pytest.fixture
def portside(shared: Instance) -> Iterator[Instance]:
    """The instance, of which the test leaves no more than it found."""
    words = (shared.settings.instance_id, str(shared.settings.data_dir))
    before = leak.wait_for_none(leak.Leaks(), *words, timeout_s=0)
    yield shared
    left = leak.wait_for_none(before, *words)
    assert not left, f"left behind: {left}"
    node = shared.settings.data_dir / "node"
    assert not list((node / "containers").iterdir())
    assert not list((node / "storage").glob("*/disk"))
    assert not list((shared.settings.run_dir / "pause").iterdir())


def restart(portside: Instance, **environment: str) -> None:
    portside.stop()
    portside.start(**environment)
    portside.ready()


def started(portside: Instance, family: str = FAMILY) -> str:
    arn = portside.run_task(family)
    portside.wait_task(arn, "RUNNING")
    # A program that is none's process 1 is ended by a signal that comes before its first word.
    wait_for(lambda: runs_of(portside, arn) > 0, timeout_s=20, what="the program's word")
    return arn


def stop(portside: Instance, arn: str) -> dict[str, Any]:
    portside.client("ecs").stop_task(cluster="default", task=arn)
    return portside.wait_task(arn, "STOPPED")


def runs_of(portside: Instance, arn: str) -> int:
    """How often the program of the task was started, by its own words: its secret, each time."""
    stream = f"p/main/{arn.rsplit('/', 1)[-1]}"
    events = portside.client("logs").get_log_events(logGroupName=GROUP, logStreamName=stream)["events"]
    assert [each["message"] for each in events] == [WORD] * len(events)
    return len(events)


@pytest.mark.parametrize("failpoint", [*STARTING, *PREPARES])
def test_killed_while_a_container_starts(portside: Instance, failpoint: str) -> None:
    """The task runs, its program was started once, with its secret, and nothing is left once it was stopped."""
    restart(portside, PORTSIDE_FAILPOINT=failpoint)
    arn = portside.run_task(FAMILY)
    portside.died()
    restart(portside)
    portside.wait_task(arn, "RUNNING")
    wait_for(lambda: runs_of(portside, arn) > 0, timeout_s=20, what="the program's word")
    stop(portside, arn)
    assert runs_of(portside, arn) == 1


@pytest.mark.parametrize("failpoint", RELEASES)
def test_killed_while_a_container_is_removed(portside: Instance, failpoint: str) -> None:
    """The task stops, with the exit code and the output of its one run, and nothing is left."""
    restart(portside, PORTSIDE_FAILPOINT=failpoint)
    arn = started(portside)
    portside.client("ecs").stop_task(cluster="default", task=arn, reason="done")
    portside.died()
    restart(portside)
    task = portside.wait_task(arn, "STOPPED")
    assert task["stoppedReason"] == "done"
    assert task["containers"][0]["exitCode"] == 143
    assert runs_of(portside, arn) == 1


@pytest.mark.parametrize("failpoint", STOPPING)
def test_killed_while_a_task_stops(portside: Instance, failpoint: str) -> None:
    """Signal, kill, volumes, network: the task stops with the exit code of SIGKILL, since it does not heed the signal,
    its program was started once, and nothing is left."""
    restart(portside, PORTSIDE_FAILPOINT=failpoint)
    arn = started(portside, DEAF)
    portside.client("ecs").stop_task(cluster="default", task=arn, reason="done")
    portside.died()
    restart(portside)
    task = portside.wait_task(arn, "STOPPED")
    assert task["containers"][0]["exitCode"] == 137
    assert runs_of(portside, arn) == 1


@pytest.mark.parametrize("failpoint", ["before-put-log", "after-put-log"])
def test_killed_while_output_is_delivered(portside: Instance, failpoint: str) -> None:
    """No line is lost, and none comes again, also of a batch that the store has taken and the dead daemon could not
    note. The container runs on."""
    assert failpoint in LOG_MOMENTS
    restart(portside, PORTSIDE_FAILPOINT=failpoint)
    arn = portside.run_task(FAMILY)
    portside.died()
    restart(portside)
    portside.wait_task(arn, "RUNNING")
    wait_for(lambda: runs_of(portside, arn) > 0, timeout_s=20, what="the program's word")
    stop(portside, arn)
    assert runs_of(portside, arn) == 1


DYING = textwrap.dedent(
    """
    import asyncio, sys
    import msgspec
    from pathlib import Path
    from portside.domain.record import replace
    from portside.domain.task.record import StartContainer
    from portside.settings import Settings
    from portside.testing.node_lab import LabTask, NodeLab

    async def body():
        settings = Settings(data_dir=Path(sys.argv[1]), egress="none", hosts_file=None, failpoint=sys.argv[2])
        start = msgspec.json.decode(Path(sys.argv[3]).read_bytes(), type=StartContainer)
        task = LabTask(start.task_key.rpartition("/")[2], start)
        async with NodeLab(settings) as lab:
            await lab.run(task)
            await lab.node.execute(replace(start, restart=1))

    asyncio.run(body())
    """
)


@pytest.mark.usefixtures("busybox")
@pytest.mark.parametrize("failpoint", RESTARTS)
def test_killed_while_a_container_is_restarted(no_leaks: Settings, tmp_path: Path, failpoint: str) -> None:
    """Its next run is one, and begins once the last one is over; it finds what the first one wrote, its output goes on
    in the same stream, and nothing is left."""
    script = 'echo "run of $(wc -l < /runs)"; exec sleep 1000'
    first = "echo 1 > /runs; exit 3"
    task = lab_task(f"if test -e /runs; then {script}; fi; {first}")
    task.start = replace(task.start, pid_mode="task")
    file = tmp_path / "start.json"
    file.write_bytes(msgspec.json.encode(task.start))
    done = subprocess.run(
        [sys.executable, "-c", DYING, str(no_leaks.data_dir), failpoint, str(file)], timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            record = task.record()
            now = datetime.now(UTC)
            history = replace(
                record.history[0], down=Exit(code=3, at=now), restarts=1, restart_issued_at=now, restarted_at=None
            )
            facts = await lab.node.recover([replace(record, history=(history,))])
            ends = [fact for _, fact in facts if isinstance(fact, ContainerExited) and fact.restart == 1]
            assert ends == [], "the second run has not ended"
            await lab.do(replace(task.start, restart=1))
            assert (await lab.lines(task, 1))[-1:] == ["run of 1"]
            await lab.do(task.kill)
            await lab.exited(task)
            await lab.do(task.remove)
            assert lab.sink.lines(task.stream) == ["run of 1"]

    asyncio.run(body())


def test_unknown_failpoint(portside: Instance) -> None:
    """A failpoint that does not exist is refused at the start, with those that do: the very ones tested here."""
    portside.stop()
    portside.start(PORTSIDE_FAILPOINT="after-lunch")
    refusal = "PORTSIDE_FAILPOINT is one of "
    wait_for(lambda: "not 'after-lunch'" in portside.log, timeout_s=20, what="refusal")
    told = portside.log.rsplit(refusal, 1)[1].partition(", not ")[0]
    restart(portside)
    assert set(told.split(", ")) == {*PREPARES, *RELEASES, *RESTARTS, *EFFECTS, *EBS_MOMENTS, *LOG_MOMENTS}
