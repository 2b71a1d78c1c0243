"""The load balancers' metrics: each minute what the data plane has counted since the last, in CloudWatch's names."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from portside.balancer.interface import Balancer, BalancerRefused
from portside.control.loop import Loop, next_period
from portside.domain import load_balancer_metric as rule
from portside.domain.clock import Clock
from portside.domain.flow import FlowCounts, FlowOwner
from portside.domain.load_balancer import LoadBalancer, Target, TargetGroup
from portside.domain.load_balancer_metric import GroupCounts, ListenerCounts, Seen, Spoken
from portside.domain.metric import Sample
from portside.domain.record import Scope
from portside.domain.table import LISTENER, LOAD_BALANCER, TARGET, TARGET_GROUP
from portside.node.interface import Node
from portside.store.interface import Store
from portside.telemetry.interface import LogsUnavailable
from portside.telemetry.metric import MetricStore

log = logging.getLogger(__name__)

PERIOD_S: Final = 60
_ALL: Final = "all"
_SPOKEN: Final[dict[str, Spoken]] = {"tcp": "TCP", "udp": "UDP", "": ""}
"""By what a router tells of a flow."""


class BalancerMetricLoop:
    """
    Args:
        node: has the flows that its routers lead.
        period_s: between two looks.
    """

    def __init__(
        self,
        store: Store,
        metrics: MetricStore,
        clock: Clock,
        balancer: Balancer,
        node: Node,
        *,
        period_s: float = PERIOD_S,
    ) -> None:
        self._node = node
        self._store, self._metrics, self._clock, self._balancer = store, metrics, clock, balancer
        self._period_s = period_s
        self._loop = Loop("balancer metrics", clock, self._step, resync_s=2 * period_s)
        self._before: Mapping[tuple[str, str], GroupCounts] | None = None
        self._flows_before: Mapping[FlowOwner, FlowCounts] = {}
        self._zones_before: Mapping[tuple[str, str], FlowCounts] | None = None
        self._clients_before: Mapping[str, ListenerCounts] | None = None
        self._seen_before: Mapping[Seen, int] | None = None

    async def start(self) -> None:
        self._loop.wake(_ALL)

    async def close(self) -> None:
        await self._loop.close()

    async def _step(self, _key: str) -> datetime:
        now = self._clock.now()
        try:
            await self._look(now)
        except (BalancerRefused, LogsUnavailable) as error:
            log.warning("the load balancers' metrics of this minute are lost: %s", error)
        return next_period(now, self._period_s)

    async def _look(self, now: datetime) -> None:
        balancers = {each.arn: each for each in self._store.scan(LOAD_BALANCER)}
        if not balancers:
            self._before, self._clients_before, self._seen_before, self._zones_before = {}, {}, {}, {}
            return
        found = await self._balancer.counts()
        flows, seen = await self._node.flow_counts(), await self._requests()
        before, self._before = self._before, found
        flows_before, self._flows_before = self._flows_before, flows
        new_flows = {key: rule.flows_since(each, flows_before.get(key)) for key, each in flows.items()}
        in_zones = await self._in_zones(balancers, new_flows if before is not None else {})
        groups = {each.arn: each for each in self._store.scan(TARGET_GROUP)}
        targets: dict[str, list[Target]] = {}
        for target in self._store.scan(TARGET):
            targets.setdefault(target.target_group_arn, []).append(target)
        samples: dict[Scope, list[Sample]] = {}
        by_balancer: dict[str, list[tuple[TargetGroup, GroupCounts]]] = {}
        by_protocol: dict[str, dict[Spoken, FlowCounts]] = {}
        for (balancer_arn, group_arn), counts in found.items():
            balancer, group = balancers.get(balancer_arn), groups.get(group_arn)
            if balancer is None or group is None:
                continue
            # Without an earlier look, what was counted is of no known time.
            key, new = (balancer_arn, group_arn), GroupCounts()
            if before is not None:
                new = rule.since(counts, before.get(key))
                if balancer.type != "network" and group.protocol != "TCP":
                    new = rule.of_requests(new, group, seen.get(balancer_arn, {}))
                led = [(of, each) for of, each in new_flows.items() if of[:2] == key]
                if balancer.type == "network":
                    listeners = self._store.find(LISTENER, "load_balancer", balancer_arn)
                    spoken = by_protocol.setdefault(balancer_arn, {})
                    _add(spoken, rule.spoken_to(group, listeners), rule.flows_of(new))
                    for of, each in led:
                        _add(spoken, _SPOKEN[of.protocol], each)
                if led:
                    new = rule.with_flows(new, sum((each for _, each in led), FlowCounts()))
            by_balancer.setdefault(balancer_arn, []).append((group, new))
        for arn, several in by_balancer.items():
            balancer = balancers[arn]
            looked = [(group, new, targets.get(group.arn, [])) for group, new in several]
            of_balancer = samples.setdefault(balancer.scope, [])
            of_balancer.extend(rule.samples(balancer, looked, now))
            of_balancer.extend(rule.samples_of_health(balancer, [(group, each) for group, _, each in looked], now))
            of_balancer.extend(rule.samples_of_flows(balancer, in_zones.get(arn, {}), now))
            of_balancer.extend(rule.samples_by_protocol(balancer, by_protocol.get(arn, {}), now))
        clients = await self._of_clients()
        for arn, balancer in balancers.items():
            several, of_clients = by_balancer.get(arn, []), clients.get(arn, ListenerCounts())
            of_balancer = samples.setdefault(balancer.scope, [])
            of_balancer.extend(
                rule.samples_of_requests(balancer, [group for group, _ in several], seen.get(arn, {}), now)
            )
            of_balancer.extend(rule.samples_of_clients(balancer, of_clients, [new for _, new in several], now))
        for scope, of_scope in samples.items():
            await self._metrics.put(scope, of_scope)

    async def _in_zones(
        self, balancers: Mapping[str, LoadBalancer], led: Mapping[FlowOwner, FlowCounts]
    ) -> dict[str, dict[str, dict[Spoken, FlowCounts]]]:
        """Flows since the last look, by Network Load Balancer, zone and protocol. Args: led: those of them that the
        node has."""
        found = await self._balancer.zone_flows()
        before, self._zones_before = self._zones_before, found
        if before is None:
            return {}
        counted: dict[str, dict[str, dict[Spoken, FlowCounts]]] = {
            arn: {each.zone: {} for each in balancer.zones}
            for arn, balancer in balancers.items()
            if balancer.type == "network"
        }
        listeners = {each.arn: each for each in self._store.scan(LISTENER)}
        came: list[tuple[str, str, Spoken, FlowCounts]] = []
        for (listener_arn, zone_name), each in found.items():
            if listener := listeners.get(listener_arn):
                spoken: Spoken = "TLS" if listener.protocol == "TLS" else "TCP"
                new = rule.flows_since(each, before.get((listener_arn, zone_name)))
                came.append((listener.load_balancer_arn, zone_name, spoken, new))
        for of, each in led.items():
            if balancer := balancers.get(of.load_balancer_arn):
                zone_names = [zone.zone for zone in balancer.zones if zone.address == of.address]
                came += [(balancer.arn, zone_name, _SPOKEN[of.protocol], each) for zone_name in zone_names]
        for arn, zone_name, spoken, each in came:
            if zone_name in (zones := counted.get(arn, {})):
                _add(zones[zone_name], spoken, each)
        return counted

    async def _requests(self) -> dict[str, dict[Seen, int]]:
        """How requests have ended since the last look, by load balancer."""
        found = await self._balancer.ended_requests()
        before, self._seen_before = self._seen_before, found
        by_balancer: dict[str, dict[Seen, int]] = {}
        for each, count in rule.seen_since(found, before).items() if before is not None else ():
            by_balancer.setdefault(each.load_balancer_arn, {})[each] = count
        return by_balancer

    async def _of_clients(self) -> dict[str, ListenerCounts]:
        """What listeners have counted since the last look, by load balancer."""
        found = await self._balancer.listener_counts()
        before, self._clients_before = self._clients_before, found
        if before is None:
            return {}
        clients: dict[str, ListenerCounts] = {}
        listeners = {each.arn: each.load_balancer_arn for each in self._store.scan(LISTENER)}
        for arn, counts in found.items():
            if balancer_arn := listeners.get(arn):
                new = rule.listeners_since(counts, before.get(arn))
                clients[balancer_arn] = clients.get(balancer_arn, ListenerCounts()) + new
        return clients


def _add(by_protocol: dict[Spoken, FlowCounts], spoken: Spoken, flows: FlowCounts) -> None:
    by_protocol[spoken] = by_protocol.get(spoken, FlowCounts()) + flows
