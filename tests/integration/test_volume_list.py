"""`portside volume`: all storage that there is, as real tasks fill it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]
MIB, GIB = 1024**2, 1024**3


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="default")
        yield running


def command(portside: Instance, *words: str, code: int = 0) -> str:
    line = [sys.executable, "-m", "portside.cli", "volume", *words, "--data-dir", str(portside.settings.data_dir)]
    environment = os.environ | {"PORTSIDE_RUN_DIR": str(portside.settings.run_dir)}
    done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def listed(portside: Instance, *kinds: str) -> dict[str, dict[str, Any]]:
    words = [word for kind in kinds for word in ("--kind", kind)]
    return {each["id"]: each for each in json.loads(command(portside, "ls", "--json", *words))}


def test_what_a_task_writes_is_seen_while_it_runs(portside: Instance) -> None:
    """Its disk with its size and how full it is, and each of its volumes on that with what is in it and where it is
    mounted; gone with the task. Kinds that were not asked for are not shown."""
    script = (
        "dd if=/dev/urandom of=/data/blob bs=1M count=3; dd if=/dev/urandom of=/own bs=1M count=5; touch /data/done"
    )
    portside.register(
        "writer",
        {
            "name": "main",
            "command": ["sh", "-c", f"{script}; exec sleep 600"],
            "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/data"}],
        },
        volumes=[{"name": "scratch"}],
    )
    (arn,) = (portside.run_task("writer"),)
    portside.wait_task(arn, "RUNNING", timeout_s=60)
    task_id = arn.rsplit("/", 1)[-1]
    volume = f"{task_id}/scratch"

    def written() -> bool:
        rows = listed(portside, "ephemeral", "task")
        return int(rows[task_id]["sizeBytes"]) >= 8 * MIB and int(rows[volume]["sizeBytes"]) >= 3 * MIB

    wait_for(written, timeout_s=60, what="what the task wrote")
    rows = listed(portside)
    disk = rows[task_id]
    assert (disk["kind"], disk["capacityBytes"], disk["isNearlyFull"]) == ("ephemeral", 20 * GIB, False)
    assert disk["sizeBytes"] < 16 * MIB
    assert disk["usedBy"] == rows[volume]["usedBy"] == [f"default/{task_id}"]
    assert 3 * MIB <= rows[volume]["sizeBytes"] < 4 * MIB
    assert rows[volume]["mountPoints"] == [{"container": "main", "path": "/data", "readOnly": False}]
    assert json.loads(command(portside, "inspect", volume))["sizeBytes"] == rows[volume]["sizeBytes"]
    assert {each["kind"] for each in listed(portside, "task").values()} == {"task"}
    shown = command(portside, "ls")
    assert f"{task_id[:8]}/scratch" in shown
    assert json.loads(command(portside, "inspect", f"{task_id[:8]}/scratch"))["id"] == volume
    assert "of 21.5 GB" in shown
    assert "there is no kind tape" in command(portside, "ls", "--kind", "tape", code=1)
    portside.client("ecs").stop_task(task=arn)
    portside.wait_task(arn, "STOPPED", timeout_s=60)
    assert listed(portside, "ephemeral", "task") == {}
