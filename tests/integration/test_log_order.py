"""A container that writes numbered lines as fast as it can, while Portside is killed and started again and again."""

import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portside.testing.full_disk import fill
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, REGION, Instance, instance
from portside.testing.wait import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

GROUP = "/order"
LINES = 600_000


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="default")
        running.client("logs").create_log_group(logGroupName=GROUP)
        yield running


def events(portside: Instance, arn: str) -> Iterator[dict[str, Any]]:
    """All of a task, in the order of the stream."""
    stream = f"t/main/{arn.rsplit('/', 1)[-1]}"
    asked: dict[str, Any] = {"logGroupName": GROUP, "logStreamName": stream, "startFromHead": True}
    token = ""
    while True:
        page = portside.client("logs").get_log_events(**asked)
        if page["nextForwardToken"] == token:
            return
        yield from page["events"]
        token = asked["nextToken"] = page["nextForwardToken"]


def numbers(portside: Instance, arn: str) -> Iterator[int]:
    for each in events(portside, arn):
        word, number = each["message"].split()
        assert word == "line"
        yield int(number)


@pytest.mark.parametrize("mode", ["blocking", "non-blocking"])
def test_no_line_is_missing_and_none_out_of_order(portside: Instance, mode: str) -> None:
    """Every line is there once, in order, whenever the daemon was killed: what was written while it was dead waits on
    the disk, in either mode."""
    options = {"awslogs-group": GROUP, "awslogs-region": REGION, "awslogs-stream-prefix": "t", "mode": mode}
    script = f'BEGIN {{ for (n = 1; n <= {LINES}; n++) print "line", n }}'
    log = {"logConfiguration": {"logDriver": "awslogs", "options": options}}
    portside.register("numbers", {"command": ["sh", "-c", f"awk '{script}'"], **log})
    arn = portside.run_task("numbers")
    chance = random.Random(mode)
    for _ in range(6):
        # At whatever moment: while lines are read, put, noted, or at the daemon's start.
        threading.Event().wait(chance.uniform(0.05, 1.0))
        portside.kill()
        portside.start()
    portside.ready()
    wait_for(lambda: portside.task(arn)["lastStatus"] == "STOPPED", timeout_s=240, pause_s=0.5, what="the task's end")
    assert portside.task(arn)["containers"][0]["exitCode"] == 0
    for expected, number in enumerate(numbers(portside, arn), 1):
        assert number == expected
    assert number == LINES


def test_lines_while_the_disk_is_full(tmp_path: Path) -> None:
    """The daemon says that the store refuses them. What had been written before is all there, and so is what is written
    when there is room again; in between lines may be missing, and none is torn, comes twice or out of order."""
    ensure_busybox_image(IMAGE)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "portside-test", str(disk)], check=True)
    try:
        with instance(disk) as portside:
            portside.client("ecs").create_cluster(clusterName="default")
            portside.client("logs").create_log_group(logGroupName=GROUP)
            options = {"awslogs-group": GROUP, "awslogs-region": REGION, "awslogs-stream-prefix": "t"}
            log = {"logConfiguration": {"logDriver": "awslogs", "options": options}}
            script = "n=0; while :; do n=$((n+1)); echo line $n; usleep 3000; done"
            portside.register("numbers", {"command": ["sh", "-c", script], **log})
            arn = portside.run_task("numbers")
            portside.wait_task(arn, "RUNNING")

            def last() -> int:
                return max(numbers(portside, arn), default=0)

            wait_for(lambda: last() > 300, timeout_s=60, pause_s=0.2, what="the first lines")
            before = last()
            filler = fill(disk)

            def is_said() -> bool:
                fill(disk)
                return "waits: the destination refused it" in portside.log

            # Its log is on the same disk: a word of it needs some room.
            wait_for(is_said, timeout_s=60, pause_s=0.2, what="the daemon's word")
            filler.unlink()
            with_room = wait_for(lambda: (n := last()) > before + 300 and n, timeout_s=90, pause_s=0.2, what="more")
            wait_for(lambda: last() > with_room + 300, timeout_s=90, pause_s=0.2, what="later lines")
            portside.client("ecs").stop_task(cluster="default", task=arn)
            portside.wait_task(arn, "STOPPED", timeout_s=60)
            found = list(numbers(portside, arn))
            assert found == sorted(set(found))
            assert found[:before] == list(range(1, before + 1))
            assert found[-300:] == list(range(found[-1] - 299, found[-1] + 1))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
