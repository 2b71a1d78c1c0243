"""The metrics of load balancers: what was counted, as CloudWatch's samples. Pure.

Sources: Application Load Balancer guide, "CloudWatch metrics for your Application Load Balancer"; Network Load Balancer
guide, "CloudWatch metrics for your Network Load Balancer". What is nought is left out where AWS leaves it out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal, TypeVar

from portside.domain.flow import FlowCounts
from portside.domain.load_balancer import FixedResponse, Listener, LoadBalancer, Redirect, Target, TargetGroup
from portside.domain.load_balancer_rule import DNS_FAILOVER, ROUTING, forwarded_groups, is_enabled
from portside.domain.metric import MetricName, Point, Sample, dimensions_of, point_of
from portside.domain.target_group_health import has_enough, within_reach

K = TypeVar("K")

ANSWERS: Final[dict[type, str]] = {FixedResponse: "fixed-response", Redirect: "redirect"}
"""Actions by which a load balancer answers itself, without a target."""
NAMESPACES: Final = {"application": "AWS/ApplicationELB", "network": "AWS/NetworkELB", "classic": "AWS/ELB"}


@dataclass(frozen=True, kw_only=True)
class GroupCounts:
    """What the data plane has counted of a load balancer's target group since it began.

    `requests`: those that a target was chosen for. `responses`: of targets, by the first digit of the status.
    `no_target`, `timeouts`, `resets`: answers of the load balancer itself, for want of a target, of an answer in time,
    and of a connection that held. `times_ms`: how often which response time was seen. `client_resets`,
    `target_resets`: packets of TCP that say so, in flows that the kernel carries. `fail_open`: how often a target was
    chosen among all, since too few were healthy."""

    requests: int = 0
    responses: Mapping[int, int] = field(default_factory=dict)
    no_target: int = 0
    timeouts: int = 0
    resets: int = 0
    connect_errors: int = 0
    connections: int = 0
    connections_active: int = 0
    bytes: int = 0
    client_resets: int = 0
    target_resets: int = 0
    fail_open: int = 0
    times_ms: Mapping[float, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ListenerCounts:
    """What the data plane has counted of a listener since it began: clients' connections, those that are open now,
    those that were one too many, and those that did not agree on TLS."""

    connections: int = 0
    connections_active: int = 0
    rejected: int = 0
    tls_errors: int = 0

    def __add__(self, other: "ListenerCounts") -> "ListenerCounts":
        return ListenerCounts(
            connections=self.connections + other.connections,
            connections_active=self.connections_active + other.connections_active,
            rejected=self.rejected + other.rejected,
            tls_errors=self.tls_errors + other.tls_errors,
        )


Answer = Literal["request", "other", "own", "odd", "fixed-response", "redirect"]
"""Of `Seen`: every request that was to go to a target group; of these once more what was not answered by 200; an error
that the load balancer answered itself; a request that is not as RFC 7230 has it; a rule's own answer."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A way in which requests end. `counter`: the data plane's name for it. `zone`: of the address that they came to,
    empty for one in no zone. `status`: nought where none is known."""

    load_balancer_arn: str
    zone: str
    target_group_arn: str
    what: Answer
    status: int
    counter: str


def seen_since(seen: Mapping[Seen, int], before: Mapping[Seen, int]) -> dict[Seen, int]:
    """What came on top. Where a number is lower than it was, the data plane has begun anew."""
    new = {each: count - before.get(each, 0) for each, count in seen.items()}
    return {each: count if count >= 0 else seen[each] for each, count in new.items() if count}


def of_requests(counts: GroupCounts, group: TargetGroup, seen: Mapping[Seen, int]) -> GroupCounts:
    """With how requests ended in place of what connections to targets have counted of them."""
    here = {each: count for each, count in seen.items() if each.target_group_arn == group.arn}
    every = sum(count for each, count in here.items() if each.what == "request")
    if group.protocol == "TCP":
        return replace(counts, connections=every)
    own: dict[int, int] = {}
    responses: dict[int, int] = {}
    for each, count in here.items():
        if each.what == "own":
            own[each.status] = own.get(each.status, 0) + count
        sign = {"other": 1, "own": -1}.get(each.what, 0)
        responses[each.status // 100] = responses.get(each.status // 100, 0) + sign * count
    responses[2] = responses.get(2, 0) + every - sum(count for each, count in here.items() if each.what == "other")
    return replace(
        counts,
        requests=every - sum(count for status, count in own.items() if status not in _CHOSEN),
        responses={digit: count for digit, count in responses.items() if digit in (2, 3, 4, 5) and count > 0},
        no_target=own.get(503, 0),
        timeouts=own.get(504, 0),
        resets=own.get(502, 0),
    )


_CHOSEN: Final = frozenset({408, 502, 504})
"""A load balancer's own answers where a target had been chosen."""


