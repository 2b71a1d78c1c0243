"""The console's load balancers in a browser, before real traffic: rules, targets, plots, forms that change them."""

import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest
from console_lab import Console, choose
from playwright.sync_api import expect

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import free_port, http_get, wait_for

pytestmark = pytest.mark.integration

HTTPD = ["sh", "-c", "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 80 -h /www"]


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="shop")
        running.register("web", {"name": "main", "image": IMAGE, "command": HTTPD})
        yield running


def address_of(portside: Instance, task: str) -> str:
    details: list[dict[str, Any]] = portside.wait_task(task, "RUNNING")["attachments"][0]["details"]
    return next(str(each["value"]) for each in details if each["name"] == "privateIPv4Address")


@pytest.mark.timeout(400)
def test_a_load_balancer_from_form_to_traffic(portside: Instance, console: Console) -> None:
    """A load balancer, a target group, a target, a listener and a rule are made by forms that show the command; the
    target's health is followed, requests are counted by rule, plotted, and it is told which rule one would go by."""
    port = free_port()
    command = "Command"
    page = console.open("load-balancers")
    page.get_by_role("button", name="Create load balancer").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name", exact=True).fill("edge")
    expect(form.get_by_label(command, exact=True)).to_contain_text("aws elbv2 create-load-balancer")
    expect(form.get_by_label(command, exact=True)).to_contain_text("subnet-")
    console.accessible()
    form.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("heading", name="edge", exact=True).wait_for()

    page = console.open("load-balancers")
    page.get_by_role("button", name="Create target group").click()
    form.get_by_label("Name", exact=True).fill("fronts")
    expect(form.get_by_label(command, exact=True)).to_contain_text("vpc-")
    form.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("heading", name="fronts").first.wait_for()
    task = portside.run_task("web", cluster="shop")
    address = address_of(portside, task)
    page.get_by_role("button", name="Register a target in fronts").click()
    form.get_by_label("Target", exact=True).fill(address)
    form.get_by_role("button", name="Register", exact=True).click()
    expect(console.row(f"{address}:80")).to_contain_text("Unused")
    console.accessible()

    page = console.open("load-balancers/edge")
    page.get_by_role("button", name="Create listener").click()
    form.get_by_label("Port", exact=True).fill(str(port))
    choose(form, "Then", "Answer")
    form.get_by_label("Text", exact=True).fill("nothing here")
    expect(form.get_by_label(command, exact=True)).to_contain_text('"StatusCode":"404"')
    console.accessible()
    form.get_by_role("button", name="Create", exact=True).click()
    expect(console.row("Anything else")).to_contain_text("answer 404")
    page.get_by_role("button", name="Add a rule").click()
    form.get_by_label("Is one of", exact=True).fill("/index.html, /shop/*")
    choose(form, "Target group", "fronts")
    expect(form.get_by_label(command, exact=True)).to_contain_text("aws elbv2 create-rule")
    form.get_by_role("button", name="Add", exact=True).click()
    rule = console.row("path pattern is /index.html or /shop/*")
    expect(rule).to_contain_text("forward to fronts")
    target = console.row(f"{address}:80")
    expect(target).to_contain_text("Healthy", timeout=90_000)

    page.get_by_label("Path or URL", exact=True).fill("/shop/a?b=c")
    page.get_by_role("button", name="Try").click()
    said = page.get_by_role("status", name="Answer")
    expect(said).to_contain_text("Rule 10 matches")
    expect(said).to_contain_text("fronts: 1 of 1 targets healthy")
    expect(page.get_by_label(command, exact=True)).to_contain_text("portside lb route edge GET '/shop/a?b=c'")
    page.get_by_label("Path or URL", exact=True).fill("/other")
    page.get_by_role("button", name="Try").click()
    expect(said).to_contain_text("Rule 10 does not match")
    expect(said).to_contain_text("Then: answer 404")
    console.accessible()

    url = f"http://127.0.0.1:{port}"

    def answered() -> bool:
        try:
            return bool(http_get(f"{url}/index.html"))
        except OSError:
            return False

    wait_for(answered, timeout_s=60, what="an answer of the target")
    for _ in range(4):
        http_get(f"{url}/index.html")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        http_get(f"{url}/nothing")
    expect(rule.get_by_role("cell").nth(2)).to_have_text("5")
    expect(console.row("Anything else").get_by_role("cell").nth(2)).not_to_have_text("0")
    page.evaluate("scrollTo(0, 0)")
    console.picture("load-balancer")
    # Metrics come by the minute.
    expect(page.get_by_role("button", name="p99")).to_be_visible(timeout=240_000)
    page.get_by_role("heading", name="The last hour").scroll_into_view_if_needed()
    console.accessible()
    console.picture("traffic")

    portside.client("ecs").stop_task(cluster="shop", task=task)
    expect(target).to_contain_text("Unhealthy", timeout=90_000)
    page.get_by_role("button", name="Change what rule default does").click()
    choose(form, "Then", "Answer")
    form.get_by_label("Status", exact=True).fill("410")
    expect(form.get_by_label(command, exact=True)).to_contain_text("aws elbv2 modify-listener")
    form.get_by_role("button", name="Change", exact=True).click()
    expect(console.row("Anything else")).to_contain_text("answer 410")
    page.get_by_role("button", name="Change what rule 10 does").click()
    choose(form, "Then", "Redirect")
    expect(form.get_by_label(command, exact=True)).to_contain_text("aws elbv2 modify-rule")
    form.get_by_role("button", name="Change", exact=True).click()
    expect(rule).to_contain_text("redirect to HTTPS")
    page.get_by_role("button", name="Delete rule 10").click()
    form.get_by_role("button", name="Delete", exact=True).click()
    expect(rule).to_have_count(0)
    page.get_by_role("button", name=f"Delete the listener HTTP {port}").click()
    form.get_by_role("button", name="Delete", exact=True).click()
    expect(console.row("Anything else")).to_have_count(0)
    page.get_by_role("button", name="Delete", exact=True).click()
    form.get_by_role("button", name="Delete", exact=True).click()
    expect(console.row("edge")).to_have_count(0)
    page.get_by_role("button", name="Delete fronts").click()
    form.get_by_role("button", name="Delete", exact=True).click()
    expect(console.row("fronts")).to_have_count(0)


def test_what_can_not_be_is_told(portside: Instance, console: Console) -> None:
    """A request that comes to no listener, a load balancer that is not there, and what the API refuses in a form."""
    elb = portside.client("elbv2")
    arn = elb.create_load_balancer(Name="empty", Subnets=portside.subnets()[:2])["LoadBalancers"][0]["LoadBalancerArn"]
    page = console.open("load-balancers/empty")
    page.get_by_role("button", name="Try").click()
    console.see("empty has no listener on port 80")
    page.get_by_label("Headers", exact=True).fill("no colon")
    console.see("A line has no colon")
    expect(page.get_by_role("button", name="Try")).to_be_disabled()
    page = console.open("load-balancers/nothing")
    console.see("There is no load balancer nothing")
    page = console.open("load-balancers")
    page.get_by_role("button", name="Create load balancer").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name", exact=True).fill("internal-one")
    form.get_by_role("button", name="Create", exact=True).click()
    form.get_by_text("ValidationError").first.wait_for()
    elb.delete_load_balancer(LoadBalancerArn=arn)
