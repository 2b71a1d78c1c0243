"""Rendering of Envoy's configuration: what is there, what is not, and each trap on the way."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.balancer.xds import Options, Resources, render
from portside.domain.listener_condition import pattern_regex
from portside.domain.load_balancer import ZoneMapping
from portside.domain.load_balancer_rule import CROSS_ZONE, ROUTING
from portside.domain.record import replace
from portside.domain.target_group_health import has_enough
from portside.testing.balancer_lab import AT, Balancer, fixed, forward, group, hosts, paths, target

OPTIONS = Options(directory=Path("/d"), health_log=Path("/d/health.log"))
G, H = group("g"), group("h")


def web(**more: Any) -> Balancer:
    return Balancer("web", "/run/netns/web", **more)


def rendered(*balancers: Balancer) -> Resources:
    return render([balancer.config() for balancer in balancers], OPTIONS)


def endpoints(resources: Resources) -> list[tuple[str, str]]:
    """(address, health status) of the only cluster."""
    (assignment,) = resources.endpoints.values()
    return [
        (entry["endpoint"]["address"]["socket_address"]["address"], entry.get("health_status", ""))
        for locality in assignment["endpoints"]
        for entry in locality["lb_endpoints"]
    ]


def routes_of(configuration: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the first host, without those that odd and refused requests take."""
    routes = [each for each in configuration["virtual_hosts"][0]["routes"] if each.get("name") != "refused"]
    return [each for each in routes if "dynamic_metadata" not in each["match"]]


def test_empty() -> None:
    """Without load balancers there is nothing at all."""
    assert rendered() == Resources()


def test_rendering_is_json_and_does_not_depend_on_order() -> None:
    """The same load balancers in another order make the same document."""
    one, two = web(scheme="internet-facing", host_address="127.66.1.1"), Balancer("two", "/n", scheme="internet-facing")
    for balancer in (one, two):
        balancer.groups = [replace(G, arn=G.arn + balancer.name)]
        balancer.listen(80, forward(*balancer.groups))
    forth, back = (rendered(*order) for order in ((one, two), (two, one)))
    assert json.dumps(forth.listeners, sort_keys=True) == json.dumps(back.listeners, sort_keys=True)
    assert json.dumps(forth.routes, sort_keys=True) == json.dumps(back.routes, sort_keys=True)


def test_traps_of_a_cluster() -> None:
    """Each setting without which Envoy would behave unlike an Application Load Balancer."""
    balancer = web()
    balancer.groups = [G]
    balancer.listen(80, forward(G))
    (cluster,) = rendered(balancer).clusters.values()
    (check,) = cluster["health_checks"]
    assert check["no_traffic_interval"] == check["interval"]
    assert check["http_health_check"]["expected_statuses"] == [{"start": 200, "end": 201}]
    assert check["http_health_check"]["retriable_statuses"] == [{"start": 100, "end": 200}, {"start": 201, "end": 600}]
    assert cluster["ignore_health_on_host_removal"] is True
    assert cluster["common_lb_config"]["healthy_panic_threshold"]["value"] == 100, "the factor alone decides"
    assert cluster["common_lb_config"]["update_merge_window"] == "0s", "a draining target gets nothing more at once"
    assert cluster["circuit_breakers"]["thresholds"][0]["max_requests"] > 100_000
    bind = cluster["upstream_bind_config"]["source_address"]
    assert (bind["address"], bind["network_namespace_filepath"]) == (balancer.leg, "/run/netns/web")


def test_traps_of_a_listener_and_its_routes() -> None:
    """No limit on a whole answer, silence limited by the idle time-out, nothing of Envoy in headers, retries
    elsewhere."""
    balancer = web(attributes={"idle_timeout.timeout_seconds": "7"})
    balancer.groups = [G]
    balancer.listen(80, forward(G))
    resources = rendered(balancer)
    (listener,) = resources.listeners.values()
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["common_http_protocol_options"]["idle_timeout"] == "7s"
    assert manager["server_header_transformation"] == "PASS_THROUGH"
    assert manager["http_filters"][-1]["typed_config"]["suppress_envoy_headers"] is True
    (configuration,) = resources.routes.values()
    onward = routes_of(configuration)[0]["route"]
    assert (onward["timeout"], onward["idle_timeout"]) == ("0s", "7s")
    assert "reset-before-request" in onward["retry_policy"]["retry_on"]
    assert "x-envoy-external-address" in configuration["request_headers_to_remove"]


