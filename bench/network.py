"""The data plane of a VPC: packets between two tasks against two plain namespaces joined by a veth pair, and what it
costs to have 1,000 interfaces in one VPC.

Throughput is iperf3's (Debian: iperf3), left out where that is not installed. Round trips are one byte of TCP there and
back. The interfaces are made by the node's own network, without containers, and so is the change of a group's rules.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.instance import ensure_image, register
from bench.measure import available_kib, percentile, summary
from portside.domain.record import Scope
from portside.domain.task.record import EniAttachment
from portside.domain.vpc import SecurityGroup, SecurityGroupRule, Subnet, Vpc
from portside.node.interface import SubnetConfig, VpcConfig
from portside.node.network.network import Network, teardown
from portside.settings import Settings
from portside.testing.instance import Instance
from portside.testing.instance import instance as portside_instance
from portside.testing.wait import end, wait_for

INTERFACES = 1000
PORT = 9100
SCOPE = Scope(account="000000000000", region="us-east-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
VPC_ID, GROUP = "vpc-0000000000000b00c", "sg-0000000000000b00c"
EVERYONE = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]

ECHO = """
import socket, sys
with socket.create_server((sys.argv[1], int(sys.argv[2]))) as server:
    print("listening", flush=True)
    connection, _ = server.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := connection.recv(1):
        connection.sendall(data)
"""
ASK = """
import json, socket, sys, time
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
waits = []
for _ in range(int(sys.argv[3])):
    began = time.perf_counter()
    connection.sendall(b"x")
    connection.recv(1)
    waits.append((time.perf_counter() - began) * 1e6)
