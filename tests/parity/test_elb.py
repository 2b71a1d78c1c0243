"""Classic Load Balancers through boto3 and the aws command: shapes, errors, idempotency, and what is made of them."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from portside.api.acm.service import acm_service
from portside.api.ec2.default_network import ensure_default_network
from portside.api.ec2.service import ec2_service
from portside.api.elb.service import elb_service
from portside.api.elbv2.service import elbv2_service
from portside.control.clock import RandomIds, SystemClock
from portside.domain.instance import Instance, InstanceState
from portside.domain.record import Scope, replace
from portside.domain.table import INSTANCE, LISTENER, LOAD_BALANCER, TARGET, TARGET_GROUP
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.vault.aes import AesVault

SCOPE = Scope(account="000000000000", region="us-east-1")
HTTP = {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 8080}
TCP = {"Protocol": "tcp", "LoadBalancerPort": 5432, "InstancePort": 5432}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def served(serve: Callable[..., Any], store: MemoryStore) -> Any:
    clock, ids = SystemClock(), RandomIds()
    ensure_default_network(store, clock, ids, SCOPE)
    return serve(
        [
            ec2_service(store, clock, ids),
            elbv2_service(store, clock, ids),
            elb_service(store, clock, ids),
            acm_service(store, AesVault(bytes(32)), clock, ids),
        ]
    )


@pytest.fixture
def elb(served: Any) -> Any:
    return served.client("elb")


@pytest.fixture
def subnets(served: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.client("ec2").describe_subnets()["Subnets"]
    return sorted(found, key=lambda subnet: subnet["AvailabilityZone"])


@pytest.fixture
def instances(store: MemoryStore, subnets: list[dict[str, Any]]) -> list[str]:
    """Two that run."""
    ids = []
    for number, subnet in enumerate(subnets[:2]):
        made = Instance(
            scope=SCOPE,
            id=f"i-0000000000000000{number}",
            reservation_id="r-0",
            image_id="ami-0",
            instance_type="t3.small",
            eni_id=f"eni-{number}",
            subnet_id=subnet["SubnetId"],
            vpc_id=subnet["VpcId"],
            zone=subnet["AvailabilityZone"],
            address=f"172.31.{number}.9",
            launched_at=datetime.now(UTC),
            state=InstanceState.RUNNING,
        )
        store.transact(Put(INSTANCE, made))
        ids.append(made.id)
    return ids


def make(elb: Any, subnets: list[dict[str, Any]], *listeners: dict[str, Any], name: str = "web", **more: Any) -> str:
    ids = [subnet["SubnetId"] for subnet in subnets[:2]]
    made = elb.create_load_balancer(LoadBalancerName=name, Subnets=ids, Listeners=list(listeners) or [HTTP], **more)
    return str(made["DNSName"])


def shown(elb: Any, name: str = "web") -> dict[str, Any]:
    (found,) = elb.describe_load_balancers(LoadBalancerNames=[name])["LoadBalancerDescriptions"]
    return dict(found)


def error_of(call: Callable[..., Any], **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return str(error["Code"]), str(error["Message"])


def named(ids: list[str]) -> list[dict[str, str]]:
    return [{"InstanceId": each} for each in ids]


def test_created_and_described(elb: Any, subnets: list[dict[str, Any]]) -> None:
    """A load balancer is described as it was made, with AWS's defaults."""
    dns = make(elb, subnets, HTTP, TCP, Tags=[{"Key": "team", "Value": "blue"}])
    assert dns.startswith("web-")
    assert dns.endswith(".us-east-1.elb.localhost")
    found = shown(elb)
    assert found["DNSName"] == found["CanonicalHostedZoneName"] == dns
    assert [each["Listener"] for each in found["ListenerDescriptions"]] == [
        {**HTTP, "InstanceProtocol": "HTTP"},
        {**TCP, "Protocol": "TCP", "InstanceProtocol": "TCP"},
    ]
    assert found["HealthCheck"] == {
        "Target": "TCP:8080",
        "Interval": 30,
        "Timeout": 5,
        "UnhealthyThreshold": 2,
        "HealthyThreshold": 10,
    }
    assert found["Scheme"] == "internet-facing"
    assert found["Subnets"] == [subnet["SubnetId"] for subnet in subnets[:2]]
    assert found["AvailabilityZones"] == [subnet["AvailabilityZone"] for subnet in subnets[:2]]
    assert found["VPCId"] == subnets[0]["VpcId"]
    assert found["SourceSecurityGroup"] == {"OwnerAlias": "000000000000", "GroupName": "default"}
    assert found["Instances"] == []
    tags = elb.describe_tags(LoadBalancerNames=["web"])["TagDescriptions"]
    assert tags == [{"LoadBalancerName": "web", "Tags": [{"Key": "team", "Value": "blue"}]}]


