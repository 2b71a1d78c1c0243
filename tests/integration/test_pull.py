"""Pulls of tasks from a real registry: shared, watched, by way of a mirror, and why they fail."""

import asyncio
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portside.node.image.failure import PullFailed
from portside.node.image.store import ImageStore
from portside.testing.image import push_fresh_image, remove_image
from portside.testing.instance import Instance, instance
from portside.testing.registry import registry
from portside.testing.registry_proxy import registry_proxy
from portside.testing.wait import free_port, wait_for

pytestmark = pytest.mark.integration

LAYERS = 3  # two of its own on top of one that is here


def portside(running: Instance, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "portside.cli", *words, "--data-dir", str(running.settings.data_dir)],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def told(running: Instance, arn: str) -> dict[str, Any]:
    return dict(json.loads(portside(running, "why", arn, "--json")))


def test_a_pull_is_shared_and_can_be_watched() -> None:
    """Six tasks under two spellings of a name: the registry gives each layer once. While it comes, `portside status`
    and `portside why` tell how far it is; afterwards the story of each task tells what was fetched, and how fast."""
    with registry() as host, registry_proxy(host, is_open=False) as proxy, instance() as running:
        push_fresh_image(host, "team/app:latest")
        short, full = f"{proxy.host}/team/app", f"{proxy.host}/team/app:latest"
        running.client("ecs").create_cluster()
        for family, image in (("short", short), ("full", full)):
            running.register(family, {"image": image, "command": ["sleep", "600"]})
        arns = [running.run_task(family) for family in ("short", "full") * 3]

        def under_way() -> dict[str, Any] | None:
            pulls = running.status()["pulls"]
            known = [each for each in pulls if len(each["names"]) == 2 and each["bytesTotal"]]
            return known[0] if known else None

        pull = wait_for(under_way, timeout_s=20, what="a pull for both spellings")
        assert pull is not None
        assert (pull["reference"], pull["names"]) == (full, [short, full])
        assert (pull["layersTotal"], pull["bytesDone"]) == (LAYERS, 0)
        shown = portside(running, "status")
        assert f" of {LAYERS} layers" in shown
        assert max(len(line) for line in shown.splitlines() if "MB" in line) <= 80
        story = told(running, arns[0])
        assert f" of {LAYERS} layers, 0.0 of " in story["summary"]
        assert [each["reference"] for each in story["pulls"]] == [full]

        proxy.open.set()
        for arn in arns:
            running.wait_task(arn, "RUNNING", timeout_s=60)
        assert running.status()["pulls"] == []
        assert len(proxy.fetched()) == LAYERS  # with the configuration, without what was here
        assert set(proxy.fetched().values()) == {1}
        for arn in arns:
            story = told(running, arn)
            assert story["pulls"] == []
            (pulled,) = (each["detail"] for each in story["story"] if each["what"] == "ImagePulled")
            assert f", {LAYERS} layers (1 were here), 0.4 MB in " in pulled
            assert pulled.endswith(f" s from {full}")
    remove_image(full)


