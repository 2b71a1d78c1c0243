"""Elastic Load Balancing through boto3 and the aws command: shapes, errors, idempotency."""

import base64
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import Served


@pytest.fixture
def elb(balancing: Served) -> Any:
    return balancing.client("elbv2")


@pytest.fixture
def subnets(balancing: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = balancing.client("ec2").describe_subnets()["Subnets"]
    return sorted(found, key=lambda subnet: subnet["AvailabilityZone"])


@pytest.fixture
def balancer(elb: Any, subnets: list[dict[str, Any]]) -> dict[str, Any]:
    return make_balancer(elb, subnets)


@pytest.fixture
def group(elb: Any, subnets: list[dict[str, Any]]) -> dict[str, Any]:
    return make_group(elb, subnets)


def make_balancer(elb: Any, subnets: list[dict[str, Any]], name: str = "web", **more: Any) -> dict[str, Any]:
    ids = [subnet["SubnetId"] for subnet in subnets[:2]]
    made: dict[str, Any] = elb.create_load_balancer(Name=name, Subnets=ids, **more)["LoadBalancers"][0]
    return made


def make_group(elb: Any, subnets: list[dict[str, Any]], name: str = "web", **more: Any) -> dict[str, Any]:
    settings = {"Protocol": "HTTP", "Port": 80, "VpcId": subnets[0]["VpcId"], "TargetType": "ip", **more}
    made: dict[str, Any] = elb.create_target_group(Name=name, **settings)["TargetGroups"][0]
    return made


def forward(group: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}]


def path(*values: str) -> list[dict[str, Any]]:
    return [{"Field": "path-pattern", "Values": list(values)}]


FIXED = [
    {
        "Type": "fixed-response",
        "FixedResponseConfig": {"StatusCode": "404", "ContentType": "text/plain", "MessageBody": "no"},
    }
]


def make_listener(elb: Any, balancer: dict[str, Any], actions: list[dict[str, Any]], port: int = 80) -> dict[str, Any]:
    made: dict[str, Any] = elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=port, DefaultActions=actions
    )["Listeners"][0]
    return made


def error_of(call: Callable[..., Any], **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def test_load_balancer_has_aws_shape(elb: Any, balancer: dict[str, Any], subnets: list[dict[str, Any]]) -> None:
    """A new load balancer is described with its ARN, DNS name, zones, default security group, and as provisioning."""
    (shown,) = elb.describe_load_balancers(Names=["web"])["LoadBalancers"]
    assert shown == balancer
    assert shown["LoadBalancerArn"].startswith(
        "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/"
    )
    name, _, rest = shown["DNSName"].partition(".")
    assert name.startswith("web-")
    assert len(name.rpartition("-")[2]) == 10
    assert rest == "us-east-1.elb.localhost"
    assert shown["State"] == {"Code": "provisioning"}
    assert [zone["ZoneName"] for zone in shown["AvailabilityZones"]] == ["us-east-1a", "us-east-1b"]
    assert len(shown["SecurityGroups"]) == 1
    assert (shown["Scheme"], shown["Type"], shown["IpAddressType"]) == ("internet-facing", "application", "ipv4")


def test_creation_is_idempotent_by_name(elb: Any, balancer: dict[str, Any], subnets: list[dict[str, Any]]) -> None:
    """The same name with the same settings is the same load balancer; with others it is a conflict."""
    assert make_balancer(elb, subnets)["LoadBalancerArn"] == balancer["LoadBalancerArn"]
    code, status, message = error_of(
        elb.create_load_balancer, Name="web", Subnets=[s["SubnetId"] for s in subnets[1:3]]
    )
    assert (code, status) == ("DuplicateLoadBalancerName", 400)
    assert message == "A load balancer with the same name 'web' exists, but with different settings"


def test_load_balancer_needs_two_zones(elb: Any, subnets: list[dict[str, Any]]) -> None:
    """One subnet is too few, an unknown one is not found, and unknown security groups are refused."""
    one = [subnets[0]["SubnetId"]]
    assert error_of(elb.create_load_balancer, Name="x", Subnets=one) == (
        "ValidationError",
        400,
        "At least two subnets in two different Availability Zones must be specified",
    )
    both = [subnet["SubnetId"] for subnet in subnets[:2]]
    assert error_of(elb.create_load_balancer, Name="x", Subnets=[*one, "subnet-0"])[0] == "SubnetNotFound"
    assert error_of(elb.create_load_balancer, Name="x", Subnets=both, SecurityGroups=["sg-0"])[:2] == (
        "InvalidSecurityGroup",
        400,
    )
    assert error_of(elb.create_load_balancer, Name="-x", Subnets=both)[0] == "ValidationError"
    assert error_of(elb.create_load_balancer, Name="x" * 33, Subnets=both)[0] == "ValidationError"
    assert error_of(elb.create_load_balancer, Name="x", Subnets=both, Type="gateway")[0] == "OperationNotPermitted"
    assert elb.describe_load_balancers()["LoadBalancers"] == []


def test_what_is_not_there_is_not_found(elb: Any, balancer: dict[str, Any]) -> None:
    """Unknown ARNs and names get each resource's own error; deleting what is gone succeeds."""
    gone = balancer["LoadBalancerArn"][:-4] + "0000"
    assert error_of(elb.describe_load_balancers, LoadBalancerArns=[gone]) == (
        "LoadBalancerNotFound",
        400,
        "One or more load balancers not found",
    )
    assert error_of(elb.describe_load_balancers, Names=["no"])[2] == "Load balancers '[no]' not found"
    assert error_of(elb.describe_target_groups, Names=["no"])[:2] == ("TargetGroupNotFound", 400)
    assert error_of(elb.describe_listeners, LoadBalancerArn=gone)[0] == "LoadBalancerNotFound"
    assert error_of(elb.delete_listener, ListenerArn=gone)[0] == "ValidationError"
    listener = gone.replace("loadbalancer/", "listener/") + "/0123456789abcdef"
    assert error_of(elb.delete_listener, ListenerArn=listener)[0] == "ListenerNotFound"
    elb.delete_load_balancer(LoadBalancerArn=gone)
    elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    assert elb.describe_load_balancers()["LoadBalancers"] == []


def test_arn_of_another_kind_is_said_to_be_none(elb: Any, balancer: dict[str, Any], group: dict[str, Any]) -> None:
    """An ARN that is none, or one of something else, is not a valid one, for those who describe and who delete, too."""
    balancer_arn, group_arn = balancer["LoadBalancerArn"], group["TargetGroupArn"]
    for call, wrong, what in (
        (partial(elb.describe_load_balancers, LoadBalancerArns=[balancer_arn, group_arn]), group_arn, "load balancer"),
        (partial(elb.delete_load_balancer, LoadBalancerArn="site"), "site", "load balancer"),
        (partial(elb.describe_target_groups, TargetGroupArns=[balancer_arn]), balancer_arn, "target group"),
        (partial(elb.delete_target_group, TargetGroupArn=balancer_arn), balancer_arn, "target group"),
        (partial(elb.describe_listeners, ListenerArns=[balancer_arn]), balancer_arn, "listener"),
        (partial(elb.describe_rules, RuleArns=[balancer_arn]), balancer_arn, "listener rule"),
    ):
        assert error_of(call) == ("ValidationError", 400, f"'{wrong}' is not a valid {what} ARN")
    assert elb.describe_load_balancers(LoadBalancerArns=[balancer_arn])["LoadBalancers"]


def test_limits_come_in_pages(elb: Any) -> None:
    """Pages of account limits, put together, are the whole list; a marker that is none is refused."""
    whole = elb.describe_account_limits()["Limits"]
    first = elb.describe_account_limits(PageSize=len(whole) - 1)
    rest = elb.describe_account_limits(Marker=first["NextMarker"])
    assert first["Limits"] + rest["Limits"] == whole
    assert "NextMarker" not in rest
    before_the_first = base64.urlsafe_b64encode(b"-1").decode()
    assert error_of(elb.describe_account_limits, Marker=before_the_first)[0] == "ValidationError"


def test_attributes_are_kept_or_refused(elb: Any, balancer: dict[str, Any], group: dict[str, Any]) -> None:
    """What has an effect can be set, what has none yet is accepted with its default only, and nonsense is refused."""
    arn = balancer["LoadBalancerArn"]
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=arn,
        Attributes=[
            {"Key": "idle_timeout.timeout_seconds", "Value": "120"},
            {"Key": "deletion_protection.enabled", "Value": "true"},
            {"Key": "routing.http2.enabled", "Value": "true"},
        ],
    )
    answer = elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    shown = {item["Key"]: item["Value"] for item in answer}
    assert shown["idle_timeout.timeout_seconds"] == "120"
    assert shown["access_logs.s3.enabled"] == "false"
    assert error_of(elb.delete_load_balancer, LoadBalancerArn=arn)[0] == "OperationNotPermitted"
    for key, value in (("zonal_shift.config.enabled", "true"), ("idle_timeout.timeout_seconds", "0"), ("no.such", "1")):
        call = elb.modify_load_balancer_attributes
        assert error_of(call, LoadBalancerArn=arn, Attributes=[{"Key": key, "Value": value}])[0] == "ValidationError"
    group_arn = group["TargetGroupArn"]
    elb.modify_target_group_attributes(
        TargetGroupArn=group_arn, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}]
    )
    answer = elb.describe_target_group_attributes(TargetGroupArn=group_arn)["Attributes"]
    assert {"Key": "deregistration_delay.timeout_seconds", "Value": "5"} in answer
    for key, value in (("stickiness.type", "source_ip"), ("deregistration_delay.timeout_seconds", "3601")):
        call = elb.modify_target_group_attributes
        assert error_of(call, TargetGroupArn=group_arn, Attributes=[{"Key": key, "Value": value}])[1] == 400


