"""Containers that Portside did not start, as control groups with processes, and what is measured of them."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from portside.domain.other_container import OtherContainer
from portside.domain.usage import Usage
from portside.node import cgroup
from portside.node.network import traffic
from portside.node.other_container import OtherContainers
from portside.testing.instance import instance
from portside.testing.wait import http_get, wait_for

pytestmark = pytest.mark.integration

HELD_BYTES = 64 * 1024**2
WRITTEN_BYTES = 32 * 1024**2


@contextlib.contextmanager
def container(command: str, folder: Path, parent: str = "docker") -> Iterator[tuple[str, int]]:
    """A shell in a control group and a network of its own, as a container of Docker's has them: id and process."""
    container_id = secrets.token_hex(32)
    tree = cgroup.detect("test")
    roots = [tree._main_root(), *(each for each in tree._roots() if each.name in ("cpu", "cpuacct", "cpu,cpuacct"))]
    groups = [root / parent / container_id for root in dict.fromkeys(roots)]
    made = [each for each in groups for each in (each.parent, each) if not each.exists()]
    for each in groups:
        each.mkdir(parents=True)
    try:
        # It begins once it is in its groups, and never if that fails.
        words = ["unshare", "--net", "sh", "-c", 'read go && exec sh -c "$0"', command]
        with subprocess.Popen(words, stdin=subprocess.PIPE, cwd=folder) as process:
            assert process.stdin is not None
            try:
                for each in groups:
                    (each / "cgroup.procs").write_text(str(process.pid))
                process.stdin.write(b"go\n")
                process.stdin.flush()
                yield container_id, process.pid
            finally:
                for pid in tree.processes_at(f"{parent}/{container_id}") | {process.pid}:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
    finally:
        for each in reversed(made):
            wait_for(lambda each=each: _gone(each), timeout_s=30, what=f"the end of {each}")  # type: ignore[misc]


def _gone(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def look(others: OtherContainers, container_id: str) -> tuple[OtherContainer, Usage] | None:
    return next((each for each in others.look() if each[0].id == container_id), None)


def spent_s(pid: int) -> float:
    """CPU time of a process, as the kernel counts it for the process itself."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_what_others_use(tmp_path: Path) -> None:
    """CPU time of a burner, memory of a holder and bytes of a writer are within a twentieth of the truth; the name is
    that of Docker's files, the network the container's own."""
    others = OtherContainers(cgroup.detect("test"), tmp_path)
    with container("while :; do :; done", tmp_path) as (burner, pid):
        folder = tmp_path / "var/lib/docker/containers" / burner
        folder.mkdir(parents=True)
        (folder / "config.v2.json").write_text(json.dumps({"Name": "/burner"}))
        wait_for(lambda: spent_s(pid) >= 2, timeout_s=60, what="two seconds of CPU time")
        before, found, after = spent_s(pid), look(others, burner), spent_s(pid)
        assert found is not None
        assert before * 0.95 <= found[1].cpu_ns / 1e9 <= after * 1.05
        assert (found[0].runtime, found[0].name) == ("docker", "burner")
        assert found[1].network == traffic.of_process(pid)
    assert look(others, burner) is None

    program = f"import time; held = bytes(1) * {HELD_BYTES}; open('ready', 'w').close(); time.sleep(600)"
    with container(f'exec python3 -c "{program}"', tmp_path) as (holder, _):
        wait_for((tmp_path / "ready").exists, timeout_s=60, what="the memory")
        found = look(others, holder)
        assert found is not None
        held = found[1].memory_bytes - found[1].memory.get(
            "total_inactive_file", found[1].memory.get("inactive_file", 0)
        )
        assert HELD_BYTES <= held <= HELD_BYTES * 1.05 + 12 * 1024**2  # the interpreter itself holds about ten

    count = WRITTEN_BYTES // 1024**2
    writing = f"dd if=/dev/zero of=big bs=1M count={count} oflag=direct 2>/dev/null && touch done; sleep 600"
    with container(writing, tmp_path) as (writer, _):
        wait_for((tmp_path / "done").exists, timeout_s=60, what="the file")
        found = look(others, writer)
        assert found is not None
        assert WRITTEN_BYTES <= found[1].storage_written_bytes <= WRITTEN_BYTES * 1.05


def test_for_prometheus_if_asked_for(tmp_path: Path) -> None:
    """Only with the option; by name and id, as JSON, in `portside top`, and as CloudWatch's metrics."""
    with container("sleep 600", tmp_path) as (name, _):
        for asked in ("", "1"):
            with instance(PORTSIDE_OTHER_CONTAINERS=asked) as portside:
                metrics = http_get(f"{portside.url}/_portside/metrics").decode()
                usage = json.loads(http_get(f"{portside.url}/_portside/usage"))
                line = f'portside_other_container_memory_bytes{{runtime="docker",id="{name}"'
                assert (line in metrics) == bool(asked)
                assert (name in [each["id"] for each in usage["otherContainers"]]) == bool(asked)
                words = ["top", "--once", "--data-dir", str(portside.settings.data_dir)]
                shown = subprocess.run(
                    [sys.executable, "-m", "portside.cli", *words], capture_output=True, text=True, check=True
                ).stdout
                assert (name[:12] in shown) == ("other containers" in shown) == bool(asked)
                told = partial(portside.client("cloudwatch").list_metrics, Namespace="ContainerInsights")
                if not asked:
                    assert told()["Metrics"] == []
                    continue
                wanted = {"Name": "ContainerName", "Value": name[:12]}
                (metric,) = wait_for(
                    lambda told=told, wanted=wanted: told(  # type: ignore[misc]
                        MetricName="container_memory_utilization", Dimensions=[wanted]
                    )["Metrics"],
                    timeout_s=120,
                    what="its metric",
                )
                assert {each["Name"]: each["Value"] for each in metric["Dimensions"]} == {
                    "ClusterName": socket.gethostname(),
                    "ContainerName": name[:12],
                }