def test_rules_come_by_priority_and_the_default_last() -> None:
    """Routes are in the order of priorities, and the default matches whatever is left."""
    balancer = web()
    listener = balancer.listen(80, fixed(404))
    balancer.rule(listener, 20, fixed(202), paths("/b"))
    balancer.rule(listener, 3, fixed(203), hosts("a.b"))
    (configuration,) = rendered(balancer).routes.values()
    routes = routes_of(configuration)
    assert [route["direct_response"]["status"] for route in routes] == [203, 202, 404]
    assert routes[-1]["match"] == {"prefix": "/"}


def test_plain_paths_are_compared_as_text() -> None:
    """A path alone, and one that ends in the only `*`, need no expression; all others do."""
    balancer = web()
    listener = balancer.listen(80, fixed(404))
    patterns = ["/a.b", "/a/*", "*", "/a*b*", "/a?c"]
    for number, pattern in enumerate(patterns):
        balancer.rule(listener, 1 + number, fixed(200), paths(pattern))
    balancer.rule(listener, 9, fixed(200), paths("/a", "/b"))
    (configuration,) = rendered(balancer).routes.values()
    matches = [route["match"] for route in routes_of(configuration)]
    assert matches[:2] == [{"path": "/a.b"}, {"prefix": "/a/"}]
    assert [set(match) for match in matches[2:6]] == [{"safe_regex"}] * 4


def test_weights() -> None:
    """Several groups share by weight, weight 0 gets nothing, and without any weight the answer is 503."""
    balancer = web()
    balancer.groups = [G, H]
    listener = balancer.listen(80, forward(G, H, weights=(3, 1)))
    balancer.rule(listener, 1, forward(G, H, weights=(1, 0)), paths("/one"))
    balancer.rule(listener, 2, forward(G, H, weights=(0, 0)), paths("/none"))
    (configuration,) = rendered(balancer).routes.values()
    one, none, default = routes_of(configuration)
    assert [c["weight"] for c in default["route"]["weighted_clusters"]["clusters"]] == [3, 1]
    assert len(one["route"]["weighted_clusters"]["clusters"]) == 1
    assert none["direct_response"]["status"] == 503


def test_rule_for_a_missing_group_answers_503() -> None:
    """A rule never points to a cluster that Envoy does not have."""
    balancer = web()
    balancer.listen(80, forward(G))
    resources = rendered(balancer)
    assert resources.clusters == {}
    (configuration,) = resources.routes.values()
    assert routes_of(configuration)[0]["direct_response"]["status"] == 503


def test_unused_groups_are_not_checked() -> None:
    """A target group that no rule uses makes no cluster, so its targets get no health checks."""
    balancer = web()
    balancer.groups = [G, H]
    balancer.listen(80, forward(G))
    assert len(rendered(balancer).clusters) == 1


@pytest.mark.parametrize("checked", ["healthy", "unknown", "unhealthy"])
def test_draining_targets_are_shown_only_beside_a_healthy_one(checked: str) -> None:
    """Envoy falls back to draining targets when it finds no healthy one; so it is not told of them then."""
    balancer = web()
    balancer.groups = [G]
    balancer.targets = [
        target(G, "10.0.0.1", checked=checked),
        target(G, "10.0.0.2", checked="healthy", deregistered_at=AT),
        target(G, "10.0.0.3", checked="healthy", deregistered_at=AT, drained_at=AT),
    ]
    balancer.listen(80, forward(G))
    draining = [("10.0.0.2", "DRAINING")] if checked == "healthy" else []
    assert endpoints(rendered(balancer)) == [("10.0.0.1", ""), *draining]


