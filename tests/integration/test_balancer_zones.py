"""Zones of Application Load Balancers through the real Envoy: target groups that keep to each zone, and those that do
not."""

import asyncio
from pathlib import Path

import pytest

from portside.control.loop import spawn
from portside.domain.load_balancer import Target, TargetGroup, ZoneMapping
from portside.domain.load_balancer_rule import CROSS_ZONE
from portside.domain.record import replace
from portside.testing.balancer_lab import LEG, eventually, forward, group, paths, target
from portside.testing.envoy_lab import ONE, TWO, Lab, in_lab
from portside.testing.netns_lab import request

pytestmark = pytest.mark.integration

NEAR, FAR = "us-east-1a", "us-east-1b"
OTHER, ON_HOST, OTHER_ON_HOST = "10.0.1.6", "127.66.252.1", "127.66.252.2"
PORT = 8097


def alone(made: TargetGroup) -> TargetGroup:
    return replace(made, attributes={**made.attributes, CROSS_ZONE: "false"})


def in_both(made: TargetGroup) -> list[Target]:
    return [target(made, ONE, zone=NEAR), target(made, TWO, zone=FAR)]


async def prepare(lab: Lab, *groups: TargetGroup) -> None:
    """A load balancer in two zones with a server in each."""
    lab.netns.add_address(OTHER)
    lab.web.scheme, lab.web.host_address = "internet-facing", ON_HOST
    further = ZoneMapping(zone=FAR, subnet_id="t", address=OTHER, host_address=OTHER_ON_HOST)
    lab.web.further_zones = (further,)
    lab.web.groups = list(groups)
    lab.web.targets = [each for made in groups for each in in_both(made)]
    await lab.serve(ONE, TWO)


async def who(lab: Lab, address: str, path: str = "/", *, on_host: bool = False) -> set[str]:
    """The servers, or statuses, that twenty requests find."""
    netns = "" if on_host else lab.netns.path
    answers = [await request(address, PORT, path, netns=netns) for _ in range(20)]
    return {each.body.partition("\n")[0] if each.status == 200 else str(each.status) for each in answers}


@pytest.mark.parametrize("algorithm", ["round_robin", "least_outstanding_requests", "weighted_random"])
def test_each_zone_has_its_own_targets(tmp_path: Path, algorithm: str) -> None:
    """A group without cross-zone load balancing gets requests in each zone from that zone's address alone, inside the
    VPC and on the host; in a zone without a target there is none. Another group of the same listener reaches
    across, also beside it in one rule."""

    async def body(lab: Lab) -> None:
        attributes = {"load_balancing.algorithm.type": algorithm}
        apart, across = alone(group("apart", attributes=attributes)), group("across", attributes=attributes)
        await prepare(lab, apart, across)
        listener = lab.web.listen(PORT, forward(apart))
        lab.web.rule(listener, 1, forward(across), paths("/across"))
        lab.web.rule(listener, 2, forward(apart, across, weights=(1, 0)), paths("/weighed"))
        await lab.apply()
        for address in (ONE, TWO):
            await lab.reports.wait(address, "healthy")
        every = {"server-1", "server-2"}

        async def are_apart() -> bool:
            found = [await who(lab, leg, path) for path in ("/", "/weighed") for leg in (LEG, OTHER)]
            return found == [{"server-1"}, {"server-2"}] * 2

        await eventually(are_apart, timeout_s=30)
        assert [await who(lab, leg, "/across") for leg in (LEG, OTHER)] == [every] * 2
        assert [await who(lab, each, on_host=True) for each in (ON_HOST, OTHER_ON_HOST)] == [
            {"server-1"},
            {"server-2"},
        ]
        assert await who(lab, "127.0.0.1", on_host=True) == every, "it is in no zone"
        lab.servers[1].health = 500
        await lab.reports.wait(TWO, "unhealthy")
        assert await who(lab, OTHER) == {"server-2"}, "it is the best that the zone has"
        lab.web.targets = [each for each in lab.web.targets if each.id == ONE]
        await lab.apply()

        async def has_none() -> bool:
            return [await who(lab, leg) for leg in (LEG, OTHER)] == [{"server-1"}, {"503"}]

        await eventually(has_none, timeout_s=30)

    in_lab(tmp_path, body)


def test_attribute_changes_without_a_failed_request(tmp_path: Path) -> None:
    """Requests inside the VPC and on the host go on while a group's cross-zone load balancing is turned off and on, and
    each change is there."""

    async def body(lab: Lab) -> None:
        web = group("web")
        await prepare(lab, web)
        lab.web.listen(PORT, forward(web))
        await lab.apply()
        for address in (ONE, TWO):
            await lab.reports.wait(address, "healthy")
        statuses: list[int] = []
        done = asyncio.Event()

        async def ask(address: str, netns: str) -> None:
            while not done.is_set():
                statuses.append((await request(address, PORT, netns=netns)).status)

        places = ((LEG, lab.netns.path), (LEG, lab.netns.path), (ON_HOST, ""))
        clients = [spawn(f"client of {address}", ask(address, netns)) for address, netns in places]
        for turn in range(4):
            lab.web.groups = [alone(web) if turn % 2 == 0 else web]
            wanted = [{"server-2"}, {"server-2"}] if turn % 2 == 0 else [{"server-1", "server-2"}] * 2

            async def there(wanted: list[set[str]] = wanted) -> bool:
                return [await who(lab, OTHER), await who(lab, OTHER_ON_HOST, on_host=True)] == wanted

            await lab.apply()
            await eventually(there, timeout_s=60)
        done.set()
        await asyncio.gather(*clients)
        assert set(statuses) == {200}

    in_lab(tmp_path, body)