def test_the_login_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What root has entered by `podman login` opens a private registry to tasks; without it the pull is denied."""
    with registry(login=("me", "open-sesame")) as host:
        logins = tmp_path / "auth.json"
        entry = base64.b64encode(b"me:open-sesame").decode()
        logins.write_text(json.dumps({"auths": {host: {"auth": entry}}}))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(logins))
        image = push_fresh_image(host, "team/app:1")
        with instance() as running:
            running.client("ecs").create_cluster()
            running.register("app", {"image": image, "command": ["true"]})
            (container,) = running.wait_task(running.run_task("app"), "STOPPED")["containers"]
            assert container["exitCode"] == 0
            remove_image(image)
            logins.write_text("{}")
            reason = running.wait_task(running.run_task("app"), "STOPPED")["stoppedReason"]
            assert reason.startswith("CannotPullContainerError: ")
            assert "pull access denied" in reason


def test_a_mirror() -> None:
    """An image of a registry that can not be reached comes from its mirror; what the mirror does not have is asked of
    the registry."""
    elsewhere = f"127.0.0.1:{free_port()}"
    with (
        registry() as mirror,
        registry() as host,
        instance(PORTSIDE_MIRRORS=f"{elsewhere}={mirror},{host}={mirror}") as running,
    ):
        push_fresh_image(mirror, "team/mirrored:1")
        push_fresh_image(host, "team/only-here:1")
        running.client("ecs").create_cluster()
        for number, (image, source) in enumerate(
            ((f"{elsewhere}/team/mirrored:1", mirror), (f"{host}/team/only-here:1", host))
        ):
            running.register(f"family-{number}", {"image": image, "command": ["sleep", "600"]})
            arn = running.run_task(f"family-{number}")
            running.wait_task(arn, "RUNNING", timeout_s=60)
            (pulled,) = (each["detail"] for each in told(running, arn)["story"] if each["what"] == "ImagePulled")
            assert f" s from {source}/team/" in pulled
            remove_image(image)


def test_the_daemon_ends_in_the_middle() -> None:
    """A pull ends with a daemon that is killed, leaves nothing, and is made by the next one."""
    with registry() as host, registry_proxy(host, is_open=False) as proxy, instance() as running:
        full = f"{proxy.host}/team/cut:1"
        push_fresh_image(host, "team/cut:1")
        running.client("ecs").create_cluster()
        running.register("cut", {"image": full, "command": ["sleep", "600"]})
        arn = running.run_task("cut")
        wait_for(lambda: proxy.fetched(), timeout_s=20, what="the first request for a layer")
        folder = running.settings.data_dir / "node/pull"
        (left,) = folder.iterdir()
        running.kill()
        wait_for(lambda: not pullers(full), timeout_s=20, what="the end of the pull")
        proxy.open.set()
        running.start()
        running.wait_task(arn, "RUNNING", timeout_s=60)
        assert not left.exists()
        assert list(folder.iterdir()) == []
    remove_image(full)


def pullers(name: str) -> list[str]:
    """Processes that were told to pull that."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [each for each in listed if "podman" in each and each.endswith(name)]


class Silent:
    """A registry that takes every connection and says nothing."""

    def __enter__(self) -> str:
        self._sock = socket.create_server(("127.0.0.1", 0), backlog=50)
        return f"127.0.0.1:{self._sock.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._sock.close()


def failure(folder: Path, name: str, podman: str = "podman", answer_timeout_s: float = 60) -> str:
    """What a pull ends with."""

    async def body() -> str:
        store = ImageStore(folder / "node", podman=podman, answer_timeout_s=answer_timeout_s)
        try:
            with pytest.raises(PullFailed) as failed:
                await store.ensure(name)
            return str(failed.value)
        finally:
            await store.close()

    return asyncio.run(body())


def test_why_a_pull_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not found, no registry there, no answer, and no way: each with its cause, in AWS's words."""
    start = "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref"
    with registry() as host:
        assert failure(tmp_path, f"{host}/team/none:1").startswith(f"{start} {host}/team/none:1: not found: ")
    nobody = f"127.0.0.1:{free_port()}"
    assert failure(tmp_path, f"{nobody}/app").startswith(f"{start} {nobody}/app:latest: connection refused: ")
    with Silent() as silent:
        told = failure(tmp_path, f"{silent}/app", answer_timeout_s=2)
        assert told == f"{start} {silent}/app:latest: i/o timeout: timeout: no answer of {silent} in 2 s"
    # In a network namespace of their own podman and skopeo have no way anywhere.
    for program in ("podman", "skopeo"):
        wrapper = tmp_path / program
        wrapper.write_text(f'#!/bin/sh\nexec unshare --net {shutil.which(program)} "$@"\n')
        wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    told = failure(tmp_path, "192.0.2.1:5000/app", podman=str(tmp_path / "podman"))
    assert told.startswith(f"{start} 192.0.2.1:5000/app:latest: network is unreachable: ")
