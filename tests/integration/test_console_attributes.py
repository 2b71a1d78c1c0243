"""Forms of the console that change what load balancers, target groups and listeners are."""

from collections.abc import Iterator
from typing import Any

import pytest
from console_lab import Console, choose
from playwright.sync_api import expect

from portside.testing.balancer_lab import LabAuthority
from portside.testing.instance import Instance, instance
from portside.testing.wait import free_port

pytestmark = pytest.mark.integration

COMMAND = "Command"


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    with instance() as running:
        yield running


def balancer(portside: Instance, name: str, **more: Any) -> str:
    made = portside.client("elbv2").create_load_balancer(Name=name, Subnets=portside.subnets()[:2], **more)
    return str(made["LoadBalancers"][0]["LoadBalancerArn"])


def target_group(portside: Instance, name: str, protocol: str = "HTTP") -> str:
    vpc = portside.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    made = portside.client("elbv2").create_target_group(
        Name=name, Protocol=protocol, Port=80, VpcId=vpc, TargetType="ip"
    )
    return str(made["TargetGroups"][0]["TargetGroupArn"])


def attributes(portside: Instance, arn: str) -> dict[str, str]:
    elb = portside.client("elbv2")
    if ":listener/" in arn:
        found = elb.describe_listener_attributes(ListenerArn=arn)
    elif ":targetgroup/" in arn:
        found = elb.describe_target_group_attributes(TargetGroupArn=arn)
    else:
        found = elb.describe_load_balancer_attributes(LoadBalancerArn=arn)
    return {each["Key"]: each["Value"] for each in found["Attributes"]}


def test_attributes_of_a_load_balancer(portside: Instance, console: Console) -> None:
    """The form has what the server describes, sends what changed alone, and tells at the field what was refused."""
    arn = balancer(portside, "edge")
    before = attributes(portside, arn)
    page = console.open("load-balancers/edge")
    console.see(f"({len(before)})")
    page.get_by_role("button", name="Edit attributes").click()
    form = page.get_by_role("dialog")
    save = form.get_by_role("button", name="Save", exact=True)
    expect(save).to_be_disabled()
    console.accessible()
    form.get_by_label("Idle timeout, in seconds", exact=True).fill("9999")
    save.click()
    expect(form.get_by_text("must be between '1' and '4000'").first).to_be_visible()
    expect(form.get_by_text("must be between '1' and '4000'")).to_have_count(2)
    console.accessible()
    form.get_by_label("Idle timeout, in seconds", exact=True).fill("90")
    choose(form, "Desync mitigation", "strictest")
    form.get_by_text("Deletion protection", exact=True).click()
    command = form.get_by_label(COMMAND, exact=True)
    expect(command).to_contain_text("aws elbv2 modify-load-balancer-attributes")
    expect(command).to_contain_text('"Key":"idle_timeout.timeout_seconds","Value":"90"')
    expect(command).not_to_contain_text("http2")
    save.click()
    expect(form).to_have_count(0)
    assert attributes(portside, arn) == before | {
        "idle_timeout.timeout_seconds": "90",
        "routing.http.desync_mitigation_mode": "strictest",
        "deletion_protection.enabled": "true",
    }
    page.get_by_role("button", name="Attributes", exact=False).first.click()
    console.see("strictest")
    console.accessible()
    page.get_by_role("button", name="Delete", exact=True).click()
    form.get_by_role("button", name="Delete", exact=True).click()
    expect(form.get_by_text("OperationNotPermitted").first).to_be_visible()


def test_where_a_load_balancer_stands(portside: Instance, console: Console) -> None:
    """Security groups and subnets are set by forms; what the server refuses is told there."""
    arn = balancer(portside, "placed")
    ec2 = portside.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="doors", Description="doors", VpcId=vpc)["GroupId"]
    page = console.open("load-balancers/placed")
    page.get_by_role("button", name="Edit security groups").click()
    form = page.get_by_role("dialog")
    console.accessible()
    choose(form, "Security groups", "doors")
    page.keyboard.press("Escape")
    expect(form.get_by_label(COMMAND, exact=True)).to_contain_text("aws elbv2 set-security-groups")
    form.get_by_role("button", name="Save", exact=True).click()
    expect(form).to_have_count(0)
    expect(page.get_by_role("link", name=group)).to_be_visible()
    page.get_by_role("button", name="Edit subnets").click()
    first = portside.subnets()[0]
    form.get_by_role("button", name=f"Remove {first}").click()
    expect(form.get_by_label(COMMAND, exact=True)).to_contain_text("aws elbv2 set-subnets")
    form.get_by_role("button", name="Save", exact=True).click()
    expect(form.get_by_text("ValidationError").first).to_be_visible()
    console.accessible()
    found = portside.client("elbv2").describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
    assert group in found["SecurityGroups"]
    assert len(found["AvailabilityZones"]) == 2