def test_target_group_shape_defaults_and_rules(elb: Any, group: dict[str, Any], subnets: list[dict[str, Any]]) -> None:
    """A target group has AWS's health check defaults; other settings under its name conflict; bad ones are refused."""
    assert group["HealthCheckIntervalSeconds"] == 30
    assert group["HealthCheckTimeoutSeconds"] == 5
    assert (group["HealthyThresholdCount"], group["UnhealthyThresholdCount"]) == (5, 2)
    assert (group["Matcher"], group["HealthCheckPort"], group["HealthCheckPath"]) == (
        {"HttpCode": "200"},
        "traffic-port",
        "/",
    )
    assert make_group(elb, subnets)["TargetGroupArn"] == group["TargetGroupArn"]
    vpc = subnets[0]["VpcId"]
    base = {"Name": "other", "Protocol": "HTTP", "Port": 80, "VpcId": vpc, "TargetType": "ip"}
    assert error_of(elb.create_target_group, **{**base, "Name": "web", "Port": 81})[0] == "DuplicateTargetGroupName"
    for wrong in (
        {"TargetType": "lambda"},
        {"Protocol": "QUIC"},
        {"HealthCheckProtocol": "TCP"},
        {"Protocol": "TCP", "ProtocolVersion": "HTTP1"},
        {"Protocol": "TCP", "HealthCheckPath": "/"},
        {"HealthCheckIntervalSeconds": 4},
        {"HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 5},
        {"Matcher": {"HttpCode": "199"}},
        {"Matcher": {"HttpCode": "200-"}},
        {"HealthCheckPath": "health"},
        {"HealthCheckPort": "http"},
        {"VpcId": "vpc-0"},
    ):
        assert error_of(elb.create_target_group, **{**base, **wrong})[:2] == ("ValidationError", 400), wrong
    modified = elb.modify_target_group(TargetGroupArn=group["TargetGroupArn"], Matcher={"HttpCode": "200-299,302"})
    assert modified["TargetGroups"][0]["Matcher"] == {"HttpCode": "200-299,302"}


def test_listener_life(elb: Any, balancer: dict[str, Any], group: dict[str, Any]) -> None:
    """A listener is created, described with its action in both forms, not doubled, modified and deleted."""
    listener = make_listener(elb, balancer, forward(group))
    assert listener["ListenerArn"].startswith(balancer["LoadBalancerArn"].replace("loadbalancer/", "listener/") + "/")
    (action,) = listener["DefaultActions"]
    assert action["TargetGroupArn"] == group["TargetGroupArn"]
    assert action["ForwardConfig"]["TargetGroups"] == [{"TargetGroupArn": group["TargetGroupArn"], "Weight": 1}]
    assert make_listener(elb, balancer, forward(group)) == listener
    assert error_of(make_listener, elb=elb, balancer=balancer, actions=FIXED)[:2] == ("DuplicateListener", 400)
    assert elb.describe_target_groups()["TargetGroups"][0]["LoadBalancerArns"] == [balancer["LoadBalancerArn"]]
    assert error_of(elb.delete_target_group, TargetGroupArn=group["TargetGroupArn"])[0] == "ResourceInUse"
    changed = elb.modify_listener(ListenerArn=listener["ListenerArn"], Port=81, DefaultActions=FIXED)["Listeners"][0]
    assert (changed["Port"], changed["DefaultActions"]) == (81, FIXED)
    elb.delete_target_group(TargetGroupArn=group["TargetGroupArn"])
    elb.delete_listener(ListenerArn=listener["ListenerArn"])
    assert elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"] == []


def test_listener_refusals(
    elb: Any, balancer: dict[str, Any], group: dict[str, Any], subnets: list[dict[str, Any]]
) -> None:
    """Wrong protocols, actions that are not built, missing groups, and groups of another load balancer are refused."""
    arn = balancer["LoadBalancerArn"]
    base = {"LoadBalancerArn": arn, "Protocol": "HTTP", "Port": 80, "DefaultActions": forward(group)}
    redirect = [{"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Protocol": "TCP"}}]
    for wrong in ({"Protocol": "TCP"}, {"Protocol": "HTTPS"}, {"DefaultActions": redirect}):
        assert error_of(elb.create_listener, **{**base, **wrong})[:2] == ("ValidationError", 400)
    gone = {"TargetGroupArn": group["TargetGroupArn"][:-4] + "0000"}
    assert error_of(elb.create_listener, **{**base, "DefaultActions": forward(gone)})[0] == "TargetGroupNotFound"
    make_listener(elb, balancer, forward(group))
    other = make_balancer(elb, subnets, "other")
    assert error_of(make_listener, elb=elb, balancer=other, actions=forward(group))[0] == "TargetGroupAssociationLimit"


