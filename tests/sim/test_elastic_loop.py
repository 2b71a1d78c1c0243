"""Elastic addresses of Network Load Balancers in virtual time: who has them, and when they are free again."""

from test_balancer_loop import World, simulate

from portside.domain.elastic_address import promised
from portside.domain.record import replace
from portside.domain.table import ELASTIC_ADDRESS, ENI, SUBNET
from portside.domain.vpc import ElasticAddress
from portside.store.interface import Put
from portside.testing.balancer_lab import AT, SCOPE


def allocate(world: World, number: int) -> ElasticAddress:
    made = ElasticAddress(scope=SCOPE, id=f"eipalloc-{number}", public_address=f"198.18.7.{number}", created_at=AT)
    world.store.transact(Put(ELASTIC_ADDRESS, made))
    return made


def now(world: World, address: ElasticAddress) -> ElasticAddress:
    found = world.store.get(ELASTIC_ADDRESS, ELASTIC_ADDRESS.key(address))
    assert found is not None
    return found


def make(world: World, *pairs: tuple[str, ElasticAddress]) -> str:
    mappings = [{"SubnetId": subnet, "AllocationId": address.id} for subnet, address in pairs]
    made = world.call("CreateLoadBalancer", Name="net", Type="network", SubnetMappings=mappings)
    return str(made["LoadBalancers"][0]["LoadBalancerArn"])


def test_address_is_the_interface_s_until_the_end() -> None:
    """Each zone's interface has the zone's address, the node is told, and after the load balancer's end, when nothing
    of it is on the node, the address is nobody's."""

    async def body(world: World) -> None:
        one, two = allocate(world, 1), allocate(world, 2)
        arn = make(world, (world.subnet_ids[0], one), (world.subnet_ids[1], two))
        assert now(world, one).eni_id == ""
        await world.settle()
        balancer = world.balancer(arn)
        assert balancer is not None
        for zone, address in zip(balancer.zones, (one, two), strict=True):
            given = now(world, address)
            assert (given.eni_id, given.private_address) == (zone.eni_id, zone.address)
            assert given.association_id.startswith("eipassoc-0")
            eni = world.store.get(ENI, SCOPE.prefix + zone.eni_id)
            assert eni is not None
            assert (eni.public_address, eni.allocation_id) == (address.public_address, address.id)
        (legs,) = world.node.networks.values()
        assert [leg.public_address for leg in legs] == [one.public_address, two.public_address]
        world.call("DeleteLoadBalancer", LoadBalancerArn=arn)
        assert now(world, one).is_in_use
        await world.settle(5)
        assert world.node.networks == {}
        assert [now(world, each) for each in (one, two)] == [one, two]

    simulate(body)


def test_address_of_a_zone_that_is_left() -> None:
    """A load balancer that leaves a subnet leaves its address there."""

    async def body(world: World) -> None:
        one, two = allocate(world, 1), allocate(world, 2)
        first, second = world.subnet_ids[:2]
        arn = make(world, (first, one), (second, two))
        await world.settle()
        world.call("SetSubnets", LoadBalancerArn=arn, Subnets=[first])
        await world.settle()
        assert now(world, two) == two
        assert now(world, one).eni_id != ""

    simulate(body)


def test_promise_outlives_a_crash() -> None:
    """An address that was promised to a load balancer which is gone by the next start is free after it."""

    async def body(world: World) -> None:
        one = allocate(world, 1)
        subnet = next(iter(world.store.scan(SUBNET, SCOPE.prefix)))
        arn = make(world, (subnet.id, one))
        await world.loop.close()
        world.call("DeleteLoadBalancer", LoadBalancerArn=arn)
        world.store.transact(Put(ELASTIC_ADDRESS, promised(replace(one), arn)))
        world.boot()
        await world.loop.start()
        await world.settle(5)
        assert now(world, one) == one

    simulate(body)
