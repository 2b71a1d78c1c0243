"""Volumes of container instances in real containers: paths of the instance."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from portside.domain import ecs_image
from portside.node.rootfs.mount_point import mounts_below
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, REGION, Instance, instance
from portside.testing.wait import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]

AMI = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")
WAITING = "; exec sleep 600"


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.aws("ecs", "create-cluster", "--cluster-name", "default")
        yield running


class Lab:
    """One container instance, and tasks on it that mount a volume at /data."""

    def __init__(self, portside: Instance) -> None:
        self.portside, self.ec2, self.ecs = portside, portside.client("ec2"), portside.client("ecs")
        launched = self.ec2.run_instances(
            ImageId=AMI, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=portside.subnets()[0]
        )
        self.id = str(launched["Instances"][0]["InstanceId"])
        self.arn = wait_for(self._joined, timeout_s=60, what="the instance to join")
        self.folder = Path(portside.settings.data_dir) / "instances" / self.id
        self.root = self.folder / "root"

    def _joined(self) -> str | None:
        arns = self.ecs.list_container_instances()["containerInstanceArns"]
        if not arns:
            return None
        found = self.ecs.describe_container_instances(containerInstances=arns)["containerInstances"]
        return next((str(each["containerInstanceArn"]) for each in found if each["ec2InstanceId"] == self.id), None)

    def run(
        self,
        script: str,
        volume: Mapping[str, Any],
        *,
        read_only: bool = False,
        volume_name: str = "data",
        path: str = "/data",
        **more: Any,
    ) -> str:
        container = {
            "name": "main",
            "image": IMAGE,
            "memory": 64,
            "stopTimeout": 2,
            "command": ["sh", "-c", script],
            "mountPoints": [{"sourceVolume": volume_name, "containerPath": path, "readOnly": read_only}],
            **more,
        }
        self.ecs.register_task_definition(
            family="on-instance",
            networkMode="bridge",
            requiresCompatibilities=["EC2"],
            containerDefinitions=[container],
            volumes=[{"name": volume_name, **volume}],
        )
        answer = self.ecs.start_task(taskDefinition="on-instance", containerInstances=[self.arn])
        assert not answer["failures"], answer["failures"]
        return str(answer["tasks"][0]["taskArn"])

    def ended(self, script: str, volume: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        return self.portside.wait_task(self.run(script, volume, **more), "STOPPED", timeout_s=60)

    def code(self, script: str, volume: Mapping[str, Any], **more: Any) -> int:
        task = self.ended(script, volume, **more)
        assert "exitCode" in task["containers"][0], (task.get("stoppedReason"), task["containers"])
        return int(task["containers"][0]["exitCode"])

    def stop(self, task: str) -> None:
        self.ecs.stop_task(task=task)
        self.portside.wait_task(task, "STOPPED", timeout_s=60)

    def terminate(self) -> None:
        self.ec2.terminate_instances(InstanceIds=[self.id])
        wait_for(lambda: not self.folder.exists(), timeout_s=60, what="the end of the instance's files")


@pytest.fixture(scope="module")
def lab(portside: Instance) -> Iterator[Lab]:
    made = Lab(portside)
    yield made
    made.terminate()


def host(path: str) -> dict[str, Any]:
    return {"host": {"sourcePath": path}}


def test_a_path_of_the_instance_is_seen_from_both_sides(lab: Lab) -> None:
    """A source that is missing is made as a directory; a file that comes from outside is in the container at once, and
    the other way; it outlives the task, and another one mounts it read-only."""
    site = lab.root / "srv" / "site"
    assert not site.exists()
    task = lab.run("until test -s /data/in; do sleep 0.05; done; cp /data/in /data/out" + WAITING, host("/srv/site"))
    wait_for(site.is_dir, timeout_s=60, what="the directory")
    found = site.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (0, 0, 0o755)
    (site / "in").write_text("from outside\n")
    wait_for((site / "out").exists, timeout_s=60, what="the container's answer")
    lab.stop(task)
    assert (site / "out").read_text() == "from outside\n"
    assert lab.code("cat /data/out && ! touch /data/new", host("/srv/site"), read_only=True) == 0
    assert sorted(os.listdir(site)) == ["in", "out"]


def test_a_file_is_mounted_as_a_file(lab: Lab) -> None:
    """A source that is a file is one in the container, too."""
    lab.root.mkdir(parents=True, exist_ok=True)
    (lab.root / "settings.ini").write_text("word")
    script = "test $(cat /data) = word && echo more >> /data"
    assert lab.code(script, host("/settings.ini")) == 0
    assert (lab.root / "settings.ini").read_text() == "wordmore\n"


def test_no_path_leads_out_of_the_instance(lab: Lab) -> None:
    """Links that tasks leave, and `..`, end within the instance's own files or nowhere; nothing is made elsewhere."""
    links = "ln -s / /data/top; mkdir /data/etc; ln -s ../../../../../../etc /data/rel; ln -s loop /data/loop"
    assert lab.code(links + "; ln -s /nowhere /data/dangling; touch /data/plain", host("/")) == 0
    before = sorted(os.listdir("/etc"))
    for path in ("/top", "/../../../..", "/top/../.."):
        assert lab.code("test -f /data/plain", host(path)) == 0, path
    assert lab.code("touch /data/made", host("/rel/portside-escape")) == 0
    assert (lab.root / "etc" / "portside-escape" / "made").exists()
    for path, words in (
        ("/plain/below", "not a directory"),
        ("/loop", "too many levels of symbolic links"),
        ("/dangling/below", "no such file or directory"),
    ):
        (container,) = lab.ended("exit 0", host(path))["containers"]
        reason = container["reason"]
        assert reason.startswith(
            f"CannotStartContainerError: Error response from daemon: error while creating mount source path '{path}'"
        )
        assert words in reason
    assert sorted(os.listdir("/etc")) == before
    for each in lab.root.iterdir():
        shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()


