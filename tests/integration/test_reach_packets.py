"""What `reach` says, and what packets do: generated groups, lists and routes, every pair of interfaces compared."""

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from network_lab import (
    NOW,
    SCOPE,
    VPC_ID,
    Host,
    Lab,
    allow,
    eni_of,
    lab_at,
    leg_of,
    subnet_config,
)

from portside.domain import network_acl_rule, reach
from portside.domain.vpc import NetworkAclEntry, SecurityGroup, SecurityGroupRule
from portside.domain.vpc_route import ResolvedRoute, Target
from portside.node.interface import NatConfig, SubnetConfig

pytestmark = pytest.mark.integration

BLOCKS = ("172.31.0.0/20", "172.31.16.0/20", "172.31.32.0/20")
WORLD = "203.0.113.1"
NAT_ADDRESS, NAT_PUBLIC = "172.31.0.9", "198.18.0.9"
PORTS = (80, 443)
SOME = ("0.0.0.0/0", "172.31.0.0/20", "172.31.16.0/20", "172.31.0.4/32", "203.0.113.0/24")
SILENCE_S = 0.15


@pytest.fixture
def lab(tmp_path: Path, outside: Host) -> Iterator[Lab]:
    with lab_at(tmp_path / "lab", egress=str(outside.path)) as made:
        yield made


def rule(rng: random.Random, group_ids: list[str], number: int, *, egress: bool) -> SecurityGroupRule:
    protocol = rng.choice(["-1", "tcp", "tcp", "udp", "icmp"])
    ports: dict[str, int | None] = {}
    if protocol in ("tcp", "udp"):
        first = rng.choice([80, 80, 443, 1])
        ports = {"from_port": first, "to_port": rng.choice([first, 65535])}
    elif protocol == "icmp":
        ports = {"from_port": rng.choice([-1, 8, 13]), "to_port": -1}
    other = {"group_id": rng.choice(group_ids)} if rng.random() < 0.4 else {"cidr": rng.choice(SOME)}
    made = allow(egress=egress, protocol=protocol, **ports, **other)
    return SecurityGroupRule(**{name: getattr(made, name) for name in made.__struct_fields__} | {"id": f"sgr-{number}"})


def groups_of(rng: random.Random) -> dict[str, SecurityGroup]:
    ids = [f"sg-{n:017x}" for n in range(20)]
    made = {}
    for number, group_id in enumerate(ids):
        rules = [rule(rng, ids, number * 10 + n, egress=False) for n in range(rng.randrange(4))]
        rules += [rule(rng, ids, number * 10 + 5 + n, egress=True) for n in range(rng.randrange(3))]
        if rng.random() < 0.6:
            rules.append(allow(egress=True, protocol="-1", cidr="0.0.0.0/0"))
        made[group_id] = SecurityGroup(
            scope=SCOPE,
            id=group_id,
            vpc_id=VPC_ID,
            name=group_id,
            description="",
            rules=tuple(rules),
            created_at=NOW,
        )
    return made


def acl_of(rng: random.Random) -> tuple[NetworkAclEntry, ...] | None:
    if rng.random() < 0.4:
        return None
    entries = []
    for egress in (True, False):
        for number in rng.sample(range(1, 90), rng.randrange(3)):
            protocol = rng.choice(["-1", "6", "17", "1"])
            ports: dict[str, int] = {}
            if protocol in ("6", "17"):
                first = rng.choice([80, 443, 1024])
                ports = {"from_port": first, "to_port": first if first < 1024 else 65535}
            elif protocol == "1":
                ports = {"from_port": rng.choice([-1, 0, 8]), "to_port": -1}
            entries.append(
                NetworkAclEntry(
                    rule_number=number,
                    egress=egress,
                    protocol=protocol,
                    allow=rng.random() < 0.4,
                    cidr=rng.choice(SOME),
                    **ports,  # type: ignore[arg-type]
                )
            )
        if rng.random() < 0.85:
            entries.append(NetworkAclEntry(rule_number=100, egress=egress, protocol="-1", allow=True, cidr="0.0.0.0/0"))
    return network_acl_rule.in_order(entries)


def routes_of(rng: random.Random, *, public: bool) -> tuple[ResolvedRoute, ...]:
    main = Target.INTERNET if public else rng.choice([Target.INTERNET, Target.NAT, Target.NAT, None])
    made = []
    if main is not None:
        made.append(
            ResolvedRoute(destination="0.0.0.0/0", target=main, address=NAT_ADDRESS if main is Target.NAT else "")
        )
    if not public and rng.random() < 0.2:
        made.append(ResolvedRoute(destination="203.0.113.0/24", target=Target.BLACKHOLE))
    return tuple(made)


