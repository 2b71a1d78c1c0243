"""Load balancers as they stand: listeners, rules in their order, targets with their health, and what was counted: the
extension behind `portside lb`."""

from collections.abc import Mapping
from typing import Any

from portside.api.elbv2 import lookup, wire
from portside.domain import load_balancer_rule as rule
from portside.domain.load_balancer import Listener, LoadBalancer, TargetGroup
from portside.domain.load_balancer_metric import GroupCounts
from portside.domain.metric import point_of, statistic
from portside.domain.table import LOAD_BALANCER, RULE, TARGET
from portside.store.interface import Store


def document(
    store: Store, counts: Mapping[tuple[str, str], GroupCounts], hits: Mapping[str, int], name: str = ""
) -> tuple[int, dict[str, Any]]:
    """HTTP status and document.

    Args:
        counts: what the data plane has counted since it began.
        hits: how often each rule was gone by, likewise; the default rule under its listener's ARN.
        name: only load balancers of this name.

    Returns: {"loadBalancers": [{"name", "arn", "type", "scheme", "state", "dnsName", "listeners": [{"arn",
        "protocol", "port", "rules": [in AWS's shapes, with "hits"]}], "targetGroups": [{"name", "arn", "protocol",
        "port", "targets": [{"id", "port", "zone", "state", "reason", "description", "checkedAt"}], "counted"}]}]};
        {"error": ...} with 404 for a name that none has.
    """
    found = [each for each in store.scan(LOAD_BALANCER) if not name or each.name == name]
    if name and not found:
        return 404, {"error": f"there is no load balancer {name}"}
    return 200, {"loadBalancers": [_balancer(store, each, counts, hits) for each in found]}


def _balancer(
    store: Store, balancer: LoadBalancer, counts: Mapping[tuple[str, str], GroupCounts], hits: Mapping[str, int]
) -> dict[str, Any]:
    listeners = sorted(lookup.listeners_of(store, balancer.arn), key=lambda each: each.port)
    groups = lookup.groups_of(store, balancer, listeners)
    return {
        "name": balancer.name,
        "arn": balancer.arn,
        "type": balancer.type,
        "scheme": balancer.scheme,
        "state": balancer.state,
        "dnsName": balancer.dns_name,
        "listeners": [_listener(store, each, hits) for each in listeners],
        "targetGroups": [_group(store, balancer, each, counts.get((balancer.arn, each.arn))) for each in groups],
    }


def _listener(store: Store, listener: Listener, hits: Mapping[str, int]) -> dict[str, Any]:
    rules = rule.in_order(store.find(RULE, "listener", listener.arn))
    return {
        "arn": listener.arn,
        "protocol": listener.protocol,
        "port": listener.port,
        "rules": [
            *(wire.rule_to(each) | {"hits": hits.get(each.arn)} for each in rules),
            wire.default_rule_to(listener) | {"hits": hits.get(listener.arn)},
        ],
    }


def _group(store: Store, balancer: LoadBalancer, group: TargetGroup, counts: GroupCounts | None) -> dict[str, Any]:
    targets = []
    for target in store.find(TARGET, "target_group", group.arn):
        health = rule.target_health(target, [balancer])
        targets.append(
            {
                "id": target.id,
                "port": target.port,
                "zone": target.zone,
                "state": health.state.value,
                "reason": health.reason,
                "description": health.description,
                "checkedAt": target.checked_at.isoformat() if target.checked_at else None,
            }
        )
    return {
        "name": group.name,
        "arn": group.arn,
        "protocol": group.protocol,
        "port": group.port,
        "targets": targets,
        "counted": _counted(counts) if counts is not None else None,
    }


def _counted(counts: GroupCounts) -> dict[str, Any]:
    times = point_of((each, float(count)) for each, count in counts.times_ms.items())
    return {
        "requests": counts.requests,
        "responses": {f"{digit}xx": count for digit, count in counts.responses.items()},
        "noTarget": counts.no_target,
        "timeouts": counts.timeouts,
        "resets": counts.resets,
        "connectErrors": counts.connect_errors,
        "connections": counts.connections,
        "openConnections": counts.connections_active,
        "bytes": counts.bytes,
        "p50Ms": statistic(times, "p50"),
        "p99Ms": statistic(times, "p99"),
    }
