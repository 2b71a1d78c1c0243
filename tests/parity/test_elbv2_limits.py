"""What Elastic Load Balancing refuses, with AWS's codes: too many at once, loops, what can not be said together."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import Served, refusal

from portside.api.elbv2.hosted_zone import hosted_zone

FIXED = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]


class Made:
    """A load balancer with a listener on port 80, and a target group that nothing uses."""

    def __init__(self, balancing: Served) -> None:
        self.elb = balancing.client("elbv2")
        found = balancing.client("ec2").describe_subnets()["Subnets"]
        self.subnets = [each["SubnetId"] for each in found[:2]]
        self.vpc = found[0]["VpcId"]
        made = self.elb.create_load_balancer(Name="web", Subnets=self.subnets)["LoadBalancers"][0]
        self.balancer = made["LoadBalancerArn"]
        self.group = self.make_group("web")
        self.listener = self.make_listener(80, FIXED)

    def make_group(self, name: str) -> str:
        made = self.elb.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=self.vpc, TargetType="ip")
        return str(made["TargetGroups"][0]["TargetGroupArn"])

    def make_listener(self, port: int, actions: list[dict[str, Any]]) -> str:
        made = self.elb.create_listener(
            LoadBalancerArn=self.balancer, Protocol="HTTP", Port=port, DefaultActions=actions
        )
        return str(made["Listeners"][0]["ListenerArn"])

    def make_rule(self, priority: int, actions: list[dict[str, Any]], **condition: Any) -> str:
        conditions = [condition or {"Field": "path-pattern", "Values": ["/a"]}]
        made = self.elb.create_rule(
            ListenerArn=self.listener, Priority=priority, Conditions=conditions, Actions=actions
        )
        return str(made["Rules"][0]["RuleArn"])


@pytest.fixture
def made(balancing: Served) -> Made:
    return Made(balancing)


def redirect(**parts: str) -> list[dict[str, Any]]:
    return [{"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", **parts}}]


def forward(*groups: str) -> list[dict[str, Any]]:
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": each} for each in groups]}}]


def test_resources_of_one_call_for_tags(made: Made) -> None:
    """Tags of up to twenty resources are described at once, and those of one changed."""
    assert len(made.elb.describe_tags(ResourceArns=[made.group] * 20)["TagDescriptions"]) == 20
    said = ("ValidationError", "Cannot have more than 20 resource descriptions")
    assert refusal(made.elb.describe_tags, ResourceArns=[made.group] * 21) == said
    said = ("ValidationError", "Only one resource can be tagged at a time")
    both = [made.group, made.balancer]
    assert refusal(made.elb.add_tags, ResourceArns=both, Tags=[{"Key": "a", "Value": "1"}]) == said
    assert refusal(made.elb.remove_tags, ResourceArns=both, TagKeys=["a"]) == said
    assert refusal(made.elb.describe_tags, ResourceArns=[]) == ("ValidationError", "An ARN must be specified")


def test_default_rule_has_no_tags(made: Made) -> None:
    """Who describes the tags of all rules of a listener names the default one, too."""
    arns = [each["RuleArn"] for each in made.elb.describe_rules(ListenerArn=made.listener)["Rules"]]
    assert made.elb.describe_tags(ResourceArns=arns)["TagDescriptions"] == [{"ResourceArn": arns[0], "Tags": []}]


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"Query": "a=b"},
        {"Protocol": "HTTP", "Port": "80"},
        {"Host": "#{host}", "Path": "/#{path}", "Port": "#{port}", "Protocol": "#{protocol}", "Query": ""},
    ],
)
def test_redirects_that_lead_back(made: Made, parts: dict[str, str]) -> None:
    """A redirect changes the protocol, the host, the port or the path: the query alone would make a loop."""
    said = ("InvalidLoadBalancerAction", "The redirect configuration is not valid because it creates a loop.")
    assert refusal(made.make_rule, 1, redirect(**parts)) == said
    assert refusal(made.elb.modify_listener, ListenerArn=made.listener, DefaultActions=redirect(**parts)) == said
    assert made.make_rule(1, redirect(**{**parts, "Path": "/else"}))


def test_listener_moved_to_where_its_redirect_leads(made: Made) -> None:
    """A port that makes a loop of the redirect that is there is refused."""
    listener = made.make_listener(81, redirect(Port="82"))
    assert refusal(made.elb.modify_listener, ListenerArn=listener, Port=82)[0] == "InvalidLoadBalancerAction"


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (redirect(Path="no-slash")[0], "The Path parameter must be a valid path, should start with a '/'"),
        (redirect(Path="/#{path}/#{path}")[0], "may contain up to one of each"),
        (redirect(Port="70000")[0], "The redirect port '70000'"),
        ({"Type": "redirect"}, "For actions of type 'redirect', you must specify the following fields: "),
        ({"Type": "fixed-response"}, "For actions of type 'fixed-response', you must specify the following fields: "),
    ],
)
def test_actions_that_are_none(made: Made, action: dict[str, Any], said: str) -> None:
    """AWS has a code of its own for them."""
    code, message = refusal(made.make_rule, 1, [action])
    assert code == "InvalidLoadBalancerAction"
    assert said in message


def test_groups_of_one_load_balancer(made: Made) -> None:
    """It sends requests to a hundred target groups at most, each counted once."""
    groups = [made.make_group(f"g{number}") for number in range(101)]
    for number in range(20):
        made.make_rule(number + 1, forward(*groups[5 * number : 5 * number + 5]))
    made.make_rule(30, forward(groups[0]))
    code, message = refusal(made.make_rule, 40, forward(groups[100]))
    assert (code, message) == (
        "TooManyUniqueTargetGroupsPerLoadBalancer",
        "A load balancer can send requests to at most '100' target groups",
    )
    rule = made.make_rule(40, FIXED)
    for call, named in (
        (made.elb.modify_rule, {"RuleArn": rule, "Actions": forward(groups[100])}),
        (made.elb.modify_listener, {"ListenerArn": made.listener, "DefaultActions": forward(groups[100])}),
    ):
        assert refusal(call, **named)[0] == "TooManyUniqueTargetGroupsPerLoadBalancer"
    with pytest.raises(ClientError):
        made.make_listener(81, forward(groups[100]))
    last = made.elb.describe_rules(ListenerArn=made.listener)["Rules"][19]
    freed = made.elb.modify_rule(RuleArn=last["RuleArn"], Actions=forward(*groups[95:99], groups[100]))
    assert len(freed["Rules"][0]["Actions"][0]["ForwardConfig"]["TargetGroups"]) == 5


def test_limits_are_told(made: Made) -> None:
    """With AWS's names and figures, those that hold."""
    told = {each["Name"]: each["Max"] for each in made.elb.describe_account_limits()["Limits"]}
    assert told == {
        "application-load-balancers": "50",
        "network-load-balancers": "50",
        "target-groups": "3000",
        "targets-per-target-group": "1000",
        "listeners-per-application-load-balancer": "50",
        "listeners-per-network-load-balancer": "50",
        "rules-per-application-load-balancer": "100",
        "certificates-per-application-load-balancer": "25",
        "certificates-per-network-load-balancer": "25",
        "target-groups-per-application-load-balancer": "100",
        "target-groups-per-action-on-application-load-balancer": "5",
        "target-groups-per-action-on-network-load-balancer": "5",
        "condition-values-per-alb-rule": "5",
        "condition-wildcards-per-alb-rule": "5",
    }