def test_created_again(elb: Any, subnets: list[dict[str, Any]]) -> None:
    """The same load balancer again is answered as it is, another one of its name refused, in either API."""
    dns = make(elb, subnets)
    assert make(elb, subnets) == dns
    code, said = error_of(
        elb.create_load_balancer, LoadBalancerName="web", Subnets=[subnets[0]["SubnetId"]], Listeners=[HTTP]
    )
    assert code == "DuplicateLoadBalancerName"
    assert said == "Load Balancer named 'web' already exists and it is configured with different parameters."


def test_two_apis_at_one_address(served: Any, elb: Any, store: MemoryStore, subnets: list[dict[str, Any]]) -> None:
    """Each of the two APIs sees its own load balancers alone, though they share a host, names and a data plane."""
    make(elb, subnets)
    v2 = served.client("elbv2")
    v2.create_load_balancer(Name="site", Subnets=[subnet["SubnetId"] for subnet in subnets[:2]])
    assert [each["LoadBalancerName"] for each in v2.describe_load_balancers()["LoadBalancers"]] == ["site"]
    found = elb.describe_load_balancers()["LoadBalancerDescriptions"]
    assert [each["LoadBalancerName"] for each in found] == ["web"]
    assert v2.describe_target_groups()["TargetGroups"] == []
    (hidden,) = [each for each in store.scan(LOAD_BALANCER) if each.name == "web"]
    assert error_of(v2.describe_listeners, LoadBalancerArn=hidden.arn)[0] == "LoadBalancerNotFound"
    v2.delete_load_balancer(LoadBalancerArn=hidden.arn)
    (listener,) = store.scan(LISTENER)
    assert error_of(v2.delete_listener, ListenerArn=listener.arn)[0] == "ListenerNotFound"
    (group,) = store.scan(TARGET_GROUP)
    assert error_of(v2.describe_target_health, TargetGroupArn=group.arn)[0] == "TargetGroupNotFound"
    assert shown(elb)["LoadBalancerName"] == "web"
    code, _ = error_of(v2.create_load_balancer, Name="web", Subnets=[subnet["SubnetId"] for subnet in subnets[:2]])
    assert code == "DuplicateLoadBalancerName"


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ({"LoadBalancerName": "a_b"}, "ValidationError", "alphanumeric characters and hyphens"),
        ({"LoadBalancerName": "x" * 33}, "ValidationError", "cannot be longer than 32 characters"),
        ({"LoadBalancerName": "-a"}, "ValidationError", "cannot begin or end with a hyphen"),
        ({"Scheme": "public"}, "InvalidScheme", "public"),
        ({"Subnets": ["subnet-0"]}, "SubnetNotFound", "subnet-0"),
        ({"Subnets": []}, "ValidationError", "Either AvailabilityZones or SubnetIds must be specified"),
        (
            {"AvailabilityZones": ["us-east-1a"]},
            "ValidationError",
            "Only one of SubnetIds or AvailabilityZones parameter may be specified",
        ),
        ({"SecurityGroups": ["sg-0"]}, "InvalidSecurityGroup", "sg-0"),
        ({"Listeners": [{**HTTP, "Protocol": "UDP"}]}, "ValidationError", "must be one of HTTP, HTTPS, TCP, SSL"),
        ({"Listeners": [{**HTTP, "InstanceProtocol": "TCP"}]}, "ValidationError", "must be HTTP or HTTPS"),
        ({"Listeners": [{**TCP, "InstanceProtocol": "HTTP"}]}, "ValidationError", "must be TCP or SSL"),
        ({"Listeners": [{**HTTP, "Protocol": "HTTPS"}]}, "ValidationError", "must specify an SSLCertificateId"),
        (
            {"Listeners": [{**HTTP, "Protocol": "HTTPS", "SSLCertificateId": "arn:x"}]},
            "CertificateNotFound",
            "Server Certificate not found for the key: arn:x",
        ),
        ({"Listeners": [HTTP, {**HTTP, "InstancePort": 81}]}, "DuplicateListener", "with LoadBalancerPort 80"),
        ({"Tags": [{"Key": "a"}, {"Key": "a"}]}, "DuplicateTagKeys", "a"),
    ],
)
def test_refused(elb: Any, subnets: list[dict[str, Any]], more: dict[str, Any], code: str, said: str) -> None:
    """What a load balancer can not be is refused with AWS's code."""
    good = {"LoadBalancerName": "web", "Subnets": [subnets[0]["SubnetId"]], "Listeners": [HTTP]}
    found = error_of(elb.create_load_balancer, **{**good, **more})
    assert found[0] == code
    assert said in found[1]
    assert elb.describe_load_balancers()["LoadBalancerDescriptions"] == []


