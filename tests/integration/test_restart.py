"""Restarts of containers, through the API. The shortest attempt period of AWS is a minute, so this takes one."""

from collections.abc import Iterator

import pytest

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance

pytestmark = pytest.mark.integration


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.aws("ecs", "create-cluster", "--cluster-name", "default")
        yield running


def test_an_essential_container_is_restarted_until_its_exit_code_is_ignored(portside: Instance) -> None:
    """It runs for the attempt period and fails: it runs again, finds what it wrote, and ends with a code that is
    ignored; only that ends its task."""
    script = "if test -e /written; then exit 42; fi; touch /written; sleep 61; exit 3"
    policy = {"enabled": True, "ignoredExitCodes": [42], "restartAttemptPeriod": 60}
    portside.register("again", {"name": "app", "command": ["sh", "-c", script], "restartPolicy": policy})
    task = portside.wait_task(portside.run_task("again"), "STOPPED", timeout_s=120)
    assert (task["stopCode"], task["containers"][0]["exitCode"]) == ("EssentialContainerExited", 42)
    assert (task["stoppedAt"] - task["startedAt"]).total_seconds() > 60
