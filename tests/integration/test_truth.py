"""What CloudWatch and Container Insights tell of tasks, against programs that know what they use."""

import bisect
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from portside.node import cgroup
from portside.testing.image import ensure_busybox_image, program_files
from portside.testing.instance import REGION, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

IMAGE = "localhost/portside-test-iperf3:1"
GROUP = "/truth"
MIB = 1024**2
SENT_S = 190
"""So long iperf3 sends: two minutes of the clock are within, whenever it begins."""
BITS_S = 24_000_000


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE, files=program_files("iperf3"))
    with instance() as running:
        enhanced = [{"name": "containerInsights", "value": "enhanced"}]
        running.client("ecs").create_cluster(clusterName="default", settings=enhanced)
        running.client("logs").create_log_group(logGroupName=GROUP)
        yield running


def started(portside: Instance, family: str, *command: str) -> str:
    options = {"awslogs-group": GROUP, "awslogs-region": REGION, "awslogs-stream-prefix": "t"}
    log = {"logDriver": "awslogs", "options": options}
    portside.register(family, {"image": IMAGE, "command": list(command), "logConfiguration": log})
    arn = portside.run_task(family)
    portside.wait_task(arn, "RUNNING")
    return arn


def said(portside: Instance, arn: str) -> str:
    stream = f"t/main/{arn.rsplit('/', 1)[-1]}"
    found = portside.client("logs").get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
    return "\n".join(each["message"] for each in found["events"])


def told(portside: Instance, arn: str, metric: str) -> dict[float, float]:
    """What Container Insights has of a task, by the end of the minute that it is of."""
    family = portside.task(arn)["taskDefinitionArn"].rsplit("/", 1)[-1].partition(":")[0]
    dimensions = {"ClusterName": "default", "TaskDefinitionFamily": family, "TaskId": arn.rsplit("/", 1)[-1]}
    now = datetime.now(UTC)
    found = portside.client("cloudwatch").get_metric_statistics(
        Namespace="ECS/ContainerInsights",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=60,
        Statistics=["Average", "SampleCount"],
    )["Datapoints"]
    assert all(each["SampleCount"] == 1 for each in found)
    return {each["Timestamp"].timestamp(): each["Average"] for each in found}


class Processor:
    """CPU time that a task's processes were given, as the kernel counts it for processes, over time."""

    def __init__(self, portside: Instance, arn: str) -> None:
        self._tree, self._task = cgroup.detect(portside.settings.instance_id), arn.rsplit("/", 1)[-1]
        self._looks: list[tuple[float, float]] = []

    def look(self) -> None:
        ticks = 0
        for pid in self._tree.processes(self._task):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(each) for each in fields[11:15])
        self._looks.append((time.time(), ticks / os.sysconf("SC_CLK_TCK")))

    def given_s(self, at: float) -> float:
        """Until then, between the looks around it."""
        index = bisect.bisect([each[0] for each in self._looks], at)
        (since, least), (until, most) = self._looks[index - 1 : index + 1]
        return least + (most - least) * (at - since) / (until - since)


def near(value: float) -> Any:
    return pytest.approx(value, rel=0.05)


@pytest.mark.timeout(600)
def test_what_is_told_is_what_is_used(portside: Instance) -> None:
    """CPU, memory, bytes sent and received, bytes read and written: each within a twentieth of what the kernel counts
    for the burner's process, of what was allocated, of what iperf3 counts, of what dd was told."""
    burner = started(portside, "burner", "sh", "-c", "while :; do :; done")
    # dd fills its buffer, and then nobody takes it.
    holder = started(portside, "holder", "sh", "-c", "dd if=/dev/zero bs=200M count=1 | sleep 900")
    file = "dd if=/dev/zero of=/file bs=1M count=300 conv=fsync; dd if=/file of=/dev/null bs=1M count=100 iflag=direct"
    writer = started(portside, "writer", "sh", "-c", f"{file}; echo done; exec sleep 900")
    server = started(portside, "server", "iperf3", "--server", "--forceflush")
    wait_for(lambda: "Server listening" in said(portside, server), timeout_s=60, what="iperf3's server")
    address = portside.task(server)["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    sending = f"iperf3 --client {address} --bitrate {BITS_S} --time {SENT_S} --json; exec sleep 900"
    client = started(portside, "client", "sh", "-c", sending)
    processor = Processor(portside, burner)

    def report() -> Any:
        processor.look()
        text = said(portside, client)
        return json.loads(text) if text.rstrip().endswith("\n}") else None

    sent = wait_for(report, timeout_s=SENT_S + 120, pause_s=1, what="iperf3's report")
    assert "error" not in sent, sent
    began, ended = sent["start"]["timestamp"]["timesecs"], sent["start"]["timestamp"]["timesecs"] + SENT_S

    def whole(arn: str, metric: str) -> dict[float, float]:
        """Of minutes in which iperf3 sent all the time: two, or three where it began with one."""
        found = {at: each for at, each in told(portside, arn, metric).items() if began + 60 <= at <= ended}
        assert len(found) in {2, 3}, found
        return found

    for at, units in whole(burner, "CpuUtilized").items():
        assert units == near(1024 * (processor.given_s(at) - processor.given_s(at - 60)) / 60)
    for at, percent in whole(burner, "TaskCpuUtilization").items():
        assert percent == near(100 * (processor.given_s(at) - processor.given_s(at - 60)) / 60 / 0.25)
    assert set(whole(holder, "MemoryUtilized").values()) <= set(range(200, 211))
    for percent in whole(holder, "TaskMemoryUtilization").values():
        assert percent == near(100 * 200 / 512)
    for metric, arn in (("NetworkTxBytes", client), ("NetworkRxBytes", server)):
        for rate in whole(arn, metric).values():
            assert rate == near(sent["end"]["sum_sent"]["bytes"] / SENT_S)
    for metric, expected in (("StorageWriteBytes", 300 * MIB), ("StorageReadBytes", 100 * MIB)):
        for written in whole(writer, metric).values():
            assert written == near(expected)
    assert "done" in said(portside, writer)