def test_listeners(elb: Any, store: MemoryStore, subnets: list[dict[str, Any]]) -> None:
    """Listeners are added and removed; the same one again changes nothing, another one on its port is refused."""
    make(elb, subnets)
    elb.create_load_balancer_listeners(LoadBalancerName="web", Listeners=[TCP, HTTP])
    assert [each["Listener"]["LoadBalancerPort"] for each in shown(elb)["ListenerDescriptions"]] == [80, 5432]
    code, said = error_of(
        elb.create_load_balancer_listeners, LoadBalancerName="web", Listeners=[{**TCP, "InstancePort": 1}]
    )
    assert code == "DuplicateListener"
    assert said == (
        "A listener already exists for web with LoadBalancerPort 5432, but with a different InstancePort, Protocol, "
        "or SSLCertificateId"
    )
    elb.delete_load_balancer_listeners(LoadBalancerName="web", LoadBalancerPorts=[80, 5432, 7])
    assert shown(elb)["ListenerDescriptions"] == []
    assert list(store.scan(TARGET_GROUP)) == list(store.scan(LISTENER)) == []


def test_health_check(elb: Any, subnets: list[dict[str, Any]]) -> None:
    """The health check is as asked for; what it can not be is refused in AWS's words."""
    make(elb, subnets)
    check = {
        "Target": "HTTP:8080/ping?a=b",
        "Interval": 5,
        "Timeout": 2,
        "UnhealthyThreshold": 2,
        "HealthyThreshold": 3,
    }
    answer = elb.configure_health_check(LoadBalancerName="web", HealthCheck=check)
    assert answer["HealthCheck"] == check == shown(elb)["HealthCheck"]
    for more, said in (
        ({"Target": "UDP:1"}, "HealthCheck Target must begin with one of HTTP, TCP, HTTPS, SSL"),
        ({"Target": "HTTP:80"}, "must specify a port followed by a path that begins with a slash"),
        ({"Target": "TCP:80/x"}, "must specify a port only"),
        ({"Timeout": 5}, "HealthCheck timeout must be less than interval"),
        ({"Target": "TCP:0"}, "port must be between 1 and 65535"),
    ):
        params = {"LoadBalancerName": "web", "HealthCheck": {**check, **more}}
        code, found = error_of(elb.configure_health_check, **params)
        assert code == "ValidationError"
        assert said in found


def test_instances(elb: Any, store: MemoryStore, subnets: list[dict[str, Any]], instances: list[str]) -> None:
    """Instances are registered at every port that listeners lead to, and out of service until a check succeeds."""
    make(elb, subnets, HTTP, TCP)
    answer = elb.register_instances_with_load_balancer(LoadBalancerName="web", Instances=named(instances))
    assert answer["Instances"] == named(instances) == shown(elb)["Instances"]
    assert {(each.id, each.port, each.address) for each in store.scan(TARGET)} == {
        (instance, port, f"172.31.{number}.9") for number, instance in enumerate(instances) for port in (8080, 5432)
    }
    states = elb.describe_instance_health(LoadBalancerName="web")["InstanceStates"]
    assert states == [
        {
            "InstanceId": instance,
            "State": "OutOfService",
            "ReasonCode": "ELB",
            "Description": "Instance registration is still in progress.",
        }
        for instance in instances
    ]
    for target in list(store.scan(TARGET)):
        store.transact(Put(TARGET, replace(target, checked="healthy" if target.id == instances[0] else "unhealthy")))
    elb.get_waiter("any_instance_in_service").wait(LoadBalancerName="web")
    elb.get_waiter("instance_in_service").wait(LoadBalancerName="web", Instances=named(instances[:1]))
    first, second = elb.describe_instance_health(LoadBalancerName="web")["InstanceStates"]
    assert first == {
        "InstanceId": instances[0],
        "State": "InService",
        "ReasonCode": "N/A",
        "Description": "N/A",
    }
    assert (second["State"], second["ReasonCode"]) == ("OutOfService", "Instance")
    assert second["Description"] == (
        "Instance has failed at least the UnhealthyThreshold number of health checks consecutively."
    )


def test_deregistered(elb: Any, store: MemoryStore, subnets: list[dict[str, Any]], instances: list[str]) -> None:
    """A deregistered instance is none of the load balancer's at once, and drains for as long as connections may."""
    make(elb, subnets)
    elb.modify_load_balancer_attributes(
        LoadBalancerName="web",
        LoadBalancerAttributes={"ConnectionDraining": {"Enabled": True, "Timeout": 60}},
    )
    elb.register_instances_with_load_balancer(LoadBalancerName="web", Instances=named(instances))
    answer = elb.deregister_instances_from_load_balancer(LoadBalancerName="web", Instances=named(instances[:1]))
    assert answer["Instances"] == named(instances[1:]) == shown(elb)["Instances"]
    (state,) = elb.describe_instance_health(LoadBalancerName="web", Instances=named(instances[:1]))["InstanceStates"]
    assert (state["State"], state["Description"]) == ("InService", "Instance deregistration currently in progress.")
    (group,) = store.scan(TARGET_GROUP)
    assert group.attributes["deregistration_delay.timeout_seconds"] == "60"
    (gone,) = [each for each in store.scan(TARGET) if each.deregistered_at is not None]
    store.transact(Put(TARGET, replace(gone, deregistered_at=None)))
    elb.delete_load_balancer_listeners(LoadBalancerName="web", LoadBalancerPorts=[80])
    elb.get_waiter("instance_deregistered").wait(LoadBalancerName="web", Instances=named(instances[:1]))
    elb.create_load_balancer_listeners(LoadBalancerName="web", Listeners=[HTTP])
    assert [each.id for each in store.scan(TARGET)] == instances[1:]


