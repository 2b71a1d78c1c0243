"""Which subnet, address and names an interface gets."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portside.api.ec2.default_network import ensure_default_network
from portside.control.clock import RandomIds, SystemClock
from portside.control.enis import Enis
from portside.domain.record import Scope, replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.table import ELASTIC_ADDRESS, ENI, SECURITY_GROUP, SUBNET
from portside.domain.task.record import EniAttachment, NetworkRequest
from portside.domain.vpc import ElasticAddress, Subnet
from portside.store.interface import Delete, Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="eu-west-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    ensure_default_network(made, SystemClock(), RandomIds(), SCOPE)
    return made


def subnets(store: MemoryStore) -> list[Subnet]:
    return sorted(store.scan(SUBNET), key=lambda subnet: subnet.zone)


def tiny(store: MemoryStore) -> Subnet:
    """A subnet with eleven addresses."""
    subnet = replace(subnets(store)[0], id="subnet-tiny", cidr_block="172.31.200.0/28")
    store.transact(Put(SUBNET, subnet))
    return subnet


def allocate(enis: Enis, *subnet_ids: str, now: datetime = NOW, **fields: Any) -> EniAttachment:
    zone_load = fields.pop("zone_load", {})
    request = NetworkRequest(subnet_ids=subnet_ids, **fields)
    return enis.allocate(scope=SCOPE, request=request, owner="task:x", description="", zone_load=zone_load, now=now)


def test_attachment(store: MemoryStore) -> None:
    """An interface has an address, names and groups, all recorded with it."""
    subnet = subnets(store)[1]
    eni = allocate(Enis(store, RandomIds()), subnet.id)
    assert (eni.address, eni.prefix_length, eni.gateway) == ("172.31.16.4", 20, "172.31.16.1")
    assert (eni.zone, eni.vpc_id) == ("eu-west-1b", subnet.vpc_id)
    assert eni.private_dns_name == "ip-172-31-16-4.eu-west-1.compute.internal"
    assert eni.mac_address.startswith("02:")
    assert eni.eni_id.startswith("eni-0")
    assert len(eni.eni_id) == 21
    (default,) = store.scan(SECURITY_GROUP)
    assert eni.security_group_ids == (default.id,)
    assert Enis(store, RandomIds()).attachment(next(store.scan(ENI))) == eni


def test_least_loaded_zone(store: MemoryStore) -> None:
    """The zone with the least load is taken; with equal loads the subnet with the most free addresses."""
    enis, all_ids = Enis(store, RandomIds()), [subnet.id for subnet in subnets(store)]
    load = {"eu-west-1a": 2, "eu-west-1b": 2, "eu-west-1c": 1}
    assert allocate(enis, *all_ids, zone_load=load).zone == "eu-west-1c"
    assert [allocate(enis, *all_ids).zone for _ in range(3)] == ["eu-west-1a", "eu-west-1b", "eu-west-1a"]


def test_addresses_differ_and_rest(store: MemoryStore) -> None:
    """A released address is not given again while others are free."""
    enis, subnet = Enis(store, RandomIds()), subnets(store)[0]
    first = allocate(enis, subnet.id)
    enis.release(SCOPE, first.eni_id)
    enis.release(SCOPE, first.eni_id)
    given = [allocate(enis, subnet.id).address for _ in range(20)]
    assert len({first.address, *given}) == 21


def test_small_subnet_waits_for_rest(store: MemoryStore) -> None:
    """In a small subnet an address rests a second before it comes again, but is given if it is the last one."""
    enis, subnet = Enis(store, RandomIds()), tiny(store)
    held = [allocate(enis, subnet.id) for _ in range(10)]
    enis.release(SCOPE, held[3].eni_id)
    eleventh = allocate(enis, subnet.id)
    assert eleventh.address == "172.31.200.14"
    enis.release(SCOPE, eleventh.eni_id)
    assert allocate(enis, subnet.id, now=NOW + timedelta(seconds=0.5)).address == held[3].address
    assert allocate(enis, subnet.id, now=NOW + timedelta(seconds=0.6)).address == eleventh.address


def test_exhausted(store: MemoryStore) -> None:
    """A full subnet is refused in the words with which a Fargate task stops; another subnet helps."""
    enis, subnet, other = Enis(store, RandomIds()), tiny(store), subnets(store)[0]
    for _ in range(11):
        allocate(enis, subnet.id)
    with pytest.raises(Refused) as caught:
        allocate(enis, subnet.id)
    assert caught.value.kind is RefusalKind.EXHAUSTED
    assert caught.value.message == (
        "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment disabled "
        "in subnet 'subnet-tiny': InsufficientFreeAddressesInSubnet"
    )
    assert allocate(enis, subnet.id, other.id, zone_load={other.zone: 9}).subnet_id == other.id


def test_restart_knows_what_is_used(store: MemoryStore) -> None:
    """A new object gives no address that an interface in the store has."""
    subnet = subnets(store)[0]
    first = allocate(Enis(store, RandomIds()), subnet.id)
    assert allocate(Enis(store, RandomIds()), subnet.id).address != first.address


def test_refusals(store: MemoryStore) -> None:
    """Subnets and groups that are not there are refused, and so are subnets of two VPCs."""
    enis, subnet = Enis(store, RandomIds()), subnets(store)[0]
    stranger = replace(subnet, id="subnet-x", vpc_id="vpc-x")
    store.transact(Put(SUBNET, stranger))
    cases: list[tuple[RefusalKind, tuple[str, ...], tuple[str, ...]]] = [
        (RefusalKind.NOT_FOUND, ("subnet-none",), ()),
        (RefusalKind.NOT_FOUND, (subnet.id,), ("sg-none",)),
        (RefusalKind.INVALID, (subnet.id, stranger.id), ()),
        (RefusalKind.INVALID, (), ()),
    ]
    for kind, subnet_ids, group_ids in cases:
        with pytest.raises(Refused) as caught:
            allocate(enis, *subnet_ids, security_group_ids=group_ids)
        assert caught.value.kind is kind
    assert list(store.scan(ENI)) == []


def test_public_addresses(store: MemoryStore) -> None:
    """A public address is given on request, where there is a block to give from; Elastic ones are not given twice."""
    subnet = subnets(store)[0]
    enis = Enis(store, RandomIds(), "198.18.0.0/29")
    assert allocate(enis, subnet.id).public_address is None
    first, second = (allocate(enis, subnet.id, assign_public_ip=True).public_address for _ in range(2))
    assert (first, second) == ("198.18.0.4", "198.18.0.5")
    assert allocate(Enis(store, RandomIds()), subnet.id, assign_public_ip=True).public_address is None
    kept = ElasticAddress(scope=SCOPE, id="eipalloc-1", public_address="198.18.0.6", created_at=NOW)
    store.transact(Put(ELASTIC_ADDRESS, kept))
    with pytest.raises(Refused):
        allocate(enis, subnet.id, assign_public_ip=True)
    store.transact(Delete(ELASTIC_ADDRESS, ELASTIC_ADDRESS.key(kept)))
    assert allocate(enis, subnet.id, assign_public_ip=True).public_address == "198.18.0.6"
    with pytest.raises(Refused) as caught:
        allocate(enis, subnet.id, assign_public_ip=True)
    assert caught.value.kind is RefusalKind.EXHAUSTED