def test_rules_with_priorities(elb: Any, balancer: dict[str, Any], group: dict[str, Any]) -> None:
    """Rules come in the order of their priorities, the default last; priorities are unique and can be swapped."""
    listener = make_listener(elb, balancer, FIXED)["ListenerArn"]

    def create(priority: int, conditions: list[dict[str, Any]]) -> Any:
        return elb.create_rule(ListenerArn=listener, Priority=priority, Conditions=conditions, Actions=forward(group))[
            "Rules"
        ][0]

    second = create(20, path("/api/*"))
    hosts = [{"Field": "host-header", "HostHeaderConfig": {"Values": ["*.example.com"]}}]
    first = create(10, hosts)
    assert second["Conditions"] == [
        {"Field": "path-pattern", "Values": ["/api/*"], "PathPatternConfig": {"Values": ["/api/*"]}}
    ]
    assert error_of(create, priority=10, conditions=path("/x")) == (
        "PriorityInUse",
        400,
        "Priority '10' is currently in use",
    )
    rules = elb.describe_rules(ListenerArn=listener)["Rules"]
    assert [rule["Priority"] for rule in rules] == ["10", "20", "default"]
    default = rules[-1]
    assert (default["IsDefault"], default["Actions"]) == (True, FIXED)
    assert elb.describe_rules(RuleArns=[default["RuleArn"]])["Rules"] == [default]
    assert error_of(elb.delete_rule, RuleArn=default["RuleArn"])[0] == "OperationNotPermitted"
    swap = [{"RuleArn": first["RuleArn"], "Priority": 20}, {"RuleArn": second["RuleArn"], "Priority": 10}]
    elb.set_rule_priorities(RulePriorities=swap)
    rules = elb.describe_rules(ListenerArn=listener)["Rules"]
    assert [rule["RuleArn"] for rule in rules[:2]] == [second["RuleArn"], first["RuleArn"]]
    clash = [{"RuleArn": first["RuleArn"], "Priority": 10}]
    assert error_of(elb.set_rule_priorities, RulePriorities=clash)[0] == "PriorityInUse"
    elb.modify_rule(RuleArn=first["RuleArn"], Actions=FIXED)
    elb.delete_rule(RuleArn=second["RuleArn"])
    (left, _) = elb.describe_rules(ListenerArn=listener)["Rules"]
    assert (left["RuleArn"], left["Actions"]) == (first["RuleArn"], FIXED)


def test_rule_conditions_are_checked(elb: Any, balancer: dict[str, Any]) -> None:
    """Conditions that AWS does not allow, or that are not built, are refused by name."""
    listener = make_listener(elb, balancer, FIXED)["ListenerArn"]
    for wrong in (
        path(*[f"/{n}" for n in range(6)]),
        path("/" + "a" * 128),
        path("/ä"),
        [*path("/a"), *path("/b")],
        [{"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "host", "Values": ["x"]}}],
        [{"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.1"]}}],
        [{"Field": "source-ip", "Values": ["10.0.0.0/8"]}],
        [{"Field": "path-pattern", "RegexValues": ["(?=x)"]}],
        [{"Field": "path-pattern", "HostHeaderConfig": {"Values": ["a.b"]}}],
        [{"Field": "nonsense", "Values": ["x"]}],
    ):
        code, status, _ = error_of(elb.create_rule, ListenerArn=listener, Priority=1, Conditions=wrong, Actions=FIXED)
        assert (code, status) == ("ValidationError", 400), wrong


def test_every_kind_of_condition_and_action_is_shown_as_made(
    elb: Any, balancer: dict[str, Any], group: dict[str, Any], subnets: list[dict[str, Any]]
) -> None:
    """What was given comes back, with AWS's defaults."""
    listener = make_listener(elb, balancer, FIXED)["ListenerArn"]
    conditions: list[dict[str, Any]] = [
        {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Kind", "Values": ["a*"]}},
        {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["POST"]}},
        {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "1"}, {"Value": "x?"}]}},
        {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}},
    ]
    redirect = {"StatusCode": "HTTP_301", "Protocol": "HTTPS", "Port": "443"}
    made = elb.create_rule(
        ListenerArn=listener,
        Priority=1,
        Conditions=conditions,
        Actions=[{"Type": "redirect", "RedirectConfig": redirect}],
    )["Rules"][0]
    assert made["Conditions"] == conditions
    shown = {"Host": "#{host}", "Path": "/#{path}", "Query": "#{query}", **redirect}
    assert made["Actions"] == [{"Type": "redirect", "RedirectConfig": shown}]
    regex = [{"Field": "path-pattern", "RegexValues": ["^/v[0-9]"]}]
    other = make_group(elb, subnets, "other")
    config = {
        "TargetGroups": [{"TargetGroupArn": each["TargetGroupArn"], "Weight": 1} for each in (group, other)],
        "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 60},
    }
    made = elb.create_rule(
        ListenerArn=listener,
        Priority=2,
        Conditions=regex,
        Actions=[{"Type": "forward", "ForwardConfig": config}],
    )["Rules"][0]
    assert made["Conditions"] == [{**regex[0], "PathPatternConfig": {"RegexValues": ["^/v[0-9]"]}}]
    assert made["Actions"] == [{"Type": "forward", "ForwardConfig": config}]


