"""Everything that is wrong now, why, and what to do: behind `portside problems` and the console's page."""

from collections.abc import Iterable
from typing import Any

from portside.api.elbv2 import lookup
from portside.domain import problem, user_data
from portside.domain.clock import Clock
from portside.domain.instance import Instance, InstanceState
from portside.domain.load_balancer import Target
from portside.domain.problem import Problem
from portside.domain.service import scheduler, why
from portside.domain.service.record import Service
from portside.domain.service.why import TargetKey
from portside.domain.table import (
    ALARM,
    CERTIFICATE,
    CLUSTER,
    CONTAINER_INSTANCE,
    EVENT_DELIVERY,
    INSTANCE,
    LOAD_BALANCER,
    NOTIFICATION,
    SERVICE,
    SUBSCRIPTION,
    TARGET,
    TASK,
)
from portside.domain.topic import Notification
from portside.store.interface import Store

MACHINE_MEND = "Free some space or give more; `portside doctor` looks at the machine as a whole."
ENVOY_MEND = "`portside doctor` tells what of Envoy is missing; the daemon's log (`portside logs`) what it said."


def document(
    store: Store,
    clock: Clock,
    machine: Iterable[str] = (),
    balancer: str = "",
    taken: Iterable[tuple[str, int]] = (),
) -> dict[str, Any]:
    """
    Args:
        machine: what is nearly full or lost, in sentences.
        balancer: what Envoy lacks, in a sentence.
        taken: addresses and ports on this machine that load balancers are to have and something else has.

    Returns: {"problems": [{"severity", "kind", "account", "region", "cluster", "name", "what", "why", "mend",
        "since"}]}, the worst first, times in ISO 8601.
    """
    found = [_of_machine(each, MACHINE_MEND) for each in machine]
    if balancer:
        found.append(_of_machine(balancer, ENVOY_MEND, severity="error"))
    found += (problem.of_taken_place(*each) for each in taken)
    found += problem.of_tasks(store.scan(TASK))
    found += (each for task in store.scan(TASK) for each in problem.of_lost_output(task))
    found += (each for service in store.scan(SERVICE) if (each := _of_service(store, clock, service)) is not None)
    for made in store.scan(LOAD_BALANCER):
        groups = lookup.groups_of(store, made, lookup.listeners_of(store, made.arn))
        targets = ((group, store.find(TARGET, "target_group", group.arn)) for group in groups)
        found += problem.of_balancer(made, list(targets))
    now = clock.now()
    for possible in (
        *(problem.of_alarm(each) for each in store.scan(ALARM)),
        *(problem.of_container_instance(each) for each in store.scan(CONTAINER_INSTANCE)),
        *(_of_instance(store, each) for each in store.scan(INSTANCE)),
        *(problem.of_delivery(each) for each in store.scan(EVENT_DELIVERY)),
        *(problem.of_notification(each, _endpoint(store, each)) for each in store.scan(NOTIFICATION)),
        *(problem.of_certificate(each, now=now) for each in store.scan(CERTIFICATE)),
    ):
        if possible is not None:
            found.append(possible)
    return {"problems": [_to(each) for each in problem.in_order(found)]}


def _of_instance(store: Store, instance: Instance) -> Problem | None:
    if instance.state is not InstanceState.RUNNING or instance.registered:
        return None
    wanted = user_data.configuration(instance.user_data).cluster
    cluster = store.get(CLUSTER, f"{instance.scope.prefix}{wanted}")
    if wanted == user_data.DEFAULT_CLUSTER or (cluster is not None and cluster.status == "ACTIVE"):
        return None
    return problem.of_waiting_instance(instance, wanted)


def _endpoint(store: Store, notification: Notification) -> str:
    key = f"{notification.scope.prefix}{notification.topic}/{notification.subscription}"
    found = store.get(SUBSCRIPTION, key)
    return found.shown_endpoint if found is not None else "Its subscriber"


def _of_machine(said: str, mend: str, *, severity: problem.Severity = "warning") -> Problem:
    return Problem(severity=severity, kind="machine", what=said[:1].upper() + said[1:], why="", mend=mend)


def _of_service(store: Store, clock: Clock, service: Service) -> Problem | None:
    if service.status == "INACTIVE":
        return None
    targets: dict[TargetKey, Target] = {
        (each.target_group_arn, each.id, each.port): each
        for group in scheduler.target_group_arns(service)
        for each in store.find(TARGET, "target_group", group)
    }
    reason = why.blocked(service, store.find(TASK, "service", service.key), targets, now=clock.now())
    return problem.of_service(service, reason)


def _to(found: Problem) -> dict[str, Any]:
    return {
        "severity": found.severity,
        "kind": found.kind,
        "account": found.account,
        "region": found.region,
        "cluster": found.cluster,
        "name": found.name,
        "what": found.what,
        "why": found.why,
        "mend": found.mend,
        "since": found.since.isoformat() if found.since else None,
    }
