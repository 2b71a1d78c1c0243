"""Many short and failing tasks, and tasks stopped while they start: nothing stays of them on the machine."""

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from portside.testing import leak
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="default")
        running.register("exits", {"command": ["true"]})
        running.register("fails", {"command": ["/no/such/program"]})
        running.register("noimage", {"image": "localhost/no/such:1"})
        running.register("sleeps", {"command": ["sleep", "600"]})
        yield running


def descriptors(portside: Instance) -> int:
    return len(os.listdir(f"/proc/{portside.pid}/fd"))


def memory_mib(portside: Instance) -> float:
    status = Path(f"/proc/{portside.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def in_vpc(portside: Instance) -> tuple[int, str]:
    """Interfaces in the VPC's namespace, and its firewall's rules with all their elements."""
    (pin,) = (portside.settings.run_dir / "netns").glob("vpc-*")
    enter = ["nsenter", f"--net={pin}"]
    links = subprocess.run([*enter, "ip", "-o", "link"], capture_output=True, text=True, timeout=10, check=True)
    rules = subprocess.run([*enter, "nft", "list", "ruleset"], capture_output=True, text=True, timeout=10, check=True)
    return len(links.stdout.splitlines()), rules.stdout


def run(portside: Instance, count: int, seed: int) -> None:
    """That many tasks, of all kinds; those that would run on are stopped at a random moment of their start."""
    chance = random.Random(seed)
    ecs = portside.client("ecs")
    started: list[str] = []
    for _ in range(count):
        family = chance.choice(("exits", "exits", "fails", "noimage", "sleeps", "sleeps"))
        arn = portside.run_task(family)
        started.append(arn)
        if family == "sleeps":
            for _ in range(chance.randrange(12)):
                ecs.list_tasks(cluster="default")
            ecs.stop_task(cluster="default", task=arn)
    for arn in started:
        portside.wait_task(arn, "STOPPED", timeout_s=60)


def test_nothing_stays_of_a_hundred_tasks(portside: Instance) -> None:
    """After a hundred tasks the daemon has as many descriptors as after the first twenty, and the machine no namespace,
    mount, cgroup, interface, firewall element, folder or process of theirs."""
    words = (portside.settings.instance_id, str(portside.settings.data_dir))
    run(portside, 20, seed=0)
    wait_for(lambda: in_vpc(portside)[0] == 1, timeout_s=20, what="the interfaces' end")
    left, before, held = leak.snapshot(*words), in_vpc(portside), descriptors(portside)
    memory = memory_mib(portside)
    run(portside, 80, seed=1)
    after = leak.wait_for_none(left, *words)
    assert not after, f"left behind: {after}"
    wait_for(lambda: in_vpc(portside) == before, timeout_s=20, what="the firewall and the links as before")
    wait_for(lambda: descriptors(portside) <= held, timeout_s=20, what="no more descriptors than before")
    assert not list((portside.settings.data_dir / "node" / "containers").iterdir())
    assert not portside.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
    # Stopped tasks stay visible for an hour: some KiB each. Anything more is a leak.
    assert memory_mib(portside) - memory < 20