def test_listener_attributes(elb: Any, balancer: dict[str, Any]) -> None:
    """A listener's attributes can be set within their protocol's."""
    listener = make_listener(elb, balancer, FIXED)["ListenerArn"]
    given = [{"Key": "routing.http.response.x_frame_options.header_value", "Value": "DENY"}]
    assert elb.modify_listener_attributes(ListenerArn=listener, Attributes=given)["Attributes"] == given
    shown = elb.describe_listener_attributes(ListenerArn=listener)["Attributes"]
    assert given[0] in shown
    assert {"Key": "routing.http.response.server.enabled", "Value": "true"} in shown
    wrong = [{"Key": "tcp.idle_timeout.seconds", "Value": "60"}]
    assert error_of(elb.modify_listener_attributes, ListenerArn=listener, Attributes=wrong)[0] == "ValidationError"


def test_targets_of_a_group_without_listener_are_unused(
    elb: Any, group: dict[str, Any], balancer: dict[str, Any], subnets: list[dict[str, Any]]
) -> None:
    """Health is unused without a listener, initial with one, and NotRegistered for a stranger."""
    address = subnets[0]["CidrBlock"].split("/")[0].rsplit(".", 1)[0] + ".77"
    arn = group["TargetGroupArn"]
    elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": address}])
    (shown,) = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert shown["Target"] == {"Id": address, "Port": 80, "AvailabilityZone": "us-east-1a"}
    assert shown["HealthCheckPort"] == "80"
    assert shown["TargetHealth"] == {
        "State": "unused",
        "Reason": "Target.NotInUse",
        "Description": "Target group is not configured to receive traffic from the load balancer",
    }
    make_listener(elb, balancer, forward(group))
    (shown,) = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert shown["TargetHealth"]["State"] == "initial"
    assert shown["TargetHealth"]["Reason"] == "Elb.RegistrationInProgress"
    (shown,) = elb.describe_target_health(TargetGroupArn=arn, Targets=[{"Id": address, "Port": 81}])[
        "TargetHealthDescriptions"
    ]
    assert shown["TargetHealth"]["Reason"] == "Target.NotRegistered"
    elb.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": address}])
    (shown,) = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert shown["TargetHealth"] == {
        "State": "draining",
        "Reason": "Target.DeregistrationInProgress",
        "Description": "Target deregistration is in progress",
    }


def test_target_addresses_are_checked(elb: Any, group: dict[str, Any]) -> None:
    """Loopback, link-local and malformed addresses are refused; outside of the VPC the zone must be `all`."""
    arn = group["TargetGroupArn"]
    for address in ("127.0.0.1", "169.254.169.254", "no", "10.1.1.1", "8.8.8.8"):
        code, status, _ = error_of(elb.register_targets, TargetGroupArn=arn, Targets=[{"Id": address}])
        assert (code, status) == ("ValidationError", 400), address
    elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.1.1.1", "AvailabilityZone": "all"}])
    assert len(elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]) == 1


def test_tags_of_every_resource(elb: Any, balancer: dict[str, Any], group: dict[str, Any]) -> None:
    """Tags are added, replaced, removed and described on load balancers, groups, listeners and rules."""
    listener = make_listener(elb, balancer, forward(group))["ListenerArn"]
    rule = elb.create_rule(ListenerArn=listener, Priority=1, Conditions=path("/a"), Actions=FIXED)["Rules"][0]
    arns = [balancer["LoadBalancerArn"], group["TargetGroupArn"], listener, rule["RuleArn"]]
    for arn in arns:
        elb.add_tags(ResourceArns=[arn], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
        elb.add_tags(ResourceArns=[arn], Tags=[{"Key": "a", "Value": "3"}])
        elb.remove_tags(ResourceArns=[arn], TagKeys=["b"])
    for shown in elb.describe_tags(ResourceArns=arns)["TagDescriptions"]:
        assert shown["Tags"] == [{"Key": "a", "Value": "3"}]
    twice = [{"Key": "x", "Value": "1"}, {"Key": "x", "Value": "2"}]
    assert error_of(elb.add_tags, ResourceArns=arns[:1], Tags=twice)[0] == "DuplicateTagKeys"
    many = [{"Key": f"k{n}", "Value": ""} for n in range(51)]
    assert error_of(elb.add_tags, ResourceArns=arns[:1], Tags=many)[0] == "TooManyTags"


def test_pages(elb: Any, subnets: list[dict[str, Any]]) -> None:
    """A listing in pages of two gives every load balancer once."""
    for number in range(5):
        make_balancer(elb, subnets, f"web-{number}")
    pages = elb.get_paginator("describe_load_balancers").paginate(PaginationConfig={"PageSize": 2})
    names = [[balancer["LoadBalancerName"] for balancer in page["LoadBalancers"]] for page in pages]
    assert [len(page) for page in names] == [2, 2, 1]
    assert len({name for page in names for name in page}) == 5


def test_the_aws_command(balancing: Served, subnets: list[dict[str, Any]]) -> None:
    """The real command creates a load balancer with a listener and a rule, and reads them back."""
    ids = [subnet["SubnetId"] for subnet in subnets[:2]]
    balancer = balancing.aws("elbv2", "create-load-balancer", "--name", "cli", "--subnets", *ids)["LoadBalancers"][0]
    group = balancing.aws(
        *("elbv2", "create-target-group", "--name", "cli", "--protocol", "HTTP", "--port", "80"),
        *("--vpc-id", subnets[0]["VpcId"], "--target-type", "ip"),
    )["TargetGroups"][0]
    listener = balancing.aws(
        *("elbv2", "create-listener", "--load-balancer-arn", balancer["LoadBalancerArn"], "--protocol", "HTTP"),
        *("--port", "80", "--default-actions", "Type=forward,TargetGroupArn=" + group["TargetGroupArn"]),
    )["Listeners"][0]
    balancing.aws(
        *("elbv2", "create-rule", "--listener-arn", listener["ListenerArn"], "--priority", "5"),
        *("--conditions", "Field=path-pattern,Values=/api/*"),
        *("--actions", "Type=forward,TargetGroupArn=" + group["TargetGroupArn"]),
    )
    rules = balancing.aws("elbv2", "describe-rules", "--listener-arn", listener["ListenerArn"])["Rules"]
    assert [rule["Priority"] for rule in rules] == ["5", "default"]


def test_network_load_balancer(balancing: Served, elb: Any, subnets: list[dict[str, Any]]) -> None:
    """A Network Load Balancer stands in one subnet and has TCP listeners to TCP groups; the rest is refused."""
    groups = balancing.client("ec2").describe_security_groups()["SecurityGroups"]
    made = elb.create_load_balancer(
        Name="tcp", Type="network", Subnets=[subnets[0]["SubnetId"]], SecurityGroups=[groups[0]["GroupId"]]
    )["LoadBalancers"][0]
    assert (made["Type"], "/net/tcp/" in made["LoadBalancerArn"]) == ("network", True)
    assert ".elb." in made["DNSName"]
    group = elb.create_target_group(Name="db", Protocol="TCP", Port=5432, VpcId=subnets[0]["VpcId"], TargetType="ip")[
        "TargetGroups"
    ][0]
    assert (group["HealthCheckProtocol"], group["HealthCheckTimeoutSeconds"]) == ("TCP", 10)
    assert not {"HealthCheckPath", "Matcher", "ProtocolVersion"} & set(group)
    base = {"LoadBalancerArn": made["LoadBalancerArn"], "Port": 5432, "DefaultActions": forward(group)}
    listener = elb.create_listener(**base, Protocol="TCP")["Listeners"][0]
    assert listener["Protocol"] == "TCP"
    for wrong in ({"Protocol": "QUIC"}, {"Protocol": "HTTP"}):
        assert error_of(elb.create_listener, **{**base, "Port": 1, **wrong})[0] == "ValidationError"
    assert error_of(elb.create_listener, **{**base, "Port": 1, "Protocol": "TCP", "DefaultActions": FIXED}) == (
        "InvalidLoadBalancerAction",
        400,
        "The action type 'fixed-response' is not valid with network load balancer",
    )
    web = make_group(elb, subnets, "web")
    mixed = {**base, "Port": 1, "Protocol": "TCP", "DefaultActions": forward(web)}
    assert error_of(elb.create_listener, **mixed)[0] == "IncompatibleProtocols"
    rule = {"ListenerArn": listener["ListenerArn"], "Priority": 1, "Conditions": path("/x"), "Actions": forward(group)}
    assert error_of(elb.create_rule, **rule)[0] == "ValidationError"
    arn = group["TargetGroupArn"]
    kept = [
        {"Key": "preserve_client_ip.enabled", "Value": "true"},
        {"Key": "proxy_protocol_v2.enabled", "Value": "true"},
    ]
    assert elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=kept)["Attributes"] == kept
    ends = [{"Key": "deregistration_delay.connection_termination.enabled", "Value": "true"}]
    assert elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=ends)["Attributes"] == ends
    hides = make_group(elb, subnets, "hides", Protocol="TCP", TargetType="ip")
    both = [{"TargetGroupArn": each["TargetGroupArn"], "Weight": 1} for each in (group, hides)]
    actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": both}}]
    mixed = {**base, "Port": 2, "Protocol": "TCP", "DefaultActions": actions}
    assert error_of(elb.create_listener, **mixed)[0] == "ValidationError"
    attributes = elb.describe_listener_attributes(ListenerArn=listener["ListenerArn"])["Attributes"]
    assert attributes == [{"Key": "tcp.idle_timeout.seconds", "Value": "350"}]


