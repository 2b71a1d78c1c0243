"""What `portside service` is told of a service."""

from datetime import datetime

import pytest
from test_scheduler import NOW, deployment, service, task

from portside.api.portside.scheduled_service import answer
from portside.domain.load_balancer import Listener, LoadBalancer, TargetGroup, ZoneMapping
from portside.domain.record import replace
from portside.domain.table import LISTENER, LOAD_BALANCER, SERVICE, TARGET, TARGET_GROUP, TASK
from portside.domain.task.record import TargetRef
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.testing.balancer_lab import AT, forward, group, target


class Clock:
    def now(self) -> datetime:
        return NOW


def balancer(of: TargetGroup) -> tuple[LoadBalancer, Listener]:
    """An active one in one zone, and its listener to the group."""
    zone = ZoneMapping(zone="us-east-1a", subnet_id="subnet-1", address="10.9.9.9")
    arn = of.arn.replace("targetgroup", "loadbalancer/app")
    made = LoadBalancer(
        scope=of.scope,
        arn=arn,
        name="web",
        vpc_id=of.vpc_id,
        dns_name="web.localhost",
        scheme="internal",
        state="active",
        zones=(zone,),
        created_at=AT,
    )
    listener = Listener(
        scope=of.scope,
        arn=f"{arn.replace('loadbalancer', 'listener')}/1",
        load_balancer_arn=arn,
        protocol="HTTP",
        port=80,
        default_action=forward(of),
        created_at=AT,
    )
    return made, listener


@pytest.mark.parametrize(
    ("is_used", "zone", "checked", "state"),
    [
        (False, "us-east-1a", "unknown", "unused"),
        (True, "us-east-1a", "unknown", "initial"),
        (True, "us-east-1b", "unknown", "unused"),
        (True, "us-east-1a", "healthy", "healthy"),
        (True, "us-east-1a", "unhealthy", "unhealthy"),
    ],
)
def test_targets_are_as_their_health_is_described(is_used: bool, zone: str, checked: str, state: str) -> None:
    """In a group that no load balancer leads to, and in a zone that it has not, a target is unused."""
    one = task(1)
    assert one.eni is not None
    of = replace(group("web"), scope=one.scope)
    ref = TargetRef(target_group_arn=of.arn, container_name="main", container_port=80)
    made = service(1, replace(deployment(), targets=(ref,)))
    registered = target(of, one.eni.address, 80, zone=zone, checked=checked, scope=one.scope)
    store = MemoryStore()
    store.transact(
        *(Put(SERVICE, made), Put(TASK, replace(one, targets=(ref,))), Put(TARGET_GROUP, of), Put(TARGET, registered))
    )
    if is_used:
        first, listener = balancer(of)
        store.transact(Put(LOAD_BALANCER, first), Put(LISTENER, listener))
    status, found = answer(store, Clock(), made.name)  # type: ignore[arg-type]
    assert status == 200
    assert found["createdAt"] == made.created_at.isoformat()
    assert [each["targets"] for each in found["deployments"][0]["tasks"]] == [[state]]
