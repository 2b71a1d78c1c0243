"""TCP through a Network Load Balancer against the same connection made directly, between the same two namespaces.

One client, one target, one VPC: directly, with the client's address preserved, and with the load balancer's in its
place. The three take turns, so that what else the machine does meets all of them. Throughput is iperf3's (Debian:
iperf3), left out where that is not installed; a round trip is one byte there and back; a connection is made, asked one
byte and closed, one after the other, each to the next of the three: the rate is what the median of them would come to.
"""

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.measure import percentile
from bench.network import ASK, GROUP, NOW, SCOPE, VPC_ID
from portside.domain.flow import Flow, FlowBackend
from portside.domain.task.record import EniAttachment
from portside.domain.vpc import SecurityGroup, SecurityGroupRule, Vpc
from portside.node.interface import EniConfig, VpcConfig
from portside.node.network.network import Network, teardown
from portside.settings import Settings
from portside.testing.wait import end, wait_for

ECHO_PORT, IPERF_PORT, APART = 9100, 5201, 100
CLIENT, TARGET, LEG = "172.31.0.20", "172.31.0.21", "172.31.0.10"

SERVE = """
import socket, sys
with socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=1024) as server:
    print("listening", flush=True)
    while True:
        connection, _ = server.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            while data := connection.recv(1):
                connection.sendall(data)
"""
CONNECT = """
import json, socket, sys, time
places = [(each.split(":")[0], int(each.split(":")[1])) for each in sys.argv[2:]]
waits = [[] for _ in places]
for _ in range(int(sys.argv[1])):
    for place, mine in zip(places, waits):
        began = time.perf_counter()
        with socket.create_connection(place, timeout=10) as connection:
            connection.sendall(b"x")
            connection.recv(1)
        mine.append(time.perf_counter() - began)
print(json.dumps(waits))
"""


def bench(quick: bool) -> dict[str, Any]:
    turns, seconds, rounds, connections = (1, 1, 500, 200) if quick else (7, 3, 5_000, 3_000)
    figures: dict[str, list[dict[str, float]]] = {}
    with asyncio.Runner() as runner, _network(runner) as (network, client, target), _served(target):
        for _ in range(turns):
            for name, address, flows in (
                ("direct", TARGET, ()),
                ("preserved", LEG, _flows(keeps_client=True)),
                ("hidden", LEG, _flows(keeps_client=False)),
            ):
                runner.run(network.apply_flows(VPC_ID, flows))
                figures.setdefault(name, []).append(_measure(client, target, address, seconds, rounds))
            both = _flows(keeps_client=True) + _flows(keeps_client=False, apart=APART)
            runner.run(network.apply_flows(VPC_ID, both))
            for several, median_s in zip(figures.values(), _connections(client, connections), strict=True):
                several[-1]["connections_s"] = 1 / median_s
    found: dict[str, Any] = {
        name: {key: statistics.median(each[key] for each in several) for key in several[0]}
        for name, several in figures.items()
    }
    for name in ("preserved", "hidden"):
        pairs = list(zip(figures[name], figures["direct"], strict=True))
        found[f"{name}_to_direct"] = {
            key: statistics.median(one[key] / other[key] for one, other in pairs) for key in found["direct"]
        }
    return found


def _flows(*, keeps_client: bool, apart: int = 0) -> tuple[Flow, ...]:
    return tuple(
        Flow(
            load_balancer_arn="bench",
            address=LEG,
            protocol="tcp",
            port=port + apart,
            backends=(
                FlowBackend(
                    target_group_arn=f"bench-{port + apart}", targets=((TARGET, port),), keeps_client=keeps_client
                ),
            ),
            idle_s=350,
        )
        for port in (ECHO_PORT, IPERF_PORT)
    )


@contextmanager
def _network(runner: asyncio.Runner) -> Iterator[tuple[Network, Path, Path]]:
    with tempfile.TemporaryDirectory(prefix="portside-bench-") as folder:
        settings = Settings(data_dir=Path(folder), egress="none")
        network = Network(settings)
        runner.run(network.start())
        try:
            runner.run(network.apply_vpc(_vpc()))
            pins = [
                runner.run(network.attach_task(f"task-{number}", _eni(number, address)))
                for number, address in enumerate((CLIENT, TARGET))
            ]
            leg = _eni(2, LEG)
            config = EniConfig(
                eni_id=leg.eni_id,
                vpc_id=VPC_ID,
                address=LEG,
                prefix_length=leg.prefix_length,
                gateway=leg.gateway,
                mac_address=leg.mac_address,
                security_group_ids=(GROUP,),
            )
            runner.run(network.apply_balancer_network("bench", VPC_ID, [config]))
            yield network, pins[0], pins[1]
        finally:
            runner.run(network.close())
            teardown(settings)


def _vpc() -> VpcConfig:
    rules = tuple(
        SecurityGroupRule(id="sgr-1", egress=egress, protocol="-1", cidr="172.31.0.0/16") for egress in (True, False)
    )
    group = SecurityGroup(
        scope=SCOPE, id=GROUP, vpc_id=VPC_ID, name="bench", description="", rules=rules, created_at=NOW
    )
    vpc = Vpc(scope=SCOPE, id=VPC_ID, cidr_block="172.31.0.0/16", created_at=NOW)
    return VpcConfig(vpc=vpc, subnets=(), security_groups=(group,))


def _eni(number: int, address: str) -> EniAttachment:
    return EniAttachment(
        eni_id=f"eni-0{number:016x}",
        subnet_id="subnet-1",
        vpc_id=VPC_ID,
        zone="us-east-1a",
        address=address,
        prefix_length=20,
        gateway="172.31.0.1",
        mac_address=f"02:00:00:00:01:{number:02x}",
        private_dns_name="",
        security_group_ids=(GROUP,),
    )


@contextmanager
def _served(target: Path) -> Iterator[None]:
    command = [*_in(target), sys.executable, "-c", SERVE, TARGET, str(ECHO_PORT)]
    echo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert echo.stdout is not None
        echo.stdout.readline()
        yield
    finally:
        end(echo)


def _connections(client: Path, count: int) -> list[float]:
    """The median of so many: directly, with the client's address preserved, and with it hidden."""
    places = f"{TARGET}:{ECHO_PORT}", f"{LEG}:{ECHO_PORT}", f"{LEG}:{ECHO_PORT + APART}"
    waits = json.loads(_output([*_in(client), sys.executable, "-c", CONNECT, str(count), *places]))
    return [statistics.median(each) for each in waits]


def _measure(client: Path, target: Path, address: str, seconds: int, rounds: int) -> dict[str, float]:
    command = [*_in(client), sys.executable, "-c", ASK, address, str(ECHO_PORT), str(rounds)]
    waits = json.loads(_output(command))
    found = {
        "round_trip_us_p50": percentile(waits, 0.5),
        "round_trip_us_p99": percentile(waits, 0.99),
    }
    if shutil.which("iperf3"):
        serving = subprocess.Popen(
            [*_in(target), "iperf3", "--server", "--one-off", "--forceflush"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert serving.stdout is not None
            lines = iter(serving.stdout.readline, "")
            wait_for(lambda: "listening" in next(lines, ""), timeout_s=10, what="iperf3's server")
            told = _output([*_in(client), "iperf3", "--client", address, "--time", str(seconds), "--json"])
            found["gbit_s"] = float(json.loads(told)["end"]["sum_received"]["bits_per_second"]) / 1e9
        finally:
            end(serving)
    return found


def _in(pin: Path) -> tuple[str, str]:
    return "nsenter", f"--net={pin}"


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