def test_instances_that_can_not_be(elb: Any, subnets: list[dict[str, Any]], instances: list[str]) -> None:
    """Instances that are not there are refused, registered or asked about."""
    make(elb, subnets)
    unknown = named(["i-0000000000000000f"])
    said = ("InvalidInstance", "Could not find EC2 instance i-0000000000000000f.")
    for call in (
        elb.register_instances_with_load_balancer,
        elb.deregister_instances_from_load_balancer,
        elb.describe_instance_health,
    ):
        assert error_of(call, LoadBalancerName="web", Instances=unknown) == said
    (state,) = elb.describe_instance_health(LoadBalancerName="web", Instances=named(instances[:1]))["InstanceStates"]
    assert state["Description"] == "Instance is not currently registered with the LoadBalancer."


def test_stickiness(elb: Any, store: MemoryStore, subnets: list[dict[str, Any]]) -> None:
    """A policy of the load balancer's cookie makes an HTTP listener sticky; while it is used it can not be deleted."""
    make(elb, subnets, HTTP, TCP)
    elb.create_lb_cookie_stickiness_policy(LoadBalancerName="web", PolicyName="hour", CookieExpirationPeriod=3600)
    elb.create_lb_cookie_stickiness_policy(LoadBalancerName="web", PolicyName="browser")
    assert shown(elb)["Policies"]["LBCookieStickinessPolicies"] == [
        {"PolicyName": "hour", "CookieExpirationPeriod": 3600},
        {"PolicyName": "browser"},
    ]
    of_listener = {"LoadBalancerName": "web", "LoadBalancerPort": 80}
    elb.set_load_balancer_policies_of_listener(**of_listener, PolicyNames=["hour"])
    assert shown(elb)["ListenerDescriptions"][0]["PolicyNames"] == ["hour"]
    cookies = {each.port: each.default_action.cookie for each in store.scan(LISTENER)}  # type: ignore[union-attr]
    assert cookies[5432] is None
    assert (cookies[80].name, cookies[80].duration_s) == ("AWSELB", 3600)  # type: ignore[union-attr]
    for call, params, code in (
        (elb.delete_load_balancer_policy, {"PolicyName": "hour"}, "InvalidConfigurationRequest"),
        (
            elb.set_load_balancer_policies_of_listener,
            {"LoadBalancerPort": 80, "PolicyNames": ["hour", "browser"]},
            "InvalidConfigurationRequest",
        ),
        (
            elb.set_load_balancer_policies_of_listener,
            {"LoadBalancerPort": 5432, "PolicyNames": ["hour"]},
            "InvalidConfigurationRequest",
        ),
        (
            elb.set_load_balancer_policies_of_listener,
            {"LoadBalancerPort": 80, "PolicyNames": ["none"]},
            "PolicyNotFound",
        ),
        (
            elb.set_load_balancer_policies_of_listener,
            {"LoadBalancerPort": 81, "PolicyNames": ["hour"]},
            "ListenerNotFound",
        ),
        (
            elb.create_lb_cookie_stickiness_policy,
            {"PolicyName": "hour", "CookieExpirationPeriod": 60},
            "DuplicatePolicyName",
        ),
        (
            elb.create_load_balancer_policy,
            {"PolicyName": "x", "PolicyTypeName": "Nothing"},
            "PolicyTypeNotFound",
        ),
        (
            elb.create_load_balancer_policy,
            {"PolicyName": "x", "PolicyTypeName": "PublicKeyPolicyType"},
            "InvalidConfigurationRequest",
        ),
    ):
        assert error_of(call, LoadBalancerName="web", **params)[0] == code
    elb.set_load_balancer_policies_of_listener(**of_listener, PolicyNames=[])
    elb.delete_load_balancer_policy(LoadBalancerName="web", PolicyName="hour")
    names = [
        each["PolicyName"] for each in elb.describe_load_balancer_policies(LoadBalancerName="web")["PolicyDescriptions"]
    ]
    assert names == ["browser"]


