"""What is missing for an interface to reach the world, in words."""

from typing import Any

from portside.api.ec2.default_network import ensure_default_network
from portside.api.ec2.elastic_address import ElasticAddressHandlers
from portside.api.ec2.nat_gateway import NatGatewayHandlers
from portside.aws.service import RequestContext
from portside.control.clock import RandomIds, SystemClock
from portside.control.enis import Enis
from portside.control.ways_out import WaysOut
from portside.domain.record import Scope, replace
from portside.domain.table import INTERNET_GATEWAY, NAT_GATEWAY, ROUTE_TABLE, SUBNET
from portside.domain.task.record import EniAttachment, NetworkRequest
from portside.domain.vpc import NatGatewayState, Route, RouteTable, RouteTableAssociation
from portside.store.interface import Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")


class World:
    """The default network; the second subnet has a table of its own."""

    def __init__(self) -> None:
        self.store, self.clock, self.ids = MemoryStore(), SystemClock(), RandomIds()
        ensure_default_network(self.store, self.clock, self.ids, SCOPE)
        self.outer, self.inner, *_ = sorted(self.store.scan(SUBNET), key=lambda each: each.zone)
        self.enis = Enis(self.store, self.ids, "198.18.0.0/24")
        self.table = RouteTable(
            scope=SCOPE,
            id="rtb-inner",
            vpc_id=self.inner.vpc_id,
            associations=(RouteTableAssociation(id="rtbassoc-1", subnet_id=self.inner.id),),
            created_at=self.clock.now(),
        )
        self.store.transact(Put(ROUTE_TABLE, self.table))

    def eni(self, subnet_id: str, *, public: bool = False) -> EniAttachment:
        return self.enis.allocate(
            scope=SCOPE,
            request=NetworkRequest(subnet_ids=(subnet_id,), assign_public_ip=public),
            owner="task:x",
            description="",
            zone_load={},
            now=self.clock.now(),
        )

    def missing(self, subnet_id: str, *, public: bool = False) -> str:
        return WaysOut(self.store).missing(SCOPE, self.eni(subnet_id, public=public)) or ""

    def call(self, handlers: Any, operation: str, **params: Any) -> Any:
        context = RequestContext(SCOPE.account, SCOPE.region, "ec2", operation, "request", SCOPE.account)
        return handlers.handlers()[operation](context, params)


def test_by_the_internet_gateway() -> None:
    """With a public address nothing is missing; without one, or with the gateway gone, it is said."""
    world = World()
    assert world.missing(world.outer.id, public=True) == ""
    assert "no public IP" in world.missing(world.outer.id)
    (gateway,) = world.store.scan(INTERNET_GATEWAY)
    world.store.transact(Put(INTERNET_GATEWAY, replace(gateway, vpc_id=None)))
    assert "black hole" in world.missing(world.outer.id, public=True)


def test_by_a_nat_gateway() -> None:
    """A NAT gateway leads out if its own subnet does, and while it lives."""
    world = World()
    assert world.missing(world.inner.id) == f"route table rtb-inner of {world.inner.id} has no route to 0.0.0.0/0"
    addresses = ElasticAddressHandlers(world.store, world.clock, world.ids, "198.18.1.0/24")
    allocation = world.call(addresses, "AllocateAddress")["AllocationId"]
    nats = NatGatewayHandlers(world.store, world.clock, world.ids)
    made = world.call(nats, "CreateNatGateway", SubnetId=world.outer.id, AllocationId=allocation)["NatGateway"]
    route = Route(destination="0.0.0.0/0", nat_gateway_id=made["NatGatewayId"])
    world.store.transact(Put(ROUTE_TABLE, replace(world.table, routes=(route,))))
    assert world.missing(world.inner.id) == ""
    (nat,) = world.store.scan(NAT_GATEWAY)
    world.store.transact(Put(NAT_GATEWAY, replace(nat, subnet_id=world.inner.id)))
    assert "is in the subnet that it is to lead out of" in world.missing(world.inner.id)
    world.store.transact(Put(NAT_GATEWAY, replace(nat, state=NatGatewayState.DELETING)))
    assert "black hole" in world.missing(world.inner.id)
