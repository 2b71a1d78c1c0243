"""How requests ended, by zone and target group, as the real Envoy counts them at each address of a load balancer."""

import asyncio
import dataclasses
import socket
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_balancer_zones import FAR, NEAR, ON_HOST, OTHER, PORT, prepare

from portside.domain import load_balancer_metric as rule
from portside.domain.load_balancer import Redirect
from portside.domain.load_balancer_metric import GroupCounts, Seen
from portside.domain.metric import statistic
from portside.domain.record import replace
from portside.testing.balancer_lab import AT, LEG, eventually, fixed, forward, group, paths, target
from portside.testing.envoy_lab import ONE, TWO, Lab, in_lab
from portside.testing.netns_lab import inside, request

pytestmark = pytest.mark.integration

ODD = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
MALFORMED = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\0\r\n\r\n"


async def raw(lab: Lab, address: str, sent: bytes) -> str:
    """The status of the answer."""

    def connect() -> socket.socket:
        made = socket.create_connection((address, PORT), timeout=20)
        made.setblocking(False)
        return made

    reader, writer = await asyncio.open_connection(sock=await asyncio.to_thread(inside, lab.netns.path, connect))
    writer.write(sent)
    head = await reader.readuntil(b"\r\n")
    writer.close()
    return head.decode().split(" ")[1]


def sums(lab: Lab, seen: Mapping[Seen, int]) -> Counter[tuple[str, str, str]]:
    """By a metric's name, zone and target group, each empty without."""
    counts = [(each, rule.of_requests(GroupCounts(), each, seen), ()) for each in lab.web.groups]
    samples = rule.samples(lab.web.record, counts, AT) + rule.samples_of_requests(
        lab.web.record, lab.web.groups, seen, AT
    )
    found: Counter[tuple[str, str, str]] = Counter()
    for each in samples:
        of: dict[str, Any] = dict(each.metric.dimensions)
        key = each.metric.name, of.get("AvailabilityZone", ""), of.get("TargetGroup", "").split("/")[1:2]
        found[key[0], key[1], "".join(key[2])] += round(statistic(each.point, "Sum") or 0)
    return Counter({key: count for key, count in found.items() if count and "PerTarget" not in key[0]})


