"""The console as narrow as a phone and as wide as a small window, by day and by night."""

from collections.abc import Iterator

import pytest
from console_lab import Console
from playwright.sync_api import Browser

from portside.testing.instance import Instance, instance

pytestmark = pytest.mark.integration

PLACES = {
    "": "Overview",
    "clusters": "shop",
    "clusters/shop": "shop",
    "services": "idle",
    "clusters/shop/services/idle": "Deployments",
    "clusters/shop/services/idle?tab=scaling": "nothing changes it by itself",
    "clusters/shop/services/idle?tab=configuration": "Network configuration",
    "tasks": "No task runs",
    "task-definitions": "web",
    "task-definitions/web/1": "Containers",
    "create-task-definition": "Add container definition",
    "create-service": "Add load balancer",
    "load-balancers": "Load balancers",
    "log-groups": "Log groups",
    "roles": "reader",
    "roles/reader": "Nobody",
    "secrets": "shop/key",
    "secrets/shop%2Fkey": "Not shown",
    "parameters": "/shop/pin",
    "settings": "containerInsights",
}


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    with instance() as running:
        ecs = running.client("ecs")
        ecs.create_cluster(clusterName="shop")
        running.register("web", {"image": "localhost/nothing:1"})
        ecs.create_service(
            cluster="shop",
            serviceName="idle",
            taskDefinition="web",
            desiredCount=0,
            launchType="FARGATE",
            networkConfiguration=running.network(),
        )
        running.client("iam").create_role(
            RoleName="reader",
            AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", '
            '"Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}',
        )
        running.client("secretsmanager").create_secret(Name="shop/key", SecretString="hidden")
        running.client("ssm").put_parameter(Name="/shop/pin", Type="SecureString", Value="hidden")
        yield running


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1024, True)])
def test_every_page_is_readable(portside: Instance, browser: Browser, width: int, dark: bool) -> None:
    """Nothing is wider than the window but tables and texts, which scroll by themselves; contrasts and names are those
    that axe asks for."""
    console = Console(browser, portside, width=width, dark=dark)
    wide = {}
    for place, words in PLACES.items():
        page = console.open(place)
        page.get_by_text(words).filter(visible=True).first.wait_for()
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if overflow > 0:
            wide[place] = overflow
        console.accessible()
    assert not wide
    console.close()


def test_a_phone_reaches_every_page(portside: Instance, browser: Browser) -> None:
    """On a phone the pages' names open by a button, and lead there."""
    console = Console(browser, portside, width=390)
    page = console.open("clusters")
    page.get_by_role("button", name="Open the pages").click()
    page.get_by_role("link", name="Secrets").click()
    console.see("shop/key")
    console.close()