def test_stickiness_by_an_applications_cookie(elb: Any, store: MemoryStore, subnets: list[dict[str, Any]]) -> None:
    """A policy that follows a cookie of the application's is made by either operation; a name no cookie can have is
    refused, and so are two policies of stickiness on one listener."""
    make(elb, subnets)
    name = {"LoadBalancerName": "web"}
    elb.create_app_cookie_stickiness_policy(**name, PolicyName="java", CookieName="JSESSIONID")
    elb.create_load_balancer_policy(
        **name,
        PolicyName="php",
        PolicyTypeName="AppCookieStickinessPolicyType",
        PolicyAttributes=[{"AttributeName": "CookieName", "AttributeValue": "PHPSESSID"}],
    )
    assert shown(elb)["Policies"]["AppCookieStickinessPolicies"] == [
        {"PolicyName": "java", "CookieName": "JSESSIONID"},
        {"PolicyName": "php", "CookieName": "PHPSESSID"},
    ]
    elb.set_load_balancer_policies_of_listener(**name, LoadBalancerPort=80, PolicyNames=["java"])
    (listener,) = store.scan(LISTENER)
    assert listener.default_action.cookie.follows == "JSESSIONID"  # type: ignore[union-attr]
    for cookie in ("", "a b", 'a"b', "a;b", "AWSELB"):
        params = {**name, "PolicyName": "bad", "CookieName": cookie}
        assert error_of(elb.create_app_cookie_stickiness_policy, **params)[0] == "ValidationError"
    elb.create_lb_cookie_stickiness_policy(**name, PolicyName="lb")
    params = {**name, "LoadBalancerPort": 80, "PolicyNames": ["java", "lb"]}
    assert error_of(elb.set_load_balancer_policies_of_listener, **params)[0] == "InvalidConfigurationRequest"


def test_proxy_protocol(elb: Any, store: MemoryStore, subnets: list[dict[str, Any]]) -> None:
    """A proxy protocol policy holds for a port of the instances, until it is taken away."""
    make(elb, subnets, HTTP, TCP)
    elb.create_load_balancer_policy(
        LoadBalancerName="web",
        PolicyName="proxy",
        PolicyTypeName="ProxyProtocolPolicyType",
        PolicyAttributes=[{"AttributeName": "ProxyProtocol", "AttributeValue": "true"}],
    )
    assert shown(elb)["Policies"]["OtherPolicies"] == ["proxy"]
    backend = {"LoadBalancerName": "web", "InstancePort": 5432}
    elb.set_load_balancer_policies_for_backend_server(**backend, PolicyNames=["proxy"])
    assert shown(elb)["BackendServerDescriptions"] == [{"InstancePort": 5432, "PolicyNames": ["proxy"]}]
    assert {each.port: each.classic.proxy_protocol for each in store.scan(TARGET_GROUP) if each.classic} == {
        8080: False,
        5432: True,
    }
    elb.set_load_balancer_policies_for_backend_server(**backend, PolicyNames=[])
    assert shown(elb)["BackendServerDescriptions"] == []
    types = elb.describe_load_balancer_policy_types()["PolicyTypeDescriptions"]
    assert [each["PolicyTypeName"] for each in types] == [
        "LBCookieStickinessPolicyType",
        "AppCookieStickinessPolicyType",
        "ProxyProtocolPolicyType",
        "SSLNegotiationPolicyType",
        "PublicKeyPolicyType",
        "BackendServerAuthenticationPolicyType",
    ]


def test_tls(served: Any, elb: Any, store: MemoryStore, subnets: list[dict[str, Any]]) -> None:
    """HTTPS and SSL listeners have a certificate of ACM and the default security policy until another one is set."""
    acm = served.client("acm")
    first, second = (acm.request_certificate(DomainName=f"{name}.test")["CertificateArn"] for name in "ab")
    secured = {**HTTP, "Protocol": "HTTPS", "LoadBalancerPort": 443, "SSLCertificateId": first}
    make(elb, subnets, secured)
    (listener,) = shown(elb)["ListenerDescriptions"]
    assert listener["PolicyNames"] == ["ELBSecurityPolicy-2016-08"]
    assert listener["Listener"]["SSLCertificateId"] == first
    of_listener = {"LoadBalancerName": "web", "LoadBalancerPort": 443}
    elb.set_load_balancer_listener_ssl_certificate(**of_listener, SSLCertificateId=second)
    elb.create_load_balancer_policy(
        LoadBalancerName="web",
        PolicyName="strict",
        PolicyTypeName="SSLNegotiationPolicyType",
        PolicyAttributes=[
            {"AttributeName": "Reference-Security-Policy", "AttributeValue": "ELBSecurityPolicy-TLS-1-2-2017-01"}
        ],
    )
    elb.set_load_balancer_policies_of_listener(**of_listener, PolicyNames=["strict"])
    (kept,) = store.scan(LISTENER)
    assert (kept.protocol, kept.certificate_arn) == ("HTTPS", second)
    assert kept.ssl_policy == "ELBSecurityPolicy-TLS-1-2-2017-01"
    code, _ = error_of(
        elb.set_load_balancer_listener_ssl_certificate,
        LoadBalancerName="web",
        LoadBalancerPort=444,
        SSLCertificateId=second,
    )
    assert code == "ListenerNotFound"
    predefined = elb.describe_load_balancer_policies()["PolicyDescriptions"]
    assert "ELBSecurityPolicy-2016-08" in [each["PolicyName"] for each in predefined]


