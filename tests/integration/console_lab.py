"""The console in a real browser: Debian's Chromium, headless, driven by Playwright."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from portside.settings import DEFAULT_CONSOLE_DIR
from portside.testing.instance import Instance

CHROMIUM = Path("/usr/bin/chromium")
AXE = DEFAULT_CONSOLE_DIR.parent / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = os.environ.get("PORTSIDE_PICTURES", "")
"""A folder for pictures of the pages, for the guide: docs/guide/console."""

DESIGN_SYSTEMS_OWN = "mobile-toolbar-nav"
"""The design system gives its narrow toolbar an orientation, which browsers ignore there; it is not ours to mend."""

DEADLINE_MS = 30_000
expect.set_options(timeout=DEADLINE_MS)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed (a snap on Ubuntu): the console was not looked at")
    assert (DEFAULT_CONSOLE_DIR / "index.html").exists(), "the console is not built: ./portside install"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            # Root has no sandbox of Chromium's, and no name is looked up: nothing leaves the machine.
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        try:
            yield browser
        finally:
            browser.close()


class Console:
    """One open page, and everything that went wrong in it."""

    def __init__(self, browser: Browser, portside: Instance, *, dark: bool = False, width: int = 1280) -> None:
        self.url, self.wrong = portside.url, list[str]()
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            timezone_id="UTC",
        )
        context.set_default_timeout(DEADLINE_MS)
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("console", self._said)
        self.page.on("request", self._asked)

    def _said(self, said: Any) -> None:
        # The browser calls answers of 400 and 409 errors, which are what the API says to what can not be; and those
        # of 404, of Portside's own documents of what has just gone.
        is_gone = "status of 404" in said.text and "/_portside/console/own/" in said.location.get("url", "")
        is_answer = "status of 400" in said.text or "status of 409" in said.text or is_gone
        if said.type == "error" and not is_answer:
            self.wrong.append(f"{said.text} {said.location.get('url', '')}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("data:", "blob:", f"{self.url}/")):
            self.wrong.append(f"asked another host: {request.url}")

    def open(self, place: str = "") -> Page:
        """Args: place: as in the address, `clusters/web`."""
        self.page.goto(f"{self.url}/#/{place}")
        self.page.get_by_role("button", name="What is shown is followed live").wait_for()
        return self.page

    def see(self, text: str) -> None:
        """Wait until it is there to be seen."""
        self.page.get_by_text(text).filter(visible=True).first.wait_for()

    def row(self, words: str) -> Any:
        """The rows of tables that hold these words."""
        return self.page.get_by_role("row").filter(has_text=words)

    def accessible(self) -> None:
        """axe finds nothing serious on the page."""
        # By the debugger, which the page's security policy does not bind.
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("async () => (await axe.run(document)).violations")
        serious = [
            (each["id"], each["help"], node["html"][:200])
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
            if (each["id"], True) != ("aria-allowed-attr", DESIGN_SYSTEMS_OWN in node["html"])
        ]
        assert not serious, json.dumps(serious, indent=1)

    def picture(self, name: str) -> None:
        """For the guide, if pictures are wanted."""
        if PICTURES:
            self.page.mouse.move(0, 0)
            self.page.evaluate("scrollTo(0, 0)")
            # Tables that a click had scrolled, too.
            self.page.evaluate("document.querySelectorAll('*').forEach((each) => { each.scrollLeft = 0 })")
            self.page.screenshot(path=f"{PICTURES}/{name}.png")

    def close(self) -> None:
        self.page.context.close()
        assert not self.wrong, self.wrong


def choose(form: Locator, field: str, option: str) -> None:
    """An option of a field that opens a list of them."""
    form.get_by_label(field, exact=True).click()
    form.page.get_by_role("option").filter(has_text=option).first.click()