def listeners_since(counts: ListenerCounts, before: ListenerCounts | None) -> ListenerCounts:
    """What came on top. Where a number is lower than it was, the data plane has begun anew."""
    if before is None or counts.connections < before.connections:
        return counts
    return ListenerCounts(
        connections=counts.connections - before.connections,
        connections_active=counts.connections_active,
        rejected=max(0, counts.rejected - before.rejected),
        tls_errors=max(0, counts.tls_errors - before.tls_errors),
    )


def since(counts: GroupCounts, before: GroupCounts | None) -> GroupCounts:
    """What came on top. Where a number is lower than it was, the data plane has begun anew: all of it came since."""
    if before is None or counts.requests < before.requests or counts.connections < before.connections:
        return counts
    return GroupCounts(
        requests=counts.requests - before.requests,
        responses=_less(counts.responses, before.responses),
        no_target=max(0, counts.no_target - before.no_target),
        timeouts=max(0, counts.timeouts - before.timeouts),
        resets=max(0, counts.resets - before.resets),
        connect_errors=max(0, counts.connect_errors - before.connect_errors),
        connections=counts.connections - before.connections,
        connections_active=counts.connections_active,
        bytes=max(0, counts.bytes - before.bytes),
        client_resets=max(0, counts.client_resets - before.client_resets),
        target_resets=max(0, counts.target_resets - before.target_resets),
        fail_open=max(0, counts.fail_open - before.fail_open),
        times_ms=_less(counts.times_ms, before.times_ms),
    )


def with_flows(counts: GroupCounts, flows: FlowCounts) -> GroupCounts:
    """What the data plane and the kernel have counted, together."""
    return replace(
        counts,
        connections=counts.connections + max(0, flows.new - flows.lost),
        connections_active=counts.connections_active + flows.active,
        bytes=counts.bytes + flows.bytes,
        client_resets=flows.client_resets,
        target_resets=flows.target_resets,
    )


def flows_since(flows: FlowCounts, before: FlowCounts | None) -> FlowCounts:
    """What came on top. Where a number is lower than it was, counting has begun anew."""
    if before is None or flows.new < before.new or flows.bytes < before.bytes:
        return flows
    return FlowCounts(
        new=flows.new - before.new,
        active=flows.active,
        bytes=flows.bytes - before.bytes,
        client_resets=max(0, flows.client_resets - before.client_resets),
        target_resets=max(0, flows.target_resets - before.target_resets),
        tls_errors=max(0, flows.tls_errors - before.tls_errors),
        lost=max(0, flows.lost - before.lost),
    )


def _less(counts: Mapping[K, int], before: Mapping[K, int]) -> dict[K, int]:
    found = {key: count - before.get(key, 0) for key, count in counts.items()}
    return {key: count for key, count in found.items() if count > 0}


def samples(
    balancer: LoadBalancer, groups: Sequence[tuple[TargetGroup, GroupCounts, Sequence[Target]]], now: datetime
) -> list[Sample]:
    """Of one load balancer, for a minute.

    Args:
        groups: each of its target groups, what was counted in that minute, and its targets.
    """
    if balancer.type == "classic":
        return _of_classic(balancer, groups, now)
    of_balancer = {"LoadBalancer": resource(balancer.arn)}
    found: list[Sample] = []
    if balancer.type == "network" and groups:  # how many flows are open is one number, not one for each group
        every = sum((flows_of(counts) for _, counts, _ in groups), FlowCounts())
        whole = _of_group(balancer, with_flows(GroupCounts(), every))
        found += [_sample(balancer, name, of_balancer, point, now) for name, point in whole]
    for group, counts, targets in groups:
        of_group = of_balancer | {"TargetGroup": resource(group.arn)}
        places = (of_group,) if balancer.type == "network" else (of_balancer, of_group)
        for name, point in _of_group(balancer, counts):
            found += [_sample(balancer, name, each, point, now) for each in places]
        found += [_sample(balancer, *each, now) for each in _of_targets(balancer, of_group, counts, targets)]
    return found


