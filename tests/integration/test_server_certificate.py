"""Server certificates of IAM at real listeners."""

import socket
import ssl
from collections.abc import Iterator

import pytest

from portside.testing.balancer_lab import LabAuthority
from portside.testing.instance import Instance, instance
from portside.testing.wait import free_port, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    with instance() as running:
        yield running


def shown(address: str, port: int, name: str, authority: LabAuthority) -> str | None:
    """The number of the certificate that a client gets who trusts this authority."""
    context = ssl.create_default_context(cadata=authority.root_pem)
    try:
        with (
            socket.create_connection((address, port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            found = secured.getpeercert()
    except OSError:
        return None
    return str(found["serialNumber"]) if found else None


def test_listeners_show_them(portside: Instance) -> None:
    """HTTPS listeners of an Application and of a Classic Load Balancer show the uploaded certificate, also after it was
    renamed."""
    authority = LabAuthority()
    made = authority.issue("site.test")
    end = "-----END CERTIFICATE-----\n"
    body, chain, _ = made.chain_pem.split(end)
    iam, elb, classic = portside.client("iam"), portside.client("elbv2"), portside.client("elb")
    arn = iam.upload_server_certificate(
        ServerCertificateName="site",
        CertificateBody=body + end,
        CertificateChain=chain + end,
        PrivateKey=made.key_pem,
    )["ServerCertificateMetadata"]["Arn"]
    subnets, ports = portside.subnets()[:2], [free_port(), free_port()]
    balancer = elb.create_load_balancer(Name="new", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    elb.create_listener(
        LoadBalancerArn=balancer,
        Protocol="HTTPS",
        Port=ports[0],
        Certificates=[{"CertificateArn": arn}],
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}],
    )
    classic.create_load_balancer(
        LoadBalancerName="old",
        Subnets=subnets,
        Listeners=[
            {
                "Protocol": "HTTPS",
                "LoadBalancerPort": ports[1],
                "InstanceProtocol": "HTTP",
                "InstancePort": 80,
                "SSLCertificateId": arn,
            }
        ],
    )

    def both() -> set[str | None]:
        return {shown("127.0.0.1", port, "site.test", authority) for port in ports}

    wait_for(lambda: None not in both(), timeout_s=60, what="two listeners that speak TLS")
    (before,) = both()
    iam.update_server_certificate(ServerCertificateName="site", NewServerCertificateName="place")
    iam.upload_server_certificate(
        ServerCertificateName="site", CertificateBody=body + end, CertificateChain=chain + end, PrivateKey=made.key_pem
    )
    iam.delete_server_certificate(ServerCertificateName="site")
    folder = portside.settings.data_dir / "envoy"
    wait_for(
        lambda: len(list(folder.glob("sds-*.json"))) == 1 and both() == {before}, timeout_s=60, what="the renamed one"
    )
    elb.delete_load_balancer(LoadBalancerArn=balancer)
    classic.delete_load_balancer(LoadBalancerName="old")
