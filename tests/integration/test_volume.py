"""Volumes of a task: shared by its containers, as long as the task, on its disk."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from portside.domain.task.record import ReleaseVolumes, RemoveContainer, StartContainer, VolumesReleased
from portside.domain.task_definition import MountPoint
from portside.settings import Settings
from portside.testing import leak
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.node_lab import LabTask, NodeLab, lab_task
from portside.testing.wait import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]

DATA = MountPoint(volume="data", container_path="/data")
GROUP = "/volumes"


def following(task: LabTask, script: str, **changes: Any) -> LabTask:
    """The same task's next container."""
    definition = msgspec.structs.replace(task.start.definition, command=(script,), **changes)
    start = msgspec.structs.replace(task.start, runtime_id=f"{task.task_id}-2222222222", definition=definition)
    return LabTask(task.task_id, start)


def remove(start: StartContainer) -> RemoveContainer:
    return RemoveContainer(task_key=start.task_key, container=start.container, runtime_id=start.runtime_id)


def disks(settings: Settings) -> list[str]:
    return [each.name for each in (settings.data_dir / "node" / "storage").glob("*/disk")]


def test_outlives_the_container_that_wrote_it(no_leaks: Settings) -> None:
    """What a container wrote that has ended and is removed, the next one reads, also where a new daemon starts it; a
    container that mounts it read-only can not write; with the task's volumes the disk is gone."""
    writer = lab_task("stat -c '%a %u:%g' /data; echo kept > /data/word", mount_points=(DATA,))
    read_only = MountPoint(volume="data", container_path="/in", read_only=True)
    reader = following(writer, "exec 2>&1; cat /in/word; touch /in/other; echo code $?", mount_points=(read_only,))

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            await lab.run(writer)
            await lab.do(remove(writer.start))
        async with NodeLab(no_leaks, lab.sink) as lab:
            await lab.node.recover([writer.record()])
            await lab.do(reader.start)
            lines = await lab.lines(reader, 4)
            await lab.do(remove(reader.start))
            assert lines[0] == "755 0:0"
            assert lines[1] == "kept"
            assert "Read-only file system" in lines[2]
            assert lines[3] == "code 1"
            assert len(disks(no_leaks)) == 1
            for _ in range(2):
                assert await lab.do(ReleaseVolumes(task_key=writer.key)) == VolumesReleased()

    asyncio.run(body())
    assert disks(no_leaks) == []


def test_without_a_disk_of_its_own(no_leaks: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that can not make disks, volumes are folders of the host: shared and gone just so."""
    monkeypatch.setattr("portside.node.rootfs.ephemeral.problem", lambda: "no loop devices")
    writer = lab_task("echo kept > /data/word", mount_points=(DATA,))
    reader = following(writer, "cat /data/word")

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            await lab.run(writer)
            await lab.do(remove(writer.start))
            await lab.do(reader.start)
            assert await lab.lines(reader, 1) == ["kept"]
            await lab.do(remove(reader.start))
            await lab.do(ReleaseVolumes(task_key=writer.key))

    asyncio.run(body())
    assert not (no_leaks.data_dir / "node" / "storage" / writer.task_id).exists()


def test_the_images_content(no_leaks: Settings) -> None:
    """A volume at a path that the image declares as a VOLUME begins with the image's content, owners and modes; one at
    another path begins empty, whatever the image has there. What is in a volume is not overwritten."""
    image = ensure_busybox_image(
        "localhost/portside-test-volume:1",
        changes=["VOLUME /srv/declared"],
        files={"srv/declared/sub/file": "from the image", "srv/plain/file": "hidden"},
    )
    mounts = tuple(MountPoint(volume=each, container_path=f"/srv/{each}") for each in ("declared", "plain"))
    show = "cat /srv/declared/sub/file; echo; stat -c %a /srv/declared/sub/file; ls /srv/plain | wc -l"
    first = lab_task(f"{show}; echo changed > /srv/declared/sub/file", image=image, mount_points=mounts)
    second = following(first, "cat /srv/declared/sub/file")

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            await lab.run(first)
            assert await lab.lines(first, 3) == ["from the image", "755", "0"]
            await lab.do(remove(first.start))
            await lab.do(second.start)
            assert (await lab.lines(second, 4))[3:] == ["changed"]
            await lab.do(remove(second.start))
            await lab.do(ReleaseVolumes(task_key=first.key))

    asyncio.run(body())


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.aws("ecs", "create-cluster", "--cluster-name", "default")
        running.client("logs").create_log_group(logGroupName=GROUP)
        yield running


def test_an_application_of_three_containers(portside: Instance) -> None:
    """One container prepares and ends, one writes, one inherits its mount points read-only and reads: through the API;
    after the task nothing of it is left, nor after a `kill -9` while it runs."""
    options = {"awslogs-group": GROUP, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "v"}
    log = {"logConfiguration": {"logDriver": "awslogs", "options": options}}
    mount = {"mountPoints": [{"sourceVolume": "shared", "containerPath": "/shared"}]}
    prepare = {"name": "prepare", "essential": False, "command": ["sh", "-c", "echo prepared > /shared/a"], **mount}
    after = [{"containerName": "prepare", "condition": "SUCCESS"}]
    write = {"name": "write", "command": ["sh", "-c", "cat /shared/a > /shared/b; exec sleep 600"], **mount}
    wait = "until test -s /shared/b; do sleep 0.05; done; cat /shared/b; "
    wait += "touch /shared/c 2>/dev/null || echo refused; exec sleep 600"
    read = {
        "name": "read",
        "command": ["sh", "-c", wait],
        "volumesFrom": [{"sourceContainer": "write", "readOnly": True}],
    }
    containers = (prepare | log, write | log | {"dependsOn": after}, read | log)
    portside.register("three", *containers, volumes=[{"name": "shared", "host": {}}])
    words = (portside.settings.instance_id, str(portside.settings.data_dir))
    arn = portside.run_task("three")
    portside.wait_task(arn, "RUNNING")
    stream = f"v/read/{arn.rsplit('/', 1)[-1]}"

    def output() -> list[str]:
        found = portside.client("logs").get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
        return [each["message"] for each in found["events"]]

    wait_for(lambda: output()[-1:] == ["refused"], timeout_s=20, what="the reader's last word")
    assert output()[0] == "prepared"
    portside.kill()
    portside.start()
    portside.ready()
    portside.client("ecs").stop_task(cluster="default", task=arn)
    portside.wait_task(arn, "STOPPED")
    assert disks(portside.settings) == []
    assert not leak.snapshot(*words).loops
