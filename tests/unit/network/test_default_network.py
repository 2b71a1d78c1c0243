"""What an account has in a region from the start, and what older records are completed with."""

from portside.api.ec2.default_network import ensure_default_network
from portside.control.clock import RandomIds, SystemClock
from portside.domain.record import Scope
from portside.domain.table import DEFAULT_NETWORK, INTERNET_GATEWAY, NETWORK_ACL, ROUTE_TABLE, SUBNET, VPC
from portside.store.interface import Delete
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")


def ensure(store: MemoryStore) -> None:
    ensure_default_network(store, SystemClock(), RandomIds(), SCOPE)


def test_made_once() -> None:
    """The default network is made by one commit, and not touched again."""
    store = MemoryStore()
    ensure(store)
    revision = store.revision
    ensure(store)
    assert store.revision == revision
    (vpc,) = store.scan(VPC)
    (gateway,) = store.scan(INTERNET_GATEWAY)
    (table,) = store.scan(ROUTE_TABLE)
    (acl,) = store.scan(NETWORK_ACL)
    assert (gateway.vpc_id, table.vpc_id, acl.vpc_id) == (vpc.id,) * 3
    assert table.is_main
    assert [(each.destination, each.gateway_id) for each in table.routes] == [("0.0.0.0/0", gateway.id)]
    assert {each.subnet_id for each in acl.associations} == {each.id for each in store.scan(SUBNET)}


def test_older_records_are_completed() -> None:
    """A default VPC that was recorded without routes, gateway and list gets them, and keeps what it has."""
    store = MemoryStore()
    ensure(store)
    (vpc,) = store.scan(VPC)
    for kind in (INTERNET_GATEWAY, ROUTE_TABLE, NETWORK_ACL, DEFAULT_NETWORK):
        for record in list(store.scan(kind)):  # type: ignore[arg-type]
            store.transact(Delete(kind, kind.key(record)))
    ensure(store)
    assert [each.id for each in store.scan(VPC)] == [vpc.id]
    assert [each.vpc_id for each in store.scan(INTERNET_GATEWAY)] == [vpc.id]
    assert [each.is_main for each in store.scan(ROUTE_TABLE)] == [True]
    assert [len(each.associations) for each in store.scan(NETWORK_ACL)] == [3]


def test_stays_away_once_deleted() -> None:
    """A default VPC that somebody deleted does not come back by itself."""
    store = MemoryStore()
    ensure(store)
    for vpc in list(store.scan(VPC)):
        store.transact(Delete(VPC, VPC.key(vpc)))
    ensure(store)
    assert list(store.scan(VPC)) == []
