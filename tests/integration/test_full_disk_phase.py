"""The disk filled up in each phase of a task's life: the daemon stops itself there, the disk is filled, it goes on."""

import os
import secrets
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from portside.node.failpoint import LOG_MOMENTS, MOMENTS, of_effects
from portside.testing import leak
from portside.testing.full_disk import fill
from portside.testing.image import ensure_busybox_image, remove_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.registry import push, registry
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

GROUP = "/full"
HOOKS = ("rootfs", "cgroup", "log", "container")
PREPARES = [f"{moment}-{hook}" for hook in HOOKS for moment in MOMENTS if "prepare" in moment]
RELEASES = [f"{moment}-{hook}" for hook in HOOKS for moment in MOMENTS if "release" in moment]
UP = [each for each in of_effects() if each.endswith(("pull-image", "create-network"))]
DOWN = [each for each in of_effects() if each not in UP]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance whose data folder is on a small disk."""
    ensure_busybox_image(IMAGE)
    disk = tmp_path_factory.mktemp("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "portside-test", str(disk)], check=True)
    try:
        with instance(disk) as running:
            running.client("ecs").create_cluster(clusterName="default")
            running.client("logs").create_log_group(logGroupName=GROUP)
            options = {"awslogs-group": GROUP, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}
            log = {"logDriver": "awslogs", "options": options}
            mount = {"mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}]}
            command = ["sh", "-c", "trap '' TERM; echo started; while :; do sleep 0.1; done"]
            running.register("deaf", {"command": command, "logConfiguration": log, **mount}, volumes=[{"name": "data"}])
            ended(running, running.run_task("deaf"))
            yield running
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def small(shared: Instance) -> Iterator[Instance]:
    """The instance, of which the test leaves no more than it found."""
    words = (shared.settings.instance_id, str(shared.settings.data_dir))
    before = leak.wait_for_none(leak.Leaks(), *words, timeout_s=0)
    yield shared
    left = leak.wait_for_none(before, *words)
    assert not left, f"left behind: {left}"
    node = shared.settings.data_dir / "node"
    assert not list((node / "containers").iterdir())
    assert not list((node / "storage").glob("*/disk"))


@contextmanager
def seen_full(portside: Instance) -> Iterator[None]:
    """The disk is full when the daemon has come to its moment, it goes on, and a change is refused: so it has met the
    full disk. Then there is room again, and it goes on past its moment as often as it comes there."""
    wait_for(portside.halted, timeout_s=30, what="the failpoint")
    filler = fill(portside.settings.data_dir.parent)
    over = threading.Event()

    def keep_going() -> None:
        while not over.wait(0.01):
            if portside.halted():
                portside.go_on()

    going = threading.Thread(target=keep_going)
    going.start()
    try:
        wait_for(lambda: refuses(portside), timeout_s=30, what="a refusal")
        filler.unlink()
        yield
    finally:
        over.set()
        going.join()


def refuses(portside: Instance) -> bool:
    """Whether a change is refused for want of space; the database may have some room of its own left."""
    fill(portside.settings.data_dir.parent)
    tags = [{"key": "k", "value": "v" * 200}]
    try:
        portside.client("ecs").create_cluster(clusterName=f"full-{secrets.token_hex(8)}", tags=tags)
    except ClientError as error:
        return "free space" in str(error)
    return False


def begin(portside: Instance, failpoint: str) -> None:
    portside.stop()
    portside.start(PORTSIDE_FAILPOINT=f"{failpoint}:stop")
    portside.ready()


def fill_there(portside: Instance) -> Path:
    """Fill the disk when the daemon has come to its moment, and let it go on: it answers, as far as it can."""
    wait_for(portside.halted, timeout_s=30, what="the failpoint")
    filler = fill(portside.settings.data_dir.parent)
    portside.go_on()
    wait_for(lambda: going_on(portside) and portside.health()["status"] == "ok", timeout_s=20, what="an answer")
    return filler


def going_on(portside: Instance) -> bool:
    """Past its moment, however often it comes there."""
    if portside.halted():
        portside.go_on()
        return False
    return True


def make_room(portside: Instance, filler: Path) -> None:
    """With room again, and with no failpoint: a new daemon takes over what this one has left."""
    filler.unlink()
    portside.kill()
    portside.start(PORTSIDE_FAILPOINT="")
    portside.ready()


def settled(portside: Instance, arn: str) -> dict[str, Any] | None:
    task = portside.task(arn)
    return task if task["lastStatus"] in ("RUNNING", "STOPPED") else None


def ended(portside: Instance, arn: str) -> dict[str, Any]:
    portside.wait_task(arn, "RUNNING")
    portside.client("ecs").stop_task(cluster="default", task=arn)
    return portside.wait_task(arn, "STOPPED")


def words_of(portside: Instance, arn: str) -> list[str]:
    stream = f"p/main/{arn.rsplit('/', 1)[-1]}"
    try:
        events = portside.client("logs").get_log_events(logGroupName=GROUP, logStreamName=stream)["events"]
    except ClientError:
        return []
    return [each["message"] for each in events]


@pytest.mark.parametrize("failpoint", [*UP, *PREPARES, *LOG_MOMENTS])
def test_full_while_a_task_starts(small: Instance, failpoint: str) -> None:
    """It runs in the end, its program started once and its word delivered, or it ended for want of space and says so;
    nothing is left of it after it was stopped."""
    begin(small, failpoint)
    arn = small.run_task("deaf")
    filler = fill_there(small)
    make_room(small, filler)
    task = wait_for(lambda: settled(small, arn), timeout_s=60, what="an end of its start")
    assert task is not None
    if task["lastStatus"] == "STOPPED":
        assert "No space left on device" in task["stoppedReason"], task
        return
    wait_for(lambda: words_of(small, arn), timeout_s=20, what="the program's word")
    assert ended(small, arn)["containers"][0]["exitCode"] == 137
    assert set(words_of(small, arn)) == {"started"}
    assert len(words_of(small, arn)) == 1 or failpoint in LOG_MOMENTS


@pytest.mark.parametrize("failpoint", [*DOWN, *RELEASES])
def test_full_while_a_task_stops(small: Instance, failpoint: str) -> None:
    """It is STOPPED in the end, with the reason and the exit code as without, and nothing of it is left."""
    begin(small, failpoint)
    arn = small.run_task("deaf")
    small.wait_task(arn, "RUNNING")
    wait_for(lambda: words_of(small, arn), timeout_s=20, what="the program's word")
    small.client("ecs").stop_task(cluster="default", task=arn, reason="done")
    filler = fill_there(small)
    make_room(small, filler)
    task = small.wait_task(arn, "STOPPED", timeout_s=60)
    assert (task["stoppedReason"], task["containers"][0]["exitCode"]) == ("done", 137)
    assert words_of(small, arn) == ["started"]


@pytest.mark.parametrize("failpoint", [*UP, "before-prepare-rootfs", "after-prepare-rootfs", "before-put-log"])
def test_a_start_goes_on_when_there_is_room(small: Instance, failpoint: str) -> None:
    """The same daemon finishes the start, or ends the task for want of space; its program was started once at most."""
    begin(small, failpoint)
    arn = small.run_task("deaf")
    with seen_full(small):
        task = wait_for(lambda: settled(small, arn), timeout_s=60, what="an end of its start")
        assert task is not None
        if task["lastStatus"] == "STOPPED":
            assert "No space left on device" in task["stoppedReason"], task
            return
        assert ended(small, arn)["containers"][0]["exitCode"] == 137
        assert set(words_of(small, arn)) == {"started"}


@pytest.mark.parametrize("failpoint", [*DOWN, "before-release-container", "before-release-rootfs"])
def test_a_stop_goes_on_when_there_is_room(small: Instance, failpoint: str) -> None:
    """The same daemon brings the stop to its end, with the reason and the exit code as without."""
    begin(small, failpoint)
    arn = small.run_task("deaf")
    small.wait_task(arn, "RUNNING")
    wait_for(lambda: words_of(small, arn), timeout_s=20, what="the program's word")
    small.client("ecs").stop_task(cluster="default", task=arn, reason="done")
    with seen_full(small):
        task = small.wait_task(arn, "STOPPED", timeout_s=60)
        assert (task["stoppedReason"], task["containers"][0]["exitCode"]) == ("done", 137)
        assert words_of(small, arn) == ["started"]


def test_full_while_an_image_is_unpacked(tmp_path: Path) -> None:
    """A pull that finds no room ends the task with the reason; with room the image is pulled whole and runs."""
    name = "localhost/portside-test-large:1"
    content = os.urandom(6 << 20).hex()
    ensure_busybox_image(name, files={"large": content})
    disk, data = tmp_path / "images", tmp_path / "instance"
    disk.mkdir()
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "portside-test", str(disk)], check=True)
    conf = tmp_path / "storage.conf"
    conf.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{disk}/graph"\nrunroot = "{disk}/run"\n')
    try:
        with registry() as address, instance(data, CONTAINERS_STORAGE_CONF=str(conf)) as portside:
            image = push(name, address, "large:1")
            portside.client("ecs").create_cluster(clusterName="default")
            portside.register("large", {"image": image, "command": ["sleep", "600"]})
            task = portside.wait_task(portside.run_task("large"), "STOPPED", timeout_s=60)
            assert "CannotPullContainerError" in task["stoppedReason"]
            assert "no space left on device" in task["stoppedReason"]
            subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
            arn = portside.run_task("large")
            portside.wait_task(arn, "RUNNING", timeout_s=60)
            portside.client("ecs").stop_task(cluster="default", task=arn)
            portside.wait_task(arn, "STOPPED", timeout_s=60)
    finally:
        subprocess.run(["umount", "-R", str(disk)], check=True)
        remove_image(name)