def test_a_security_policy_of_ones_own(
    served: Any, elb: Any, store: MemoryStore, subnets: list[dict[str, Any]]
) -> None:
    """A policy may name versions and ciphers itself; what can not be enforced is refused, and so is nothing at all."""
    arn = served.client("acm").request_certificate(DomainName="a.test")["CertificateArn"]
    make(elb, subnets, {**HTTP, "Protocol": "HTTPS", "LoadBalancerPort": 443, "SSLCertificateId": arn})

    def create(name: str, **values: str) -> None:
        elb.create_load_balancer_policy(
            LoadBalancerName="web",
            PolicyName=name,
            PolicyTypeName="SSLNegotiationPolicyType",
            PolicyAttributes=[
                {"AttributeName": key.replace("_", "-"), "AttributeValue": value} for key, value in values.items()
            ],
        )

    cipher = {"ECDHE_RSA_AES128_GCM_SHA256": "true", "DES_CBC3_SHA": "false", "AES128_SHA": "false"}
    create("own", **{"Protocol_TLSv1.2": "true", "Protocol_TLSv1": "false", **cipher})
    elb.set_load_balancer_policies_of_listener(LoadBalancerName="web", LoadBalancerPort=443, PolicyNames=["own"])
    (listener,) = store.scan(LISTENER)
    assert listener.own_ssl_policy is not None
    assert listener.own_ssl_policy.versions == ("TLSv1.2",)
    assert listener.own_ssl_policy.ciphers == ("ECDHE-RSA-AES128-GCM-SHA256",)
    assert listener.own_ssl_policy.server_order is False
    for code, values in (
        ("InvalidConfigurationRequest", {"Protocol_TLSv1.2": "true"}),
        ("InvalidConfigurationRequest", cipher),
        ("InvalidConfigurationRequest", {"Reference_Security_Policy": "ELBSecurityPolicy-none"}),
        ("InvalidConfigurationRequest", {"Protocol_TLSv1.2": "yes", **cipher}),
        ("ValidationError", {"Protocol_SSLv3": "true", **cipher}),
        ("ValidationError", {"Protocol_TLSv1.2": "true", "Protocol_TLSv1": "true", **cipher}),
    ):
        assert error_of(create, name="bad", **values)[0] == code


def test_authentication_of_instances(elb: Any, store: MemoryStore, subnets: list[dict[str, Any]]) -> None:
    """Policies of public keys are put together in one for a port that is spoken to by TLS; none in use can go."""
    secured = {"Protocol": "TCP", "LoadBalancerPort": 1443, "InstancePort": 1443, "InstanceProtocol": "SSL"}
    make(elb, subnets, HTTP, secured)
    key = base64.b64encode(b"\x30" + bytes(90)).decode()

    def create(name: str, kind: str, attribute: str, *values: str) -> None:
        elb.create_load_balancer_policy(
            LoadBalancerName="web",
            PolicyName=name,
            PolicyTypeName=f"{kind}PolicyType",
            PolicyAttributes=[{"AttributeName": attribute, "AttributeValue": value} for value in values],
        )

    create("key", "PublicKey", "PublicKey", key)
    create("auth", "BackendServerAuthentication", "PublicKeyPolicyName", "key")
    backend = {"LoadBalancerName": "web", "InstancePort": 1443}
    elb.set_load_balancer_policies_for_backend_server(**backend, PolicyNames=["auth"])
    digests = {each.port: each.classic.key_digests for each in store.scan(TARGET_GROUP) if each.classic}
    assert (len(digests[1443]), digests[8080]) == (1, ())
    code = "InvalidConfigurationRequest"
    for name in ("key", "auth"):
        assert error_of(elb.delete_load_balancer_policy, LoadBalancerName="web", PolicyName=name)[0] == code
    assert error_of(create, name="x", kind="PublicKey", attribute="PublicKey")[0] == code
    with pytest.raises(ClientError, match="format of PEM"):
        create("x", "PublicKey", "PublicKey", "no key")
    with pytest.raises(ClientError, match="PolicyNotFound"):
        create("x", "BackendServerAuthentication", "PublicKeyPolicyName", "none")
    with pytest.raises(ClientError, match="not of type"):
        create("x", "BackendServerAuthentication", "PublicKeyPolicyName", "auth")
    params = {"LoadBalancerName": "web", "InstancePort": 8080, "PolicyNames": ["auth"]}
    assert error_of(elb.set_load_balancer_policies_for_backend_server, **params)[0] == code


