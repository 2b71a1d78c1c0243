"""What is asked of a load balancer's rules, and what cannot be answered."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from portside.api.ec2.default_network import ensure_default_network
from portside.api.ec2.service import ec2_service
from portside.api.elbv2.service import elbv2_service
from portside.api.portside import listener_route
from portside.control.clock import RandomIds, SystemClock
from portside.domain.record import Scope
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")
FIXED = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]


@pytest.fixture
def store(serve: Callable[..., Any]) -> MemoryStore:
    """With one load balancer, `web`, whose listener on port 8080 leads requests with X-A to a target group."""
    store, clock, ids = MemoryStore(), SystemClock(), RandomIds()
    ensure_default_network(store, clock, ids, SCOPE)
    served = serve([ec2_service(store, clock, ids), elbv2_service(store, clock, ids)])
    elb = served.client("elbv2")
    subnets = served.client("ec2").describe_subnets()["Subnets"][:2]
    made = elb.create_load_balancer(Name="web", Subnets=[each["SubnetId"] for each in subnets])
    group = elb.create_target_group(Name="app", Protocol="HTTP", Port=80, VpcId=subnets[0]["VpcId"], TargetType="ip")[
        "TargetGroups"
    ][0]["TargetGroupArn"]
    elb.register_targets(TargetGroupArn=group, Targets=[{"Id": "172.31.0.9", "Port": 80}])
    listener = elb.create_listener(
        LoadBalancerArn=made["LoadBalancers"][0]["LoadBalancerArn"], Protocol="HTTP", Port=8080, DefaultActions=FIXED
    )["Listeners"][0]["ListenerArn"]
    elb.create_rule(
        ListenerArn=listener,
        Priority=5,
        Conditions=[{"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-A", "RegexValues": ["^1+$"]}}],
        Actions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    elb.create_rule(
        ListenerArn=listener,
        Priority=9,
        Conditions=[{"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-B", "RegexValues": ["(a+)+$"]}}],
        Actions=FIXED,
    )
    return store


def ask(store: MemoryStore, url: str = "/", **more: Any) -> tuple[int, Any]:
    asked = {"name": "web", "method": "GET", "url": url, **more}
    return asyncio.run(listener_route.answer(store, json.dumps(asked).encode()))


def test_target_groups(store: MemoryStore) -> None:
    """Where a request is forwarded to, with how many targets are healthy; any one of a header's values will do."""
    code, document = ask(store, headers=[["x-a", "2"], ["X-A", "11"]])
    assert (code, document["rule"]["Priority"]) == (200, "5")
    (group,) = document["targetGroups"]
    assert {name: group[name] for name in ("name", "weight", "healthy", "targets")} == {
        "name": "app",
        "weight": 1,
        "healthy": 0,
        "targets": 1,
    }
    assert ask(store)[1]["rule"]["Priority"] == "default"


def test_path_alone(store: MemoryStore, serve: Callable[..., Any]) -> None:
    """With several listeners a path alone comes to that of HTTP's or HTTPS's usual port, else to the lowest."""
    elb = serve([elbv2_service(store, SystemClock(), RandomIds())]).client("elbv2")
    balancer = elb.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
    for added, comes_to in ((9000, 8080), (7000, 7000), (80, 80)):
        elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=added, DefaultActions=FIXED)
        assert ask(store, "/a")[1]["listener"]["port"] == comes_to


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("/", {"name": "other"}, "there is no load balancer other"),
        ("ftp://a/", {}, "ftp://a/ is not an http or https URL, and no path"),
        ("http://a/", {}, "web has no listener on port 80; those it has: HTTP 8080"),
        ("https://a:8080/", {}, "the listener on port 8080 speaks HTTP, not HTTPS"),
        ("/a b", {}, "a URL has up to 8192 printable characters of ASCII, and no spaces"),
        ("/", {"method": "A B"}, "A B is not a method"),
        ("/", {"method": "TRACE"}, "TRACE is answered with 405 before any rule is looked at"),
        ("/", {"from": "here"}, "the client's address: Expected 4 octets in 'here'"),
        ("/", {"headers": 1}, "name, method, url, headers and from are asked for, as JSON"),
        (
            "/",
            {"headers": [["x-b", "a" * 40 + "b"]]},
            "the regular expressions take too long to try here; the load balancer's own engine does not",
        ),
    ],
)
def test_what_cannot_be_answered(store: MemoryStore, url: str, more: dict[str, Any], said: str) -> None:
    """The answer says what is wrong; an expression that would take for ever is given up."""
    code, document = ask(store, url, **more)
    assert code in (400, 404)
    assert document == {"error": said}
