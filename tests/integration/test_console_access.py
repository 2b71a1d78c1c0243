"""Who the console lets in, as whom, and where: sign-in with an access key, accounts and regions, in a browser."""

import boto3
import pytest
from console_lab import Console
from playwright.sync_api import Browser, expect

from portside import credential
from portside.testing.instance import REGION, Instance, instance

pytestmark = pytest.mark.integration

OTHER = "111111111111"


def key_of(portside: Instance) -> credential.AccessKey:
    key = credential.read(portside.settings.data_dir)
    assert key is not None
    return key


def test_one_signs_in_with_an_access_key_and_out_again(browser: Browser) -> None:
    """Where signatures are checked nothing is shown before the key was; a wrong one is refused; after signing out
    another tab has to sign in again, too; the secret is in no address and not in the log."""
    with instance(PORTSIDE_AUTH="1") as portside:
        key = key_of(portside)
        console = Console(browser, portside)
        page = console.page
        page.goto(f"{portside.url}/#/clusters")
        page.get_by_role("heading", name="Sign in to Portside").wait_for()
        console.accessible()
        console.picture("sign-in")
        page.get_by_label("Access key ID").fill(key.access_key_id)
        page.get_by_label("Secret access key").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        console.see("There is no such access key")
        page.get_by_label("Secret access key").fill(key.secret_access_key)
        page.keyboard.press("Enter")
        console.see("No cluster")
        page.get_by_role("button", name="What is shown is followed live").wait_for()
        console.accessible()
        client = boto3.client(
            "ecs",
            endpoint_url=portside.url,
            region_name=REGION,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
        )
        client.create_cluster(clusterName="seen")
        expect(console.row("seen")).to_contain_text("Active")
        page.goto(f"{portside.url}/#/")
        console.see("Nothing is wrong")
        cookies = [each for each in page.context.cookies() if each["name"].endswith("sign-in")]
        assert [(each["httpOnly"], each["sameSite"]) for each in cookies] == [(True, "Strict")]
        assert key.secret_access_key not in page.url
        again = page.context.new_page()
        again.goto(f"{portside.url}/#/clusters")
        expect(again.get_by_role("row").filter(has_text="seen")).to_be_visible()
        page.get_by_role("button", name="Account: 000000000000").click()
        console.see("root, until")
        page.get_by_role("menuitem", name="Sign out").click()
        page.get_by_role("heading", name="Sign in to Portside").wait_for()
        again.reload()
        again.get_by_role("heading", name="Sign in to Portside").wait_for()
        assert key.secret_access_key not in portside.log
        console.wrong.clear()  # answers of 401 and 403, which were wanted
        console.close()


def test_accounts_and_regions_are_switched(browser: Browser) -> None:
    """Where any key will do, one goes to another account and region by the bar at the top; links keep both."""
    with instance() as portside:
        boto3.client(
            "ecs", endpoint_url=portside.url, region_name=REGION, aws_access_key_id=OTHER, aws_secret_access_key="x"
        ).create_cluster(clusterName="theirs")
        portside.client("ecs").create_cluster(clusterName="ours")
        console = Console(browser, portside)
        page = console.open("clusters")
        expect(console.row("ours")).to_be_visible()
        page.get_by_role("button", name="Account: 000000000000").click()
        page.get_by_role("menuitem", name=OTHER).click()
        expect(console.row("theirs")).to_be_visible()
        expect(console.row("ours")).to_have_count(0)
        page.get_by_role("button", name="Create").click()
        form = page.get_by_role("dialog")
        form.get_by_label("Name").fill("second")
        form.get_by_role("button", name="Create", exact=True).click()
        expect(console.row("second")).to_be_visible()
        page.get_by_role("link", name="second").click()
        page.get_by_role("heading", name="second").wait_for()
        assert f"account={OTHER}" in page.url
        page.reload()
        page.get_by_role("heading", name="second").wait_for()
        page.get_by_role("button", name=f"Region: {REGION}").click()
        page.get_by_role("menuitem", name="Ireland").click()
        console.see("No cluster")
        assert f"account={OTHER}" in page.url
        page.get_by_role("button", name=f"Account: {OTHER}").click()
        page.get_by_role("menuitem", name="Another account").click()
        form = page.get_by_role("dialog")
        form.get_by_label("Account", exact=True).fill("12")
        expect(form.get_by_role("button", name="Switch")).to_be_disabled()
        form.get_by_label("Account", exact=True).fill("000000000000")
        form.get_by_role("button", name="Switch").click()
        page.get_by_role("button", name="Account: 000000000000").wait_for()
        console.close()