def test_each_address_counts_for_its_zone(tmp_path: Path) -> None:
    """Requests to the legs and to the addresses on the host count for their zones, those to 127.0.0.1 for none; what
    zones have is, with those, what the load balancer has. A load balancer's own answers, and requests that are not as
    RFC 7230 has them, are told apart from what targets answer."""

    async def body(lab: Lab) -> None:
        web, empty, shut = group("web"), group("empty"), group("shut")
        await prepare(lab, web)
        lab.web.groups += [empty, shut]
        lab.web.targets.append(target(shut, ONE, 9, zone=NEAR))
        listener = lab.web.listen(PORT, forward(web))
        lab.web.rule(listener, 1, forward(empty), paths("/empty"))
        lab.web.rule(listener, 2, forward(shut), paths("/shut"))
        lab.web.rule(listener, 3, fixed(404), paths("/fixed"))
        lab.web.rule(listener, 4, Redirect(status_code="HTTP_301", path="/x"), paths("/moved"))
        lab.web.rule(listener, 5, forward(web, empty, weights=(1, 0)), paths("/weighed"))
        await lab.apply()
        for address in (ONE, TWO):
            await lab.reports.wait(address, "healthy")

        async def ask(address: str, path: str, times: int) -> list[int]:
            netns = "" if address.startswith("127.") else lab.netns.path
            return [(await request(address, PORT, path, netns=netns)).status for _ in range(times)]

        assert await ask(LEG, "/", 3) == [200] * 3
        assert await ask(OTHER, "/", 2) == [200] * 2
        assert await ask(OTHER, "/weighed", 1) == [200]
        assert await ask(ON_HOST, "/", 4) == [200] * 4
        assert await ask("127.0.0.1", "/", 5) == [200] * 5
        assert await ask(OTHER, "/empty", 2) == [503] * 2
        assert await ask(LEG, "/shut", 1) == [502]
        assert await ask(LEG, "/fixed", 2) == [404] * 2
        assert await ask(OTHER, "/moved", 3) == [301] * 3
        assert [await raw(lab, LEG, ODD), await raw(lab, OTHER, ODD), await raw(lab, OTHER, MALFORMED)] == [
            "200",
            "200",
            "400",
        ]

        near, far = 3 + 4 + 1, 2 + 1 + 1
        desync = "DesyncMitigationMode_NonCompliant_Request_Count"
        wanted = Counter(
            {
                ("RequestCount", NEAR, ""): near + 1,
                ("RequestCount", NEAR, "web"): near,
                ("RequestCount", NEAR, "shut"): 1,
                ("RequestCount", FAR, ""): far,
                ("RequestCount", FAR, "web"): far,
                ("RequestCount", "", "web"): near + far + 5,
                ("RequestCount", "", "shut"): 1,
                ("RequestCount", "", ""): near + far + 5 + 1,
                ("HTTPCode_Target_2XX_Count", NEAR, ""): near,
                ("HTTPCode_Target_2XX_Count", NEAR, "web"): near,
                ("HTTPCode_Target_2XX_Count", FAR, ""): far,
                ("HTTPCode_Target_2XX_Count", FAR, "web"): far,
                ("HTTPCode_Target_2XX_Count", "", ""): near + far + 5,
                ("HTTPCode_Target_2XX_Count", "", "web"): near + far + 5,
                ("HTTPCode_ELB_5XX_Count", NEAR, ""): 1,
                ("HTTPCode_ELB_5XX_Count", FAR, ""): 2,
                ("HTTPCode_ELB_5XX_Count", "", ""): 3,
                ("HTTPCode_ELB_5XX_Count", "", "shut"): 1,
                ("HTTPCode_ELB_5XX_Count", "", "empty"): 2,
                ("HTTPCode_ELB_502_Count", NEAR, ""): 1,
                ("HTTPCode_ELB_502_Count", "", ""): 1,
                ("HTTPCode_ELB_502_Count", "", "shut"): 1,
                ("HTTPCode_ELB_503_Count", FAR, ""): 2,
                ("HTTPCode_ELB_503_Count", "", ""): 2,
                ("HTTPCode_ELB_503_Count", "", "empty"): 2,
                ("HTTPCode_ELB_4XX_Count", FAR, ""): 1,
                ("HTTPCode_ELB_4XX_Count", "", ""): 1,
                ("HTTPCode_ELB_3XX_Count", FAR, ""): 3,
                ("HTTPCode_ELB_3XX_Count", "", ""): 3,
                ("HTTP_Redirect_Count", FAR, ""): 3,
                ("HTTP_Redirect_Count", "", ""): 3,
                ("HTTP_Fixed_Response_Count", NEAR, ""): 2,
                ("HTTP_Fixed_Response_Count", "", ""): 2,
                (desync, NEAR, ""): 1,
                (desync, FAR, ""): 2,
                (desync, "", ""): 3,
            }
        )

        async def all_counted() -> bool:
            return sums(lab, await lab.envoy.ended_requests()).total() >= wanted.total()

        await eventually(all_counted, timeout_s=30)
        assert sums(lab, await lab.envoy.ended_requests()) == wanted

    in_lab(tmp_path, body)


def test_connections_count_for_their_zones(tmp_path: Path) -> None:
    """What a Network Load Balancer's proxy hands on counts for the zone of the address it came to; what no target took
    is told apart."""

    async def body(lab: Lab) -> None:
        web = group("web", protocol="TCP")
        await prepare(lab, web)
        listener = lab.web.listen_tcp(PORT, forward(web))
        empty = lab.web.listen_tcp(PORT + 1, forward(group("empty", protocol="TCP")))
        config = dataclasses.replace(lab.web.config(), load_balancer=replace(lab.web.record, type="network"))
        await lab.envoy.apply([config])
        for address in (ONE, TWO):
            await lab.reports.wait(address, "healthy")
        for address, times in ((LEG, 2), (OTHER, 3), (ON_HOST, 1)):
            netns = "" if address.startswith("127.") else lab.netns.path
            assert [(await request(address, PORT, netns=netns)).status for _ in range(times)] == [200] * times
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError, OSError)):
            await request(OTHER, PORT + 1, netns=lab.netns.path)

        async def closed() -> bool:
            found = await lab.envoy.zone_flows()
            return not any(each.active for each in found.values()) and bool(found[empty.arn, FAR].lost)

        await eventually(closed, timeout_s=30)
        found = await lab.envoy.zone_flows()
        assert {key: (each.new, each.lost) for key, each in found.items()} == {
            (listener.arn, NEAR): (3, 0),
            (listener.arn, FAR): (3, 0),
            (empty.arn, NEAR): (0, 0),
            (empty.arn, FAR): (1, 1),
        }
        assert found[listener.arn, NEAR].bytes > 100
        assert found[listener.arn, FAR].bytes > 100

    in_lab(tmp_path, body)
