"""`portside why`: the story of a real task, and of one that never ran."""

import json
import os
import subprocess
import sys

import pytest

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import Instance, instance

pytestmark = pytest.mark.integration


def why(portside: Instance, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "portside.cli", "why", *words, "--data-dir", str(portside.settings.data_dir)],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_story_of_tasks() -> None:
    """A container that exits with 3 and an image that is nowhere: phases, exit code, reason; by id, prefix and ARN."""
    image = ensure_busybox_image()
    with instance() as portside:
        portside.client("ecs").create_cluster()
        portside.register("ends", {"image": image, "command": ["sh", "-c", "exit 3"]})
        arn = portside.run_task("ends", referenceId="order-17")
        portside.wait_task(arn, "STOPPED")
        task_id = arn.rpartition("/")[2]
        told = json.loads(why(portside, arn, "--json").stdout)
        assert (told["id"], told["referenceId"]) == (task_id, "order-17")
        assert [phase["name"] for phase in told["phases"]] == ["network", "image", "start", "running", "stopping"]
        assert {phase["state"] for phase in told["phases"]} == {"done"}
        assert told["summary"].endswith("main exited with 3.")
        assert {"NetworkReady", "ContainerStarted", "ContainerExited"} <= {each["what"] for each in told["story"]}
        shown = why(portside, task_id[:10], "--cluster", "default")
        assert shown.returncode == 0, shown.stderr
        assert "EssentialContainerExited" in shown.stdout
        assert "Reference: order-17" in shown.stdout
        assert max(len(line) for line in shown.stdout.splitlines()) <= 80

        portside.register("nowhere", {"image": "localhost/nowhere:1"})
        arn = portside.run_task("nowhere")
        portside.wait_task(arn, "STOPPED")
        told = json.loads(why(portside, arn, "--json").stdout)
        assert "CannotPullContainerError" in told["summary"]
        assert ("image", "unfinished") in [(phase["name"], phase["state"]) for phase in told["phases"]]

        unknown = why(portside, "f00")
        assert unknown.returncode == 1
        assert "there is no task f00" in unknown.stderr


def test_it_knows_the_instances_key() -> None:
    """Where signatures are checked the command signs, an ARN's slashes and colons included."""
    with instance(PORTSIDE_AUTH="1") as portside:
        answer = why(portside, "arn:aws:ecs:us-east-1:000000000000:task/default/" + "0" * 32)
        assert answer.returncode == 1
        assert "there is no task arn:aws:ecs" in answer.stderr
