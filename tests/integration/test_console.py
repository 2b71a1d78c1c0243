"""The console in a browser, before a real Portside with real tasks: what it shows is true, and stays true."""

import http.server
import threading
from collections.abc import Callable, Iterator

import pytest
from console_lab import Console, chromium
from playwright.sync_api import Browser, expect

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

SLEEPS = {"name": "main", "image": IMAGE, "command": ["sleep", "100000"]}


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(
            clusterName="shop", settings=[{"name": "containerInsights", "value": "enabled"}]
        )
        running.register("web", SLEEPS)
        running.register("fails", {"command": ["sh", "-c", "exit 3"]})
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def visit(browser: Browser, portside: Instance) -> Iterator[Callable[..., Console]]:
    opened: list[Console] = []

    def one(**how: bool | int) -> Console:
        opened.append(Console(browser, portside, **how))  # type: ignore[arg-type]
        return opened[-1]

    yield one
    for each in opened:
        each.close()


def test_the_overview_follows_what_happens(portside: Instance, visit: Callable[..., Console]) -> None:
    """Figures are those of the API, and change by themselves when a task starts and ends."""
    console = visit()
    page = console.open()
    console.row("shop").wait_for()
    expect(page.get_by_label("Tasks running: 0")).to_be_visible()
    task = portside.run_task("web", cluster="shop")
    expect(page.get_by_label("Tasks running: 1")).to_be_visible()
    expect(console.row("shop")).to_contain_text("On")
    console.see("Nothing is wrong")
    console.accessible()
    console.picture("overview")
    portside.client("ecs").stop_task(cluster="shop", task=task)
    expect(page.get_by_label("Tasks running: 0")).to_be_visible()


def test_a_cluster_and_its_tasks(portside: Instance, visit: Callable[..., Console]) -> None:
    """A cluster's page has its tasks with their addresses; one that starts appears, one that stops tells its reason."""
    console = visit()
    page = console.open("clusters/shop")
    page.get_by_role("heading", name="shop").wait_for()
    arn = portside.run_task("web", cluster="shop")
    task_id = arn.rpartition("/")[2]
    row = console.row(task_id[:12])
    expect(row).to_contain_text("Running")
    found = portside.wait_task(arn, "RUNNING")
    details = {each["name"]: each["value"] for each in found["attachments"][0]["details"]}
    expect(row).to_contain_text(details["privateIPv4Address"])
    console.accessible()
    portside.client("ecs").stop_task(cluster="shop", task=arn, reason="seen enough")
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Stopped").click()
    expect(row).to_contain_text("seen enough")


def test_a_task_tells_its_story(portside: Instance, visit: Callable[..., Console]) -> None:
    """A task that failed: its exit code, why it stopped, how long each phase of its launch took."""
    arn = portside.run_task("fails", cluster="shop")
    portside.wait_task(arn, "STOPPED")
    console = visit()
    page = console.open(f"clusters/shop/tasks/{arn.rpartition('/')[2]}")
    console.see("main exited with 3.")
    console.see("Essential container in task exited")
    expect(page.get_by_role("list", name="Phases of the launch").get_by_role("listitem")).to_have_count(3)
    expect(console.row("main").filter(has_text=IMAGE)).to_contain_text("3")
    console.see("ContainerExited")
    console.accessible()
    console.picture("task")


def test_a_task_is_followed(portside: Instance, visit: Callable[..., Console]) -> None:
    """The page of a running task sees it stop; in the dark, and as narrow as a phone, it can be read as well."""
    arn = portside.run_task("web", cluster="shop")
    portside.wait_task(arn, "RUNNING")
    console = visit(dark=True, width=400)
    page = console.open(f"clusters/shop/tasks/{arn.rpartition('/')[2]}")
    console.see("It runs.")
    console.accessible()
    portside.client("ecs").stop_task(cluster="shop", task=arn, reason="the end")
    expect(page.get_by_text("Stopped: UserInitiated")).to_be_visible()


def test_all_tasks_are_found_by_words(portside: Instance, visit: Callable[..., Console]) -> None:
    """The tasks of all clusters, filtered by what is typed; a page that is linked to has its region."""
    arn = portside.run_task("web", cluster="shop")
    console = visit()
    page = console.open("tasks?region=us-east-1")
    row = console.row(arn.rpartition("/")[2][:12])
    expect(row).to_contain_text("shop")
    page.get_by_role("searchbox").or_(page.get_by_label("Find tasks")).first.fill("no such word")
    expect(row).to_have_count(0)
    console.see("No task matches")
    page = console.open("tasks?region=eu-west-1")
    console.see("No task runs")
    portside.client("ecs").stop_task(cluster="shop", task=arn)


def test_it_comes_back_after_a_restart(portside: Instance, visit: Callable[..., Console]) -> None:
    """A Portside that is killed and started again finds its open pages: they say so, and follow on."""
    console = visit()
    page = console.open("clusters/shop")
    portside.kill()
    page.get_by_role("button", name="Not connected").wait_for()
    portside.start()
    portside.ready()
    arn = portside.run_task("web", cluster="shop")
    expect(console.row(arn.rpartition("/")[2][:12])).to_contain_text("Running")
    portside.client("ecs").stop_task(cluster="shop", task=arn)
    console.wrong.clear()  # connections refused meanwhile


FORGERY = """
const host = "HOST";
const tried = [];
const attempt = (how, run) => tried.push(run().then(() => how + " was answered", () => how + " was refused"));
for (const type of ["text/plain", "application/json"]) {
  attempt(type, async () => {
    const answer = await fetch(host + "/_portside/console/call/ecs/CreateCluster", {
      method: "POST", credentials: "include", headers: { "content-type": type, "x-portside-console": "1" },
      body: JSON.stringify({ clusterName: "forged" }),
    });
    if (!answer.ok) throw new Error(answer.status);
  });
}
attempt("without reading", async () => {
  await fetch(host + "/_portside/console/call/ecs/CreateCluster", {
    method: "POST", credentials: "include", mode: "no-cors", body: JSON.stringify({ clusterName: "forged" }),
  });
  throw new Error("nothing is seen of the answer");
});
attempt("the stream", () => new Promise((answered, refused) => {
  const source = new EventSource(host + "/_portside/console/changes", { withCredentials: true });
  source.onopen = answered;
  source.onerror = refused;
}));
Promise.all(tried).then((all) => { document.title = all.join("; "); });
"""


def test_another_sites_page_can_do_nothing(portside: Instance, browser: Browser) -> None:
    """A page of another origin on this machine, in a browser that has visited the console, makes no cluster."""
    page = f"<!doctype html><script>{FORGERY.replace('HOST', portside.url)}</script>".encode()

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        console = Console(browser, portside)
        console.open()
        victim = console.page.context.new_page()
        victim.goto(f"http://127.0.0.1:{server.server_port}/")
        wait_for(lambda: "the stream" in victim.title(), timeout_s=30, what="the end of the forgery")
        assert "answered" not in victim.title()
        names = [arn.rpartition("/")[2] for arn in portside.client("ecs").list_clusters()["clusterArns"]]
        assert names == ["shop"]
        console.close()
    finally:
        server.shutdown()
        server.server_close()