def test_grpc_target_groups(
    elb: Any, balancer: dict[str, Any], group: dict[str, Any], subnets: list[dict[str, Any]]
) -> None:
    """Target groups of gRPC have codes of gRPC, and are for HTTPS listeners; AWS's default check is there."""
    grpc = {"ProtocolVersion": "GRPC", "HealthCheckPath": "/grpc.health.v1.Health/Check", "Matcher": {"GrpcCode": "0"}}
    made = make_group(elb, subnets, "talk", **grpc)
    assert (made["ProtocolVersion"], made["Matcher"]) == ("GRPC", {"GrpcCode": "0"})
    for code in ("0-99", "0,5-7,12"):
        other = {"HealthCheckPath": "/any", "Matcher": {"GrpcCode": code}}
        modified = elb.modify_target_group(TargetGroupArn=made["TargetGroupArn"], **other)["TargetGroups"][0]
        assert (modified["HealthCheckPath"], modified["Matcher"]) == ("/any", {"GrpcCode": code})
    usual = make_group(elb, subnets, "usual", ProtocolVersion="GRPC")
    assert (usual["HealthCheckPath"], usual["Matcher"]) == ("/AWS.ALB/healthcheck", {"GrpcCode": "12"})
    base = {"Name": "other", "Protocol": "HTTP", "Port": 80, "VpcId": subnets[0]["VpcId"], "TargetType": "ip"}
    for wrong, said in (
        ({**grpc, "Matcher": {"GrpcCode": "5-4"}}, "must be a code or range between '0' and '99'"),
        ({**grpc, "Matcher": {"GrpcCode": "0,x"}}, "must be a code or range between '0' and '99'"),
        ({**grpc, "Matcher": {"GrpcCode": "100"}}, "must be a code or range between '0' and '99'"),
        ({**grpc, "Matcher": {"HttpCode": "200"}}, "HttpCode cannot be specified"),
        ({"ProtocolVersion": "HTTP1", "Matcher": {"GrpcCode": "0"}}, "GrpcCode cannot be specified"),
        ({"ProtocolVersion": "SPDY"}, "must be one of 'HTTP1, HTTP2, GRPC'"),
    ):
        code, status, message = error_of(elb.create_target_group, **{**base, "ProtocolVersion": "GRPC", **wrong})
        assert (code, status) == ("ValidationError", 400)
        assert said in message
    arn = balancer["LoadBalancerArn"]
    code, _, message = error_of(
        elb.create_listener, LoadBalancerArn=arn, Protocol="HTTP", Port=80, DefaultActions=forward(made)
    )
    assert (code, message) == (
        "InvalidLoadBalancerAction",
        "Listener protocol 'HTTP' is not supported with a target group with the protocol-version 'GRPC'",
    )
    listener = make_listener(elb, balancer, forward(group))
    assert (
        error_of(
            elb.create_rule,
            ListenerArn=listener["ListenerArn"],
            Priority=1,
            Conditions=path("/a"),
            Actions=forward(made),
        )[0]
        == "InvalidLoadBalancerAction"
    )


