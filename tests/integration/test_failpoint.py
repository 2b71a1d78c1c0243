"""The daemon killed before and after each step by which a container comes and goes: the next one finishes the work."""

from collections.abc import Iterator
from typing import Any

import pytest

from portside.node.failpoint import MOMENTS
from portside.node.hook import (
    CgroupHook,
    ContainerHook,
    EnvironmentHook,
    ImageHook,
    LogHook,
    NamespaceHook,
    RootfsHook,
)
from portside.testing import leak
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

HOOKS = [
    each.name for each in (ImageHook, EnvironmentHook, RootfsHook, CgroupHook, NamespaceHook, LogHook, ContainerHook)
]
PREPARES = [f"{moment}-{name}" for name in HOOKS for moment in MOMENTS if "prepare" in moment]
RELEASES = [f"{moment}-{name}" for name in HOOKS for moment in MOMENTS if "release" in moment]
FAMILY, GROUP = "once", "/failpoint"


@pytest.fixture(scope="module")
def shared() -> Iterator[Instance]:
    """One instance for all: with the network of its VPC made, so that later tests find it as it is."""
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="default")
        running.client("logs").create_log_group(logGroupName=GROUP)
        options = {"awslogs-group": GROUP, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}
        log = {"logDriver": "awslogs", "options": options}
        command = ["sh", "-c", "echo started; exec sleep 600"]
        running.register(FAMILY, {"command": command, "logConfiguration": log}, pidMode="task")
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


def started(portside: Instance) -> str:
    arn = portside.run_task(FAMILY)
    portside.wait_task(arn, "RUNNING")
    return arn


def stop(portside: Instance, arn: str) -> dict[str, Any]:
    portside.client("ecs").stop_task(cluster="default", task=arn)
    return portside.wait_task(arn, "STOPPED")


def runs_of(portside: Instance, arn: str) -> int:
    """How often the program of the task was started, by its own words."""
    stream = f"p/main/{arn.rsplit('/', 1)[-1]}"
    return len(portside.client("logs").get_log_events(logGroupName=GROUP, logStreamName=stream)["events"])


@pytest.mark.parametrize("failpoint", PREPARES)
def test_killed_while_a_container_starts(portside: Instance, failpoint: str) -> None:
    """The task runs, its program was started once, and nothing is left once it was stopped."""
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


def test_unknown_failpoint(portside: Instance) -> None:
    """A failpoint that does not exist is refused at the start, with those that do: the very ones tested here."""
    portside.stop()
    portside.start(PORTSIDE_FAILPOINT="after-lunch")
    refusal = "PORTSIDE_FAILPOINT is one of "
    wait_for(lambda: "not 'after-lunch'" in portside.log, timeout_s=20, what="refusal")
    told = portside.log.rsplit(refusal, 1)[1].partition(", not ")[0]
    restart(portside)
    assert set(told.split(", ")) == {*PREPARES, *RELEASES}
