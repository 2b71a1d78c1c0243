"""A network of namespaces to send real packets through: tasks, groups, and a way to try a connection."""

import asyncio
import contextlib
import dataclasses
import itertools
import os
import select
import socket
import struct
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from portside.domain.record import Scope
from portside.domain.task.record import EniAttachment
from portside.domain.vpc import NetworkAclEntry, SecurityGroup, SecurityGroupRule, Subnet, Vpc
from portside.domain.vpc_route import ResolvedRoute, Target
from portside.node.interface import EniConfig, NatConfig, SubnetConfig, VpcConfig
from portside.node.network import netns
from portside.node.network.network import Network, teardown
from portside.settings import Settings

T = TypeVar("T")

SCOPE = Scope(account="000000000000", region="us-east-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
VPC_ID = "vpc-00000000000000001"
OPEN, CLOSED, WEB, BALANCER = (f"sg-0000000000000000{n}" for n in range(1, 5))
ANSWER_S = 3.0
"""How long an allowed packet may take at most."""
SILENCE_S = 0.3
"""How long nothing must come for a packet to count as dropped. Drops give no sign that could be waited for."""


def allow(**fields: Any) -> SecurityGroupRule:
    return SecurityGroupRule(id="sgr-1", egress=fields.pop("egress", False), **fields)


ANYTHING_OUT = allow(egress=True, protocol="-1", cidr="0.0.0.0/0")
ANYTHING_IN = allow(protocol="-1", cidr="0.0.0.0/0")


def group(group_id: str, *rules: SecurityGroupRule) -> SecurityGroup:
    return SecurityGroup(
        scope=SCOPE, id=group_id, vpc_id=VPC_ID, name=group_id, description="", rules=rules, created_at=NOW
    )


def vpc_config(*groups: SecurityGroup, vpc_id: str = VPC_ID) -> VpcConfig:
    vpc = Vpc(scope=SCOPE, id=vpc_id, cidr_block="172.31.0.0/16", created_at=NOW)
    return VpcConfig(
        vpc=vpc,
        subnets=tuple(subnet_config(f"172.31.{n}.0/20", TO_INTERNET, vpc_id=vpc_id) for n in (0, 16, 32)),
        security_groups=groups,
    )


TO_INTERNET = ResolvedRoute(destination="0.0.0.0/0", target=Target.INTERNET)


def subnet_config(
    block: str, *routes: ResolvedRoute, acl: tuple[NetworkAclEntry, ...] | None = None, vpc_id: str = VPC_ID
) -> SubnetConfig:
    subnet = Subnet(
        scope=SCOPE,
        id=f"subnet-{block.split('/')[0].replace('.', '')}",
        vpc_id=vpc_id,
        cidr_block=block,
        zone="us-east-1a",
        zone_id="use1-az1",
        created_at=NOW,
    )
    return SubnetConfig(subnet=subnet, routes=routes, acl=acl)


_numbers = itertools.count(1)


def eni_of(address: str, *group_ids: str, vpc_id: str = VPC_ID, public: str | None = None) -> EniAttachment:
    number = next(_numbers)
    return EniAttachment(
        eni_id=f"eni-0{number:016x}",
        subnet_id="subnet-1",
        vpc_id=vpc_id,
        zone="us-east-1a",
        address=address,
        prefix_length=20,
        gateway=".".join(address.split(".")[:2]) + f".{int(address.split('.')[2]) & 0xF0}.1",
        mac_address=f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}",
        private_dns_name="",
        security_group_ids=group_ids,
        public_address=public,
    )


def leg_of(eni: EniAttachment) -> EniConfig:
    return EniConfig(
        eni_id=eni.eni_id,
        vpc_id=eni.vpc_id,
        address=eni.address,
        prefix_length=eni.prefix_length,
        gateway=eni.gateway,
        mac_address=eni.mac_address,
        security_group_ids=eni.security_group_ids,
        public_address=eni.public_address,
    )