def test_https_target_groups(elb: Any, balancer: dict[str, Any], subnets: list[dict[str, Any]]) -> None:
    """Targets may speak TLS, and their checks, too: by HTTP unless it is asked for, as on AWS."""
    made = make_group(elb, subnets, "tls", Protocol="HTTPS", Port=443)
    assert (made["Protocol"], made["HealthCheckProtocol"]) == ("HTTPS", "HTTP")
    arn = made["TargetGroupArn"]
    changed = elb.modify_target_group(TargetGroupArn=arn, HealthCheckProtocol="HTTPS", HealthCheckPath="/up")
    (group,) = changed["TargetGroups"]
    assert (group["HealthCheckProtocol"], group["HealthCheckPath"], group["Matcher"]) == (
        "HTTPS",
        "/up",
        {"HttpCode": "200"},
    )
    assert make_listener(elb, balancer, forward(made))["DefaultActions"][0]["TargetGroupArn"] == arn


def test_tls_target_groups(elb: Any, subnets: list[dict[str, Any]]) -> None:
    """Groups of TLS have a Network Load Balancer's attributes and checks, and are for TLS listeners alone."""
    made = make_group(elb, subnets, "tls", Protocol="TLS", Port=443)
    assert (made["Protocol"], made["HealthCheckProtocol"], "ProtocolVersion" in made) == ("TLS", "TCP", False)
    shown = elb.describe_target_group_attributes(TargetGroupArn=made["TargetGroupArn"])["Attributes"]
    assert {"Key": "preserve_client_ip.enabled", "Value": "false"} in shown
    network = elb.create_load_balancer(Name="net", Type="network", Subnets=[subnets[0]["SubnetId"]])
    arn = network["LoadBalancers"][0]["LoadBalancerArn"]
    refused = error_of(elb.create_listener, LoadBalancerArn=arn, Protocol="TCP", Port=443, DefaultActions=forward(made))
    assert refused[0] == "IncompatibleProtocols"


def test_only_ipv4(elb: Any, balancer: dict[str, Any]) -> None:
    """The addresses of a load balancer are of IPv4; that may be set, and nothing else."""
    arn = balancer["LoadBalancerArn"]
    assert elb.set_ip_address_type(LoadBalancerArn=arn, IpAddressType="ipv4")["IpAddressType"] == "ipv4"
    assert error_of(elb.set_ip_address_type, LoadBalancerArn=arn, IpAddressType="dualstack")[0] == "ValidationError"
    none = arn.replace("/app/", "/app/no-")
    assert error_of(elb.set_ip_address_type, LoadBalancerArn=none, IpAddressType="ipv4")[0] == "LoadBalancerNotFound"


def test_stickiness_by_an_applications_cookie(elb: Any, group: dict[str, Any]) -> None:
    """It takes the cookie's name, which may be none of the load balancer's own."""
    arn = group["TargetGroupArn"]

    def modify(**values: str) -> Any:
        attributes = [{"Key": f"stickiness.{key.replace('__', '.')}", "Value": value} for key, value in values.items()]
        return elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=attributes)

    for wrong in ("", "AWSALBAPP-0", "a b", 'a"b', "a;b"):
        given = {"enabled": "true", "type": "app_cookie", "app_cookie__cookie_name": wrong}
        assert error_of(modify, **given)[:2] == ("ValidationError", 400), wrong
    modify(enabled="true", type="app_cookie", app_cookie__cookie_name="SESSION", app_cookie__duration_seconds="60")
    shown = elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
    assert {"Key": "stickiness.app_cookie.cookie_name", "Value": "SESSION"} in shown


def test_desync_mode(elb: Any, balancer: dict[str, Any]) -> None:
    """One of AWS's three; and what would be done if a firewall failed can be said, though there is none."""
    arn = balancer["LoadBalancerArn"]

    def modify(key: str, value: str) -> Any:
        attributes = [{"Key": key, "Value": value}]
        return elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=attributes)

    key = "routing.http.desync_mitigation_mode"
    assert error_of(modify, key=key, value="lax")[0] == "ValidationError"
    for mode in ("monitor", "defensive", "strictest"):
        assert modify(key, mode)["Attributes"] == [{"Key": key, "Value": mode}]
    assert error_of(modify, key="waf.fail_open.enabled", value="maybe")[0] == "ValidationError"
    modify("waf.fail_open.enabled", "true")


def test_access_log_attributes(elb: Any, balancer: dict[str, Any]) -> None:
    """Logs of each kind take a bucket, and a prefix within it."""
    for kind in ("access", "connection", "health_check"):
        _check_log_attributes(elb, balancer, kind)


def _check_log_attributes(elb: Any, balancer: dict[str, Any], kind: str) -> None:
    arn = balancer["LoadBalancerArn"]

    def modify(**values: str) -> Any:
        attributes = [{"Key": f"{kind}_logs.s3.{key}", "Value": value} for key, value in values.items()]
        return elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=attributes)

    for wrong in (
        {},
        {"bucket": "../up"},
        {"bucket": "logs", "prefix": "a/../b"},
        {"bucket": "logs", "prefix": "/a"},
        {"bucket": "logs", "prefix": "AWSLogs"},
    ):
        code, status, _ = error_of(modify, enabled="true", **wrong)
        assert (code, status) == ("InvalidConfigurationRequest", 400), wrong
    assert error_of(modify, enabled="yes")[0] == "ValidationError"
    modify(enabled="true", bucket="logs", prefix="site/a")
    shown = elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    assert {"Key": f"{kind}_logs.s3.prefix", "Value": "site/a"} in shown