def test_health_checks_and_attributes_of_a_target_group(portside: Instance, console: Console) -> None:
    """Both forms send what changed alone, with the command, and have the server's errors at their fields."""
    arn = target_group(portside, "fronts")
    elb = portside.client("elbv2")
    page = console.open("target-groups/fronts")
    page.get_by_role("button", name="Edit health checks").click()
    form = page.get_by_role("dialog")
    save = form.get_by_role("button", name="Save", exact=True)
    expect(save).to_be_disabled()
    form.get_by_label("Every, in seconds", exact=True).fill("2")
    save.click()
    expect(form.get_by_text("at 'healthCheckIntervalSeconds' failed to satisfy")).to_have_count(2)
    form.get_by_label("Every, in seconds", exact=True).fill("5")
    save.click()
    expect(form.get_by_text("Health check timeout '5' must be smaller")).to_have_count(2)
    console.accessible()
    form.get_by_label("Every, in seconds", exact=True).fill("10")
    form.get_by_label("Path", exact=True).fill("/up")
    form.get_by_label("Good codes", exact=True).fill("200-204")
    command = form.get_by_label(COMMAND, exact=True)
    expect(command).to_contain_text("aws elbv2 modify-target-group ")
    expect(command).not_to_contain_text("health-check-timeout-seconds")
    save.click()
    expect(form).to_have_count(0)
    console.see("10 s, with 5 s to answer")
    console.see("HTTP /up")
    group = elb.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0]
    assert group["Matcher"] == {"HttpCode": "200-204"}

    before = attributes(portside, arn)
    page.get_by_role("button", name="Edit attributes").click()
    console.accessible()
    form.get_by_label("Deregistration delay, in seconds", exact=True).fill("5")
    form.get_by_label("Slow start, in seconds", exact=True).fill("7")
    save.click()
    expect(form.get_by_text("must be between '30' and '900'")).to_have_count(2)
    form.get_by_label("Slow start, in seconds", exact=True).fill("0")
    choose(form, "Algorithm", "least_outstanding_requests")
    choose(form, "Cross-zone load balancing", "true")
    form.get_by_text("Stickiness", exact=True).click()
    expect(command).to_contain_text("aws elbv2 modify-target-group-attributes")
    save.click()
    expect(form).to_have_count(0)
    assert attributes(portside, arn) == before | {
        "deregistration_delay.timeout_seconds": "5",
        "load_balancing.algorithm.type": "least_outstanding_requests",
        "load_balancing.cross_zone.enabled": "true",
        "stickiness.enabled": "true",
    }


def test_a_target_group_of_a_network_load_balancer_checks_by_http(portside: Instance, console: Console) -> None:
    """From TCP to HTTP: path and codes come into the form, and all of it is sent."""
    arn = target_group(portside, "flows", "TCP")
    page = console.open("target-groups/flows")
    page.get_by_role("button", name="Edit health checks").click()
    form = page.get_by_role("dialog")
    expect(form.get_by_label("Path", exact=True)).to_have_count(0)
    choose(form, "Protocol", "HTTP")
    form.get_by_label("Path", exact=True).fill("/live")
    form.get_by_role("button", name="Save", exact=True).click()
    expect(form).to_have_count(0)
    group = portside.client("elbv2").describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0]
    assert (group["HealthCheckProtocol"], group["HealthCheckPath"]) == ("HTTP", "/live")
    assert group["HealthCheckTimeoutSeconds"] == 10
    page.get_by_role("button", name="Edit attributes").click()
    expect(form.get_by_label("Algorithm", exact=True)).to_have_count(0)
    expect(form.get_by_text("Proxy protocol, version 2", exact=True)).to_be_visible()


def test_attributes_of_a_listener(portside: Instance, console: Console) -> None:
    """Headers of answers and the idle timeout of flows are set by the form, which tells at the field what was
    refused."""
    elb = portside.client("elbv2")
    port = free_port()
    arn = elb.create_listener(
        LoadBalancerArn=balancer(portside, "talks"),
        Protocol="HTTP",
        Port=port,
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
    )["Listeners"][0]["ListenerArn"]
    before = attributes(portside, arn)
    page = console.open("load-balancers/talks")
    page.get_by_role("button", name=f"Edit attributes of HTTP {port}").click()
    form = page.get_by_role("dialog")
    save = form.get_by_role("button", name="Save", exact=True)
    expect(save).to_be_disabled()
    form.get_by_label("X-Frame-Options", exact=True).fill("DENY " + "x" * 1100)
    save.click()
    expect(form.get_by_text("is not a valid value for attribute")).to_have_count(2)
    form.get_by_label("X-Frame-Options", exact=True).fill("DENY")
    form.get_by_label("Access-Control-Allow-Credentials", exact=True).fill("true")
    form.get_by_text("Server header in answers", exact=True).click()
    command = form.get_by_label(COMMAND, exact=True)
    expect(command).to_contain_text("aws elbv2 modify-listener-attributes")
    expect(command).not_to_contain_text("strict_transport_security")
    console.accessible()
    save.click()
    expect(form).to_have_count(0)
    assert attributes(portside, arn) == before | {
        "routing.http.response.x_frame_options.header_value": "DENY",
        "routing.http.response.access_control_allow_credentials.header_value": "true",
        "routing.http.response.server.enabled": "false",
    }
    page.get_by_role("button", name=f"Edit attributes of HTTP {port}").click()
    expect(form.get_by_label("Access-Control-Allow-Credentials", exact=True)).to_have_value("true")


