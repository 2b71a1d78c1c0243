"""Certificate Manager and HTTPS listeners as boto3 sees them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import Served, serving

from portside.api.acm.service import acm_service
from portside.api.ec2.default_network import ensure_default_network
from portside.api.ec2.service import ec2_service
from portside.api.elbv2.service import elbv2_service
from portside.control.clock import RandomIds, SystemClock
from portside.domain.record import Scope
from portside.domain.table import CERTIFICATE
from portside.store.memory import MemoryStore
from portside.testing.balancer_lab import LabAuthority
from portside.vault import x509
from portside.vault.aes import AesVault

FIXED = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
MISSING = "arn:aws:acm:us-east-1:000000000000:certificate/00000000-0000-0000-0000-000000000000"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def served(store: MemoryStore) -> Iterator[Served]:
    clock, ids = SystemClock(), RandomIds()
    ensure_default_network(store, clock, ids, Scope(account="000000000000", region="us-east-1"))
    services = [
        acm_service(store, AesVault(bytes(range(32))), clock, ids),
        ec2_service(store, clock, ids),
        elbv2_service(store, clock, ids),
    ]
    with serving(services) as found:
        yield found


@pytest.fixture
def acm(served: Served) -> Any:
    return served.client("acm")


@pytest.fixture
def elb(served: Served) -> Any:
    return served.client("elbv2")


@pytest.fixture
def balancer(served: Served, elb: Any) -> str:
    subnets = [subnet["SubnetId"] for subnet in served.client("ec2").describe_subnets()["Subnets"][:2]]
    made: str = elb.create_load_balancer(Name="web", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    return made


def error_of(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def parts(name: str, *names: str, algorithm: str = "RSA_2048") -> dict[str, bytes]:
    """What ImportCertificate takes."""
    authority = LabAuthority()
    made = authority.issue(name, *names, algorithm=algorithm)
    leaf = made.chain_pem.removesuffix(authority.root_pem)
    return {
        "Certificate": leaf.encode(),
        "PrivateKey": made.key_pem.encode(),
        "CertificateChain": authority.root_pem.encode(),
    }


def test_import_and_read(acm: Any, store: MemoryStore) -> None:
    """An imported certificate is listed, described and given back; its key is nowhere in the store in the clear."""
    given = parts("shop.test", "*.shop.test")
    arn = acm.import_certificate(**given, Tags=[{"Key": "team", "Value": "a"}])["CertificateArn"]
    assert arn.startswith("arn:aws:acm:us-east-1:000000000000:certificate/")
    shown = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert (shown["DomainName"], shown["SubjectAlternativeNames"]) == ("shop.test", ["shop.test", "*.shop.test"])
    assert (shown["Status"], shown["Type"], shown["KeyAlgorithm"]) == ("ISSUED", "IMPORTED", "RSA_2048")
    assert (shown["InUseBy"], shown["SignatureAlgorithm"]) == ([], "ECDSAWITHSHA256")
    assert shown["Issuer"] == "CN=Portside local authority"
    assert shown["NotAfter"] > datetime.now(UTC) + timedelta(days=390)
    got = acm.get_certificate(CertificateArn=arn)
    assert got["Certificate"].encode() == given["Certificate"]
    assert got["CertificateChain"].encode() == given["CertificateChain"]
    (summary,) = acm.list_certificates()["CertificateSummaryList"]
    assert (summary["CertificateArn"], summary["InUse"]) == (arn, False)
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == [{"Key": "team", "Value": "a"}]
    (record,) = store.scan(CERTIFICATE)
    assert b"PRIVATE KEY" not in record.sealed_key
    acm.delete_certificate(CertificateArn=arn)
    assert error_of(acm.describe_certificate, CertificateArn=arn) == (
        "ResourceNotFoundException",
        f"Could not find certificate {arn} in account 000000000000.",
    )


def test_bad_imports_are_refused(acm: Any) -> None:
    """No certificate, another's key, another's chain: each is refused as what it is."""
    good, other = parts("a.test"), parts("b.test")
    wrong = [
        ({"Certificate": b"no"}, "Could not parse certificate"),
        ({"PrivateKey": b"no"}, "The private key is not in a valid PEM format"),
        ({"PrivateKey": other["PrivateKey"]}, "The private key does not match the certificate"),
        (
            {"CertificateChain": other["CertificateChain"]},
            "Could not validate the certificate with the certificate chain",
        ),
    ]
    for change, message in wrong:
        assert error_of(acm.import_certificate, **{**good, **change}) == ("ValidationException", message)
    assert error_of(acm.import_certificate, **good, CertificateArn=MISSING)[0] == "ResourceNotFoundException"
    assert (
        error_of(acm.get_certificate, CertificateArn=MISSING.replace(":certificate/", ":other/"))[0]
        == "InvalidArnException"
    )
    assert acm.list_certificates()["CertificateSummaryList"] == []


def test_request_is_issued_at_once(acm: Any) -> None:
    """A requested certificate is issued at once, by one authority for all, and the same token gives the same one."""
    asked = {
        "DomainName": "*.example.test",
        "SubjectAlternativeNames": ["example.test"],
        "ValidationMethod": "DNS",
        "IdempotencyToken": "once",
    }
    arn = acm.request_certificate(**asked)["CertificateArn"]
    assert acm.request_certificate(**asked)["CertificateArn"] == arn
    acm.get_waiter("certificate_validated").wait(CertificateArn=arn)
    shown = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert (shown["Status"], shown["Type"]) == ("ISSUED", "AMAZON_ISSUED")
    assert shown["SubjectAlternativeNames"] == ["*.example.test", "example.test"]
    assert [each["ValidationStatus"] for each in shown["DomainValidationOptions"]] == ["SUCCESS", "SUCCESS"]
    second = acm.request_certificate(DomainName="b.test", KeyAlgorithm="EC_prime256v1")["CertificateArn"]
    one, two = (acm.get_certificate(CertificateArn=each) for each in (arn, second))
    assert one["CertificateChain"] == two["CertificateChain"]
    x509.check_chain(one["Certificate"], one["CertificateChain"])
    assert len(acm.list_certificates()["CertificateSummaryList"]) == 1
    shown = acm.list_certificates(Includes={"keyTypes": ["EC_prime256v1"]})["CertificateSummaryList"]
    assert [each["CertificateArn"] for each in shown] == [second]
    assert error_of(acm.request_certificate, DomainName="x.test", KeyAlgorithm="RSA_4096")[0] == (
        "InvalidParameterException"
    )
    assert error_of(acm.import_certificate, **parts("x.test"), CertificateArn=arn)[0] == "ValidationException"


def test_pages_and_tags(acm: Any) -> None:
    """The list comes in pages; tags are added, changed and removed, by key or by key and value."""
    arns = [acm.request_certificate(DomainName=f"n{number}.test")["CertificateArn"] for number in range(3)]
    pages = list(acm.get_paginator("list_certificates").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["CertificateSummaryList"]) for page in pages] == [2, 1]
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}, {"Key": "c", "Value": "3"}]
    acm.add_tags_to_certificate(CertificateArn=arns[0], Tags=tags)
    acm.remove_tags_from_certificate(CertificateArn=arns[0], Tags=[{"Key": "a"}, {"Key": "b", "Value": "other"}])
    assert acm.list_tags_for_certificate(CertificateArn=arns[0])["Tags"] == tags[1:]
    reserved = [{"Key": "aws:x", "Value": ""}]
    assert error_of(acm.add_tags_to_certificate, CertificateArn=arns[0], Tags=reserved)[0] == "InvalidTagException"


def test_https_listener(acm: Any, elb: Any, balancer: str) -> None:
    """A listener has a default certificate and a policy, more certificates come and go, and what is used stays."""
    arns = [acm.request_certificate(DomainName=f"n{number}.test")["CertificateArn"] for number in range(3)]
    first = {"CertificateArn": arns[0]}
    base = {"LoadBalancerArn": balancer, "Protocol": "HTTPS", "Port": 443, "DefaultActions": FIXED}
    (listener,) = elb.create_listener(**base, Certificates=[first])["Listeners"]
    assert (listener["Certificates"], listener["SslPolicy"]) == ([first], "ELBSecurityPolicy-2016-08")
    assert elb.create_listener(**base, Certificates=[first])["Listeners"] == [listener]
    arn = listener["ListenerArn"]
    added = elb.add_listener_certificates(
        ListenerArn=arn, Certificates=[{"CertificateArn": each} for each in arns[1:]]
    )["Certificates"]
    assert added == [{"CertificateArn": each, "IsDefault": False} for each in arns[1:]]
    assert elb.describe_listener_certificates(ListenerArn=arn)["Certificates"] == [
        {"CertificateArn": arns[0], "IsDefault": True},
        *added,
    ]
    for each in arns:
        assert error_of(acm.delete_certificate, CertificateArn=each)[0] == "ResourceInUseException"
    assert acm.describe_certificate(CertificateArn=arns[2])["Certificate"]["InUseBy"] == [balancer]
    elb.remove_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": arns[2]}])
    acm.delete_certificate(CertificateArn=arns[2])
    assert error_of(elb.remove_listener_certificates, ListenerArn=arn, Certificates=[first])[0] == (
        "OperationNotPermitted"
    )
    policy = "ELBSecurityPolicy-TLS13-1-2-2021-06"
    (changed,) = elb.modify_listener(ListenerArn=arn, SslPolicy=policy)["Listeners"]
    assert (changed["SslPolicy"], changed["Certificates"]) == (policy, [first])
    (plain,) = elb.modify_listener(ListenerArn=arn, Protocol="HTTP", Port=80)["Listeners"]
    assert "Certificates" not in plain
    acm.delete_certificate(CertificateArn=arns[0])


def test_tls_listener(acm: Any, elb: Any, served: Served) -> None:
    """A Network Load Balancer's TLS listener has a certificate, a policy and what it agrees to speak."""
    ec2 = served.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    owned = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    balancer = elb.create_load_balancer(
        Name="tls", Type="network", Subnets=[subnet["SubnetId"]], SecurityGroups=[owned]
    )["LoadBalancers"][0]["LoadBalancerArn"]
    group = elb.create_target_group(Name="tls", Protocol="TCP", Port=80, VpcId=subnet["VpcId"], TargetType="ip")
    action = [{"Type": "forward", "TargetGroupArn": group["TargetGroups"][0]["TargetGroupArn"]}]
    base = {"LoadBalancerArn": balancer, "Protocol": "TLS", "Port": 443, "DefaultActions": action}
    assert error_of(elb.create_listener, **base)[0] == "ValidationError"
    certificate = [{"CertificateArn": acm.request_certificate(DomainName="a.test")["CertificateArn"]}]
    wrong = {**base, "Certificates": certificate, "AlpnPolicy": ["HTTP3Only"]}
    assert error_of(elb.create_listener, **wrong)[0] == "ALPNPolicyNotFound"
    (listener,) = elb.create_listener(**base, Certificates=certificate, AlpnPolicy=["HTTP2Preferred"])["Listeners"]
    assert (listener["Certificates"], listener["AlpnPolicy"]) == (certificate, ["HTTP2Preferred"])
    assert "MutualAuthentication" not in listener
    (plain,) = elb.modify_listener(ListenerArn=listener["ListenerArn"], Protocol="TCP")["Listeners"]
    assert not {"Certificates", "AlpnPolicy", "SslPolicy"} & set(plain)


