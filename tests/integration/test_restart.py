"""Restarts of containers, through the API. The shortest attempt period of AWS is a minute, so this takes one."""

import pytest

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance

pytestmark = pytest.mark.integration


def begun(portside: Instance) -> str:
    """A task whose container runs for the attempt period and fails, and then ends with a code that is ignored, if it
    finds what its first run wrote."""
    portside.aws("ecs", "create-cluster", "--cluster-name", "default")
    script = "if test -e /written; then exit 42; fi; touch /written; sleep 61; exit 3"
    policy = {"enabled": True, "ignoredExitCodes": [42], "restartAttemptPeriod": 60}
    portside.register("again", {"name": "app", "command": ["sh", "-c", script], "restartPolicy": policy})
    return portside.run_task("again")


def check_end(portside: Instance, arn: str) -> None:
    task = portside.wait_task(arn, "STOPPED", timeout_s=120)
    assert (task["stopCode"], task["containers"][0]["exitCode"]) == ("EssentialContainerExited", 42)
    assert (task["stoppedAt"] - task["startedAt"]).total_seconds() > 60


def test_an_essential_container_is_restarted_until_its_exit_code_is_ignored() -> None:
    """Only that code ends its task; also where the daemon is killed inside of the restart, and another one goes on."""
    ensure_busybox_image(IMAGE)
    with instance() as usual, instance(PORTSIDE_FAILPOINT="after-restart-rootfs") as dying:
        arns = begun(usual), begun(dying)
        check_end(usual, arns[0])
        dying.died()
        dying.start(PORTSIDE_FAILPOINT="")
        dying.ready()
        check_end(dying, arns[1])