def test_attributes(elb: Any, store: MemoryStore, subnets: list[dict[str, Any]]) -> None:
    """Time-outs and draining can be set; what is not carried out is refused."""
    make(elb, subnets)
    found = elb.describe_load_balancer_attributes(LoadBalancerName="web")["LoadBalancerAttributes"]
    assert found["ConnectionDraining"] == {"Enabled": False, "Timeout": 300}
    assert found["ConnectionSettings"] == {"IdleTimeout": 60}
    assert found["AccessLog"] == {"Enabled": False}
    assert found["CrossZoneLoadBalancing"] == {"Enabled": False}
    elb.modify_load_balancer_attributes(
        LoadBalancerName="web",
        LoadBalancerAttributes={
            "ConnectionSettings": {"IdleTimeout": 120},
            "CrossZoneLoadBalancing": {"Enabled": True},
        },
    )
    (plane,) = store.scan(LOAD_BALANCER)
    assert plane.attributes["idle_timeout.timeout_seconds"] == "120"
    found = elb.describe_load_balancer_attributes(LoadBalancerName="web")["LoadBalancerAttributes"]
    assert found["CrossZoneLoadBalancing"] == {"Enabled": True}
    log = {"Enabled": True, "S3BucketName": "logs", "S3BucketPrefix": "app", "EmitInterval": 5}
    answer = elb.modify_load_balancer_attributes(LoadBalancerName="web", LoadBalancerAttributes={"AccessLog": log})
    assert answer["LoadBalancerAttributes"]["AccessLog"] == log
    found = elb.describe_load_balancer_attributes(LoadBalancerName="web")["LoadBalancerAttributes"]
    assert found["AccessLog"] == log
    for more in ({"S3BucketName": ""}, {"S3BucketName": "../x"}, {"EmitInterval": 7}, {"S3BucketPrefix": "../x"}):
        params = {"LoadBalancerName": "web", "LoadBalancerAttributes": {"AccessLog": {**log, **more}}}
        assert error_of(elb.modify_load_balancer_attributes, **params)[0] == "InvalidConfigurationRequest"
    off = {"AccessLog": {"Enabled": False}}
    elb.modify_load_balancer_attributes(LoadBalancerName="web", LoadBalancerAttributes=off)
    found = elb.describe_load_balancer_attributes(LoadBalancerName="web")["LoadBalancerAttributes"]
    assert found["AccessLog"] == {"Enabled": False}
    for attributes in (
        {"ConnectionSettings": {"IdleTimeout": 4001}},
        {"ConnectionDraining": {"Enabled": True, "Timeout": 3601}},
    ):
        params = {"LoadBalancerName": "web", "LoadBalancerAttributes": attributes}
        assert error_of(elb.modify_load_balancer_attributes, **params)[0] == "ValidationError"


def test_desync_mode(elb: Any, subnets: list[dict[str, Any]], store: MemoryStore) -> None:
    """One of AWS's three, which the data plane has, too."""
    make(elb, subnets)
    key = "elb.http.desyncmitigationmode"

    def modify(value: str) -> Any:
        attributes = {"AdditionalAttributes": [{"Key": key, "Value": value}]}
        return elb.modify_load_balancer_attributes(LoadBalancerName="web", LoadBalancerAttributes=attributes)

    assert error_of(modify, value="lax")[0] == "InvalidConfigurationRequest"
    assert modify("strictest")["LoadBalancerAttributes"]["AdditionalAttributes"] == [{"Key": key, "Value": "strictest"}]
    found = elb.describe_load_balancer_attributes(LoadBalancerName="web")["LoadBalancerAttributes"]
    assert found["AdditionalAttributes"] == [{"Key": key, "Value": "strictest"}]
    (plane,) = store.scan(LOAD_BALANCER)
    assert plane.attributes["routing.http.desync_mitigation_mode"] == "strictest"


def test_subnets_and_zones(elb: Any, subnets: list[dict[str, Any]]) -> None:
    """Subnets and zones come and go; the last one stays."""
    make(elb, subnets)
    first, second, third = (subnet["SubnetId"] for subnet in subnets[:3])
    name = {"LoadBalancerName": "web"}
    assert elb.attach_load_balancer_to_subnets(**name, Subnets=[third])["Subnets"] == [first, second, third]
    assert elb.detach_load_balancer_from_subnets(**name, Subnets=[first, third])["Subnets"] == [second]
    zone = subnets[0]["AvailabilityZone"]
    zones = elb.enable_availability_zones_for_load_balancer(**name, AvailabilityZones=[zone])["AvailabilityZones"]
    assert zones == [subnets[1]["AvailabilityZone"], zone]
    zones = elb.disable_availability_zones_for_load_balancer(**name, AvailabilityZones=[zone])["AvailabilityZones"]
    assert zones == [subnets[1]["AvailabilityZone"]]
    code, _ = error_of(elb.detach_load_balancer_from_subnets, **name, Subnets=[second])
    assert code == "InvalidConfigurationRequest"
    by_zone = elb.create_load_balancer(LoadBalancerName="zoned", AvailabilityZones=[zone], Listeners=[HTTP])
    assert by_zone["DNSName"].startswith("zoned-")
    assert shown(elb, "zoned")["Subnets"] == [first]


