"""Server certificates of IAM, and the listeners that have them, as boto3 sees them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import Served, serving

from portside.api.ec2.default_network import ensure_default_network
from portside.api.ec2.service import ec2_service
from portside.api.elb.service import elb_service
from portside.api.elbv2.service import elbv2_service
from portside.api.iam.service import iam_service
from portside.control.clock import RandomIds, SystemClock
from portside.domain.record import Scope
from portside.domain.table import SERVER_CERTIFICATE
from portside.store.memory import MemoryStore
from portside.testing.balancer_lab import LabAuthority
from portside.vault import x509
from portside.vault.aes import AesVault
from portside.vault.authority import private_key, served_certificate

VAULT = AesVault(bytes(range(32)))
FIXED = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
PREFIX = "000000000000/us-east-1/"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def served(store: MemoryStore) -> Iterator[Served]:
    clock, ids = SystemClock(), RandomIds()
    ensure_default_network(store, clock, ids, Scope(account="000000000000", region="us-east-1"))
    services = [
        iam_service(store, VAULT, clock, ids),
        ec2_service(store, clock, ids),
        elbv2_service(store, clock, ids),
        elb_service(store, clock, ids),
    ]
    with serving(services) as found:
        yield found


@pytest.fixture
def iam(served: Served) -> Any:
    return served.client("iam")


def issued(name: str = "a.test") -> dict[str, str]:
    made = LabAuthority().issue(name)
    end = "-----END CERTIFICATE-----\n"
    body, chain, _ = made.chain_pem.split(end)
    return {"CertificateBody": body + end, "CertificateChain": chain + end, "PrivateKey": made.key_pem}


def upload(iam: Any, name: str, **more: Any) -> dict[str, Any]:
    given = {**issued(), **more}
    made: dict[str, Any] = iam.upload_server_certificate(ServerCertificateName=name, **given)
    return made


def error_of(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as raised:
        call(**params)
    return raised.value.response["Error"]["Code"], raised.value.response["Error"]["Message"]


def test_upload_and_read(iam: Any, store: MemoryStore) -> None:
    """What was uploaded is given back without the private key, which is sealed in the store."""
    given = issued()
    made = iam.upload_server_certificate(
        ServerCertificateName="site", Path="/web/", Tags=[{"Key": "team", "Value": "a"}], **given
    )
    metadata = made["ServerCertificateMetadata"]
    assert metadata["Arn"] == "arn:aws:iam::000000000000:server-certificate/web/site"
    assert metadata["ServerCertificateId"].startswith("ASCA")
    assert metadata["Expiration"] > datetime.now(UTC)
    assert made["Tags"] == [{"Key": "team", "Value": "a"}]
    found = iam.get_server_certificate(ServerCertificateName="site")["ServerCertificate"]
    assert found["ServerCertificateMetadata"] == metadata
    assert found["CertificateBody"].strip() == given["CertificateBody"].strip()
    assert found["CertificateChain"].strip() == given["CertificateChain"].strip()
    (record,) = store.scan(SERVER_CERTIFICATE)
    assert given["PrivateKey"].encode() not in record.sealed_key
    assert private_key(VAULT, record) == given["PrivateKey"]


def test_list_and_tags(iam: Any) -> None:
    """Pages in the order of names, by path; tags as everywhere in IAM."""
    for name, path in (("c", "/x/"), ("a", "/"), ("b", "/x/y/")):
        upload(iam, name, Path=path)
    pages = iam.get_paginator("list_server_certificates").paginate(PaginationConfig={"PageSize": 2})
    found = [each for page in pages for each in page["ServerCertificateMetadataList"]]
    assert [each["ServerCertificateName"] for each in found] == ["a", "b", "c"]
    inner = iam.list_server_certificates(PathPrefix="/x/")["ServerCertificateMetadataList"]
    assert [each["ServerCertificateName"] for each in inner] == ["b", "c"]
    iam.tag_server_certificate(ServerCertificateName="a", Tags=[{"Key": "k", "Value": "v"}, {"Key": "l", "Value": "w"}])
    iam.untag_server_certificate(ServerCertificateName="a", TagKeys=["k"])
    assert iam.list_server_certificate_tags(ServerCertificateName="a")["Tags"] == [{"Key": "l", "Value": "w"}]


def test_what_is_refused(iam: Any) -> None:
    """A name that is there, no certificate, another's key, one that has expired, too many; and what is not there."""
    upload(iam, "site")
    make = iam.upload_server_certificate
    assert error_of(make, ServerCertificateName="SITE", **issued()) == (
        "EntityAlreadyExists",
        "The Server Certificate with name SITE already exists.",
    )
    nonsense = {**issued(), "CertificateBody": "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----"}
    assert error_of(make, ServerCertificateName="b", **nonsense)[0] == "MalformedCertificate"
    other = {**issued(), "PrivateKey": issued()["PrivateKey"]}
    assert error_of(make, ServerCertificateName="b", **other)[0] == "KeyPairMismatch"
    wrong_chain = {**issued(), "CertificateChain": issued()["CertificateChain"]}
    assert error_of(make, ServerCertificateName="b", **wrong_chain)[0] == "MalformedCertificate"
    root_pem, root_key = x509.make_authority(datetime.now(UTC) - timedelta(days=2000))
    past = datetime.now(UTC) - timedelta(days=1000)
    pem, key_pem = x509.issue(root_pem, root_key, ("a.test",), "EC_prime256v1", past)
    assert error_of(make, ServerCertificateName="b", CertificateBody=pem, PrivateKey=key_pem)[0] == (
        "MalformedCertificate"
    )
    assert error_of(make, ServerCertificateName="b", Path="/no", **issued())[0] == "ValidationError"
    for number in range(19):
        upload(iam, f"more-{number}")
    assert error_of(make, ServerCertificateName="b", **issued())[0] == "LimitExceeded"
    for call in (iam.get_server_certificate, iam.delete_server_certificate, iam.update_server_certificate):
        assert error_of(call, ServerCertificateName="none") == (
            "NoSuchEntity",
            "The Server Certificate with name none cannot be found.",
        )
    iam.delete_server_certificate(ServerCertificateName="site")
    assert error_of(iam.get_server_certificate, ServerCertificateName="site")[0] == "NoSuchEntity"