@pytest.mark.parametrize("failpoint", ["after-prepare-rootfs", "after-prepare-container"])
def test_killed_while_a_container_starts(portside: Instance, lab: Lab, failpoint: str) -> None:
    """The next daemon leaves no mount of it, no file is lost, and the task mounts it and runs."""
    kept = lab.root / "kept"
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "word").write_text("kept\n")
    portside.stop()
    portside.start(PORTSIDE_FAILPOINT=failpoint)
    portside.ready()
    task = lab.run("test $(cat /data/word) = kept && echo twice >> /data/word" + WAITING, host("/kept"))
    portside.died()
    portside.start()
    portside.ready()
    portside.wait_task(task, "RUNNING", timeout_s=60)
    wait_for(lambda: (kept / "word").read_text() == "kept\ntwice\n", timeout_s=60, what="the task's word")
    assert os.listdir(lab.folder.parent / ".mounts") == []
    lab.stop(task)
    assert (kept / "word").read_text() == "kept\ntwice\n"


def test_the_files_go_with_the_instance(portside: Instance) -> None:
    """They stay when the instance is stopped and started, and are gone when it is terminated, links outward and all,
    with nothing of what they point at."""
    lab = Lab(portside)
    outside = Path(portside.settings.data_dir) / "outside"
    outside.write_text("stays")
    assert lab.code(f"echo here > /data/word; ln -s {outside} /data/link", host("/srv")) == 0
    lab.ec2.stop_instances(InstanceIds=[lab.id])

    def state() -> str:
        (found,) = lab.ec2.describe_instances(InstanceIds=[lab.id])["Reservations"]
        return str(found["Instances"][0]["State"]["Name"])

    wait_for(lambda: state() == "stopped", timeout_s=60, what="the instance's stop")
    assert (lab.root / "srv" / "word").read_text() == "here\n"
    lab.terminate()
    assert outside.read_text() == "stays"


def docker(**configuration: Any) -> dict[str, Any]:
    return {"dockerVolumeConfiguration": configuration}


SHARED = docker(scope="shared", autoprovision=True, driver="local", labels={"team": "blue"})
CHECK = "echo '{}  /data/blob' | sha256sum -c"


def test_a_shared_volume_outlives_tasks_and_a_kill(portside: Instance, lab: Lab) -> None:
    """What a task wrote has the same checksum in the next task, after a `kill -9` of the daemon; two tasks see each
    other's files while they run."""
    reader = lab.run("until test -f /data/done; do sleep 0.05; done; echo seen > /data/answer" + WAITING, SHARED)
    assert lab.code("dd if=/dev/urandom of=/data/blob bs=1M count=8 && touch /data/done", SHARED) == 0
    (folder,) = (lab.folder / "volumes").glob("dv-*")
    wait_for((folder / "answer").exists, timeout_s=60, what="the other task's answer")
    written = hashlib.sha256((folder / "blob").read_bytes()).hexdigest()
    portside.kill()
    portside.start()
    portside.ready()
    lab.stop(reader)
    assert lab.code(CHECK.format(written), docker(scope="shared")) == 0
    assert os.listdir(folder.parent) == [folder.name]