def flows_of(counts: GroupCounts) -> FlowCounts:
    return FlowCounts(
        new=counts.connections,
        active=counts.connections_active,
        bytes=counts.bytes,
        client_resets=counts.client_resets,
        target_resets=counts.target_resets,
    )


def samples_of_clients(
    balancer: LoadBalancer, clients: ListenerCounts, groups: Sequence[GroupCounts], now: datetime
) -> list[Sample]:
    """Of the clients of a load balancer, for a minute.

    Args: clients: what its listeners have counted in it. groups: what its target groups have.
    """
    of_balancer = {"LoadBalancer": resource(balancer.arn)}
    counted: list[tuple[str, int]] = [("ClientTLSNegotiationErrorCount", clients.tls_errors)]
    if balancer.type == "application":
        counted += [
            ("RejectedConnectionCount", clients.rejected),
            ("NewConnectionCount", clients.connections + sum(each.connections for each in groups)),
        ]
        active = clients.connections_active + sum(each.connections_active for each in groups)
        if active:
            counted.append(("ActiveConnectionCount", active))
    elif balancer.type == "classic":
        return []
    return [_sample(balancer, name, of_balancer, _count(count), now) for name, count in counted if count]


Spoken = Literal["TCP", "UDP", "TLS", ""]
"""What the flows of a Network Load Balancer speak; empty where nobody knows."""


def spoken_to(group: TargetGroup, listeners: Iterable[Listener]) -> Spoken:
    """What a proxy is spoken to for a target group, unless that is TCP by one listener and TLS by another.

    Args: listeners: of its load balancer."""
    protocols = {each.protocol for each in listeners if group.arn in forwarded_groups(each.default_action)}
    if "TLS" not in protocols:
        return "TCP"
    return "TLS" if protocols == {"TLS"} else ""


def samples_by_protocol(
    balancer: LoadBalancer, flows: Mapping[Spoken, FlowCounts], now: datetime, zone: str = ""
) -> list[Sample]:
    """Of a Network Load Balancer, or its zone, in a minute: what there was. What may be of one protocol or of another
    makes the numbers of neither known."""
    place = {"LoadBalancer": resource(balancer.arn)} | ({"AvailabilityZone": zone} if zone else {})
    unknown = flows.get("", FlowCounts())
    found: list[Sample] = []
    for spoken in ("TCP", "UDP", "TLS"):
        each = flows.get(spoken)
        if each is None or unknown.new or unknown.active or unknown.bytes:
            continue
        counts = with_flows(GroupCounts(), each)
        points = (
            ("ActiveFlowCount", counts.connections_active, _gauge(counts.connections_active)),
            ("NewFlowCount", counts.connections, _gauge(counts.connections)),
            ("ProcessedBytes", counts.bytes, point_of([(counts.bytes, 1.0)], "Bytes")),
        )
        found += [_sample(balancer, f"{name}_{spoken}", place, point, now) for name, number, point in points if number]
    return found


def samples_of_flows(
    balancer: LoadBalancer, zones: Mapping[str, Mapping[Spoken, FlowCounts]], now: datetime
) -> list[Sample]:
    """Of a Network Load Balancer by zone. Args: zones: what came to each zone's address in the minute."""
    found: list[Sample] = []
    for zone, by_protocol in sorted(zones.items()):
        in_zone = {"LoadBalancer": resource(balancer.arn), "AvailabilityZone": zone}
        flows = sum(by_protocol.values(), FlowCounts())
        counted = [*_of_group(balancer, with_flows(GroupCounts(), flows))]
        if flows.tls_errors:
            counted.append(("ClientTLSNegotiationErrorCount", _count(flows.tls_errors)))
        found += [_sample(balancer, name, in_zone, point, now) for name, point in counted]
        found += samples_by_protocol(balancer, by_protocol, now, zone)
    return found


