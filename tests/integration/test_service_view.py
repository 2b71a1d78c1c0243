"""`portside service` and `portside why SERVICE` on real services."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster()
        yield running


def words(portside: Instance, *given: str) -> list[str]:
    return [sys.executable, "-m", "portside.cli", *given, "--data-dir", str(portside.settings.data_dir)]


def shown(portside: Instance, *given: str) -> str:
    environment = {**os.environ, "COLUMNS": "80"}
    command = words(portside, *given)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout


def create(portside: Instance, name: str, family: str, count: int = 1) -> None:
    portside.client("ecs").create_service(
        serviceName=name,
        taskDefinition=family,
        desiredCount=count,
        launchType="FARGATE",
        networkConfiguration=portside.network(),
    )


def why(portside: Instance, name: str) -> Any:
    return json.loads(shown(portside, "why", name, "--json"))["why"]


def test_what_holds_a_service_up(portside: Instance) -> None:
    """An image that is nowhere: held back, with the task's own reason and until when. A check that has not passed; a
    service that is as it should be, in 80 columns."""
    portside.register("nowhere", {"image": "localhost/portside-there-is-none:1"})
    create(portside, "broken", "nowhere")
    held = wait_for(
        lambda: found if (found := why(portside, "broken")) and found["until"] else None,
        timeout_s=60,
        what="the throttle",
    )
    assert "CannotPullContainerError" in held["what"]
    assert held["task"]
    text = shown(portside, "why", "broken")
    assert "It goes on by itself at " in text or "is starting" in text

    check = {"command": ["CMD", "false"], "interval": 300, "retries": 10}
    portside.register("sick", {"command": ["sleep", "600"], "healthCheck": check})
    create(portside, "unwell", "sick")
    wait_for(
        lambda: (found := why(portside, "unwell")) and "has not passed yet" in found["what"],
        timeout_s=60,
        what="the check that has not passed",
    )

    portside.register("fine", {"command": ["sleep", "600"]})
    create(portside, "well", "fine", 2)
    wait_for(lambda: why(portside, "well") is None, timeout_s=60, what="the steady state")
    text = shown(portside, "service", "well", "--once")
    assert "well in default: 2/2 running" in text
    assert "It is as it should be." in text
    assert "PRIMARY fine:1" in text
    assert max(len(line) for line in text.splitlines() if "has started" not in line) <= 80
    assert len(json.loads(shown(portside, "service", "well", "--json"))["deployments"][0]["tasks"]) == 2


def test_live(portside: Instance) -> None:
    """At a terminal it goes on by itself: a service that is scaled is shown with its new tasks."""
    portside.register("fine", {"command": ["sleep", "600"]})
    create(portside, "web", "fine")
    wait_for(lambda: why(portside, "web") is None, timeout_s=60, what="the steady state")
    leader, follower = pty.openpty()
    with subprocess.Popen(words(portside, "service", "web"), stdin=follower, stdout=follower, stderr=follower) as view:
        os.close(follower)
        try:
            assert until(leader, "1/1 running")
            portside.client("ecs").update_service(service="web", desiredCount=3)
            assert until(leader, "3/3 running")
        finally:
            view.terminate()
            os.close(leader)


def until(terminal: int, words: str) -> bool:
    """Whether a terminal shows these words within a minute."""
    seen, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 65536)
        if words.encode() in seen:
            return True
    return False


def test_unknown(portside: Instance) -> None:
    """Neither a service nor a task is called so."""
    for command in (("service", "nobody"), ("why", "nobody")):
        done = subprocess.run(words(portside, *command), capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, "there is no" in done.stderr) == (1, True), done.stderr