print(json.dumps(waits))
"""


def bench(quick: bool) -> dict[str, Any]:
    ensure_image()
    seconds, rounds = (1, 500) if quick else (5, 10_000)
    with portside_instance() as instance:
        tasks = _between(*_two_tasks(instance), seconds, rounds)
    with _plain() as ends:
        plain = _between(*ends, seconds, rounds)
    return {
        "tasks": tasks,
        "plain_veth": plain,
        "ratio": {name: tasks[name] / plain[name] for name in tasks if plain.get(name)},
        "interfaces": asyncio.run(_interfaces(50 if quick else INTERFACES)),
    }


# --- packets


def _two_tasks(instance: Instance) -> tuple[Path, Path, str]:
    ec2 = instance.client("ec2")
    group = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=EVERYONE)
    instance.client("ecs").create_cluster(clusterName="default")
    register(instance, "idle", ["sleep", "100000"])
    pins, address = [], ""
    for _ in range(2):
        arn = instance.run_task("idle")
        task = instance.wait_task(arn, "RUNNING")
        address = task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
        (pin,) = (instance.settings.run_dir / "netns").glob(f"task-{arn.rpartition('/')[2]}-*")
        pins.append(pin)
    return pins[0], pins[1], address


@contextmanager
def _plain() -> Iterator[tuple[Path, Path, str]]:
    """Two namespaces with a veth pair between them, and nothing else."""
    names = [f"portside-bench-{end}" for end in ("a", "b")]
    address = "10.99.0.2"
    try:
        for name in names:
            _ip("netns", "add", name)
        _ip("-n", names[0], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", names[1])
        for name, own in zip(names, ("10.99.0.1", address), strict=True):
            _ip("-n", name, "addr", "add", f"{own}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
        yield Path("/run/netns") / names[0], Path("/run/netns") / names[1], address
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _between(client: Path, server: Path, address: str, seconds: int, rounds: int) -> dict[str, float]:
    found: dict[str, float] = {}
    echo = subprocess.Popen(
        [*_in(server), sys.executable, "-c", ECHO, address, str(PORT)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert echo.stdout is not None
        echo.stdout.readline()
        waits = json.loads(_output([*_in(client), sys.executable, "-c", ASK, address, str(PORT), str(rounds)]))
        found |= {"round_trip_us_p50": percentile(waits, 0.5), "round_trip_us_p99": percentile(waits, 0.99)}
    finally:
        end(echo)
    if shutil.which("iperf3"):
        for name, options in (("tcp_gbit_s", ()), ("tcp_8_streams_gbit_s", ("--parallel", "8"))):
            found[name] = _throughput(client, server, address, seconds, *options)
    return found


def _throughput(client: Path, server: Path, address: str, seconds: int, *options: str) -> float:
    serving = subprocess.Popen(
        [*_in(server), "iperf3", "--server", "--one-off", "--forceflush"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert serving.stdout is not None
        lines = iter(serving.stdout.readline, "")
        wait_for(lambda: "listening" in next(lines, ""), timeout_s=10, what="iperf3's server")
        told = _output(
            [*_in(client), "iperf3", "--client", address, "--time", str(seconds), "--json", *options],
        )
        return float(json.loads(told)["end"]["sum_received"]["bits_per_second"]) / 1e9
    finally:
        end(serving)


def _in(pin: Path) -> tuple[str, str]:
    return "nsenter", f"--net={pin}"


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


# --- interfaces


async def _interfaces(count: int) -> dict[str, Any]:
    """Made one after the other in one group; then a rule of the group is added and taken away, over and over."""
    with tempfile.TemporaryDirectory(prefix="portside-bench-") as folder:
        settings = Settings(data_dir=Path(folder), egress="none")
        network = Network(settings)
        await network.start()
        try:
            await network.apply_vpc(_vpc())
            before = available_kib()
            attach = []
            for number in range(count):
                began = time.perf_counter()
                await network.attach_task(f"task/{number}", _eni(number))
                attach.append((time.perf_counter() - began) * 1e3)
            kib_each = (before - available_kib()) / count
            changes = []
            for number in range(20):
                began = time.perf_counter()
                await network.apply_vpc(_vpc(1000 + number))
                changes.append((time.perf_counter() - began) * 1e3)
            release = []
            for number in range(count):
                began = time.perf_counter()
                await network.release_task(f"task/{number}", _eni(number))
                release.append((time.perf_counter() - began) * 1e3)
        finally:
            await network.close()
            teardown(settings)
    return {
        "count": count,
        "attach_ms": summary(attach),
        "attach_last_100_ms_p50": percentile(attach[-100:], 0.5),
        "group_change_ms": summary(changes),
        "release_ms": summary(release),
        "kib_each": kib_each,
    }


def _vpc(port: int = 443) -> VpcConfig:
    rules = (
        SecurityGroupRule(id="sgr-1", egress=False, protocol="tcp", from_port=port, to_port=port, cidr="0.0.0.0/0"),
        SecurityGroupRule(id="sgr-2", egress=True, protocol="-1", cidr="0.0.0.0/0"),
    )
    group = SecurityGroup(
        scope=SCOPE, id=GROUP, vpc_id=VPC_ID, name="bench", description="", rules=rules, created_at=NOW
    )
    vpc = Vpc(scope=SCOPE, id=VPC_ID, cidr_block="172.31.0.0/16", created_at=NOW)
    subnet = Subnet(
        scope=SCOPE,
        id="subnet-1",
        vpc_id=VPC_ID,
        cidr_block="172.31.0.0/20",
        zone="us-east-1a",
        zone_id="use1-az1",
        created_at=NOW,
    )
    return VpcConfig(vpc=vpc, subnets=(SubnetConfig(subnet=subnet, routes=()),), security_groups=(group,))


def _eni(number: int) -> EniAttachment:
    high, low = divmod(number + 10, 256)
    return EniAttachment(
        eni_id=f"eni-0{number:016x}",
        subnet_id="subnet-1",
        vpc_id=VPC_ID,
        zone="us-east-1a",
        address=f"172.31.{high}.{low}",
        prefix_length=20,
        gateway="172.31.0.1",
        mac_address=f"02:00:00:01:{high:02x}:{low:02x}",
        private_dns_name="",
        security_group_ids=(GROUP,),
    )
