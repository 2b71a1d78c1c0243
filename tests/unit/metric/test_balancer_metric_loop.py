"""The loop of load balancers' metrics over a data plane that counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace as replace_config
from datetime import timedelta

from portside.control.balancer_metrics import BalancerMetricLoop
from portside.domain.flow import FlowCounts, FlowOwner
from portside.domain.load_balancer import Redirect, ZoneMapping
from portside.domain.load_balancer_metric import GroupCounts, ListenerCounts, Seen
from portside.domain.metric import Sample, statistic
from portside.domain.record import Scope, replace
from portside.domain.table import LISTENER, LOAD_BALANCER, RULE, TARGET_GROUP
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.testing.balancer_lab import Balancer, fixed, forward, group, paths
from portside.testing.clock import EPOCH, LoopClock, VirtualTimeLoop
from portside.testing.fake_balancer import FakeBalancer


class NoFlows:
    async def flow_counts(self) -> Mapping[FlowOwner, FlowCounts]:
        return {}


def is_of_health(name: str) -> bool:
    """Whether a metric is there without any traffic."""
    return "Host" in name or "State" in name


class Kept:
    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()

    async def put(self, scope: Scope, samples: Sequence[Sample]) -> None:
        for each in samples:
            if [name for name, _ in each.metric.dimensions] == ["LoadBalancer"]:
                self.sums[each.metric.name] += round(statistic(each.point, "Sum") or 0)


def test_clients_and_own_answers() -> None:
    """Clients' connections and what rules answer themselves are told by the minute: what came since the last look, and
    all of it where the data plane began anew; nothing of the time before the first look."""
    loop = VirtualTimeLoop()
    clock, store, kept, plane = LoopClock(loop), MemoryStore(), Kept(), FakeBalancer()
    lab, g = Balancer("web", "/netns"), group("g")
    lab.groups = [g]
    listener = lab.listen(80, forward(g))
    answers = lab.rule(listener, 1, fixed(200), paths("/a"))
    leads = lab.rule(listener, 2, Redirect(status_code="HTTP_301", path="/x"), paths("/b"))
    store.transact(
        Put(LOAD_BALANCER, lab.record),
        Put(TARGET_GROUP, g),
        Put(LISTENER, listener),
        Put(RULE, answers),
        Put(RULE, leads),
    )

    def told(connections: int, hits: int) -> None:
        plane.clients = {
            listener.arn: ListenerCounts(
                connections=connections, connections_active=3, rejected=connections // 10, tls_errors=connections // 5
            )
        }
        plane.seen = {
            Seen(
                load_balancer_arn=lab.record.arn, zone="", target_group_arn="", what=what, status=0, counter=each.arn
            ): count
            for each, what, count in ((answers, "fixed-response", hits), (leads, "redirect", 2 * hits))
        }
        key = lab.record.arn, g.arn
        plane.counted = {key: GroupCounts(connections=connections, connections_active=1)}

    async def test() -> None:
        await plane.start(lambda report: None)
        await plane.apply([lab.config()])
        told(100, 50)
        meter = BalancerMetricLoop(store, kept, clock, plane, NoFlows())  # type: ignore[arg-type]
        await meter.start()
        await clock.sleep_until(EPOCH + timedelta(seconds=30))
        assert all(is_of_health(name) for name in kept.sums)
        told(120, 57)
        await clock.sleep_until(EPOCH + timedelta(seconds=90))
        told(10, 3)
        await clock.sleep_until(EPOCH + timedelta(seconds=130))
        await meter.close()

    loop.run_until_complete(test())
    loop.close()
    assert {name: value for name, value in kept.sums.items() if not is_of_health(name)} == {
        "NewConnectionCount": 2 * (20 + 10),
        "ActiveConnectionCount": 2 * (3 + 1),
        "RejectedConnectionCount": 2 + 1,
        "ClientTLSNegotiationErrorCount": 4 + 2,
        "HTTP_Fixed_Response_Count": 7 + 3,
        "HTTP_Redirect_Count": 14 + 6,
        "HTTPCode_ELB_3XX_Count": 14 + 6,
    }


class ZonesKept(Kept):
    async def put(self, scope: Scope, samples: Sequence[Sample]) -> None:
        for each in samples:
            zone = dict(each.metric.dimensions).get("AvailabilityZone")
            if zone and not is_of_health(each.metric.name):
                self.sums[f"{each.metric.name} {zone}"] += round(statistic(each.point, "Sum") or 0)


class Led:
    """A node whose router has led flows."""

    new = 0

    async def flow_counts(self) -> Mapping[FlowOwner, FlowCounts]:
        return {
            FlowOwner("arn:lb", "arn:tg", "10.0.1.5", "tcp"): FlowCounts(new=self.new, active=2, bytes=100 * self.new),
            FlowOwner("arn:lb", "arn:tg", "10.0.2.5", "udp"): FlowCounts(new=2 * self.new, bytes=10 * self.new),
        }


def test_flows_by_zone() -> None:
    """A Network Load Balancer's zones have what the router led and what the proxy handed on since the last look, less
    what no target took; by protocol, too."""
    loop = VirtualTimeLoop()
    clock, store, kept, plane, node = LoopClock(loop), MemoryStore(), ZonesKept(), FakeBalancer(), Led()
    lab = Balancer("net", "/netns")
    lab.leg, lab.further_zones = "10.0.1.5", (ZoneMapping(zone="us-east-1b", subnet_id="t", address="10.0.2.5"),)
    record = replace(lab.record, type="network", arn="arn:lb")
    lab.groups = [replace(group("g"), arn="arn:tg", protocol="TCP")]
    listener = replace(lab.listen_tcp(80, forward(*lab.groups)), load_balancer_arn="arn:lb")
    store.transact(Put(LOAD_BALANCER, record), Put(TARGET_GROUP, lab.groups[0]), Put(LISTENER, listener))

    def told(new: int) -> None:
        node.new = new
        plane.in_zones = {(listener.arn, "us-east-1b"): FlowCounts(new=new, lost=new // 10, active=1, bytes=new)}

    async def test() -> None:
        await plane.start(lambda report: None)
        await plane.apply([replace_config(lab.config(), load_balancer=record)])
        told(100)
        meter = BalancerMetricLoop(store, kept, clock, plane, node)  # type: ignore[arg-type]
        await meter.start()
        await clock.sleep_until(EPOCH + timedelta(seconds=30))
        told(120)
        await clock.sleep_until(EPOCH + timedelta(seconds=90))
        await meter.close()

    loop.run_until_complete(test())
    loop.close()
    assert +kept.sums == {
        "NewFlowCount us-east-1a": 20,
        "NewFlowCount_TCP us-east-1a": 20,
        "NewFlowCount us-east-1b": 40 + 20 - 2,
        "NewFlowCount_UDP us-east-1b": 40,
        "NewFlowCount_TCP us-east-1b": 20 - 2,
        "ActiveFlowCount us-east-1a": 2,
        "ActiveFlowCount_TCP us-east-1a": 2,
        "ActiveFlowCount us-east-1b": 1,
        "ActiveFlowCount_TCP us-east-1b": 1,
        "ProcessedBytes us-east-1a": 2000,
        "ProcessedBytes_TCP us-east-1a": 2000,
        "ProcessedBytes us-east-1b": 200 + 20,
        "ProcessedBytes_UDP us-east-1b": 200,
        "ProcessedBytes_TCP us-east-1b": 20,
    }
