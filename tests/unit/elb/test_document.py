"""What `portside lb` is told of a Classic Load Balancer."""

from datetime import UTC, datetime

from portside.api.portside.load_balancer import document
from portside.domain import classic_load_balancer_rule as rule
from portside.domain.classic_load_balancer import (
    ClassicHealthCheck,
    ClassicInstance,
    ClassicListener,
    ClassicLoadBalancer,
)
from portside.domain.load_balancer import LoadBalancer
from portside.domain.record import Scope, replace
from portside.domain.table import LISTENER, LOAD_BALANCER, TARGET, TARGET_GROUP
from portside.store.interface import Put
from portside.store.memory import MemoryStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCOPE = Scope(account="000000000000", region="us-east-1")
ARN = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/classic/web/0123456789abcdef"
WEB = ClassicLoadBalancer(
    scope=SCOPE,
    name="web",
    load_balancer_arn=ARN,
    listeners=(
        ClassicListener(protocol="HTTP", port=80, instance_protocol="HTTP", instance_port=8080),
        ClassicListener(protocol="TCP", port=5432, instance_protocol="TCP", instance_port=5432),
    ),
    health_check=ClassicHealthCheck(protocol="TCP", port=8080),
    created_at=NOW,
)


def test_document() -> None:
    """Its listeners lead to ports of its instances, each instance with its health at each port."""
    store = MemoryStore()
    plane = LoadBalancer(
        scope=SCOPE,
        arn=ARN,
        name="web",
        type="classic",
        dns_name="web-1.us-east-1.elb.localhost",
        vpc_id="vpc-1",
        zones=(),
        created_at=NOW,
    )
    listeners, groups = rule.plane(WEB)
    instance = ClassicInstance(id="i-1", address="10.0.0.9", zone="us-east-1a", registered_at=NOW)
    targets = [replace(each, checked="healthy", checked_at=NOW) for each in rule.targets_of(instance, groups)]
    store.transact(
        Put(LOAD_BALANCER, plane),
        *(Put(LISTENER, each) for each in listeners),
        *(Put(TARGET_GROUP, each) for each in groups),
        *(Put(TARGET, each) for each in targets),
    )
    status, answer = document(store, {}, {}, "web")
    (shown,) = answer["loadBalancers"]
    assert (status, shown["type"]) == (200, "classic")
    assert [(each["protocol"], each["port"]) for each in shown["listeners"]] == [("HTTP", 80), ("TCP", 5432)]
    assert {each["name"] for each in shown["targetGroups"]} == {"web:8080", "web:5432"}
    assert [(each["id"], each["state"]) for group in shown["targetGroups"] for each in group["targets"]] == [
        ("i-1", "healthy"),
        ("i-1", "healthy"),
    ]
