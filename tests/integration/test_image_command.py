"""`portside image`: what is here, pulls, archives, Docker's images, builds, and removal that spares what is used."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from portside.testing.image import ensure_busybox_image, push_fresh_image, remove_image
from portside.testing.instance import IMAGE, instance
from portside.testing.registry import registry
from portside.testing.wait import end, wait_for

pytestmark = pytest.mark.integration

NAME = "localhost/portside-test-archive:1"


def portside(data_dir: Path, *words: str, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
    command, *rest = words
    options = [] if command == "build" else ["--data-dir", str(data_dir)]
    return subprocess.run(
        [sys.executable, "-m", "portside.cli", "image", command, *options, *rest],
        env={**os.environ, "COLUMNS": "80", **more.pop("environment", {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=check,
        **more,
    )


def listed(data_dir: Path) -> dict[str, dict[str, Any]]:
    """By name."""
    documents = json.loads(portside(data_dir, "ls", "--json").stdout)
    return {name: each for each in documents for name in each["names"]}


@pytest.fixture
def made() -> Iterator[str]:
    """An image that is in an archive next, and nowhere else afterwards."""
    remove_image(NAME)
    yield ensure_busybox_image(NAME, changes=["ENV ARCHIVE=yes"])
    remove_image(NAME)


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
@pytest.mark.parametrize("is_piped", [False, True])
def test_an_archive(tmp_path: Path, made: str, form: str, is_piped: bool) -> None:
    """What `docker save` or an OCI archive holds is loaded, from a file and from standard input, under its name."""
    archive = tmp_path / "archive.tar"
    subprocess.run(["podman", "save", "--quiet", "--format", form, "-o", str(archive), made], check=True)
    remove_image(made)
    if is_piped:
        with archive.open("rb") as file:
            done = portside(tmp_path, "load", "-", stdin=file)
    else:
        done = portside(tmp_path, "load", str(archive))
    assert done.stdout == f"{made}\n"
    assert listed(tmp_path)[made]["origin"] == "loaded"
    assert "who uses these images is not known" in portside(tmp_path, "ls").stderr


def test_what_is_no_archive(tmp_path: Path) -> None:
    """Garbage, a file that is not there and a name that Docker does not know are told apart."""
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"no archive" * 1000)
    for source, words in (
        (str(garbage), f"{garbage} can not be loaded"),
        (str(tmp_path / "none"), "can not be read: No such file or directory"),
    ):
        done = portside(tmp_path, "load", source, check=False)
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr


@contextmanager
def docker_daemon(folder: Path) -> Iterator[dict[str, str]]:
    """One of the test's own, without networks; yields the environment that leads to it."""
    host = f"unix://{folder}/docker.sock"
    command = ["dockerd", "-H", host, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    command += ["--pidfile", f"{folder}/pid", "--bridge", "none", "--iptables=false", "--ip6tables=false"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    environment = {"DOCKER_HOST": host}
    try:

        def is_up() -> bool:
            if process.poll() is not None:
                pytest.skip(f"dockerd does not run here: {(folder / 'log').read_text()[-300:]}")
            asked = subprocess.run(["docker", "info"], env=os.environ | environment, capture_output=True, check=False)
            return asked.returncode == 0

        wait_for(is_up, timeout_s=60, pause_s=0.2, what="dockerd")
        yield environment
    finally:
        end(process, timeout_s=60)


@pytest.mark.skipif(not (shutil.which("docker") and shutil.which("dockerd")), reason="Docker is not installed")
def test_an_image_of_docker(tmp_path: Path, made: str) -> None:
    """An image that a Docker daemon has is loaded by name, and a task runs it by its short name."""
    archive, folder = tmp_path / "archive.tar", tmp_path / "docker"
    folder.mkdir()
    subprocess.run(["podman", "save", "--quiet", "-o", str(archive), made], check=True)
    remove_image(made)
    with docker_daemon(folder) as environment:
        subprocess.run(["docker", "load", "-i", str(archive)], env=os.environ | environment, check=True)
        subprocess.run(["docker", "tag", made, "team/from-docker:2"], env=os.environ | environment, check=True)
        missing = portside(tmp_path, "load", "docker:nothing:1", environment=environment, check=False)
        assert "Docker has no image nothing:1" in missing.stderr
        with instance() as running:
            data_dir = running.settings.data_dir
            (name,) = portside(data_dir, "load", "docker:team/from-docker:2", environment=environment).stdout.split()
            running.client("ecs").create_cluster()
            running.register("docker", {"image": "team/from-docker:2", "command": ["sleep", "600"]})
            running.wait_task(running.run_task("docker"), "RUNNING")
            assert listed(data_dir)[name]["origin"] == "loaded"
    remove_image(name)


def test_a_build(tmp_path: Path) -> None:
    """A folder's Dockerfile becomes an image, found under the name that a task definition gives; one that fails says
    why."""
    name = "portside-test-built:1"
    (tmp_path / "Dockerfile").write_text(f"FROM {ensure_busybox_image()}\nARG WORD=no\nENV WORD=$WORD\n")
    done = portside(tmp_path, "build", "--network", "none", "-t", name, "--build-arg", "WORD=yes", str(tmp_path))
    assert done.stdout == f"localhost/{name}\n"
    assert listed(tmp_path)[f"localhost/{name}"]["origin"] is None
    remove_image(f"localhost/{name}")
    (tmp_path / "Dockerfile").write_text("NOT A DOCKERFILE\n")
    failed = portside(tmp_path, "build", "-t", name, str(tmp_path), check=False)
    assert failed.returncode == 1
    assert f"the image {name} could not be built" in failed.stderr
    nothing = portside(tmp_path, "build", "-t", name, "-f", str(tmp_path / "none"), str(tmp_path), check=False)
    assert f"there is no {tmp_path / 'none'}" in nothing.stderr


def test_a_pull_and_a_removal() -> None:
    """An image that was pulled by hand is used by a task, is not removed then, and the task is named; afterwards it
    goes. The table fits 80 columns."""
    ensure_busybox_image(IMAGE)
    with registry() as host, instance() as running:
        data_dir = running.settings.data_dir
        name = push_fresh_image(host, "team/by-hand:1")
        digest = portside(data_dir, "pull", name).stdout.strip()
        assert digest.startswith("sha256:")
        assert listed(data_dir)[name]["digest"] == digest
        assert (listed(data_dir)[name]["origin"], listed(data_dir)[name]["usedBy"]) == ("asked", None)
        missing = portside(data_dir, "pull", f"{host}/team/other:1", check=False)
        assert missing.returncode == 1
        assert "not found" in missing.stderr
        running.client("ecs").create_cluster()
        running.register("by-hand", {"image": name, "command": ["sleep", "600"]})
        arn = running.run_task("by-hand")
        running.wait_task(arn, "RUNNING")
        task_id = arn.rpartition("/")[2]
        assert listed(data_dir)[name]["usedBy"] == f"task {task_id} in cluster default"
        shown = portside(data_dir, "ls").stdout
        assert f"task {task_id[:8]}" in shown
        assert max(len(line) for line in shown.splitlines()) <= 80
        refused = portside(data_dir, "rm", name, check=False)
        assert refused.returncode == 1
        assert f"is used by task {task_id} in cluster default" in refused.stderr
        running.client("ecs").stop_task(task=arn)
        running.wait_task(arn, "STOPPED")
        assert "MB freed" in portside(data_dir, "rm", name).stdout
        assert name not in listed(data_dir)
        unknown = portside(data_dir, "rm", name, check=False)
        assert f"there is no image {name}" in unknown.stderr