def test_a_shared_volume_outlives_the_tasks_of_a_service(portside: Instance, lab: Lab) -> None:
    """A forced deployment replaces the task, and the daemon is killed meanwhile: the new task finds every line that the
    old one wrote and synced, with its checksum, and goes on."""
    script = "cd /data && if test -f sum; then sha256sum -c sum || exit 9; fi; head -c 300000 /dev/urandom >> log && "
    script += "sha256sum log > fresh && sync && mv fresh sum && echo turn >> turns; exec sleep 600"
    container = {
        "name": "main",
        "image": IMAGE,
        "memory": 64,
        "stopTimeout": 2,
        "command": ["sh", "-c", script],
        "mountPoints": [{"sourceVolume": "ledger", "containerPath": "/data"}],
    }
    lab.ecs.register_task_definition(
        family="ledger", networkMode="bridge", containerDefinitions=[container], volumes=[{"name": "ledger", **SHARED}]
    )
    deployment = {"minimumHealthyPercent": 0, "maximumPercent": 100}
    lab.ecs.create_service(
        serviceName="ledger",
        taskDefinition="ledger",
        desiredCount=1,
        launchType="EC2",
        deploymentConfiguration=deployment,
    )

    def turns() -> int:
        found = list((lab.folder / "volumes").glob("*/turns"))
        return len(found[0].read_text().splitlines()) if found else 0

    wait_for(lambda: turns() == 1, timeout_s=60, what="the first task")
    lab.ecs.update_service(service="ledger", forceNewDeployment=True)
    portside.kill()
    portside.start()
    portside.ready()
    wait_for(lambda: turns() == 2, timeout_s=60, what="the second task")
    stopped = lab.ecs.list_tasks(serviceName="ledger", desiredStatus="STOPPED")["taskArns"]
    ended = lab.ecs.describe_tasks(tasks=stopped)["tasks"]
    assert [each["containers"][0].get("exitCode") for each in ended] != [9]
    lab.ecs.delete_service(service="ledger", force=True)
    for each in (*stopped, *lab.ecs.list_tasks(serviceName="ledger")["taskArns"]):
        portside.wait_task(each, "STOPPED", timeout_s=60)


def test_a_volume_that_is_not_there_ends_the_task(lab: Lab) -> None:
    """Without autoprovision a shared volume is not made."""
    task = lab.ended("exit 0", docker(scope="shared"), volume_name="absent")
    assert "get absent: no such volume" in task["stoppedReason"]


@pytest.mark.parametrize("scope", ["task", "shared"])
def test_begins_with_what_the_image_has(lab: Lab, scope: str) -> None:
    """Declared as a VOLUME or not, mounted over the very path; once it holds something, nothing is copied any more."""
    volume = docker(scope=scope, **({"autoprovision": True} if scope == "shared" else {}))
    more = {"volume_name": f"image-{scope}", "path": "/bin"}
    assert lab.code("rm /bin/wget && touch /bin/own && test -x /bin/sh", volume, **more) == 0
    second = lab.code("test -e /bin/own || test -e /bin/wget && ! test -e /bin/own", volume, **more)
    assert second == (0 if scope == "task" else 1)


def test_a_task_volume_is_gone_with_the_task(lab: Lab) -> None:
    """The next task begins with an empty one."""
    for _ in range(2):
        assert lab.code('test -z "$(ls -A /data)" && touch /data/word', docker(scope="task")) == 0
    assert not (lab.folder / "volumes").exists() or "word" not in str(list((lab.folder / "volumes").rglob("word")))


def test_in_memory_as_long_as_a_task_has_it(portside: Instance, lab: Lab) -> None:
    """A tmpfs of the size asked for, shared by two tasks, there after a `kill -9` of the daemon, empty for the next
    task after the last one of them; no mount is left."""
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=700,noexec"}
    volume = docker(scope="shared", autoprovision=True, driverOpts=options)
    name = {"volume_name": "memory"}
    first = lab.run("echo word > /data/word" + WAITING, volume, **name)
    portside.wait_task(first, "RUNNING", timeout_s=60)
    wait_for(lambda: lab.code("test -f /data/word", volume, **name) == 0, timeout_s=60, what="the first task's word")
    portside.kill()
    portside.start()
    portside.ready()
    script = "grep -q word /data/word && test $(stat -c %a /data) = 700 && ! dd if=/dev/zero of=/data/big bs=1M count=2"
    assert lab.code(script, volume, **name) == 0
    assert "the volume memory (dv-" in " ".join(portside.status()["problems"])
    assert lab.code("cp /bin/true /data/x; rm /data/big; cp /bin/busybox /data/x; /data/x", volume, **name) == 126
    lab.stop(first)
    held = Path(portside.settings.run_dir) / "volumes"
    assert os.listdir(held) == []
    assert mounts_below(held) == []
    assert lab.code('test -z "$(ls -A /data)"', volume, **name) == 0