def samples_of_requests(
    balancer: LoadBalancer, groups: Sequence[TargetGroup], seen: Mapping[Seen, int], now: datetime
) -> list[Sample]:
    """By zone what there is as a whole, and what only the ends of requests tell, of one load balancer.

    Args:
        seen: those of the minute, its own.
    """
    is_classic = balancer.type == "classic"
    whole = {"LoadBalancerName": balancer.name} if is_classic else {"LoadBalancer": resource(balancer.arn)}
    found: list[Sample] = []
    for zone in sorted({each.zone for each in seen}):
        here = {each: count for each, count in seen.items() if each.zone == zone}
        in_zone = whole | {"AvailabilityZone": zone}
        for group in groups if zone else ():
            counts = of_requests(GroupCounts(), group, here)
            of_group = in_zone | {"TargetGroup": resource(group.arn)}
            for name, point in _of_ports(group, counts) if is_classic else _of_group(balancer, counts):
                found.append(_sample(balancer, name, in_zone, point, now))
                if not is_classic and not name.startswith("HTTPCode_ELB_"):
                    found.append(_sample(balancer, name, of_group, point, now))
        for name, count in _of_ends(balancer, here):
            places = (whole, in_zone) if zone else (whole,)
            found += [_sample(balancer, name, each, _count(count), now) for each in places if count]
    return found


