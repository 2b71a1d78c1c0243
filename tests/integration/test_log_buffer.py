"""The mode non-blocking with real containers and a disk of the databases that is full: what is kept, what is told."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portside.testing.full_disk import fill
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, REGION, Instance, instance
from portside.testing.wait import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

GROUP = "/buffer"
BUFFER = "64k"


@pytest.fixture
def portside(tmp_path: Path) -> Iterator[Instance]:
    """One whose databases are on a small disk, and whose containers' files are on another: these grow on."""
    ensure_busybox_image(IMAGE)
    data = tmp_path / "data"
    for folder, size in ((data, "32m"), (data / "node", "256m")):
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "portside-test", str(folder)], check=True)
    try:
        with instance(tmp_path) as running:
            running.client("ecs").create_cluster(clusterName="default")
            running.client("logs").create_log_group(logGroupName=GROUP)
            yield running
    finally:
        subprocess.run(["umount", "-R", str(data)], check=True)


def register(portside: Instance, program: str) -> str:
    """A container that runs an awk program, in the mode that tasks have by default. Returns: the family."""
    options = {"awslogs-group": GROUP, "awslogs-region": REGION, "awslogs-stream-prefix": "t"}
    log = {"logConfiguration": {"logDriver": "awslogs", "options": {**options, "max-buffer-size": BUFFER}}}
    portside.register("numbers", {"command": ["awk", f"BEGIN {{ {program} }}"], **log})
    return "numbers"


def numbers(portside: Instance, arn: str) -> list[int]:
    """Of the task's lines, in the order of the stream."""
    asked: dict[str, Any] = {"logGroupName": GROUP, "logStreamName": f"t/main/{arn.rsplit('/', 1)[-1]}"}
    found: list[int] = []
    while True:
        page = portside.client("logs").get_log_events(**asked, startFromHead=True)
        if page["nextForwardToken"] == asked.get("nextToken"):
            return found
        found += [int(each["message"].removeprefix("line ")) for each in page["events"]]
        asked["nextToken"] = page["nextForwardToken"]


def of_container(portside: Instance, arn: str, name: str) -> Path:
    (folder,) = (portside.settings.data_dir / "node/containers").glob(f"{arn.rsplit('/', 1)[-1]}-*")
    return folder / name


def losses(portside: Instance, arn: str) -> list[dict[str, Any]]:
    return [each for each in portside.problems() if arn.endswith(each["name"]) and "given up" in each["why"]]


def story(portside: Instance, arn: str) -> dict[str, Any]:
    asked = [sys.executable, "-m", "portside.cli", "why", arn, "--json", "--data-dir", str(portside.settings.data_dir)]
    return dict(json.loads(subprocess.run(asked, capture_output=True, check=True, timeout=60).stdout))


def test_lines_that_are_given_up_are_told(portside: Instance) -> None:
    """How many and of which container, since when and what to do, by `portside problems` and `portside why`, until the
    task is forgotten; lines that were delivered and those that were given up are all that were written."""
    arn = portside.run_task(
        register(
            portside,
            'for (n = 1; ; n++) { print "line", n; if (n % 500 == 0) { fflush(); system("usleep 50000") } }',
        )
    )
    portside.wait_task(arn, "RUNNING")
    wait_for(lambda: numbers(portside, arn), timeout_s=60, pause_s=0.2, what="the first lines")
    assert losses(portside, arn) == []

    def has_lost() -> bool:
        fill(portside.settings.data_dir)
        return bool(json.loads(of_container(portside, arn, "output.position").read_bytes()).get("lost"))

    wait_for(has_lost, timeout_s=60, pause_s=0.2, what="a loss")
    (portside.settings.data_dir / "filler").unlink()
    wait_for(lambda: losses(portside, arn), timeout_s=60, pause_s=0.2, what="a problem")
    portside.kill()
    portside.start()
    portside.ready()
    (found,) = losses(portside, arn)
    assert (found["kind"], found["severity"]) == ("task", "warning")
    assert found["what"].startswith("Output of main in task ")
    assert "(mode non-blocking, 64k) was full" in found["why"]
    assert "max-buffer-size" in found["mend"]
    assert found["since"]
    portside.client("ecs").stop_task(cluster="default", task=arn)
    portside.wait_task(arn, "STOPPED", timeout_s=60)
    told = story(portside, arn)
    assert "max-buffer-size" in told["summary"]
    (moment,) = (each for each in told["story"] if each["what"] == "ContainerOutputLost")
    name, lost, *_ = moment["detail"].split()
    assert name == "main"
    assert f"Of the output of main {int(lost):,} lines (" in told["summary"]
    delivered = numbers(portside, arn)
    assert delivered == sorted(set(delivered))
    assert len(delivered) + int(lost) == delivered[-1]
    assert losses(portside, arn)
    portside.stop()
    portside.start(PORTSIDE_STOPPED_TASK_RETENTION_S="1")
    portside.ready()
    wait_for(lambda: losses(portside, arn) == [], timeout_s=60, pause_s=0.2, what="the task forgotten")


def test_what_was_printed_while_the_daemon_was_down(portside: Instance) -> None:
    """Ten times the buffer, and the first delivery after the next start finds the disk full: all of it is there once
    there is room."""
    portside.stop()
    portside.start(PORTSIDE_FAILPOINT="before-put-log:stop")
    portside.ready()
    count = 15_000
    arn = portside.run_task(
        register(portside, f'for (n = 1; n <= {count}; n++) print "line", n; fflush(); system("sleep 600")')
    )
    wait_for(portside.halted, timeout_s=60, what="the first delivery")
    portside.kill()
    file = of_container(portside, arn, "output.log")
    wait_for(lambda: file.read_bytes().endswith(f"line {count}\n".encode()), timeout_s=60, what="the lines in the file")
    assert file.stat().st_size > 10 * 64 * 1024

    # It may stop itself before it gives its first answer.
    starting = threading.Thread(target=lambda: portside.start(PORTSIDE_FAILPOINT="before-put-log:stop"))
    starting.start()

    def is_halted() -> bool:
        with contextlib.suppress(FileNotFoundError):
            return portside.halted()
        return False

    wait_for(is_halted, timeout_s=60, what="the first delivery of the next daemon")
    filler = fill(portside.settings.data_dir)

    def is_refused() -> bool:
        """And the daemon waits before it tries once more."""
        if is_halted() and "waits: the destination refused it" in portside.log:
            return True
        if is_halted():
            portside.go_on()
        return False

    wait_for(is_refused, timeout_s=60, pause_s=0.05, what="a refusal")
    filler.unlink()
    portside.go_on()
    starting.join()
    portside.kill()
    portside.start()
    portside.ready()
    wait_for(lambda: len(numbers(portside, arn)) >= count, timeout_s=60, pause_s=0.2, what="the lines")
    assert numbers(portside, arn) == list(range(1, count + 1))
    assert losses(portside, arn) == []
    portside.client("ecs").stop_task(cluster="default", task=arn)
    portside.wait_task(arn, "STOPPED", timeout_s=60)
