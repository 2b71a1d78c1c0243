"""The console's page of certificates: requested, imported, used, deleted."""

from collections.abc import Iterator

import pytest
from console_lab import Console
from playwright.sync_api import expect

from portside.testing.balancer_lab import LabAuthority
from portside.testing.instance import ACCOUNT, REGION, Instance, instance
from portside.testing.wait import free_port

pytestmark = pytest.mark.integration

COMMAND = "Command"


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    with instance() as running:
        yield running


def test_a_certificate_is_requested_used_and_deleted(portside: Instance, console: Console) -> None:
    """The authority issues it at once, with all its names; while a listener has it, it is not deleted."""
    acm, elb = portside.client("acm"), portside.client("elbv2")
    page = console.open("certificates")
    page.get_by_role("button", name="Request", exact=True).click()
    form = page.get_by_role("dialog")
    form.get_by_label("Domain", exact=True).fill("shop.test")
    form.get_by_label("Other names", exact=True).fill("www.shop.test\n*.shop.test\n")
    command = form.get_by_label(COMMAND, exact=True)
    expect(command).to_contain_text("aws acm request-certificate")
    expect(command).to_contain_text("--subject-alternative-names www.shop.test '*.shop.test'")
    console.accessible()
    form.get_by_role("button", name="Request", exact=True).click()
    page.get_by_role("heading", name="shop.test").wait_for()
    console.see("www.shop.test")
    console.see("Nobody")
    (found,) = acm.list_certificates()["CertificateSummaryList"]
    arn = found["CertificateArn"]
    balancer = elb.create_load_balancer(Name="secure", Subnets=portside.subnets()[:2])["LoadBalancers"][0]
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTPS",
        Port=free_port(),
        Certificates=[{"CertificateArn": arn}],
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
    )
    expect(page.get_by_role("link", name="secure")).to_be_visible()
    console.accessible()
    page.get_by_role("button", name="Delete", exact=True).click()
    form.get_by_role("button", name="Delete", exact=True).click()
    console.see("ResourceInUseException")
    form.get_by_role("button", name="Cancel").click()
    elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    console.see("Nobody")
    page.get_by_role("button", name="Edit tags").click()
    form.get_by_label("Key of tag 1").fill("team")
    form.get_by_role("button", name="Save", exact=True).click()
    expect(form).to_have_count(0)
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == [{"Key": "team", "Value": ""}]
    page.get_by_role("button", name="Edit tags").click()
    form.get_by_role("button", name="Remove tag 1").click()
    expect(command).to_contain_text("aws acm remove-tags-from-certificate")
    form.get_by_role("button", name="Save", exact=True).click()
    expect(form).to_have_count(0)
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == []
    page.get_by_role("button", name="Delete", exact=True).click()
    form.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("heading", name="Certificates").wait_for()
    console.see("No certificates")


def test_a_certificate_is_imported(portside: Instance, console: Console) -> None:
    """What is no PEM is told while it is typed, what does not fit together by the server; no command has the key."""
    authority = LabAuthority()
    made, other = authority.issue("mine.test"), authority.issue("other.test")
    page = console.open("certificates")
    page.get_by_role("button", name="Import", exact=True).click()
    form = page.get_by_role("dialog")
    imports = form.get_by_role("button", name="Import", exact=True)
    form.get_by_label("Certificate", exact=True).fill("mine")
    expect(form.get_by_text("A block of PEM").first).to_be_visible()
    expect(imports).to_be_disabled()
    form.get_by_label("Certificate", exact=True).fill(made.chain_pem.removesuffix(authority.root_pem))
    form.get_by_label("Chain", exact=True).fill(authority.root_pem)
    form.get_by_label("Private key", exact=True).fill(other.key_pem)
    imports.click()
    console.see("ValidationException")
    form.get_by_label("Private key", exact=True).fill(made.key_pem)
    command = form.get_by_label(COMMAND, exact=True)
    expect(command).to_contain_text("--private-key fileb://key.pem")
    expect(command).not_to_contain_text("LS0t")
    console.accessible()
    imports.click()
    page.get_by_role("heading", name="mine.test").wait_for()
    console.see("Imported")
    arn = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/{page.url.partition('/certificates/')[2].partition('?')[0]}"
    found = portside.client("acm").describe_certificate(CertificateArn=arn)["Certificate"]
    assert (found["DomainName"], found["Type"]) == ("mine.test", "IMPORTED")