def test_bad_https_listeners_are_refused(acm: Any, elb: Any, balancer: str) -> None:
    """No certificate, an unknown one, two, an unknown policy, TLS settings without TLS: refused in AWS's codes."""
    certificate = {"CertificateArn": acm.request_certificate(DomainName="a.test")["CertificateArn"]}
    base = {"LoadBalancerArn": balancer, "Protocol": "HTTPS", "Port": 443, "DefaultActions": FIXED}
    assert error_of(elb.create_listener, **base) == (
        "ValidationError",
        "A certificate must be specified for HTTPS listeners",
    )
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"Certificates": [{"CertificateArn": MISSING}]}, "CertificateNotFound"),
        ({"Certificates": [certificate, certificate]}, "ValidationError"),
        ({"Certificates": [certificate], "SslPolicy": "none"}, "SSLPolicyNotFound"),
        ({"Certificates": [certificate], "MutualAuthentication": {"Mode": "verify"}}, "ValidationError"),
        ({"Certificates": [certificate], "Protocol": "HTTP"}, "ValidationError"),
    ]
    for change, code in wrong:
        assert error_of(elb.create_listener, **{**base, **change})[0] == code
    (plain,) = elb.create_listener(**{**base, "Protocol": "HTTP"})["Listeners"]
    arn = plain["ListenerArn"]
    assert error_of(elb.modify_listener, ListenerArn=arn, Protocol="HTTPS")[0] == "ValidationError"
    assert error_of(elb.add_listener_certificates, ListenerArn=arn, Certificates=[certificate])[0] == "ValidationError"


def test_policies_are_described(elb: Any) -> None:
    """Policies have AWS's names, their protocol versions, and their ciphers in order."""
    policies = {policy["Name"]: policy for policy in elb.describe_ssl_policies()["SslPolicies"]}
    assert len(policies) == 16
    shown = policies["ELBSecurityPolicy-TLS13-1-2-2021-06"]
    assert shown["SslProtocols"] == ["TLSv1.2", "TLSv1.3"]
    assert shown["Ciphers"][:2] == [
        {"Name": "TLS_AES_128_GCM_SHA256", "Priority": 1},
        {"Name": "TLS_AES_256_GCM_SHA384", "Priority": 2},
    ]
    (one,) = elb.describe_ssl_policies(Names=["ELBSecurityPolicy-2016-08"])["SslPolicies"]
    assert one["SslProtocols"] == ["TLSv1", "TLSv1.1", "TLSv1.2"]
    assert error_of(elb.describe_ssl_policies, Names=["none"]) == ("SSLPolicyNotFound", "SSL policy 'none' not found")