def test_bound_to_a_path_of_the_instance(lab: Lab) -> None:
    """As `docker volume create -o type=none -o o=bind,ro`; a path that is not there ends the task."""
    (lab.root / "opt").mkdir(parents=True, exist_ok=True)
    (lab.root / "opt" / "word").write_text("here")
    options = {"type": "none", "device": "/opt", "o": "bind,ro"}
    assert lab.code("grep -q here /data/word && ! touch /data/other", docker(driverOpts=options)) == 0
    missing = lab.ended("exit 0", docker(driverOpts={**options, "device": "/none"}))["containers"][0]["reason"]
    assert "failed to mount local volume: mount /none: flags: 0x1000: no such file or directory" in missing
    assert not (lab.root / "none").exists()


def portside_command(portside: Instance, *words: str, code: int = 0) -> str:
    """What the command prints: on success as its answer, else as its complaint."""
    command = [sys.executable, "-m", "portside.cli", *words, "--data-dir", str(portside.settings.data_dir)]
    environment = os.environ | {"PORTSIDE_RUN_DIR": str(portside.settings.run_dir)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def test_paths_of_an_instance_and_volumes_of_a_task_are_seen(portside: Instance, lab: Lab) -> None:
    """`portside volume ls` shows a path with who has it and what it holds; a task's volume in memory with its size."""
    script = "dd if=/dev/urandom of=/data/blob bs=1M count=2; touch /data/done" + WAITING
    on_path = lab.run(script, host("/srv/seen"))
    in_memory = lab.run(
        script, docker(scope="task", driverOpts={"type": "tmpfs", "device": "tmpfs", "o": "size=8m"}), volume_name="ram"
    )
    wait_for((lab.root / "srv" / "seen" / "done").exists, timeout_s=60, what="the task's file")
    portside.wait_task(in_memory, "RUNNING", timeout_s=60)

    def rows() -> dict[str, dict[str, Any]]:
        found = portside_command(portside, "volume", "ls", "--json", "--kind", "host", "--kind", "task")
        return {each["id"]: each for each in json.loads(found)}

    path, ram = f"{lab.id}:/srv/seen", f"{in_memory.rsplit('/', 1)[-1]}/ram"
    wait_for(lambda: (rows()[ram]["sizeBytes"] or 0) >= 2 << 20, timeout_s=60, what="what is in memory")
    assert (rows()[path]["usedBy"], rows()[path]["instance"]) == ([f"default/{on_path.rsplit('/', 1)[-1]}"], lab.id)
    assert 2 << 20 <= rows()[path]["sizeBytes"] < 3 << 20
    assert rows()[ram]["capacityBytes"] == 8 << 20
    lab.stop(on_path)
    lab.stop(in_memory)
    assert not rows().keys() & {path, ram}


def test_seen_and_removed_by_command(portside: Instance, lab: Lab) -> None:
    """`portside volume` shows a Docker volume with its user and its size; removes it only when no task has it, with its
    files; the next task of that name begins with an empty one."""
    volume = docker(scope="shared", autoprovision=True, labels={"team": "blue"})
    name = {"volume_name": "removable"}
    task = lab.run("dd if=/dev/urandom of=/data/blob bs=1M count=2; touch /data/done" + WAITING, volume, **name)
    portside.wait_task(task, "RUNNING", timeout_s=60)
    row = json.loads(portside_command(portside, "volume", "inspect", "removable"))
    place = Path(row["path"])
    wait_for((place / "done").exists, timeout_s=60, what="the task's file")
    row = json.loads(portside_command(portside, "volume", "inspect", row["id"]))
    assert (row["instance"], row["labels"], row["type"]) == (lab.id, {"team": "blue"}, "folder")
    assert row["usedBy"] == [f"default/{task.rsplit('/', 1)[-1]}"]
    assert 2 << 20 <= row["sizeBytes"] < 3 << 20
    assert row["id"] in portside_command(portside, "volume", "ls")
    assert "is in use by default/" in portside_command(portside, "volume", "rm", "removable", code=1)
    assert (place / "blob").exists()
    lab.stop(task)
    assert row["id"] in portside_command(portside, "volume", "rm", "removable")
    wait_for(lambda: not [*place.parent.glob(f"{row['id']}*")], timeout_s=60, what="the end of its files")
    assert "there is no volume removable" in portside_command(portside, "volume", "rm", "removable", code=1)
    assert lab.code('test -z "$(ls -A /data)"', volume, **name) == 0
