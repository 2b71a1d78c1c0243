"""A disk that is full, or has become read-only, under running tasks: what is refused, what goes on, what is made up."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from portside.testing.full_disk import fill
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration


def instance_on(disk: Path) -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    try:
        with instance(disk) as running:
            running.client("ecs").create_cluster(clusterName="default")
            yield running
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Instance]:
    """An instance whose data folder is on a small disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "portside-test", str(disk)], check=True)
    yield from instance_on(disk)


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Instance]:
    """An instance whose data folder is on a file system that can be made to fail."""
    disk, image = tmp_path / "disk", tmp_path / "image"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(128 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=True)
    yield from instance_on(disk)


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    return str(caught.value)


def refused_when_full(portside: Instance, call: Callable[[], Any]) -> str:
    """What the call is answered on a full disk; while starts that fail still give some room back, it may succeed."""
    words: list[str] = []

    def told() -> bool:
        fill(portside.settings.data_dir.parent)
        try:
            call()
        except ClientError as error:
            words.append(str(error))
        return bool(words)

    wait_for(told, timeout_s=20, what="a refusal")
    return words[0]


def lines(portside: Instance, arn: str) -> list[str]:
    """All output of a task."""
    logs, stream = portside.client("logs"), f"p/main/{arn.rsplit('/', 1)[-1]}"
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName="/disk", logStreamNames=[stream])
    return [event["message"] for page in pages for event in page["events"]]


def test_full_disk_under_tasks(small: Instance) -> None:
    """With a full disk tasks run on and changes are refused, saying so; with room again, exits that happened meanwhile
    are reported with their codes, output goes on, and no task hangs."""
    ecs = small.client("ecs")
    small.client("logs").create_log_group(logGroupName="/disk")
    options = {"awslogs-group": "/disk", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}
    log = {"logDriver": "awslogs", "options": options}
    talk = "i=0; while true; do i=$((i+1)); echo line $i; usleep 20000; done"
    small.register("talk", {"command": ["sh", "-c", talk], "logConfiguration": log})
    small.register("loop", {"command": ["sleep", "600"]})
    small.register("fails", {"command": ["sh", "-c", "trap 'exit 7' TERM; while true; do usleep 10000; done"]})
    talking, looping, failing = small.run_task("talk"), small.run_task("loop"), small.run_task("fails")
    for arn in (talking, looping, failing):
        small.wait_task(arn, "RUNNING")
    starting = [small.run_task("loop") for _ in range(5)]
    filler = fill(small.settings.data_dir.parent)
    # The database has some pages left over, and starts that fail give theirs back: it refuses once these are used up.
    wait_for(lambda: _refuses(lambda: small.run_task("loop"), starting), timeout_s=20, what="a refusal")
    assert "free space" in refused_when_full(small, lambda: starting.append(small.run_task("loop")))
    spare = iter(list(starting))  # one after the other: to stop a task again changes nothing, so it is not refused
    assert "free space" in refused_when_full(small, lambda: ecs.stop_task(cluster="default", task=next(spare)))
    os.kill(_process_of(failing), 15)
    wait_for(lambda: not _runs(failing), timeout_s=20, what="the end of the container")
    before = len(lines(small, talking))
    for arn in (talking, looping):
        assert small.task(arn)["lastStatus"] == "RUNNING"
    filler.unlink()
    small.wait_task(small.run_task("loop"), "RUNNING")
    assert small.wait_task(failing, "STOPPED")["containers"][0]["exitCode"] == 7

    def settled() -> bool:
        return all(small.task(arn)["lastStatus"] in ("RUNNING", "STOPPED") for arn in starting)

    wait_for(settled, timeout_s=30, what="no task between two states")
    for arn in starting:
        task = small.task(arn)
        asked = task.get("stopCode") == "UserInitiated"
        assert task["lastStatus"] == "RUNNING" or asked or "No space left on device" in task["stoppedReason"], task
    wait_for(lambda: len(lines(small, talking)) > before + 50, timeout_s=30, what="output goes on")
    numbers = [int(line.split()[1]) for line in lines(small, talking) if line.startswith("line ")]
    assert numbers == sorted(set(numbers)), "in order, and each line once"
    for arn in ecs.list_tasks(cluster="default")["taskArns"]:
        ecs.stop_task(cluster="default", task=arn)
        small.wait_task(arn, "STOPPED")


