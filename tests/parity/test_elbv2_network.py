"""Network Load Balancers as the API has them: checks, attributes and limits of their own."""

from collections.abc import Callable
from typing import Any

import pytest
from served import Served, refusal


@pytest.fixture
def elb(balancing: Served) -> Any:
    return balancing.client("elbv2")


@pytest.fixture
def subnets(balancing: Served) -> list[dict[str, Any]]:
    return list(balancing.client("ec2").describe_subnets()["Subnets"])


@pytest.fixture
def make_group(elb: Any, subnets: list[dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def make(name: str, **more: Any) -> dict[str, Any]:
        wanted = {"Protocol": "TCP", "Port": 80, "VpcId": subnets[0]["VpcId"], "TargetType": "ip", **more}
        return dict(elb.create_target_group(Name=name, **wanted)["TargetGroups"][0])

    return make


def attributes_of(elb: Any, group: dict[str, Any]) -> dict[str, str]:
    shown = elb.describe_target_group_attributes(TargetGroupArn=group["TargetGroupArn"])["Attributes"]
    return {each["Key"]: each["Value"] for each in shown}


def modified(elb: Any, group: dict[str, Any], key: str, value: str) -> Any:
    wanted = [{"Key": key, "Value": value}]
    return elb.modify_target_group_attributes(TargetGroupArn=group["TargetGroupArn"], Attributes=wanted)


@pytest.mark.parametrize(
    ("protocol", "timeout_s", "matcher"),
    [("TCP", 10, None), ("HTTP", 6, {"HttpCode": "200-399"}), ("HTTPS", 10, {"HttpCode": "200-399"})],
)
def test_defaults_of_checks(
    make_group: Callable[..., dict[str, Any]], protocol: str, timeout_s: int, matcher: dict[str, str] | None
) -> None:
    """Timeouts and matchers of checks have AWS's defaults for each protocol."""
    made = make_group("checked", HealthCheckProtocol=protocol)
    assert (made["HealthCheckTimeoutSeconds"], made.get("Matcher")) == (timeout_s, matcher)


def test_what_checks_may_be(make_group: Callable[..., dict[str, Any]]) -> None:
    """Codes up to 599 may count as healthy, and a check may take as long as the interval; other protocols than TCP,
    HTTP and HTTPS are none for checks."""
    made = make_group("all", HealthCheckProtocol="HTTP", Matcher={"HttpCode": "200-599"}, HealthCheckIntervalSeconds=6)
    assert made["Matcher"] == {"HttpCode": "200-599"}
    assert make_group("often", HealthCheckIntervalSeconds=10)["HealthCheckTimeoutSeconds"] == 10
    for wrong, said in (
        ({"HealthCheckProtocol": "HTTP", "Matcher": {"HttpCode": "600"}}, "between '200' and '599'"),
        ({"HealthCheckIntervalSeconds": 9}, "timeout '10' must be smaller than or equal to the interval '9'"),
        ({"HealthCheckProtocol": "UDP"}, "'UDP' must be one of 'HTTP, HTTPS, TCP'"),
    ):
        code, message = refusal(make_group, name="wrong", **wrong)
        assert code == "ValidationError"
        assert said in message


@pytest.mark.parametrize(
    ("protocol", "key", "value", "said"),
    [
        ("TCP", "stickiness.type", "lb_cookie", "Stickiness type 'lb_cookie' is not supported for target groups with"),
        ("HTTP", "stickiness.type", "source_ip", "Stickiness type 'source_ip' is not supported for target groups with"),
        ("TLS", "stickiness.enabled", "true", "You cannot enable stickiness on target groups with the TLS protocol"),
    ],
)
def test_stickiness_that_the_protocol_does_not_have(
    elb: Any, make_group: Callable[..., dict[str, Any]], protocol: str, key: str, value: str, said: str
) -> None:
    """Cookies are for HTTP, source addresses for TCP and UDP, and connections of TLS have none, in AWS's words."""
    group = make_group("sticky", Protocol=protocol)
    code, message = refusal(modified, elb=elb, group=group, key=key, value=value)
    assert code == "InvalidConfigurationRequest"
    assert message.startswith(said)
    for protocol in ("TCP", "UDP"):
        group = make_group(protocol, Protocol=protocol)
        modified(elb, group, "stickiness.type", "source_ip")
        modified(elb, group, "stickiness.enabled", "true")


@pytest.mark.parametrize(
    ("protocol", "ends"), [("TCP", "true"), ("TLS", "true"), ("UDP", "false"), ("TCP_UDP", "false")]
)
def test_whether_connections_end_with_health(
    elb: Any, make_group: Callable[..., dict[str, Any]], protocol: str, ends: str
) -> None:
    """Connections to a target end when it becomes unhealthy, unless that is turned off; where datagrams are involved it
    can not be turned on. Where they go on, a time may be set for which such a target is said to drain."""
    key = "target_health_state.unhealthy.connection_termination.enabled"
    group = make_group("ends", Protocol=protocol)
    assert attributes_of(elb, group)[key] == ends
    modified(elb, group, key, "false")
    assert attributes_of(elb, group)[key] == "false"
    if ends == "true":
        modified(elb, group, key, "true")
    else:
        assert refusal(modified, elb=elb, group=group, key=key, value="true")[0] == "ValidationError"
    draining = "target_health_state.unhealthy.draining_interval_seconds"
    assert attributes_of(elb, group)[draining] == "0"
    if ends == "true":
        refused = refusal(modified, elb=elb, group=group, key=draining, value="10")
        assert refused[0] == "ValidationError"
        assert "only while" in refused[1]
        modified(elb, group, key, "false")
    assert refusal(modified, elb=elb, group=group, key=draining, value="360001")[0] == "ValidationError"
    modified(elb, group, draining, "10")
    assert attributes_of(elb, group)[draining] == "10"


def test_several_groups_share_without_stickiness(
    elb: Any, subnets: list[dict[str, Any]], make_group: Callable[..., dict[str, Any]]
) -> None:
    """A listener may share connections by weights; that a client stays with a group is refused, not ignored."""
    made = elb.create_load_balancer(Name="net", Type="network", Subnets=[subnets[0]["SubnetId"]])["LoadBalancers"][0]
    groups = [{"TargetGroupArn": make_group(name)["TargetGroupArn"], "Weight": 1} for name in ("one", "two")]
    base = {"LoadBalancerArn": made["LoadBalancerArn"], "Protocol": "TCP"}
    shared = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}
    elb.create_listener(**base, Port=1, DefaultActions=[shared])
    sticky = {**shared["ForwardConfig"], "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 60}}
    actions = [{"Type": "forward", "ForwardConfig": sticky}]
    refused = refusal(elb.create_listener, **base, Port=2, DefaultActions=actions)
    assert refused[0] == "ValidationError"
    assert "not supported yet" in refused[1]


def test_limits_of_each_type(elb: Any, subnets: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Network and Application Load Balancers have limits of their own, and do not count for each other's."""
    monkeypatch.setattr("portside.domain.load_balancer_rule.LOAD_BALANCERS_PER_REGION", 1)
    limits = {each["Name"]: each["Max"] for each in elb.describe_account_limits()["Limits"]}
    assert limits["application-load-balancers"] == limits["network-load-balancers"] == "1"
    assert limits["listeners-per-network-load-balancer"] == "50"
    ids = [each["SubnetId"] for each in subnets[:2]]
    elb.create_load_balancer(Name="net", Type="network", Subnets=ids)
    elb.create_load_balancer(Name="app", Subnets=ids)
    for kind in ("network", "application"):
        assert refusal(elb.create_load_balancer, Name="more", Type=kind, Subnets=ids)[0] == "TooManyLoadBalancers"


def test_checks_by_another_protocol(elb: Any, make_group: Callable[..., dict[str, Any]]) -> None:
    """Times and thresholds stay when the protocol of checks changes, and so does the path between HTTP and HTTPS; it is
    gone with TCP."""
    arn = make_group(
        "checked",
        HealthCheckProtocol="HTTP",
        HealthCheckPath="/up",
        HealthCheckIntervalSeconds=15,
        HealthCheckTimeoutSeconds=3,
        HealthyThresholdCount=2,
        HealthCheckPort="81",
        Matcher={"HttpCode": "204"},
    )["TargetGroupArn"]
    paths = []
    for protocol in ("HTTPS", "TCP", "HTTP"):
        (shown,) = elb.modify_target_group(TargetGroupArn=arn, HealthCheckProtocol=protocol)["TargetGroups"]
        assert (shown["HealthCheckIntervalSeconds"], shown["HealthCheckTimeoutSeconds"]) == (15, 3)
        assert (shown["HealthyThresholdCount"], shown["HealthCheckPort"]) == (2, "81")
        paths.append((shown.get("HealthCheckPath"), shown.get("Matcher", {}).get("HttpCode")))
    assert paths == [("/up", "204"), (None, None), ("/", "200-399")]
