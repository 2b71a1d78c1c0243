"""kill -9 at any moment: what was answered stays, what runs is adopted, nothing leaks."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portside.settings import Settings
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import free_port, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="default")
        yield running


def stopped(portside: Instance, arn: str) -> dict[str, Any]:
    return portside.wait_task(arn, "STOPPED", timeout_s=60)


def test_running_tasks_are_adopted(portside: Instance) -> None:
    """After kill -9 and a new start, a running task is the same container, and its later exit is noticed."""
    portside.register("loop", {"command": ["sleep", "600"]})
    arn = portside.run_task("loop")
    before = portside.wait_task(arn, "RUNNING")
    portside.kill()
    portside.start()
    portside.ready()
    after = portside.wait_task(arn, "RUNNING")
    assert after["containers"][0]["runtimeId"] == before["containers"][0]["runtimeId"]
    assert after["startedAt"] == before["startedAt"]
    portside.client("ecs").stop_task(cluster="default", task=arn, reason="done")
    assert stopped(portside, arn)["stoppedReason"] == "done"


def test_exits_while_down_are_reported_with_their_code(portside: Instance, tmp_path: Path) -> None:
    """A container that ends while Portside is dead is reported with its exit code afterwards."""
    portside.register("soon", {"command": ["sh", "-c", "sleep 1; exit 42"]})
    arn = portside.run_task("soon")
    portside.wait_task(arn, "RUNNING")
    portside.kill()
    wait_for(lambda: not _alive(arn), timeout_s=20, what="the container's end")
    portside.start()
    assert stopped(portside, arn)["containers"][0]["exitCode"] == 42


def _alive(arn: str) -> bool:
    """A process of the task runs. A zombie does not: it waits for process 1 to take note of it."""
    task_id = arn.rsplit("/", 1)[-1]
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
                if task_id in (folder / "cgroup").read_text() and state != "Z":
                    return True
            except OSError:
                continue
    return False


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_a_random_moment(portside: Instance, seed: int) -> None:
    """Killed while tasks start and stop: every task that was answered is there and reaches its end; nothing is left."""
    chance = random.Random(seed)
    ecs = portside.client("ecs")
    portside.register("work", {"command": ["sleep", "600"]})
    answered: list[str] = []
    for _ in range(3):
        for _ in range(chance.randrange(1, 5)):
            answered.append(portside.run_task("work"))
        for arn in chance.sample(answered, len(answered) // 3):
            ecs.stop_task(cluster="default", task=arn)
        # the moment of the kill: after a random number of answered calls more
        for _ in range(chance.randrange(0, 40)):
            ecs.list_tasks(cluster="default")
        portside.kill()
        portside.start()
    portside.ready()
    for arn in answered:
        task = portside.task(arn)
        if task["desiredStatus"] == "RUNNING":
            portside.wait_task(arn, "RUNNING", timeout_s=60)
            ecs.stop_task(cluster="default", task=arn)
    for arn in answered:
        stopped(portside, arn)
        assert not _alive(arn)
    assert not list((portside.settings.run_dir / "netns").glob("task-*"))


def test_conmon_killed(portside: Instance) -> None:
    """A container whose monitor was killed is not left unwatched: its task ends and says so."""
    portside.register("loop", {"command": ["sleep", "600"]})
    arn = portside.run_task("loop")
    portside.wait_task(arn, "RUNNING")
    task_id = arn.rsplit("/", 1)[-1]
    monitors = [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and _is_monitor(folder, task_id, portside.settings)
    ]
    assert len(monitors) == 1
    os.kill(monitors[0], signal.SIGKILL)
    task = stopped(portside, arn)
    assert task["stopCode"] == "EssentialContainerExited"
    assert not _alive(arn)


def _is_monitor(folder: Path, task_id: str, settings: Settings) -> bool:
    try:
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return False
    return command.split(" ")[0].endswith("conmon") and (task_id in command or str(settings.data_dir) in command)


def test_full_disk(tmp_path: Path) -> None:
    """With a full disk a write is refused and says so, nothing of it is kept, reads go on; with room it succeeds."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "portside-test", str(disk)], check=True)
    running = Instance(Settings(data_dir=disk / "data", port=free_port(), egress="none", hosts_file=None))
    try:
        running.start()
        running.ready()
        ecs = running.client("ecs")
        ecs.create_cluster(clusterName="before")
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file:
            block = b"\0" * 65536
            try:
                while True:
                    file.write(block)
            except OSError:
                pass
        failed = None
        for number in range(200):
            try:
                ecs.create_cluster(clusterName=f"full-{number}", tags=[{"key": "k", "value": "v" * 200}])
            except ecs.exceptions.ServerException as error:
                failed = (number, str(error))
                break
        assert failed is not None
        assert "free space" in failed[1]
        names = {arn.rsplit("/", 1)[-1] for arn in ecs.list_clusters(maxResults=100)["clusterArns"]}
        assert "before" in names
        assert f"full-{failed[0]}" not in names
        filler.unlink()
        ecs.create_cluster(clusterName=f"full-{failed[0]}")
        running.kill()
        running.start()
        again = {arn.rsplit("/", 1)[-1] for arn in running.client("ecs").list_clusters(maxResults=100)["clusterArns"]}
        assert again == names | {f"full-{failed[0]}"}
    finally:
        running.destroy()
        subprocess.run(["umount", str(disk)], check=True)


def test_unwritable_folder(tmp_path: Path) -> None:
    """A data folder that can not be made is refused at the start with what to do about it."""
    (tmp_path / "file").write_text("not a folder")
    done = subprocess.run(
        [sys.executable, "-m", "portside.main", "--data-dir", str(tmp_path / "file" / "data"), "--egress", "none"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "Give another --data-dir" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_way_out(tmp_path: Path) -> None:
    """A way out that is neither a known word nor a namespace is refused at the start."""
    done = subprocess.run(
        [sys.executable, "-m", "portside.main", "--data-dir", str(tmp_path / "data"), "--egress", "hots"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "--egress is host, none or the path of a network namespace" in done.stderr
    assert "Traceback" not in done.stderr