def test_datagrams(balancing: Served, elb: Any, subnets: list[dict[str, Any]]) -> None:
    """Listeners and groups of UDP and TCP_UDP go together as on AWS, are checked by TCP, HTTP or HTTPS, and preserve
    the client's address whatever is asked."""
    security = balancing.client("ec2").describe_security_groups()["SecurityGroups"]
    made = elb.create_load_balancer(
        Name="udp", Type="network", Subnets=[subnets[0]["SubnetId"]], SecurityGroups=[security[0]["GroupId"]]
    )["LoadBalancers"][0]["LoadBalancerArn"]
    base = {"Port": 53, "VpcId": subnets[0]["VpcId"], "TargetType": "ip"}
    groups = {
        protocol: elb.create_target_group(Name=protocol.replace("_", "-"), Protocol=protocol, **base)["TargetGroups"][0]
        for protocol in ("TCP", "UDP", "TCP_UDP")
    }
    assert [group["HealthCheckProtocol"] for group in groups.values()] == ["TCP"] * 3
    ports = iter(range(1, 100))
    fits = {"TCP": {"TCP"}, "UDP": {"UDP"}, "TCP_UDP": {"TCP", "UDP", "TCP_UDP"}}
    for protocol, group in groups.items():
        for listened in ("TCP", "UDP", "TCP_UDP"):
            wanted = {
                "LoadBalancerArn": made,
                "Port": next(ports),
                "Protocol": listened,
                "DefaultActions": forward(group),
            }
            if listened in fits[protocol]:
                listener = elb.create_listener(**wanted)["Listeners"][0]
                shown = elb.describe_listener_attributes(ListenerArn=listener["ListenerArn"])["Attributes"]
                assert bool(shown) == (listened != "UDP")
            else:
                assert error_of(elb.create_listener, **wanted)[0] == "IncompatibleProtocols"
    arn = groups["UDP"]["TargetGroupArn"]
    for key, value in (("preserve_client_ip.enabled", "false"), ("proxy_protocol_v2.enabled", "true")):
        wrong = [{"Key": key, "Value": value}]
        assert (
            error_of(elb.modify_target_group_attributes, TargetGroupArn=arn, Attributes=wrong)[0] == "ValidationError"
        )
    shown = {
        each["Key"]: each["Value"] for each in elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
    }
    assert shown["preserve_client_ip.enabled"] == shown["deregistration_delay.connection_termination.enabled"] == "true"
    checked = elb.modify_target_group(
        TargetGroupArn=arn, HealthCheckProtocol="HTTPS", HealthCheckPort="443", HealthCheckPath="/up"
    )["TargetGroups"][0]
    assert (checked["HealthCheckProtocol"], checked["HealthCheckPort"]) == ("HTTPS", "443")
    outside = [{"Id": "10.99.0.1", "AvailabilityZone": "all"}]
    assert error_of(elb.register_targets, TargetGroupArn=arn, Targets=outside)[0] == "ValidationError"


def test_network_load_balancers_place(balancing: Served, elb: Any, subnets: list[dict[str, Any]]) -> None:
    """A Network Load Balancer may have no security groups, and then never gets any; an internal one may have an address
    of its own in each subnet; cross-zone load balancing is off by default; the rest is refused in AWS's words."""
    one, two = subnets[:2]
    taken = one["CidrBlock"].rsplit(".", 1)[0]
    mapping = {"SubnetId": one["SubnetId"], "PrivateIPv4Address": f"{taken}.77"}
    made = elb.create_load_balancer(Name="own", Type="network", Scheme="internal", SubnetMappings=[mapping])
    (own,) = made["LoadBalancers"]
    assert own["AvailabilityZones"][0]["LoadBalancerAddresses"] == [{"PrivateIPv4Address": f"{taken}.77"}]
    assert own["SecurityGroups"] == []
    assert "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic" not in own
    arn = own["LoadBalancerArn"]
    again = elb.create_load_balancer(Name="own", Type="network", Scheme="internal", SubnetMappings=[mapping])
    assert again["LoadBalancers"][0]["LoadBalancerArn"] == arn
    group = balancing.client("ec2").describe_security_groups()["SecurityGroups"][0]["GroupId"]
    refused = error_of(elb.set_security_groups, LoadBalancerArn=arn, SecurityGroups=[group])
    assert refused[0] == "InvalidConfigurationRequest"
    attributes = {
        each["Key"]: each["Value"] for each in elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    }
    assert attributes["load_balancing.cross_zone.enabled"] == "false"
    across = [{"Key": "load_balancing.cross_zone.enabled", "Value": "true"}]
    assert elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=across)["Attributes"] == across
    base = {"Name": "x", "Type": "network", "Scheme": "internal"}
    for wrong, scheme, code in (
        ({"PrivateIPv4Address": "10.99.0.1"}, "internal", "InvalidConfigurationRequest"),
        ({"PrivateIPv4Address": f"{taken}.1"}, "internal", "InvalidConfigurationRequest"),
        ({"PrivateIPv4Address": "nonsense"}, "internal", "ValidationError"),
        ({"PrivateIPv4Address": f"{taken}.78"}, "internet-facing", "ValidationError"),
        ({"AllocationId": "eipalloc-0"}, "internal", "ValidationError"),
    ):
        mappings = [{"SubnetId": one["SubnetId"], **wrong}]
        asked = {**base, "Scheme": scheme, "SubnetMappings": mappings}
        assert error_of(elb.create_load_balancer, **asked)[0] == code, wrong
    moved = [{**mapping, "PrivateIPv4Address": f"{taken}.79"}, {"SubnetId": two["SubnetId"]}]
    assert error_of(elb.set_subnets, LoadBalancerArn=arn, SubnetMappings=moved)[0] == "InvalidConfigurationRequest"
    guarded = elb.create_load_balancer(
        Name="guarded", Type="network", Subnets=[one["SubnetId"]], SecurityGroups=[group]
    )["LoadBalancers"][0]
    assert guarded["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"] == "on"
    off = {"SecurityGroups": [group], "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic": "off"}
    answer = elb.set_security_groups(LoadBalancerArn=guarded["LoadBalancerArn"], **off)
    assert answer["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"] == "off"
    assert answer["SecurityGroupIds"] == [group]


def test_elastic_addresses(balancing: Served, elb: Any, subnets: list[dict[str, Any]]) -> None:
    """An internet-facing Network Load Balancer has the Elastic addresses that it is given, one in a subnet, from its
    creation on; nobody else gets them, and what can not be is refused in AWS's words."""
    ec2 = balancing.client("ec2")
    first, second, third = (ec2.allocate_address() for _ in range(3))
    one, two = (subnet["SubnetId"] for subnet in subnets[:2])

    def mapped(*pairs: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"SubnetId": subnet, "AllocationId": address["AllocationId"]} for subnet, address in pairs]

    asked = {"Name": "net", "Type": "network", "SubnetMappings": mapped((one, first))}
    made = elb.create_load_balancer(**asked)["LoadBalancers"][0]
    shown = {"IpAddress": first["PublicIp"], "AllocationId": first["AllocationId"]}
    assert made["AvailabilityZones"][0]["LoadBalancerAddresses"] == [shown]
    arn = made["LoadBalancerArn"]
    assert elb.create_load_balancer(**asked)["LoadBalancers"][0]["LoadBalancerArn"] == arn
    base = {"Name": "other", "Type": "network"}
    missing = [{"SubnetId": one, "AllocationId": "eipalloc-0123456789abcdef0"}]
    for wrong, code in (
        ({"SubnetMappings": mapped((one, first))}, "ResourceInUse"),
        ({"SubnetMappings": mapped((one, second), (two, second))}, "ResourceInUse"),
        ({"SubnetMappings": missing}, "AllocationIdNotFound"),
        ({"SubnetMappings": mapped((one, second)), "Scheme": "internal"}, "ValidationError"),
        ({"SubnetMappings": mapped((one, second), (two, third)), "Type": "application"}, "ValidationError"),
        ({"SubnetMappings": [{"AllocationId": second["AllocationId"]}]}, "ValidationError"),
        ({"SubnetMappings": [{**mapped((one, second))[0], "PrivateIPv4Address": "172.31.0.9"}]}, "ValidationError"),
    ):
        assert error_of(elb.create_load_balancer, **{**base, **wrong})[0] == code, wrong
    assert error_of(ec2.release_address, AllocationId=first["AllocationId"])[0] == "InvalidIPAddress.InUse"
    nat = {"SubnetId": one, "AllocationId": first["AllocationId"]}
    assert error_of(ec2.create_nat_gateway, **nat)[0] == "Resource.AlreadyAssociated"
    changed = mapped((one, second), (two, third))
    refused = error_of(elb.set_subnets, LoadBalancerArn=arn, SubnetMappings=changed)
    assert refused[0] == "InvalidConfigurationRequest"
    more = elb.set_subnets(LoadBalancerArn=arn, SubnetMappings=[{"SubnetId": one}, *mapped((two, third))])
    addresses = [
        each["LoadBalancerAddresses"] for each in sorted(more["AvailabilityZones"], key=lambda z: z["ZoneName"])
    ]
    assert addresses == [
        [{"IpAddress": each["PublicIp"], "AllocationId": each["AllocationId"]}] for each in (first, third)
    ]
    assert error_of(ec2.release_address, AllocationId=third["AllocationId"])[0] == "InvalidIPAddress.InUse"