@dataclass
class Host:
    """A namespace with an address, from which to try things. Sockets opened in it stay in it."""

    path: Path
    eni: EniAttachment
    pool: ThreadPoolExecutor

    @property
    def address(self) -> str:
        return self.eni.address

    def inside(self, work: Callable[[], T]) -> T:
        return self.pool.submit(netns.within, self.path, work).result(timeout=10)

    def open_socket(self, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
        made = self.inside(lambda: socket.socket(socket.AF_INET, kind, protocol))
        made.settimeout(ANSWER_S)
        return made

    @contextlib.contextmanager
    def listening(self, port: int) -> Iterator[socket.socket]:
        with self.open_socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.address, port))
            listener.listen()
            yield listener

    def connect(self, to: str, port: int, *, source: str = "", timeout_s: float = ANSWER_S) -> socket.socket:
        made = self.open_socket()
        made.settimeout(timeout_s)
        try:
            if source:
                made.bind((source, 0))
            made.connect((to, port))
        except OSError:
            made.close()
            raise
        return made

    def reaches(self, other: "Host", port: int) -> bool:
        """Whether a TCP connection to a port that is listened on is made: for what ought to be."""
        with other.listening(port):
            return self.can_connect(other.address, port)

    def kept_from(self, other: "Host", port: int) -> bool:
        """Whether a TCP connection to a port that is listened on is not made: for what ought not to be."""
        with other.listening(port):
            return self.cannot_connect(other.address, port)

    @staticmethod
    def accept(listener: socket.socket) -> socket.socket:
        accepted, _peer = listener.accept()
        accepted.settimeout(ANSWER_S)
        return accepted

    def can_connect(self, to: str, port: int) -> bool:
        try:
            self.connect(to, port).close()
        except OSError:
            return False
        return True

    def cannot_connect(self, to: str, port: int) -> bool:
        try:
            self.connect(to, port, timeout_s=SILENCE_S).close()
        except OSError:
            return True
        return False

    def udp_reaches(self, other: "Host", port: int, within_s: float = ANSWER_S) -> bool:
        with other.open_socket(socket.SOCK_DGRAM) as receiver, self.open_socket(socket.SOCK_DGRAM) as sender:
            receiver.bind((other.address, port))
            receiver.settimeout(within_s)
            sender.sendto(b"hello", (other.address, port))
            try:
                return receiver.recv(100) == b"hello"
            except TimeoutError:
                return False

    def udp_kept_from(self, other: "Host", port: int) -> bool:
        return not self.udp_reaches(other, port, SILENCE_S)

    def no_ping(self, to: str) -> bool:
        return not self.pings(to, SILENCE_S)

    def pings(self, to: str, within_s: float = ANSWER_S) -> bool:
        """Whether an ICMP echo request is answered."""
        with self.open_socket(socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            echo = struct.pack("!BBHHH", 8, 0, 0, 7, 1)
            total = sum(struct.unpack("!4H", echo))
            checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
            raw.sendto(struct.pack("!BBHHH", 8, 0, checksum, 7, 1), (to, 0))
            until = time.monotonic() + within_s
            while (left := until - time.monotonic()) > 0:
                if not select.select([raw], [], [], left)[0]:
                    break
                packet, (sender, _port) = raw.recvfrom(1500)
                if sender == to and packet[20] == 0:
                    return True
        return False


class Lab:
    """One instance's network with a loop to run it on."""

    def __init__(self, data_dir: Path, egress: str = "none") -> None:
        self.settings = Settings(data_dir=data_dir, egress=egress)
        self.runner = asyncio.Runner()
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="lab")
        self.network = Network(self.settings)
        self.run(self.network.start())

    def run(self, work: Awaitable[T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(30):
                return await work

        return self.runner.run(bounded())

    def apply(self, *groups: SecurityGroup, vpc_id: str = VPC_ID) -> None:
        self.run(self.network.apply_vpc(vpc_config(*groups, vpc_id=vpc_id)))

    def apply_subnets(
        self, *subnets: SubnetConfig, groups: Sequence[SecurityGroup], nats: Sequence[NatConfig] = ()
    ) -> None:
        config = vpc_config(*groups)
        self.run(self.network.apply_vpc(dataclasses.replace(config, subnets=tuple(subnets), nat_gateways=tuple(nats))))

    def task(self, address: str, *group_ids: str, vpc_id: str = VPC_ID, public: str | None = None) -> Host:
        eni = eni_of(address, *group_ids, vpc_id=vpc_id, public=public)
        path = self.run(self.network.attach_task(self.key(eni), eni))
        return Host(path, eni, self.pool)

    def balancer(self, name: str, enis: Sequence[EniAttachment], *, keeps_clients: bool = False) -> list[Host]:
        legs = [dataclasses.replace(leg_of(eni), keeps_clients=keeps_clients) for eni in enis]
        path = self.run(self.network.apply_balancer_network(name, enis[0].vpc_id, legs))
        return [Host(Path(path), eni, self.pool) for eni in enis]

    @staticmethod
    def key(eni: EniAttachment) -> str:
        return f"{SCOPE.prefix}default/{eni.eni_id.removeprefix('eni-')}"

    def release(self, host: Host) -> None:
        self.run(self.network.release_task(self.key(host.eni), host.eni))

    def restart(self) -> None:
        """Lose the object, as a killed process does, and start another on what the kernel still has."""
        self.run(self.network.close())
        self.network = Network(self.settings)
        self.run(self.network.start())

    def close(self) -> None:
        self.run(self.network.close())
        self.runner.close()
        self.pool.shutdown()
        teardown(self.settings)
        assert not self.settings.run_dir.exists()

    def traces(self) -> list[str]:
        """What of this instance is left on the machine; empty after `close`."""
        folder = str(self.settings.run_dir / "netns")
        mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if folder in line]
        left = [str(each) for each in Path(folder).glob("*")] if Path(folder).exists() else []
        tables = [line for line in nft("list", "tables").splitlines() if self.settings.instance_id in line]
        links = [name for name in os.listdir("/sys/class/net") if name.startswith(f"ps{self.settings.instance_id[:6]}")]
        return [*mounts, *left, *tables, *links]


def nft(*words: str) -> str:
    return subprocess.run(["nft", *words], capture_output=True, text=True, check=True, timeout=30).stdout


def wait_until(fact: Callable[[], bool], what: str, timeout_s: float = 10) -> None:
    until = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < until, f"still not: {what}"
        time.sleep(0.01)


@contextlib.contextmanager
def lab_at(data_dir: Path, *, egress: str = "none") -> Iterator[Lab]:
    """Nothing of it is on the machine at the end, or the test fails."""
    made = Lab(data_dir, egress=egress)
    try:
        yield made
    finally:
        made.close()
    assert made.traces() == []


@contextlib.contextmanager
def world(folder: Path) -> Iterator[Host]:
    """A namespace that plays the world outside, with 203.0.113.1 in it."""
    pin = folder / "outside"
    with ThreadPoolExecutor(1, thread_name_prefix="world") as pool:
        pool.submit(netns.create, pin, lambda: None).result(timeout=10)
        subprocess.run(["nsenter", f"--net={pin}", "ip", "link", "set", "lo", "up"], check=True, timeout=30)
        subprocess.run(["nsenter", f"--net={pin}", "ip", "addr", "add", "203.0.113.1/32", "dev", "lo"], check=True)
        try:
            yield Host(pin, eni_of("203.0.113.1"), pool)
        finally:
            pool.submit(netns.drop, pin).result(timeout=10)
