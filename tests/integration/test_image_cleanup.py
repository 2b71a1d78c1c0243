"""Images that nobody uses any more, on real storage: they go by age and for want of space, and nothing else does."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from portside.testing.image import push_fresh_image, remove_image
from portside.testing.instance import Instance, instance
from portside.testing.registry import registry
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration


def exists(name: str) -> bool:
    return subprocess.run(["podman", "image", "exists", name], check=False).returncode == 0


def run(running: Instance, family: str, image: str) -> str:
    running.register(family, {"image": image, "command": ["sleep", "600"]})
    return running.run_task(family)


def test_by_age() -> None:
    """Of three images that were pulled, one is used by a task, one by a service without tasks, one by nobody: that one
    goes, and the log says what was freed. A daemon that is killed knows afterwards which ones it had pulled."""
    policy = {"PORTSIDE_IMAGE_MINIMUM_AGE_S": "1", "PORTSIDE_IMAGE_CLEANUP_INTERVAL_S": "1"}
    with registry() as host, instance(PORTSIDE_IMAGE_MINIMUM_AGE_S="3600") as running:
        names = {each: push_fresh_image(host, f"team/{each}:1") for each in ("unused", "runs", "held")}
        ecs = running.client("ecs")
        ecs.create_cluster()
        ended = run(running, "unused", names["unused"])
        running.wait_task(run(running, "runs", names["runs"]), "RUNNING")
        running.wait_task(ended, "RUNNING")
        running.register("held", {"image": names["held"], "command": ["sleep", "600"]})
        ecs.create_service(
            serviceName="held",
            taskDefinition="held",
            desiredCount=1,
            launchType="FARGATE",
            networkConfiguration=running.network(),
        )
        ecs.get_waiter("services_stable").wait(
            cluster="default", services=["held"], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
        ecs.update_service(service="held", desiredCount=0)
        wait_for(lambda: not ecs.list_tasks(serviceName="held")["taskArns"], timeout_s=30, what="no task of it")
        ecs.stop_task(task=ended)
        running.wait_task(ended, "STOPPED")

        running.kill()
        running.start(**policy)
        running.ready()
        wait_for(lambda: not exists(names["unused"]), timeout_s=30, what="the removal")
        wait_for(lambda: running.log.count("image cleanup:") >= 1, timeout_s=20, what="the log's word")
        assert f"removed the image {names['unused']}" in running.log
        assert exists(names["runs"])
        assert exists(names["held"])
        ecs.delete_service(service="held", force=True)
        wait_for(lambda: not exists(names["held"]), timeout_s=60, what="the removal with its service")
    remove_image(names["runs"])


@pytest.fixture
def small_storage(tmp_path: Path) -> Iterator[str]:
    """A containers/storage of the test's own, on a disk of 24 MB; its configuration."""
    disk, configuration = tmp_path / "disk", tmp_path / "storage.conf"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "portside-test", str(disk)], check=True)
    configuration.write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{disk}/storage"\nrunroot = "{tmp_path}/run"\n'
    )
    try:
        yield str(configuration)
    finally:
        subprocess.run(["umount", "-R", f"{disk}/storage/overlay"], check=False, capture_output=True)
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk(small_storage: str) -> None:
    """A pull that finds no space gets it from images that nobody uses; where all are in use the task ends with the
    cause."""
    with (
        registry() as host,
        instance(CONTAINERS_STORAGE_CONF=small_storage, PORTSIDE_IMAGE_DISK_PERCENT="100") as running,
    ):
        names = [push_fresh_image(host, f"team/big-{number}:1", layers=1, layer_bytes=9_000_000) for number in range(3)]
        running.client("ecs").create_cluster()
        first = run(running, "first", names[0])
        running.wait_task(first, "RUNNING")
        running.client("ecs").stop_task(task=first)
        running.wait_task(first, "STOPPED")
        running.wait_task(run(running, "second", names[1]), "RUNNING")
        running.wait_task(run(running, "third", names[2]), "RUNNING", timeout_s=60)
        assert "a pull has found no space" in running.log
        assert f"removed the image {names[0]}" in running.log

        fourth = run(running, "fourth", names[0])
        ended = running.wait_task(fourth, "STOPPED", timeout_s=60)
        assert ended["stoppedReason"].startswith("CannotPullContainerError: ")
        assert "no space left on device" in ended["stoppedReason"]