def test_security_groups(served: Any, elb: Any, subnets: list[dict[str, Any]]) -> None:
    """The security groups are those applied; one that is not there is refused."""
    make(elb, subnets)
    group = served.client("ec2").create_security_group(GroupName="lb", Description="d", VpcId=subnets[0]["VpcId"])[
        "GroupId"
    ]
    answer = elb.apply_security_groups_to_load_balancer(LoadBalancerName="web", SecurityGroups=[group])
    assert answer["SecurityGroups"] == [group] == shown(elb)["SecurityGroups"]
    assert shown(elb)["SourceSecurityGroup"]["GroupName"] == "lb"
    code, _ = error_of(elb.apply_security_groups_to_load_balancer, LoadBalancerName="web", SecurityGroups=["sg-0"])
    assert code == "InvalidSecurityGroup"


def test_tags(elb: Any, subnets: list[dict[str, Any]]) -> None:
    """Tags are added, replaced and removed."""
    make(elb, subnets, Tags=[{"Key": "a", "Value": "1"}])
    elb.add_tags(LoadBalancerNames=["web"], Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}])
    elb.remove_tags(LoadBalancerNames=["web"], Tags=[{"Key": "b"}])
    (found,) = elb.describe_tags(LoadBalancerNames=["web"])["TagDescriptions"]
    assert found["Tags"] == [{"Key": "a", "Value": "2"}]
    many = [{"Key": str(number), "Value": ""} for number in range(51)]
    assert error_of(elb.add_tags, LoadBalancerNames=["web"], Tags=many)[0] == "TooManyTags"


def test_pages_and_limits(elb: Any, subnets: list[dict[str, Any]]) -> None:
    """Listings come in pages, and a region has a limit, which the account's limits tell."""
    limits = {each["Name"]: int(each["Max"]) for each in elb.describe_account_limits()["Limits"]}
    most = limits["classic-load-balancers"]
    for number in range(most):
        make(elb, subnets, name=f"lb-{number:02}")
    code, _ = error_of(
        elb.create_load_balancer,
        LoadBalancerName="more",
        Subnets=[subnets[0]["SubnetId"]],
        Listeners=[HTTP],
    )
    assert code == "TooManyLoadBalancers"
    pages = elb.get_paginator("describe_load_balancers").paginate(PaginationConfig={"PageSize": 7})
    found = [[each["LoadBalancerName"] for each in page["LoadBalancerDescriptions"]] for page in pages]
    assert [len(page) for page in found] == [7, 7, 6]
    assert [name for page in found for name in page] == [f"lb-{number:02}" for number in range(most)]


def test_deleted(elb: Any, store: MemoryStore, subnets: list[dict[str, Any]], instances: list[str]) -> None:
    """Everything of a load balancer goes with it; one that is not there is deleted already."""
    make(elb, subnets, HTTP, TCP)
    elb.register_instances_with_load_balancer(LoadBalancerName="web", Instances=named(instances))
    elb.delete_load_balancer(LoadBalancerName="web")
    elb.delete_load_balancer(LoadBalancerName="web")
    for kind in (LOAD_BALANCER, LISTENER, TARGET_GROUP, TARGET):
        assert list(store.scan(kind)) == []
    assert error_of(elb.describe_load_balancers, LoadBalancerNames=["web"]) == (
        "LoadBalancerNotFound",
        "There is no ACTIVE Load Balancer named 'web'",
    )


def test_command_line(served: Any, subnets: list[dict[str, Any]], instances: list[str]) -> None:
    """The aws command makes a load balancer, registers an instance and reads it back."""
    dns = served.aws(
        *("elb", "create-load-balancer", "--load-balancer-name", "cli", "--subnets", subnets[0]["SubnetId"]),
        *("--listeners", "Protocol=HTTP,LoadBalancerPort=80,InstanceProtocol=HTTP,InstancePort=80"),
    )["DNSName"]
    served.aws(
        *("elb", "register-instances-with-load-balancer", "--load-balancer-name", "cli", "--instances", instances[0])
    )
    (found,) = served.aws("elb", "describe-load-balancers")["LoadBalancerDescriptions"]
    assert (found["DNSName"], found["Instances"]) == (dns, named(instances[:1]))
