"""Target group health settings through the real Envoy: traffic goes to all targets while too few are healthy, and the
name on the host leads to zones that have enough."""

from pathlib import Path

import pytest

from portside.domain.load_balancer import TargetGroup, ZoneMapping
from portside.domain.load_balancer_rule import CROSS_ZONE, DNS_FAILOVER, ROUTING
from portside.domain.record import replace
from portside.testing.balancer_lab import AT, LEG, eventually, forward, group, target
from portside.testing.envoy_lab import ONE, TWO, Lab, in_lab
from portside.testing.netns_lab import request

pytestmark = pytest.mark.integration

THREE, FOUR = "10.0.1.12", "10.0.1.13"
NEAR, FAR = "us-east-1a", "us-east-1b"
OTHER, ON_HOST, OTHER_ON_HOST = "10.0.1.6", "127.66.252.3", "127.66.252.4"
PORT = 8096
ASKED = 40


def asking(made: TargetGroup, **settings: str) -> TargetGroup:
    keys = {"count": f"{ROUTING}.count", "percentage": f"{ROUTING}.percentage", "across": CROSS_ZONE}
    return replace(made, attributes={keys[key]: value for key, value in settings.items()})


async def who(lab: Lab, address: str = LEG, *, on_host: bool = False) -> set[str]:
    """The servers that so many requests find that none is left out by chance."""
    netns = "" if on_host else lab.netns.path
    answers = [await request(address, PORT, netns=netns) for _ in range(ASKED)]
    return {each.body.partition("\n")[0] if each.status == 200 else str(each.status) for each in answers}


async def fail_open(lab: Lab) -> int:
    """How often Envoy has chosen among all targets."""
    (counts,) = (await lab.envoy.counts()).values()
    return counts.fail_open


async def finds(lab: Lab, wanted: set[str], address: str = LEG) -> None:
    async def found() -> bool:
        return await who(lab, address) == wanted

    await eventually(found, timeout_s=60)


@pytest.mark.parametrize("algorithm", ["round_robin", "least_outstanding_requests"])
def test_requests_go_to_all_targets_while_too_few_are_healthy(tmp_path: Path, algorithm: str) -> None:
    """With a count or a percentage that is not met any more requests reach unhealthy targets, too, and no draining
    one; with one that is met, healthy ones alone. A changed setting holds at once, without a new health check."""

    async def body(lab: Lab) -> None:
        web = group("web", attributes={"load_balancing.algorithm.type": algorithm})
        lab.netns.add_address(THREE, FOUR)
        await lab.serve(ONE, TWO, THREE, FOUR)

        def ask_for(**settings: str) -> None:
            lab.web.groups = [replace(web, attributes={**web.attributes, **asking(web, **settings).attributes})]

        ask_for()
        lab.web.targets = [target(web, each) for each in (ONE, TWO, THREE)]
        lab.web.listen(PORT, forward(web))
        await lab.apply()
        for address in (ONE, TWO, THREE):
            await lab.reports.wait(address, "healthy")
        lab.servers[2].health = 500
        await lab.reports.wait(THREE, "unhealthy")
        healthy, every = {"server-1", "server-2"}, {"server-1", "server-2", "server-3"}
        (clusters,) = tmp_path.rglob("cds.json")
        before = clusters.read_text()
        for settings, wanted in (
            ({"count": "3"}, every),
            ({"count": "2"}, healthy),
            ({"percentage": "67"}, every),
            ({"percentage": "66"}, healthy),
            ({"count": "3", "percentage": "50"}, every),
            ({}, healthy),
        ):
            ask_for(**settings)
            await lab.apply()
            await finds(lab, wanted)
            assert clusters.read_text() == before, "clusters, and with them connections and health, stay"
            among_all = await fail_open(lab)
            await who(lab)
            assert await fail_open(lab) - among_all == (ASKED if wanted == every else 0)
        ask_for(count="3")
        lab.web.targets = [
            target(web, ONE, checked="healthy"),
            target(web, TWO, checked="healthy"),
            target(web, THREE, checked="unhealthy"),
            target(web, FOUR, checked="healthy", deregistered_at=AT),
        ]
        await lab.apply()
        await finds(lab, every)
        lab.servers[2].health = 200
        await lab.reports.wait(THREE, "healthy")
        lab.servers[1].health = 500
        await lab.reports.wait(TWO, "unhealthy")
        assert await who(lab) == every, "Envoy decides by itself"

    in_lab(tmp_path, body)


def test_connections_go_to_all_targets_while_too_few_are_healthy(tmp_path: Path) -> None:
    """The same for connections that a proxy carries, as behind TLS listeners and for clients on the host."""

    async def body(lab: Lab) -> None:
        web = replace(group("web"), protocol="TCP")
        lab.web.groups = [web]
        lab.web.targets = [target(web, each) for each in (ONE, TWO)]
        await lab.serve(ONE, TWO)
        lab.web.listen_tcp(PORT, forward(web))
        await lab.apply()
        for address in (ONE, TWO):
            await lab.reports.wait(address, "healthy")
        lab.servers[1].health = 500
        await lab.reports.wait(TWO, "unhealthy")
        for settings, wanted in (
            ({}, {"server-1"}),
            ({"count": "2"}, {"server-1", "server-2"}),
            ({"percentage": "50"}, {"server-1"}),
        ):
            lab.web.groups = [asking(web, **settings)]
            await lab.apply()
            await finds(lab, wanted)

    in_lab(tmp_path, body)


def test_zones_and_the_name_on_the_host(tmp_path: Path) -> None:
    """Where zones keep to themselves each has its own share: the address of one with too few leads to all targets
    there, and the name to the other one alone; to both while both have too few."""

    async def body(lab: Lab) -> None:
        lab.netns.add_address(OTHER, THREE, FOUR)
        lab.web.scheme, lab.web.host_address = "internet-facing", ON_HOST
        lab.web.further_zones = (ZoneMapping(zone=FAR, subnet_id="t", address=OTHER, host_address=OTHER_ON_HOST),)
        web = asking(group("web"), count="2", across="false")
        web = replace(web, attributes={**web.attributes, f"{DNS_FAILOVER}.count": "2"})
        lab.web.groups = [web]
        places = {ONE: NEAR, TWO: NEAR, THREE: FAR, FOUR: FAR}
        await lab.serve(*places)
        lab.web.listen(PORT, forward(web))

        async def checked(**failing: bool) -> set[str]:
            """Once the data plane and the records agree: the addresses that the name has on the host."""
            for address in places:
                await lab.reports.wait(address, "unhealthy" if address in failing else "healthy")
            lab.web.targets = [
                target(web, address, zone=zone, checked="unhealthy" if address in failing else "healthy")
                for address, zone in places.items()
            ]
            await lab.apply()
            lines = (tmp_path / "hosts").read_text().splitlines()
            return {each.split()[0] for each in lines if each.endswith(".elb.localhost")}

        lab.web.targets = [target(web, address, zone=zone) for address, zone in places.items()]
        await lab.apply()
        assert await checked() == {ON_HOST, OTHER_ON_HOST}
        lab.servers[3].health = 500
        assert await checked(**{FOUR: True}) == {ON_HOST}
        await finds(lab, {"server-3", "server-4"}, OTHER)
        assert await who(lab) == {"server-1", "server-2"}
        assert await who(lab, OTHER_ON_HOST, on_host=True) == {"server-3", "server-4"}
        lab.servers[0].health = 500
        assert await checked(**{FOUR: True, ONE: True}) == {ON_HOST, OTHER_ON_HOST}
        await finds(lab, {"server-1", "server-2"})

    in_lab(tmp_path, body)