def test_cross_zone_of_a_target_group(elb: Any, subnets: list[dict[str, Any]], group: dict[str, Any]) -> None:
    """It follows the load balancer by itself, is turned off, on and back, and goes neither with cookies that keep
    clients nor with targets of all zones."""
    key, arn = "load_balancing.cross_zone.enabled", group["TargetGroupArn"]

    def modify(**values: str) -> Any:
        attributes = [{"Key": name.replace("__", "."), "Value": value} for name, value in values.items()]
        return elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=attributes)

    def shown() -> str:
        found = elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
        return next(str(each["Value"]) for each in found if each["Key"] == key)

    assert shown() == "use_load_balancer_configuration"
    for value in ("false", "true", "use_load_balancer_configuration"):
        modify(load_balancing__cross_zone__enabled=value)
        assert shown() == value
    assert error_of(modify, load_balancing__cross_zone__enabled="off")[0] == "ValidationError"
    sticky = {"stickiness__enabled": "true", "stickiness__type": "lb_cookie"}
    assert error_of(modify, load_balancing__cross_zone__enabled="false", **sticky)[0] == "ValidationError"
    outside = [{"Id": "10.99.0.1", "AvailabilityZone": "all"}]
    elb.register_targets(TargetGroupArn=arn, Targets=outside)
    assert error_of(modify, load_balancing__cross_zone__enabled="false")[0] == "InvalidConfigurationRequest"
    elb.deregister_targets(TargetGroupArn=arn, Targets=outside)
    modify(load_balancing__cross_zone__enabled="false")
    assert error_of(elb.register_targets, TargetGroupArn=arn, Targets=outside)[0] == "ValidationError"


def test_target_in_a_zone_without_the_load_balancer(elb: Any, subnets: list[dict[str, Any]]) -> None:
    """It is unused, for the reason that its zone is not enabled, until the load balancer has a subnet there."""
    for kind, protocol in (("application", "HTTP"), ("network", "TCP")):
        balancer = make_balancer(elb, subnets, kind, Type=kind)["LoadBalancerArn"]
        group = make_group(elb, subnets, kind, Protocol=protocol)
        elb.create_listener(LoadBalancerArn=balancer, Protocol=protocol, Port=80, DefaultActions=forward(group))
        far = subnets[2]["CidrBlock"].rsplit(".", 1)[0] + ".50"
        arn = group["TargetGroupArn"]
        elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": far}])

        def health(arn: str = arn) -> dict[str, str]:
            (shown,) = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
            return dict(shown["TargetHealth"])

        assert health() == {
            "State": "unused",
            "Reason": "Target.NotInUse",
            "Description": "Target is in an Availability Zone that is not enabled for the load balancer",
        }
        elb.set_subnets(LoadBalancerArn=balancer, Subnets=[subnet["SubnetId"] for subnet in subnets[:3]])
        assert health()["Reason"] == "Elb.RegistrationInProgress"


def test_target_group_health_settings(elb: Any, subnets: list[dict[str, Any]], group: dict[str, Any]) -> None:
    """AWS's four settings, of Application and Network groups, with their defaults; values out of range, and a
    threshold of the name below that of routing, are refused and change nothing."""
    dns = "target_group_health.dns_failover.minimum_healthy_targets"
    routing = "target_group_health.unhealthy_state_routing.minimum_healthy_targets"
    defaults = {f"{dns}.count": "1", f"{dns}.percentage": "off"}
    defaults |= {f"{routing}.count": "1", f"{routing}.percentage": "off"}
    network = make_group(elb, subnets, "network", Protocol="TCP", TargetType="ip")
    for arn in (group["TargetGroupArn"], network["TargetGroupArn"]):

        def modify(values: dict[str, str], arn: str = arn) -> Any:
            attributes = [{"Key": key, "Value": value} for key, value in values.items()]
            return elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=attributes)["Attributes"]

        def shown(arn: str = arn) -> dict[str, str]:
            found = elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
            return {each["Key"]: each["Value"] for each in found if each["Key"].startswith("target_group_health.")}

        assert shown() == defaults
        wanted = {
            f"{dns}.count": "4",
            f"{dns}.percentage": "60",
            f"{routing}.count": "3",
            f"{routing}.percentage": "50",
        }
        assert modify(wanted) == [{"Key": key, "Value": value} for key, value in wanted.items()]
        assert shown() == wanted
        for wrong in (
            {f"{routing}.count": "off"},
            {f"{routing}.count": "0"},
            {f"{dns}.count": "1001"},
            {f"{dns}.percentage": "101"},
            {f"{routing}.percentage": "0"},
            {f"{dns}.count": "2"},
            {f"{routing}.percentage": "61"},
            {"target_group_health.other": "1"},
        ):
            assert error_of(modify, values=wrong)[:2] == ("ValidationError", 400), wrong
        assert shown() == wanted
        modify({f"{dns}.count": "off", f"{dns}.percentage": "off"})
        assert modify(defaults)
        assert shown() == defaults
