"""`portside network`: the names in a VPC, what is behind them, and why they do not resolve."""

import io
from datetime import UTC, datetime

from rich.console import Console

from portside.api.portside.network import network
from portside.cli.network import render
from portside.domain.cloud_map import DiscoveryInstance, DiscoveryService, DnsRecord, Health, Namespace
from portside.domain.record import Scope, replace
from portside.domain.table import DISCOVERY_INSTANCE, DISCOVERY_SERVICE, NAMESPACE, VPC
from portside.domain.vpc import Vpc
from portside.store.interface import Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
A_VPC = Vpc(scope=SCOPE, id="vpc-1", cidr_block="10.0.0.0/16", created_at=NOW)


def shown(store: MemoryStore) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    for tree in render(network(store), everything=True):
        console.print(tree)
    return console.export_text()


def test_names_are_shown_with_what_is_behind_them() -> None:
    """Each service of a private namespace stands with its records and instances; unhealthy ones are marked."""
    store = MemoryStore()
    namespace = Namespace(
        scope=SCOPE, id="ns-1", name="corp.local", http_name="corp.local", vpc_id="vpc-1", created_at=NOW
    )
    service = DiscoveryService(
        scope=SCOPE,
        id="srv-1",
        namespace_id="ns-1",
        name="web",
        records=(DnsRecord(type="SRV", ttl_s=5),),
        created_at=NOW,
    )
    one = DiscoveryInstance(
        scope=SCOPE,
        service_id="srv-1",
        id="one",
        attributes={"AWS_INSTANCE_IPV4": "10.0.0.5", "AWS_INSTANCE_PORT": "80"},
        created_at=NOW,
    )
    two = replace(one, id="two", attributes={"AWS_INSTANCE_IPV4": "10.0.0.6"}, health=Health.UNHEALTHY)
    store.transact(
        Put(VPC, A_VPC),
        Put(NAMESPACE, namespace),
        Put(DISCOVERY_SERVICE, service),
        Put(DISCOVERY_INSTANCE, one),
        Put(DISCOVERY_INSTANCE, two),
    )
    assert "web.corp.local SRV → 10.0.0.5:80, 10.0.0.6 (unhealthy)" in shown(store)
    assert "do not resolve" not in shown(store)
    store.transact(Put(VPC, replace(A_VPC, dns_hostnames=False)))
    assert "do not resolve: enableDnsHostnames or enableDnsSupport is off" in shown(store)


def test_a_vpc_without_a_resolver_says_so() -> None:
    """Where DNS support is off, that is shown."""
    store = MemoryStore()
    store.transact(Put(VPC, A_VPC))
    assert "no resolver" not in shown(store)
    store.transact(Put(VPC, replace(A_VPC, dns_support=False)))
    assert "no resolver: enableDnsSupport is off" in shown(store)