@given(st.data())
def test_envoy_sends_to_all_targets_when_the_group_has_too_few(data: st.DataObject) -> None:
    """For whatever number of targets, healthy, draining, and thresholds: by Envoy's reckoning there are too few
    exactly when there are by the group's."""
    count = data.draw(st.integers(1, 100))
    percentage = data.draw(st.sampled_from(["off", "1", "33", "50", "67", "100"]))
    states = data.draw(st.lists(st.sampled_from(["healthy", "unhealthy", "draining"]), min_size=1, max_size=150))
    asked = replace(G, attributes={f"{ROUTING}.count": str(count), f"{ROUTING}.percentage": percentage})
    balancer = web()
    balancer.groups = [asked]
    balancer.targets = [
        target(asked, f"10.0.0.{n}", checked="healthy", deregistered_at=AT)
        if state == "draining"
        else target(asked, f"10.0.0.{n}", checked=state)
        for n, state in enumerate(states)
    ]
    balancer.listen(80, forward(asked))
    enough = has_enough(asked, ROUTING, balancer.targets)
    resources = rendered(balancer)
    shown = endpoints(resources)
    if not shown:
        assert "healthy" not in states
        return
    (made,) = resources.endpoints.values()
    # source/extensions/load_balancing_policies/common/load_balancer_impl.cc: availability, and panic below 100 %
    healthy = states.count("healthy")
    available = min(100, made["policy"]["overprovisioning_factor"] * healthy // len(shown))
    panics = available < 100 and healthy < len(shown)
    assert panics == (not enough and healthy < len(shown))
    assert enough or all(status == "" for _, status in shown), "nothing goes to draining targets"


def test_a_thousand_targets_of_which_one_is_healthy() -> None:
    """One healthy target is enough by default, among however many."""
    balancer = web()
    balancer.groups = [G]
    balancer.targets = [target(G, f"10.0.{n // 250}.{n % 250}", checked="unhealthy") for n in range(1000)]
    balancer.listen(80, forward(G))
    (made,) = rendered(balancer).endpoints.values()
    assert made["policy"]["overprovisioning_factor"] // 1000 >= 100


def test_zones_of_different_size_share_a_factor() -> None:
    """Where zones keep to themselves a count of more than one is the share that it is of the largest zone; a single
    healthy target is enough in each zone, and for 127.0.0.1, which leads to all."""
    far = ZoneMapping(zone="us-east-1b", subnet_id="t", address="10.0.2.5")
    for count, factor in (("1", 600), ("2", 200)):
        asked = replace(G, attributes={f"{ROUTING}.count": count, CROSS_ZONE: "false"})
        balancer = web(further_zones=(far,))
        balancer.groups = [asked]
        zones = ["us-east-1a"] * 4 + ["us-east-1b"] * 2
        balancer.targets = [target(asked, f"10.0.0.{n}", zone=zone, checked="healthy") for n, zone in enumerate(zones)]
        balancer.listen(80, forward(asked))
        (made,) = rendered(balancer).endpoints.values()
        assert made["policy"]["overprovisioning_factor"] == factor


def test_health_check_port() -> None:
    """A port of its own is where the checks go; the requests go to the target's."""
    g = replace(G, health_check=replace(G.health_check, port="9000"))
    balancer = web()
    balancer.groups, balancer.targets = [g], [target(g, "10.0.0.1", 8080)]
    balancer.listen(80, forward(g))
    (assignment,) = rendered(balancer).endpoints.values()
    endpoint = assignment["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    assert endpoint["address"]["socket_address"]["port_value"] == 8080
    assert endpoint["health_check_config"] == {"hostname": "10.0.0.1:9000", "port_value": 9000}


def test_only_internet_facing_ones_are_on_the_host() -> None:
    """An internal load balancer listens in its namespace only; the others also on the host, without sharing ports."""
    inner, outer = web(), Balancer("outer", "/n", scheme="internet-facing", host_address="127.66.1.1")
    for balancer in (inner, outer):
        balancer.listen(80, fixed(200))
    resources = rendered(inner, outer)
    assert sorted(resources.host_bindings.values()) == [(("127.0.0.1", 80),), (("127.66.1.1", 80),)]
    for name in resources.host_bindings:
        assert resources.listeners[name]["enable_reuse_port"] is False


def test_shared_port_tells_balancers_by_name() -> None:
    """Each has its DNS name and the host names that only its rules have; a name that two claim is nobody's."""
    one, two = (Balancer(name, "/n", scheme="internet-facing") for name in ("one", "two"))
    one.rule(one.listen(80, fixed(200)), 1, fixed(200), hosts("only.one", "*.both.example", "a?b.c"))
    two.rule(two.listen(80, fixed(200)), 1, fixed(200), hosts("*.both.example"))
    configuration = rendered(one, two).routes["shared_80"]
    domains = [virtual_host["domains"] for virtual_host in configuration["virtual_hosts"]]
    assert domains == [[one.record.dns_name, "only.one"], [two.record.dns_name], ["*"]]


@given(st.text(alphabet="ab/.*?+[(", max_size=12), st.text(alphabet="ab/.+[(", max_size=12))
def test_patterns_match_as_globs(pattern: str, text: str) -> None:
    """`*` is any run of characters and `?` any one; everything else stands for itself."""

    def matches(p: str, t: str) -> bool:
        if not p:
            return not t
        if p[0] == "*":
            return matches(p[1:], t) or (bool(t) and matches(p, t[1:]))
        return bool(t) and (p[0] == "?" or p[0] == t[0]) and matches(p[1:], t[1:])

    assert bool(re.fullmatch(pattern_regex(pattern), text)) == matches(pattern, text)