def _of_ends(balancer: LoadBalancer, seen: Mapping[Seen, int]) -> Iterator[tuple[str, int]]:
    def number(what: Answer, digit: int | None = None) -> int:
        return sum(n for each, n in seen.items() if each.what == what and digit in (None, each.status // 100))

    yield "DesyncMitigationMode_NonCompliant_Request_Count", number("odd")
    if balancer.type == "classic":
        yield "HTTPCode_ELB_4XX", number("own", 4)
        return
    yield "HTTPCode_ELB_3XX_Count", number("redirect")
    yield "HTTPCode_ELB_4XX_Count", number("own", 4)
    yield "HTTP_Fixed_Response_Count", number("fixed-response")
    yield "HTTP_Redirect_Count", number("redirect")


def _of_group(balancer: LoadBalancer, counts: GroupCounts) -> Iterator[tuple[str, Point]]:
    if balancer.type == "network":
        yield "ActiveFlowCount", _gauge(counts.connections_active)
        yield "NewFlowCount", _gauge(counts.connections)
        yield "ProcessedBytes", point_of([(counts.bytes, 1.0)], "Bytes")
        resets = (("TCP_Client_Reset_Count", counts.client_resets), ("TCP_Target_Reset_Count", counts.target_resets))
        for name, count in resets:
            if count:
                yield name, _count(count)
        return
    if counts.requests:
        yield "RequestCount", _count(counts.requests)
    for digit, count in counts.responses.items():
        if count:
            yield f"HTTPCode_Target_{digit}XX_Count", _count(count)
    for name, count in (
        ("HTTPCode_ELB_5XX_Count", counts.no_target + counts.timeouts + counts.resets),
        ("HTTPCode_ELB_502_Count", counts.resets),
        ("HTTPCode_ELB_503_Count", counts.no_target),
        ("HTTPCode_ELB_504_Count", counts.timeouts),
        ("TargetConnectionErrorCount", counts.connect_errors),
    ):
        if count:
            yield name, _count(count)
    if counts.times_ms:
        times = [(each / 1000, float(count)) for each, count in counts.times_ms.items()]
        yield "TargetResponseTime", point_of(times, "Seconds")


def _of_targets(
    balancer: LoadBalancer, of_group: dict[str, str], counts: GroupCounts, targets: Sequence[Target]
) -> Iterator[tuple[str, dict[str, str], Point]]:
    """Host counts as a whole and by zone, where something is registered; requests by target."""
    registered = [each for each in targets if each.deregistered_at is None]
    counted = [each for each in registered if each.checked != "unknown"]
    for name, state in (("HealthyHostCount", "healthy"), ("UnHealthyHostCount", "unhealthy")) if registered else ():
        yield name, of_group, _gauge(sum(each.checked == state for each in counted))
        for zone in sorted({each.zone for each in counted if each.zone}):
            here = sum(each.checked == state for each in counted if each.zone == zone)
            yield name, of_group | {"AvailabilityZone": zone}, _gauge(here)
    if balancer.type == "application" and counts.fail_open and registered:
        yield "UnhealthyRoutingRequestCount", of_group, _count(counts.fail_open)
    healthy = sum(each.checked == "healthy" for each in counted)
    if balancer.type == "application" and counts.requests and healthy:
        share = point_of([(counts.requests / healthy, 1.0)], "Count")
        yield "RequestCountPerTarget", of_group, share
        yield "RequestCountPerTarget", {"TargetGroup": of_group["TargetGroup"]}, share


def samples_of_health(
    balancer: LoadBalancer, groups: Iterable[tuple[TargetGroup, Sequence[Target]]], now: datetime
) -> list[Sample]:
    """In how many zones each target group of an Application or Network Load Balancer has enough healthy targets, and in
    how many too few, as a whole and by zone."""
    found: list[Sample] = []
    for group, targets in groups if balancer.type != "classic" else ():
        of_group = {"LoadBalancer": resource(balancer.arn), "TargetGroup": resource(group.arn)}
        enabled = [each for each in targets if is_enabled(each, [balancer])]
        for what, action in (("DNS", DNS_FAILOVER), ("Routing", ROUTING)):
            zones = {
                each.zone: has_enough(group, action, within_reach(balancer, group, each.zone, enabled))
                for each in balancer.zones
            }
            for name, state in ((f"HealthyState{what}", True), (f"UnhealthyState{what}", False)):
                several = sum(has is state for has in zones.values())
                found.append(_sample(balancer, name, of_group, _gauge(several), now))
                for zone, has in zones.items():
                    place = of_group | {"AvailabilityZone": zone}
                    found.append(_sample(balancer, name, place, _gauge(int(has is state)), now))
    return found


def _of_classic(
    balancer: LoadBalancer, groups: Sequence[tuple[TargetGroup, GroupCounts, Sequence[Target]]], now: datetime
) -> list[Sample]:
    """Of a Classic Load Balancer: its instances count once, whatever ports lead to them.

    Source: Classic Load Balancer guide, "CloudWatch metrics for your Classic Load Balancer"."""
    name = {"LoadBalancerName": balancer.name}
    found: list[Sample] = []
    zones: dict[str, str] = {}
    states: dict[str, set[str]] = {}
    for group, counts, targets in groups:
        found += [_sample(balancer, metric, name, point, now) for metric, point in _of_ports(group, counts)]
        for target in targets:
            if target.deregistered_at is None and target.checked != "unknown":
                zones[target.id] = target.zone
                states.setdefault(target.id, set()).add(target.checked)
    healthy = {instance for instance, seen in states.items() if seen == {"healthy"}}
    registered = any(each.deregistered_at is None for _, _, targets in groups for each in targets)
    hosts = (("HealthyHostCount", healthy), ("UnHealthyHostCount", states.keys() - healthy)) if registered else ()
    for metric, counted in hosts:
        found.append(_sample(balancer, metric, name, _gauge(len(counted)), now))
        for zone in sorted({each for each in zones.values() if each}):
            here = _gauge(sum(zones[instance] == zone for instance in counted))
            found.append(_sample(balancer, metric, name | {"AvailabilityZone": zone}, here, now))
    return found


def _of_ports(group: TargetGroup, counts: GroupCounts) -> Iterator[tuple[str, Point]]:
    if group.protocol == "TCP":
        if counts.connections:
            yield "RequestCount", _count(counts.connections)
    elif counts.requests:
        yield "RequestCount", _count(counts.requests)
    for digit, count in counts.responses.items():
        if count:
            yield f"HTTPCode_Backend_{digit}XX", _count(count)
    if failed := counts.no_target + counts.timeouts + counts.resets:
        yield "HTTPCode_ELB_5XX", _count(failed)
    if counts.connect_errors:
        yield "BackendConnectionErrors", _count(counts.connect_errors)
    if counts.bytes:
        yield "EstimatedProcessedBytes", point_of([(counts.bytes, 1.0)], "Bytes")
    if counts.times_ms:
        times = [(each / 1000, float(count)) for each, count in counts.times_ms.items()]
        yield "Latency", point_of(times, "Seconds")


def resource(arn: str) -> str:
    """As metrics name it: `app/NAME/ID`, `net/NAME/ID`, `targetgroup/NAME/ID`."""
    return arn.rpartition(":")[2].removeprefix("loadbalancer/")


def _count(count: int) -> Point:
    """So many times 1, as CloudWatch counts events."""
    return point_of([(1.0, float(count))], "Count")


def _gauge(value: int) -> Point:
    return point_of([(float(value), 1.0)], "Count")


def _sample(balancer: LoadBalancer, name: str, dimensions: Mapping[str, str], point: Point, now: datetime) -> Sample:
    metric = MetricName(namespace=NAMESPACES[balancer.type], name=name, dimensions=dimensions_of(dimensions))
    return Sample(metric=metric, at_s=now.timestamp(), point=point)