def test_listeners_have_them(served: Served, iam: Any, store: MemoryStore) -> None:
    """HTTPS listeners of Application and Classic Load Balancers, whose certificates can not be deleted then and can be
    renamed; not another account's, and not one that is not there."""
    arn = upload(iam, "site", Path="/web/")["ServerCertificateMetadata"]["Arn"]
    elb, classic = served.client("elbv2"), served.client("elb")
    subnets = [subnet["SubnetId"] for subnet in served.client("ec2").describe_subnets()["Subnets"][:2]]
    balancer = elb.create_load_balancer(Name="new", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    base = {"LoadBalancerArn": balancer, "Protocol": "HTTPS", "DefaultActions": FIXED}
    listener = elb.create_listener(**base, Port=443, Certificates=[{"CertificateArn": arn}])["Listeners"][0]
    for wrong in (
        arn.replace("/web/", "/"),
        arn.replace("000000000000", "111111111111"),
        "arn:aws:iam::000000000000:server-certificate/none",
        "arn:aws:iam::000000000000:role/site",
    ):
        given = {"Port": 444, "Certificates": [{"CertificateArn": wrong}]}
        assert error_of(elb.create_listener, **base, **given)[0] == "CertificateNotFound", wrong
    secured = {"InstanceProtocol": "HTTP", "InstancePort": 80, "SSLCertificateId": arn}
    classic.create_load_balancer(
        LoadBalancerName="old",
        Subnets=subnets,
        Listeners=[{"Protocol": "HTTPS", "LoadBalancerPort": 8443, **secured}],
    )
    code, message = error_of(iam.delete_server_certificate, ServerCertificateName="site")
    assert code == "DeleteConflict"
    assert "is currently in use by arn:aws:elasticloadbalancing:" in message
    before = store.get(SERVER_CERTIFICATE, "000000000000/site")
    iam.update_server_certificate(ServerCertificateName="site", NewPath="/", NewServerCertificateName="place")
    renamed = "arn:aws:iam::000000000000:server-certificate/place"
    shown = elb.describe_listeners(ListenerArns=[listener["ListenerArn"]])["Listeners"][0]["Certificates"]
    assert [each["CertificateArn"] for each in shown] == [renamed]
    described = classic.describe_load_balancers(LoadBalancerNames=["old"])["LoadBalancerDescriptions"][0]
    assert described["ListenerDescriptions"][0]["Listener"]["SSLCertificateId"] == renamed
    found = served_certificate(store, PREFIX, renamed)
    assert found is not None
    assert before is not None
    assert private_key(VAULT, found) == private_key(VAULT, before)
    assert served_certificate(store, PREFIX, arn) is None
    elb.delete_listener(ListenerArn=listener["ListenerArn"])
    classic.delete_load_balancer(LoadBalancerName="old")
    iam.delete_server_certificate(ServerCertificateName="place")