class Echoes:
    """TCP and UDP servers at an address, which answer until `close`."""

    def __init__(self, host: Host, address: str) -> None:
        self._sockets = []
        for port in PORTS:
            tcp = host.open_socket()
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind((address, port))
            tcp.listen(64)
            udp = host.open_socket(socket.SOCK_DGRAM)
            udp.bind((address, port))
            udp.settimeout(None)
            threading.Thread(target=self._echo, args=(udp,), daemon=True).start()
            self._sockets += [tcp, udp]

    @staticmethod
    def _echo(udp: socket.socket) -> None:
        while True:
            try:
                data, peer = udp.recvfrom(100)
                udp.sendto(data, peer)
            except (OSError, TypeError):  # shut down: there is no peer
                return

    def close(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for a datagram
            each.close()


def answered(client: Host, to: str, probe: reach.Probe, within_s: float) -> bool:
    if probe.protocol == "icmp":
        return client.pings(to, within_s)
    if probe.protocol == "tcp":
        try:
            client.connect(to, probe.port, timeout_s=within_s).close()
        except OSError:
            return False
        return True
    with client.open_socket(socket.SOCK_DGRAM) as udp:
        udp.settimeout(within_s)
        try:
            udp.sendto(b"question", (to, probe.port))
            return udp.recv(100) == b"question"
        except OSError:
            return False


PROBES = [reach.Probe(protocol=name, port=port) for name in ("tcp", "udp") for port in PORTS]
PROBES.append(reach.Probe(protocol="icmp"))


@pytest.mark.parametrize("seed", range(3))
def test_reach_tells_the_truth(lab: Lab, outside: Host, seed: int) -> None:
    """Twenty generated groups, three subnets with lists and routes, seven interfaces: between them and with the world,
    over TCP, UDP and ICMP, a packet is answered where `reach` says that it passes, and nowhere else."""
    rng = random.Random(seed)
    groups = groups_of(rng)
    configs: list[SubnetConfig] = []
    for index, block in enumerate(BLOCKS):
        configs.append(subnet_config(block, *routes_of(rng, public=index == 0), acl=acl_of(rng)))
    nat = NatConfig(nat_gateway_id="nat-1", eni=leg_of(eni_of(NAT_ADDRESS)), public_address=NAT_PUBLIC)
    lab.apply_subnets(*configs, groups=list(groups.values()), nats=[nat])
    network = reach.Network(
        vpc_id=VPC_ID,
        cidr_blocks=("172.31.0.0/16",),
        subnets=tuple(reach.SubnetView(subnet=c.subnet, routes=c.routes, acl=c.acl, acl_id="acl") for c in configs),
        groups=groups,
        nats=(reach.NatView(id="nat-1", address=NAT_ADDRESS, public_address=NAT_PUBLIC),),
    )
    hosts: list[tuple[Host, reach.Member]] = []
    for number in range(7):
        address = f"172.31.{number % 3 * 16}.{4 + number // 3}"
        mine = tuple(rng.sample(sorted(groups), rng.choice([1, 2, 3])))
        public = f"198.18.0.{20 + number}" if rng.random() < 0.6 else None
        host = lab.task(address, *mine, public=public)
        member = reach.Member(name=f"task {number}", address=address, group_ids=mine, public_address=public)
        hosts.append((host, member))
    servers = [Echoes(host, host.address) for host, _member in hosts] + [Echoes(outside, WORLD)]
    wrong: list[str] = []
    passed = 0

    def compare(client: Host, to: str, probe: reach.Probe, verdict: reach.Verdict) -> None:
        nonlocal passed
        passed += verdict.passes
        if answered(client, to, probe, 3.0 if verdict.passes else SILENCE_S) != verdict.passes:
            wrong.append(f"{client.address} → {to} {probe}: {verdict}")

    try:
        for client, source in hosts:
            for probe in PROBES:
                for _server, target in hosts:
                    if target is not source and rng.random() < 0.5:
                        compare(client, target.address, probe, reach.between(network, source, target, probe))
                compare(client, WORLD, probe, reach.to_world(network, source, WORLD, probe))
                if source.public_address is not None:
                    verdict = reach.from_world(network, WORLD, source, probe)
                    compare(outside, source.public_address, probe, verdict)
    finally:
        for each in servers:
            each.close()
    assert wrong == []
    assert passed > 5, "a matrix in which nothing passes shows little"