def _refuses(run: Callable[[], str], accepted: list[str]) -> bool:
    try:
        accepted.append(run())
    except ClientError:
        return True
    return False


def free_bytes(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def _process_of(arn: str) -> int:
    task_id = arn.rsplit("/", 1)[-1]
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and task_id in (folder / "cgroup").read_text():
                command = (folder / "cmdline").read_bytes().split(b"\0")[0]
                if command.endswith(b"sh"):
                    return int(folder.name)
    raise AssertionError(f"no process of {arn}")


def _runs(arn: str) -> bool:
    with suppress(AssertionError):
        return _process_of(arn) > 0
    return False


def test_start_on_a_full_disk(small: Instance) -> None:
    """A start on a full disk either succeeds or says why not; with room, it adopts what runs."""
    small.register("loop", {"command": ["sleep", "600"]})
    arn = small.run_task("loop")
    before = small.wait_task(arn, "RUNNING")
    filler = fill(small.settings.data_dir.parent)
    small.kill()
    told = ""
    try:
        small.start()
        small.ready()
    except RuntimeError as error:
        told = str(error)
    if told:
        assert "full" in told or "No space left" in told, told
        assert "Traceback" not in told
    else:
        assert small.task(arn)["lastStatus"] == "RUNNING"
    filler.unlink()
    small.stop()
    small.start()
    small.ready()
    after = small.wait_task(arn, "RUNNING")
    assert after["containers"][0]["runtimeId"] == before["containers"][0]["runtimeId"]
    small.client("ecs").stop_task(cluster="default", task=arn)
    small.wait_task(arn, "STOPPED")


def test_task_fills_the_disk_of_the_host(failing: Instance) -> None:
    """A task that writes more than the host has room for is ended, though its `ephemeralStorage` is larger; what it
    took is free again, others run on, and new tasks start."""
    ecs, disk = failing.client("ecs"), failing.settings.data_dir.parent
    failing.register("loop", {"command": ["sleep", "600"]})
    failing.register("greedy", {"command": ["sh", "-c", "dd if=/dev/zero of=/x bs=1M count=400; sync; sleep 600"]})
    other = failing.run_task("loop")
    failing.wait_task(other, "RUNNING")
    greedy = failing.run_task("greedy")
    task = failing.wait_task(greedy, "STOPPED", timeout_s=60)
    assert task["containers"][0]["exitCode"] == 137
    assert f"task {greedy.rsplit('/', 1)[-1]}, which took the most of it, is ended" in failing.log
    wait_for(lambda: free_bytes(disk) > 64 << 20, timeout_s=60, what="room again")
    assert failing.task(other)["lastStatus"] == "RUNNING"
    failing.wait_task(failing.run_task("loop"), "RUNNING")
    for each in ecs.list_tasks(cluster="default")["taskArns"]:
        ecs.stop_task(cluster="default", task=each)
        failing.wait_task(each, "STOPPED")


def test_disk_turned_read_only(failing: Instance) -> None:
    """A file system that turns read-only after an error: tasks run on, changes are refused, reads are answered, and a
    new start says what is wrong."""
    ecs = failing.client("ecs")
    failing.register("loop", {"command": ["sleep", "600"]})
    arn = failing.run_task("loop")
    failing.wait_task(arn, "RUNNING")
    disk = failing.settings.data_dir.parent
    subprocess.run(["mount", "-o", "remount,abort", str(disk)], check=False, capture_output=True)
    with pytest.raises(OSError, match="Read-only"):
        (disk / "probe").write_text("x")
    assert "can not write the state" in refused(lambda: failing.run_task("loop"))
    assert "can not write the state" in refused(lambda: ecs.stop_task(cluster="default", task=arn))
    assert failing.task(arn)["lastStatus"] == "RUNNING"
    assert failing.health()["status"] == "ok"
    assert failing.status()["tasks"][0]["lastStatus"] == "RUNNING"
    failing.kill()
    settings = failing.settings
    done = subprocess.run(
        [sys.executable, "-m", "portside.main", "--data-dir", str(settings.data_dir), "--egress", "none"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert f"can not write to {settings.data_dir}: Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