def test_load_balancers_of_each_type(made: Made) -> None:
    """Fifty Application Load Balancers leave room for Network Load Balancers."""
    for number in range(49):
        made.elb.create_load_balancer(Name=f"web{number}", Subnets=made.subnets)
    code, _ = refusal(made.elb.create_load_balancer, Name="more", Subnets=made.subnets)
    assert code == "TooManyLoadBalancers"
    assert made.elb.create_load_balancer(Name="more", Type="network", Subnets=made.subnets)["LoadBalancers"]


def test_security_groups(made: Made) -> None:
    """A load balancer has five at most."""
    groups = [f"sg-{number:017x}" for number in range(6)]
    said = ("InvalidConfigurationRequest", "A load balancer can have at most '5' security groups")
    assert refusal(made.elb.set_security_groups, LoadBalancerArn=made.balancer, SecurityGroups=groups) == said


@pytest.mark.parametrize(
    ("region", "kind", "zone"),
    [
        ("eu-west-1", "application", "Z32O12XQLNTSW2"),
        ("eu-west-1", "classic", "Z32O12XQLNTSW2"),
        ("eu-west-1", "network", "Z2IFOLAFXWLO4F"),
        ("nowhere-1", "application", ""),
    ],
)
def test_hosted_zones(region: str, kind: str, zone: str) -> None:
    """They are AWS's, by region and type."""
    assert hosted_zone(region, kind) == zone


def test_what_can_not_be_said_together(made: Made) -> None:
    """Two ways to say what is meant are one too many; so are more ARNs than a call takes."""
    elb = made.elb
    for call, named in (
        (elb.describe_load_balancers, {"LoadBalancerArns": [made.balancer], "Names": ["web"]}),
        (elb.describe_load_balancers, {"LoadBalancerArns": [made.balancer] * 21}),
        (elb.describe_target_groups, {"TargetGroupArns": [made.group], "Names": ["web"]}),
        (elb.describe_target_groups, {"LoadBalancerArn": made.balancer, "Names": ["web"]}),
        (elb.describe_listeners, {"LoadBalancerArn": made.balancer, "ListenerArns": [made.listener]}),
    ):
        assert refusal(call, **named)[0] == "ValidationError"
    both = {"Field": "path-pattern", "Values": ["/a"], "PathPatternConfig": {"Values": ["/b"]}}
    code, message = refusal(made.make_rule, 1, FIXED, **both)
    assert (code, message) == (
        "ValidationError",
        "Only one of 'Values' and 'PathPatternConfig' can be specified for field 'path-pattern'",
    )


def test_what_would_be_ignored_is_refused(made: Made) -> None:
    """Members without an effect here are told so."""
    targets = [{"Id": "172.31.0.9", "QuicServerId": "0x1122334455667788"}]
    code, message = refusal(made.elb.register_targets, TargetGroupArn=made.group, Targets=targets)
    assert (code, message) == ("ValidationError", "The parameter QuicServerId is not supported yet by Portside")
    code, message = refusal(made.elb.describe_target_health, TargetGroupArn=made.group, Include=["All"])
    assert (code, message) == ("ValidationError", "The parameter Include is not supported yet by Portside")
    off = [{"Key": "load_balancing.cross_zone.enabled", "Value": "false"}]
    code, message = refusal(made.elb.modify_load_balancer_attributes, LoadBalancerArn=made.balancer, Attributes=off)
    assert code == "ValidationError"
    assert "cannot be turned off for an Application Load Balancer" in message


def test_policies_are_for_both_types(made: Made) -> None:
    """TLS listeners of Network Load Balancers have the same security policies; Gateway Load Balancers have none."""
    policies = made.elb.describe_ssl_policies()["SslPolicies"]
    assert {tuple(each["SupportedLoadBalancerTypes"]) for each in policies} == {("application", "network")}
    for kind, count in (("application", len(policies)), ("network", len(policies)), ("gateway", 0)):
        assert len(made.elb.describe_ssl_policies(LoadBalancerType=kind)["SslPolicies"]) == count