def imported(portside: Instance, name: str) -> str:
    """The ARN of a certificate of that name."""
    authority = LabAuthority()
    made = authority.issue(name)
    answer = portside.client("acm").import_certificate(
        Certificate=made.chain_pem.removesuffix(authority.root_pem).encode(),
        PrivateKey=made.key_pem.encode(),
        CertificateChain=authority.root_pem.encode(),
    )
    return str(answer["CertificateArn"])


def test_certificates_of_a_listener(portside: Instance, console: Console) -> None:
    """Certificates are added, made the default one and removed; what removes asks first."""
    first, second = imported(portside, "one.test"), imported(portside, "two.test")
    elb = portside.client("elbv2")
    port = free_port()
    listener = elb.create_listener(
        LoadBalancerArn=balancer(portside, "secure"),
        Protocol="HTTPS",
        Port=port,
        Certificates=[{"CertificateArn": first}],
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
    )["Listeners"][0]["ListenerArn"]

    def known() -> list[tuple[str, bool]]:
        found = elb.describe_listener_certificates(ListenerArn=listener)["Certificates"]
        return [(each["CertificateArn"], each["IsDefault"]) for each in found]

    page = console.open("load-balancers/secure")
    expect(console.row("one.test")).to_contain_text("Default")
    page.get_by_role("button", name=f"Add certificates to HTTPS {port}").click()
    form = page.get_by_role("dialog")
    choose(form, "Certificates", "two.test")
    page.keyboard.press("Escape")
    command = form.get_by_label(COMMAND, exact=True)
    expect(command).to_contain_text("aws elbv2 add-listener-certificates")
    console.accessible()
    form.get_by_role("button", name="Add", exact=True).click()
    expect(console.row("two.test")).to_be_visible()
    assert known() == [(first, True), (second, False)]
    page.get_by_role("button", name="Make default: two.test").click()
    expect(command).to_contain_text("aws elbv2 modify-listener")
    form.get_by_role("button", name="Make default", exact=True).click()
    expect(console.row("two.test").first).to_contain_text("Default")
    expect(console.row("one.test")).to_have_count(0)
    elb.add_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": first}])
    page.get_by_role("button", name="Remove one.test").click()
    expect(command).to_contain_text("aws elbv2 remove-listener-certificates")
    console.accessible()
    form.get_by_role("button", name="Remove", exact=True).click()
    expect(console.row("one.test")).to_have_count(0)


def test_weights_of_target_groups(portside: Instance, console: Console) -> None:
    """A rule that forwards to one group forwards to two by weight, and to one again."""
    elb = portside.client("elbv2")
    blue, green = target_group(portside, "blue"), target_group(portside, "green")
    port = free_port()
    listener = elb.create_listener(
        LoadBalancerArn=balancer(portside, "split"),
        Protocol="HTTP",
        Port=port,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": blue}],
    )["Listeners"][0]["ListenerArn"]

    def weights() -> dict[str, int]:
        action = elb.describe_listeners(ListenerArns=[listener])["Listeners"][0]["DefaultActions"][0]
        return {each["TargetGroupArn"]: each["Weight"] for each in action["ForwardConfig"]["TargetGroups"]}

    page = console.open("load-balancers/split")
    change = page.get_by_role("button", name="Change what rule default does")
    change.click()
    form = page.get_by_role("dialog")
    form.get_by_role("button", name="Add a target group, by weight").click()
    save = form.get_by_role("button", name="Change", exact=True)
    expect(save).to_be_disabled()
    choose(form, "Target group 2", "green")
    form.get_by_label("Weight 1", exact=True).fill("90")
    form.get_by_label("Weight 2", exact=True).fill("10")
    expect(form.get_by_label(COMMAND, exact=True)).to_contain_text('"Weight":90')
    console.accessible()
    save.click()
    expect(console.row("Anything else")).to_contain_text("forward to blue (90), green (10)")
    assert weights() == {blue: 90, green: 10}
    change.click()
    expect(form.get_by_label("Weight 1", exact=True)).to_have_value("90")
    form.get_by_role("button", name="Remove target group 1").click()
    save.click()
    expect(console.row("Anything else")).to_contain_text("forward to green")
    assert weights() == {green: 1}
